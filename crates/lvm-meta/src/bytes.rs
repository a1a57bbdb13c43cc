//! The only slicing of disk bytes: little-endian fields at fixed places of a sector.

/// One sector: the size of a label, a PV header and a metadata area's header.
pub(crate) const SECTOR: usize = 512;

/// The bytes of a sector.
pub(crate) type Sector = [u8; SECTOR];

/// A field of `N` bytes, or zeroes past the sector's end (which callers have ruled out).
pub(crate) fn field<const N: usize>(sector: &Sector, at: usize) -> [u8; N] {
    let mut value = [0; N];
    if let Some(bytes) = at.checked_add(N).and_then(|end| sector.get(at..end)) {
        value.copy_from_slice(bytes);
    }
    value
}

pub(crate) fn u32_at(sector: &Sector, at: usize) -> u32 {
    u32::from_le_bytes(field(sector, at))
}

pub(crate) fn u64_at(sector: &Sector, at: usize) -> u64 {
    u64::from_le_bytes(field(sector, at))
}

/// Stores bytes at a place; what would pass the sector's end is not stored, and `false` says so.
pub(crate) fn put(sector: &mut Sector, at: usize, bytes: &[u8]) -> bool {
    let place = at
        .checked_add(bytes.len())
        .and_then(|end| sector.get_mut(at..end));
    place.map(|place| place.copy_from_slice(bytes)).is_some()
}

/// A length in memory as a length on disk: both have 64 bits at most.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
