//! What a thin pool's metadata say, read from their device by ourselves: also of a pool that is not active.
//!
//! Read are the superblock and the tree of devices, or the way to one of them: the numbers of the pool and of each thin
//! device, not the mappings.

mod block;
mod problem;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod write;

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;

use crate::Error;
#[cfg(any(test, feature = "testing"))]
pub(crate) use block::{CHUNK_LIMIT, CHUNK_UNIT, with_reserve};
use block::{Node, Superblock};
pub use problem::ThinMetadataProblem;

/// Bytes of a block.
const BLOCK: usize = 4096;
type Block = [u8; BLOCK];
/// Most nodes between the root and a leaf: far more than any number of devices needs.
const DEPTH_LIMIT: u32 = 16;
/// How often the whole is read while the kernel goes on writing.
const TRIES: u32 = 16;
/// Devices of a pool have numbers below this one.
pub(crate) const ID_END: u64 = 1 << 24;

/// The state of a thin pool, as its last commit left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinMetadata {
    /// The transaction id.
    pub transaction_id: u64,
    /// They want a check before they may be written again.
    pub needs_check: bool,
    /// Sectors of a data block.
    pub chunk: u64,
    /// Blocks of data in all; none before the pool was first active.
    pub data_blocks: u64,
    /// Blocks of data in use.
    pub data_used: u64,
    /// Blocks of 4 KiB of metadata in all.
    pub metadata_blocks: u64,
    /// Blocks of 4 KiB of metadata in use, with those that the kernel keeps back and counts as used, too.
    pub metadata_used: u64,
    /// The thin devices by their numbers, as far as they were asked for.
    pub devices: BTreeMap<u32, ThinDevice>,
}

/// A device of a thin pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinDevice {
    /// Data blocks that it has, shared ones included.
    pub mapped: u64,
    /// The pool's transaction id when it was made.
    pub transaction_id: u64,
    /// The pool's count of snapshots when it was made.
    pub created: u32,
    /// The same count when it was last an origin or a snapshot.
    pub snapshotted: u32,
}

impl ThinMetadata {
    /// Reads the metadata through `read_block`, which fills a block of 4 KiB by its number, past any cache.
    ///
    /// `None` when the superblock is all zeroes: the kernel formats it when it first maps the pool.
    ///
    /// The pool may be live.  The kernel overwrites nothing that the last commit names before the next one, so if the
    /// superblock is still the same after all was read, all is of one commit; if not, it is read anew, a few times.
    ///
    /// Never panics, whatever the blocks hold; memory is bounded by the leaves of the tree of devices.
    ///
    /// # Errors
    /// [`Error::ThinMetadata`] for blocks that break the format, and when the pool is never still for long enough;
    /// [`Error::ReadThinMetadata`] with what `read_block` says.
    pub fn read(
        read_block: &mut dyn FnMut(u64, &mut [u8; 4096]) -> io::Result<()>,
    ) -> Result<Option<Self>, Error> {
        Self::read_devices(0..=u32::MAX, read_block)
    }

    /// As [`ThinMetadata::read`], of the devices those with these numbers alone: of one it reads a block for each level of
    /// the tree, which are two or three.  What other blocks hold is not looked at.
    ///
    /// # Errors
    /// As [`ThinMetadata::read`].
    pub fn read_devices(
        wanted: RangeInclusive<u32>,
        read_block: &mut dyn FnMut(u64, &mut [u8; 4096]) -> io::Result<()>,
    ) -> Result<Option<Self>, Error> {
        let mut reader = Reader { read_block, wanted };
        let mut superblock = reader.block(0)?;
        for _ in 0..TRIES {
            if superblock.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let found = reader.commit(&superblock);
            let now = reader.block(0)?;
            if now == superblock {
                return found.map(Some);
            }
            superblock = now;
        }
        Err(refused(0, ThinMetadataProblem::Changing { tries: TRIES }))
    }
}

fn refused(block: u64, problem: ThinMetadataProblem) -> Error {
    Error::ThinMetadata { block, problem }
}

struct Reader<'r> {
    read_block: &'r mut dyn FnMut(u64, &mut Block) -> io::Result<()>,
    wanted: RangeInclusive<u32>,
}

/// Keys that a node may have, and where it is.
struct Range {
    from: u64,
    end: u64,
    /// Nodes above it.
    depth: u32,
}

impl Reader<'_> {
    fn block(&mut self, at: u64) -> Result<Box<Block>, Error> {
        let mut block = Box::new([0; BLOCK]);
        (self.read_block)(at, &mut block).map_err(|source| Error::ReadThinMetadata { block: at, source })?;
        Ok(block)
    }

    /// What one superblock names.
    fn commit(&mut self, superblock: &Block) -> Result<ThinMetadata, Error> {
        let superblock = Superblock::decode(superblock).map_err(|problem| refused(0, problem))?;
        let (metadata_used, metadata_blocks) = superblock.metadata;
        let (data_used, data_blocks) = superblock.data;
        let mut metadata = ThinMetadata {
            transaction_id: superblock.transaction_id,
            needs_check: superblock.needs_check,
            chunk: superblock.chunk,
            data_blocks,
            data_used,
            metadata_blocks,
            metadata_used,
            devices: BTreeMap::new(),
        };
        let all = Range {
            from: 0,
            end: ID_END,
            depth: 0,
        };
        self.node(0, superblock.devices_root, &all, &mut metadata)?;
        Ok(metadata)
    }

    /// Tells whether a range that is not broken has keys that were asked for.
    fn may_want(&self, range: &Range) -> bool {
        let (first, last) = (u64::from(*self.wanted.start()), u64::from(*self.wanted.end()));
        range.from >= range.end || (range.from <= last && first < range.end)
    }

    /// Takes the devices below a node that `parent` names.  Each leaf brings keys above all before it, so no node is
    /// taken twice, and what is taken is on the disk.
    fn node(
        &mut self,
        parent: u64,
        at: u64,
        range: &Range,
        metadata: &mut ThinMetadata,
    ) -> Result<(), Error> {
        let blocks = metadata.metadata_blocks;
        if at == 0 || at >= blocks {
            return Err(refused(
                parent,
                ThinMetadataProblem::Outside { child: at, blocks },
            ));
        }
        if range.depth > DEPTH_LIMIT {
            return Err(refused(at, ThinMetadataProblem::Depth { limit: DEPTH_LIMIT }));
        }
        let block = self.block(at)?;
        let node = Node::decode(&block, at).map_err(|problem| refused(at, problem))?;
        // The root of a pool without devices is an empty leaf; no other node is empty.
        if node.entries == 0 && !(node.is_leaf && range.depth == 0) {
            let problem = ThinMetadataProblem::Value {
                field: "number of entries",
                stored: 0,
                expected: "1 or more",
            };
            return Err(refused(at, problem));
        }
        let mut from = range.from;
        for entry in 0..node.entries {
            let (key, end) = (node.key(entry), range.end);
            if key < from || key >= end {
                return Err(refused(at, ThinMetadataProblem::Order { key, from, end }));
            }
            from = key.saturating_add(1);
            if node.is_leaf {
                let id = u32::try_from(key).unwrap_or(u32::MAX);
                if self.wanted.contains(&id) {
                    metadata.devices.insert(id, node.device(entry));
                }
            } else {
                let last = entry + 1 == node.entries;
                let below = Range {
                    from: key,
                    end: if last { end } else { node.key(entry + 1).min(end) },
                    depth: range.depth + 1,
                };
                if self.may_want(&below) {
                    self.node(at, node.child(entry), &below, metadata)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
