//! Making a disk a PV, changing what its label says, and taking the PV off again.
//!
//! Each function writes nothing but what it names and is durable when it returns.  The label comes last when a PV is
//! made and goes first when it is taken off, so that a cut leaves a PV or none.

use std::ops::Range;

use crate::bytes::{SECTOR, Sector};
use crate::format::{DiskArea, Label, LabelSector, MdaHeader, PvHeader, PvLayout, Ring};
use crate::scan::read_header;
use crate::{Disk, Error, IoOp, PvId, Sectors};

/// What LVM zeroes at the front of a new PV: the sectors in which a label can be.
const FRONT: usize = 2048;
/// What LVM zeroes at the front of a new metadata area.
const MDA_FRONT: usize = 4096;
/// The least metadata area: a header and a ring for two texts of a sector.
const AREA_LEAST: u64 = 3 * 512;

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

pub(crate) fn size(disk: &(impl Disk + ?Sized)) -> Result<u64, Error> {
    disk.size().map_err(|source| Error::Io {
        op: IoOp::Read,
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

/// Reads what the label of a disk says; `Ok(None)` when nothing on it claims to be one.
///
/// # Errors
/// [`Error::Io`]; [`Error::Corrupt`] when what claims to be a label is none.
pub fn read_label(disk: &dyn Disk) -> Result<Option<PvHeader>, Error> {
    Ok(find_label(disk)?.map(|label| label.header))
}

/// Makes a disk a PV of no VG: blank metadata areas, then the label.
///
/// Zeroes bytes 0 to 2048 and the first 4 KiB of each metadata area; other bytes stay as they are.
///
/// # Errors
/// [`Error::Io`].  A cut leaves the disk as it was but for some of the zeroes, or without a label, or the PV.
pub fn make_pv(disk: &dyn Disk, id: PvId, layout: &PvLayout) -> Result<(), Error> {
    let label = Label::new(LabelSector::DEFAULT, layout.header(id)).encode()?;
    write(disk, 0, &[0; FRONT])?;
    // An old label must be gone before what it points to is.
    sync(disk)?;
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
        Err(error @ Error::Io { .. }) => return Err(error),
        // A broken label names no areas to trust.
        Ok(None) | Err(_) => Vec::new(),
    };
    for sector in LabelSector::all() {
        if Label::resembled(&read_sector(disk, sector.at())?) {
            write(disk, sector.at(), &[0; SECTOR])?;
        }
    }
    sync(disk)?;
    for area in areas {
        if good_header(disk, area)?.is_some() {
            write(disk, area.offset, &[0; SECTOR])?;
        }
    }
    sync(disk)
}

/// Makes a PV one of no VG: its label not in use, then its metadata areas empty.  The texts in the rings stay.
///
/// An area out of use stays out of use, and one with a broken header stays as it is.  For the disks of a VG that is to
/// go, and for one that a committed text no longer lists; until the last disk of a VG is done, the VG is still there.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Corrupt`], [`Error::Io`].  A cut leaves the PV in its VG, whatever the label says, or of no
/// VG: by the old text the repeated call is known to be needed.
pub fn orphan_pv(disk: &dyn Disk) -> Result<(), Error> {
    set_pv_used(disk, false)?;
    let label = find_label(disk)?.ok_or(Error::NotAPv)?;
    for area in label.header.metadata_areas {
        if let Some(mut header) = good_header(disk, area)? {
            header.clear();
            write(disk, area.offset, &header.encode())?;
        }
    }
    sync(disk)
}

/// The header of an area, if it is one that may be written.
fn good_header(disk: &dyn Disk, area: DiskArea) -> Result<Option<MdaHeader>, Error> {
    match read_header(disk, area, size(disk)?) {
        Ok(header) => Ok(Some(header)),
        Err(error @ Error::Io { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Rewrites the label's sector with a changed header, where it was found; nothing if it is unchanged.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Io`].
pub(crate) fn change_label(disk: &dyn Disk, change: impl FnOnce(&mut Label)) -> Result<(), Error> {
    let mut label = find_label(disk)?.ok_or(Error::NotAPv)?;
    let before = label.clone();
    change(&mut label);
    if label == before {
        return Ok(());
    }
    let bytes = label.encode_over(read_sector(disk, label.sector.at())?)?;
    write(disk, label.sector.at(), &bytes)?;
    sync(disk)
}

/// May [`blank_area`] make this area an empty one: is its header broken, or the place that it names for the text no place
/// in its ring, and is it where only an area can be?
///
/// `extents` are the bytes in which the PV's extents lie.
///
/// # Errors
/// As [`blank_area`].
pub fn is_blankable(disk: &dyn Disk, area: DiskArea, extents: Range<u64>) -> Result<bool, Error> {
    let header = find_label(disk)?.ok_or(Error::NotAPv)?.header;
    let size = size(disk)?;
    let is_broken = match read_header(disk, area, size) {
        Ok(header) => !header.is_ignored() && !is_located(&header),
        Err(Error::Corrupt { .. }) => true,
        Err(error) => return Err(error),
    };
    let end = area.offset.checked_add(area.size);
    let fits = area.offset >= crate::bytes::length(&[0; FRONT])
        && area.offset.is_multiple_of(512)
        && area.size >= AREA_LEAST
        && end.is_some_and(|end| end <= size && (end <= extents.start || area.offset >= extents.end));
    let is_named = header.metadata_areas.iter().filter(|own| **own == area).count() == 1;
    let others = header.metadata_areas.iter().filter(|own| **own != area);
    let is_alone = !others
        .chain(&header.bootloader_areas)
        .any(|other| other.overlaps(&area));
    Ok(is_broken && fits && is_named && is_alone)
}

/// Does the header name no text, or one inside its ring?
fn is_located(header: &MdaHeader) -> bool {
    let slot = &header.committed;
    slot.is_empty() || Ring::new(header.size).locate(slot, header.start).is_ok()
}

/// Makes a metadata area whose header is broken an empty one, so that the next commit fills it.  Its ring stays.
///
/// An area with a good header is left as it is, and so is one that the label does not name, or that it names where
/// something else is: then this is `Ok(false)`.  See [`is_blankable`].
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Corrupt`] for the label, [`Error::Io`].
pub fn blank_area(disk: &dyn Disk, area: DiskArea, extents: Range<u64>) -> Result<bool, Error> {
    if !is_blankable(disk, area, extents)? {
        return Ok(false);
    }
    write(
        disk,
        area.offset,
        &MdaHeader::empty(area.offset, area.size).encode(),
    )?;
    sync(disk)?;
    Ok(true)
}

/// Says in the label that the PV belongs to a VG, or to none.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Io`].
pub fn set_pv_used(disk: &dyn Disk, used: bool) -> Result<(), Error> {
    change_label(disk, |label| label.header.set_used(used))
}

/// Gives the PV another id in its label.  Durable when this returns.
///
/// # Errors
/// [`Error::NotAPv`], [`Error::Io`].
pub fn set_pv_id(disk: &dyn Disk, id: PvId) -> Result<(), Error> {
    change_label(disk, |label| label.header.id = id)
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
