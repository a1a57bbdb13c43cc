//! Mending the copies of a pool's metadata.

use lvm_meta::DiskArea;

use super::StoragePool;
use crate::Error;
use crate::apply::Step;
use crate::info::PoolInfo;
use crate::open_vg::VgDisk;
use crate::scan::Scan;

impl StoragePool {
    /// Writes the metadata anew to every area that lost it, marks the labels of all disks, and takes the old metadata off
    /// disks that left the pool, as `vgck --updatemetadata` does.  Durable when this returns; a pool with nothing wrong
    /// is left as it is.
    ///
    /// What the copies say is taken from the newest good one.  An area whose header is broken, which the tools leave to
    /// `pvck --repair`, is written only where the label and the extents leave no doubt that it is one.
    ///
    /// # Errors
    /// [`Error::Refused`] for a pool that must not be changed: one with a missing disk, or whose newest copies differ.
    pub fn repair(&self) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let _locks = inner.lock_global(self.name())?;
        let scan = inner.scan()?;
        let mut open = self.changeable()?;
        let mut is_hurt = !open.problems.is_empty() || !open.mdas.agrees();
        for (disk, area) in broken_areas(&scan, &open.disks) {
            let Some(pv) = open.vg.pv(disk.pv) else { continue };
            let start = pv.pe_start().to_bytes().unwrap_or(0);
            let length = open.vg.extent_size().to_bytes(pv.pe_count()).unwrap_or(u64::MAX);
            is_hurt |= lvm_meta::blank_area(&*disk.disk, area, start..start.saturating_add(length))
                .map_err(Error::Meta)?;
        }
        if !is_hurt {
            return Ok(super::info(inner, &open));
        }
        open.forget();
        open.refresh(inner)?;
        open.change(inner, "repair pool", |change| {
            change.edit();
            change.step(Step::Commit);
            Ok(())
        })?;
        open.mark_disks()?;
        for left in scan.left_behind(&open.vg) {
            lvm_meta::orphan_pv(&*left.disk).map_err(Error::Meta)?;
        }
        open.forget();
        open.refresh(inner)?;
        Ok(super::info(inner, &open))
    }
}

/// The areas of a pool's disks that have no good header.
fn broken_areas<'a>(scan: &'a Scan, disks: &'a [VgDisk]) -> Vec<(VgDisk, DiskArea)> {
    let pvs = scan.assembly.vgs.iter().flat_map(|vg| &vg.pvs);
    pvs.filter_map(|pv| Some((disks.iter().find(|disk| disk.pv == pv.id)?, pv.scan.as_ref()?)))
        .flat_map(|(disk, read)| read.mdas.iter().map(move |mda| (disk, mda)))
        .filter(|(_, mda)| matches!(mda.header, Err(lvm_meta::Error::Corrupt { .. })))
        .map(|(disk, mda)| (disk.clone(), mda.area))
        .collect()
}
