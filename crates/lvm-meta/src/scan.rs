//! Reading what one disk says: its label, its metadata areas, the text of each.  Never writes.

use std::sync::Arc;

use crate::bytes::length;
use crate::crc::Crc;
use crate::format::{DiskArea, MdaHeader, PvHeader, RawLocation, Ring, TEXT_LIMIT};
use crate::pv::{find_label, read, read_sector, size};
use crate::{CorruptKind, Disk, Error, Part};

/// The sectors in which a label can be end here.
const LABEL_END: u64 = 2048;

/// Bytes that are read of a text at once: a large one is not to wait for memory again when its checksum is computed.
const READ_BLOCK: usize = 256 << 10;

/// A disk that carries a label.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PvScan {
    /// What the PV says of itself.
    pub header: PvHeader,
    /// The sector that its label is in: 0 to 3.
    pub label_sector: u64,
    /// Its metadata areas, in the label's order.
    pub mdas: Vec<MdaScan>,
    /// Bytes of the device now.
    pub device_size: u64,
}

/// A metadata area as it was read.
#[derive(Debug)]
pub struct MdaScan {
    /// Where the label says it is.
    pub area: DiskArea,
    /// Its header.
    pub header: Result<MdaHeader, Error>,
    /// Its committed text with the closing NUL: `None` for an area that is empty, ignored, or has no good header.
    pub text: Option<Result<Arc<Vec<u8>>, Error>>,
}

impl MdaScan {
    /// The committed slot, if the header is good and names a text that counts.
    pub fn committed(&self) -> Option<RawLocation> {
        let header = self.header.as_ref().ok()?;
        (!header.is_ignored() && !header.committed.is_empty()).then_some(header.committed)
    }

    /// The place on the device of a byte of the committed text.
    pub fn text_byte(&self, at: u64) -> Option<u64> {
        let header = self.header.as_ref().ok()?;
        let offset = header.committed.offset.checked_add(at)?;
        // A text that passes the end of its area goes on behind the header's sector.
        let offset = match offset < header.size {
            true => offset,
            false => offset.checked_sub(header.size)?.checked_add(512)?,
        };
        header.start.checked_add(offset)
    }
}

/// Reads a disk.
///
/// `Ok(None)` when nothing on it claims to be a label.  A metadata area that is broken is told in its [`MdaScan`] and
/// stops no other.  Memory is bounded by the sizes of the texts, each at most 512 MiB and inside
/// its device.
///
/// # Errors
/// [`Error::Io`]; [`Error::Corrupt`] when what claims to be a label is none.
pub fn scan(disk: &dyn Disk) -> Result<Option<PvScan>, Error> {
    let Some(label) = find_label(disk)? else {
        return Ok(None);
    };
    let device_size = size(disk)?;
    let areas = &label.header.metadata_areas;
    let mut mdas = Vec::with_capacity(areas.len());
    for (number, area) in areas.iter().enumerate() {
        let others = areas.get(..number).unwrap_or_default();
        let header = read_header(disk, *area, device_size).and_then(|header| {
            if others.iter().any(|other| other.overlaps(area)) {
                Err(corrupt_area(area.offset, "area in another one", area.offset, 0))
            } else {
                Ok(header)
            }
        });
        let text = match &header {
            Ok(header) if !header.is_ignored() && !header.committed.is_empty() => {
                Some(read_text(disk, header, &header.committed))
            }
            _ => None,
        };
        mdas.push(MdaScan {
            area: *area,
            header,
            text,
        });
    }
    Ok(Some(PvScan {
        header: label.header,
        label_sector: label.sector.get(),
        mdas,
        device_size,
    }))
}

fn corrupt_area(at: u64, field: &'static str, found: u64, expected: u64) -> Error {
    let kind = CorruptKind::Field {
        field,
        found,
        expected,
    };
    Error::Corrupt {
        part: Part::MdaHeader,
        at,
        kind,
    }
}

/// Reads and verifies the header of an area that a label names.
///
/// LVM goes by the size in the area's own header, wherever that reaches.  Writing by it must touch nothing but the
/// area, so here it is an error when it passes the label's.
pub(crate) fn read_header(disk: &dyn Disk, area: DiskArea, device_size: u64) -> Result<MdaHeader, Error> {
    let corrupt = |field, found, expected| Err(corrupt_area(area.offset, field, found, expected));
    if area.offset < LABEL_END || !area.offset.is_multiple_of(512) {
        return corrupt("area start", area.offset, LABEL_END);
    }
    if area.offset.checked_add(512).is_none_or(|end| end > device_size) {
        return corrupt("area start", area.offset, device_size);
    }
    let header = MdaHeader::decode(&read_sector(disk, area.offset)?, area.offset)?;
    if header.size > area.size {
        return corrupt("area size", header.size, area.size);
    }
    match header.start.checked_add(header.size) {
        Some(end) if end <= device_size => Ok(header),
        end => corrupt("area end", end.unwrap_or(u64::MAX), device_size),
    }
}

/// Reads and verifies a text.
pub(crate) fn read_text(
    disk: &dyn Disk,
    header: &MdaHeader,
    slot: &RawLocation,
) -> Result<Arc<Vec<u8>>, Error> {
    let place = Ring::new(header.size).locate(slot, header.start)?;
    let too_large = Error::TextTooLarge {
        length: slot.size,
        capacity: TEXT_LIMIT,
    };
    let size = usize::try_from(slot.size)
        .ok()
        .filter(|_| slot.size <= TEXT_LIMIT)
        .ok_or(too_large)?;
    let mut text = vec![0; size];
    let at = header.start.saturating_add(place.offset);
    let (first, wrapped) = text.split_at_mut(usize::try_from(place.first).unwrap_or(size).min(size));
    let mut sum = Crc::new();
    let wrapped_at = header.start.saturating_add(512);
    for (mut at, part) in [(at, first), (wrapped_at, wrapped)] {
        for block in part.chunks_mut(READ_BLOCK) {
            read(disk, at, block)?;
            // While it is in the processor's cache.
            sum.update(block);
            at = at.saturating_add(length(block));
        }
    }
    let computed = sum.finish();
    if computed != slot.checksum {
        let kind = CorruptKind::Checksum {
            stored: slot.checksum,
            computed,
        };
        return Err(Error::Corrupt {
            part: Part::Text,
            at,
            kind,
        });
    }
    debug_assert_eq!(length(&text), slot.size);
    // A vector that is shared, and no slice: of a large text a copy costs half as much as its parsing.
    Ok(Arc::new(text))
}
