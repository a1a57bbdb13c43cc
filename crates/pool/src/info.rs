//! What a pool and a replica tell about themselves.  All sizes are bytes.

use std::path::PathBuf;

use lvm_meta::VgId;
use uuid::Uuid;

use crate::{Error, ReplicaUri};

/// Whether an object serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum State {
    /// Everything is there.
    Online,
    /// Something is missing or wrong, but data is served.
    Degraded,
    /// Data is not served.
    Faulted,
}

impl State {
    /// The word for it: `online`, `degraded` or `faulted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Faulted => "faulted",
        }
    }
}

/// A pool's properties, as of one sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolInfo {
    /// The VG's name.
    pub name: String,
    /// The UUID it is known by; see [`System`](crate::System) on spellings.
    pub uuid: Uuid,
    /// The VG's id.
    pub vg_id: VgId,
    /// Whether it serves, its thin pool included.
    pub state: State,
    /// Why it does not, or why it refuses changes.
    pub reasons: Vec<String>,
    /// The paths of its disks, in the order of its PVs; a missing disk has the path it had last.
    pub disks: Vec<PathBuf>,
    /// All its extents.
    pub capacity: u64,
    /// Its allocated extents, foreign LVs included; of the thin pool's data the chunks in use.
    pub used: u64,
    /// What its replicas may come to need: the sizes of replicas and clones, and what snapshots have allocated.
    pub committed: u64,
    /// The raw sizes of its disks.
    pub disk_capacity: u64,
    /// One extent.
    pub extent_size: u64,
    /// The metadata's sequence number: one more with each commit.
    pub seqno: u32,
    /// The largest metadata text that fits the smallest area in use.
    pub metadata_size: u64,
    /// The present metadata text.
    pub metadata_used: u64,
    /// The thin pool that is meant where none is named: its own, or the only one.
    pub thin_pool: Option<ThinPoolInfo>,
    /// All thin pools, those of others included, in the order of the metadata.
    pub thin_pools: Vec<ThinPoolInfo>,
    /// The tags that callers set, not the engine's own.
    pub tags: Vec<String>,
    /// The visible LVs that are not replicas.
    pub foreign_lvs: Vec<String>,
}

/// A pool, and what was put right in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TendedPool {
    /// The pool as it is now.
    pub pool: PoolInfo,
    /// What was done, for people; empty when there was nothing to do.
    pub done: Vec<String>,
}

impl PoolInfo {
    /// The thin pool whose LV has this name, or the one that is meant where none is named.
    ///
    /// # Errors
    /// [`Error::NoThinPool`]; [`Error::ManyThinPools`] if one has to be named; [`Error::LvNotFound`].
    pub fn find_thin_pool(&self, name: Option<&str>) -> Result<&ThinPoolInfo, Error> {
        let pool = || self.name.clone();
        match name {
            Some(name) => {
                let mut all = self.thin_pools.iter();
                let found = all.find(|pool| pool.name == name);
                found.ok_or_else(|| Error::LvNotFound(format!("{}/{name}", self.name)))
            }
            None if self.thin_pools.len() > 1 && self.thin_pool.is_none() => Err(Error::ManyThinPools {
                pool: pool(),
                names: self.thin_pools.iter().map(|pool| pool.name.clone()).collect(),
            }),
            None => self
                .thin_pool
                .as_ref()
                .ok_or_else(|| Error::NoThinPool { pool: pool() }),
        }
    }
}

/// The properties of a storage pool's thin pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThinPoolInfo {
    /// Its LV's name.
    pub name: String,
    /// What is mapped at a time.
    pub chunk_size: u64,
    /// The space of its data.
    pub data_size: u64,
    /// The chunks in use, to the byte; all of them when nobody can tell.
    pub data_used: u64,
    /// The space of the kernel's metadata.
    pub metadata_size: u64,
    /// The metadata in use.
    pub metadata_used: u64,
    /// The number of the last change of its set of volumes.
    pub transaction_id: u64,
    /// `online`; `inactive`; `out_of_data_space`: writes that need a chunk wait or fail; `read_only`: they fail until there is
    /// more metadata; `needs_check`: they fail until the metadata were checked; `failed`: all I/O fails.
    pub state: &'static str,
    /// How its data lie, in the words of [`Layout`](crate::Layout).
    pub layout: String,
    /// Whether its volumes are served, and whether the arrays on which they lie can lose an image.
    pub health: State,
    /// The images of its data and then those of its metadata, as far as they are arrays.
    pub array: Option<ArrayInfo>,
}

/// Where a snapshot keeps what the replica was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotKind {
    /// In the thin pool, beside the replica.
    Thin,
    /// In a store of its own, to which the replica's data is copied before it is overwritten.
    Cow,
}

impl SnapshotKind {
    /// `thin` or `cow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thin => "thin",
            Self::Cow => "cow",
        }
    }
}

/// A snapshot's properties, as of one sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its UUID: the LV's name.
    pub uuid: Uuid,
    /// Its name, as given.
    pub name: String,
    /// The replica that it was taken of, which may be gone.
    pub source_uuid: String,
    /// The volume that it belongs to.
    pub entity_id: String,
    /// The transaction of the volume's snapshot.
    pub txn_id: String,
    /// When it was taken, in RFC 3339.
    pub create_time: String,
    /// The size of the replica when it was taken.
    pub size: u64,
    /// The space that it takes: of a thin one the chunks that it has, shared ones included; of a classic one what its store
    /// holds, or the whole store when nobody counts that.
    pub allocated: u64,
    /// How many replicas are clones of it.
    pub num_clones: usize,
    /// Everything is known of it that a snapshot is made with, and its store was never full.
    pub valid: bool,
    /// Where it keeps what the replica was.
    pub kind: SnapshotKind,
    /// The size of its store; `None` for a thin one.
    pub store_size: Option<u64>,
    /// What of the store is in use: `None` for a thin one, and while it is not active, or lost.
    pub store_used: Option<u64>,
    /// Its pool's name.
    pub pool: String,
    /// Its pool's UUID.
    pub pool_uuid: Uuid,
}

/// The state of one image of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageState {
    /// There, and in sync as far as the kernel tells.
    Online,
    /// There, and not in sync yet.
    Syncing,
    /// The kernel uses it no more after an error.
    Failed,
    /// Its disk is not there.
    Missing,
    /// Its disk is there; nobody tells more while the replica is not active.
    Unknown,
}

impl ImageState {
    /// The word for it: `online`, `syncing`, `failed`, `missing` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Syncing => "syncing",
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// What is told of a replica that is an array, or of the arrays of a thin pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArrayInfo {
    /// The state of each image, in their order.
    pub images: Vec<ImageState>,
    /// Sectors of each image that are in sync; `None` for level 0, and while it is not active.
    pub in_sync: Option<u64>,
    /// Sectors of each image.
    pub in_sync_of: Option<u64>,
    /// What the kernel does about it now, in its words: `idle`, `resync`, `recover`, `check`, ...
    pub action: Option<String>,
    /// Sectors that the last check found to differ.
    pub mismatches: Option<u64>,
}

impl ArrayInfo {
    /// What is told of two arrays of which both are needed.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| one?.checked_add(other?);
        let is_quiet = |action: &Option<String>| action.as_deref().is_none_or(|action| action == "idle");
        self.images.extend(other.images);
        self.in_sync = sum(self.in_sync, other.in_sync);
        self.in_sync_of = sum(self.in_sync_of, other.in_sync_of);
        self.mismatches = sum(self.mismatches, other.mismatches);
        if is_quiet(&self.action) {
            self.action = other.action;
        }
        self
    }

    /// How much is in sync, from 0 to 1.
    pub fn sync(&self) -> Option<f64> {
        match (self.in_sync?, self.in_sync_of?) {
            (_, 0) => None,
            (part, all) => Some(part as f64 / all as f64),
        }
    }
}

/// A replica's properties, as of one sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaInfo {
    /// Its UUID: the LV's name.
    pub uuid: Uuid,
    /// Its display name.
    pub name: String,
    /// Its pool's name.
    pub pool: String,
    /// Its pool's UUID.
    pub pool_uuid: Uuid,
    /// The volume it belongs to.
    pub entity_id: Option<String>,
    /// Its size.
    pub size: u64,
    /// The space set aside for it.
    pub committed: u64,
    /// The space it takes now: for a thick replica, its size; for a thin one the chunks that it has, shared ones
    /// included.
    pub allocated: u64,
    /// It takes space as it is written.
    pub thin: bool,
    /// The name of its thin pool's LV, if it is thin.
    pub thin_pool: Option<String>,
    /// Writes are refused.
    pub read_only: bool,
    /// How its extents lie, in the words of [`Layout`](crate::Layout).
    pub layout: String,
    /// Its device is mapped.
    pub active: bool,
    /// Its device's path: `None` while inactive and with a mapper that makes no devices.
    pub device: Option<PathBuf>,
    /// The snapshot it was cloned from.
    pub snapshot_uuid: Option<String>,
    /// Its tags ask for sharing over NVMe-oF.
    pub shared: bool,
    /// By what it is reached now: `None` when the target does not serve it, whatever the tags ask for.
    pub share_uri: Option<ReplicaUri>,
    /// The hosts that may connect; none means any.
    pub allowed_hosts: Vec<String>,
    /// The UUID of the replica of which it is a copy, on disks that were copied.
    pub copied_from: Option<String>,
    /// The tags that callers set, not the engine's own.
    pub tags: Vec<String>,
    /// Whether it serves.
    pub state: State,
    /// Its images, if it is an array; those of its thin pool if that is on arrays.
    pub array: Option<ArrayInfo>,
}

impl ReplicaInfo {
    /// Is it a clone, and of this snapshot if one is named?
    pub fn is_clone_of(&self, snapshot: Option<Uuid>) -> bool {
        let source = self.snapshot_uuid.as_deref();
        match snapshot {
            None => source.is_some(),
            Some(wanted) => source.and_then(|text| Uuid::parse_str(text).ok()) == Some(wanted),
        }
    }

    /// `off` or `nvmf`.
    pub fn share_protocol(&self) -> &'static str {
        if self.shared { "nvmf" } else { "off" }
    }
}
