//! Linear allocation.

use super::space::{Run, Space, largest};
use super::{AllocError, AllocPolicy, AllocRequest, Tail};
use crate::{Extents, SegmentPlan};

pub(super) fn allocate(
    space: &mut Space<'_>,
    request: &AllocRequest<'_>,
    tail: Option<&Tail>,
) -> Result<Vec<SegmentPlan>, AllocError> {
    let needed = request.extents;
    let no_space = Space::no_space(space, needed);
    let mut left = needed.get();
    let mut plans = Vec::new();
    let mut take = |space: &mut Space<'_>, run: Run, left: &mut u32| {
        let length = run.length.min(*left);
        if let Some(id) = space.pv_id(run.pv) {
            plans.push(SegmentPlan::linear(id, run.start, Extents::new(length)));
            space.take(run, length);
            *left = left.saturating_sub(length);
        }
    };
    let behind = match tail.map(|tail| tail.ends.as_slice()) {
        Some([(pv, end)]) => space.run_at(*pv, *end),
        _ => None,
    };
    if request.policy == AllocPolicy::Contiguous {
        let run = match tail {
            Some(_) => behind,
            None => largest(space.runs()),
        };
        let run = run.filter(|run| run.length >= left).ok_or(no_space)?;
        take(space, run, &mut left);
        return Ok(plans);
    }
    if let Some(run) = behind {
        take(space, run, &mut left);
    }
    // PVs that may be used, those that the LV lies on first when it must cling to them.
    let cling = tail.filter(|_| request.policy == AllocPolicy::Cling);
    let clung: Option<Vec<usize>> =
        cling.map(|tail| tail.pvs.iter().filter_map(|id| space.find(*id)).collect());
    let runs = |space: &Space<'_>| -> Vec<Run> {
        match &clung {
            Some(pvs) => pvs.iter().flat_map(|pv| space.runs_of(*pv)).collect(),
            None => space.runs().collect(),
        }
    };
    if left > 0 && clung.is_none() {
        // The usual case, without a list of all runs.
        if let Some(run) = largest(space.runs()).filter(|run| run.length >= left) {
            take(space, run, &mut left);
        }
    }
    if left > 0 {
        let mut all = runs(space);
        all.sort_by_key(|run| std::cmp::Reverse(run.length));
        for run in all {
            if left == 0 {
                break;
            }
            // A limit on the PV may have shortened the run since.
            let now = space.runs_of(run.pv).find(|own| own.start == run.start);
            if let Some(run) = now {
                take(space, run, &mut left);
            }
        }
    }
    if left > 0 { Err(no_space) } else { Ok(plans) }
}
