//! How large the store of a snapshot may be.  Reference: LVM2 `lib/metadata/snapshot_manip.c`.

use lvm_meta::{Extents, Sectors, Vg};

use crate::Error;
use crate::storage_pool::no_space;

/// What is copied at a time: LVM's default.
pub(crate) const CHUNK: Sectors = Sectors::new(8);
/// Bytes at the start of a store that tell the kernel that it is new.
pub(crate) const HEADER: u64 = CHUNK.get() * Sectors::SIZE;
/// A header, a list of what is stored, and something stored.
const LEAST_CHUNKS: u64 = 3;
/// Bytes that the list needs for one chunk.
const ENTRY: u64 = 16;

/// Sectors of a store that holds all of an origin: more is never used, and LVM makes none larger.
fn most(origin: u64) -> u64 {
    let chunk = CHUNK.get();
    let chunks = origin.div_ceil(chunk);
    // A list that is full is followed by an empty one.
    let lists = chunks / (HEADER / ENTRY) + 1;
    chunks
        .saturating_add(lists)
        .saturating_add(1)
        .saturating_mul(chunk)
}

/// The extents of a store of `size` bytes for an origin: rounded up, and no more than can ever be used.
///
/// # Errors
/// [`Error::InvalidArgument`] below three chunks, [`Error::NoSpace`] for a size beyond the format.
pub(crate) fn store_extents(vg: &Vg, origin: Extents, size: u64) -> Result<Extents, Error> {
    let least = LEAST_CHUNKS * HEADER;
    if size < least {
        return Err(Error::InvalidArgument {
            what: "snapshot size",
            given: size.to_string(),
            why: format!("a snapshot needs {least} bytes"),
        });
    }
    let extent_size = vg.extent_size();
    let most = most(extent_size.to_sectors(origin).get()).saturating_mul(Sectors::SIZE);
    let beyond = || no_space(vg, size, String::new());
    extent_size.extents_ceil(size.min(most)).ok_or_else(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_needs_no_more_than_every_chunk_a_list_of_them_and_a_header() {
        // 4 KiB chunks, 256 in a list, and an empty list behind a full one.
        for (chunks, want) in [(1, 3), (255, 257), (256, 259), (257, 260), (512, 516)] {
            assert_eq!(most(chunks * 8), want * 8, "{chunks}");
        }
        assert_eq!(most(u64::MAX), u64::MAX);
    }
}
