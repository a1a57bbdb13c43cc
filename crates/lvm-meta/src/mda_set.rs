//! The metadata areas of one VG, and the steps that make a new text theirs.
//!
//! | step | on disk | a reader sees after a cut |
//! | --- | --- | --- |
//! | write | the text, behind the old one in each ring; sync | the old VG |
//! | precommit | slot 1 of each header names it; sync | the old VG |
//! | commit | slot 0 of each header names it, slot 1 is empty; sync | the new VG once one header has landed |
//!
//! All areas finish a step before any starts the next, and all get the same bytes.  After one failed write or sync the
//! set writes no more: what is on disk is known again only when the VG is opened anew.

use std::sync::Arc;

use crate::bytes::length;
use crate::crc::crc;
use crate::format::{DiskArea, MdaHeader, RawLocation, Ring, TextPlace};
use crate::pv::{read_sector, size, sync, write};
use crate::scan::{read_header, read_text};
use crate::{Disk, Error, RawText};

/// One area in use.
struct Mda {
    /// Index into the set's disks.
    disk: usize,
    header: MdaHeader,
    /// Out of use until the next commit.
    joins: bool,
}

/// The metadata areas of one VG, open for writing.
pub struct MdaSet {
    disks: Vec<Arc<dyn Disk>>,
    mdas: Vec<Mda>,
    poisoned: bool,
}

impl std::fmt::Debug for MdaSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MdaSet")
            .field("areas", &self.mdas.len())
            .field("poisoned", &self.poisoned)
            .finish()
    }
}

impl MdaSet {
    /// A set without areas.
    pub fn new() -> Self {
        Self {
            disks: Vec::new(),
            mdas: Vec::new(),
            poisoned: false,
        }
    }

    /// Adds an area whose header was read already.
    pub fn add(&mut self, disk: &Arc<dyn Disk>, header: MdaHeader) {
        self.push(disk, header, false);
    }

    /// Adds an area that is out of use: the next commit puts it to use.  Until then readers do not look at it.
    pub fn put_to_use(&mut self, disk: &Arc<dyn Disk>, header: MdaHeader) {
        self.push(disk, header, true);
    }

    fn push(&mut self, disk: &Arc<dyn Disk>, header: MdaHeader, joins: bool) {
        let known = self.disks.iter().position(|other| Arc::ptr_eq(other, disk));
        let disk = known.unwrap_or_else(|| {
            self.disks.push(disk.clone());
            self.disks.len().saturating_sub(1)
        });
        self.mdas.push(Mda { disk, header, joins });
    }

    /// Adds the areas of a disk, reading their headers; areas out of use are left out.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn open(&mut self, disk: &Arc<dyn Disk>, areas: &[DiskArea]) -> Result<(), Error> {
        let size = size(&**disk)?;
        for area in areas {
            let header = read_header(&**disk, *area, size)?;
            if !header.is_ignored() {
                self.add(disk, header);
            }
        }
        Ok(())
    }

    /// Has another disk an area?
    pub fn has_others(&self, disk: &Arc<dyn Disk>) -> bool {
        let own = self.disks.iter().position(|other| Arc::ptr_eq(other, disk));
        self.mdas.iter().any(|mda| Some(mda.disk) != own)
    }

    /// Takes out the areas of a disk.
    pub fn remove(&mut self, disk: &Arc<dyn Disk>) {
        if let Some(index) = self.disks.iter().position(|other| Arc::ptr_eq(other, disk)) {
            self.mdas.retain(|mda| mda.disk != index);
        }
    }

    /// Looks whether every area still commits to the text that this set knows: one 512-byte read each.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn unchanged(&self) -> Result<bool, Error> {
        for mda in &self.mdas {
            let disk = self.disk(mda)?;
            let found = MdaHeader::decode(&read_sector(disk, mda.header.start)?, mda.header.start)?;
            if !found.committed.same_text(&mda.header.committed) {
                return Ok(false);
            }
        }
        Ok(!self.mdas.is_empty())
    }

    /// Do all areas commit to the same text?  After a commit that was cut between two headers they do not.
    pub fn agrees(&self) -> bool {
        let text = |mda: &Mda| (mda.header.committed.size, mda.header.committed.checksum);
        let mut texts = self.mdas.iter().map(text);
        let first = texts.next();
        texts.all(|other| Some(other) == first)
    }

    /// Did a write or sync fail?  Then this set writes no more.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Looks whether any area on disk commits to this text: after a failed commit, that makes the VG the new one.
    ///
    /// An area that cannot be read counts as one that does not.
    pub fn commits_to(&self, text: &[u8]) -> bool {
        let (size, checksum) = (length(text), crc(&[text]));
        self.mdas.iter().any(|mda| {
            let sector = self
                .disk(mda)
                .and_then(|disk| read_sector(disk, mda.header.start));
            let header = sector.and_then(|sector| MdaHeader::decode(&sector, mda.header.start));
            header.is_ok_and(|found| (found.committed.size, found.committed.checksum) == (size, checksum))
        })
    }

    /// Reads the text that the areas commit to, its closing NUL included, from the first that has it whole; `None` for
    /// areas that commit to none.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`]: that of the last area tried.
    pub fn committed_text(&self) -> Result<Option<Arc<Vec<u8>>>, Error> {
        let mut last = Ok(None);
        let has_text = |mda: &&Mda| !mda.joins && !mda.header.committed.is_empty();
        for mda in self.mdas.iter().filter(has_text) {
            last = self
                .disk(mda)
                .and_then(|disk| read_text(disk, &mda.header, &mda.header.committed))
                .map(Some);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// The largest text that fits every area, the closing NUL included; 0 without areas.
    pub fn capacity(&self) -> u64 {
        self.mdas
            .iter()
            .map(|mda| Ring::new(mda.header.size).capacity())
            .min()
            .unwrap_or(0)
    }

    /// Bytes of the largest area, its header included; `None` without areas.
    pub fn area_size(&self) -> Option<u64> {
        self.mdas.iter().map(|mda| mda.header.size).max()
    }

    /// Bytes of the committed text.
    pub fn used(&self) -> u64 {
        self.mdas
            .iter()
            .map(|mda| mda.header.committed.size)
            .max()
            .unwrap_or(0)
    }

    fn disk(&self, mda: &Mda) -> Result<&dyn Disk, Error> {
        self.disks
            .get(mda.disk)
            .map(|disk| &**disk)
            .ok_or(Error::Poisoned)
    }

    /// Writes a text, its closing NUL included, into every ring.  Durable when this returns, but nothing names it yet.
    ///
    /// # Errors
    /// [`Error::NoMetadataArea`]; [`Error::TextTooLarge`], before anything is written; [`Error::Conflict`] when an
    /// area does not commit to the text that this set knows; [`Error::Poisoned`]; [`Error::Io`], which poisons the set.
    pub fn write<'t>(&mut self, text: impl Into<RawText<'t>>) -> Result<Written<'_>, Error> {
        self.write_raw(text.into())
    }

    fn write_raw(&mut self, text: RawText<'_>) -> Result<Written<'_>, Error> {
        let length = length(text.bytes());
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        if self.mdas.is_empty() {
            return Err(Error::NoMetadataArea);
        }
        let mut places = Vec::with_capacity(self.mdas.len());
        for mda in &self.mdas {
            let ring = Ring::new(mda.header.size);
            let old = match mda.header.committed {
                slot if slot.is_empty() => None,
                // What an area out of use names is nothing to keep.
                _ if mda.joins => None,
                slot => Some(ring.locate(&slot, mda.header.start)?),
            };
            places.push(ring.next(old, length)?);
        }
        if !self.unchanged()? {
            return Err(Error::Conflict);
        }
        self.guarded(|set| {
            for (mda, place) in set.mdas.iter().zip(&places) {
                write_text(set.disk(mda)?, mda.header.start, place, text)?;
            }
            set.sync()
        })?;
        let checksum = crc(&[text.bytes()]);
        let slots = places.iter().map(|place| RawLocation {
            offset: place.offset,
            size: length,
            checksum,
            flags: 0,
        });
        let slots = slots.collect();
        Ok(Written { set: self, slots })
    }

    /// Runs a step that writes; its failure poisons the set.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let result = step(self);
        self.poisoned |= result.is_err();
        result
    }

    fn sync(&self) -> Result<(), Error> {
        self.disks.iter().enumerate().try_for_each(|(index, disk)| {
            if self.mdas.iter().any(|mda| mda.disk == index) {
                sync(&**disk)
            } else {
                Ok(())
            }
        })
    }

    /// Rewrites every header and syncs.
    fn write_headers(&mut self, slots: &[(RawLocation, RawLocation)]) -> Result<(), Error> {
        self.guarded(|set| {
            let disks = &set.disks;
            for (mda, (committed, precommitted)) in set.mdas.iter_mut().zip(slots) {
                mda.header.committed = *committed;
                mda.header.precommitted = *precommitted;
                let disk = disks.get(mda.disk).ok_or(Error::Poisoned)?;
                write(&**disk, mda.header.start, &mda.header.encode())?;
            }
            set.sync()
        })
    }
}

impl Default for MdaSet {
    fn default() -> Self {
        Self::new()
    }
}

/// One write a piece, the zeroes up to the next sector with the last.
pub(crate) fn write_text(
    disk: &dyn Disk,
    start: u64,
    place: &TextPlace,
    text: RawText<'_>,
) -> Result<(), Error> {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let (first, zeroes) = (number(place.first), number(place.padding));
    let at = start.saturating_add(place.offset);
    if place.wrapped == 0 {
        return write(disk, at, &text.padded(0, zeroes));
    }
    write(disk, at, text.bytes().get(..first).unwrap_or_default())?;
    write(disk, start.saturating_add(512), &text.padded(first, zeroes))
}

/// The text is in every ring and no header names it: precommit it, or drop this and nothing happened.
#[must_use = "the text is written, but no header names it"]
pub struct Written<'a> {
    set: &'a mut MdaSet,
    slots: Vec<RawLocation>,
}

impl<'a> Written<'a> {
    /// Names the text in slot 1 of every header.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`], which poisons the set; readers go on with the old text.
    pub fn precommit(self) -> Result<Precommitted<'a>, Error> {
        let slots: Vec<_> = self
            .set
            .mdas
            .iter()
            .map(|mda| mda.header.committed)
            .zip(self.slots.iter().copied())
            .collect();
        self.set.write_headers(&slots)?;
        Ok(Precommitted {
            set: self.set,
            slots: self.slots,
        })
    }
}

/// The text is named in slot 1 of every header: commit it or revert.
#[must_use = "the text is precommitted: commit or revert it"]
pub struct Precommitted<'a> {
    set: &'a mut MdaSet,
    slots: Vec<RawLocation>,
}

impl Precommitted<'_> {
    /// Makes the text the VG's.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`], which poisons the set: the VG is the old or the new one, which only opening it again tells.
    pub fn commit(self) -> Result<(), Error> {
        let flagged = |(mda, slot): (&Mda, &RawLocation)| {
            let flags = match mda.joins {
                true => mda.header.in_use().committed.flags,
                false => mda.header.committed.flags,
            };
            (RawLocation { flags, ..*slot }, RawLocation::default())
        };
        let slots: Vec<_> = self.set.mdas.iter().zip(&self.slots).map(flagged).collect();
        self.set.write_headers(&slots)?;
        self.set.mdas.iter_mut().for_each(|mda| mda.joins = false);
        Ok(())
    }

    /// Empties slot 1: the VG stays the old one.
    ///
    /// # Errors
    /// [`Error::Io`], which poisons the set; readers go on with the old text.
    pub fn revert(self) -> Result<(), Error> {
        let slots: Vec<_> = self
            .set
            .mdas
            .iter()
            .map(|mda| (mda.header.committed, RawLocation::default()))
            .collect();
        self.set.write_headers(&slots)
    }
}

#[cfg(test)]
mod tests;
