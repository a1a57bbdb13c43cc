//! The feature `serde`: what the values of this crate are outside, in JSON and its like.
//!
//! The names are those of the metadata text wherever it has one.  What is taken in goes through the parser or the
//! rules of its type: see the crate's documentation.

mod found;
mod section;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use section::Nodes;

use crate::model::{LvFlags, LvStatus, PvFlags, PvStatus, RaidLayout, Tags, VgFlags, VgStatus};
use crate::{ExtentSize, Extents, LvId, LvName, PvId, Sectors, Tag, VgId, VgName};

/// A string, borrowed where the input holds it as it is.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes in a string through the parser of its type.
fn parsed<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    let text = Text::deserialize(deserializer)?;
    parse(&text.0).map_err(D::Error::custom)
}

/// Types that are a string outside: as `Display` prints it, and through `parse`.
macro_rules! strings {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parsed(deserializer, Self::parse)
            }
        }
    )*};
}

strings!(VgId, PvId, LvId, VgName, LvName, Tag);

/// Words of `status` and `flags`: a list of those that are set.  A word that is not known is refused.
macro_rules! words {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.words().collect::<Vec<_>>())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut bits = Self::empty();
                for word in Vec::<Text<'_>>::deserialize(deserializer)? {
                    let unknown = || D::Error::custom(format_args!("the word {:?} is not known here", word.0));
                    bits |= Self::from_name(&word.0).ok_or_else(unknown)?;
                }
                Ok(bits)
            }
        }
    )*};
}

words!(VgStatus, VgFlags, PvStatus, PvFlags, LvStatus, LvFlags);

/// In sectors of 512 bytes.
impl Serialize for Sectors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for Sectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for Extents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.get())
    }
}

impl<'de> Deserialize<'de> for Extents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::new)
    }
}

/// In sectors of 512 bytes.
impl Serialize for ExtentSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.sectors())
    }
}

impl<'de> Deserialize<'de> for ExtentSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = Self::new(u32::deserialize(deserializer)?);
        size.ok_or_else(|| D::Error::custom("an extent of 0 sectors"))
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().collect::<Vec<_>>())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Tag>::deserialize(deserializer).map(|tags| Self::new(&tags))
    }
}

impl Serialize for RaidLayout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RaidLayout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, |text| {
            Self::parse(text).ok_or_else(|| format!("{text:?} is no RAID layout"))
        })
    }
}

/// The name of an LV.
pub(crate) fn lv_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    LvName::deserialize(deserializer).map(|name| name.as_str().into())
}

/// The name of an LV, or nothing.
pub(crate) fn optional_lv_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<str>>, D::Error> {
    let name = Option::<LvName>::deserialize(deserializer)?;
    Ok(name.map(|name| name.as_str().into()))
}

fn one_line(text: &str) -> Result<String, &'static str> {
    match text.chars().any(char::is_control) {
        true => Err("a text of one line must not hold control characters"),
        false => Ok(text.to_owned()),
    }
}

/// A string without control characters: a NUL would end the metadata text in its middle.
pub(crate) fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    parsed(deserializer, one_line)
}

/// As [`line`], or nothing.
pub(crate) fn optional_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<Text<'_>>::deserialize(deserializer)?;
    text.map(|text| one_line(&text.0))
        .transpose()
        .map_err(D::Error::custom)
}

/// Two strings as [`line`], or nothing.
pub(crate) fn optional_lines<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<(String, String)>, D::Error> {
    let Some((first, second)) = Option::<(Text<'_>, Text<'_>)>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let lines = one_line(&first.0).and_then(|first| Ok((first, one_line(&second.0)?)));
    lines.map(Some).map_err(D::Error::custom)
}
