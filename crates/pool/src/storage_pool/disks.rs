//! A pool's disks: using what became larger, adding, removing.

use std::path::{Path, PathBuf};

use lvm_meta::Disk;

use super::fit_disks::{fit_disks, measure};
use super::{StoragePool, last_area};
use crate::apply::Step;
use crate::block_sizes::block_size;
use crate::error::DiskProblem;
use crate::host::HeldLocks;
use crate::info::{PoolInfo, TendedPool};
use crate::new_disks::{NewDisks, NewDisksRequest, check_given_once};
use crate::scan::ScannedDisk;
use crate::system::Inner;
use crate::{Error, gap, host};

impl StoragePool {
    /// Fits the pool to the sizes that its disks have now, as `pvresize` does: takes the space of those that have more of it
    /// than the metadata says, a PV that was made smaller than its device included, and leaves what those lost that became
    /// smaller.  Puts right what the metadata says of a device's size, too.  Success without a commit when there is nothing
    /// to do.
    ///
    /// That is one commit, and a second one when a metadata area behind the extents moves with the end of its disk.  Durable
    /// when this returns; a call that was cut is finished by the next one.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Disk`] for a disk that became smaller than the extents in use: then nothing was changed.
    /// [`Error::Meta`]; [`Error::Io`] when a disk cannot be measured.
    pub fn grow(&self) -> Result<TendedPool, Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.fittable()?;
        let sizes = open.disks.iter().map(|disk| Ok((disk.clone(), measure(disk)?)));
        let sizes = sizes.collect::<Result<Vec<_>, Error>>()?;
        let done = fit_disks(inner, &mut open, &sizes, "grow pool")?;
        open.note_sizes()?;
        open.refresh(inner)?;
        Ok(TendedPool {
            pool: super::info(inner, &open),
            done,
        })
    }

    /// Adds disks in one commit, though others may be missing.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Disk`] for each disk that may not be taken.  Every disk is as it was then, unless a commit was cut so
    /// that it made them the pool's ([`Error::AfterCommit`]) or, with a disk failing, may have.
    pub fn add_disks(&self, disks: &[PathBuf], force: bool) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        check_given_once(disks)?;
        disks
            .iter()
            .try_for_each(|path| gap::check_named(path, inner.images))?;
        inner.with_disks(disks, || self.add_named_disks(disks, force))
    }

    /// As [`StoragePool::add_disks`], with the disks in scope.
    fn add_named_disks(&self, disks: &[PathBuf], force: bool) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let mut locks = inner.lock_global(self.name())?;
        let mut open = self.repairable()?;
        open.check_resizeable()?;
        let scan = inner.scan_also(disks)?;
        // New areas are as large as the pool's: the text must fit them all.
        let metadata_size = open.mdas.area_size();
        let beside: Vec<_> = open
            .disks
            .iter()
            .map(|disk| block_size(&disk.path, &*disk.disk))
            .collect();
        let request = NewDisksRequest {
            paths: disks,
            extent_size: open.vg.extent_size(),
            metadata_size,
            force,
            beside: &beside,
        };
        let mut new = NewDisks::check(inner, &scan, &request)?;
        let _hints = inner.invalidate_hints()?;
        if let Err(error) = new.format(&mut locks) {
            new.undo(&mut locks);
            return Err(error);
        }
        let added = open.change(inner, "add disks", |change| {
            change.mark_missing();
            let open = change.open_mut();
            open.vg.repairing(|vg| new.add_to(vg))?;
            new.join_areas(&mut open.mdas)?;
            change.step(Step::Commit);
            Ok(())
        });
        let result = added.and_then(|()| {
            new.mark_used()
                .map_err(|error| Error::AfterCommit(Box::new(error)))
        });
        // The disks were opened for their making alone; from now on they are the pool's, or not.
        open.forget();
        if let Err(error) = result {
            // Never taken back from a VG that lists them, or that may on a disk that cannot be read.
            let is_whole = open.refresh(inner).is_ok() && open.problems.is_empty();
            if is_whole && !new.are_any_in(&open.vg) {
                new.undo(&mut locks);
            }
            return Err(error);
        }
        drop(new);
        open.refresh(inner)?;
        Ok(super::info(inner, &open))
    }

    /// Moves what a disk holds to the others, while it is used, and removes it.  Durable when this returns.
    ///
    /// A call that was cut is finished by the next one.
    ///
    /// # Errors
    /// [`Error::Disk`]: it is not the pool's, or the last one.  As [`StoragePool::evacuate_disk`], which tells how far it is.
    pub fn remove_disk(&self, path: &Path) -> Result<PoolInfo, Error> {
        self.evacuate_disk(path, &mut |_| {})
    }

    /// Removes a disk that holds nothing and takes its label off.
    pub(super) fn take_disk_out(&self, path: &Path) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let mut locks = inner.lock_global(self.name())?;
        let mut open = self.repairable()?;
        open.check_resizeable()?;
        let refuse = |why| Error::Disk {
            disk: path.into(),
            why,
        };
        let same = |disk: &&crate::open_vg::VgDisk| host::same_device(&disk.path, path).unwrap_or(false);
        let Some(disk) = open.disks.iter().find(same).cloned() else {
            let scan = inner.scan_also(&[path.into()])?;
            if !path.exists() {
                return Err(refuse(DiskProblem::Unknown(self.name().into())));
            }
            if let Some(gap) = scan.gap_on(path).filter(|gap| !gap.is_excluded) {
                let what = format!("{path:?} was not found among the disks of pool {:?}", self.name());
                let gaps = vec![gap.clone()];
                return Err(Error::Unseen { what, gaps });
            }
            let is_it = |disk: &&ScannedDisk| host::same_device(&disk.path, path).unwrap_or(false);
            let left = scan.left_behind(&open.vg).find(is_it);
            let left = left.ok_or_else(|| refuse(DiskProblem::NotInPool(self.name().into())))?;
            take_label_off(inner, &mut locks, path, &*left.disk)?;
            open.refresh(inner)?;
            return Ok(super::info(inner, &open));
        };
        let used = open.vg.pv_used(disk.pv).get();
        if used > 0 {
            return Err(refuse(DiskProblem::Used(used)));
        }
        if open.vg.pvs().len() == 1 {
            return Err(refuse(DiskProblem::Last));
        }
        let spare = last_area::successor(&open, disk.pv)?;
        let _hints = inner.invalidate_hints()?;
        open.change(inner, "remove disk", |change| {
            change.repair(|vg| vg.remove_pv(disk.pv).map(drop))?;
            let open = change.open_mut();
            open.mdas.remove(&disk.disk);
            if let Some((disk, header)) = spare {
                open.mdas.put_to_use(&disk, header);
            }
            open.disks.retain(|other| other.pv != disk.pv);
            change.step(Step::Commit);
            Ok(())
        })?;
        take_label_off(inner, &mut locks, &disk.path, &*disk.disk).map_err(Error::after_the_change)?;
        inner.narrow(&[path.into()]);
        open.refresh(inner)?;
        Ok(super::info(inner, &open))
    }
}

/// Makes a disk that left the pool a blank one.  The label goes last: by it a repeated call knows the disk.
fn take_label_off(inner: &Inner, locks: &mut HeldLocks, path: &Path, disk: &dyn Disk) -> Result<(), Error> {
    inner.leave_devices_file(locks, std::iter::once(path))?;
    lvm_meta::erase_pv(disk).map_err(Error::Meta)
}
