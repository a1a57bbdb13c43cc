//! Metadata that read back, for tests: superblock and tree of devices, without mappings and without bitmaps.

use super::block::{self, DEVICE, INTERNAL, KEY, Kind, LEAF, MAGIC, NODE_HEADER};
use super::{BLOCK, Block, ThinDevice, ThinMetadata};

/// Entries of a leaf and of an internal node: what the kernel puts there, a multiple of 3.
const LEAF_PLACES: usize = 126;
const INTERNAL_PLACES: usize = 252;

/// What a superblock says beside the numbers of [`ThinMetadata`].
#[derive(Default)]
pub(crate) struct Place {
    /// Its own block: 0, or that of a kept snapshot.
    pub(crate) block: u64,
    /// Root of the tree of devices.
    pub(crate) devices_root: u64,
    /// Blocks of metadata in use, without the kernel's reserve.
    pub(crate) allocated: u64,
    /// Block of a kept snapshot, or 0.
    pub(crate) held: u64,
    /// Snapshots so far.
    pub(crate) time: u32,
    /// Stands where the kernel has zeroes.
    pub(crate) uuid: [u8; 16],
}

/// The superblock of some metadata.
pub(crate) fn superblock(metadata: &ThinMetadata, place: &Place) -> Box<Block> {
    let mut block = Box::new([0; BLOCK]);
    put(&mut *block, 4, &u32::from(metadata.needs_check).to_le_bytes());
    put(&mut *block, 8, &place.block.to_le_bytes());
    put(&mut *block, 16, &place.uuid);
    put(&mut *block, 32, &MAGIC.to_le_bytes());
    put(&mut *block, 40, &2u32.to_le_bytes());
    put(&mut *block, 44, &place.time.to_le_bytes());
    put(&mut *block, 48, &metadata.transaction_id.to_le_bytes());
    put(&mut *block, 56, &place.held.to_le_bytes());
    for (at, blocks, used) in [
        (64, metadata.data_blocks, metadata.data_used),
        (192, metadata.metadata_blocks, place.allocated),
    ] {
        put(&mut *block, at, &blocks.to_le_bytes());
        put(&mut *block, at + 8, &used.to_le_bytes());
    }
    put(&mut *block, 328, &place.devices_root.to_le_bytes());
    let chunk = u32::try_from(metadata.chunk).unwrap_or(u32::MAX);
    put(&mut *block, 336, &chunk.to_le_bytes());
    put(&mut *block, 340, &8u32.to_le_bytes());
    put(&mut *block, 344, &metadata.metadata_blocks.to_le_bytes());
    seal_as(&mut block, Kind::Superblock);
    block
}

/// The nodes of the tree of devices, in blocks that `allocate` gives, the root last; `None` when it has no more.
pub(crate) fn tree(
    metadata: &ThinMetadata,
    allocate: &mut dyn FnMut() -> Option<u64>,
) -> Option<Vec<(u64, Box<Block>)>> {
    let devices = metadata.devices.iter().map(|(id, device)| {
        let mut value = [0; DEVICE];
        put(&mut value, 0, &device.mapped.to_le_bytes());
        put(&mut value, 8, &device.transaction_id.to_le_bytes());
        put(&mut value, 16, &device.created.to_le_bytes());
        put(&mut value, 20, &device.snapshotted.to_le_bytes());
        (u64::from(*id), value)
    });
    let mut nodes = Vec::new();
    let mut level = level(
        LEAF,
        LEAF_PLACES,
        &devices.collect::<Vec<_>>(),
        allocate,
        &mut nodes,
    )?;
    while level.len() > 1 {
        level = self::level(INTERNAL, INTERNAL_PLACES, &level, allocate, &mut nodes)?;
    }
    Some(nodes)
}

/// Appends the nodes that hold some entries; gives the entries of the nodes above them.
fn level<const VALUE: usize>(
    flags: u32,
    places: usize,
    entries: &[(u64, [u8; VALUE])],
    allocate: &mut dyn FnMut() -> Option<u64>,
    nodes: &mut Vec<(u64, Box<Block>)>,
) -> Option<Vec<(u64, [u8; KEY])>> {
    let mut above = Vec::new();
    let none: [&[_]; 1] = [&[]];
    let parts = entries
        .chunks(places)
        .chain(none.into_iter().filter(|_| entries.is_empty()));
    for part in parts {
        let at = allocate()?;
        let mut block = Box::new([0; BLOCK]);
        put(&mut *block, 4, &flags.to_le_bytes());
        put(&mut *block, 8, &at.to_le_bytes());
        for (offset, count) in [(16, part.len()), (20, places), (24, VALUE)] {
            put(
                &mut *block,
                offset,
                &u32::try_from(count).unwrap_or(0).to_le_bytes(),
            );
        }
        for (entry, (key, value)) in part.iter().enumerate() {
            put(&mut *block, NODE_HEADER + entry * KEY, &key.to_le_bytes());
            put(&mut *block, NODE_HEADER + places * KEY + entry * VALUE, value);
        }
        seal_as(&mut block, Kind::Node);
        above.push((part.first().map_or(0, |(key, _)| *key), at.to_le_bytes()));
        nodes.push((at, block));
    }
    Some(above)
}

/// Copies bytes to a place of this file's formats, which is inside.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn seal_as(block: &mut Block, kind: Kind) {
    let checksum = block::checksum(block, kind);
    put(block, 0, &checksum.to_le_bytes());
}

/// The blocks of a pool with so many devices.
pub(crate) fn example(devices: u32) -> Vec<[u8; BLOCK]> {
    let device = |id| {
        let (mapped, transaction_id) = (u64::from(id), u64::from(id));
        let device = ThinDevice {
            mapped,
            transaction_id,
            created: id,
            snapshotted: id,
        };
        (id, device)
    };
    let metadata = ThinMetadata {
        transaction_id: 1,
        needs_check: false,
        chunk: 128,
        data_blocks: 100,
        data_used: 10,
        metadata_blocks: 1000,
        metadata_used: 0,
        devices: (0..devices).map(device).collect(),
    };
    let mut root = 0;
    let nodes = tree(&metadata, &mut || {
        root += 1;
        Some(root)
    });
    let place = Place {
        devices_root: root,
        allocated: root + 1,
        ..Place::default()
    };
    let nodes = nodes.into_iter().flatten().map(|(_, node)| *node);
    [*superblock(&metadata, &place)]
        .into_iter()
        .chain(nodes)
        .collect()
}

/// Gives block `at` of hostile metadata the checksum that its reader wants, so that it looks further.
pub(crate) fn seal(at: u64, block: &mut Block) {
    seal_as(block, if at == 0 { Kind::Superblock } else { Kind::Node });
}
