//! VDO, and checksums under RAID images.

use super::context::{Context, Kept};
use super::finding::Findings;
use crate::detail::Detail;

/// The pool of a VDO LV is a VDO pool.
pub(super) fn vdo_pool(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Ok(Detail::Vdo(vdo)) = &kept.detail else {
        return;
    };
    if !context.is_of(&vdo.pool, "vdo-pool") {
        findings.segment(kept.lv, kept.segment, format!("{:?} is no VDO pool", vdo.pool));
    }
}

/// Data under checksums has LVM's name for it.
pub(super) fn integrity_origin(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Ok(Detail::Integrity(integrity)) = &kept.detail else {
        return;
    };
    if !integrity.origin.contains("_iorig") {
        let what = format!("{:?} has not the name of data under checksums", integrity.origin);
        findings.segment(kept.lv, kept.segment, what);
    }
}
