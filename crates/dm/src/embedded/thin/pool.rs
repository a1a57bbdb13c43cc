//! A pool's state: which device has which blocks, and what is free.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::Mark;
use super::features::Features;
use crate::thin_metadata::with_reserve;
use crate::{DeviceNumber, ThinDevice, ThinMetadata, ThinPoolMode};

/// Mappings that a block of metadata holds.
const MAPPINGS: u64 = 252;

/// A thin device: its numbers, and for each of its blocks the data block, and the pool's time when it was mapped.
#[derive(Clone)]
pub(super) struct Mapped {
    pub(super) device: ThinDevice,
    pub(super) blocks: BTreeMap<u64, (u64, u32)>,
}

/// Metadata that stay as they were: what is used by them is not free.
pub(super) struct Held {
    /// The copy of the superblock.
    pub(super) block: u64,
    /// The nodes that it names.
    pub(super) tree: Vec<u64>,
    pub(super) thins: BTreeMap<u32, Mapped>,
}

pub(super) struct Pool {
    pub(super) mark: Mark,
    pub(super) metadata: DeviceNumber,
    pub(super) data: DeviceNumber,
    /// Sectors of a block.
    pub(super) chunk: u64,
    pub(super) features: Features,
    pub(super) low_water: u64,
    pub(super) mode: ThinPoolMode,
    pub(super) low_water_told: bool,
    pub(super) transaction_id: u64,
    /// Counts snapshots: a block that is older than its device's last one is shared.
    pub(super) time: u32,
    pub(super) data_blocks: u64,
    pub(super) metadata_blocks: u64,
    pub(super) thins: BTreeMap<u32, Mapped>,
    /// How many devices and kept snapshots name each data block in use.
    uses: BTreeMap<u64, u32>,
    /// No block below is free.
    first_free: u64,
    pub(super) held: Option<Held>,
    /// The nodes that the superblock on the disk names.
    pub(super) tree: Vec<u64>,
    /// The superblock on the disk.
    pub(super) committed: Vec<u8>,
    /// The event counter of the device that maps it.
    pub(super) events: Arc<AtomicU32>,
    /// Somebody is to be told.
    pub(super) raised: Arc<AtomicBool>,
}

/// Where a block of a thin device is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    /// In a block that nobody else reads.
    Own(u64),
    /// In one that a snapshot may read.
    Shared(u64),
}

impl Pool {
    /// A pool without devices, and of no size before it is first mapped.
    pub(super) fn new(
        mark: Mark,
        metadata: DeviceNumber,
        data: DeviceNumber,
        chunk: u64,
        raised: Arc<AtomicBool>,
    ) -> Self {
        Self {
            mark,
            metadata,
            data,
            chunk,
            features: Features::default(),
            low_water: 0,
            mode: ThinPoolMode::Write,
            low_water_told: false,
            transaction_id: 0,
            time: 0,
            data_blocks: 0,
            metadata_blocks: 0,
            thins: BTreeMap::new(),
            uses: BTreeMap::new(),
            first_free: 0,
            held: None,
            tree: Vec::new(),
            committed: Vec::new(),
            events: Arc::default(),
            raised,
        }
    }

    /// Bytes of a block.
    pub(super) fn chunk_bytes(&self) -> u64 {
        self.chunk * 512
    }

    pub(super) fn data_used(&self) -> u64 {
        self.uses.len() as u64
    }

    fn data_free(&self) -> u64 {
        self.data_blocks.saturating_sub(self.data_used())
    }

    /// Blocks of metadata in use, the reserve not counted.  The mappings count as if they were there.
    pub(super) fn metadata_allocated(&self) -> u64 {
        let held = self.held.as_ref();
        let nodes = self.tree.len() + held.map_or(0, |held| held.tree.len() + 1);
        let thins = self
            .thins
            .values()
            .chain(held.iter().flat_map(|held| held.thins.values()));
        let mappings = thins.map(|thin| 1 + thin.device.mapped / MAPPINGS);
        (1 + nodes as u64)
            .saturating_add(mappings.sum())
            .min(self.metadata_blocks)
    }

    /// What a reader of the metadata finds after a commit.
    pub(super) fn summary(&self) -> ThinMetadata {
        ThinMetadata {
            transaction_id: self.transaction_id,
            needs_check: false,
            chunk: self.chunk,
            data_blocks: self.data_blocks,
            data_used: self.data_used(),
            metadata_blocks: self.metadata_blocks,
            metadata_used: with_reserve(self.metadata_allocated(), self.metadata_blocks),
            devices: self.thins.iter().map(|(id, thin)| (*id, thin.device)).collect(),
        }
    }

    /// Raises an event of the device that maps it.
    pub(super) fn raise(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.raised.store(true, Ordering::Relaxed);
    }

    /// Changes how it serves, which is an event.  What failed stays so.
    pub(super) fn set_mode(&mut self, mode: ThinPoolMode) {
        if self.mode != mode && self.mode != ThinPoolMode::Failed {
            self.mode = mode;
            self.raise();
        }
    }

    /// Goes on when there is space again.
    pub(super) fn check_space(&mut self) {
        if self.mode == ThinPoolMode::OutOfDataSpace && self.data_free() > 0 {
            self.set_mode(ThinPoolMode::Write);
        }
    }

    pub(super) fn place(&self, id: u32, block: u64) -> Place {
        let Some(thin) = self.thins.get(&id) else {
            return Place::Nowhere;
        };
        match thin.blocks.get(&block) {
            None => Place::Nowhere,
            // As in the kernel: it looks not at who else has the block, but at its age.
            Some((at, time)) if *time < thin.device.snapshotted => Place::Shared(*at),
            Some((at, _)) => Place::Own(*at),
        }
    }

    /// The first free data block; `None`, from then on out of space, if there is none.
    pub(super) fn allocate(&mut self) -> Option<u64> {
        let free = self.data_free();
        if free <= self.low_water && !self.low_water_told {
            self.low_water_told = true;
            self.raise();
        }
        if free == 0 {
            self.set_mode(ThinPoolMode::OutOfDataSpace);
            return None;
        }
        while self.uses.contains_key(&self.first_free) {
            self.first_free += 1;
        }
        self.uses.insert(self.first_free, 1);
        Some(self.first_free)
    }

    /// Names a block once more.
    pub(super) fn keep(&mut self, at: u64) {
        *self.uses.entry(at).or_default() += 1;
    }

    /// Names a block once less; it is free after the last.
    pub(super) fn drop_block(&mut self, at: u64) {
        if let Some(count) = self.uses.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.uses.remove(&at);
                self.first_free = self.first_free.min(at);
            }
        }
    }

    /// Maps a block of a device to a data block that [`Pool::allocate`] gave.
    pub(super) fn map(&mut self, id: u32, block: u64, at: u64) {
        let time = self.time;
        let Some(thin) = self.thins.get_mut(&id) else {
            return self.drop_block(at);
        };
        match thin.blocks.insert(block, (at, time)) {
            None => thin.device.mapped += 1,
            Some((old, _)) => self.drop_block(old),
        }
    }
}
