//! Taking a VG over as a pool, giving it up, and destroying it.

use std::collections::HashSet;
use std::path::PathBuf;

use lvm_meta::{LvFlags, VgName};
use uuid::Uuid;

use crate::apply::Step;
use crate::cow::Group;
use crate::disk::same_disks;
use crate::gap;
use crate::open_vg::{Change, OpenVg};
use crate::raid::Degraded;
use crate::recover::recover_open;
use crate::replica::{self, ActiveDevices};
use crate::system::System;
use crate::tags::{self, LvTags};
use crate::thin::PoolLv;
use crate::thin::stack::Layers;
use crate::{Error, StoragePool, activate, host, identity, share, storage_pool};

impl System {
    /// Takes over a VG as a pool and activates its replicas.  The mark of ownership is durable when this returns.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`]; [`Error::Unseen`] when it may be on a disk that cannot be read; [`Error::Disk`] and
    /// [`Error::Host`] for what is no disk; [`Error::DisksMismatch`] when the disks are not the VG's as a set;
    /// [`Error::UuidMismatch`]; [`Error::Refused`] for a VG that must not be changed.
    pub fn import_pool(
        &self,
        name: &str,
        disks: &[PathBuf],
        uuid: Option<Uuid>,
    ) -> Result<StoragePool, Error> {
        VgName::parse(name)?;
        self.check_named(disks)?;
        let _lock = self.inner.lock_vg(name)?;
        self.inner
            .with_disks(disks, || self.import_named(name, disks, uuid))
    }

    /// As [`System::import_pool`], with the disks in scope.  The caller holds the VG's lock.
    fn import_named(&self, name: &str, disks: &[PathBuf], uuid: Option<Uuid>) -> Result<StoragePool, Error> {
        let found = self.find_vg(self.inner.scan_also(disks)?, name)?;
        let actual: Vec<_> = found.disks.iter().map(|disk| disk.path.clone()).collect();
        if !same_disks(disks, &actual)? {
            return Err(disks_mismatch(&found, disks));
        }
        let actual = identity::pool_uuid(&found.vg.id());
        if let Some(given) = uuid.filter(|given| *given != actual) {
            return Err(Error::UuidMismatch {
                pool: name.into(),
                actual,
                given,
            });
        }
        self.take_over(found)
    }

    /// Refuses paths that a command names as disks and that are none.
    ///
    /// # Errors
    /// [`Error::Disk`], [`Error::Host`], [`Error::Io`].
    pub(super) fn check_named(&self, disks: &[PathBuf]) -> Result<(), Error> {
        disks
            .iter()
            .try_for_each(|path| gap::check_named(path, self.inner.images))
    }

    /// Marks an open VG as a pool, if it is not, and activates its replicas.  The caller holds its lock.
    ///
    /// Replicas that cannot be activated here, or lack a disk, stay inactive and stop no other.  Those that are to be shared are.
    pub(crate) fn take_over(&self, mut open: OpenVg) -> Result<StoragePool, Error> {
        let inner = &*self.inner;
        open.check_ours(inner)?;
        open.take_back(inner)?;
        if !storage_pool::is_pool(&open) {
            open.check_writable(inner)?;
        }
        let pool = StoragePool::new(self.inner.clone(), open);
        pool.recover_locked()?;
        pool.fresh()?.change(inner, "import pool", |change| {
            if !storage_pool::is_pool(change.open()) {
                let mut tags = tags_but(change.open(), "");
                tags.push(tags::OWNER.into());
                change.edit().set_tags(&tags).map_err(Error::Meta)?;
                change.step(Step::Commit);
            }
            let open = change.open();
            let mut steps = Vec::new();
            // One question for all: thousands of replicas are as many calls of the kernel less.
            let devices = ActiveDevices::ask(inner)?;
            for lv in open.vg.lvs().filter(|lv| replica::replica_of(lv).is_some()) {
                // As LVM: what is to be activated by name alone waits for that.
                if devices.has(open, lv) || lv.flags().contains(LvFlags::ACTIVATION_SKIP) {
                    continue;
                }
                match activate::prepare(inner, open, lv, Degraded::Refuse)
                    .and_then(|()| activate::activate(inner, open, lv, Degraded::Refuse))
                {
                    Ok(activate) => steps.extend(activate),
                    Err(
                        Error::Unsupported(_)
                        | Error::Refused { .. }
                        | Error::MissingDisk { .. }
                        | Error::MinorTaken { .. }
                        | Error::NoSnapshotTarget
                        | Error::NoRaidTarget
                        | Error::ThinPoolMismatch { .. },
                    ) => {}
                    Err(error) => return Err(error),
                }
            }
            steps.push(Step::Settle);
            steps.into_iter().for_each(|step| change.step(step));
            Ok(())
        })?;
        share::follow(inner, &*pool.fresh()?);
        Ok(pool)
    }

    /// Deactivates a pool's replicas and takes the mark of ownership off.  A VG without the mark is success.
    ///
    /// # Errors
    /// [`Error::Busy`] while a replica is open, [`Error::PoolNotFound`].
    pub fn export_pool(&self, wanted: &str) -> Result<(), Error> {
        let found = self.find_vg(self.inner.scan()?, wanted)?;
        let _lock = self.inner.lock_vg(found.vg.name())?;
        let mut open = found;
        open.refresh(&self.inner)?;
        if !storage_pool::is_pool(&open) {
            return Ok(());
        }
        open.check_writable(&self.inner)?;
        // What a cut change left of devices must not stay behind.
        recover_open(&self.inner, &mut open)?;
        open.change(&self.inner, "export pool", |change| {
            deactivate_all(self, change)?;
            let tags = tags_but(change.open(), tags::OWNER);
            change.edit().set_tags(&tags).map_err(Error::Meta)?;
            change.step(Step::Commit);
            Ok(())
        })
    }

    /// Destroys a pool: its replicas, its VG, and the labels of its disks.  Durable when this returns.
    ///
    /// A call that was cut is finished by the next one.
    ///
    /// # Errors
    /// [`Error::ForeignLvs`] with their names, [`Error::Busy`] while a replica is open; nothing is changed then.
    pub fn destroy_pool(&self, wanted: &str) -> Result<(), Error> {
        let inner = &*self.inner;
        let found = self.find_vg(inner.scan()?, wanted)?;
        let mut locks = inner.lock_global(found.vg.name())?;
        let mut open = found;
        open.refresh(inner)?;
        if !is_destroying(&open) {
            if !storage_pool::is_pool(&open) {
                return Err(Error::PoolNotFound(wanted.into()));
            }
            open.check_writable(inner)?;
            let lvs = storage_pool::foreign_lvs(&open);
            if !lvs.is_empty() {
                return Err(Error::ForeignLvs {
                    pool: open.vg.name().into(),
                    lvs,
                });
            }
            // What a cut change left of devices must not stay behind.
            recover_open(inner, &mut open)?;
            // One commit makes it a VG without LVs that says it is going: what follows can be cut anywhere.
            open.change(inner, "destroy pool", |change| {
                deactivate_all(self, change)?;
                change.edit().remove_all_lvs().map_err(Error::Meta)?;
                change.edit().set_tags(&[tags::DESTROYING]).map_err(Error::Meta)?;
                change.step(Step::Commit);
                Ok(())
            })?;
        }
        // While the labels are there a repeated call comes here again: what a killed one left of nodes goes first.
        inner.sweep_nodes(open.vg.name())?;
        let _hints = inner.invalidate_hints()?;
        inner.leave_devices_file(&mut locks, open.disks.iter().map(|disk| &*disk.path))?;
        // The tools' own vgremove goes on without this, too.
        let _ = inner.forget_backup(open.vg.name());
        open.disks
            .iter()
            .try_for_each(|disk| lvm_meta::erase_pv(&*disk.disk).map_err(Error::Meta))
    }
}

/// How the disks that a caller named differ from those of a VG.
pub(super) fn disks_mismatch(open: &OpenVg, given: &[PathBuf]) -> Error {
    let identity = |path: &PathBuf| host::Identity::of(path).ok();
    let given_disks: HashSet<_> = given.iter().filter_map(identity).collect();
    let own_disks: HashSet<_> = open
        .disks
        .iter()
        .filter_map(|disk| identity(&disk.path))
        .collect();
    let is_in = |path: &PathBuf, disks: &HashSet<_>| identity(path).is_some_and(|disk| disks.contains(&disk));
    let missing =
        open.vg
            .pvs()
            .iter()
            .filter_map(|pv| match open.disks.iter().find(|disk| disk.pv == pv.id()) {
                Some(disk) if is_in(&disk.path, &given_disks) => None,
                Some(disk) => Some(disk.path.display().to_string()),
                None => Some(missing_pv(pv)),
            });
    let is_other = |path: &&PathBuf| !is_in(path, &own_disks);
    Error::DisksMismatch {
        pool: open.vg.name().into(),
        disks: open.vg.pvs().len(),
        missing: missing.collect(),
        others: given.iter().filter(is_other).cloned().collect(),
    }
}

/// A PV whose disk is not there, for people.
pub(crate) fn missing_pv(pv: &lvm_meta::Pv) -> String {
    match pv.device_hint() {
        Some(hint) => format!("PV {} (last seen as {})", pv.id(), hint.escape_debug()),
        None => format!("PV {}", pv.id()),
    }
}

/// Was the VG's removal begun?
pub(crate) fn is_destroying(open: &OpenVg) -> bool {
    open.vg.tags().contains(tags::DESTROYING)
}

/// Plans the end of every replica's device, after looking that none is open.
fn deactivate_all(system: &System, change: &mut Change<'_>) -> Result<(), Error> {
    let open = change.open();
    let mut steps = Vec::new();
    let mut pools = Vec::new();
    for lv in open.vg.lvs() {
        let tags = LvTags::read(lv.tags());
        if let Some(pool) = PoolLv::named(&open.vg, lv.name()) {
            pools.push(pool);
        } else if (tags.is_ours() || tags.snapshot.is_some())
            // The tools tag the parts of what they make, too.
            && lv.is_visible()
            && open.kernel_device(&system.inner, lv)?.is_some()
            // Snapshots go with their origin.
            && Group::of(&open.vg, lv).is_none_or(|group| group.origin.name() == lv.name())
        {
            steps.extend(activate::deactivate_with_snapshots(&system.inner, open, lv)?);
        }
    }
    for pool in pools {
        // A pool that others' volumes still lie on stays.
        let mut others = pool.thins(&open.vg).filter(|(lv, _)| {
            let tags = LvTags::read(lv.tags());
            !tags.is_ours() && tags.snapshot.is_none()
        });
        let is_used = |lv| Ok::<_, Error>(open.kernel_device(&system.inner, lv)?.is_some());
        if !others.try_fold(false, |used, (lv, _)| Ok::<_, Error>(used || is_used(lv)?))? {
            steps.extend(Layers::of(open, &pool)?.deactivate(&system.inner)?);
        }
    }
    steps.push(Step::Settle);
    steps.into_iter().for_each(|step| change.step(step));
    Ok(())
}

/// The VG's tags without one of them.
fn tags_but(open: &OpenVg, without: &str) -> Vec<String> {
    open.vg
        .tags()
        .iter()
        .filter(|tag| *tag != without)
        .map(Into::into)
        .collect()
}
