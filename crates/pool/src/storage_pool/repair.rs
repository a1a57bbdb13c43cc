//! Mending the copies of a pool's metadata.

use lvm_meta::{CopyState, DiskArea};

use super::{StoragePool, disk_sizes};
use crate::Error;
use crate::apply::Step;
use crate::error::Refusal;
use crate::info::TendedPool;
use crate::open_vg::{OpenVg, VgDisk};
use crate::scan::Scan;
use crate::system::Inner;

/// What the archive says of the texts.
const WHY: &str = "repair pool";

impl StoragePool {
    /// Writes the metadata anew to every area that lost it, marks the labels of all disks, and takes the old metadata off
    /// disks that left the pool, as `vgck --updatemetadata` does; and puts right what the metadata says of a device's size.
    /// Durable when this returns; a pool with nothing wrong is left as it is.
    ///
    /// What the copies say is taken from the newest good one.  Of newest copies that differ, which nobody can choose
    /// from but whoever asks for a repair, it is the one that all questions are answered from: that of the first disk.
    /// The others go to LVM's archive first, where one is kept, so that the pool can be restored from them.  An area
    /// whose header is broken, which the tools leave to `pvck --repair`, is written only where the label and the extents
    /// leave no doubt that it is one.
    ///
    /// # Errors
    /// [`Error::Refused`] for a pool that must not be changed: one with a missing disk, or with a PV that is on two
    /// devices or in two VGs, or one of whose differing copies cannot be read; [`Error::Host`] when what the repair
    /// drops cannot be archived.
    pub fn repair(&self) -> Result<TendedPool, Error> {
        let inner = &*self.inner;
        let _locks = inner.lock_global(self.name())?;
        let scan = inner.scan()?;
        let mut open = self.fresh()?;
        let mut done = Vec::new();
        if open.ambiguous.is_none() {
            self.check_ours(&open)?;
            let back = open.returned().len();
            open.take_back(inner)?;
            if back > 0 {
                done.push(format!("{back} disks that were missing are back"));
            }
        }
        let chosen = self.settle(&mut open)?.then(|| open.vg.clone());
        let mut are_copies_hurt = chosen.is_some() || !open.mdas.agrees();
        let is_hurt = !open.problems.is_empty();
        if chosen.is_some() {
            archive_others(inner, &scan, &open)?;
            done.push("of copies of one age that differ, that of the first disk was chosen".into());
        }
        for (disk, area) in broken_areas(&scan, &open.disks) {
            let Some(pv) = open.vg.pv(disk.pv) else { continue };
            let start = pv.pe_start().to_bytes().unwrap_or(0);
            let length = open.vg.extent_size().to_bytes(pv.pe_count()).unwrap_or(u64::MAX);
            if lvm_meta::blank_area(&*disk.disk, area, start..start.saturating_add(length))
                .map_err(Error::Meta)?
            {
                are_copies_hurt = true;
                done.push(format!(
                    "{}, byte {}: a broken header was made anew",
                    disk.path.display(),
                    area.offset
                ));
            }
        }
        let sizes = disk_sizes::misstated(&open)?;
        // A size that is misstated is told as a problem, too.
        are_copies_hurt |= is_hurt && sizes.is_empty();
        if !are_copies_hurt && sizes.is_empty() {
            return Ok(TendedPool {
                pool: super::info(inner, &open),
                done,
            });
        }
        open.forget();
        open.refresh(inner)?;
        self.settle(&mut open)?;
        if chosen.is_some_and(|chosen| chosen != open.vg) {
            return Err(unsure(&open));
        }
        if are_copies_hurt {
            done.push("the metadata was written to every area".into());
        }
        let sizes = disk_sizes::misstated(&open)?;
        open.change(inner, WHY, |change| {
            sizes.iter().try_for_each(|size| size.put(change.edit()))?;
            change.edit();
            change.step(Step::Commit);
            Ok(())
        })?;
        done.extend(sizes.into_iter().map(|size| size.what));
        open.mark_disks()?;
        open.note_sizes()?;
        for left in scan.left_behind(&open.vg) {
            lvm_meta::orphan_pv(&*left.disk).map_err(Error::Meta)?;
            done.push(format!(
                "{}: metadata of a disk that left was taken off",
                left.path.display()
            ));
        }
        open.forget();
        open.refresh(inner)?;
        Ok(TendedPool {
            pool: super::info(inner, &open),
            done,
        })
    }

    /// Takes the copy that is read as the right one where copies differ; tells whether they do.
    ///
    /// # Errors
    /// [`Error::Refused`] for what no choice of a copy settles.
    fn settle(&self, open: &mut OpenVg) -> Result<bool, Error> {
        let doubt = open.ambiguous.take_if(|doubt| doubt.is_in_copies());
        let result = self.check_changeable(open);
        if doubt.is_some() {
            // For this repair only: whatever becomes of it, the next look finds what is on the disks.
            open.forget();
        }
        result.map(|()| doubt.is_some())
    }
}

/// Keeps the texts that a repair drops: those of the VG that are not the one that is read, and not older.
///
/// # Errors
/// [`Error::Refused`] when a copy cannot be read now: it may be the one to choose.
fn archive_others(inner: &Inner, scan: &Scan, open: &OpenVg) -> Result<(), Error> {
    let id = Some(open.vg.id());
    let found = scan.assembly.vgs.iter().find(|vg| vg.id == id);
    let found = found.filter(|found| found.vg.as_ref().is_ok_and(|vg| *vg == open.vg));
    let found = found.ok_or_else(|| unsure(open))?;
    let mut kept = vec![&found.text];
    for mda in found
        .pvs
        .iter()
        .filter_map(|pv| pv.scan.as_ref())
        .flat_map(|read| &read.mdas)
    {
        let text = match (&mda.header, &mda.text) {
            (Err(lvm_meta::Error::Io { .. }), _) | (_, Some(Err(lvm_meta::Error::Io { .. }))) => {
                return Err(unsure(open));
            }
            (_, Some(Ok(text))) => text,
            _ => continue,
        };
        let is_old = matches!(found.copy_state(mda), (CopyState::Old, _));
        if !is_old && !kept.contains(&text) {
            inner.archive_beside(open.vg.name(), text, WHY)?;
            kept.push(text);
        }
    }
    Ok(())
}

/// Nothing is chosen while one of the copies to choose from is out of sight.
fn unsure(open: &OpenVg) -> Error {
    let what = "copies of the metadata differ, and not all of them can be read now";
    Error::Refused {
        vg: open.vg.name().into(),
        why: Refusal::Ambiguous(what.into()),
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
