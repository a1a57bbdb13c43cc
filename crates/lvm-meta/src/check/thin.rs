//! Thin pools, thin LVs, and the spare of their metadata.
//!
//! That an external origin is not writable is not asked: LVM makes it so when it reads.  Nor is that the numbers of
//! thin LVs are unique in their pool: LVM sees to that when it hands them out.

use super::context::{Context, Kept};
use super::finding::Findings;
use crate::detail::{Detail, Thin, ThinMessage};
use crate::{Lv, Segment};

fn thin<'a>(kept: &'a Kept<'_>) -> Option<&'a Thin> {
    match &kept.detail {
        Ok(Detail::Thin(thin)) => Some(thin),
        _ => None,
    }
}

/// The pool of a thin LV is a thin pool.
pub(super) fn pool(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(thin) = thin(kept) else { return };
    if !context.is_of(&thin.pool, "thin-pool") {
        findings.segment(kept.lv, kept.segment, format!("{:?} is no thin pool", thin.pool));
    }
}

/// The origin in the pool and the one outside are two LVs.
pub(super) fn origins(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(thin) = thin(kept) else { return };
    if thin.origin.is_some() && thin.origin == thin.external_origin {
        findings.segment(kept.lv, kept.segment, "its origin is its external origin");
    }
}

/// A thin snapshot merges into its origin, a thin LV.
pub(super) fn merge(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(thin) = thin(kept) else { return };
    let Some(target) = &thin.merge else { return };
    // LVM counts no other LV among those that the segment stands on, and then misses it.
    if thin.origin.as_ref() != Some(target) {
        findings.segment(
            kept.lv,
            kept.segment,
            format!("merges into {target:?}, which is not its origin"),
        );
    } else if !context.is_of(target, "thin") {
        findings.segment(
            kept.lv,
            kept.segment,
            format!("merges into {target:?}, which is not thin"),
        );
    }
}

/// A pool is told to make devices of thin LVs of its own.
pub(super) fn messages(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Ok(Detail::ThinPool(pool)) = &kept.detail else {
        return;
    };
    for message in &pool.messages {
        let ThinMessage::Create(name) = message else {
            continue;
        };
        let of_pool = context.first_kept_of(name).and_then(thin);
        if of_pool.is_none_or(|thin| *thin.pool != *kept.lv.name()) {
            findings.segment(
                kept.lv,
                kept.segment,
                format!("creates {name:?}, no thin LV of the pool"),
            );
        }
    }
}

/// Only a thin pool's metadata is cut.
pub(super) fn words(_: &Context<'_>, lv: &Lv, segment: &Segment, findings: &mut Findings) {
    let mut words = segment.type_words();
    if words.any(|word| word == "CROP_METADATA") && segment.base_type() != "thin-pool" {
        findings.segment(lv, segment, "CROP_METADATA on what is no thin pool");
    }
}

/// There is one spare for the metadata of all pools; LVM knows it by its name.
pub(super) fn single_spare(context: &Context<'_>, findings: &mut Findings) {
    let is_spare = |lv: &&Lv| !lv.is_visible() && lv.name().contains("_pmspare");
    for lv in context.odd.iter().copied().filter(is_spare).skip(1) {
        findings.lv(lv, "a second pool metadata spare");
    }
}
