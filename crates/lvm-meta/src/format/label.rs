//! The label: the sector that says "this device is a PV".  All integers are little-endian.
//!
//! | byte | size | field    | value                                                |
//! | ---: | ---: | -------- | ---------------------------------------------------- |
//! |    0 |    8 | `id`     | `LABELONE`                                           |
//! |    8 |    8 | `sector` | this label's own sector number                       |
//! |   16 |    4 | `crc`    | checksum of bytes 20..512                            |
//! |   20 |    4 | `offset` | bytes from the start of this sector to the PV header |
//! |   24 |    8 | `type`   | `LVM2 001`                                           |
//!
//! LVM writes sector 1 and accepts 0 to 3.  It also takes a sector that has the type without the id, unchecked; a
//! strict reader does not.  Reference: LVM2 `lib/label/label.h`.

use super::PvHeader;
use crate::bytes::{SECTOR, Sector, field, put, u32_at, u64_at};
use crate::crc::crc;
use crate::{CorruptKind, Error, Part};

const ID: [u8; 8] = *b"LABELONE";
const TYPE: [u8; 8] = *b"LVM2 001";
const CRC_FROM: usize = 20;
/// Where every writer puts the PV header.
const HEADER_AT: u32 = 32;

/// One of the sectors 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LabelSector(u8);

impl LabelSector {
    /// Where LVM writes it.
    pub(crate) const DEFAULT: Self = Self(1);

    /// In the order in which readers look.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..4).map(Self)
    }

    /// Its first byte on the device.
    pub(crate) fn at(self) -> u64 {
        u64::from(self.0).saturating_mul(512)
    }

    pub(crate) fn get(self) -> u64 {
        u64::from(self.0)
    }
}

/// A label whose checksum and position were verified, with the PV header in its sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) sector: LabelSector,
    pub(crate) header_at: usize,
    pub(crate) header: PvHeader,
}

impl Label {
    /// Does a sector claim to be a label?
    ///
    /// `wipefs` erases the type alone: what it leaves is none, and not a broken one.
    pub(crate) fn claimed(bytes: &Sector) -> bool {
        field::<8>(bytes, 0) == ID && field::<8>(bytes, 24) != [0; 8]
    }

    /// Would any reader take a sector for a label, one less strict than we are, too?
    pub(crate) fn resembled(bytes: &Sector) -> bool {
        field::<8>(bytes, 0) == ID || field::<8>(bytes, 24) == TYPE
    }

    /// Reads a sector that claims to be a label.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a wrong checksum, sector number, type, or PV header.
    pub(crate) fn decode(bytes: &Sector, sector: LabelSector) -> Result<Self, Error> {
        let corrupt = |offset: u64, kind| Error::Corrupt {
            part: Part::Label,
            at: sector.at().saturating_add(offset),
            kind,
        };
        let (stored, computed) = (
            u32_at(bytes, 16),
            crc(&[bytes.get(CRC_FROM..).unwrap_or_default()]),
        );
        if u64_at(bytes, 8) != sector.get() {
            return Err(corrupt(
                8,
                CorruptKind::Field {
                    field: "sector",
                    found: u64_at(bytes, 8),
                    expected: sector.get(),
                },
            ));
        }
        if stored != computed {
            return Err(corrupt(16, CorruptKind::Checksum { stored, computed }));
        }
        if field::<8>(bytes, 24) != TYPE {
            return Err(corrupt(24, CorruptKind::Magic));
        }
        let offset = u32_at(bytes, 20);
        let header_at = usize::try_from(offset)
            .ok()
            .filter(|at| *at >= 32 && *at < SECTOR);
        let header_at = header_at.ok_or_else(|| {
            corrupt(
                20,
                CorruptKind::Field {
                    field: "offset",
                    found: offset.into(),
                    expected: HEADER_AT.into(),
                },
            )
        })?;
        let header = PvHeader::decode(bytes, header_at, sector.at())?;
        Ok(Self {
            sector,
            header_at,
            header,
        })
    }

    /// A label at a place with LVM's own offset.
    pub(crate) fn new(sector: LabelSector, header: PvHeader) -> Self {
        Self {
            sector,
            header_at: 32,
            header,
        }
    }

    /// The sector's bytes, with zeroes wherever the format names no field.
    ///
    /// # Errors
    /// [`Error::TooManyAreas`] when the header does not fit the sector.
    pub(crate) fn encode(&self) -> Result<Sector, Error> {
        self.encode_over([0; SECTOR])
    }

    /// The sector's bytes, over those of the label that it was: what a newer LVM may have put there stays.
    ///
    /// # Errors
    /// [`Error::TooManyAreas`] when the header does not fit the sector.
    pub(crate) fn encode_over(&self, mut bytes: Sector) -> Result<Sector, Error> {
        put(&mut bytes, 0, &ID);
        put(&mut bytes, 8, &self.sector.get().to_le_bytes());
        put(
            &mut bytes,
            20,
            &u32::try_from(self.header_at).unwrap_or(HEADER_AT).to_le_bytes(),
        );
        put(&mut bytes, 24, &TYPE);
        self.header.encode(&mut bytes, self.header_at)?;
        let sum = crc(&[bytes.get(CRC_FROM..).unwrap_or_default()]);
        put(&mut bytes, 16, &sum.to_le_bytes());
        Ok(bytes)
    }
}
