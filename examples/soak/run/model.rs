//! What must be there: the oracle.

use std::collections::{BTreeMap, BTreeSet};

use lvm_native::pool::{ReplicaInfo, SnapshotInfo};
use uuid::Uuid;

pub(crate) const MIB: u64 = 1 << 20;
/// Bytes of a stamped block.
pub(crate) const BLOCK: usize = 4096;
/// Bytes from one stamped block to the next: a chunk of a thin pool.
pub(crate) const SLOT: u64 = 64 << 10;

/// What was written, by slots: each holds the stamp of its first block.
pub(crate) type Data = BTreeMap<u64, u64>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) size: u64,
    pub(crate) name: String,
    pub(crate) entity: Option<String>,
    pub(crate) thin: bool,
    pub(crate) active: bool,
    pub(crate) layout: String,
    /// The snapshot of which it is a clone.
    pub(crate) clone_of: Option<String>,
    /// The hosts that may connect, if it is shared.
    pub(crate) shared: Option<Vec<String>>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) source: Uuid,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) data: Data,
}

/// An LV that the tools made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) name: String,
    /// Its size, in the pool's extents.
    pub(crate) extents: u64,
    pub(crate) is_cached: bool,
    pub(crate) data: Data,
}

/// Everything that the library was told, and answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) replicas: BTreeMap<Uuid, Replica>,
    pub(crate) snapshots: BTreeMap<Uuid, Snapshot>,
    /// Disks of the pool, and those that are not, by their numbers.
    pub(crate) used: Vec<usize>,
    pub(crate) free: Vec<usize>,
    /// Those on which the tools allow no extents.
    pub(crate) closed: BTreeSet<usize>,
    pub(crate) foreign: Vec<Foreign>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) has_thin_pool: bool,
}

impl Replica {
    /// As it was answered.
    pub(crate) fn new(info: &ReplicaInfo, data: Data) -> Self {
        Self {
            size: info.size,
            name: info.name.clone(),
            entity: info.entity_id.clone(),
            thin: info.thin,
            active: info.active,
            layout: info.layout.clone(),
            clone_of: info.snapshot_uuid.clone(),
            shared: info.shared.then(|| info.allowed_hosts.clone()),
            tags: info.tags.iter().cloned().collect(),
            data,
        }
    }

    /// Forgets what was behind a new end.
    pub(crate) fn resized(&mut self, size: u64) {
        self.size = size;
        self.data.retain(|slot, _| (slot + 1) * SLOT <= size);
    }

    fn differs(&self, info: &ReplicaInfo) -> Option<String> {
        let told = Self::new(info, self.data.clone());
        (told != *self).then(|| format!("replica {} is {told:?}, and should be {self:?}", info.uuid))
    }
}

impl Model {
    pub(crate) fn uuids(&self, is_wanted: impl Fn(&Replica) -> bool) -> Vec<Uuid> {
        let all = self.replicas.iter().filter(|(_, replica)| is_wanted(replica));
        all.map(|(uuid, _)| *uuid).collect()
    }

    /// The replicas that a target must serve.
    pub(crate) fn served(&self) -> BTreeSet<Uuid> {
        let is_served = |replica: &Replica| replica.active && replica.shared.is_some();
        self.uuids(is_served).into_iter().collect()
    }

    /// Compares what is listed with what should be.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn compare(&self, replicas: &[ReplicaInfo], snapshots: &[SnapshotInfo]) -> Result<(), String> {
        let mut listed: Vec<Uuid> = replicas.iter().map(|info| info.uuid).collect();
        listed.sort();
        let wanted: Vec<Uuid> = self.replicas.keys().copied().collect();
        if listed != wanted {
            return Err(format!(
                "replicas {listed:?} are listed, and should be {wanted:?}"
            ));
        }
        let differs = |info: &ReplicaInfo| self.replicas.get(&info.uuid)?.differs(info);
        if let Some(why) = replicas.iter().find_map(differs) {
            return Err(why);
        }
        let mut told: Vec<_> = snapshots.iter().map(told_of).collect();
        told.sort();
        let wanted = self.snapshots.iter().map(|(uuid, snapshot)| {
            let (source, name) = (snapshot.source.to_string(), snapshot.name.clone());
            (*uuid, source, name, snapshot.size, self.clones(*uuid))
        });
        let wanted: Vec<_> = wanted.collect();
        match told == wanted {
            true => Ok(()),
            false => Err(format!("snapshots are {told:?}, and should be {wanted:?}")),
        }
    }

    fn clones(&self, snapshot: Uuid) -> usize {
        let name = snapshot.to_string();
        let is_clone = |replica: &&Replica| replica.clone_of.as_ref() == Some(&name);
        self.replicas.values().filter(is_clone).count()
    }
}

fn told_of(info: &SnapshotInfo) -> (Uuid, String, String, u64, usize) {
    let (source, name) = (info.source_uuid.clone(), info.name.clone());
    (info.uuid, source, name, info.size, info.num_clones)
}
