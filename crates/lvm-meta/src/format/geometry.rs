//! Where a new PV's metadata and extents go.  Pure arithmetic; LVM's own defaults for 4 KiB pages.
//!
//! Reference: LVM2 `lib/metadata/metadata.c` (`set_pe_align`), `lib/format_text/format-text.c`
//! (`_text_pv_add_metadata_area`).

use super::{DiskArea, PvHeader};
use crate::{Error, ExtentSize, Extents, PvId, Sectors};

/// First metadata area: behind the label, on a page of its own.
pub(crate) const MDA_START: u64 = 4096;
/// Alignment of the first extent.
const ALIGNMENT: u64 = 1 << 20;
/// Least size of a metadata area: 8 pages.
pub(crate) const LEAST_MDA: u64 = 32 << 10;
/// Smaller devices are no PVs to LVM, unless its `devices/pv_min_size` says otherwise.
const LEAST_DEVICE: u64 = 2 << 20;

/// A PV to be made.
#[derive(Clone, Debug)]
pub struct MakePv {
    device_size: u64,
    extent_size: ExtentSize,
    mda_size: u64,
    mda_count: u8,
    alignment: u64,
}

/// Where everything of a PV goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvLayout {
    /// Bytes of the device.
    pub device_size: u64,
    /// Metadata areas: none, one at the start, or one more at the end.
    pub metadata_areas: Vec<DiskArea>,
    /// Room for a bootloader before the first extent, if there is some.
    pub bootloader: Option<DiskArea>,
    /// First extent.
    pub pe_start: Sectors,
    /// Whole extents that fit.
    pub pe_count: Extents,
}

impl MakePv {
    /// A PV with LVM's defaults on a device of `device_size` bytes.
    pub fn new(device_size: u64, extent_size: ExtentSize) -> Self {
        Self {
            device_size,
            extent_size,
            mda_size: ALIGNMENT.saturating_sub(MDA_START),
            mda_count: 1,
            alignment: ALIGNMENT,
        }
    }

    /// At least this many bytes for each metadata area; rounded up so that the area ends at the alignment.
    pub fn mda_size(mut self, bytes: u64) -> Self {
        self.mda_size = bytes;
        self
    }

    /// None, one or two metadata areas.
    pub fn mda_count(mut self, count: u8) -> Self {
        self.mda_count = count;
        self
    }

    /// Alignment of the first extent in bytes: a multiple of 512.
    pub fn alignment(mut self, bytes: u64) -> Self {
        self.alignment = bytes;
        self
    }

    /// Computes the layout.
    ///
    /// # Errors
    /// [`Error::DeviceTooSmall`] when not one extent fits, or below LVM's 2 MiB; [`Error::Geometry`] for impossible
    /// wishes.
    pub fn layout(&self) -> Result<PvLayout, Error> {
        let Self {
            device_size,
            extent_size,
            mda_size,
            mda_count,
            alignment,
        } = *self;
        if alignment == 0 || alignment % 512 != 0 || alignment > 1 << 40 {
            return Err(Error::Geometry {
                what: "alignment",
                given: alignment,
                rule: "a multiple of 512 bytes",
            });
        }
        if mda_count > 2 {
            return Err(Error::Geometry {
                what: "number of metadata areas",
                given: mda_count.into(),
                rule: "0 to 2",
            });
        }
        if mda_count > 0 && !(LEAST_MDA..=1 << 40).contains(&mda_size) {
            return Err(Error::Geometry {
                what: "metadata area size",
                given: mda_size,
                rule: "at least 32 KiB",
            });
        }
        let mda_end = MDA_START.saturating_add(if mda_count > 0 { mda_size } else { 0 });
        let first_end = mda_end.next_multiple_of(alignment);
        let mut metadata_areas = Vec::new();
        if mda_count > 0 {
            metadata_areas.push(DiskArea {
                offset: MDA_START,
                size: first_end.saturating_sub(MDA_START),
            });
        }
        let needed = first_end
            .saturating_add(extent_size.bytes())
            .saturating_add(if mda_count > 1 { mda_size } else { 0 });
        let needed = needed.max(LEAST_DEVICE);
        let too_small = || Error::DeviceTooSmall {
            size: device_size,
            needed,
        };
        if device_size < LEAST_DEVICE {
            return Err(too_small());
        }
        let sectors = device_size / 512;
        let mut end = sectors.saturating_mul(512);
        if mda_count > 1 {
            let second = end.checked_sub(mda_size).ok_or_else(too_small)?;
            let second = second
                .checked_div(alignment)
                .unwrap_or(0)
                .saturating_mul(alignment);
            if second < first_end {
                return Err(too_small());
            }
            metadata_areas.push(DiskArea {
                offset: second,
                size: end.saturating_sub(second),
            });
            end = second;
        }
        let room = end.checked_sub(first_end).ok_or_else(too_small)?;
        let pe_count = room.checked_div(extent_size.bytes()).unwrap_or(0);
        if pe_count == 0 {
            return Err(too_small());
        }
        // More extents than 32 bits count are left unused, as LVM leaves them.
        let pe_count = Extents::new(u32::try_from(pe_count).unwrap_or(u32::MAX));
        Ok(PvLayout {
            device_size: sectors.saturating_mul(512),
            metadata_areas,
            bootloader: None,
            pe_start: Sectors::from_bytes_floor(first_end),
            pe_count,
        })
    }
}

impl PvLayout {
    /// The header of a PV that lies so.
    pub(crate) fn header(&self, id: PvId) -> PvHeader {
        let pe_start = self.pe_start.to_bytes().unwrap_or(ALIGNMENT);
        let mut header = PvHeader::new(id, self.device_size, pe_start, self.metadata_areas.clone());
        header.bootloader_areas.extend(self.bootloader);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_disk_of_64_mib_has_15_extents_behind_a_mebibyte() {
        let layout = MakePv::new(64 * MIB, ExtentSize::DEFAULT).layout().unwrap();
        assert_eq!(
            layout.metadata_areas,
            [DiskArea {
                offset: 4096,
                size: 1_044_480
            }]
        );
        assert_eq!((layout.pe_start.get(), layout.pe_count.get()), (2048, 15));
    }

    #[test]
    fn a_second_area_ends_with_the_device_and_starts_aligned() {
        let layout = MakePv::new(64 * MIB, ExtentSize::DEFAULT)
            .mda_count(2)
            .layout()
            .unwrap();
        assert_eq!(
            layout.metadata_areas[1],
            DiskArea {
                offset: 66_060_288,
                size: MIB
            }
        );
        assert_eq!(layout.pe_count.get(), 15);
    }

    #[test]
    fn an_area_grows_to_the_alignment() {
        let layout = MakePv::new(64 * MIB, ExtentSize::DEFAULT)
            .mda_size(100 << 10)
            .alignment(64 << 10)
            .layout()
            .unwrap();
        assert_eq!(
            (layout.metadata_areas[0].size, layout.pe_start.get()),
            (126_976, 256)
        );
    }

    #[test]
    fn impossible_wishes_are_refused() {
        let make = || MakePv::new(64 * MIB, ExtentSize::DEFAULT);
        assert!(matches!(
            make().mda_size(1 << 41).layout(),
            Err(Error::Geometry { .. })
        ));
        assert!(matches!(
            make().mda_size(100 * MIB).layout(),
            Err(Error::DeviceTooSmall { .. })
        ));
        assert!(matches!(
            make().alignment(100).layout(),
            Err(Error::Geometry { .. })
        ));
        assert!(matches!(
            make().mda_count(3).layout(),
            Err(Error::Geometry { .. })
        ));
        assert!(matches!(
            MakePv::new(4 * MIB, ExtentSize::DEFAULT).layout(),
            Err(Error::DeviceTooSmall { .. })
        ));
        assert!(matches!(
            MakePv::new(0, ExtentSize::DEFAULT).mda_count(2).layout(),
            Err(Error::DeviceTooSmall { .. })
        ));
        let small = ExtentSize::new(8).unwrap();
        let make = |size| {
            MakePv::new(size, small)
                .mda_count(1)
                .alignment(4096)
                .mda_size(32 << 10)
                .layout()
        };
        assert!(matches!(
            make((2 << 20) - 512),
            Err(Error::DeviceTooSmall {
                needed: 2_097_152,
                ..
            })
        ));
        assert!(make(2 << 20).is_ok());
        assert!(
            MakePv::new(u64::MAX, ExtentSize::DEFAULT)
                .mda_count(0)
                .layout()
                .is_ok()
        );
    }
}
