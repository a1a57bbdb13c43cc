//! The rules of a VG that is about to be written, one function each.
//!
//! A rule is broken by what LVM refuses to read or to write, and by what must not be written besides.  Nothing here
//! is stricter than LVM with what LVM itself makes, in the middle of a `pvmove`, a merge, a conversion or a reshape,
//! too.  What LVM only warns about is no finding; nor is a reason to leave a VG alone, such as a missing PV, a
//! segment type that nobody knows or another owner: see [`Vg::refusal`].  Not here are the rules that reading a
//! text, the types of names and ids, and every change keep: keys and their kinds, legal names, ids that come once,
//! LVs that do not stand on themselves.
//!
//! Reference: LVM2 `lib/metadata/metadata.c`, `vg_validate`; `lib/metadata/merge.c`; `lib/format_text/import_vsn1.c`.

mod caches;
mod context;
mod finding;
mod flags;
mod history;
mod last;
mod layers;
mod locking;
mod mirrors;
mod names;
mod owners;
mod raid;
mod sizes;
mod thin;

use context::{Context, Kept};
pub use finding::Finding;
use finding::Findings;
pub use last::LastCheck;

use crate::{Lv, Pv, Segment, Vg};

/// A rule: its name in a finding, and the function that looks for what breaks it.
struct Rule {
    name: &'static str,
    look: Look,
}

/// What a rule looks at, one after the other.
enum Look {
    Vg(fn(&Context<'_>, &mut Findings)),
    Pv(fn(&Context<'_>, &Pv, &mut Findings)),
    Lv(fn(&Context<'_>, &Lv, &mut Findings)),
    Segment(fn(&Context<'_>, &Lv, &Segment, &mut Findings)),
    /// Segments that are kept as text, with the fields that were read from them.
    Kept(fn(&Context<'_>, &Kept<'_>, &mut Findings)),
}

const fn rule(name: &'static str, look: Look) -> Rule {
    Rule { name, look }
}

/// All rules; `docs/format.md` says what each asks.
const RULES: [Rule; 48] = [
    rule("tags", Look::Vg(names::tags)),
    rule("lv-name", Look::Lv(names::lv_name)),
    rule("area-name", Look::Vg(names::area_name)),
    rule("extent-size", Look::Vg(sizes::extent_size)),
    rule("pv-count", Look::Vg(sizes::pv_count)),
    rule("pv-size", Look::Pv(sizes::pv_size)),
    rule("pv-range", Look::Segment(sizes::pv_range)),
    rule("pv-overlap", Look::Vg(sizes::pv_overlap)),
    rule("segment-order", Look::Lv(sizes::segment_order)),
    rule("striped", Look::Segment(sizes::striped)),
    rule("lv-areas", Look::Segment(sizes::lv_areas)),
    rule("single-segments", Look::Lv(sizes::single_segments)),
    rule("fields", Look::Kept(owners::fields)),
    rule("references", Look::Kept(owners::references)),
    rule("sole-user", Look::Vg(owners::sole_user)),
    rule("sole-owner", Look::Vg(owners::sole_owner)),
    rule("mirror-region", Look::Kept(mirrors::region)),
    rule("mirror-images", Look::Kept(mirrors::images)),
    rule("pvmove-ways", Look::Lv(mirrors::pvmove_ways)),
    rule("pvmove-empty", Look::Lv(mirrors::pvmove_empty)),
    rule("raid-length", Look::Kept(raid::length)),
    rule("raid-count", Look::Kept(raid::count)),
    rule("raid-metadata", Look::Kept(raid::metadata)),
    rule("raid-sizes", Look::Kept(raid::sizes)),
    rule("raid-hidden", Look::Kept(raid::hidden)),
    rule("raid-fields", Look::Kept(raid::fields)),
    rule("raid-data-offset", Look::Kept(raid::data_offset)),
    rule("reshape", Look::Segment(raid::reshape)),
    rule("thin-pool", Look::Kept(thin::pool)),
    rule("thin-origins", Look::Kept(thin::origins)),
    rule("thin-merge", Look::Kept(thin::merge)),
    rule("thin-messages", Look::Kept(thin::messages)),
    rule("thin-words", Look::Segment(thin::words)),
    rule("single-spare", Look::Vg(thin::single_spare)),
    rule("cache-pool", Look::Kept(caches::pool)),
    rule("cache-settings", Look::Kept(caches::settings)),
    rule("cache-words", Look::Segment(caches::words)),
    rule("vdo-pool", Look::Kept(layers::vdo_pool)),
    rule("integrity-origin", Look::Kept(layers::integrity_origin)),
    rule("error-when-full", Look::Lv(flags::error_when_full)),
    rule("fixed-minor", Look::Lv(flags::fixed_minor)),
    rule("lock-type", Look::Vg(locking::lock_type)),
    rule("lock-args", Look::Vg(locking::lock_args)),
    rule("lv-lock-args", Look::Vg(locking::lv_lock_args)),
    rule("lv-lock-once", Look::Vg(locking::lv_lock_once)),
    rule("history-names", Look::Vg(history::names)),
    rule("history-ids", Look::Vg(history::ids)),
    rule("history-links", Look::Vg(history::links)),
];

/// Looks for what would make LVM refuse the VG, or must not be written; empty for a good VG.
///
/// Takes time by the number of segments, not more: no LV is looked for among all others.
pub fn check(vg: &Vg) -> Vec<Finding> {
    look_at(vg, vg.lvs().collect())
}

/// Applies all rules to the VG, its PVs, and these of its LVs; see [`Context::lvs`].
fn look_at(vg: &Vg, lvs: Vec<&Lv>) -> Vec<Finding> {
    let context = Context::new(vg, lvs);
    let mut findings = Findings::default();
    // Rules of LVs and segments go over all LVs together: a VG holds many, most of them linear.
    let (mut of_lv, mut of_segment) = (Vec::new(), Vec::new());
    for Rule { name, look } in &RULES {
        findings.rule = name;
        match look {
            Look::Vg(look) => look(&context, &mut findings),
            Look::Pv(look) => vg.pvs().iter().for_each(|pv| look(&context, pv, &mut findings)),
            Look::Lv(look) => of_lv.push((*name, look)),
            Look::Segment(look) => of_segment.push((*name, look)),
            Look::Kept(look) => context
                .kept
                .iter()
                .for_each(|kept| look(&context, kept, &mut findings)),
        }
    }
    for lv in &context.lvs {
        for (name, look) in &of_lv {
            findings.rule = name;
            look(&context, lv, &mut findings);
        }
        for segment in lv.segments() {
            for (name, look) in &of_segment {
                findings.rule = name;
                look(&context, lv, segment, &mut findings);
            }
        }
    }
    findings.found
}

#[cfg(test)]
mod tests;
