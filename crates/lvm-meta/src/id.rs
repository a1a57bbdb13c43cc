//! The 32-character ids of VGs, PVs and LVs.
//!
//! Text holds them in groups of 6-4-4-4-4-4-6; labels and device-mapper uuids hold the 32 characters alone.
//! Readers take any dashes and the characters `0-9 a-z A-Z ! #`.  Reference: LVM2 `lib/id/id.c`.

use std::fmt;

/// A string that is no LVM id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an LVM id: 32 characters of 0-9 a-z A-Z ! #, dashes aside")]
pub struct IdError(pub(crate) String);

/// Lengths of the dash-separated groups in text.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'!' || byte == b'#'
}

/// Reads an id in the form that is printed: quicker than one with dashes anywhere.
fn parse_printed(text: &[u8; 38]) -> Option<[u8; 32]> {
    let mut id = [0; 32];
    let (mut rest, mut slots) = (text.as_slice(), id.as_mut_slice());
    for length in GROUPS {
        let (group, behind) = rest.split_at_checked(length)?;
        let (slot, free) = slots.split_at_mut_checked(length)?;
        slot.copy_from_slice(group);
        slots = free;
        rest = match behind.split_first() {
            Some((b'-', rest)) => rest,
            None => behind,
            Some(_) => return None,
        };
    }
    // All at once, without a stop at the first that is wrong: so the compiler can look at many at a time.
    let are_legal = id.iter().fold(true, |all, byte| all & is_legal(*byte));
    are_legal.then_some(id)
}

fn parse(text: &[u8]) -> Option<[u8; 32]> {
    if let Some(id) = text.try_into().ok().and_then(parse_printed) {
        return Some(id);
    }
    let mut id = [0; 32];
    let mut slots = id.iter_mut();
    for &byte in text.iter().filter(|byte| **byte != b'-') {
        if !is_legal(byte) {
            return None;
        }
        *slots.next()? = byte;
    }
    slots.next().is_none().then_some(id)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Reads an id with dashes anywhere or none.
            ///
            /// # Errors
            /// [`IdError`] when the text, dashes aside, is not 32 legal characters.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse(text.as_bytes()).map(Self).ok_or_else(|| IdError(text.chars().take(64).collect()))
            }

            /// Reads the 32 characters of a label, without dashes; `None` when one is illegal.
            pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
                if bytes.contains(&b'-') { None } else { parse(bytes).map(Self) }
            }

            /// The id whose characters are the 32 hexadecimal digits of an RFC-4122 UUID.
            pub fn from_uuid_bytes(uuid: [u8; 16]) -> Self {
                let mut id = [0; 32];
                for (pair, byte) in id.chunks_exact_mut(2).zip(uuid) {
                    let digit = |half: u8| char::from_digit(u32::from(half), 16).map_or(b'0', |c| u8::try_from(c).unwrap_or(b'0'));
                    pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
                }
                Self(id)
            }

            /// The UUID whose hexadecimal digits these characters are, if they are lower-case digits.
            pub fn to_uuid_bytes(&self) -> Option<[u8; 16]> {
                let mut uuid = [0; 16];
                for (byte, pair) in uuid.iter_mut().zip(self.0.chunks_exact(2)) {
                    let mut value = 0u8;
                    for &digit in pair {
                        if digit.is_ascii_uppercase() {
                            return None;
                        }
                        let half = u8::try_from(char::from(digit).to_digit(16)?).ok()?;
                        value = value << 4 | half;
                    }
                    *byte = value;
                }
                Some(uuid)
            }

            /// An id of 32 alphanumeric characters drawn from random bytes, as LVM's tools make them.
            pub fn from_random(random: [u8; 32]) -> Self {
                const SET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
                Self(random.map(|byte| SET.get(usize::from(byte % 62)).copied().unwrap_or(b'a')))
            }

            /// The 32 characters, without dashes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 32 characters, without dashes.
            pub fn as_str(&self) -> &str {
                // Only ASCII gets into an id.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        /// With the dashes that LVM prints.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut rest = self.as_str();
                for (at, len) in GROUPS.into_iter().enumerate() {
                    let (group, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
                    f.write_str(if at == 0 { "" } else { "-" })?;
                    f.write_str(group)?;
                    rest = after;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(
    /// The id of a volume group.
    VgId
);
id!(
    /// The id of a physical volume: in its label and in its VG's text.
    PvId
);
id!(
    /// The id of a logical volume: unique in its VG.
    LvId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_are_free_on_input_and_fixed_on_output() {
        let dashed = "niIJPG-s8SE-wkW9-8P4F-MbVT-f5yY-bna5Mb";
        let id = PvId::parse("niIJPGs8SEwkW98P4FMbVTf5yYbna5Mb").unwrap();
        assert_eq!(id, PvId::parse(dashed).unwrap());
        assert_eq!(id.to_string(), dashed);
        assert_eq!(id.as_str(), "niIJPGs8SEwkW98P4FMbVTf5yYbna5Mb");
    }

    #[test]
    fn dashes_elsewhere_and_illegal_characters_are_seen_in_the_printed_form_too() {
        let odd = "niIJPGs-8SE-wkW9-8P4F-MbVT-f5yY-bna5Mb";
        assert_eq!(
            PvId::parse(odd).unwrap().as_str(),
            "niIJPGs8SEwkW98P4FMbVTf5yYbna5Mb"
        );
        assert!(PvId::parse("niIJPG-s8SE-wkW9-8P4F-MbVT-f5yY-bna5M/").is_err());
        assert!(PvId::parse("niIJPG-s8SE-wkW9-8P4F-MbVT-f5yY-bna5M-").is_err());
        assert!(PvId::parse("niIJPG-s8SE-wkW9-8P4F-MbVT-f5yY-b\u{e9}a5M").is_err());
    }

    #[test]
    fn ids_of_a_wrong_length_or_character_are_refused() {
        for bad in [
            "",
            "abc",
            "niIJPGs8SEwkW98P4FMbVTf5yYbna5Mbx",
            "niIJPGs8SEwkW98P4FMbVTf5yYbna5M/",
        ] {
            assert!(VgId::parse(bad).is_err(), "{bad}");
        }
        assert!(PvId::from_bytes(b"-iIJPGs8SEwkW98P4FMbVTf5yYbna5Mb").is_none());
    }

    #[test]
    fn a_uuid_goes_into_an_id_and_comes_back() {
        let uuid = *b"\x0c\x3e\x7a\x4e\x7a\x3f\x4a\x34\x9c\x56\x1f\x0d\x2f\x9b\xe0\x01";
        let id = LvId::from_uuid_bytes(uuid);
        assert_eq!(id.as_str(), "0c3e7a4e7a3f4a349c561f0d2f9be001");
        assert_eq!(id.to_uuid_bytes(), Some(uuid));
        assert_eq!(
            LvId::parse("niIJPGs8SEwkW98P4FMbVTf5yYbna5Mb")
                .unwrap()
                .to_uuid_bytes(),
            None
        );
    }

    #[test]
    fn random_ids_use_the_62_alphanumeric_characters_only() {
        let id = VgId::from_random(std::array::from_fn(|n| (n * 8) as u8));
        assert!(id.as_bytes().iter().all(u8::is_ascii_alphanumeric));
    }
}
