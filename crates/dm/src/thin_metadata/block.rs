//! One block: its fields, its checksum, and the two kinds that are read here.  All integers are little-endian.
//!
//! Superblock, block 0:
//!
//! | byte | size | field                                              |
//! | ---: | ---: | -------------------------------------------------- |
//! |    0 |    4 | checksum: crc32c of the rest, salted               |
//! |    4 |    4 | flags; bit 0: needs a check                        |
//! |    8 |    8 | this block's number                                |
//! |   16 |   16 | uuid, unused                                       |
//! |   32 |    8 | magic number                                       |
//! |   40 |    4 | version                                            |
//! |   44 |    4 | time: counts snapshots                             |
//! |   48 |    8 | transaction id                                     |
//! |   56 |    8 | block of a kept snapshot of the metadata, or 0     |
//! |   64 |  128 | root of the data's space map                       |
//! |  192 |  128 | root of the metadata's space map                   |
//! |  320 |    8 | root of the mappings                               |
//! |  328 |    8 | root of the devices                                |
//! |  336 |    4 | sectors of a data block                            |
//! |  340 |    4 | sectors of a metadata block: 8                     |
//! |  344 |    8 | metadata blocks when it was formatted              |
//! |  352 |   12 | features: compatible, read-only compatible, others |
//!
//! A space map's root begins with two u64: blocks in all, blocks in use.
//!
//! Node of a tree: checksum u32, flags u32 (1 internal, 2 leaf), block u64, entries u32, places u32, bytes of a value u32,
//! padding u32; then the keys of all places as u64, then their values.  An internal node's value is a child's block, its
//! key the lowest that the child may have.  A device's value: blocks mapped u64, transaction u64, created u32,
//! last snapshot u32.
//!
//! Reference: Linux `drivers/md/dm-thin-metadata.c`, `drivers/md/persistent-data/dm-btree-internal.h`.

use super::{BLOCK, Block, ThinDevice, ThinMetadataProblem as Problem};

pub(super) const MAGIC: u64 = 27_022_010;
pub(super) const NODE_HEADER: usize = 32;
pub(super) const INTERNAL: u32 = 1;
pub(super) const LEAF: u32 = 2;
/// Bytes of a key, and of an internal node's value.
pub(super) const KEY: usize = 8;
/// Bytes of a device's value.
pub(super) const DEVICE: usize = 24;
/// Sectors of a data block: what the kernel takes.
pub(crate) const CHUNK_UNIT: u64 = 128;
pub(crate) const CHUNK_LIMIT: u64 = 1 << 21;
/// Blocks of metadata of which the kernel keeps a tenth back for itself, and counts it as used.
const RESERVE_LIMIT: u64 = 4096;

/// What a block is, which salts its checksum.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Superblock,
    Node,
}

/// The checksum that a block must have.
pub(super) fn checksum(block: &Block, kind: Kind) -> u32 {
    let salt = match kind {
        Kind::Superblock => 160_774,
        Kind::Node => 121_107,
    };
    let (_, rest) = block.split_at(4);
    // The kernel leaves out the inversion at the end.
    !crc32c::crc32c(rest) ^ salt
}

/// A number of the block; the place is one of this file's, so inside.
fn u32_at(block: &Block, at: usize) -> u32 {
    let bytes = block.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(block: &Block, at: usize) -> u64 {
    let bytes = block.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Checks what every block has.
fn verify(block: &Block, at: u64, kind: Kind) -> Result<(), Problem> {
    let (stored, computed) = (u32_at(block, 0), checksum(block, kind));
    if stored != computed {
        return Err(Problem::Checksum { stored, computed });
    }
    let stored = u64_at(block, 8);
    if stored != at {
        return Err(Problem::Position { stored });
    }
    Ok(())
}

/// A superblock that was checked.
pub(super) struct Superblock {
    pub(super) needs_check: bool,
    pub(super) transaction_id: u64,
    pub(super) devices_root: u64,
    pub(super) chunk: u64,
    /// Blocks in use, and in all.
    pub(super) data: (u64, u64),
    /// The same; in use is what the kernel says, with its reserve.
    pub(super) metadata: (u64, u64),
}

impl Superblock {
    pub(super) fn decode(block: &Block) -> Result<Self, Problem> {
        let stored = u64_at(block, 32);
        if stored != MAGIC {
            return Err(Problem::Magic { stored });
        }
        verify(block, 0, Kind::Superblock)?;
        let version = u32_at(block, 40);
        if !(1..=2).contains(&version) {
            return Err(Problem::Version { stored: version });
        }
        let flags = u32_at(block, 360);
        if flags != 0 {
            return Err(Problem::Features { flags });
        }
        let chunk = u64::from(u32_at(block, 336));
        if !(CHUNK_UNIT..=CHUNK_LIMIT).contains(&chunk) || !chunk.is_multiple_of(CHUNK_UNIT) {
            return Err(Problem::Value {
                field: "data block's size in sectors",
                stored: chunk,
                expected: "a multiple of 128 up to 2097152",
            });
        }
        let metadata_block = u32_at(block, 340);
        if metadata_block != 8 {
            return Err(Problem::Value {
                field: "metadata block's size in sectors",
                stored: metadata_block.into(),
                expected: "8",
            });
        }
        let data = space("data", block, 64)?;
        let (allocated, blocks) = space("metadata", block, 192)?;
        Ok(Self {
            needs_check: u32_at(block, 4) & 1 != 0,
            transaction_id: u64_at(block, 48),
            devices_root: u64_at(block, 328),
            chunk,
            data,
            metadata: (with_reserve(allocated, blocks), blocks),
        })
    }
}

/// Blocks in use and in all, by the root of a space map.
fn space(what: &'static str, block: &Block, at: usize) -> Result<(u64, u64), Problem> {
    let (blocks, used) = (u64_at(block, at), u64_at(block, at + 8));
    if used > blocks {
        return Err(Problem::Space { what, used, blocks });
    }
    Ok((used, blocks))
}

/// Blocks of metadata in use as the kernel tells them: what it keeps back for a commit counts as used.
pub(crate) fn with_reserve(allocated: u64, blocks: u64) -> u64 {
    let reserve = (blocks / 10).min(RESERVE_LIMIT);
    allocated.saturating_add(reserve).min(blocks)
}

/// A node whose header was checked.
pub(super) struct Node<'b> {
    block: &'b Block,
    pub(super) is_leaf: bool,
    pub(super) entries: usize,
    values_at: usize,
}

impl<'b> Node<'b> {
    /// Checks a node of the tree of devices.
    pub(super) fn decode(block: &'b Block, at: u64) -> Result<Self, Problem> {
        verify(block, at, Kind::Node)?;
        let flags = u32_at(block, 4);
        if flags != INTERNAL && flags != LEAF {
            return Err(Problem::Value {
                field: "kind of a node",
                stored: flags.into(),
                expected: "1 or 2",
            });
        }
        let is_leaf = flags == LEAF;
        let (value, expected) = if is_leaf { (DEVICE, "24") } else { (KEY, "8") };
        let (entries, places, stored) = (u32_at(block, 16), u32_at(block, 20), u32_at(block, 24));
        if usize::try_from(stored) != Ok(value) {
            return Err(Problem::Value {
                field: "value's size",
                stored: stored.into(),
                expected,
            });
        }
        let fit = (BLOCK - NODE_HEADER) / (KEY + value);
        let places = usize::try_from(places).unwrap_or(usize::MAX).min(fit + 1);
        let limit = u32::try_from(places.min(fit)).unwrap_or(0);
        if places > fit || entries > limit {
            return Err(Problem::Entries { entries, limit });
        }
        Ok(Self {
            block,
            is_leaf,
            entries: usize::try_from(entries).unwrap_or(0),
            values_at: NODE_HEADER + places * KEY,
        })
    }

    pub(super) fn key(&self, entry: usize) -> u64 {
        u64_at(self.block, NODE_HEADER + entry * KEY)
    }

    /// The child of an internal node.
    pub(super) fn child(&self, entry: usize) -> u64 {
        u64_at(self.block, self.values_at + entry * KEY)
    }

    /// The value of a leaf.
    pub(super) fn device(&self, entry: usize) -> ThinDevice {
        let at = self.values_at + entry * DEVICE;
        ThinDevice {
            mapped: u64_at(self.block, at),
            transaction_id: u64_at(self.block, at + 8),
            created: u32_at(self.block, at + 16),
            snapshotted: u32_at(self.block, at + 20),
        }
    }
}
