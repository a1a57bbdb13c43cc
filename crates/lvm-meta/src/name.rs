//! The rules for names of VGs and LVs and for tags.  Reference: LVM2 `lib/misc/lvm-string.c`.

use std::fmt;

/// Why a name or a tag is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is no name.
    #[error("an empty {what} is not allowed")]
    Empty {
        /// `VG name`, `LV name` or `tag`.
        what: &'static str,
    },
    /// Longer than the format or device-mapper can hold.
    #[error("{what} of {length} bytes is longer than {limit}")]
    TooLong {
        /// `VG name`, `LV name` or `tag`.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character outside LVM's set.
    #[error("{what} {text:?} holds {bad:?}; legal are {legal}")]
    BadCharacter {
        /// `VG name`, `LV name` or `tag`.
        what: &'static str,
        /// The whole text, cut to a printable length.
        text: String,
        /// The first bad character.
        bad: char,
        /// The legal set.
        legal: &'static str,
    },
    /// Legal characters, but a meaning of its own to LVM or the file system.
    #[error("{what} {text:?} is reserved: {why}")]
    Reserved {
        /// `VG name` or `LV name`.
        what: &'static str,
        /// The name.
        text: String,
        /// The rule it breaks.
        why: &'static str,
    },
}

/// Longest VG or LV name in bytes.
const NAME_LIMIT: usize = 127;
/// Longest tag in bytes that we write; LVM's manual states it, its reader has no limit.
const TAG_LIMIT: usize = 1024;

/// What only LVM may put into LV names: parts that mark sub-LVs.
const RESERVED_PARTS: [&str; 17] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta",
    "_tdata", "_tmeta", "_vdata", "_imeta", "_iorig", "_pmspare", "_vorigin",
];

/// Keys of the text's header block that LVM looks for by their names and insists on: a VG's section of that name hides
/// them, and LVM reads the VG no more.  The other keys it can do without.
const HEADER_KEYS: [&str; 2] = ["contents", "version"];

/// A set of bytes, by a flag for each.
///
/// Reading and committing look at every byte of all names and tags of a VG: looked up in a table that is quick.
struct Bytes([bool; 256]);

const NAME_BYTES: Bytes = Bytes([false; 256])
    .and(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    .and(b"._-+");
const TAG_BYTES: Bytes = NAME_BYTES.and(b"/=!:&#");
/// Tags with a NUL between each.
const JOINED_BYTES: Bytes = TAG_BYTES.and(b"\0");

impl Bytes {
    #[expect(
        clippy::as_conversions,
        clippy::indexing_slicing,
        reason = "`From` and `get_mut` are not const; a byte is below 256"
    )]
    const fn and(mut self, mut bytes: &[u8]) -> Self {
        while let [byte, rest @ ..] = bytes {
            self.0[*byte as usize] = true;
            bytes = rest;
        }
        self
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }

    /// Does it hold all of a text?  Without a stop at the first that it does not hold: there is seldom one.
    fn hold(&self, text: &str) -> bool {
        text.bytes().fold(true, |all, byte| all & self.has(byte))
    }
}

/// The first character that holds an illegal byte.
fn illegal_in(text: &str, legal: &Bytes) -> Option<char> {
    if legal.hold(text) {
        return None;
    }
    let at = text.bytes().position(|byte| !legal.has(byte))?;
    // Legal bytes are ASCII: the first that is not begins a character.
    text.get(at..)?.chars().next()
}

fn shorten(text: &str) -> String {
    text.chars().take(140).collect()
}

fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > NAME_LIMIT {
        return Err(NameError::TooLong {
            what,
            length: text.len(),
            limit: NAME_LIMIT,
        });
    }
    if let Some(bad) = illegal_in(text, &NAME_BYTES) {
        return Err(NameError::BadCharacter {
            what,
            text: shorten(text),
            bad,
            legal: "a-z A-Z 0-9 . _ - +",
        });
    }
    let why = match text {
        "." | ".." => "a directory's name",
        _ if text.starts_with('-') => "starts with a dash",
        _ => return Ok(()),
    };
    Err(NameError::Reserved {
        what,
        text: text.into(),
        why,
    })
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(
    /// A name that LVM takes for a new VG.
    VgName
);
text_type!(
    /// A name that LVM takes for an LV, its own sub-LVs included; see [`LvName::for_user`].
    LvName
);
text_type!(
    /// A tag of a VG, PV or LV, in the characters that LVM writes.
    Tag
);

impl VgName {
    /// Checks a name for a VG.
    ///
    /// # Errors
    /// [`NameError`]: empty, too long, an illegal character, or reserved.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_name("VG name", text)?;
        if HEADER_KEYS.contains(&text) {
            let why = "a key of the metadata's header";
            return Err(NameError::Reserved {
                what: "VG name",
                text: text.into(),
                why,
            });
        }
        Ok(Self(text.into()))
    }
}

impl LvName {
    /// Checks a name for an LV, hidden sub-LVs included.
    ///
    /// # Errors
    /// [`NameError`]: empty, too long, or an illegal character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// As [`LvName::parse`], without a copy.
    pub(crate) fn check(text: &str) -> Result<(), NameError> {
        check_name("LV name", text)
    }

    /// Checks a name that a user gives: the names that LVM keeps for its own sub-LVs are refused too.
    ///
    /// # Errors
    /// [`NameError`], with [`NameError::Reserved`] for `pvmove0`, `x_tdata`, `pv0` and their like.
    pub fn for_user(text: &str) -> Result<Self, NameError> {
        let name = Self::parse(text)?;
        let is_pv_key = text
            .strip_prefix("pv")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        let why = if text.starts_with("pvmove") || text.starts_with("snapshot") {
            "LVM's prefix for its own LVs"
        } else if RESERVED_PARTS.iter().any(|part| text.contains(part)) {
            "holds a part that marks LVM's sub-LVs"
        } else if is_pv_key {
            "looks like the key of a PV"
        } else {
            return Ok(name);
        };
        Err(NameError::Reserved {
            what: "LV name",
            text: text.into(),
            why,
        })
    }
}

impl Tag {
    /// Checks a tag.
    ///
    /// # Errors
    /// [`NameError`]: empty, too long, or a character that makes LVM refuse every later write of the VG.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Are these tags, with a NUL between each, all legal?  Tells for all at once that they are, not which are not.
    pub(crate) fn are_legal(joined: &str) -> bool {
        let bytes = joined.as_bytes();
        let pairs = bytes.iter().zip(bytes.iter().skip(1));
        let is_one_empty = pairs.fold(joined.is_empty(), |any, (byte, next)| any | (byte | next == 0))
            | (bytes.first() == Some(&0))
            | (bytes.last() == Some(&0));
        JOINED_BYTES.hold(joined) && !is_one_empty && joined.len() <= TAG_LIMIT
    }

    /// As [`Tag::parse`], without a copy.
    pub(crate) fn check(text: &str) -> Result<(), NameError> {
        let what = "tag";
        if text.is_empty() {
            return Err(NameError::Empty { what });
        }
        if text.len() > TAG_LIMIT {
            return Err(NameError::TooLong {
                what,
                length: text.len(),
                limit: TAG_LIMIT,
            });
        }
        if let Some(bad) = illegal_in(text, &TAG_BYTES) {
            return Err(NameError::BadCharacter {
                what,
                text: shorten(text),
                bad,
                legal: "a-z A-Z 0-9 . _ - + / = ! : & #",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn many_tags_are_legal_when_each_is(tags in proptest::collection::vec("[a-z=\u{e9} ]{0,3}", 1..4)) {
            let each = tags.iter().all(|tag| Tag::check(tag).is_ok());
            assert_eq!(Tag::are_legal(&tags.join("\0")), each);
        }
    }

    #[test]
    fn names_follow_lvms_characters_and_lengths() {
        for good in [
            "vg0",
            "a",
            "A.b_c+d-e",
            "0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be001",
            &"x".repeat(127),
        ] {
            assert!(VgName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a b",
            "a/b",
            "a\nb",
            "\u{e9}",
            "a#",
            "contents",
            &"x".repeat(128),
        ] {
            assert!(VgName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_cannot_take_the_names_of_sub_lvs() {
        for bad in [
            "pvmove0",
            "snapshot1",
            "a_tdata",
            "r_rimage_0",
            "lvol0_pmspare",
            "pv0",
            "pv12",
        ] {
            assert!(
                matches!(LvName::for_user(bad), Err(NameError::Reserved { .. })),
                "{bad}"
            );
            assert!(LvName::parse(bad).is_ok(), "{bad}");
        }
        for good in ["pv", "pvc-1", "pv0x", "data", "snap"] {
            assert!(LvName::for_user(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn tags_with_a_comma_a_blank_or_nothing_are_refused() {
        assert!(Tag::parse("mayastor.lv.allowed_hosts=nqn.2019-05.io.openebs:host/1&x#!+").is_ok());
        for bad in ["", "a,b", "a b", "a\"", "a\\", "\u{fc}", "a@b", &"x".repeat(1025)] {
            assert!(Tag::parse(bad).is_err(), "{bad}");
        }
    }
}
