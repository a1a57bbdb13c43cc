//! Storage pools and replicas over LVM2 volume groups.
//!
//! A pool is a VG with our tag, a replica is an LV of it with our tags, named by its UUID.  Start with [`System`].
//!
//! | word | meaning |
//! | --- | --- |
//! | PV, VG, LV | LVM's physical volume, volume group, logical volume |
//! | pool | a VG with the tag `mayastor` |
//! | replica | an LV of a pool with the tag `mayastor`, named by a UUID |
//! | thin pool | an LV of a pool whose space thin replicas, snapshots and clones share |
//! | foreign LV | a visible LV of a pool that is none of these |
//! | extent | the VG's unit of allocation |
//!
//! Every change runs under LVM's own lock, is planned on the parsed metadata, and is carried out by one small
//! executor around one commit; see the `apply` module.  This crate knows no ioctl numbers and no disk offsets.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod activate;
mod adopt;
mod apply;
mod backups;
mod beside;
mod block_sizes;
mod cached;
mod copied_vg;
mod cow;
mod disk;
mod display_names;
mod error;
mod evacuate;
mod extent_map;
mod gap;
pub mod host;
mod identity;
mod info;
mod layer;
mod layout;
mod misnamed;
mod naming;
mod new_disk;
mod new_disks;
mod nodes;
mod nvmf;
mod open_vg;
mod raid;
mod recover;
mod replica;
mod request;
mod restore;
mod scan;
mod sha256;
mod share;
mod snapshot;
mod storage_pool;
mod system;
mod table;
mod table_on;
mod tags;
mod thin;
mod volume;

pub use adopt::{AdoptionPlan, AdoptionStep};
pub use error::{Class, DiskProblem, Error, Obstacle, Refusal, printable};
pub use gap::{Gap, Listed};
pub use host::IoStats;
pub use identity::{parse_uuid, pool_uuid};
pub use info::{
    ArrayInfo, ImageState, PoolInfo, ReplicaInfo, SnapshotInfo, SnapshotKind, State, TendedPool, ThinPoolInfo,
};
pub use layout::{Layout, RaidLevel, parse_size};
pub use nvmf::{Location, Nqn, ReplicaUri};
pub use request::{
    CreateClone, CreatePool, CreateReplica, CreateSnapshot, CreateThinPool, Discards, RestorePool, SetPool,
    SetReplica, ShareReplica, Shrink, TagChange, Zeroing,
};
pub use share::{NvmetTarget, ServedReplica, Share, SharedDevice};
pub use storage_pool::{
    ArrayMonitor, BehindEnd, MoveProgress, OtherMonitor, ReplicaDevice, ScrubProgress, ScrubbedReplica,
    StoragePool, TakenSnapshot, ThinAction, ThinMonitor,
};
pub use system::{RestoredPool, SavedMetadata, System, SystemBuilder};
pub use thin::policy::{ThinGrowth, ThinPart, ThinPolicy, ThinStep};
pub use volume::{HealProgress, ReplicaState, VolumeError, VolumeInfo, VolumeMonitor, VolumeReplica};
