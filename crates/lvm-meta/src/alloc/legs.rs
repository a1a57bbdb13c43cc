//! Allocation for arrays: a disk for each leg, so that one that fails takes one leg with it.

use super::space::{Run, Space};
use super::{AllocError, AllocRequest, PvFilter};
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
/// PVs, behind its last extents if it can, and where they are full on PVs that no other leg has.  As
/// [`allocate`](super::allocate), it takes nothing.
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
    match request.extend {
        [] => new_legs(&mut space, request, each),
        images => grown_legs(vg, &mut space, request, images),
    }
}

fn new_legs(
    space: &mut Space<'_>,
    request: &LegsRequest<'_>,
    each: Extents,
) -> Result<Vec<LegPlan>, AllocError> {
    let longest = |pv: usize| space.largest_of(pv).map_or(0, |run| run.length);
    let has_room = |pv: &usize| {
        let free = space.runs_of(*pv).map(|run| u64::from(run.length)).sum::<u64>();
        free >= u64::from(each.get())
    };
    let mut pvs: Vec<usize> = (0..space.pv_count()).filter(has_room).collect();
    // In one piece rather than in several; among equal ones the order of the VG stays.
    pvs.sort_by_key(|pv| std::cmp::Reverse(longest(*pv)));
    if pvs.len() < request.legs {
        return Err(AllocError::TooFewLegs {
            legs: request.legs,
            extents: each,
            pvs: pvs.len(),
        });
    }
    let no_space = Space::no_space(space, each);
    let mut plans = Vec::with_capacity(request.legs);
    for pv in pvs.into_iter().take(request.legs) {
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
            left = take_on(space, pv, left, first, &mut plan.image);
        }
        lacking.push(left);
        plans.push(plan);
    }
    // Only now: what other legs have of their own is theirs.
    for (plan, mut left) in plans.iter_mut().zip(lacking) {
        while left > 0 {
            let is_free = |pv: &usize| space.pv_id(*pv).is_some_and(|id| !taken.contains(&id));
            let runs = (0..space.pv_count())
                .filter(is_free)
                .filter_map(|pv| space.largest_of(pv));
            let run = super::space::largest(runs).ok_or_else(|| no_space.clone())?;
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
