//! The PV header behind the label, in the same sector.
//!
//! | byte | size | field                                                              |
//! | ---: | ---: | ------------------------------------------------------------------ |
//! |    0 |   32 | PV id, without dashes                                              |
//! |   32 |    8 | device size in bytes                                               |
//! |   40 | 16 n | data areas: offset, size (bytes; size 0: to the end)               |
//! |      |   16 | zeroes                                                             |
//! |      | 16 m | metadata areas: offset, size (bytes)                               |
//! |      |   16 | zeroes                                                             |
//! |      |    8 | extension: version, flags (bit 0: belongs to a VG)                 |
//! |      | 16 k | bootloader areas, if the version is 1 or more                      |
//! |      |   16 | zeroes                                                             |
//!
//! Reference: LVM2 `lib/format_text/layout.h`, `pv_header` and `pv_header_extension`.

use super::Ring;
use crate::bytes::{SECTOR, Sector, field, put, u32_at, u64_at};
use crate::{CorruptKind, Error, Part, PvId};

/// Bit of the extension's flags: the PV belongs to a VG.
const USED: u32 = 1;
/// The extension that LVM writes.
const EXTENSION_VERSION: u32 = 2;

/// A part of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiskArea {
    /// First byte on the device.
    pub offset: u64,
    /// Length; 0 in a data area means to the end.
    pub size: u64,
}

impl DiskArea {
    /// Do the two share a byte?
    pub fn overlaps(&self, other: &Self) -> bool {
        let end = |area: &Self| area.offset.saturating_add(area.size);
        self.offset < end(other) && other.offset < end(self)
    }

    /// The largest text that it takes as a metadata area, the closing NUL included.
    pub fn text_capacity(&self) -> u64 {
        Ring::new(self.size).capacity()
    }
}

/// What a PV says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PvHeader {
    /// The PV's id.
    pub id: PvId,
    /// Bytes of the device when the label was written.  In a VG its text counts instead.
    pub device_size: u64,
    /// Where the extents are.
    pub data_areas: Vec<DiskArea>,
    /// Where metadata is: none, one or two areas.
    pub metadata_areas: Vec<DiskArea>,
    /// Version of the extension; 0 for none.
    pub extension_version: u32,
    /// The extension's flags; unknown bits are kept.
    pub extension_flags: u32,
    /// Room for a bootloader: none or one area.
    pub bootloader_areas: Vec<DiskArea>,
}

impl PvHeader {
    /// The header of a new PV, with LVM's present extension.
    pub(crate) fn new(id: PvId, device_size: u64, pe_start: u64, metadata_areas: Vec<DiskArea>) -> Self {
        Self {
            id,
            device_size,
            data_areas: vec![DiskArea {
                offset: pe_start,
                size: 0,
            }],
            metadata_areas,
            extension_version: EXTENSION_VERSION,
            extension_flags: 0,
            bootloader_areas: Vec::new(),
        }
    }

    /// Does it say that it belongs to a VG?
    pub fn is_used(&self) -> bool {
        self.extension_version >= 2 && self.extension_flags & USED != 0
    }

    /// Says that it belongs to a VG, or to none.
    pub(crate) fn set_used(&mut self, used: bool) {
        self.extension_version = self.extension_version.max(EXTENSION_VERSION);
        self.extension_flags = if used {
            self.extension_flags | USED
        } else {
            self.extension_flags & !USED
        };
    }

    /// Reads the header at `at` in a label's sector.
    pub(super) fn decode(sector: &Sector, at: usize, sector_at: u64) -> Result<Self, Error> {
        let corrupt = |at: usize, kind| {
            let at = sector_at.saturating_add(u64::try_from(at).unwrap_or(0));
            Error::Corrupt {
                part: Part::PvHeader,
                at,
                kind,
            }
        };
        let mut reader = Lists {
            sector,
            at: at.saturating_add(40),
        };
        if reader.at > SECTOR {
            return Err(corrupt(at, CorruptKind::PastEnd));
        }
        let id = PvId::from_bytes(&field(sector, at)).ok_or_else(|| corrupt(at, CorruptKind::Id))?;
        let device_size = u64_at(sector, at.saturating_add(32));
        let data_areas = reader
            .list()
            .ok_or_else(|| corrupt(reader.at, CorruptKind::PastEnd))?;
        let metadata_areas = reader
            .list()
            .ok_or_else(|| corrupt(reader.at, CorruptKind::PastEnd))?;
        let mut header = Self {
            id,
            device_size,
            data_areas,
            metadata_areas,
            extension_version: 0,
            extension_flags: 0,
            bootloader_areas: Vec::new(),
        };
        if reader.at.saturating_add(8) <= SECTOR {
            header.extension_version = u32_at(sector, reader.at);
            header.extension_flags = u32_at(sector, reader.at.saturating_add(4));
            reader.at = reader.at.saturating_add(8);
            if header.extension_version >= 1 {
                header.bootloader_areas = reader
                    .list()
                    .ok_or_else(|| corrupt(reader.at, CorruptKind::PastEnd))?;
            }
        }
        Ok(header)
    }

    /// Writes the header at `at`; bytes behind it stay as they are.
    pub(super) fn encode(&self, sector: &mut Sector, at: usize) -> Result<(), Error> {
        let mut fits = put(sector, at, self.id.as_bytes());
        fits &= put(sector, at.saturating_add(32), &self.device_size.to_le_bytes());
        let mut at = at.saturating_add(40);
        let mut list = |at: &mut usize, areas: &[DiskArea]| {
            for area in areas {
                fits &= put(sector, *at, &area.offset.to_le_bytes());
                fits &= put(sector, at.saturating_add(8), &area.size.to_le_bytes());
                *at = at.saturating_add(16);
            }
            fits &= put(sector, *at, &[0; 16]);
            *at = at.saturating_add(16);
        };
        list(&mut at, &self.data_areas);
        list(&mut at, &self.metadata_areas);
        let extension_at = at;
        if self.extension_version >= 1 {
            at = at.saturating_add(8);
            list(&mut at, &self.bootloader_areas);
            fits &= put(sector, extension_at, &self.extension_version.to_le_bytes());
            fits &= put(
                sector,
                extension_at.saturating_add(4),
                &self.extension_flags.to_le_bytes(),
            );
        }
        if fits { Ok(()) } else { Err(Error::TooManyAreas) }
    }
}

/// Reads lists of areas one after the other.
struct Lists<'a> {
    sector: &'a Sector,
    at: usize,
}

impl Lists<'_> {
    /// The areas up to one with offset 0; `None` when the list passes the sector's end.
    fn list(&mut self) -> Option<Vec<DiskArea>> {
        let mut areas = Vec::new();
        loop {
            let next = self.at.checked_add(16).filter(|end| *end <= SECTOR)?;
            let area = DiskArea {
                offset: u64_at(self.sector, self.at),
                size: u64_at(self.sector, self.at.saturating_add(8)),
            };
            self.at = next;
            if area.offset == 0 {
                return Some(areas);
            }
            areas.push(area);
        }
    }
}
