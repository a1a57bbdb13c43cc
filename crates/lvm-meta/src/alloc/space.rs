//! The free extents that one request may use, less those that it has taken so far.

use std::collections::HashMap;

use super::{AllocError, AllocRequest, PvFilter};
use crate::{Extents, Pv, PvId, Vg};

/// A run of free extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Place of its PV among those that may be used.
    pub(super) pv: usize,
    pub(super) start: u32,
    pub(super) length: u32,
}

struct Usable<'a> {
    pv: &'a Pv,
    /// Extents that may still be taken from it.
    budget: u32,
}

/// The PVs that may be used, in the order of the VG.
///
/// The VG's own maps stay as they are: extents are taken from the front of a run, and how many is noted here.
pub(super) struct Space<'a> {
    pvs: Vec<Usable<'a>>,
    /// Extents taken from the front of a run, by PV and the run's first extent.
    taken: HashMap<(usize, u32), u32>,
}

impl<'a> Space<'a> {
    pub(super) fn new(vg: &'a Vg, request: &AllocRequest<'_>) -> Self {
        let is_wanted = |pv: &&Pv| match request.pvs {
            PvFilter::All => true,
            PvFilter::Ids(ids) => ids.contains(&pv.id()),
            PvFilter::Tags(tags) => tags.iter().any(|tag| pv.tags().contains(tag)),
        };
        let usable = |pv: &&Pv| pv.is_allocatable() && !pv.is_missing();
        let budget = request.max_per_pv.map_or(u32::MAX, Extents::get);
        let pvs = vg.pvs().iter().filter(usable).filter(is_wanted);
        Self {
            pvs: pvs.map(|pv| Usable { pv, budget }).collect(),
            taken: HashMap::new(),
        }
    }

    pub(super) fn pv_id(&self, pv: usize) -> Option<PvId> {
        self.pvs.get(pv).map(|usable| usable.pv.id())
    }

    /// Extents that may still be taken from a PV.
    pub(super) fn budget(&self, pv: usize) -> u32 {
        self.pvs.get(pv).map_or(0, |usable| usable.budget)
    }

    pub(super) fn find(&self, id: PvId) -> Option<usize> {
        self.pvs.iter().position(|usable| usable.pv.id() == id)
    }

    /// What is left of the runs of one PV.
    pub(super) fn runs_of(&self, pv: usize) -> impl Iterator<Item = Run> {
        let usable = self.pvs.get(pv);
        usable.into_iter().flat_map(move |usable| {
            usable.pv.free_runs().filter_map(move |(start, length)| {
                let taken = if self.taken.is_empty() {
                    0
                } else {
                    self.taken.get(&(pv, start)).copied().unwrap_or_default()
                };
                let length = length.get().saturating_sub(taken).min(usable.budget);
                let start = start.saturating_add(taken);
                (length > 0).then_some(Run { pv, start, length })
            })
        })
    }

    /// Extents that may still be taken from a PV, whatever runs they are in.
    pub(super) fn room_of(&self, pv: usize) -> u64 {
        let free: u64 = self.runs_of(pv).map(|run| u64::from(run.length)).sum();
        free.min(u64::from(self.budget(pv)))
    }

    /// What is left of all runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        (0..self.pvs.len()).flat_map(|pv| self.runs_of(pv))
    }

    /// The number of PVs that may be used.
    pub(super) fn pv_count(&self) -> usize {
        self.pvs.len()
    }

    /// The longest run of one PV, the first of equal ones.
    pub(super) fn largest_of(&self, pv: usize) -> Option<Run> {
        largest(self.runs_of(pv))
    }

    /// The run that starts right at an extent of a PV.
    pub(super) fn run_at(&self, id: PvId, start: u32) -> Option<Run> {
        let pv = self.find(id)?;
        let usable = self.pvs.get(pv)?;
        // Asked for before anything is taken, so the run is whole.
        let length = usable.pv.free_from(start).get().min(usable.budget);
        (length > 0).then_some(Run { pv, start, length })
    }

    /// Takes the first extents of a run.
    pub(super) fn take(&mut self, run: Run, length: u32) {
        let Some(usable) = self.pvs.get_mut(run.pv) else {
            return;
        };
        usable.budget = usable.budget.saturating_sub(length);
        // The run may start behind extents that were taken before: they count from the run's own first extent.
        let whole = usable
            .pv
            .free_runs()
            .map(|(first, _)| first)
            .take_while(|first| *first <= run.start)
            .last()
            .unwrap_or(run.start);
        let taken = run.start.saturating_sub(whole).saturating_add(length);
        self.taken.insert((run.pv, whole), taken);
    }

    /// The error for a request that cannot be met, with what there was to meet it.
    pub(super) fn no_space(vg_space: &Self, needed: Extents) -> AllocError {
        let free = vg_space.pvs.iter().map(|usable| {
            let free = usable.pv.free().get().min(usable.budget);
            u64::from(free)
        });
        let longest = vg_space.pvs.iter().flat_map(|usable| usable.pv.free_runs());
        AllocError::NoSpace {
            needed,
            free: free.sum(),
            largest: longest.map(|(_, length)| length).max().unwrap_or_default(),
        }
    }
}

/// The longest of some runs, the first of equal ones.
pub(super) fn largest(runs: impl Iterator<Item = Run>) -> Option<Run> {
    runs.reduce(|best, run| if run.length > best.length { run } else { best })
}
