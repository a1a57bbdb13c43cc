//! Flags of LVs.

use super::context::Context;
use super::finding::Findings;
use crate::{Lv, LvFlags, LvStatus};

/// Only a thin pool fails writes when it is full.
pub(super) fn error_when_full(_: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    if !lv.flags().contains(LvFlags::ERROR_WHEN_FULL) {
        return;
    }
    let mut segments = lv.segments().iter();
    if let Some(segment) = segments.find(|segment| segment.base_type() != "thin-pool") {
        findings.segment(lv, segment, "ERROR_WHEN_FULL on what is no thin pool");
    }
}

/// An LV with a number of its own says which; LVM takes one that is illegal for none.
pub(super) fn fixed_minor(_: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    if lv.status().contains(LvStatus::FIXED_MINOR) && !lv.has_minor() {
        findings.lv(lv, "FIXED_MINOR without a minor number");
    }
}
