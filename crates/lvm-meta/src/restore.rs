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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Extents, MakePv, MdaSet, MemDisk, NewPv, NewVg, PvId, Vg, VgName, make_pv};

    const SIZE: u64 = 4 << 20;

    fn extent_size() -> ExtentSize {
        ExtentSize::new(128).unwrap()
    }

    fn pv_id() -> PvId {
        PvId::from_uuid_bytes([1; 16])
    }

    fn vg_id() -> VgId {
        VgId::from_uuid_bytes([2; 16])
    }

    /// A VG whose PV has its extents from this sector on.
    fn vg(pe_start: u64, pe_count: u32) -> Vg {
        let mut vg = Vg::new(NewVg {
            name: VgName::parse("p").unwrap(),
            id: vg_id(),
            extent_size: extent_size(),
            tags: Vec::new(),
            system_id: None,
        });
        vg.add_pv(NewPv {
            id: pv_id(),
            device_hint: String::new(),
            dev_size: Sectors::new(SIZE / 512),
            pe_start: Sectors::new(pe_start),
            pe_count: Extents::new(pe_count),
            device_id: None,
        })
        .unwrap();
        vg
    }

    fn restored(vg: &Vg) -> Result<PvLayout, Error> {
        PvLayout::restored(SIZE + 100, vg.extent_size(), &vg.pvs()[0])
    }

    #[test]
    fn a_restored_layout_is_that_of_the_pv_when_it_was_made() {
        let made = MakePv::new(SIZE, extent_size()).layout().unwrap();
        let vg = vg(made.pe_start.get(), made.pe_count.get());
        assert_eq!(restored(&vg).unwrap(), made);
    }

    #[test]
    fn an_area_ends_where_the_bootloaders_begins() {
        let text = String::from_utf8(vg(2048, 8).print_raw(&crate::Provenance::default())).unwrap();
        let with = |start: u64, size: u64| {
            let text = text.replace(
                "pe_start = 2048",
                &format!("pe_start = 2048\nba_start = {start}\nba_size = {size}"),
            );
            restored(&Vg::parse(text.as_bytes()).unwrap())
        };
        let layout = with(1024, 1024).unwrap();
        assert_eq!(layout.metadata_areas[0].size, 1024 * 512 - 4096);
        let area = layout.bootloader.unwrap();
        assert_eq!((area.offset, area.size), (1024 * 512, 1024 * 512));
        assert_eq!(layout.header(pv_id()).bootloader_areas, [area]);
        assert!(matches!(with(1024, 1025), Err(Error::Geometry { .. })));
    }

    #[test]
    fn a_layout_without_room_is_none() {
        let too_small = restored(&vg(2048, 48)).map(drop);
        assert!(too_small.is_ok());
        let disk = |size| PvLayout::restored(size, extent_size(), &vg(2048, 48).pvs()[0]).map(drop);
        assert!(matches!(
            disk(SIZE - 1),
            Err(Error::DeviceTooSmall { needed: SIZE, .. })
        ));
        for pe_start in [0, 8, 71] {
            assert!(matches!(restored(&vg(pe_start, 1)), Err(Error::Geometry { .. })));
        }
        assert!(restored(&vg(72, 1)).is_ok());
    }

    #[test]
    fn every_text_that_a_header_names_counts() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::new(vec![0; usize::try_from(SIZE).unwrap()]));
        let seqno = |disk: &dyn Disk| highest_seqno(disk, "p", &vg_id()).unwrap();
        assert_eq!(seqno(&*disk), None);
        let layout = MakePv::new(SIZE, extent_size()).mda_count(2).layout().unwrap();
        make_pv(&*disk, pv_id(), &layout).unwrap();
        assert_eq!(seqno(&*disk), None);

        let mut vg = vg(2048, 8);
        let provenance = crate::Provenance::default();
        let mut commit = |areas: &[DiskArea], above: u32, is_whole: bool| {
            vg.outrank(above).unwrap();
            let mut mdas = MdaSet::new();
            mdas.open(&disk, areas).unwrap();
            let text = vg.print_raw(&provenance);
            let precommitted = mdas.write(&text).unwrap().precommit().unwrap();
            if is_whole {
                precommitted.commit().unwrap();
            }
        };
        commit(&layout.metadata_areas[1..], 6, true);
        commit(&layout.metadata_areas[..1], 3, true);
        assert_eq!(seqno(&*disk), Some(8));
        commit(&layout.metadata_areas[..1], 20, false);
        assert_eq!(seqno(&*disk), Some(21));
        let other = VgId::from_uuid_bytes([3; 16]);
        assert_eq!(highest_seqno(&*disk, "p", &other).unwrap(), None);
        assert_eq!(highest_seqno(&*disk, "renamed", &vg_id()).unwrap(), Some(21));

        // Out of use.
        let mut header = read_header(&*disk, layout.metadata_areas[0], SIZE).unwrap();
        header.committed.flags |= 1;
        disk.write_at(header.start, &header.encode()).unwrap();
        assert_eq!(seqno(&*disk), Some(21));
        disk.write_at(4096, &[0; 512]).unwrap();
        assert_eq!(seqno(&*disk), Some(7));
    }

    #[test]
    fn a_number_above_all_is_not_above_the_last() {
        let mut vg = vg(2048, 8);
        vg.outrank(7).unwrap();
        vg.outrank(3).unwrap();
        assert_eq!(vg.seqno(), 9);
        assert!(vg.outrank(u32::MAX).is_err());
        assert_eq!(vg.seqno(), 9);
    }
}
