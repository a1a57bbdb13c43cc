//! Caches.

use super::context::{Context, Kept};
use super::finding::Findings;
use crate::detail::{Cache, Detail};
use crate::{Lv, LvFlags, Segment};

fn cache<'a>(kept: &'a Kept<'_>) -> Option<&'a Cache> {
    match &kept.detail {
        Ok(Detail::Cache(cache)) => Some(cache),
        _ => None,
    }
}

/// What a cached LV is cached by is a cache pool, or an LV that holds all of a cache.
pub(super) fn pool(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(cache) = cache(kept) else { return };
    let is_marked = |lv: &Lv| lv.flags().contains(LvFlags::CACHE_VOL);
    // That the segment says where the parts lie makes it one, too.
    let is_volume = cache.volume.is_some() || context.vg.lv(&cache.pool).is_some_and(is_marked);
    if !is_volume && !context.is_of(&cache.pool, "cache-pool") {
        findings.segment(
            kept.lv,
            kept.segment,
            format!("{:?} is no cache pool", cache.pool),
        );
    }
}

/// A cached LV that is used says how it is cached.
///
/// What a cache pool leaves out LVM fills in when it reads; for an LV that holds all of a cache it does not.
pub(super) fn settings(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let volume = cache(kept).and_then(|cache| cache.volume.as_ref());
    let Some(settings) = volume.map(|volume| &volume.settings) else {
        return;
    };
    if context.first_user(kept.lv).is_none() {
        return;
    }
    for (key, is_there) in [
        ("metadata_format", settings.metadata_format.is_some()),
        ("cache_mode", settings.mode.is_some()),
        ("policy", settings.policy.is_some()),
    ] {
        if !is_there {
            findings.segment(kept.lv, kept.segment, format!("{key} is missing"));
        }
    }
}

/// Only caches have a format of their metadata.
pub(super) fn words(_: &Context<'_>, lv: &Lv, segment: &Segment, findings: &mut Findings) {
    let mut words = segment.type_words();
    if words.any(|word| word == "METADATA_FORMAT") && !matches!(segment.base_type(), "cache" | "cache-pool") {
        findings.segment(lv, segment, "METADATA_FORMAT on what is no cache");
    }
}
