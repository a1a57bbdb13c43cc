//! Finding, listing and opening pools and replicas.

use std::path::PathBuf;

use uuid::Uuid;

use crate::beside::{Beside, Look, steadily};
use crate::gap::{self, Gap, Listed};
use crate::info::{PoolInfo, ReplicaInfo};
use crate::open_vg::OpenVg;
use crate::replica::{self, ActiveDevices};
use crate::scan::{Scan, Scope};
use crate::system::System;
use crate::{CreateReplica, Error, StoragePool, identity, snapshot, storage_pool};

impl System {
    /// Lists the pools, reading each disk in scope once.  A disk or VG that cannot be read stops no other: it is one of the
    /// list's [gaps](Listed::gaps).
    ///
    /// # Errors
    /// [`Error::Host`] when the devices cannot be enumerated, or for want of descriptors or memory; [`Error::Unseen`] without
    /// the right to look at any disk.
    pub fn pools(&self) -> Result<Listed<PoolInfo>, Error> {
        let (pools, gaps) = self.open_pools()?;
        let infos = pools.iter().map(|open| storage_pool::info(&self.inner, open));
        Ok(Listed::new(infos.collect(), gaps))
    }

    /// The disks that this system was told to look at and that are none: missing, a folder, or an image file for the kernel's
    /// mapper.  Opens none of them.
    pub fn unusable_devices(&self) -> Vec<Gap> {
        let Scope::Only(named) = &self.inner.scope else {
            return Vec::new();
        };
        let check = |path: &PathBuf| {
            let error = gap::check_named(path, self.inner.images).err()?;
            Some(Gap::new(path, error))
        };
        named.iter().filter_map(check).collect()
    }

    /// Lists the replicas of all pools.
    ///
    /// # Errors
    /// As [`System::pools`].
    pub fn replicas(&self) -> Result<Listed<ReplicaInfo>, Error> {
        let inner = &*self.inner;
        steadily(inner, || {
            let (pools, gaps) = self.open_pools()?;
            let devices = ActiveDevices::list(inner);
            let (mut infos, mut beside) = (Vec::new(), Beside::Nothing);
            for open in &pools {
                let told = replica::list(inner, open, &devices);
                beside = beside.and(Beside::of(inner, open, &told));
                infos.extend(told);
            }
            let found = Listed::new(infos, gaps);
            Ok(Look { found, beside })
        })
    }

    /// Reads the properties of a pool.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`]; [`Error::AmbiguousName`]; [`Error::Unseen`] when it was not found and not everything in
    /// scope could be looked at, with the reason why its metadata cannot be read if that is it.
    pub fn pool_info(&self, wanted: &str) -> Result<PoolInfo, Error> {
        Ok(storage_pool::info(&self.inner, &self.find_pool(wanted)?))
    }

    /// Lists the replicas of a pool.
    ///
    /// # Errors
    /// As [`System::pool_info`].
    pub fn pool_replicas(&self, wanted: &str) -> Result<Vec<ReplicaInfo>, Error> {
        let inner = &*self.inner;
        steadily(inner, || {
            let open = self.find_pool(wanted)?;
            let found = replica::list(inner, &open, &ActiveDevices::list(inner));
            let beside = Beside::of(inner, &open, &found);
            Ok(Look { found, beside })
        })
    }

    /// Reads the properties of a replica.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`]; [`Error::InSeveralPools`]; [`Error::Unseen`] as [`System::pool_info`].
    pub fn replica_info(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        steadily(inner, || {
            let open = self.find_replica(uuid)?;
            let lv = replica::find(&open, uuid)?;
            let devices = ActiveDevices::only(inner, &open, lv);
            let found = replica::info(inner, &open, lv, uuid, &devices);
            let beside = Beside::of(inner, &open, std::slice::from_ref(&found));
            Ok(Look { found, beside })
        })
    }

    /// Opens a pool, and finishes or undoes what a crash cut in it.
    ///
    /// # Errors
    /// As [`System::pool_info`].
    pub fn open_pool(&self, wanted: &str) -> Result<StoragePool, Error> {
        let open = self.find_pool(wanted)?;
        self.handle(open)
    }

    /// Opens the pool that holds a replica, as [`System::open_pool`]; all pools if none does: a call that destroyed the replica
    /// and failed may have left something.
    ///
    /// # Errors
    /// As [`System::replica_info`].
    pub fn pool_of_replica(&self, uuid: Uuid) -> Result<StoragePool, Error> {
        self.handle_of(self.find_replica(uuid))
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
        let (mut pools, gaps) = self.open_pools()?;
        let is_taken = |open: &OpenVg| {
            replica::find(open, request.uuid).is_ok() || snapshot::find(open, request.uuid).is_ok()
        };
        if let Some(at) = pools.iter().position(is_taken) {
            return Err(self.taken("replica", request.uuid, pools.swap_remove(at)));
        }
        let at = position(&pools, wanted, &gaps)?;
        self.handle(pools.swap_remove(at))?
            .create_replica_with(request, progress)
    }

    /// The error for a UUID that is taken in this VG.  What has it may be what a call made that was cut: who repeats that
    /// call finds it whole.
    pub(super) fn taken(&self, what: &'static str, uuid: Uuid, open: OpenVg) -> Error {
        let id = uuid.to_string();
        self.handle(open)
            .map_or_else(|error| error, |_| Error::Exists { what, id })
    }

    /// Opens the pool in which something was looked for.  If nothing is found, a call may have destroyed it and failed: who repeats
    /// that call finds it finished.
    ///
    /// # Errors
    /// Those of the search, whatever comes of the other pools.
    pub(super) fn handle_of(&self, found: Result<OpenVg, Error>) -> Result<StoragePool, Error> {
        if matches!(found, Err(Error::ReplicaNotFound(_) | Error::SnapshotNotFound(_)))
            && let Ok((pools, _)) = self.open_pools()
        {
            for open in pools {
                let _ = self.handle(open);
            }
        }
        self.handle(found?)
    }

    pub(crate) fn handle(&self, open: OpenVg) -> Result<StoragePool, Error> {
        let pool = StoragePool::new(self.inner.clone(), open);
        pool.recover()?;
        Ok(pool)
    }

    /// Every readable VG with the mark of a pool, and what could not be looked at.
    pub(super) fn open_pools(&self) -> Result<(Vec<OpenVg>, Vec<Gap>), Error> {
        let (mut vgs, gaps) = self.open_all(self.inner.scan()?)?;
        vgs.retain(storage_pool::is_pool);
        Ok((vgs, gaps))
    }

    /// Every readable VG of a scan, and what could not be looked at.
    ///
    /// # Errors
    /// A shortage of descriptors or memory.
    pub(super) fn open_all(&self, mut scan: Scan) -> Result<(Vec<OpenVg>, Vec<Gap>), Error> {
        let mut vgs = Vec::new();
        for found in std::mem::take(&mut scan.assembly.vgs) {
            let name = Some(found.name.clone()).filter(|name| !name.is_empty());
            let disk = found.pvs.iter().find_map(|pv| scan.disks.get(pv.disk?));
            let disk = disk.map(|disk| disk.path.clone()).unwrap_or_default();
            match OpenVg::new(&self.inner, &scan, found) {
                Ok(open) => vgs.push(open),
                Err(error) if gap::is_shortage(&error) => return Err(error),
                Err(error) => scan.gaps.push(Gap {
                    vg: name,
                    ..Gap::new(&disk, error)
                }),
            }
        }
        Ok((vgs, scan.gaps))
    }

    fn find_pool(&self, wanted: &str) -> Result<OpenVg, Error> {
        let (mut pools, gaps) = self.open_pools()?;
        let at = position(&pools, wanted, &gaps)?;
        Ok(pools.swap_remove(at))
    }

    fn find_replica(&self, uuid: Uuid) -> Result<OpenVg, Error> {
        self.find_holder(
            "replica",
            uuid,
            |open| replica::find(open, uuid).is_ok(),
            Error::ReplicaNotFound(uuid.to_string()),
        )
    }

    /// The one pool that holds an object.
    pub(super) fn find_holder(
        &self,
        what: &'static str,
        uuid: Uuid,
        holds: impl Fn(&OpenVg) -> bool,
        not_found: Error,
    ) -> Result<OpenVg, Error> {
        let (mut pools, gaps) = self.open_pools()?;
        pools.retain(holds);
        if pools.len() > 1 {
            let named = pools
                .iter()
                .map(|open| format!("{:?} ({})", open.vg.name(), open.vg.id()));
            return Err(Error::InSeveralPools {
                what,
                id: uuid.to_string(),
                pools: named.collect(),
            });
        }
        pools.pop().ok_or_else(|| gap::unless_unseen(not_found, &gaps))
    }

    /// The VG that a name or id means, whether it is a pool or not.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`], [`Error::AmbiguousName`], [`Error::Unseen`].
    pub(crate) fn find_vg(&self, scan: Scan, wanted: &str) -> Result<OpenVg, Error> {
        let (mut vgs, gaps) = self.open_all(scan)?;
        let at = position(&vgs, wanted, &gaps)?;
        Ok(vgs.swap_remove(at))
    }
}

/// The one VG that `wanted` names: by its name, else by any spelling of its id.
fn position(vgs: &[OpenVg], wanted: &str, gaps: &[Gap]) -> Result<usize, Error> {
    let named = |is_it: &dyn Fn(&OpenVg) -> bool| -> Vec<usize> {
        (0..vgs.len())
            .filter(|at| vgs.get(*at).is_some_and(is_it))
            .collect()
    };
    let by_name = named(&|open| open.vg.name() == wanted);
    let found = match by_name.is_empty() {
        true => named(&|open| identity::names_vg(wanted, &open.vg.id())),
        false => by_name,
    };
    match found[..] {
        [at] => Ok(at),
        [] => {
            let its = gap::of_vg(gaps, wanted);
            let gaps = if its.is_empty() { gaps } else { &its };
            Err(gap::unless_unseen(Error::PoolNotFound(wanted.into()), gaps))
        }
        _ => Err(Error::AmbiguousName {
            name: wanted.into(),
            count: found.len(),
        }),
    }
}
