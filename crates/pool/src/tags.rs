//! The tags that make a VG a pool and an LV a replica.
//!
//! The strings are io-engine's.  A key ends at the first `=`.  Several allowed hosts are one tag each when
//! written; older tags that join them by commas are read too.  Tags with other keys are never touched.

use lvm_meta::{NameError, Tag};

/// Marks a VG as a pool and an LV as the engine's own.
pub(crate) const OWNER: &str = "mayastor";
/// Marks a VG whose removal was begun and must be finished.
pub(crate) const DESTROYING: &str = "mayastor.vg.destroying";
/// Marks a copied VG that gets new ids: its disks' labels may still have the old ones.
pub(crate) const NEW_IDS: &str = "mayastor.vg.new_ids";
/// The key of the UUID of the pool of which a VG is a copy.
pub(crate) const COPIED_VG: &str = "mayastor.vg.copied_from";
/// Marks an LV that is not ready yet: it is undone when its creator is gone.
pub(crate) const CREATING: &str = "mayastor.lv.creating";

/// Marks a replica that other hosts are to reach.
pub(crate) const SHARED: &str = "mayastor.lv.share=nvmf";

/// The keys of a replica's properties.
pub(crate) mod key {
    pub(crate) const NAME: &str = "mayastor.lv.name";
    pub(crate) const SHARE: &str = "mayastor.lv.share";
    pub(crate) const ALLOWED_HOSTS: &str = "mayastor.lv.allowed_hosts";
    /// Where to listen for hosts, if somebody said so.
    pub(crate) const LISTEN: &str = "mayastor.lv.listen";
    pub(crate) const ENTITY_ID: &str = "mayastor.lv.entity_id";
    pub(crate) const SNAPSHOT_UUID: &str = "mayastor.lv.snapshot_uuid";
    /// The UUID of the replica or snapshot of which this is a copy, on copied disks.
    pub(crate) const COPIED_FROM: &str = "mayastor.lv.copied_from";
}

/// The keys of a snapshot's properties; a replica has none of these.
pub(crate) mod snap {
    pub(crate) const NAME: &str = "mayastor.snap.name";
    pub(crate) const ENTITY_ID: &str = "mayastor.snap.entity_id";
    pub(crate) const PARENT_ID: &str = "mayastor.snap.parent_id";
    pub(crate) const TXN_ID: &str = "mayastor.snap.txn_id";
    pub(crate) const CREATE_TIME: &str = "mayastor.snap.create_time";
}

/// What every tag of a snapshot begins with.
const SNAPSHOT_PREFIX: &str = "mayastor.snap.";

/// What the tags of a snapshot say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotTags<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) entity_id: Option<&'a str>,
    pub(crate) parent_id: Option<&'a str>,
    pub(crate) txn_id: Option<&'a str>,
    pub(crate) create_time: Option<&'a str>,
}

/// What the tags of an LV say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LvTags<'a> {
    pub(crate) owned: bool,
    pub(crate) creating: bool,
    pub(crate) snapshot: Option<SnapshotTags<'a>>,
    pub(crate) name: Option<&'a str>,
    pub(crate) shared: bool,
    pub(crate) allowed_hosts: Vec<&'a str>,
    pub(crate) listen: Option<&'a str>,
    pub(crate) entity_id: Option<&'a str>,
    pub(crate) snapshot_uuid: Option<&'a str>,
    pub(crate) copied_from: Option<&'a str>,
    /// Those that are not the engine's.
    pub(crate) others: Vec<&'a str>,
}

impl<'a> SnapshotTags<'a> {
    fn read(&mut self, key: &str, value: &'a str) {
        let place = match key {
            snap::NAME => &mut self.name,
            snap::ENTITY_ID => &mut self.entity_id,
            snap::PARENT_ID => &mut self.parent_id,
            snap::TXN_ID => &mut self.txn_id,
            snap::CREATE_TIME => &mut self.create_time,
            _ => return,
        };
        *place = place.or(Some(value));
    }

    /// Is everything there that a snapshot is made with?
    pub(crate) fn is_whole(&self) -> bool {
        let Self {
            name,
            entity_id,
            parent_id,
            txn_id,
            create_time,
        } = self;
        [name, entity_id, parent_id, txn_id, create_time]
            .iter()
            .all(|value| value.is_some_and(|value| !value.is_empty()))
    }
}

impl<'a> LvTags<'a> {
    /// Is it a replica, or one on its way?
    pub(crate) fn is_ours(&self) -> bool {
        (self.owned || self.creating) && self.snapshot.is_none()
    }

    /// Has it a tag that only a clone has?
    pub(crate) fn may_be_clone(mut tags: impl Iterator<Item = &'a str>) -> bool {
        tags.any(|tag| tag.starts_with(key::SNAPSHOT_UUID))
    }

    /// Reads tags in the order they stand; of a key that has one value the first counts.
    pub(crate) fn read(tags: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for tag in tags {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            match key {
                OWNER => found.owned = true,
                CREATING => found.creating = true,
                key::NAME => found.name = found.name.or(Some(value)),
                key::SHARE => found.shared = value == "nvmf",
                key::ALLOWED_HOSTS => {
                    for host in value.split(',').filter(|host| !host.is_empty()) {
                        if !found.allowed_hosts.contains(&host) {
                            found.allowed_hosts.push(host);
                        }
                    }
                }
                key::LISTEN => found.listen = found.listen.or(Some(value)),
                key::ENTITY_ID => found.entity_id = found.entity_id.or(Some(value)),
                key::SNAPSHOT_UUID => found.snapshot_uuid = found.snapshot_uuid.or(Some(value)),
                key::COPIED_FROM => found.copied_from = found.copied_from.or(Some(value)),
                _ if key.starts_with(SNAPSHOT_PREFIX) => {
                    found.snapshot.get_or_insert_default().read(key, value);
                }
                _ if !is_reserved(tag) => found.others.push(tag),
                _ => {}
            }
        }
        found
    }
}

/// Returns `true` for the engine's own tags, which no caller sets by name.
pub(crate) fn is_reserved(tag: &str) -> bool {
    let rest = tag.strip_prefix(OWNER);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '=']))
}

/// The tag `key=value`.
pub(crate) fn property(key: &str, value: &str) -> Result<Tag, NameError> {
    Tag::parse(&format!("{key}={value}"))
}

/// `tags` with every value of `key` replaced by `new`, in the place of the first.
///
/// # Errors
/// [`NameError`] when a tag that stays is one that LVM would refuse to write.
pub(crate) fn replace<'a>(
    tags: impl Iterator<Item = &'a str>,
    key: &str,
    new: Vec<Tag>,
) -> Result<Vec<Tag>, NameError> {
    let mut new = Some(new);
    let mut result = Vec::new();
    for tag in tags {
        if tag.split_once('=').map_or(tag, |(found, _)| found) == key {
            result.extend(new.take().unwrap_or_default());
        } else {
            result.push(Tag::parse(tag)?);
        }
    }
    result.extend(new.unwrap_or_default());
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_of_allowed_hosts_are_read() {
        let tags = [
            "mayastor",
            "mayastor.lv.allowed_hosts=a,b",
            "mayastor.lv.allowed_hosts=c",
            "mayastor.lv.allowed_hosts=a",
        ];
        assert_eq!(LvTags::read(tags.into_iter()).allowed_hosts, ["a", "b", "c"]);
        assert!(
            LvTags::read(["mayastor.lv.allowed_hosts="].into_iter())
                .allowed_hosts
                .is_empty()
        );
    }

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(
            LvTags::read(["mayastor.lv.name=a=b"].into_iter()).name,
            Some("a=b")
        );
    }

    #[test]
    fn tags_of_callers_are_all_but_the_engines_own() {
        let tags = [
            "mayastor",
            "zone=a",
            "mayastor.lv.unknown=1",
            "mayastors",
            "mayastor.lv.name=x",
        ];
        assert_eq!(LvTags::read(tags.into_iter()).others, ["zone=a", "mayastors"]);
    }

    #[test]
    fn any_share_but_nvmf_is_off() {
        assert!(LvTags::read(["mayastor.lv.share=nvmf"].into_iter()).shared);
        assert!(!LvTags::read(["mayastor.lv.share=iscsi"].into_iter()).shared);
    }

    #[test]
    fn replacing_a_property_keeps_the_tags_of_others_in_place() {
        let tags = ["mayastor", "mayastor.lv.name=x", "theirs", "mayastor.lv.name=y"];
        let new = vec![property(key::NAME, "z").unwrap()];
        let found = replace(tags.into_iter(), key::NAME, new).unwrap();
        let found: Vec<&str> = found.iter().map(Tag::as_str).collect();
        assert_eq!(found, ["mayastor", "mayastor.lv.name=z", "theirs"]);
    }

    #[test]
    fn a_value_that_lvm_would_refuse_in_a_tag_is_refused() {
        assert!(property(key::NAME, "a,b").is_err());
        assert!(property(key::NAME, "a b").is_err());
    }
}
