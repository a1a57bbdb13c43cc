//! A caller's own tags: added and removed, beside those of the engine and of others.

use lvm_meta::Tag;

use crate::{Error, tags};

/// Tags of the caller's own to add and to remove.  LVM's tools show them, and select by them (`lvs @TAG`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Tags to add; those that are there stay.
    pub add: Vec<String>,
    /// Tags to remove; those that are not there are no error.
    pub remove: Vec<String>,
}

impl TagChange {
    /// Refuses what is no tag, or not the caller's to set.
    ///
    /// # Errors
    /// [`Error::Name`] for a tag that LVM would refuse; [`Error::InvalidArgument`] for the engine's own, and for one that
    /// is to be added and removed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |tag: &str, why: &str| {
            Err(Error::InvalidArgument {
                what: "tag",
                given: tag.into(),
                why: why.into(),
            })
        };
        for tag in self.add.iter().chain(&self.remove) {
            Tag::parse(tag)?;
            if tags::is_reserved(tag) {
                return refuse(tag, "tags that begin with \"mayastor\" are the engine's own");
            }
        }
        match self.add.iter().find(|tag| self.remove.contains(tag)) {
            Some(tag) => refuse(tag, "it is to be added and removed"),
            None => Ok(()),
        }
    }

    /// The tags after the change, in the order in which they stand.
    pub(crate) fn apply(&self, mut tags: Vec<String>) -> Vec<String> {
        tags.retain(|tag| !self.remove.contains(tag));
        for tag in &self.add {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(add: &[&str], remove: &[&str]) -> TagChange {
        let texts = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        TagChange {
            add: texts(add),
            remove: texts(remove),
        }
    }

    #[test]
    fn tags_of_others_keep_their_places() {
        let before = vec!["mayastor".to_owned(), "a".to_owned(), "b".to_owned()];
        let after = change(&["c", "b"], &["a", "x"]).apply(before);
        assert_eq!(after, ["mayastor", "b", "c"]);
    }

    #[test]
    fn illegal_tags_and_the_engines_own_are_refused() {
        assert!(change(&["zone=a"], &["old"]).check().is_ok());
        for bad in [
            change(&["a b"], &[]),
            change(&[], &["mayastor"]),
            change(&["mayastor.lv.share=nvmf"], &[]),
            change(&["a"], &["a"]),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
