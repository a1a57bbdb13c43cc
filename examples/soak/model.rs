//! What must be there: the oracle.

use std::collections::BTreeMap;

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
    pub(crate) data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) source: Uuid,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) data: Data,
}

/// Everything that the library was told, and answered.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) replicas: BTreeMap<Uuid, Replica>,
    pub(crate) snapshots: BTreeMap<Uuid, Snapshot>,
    /// Disks of the pool, and those that are not, by their numbers.
    pub(crate) used: Vec<usize>,
    pub(crate) free: Vec<usize>,
    /// LVs that the tools made.
    pub(crate) foreign: Vec<String>,
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

    /// What is listed otherwise than it should be.
    pub(crate) fn differs(&self, replicas: &[ReplicaInfo], snapshots: &[SnapshotInfo]) -> Option<String> {
        let listed: Vec<Uuid> = replicas.iter().map(|info| info.uuid).collect();
        let mut sorted = listed.clone();
        sorted.sort();
        let wanted: Vec<Uuid> = self.replicas.keys().copied().collect();
        if sorted != wanted {
            return Some(format!(
                "replicas {listed:?} are listed, and should be {wanted:?}"
            ));
        }
        let each = replicas
            .iter()
            .find_map(|info| self.replicas.get(&info.uuid)?.differs(info));
        if each.is_some() {
            return each;
        }
        let told = snapshots
            .iter()
            .map(|info| (info.uuid, info.source_uuid.clone(), info.name.clone(), info.size));
        let mut told: Vec<_> = told.collect();
        told.sort();
        let wanted = self.snapshots.iter().map(|(uuid, snapshot)| {
            (
                *uuid,
                snapshot.source.to_string(),
                snapshot.name.clone(),
                snapshot.size,
            )
        });
        let wanted: Vec<_> = wanted.collect();
        (told != wanted).then(|| format!("snapshots are {told:?}, and should be {wanted:?}"))
    }
}
