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
    if left > 0 && tail.is_none() {
        // The usual case, without a list of all runs.
        if let Some(run) = largest(space.runs()).filter(|run| run.length >= left) {
            take(space, run, &mut left);
        }
    }
    if left > 0 {
        for pv in order(space, request.policy, tail, left) {
            let mut runs: Vec<Run> = space.runs_of(pv).collect();
            runs.sort_by_key(|run| std::cmp::Reverse(run.length));
            for run in runs {
                // A limit on the PV may have shortened the run since.
                let now = space.runs_of(pv).find(|own| own.start == run.start);
                if let Some(run) = now.filter(|_| left > 0) {
                    take(space, run, &mut left);
                }
            }
        }
    }
    if left > 0 { Err(no_space) } else { Ok(plans) }
}

/// The PVs to fill, one after the other: those of the LV, then those with longer runs.  What must cling uses no others, and a
/// new LV that must has one PV.
fn order(space: &Space<'_>, policy: AllocPolicy, tail: Option<&Tail>, left: u32) -> Vec<usize> {
    let own = tail.map_or(&[][..], |tail| &tail.pvs);
    let mut order: Vec<usize> = own.iter().filter_map(|id| space.find(*id)).collect();
    if policy == AllocPolicy::Cling && tail.is_some() {
        return order;
    }
    let longest = |pv: usize| space.largest_of(pv).map_or(0, |run| run.length);
    let mut others: Vec<(u32, usize)> = (0..space.pv_count())
        .filter(|pv| !order.contains(pv))
        .map(|pv| (longest(pv), pv))
        .collect();
    others.sort_by_key(|(longest, _)| std::cmp::Reverse(*longest));
    let mut others = others.into_iter().map(|(_, pv)| pv);
    if policy == AllocPolicy::Cling {
        return others
            .find(|pv| space.room_of(*pv) >= u64::from(left))
            .into_iter()
            .collect();
    }
    order.extend(others);
    order
}
