//! How large the parts of an array are, and what the metadata say of them.
//!
//! Reference: LVM2 `lib/metadata/raid_manip.c`, `lib/metadata/lv_manip.c`; the kernel's `drivers/md/dm-raid.c`.

use lvm_meta::detail::Raid;
use lvm_meta::{ExtentSize, Extents, Sectors, Vg};

use super::Array;
use crate::layout::RaidLevel;
use crate::storage_pool::no_space;
use crate::{Error, Layout};

/// Regions of an array, each with a bit that tells whether its images may differ: LVM's default size.
const REGION_SIZE: u64 = 4096;
/// Most regions of an array that the kernel takes.
const MOST_REGIONS: u64 = 1 << 21;
/// The superblocks of array and bitmap before the bits, a block each.
const SUPERBLOCKS: u64 = 8192;
/// What is zeroed is whole blocks.
const BLOCK: u64 = 4096;

/// An array to be.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Everything but the legs.
    pub(crate) raid: Raid,
    /// How many images.
    pub(crate) images: usize,
    /// Extents of the data of each.
    pub(crate) image: Extents,
    /// Extents of the metadata of each; none for level 0.
    pub(crate) meta: Extents,
}

impl Shape {
    /// The array that holds `size` bytes.
    ///
    /// # Errors
    /// [`Error::NoSpace`] for a size beyond the format.
    pub(crate) fn new(
        vg: &Vg,
        level: RaidLevel,
        count: u32,
        stripe_size: Sectors,
        size: u64,
    ) -> Result<Self, Error> {
        let beyond = || no_space(vg, size, String::new());
        let layout = level.lvm();
        let images = usize::try_from(level.images(count)).unwrap_or(usize::MAX);
        let data = u32::try_from(layout.data_images(images, 2)).unwrap_or(u32::MAX);
        let (extents, image) = whole(vg.extent_size(), data, size).ok_or_else(beyond)?;
        let sectors = vg.extent_size().to_sectors(extents).get();
        let region = (!layout.is_striped_only()).then(|| region_size(sectors));
        let meta = region.map_or(Some(Extents::ZERO), |region| {
            vg.extent_size().extents_ceil(meta_bytes(sectors, region))
        });
        Ok(Self {
            raid: Raid {
                layout,
                legs: Vec::new(),
                data_copies: (level == RaidLevel::Raid10).then_some(2),
                region_size: region.map(Sectors::new),
                stripe_size: (level != RaidLevel::Raid1).then_some(stripe_size),
                write_behind: None,
                min_recovery_rate: None,
                max_recovery_rate: None,
                data_offset: None,
            },
            images,
            image,
            meta: meta.ok_or_else(beyond)?,
        })
    }
}

/// The extents that hold `size` bytes over `data` images, and those of each image.
fn whole(extent_size: ExtentSize, data: u32, size: u64) -> Option<(Extents, Extents)> {
    let extents = extent_size.extents_ceil(size)?.get();
    let whole = extents.checked_next_multiple_of(data)?;
    Some((Extents::new(whole), Extents::new(whole.checked_div(data)?)))
}

/// The size of a region, in sectors, of an array of so many.
fn region_size(sectors: u64) -> u64 {
    let mut region = REGION_SIZE;
    if sectors < region {
        region = 1 << sectors.checked_ilog2().unwrap_or(0);
    }
    while sectors.div_ceil(region) > MOST_REGIONS {
        region = region.saturating_mul(2);
    }
    region
}

/// Bytes that the kernel keeps of each image of an array of so many sectors.
fn meta_bytes(sectors: u64, region: u64) -> u64 {
    let bits = sectors.div_ceil(region.max(1)).div_ceil(8);
    SUPERBLOCKS.saturating_add(bits).next_multiple_of(BLOCK)
}

impl Array<'_> {
    /// Bytes at the start of the metadata of an image that the kernel takes for its own, which have to be zeroes in a new
    /// array: anything else could be taken for an image of another one.
    pub(super) fn cleared(&self) -> u64 {
        let sectors = self.vg.extent_size().to_sectors(self.lv.extent_count()).get();
        meta_bytes(sectors, self.detail.region_size.map_or(REGION_SIZE, Sectors::get))
    }

    /// The extents of the array when it holds `size` bytes, and those that each image then has.
    ///
    /// # Errors
    /// [`Error::NoSpace`] for a size beyond the format, [`Error::InvalidArgument`] for more regions than the kernel takes
    /// or the metadata of the images has room for.
    pub(crate) fn sized(&self, size: u64) -> Result<(Extents, Extents), Error> {
        let vg = self.vg;
        let data = u32::try_from(self.detail.data_images()).unwrap_or(u32::MAX);
        let found = whole(vg.extent_size(), data, size);
        let (extents, image) = found.ok_or_else(|| no_space(vg, size, String::new()))?;
        let Some(region) = self.detail.region_size.map(Sectors::get) else {
            return Ok((extents, image));
        };
        let sectors = vg.extent_size().to_sectors(extents).get();
        let metas = self.legs.iter().filter_map(|leg| leg.meta);
        let room = metas.map(|meta| vg.extent_size().to_bytes(meta.extent_count()).unwrap_or(u64::MAX));
        let fits = meta_bytes(sectors, region) <= room.min().unwrap_or(u64::MAX);
        if extents > self.lv.extent_count() && (!fits || sectors.div_ceil(region) > MOST_REGIONS) {
            return Err(Error::InvalidArgument {
                what: "size",
                given: size.to_string(),
                why: format!(
                    "the array notes what is in sync by regions of {region} sectors, and has no room for as many"
                ),
            });
        }
        Ok((extents, image))
    }
}

/// The layout of an array in the words of [`Layout`], or LVM's word for a level that is not made here.
pub(crate) fn layout_word(detail: &Raid) -> String {
    use lvm_meta::detail::RaidLayout as L;
    let level = match detail.layout {
        L::Raid0 => Some(RaidLevel::Raid0),
        L::Raid1 => Some(RaidLevel::Raid1),
        L::Raid4 => Some(RaidLevel::Raid4),
        L::Raid5 | L::Raid5Ls => Some(RaidLevel::Raid5),
        L::Raid6 | L::Raid6Zr => Some(RaidLevel::Raid6),
        L::Raid10 | L::Raid10Near if detail.copies() == 2 => Some(RaidLevel::Raid10),
        _ => None,
    };
    let count = match detail.layout {
        L::Raid1 => detail.legs.len(),
        _ => detail.data_images(),
    };
    match level {
        Some(level) => Layout::Raid {
            level,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            stripe_size: detail.stripe_size.unwrap_or_default(),
        }
        .to_string(),
        None => format!("{}:{count}", detail.layout.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_lvms_default_unless_the_array_is_small_or_large() {
        assert_eq!(region_size(49152), 4096);
        assert_eq!(region_size(3 << 9), 1 << 10);
        assert_eq!(region_size(4096 << 21), 4096);
        assert_eq!(region_size((4096 << 21) + 1), 8192);
    }

    #[test]
    fn metadata_are_two_superblocks_and_a_bit_for_each_region() {
        assert_eq!(meta_bytes(4096, 4096), 8192 + 4096);
        assert_eq!(meta_bytes(4096 << 21, 4096), 8192 + (1 << 18));
    }
}
