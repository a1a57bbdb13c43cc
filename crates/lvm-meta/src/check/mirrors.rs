//! Legacy mirrors, and the hidden LV of a `pvmove`, whose pieces are such mirrors.

use super::context::{Context, Kept, is_lv};
use super::finding::Findings;
use crate::detail::Detail;
use crate::{Lv, LvStatus, Segment, SegmentKind};

/// A mirror has regions that are not larger than its LV, unless it is a log itself.
pub(super) fn region(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Ok(Detail::Mirror(mirror)) = &kept.detail else {
        return;
    };
    let size = context.vg.extent_size().to_sectors(kept.lv.extent_count());
    match mirror.region_size {
        None => findings.segment(kept.lv, kept.segment, "no region_size"),
        Some(region) if region > size && !kept.lv.name().contains("_mlog") => {
            let what = format!("regions of {region}, and the LV has {size}");
            findings.segment(kept.lv, kept.segment, what);
        }
        Some(_) => {}
    }
}

/// An image of a mirror is as long as the segment.
pub(super) fn images(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Ok(Detail::Mirror(mirror)) = &kept.detail else {
        return;
    };
    for image in mirror
        .images
        .iter()
        .filter(|image| is_lv(kept.segment, &image.name))
    {
        let Some(lv) = context.vg.lv(&image.name) else {
            continue;
        };
        let (length, found) = (kept.segment.extent_count(), lv.extent_count());
        if found != length || image.start >= found.get() {
            let what = format!(
                "image {:?} from extent {} on has {found} in all, expected {length}",
                image.name, image.start
            );
            findings.segment(kept.lv, kept.segment, what);
        }
    }
}

/// Each piece of a `pvmove` has a source and a target, or is where it was.
pub(super) fn pvmove_ways(context: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    if !lv.status().contains(LvStatus::PVMOVE) {
        return;
    }
    let is_odd = |segment: &&Segment| match segment.kind() {
        SegmentKind::Zero => true,
        SegmentKind::Striped(striped) => !striped.is_linear(),
        _ => false,
    };
    let is_odd_mirror = |kept: &&Kept<'_>| match &kept.detail {
        Ok(Detail::Mirror(mirror)) => mirror.images.len() != 2,
        _ => false,
    };
    let odd = lv.segments().iter().filter(is_odd);
    let odd_mirrors = context.kept_of(lv).filter(is_odd_mirror);
    for segment in odd.chain(odd_mirrors.map(|kept| kept.segment)) {
        findings.segment(
            lv,
            segment,
            "a piece of a pvmove has neither one area nor two images",
        );
    }
}

/// What an aborted `pvmove` leaves is one segment that nobody uses.
pub(super) fn pvmove_empty(context: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    if !lv.name().starts_with("pvmove") {
        return;
    }
    let is_error = |segment: &&Segment| matches!(segment.kind(), SegmentKind::Error);
    let Some(segment) = lv.segments().iter().find(is_error) else {
        return;
    };
    if lv.segments().len() > 1 {
        findings.segment(lv, segment, "an empty pvmove has one segment");
    }
    if let Some(user) = context.first_user(lv) {
        findings.segment(
            lv,
            segment,
            format!("LV {:?} stands on an empty pvmove", user.name()),
        );
    }
}
