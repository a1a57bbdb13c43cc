//! What segments say of their type, and who may stand on what.

use super::context::{Context, Kept, Part};
use super::finding::Findings;

/// LVM reads the fields of a segment's type.
pub(super) fn fields(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    if let Err(error) = &kept.detail {
        findings.segment(kept.lv, kept.segment, error.to_string());
    }
}

/// The LVs that a segment names are there.
pub(super) fn references(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    for name in kept.opaque.stands_on().iter().chain(kept.opaque.mentions()) {
        if context.vg.lv(name).is_none() {
            findings.segment(kept.lv, kept.segment, format!("LV {name:?} is not there"));
        }
    }
}

/// Nothing else stands on an image or log of a legacy mirror, or on the parts of a thin or cache pool.
pub(super) fn sole_user(context: &Context<'_>, findings: &mut Findings) {
    for (number, used) in context.uses.iter().enumerate() {
        if used.part != Part::Alone {
            continue;
        }
        // Of two that want it alone the second one tells.
        if let Some(other) = context.other_use(number, used)
            && (other.part != Part::Alone || context.owner_before(number, used).is_some())
        {
            let what = format!("LV {:?} is used by {:?}, too", used.lv.name(), other.user.name());
            findings.segment(used.user, used.segment, what);
        }
    }
}

/// An image, a cached LV, a cache or a pool's data has one owner; LVM does not look, and never makes two.
pub(super) fn sole_owner(context: &Context<'_>, findings: &mut Findings) {
    for (number, used) in context.uses.iter().enumerate() {
        if !matches!(used.part, Part::Owned | Part::Raid) {
            continue;
        }
        if let Some(owner) = context
            .owner_before(number, used)
            .filter(|owner| owner.part != Part::Alone)
        {
            let what = format!(
                "LV {:?} belongs to {:?} already",
                used.lv.name(),
                owner.user.name()
            );
            findings.segment(used.user, used.segment, what);
        }
    }
}
