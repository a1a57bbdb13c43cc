//! How a replica's extents are laid out over the pool's disks.

use std::fmt;
use std::str::FromStr;

use lvm_meta::Sectors;

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
}

/// As [`Layout::from_str`] reads it.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::Striped { stripes, stripe_size } => {
                write!(f, "striped:{stripes}:{}K", stripe_size.get() / 2)
            }
        }
    }
}

/// Reads `linear` or `striped:N[:STRIPE]`, the stripe a size as [`parse_size`] takes it.
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
            Some("striped") => {
                let stripes = parts
                    .next()
                    .and_then(|n| n.parse().ok())
                    .ok_or_else(|| refuse("striped:N needs a number"))?;
                let stripe_size = match parts.next() {
                    Some(size) => parse_size(size)?,
                    None => DEFAULT_STRIPE_SIZE.get() * Sectors::SIZE,
                };
                Self::striped(stripes, stripe_size)?
            }
            Some("raid0" | "raid1" | "raid4" | "raid5" | "raid6" | "raid10") => {
                return Err(Error::Unsupported(format!("layout {text:?}")));
            }
            _ => return Err(refuse("known are linear and striped:N[:STRIPE]")),
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
        if !stripe_size.is_power_of_two() || stripe_size < LEAST_STRIPE_SIZE {
            let why = "a stripe is a power of two of at least 4096 bytes".into();
            return Err(Error::InvalidArgument {
                what: "stripe size",
                given: stripe_size.to_string(),
                why,
            });
        }
        Ok(Self::Striped {
            stripes,
            stripe_size: Sectors::from_bytes_floor(stripe_size),
        })
    }
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
        for text in ["linear", "striped:3:64K", "striped:128:4K"] {
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
        ] {
            assert_eq!(
                bad.parse::<Layout>().unwrap_err().kind(),
                "InvalidArgument",
                "{bad}"
            );
        }
        assert_eq!("raid1:2".parse::<Layout>().unwrap_err().kind(), "Unsupported");
    }
}
