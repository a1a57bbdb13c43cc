//! How a PV that exists fits its device, after that became larger or smaller: how many extents it has, and where the
//! metadata area behind them goes.
//!
//! What counts is where an area is, and not how many there are: an area behind the extents ends the room for them, the only
//! one of a PV, too.  It moves with the device's end, as `pvresize` moves the second of two.  Reference: LVM2
//! `lib/format_text/format-text.c` (`_text_pv_resize`).

use std::ops::Range;

use crate::bytes::length;
use crate::crc::crc;
use crate::format::{DiskArea, MdaHeader, PvHeader, RawLocation, Ring};
use crate::pv::{change_label, find_label, size, sync, write};
use crate::scan::read_header;
use crate::{Disk, Error, ExtentSize, Extents, Pv, RawText, Sectors};

/// A moved area starts at a multiple of this: what the disks of the largest sectors write at once.
const ALIGNMENT: u64 = 4096;

/// What a PV becomes on a device, or on a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PvFit {
    /// The size to note of the device.
    pub dev_size: Sectors,
    /// The extents that fit.
    pub pe_count: Extents,
    /// The metadata area that has to move for that.  Before the extents become more, and after they became fewer.
    pub moved: Option<AreaMove>,
}

/// The new place of a metadata area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaMove {
    /// Where it is.
    pub from: DiskArea,
    /// Where it goes; the two share no byte.
    pub to: DiskArea,
}

/// Computes what a PV becomes when it may use the first `size` bytes of its device.  Nothing is written.
///
/// An area behind the extents goes to the new end if its header is good, or beyond the end of the device.  It stays, and
/// bounds the extents, when the new place and the old one overlap, when the move makes room for no extent, and when more
/// areas than one are behind the extents.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Corrupt`] for the label, [`Error::Io`]; [`Error::DeviceTooSmall`] when not one extent fits;
/// [`Error::Geometry`] when an area has to move and has no place.
pub fn fit_pv(disk: &dyn Disk, extent_size: ExtentSize, pv: &Pv, bytes: u64) -> Result<PvFit, Error> {
    let header = find_label(disk)?.ok_or(Error::NotAPv)?.header;
    let device_size = size(disk)?;
    let mut can_move = true;
    for area in &header.metadata_areas {
        let is_there = area_end(area) <= device_size;
        match read_header(disk, *area, device_size) {
            Err(Error::Corrupt { .. }) if is_there => can_move = false,
            Ok(_) | Err(Error::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    fit(&header, can_move, extent_size, pv.pe_start(), bytes)
}

fn area_end(area: &DiskArea) -> u64 {
    area.offset.saturating_add(area.size)
}

fn fit(
    header: &PvHeader,
    can_move: bool,
    extent_size: ExtentSize,
    pe_start: Sectors,
    bytes: u64,
) -> Result<PvFit, Error> {
    let dev_size = Sectors::from_bytes_floor(bytes);
    let end = dev_size.to_bytes().unwrap_or(u64::MAX);
    let start = pe_start.to_bytes().unwrap_or(u64::MAX);
    let areas = &header.metadata_areas;
    let behind: Vec<DiskArea> = areas
        .iter()
        .copied()
        .filter(|area| area_end(area) > start)
        .collect();
    let bootloaders = header.bootloader_areas.iter().map(|area| area.offset);
    let bootloaders = bootloaders.filter(|at| *at >= start).min().unwrap_or(end);
    let room_end = |areas: &[DiskArea]| {
        let first = areas.iter().map(|area| area.offset).min().unwrap_or(end);
        first.min(bootloaders).min(end)
    };
    let count = |end: u64| {
        let count = end.saturating_sub(start).checked_div(extent_size.bytes());
        Extents::new(u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX))
    };
    let mut fit = PvFit {
        dev_size,
        pe_count: count(room_end(&behind)),
        moved: None,
    };
    let has_to = behind.iter().any(|area| area_end(area) > end);
    if let [from] = &behind[..]
        && can_move
        && let Some(to) = new_place(*from, start, end)
    {
        let moved = count(room_end(&[to]));
        if has_to || moved > fit.pe_count {
            fit.pe_count = moved;
            fit.moved = Some(AreaMove { from: *from, to });
        }
    }
    if has_to && fit.moved.is_none() {
        return Err(Error::Geometry {
            what: "metadata area behind the extents",
            given: behind.iter().map(|area| area.offset).max().unwrap_or(0),
            rule: "it must fit behind an extent, or be one with a good header to move",
        });
    }
    if fit.pe_count == Extents::ZERO {
        return Err(Error::DeviceTooSmall {
            size: bytes,
            needed: start.saturating_add(extent_size.bytes()),
        });
    }
    Ok(fit)
}

/// Where an area behind extents from `start` on goes when the device ends at `end`: there, or before its old place.
fn new_place(from: DiskArea, start: u64, end: u64) -> Option<DiskArea> {
    let before = |end: u64| {
        let offset = end.checked_sub(from.size)?;
        let offset = offset.saturating_sub(offset % ALIGNMENT);
        let size = end.saturating_sub(offset);
        (offset >= start && from.offset >= start).then_some(DiskArea { offset, size })
    };
    let at_end = before(end)?;
    if !at_end.overlaps(&from) {
        return Some(at_end);
    }
    let has_to = area_end(&from) > end;
    before(from.offset).filter(|_| has_to)
}

/// Moves a metadata area to a place that [`fit_pv`] found; durable when this returns.  The VG's commits go there from then
/// on: who has the area open has to open it again.
///
/// The new area is whole, with `text` (the VG's newest, its closing NUL included) unless it is out of use, before the label
/// names it in place of the old one, by one sector.  The old header is wiped last, so that no reader takes it for the area.
/// When the label names the new place already, this finishes what a cut left.
///
/// # Errors
/// [`Error::Conflict`] when the label names neither place, or something is at the new one, `extents` (the bytes of the PV's
/// extents) among them; [`Error::TextTooLarge`]; [`Error::NotAPv`], [`Error::Corrupt`], [`Error::Io`].  A cut leaves the area
/// at one of the two places, with the text that it had or with `text`.
pub fn move_area(disk: &dyn Disk, moved: AreaMove, extents: Range<u64>, text: &[u8]) -> Result<(), Error> {
    let AreaMove { from, to } = moved;
    let label = find_label(disk)?.ok_or(Error::NotAPv)?.header;
    let device_size = size(disk)?;
    let names = |area: DiskArea| label.metadata_areas.iter().filter(|own| **own == area).count();
    match (names(from), names(to)) {
        (1, 0) => {}
        (0, 1) => return wipe(disk, from, device_size),
        _ => return Err(Error::Conflict),
    }
    let others = label.metadata_areas.iter().chain(&label.bootloader_areas);
    let is_taken = others.clone().any(|other| other.overlaps(&to));
    if is_taken || area_end(&to) > device_size || to.offset < extents.end {
        return Err(Error::Conflict);
    }
    let old = match read_header(disk, from, device_size) {
        Ok(header) => Some(header),
        // Beyond the end of the device there is nothing that could be read.
        Err(Error::Corrupt { .. }) if area_end(&from) > device_size => None,
        Err(error) => return Err(error),
    };
    let mut header = MdaHeader::empty(to.offset, to.size);
    match old {
        Some(old) if old.is_ignored() => header.set_ignored(),
        Some(old) if old.committed.is_empty() => {}
        _ => header.committed = write_first(disk, &to, text)?,
    }
    write(disk, to.offset, &header.encode())?;
    sync(disk)?;
    change_label(disk, |label| {
        for area in &mut label.header.metadata_areas {
            if *area == from {
                *area = to;
            }
        }
    })?;
    wipe(disk, from, device_size)
}

/// Writes the first text of an area.
fn write_first(disk: &dyn Disk, area: &DiskArea, text: &[u8]) -> Result<RawLocation, Error> {
    let size = length(text);
    let place = Ring::new(area.size).next(None, size)?;
    crate::mda_set::write_text(disk, area.offset, &place, RawText::from(text))?;
    Ok(RawLocation {
        offset: place.offset,
        size,
        checksum: crc(&[text]),
        flags: 0,
    })
}

/// Takes the header off a place that is no area any more.
fn wipe(disk: &dyn Disk, area: DiskArea, device_size: u64) -> Result<(), Error> {
    match read_header(disk, area, device_size) {
        Ok(_) => {
            write(disk, area.offset, &[0; crate::bytes::SECTOR])?;
            sync(disk)
        }
        Err(error @ Error::Io { .. }) => Err(error),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::PvId;

    const KIB: u64 = 1 << 10;
    const START: u64 = 1 << 20;

    fn extent() -> ExtentSize {
        ExtentSize::new(128).unwrap()
    }

    fn header(areas: &[(u64, u64)]) -> PvHeader {
        let areas = areas.iter().map(|(offset, size)| DiskArea {
            offset: *offset,
            size: *size,
        });
        PvHeader::new(PvId::from_uuid_bytes([1; 16]), 0, START, areas.collect())
    }

    fn fitted(areas: &[(u64, u64)], size: u64) -> Result<PvFit, Error> {
        fit(
            &header(areas),
            true,
            extent(),
            Sectors::from_bytes_floor(START),
            size,
        )
    }

    #[test]
    fn the_only_area_moves_with_the_end_of_its_device() {
        let area = (START + 64 * KIB * 15, 64 * KIB);
        let fit = fitted(&[area], 4 << 20).unwrap();
        let to = fit.moved.unwrap().to;
        assert_eq!((to.offset, to.size), ((4 << 20) - 64 * KIB, 64 * KIB));
        assert_eq!(fit.pe_count.get(), 47);
        // Less than the area more: the two places would overlap.
        let fit = fitted(&[area], (2 << 20) + 60 * KIB).unwrap();
        assert_eq!((fit.moved, fit.pe_count.get()), (None, 15));
    }

    #[test]
    fn a_device_that_shrank_takes_the_area_with_it() {
        let areas = [(4096, START - 4096), (START + 64 * KIB * 15, 64 * KIB)];
        for size in [(2 << 20) - 4 * KIB, START + 256 * KIB] {
            let fit = fitted(&areas, size).unwrap();
            let moved = fit.moved.unwrap();
            assert!(
                area_end(&moved.to) <= size && !moved.to.overlaps(&moved.from),
                "{moved:?}"
            );
        }
        assert!(matches!(
            fitted(&areas, START + 32 * KIB),
            Err(Error::Geometry { .. })
        ));
        assert!(matches!(
            fitted(&areas[..1], START + KIB),
            Err(Error::DeviceTooSmall { .. })
        ));
    }

    #[test]
    fn an_area_that_cannot_move_bounds_the_extents() {
        let areas = [
            (START + 64 * KIB * 15, 64 * KIB),
            (START + 64 * KIB * 20, 64 * KIB),
        ];
        let fit = fitted(&areas, 8 << 20).unwrap();
        assert_eq!((fit.moved, fit.pe_count.get()), (None, 15));
        let broken = super::fit(&header(&areas[..1]), false, extent(), Sectors::new(2048), 8 << 20).unwrap();
        assert_eq!((broken.moved, broken.pe_count.get()), (None, 15));
    }

    proptest! {
        #[test]
        fn extents_never_reach_an_area_and_lvms_rule_holds(
            at_start in any::<bool>(),
            behind in proptest::collection::vec((0u64..8192, 1u64..600), 0..3),
            old_size in 2u64..40,
            size in 1u64..80_000,
        ) {
            let size = size * 512;
            let mut areas: Vec<(u64, u64)> = at_start.then_some((4096, START - 4096)).into_iter().collect();
            let old_end = START + old_size * 64 * KIB;
            areas.extend(behind.iter().map(|(gap, length)| (old_end + gap * 512, length * 512)));
            let Ok(fit) = fitted(&areas, size) else { return Ok(()) };
            let end = START + u64::from(fit.pe_count.get()) * 64 * KIB;
            prop_assert!(fit.pe_count.get() > 0 && end <= size);
            let mut now = header(&areas).metadata_areas;
            if let Some(moved) = fit.moved {
                prop_assert!(!moved.to.overlaps(&moved.from));
                prop_assert!(moved.to.size >= moved.from.size && moved.to.size < moved.from.size + ALIGNMENT);
                now.iter_mut().filter(|area| **area == moved.from).for_each(|area| *area = moved.to);
            }
            for area in &now {
                prop_assert!(area_end(area) <= START || area.offset >= end, "{area:?} {fit:?}");
                prop_assert!(area_end(area) <= size);
            }
            // What LVM counts for a second area: the whole device without the first extent's place and the area.
            if at_start && behind.len() == 1 {
                let lvm = (size - START).saturating_sub(now[1].size) / (64 * KIB);
                prop_assert!(u64::from(fit.pe_count.get()) <= lvm);
                if fit.moved.is_some_and(|moved| area_end(&moved.to) == size) {
                    prop_assert_eq!(u64::from(fit.pe_count.get()), lvm);
                }
            }
        }
    }
}
