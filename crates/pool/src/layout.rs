//! How a replica's extents are laid out over the pool's disks.

use std::fmt;
use std::str::FromStr;

use lvm_meta::Sectors;
use lvm_meta::detail::RaidLayout;

use crate::Error;

/// Stripe size when the caller names none: LVM's own default, 64 KiB.
const DEFAULT_STRIPE_SIZE: Sectors = Sectors::new(128);
/// The kernel's least stripe: a page.
const LEAST_STRIPE_SIZE: u64 = 4096;
/// LVM's limit on the areas of one segment.
const MOST_STRIPES: u32 = 128;

/// The layout of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// One run of extents after the other.
    #[default]
    Linear,
    /// Stripes over several disks.
    Striped {
        /// Disks side by side, 2 to 128.
        stripes: u32,
        /// Length of one stripe: a power of two of at least 4 KiB, at most an extent.
        stripe_size: Sectors,
    },
    /// An array by the kernel's RAID target, each image on a disk of its own.
    Raid {
        /// What is kept twice, and how.
        level: RaidLevel,
        /// For level 1 the number of images, for others the number of images that hold data apart from each other:
        /// as `lvcreate` counts stripes.
        count: u32,
        /// Length of one stripe; nothing for level 1.
        stripe_size: Sectors,
    },
}

/// A level of RAID, in the layout that LVM takes by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RaidLevel {
    /// Stripes: nothing is kept twice.
    Raid0,
    /// Copies.
    Raid1,
    /// Stripes, and parity on one image.
    Raid4,
    /// Stripes, and parity on all images in turns.
    Raid5,
    /// As level 5, with two parities.
    Raid6,
    /// Stripes of two copies each.
    Raid10,
}

impl RaidLevel {
    const ALL: [Self; 6] = [
        Self::Raid0,
        Self::Raid1,
        Self::Raid4,
        Self::Raid5,
        Self::Raid6,
        Self::Raid10,
    ];

    /// LVM's word for it.
    pub fn as_str(self) -> &'static str {
        self.lvm().as_str()
    }

    /// The layout as the metadata spell it.
    pub(crate) fn lvm(self) -> RaidLayout {
        match self {
            Self::Raid0 => RaidLayout::Raid0,
            Self::Raid1 => RaidLayout::Raid1,
            Self::Raid4 => RaidLayout::Raid4,
            Self::Raid5 => RaidLayout::Raid5,
            Self::Raid6 => RaidLayout::Raid6,
            Self::Raid10 => RaidLayout::Raid10,
        }
    }

    /// Images for this many of data.
    pub(crate) fn images(self, count: u32) -> u32 {
        match self {
            Self::Raid10 => count.saturating_mul(2),
            Self::Raid4 | Self::Raid5 => count.saturating_add(1),
            Self::Raid6 => count.saturating_add(2),
            Self::Raid0 | Self::Raid1 => count,
        }
    }

    /// Fewest that `lvcreate` takes.
    fn least(self) -> u32 {
        match self {
            Self::Raid6 => 3,
            _ => 2,
        }
    }
}

/// Most images that the kernel takes.
const MOST_IMAGES: u32 = 64;

/// As [`Layout::from_str`] reads it.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::Striped { stripes, stripe_size } => {
                write!(f, "striped:{stripes}:{}K", stripe_size.get() / 2)
            }
            Self::Raid {
                level,
                count,
                stripe_size,
            } => {
                write!(f, "{}:{count}", level.as_str())?;
                match *level == RaidLevel::Raid1 || *stripe_size == DEFAULT_STRIPE_SIZE {
                    true => Ok(()),
                    false => write!(f, ":{}K", stripe_size.get() / 2),
                }
            }
        }
    }
}

/// Reads `linear`, `striped:N[:STRIPE]`, `raid1:N` or, for the levels 0, 4, 5, 6 and 10, `raidLEVEL:N[:STRIPE]`, the stripe a size as [`parse_size`] takes it.
impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Error::InvalidArgument {
            what: "layout",
            given: text.into(),
            why: why.into(),
        };
        let mut parts = text.split(':');
        let layout = match parts.next() {
            Some("linear") => Self::Linear,
            Some(word) => {
                let level = RaidLevel::ALL.into_iter().find(|level| level.as_str() == word);
                if level.is_none() && word != "striped" {
                    return Err(refuse("known are linear, striped:N[:STRIPE] and raidLEVEL:N"));
                }
                let count = parts
                    .next()
                    .and_then(|n| n.parse().ok())
                    .ok_or_else(|| refuse("a number follows, as in striped:2 or raid1:2"))?;
                let stripe_size = match level {
                    Some(RaidLevel::Raid1) => 0,
                    _ => match parts.next() {
                        Some(size) => parse_size(size)?,
                        None => DEFAULT_STRIPE_SIZE.get() * Sectors::SIZE,
                    },
                };
                match level {
                    Some(level) => Self::raid(level, count, stripe_size)?,
                    None => Self::striped(count, stripe_size)?,
                }
            }
            None => return Err(refuse("it is empty")),
        };
        if parts.next().is_some() {
            Err(refuse("too many parts"))
        } else {
            Ok(layout)
        }
    }
}

impl Layout {
    /// A striped layout of `stripes` disks and `stripe_size` bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for numbers that LVM or the kernel refuse.
    pub fn striped(stripes: u32, stripe_size: u64) -> Result<Self, Error> {
        if !(2..=MOST_STRIPES).contains(&stripes) {
            let why = format!("2 to {MOST_STRIPES} stripes are possible");
            return Err(Error::InvalidArgument {
                what: "stripe count",
                given: stripes.to_string(),
                why,
            });
        }
        Ok(Self::Striped {
            stripes,
            stripe_size: checked_stripe_size(stripe_size)?,
        })
    }

    /// An array; `count` as in [`Layout::Raid`], `stripe_size` in bytes and 0 for level 1.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for numbers that LVM or the kernel refuse.
    pub fn raid(level: RaidLevel, count: u32, stripe_size: u64) -> Result<Self, Error> {
        if count < level.least() || level.images(count) > MOST_IMAGES {
            let least = level.least();
            let most = (least..=MOST_IMAGES).take_while(|count| level.images(*count) <= MOST_IMAGES);
            let why = format!(
                "{} takes {least} to {}",
                level.as_str(),
                most.last().unwrap_or(least)
            );
            return Err(Error::InvalidArgument {
                what: "image count",
                given: count.to_string(),
                why,
            });
        }
        let stripe_size = match level {
            RaidLevel::Raid1 if stripe_size == 0 => Sectors::default(),
            RaidLevel::Raid1 => {
                return Err(Error::InvalidArgument {
                    what: "stripe size",
                    given: stripe_size.to_string(),
                    why: "raid1 has no stripes".into(),
                });
            }
            _ => checked_stripe_size(stripe_size)?,
        };
        Ok(Self::Raid {
            level,
            count,
            stripe_size,
        })
    }

    /// Refuses stripes that are longer than an extent, as LVM does.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub(crate) fn check_stripe(self, extent_size: lvm_meta::ExtentSize) -> Result<(), Error> {
        let (Self::Striped { stripe_size, .. } | Self::Raid { stripe_size, .. }) = self else {
            return Ok(());
        };
        if stripe_size.get() <= u64::from(extent_size.sectors()) {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            what: "layout",
            given: self.to_string(),
            why: "its stripes are longer than an extent".into(),
        })
    }
}

/// # Errors
/// [`Error::InvalidArgument`].
fn checked_stripe_size(bytes: u64) -> Result<Sectors, Error> {
    if bytes.is_power_of_two() && bytes >= LEAST_STRIPE_SIZE {
        return Ok(Sectors::from_bytes_floor(bytes));
    }
    Err(Error::InvalidArgument {
        what: "stripe size",
        given: bytes.to_string(),
        why: "a stripe is a power of two of at least 4096 bytes".into(),
    })
}

/// Reads a size in bytes: a number with an optional binary unit, `K M G T` or `KiB MiB GiB TiB` in either case.
///
/// # Errors
/// [`Error::InvalidArgument`] when it is no such size or passes 2^63.
pub fn parse_size(text: &str) -> Result<u64, Error> {
    let refuse = |why: &str| Error::InvalidArgument {
        what: "size",
        given: text.into(),
        why: why.into(),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| refuse("a size is a number with an optional K, M, G or T"))?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(refuse("units are K, M, G, T or KiB, MiB, GiB, TiB")),
    };
    let bytes = number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= i64::MAX.unsigned_abs());
    bytes.ok_or_else(|| refuse("no device is that large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_units_in_either_case() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("4K", 4096),
            ("64MiB", 64 << 20),
            ("1g", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for bad in [
            "",
            "K",
            "-1",
            "1.5G",
            "4KB",
            "4 K",
            "99999999999999999999",
            "9000000T",
            "0x10",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn layouts_read_back_as_they_print() {
        for text in [
            "linear",
            "striped:3:64K",
            "striped:128:4K",
            "raid0:2",
            "raid1:2",
            "raid1:64",
            "raid4:3:128K",
            "raid5:63",
            "raid6:3:4K",
            "raid10:32",
        ] {
            assert_eq!(text.parse::<Layout>().unwrap().to_string(), text);
        }
        assert_eq!(
            "striped:2".parse::<Layout>().unwrap().to_string(),
            "striped:2:64K"
        );
    }

    #[test]
    fn layouts_that_lvm_or_the_kernel_refuse_are_refused() {
        for bad in [
            "",
            "line",
            "linear:2",
            "striped",
            "striped:1",
            "striped:129",
            "striped:2:3K",
            "striped:2:100K",
            "striped:2:2K",
            "striped:2:4K:9",
            "raid1",
            "raid1:1",
            "raid1:65",
            "raid1:2:64K",
            "raid0:1",
            "raid4:1",
            "raid5:64",
            "raid6:2",
            "raid6:63",
            "raid10:1",
            "raid10:33",
            "raid5:3:3K",
            "raid5:3:2K",
            "raid7:2",
        ] {
            assert_eq!(
                bad.parse::<Layout>().unwrap_err().kind(),
                "InvalidArgument",
                "{bad}"
            );
        }
    }
}
