//! The rules of a VG that is about to be written, one function each.
//!
//! Reading a text and changing a VG keep most of them already; this looks at all of them once more before a
//! commit, and at those that LVM applies only when it writes.  Reference: LVM2 `lib/metadata/metadata.c`,
//! `vg_validate`, and `lib/metadata/merge.c`.

use std::collections::HashSet;

use crate::{
    Area, ExtentSize, Lv, LvFlags, LvName, LvStatus, Segment, SegmentKind, Striped, Tags, Vg, VgName,
};

/// A rule that a VG breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// A short name of the rule.
    pub rule: &'static str,
    /// `VG`, a PV's key or an LV's name.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.what, self.rule)
    }
}

/// Looks for what would make LVM refuse the VG, or must not be written; empty for a good VG.
pub fn check(vg: &Vg) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    for rule in [
        vg_name,
        tags,
        extent_size,
        pv_sizes,
        pv_count,
        lv_names,
        single_spare,
        segment_order,
        striped,
        lv_areas,
        single_segments,
        flags,
        references,
    ] {
        rule(vg, &mut findings);
    }
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: &'static str, place: &str, what: impl Into<String>) {
        let (place, what) = (place.to_owned(), what.into());
        self.0.push(Finding { rule, place, what });
    }
}

fn vg_name(vg: &Vg, findings: &mut Findings) {
    if let Err(error) = VgName::parse(vg.name()) {
        findings.add("vg-name", "VG", error.to_string());
    }
}

fn tags(vg: &Vg, findings: &mut Findings) {
    let mut each = |place: &str, tags: &Tags| {
        for error in tags.errors() {
            findings.add("tags", place, error.to_string());
        }
    };
    each("VG", vg.tags());
    vg.pvs().iter().for_each(|pv| each(pv.key(), pv.tags()));
    vg.lvs().for_each(|lv| each(lv.name(), lv.tag_list()));
}

fn extent_size(vg: &Vg, findings: &mut Findings) {
    let sectors = vg.extent_size().sectors();
    if ExtentSize::for_new_vg(sectors).is_none() {
        let what = format!("{sectors} sectors are neither a power of two nor a multiple of 128 KiB");
        findings.add("extent-size", "VG", what);
    }
}

fn pv_sizes(vg: &Vg, findings: &mut Findings) {
    for pv in vg.pvs() {
        // An old text does not say how large the device is.
        if pv.dev_size().get() == 0 {
            continue;
        }
        let end = pv
            .pe_start()
            .checked_add(vg.extent_size().to_sectors(pv.pe_count()));
        if end.is_none_or(|end| end > pv.dev_size()) {
            let what = format!("{} do not fit {}", pv.pe_count(), pv.dev_size());
            findings.add("pv-size", pv.key(), what);
        }
    }
}

fn pv_count(vg: &Vg, findings: &mut Findings) {
    if vg.pvs().is_empty() {
        findings.add("pv-count", "VG", "no PV");
    }
}

fn lv_names(vg: &Vg, findings: &mut Findings) {
    for lv in vg.lvs() {
        if let Err(error) = LvName::check(lv.name()) {
            findings.add("lv-name", lv.name(), error.to_string());
        }
        if vg.name().len().saturating_add(lv.name().len()) > 124 {
            findings.add(
                "lv-name",
                lv.name(),
                "longer than 124 bytes together with the VG's name",
            );
        }
    }
}

fn single_spare(vg: &Vg, findings: &mut Findings) {
    let mut spares = vg
        .lvs()
        .filter(|lv| lv.name().contains("_pmspare") && !lv.is_visible());
    let _first = spares.next();
    for lv in spares {
        findings.add("single-spare", lv.name(), "a second pool metadata spare");
    }
}

fn segment_order(vg: &Vg, findings: &mut Findings) {
    for lv in vg.lvs() {
        let mut next = 0;
        for segment in lv.segments() {
            if segment.start() != next || segment.extent_count().get() == 0 {
                let what = format!("a segment at extent {}, expected {next}", segment.start());
                findings.add("segment-order", lv.name(), what);
            }
            next = segment.start().saturating_add(segment.extent_count().get());
        }
        let may_be_empty = lv.name().starts_with("pvmove");
        if next != lv.extent_count().get() || (lv.segments().is_empty() && !may_be_empty) {
            findings.add("segment-order", lv.name(), "its size is not that of its segments");
        }
    }
}

fn each_striped(vg: &Vg) -> impl Iterator<Item = (&Lv, &Segment, &Striped)> {
    vg.lvs().flat_map(|lv| {
        lv.segments()
            .iter()
            .filter_map(move |segment| match segment.kind() {
                SegmentKind::Striped(striped) => Some((lv, segment, striped)),
                _ => None,
            })
    })
}

fn striped(vg: &Vg, findings: &mut Findings) {
    for (lv, segment, striped) in each_striped(vg) {
        if !segment
            .extent_count()
            .get()
            .is_multiple_of(striped.stripe_count())
        {
            findings.add("striped", lv.name(), "a segment does not fill whole stripes");
        }
        let size = striped.stripe_size().get();
        // The kernel takes powers of two from a page on; LVM none above an extent.
        let is_good = size.is_power_of_two() && size >= 8 && size <= u64::from(vg.extent_size().sectors());
        if !striped.is_linear() && !is_good {
            findings.add("striped", lv.name(), format!("{size} sectors are no stripe size"));
        }
    }
}

fn lv_areas(vg: &Vg, findings: &mut Findings) {
    for (lv, segment, striped) in each_striped(vg) {
        let length = striped.area_extents(segment.extent_count()).get();
        for area in striped.areas() {
            let Area::Lv { name, start } = area else { continue };
            let end = u64::from(*start).saturating_add(u64::from(length));
            let size = vg
                .lv(name)
                .map_or(0, |target| u64::from(target.extent_count().get()));
            if end > size {
                let what = format!("extents {start} to {end} of LV {name:?}, which has {size}");
                findings.add("lv-areas", lv.name(), what);
            }
        }
    }
}

/// Types whose LVs have one segment.
const SINGLE: [&str; 9] = [
    "cache",
    "cache-pool",
    "integrity",
    "snapshot",
    "thin-pool",
    "thin",
    "vdo",
    "vdo-pool",
    "writecache",
];

fn single_segments(vg: &Vg, findings: &mut Findings) {
    for lv in vg.lvs().filter(|lv| lv.segments().len() > 1) {
        let is_single = |segment: &Segment| {
            let base = segment.type_name().split('+').next().unwrap_or_default();
            SINGLE.contains(&base) || base.starts_with("raid")
        };
        if lv.segments().iter().any(is_single) {
            findings.add("single-segments", lv.name(), "an LV of its type has one segment");
        }
    }
}

fn flags(vg: &Vg, findings: &mut Findings) {
    for lv in vg.lvs() {
        let has = |name: &str| {
            lv.segments()
                .iter()
                .any(|segment| segment.type_name().starts_with(name))
        };
        if lv.flags().contains(LvFlags::ERROR_WHEN_FULL) && !has("thin-pool") {
            findings.add("flags", lv.name(), "ERROR_WHEN_FULL on what is no thin pool");
        }
        if lv.status().contains(LvStatus::FIXED_MINOR) && lv.device_numbers().1.is_none() {
            findings.add("flags", lv.name(), "FIXED_MINOR without a minor number");
        }
    }
}

/// Types that must be the only user of the LVs they stand on.
const OWNERS: [&str; 5] = ["thin-pool", "cache-pool", "mirror", "vdo-pool", "raid"];

fn references(vg: &Vg, findings: &mut Findings) {
    let mut owned = HashSet::new();
    for lv in vg.lvs() {
        for segment in lv.segments() {
            let SegmentKind::Other(other) = segment.kind() else {
                continue;
            };
            for name in other.stands_on().iter().chain(other.mentions()) {
                if vg.lv(name).is_none() {
                    findings.add("references", lv.name(), format!("LV {name:?} is not there"));
                }
            }
            if !OWNERS.iter().any(|owner| other.type_name().starts_with(owner)) {
                continue;
            }
            for name in other.stands_on() {
                if !owned.insert(name) {
                    findings.add("references", lv.name(), format!("LV {name:?} has another owner"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
