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

mod bound;
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
mod runs;
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

type LookAtLv = fn(&Context<'_>, &Lv, &mut Findings);
type LookAtSegment = fn(&Context<'_>, &Lv, &Segment, &mut Findings);

/// What a rule looks at, one after the other.
enum Look {
    Vg(fn(&Context<'_>, &mut Findings)),
    Pv(fn(&Context<'_>, &Pv, &mut Findings)),
    /// The VG and its PVs, then each LV, of which no more is asked than what [`Look::Lv`] may ask.
    VgAndLvs(fn(&Context<'_>, &mut Findings), LookAtLv),
    /// Every LV.  Nothing may be asked but the LV itself, the VG's head and the PVs.
    Lv(LookAtLv),
    /// Every segment; as [`Look::Lv`].
    Segment(LookAtSegment),
    /// Every segment, unless [`Context::are_runs_inside`].
    Runs(LookAtSegment),
    /// LVs of which some are not [ordinary](Lv::is_ordinary): those that are never break the rule.
    OddLv(LookAtLv),
    /// Segments of LVs of which some are not ordinary.
    OddSegment(LookAtSegment),
    /// Segments that are kept as text, with the fields that were read from them.
    Kept(fn(&Context<'_>, &Kept<'_>, &mut Findings)),
}

const fn rule(name: &'static str, look: Look) -> Rule {
    Rule { name, look }
}

/// All rules; `docs/format.md` says what each asks.
const RULES: [Rule; 48] = [
    rule("tags", Look::VgAndLvs(names::tags, names::lv_tags)),
    rule("lv-name", Look::Lv(names::lv_name)),
    rule("area-name", Look::Vg(names::area_name)),
    rule("extent-size", Look::Vg(sizes::extent_size)),
    rule("pv-count", Look::Vg(sizes::pv_count)),
    rule("pv-size", Look::Pv(sizes::pv_size)),
    rule("pv-range", Look::Runs(sizes::pv_range)),
    rule("pv-overlap", Look::Vg(sizes::pv_overlap)),
    rule("segment-order", Look::Lv(sizes::segment_order)),
    rule("striped", Look::Segment(sizes::striped)),
    rule("lv-areas", Look::OddSegment(sizes::lv_areas)),
    rule("single-segments", Look::OddLv(sizes::single_segments)),
    rule("fields", Look::Kept(owners::fields)),
    rule("references", Look::Kept(owners::references)),
    rule("sole-user", Look::Vg(owners::sole_user)),
    rule("sole-owner", Look::Vg(owners::sole_owner)),
    rule("mirror-region", Look::Kept(mirrors::region)),
    rule("mirror-images", Look::Kept(mirrors::images)),
    rule("pvmove-ways", Look::OddLv(mirrors::pvmove_ways)),
    rule("pvmove-empty", Look::OddLv(mirrors::pvmove_empty)),
    rule("raid-length", Look::Kept(raid::length)),
    rule("raid-count", Look::Kept(raid::count)),
    rule("raid-metadata", Look::Kept(raid::metadata)),
    rule("raid-sizes", Look::Kept(raid::sizes)),
    rule("raid-hidden", Look::Kept(raid::hidden)),
    rule("raid-fields", Look::Kept(raid::fields)),
    rule("raid-data-offset", Look::Kept(raid::data_offset)),
    rule("reshape", Look::OddSegment(raid::reshape)),
    rule("thin-pool", Look::Kept(thin::pool)),
    rule("thin-origins", Look::Kept(thin::origins)),
    rule("thin-merge", Look::Kept(thin::merge)),
    rule("thin-messages", Look::Kept(thin::messages)),
    rule("thin-words", Look::OddSegment(thin::words)),
    rule("single-spare", Look::Vg(thin::single_spare)),
    rule("cache-pool", Look::Kept(caches::pool)),
    rule("cache-settings", Look::Kept(caches::settings)),
    rule("cache-words", Look::OddSegment(caches::words)),
    rule("vdo-pool", Look::Kept(layers::vdo_pool)),
    rule("integrity-origin", Look::Kept(layers::integrity_origin)),
    rule("error-when-full", Look::OddLv(flags::error_when_full)),
    rule("fixed-minor", Look::OddLv(flags::fixed_minor)),
    rule("lock-type", Look::Vg(locking::lock_type)),
    rule("lock-args", Look::Vg(locking::lock_args)),
    rule("lv-lock-args", Look::Vg(locking::lv_lock_args)),
    rule("lv-lock-once", Look::Vg(locking::lv_lock_once)),
    rule("history-names", Look::Vg(history::names)),
    rule("history-ids", Look::Vg(history::ids)),
    rule("history-links", Look::Vg(history::links)),
];

/// What is odd in a VG, and no reason to leave it as it is: LVM's tools write it, or did.
const WARNINGS: [Rule; 1] = [rule("pv-dev-size", Look::Pv(sizes::stated_size))];

/// Looks for what is odd in the VG, and blocks no change; empty for most VGs.
pub fn warnings(vg: &Vg) -> Vec<Finding> {
    let mut context = Context::new(vg);
    vg.lvs().for_each(|lv| context.gather(lv));
    context.finish(vg.lvs().collect());
    all_findings(&WARNINGS, &context)
}

/// Looks for what would make LVM refuse the VG, or must not be written; empty for a good VG.
///
/// Takes time by the number of segments, not more: no LV is looked for among all others.
pub fn check(vg: &Vg) -> Vec<Finding> {
    look_at(vg, vg.lvs().collect())
}

/// Applies all rules to the VG, its PVs, and these of its LVs; see [`Context::lvs`].
fn look_at(vg: &Vg, lvs: Vec<&Lv>) -> Vec<Finding> {
    let mut context = Context::new(vg);
    let is_good = are_good(&mut context, lvs);
    debug_assert!(
        !is_good || all_findings(&RULES, &context).is_empty(),
        "the quick look missed something"
    );
    // What is wrong is told in the order of the rules, which takes a look at all LVs for some of them.
    if is_good {
        Vec::new()
    } else {
        all_findings(&RULES, &context)
    }
}

/// Takes a quick look: at most LVs, which are ordinary, once, and for few rules.
fn are_good<'a>(context: &mut Context<'a>, lvs: Vec<&'a Lv>) -> bool {
    let mut findings = Findings::default();
    let (mut of_lv, mut of_segment) = (Vec::new(), Vec::new());
    for Rule { look, .. } in &RULES {
        match look {
            Look::VgAndLvs(_, look) | Look::Lv(look) => of_lv.push(look),
            Look::Segment(look) => of_segment.push(look),
            _ => {}
        }
    }
    for lv in &lvs {
        context.gather(lv);
        of_lv.iter().for_each(|look| look(context, lv, &mut findings));
        for segment in lv.segments() {
            of_segment
                .iter()
                .for_each(|look| look(context, lv, segment, &mut findings));
        }
        if !findings.found.is_empty() {
            break;
        }
    }
    let is_good = findings.found.is_empty();
    // A look that stopped has to be finished, too: for what is told then.
    lvs.iter()
        .skip(context.gathered())
        .for_each(|lv| context.gather(lv));
    context.finish(lvs);
    is_good && RULES.iter().all(|rule| rule.finds_nothing_odd(context))
}

impl Rule {
    /// The rest of a quick look: at all but what is asked of every LV.
    fn finds_nothing_odd(&self, context: &Context<'_>) -> bool {
        let mut findings = Findings::default();
        match self.look {
            Look::OddLv(look) => context.odd.iter().for_each(|lv| look(context, lv, &mut findings)),
            Look::OddSegment(look) => each_segment(&context.odd, |lv, segment| {
                look(context, lv, segment, &mut findings);
            }),
            Look::VgAndLvs(look, _) => look(context, &mut findings),
            Look::Runs(_) => return context.are_runs_inside(),
            Look::Lv(_) | Look::Segment(_) => {}
            _ => self.look(context, &mut findings),
        }
        findings.found.is_empty()
    }

    /// Looks at the VG, at its PVs, or at what is kept as text.
    fn look(&self, context: &Context<'_>, findings: &mut Findings) {
        match self.look {
            Look::Vg(look) => look(context, findings),
            Look::Pv(look) => context.vg.pvs().iter().for_each(|pv| look(context, pv, findings)),
            Look::Kept(look) => context.kept.iter().for_each(|kept| look(context, kept, findings)),
            Look::VgAndLvs(look, of_lv) => {
                look(context, findings);
                context.lvs.iter().for_each(|lv| of_lv(context, lv, findings));
            }
            Look::Lv(_) | Look::OddLv(_) | Look::Segment(_) | Look::Runs(_) | Look::OddSegment(_) => {}
        }
    }
}

fn each_segment(lvs: &[&Lv], mut each: impl FnMut(&Lv, &Segment)) {
    for lv in lvs {
        lv.segments().iter().for_each(|segment| each(lv, segment));
    }
}

/// All that is wrong: by rules, but for those of LVs and segments, which come last and by LVs.
fn all_findings(rules: &[Rule], context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    let (mut of_lv, mut of_segment) = (Vec::new(), Vec::new());
    for rule in rules {
        findings.rule = rule.name;
        rule.look(context, &mut findings);
        match rule.look {
            Look::Lv(look) | Look::OddLv(look) => of_lv.push((rule.name, look)),
            Look::Segment(look) | Look::Runs(look) | Look::OddSegment(look) => {
                of_segment.push((rule.name, look))
            }
            _ => {}
        }
    }
    for lv in &context.lvs {
        for (name, look) in &of_lv {
            findings.rule = name;
            look(context, lv, &mut findings);
        }
        for segment in lv.segments() {
            for (name, look) in &of_segment {
                findings.rule = name;
                look(context, lv, segment, &mut findings);
            }
        }
    }
    findings.found
}

#[cfg(test)]
mod tests;
