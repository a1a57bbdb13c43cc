//! Reading what one disk says: its label, its metadata areas, the text of each.  Never writes.

use std::sync::Arc;

use crate::bytes::length;
use crate::crc::crc;
use crate::format::{DiskArea, MdaHeader, PvHeader, RawLocation, Ring};
use crate::pv::{find_label, read, read_sector};
use crate::{CorruptKind, Disk, Error, IoOp, Part};

/// A disk that carries a label.
#[derive(Debug)]
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
    pub text: Option<Result<Arc<[u8]>, Error>>,
}

impl MdaScan {
    /// The committed slot, if the header is good and names a text that counts.
    pub fn committed(&self) -> Option<RawLocation> {
        let header = self.header.as_ref().ok()?;
        (!header.is_ignored() && !header.committed.is_empty()).then_some(header.committed)
    }
}

/// Reads a disk.
///
/// `Ok(None)` when nothing on it claims to be a label.  A metadata area that is broken is told in its [`MdaScan`] and
/// stops no other.  Memory is bounded by the sizes of the areas, each at most 4 GiB and inside the device.
///
/// # Errors
/// [`Error::Io`]; [`Error::Corrupt`] when what claims to be a label is none.
pub fn scan(disk: &dyn Disk) -> Result<Option<PvScan>, Error> {
    let Some(label) = find_label(disk)? else {
        return Ok(None);
    };
    let device_size = disk.size().map_err(|source| Error::Io {
        op: IoOp::Read,
        at: 0,
        len: 0,
        source,
    })?;
    let mut mdas: Vec<MdaScan> = Vec::new();
    for area in &label.header.metadata_areas {
        let header = read_header(disk, area.offset, device_size);
        let text = match &header {
            Ok(header) if !header.is_ignored() && !header.committed.is_empty() => {
                // The same text is read once, as its size and checksum promise.
                let known = mdas.iter().find(|other| {
                    other.committed().is_some_and(|slot| {
                        (slot.size, slot.checksum) == (header.committed.size, header.committed.checksum)
                    })
                });
                match known.and_then(|other| other.text.as_ref()?.as_ref().ok()) {
                    Some(text) => Some(Ok(text.clone())),
                    None => Some(read_text(disk, header, &header.committed)),
                }
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

/// Reads and verifies the header of the area at `at`.
pub(crate) fn read_header(disk: &dyn Disk, at: u64, device_size: u64) -> Result<MdaHeader, Error> {
    let past = |end: u64| Error::Corrupt {
        part: Part::MdaHeader,
        at,
        kind: CorruptKind::Field {
            field: "area end",
            found: end,
            expected: device_size,
        },
    };
    if at.checked_add(512).is_none_or(|end| end > device_size) {
        return Err(past(at));
    }
    let header = MdaHeader::decode(&read_sector(disk, at)?, at)?;
    match header.start.checked_add(header.size) {
        Some(end) if end <= device_size => Ok(header),
        end => Err(past(end.unwrap_or(u64::MAX))),
    }
}

/// Reads and verifies a text.
pub(crate) fn read_text(disk: &dyn Disk, header: &MdaHeader, slot: &RawLocation) -> Result<Arc<[u8]>, Error> {
    let place = Ring::new(header.size).locate(slot, header.start)?;
    let size = usize::try_from(slot.size).map_err(|_| Error::TextTooLarge {
        length: slot.size,
        capacity: 0,
    })?;
    let mut text = vec![0; size];
    let at = header.start.saturating_add(place.offset);
    let (first, wrapped) = text.split_at_mut(usize::try_from(place.first).unwrap_or(size).min(size));
    read(disk, at, first)?;
    if !wrapped.is_empty() {
        read(disk, header.start.saturating_add(512), wrapped)?;
    }
    let computed = crc(&[&text]);
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
    Ok(text.into())
}
