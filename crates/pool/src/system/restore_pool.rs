//! Restoring a pool's metadata from a backup, and the labels of its disks that are gone.

use std::path::PathBuf;

use lvm_meta::{FoundPv, MdaSet};

use crate::apply::{NewText, Step};
use crate::host::HeldLocks;
use crate::info::PoolInfo;
use crate::open_vg::OpenVg;
use crate::restore::{Plan, Wanted};
use crate::{Error, RestorePool, System, storage_pool};

/// What [`System::restore_pool`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoredPool {
    /// The pool as it is now, or the VG, if its tags do not say that it is a pool.
    pub pool: PoolInfo,
    /// The disks that hold the metadata now, in the order of the PVs.
    pub written: Vec<PathBuf>,
    /// Those of them that were given back their labels.
    pub relabelled: Vec<PathBuf>,
    /// The disks that belonged to the VG and are free now.
    pub left: Vec<PathBuf>,
}

impl System {
    /// Makes the text of a backup the VG's metadata again, as `vgcfgrestore` does, and labels disks that lost their
    /// label, as `pvcreate --uuid --restorefile` does.  Durable when this returns.
    ///
    /// No copy on the disks needs to be readable.  The sequence number is above that of every copy on any disk.  Disks
    /// that the text does not list become free ones; what their extents hold stays.  A call that was cut is finished by
    /// the next one.
    ///
    /// # Errors
    /// [`Error::BadBackup`] for a text that is none, [`Error::InvalidArgument`] for one of another VG;
    /// [`Error::ActiveLvs`]; [`Error::Refused`] with missing PVs by their ids, or for a VG in the text or on the disks that
    /// must not be changed; [`Error::Exists`] for another VG of this name or id; [`Error::Disk`] for a disk that is
    /// another VG's, too small, or not fit to be labelled; [`Error::NeedsForce`]; [`Error::MetadataFull`].  Nothing is
    /// changed then.  A disk that fails may leave broken headers of areas as empty ones, and after
    /// [`Error::AfterCommit`] the text is the VG's.
    pub fn restore_pool(&self, request: &RestorePool) -> Result<RestoredPool, Error> {
        let inner = &*self.inner;
        let wanted = Wanted::read(inner, request)?;
        let paths = wanted.paths();
        self.check_named(&paths)?;
        inner.with_disks(&paths, || self.restore_on(wanted, &paths))
    }

    /// As [`System::restore_pool`], with the disks in scope.
    fn restore_on(&self, wanted: Wanted<'_>, paths: &[PathBuf]) -> Result<RestoredPool, Error> {
        let inner = &*self.inner;
        let (name, id) = (&*wanted.vg.name().to_string(), wanted.vg.id());
        let mut locks = inner.lock_global(name)?;
        let scan = inner.scan_also(paths)?;
        let plan = wanted.check(inner, &scan)?;
        let description = format!("restore pool {name}");
        let text = plan.vg.print_raw(&inner.provenance(&description));
        let (needed, capacity) = (text.len() as u64, plan.capacity()?);
        if needed > capacity {
            return Err(Error::MetadataFull {
                pool: name.into(),
                needed,
                capacity,
            });
        }
        let archived = match &plan.current {
            Some(current) => inner.archive_beside(name, current, &description),
            None => Ok(()),
        };
        let _hints = inner.invalidate_hints()?;
        let left = plan.leaving.iter().map(|disk| disk.path.clone()).collect();
        let relabelled = plan.new.disks().iter().map(|disk| disk.path.clone()).collect();
        carry_out(plan, &mut locks, &text)?;
        let kept = archived.and(inner.backup(name, &text, &description));
        let mut scan = inner.scan_also(paths)?;
        let found = scan
            .take_vg(&id, name)
            .ok_or_else(|| Error::PoolNotFound(name.into()))?;
        let holds_text = |pv: &&FoundPv| {
            let mut areas = pv.scan.iter().flat_map(|read| &read.mdas);
            areas.any(|mda| mda.committed().is_some())
        };
        let written = found.pvs.iter().filter(holds_text);
        let written = written.filter_map(|pv| Some(scan.disks.get(pv.disk?)?.path.clone()));
        let written = written.collect();
        let mut open = OpenVg::new(inner, &scan, found)?;
        open.backup_problem = kept
            .err()
            .map(|error| format!("no backup of the metadata was kept: {error}"));
        Ok(RestoredPool {
            pool: storage_pool::info(inner, &open),
            written,
            relabelled,
            left,
        })
    }
}

/// Labels, then one commit, then what the labels say of the VG.
///
/// Until the commit's first header the VG is what it was: a label that is back changes nothing, and a broken header
/// that is made an empty one named no text.
fn carry_out(mut plan: Plan<'_>, locks: &mut HeldLocks, text: &[u8]) -> Result<(), Error> {
    if let Err(error) = commit(&mut plan, locks, text) {
        // Never taken back once a reader may see the new text.
        if !matches!(error, Error::AfterCommit(_)) && plan.is_nowhere() {
            plan.new.undo(locks);
        }
        return Err(error);
    }
    let finish = || -> Result<(), lvm_meta::Error> {
        for member in &plan.members {
            lvm_meta::set_pv_used(&*member.disk.disk, true)?;
        }
        for disk in &plan.leaving {
            lvm_meta::orphan_pv(&*disk.disk)?;
        }
        Ok(())
    };
    finish()
        .map_err(Error::Meta)
        .and(plan.new.mark_used())
        .map_err(|error| Error::AfterCommit(Box::new(error)))
}

fn commit(plan: &mut Plan<'_>, locks: &mut HeldLocks, text: &[u8]) -> Result<(), Error> {
    plan.new.format(locks)?;
    let mut mdas = MdaSet::new();
    for member in &plan.members {
        let disk = &member.disk.disk;
        for mda in &member.read.mdas {
            lvm_meta::blank_area(&**disk, mda.area, member.extents.clone()).map_err(Error::Meta)?;
        }
        let read = lvm_meta::scan(&**disk).map_err(Error::Meta)?;
        let headers = read.into_iter().flat_map(|read| read.mdas);
        // As for every writer: areas out of use are left alone, and so are broken ones that are in no place for one.
        for header in headers.filter_map(|mda| mda.header.ok()) {
            if !header.is_ignored() {
                mdas.add(disk, header);
            }
        }
    }
    plan.new.join_areas(&mut mdas)?;
    plan.inner.kernel().apply(
        Some(NewText {
            mdas: &mut mdas,
            text: text.into(),
        }),
        &[Step::Commit],
    )
}
