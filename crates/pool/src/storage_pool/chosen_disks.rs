//! The disks that a caller names for what is made or moved.

use std::path::{Path, PathBuf};

use lvm_meta::{PvFilter, PvId, Vg};

use crate::error::DiskProblem;
use crate::open_vg::OpenVg;
use crate::{Error, host};

/// The disks that may be used: those that were named, or all.
#[derive(Clone, Debug)]
pub(super) struct ChosenDisks<'a> {
    paths: &'a [PathBuf],
    pvs: Vec<PvId>,
}

impl<'a> ChosenDisks<'a> {
    /// The PVs of disks that the caller named; none named means any.
    ///
    /// # Errors
    /// [`Error::Disk`] for one that is not the pool's, or not there.
    pub(super) fn of(open: &OpenVg, paths: &'a [PathBuf]) -> Result<Self, Error> {
        let mut pvs = Vec::with_capacity(paths.len());
        for path in paths {
            let pv = pv(open, path)?;
            if !pvs.contains(&pv) {
                pvs.push(pv);
            }
        }
        Ok(Self { paths, pvs })
    }

    /// The allocator's filter.
    pub(super) fn filter(&self) -> PvFilter<'_> {
        match self.paths {
            [] => PvFilter::All,
            _ => PvFilter::Ids(&self.pvs),
        }
    }

    /// An error of the allocator's, which tells of all disks, with the disks that it is about.
    pub(super) fn tell(&self, vg: &Vg, error: Error) -> Error {
        match error {
            Error::NoSpace {
                pool, needed, detail, ..
            } if !self.paths.is_empty() => {
                let pvs = self.pvs.iter().filter_map(|pv| vg.pv(*pv));
                let free = pvs.filter(|pv| pv.is_allocatable());
                let free: u64 = free.map(|pv| u64::from(pv.free().get())).sum();
                let paths: Vec<String> = self.paths.iter().map(|path| format!("{path:?}")).collect();
                Error::NoSpace {
                    pool,
                    needed,
                    free: free.saturating_mul(vg.extent_size().bytes()),
                    detail: format!(" on {}{detail}", paths.join(", ")),
                }
            }
            error => error,
        }
    }
}

/// The PV of a disk of the pool.
///
/// # Errors
/// [`Error::Disk`] for one that is not the pool's, or not there.
pub(super) fn pv(open: &OpenVg, path: &Path) -> Result<PvId, Error> {
    let mut disks = open.disks.iter();
    let found = disks.find(|disk| host::same_device(&disk.path, path).unwrap_or(false));
    found.map(|disk| disk.pv).ok_or_else(|| Error::Disk {
        disk: path.into(),
        why: match path.exists() {
            true => DiskProblem::NotInPool(open.vg.name().into()),
            false => DiskProblem::Missing,
        },
    })
}
