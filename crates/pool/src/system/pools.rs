//! Finding, listing and opening pools and replicas.

use uuid::Uuid;

use crate::info::{PoolInfo, ReplicaInfo};
use crate::open_vg::OpenVg;
use crate::replica::{self, ActiveDevices};
use crate::scan::Scan;
use crate::system::System;
use crate::{CreateReplica, Error, StoragePool, identity, snapshot, storage_pool};

impl System {
    /// Lists the pools, reading each disk in scope once.  A VG that cannot be read is not among them and stops no other.
    ///
    /// # Errors
    /// [`Error::Host`] when the devices cannot be enumerated.
    pub fn pools(&self) -> Result<Vec<PoolInfo>, Error> {
        Ok(self
            .open_pools()?
            .iter()
            .map(|open| storage_pool::info(&self.inner, open))
            .collect())
    }

    /// Lists the replicas of all pools.
    ///
    /// # Errors
    /// As [`System::pools`].
    pub fn replicas(&self) -> Result<Vec<ReplicaInfo>, Error> {
        let pools = self.open_pools()?;
        let devices = ActiveDevices::list(&self.inner);
        Ok(pools
            .iter()
            .flat_map(|open| replica::list(&self.inner, open, &devices))
            .collect())
    }

    /// Reads the properties of a pool.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], [`Error::AmbiguousName`], [`Error::Unreadable`].
    pub fn pool_info(&self, wanted: &str) -> Result<PoolInfo, Error> {
        Ok(storage_pool::info(&self.inner, &self.find_pool(wanted)?))
    }

    /// Lists the replicas of a pool.
    ///
    /// # Errors
    /// As [`System::pool_info`].
    pub fn pool_replicas(&self, wanted: &str) -> Result<Vec<ReplicaInfo>, Error> {
        let open = self.find_pool(wanted)?;
        Ok(replica::list(
            &self.inner,
            &open,
            &ActiveDevices::list(&self.inner),
        ))
    }

    /// Reads the properties of a replica.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`].
    pub fn replica_info(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let open = self.find_replica(uuid)?;
        let lv = replica::find(&open, uuid)?;
        let devices = ActiveDevices::only(&self.inner, &open, lv);
        Ok(replica::info(&self.inner, &open, lv, uuid, &devices))
    }

    /// Opens a pool, and finishes or undoes what a crash cut in it.
    ///
    /// # Errors
    /// As [`System::pool_info`].
    pub fn open_pool(&self, wanted: &str) -> Result<StoragePool, Error> {
        let open = self.find_pool(wanted)?;
        self.handle(open)
    }

    /// Opens the pool that holds a replica, as [`System::open_pool`].
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`].
    pub fn pool_of_replica(&self, uuid: Uuid) -> Result<StoragePool, Error> {
        let open = self.find_replica(uuid)?;
        self.handle(open)
    }

    /// Opens a pool and makes a replica in it, refusing a UUID that a replica of any pool in scope has.
    ///
    /// # Errors
    /// As [`StoragePool::create_replica`].
    pub fn create_replica(
        &self,
        wanted: &str,
        request: &CreateReplica,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ReplicaInfo, Error> {
        let mut pools = self.open_pools()?;
        let is_taken = |open: &OpenVg| {
            replica::find(open, request.uuid).is_ok() || snapshot::find(open, request.uuid).is_ok()
        };
        if pools.iter().any(is_taken) {
            return Err(Error::Exists {
                what: "replica",
                id: request.uuid.to_string(),
            });
        }
        let at = position(&pools, wanted)?;
        self.handle(pools.swap_remove(at))?
            .create_replica_with(request, progress)
    }

    pub(crate) fn handle(&self, open: OpenVg) -> Result<StoragePool, Error> {
        let pool = StoragePool::new(self.inner.clone(), open);
        pool.recover()?;
        Ok(pool)
    }

    /// Every readable VG with the mark of a pool.
    pub(super) fn open_pools(&self) -> Result<Vec<OpenVg>, Error> {
        let scan = self.inner.scan()?;
        Ok(self.open_all(scan).filter(storage_pool::is_pool).collect())
    }

    /// Every readable VG of a scan.
    pub(super) fn open_all(&self, mut scan: Scan) -> impl Iterator<Item = OpenVg> {
        let found = std::mem::take(&mut scan.assembly.vgs);
        found
            .into_iter()
            .filter_map(move |vg| OpenVg::new(&self.inner, &scan, vg).ok())
    }

    fn find_pool(&self, wanted: &str) -> Result<OpenVg, Error> {
        let mut pools = self.open_pools()?;
        let at = position(&pools, wanted)?;
        Ok(pools.swap_remove(at))
    }

    fn find_replica(&self, uuid: Uuid) -> Result<OpenVg, Error> {
        let found = self
            .open_pools()?
            .into_iter()
            .find(|open| replica::find(open, uuid).is_ok());
        found.ok_or_else(|| Error::ReplicaNotFound(uuid.to_string()))
    }

    /// The VG that a name or id means, whether it is a pool or not.
    pub(crate) fn find_vg(&self, scan: Scan, wanted: &str) -> Result<Option<OpenVg>, Error> {
        let mut vgs: Vec<OpenVg> = self.open_all(scan).collect();
        match position(&vgs, wanted) {
            Ok(at) => Ok(Some(vgs.swap_remove(at))),
            Err(Error::PoolNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The one VG that `wanted` names: by its name, else by any spelling of its id.
fn position(vgs: &[OpenVg], wanted: &str) -> Result<usize, Error> {
    let named: Vec<usize> = (0..vgs.len()).filter(|at| vgs[*at].vg.name() == wanted).collect();
    match named[..] {
        [at] => Ok(at),
        [] => {
            let by_id = vgs
                .iter()
                .position(|open| identity::names_vg(wanted, &open.vg.id()));
            by_id.ok_or_else(|| Error::PoolNotFound(wanted.into()))
        }
        _ => Err(Error::AmbiguousName {
            name: wanted.into(),
            count: named.len(),
        }),
    }
}
