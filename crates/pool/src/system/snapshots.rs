//! Finding snapshots and clones in all pools.

use uuid::Uuid;

use crate::gap::Listed;
use crate::info::{ReplicaInfo, SnapshotInfo};
use crate::open_vg::OpenVg;
use crate::replica::{self, ActiveDevices};
use crate::request::{CreateClone, CreateSnapshot};
use crate::system::System;
use crate::{Error, StoragePool, TakenSnapshot, snapshot};

impl System {
    /// Lists the snapshots of all pools, those of one replica if it is named; the replica may be gone.
    ///
    /// # Errors
    /// As [`System::pools`].
    pub fn snapshots(&self, source: Option<Uuid>) -> Result<Listed<SnapshotInfo>, Error> {
        let (pools, gaps) = self.open_pools()?;
        let devices = ActiveDevices::list(&self.inner);
        let of_pool = |open| snapshot::list(&self.inner, open, &devices, source);
        Ok(Listed::new(pools.iter().flat_map(of_pool).collect(), gaps))
    }

    /// Lists the clones of all pools, those of one snapshot if it is named.
    ///
    /// # Errors
    /// As [`System::pools`].
    pub fn clones(&self, snapshot: Option<Uuid>) -> Result<Listed<ReplicaInfo>, Error> {
        let (mut clones, gaps) = self.replicas()?.into_parts();
        clones.retain(|replica| replica.is_clone_of(snapshot));
        Ok(Listed::new(clones, gaps))
    }

    /// Reads the properties of a snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`]; [`Error::InSeveralPools`]; [`Error::Unseen`] as [`System::pool_info`].
    pub fn snapshot_info(&self, uuid: Uuid) -> Result<SnapshotInfo, Error> {
        snapshot::info(&self.inner, &self.find_snapshot(uuid)?, uuid)
    }

    /// Opens the pool that holds a snapshot, or all if none does, as [`System::pool_of_replica`].
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`].
    pub fn pool_of_snapshot(&self, uuid: Uuid) -> Result<StoragePool, Error> {
        self.handle_of(self.find_snapshot(uuid))
    }

    /// Takes a snapshot, refusing a UUID that a replica or snapshot of any pool in scope has.
    ///
    /// # Errors
    /// As [`StoragePool::create_snapshot`].
    pub fn create_snapshot(&self, request: &CreateSnapshot) -> Result<TakenSnapshot, Error> {
        self.check_free("snapshot", request.uuid)?;
        self.pool_of_replica(request.source)?.create_snapshot(request)
    }

    /// Makes a clone, refusing a UUID that a replica or snapshot of any pool in scope has.
    ///
    /// # Errors
    /// As [`StoragePool::create_clone`].
    pub fn create_clone(&self, request: &CreateClone) -> Result<ReplicaInfo, Error> {
        self.check_free("clone", request.uuid)?;
        self.pool_of_snapshot(request.snapshot)?.create_clone(request)
    }

    fn check_free(&self, what: &'static str, uuid: Uuid) -> Result<(), Error> {
        let is_taken =
            |open: &OpenVg| replica::find(open, uuid).is_ok() || snapshot::find(open, uuid).is_ok();
        match self.open_pools()?.0.into_iter().find(is_taken) {
            Some(open) => Err(self.taken(what, uuid, open)),
            None => Ok(()),
        }
    }

    fn find_snapshot(&self, uuid: Uuid) -> Result<OpenVg, Error> {
        self.find_holder(
            "snapshot",
            uuid,
            |open| snapshot::find(open, uuid).is_ok(),
            Error::SnapshotNotFound(uuid.to_string()),
        )
    }
}
