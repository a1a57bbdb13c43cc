//! RAID of all levels.

use std::sync::Arc;

use super::fields::{DetailError, DetailProblem, Fields, U32, put_list, put_number, put_optional, quoted};
use crate::Sectors;

macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $parity:literal;)*) => {
        /// Level and layout, in the spelling of the text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RaidLayout {
            $($(#[$doc])* #[doc = concat!("`", $text, "`.")] $name,)*
        }

        impl RaidLayout {
            /// Reads LVM's word, without `+` words.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// LVM's word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// How many images hold parity.
            pub fn parity_images(self) -> usize {
                match self {
                    $(Self::$name => $parity,)*
                }
            }
        }
    };
}

layouts! {
    /// Striped, without metadata:
    Raid0 = "raid0", 0;
    /// Striped:
    Raid0Meta = "raid0_meta", 0;
    /// Copies:
    Raid1 = "raid1", 0;
    /// Stripes of copies:
    Raid10 = "raid10", 0;
    /// Stripes of copies, near each other:
    Raid10Near = "raid10_near", 0;
    /// Parity on one image:
    Raid4 = "raid4", 1;
    /// Rotating parity, LVM's default, left symmetric:
    Raid5 = "raid5", 1;
    /// Parity on the last image:
    Raid5N = "raid5_n", 1;
    /// Left asymmetric:
    Raid5La = "raid5_la", 1;
    /// Left symmetric:
    Raid5Ls = "raid5_ls", 1;
    /// Right asymmetric:
    Raid5Ra = "raid5_ra", 1;
    /// Right symmetric:
    Raid5Rs = "raid5_rs", 1;
    /// Two parities, LVM's default, zero restart:
    Raid6 = "raid6", 2;
    /// Next continue:
    Raid6Nc = "raid6_nc", 2;
    /// Next restart:
    Raid6Nr = "raid6_nr", 2;
    /// Zero restart:
    Raid6Zr = "raid6_zr", 2;
    /// Both parities on the last images:
    Raid6N6 = "raid6_n_6", 2;
    /// As level 5, the second parity on the last image:
    Raid6La6 = "raid6_la_6", 2;
    /// As level 5, the second parity on the last image:
    Raid6Ls6 = "raid6_ls_6", 2;
    /// As level 5, the second parity on the last image:
    Raid6Ra6 = "raid6_ra_6", 2;
    /// As level 5, the second parity on the last image:
    Raid6Rs6 = "raid6_rs_6", 2;
}

/// A RAID array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raid {
    /// Level and layout.
    pub layout: RaidLayout,
    /// The legs in order.
    pub legs: Vec<RaidLeg>,
    /// How often data is kept; level 10.
    pub data_copies: Option<u64>,
    /// How much is synchronised at a time; not level 0.
    pub region_size: Option<Sectors>,
    /// Not level 1.
    pub stripe_size: Option<Sectors>,
    /// Most writes that a write-mostly leg of level 1 may be behind.
    pub write_behind: Option<u64>,
    /// Least speed of a synchronisation, KiB a second and leg.
    pub min_recovery_rate: Option<u64>,
    /// Most speed of a synchronisation, KiB a second and leg.
    pub max_recovery_rate: Option<u64>,
    /// Where data begins on the images while they are reshaped; 0 is a value of its own.
    pub data_offset: Option<Sectors>,
}

/// One leg of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RaidLeg {
    /// The LV that holds the array's own metadata.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "crate::serial::optional_lv_name")
    )]
    pub meta: Option<Arc<str>>,
    /// The LV that holds data.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serial::lv_name"))]
    pub image: Arc<str>,
}

/// What marks a metadata LV in the list of legs.
const META: &str = "_rmeta_";

impl RaidLayout {
    /// Of how many images data is told apart, out of `images`: all but those for parity and second copies.
    ///
    /// 1 for level 1; 0 for too few images, and for level 10 with `copies` that do not divide them.
    pub fn data_images(self, images: usize, copies: usize) -> usize {
        match self {
            Self::Raid1 => images.min(1),
            Self::Raid10 | Self::Raid10Near if images.checked_rem(copies) != Some(0) => 0,
            Self::Raid10 | Self::Raid10Near => images.checked_div(copies).unwrap_or(0),
            _ => images.saturating_sub(self.parity_images()),
        }
    }

    /// Level 0, with metadata or without: nothing is kept twice.
    pub fn is_striped_only(self) -> bool {
        matches!(self, Self::Raid0 | Self::Raid0Meta)
    }

    fn count_key(self) -> &'static str {
        if self.is_striped_only() {
            "stripe_count"
        } else {
            "device_count"
        }
    }

    fn other_count_key(self) -> &'static str {
        if self.is_striped_only() {
            "device_count"
        } else {
            "stripe_count"
        }
    }

    fn list_key(self) -> &'static str {
        if self == Self::Raid0 { "raid0_lvs" } else { "raids" }
    }
}

impl Raid {
    /// As [`RaidLayout::data_images`], of this array.
    pub fn data_images(&self) -> usize {
        let copies = usize::try_from(self.copies()).unwrap_or(usize::MAX);
        self.layout.data_images(self.legs.len(), copies)
    }

    /// How often level 10 keeps data: twice unless it says otherwise.
    pub fn copies(&self) -> u64 {
        self.data_copies.unwrap_or(2)
    }

    pub(super) fn read(layout: RaidLayout, fields: &Fields<'_>) -> Result<Self, DetailError> {
        let (list, count) = (layout.list_key(), layout.count_key());
        fields.none(layout.other_count_key(), count)?;
        let mut legs = Vec::new();
        let mut meta = None;
        for name in fields.names(list)? {
            if meta.is_none() && name.contains(META) {
                meta = Some(name);
            } else {
                legs.push(RaidLeg {
                    meta: meta.take(),
                    image: name,
                });
            }
        }
        if meta.is_some() {
            return Err(fields.error(list, DetailProblem::Mismatch("a metadata LV without an image")));
        }
        if Some(fields.number(count, 1..=64)?) != u64::try_from(legs.len()).ok() {
            return Err(fields.error(count, DetailProblem::Mismatch("its legs")));
        }
        let raid = Self {
            layout,
            legs,
            data_copies: fields.optional_number("data_copies", U32)?,
            region_size: fields.optional_power("region_size")?,
            stripe_size: fields.optional_power("stripe_size")?,
            write_behind: fields.optional_number("writebehind", U32)?,
            min_recovery_rate: fields.optional_number("min_recovery_rate", U32)?,
            max_recovery_rate: fields.optional_number("max_recovery_rate", U32)?,
            data_offset: fields.optional_sectors("data_offset", U32)?,
        };
        let needs = |key, is_there: bool, is_needed: bool| match is_needed && !is_there {
            true => Err(fields.error(key, DetailProblem::Missing)),
            false => Ok(()),
        };
        needs(
            "region_size",
            raid.region_size.is_some(),
            !layout.is_striped_only(),
        )?;
        needs(
            "stripe_size",
            raid.stripe_size.is_some(),
            layout != RaidLayout::Raid1,
        )?;
        if layout == RaidLayout::Raid1 && raid.stripe_size.is_some() {
            return Err(fields.error("stripe_size", DetailProblem::Mismatch("the level")));
        }
        if matches!((raid.min_recovery_rate, raid.max_recovery_rate), (Some(min), Some(max)) if max > 0 && min > max)
        {
            return Err(fields.error("min_recovery_rate", DetailProblem::Mismatch("max_recovery_rate")));
        }
        Ok(raid)
    }

    pub(super) fn print(&self, out: &mut String) {
        let legs = u64::try_from(self.legs.len()).unwrap_or(u64::MAX);
        put_number(out, self.layout.count_key(), legs);
        put_optional(out, "data_copies", self.data_copies);
        put_optional(out, "region_size", self.region_size.map(Sectors::get));
        put_optional(out, "stripe_size", self.stripe_size.map(Sectors::get));
        put_optional(out, "writebehind", self.write_behind);
        put_optional(out, "min_recovery_rate", self.min_recovery_rate);
        put_optional(out, "max_recovery_rate", self.max_recovery_rate);
        put_optional(out, "data_offset", self.data_offset.map(Sectors::get));
        let leg = |leg: &RaidLeg| match &leg.meta {
            Some(meta) => format!("{}, {}", quoted(meta), quoted(&leg.image)),
            None => quoted(&leg.image),
        };
        put_list(out, self.layout.list_key(), self.legs.iter().map(leg));
    }
}
