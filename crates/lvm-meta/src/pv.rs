//! Making a disk a PV, changing what its label says, and taking the PV off again.
//!
//! Each function writes nothing but what it names and is durable when it returns.  The label comes last when a PV is
//! made and goes first when it is taken off, so that a cut leaves a PV or none.

use crate::bytes::{SECTOR, Sector};
use crate::format::{Label, LabelSector, MdaHeader, PvLayout};
use crate::{Disk, Error, IoOp, PvId, Sectors};

/// What LVM zeroes at the front of a new PV: the sectors in which a label can be.
const FRONT: usize = 2048;
/// What LVM zeroes at the front of a new metadata area.
const MDA_FRONT: usize = 4096;

pub(crate) fn read(disk: &(impl Disk + ?Sized), at: u64, buf: &mut [u8]) -> Result<(), Error> {
    let len = crate::bytes::length(buf);
    disk.read_at(at, buf).map_err(|source| Error::Io {
        op: IoOp::Read,
        at,
        len,
        source,
    })
}

pub(crate) fn write(disk: &(impl Disk + ?Sized), at: u64, bytes: &[u8]) -> Result<(), Error> {
    let len = crate::bytes::length(bytes);
    disk.write_at(at, bytes).map_err(|source| Error::Io {
        op: IoOp::Write,
        at,
        len,
        source,
    })
}

pub(crate) fn sync(disk: &(impl Disk + ?Sized)) -> Result<(), Error> {
    disk.sync().map_err(|source| Error::Io {
        op: IoOp::Sync,
        at: 0,
        len: 0,
        source,
    })
}

/// The sector at a byte.
pub(crate) fn read_sector(disk: &(impl Disk + ?Sized), at: u64) -> Result<Sector, Error> {
    let mut sector = [0; SECTOR];
    read(disk, at, &mut sector)?;
    Ok(sector)
}

/// Finds the label: the first good one of sectors 0 to 3.
///
/// `Ok(None)` when no sector claims to be one.
///
/// # Errors
/// What is wrong with the only sectors that claim to be one.
pub(crate) fn find_label(disk: &(impl Disk + ?Sized)) -> Result<Option<Label>, Error> {
    let mut wrong = None;
    let mut front = [0; FRONT];
    read(disk, 0, &mut front)?;
    for (sector, bytes) in LabelSector::all().zip(front.as_chunks::<SECTOR>().0) {
        if Label::claimed(bytes) {
            match Label::decode(bytes, sector) {
                Ok(label) => return Ok(Some(label)),
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
    }
    wrong.map_or(Ok(None), Err)
}

/// Makes a disk a PV of no VG: blank metadata areas, then the label.
///
/// Zeroes bytes 0 to 2048 and the first 4 KiB of each metadata area; other bytes stay as they are.
///
/// # Errors
/// [`Error::Io`].  A cut leaves the disk without a label, or the PV.
pub fn make_pv(disk: &dyn Disk, id: PvId, layout: &PvLayout) -> Result<(), Error> {
    let label = Label::new(LabelSector::DEFAULT, layout.header(id)).encode()?;
    write(disk, 0, &[0; FRONT])?;
    for area in &layout.metadata_areas {
        let mut front = [0; MDA_FRONT];
        let header = MdaHeader::empty(area.offset, area.size).encode();
        if let Some(place) = front.first_chunk_mut::<SECTOR>() {
            *place = header;
        }
        write(disk, area.offset, &front)?;
    }
    sync(disk)?;
    write(disk, LabelSector::DEFAULT.at(), &label)?;
    sync(disk)
}

/// Takes a PV off: the label first, then the headers of its metadata areas.  What the extents hold stays.
///
/// A disk without a label is left as it is.
///
/// # Errors
/// [`Error::Io`].
pub fn erase_pv(disk: &dyn Disk) -> Result<(), Error> {
    let areas = match find_label(disk) {
        Ok(Some(label)) => label.header.metadata_areas,
        Ok(None) => return Ok(()),
        Err(error @ Error::Io { .. }) => return Err(error),
        // A broken label names no areas to trust.
        Err(_) => Vec::new(),
    };
    for sector in LabelSector::all() {
        if Label::claimed(&read_sector(disk, sector.at())?) {
            write(disk, sector.at(), &[0; SECTOR])?;
        }
    }
    sync(disk)?;
    let size = disk.size().map_err(|source| Error::Io {
        op: IoOp::Read,
        at: 0,
        len: 0,
        source,
    })?;
    for area in areas {
        // The header is ours to erase only if it is one.
        let inside = area.offset.checked_add(512).is_some_and(|end| end <= size);
        if inside && MdaHeader::decode(&read_sector(disk, area.offset)?, area.offset).is_ok() {
            write(disk, area.offset, &[0; SECTOR])?;
        }
    }
    sync(disk)
}

/// Rewrites the label's sector with a changed header, where it was found; nothing if it is unchanged.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Io`].
fn change_label(disk: &dyn Disk, change: impl FnOnce(&mut Label)) -> Result<(), Error> {
    let mut label = find_label(disk)?.ok_or(Error::NotAPv)?;
    let before = label.clone();
    change(&mut label);
    if label == before {
        return Ok(());
    }
    write(disk, label.sector.at(), &label.encode()?)?;
    sync(disk)
}

/// Says in the label that the PV belongs to a VG, or to none.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Io`].
pub fn set_pv_used(disk: &dyn Disk, used: bool) -> Result<(), Error> {
    change_label(disk, |label| label.header.set_used(used))
}

/// Notes the device's new size in the label.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Io`].
pub fn set_pv_size(disk: &dyn Disk, size: Sectors) -> Result<(), Error> {
    change_label(disk, |label| {
        label.header.device_size = size.to_bytes().unwrap_or(u64::MAX)
    })
}
