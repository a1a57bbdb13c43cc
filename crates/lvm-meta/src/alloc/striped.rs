//! Striped allocation: rounds that each give one segment, as long as the shortest of its runs.

use super::space::{Run, Space, largest};
use super::{AllocError, AllocPolicy, AllocRequest, Tail};
use crate::{Area, Extents, Sectors, SegmentPlan};

pub(super) fn allocate(
    space: &mut Space<'_>,
    request: &AllocRequest<'_>,
    tail: Option<&Tail>,
    stripes: u32,
    stripe_size: Sectors,
) -> Result<Vec<SegmentPlan>, AllocError> {
    // Extents that each stripe still lacks.
    let mut left = request.extents.get().div_ceil(stripes);
    let needed = left.checked_mul(stripes).map(Extents::new);
    let needed = needed.ok_or(AllocError::BadRequest(
        "more than 4294967295 extents in whole stripes",
    ))?;
    let count = usize::try_from(stripes).unwrap_or(usize::MAX);
    let no_space = Space::no_space(space, needed);
    let with_room = (0..space.pv_count())
        .filter(|pv| space.runs_of(*pv).next().is_some())
        .count();
    if request.policy != AllocPolicy::Anywhere && with_room < count {
        let pvs = with_room;
        return Err(AllocError::TooFewPvs { stripes, pvs });
    }
    let tail_fits = tail.filter(|tail| tail.ends.len() == count && tail.stripe_size == stripe_size);
    let mut plans = Vec::new();
    let mut is_first = true;
    while left > 0 {
        let behind = tail_fits
            .filter(|_| std::mem::take(&mut is_first))
            .and_then(|tail| continuing(space, tail));
        let runs = match (request.policy, behind) {
            (_, Some(runs)) => Some(runs),
            (AllocPolicy::Contiguous, None) if tail.is_some() => None,
            (AllocPolicy::Cling, None) if tail.is_some() => tail_fits.and_then(|tail| clinging(space, tail)),
            (AllocPolicy::Anywhere, None) => anywhere(space, count),
            (_, None) => apart(space, count),
        };
        let runs = runs.ok_or(no_space.clone())?;
        let length = runs
            .iter()
            .map(|run| run.length)
            .min()
            .unwrap_or_default()
            .min(left);
        if length == 0 || (request.policy == AllocPolicy::Contiguous && length < left) {
            return Err(no_space);
        }
        let mut areas = Vec::with_capacity(count);
        for run in runs {
            let pv = space.pv_id(run.pv).ok_or_else(|| no_space.clone())?;
            areas.push(Area::Pv { pv, start: run.start });
            space.take(run, length);
        }
        let extents = Extents::new(length.saturating_mul(stripes));
        plans.extend(SegmentPlan::striped(extents, stripe_size, areas));
        left = left.saturating_sub(length);
    }
    Ok(plans)
}

/// The runs right behind each area of the last segment.
fn continuing(space: &Space<'_>, tail: &Tail) -> Option<Vec<Run>> {
    let runs = tail.ends.iter().map(|(pv, end)| space.run_at(*pv, *end));
    shared_budgets(space, runs.collect::<Option<Vec<_>>>()?)
}

/// The largest runs on the PVs of the last segment, in its order.
fn clinging(space: &Space<'_>, tail: &Tail) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for (id, _) in &tail.ends {
        let pv = space.find(*id)?;
        let is_new = |run: &Run| !runs.contains(run);
        let run = largest(space.runs_of(pv).filter(is_new))?;
        runs.push(run);
    }
    shared_budgets(space, runs)
}

/// The largest runs of as many PVs.
fn apart(space: &Space<'_>, count: usize) -> Option<Vec<Run>> {
    let mut runs: Vec<_> = (0..space.pv_count())
        .filter_map(|pv| space.largest_of(pv))
        .collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.length));
    runs.truncate(count);
    (runs.len() == count).then_some(runs)
}

/// The largest runs wherever they are; the largest one is cut while there are too few.
fn anywhere(space: &Space<'_>, count: usize) -> Option<Vec<Run>> {
    let mut runs: Vec<_> = space.runs().collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.length));
    if let Some(runs) = runs.get(..count)
        && let Some(runs) = shared_budgets(space, runs.to_vec())
    {
        return Some(runs);
    }
    // Too few: one run holds several stripes in a row.
    let run = *runs.first()?;
    let length = run.length.checked_div(u32::try_from(count).ok()?)?;
    let cut = (0u32..).take(count).map(|at| {
        let start = run.start.saturating_add(length.saturating_mul(at));
        Run { start, length, ..run }
    });
    (length > 0).then(|| cut.collect())
}

/// Shortens runs on one PV so that they keep its limit together.
fn shared_budgets(space: &Space<'_>, mut runs: Vec<Run>) -> Option<Vec<Run>> {
    let counts: Vec<u32> = runs
        .iter()
        .map(|run| u32::try_from(runs.iter().filter(|own| own.pv == run.pv).count()).unwrap_or(u32::MAX))
        .collect();
    for (run, count) in runs.iter_mut().zip(counts) {
        run.length = run.length.min(space.budget(run.pv).checked_div(count)?);
        if run.length == 0 {
            return None;
        }
    }
    Some(runs)
}
