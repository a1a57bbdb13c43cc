//! Volumes: mirrors over replicas on several nodes, which keep serving when one of these dies.
//!
//! The node that publishes a volume connects to its replicas with the kernel's own NVMe/TCP initiator and lays dm-raid over
//! them.  What dm-raid cannot know, which replicas may have writes that others lack when not all are there, each replica
//! keeps in a [`record`]; the [`rules`] judge it.  Both, and why no acknowledged write is lost, are in docs/volumes.md.
//!
//! | file | what |
//! | --- | --- |
//! | `geometry` | where things lie in a replica |
//! | `record` | what each replica knows |
//! | `rules` | who may serve: pure |
//! | `initiator` | connections to targets |
//! | `namespace` | which disk is whose |
//! | `probe` | targets asked before the kernel connects |
//! | `patience` | deadlines for what the kernel waits for without one |
//! | `member`, `members` | one replica as it is found; those of a volume |
//! | `leg` | the mapped devices of one replica |
//! | `stack` | the array over these |
//! | `create`, `publish`, `status`, `tend` | the operations |
//! | `fence` | whether the last publisher is cut off |
//! | `even` | replicas whose publisher died, made the same |
//! | `look` | one look after a published volume |
//! | `relay` | the array laid anew meanwhile |

mod create;
mod error;
mod even;
mod fence;
mod geometry;
pub(crate) mod initiator;
mod leg;
mod look;
mod member;
mod members;
mod namespace;
pub(crate) mod patience;
mod probe;
mod publish;
mod record;
mod relay;
mod rules;
mod stack;
mod status;
mod tend;

use std::path::PathBuf;

use uuid::Uuid;

use crate::host::HeldLocks;
use crate::info::State;
use crate::system::Inner;
use crate::{Error, System};

pub use error::VolumeError;
pub use tend::{HealProgress, VolumeMonitor};

/// What becomes of a replica of a published volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaState {
    /// It has every write.
    Online,
    /// It is brought in line.
    Syncing,
    /// It can be reached, and is not used yet.
    Stale,
    /// It cannot be reached.
    Absent,
    /// It may hold acknowledged writes of its own, and is left as it is.
    Diverged,
}

impl ReplicaState {
    /// The word for it: `online`, `syncing`, `stale`, `absent` or `diverged`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Syncing => "syncing",
            Self::Stale => "stale",
            Self::Absent => "absent",
            Self::Diverged => "diverged",
        }
    }
}

/// One replica of a volume.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VolumeReplica {
    /// The replica; `None` when nothing that can be read names it.
    pub uuid: Option<Uuid>,
    /// Where it was reached last; the same.
    pub uri: Option<String>,
    /// Whether it serves.
    pub state: ReplicaState,
    /// How much of it is in sync, from 0 to 1, while it serves or is brought in line.
    pub sync: Option<f64>,
}

/// A volume's properties.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its size in bytes.
    pub size: u64,
    /// Its device; `None` while it is not published, and with a mapper that makes no devices.
    pub device: Option<PathBuf>,
    /// Whether it serves, and with all replicas.
    pub state: State,
    /// Goes up whenever the set of replicas that have every write changes; 0 when no replica can be read.
    pub epoch: u64,
    /// Its replicas.
    pub replicas: Vec<VolumeReplica>,
}

impl VolumeInfo {
    /// Bytes of it that all replicas have which are in use.
    fn synced(&self) -> u64 {
        let parts = self.replicas.iter().filter_map(|replica| replica.sync);
        (parts.fold(1.0, f64::min) * self.size as f64) as u64
    }
}

impl System {
    /// Tells how a volume does that is published on this host.
    ///
    /// # Errors
    /// [`VolumeError::NotPublished`], [`Error::Dm`].
    pub fn volume(&self, volume: Uuid) -> Result<VolumeInfo, Error> {
        let stack = stack::Stack::find(&self.inner, volume)?;
        status::of_stack(&self.inner, &stack.ok_or(VolumeError::NotPublished(volume))?)
    }
}

/// One at a time changes a volume on this host.
fn volume_lock(inner: &Inner, volume: Uuid) -> Result<HeldLocks, Error> {
    inner.lock_vg(&format!("volume-{volume}"))
}
