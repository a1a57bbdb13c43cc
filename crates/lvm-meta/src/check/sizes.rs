//! Sizes, and which extents are whose.

use super::context::Context;
use super::finding::Findings;
use crate::{Area, Extents, Lv, Pv, Sectors, Segment, SegmentKind};

/// The smallest stripe that the kernel takes, in sectors: a page.
const LEAST_STRIPE: u64 = 8;

/// An extent is a power of two of sectors, or a multiple of 128 KiB.
pub(super) fn extent_size(context: &Context<'_>, findings: &mut Findings) {
    let sectors = context.vg.extent_size().sectors();
    if !sectors.is_power_of_two() && !sectors.is_multiple_of(256) {
        findings.vg(format!(
            "{sectors} sectors are neither a power of two nor a multiple of 128 KiB"
        ));
    }
}

/// There is a PV to write to.
pub(super) fn pv_count(context: &Context<'_>, findings: &mut Findings) {
    if context.vg.pvs().is_empty() {
        findings.vg("no PV");
    }
}

/// The byte behind the last extent of a PV has a number: a device's size is one below 2^63.
pub(super) fn pv_size(context: &Context<'_>, pv: &Pv, findings: &mut Findings) {
    let end = end_of(context, pv).and_then(Sectors::to_bytes);
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        findings.pv(
            pv,
            format!("{} from {} on fit no device", pv.pe_count(), pv.pe_start()),
        );
    }
}

/// The text says of a device that the extents fit it.
///
/// `pvresize` writes the device's size less the place of the first extent, and `--setphysicalvolumesize` what it is given
/// less that.  LVM asks the device when it reads; so does who changes the VG.
pub(super) fn stated_size(context: &Context<'_>, pv: &Pv, findings: &mut Findings) {
    // An old text does not say how large the device is.
    if pv.dev_size() == Sectors::default() {
        return;
    }
    if end_of(context, pv).is_none_or(|end| end > pv.dev_size()) {
        findings.pv(
            pv,
            format!(
                "{} do not fit the stated size of the device, {}",
                pv.pe_count(),
                pv.dev_size()
            ),
        );
    }
}

/// The sector behind the last extent of a PV.
fn end_of(context: &Context<'_>, pv: &Pv) -> Option<Sectors> {
    pv.pe_start()
        .checked_add(context.vg.extent_size().to_sectors(pv.pe_count()))
}

/// Areas lie on extents that their PV has.
pub(super) fn pv_range(context: &Context<'_>, lv: &Lv, segment: &Segment, findings: &mut Findings) {
    segment.each_pv_run(|id, start, length| {
        let Some(pv) = context.vg.pv(id) else {
            findings.segment(lv, segment, format!("PV {id} is not in the VG"));
            return;
        };
        let end = u64::from(start).saturating_add(u64::from(length));
        if end > u64::from(pv.pe_count().get()) {
            let what = format!(
                "extents {start} to {end} of {}, which has {}",
                pv.key(),
                pv.pe_count()
            );
            findings.segment(lv, segment, what);
        }
    });
}

/// No extent of a PV has two owners.
pub(super) fn pv_overlap(context: &Context<'_>, findings: &mut Findings) {
    if context.are_runs_disjoint() {
        return;
    }
    let mut runs: Vec<Vec<(u32, u32, &Lv)>> = vec![Vec::new(); context.vg.pvs().len()];
    for lv in &context.lvs {
        for segment in lv.segments() {
            segment.each_pv_run(|id, start, length| {
                let number = context.vg.pv_number(id);
                if let Some(runs) = number.and_then(|number| runs.get_mut(number)) {
                    runs.push((start, length, lv));
                }
            });
        }
    }
    for (pv, runs) in context.vg.pvs().iter().zip(&mut runs) {
        runs.sort_unstable_by_key(|(start, length, _)| (*start, *length));
        // The run that reaches farthest so far.
        let mut last: Option<(u64, &Lv)> = None;
        for &(start, length, lv) in &*runs {
            let end = u64::from(start).saturating_add(u64::from(length));
            if let Some((_, owner)) = last.filter(|(last_end, _)| u64::from(start) < *last_end) {
                let what = format!("belongs to LV {:?} and to LV {:?}", owner.name(), lv.name());
                findings.pv_extent(pv, start, what);
            }
            if last.is_none_or(|(last_end, _)| end >= last_end) {
                last = Some((end, lv));
            }
        }
    }
}

/// Segments follow each other from extent 0 on, and are the LV's size together.
pub(super) fn segment_order(_: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    let (mut next, mut sum) = (0, 0u64);
    for segment in lv.segments() {
        let (start, length) = (segment.start(), u64::from(segment.extent_count().get()));
        if u64::from(start) != next || length == 0 {
            let what = format!("a segment of {length} extents, expected one from extent {next} on");
            findings.extent(lv, segment, start, what);
        }
        next = segment.end();
        sum = sum.saturating_add(length);
    }
    let may_be_empty = lv.name().starts_with("pvmove");
    if sum != u64::from(lv.extent_count().get()) || (sum == 0 && !may_be_empty) {
        findings.lv(lv, format!("{} in all, and {sum} in segments", lv.extent_count()));
    }
}

/// Stripes are of a size that the kernel takes, and a segment is whole stripes.
pub(super) fn striped(context: &Context<'_>, lv: &Lv, segment: &Segment, findings: &mut Findings) {
    let SegmentKind::Striped(striped) = segment.kind() else {
        return;
    };
    let (extents, size) = (segment.extent_count(), striped.stripe_size().get());
    if !extents.get().is_multiple_of(striped.stripe_count()) {
        findings.segment(lv, segment, "a segment does not fill whole stripes");
    }
    if striped.is_linear() {
        return;
    }
    // LVM makes none above an extent, but may make extents smaller later.
    let extent_size = context.vg.extent_size();
    let area = extent_size.to_sectors(striped.area_extents(extents)).get();
    let fits = size <= u64::from(extent_size.sectors()) || area.is_multiple_of(size);
    if !size.is_power_of_two() || size < LEAST_STRIPE || !fits {
        findings.segment(lv, segment, format!("{size} sectors are no stripe size"));
    }
}

/// Areas on other LVs end where those do.
pub(super) fn lv_areas(context: &Context<'_>, lv: &Lv, segment: &Segment, findings: &mut Findings) {
    let SegmentKind::Striped(striped) = segment.kind() else {
        return;
    };
    let length = striped.area_extents(segment.extent_count()).get();
    for area in striped.areas() {
        let Area::Lv { name, start } = area else { continue };
        let end = u64::from(*start).saturating_add(u64::from(length));
        let target = context.vg.lv(name).map_or(Extents::new(0), Lv::extent_count);
        if end <= u64::from(target.get()) {
            continue;
        }
        let what = format!("extents {start} to {end} of LV {name:?}, which has {target}");
        if striped.is_linear() {
            let inside = target.get().saturating_sub(*start);
            findings.extent(lv, segment, segment.start().saturating_add(inside), what);
        } else {
            findings.segment(lv, segment, what);
        }
    }
}

/// Types whose LVs have one segment, beside RAID.
const SINGLE: [&str; 8] = [
    "cache",
    "cache-pool",
    "integrity",
    "snapshot",
    "thin-pool",
    "thin",
    "vdo",
    "vdo-pool",
];

/// An LV that is not made of areas alone has one segment.
pub(super) fn single_segments(_: &Context<'_>, lv: &Lv, findings: &mut Findings) {
    if lv.segments().len() < 2 {
        return;
    }
    let is_single = |segment: &&Segment| {
        let base = segment.base_type();
        SINGLE.contains(&base) || base.starts_with("raid")
    };
    if let Some(segment) = lv.segments().iter().find(is_single) {
        let what = format!("an LV of type {:?} has one segment", segment.base_type());
        findings.segment(lv, segment, what);
    }
}
