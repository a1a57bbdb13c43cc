//! Leaving the end of a disk to something else.

use std::path::Path;

use lvm_meta::Extents;

use super::StoragePool;
use super::evacuate::{MoveProgress, ROUNDS, pv};
use super::fit_disks::{fit_disks, measure};
use crate::Error;
use crate::error::DiskProblem;
use crate::info::PoolInfo;
use crate::open_vg::{OpenVg, VgDisk};

/// What becomes of extents in use behind the new end of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BehindEnd {
    /// The call is refused.
    Refuse,
    /// They are moved, while they are used, to free extents before the new end or on other disks.
    Move,
}

impl StoragePool {
    /// Makes a pool use only the first `size` bytes of a disk, as `pvresize --setphysicalvolumesize` does: before its device
    /// is made smaller.  A metadata area behind the extents moves to the new end.
    ///
    /// Success without a commit when that is so already.  [`StoragePool::grow`] takes what the device has again.  Durable when
    /// this returns; a call that was cut is finished by the next one.
    ///
    /// # Errors
    /// [`Error::Disk`]: it is not the pool's, or extents behind the new end are in use and not to be moved; then nothing was
    /// changed.  [`Error::InvalidArgument`] for a size that is larger than what the pool uses, or holds no extent.  As
    /// [`StoragePool::evacuate_disk`]: what was moved stays so.
    pub fn shrink_disk(
        &self,
        path: &Path,
        size: u64,
        behind: BehindEnd,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<PoolInfo, Error> {
        let mut rounds = ROUNDS;
        let mut is_moved = false;
        loop {
            if behind == BehindEnd::Move {
                let keep = {
                    let open = self.fresh()?;
                    self.check_changeable(&open)?;
                    let disk = disk_of(&open, path)?;
                    checked_count(&open, &disk, size)?
                };
                is_moved |= self.empty_disk(path, keep, None, tell)?;
            }
            rounds -= 1;
            match self.cut_disk(path, size) {
                // Somebody put something there in between.
                Err(Error::Disk {
                    why: DiskProblem::UsedBehind { .. },
                    ..
                }) if rounds > 0 && behind == BehindEnd::Move => {}
                Err(error) if is_moved => {
                    let done = format!("what {} held behind its new end was moved", path.display());
                    return Err(error.after(vec![done]));
                }
                result => return result,
            }
        }
    }

    fn cut_disk(&self, path: &Path, size: u64) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.fittable()?;
        let disk = disk_of(&open, path)?;
        checked_count(&open, &disk, size)?;
        fit_disks(inner, &mut open, &[(disk.clone(), size)], "shrink disk")?;
        open.note_sizes()?;
        Ok(super::info(inner, &open))
    }
}

fn disk_of(open: &OpenVg, path: &Path) -> Result<VgDisk, Error> {
    let found = pv(open, path).and_then(|pv| open.disks.iter().find(|disk| disk.pv == pv));
    found.cloned().ok_or_else(|| Error::Disk {
        disk: path.into(),
        why: DiskProblem::NotInPool(open.vg.name().into()),
    })
}

/// The extents of a disk of this size.
///
/// # Errors
/// [`Error::InvalidArgument`] when they are more than now, or none.
fn checked_count(open: &OpenVg, disk: &VgDisk, size: u64) -> Result<Extents, Error> {
    let refuse = |why: String| Error::InvalidArgument {
        what: "size",
        given: size.to_string(),
        why,
    };
    let device = measure(disk)?;
    if size > device {
        return Err(refuse(format!("{} has {device} bytes", disk.path.display())));
    }
    let Some(pv) = open.vg.pv(disk.pv) else {
        return Ok(Extents::ZERO);
    };
    let fit = match lvm_meta::fit_pv(&*disk.disk, open.vg.extent_size(), pv, size) {
        Err(error @ (lvm_meta::Error::DeviceTooSmall { .. } | lvm_meta::Error::Geometry { .. })) => {
            return Err(refuse(error.to_string()));
        }
        fit => fit.map_err(Error::Meta)?,
    };
    if fit.pe_count > pv.pe_count() {
        let why =
            "that is more than the pool uses of the disk; growing the pool takes all that its disks have";
        return Err(refuse(why.into()));
    }
    Ok(fit.pe_count)
}
