//! What a pool and a replica tell about themselves.  All sizes are bytes.

use std::path::PathBuf;

use lvm_meta::VgId;
use uuid::Uuid;

/// Whether an object serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Whether it serves.
    pub state: State,
    /// Why it does not, or why it refuses changes.
    pub reasons: Vec<String>,
    /// The paths of its disks, in the order of its PVs; a missing disk has the path it had last.
    pub disks: Vec<PathBuf>,
    /// All its extents.
    pub capacity: u64,
    /// Its allocated extents, foreign LVs included.
    pub used: u64,
    /// What its replicas may come to need: for thick ones their size.
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
    /// The visible LVs that are not replicas.
    pub foreign_lvs: Vec<String>,
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
    /// The space it takes now: for a thick replica, its size.
    pub allocated: u64,
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
    /// The hosts that may connect; none means any.
    pub allowed_hosts: Vec<String>,
    /// Whether it serves.
    pub state: State,
}

impl ReplicaInfo {
    /// `off` or `nvmf`.
    pub fn share_protocol(&self) -> &'static str {
        if self.shared { "nvmf" } else { "off" }
    }
}
