//! A pool's disks: using what became larger, adding, removing.

use std::path::{Path, PathBuf};

use lvm_meta::{Extents, Pv, Sectors, Vg};

use super::StoragePool;
use crate::apply::Step;
use crate::error::DiskProblem;
use crate::info::PoolInfo;
use crate::new_disk::{NewDisk, check_given_once};
use crate::open_vg::OpenVg;
use crate::{Error, host};

impl StoragePool {
    /// Takes the space of disks that became larger, in one commit; success without one when none did.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Meta`].
    pub fn grow(&self) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        let grown = open.change(inner, "grow pool", |change| {
            let open = change.open();
            let mut grown = Vec::new();
            for disk in &open.disks {
                let fail = |source| Error::Io {
                    what: "measure",
                    path: disk.path.clone(),
                    source,
                };
                let dev_size = Sectors::from_bytes_floor(disk.disk.size().map_err(fail)?);
                let Some(pv) = open.vg.pv(disk.pv) else { continue };
                let pe_count = pe_count(&open.vg, pv, dev_size);
                if !disk.has_end_area && dev_size > pv.dev_size() && pe_count > pv.pe_count() {
                    grown.push((disk.clone(), dev_size, pe_count));
                }
            }
            for (disk, dev_size, pe_count) in &grown {
                change
                    .edit()
                    .resize_pv(disk.pv, *dev_size, *pe_count)
                    .map_err(Error::Meta)?;
            }
            if !grown.is_empty() {
                change.step(Step::Commit);
            }
            Ok(grown)
        })?;
        // In a VG its text counts, not the label: the label may follow the commit.
        for (disk, dev_size, _) in grown {
            lvm_meta::set_pv_size(&*disk.disk, dev_size).map_err(Error::Meta)?;
        }
        Ok(super::info(inner, &open))
    }

    /// Adds disks in one commit.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Disk`] for each disk that may not be taken; every disk is as it was then.
    pub fn add_disks(&self, disks: &[PathBuf], force: bool) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        check_given_once(disks)?;
        let mut locks = inner.lock_global(self.name())?;
        let mut open = self.changeable()?;
        let scan = inner.scan_also(disks)?;
        // New areas are as large as the pool's: the text must fit them all.
        let metadata_size = open.mdas.area_size();
        let check =
            |disk: &PathBuf| NewDisk::check(inner, &scan, disk, open.vg.extent_size(), metadata_size, force);
        let new: Vec<NewDisk> = disks.iter().map(check).collect::<Result<_, _>>()?;
        let _hints = inner.invalidate_hints()?;
        let result = add(&mut open, inner, &new);
        if result.is_err() {
            new.iter().for_each(NewDisk::undo);
            open.forget();
        }
        result?;
        inner.enter_devices_file(&mut locks, &new)?;
        drop(new);
        // The disks were opened for their making alone; from now on they are the pool's.
        open.forget();
        open.refresh(inner)?;
        Ok(super::info(inner, &open))
    }

    /// Removes a disk that holds no data and takes its label off.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Disk`]: it is not the pool's, holds data, or is the last one.
    pub fn remove_disk(&self, path: &Path) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let mut locks = inner.lock_global(self.name())?;
        let mut open = self.changeable()?;
        let refuse = |why| Error::Disk {
            disk: path.into(),
            why,
        };
        let same = |disk: &&crate::open_vg::VgDisk| host::same_device(&disk.path, path).unwrap_or(false);
        let disk = open.disks.iter().find(same).cloned();
        let disk = disk.ok_or_else(|| refuse(DiskProblem::NotInPool(self.name().into())))?;
        let used = open.vg.pv_used(disk.pv).get();
        if used > 0 {
            return Err(refuse(DiskProblem::Used(used)));
        }
        if open.vg.pvs().len() == 1 {
            return Err(refuse(DiskProblem::Last));
        }
        let _hints = inner.invalidate_hints()?;
        open.change(inner, "remove disk", |change| {
            change.edit().remove_pv(disk.pv).map_err(Error::Meta)?;
            let open = change.open_mut();
            open.mdas.remove(&disk.disk);
            open.disks.retain(|other| other.pv != disk.pv);
            change.step(Step::Commit);
            Ok(())
        })?;
        lvm_meta::erase_pv(&*disk.disk).map_err(Error::Meta)?;
        inner.leave_devices_file(&mut locks, std::iter::once(&*disk.path))?;
        Ok(super::info(inner, &open))
    }
}

/// Makes the PVs, commits a VG that has them, and says so in their labels.
fn add(open: &mut OpenVg, inner: &crate::system::Inner, new: &[NewDisk]) -> Result<(), Error> {
    new.iter().try_for_each(NewDisk::format)?;
    open.change(inner, "add disks", |change| {
        for disk in new {
            change.edit().add_pv(disk.pv(inner)).map_err(Error::Meta)?;
            disk.join(&mut change.open_mut().mdas)?;
        }
        change.step(Step::Commit);
        Ok(())
    })?;
    new.iter().try_for_each(NewDisk::mark_used)
}

/// Whole extents that fit a device of this size.
fn pe_count(vg: &Vg, pv: &Pv, dev_size: Sectors) -> Extents {
    let room = dev_size.checked_sub(pv.pe_start()).unwrap_or_default().get();
    let count = room / u64::from(vg.extent_size().sectors());
    Extents::new(u32::try_from(count).unwrap_or(u32::MAX))
}
