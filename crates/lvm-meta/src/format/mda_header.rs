//! A metadata area's header: one sector that names the committed text.
//!
//! | byte | size | field                                                                  |
//! | ---: | ---: | ---------------------------------------------------------------------- |
//! |    0 |    4 | checksum of bytes 4..512                                               |
//! |    4 |   16 | magic                                                                  |
//! |   20 |    4 | version: 1                                                             |
//! |   24 |    8 | first byte of this area on the device                                  |
//! |   32 |    8 | bytes of this area, this header included                               |
//! |   40 |   24 | slot 0, the committed text: offset in the area, size, checksum, flags  |
//! |   64 |   24 | slot 1, the precommitted text                                          |
//! |   88 |  424 | kept as read                                                           |
//!
//! Bit 0 of slot 0's flags: the area is ignored.  Reference: LVM2 `lib/format_text/layout.h`, `mda_header`.

use crate::bytes::{SECTOR, Sector, field, put, u32_at, u64_at};
use crate::crc::crc;
use crate::{CorruptKind, Error, Part};

const MAGIC: [u8; 16] = *b" LVM2 x[5A%r0N*>";
const VERSION: u32 = 1;
const SLOTS: [usize; 2] = [40, 64];
const IGNORED: u32 = 1;

/// Where a text lies in its area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RawLocation {
    /// First byte, from the area's start.
    pub offset: u64,
    /// Bytes, the closing NUL included.
    pub size: u64,
    /// Checksum of the text.
    pub checksum: u32,
    /// Flags; unknown bits are kept.
    pub flags: u32,
}

impl RawLocation {
    /// Does it name no text?
    pub fn is_empty(&self) -> bool {
        self.offset == 0
    }

    /// Does it name the same text?
    pub(crate) fn same_text(&self, other: &Self) -> bool {
        (self.offset, self.size, self.checksum) == (other.offset, other.size, other.checksum)
    }
}

/// A header whose checksum and position were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdaHeader {
    /// First byte of the area on the device.
    pub start: u64,
    /// Bytes of the area, the header included.
    pub size: u64,
    /// The committed text.
    pub committed: RawLocation,
    /// The precommitted text: left by a change that was cut, and ignored by readers.
    pub precommitted: RawLocation,
    rest: [u8; 424],
}

impl MdaHeader {
    /// The header of an empty area.
    pub(crate) fn empty(start: u64, size: u64) -> Self {
        Self {
            start,
            size,
            committed: RawLocation::default(),
            precommitted: RawLocation::default(),
            rest: [0; 424],
        }
    }

    /// Names no text any more.  An area out of use stays so.
    pub(crate) fn clear(&mut self) {
        let flags = self.committed.flags;
        self.committed = RawLocation {
            flags,
            ..RawLocation::default()
        };
        self.precommitted = RawLocation::default();
    }

    /// The largest text that it takes, the closing NUL included.
    pub fn text_capacity(&self) -> u64 {
        super::Ring::new(self.size).capacity()
    }

    /// Puts the area out of use.
    pub(crate) fn set_ignored(&mut self) {
        self.committed.flags |= IGNORED;
    }

    /// The header with the area in use.
    pub(crate) fn in_use(&self) -> Self {
        let mut header = self.clone();
        header.committed.flags &= !IGNORED;
        header
    }

    /// Is the area out of use?
    pub fn is_ignored(&self) -> bool {
        self.committed.flags & IGNORED != 0
    }

    /// Reads the header that the PV header says is at `at`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a wrong checksum, magic, version, start or size.
    pub(crate) fn decode(bytes: &Sector, at: u64) -> Result<Self, Error> {
        let corrupt = |offset: u64, kind| Error::Corrupt {
            part: Part::MdaHeader,
            at: at.saturating_add(offset),
            kind,
        };
        let (stored, computed) = (u32_at(bytes, 0), crc(&[bytes.get(4..).unwrap_or_default()]));
        if stored != computed {
            return Err(corrupt(0, CorruptKind::Checksum { stored, computed }));
        }
        if field::<16>(bytes, 4) != MAGIC {
            return Err(corrupt(4, CorruptKind::Magic));
        }
        let expect = |offset, field, found: u64, expected: u64| {
            let kind = CorruptKind::Field {
                field,
                found,
                expected,
            };
            if found == expected {
                Ok(())
            } else {
                Err(corrupt(offset, kind))
            }
        };
        expect(20, "version", u32_at(bytes, 20).into(), VERSION.into())?;
        expect(24, "start", u64_at(bytes, 24), at)?;
        let size = u64_at(bytes, 32);
        if size < 1024 || at.checked_add(size).is_none() {
            return Err(corrupt(
                32,
                CorruptKind::Field {
                    field: "size",
                    found: size,
                    expected: 1024,
                },
            ));
        }
        let slot = |at: usize| RawLocation {
            offset: u64_at(bytes, at),
            size: u64_at(bytes, at.saturating_add(8)),
            checksum: u32_at(bytes, at.saturating_add(16)),
            flags: u32_at(bytes, at.saturating_add(20)),
        };
        let [committed, precommitted] = SLOTS.map(slot);
        Ok(Self {
            start: at,
            size,
            committed,
            precommitted,
            rest: field(bytes, 88),
        })
    }

    /// The sector's bytes.
    pub(crate) fn encode(&self) -> Sector {
        let mut bytes = [0; SECTOR];
        put(&mut bytes, 4, &MAGIC);
        put(&mut bytes, 20, &VERSION.to_le_bytes());
        put(&mut bytes, 24, &self.start.to_le_bytes());
        put(&mut bytes, 32, &self.size.to_le_bytes());
        for (at, slot) in SLOTS.into_iter().zip([self.committed, self.precommitted]) {
            put(&mut bytes, at, &slot.offset.to_le_bytes());
            put(&mut bytes, at.saturating_add(8), &slot.size.to_le_bytes());
            put(&mut bytes, at.saturating_add(16), &slot.checksum.to_le_bytes());
            put(&mut bytes, at.saturating_add(20), &slot.flags.to_le_bytes());
        }
        put(&mut bytes, 88, &self.rest);
        let sum = crc(&[bytes.get(4..).unwrap_or_default()]);
        put(&mut bytes, 0, &sum.to_le_bytes());
        bytes
    }
}
