//! The disks that one request takes into a pool: checked together, written together, and given back together.

use std::collections::HashSet;
use std::path::PathBuf;

use lvm_meta::{ExtentSize, MdaSet, Vg};

use crate::Error;
use crate::block_sizes::{self, BlockSize};
use crate::error::DiskProblem;
use crate::host::{DevicesFile, HeldLocks, Identity};
use crate::new_disk::NewDisk;
use crate::scan::Scan;
use crate::system::Inner;

/// Disks on their way into a pool.
pub(crate) struct NewDisks<'a> {
    inner: &'a Inner,
    disks: Vec<NewDisk>,
    /// The devices file as it was, once they are listed in it.
    before: Option<DevicesFile>,
}

/// What a request says of the disks it names.
pub(crate) struct NewDisksRequest<'a> {
    pub(crate) paths: &'a [PathBuf],
    pub(crate) extent_size: ExtentSize,
    /// Bytes of each metadata area, if not by the disk's size.
    pub(crate) metadata_size: Option<u64>,
    /// Take disks that carry a signature.
    pub(crate) force: bool,
    /// The disks that are in the pool, with their block sizes.
    pub(crate) beside: &'a [BlockSize],
}

impl<'a> NewDisks<'a> {
    /// Checks that all may be taken, and holds them open for nobody else.  Nothing is written.
    ///
    /// # Errors
    /// As [`NewDisk::check`] and [`block_sizes::check`].
    pub(crate) fn check(inner: &'a Inner, scan: &Scan, request: &NewDisksRequest<'_>) -> Result<Self, Error> {
        let disks = request
            .paths
            .iter()
            .map(|path| NewDisk::check(inner, scan, path, request));
        let disks = disks.collect::<Result<_, _>>()?;
        Self::alike(inner, disks, request.beside, request.extent_size)
    }

    /// Disks that are given back their labels, checked one by one.
    ///
    /// # Errors
    /// As [`block_sizes::check`].
    pub(crate) fn relabel(
        inner: &'a Inner,
        disks: Vec<NewDisk>,
        beside: &[BlockSize],
        extent_size: ExtentSize,
    ) -> Result<Self, Error> {
        Self::alike(inner, disks, beside, extent_size)
    }

    fn alike(
        inner: &'a Inner,
        disks: Vec<NewDisk>,
        beside: &[BlockSize],
        extent_size: ExtentSize,
    ) -> Result<Self, Error> {
        let new: Vec<_> = disks.iter().map(NewDisk::block_size).collect();
        let allow_mixed = inner.config.devices.allow_mixed_block_sizes;
        block_sizes::check(beside, &new, extent_size, allow_mixed)?;
        Ok(Self {
            inner,
            disks,
            before: None,
        })
    }

    /// The disks.
    pub(crate) fn disks(&self) -> &[NewDisk] {
        &self.disks
    }

    /// Lists them in the devices file and writes their PVs, not yet members of any VG.  Durable when this returns.
    ///
    /// Listed first: a PV that the tools do not see could be taken for a blank disk.
    pub(crate) fn format(&mut self, locks: &mut HeldLocks) -> Result<(), Error> {
        self.before = self.inner.enter_devices_file(locks, &self.disks)?;
        self.disks.iter().try_for_each(NewDisk::format)
    }

    /// Adds the PVs to a VG; nothing is written.
    pub(crate) fn add_to(&self, vg: &mut Vg) -> Result<(), Error> {
        let mut disks = self.disks.iter();
        disks.try_for_each(|disk| vg.add_pv(disk.pv(self.inner)).map_err(Error::Meta))
    }

    /// Adds their metadata areas, once they are written, to those of a VG that lists the PVs.
    pub(crate) fn join_areas(&self, mdas: &mut MdaSet) -> Result<(), Error> {
        self.disks.iter().try_for_each(|disk| disk.join(mdas))
    }

    /// Does this VG list any of them?
    pub(crate) fn are_any_in(&self, vg: &Vg) -> bool {
        self.disks.iter().any(|disk| vg.pv(disk.id).is_some())
    }

    /// Says in the labels that the PVs are a VG's.  Durable when this returns.
    pub(crate) fn mark_used(&self) -> Result<(), Error> {
        self.disks.iter().try_for_each(NewDisk::mark_used)
    }

    /// Puts back what was on the disks and in the devices file.  For as long as no VG on other disks lists them.
    pub(crate) fn undo(self, locks: &mut HeldLocks) {
        // Best effort: the error that led here is the one to report.
        self.disks.iter().for_each(NewDisk::undo);
        if let Some(before) = &self.before {
            let _ = self.inner.restore_devices_file(locks, before);
        }
    }
}

/// Refuses a list that names one disk twice, under whatever names.
pub(crate) fn check_given_once(disks: &[PathBuf]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for disk in disks {
        if Identity::of(disk).is_ok_and(|disk| !seen.insert(disk)) {
            return Err(Error::Disk {
                disk: disk.clone(),
                why: DiskProblem::GivenTwice,
            });
        }
    }
    Ok(())
}
