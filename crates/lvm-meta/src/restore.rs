//! What a VG that is restored from a file asks of its disks: where the areas of a PV with a lost label go, and which
//! sequence numbers are taken.

use crate::format::{DiskArea, LEAST_MDA, MDA_START, PvLayout};
use crate::pv::{find_label, size};
use crate::scan::{read_header, read_text};
use crate::{Disk, Error, ExtentSize, Pv, Sectors, TextHead, VgId};

impl PvLayout {
    /// The layout of a PV that a text describes, on a device whose label is gone: one metadata area up to the bootloader
    /// area or the first extent.  The same as `pvcreate --uuid --restorefile` makes.
    ///
    /// # Errors
    /// [`Error::DeviceTooSmall`] when the extents do not fit; [`Error::Geometry`] when there is no room for an area
    /// before them.
    pub fn restored(device_size: u64, extent_size: ExtentSize, pv: &Pv) -> Result<Self, Error> {
        let bytes = |sectors: Sectors| sectors.to_bytes().unwrap_or(u64::MAX);
        let device_size = Sectors::from_bytes_floor(device_size);
        let extents = extent_size.to_sectors(pv.pe_count());
        let needed = bytes(
            pv.pe_start()
                .checked_add(extents)
                .unwrap_or(Sectors::new(u64::MAX)),
        );
        if needed > bytes(device_size) {
            let size = bytes(device_size);
            return Err(Error::DeviceTooSmall { size, needed });
        }
        let pe_start = bytes(pv.pe_start());
        let bootloader = pv.bootloader_area().map(|(start, size)| DiskArea {
            offset: bytes(start),
            size: bytes(size),
        });
        let mda_end = bootloader.map_or(pe_start, |area| area.offset.min(pe_start));
        let room = mda_end.saturating_sub(MDA_START);
        if room < LEAST_MDA {
            return Err(Error::Geometry {
                what: "room for a metadata area",
                given: room,
                rule: "at least 32 KiB behind the first 4 KiB",
            });
        }
        if bootloader.is_some_and(|area| area.offset.saturating_add(area.size) > pe_start) {
            return Err(Error::Geometry {
                what: "bootloader area",
                given: bootloader.map_or(0, |area| area.offset),
                rule: "it ends before the first extent",
            });
        }
        Ok(Self {
            device_size: bytes(device_size),
            metadata_areas: vec![DiskArea {
                offset: MDA_START,
                size: room,
            }],
            bootloader,
            pe_start: pv.pe_start(),
            pe_count: pv.pe_count(),
        })
    }
}

/// The highest sequence number in any text of a VG that a header on this disk names: committed, precommitted, or in an
/// area out of use.  `None` for a disk without a label or without such a text.
///
/// A text counts by its checksum and its grammar alone: a reader that is less strict than ours may take it.
///
/// # Errors
/// [`Error::Io`]: then nobody knows.
pub fn highest_seqno(disk: &dyn Disk, name: &str, id: &VgId) -> Result<Option<u32>, Error> {
    let areas = match find_label(disk) {
        Ok(Some(label)) => label.header.metadata_areas,
        Err(error @ Error::Io { .. }) => return Err(error),
        Ok(None) | Err(_) => return Ok(None),
    };
    let device_size = size(disk)?;
    let mut highest = None;
    for area in areas {
        let header = match read_header(disk, area, device_size) {
            Ok(header) => header,
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(_) => continue,
        };
        for slot in [header.committed, header.precommitted] {
            if slot.is_empty() {
                continue;
            }
            let text = match read_text(disk, &header, &slot) {
                Ok(text) => text,
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(_) => continue,
            };
            let seqno = TextHead::read(&text)
                .ok()
                .filter(|head| head.is_of(name, id))
                .and_then(|head| head.seqno);
            highest = highest.max(seqno);
        }
    }
    Ok(highest)
}
