//! VGs that hosts share.  We change none of them, but a reader may ask what is wrong with one.

use std::collections::HashSet;

use super::context::Context;
use super::finding::Findings;
use crate::{Lv, LvFlags, Vg};

/// The lock managers that LVM knows.
const LOCK_TYPES: [&str; 3] = ["sanlock", "dlm", "idm"];

/// The lock manager of a VG that is shared.
fn shared_by(vg: &Vg) -> Option<&str> {
    vg.lock_type().filter(|kind| LOCK_TYPES.contains(kind))
}

/// A shared VG has a lock manager that LVM knows, and neither another kind of cluster nor an owner.
pub(super) fn lock_type(context: &Context<'_>, findings: &mut Findings) {
    let vg = context.vg;
    let Some(kind) = vg.lock_type().filter(|kind| *kind != "none") else {
        return;
    };
    if !LOCK_TYPES.contains(&kind) {
        findings.vg(format!("unknown lock type {kind:?}"));
    }
    if vg.is_clustered() {
        findings.vg(format!("lock type {kind:?} and clustered"));
    }
    if let Some(owner) = vg.system_id() {
        findings.vg(format!("lock type {kind:?} and the owner {owner:?}"));
    }
}

/// A shared VG tells its lock manager where the locks are, another one tells nothing.
pub(super) fn lock_args(context: &Context<'_>, findings: &mut Findings) {
    match (shared_by(context.vg), context.vg.lock_args()) {
        (Some(kind), None) => findings.vg(format!("lock type {kind:?} without lock_args")),
        (None, Some(args)) => findings.vg(format!("lock_args {args:?} without a lock type")),
        _ => {}
    }
}

/// LVs that are locked have arguments for the VG's lock manager, others have none.
///
/// LVM lets them be missing; those of a cache's LV it does not look at.
pub(super) fn lv_lock_args(context: &Context<'_>, findings: &mut Findings) {
    let kind = shared_by(context.vg);
    for lv in &context.odd {
        let Some(args) = lv.lock_args() else { continue };
        let fits = match kind {
            None => false,
            Some(_) if lv.flags().contains(LvFlags::CACHE_VOL) => true,
            Some(_) if !may_be_locked(context, lv) => false,
            Some("sanlock") => are_sanlock_args(args),
            Some(kind) => args == kind,
        };
        if !fits {
            let kind = kind.unwrap_or("none");
            findings.lv(
                lv,
                format!("lock_args {args:?} do not fit the LV and lock type {kind:?}"),
            );
        }
    }
}

/// Hidden LVs and thin LVs are locked with what they belong to.  LVM knows more that are; none of those is asked for here.
fn may_be_locked(context: &Context<'_>, lv: &Lv) -> bool {
    context.is_visible(lv) && !context.is_of(lv.name(), "thin")
}

/// A version, a colon, and a place.
fn are_sanlock_args(args: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+:".contains(&byte);
    args.bytes().all(is_legal) && args.bytes().filter(|byte| *byte == b':').count() <= 1
}

/// No two LVs have one lock of sanlock's.
pub(super) fn lv_lock_once(context: &Context<'_>, findings: &mut Findings) {
    if shared_by(context.vg) != Some("sanlock") {
        return;
    }
    let mut seen = HashSet::new();
    for lv in &context.odd {
        let Some(args) = lv.lock_args() else { continue };
        if may_be_locked(context, lv) && !lv.flags().contains(LvFlags::CACHE_VOL) && !seen.insert(args) {
            findings.lv(lv, format!("another LV has lock_args {args:?}, too"));
        }
    }
}
