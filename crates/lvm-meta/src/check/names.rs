//! Names and tags.

use super::context::{Context, Use, is_lv};
use super::finding::Findings;
use crate::detail::Detail;
use crate::{Lv, NameError, SegmentKind, Tags};

/// Device-mapper's names hold so many bytes of a VG's and an LV's name together.
const NAMES_LIMIT: usize = 124;

/// Tags hold LVM's characters, and one at least.
///
/// LVM sets their length no limit, so that of our own does not count for those of others.
pub(super) fn tags(context: &Context<'_>, findings: &mut Findings) {
    wrong(context.vg.tags())
        .into_iter()
        .for_each(|what| findings.vg(what));
    for pv in context.vg.pvs() {
        wrong(pv.tags())
            .into_iter()
            .for_each(|what| findings.pv(pv, what));
    }
}

/// As [`tags`], those of an LV.
pub(super) fn lv_tags(_: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    wrong(lv.tag_list())
        .into_iter()
        .for_each(|what| findings.lv(lv, what));
}

fn wrong(tags: &Tags) -> Option<String> {
    let mut errors = tags
        .errors()
        .filter(|error| !matches!(error, NameError::TooLong { .. }));
    errors.next().map(|error| error.to_string())
}

/// VG and LV name fit the name of a mapped device together.
pub(super) fn lv_name(context: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    if context.vg.name().len().saturating_add(lv.name().len()) > NAMES_LIMIT {
        findings.lv(lv, "longer than 124 bytes together with the VG's name");
    }
}

/// An LV that an area lies on has not the name of a PV's key, which readers look for first.
pub(super) fn area_name(context: &Context<'_>, findings: &mut Findings) {
    let is_pv_key = |name: &str| is_pv_key(name, context.vg.pvs().len());
    let is_striped = |used: &&Use<'_>| matches!(used.segment.kind(), SegmentKind::Striped(_));
    for used in context.uses.iter().filter(is_striped) {
        if is_pv_key(used.lv.name()) {
            findings.segment(used.user, used.segment, as_pv(used.lv.name()));
        }
    }
    for kept in &context.kept {
        let Ok(Detail::Mirror(mirror)) = &kept.detail else {
            continue;
        };
        for image in mirror
            .images
            .iter()
            .filter(|image| is_lv(kept.segment, &image.name))
        {
            if is_pv_key(&image.name) {
                findings.segment(kept.lv, kept.segment, as_pv(&image.name));
            }
        }
    }
}

fn as_pv(name: &str) -> String {
    format!("an area on LV {name:?} would be read as one on a PV")
}

/// Tells whether one of so many PVs has this key: LVM numbers them from 0 on.
fn is_pv_key(name: &str, pv_count: usize) -> bool {
    let Some(digits) = name.strip_prefix("pv") else {
        return false;
    };
    let is_canonical = digits == "0" || !digits.starts_with(['0', '+']);
    is_canonical && digits.parse::<usize>().is_ok_and(|number| number < pv_count)
}
