//! Snapshots of replicas.

use std::time::Duration;

use lvm_meta::{LvFlags, LvStatus, NewLv};
use uuid::Uuid;

use super::StoragePool;
use super::thin_volumes::NewThin;
use crate::cow::Group;
use crate::info::{ReplicaInfo, SnapshotInfo};
use crate::replica::{self, ActiveDevices};
use crate::request::CreateSnapshot;
use crate::{Error, naming, snapshot, thin};

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenSnapshot {
    /// The snapshot.
    pub info: SnapshotInfo,
    /// How long writes to the replica had to wait; zero if it was not active.
    pub stall: Duration,
}

impl StoragePool {
    /// Takes a snapshot of a replica, under I/O if it is active: all that was acknowledged before is in it, and of what
    /// comes after nothing.  Its name, times and ids come to be with it or not at all.  Durable when this returns.
    ///
    /// Of a thin replica it takes no space of its own, cannot be written, is not active, and outlives the replica.  Of a thick
    /// one, for which the request has a size, it is a classic copy-on-write snapshot: it cannot be written, is active as the
    /// replica is, cannot outlive it, and is lost when more of the replica is overwritten than the size holds.
    ///
    /// # Errors
    /// [`Error::NotThin`] for a thick replica and no size, [`Error::InvalidArgument`] for a thin one and a size;
    /// [`Error::ReplicaNotFound`]; [`Error::Exists`] for a UUID that is taken; [`Error::NoSpace`],
    /// [`Error::NoSnapshotTarget`]; [`Error::ThinPoolFull`], [`Error::ThinPoolState`]; nothing is left of the snapshot then.  After
    /// [`Error::AfterCommit`] opening the pool finishes a snapshot that the kernel has taken, and undoes any other.
    pub fn create_snapshot(&self, request: &CreateSnapshot) -> Result<TakenSnapshot, Error> {
        if let Some(size) = request.size {
            return self.create_cow(request, size);
        }
        let (name, tags) = (request.lv_name()?, request.tags()?);
        let inner = &*self.inner;
        let ((), stall) = self.add_thin(
            &format!("snapshot {} of replica {}", request.uuid, request.source),
            |open| {
                let lv = replica::find(open, request.source)?;
                let Some(thin) = thin::thin(lv) else {
                    return Err(Error::NotThin {
                        replica: lv.name().into(),
                        why: "a snapshot of a thick one needs a size",
                    });
                };
                let active = open.kernel_device(inner, lv)?.filter(|device| device.live_table);
                let active = active.map(|_| naming::dm_uuid(&open.vg.id(), &lv.id()));
                Ok((thin.pool.to_string(), active))
            },
            |change| {
                let lv = replica::find(change.open(), request.source)?;
                Ok(vec![NewThin {
                    extents: lv.extent_count(),
                    origin: Some(lv.name().into()),
                    lv: NewLv {
                        tags: tags.clone(),
                        status: LvStatus::READ | LvStatus::VISIBLE,
                        flags: match inner.config.activation.auto_set_activation_skip {
                            true => LvFlags::ACTIVATION_SKIP,
                            false => LvFlags::empty(),
                        },
                        ..self.new_lv(name.clone())?
                    },
                }])
            },
            |_| Ok(()),
        )?;
        let info = self.snapshot(request.uuid)?;
        Ok(TakenSnapshot { info, stall })
    }

    /// Reads the properties of a snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], and as [`StoragePool::info`].
    pub fn snapshot(&self, uuid: Uuid) -> Result<SnapshotInfo, Error> {
        snapshot::info(&self.inner, &*self.fresh()?, uuid)
    }

    /// Lists the snapshots, those of one replica if it is named, in the order of the metadata.
    ///
    /// # Errors
    /// As [`StoragePool::info`].
    pub fn snapshots(&self, source: Option<Uuid>) -> Result<Vec<SnapshotInfo>, Error> {
        let open = self.fresh()?;
        let devices = ActiveDevices::list(&self.inner);
        Ok(snapshot::list(&self.inner, &open, &devices, source))
    }

    /// Destroys a snapshot, under I/O of the replica; that, its other snapshots and its clones stay.  Durable when this
    /// returns.  Disks of the pool may be missing; of a thin pool that is there none.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], [`Error::Busy`].
    pub fn destroy_snapshot(&self, uuid: Uuid) -> Result<(), Error> {
        let _lock = self.inner.lock_vg(self.name())?;
        let mut open = self.repairable()?;
        let lv = snapshot::find(&open, uuid)?;
        let (name, description) = (lv.name().to_string(), format!("destroy snapshot {uuid}"));
        if thin::thin(lv).is_some() {
            return self.remove_thin(&mut open, &name, &description);
        }
        if Group::of(&open.vg, lv).is_some() {
            return self.remove_cow(&mut open, &name, &description);
        }
        // Somebody took it off its origin: it is an LV as others.
        open.change(&self.inner, &description, |change| {
            self.plan_removal(change, &name)
        })
    }

    /// Lists the clones, those of one snapshot if it is named.
    ///
    /// # Errors
    /// As [`StoragePool::info`].
    pub fn clones(&self, snapshot: Option<Uuid>) -> Result<Vec<ReplicaInfo>, Error> {
        let mut clones = self.replicas()?;
        clones.retain(|replica| replica.is_clone_of(snapshot));
        Ok(clones)
    }
}
