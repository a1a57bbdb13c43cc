//! Fitting PVs to their devices: after those became larger or smaller, and when a part of one is to be left alone.
//!
//! A metadata area behind the extents moves with the end.  Extents become fewer before an area goes where they were, and
//! more after it left, each in a commit of its own; whatever is cut in between, a repeated call goes on.

use std::sync::Arc;

use lvm_meta::{AreaMove, Extents, Pv, PvFit, PvId, Sectors, Vg};

use super::disk_sizes;
use crate::Error;
use crate::apply::Step;
use crate::error::DiskProblem;
use crate::open_vg::{OpenVg, VgDisk};
use crate::system::Inner;

/// What becomes of one disk.
struct Plan {
    disk: VgDisk,
    fit: PvFit,
    has_fewer: bool,
    /// What changes, for people.
    what: Vec<String>,
}

/// The size of a disk now, in bytes.
pub(super) fn measure(disk: &VgDisk) -> Result<u64, Error> {
    disk.disk.size().map_err(|source| Error::Io {
        what: "measure",
        path: disk.path.clone(),
        source,
    })
}

/// Makes each PV use so many bytes of its disk, in one commit if no metadata area has to move, and tells what it did; nothing
/// is written when that makes no difference.  The caller holds the VG's lock.
///
/// # Errors
/// [`Error::Disk`] when extents behind the new end are in use: nothing was written.  As [`lvm_meta::fit_pv`] and
/// [`OpenVg::change`].
pub(super) fn fit_disks(
    inner: &Inner,
    open: &mut OpenVg,
    sizes: &[(VgDisk, u64)],
    why: &str,
) -> Result<Vec<String>, Error> {
    let mut plans = Vec::new();
    for (disk, size) in sizes {
        let Some(pv) = open.vg.pv(disk.pv) else { continue };
        let fit = lvm_meta::fit_pv(&*disk.disk, open.vg.extent_size(), pv, *size).map_err(Error::Meta)?;
        if !is_due(&open.vg, pv, &fit) {
            continue;
        }
        let first = fit.pe_count.min(extents_before_area(&open.vg, pv, &fit));
        let lvs = lvs_behind(&open.vg, disk.pv, first);
        if !lvs.is_empty() {
            return Err(Error::Disk {
                disk: disk.path.clone(),
                why: DiskProblem::UsedBehind { size: *size, lvs },
            });
        }
        plans.push(Plan {
            disk: disk.clone(),
            has_fewer: fit.pe_count < pv.pe_count(),
            what: changes(disk, pv, &fit),
            fit,
        });
    }
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let done = carry_out(inner, open, &plans, why);
    // What was wrong with a size is wrong no more.
    open.forget();
    done?;
    open.refresh(inner)?;
    Ok(plans.into_iter().flat_map(|plan| plan.what).collect())
}

fn changes(disk: &VgDisk, pv: &Pv, fit: &PvFit) -> Vec<String> {
    let path = disk.path.display();
    let mut all = Vec::new();
    if fit.pe_count != pv.pe_count() {
        all.push(format!("{path}: from {} to {}", pv.pe_count(), fit.pe_count));
    } else if fit.moved.is_none() {
        all.push(disk_sizes::was_misstated(disk, pv, fit.dev_size));
    }
    if let Some(moved) = fit.moved {
        let (from, to) = (moved.from.offset, moved.to.offset);
        all.push(format!(
            "{path}: a metadata area moved from byte {from} to byte {to}"
        ));
    }
    all
}

fn carry_out(inner: &Inner, open: &mut OpenVg, plans: &[Plan], why: &str) -> Result<(), Error> {
    let (moving, staying): (Vec<&Plan>, Vec<&Plan>) = plans.iter().partition(|plan| plan.fit.moved.is_some());
    let mut now = staying;
    now.extend(moving.iter().filter(|plan| plan.has_fewer));
    // A copy that is moved is the newest one.
    if !now.is_empty() || (!moving.is_empty() && !open.mdas.agrees()) {
        resize(inner, open, &now, why)?;
    }
    if moving.is_empty() {
        return Ok(());
    }
    let text = open
        .mdas
        .committed_text()
        .map_err(Error::Meta)?
        .unwrap_or_default();
    let moved = moving
        .iter()
        .try_for_each(|plan| move_area(open, &plan.disk, plan.fit.moved, &text));
    open.forget();
    moved?;
    open.refresh(inner)?;
    let is_due_still = |plan: &&Plan| {
        let fit = PvFit {
            moved: None,
            ..plan.fit
        };
        open.vg
            .pv(plan.disk.pv)
            .is_some_and(|pv| is_due(&open.vg, pv, &fit))
    };
    let later: Vec<&Plan> = moving.into_iter().filter(is_due_still).collect();
    if later.is_empty() {
        return Ok(());
    }
    resize(inner, open, &later, why)
}

/// Does a PV not fit as it is?  That its device is larger by less than an extent is no reason to write.
fn is_due(vg: &Vg, pv: &Pv, fit: &PvFit) -> bool {
    let end = vg.extent_size().to_sectors(pv.pe_count());
    let end = pv.pe_start().checked_add(end).unwrap_or(Sectors::new(u64::MAX));
    let is_noted_wrong = !(end..=fit.dev_size).contains(&pv.dev_size());
    fit.pe_count != pv.pe_count() || fit.moved.is_some() || is_noted_wrong
}

/// The extents before an area that moves away from among them; those behind it are then not known to be anything's.
fn extents_before_area(vg: &Vg, pv: &Pv, fit: &PvFit) -> Extents {
    let Some(moved) = fit.moved else {
        return fit.pe_count;
    };
    let start = pv.pe_start().to_bytes().unwrap_or(u64::MAX);
    let count = moved.from.offset.saturating_sub(start) / vg.extent_size().bytes();
    Extents::new(u32::try_from(count).unwrap_or(u32::MAX))
}

fn resize(inner: &Inner, open: &mut OpenVg, plans: &[&Plan], why: &str) -> Result<(), Error> {
    open.change(inner, why, |change| {
        for Plan { disk, fit, .. } in plans {
            change
                .edit()
                .resize_pv(disk.pv, fit.dev_size, fit.pe_count)
                .map_err(Error::Meta)?;
        }
        change.edit();
        change.step(Step::Commit);
        Ok(())
    })
}

fn move_area(
    open: &OpenVg,
    disk: &VgDisk,
    moved: Option<AreaMove>,
    text: &Arc<Vec<u8>>,
) -> Result<(), Error> {
    let (Some(pv), Some(moved)) = (open.vg.pv(disk.pv), moved) else {
        return Ok(());
    };
    let start = pv.pe_start().to_bytes().unwrap_or(u64::MAX);
    let length = open.vg.extent_size().to_bytes(pv.pe_count()).unwrap_or(u64::MAX);
    let extents = start..start.saturating_add(length);
    lvm_meta::move_area(&*disk.disk, moved, extents, text).map_err(Error::Meta)
}

/// The LVs that use extents of a PV from this one on, by name.
pub(super) fn lvs_behind(vg: &Vg, pv: PvId, first: Extents) -> Vec<String> {
    let is_behind = |lv: &&lvm_meta::Lv| {
        let mut is_behind = false;
        for segment in lv.segments() {
            segment.each_pv_run(|on, start, length| {
                is_behind |= on == pv && start.saturating_add(length) > first.get();
            });
        }
        is_behind
    };
    let mut names: Vec<String> = vg
        .lvs()
        .filter(is_behind)
        .map(|lv| lv.name().to_string())
        .collect();
    names.sort_unstable();
    names
}
