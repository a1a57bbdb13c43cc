//! The check that was made last and found nothing, after which only what changed is looked at.

use std::collections::{BTreeMap, HashMap};

use super::bound::{Bound, thins_named_by, were_thins_left_alone};
use super::{Finding, check, look_at};
use crate::{ExtentSize, Extents, Lv, LvWatch, PvId, Vg};

/// A VG that was found good, and what of it the next check takes for granted.
///
/// [`LastCheck::check`] tells what [`check`] tells.  But an LV that did not change since a check that found nothing is
/// not looked at again if all that the rules ask of it is in itself, in the VG's head and in the PVs: it lies on PVs alone,
/// no other LV refers to it, and it is none of those that may be there once only.  Nor is a thin LV, unless something
/// changed that it has to do with: a pool has thousands, and each of their changes changes the pool.  Of the extents of
/// all LVs, changed or not, a map is kept in which each has one owner.  A debug build compares with a check of everything.
#[derive(Debug, Default)]
pub struct LastCheck {
    /// `None` before the first check, and after one that found something.
    good: Option<Good>,
}

/// What was good.
#[derive(Clone, Debug)]
struct Good {
    frame: Frame,
    lvs: LvWatch<Seen>,
    owned: Owned,
}

/// What rules ask of an LV beside the LV, as far as they ask it of those that are not looked at every time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    name: String,
    extent_size: ExtentSize,
    lock_type: Option<String>,
    pvs: Vec<(PvId, Extents)>,
}

impl Frame {
    fn of(vg: &Vg) -> Self {
        Self {
            name: vg.name().to_owned(),
            extent_size: vg.extent_size(),
            lock_type: vg.lock_type().map(str::to_owned),
            pvs: vg.pvs().iter().map(|pv| (pv.id(), pv.pe_count())).collect(),
        }
    }
}

impl LastCheck {
    /// Looks for what would make LVM refuse the VG, or must not be written, as [`check`] does.
    pub fn check(&mut self, vg: &Vg) -> Vec<Finding> {
        let frame = Frame::of(vg);
        let last = self.good.take().filter(|good| good.frame == frame);
        self.good = last.and_then(|good| good.if_still(vg));
        // What was found is told as a check of everything tells it.
        let findings = match self.good {
            Some(_) => Vec::new(),
            None => check(vg),
        };
        debug_assert_eq!(findings, check(vg), "a check of what changed missed something");
        if self.good.is_none() && findings.is_empty() {
            let mut good = Good {
                frame,
                lvs: LvWatch::default(),
                owned: Owned::default(),
            };
            // All LVs are new to it, and good.
            good.changes(vg);
            self.good = (!good.owned.is_unsound).then_some(good);
        }
        findings
    }

    /// Tells whether a look at what changed alone finds nothing; `None` when everything is looked at.
    #[cfg(test)]
    pub(super) fn finds_nothing(&self, vg: &Vg) -> Option<bool> {
        let good = self.good.clone().filter(|good| good.frame == Frame::of(vg))?;
        Some(good.if_still(vg).is_some())
    }
}

impl Good {
    /// Looks at what changed; `None` when something may be wrong.
    fn if_still(mut self, vg: &Vg) -> Option<Self> {
        let lvs = self.changes(vg);
        (!self.owned.is_unsound && look_at(vg, lvs).is_empty()).then_some(self)
    }

    /// Gives the LVs that have to be looked at, and notes whose extents are whose.
    fn changes<'a>(&mut self, vg: &'a Vg) -> Vec<&'a Lv> {
        let (mut open, mut came, mut thins) = (Vec::new(), Vec::new(), Vec::new());
        let went = self.lvs.walk(vg, |lv, has_users, seen| {
            let lv: &'a Lv = lv;
            let bound = seen.map_or_else(|| Bound::of(lv), |seen| seen.bound);
            match (bound, seen) {
                (_, None) => {
                    came.push((lv, bound));
                    open.push(lv);
                }
                (Bound::Thin, Some(_)) => thins.push(lv),
                // One that nobody refers to any more may have been good for its user's sake.
                (Bound::Free, Some(seen)) if !has_users && !seen.had_users => {}
                _ => open.push(lv),
            }
            Seen {
                bound,
                had_users: has_users,
            }
        });
        went.iter().for_each(|(lv, _)| self.owned.give(lv));
        came.iter().for_each(|(lv, _)| self.owned.take(lv));
        if !thins.is_empty() {
            match were_thins_left_alone(&went, &came) {
                true => open.extend(thins_named_by(vg, &open, &came)),
                false => open.extend(thins),
            }
        }
        open
    }
}

/// What is remembered of an LV.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) bound: Bound,
    /// Other LVs referred to it.
    pub(super) had_users: bool,
}

/// The runs of extents of each PV that LVs hold, by their first extent.
#[derive(Clone, Debug, Default)]
struct Owned {
    runs: HashMap<PvId, BTreeMap<u32, u32>>,
    /// A run was taken that was in use in part, or one given back that was not taken.
    is_unsound: bool,
}

impl Owned {
    fn take(&mut self, lv: &Lv) {
        each_run(lv, |pv, start, length| {
            let runs = self.runs.entry(pv).or_default();
            let end = start.saturating_add(length);
            let before = runs.range(..end).next_back();
            self.is_unsound |= before.is_some_and(|(other, length)| other.saturating_add(*length) > start);
            runs.insert(start, length);
        });
    }

    fn give(&mut self, lv: &Lv) {
        each_run(lv, |pv, start, length| {
            let run = self.runs.get_mut(&pv).and_then(|runs| runs.remove(&start));
            self.is_unsound |= run != Some(length);
        });
    }
}

/// Calls `each` with every run of PV extents of an LV.
fn each_run(lv: &Lv, mut each: impl FnMut(PvId, u32, u32)) {
    for segment in lv.segments() {
        segment.each_pv_run(&mut each);
    }
}
