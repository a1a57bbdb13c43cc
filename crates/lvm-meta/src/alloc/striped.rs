//! Striped allocation: rounds that each give one segment, as long as the shortest of its runs.

use super::space::{Run, Space, largest};
use super::{AllocError, AllocPolicy, AllocRequest, Tail};
use crate::{Area, Extents, PvId, Sectors, SegmentPlan};

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
    // The PVs of the stripes, once there are any.
    let mut own: Option<Vec<PvId>> = tail_fits.map(|tail| tail.ends.iter().map(|(id, _)| *id).collect());
    while left > 0 {
        let behind = tail_fits
            .filter(|_| std::mem::take(&mut is_first))
            .and_then(|tail| continuing(space, tail));
        let cling = || own.as_ref().and_then(|own| clinging(space, own));
        let runs = match (request.policy, behind) {
            (_, Some(runs)) => Some(runs),
            (AllocPolicy::Contiguous, None) if tail.is_some() => None,
            (AllocPolicy::Cling, None) if tail.is_some() || own.is_some() => cling(),
            (AllocPolicy::Cling, None) => apart(space, count, u64::from(left)),
            (AllocPolicy::Anywhere, None) => anywhere(space, count, left),
            (_, None) => cling().or_else(|| apart(space, count, 1)),
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
        own = runs.iter().map(|run| space.pv_id(run.pv)).collect();
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

/// The largest runs on the PVs of the last stripes, in their order.
fn clinging(space: &Space<'_>, own: &[PvId]) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for id in own {
        let pv = space.find(*id)?;
        let is_new = |run: &Run| !runs.contains(run);
        let run = largest(space.runs_of(pv).filter(is_new))?;
        runs.push(run);
    }
    shared_budgets(space, runs)
}

/// The largest runs of as many PVs with room for so many extents.
fn apart(space: &Space<'_>, count: usize, room: u64) -> Option<Vec<Run>> {
    let mut runs: Vec<_> = (0..space.pv_count())
        .filter(|pv| room <= 1 || space.room_of(*pv) >= room)
        .filter_map(|pv| space.largest_of(pv))
        .collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.length));
    runs.truncate(count);
    (runs.len() == count).then_some(runs)
}

/// The longest areas of one length, `left` at most, wherever they are: on as many PVs as there are, then more on each.
fn anywhere(space: &Space<'_>, count: usize, left: u32) -> Option<Vec<Run>> {
    // Pieces of a length on one PV: no more than asked for, and within its limit.
    let on_pv = |pv: usize, length: u32| {
        let mut runs: Vec<_> = space.runs_of(pv).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.length));
        let most = space.budget(pv).checked_div(length).unwrap_or_default();
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(count);
        let cut = move |run: Run| {
            let pieces = run.length.checked_div(length).unwrap_or_default();
            (0..pieces).map(move |at| Run {
                start: run.start.saturating_add(length.saturating_mul(at)),
                ..run
            })
        };
        runs.into_iter().flat_map(cut).take(most)
    };
    let fits = |length: u32| {
        (0..space.pv_count())
            .map(|pv| on_pv(pv, length).count())
            .sum::<usize>()
            >= count
    };
    let (mut good, mut bad) = (0u32, left.saturating_add(1));
    while bad.saturating_sub(good) > 1 {
        let middle = good.midpoint(bad);
        if fits(middle) { good = middle } else { bad = middle }
    }
    if good == 0 {
        return None;
    }
    let mut pieces: Vec<(usize, Run)> = (0..space.pv_count())
        .flat_map(|pv| on_pv(pv, good).enumerate())
        .collect();
    pieces.sort_by_key(|(number, run)| (*number, std::cmp::Reverse(run.length)));
    let runs = pieces
        .into_iter()
        .take(count)
        .map(|(_, run)| Run { length: good, ..run });
    Some(runs.collect())
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
