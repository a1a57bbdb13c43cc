//! Properties, activation, I/O and the end of a replica.

use std::path::PathBuf;

use lvm_dm::BlockIo;
use uuid::Uuid;

use super::StoragePool;
use crate::apply::Step;
use crate::cow::Group;
use crate::host::{HeldLocks, IoStats};
use crate::info::ReplicaInfo;
use crate::layer::is_cut;
use crate::open_vg::OpenVg;
use crate::raid::{Array, Degraded};
use crate::replica::ActiveDevices;
use crate::request::{SetReplica, checked_value};
use crate::tags::{self, LvTags, key};
use crate::{Error, activate, evacuate, naming, replica, share, thin};

impl StoragePool {
    /// Sets properties in one commit; without a commit when all are set already.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`], [`Error::Name`] for values that LVM would refuse in a tag, [`Error::Exists`] for a
    /// name that another replica has.
    pub fn set_replica(&self, uuid: Uuid, new: &SetReplica) -> Result<ReplicaInfo, Error> {
        new.tags.check()?;
        let mut values = Vec::new();
        if let Some(name) = &new.name {
            values.push((
                key::NAME,
                tags::property(key::NAME, checked_value("replica name", name)?)?,
            ));
        }
        if let Some(id) = &new.entity_id {
            values.push((
                key::ENTITY_ID,
                tags::property(key::ENTITY_ID, checked_value("entity id", id)?)?,
            ));
        }
        self.change_replica(&format!("set properties of replica {uuid}"), uuid, |change| {
            let lv = replica::find(change.open(), uuid)?;
            let lv_name = lv.name().to_string();
            let before: Vec<String> = lv.tags().map(Into::into).collect();
            if let Some(wanted) = &new.name {
                change.check_name_free(wanted, Some(&lv_name))?;
            }
            let mut after = before.clone();
            for (key, tag) in values {
                let replaced = tags::replace(after.iter().map(String::as_str), key, vec![tag])?;
                after = replaced.iter().map(ToString::to_string).collect();
            }
            let after = new.tags.apply(after);
            if after != before {
                change.edit().set_lv_tags(&lv_name, &after).map_err(Error::Meta)?;
                change.step(Step::Commit);
            }
            Ok(None)
        })
    }

    /// Makes the replica's device, and those of its classic snapshots; success if it is there.  A replica that is to be shared
    /// is; if that fails, the pool's health tells.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`], [`Error::MissingDisk`], [`Error::Dm`].
    pub fn activate_replica(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        let lock = inner.lock_vg(self.name())?;
        let mut open = self.repairable()?;
        let mut made = self.make_device(&mut open, uuid);
        if matches!(made, Ok(false) | Err(Error::Dm(_))) {
            // Whoever began to make it is no more: the lock is ours.
            open.note_cut();
            open.mend_cut(inner)?;
            made = self.make_device(&mut open, uuid);
        }
        let is_active = made?;
        self.activated(&open, lock, uuid, is_active)
    }

    /// What a replica is that has a device now; other hosts reach it, if they are to.
    fn activated(
        &self,
        open: &OpenVg,
        lock: HeldLocks,
        uuid: Uuid,
        is_active: bool,
    ) -> Result<ReplicaInfo, Error> {
        let lv = replica::find(open, uuid)?;
        if is_active {
            self.inner.note_active(lv.id(), true);
            share::follow_one(&self.inner, open, lv);
        }
        drop(lock);
        let devices = ActiveDevices::known(open, lv, is_active);
        Ok(replica::info(&self.inner, open, lv, uuid, &devices))
    }

    /// Makes the replica's device and what it stands on; `false` if it is there and half made.
    fn make_device(&self, open: &mut OpenVg, uuid: Uuid) -> Result<bool, Error> {
        let inner = &*self.inner;
        let lv = replica::find(open, uuid)?;
        if let Some(device) = open.kernel_device(inner, lv)? {
            return Ok(!is_cut(&device));
        }
        activate::prepare(inner, open, lv, Degraded::Refuse)?;
        let steps = activate::activate(inner, open, lv, Degraded::Refuse)?;
        open.change(inner, "", |change| {
            steps
                .into_iter()
                .chain([Step::Settle])
                .for_each(|step| change.step(step));
            Ok(true)
        })
    }

    /// As [`StoragePool::activate_replica`], with disks missing: an array, and a thin pool on arrays, comes without the images on
    /// them, if it has all data without them.
    ///
    /// What is written then is written to the images that are left: the others are behind when they come back.
    ///
    /// # Errors
    /// As [`StoragePool::activate_replica`]; [`Error::MissingDisk`] for a replica that lacks data.
    pub fn activate_replica_degraded(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        let lock = inner.lock_vg(self.name())?;
        let mut open = self.fresh()?;
        self.check_ours(&open)?;
        let is_active = open.change(inner, "", |change| {
            let open = change.open();
            let lv = replica::find(open, uuid)?;
            if let Some(device) = open.kernel_device(inner, lv)? {
                return Ok(device.live_table);
            }
            activate::prepare(inner, open, lv, Degraded::Allow)?;
            activate::activate(inner, open, lv, Degraded::Allow)?
                .into_iter()
                .chain([Step::Settle])
                .for_each(|step| change.step(step));
            Ok(true)
        })?;
        self.activated(&open, lock, uuid, is_active)
    }

    /// Removes the replica's device, and those of its classic snapshots; success if there is none.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody has it or one of them open.
    pub fn deactivate_replica(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let mut id = None;
        let info = self.change_devices(uuid, |change| {
            let open = change.open();
            let lv = replica::find(open, uuid)?;
            id = Some(lv.id());
            if open.kernel_device(&self.inner, lv)?.is_some() {
                activate::deactivate_with_snapshots(&self.inner, open, lv)?
                    .into_iter()
                    .chain([Step::Settle])
                    .for_each(|step| change.step(step));
            }
            Ok(Some(false))
        })?;
        if let Some(id) = id {
            self.inner.note_active(id, false);
        }
        Ok(info)
    }

    /// Destroys a replica: its device, then its LV.  Durable when this returns.
    /// Disks of the pool may be missing; of a thin replica only those without which its thin pool is lost.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody has it open, [`Error::ReplicaNotFound`]; [`Error::HasSnapshots`] for an origin of
    /// classic snapshots, which cannot outlive it.
    pub fn destroy_replica(&self, uuid: Uuid) -> Result<(), Error> {
        let description = format!("destroy replica {uuid}");
        let _lock = self.inner.lock_vg(self.name())?;
        let mut open = self.repairable()?;
        let lv = replica::find(&open, uuid)?;
        if let Some(group) = Group::of(&open.vg, lv) {
            return Err(group.refuse("destroyed"));
        }
        let is_moved = lv.is_locked() || Array::of(&open.vg, lv).is_some_and(|array| array.is_moved());
        if is_moved && open.check_writable(&self.inner).is_err() {
            // The move waits for a disk that may never come back.
            evacuate::steps::take_back(&self.inner, &mut open).map_err(Error::before_the_change)?;
        }
        let lv = replica::find(&open, uuid)?;
        let (name, is_thin) = (lv.name().to_string(), thin::thin(lv).is_some());
        match is_thin {
            true => self.remove_thin(&mut open, &name, &description),
            false => open.change(&self.inner, &description, |change| {
                self.plan_removal(change, &name)
            }),
        }
    }

    /// Removes an LV whose creation was begun and not finished, unless somebody has it open.
    pub(crate) fn undo_creation(&self, lv_name: &str) -> Result<(), Error> {
        self.change(&format!("undo replica {lv_name}"), |change| {
            let lv = change
                .open()
                .vg
                .lv(lv_name)
                .filter(|lv| LvTags::read(lv.tags()).creating);
            if lv.is_none() {
                return Ok(());
            }
            self.plan_removal(change, lv_name)
        })
    }

    pub(super) fn plan_removal(
        &self,
        change: &mut crate::open_vg::Change<'_>,
        name: &str,
    ) -> Result<(), Error> {
        let open = change.open();
        let lv = open
            .vg
            .lv(name)
            .ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
        if let Some(device) = open.kernel_device(&self.inner, lv)? {
            activate::deactivate(&self.inner, open, lv, &device)?
                .into_iter()
                .chain([Step::Settle])
                .for_each(|step| change.step(step));
        }
        change.remove_lv(name)?;
        change.step(Step::Commit);
        Ok(())
    }

    /// Opens an active replica for reading and writing.  With the embedded mapper it is activated first: its
    /// devices live in this process only.
    ///
    /// # Errors
    /// [`Error::NotActive`], [`Error::ReplicaNotFound`].
    pub fn open_replica(&self, uuid: Uuid) -> Result<ReplicaDevice, Error> {
        let (dm_uuid, size) = {
            let open = self.fresh()?;
            let lv = replica::find(&open, uuid)?;
            if open.kernel_device(&self.inner, lv)?.is_none() {
                return Err(Error::NotActive(uuid.to_string()));
            }
            let size = open
                .vg
                .extent_size()
                .to_bytes(lv.extent_count())
                .unwrap_or(u64::MAX);
            (naming::dm_uuid(&open.vg.id(), &lv.id()), size)
        };
        let io = self.inner.open_device(&dm_uuid)?;
        Ok(ReplicaDevice {
            io,
            size,
            path: uuid.to_string().into(),
        })
    }

    /// Reads the I/O counters of a replica's device since it was activated.
    ///
    /// # Errors
    /// [`Error::NotActive`]; [`Error::Unsupported`] with a mapper that counts nothing.
    pub fn replica_stats(&self, uuid: Uuid) -> Result<IoStats, Error> {
        let open = self.fresh()?;
        let lv = replica::find(&open, uuid)?;
        let device = open
            .kernel_device(&self.inner, lv)?
            .ok_or_else(|| Error::NotActive(uuid.to_string()))?;
        self.inner.io_stats(device.number)
    }
}

/// A replica's device, open for I/O.
pub struct ReplicaDevice {
    io: Box<dyn BlockIo>,
    size: u64,
    path: PathBuf,
}

impl std::fmt::Debug for ReplicaDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaDevice")
            .field("replica", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl ReplicaDevice {
    /// The size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Refuses a range that the replica does not have.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub fn check_range(&self, at: u64, length: u64) -> Result<(), Error> {
        if at.checked_add(length).is_some_and(|end| end <= self.size) {
            return Ok(());
        }
        let (given, why) = (
            format!("{at}+{length}"),
            format!("the replica has {} bytes", self.size),
        );
        Err(Error::InvalidArgument {
            what: "range",
            given,
            why,
        })
    }

    /// Fills `buf` from byte `at`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] past the end, [`Error::Io`].
    pub fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.check_range(at, buf.len() as u64)?;
        self.io
            .read_at(at, buf)
            .map_err(|source| self.io_error("read", source))
    }

    /// Writes all of `bytes` at byte `at`; durable after [`ReplicaDevice::sync`].
    ///
    /// # Errors
    /// As [`ReplicaDevice::read_at`].
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.check_range(at, bytes.len() as u64)?;
        self.io
            .write_at(at, bytes)
            .map_err(|source| self.io_error("write", source))
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.io.sync().map_err(|source| self.io_error("sync", source))
    }

    fn io_error(&self, what: &'static str, source: std::io::Error) -> Error {
        Error::Io {
            what,
            path: self.path.clone(),
            source,
        }
    }
}
