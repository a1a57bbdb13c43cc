//! Allocation for arrays: a disk for each leg, so that one that fails takes one leg with it.

use super::space::{Run, Space};
use super::{AllocError, AllocPolicy, AllocRequest, PvFilter};
use crate::{Area, Extents, PvId, Refusal, SegmentKind, SegmentPlan, Vg};

/// Legs of an array to be allocated.
#[derive(Clone, Copy, Debug)]
pub struct LegsRequest<'a> {
    /// How many legs.
    pub legs: usize,
    /// Extents of the data of each leg.
    pub image: Extents,
    /// Extents of the metadata of each leg; none for an array without.
    pub meta: Extents,
    /// The LVs that hold the data of the legs, in their order, if these are to grow.
    pub extend: &'a [&'a str],
    /// Which PVs may be used.
    pub pvs: PvFilter<'a>,
    /// How they may be chosen; what it inherits is the VG's, so name that of the array: [`AllocPolicy::of`].
    pub policy: AllocPolicy,
}

/// What one leg is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegPlan {
    /// The segments of its metadata.
    pub meta: Vec<SegmentPlan>,
    /// The segments of its data.
    pub image: Vec<SegmentPlan>,
}

/// Finds free extents for the legs of an array; gives what each is to be given.
///
/// Each new leg lies on one PV, and no two on the same, its metadata before its data.  A leg that grows does so on its own
/// PVs, behind its last extents if it can, and where they are full on PVs that no other leg has.  Contiguous legs are one run
/// each, and grow right behind it; those that cling grow on their own PVs alone.  Anywhere, legs share a PV where there are
/// too few.  As [`allocate`](super::allocate), it takes nothing.
///
/// # Errors
/// [`AllocError`]
pub fn allocate_legs(vg: &Vg, request: &LegsRequest<'_>) -> Result<Vec<LegPlan>, AllocError> {
    // What replaces the images of a missing PV lies on others.
    if let Some(refusal) = vg.refusal().filter(|why| !matches!(why, Refusal::MissingPv(_))) {
        return Err(refusal.into());
    }
    if request.image == Extents::ZERO || request.legs == 0 {
        return Err(AllocError::BadRequest("no extents"));
    }
    let each = request.image.checked_add(request.meta);
    let each = each.ok_or(AllocError::BadRequest("more than 4294967295 extents in a leg"))?;
    let filter = AllocRequest {
        pvs: request.pvs,
        ..AllocRequest::new(each)
    };
    let mut space = Space::new(vg, &filter);
    let policy = request.policy.resolved(vg, None);
    let plans = match request.extend {
        [] => new_legs(&mut space, request, each, policy),
        images => grown_legs(vg, &mut space, request, images, policy),
    };
    plans.map_err(|error| error.under(policy))
}

fn new_legs(
    space: &mut Space<'_>,
    request: &LegsRequest<'_>,
    each: Extents,
    policy: AllocPolicy,
) -> Result<Vec<LegPlan>, AllocError> {
    let longest = |space: &Space<'_>, pv: usize| space.largest_of(pv).map_or(0, |run| run.length);
    let has_room = |space: &Space<'_>, pv: usize| match policy {
        AllocPolicy::Contiguous => longest(space, pv) >= each.get(),
        _ => space.room_of(pv) >= u64::from(each.get()),
    };
    let mut pvs: Vec<usize> = (0..space.pv_count()).filter(|pv| has_room(space, *pv)).collect();
    // In one piece rather than in several; among equal ones the order of the VG stays.
    pvs.sort_by_key(|pv| std::cmp::Reverse(longest(space, *pv)));
    let too_few = AllocError::TooFewLegs {
        legs: request.legs,
        extents: each,
        pvs: pvs.len(),
    };
    if pvs.len() < request.legs && (policy != AllocPolicy::Anywhere || pvs.is_empty()) {
        return Err(too_few);
    }
    let no_space = Space::no_space(space, each);
    let mut plans = Vec::with_capacity(request.legs);
    for leg in 0..request.legs {
        // One after the other, and in turns where legs share PVs.
        let turns = (0..pvs.len()).map(|more| (leg.saturating_add(more)).checked_rem(pvs.len()).unwrap_or(0));
        let mut turns = turns.filter_map(|at| pvs.get(at).copied());
        let pv = turns
            .find(|pv| has_room(space, *pv))
            .ok_or_else(|| too_few.clone())?;
        let mut take = |extents: Extents| {
            let mut segments = Vec::new();
            let left = take_on(space, pv, extents.get(), None, &mut segments);
            (left == 0).then_some(segments).ok_or_else(|| no_space.clone())
        };
        plans.push(LegPlan {
            meta: take(request.meta)?,
            image: take(request.image)?,
        });
    }
    Ok(plans)
}

fn grown_legs(
    vg: &Vg,
    space: &mut Space<'_>,
    request: &LegsRequest<'_>,
    images: &[&str],
    policy: AllocPolicy,
) -> Result<Vec<LegPlan>, AllocError> {
    let no_space = Space::no_space(space, request.image);
    let own = images
        .iter()
        .map(|name| pvs_of(vg, name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut taken: Vec<PvId> = own.iter().flat_map(|own| own.pvs.iter().copied()).collect();
    let mut plans = Vec::with_capacity(images.len());
    let mut lacking = Vec::with_capacity(images.len());
    for own in &own {
        let mut plan = LegPlan::default();
        let mut left = request.image.get();
        for id in &own.pvs {
            let Some(pv) = space.find(*id) else { continue };
            let behind = own.end.filter(|(last, _)| last == id);
            let first = behind.and_then(|(_, end)| space.runs_of(pv).find(|run| run.start == end));
            if policy == AllocPolicy::Contiguous {
                let first = first.filter(|run| run.length >= left);
                let run = first.ok_or_else(|| no_space.clone())?;
                left = take_on(space, pv, left, Some(run), &mut plan.image);
                break;
            }
            left = take_on(space, pv, left, first, &mut plan.image);
        }
        if left > 0 && matches!(policy, AllocPolicy::Contiguous | AllocPolicy::Cling) {
            return Err(no_space);
        }
        lacking.push(left);
        plans.push(plan);
    }
    // Only now: what other legs have of their own is theirs.
    for (plan, mut left) in plans.iter_mut().zip(lacking) {
        while left > 0 {
            let is_free = |pv: &usize| space.pv_id(*pv).is_some_and(|id| !taken.contains(&id));
            let largest_of = |pvs: &dyn Fn(&usize) -> bool| {
                let pvs = (0..space.pv_count()).filter(|pv| pvs(pv));
                super::space::largest(pvs.filter_map(|pv| space.largest_of(pv)))
            };
            let shared = || {
                (policy == AllocPolicy::Anywhere)
                    .then(|| largest_of(&|_| true))
                    .flatten()
            };
            let run = largest_of(&is_free)
                .or_else(shared)
                .ok_or_else(|| no_space.clone())?;
            taken.extend(space.pv_id(run.pv));
            left = take_on(space, run.pv, left, None, &mut plan.image);
        }
    }
    Ok(plans)
}

/// Takes up to `left` extents of one PV, `first` before its longest runs; gives what is lacking still.
fn take_on(
    space: &mut Space<'_>,
    pv: usize,
    mut left: u32,
    first: Option<Run>,
    segments: &mut Vec<SegmentPlan>,
) -> u32 {
    let Some(id) = space.pv_id(pv) else { return left };
    let mut next = first;
    while left > 0 {
        let Some(run) = next.take().or_else(|| space.largest_of(pv)) else {
            break;
        };
        let length = run.length.min(left);
        segments.push(SegmentPlan::linear(id, run.start, Extents::new(length)));
        space.take(run, length);
        left = left.saturating_sub(length);
    }
    left
}

/// Where an image lies.
struct Own {
    /// Each PV once, that of the last extents first.
    pvs: Vec<PvId>,
    /// The PV of the last extents, and the extent behind them.
    end: Option<(PvId, u32)>,
}

fn pvs_of(vg: &Vg, name: &str) -> Result<Own, AllocError> {
    let lv = vg.lv(name).ok_or_else(|| AllocError::NoSuchLv(name.to_owned()))?;
    let mut own = Own {
        pvs: Vec::new(),
        end: None,
    };
    for segment in lv.segments().iter().rev() {
        let SegmentKind::Striped(striped) = segment.kind() else {
            continue;
        };
        let length = striped.area_extents(segment.extent_count()).get();
        for area in striped.areas() {
            let Area::Pv { pv, start } = area else { continue };
            if own.pvs.is_empty() {
                own.end = Some((*pv, start.saturating_add(length)));
            }
            if !own.pvs.contains(pv) {
                own.pvs.push(*pv);
            }
        }
    }
    Ok(own)
}
