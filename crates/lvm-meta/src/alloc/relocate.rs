//! Finding new places for the extents that LVs hold on one PV.

use super::space::{Run, Space, largest};
use super::{AllocError, AllocPolicy, AllocRequest, PvFilter};
use crate::detail::Detail;
use crate::{Area, Extents, Lv, LvRole, PvId, Refusal, SegmentKind, Vg};

/// What is to be moved, and where it may go.
#[derive(Clone, Copy, Debug)]
pub struct MoveRequest<'a> {
    /// The PV to empty.
    pub from: PvId,
    /// Its first extents, this many, stay; what is behind them may go there, too.  0 to empty all of it.
    pub keep: Extents,
    /// The LVs whose segments on it are moved; all if `None`.
    pub only: Option<&'a [&'a str]>,
    /// The PVs where they may go; of `from` no others than those that stay.
    pub to: PvFilter<'a>,
    /// The PV that is filled first, if there is one.
    pub first: Option<PvId>,
    /// Most extents of one piece.  A piece that is not moved as a whole is moved again.
    pub max_piece: Extents,
}

/// Extents of one area of an LV's segment, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovePiece {
    /// The LV.
    pub lv: String,
    /// The LV's extent at which the segment starts.
    pub segment_start: u32,
    /// Which of the segment's areas it is.
    pub area: usize,
    /// Extents of the area before this piece.
    pub offset: u32,
    /// Extents of the piece.
    pub extents: Extents,
    /// Where they are: PV and first extent.
    pub from: (PvId, u32),
    /// Where they go: PV and first extent.
    pub to: (PvId, u32),
}

/// Why nothing can be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// Too few free extents on PVs where the extents may go.
    #[error(
        "not enough room on other PVs: {needed} needed, {free} free, and those of LV {lv:?} find no place"
    )]
    NoSpace {
        /// The LV that found no place.
        lv: String,
        /// Extents to move in all.
        needed: Extents,
        /// Free extents on other PVs.
        free: u64,
    },
    /// Enough free extents, but none that the LV's or the VG's allocation policy allows.
    #[error(
        "no room under the allocation policy {policy}: {needed} needed, {free} free, and those of LV {lv:?} find no place"
    )]
    Policy {
        /// The policy.
        policy: AllocPolicy,
        /// The LV that found no place.
        lv: String,
        /// Extents to move in all.
        needed: Extents,
        /// Free extents on other PVs.
        free: u64,
    },
    /// A `pvmove` has the LV already.
    #[error("LV {0:?} is locked by a pvmove")]
    Locked(String),
    /// The PV is held by something other than linear and striped segments of an LV, one stripe on each PV.
    #[error("LV {lv:?} is on it with a segment of type {segment_type:?} that cannot be moved")]
    Unmovable {
        /// The LV.
        lv: String,
        /// The type.
        segment_type: String,
    },
    /// The VG must not be changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Extents of one segment that have to go.
struct Held<'a> {
    lv: &'a Lv,
    segment_start: u32,
    area: usize,
    /// Extents of the area before those that have to go.
    offset: u32,
    start: u32,
    extents: u32,
    /// The PVs of the segment's other stripes, and of the other legs of an array.
    apart: Vec<PvId>,
    /// What it stays together with.
    leg: Option<Leg<'a>>,
    /// That of the LV or of the array that it is of, else the VG's.
    policy: AllocPolicy,
}

/// A leg of an array: the array's name, and which leg.  An LV that clings is the only leg of itself.
type Leg<'a> = (&'a str, usize);

/// Where what belongs to legs was put.
#[derive(Default)]
struct Placed<'a>(Vec<(Leg<'a>, PvId)>);

impl<'a> Placed<'a> {
    /// Has another leg of the array been put on a PV?
    fn has_other(&self, leg: Option<Leg<'a>>, on: PvId) -> bool {
        let is_other = |(array, at): Leg<'a>| leg.is_some_and(|leg| leg.0 == array && leg.1 != at);
        self.0.iter().any(|(other, pv)| *pv == on && is_other(*other))
    }

    /// The PV that the leg began to be put on.
    fn of(&self, leg: Leg<'a>) -> Option<PvId> {
        let mut own = self.0.iter().filter(|(other, _)| *other == leg);
        own.next().map(|(_, pv)| *pv)
    }
}

/// Finds places on other PVs for all that a PV holds, or all that some LVs have on it, or for what lies there behind the
/// extents that stay, which may go to free ones among these as well; empty when that is nothing.
///
/// Nothing is taken: hand the pieces to [`Vg::begin_move`].  The stripes of a segment stay on distinct PVs, and so do the
/// legs of an array; the data of a leg goes with its metadata, as long as there is room.  They are placed before linear
/// segments, which may go anywhere.  The allocation policy of the LV counts, else the VG's: what is contiguous stays in one
/// run, what clings goes to one PV, and under `anywhere` stripes and legs share a PV where there is no other way.  Missing
/// PVs and those that are not allocatable are never used.
///
/// # Errors
/// [`MoveError`]
pub fn plan_move(vg: &Vg, request: &MoveRequest<'_>) -> Result<Vec<MovePiece>, MoveError> {
    if let Some(refusal) = vg.refusal() {
        return Err(refusal.into());
    }
    let mut all = held(vg, request)?;
    // What has the fewest places to choose from comes first, all of a leg together.
    all.sort_by_key(|held| {
        let is_one_run = held.policy == AllocPolicy::Contiguous;
        let length = if is_one_run { held.extents } else { 0 };
        let apart = std::cmp::Reverse(held.apart.len());
        (apart, !is_one_run, held.leg, std::cmp::Reverse(length))
    });
    let total = all
        .iter()
        .fold(0u32, |sum, held| sum.saturating_add(held.extents));
    let mut space = Space::new(
        vg,
        &AllocRequest {
            pvs: request.to,
            ..AllocRequest::new(Extents::new(total))
        },
    );
    let free = match Space::no_space(&space, Extents::new(total)) {
        AllocError::NoSpace { free, .. } => free,
        _ => 0,
    };
    let own = space.find(request.from).and_then(|_| vg.pv(request.from));
    let own_runs = own.into_iter().flat_map(crate::Pv::free_runs);
    let beyond = own_runs.map(|(start, length)| {
        let inside = request.keep.get().saturating_sub(start).min(length.get());
        u64::from(length.get().saturating_sub(inside))
    });
    let free = free.saturating_sub(beyond.sum());
    let mut pieces = Vec::new();
    let mut placed = Placed::default();
    for held in &all {
        let mut done = 0;
        let mut rest: Option<Run> = None;
        while done < held.extents {
            let run = rest
                .take()
                .or_else(|| best_run(&space, request, &all, held, &placed))
                .ok_or_else(|| no_place(held, Extents::new(total), free))?;
            let left = held.extents.saturating_sub(done);
            let length = run.length.min(left).min(request.max_piece.get().max(1));
            let Some(to) = space.pv_id(run.pv) else { break };
            space.take(run, length);
            if held.policy == AllocPolicy::Contiguous {
                rest = Some(Run {
                    start: run.start.saturating_add(length),
                    length: run.length.saturating_sub(length),
                    ..run
                });
            }
            placed.0.extend(held.leg.map(|leg| (leg, to)));
            pieces.push(MovePiece {
                lv: held.lv.name().to_owned(),
                segment_start: held.segment_start,
                area: held.area,
                offset: held.offset.saturating_add(done),
                extents: Extents::new(length),
                from: (request.from, held.start.saturating_add(done)),
                to: (to, run.start),
            });
            done = done.saturating_add(length);
        }
    }
    Ok(pieces)
}

fn no_place(held: &Held<'_>, needed: Extents, free: u64) -> MoveError {
    let lv = held.lv.name().to_owned();
    let is_strict = matches!(held.policy, AllocPolicy::Contiguous | AllocPolicy::Cling);
    match is_strict && free >= u64::from(needed.get()) {
        true => MoveError::Policy {
            policy: held.policy,
            lv,
            needed,
            free,
        },
        false => MoveError::NoSpace { lv, needed, free },
    }
}

/// All that is to be moved: on a PV behind the extents that stay.
fn held<'a>(vg: &'a Vg, request: &MoveRequest<'_>) -> Result<Vec<Held<'a>>, MoveError> {
    let (from, keep) = (request.from, request.keep.get());
    let is_asked = |lv: &&Lv| request.only.is_none_or(|only| only.contains(&lv.name()));
    let mut held = Vec::new();
    for lv in vg.lvs().filter(is_asked) {
        for segment in lv.segments() {
            let mut runs = 0usize;
            let mut has_to_go = false;
            segment.each_pv_run(|pv, start, length| {
                runs = runs.saturating_add(usize::from(pv == from));
                has_to_go |= pv == from && start.saturating_add(length) > keep;
            });
            if !has_to_go {
                continue;
            }
            if lv.is_locked() {
                return Err(MoveError::Locked(lv.name().to_owned()));
            }
            let striped = match segment.kind() {
                SegmentKind::Striped(striped) if runs == 1 => striped,
                _ => {
                    return Err(MoveError::Unmovable {
                        lv: lv.name().to_owned(),
                        segment_type: segment.type_name().to_owned(),
                    });
                }
            };
            let leg = match vg.role(lv) {
                LvRole::RaidImage { of, leg } | LvRole::RaidMeta { of, leg } => Some((of, leg)),
                _ => None,
            };
            let policy = AllocPolicy::of(vg, Some(leg.map_or(lv.name(), |(array, _)| array)));
            let mut apart = leg.map(|leg| pvs_of_others(vg, leg)).unwrap_or_default();
            let leg = leg.or_else(|| (policy == AllocPolicy::Cling).then(|| (lv.name(), 0)));
            let mut own = None;
            for (at, area) in striped.areas().iter().enumerate() {
                match area {
                    Area::Pv { pv, start } if *pv == from => own = Some((at, *start)),
                    Area::Pv { pv, .. } => apart.push(*pv),
                    Area::Lv { .. } => {}
                }
            }
            apart.sort_unstable();
            apart.dedup();
            if let Some((area, start)) = own {
                let offset = keep.saturating_sub(start);
                let extents = striped.area_extents(segment.extent_count()).get();
                held.push(Held {
                    lv,
                    segment_start: segment.start(),
                    area,
                    offset,
                    start: start.saturating_add(offset),
                    extents: extents.saturating_sub(offset),
                    apart,
                    leg,
                    policy,
                });
            }
        }
    }
    Ok(held)
}

/// The PVs of the other legs of an array.
fn pvs_of_others(vg: &Vg, (array, own): Leg<'_>) -> Vec<PvId> {
    let Some(Detail::Raid(raid)) = vg.lv(array).and_then(Lv::detail) else {
        return Vec::new();
    };
    let mut pvs = Vec::new();
    let others = raid.legs.iter().enumerate().filter(|(at, _)| *at != own);
    for name in others.flat_map(|(_, leg)| leg.meta.iter().chain([&leg.image])) {
        let segments = vg.lv(name).map_or(&[][..], Lv::segments);
        for segment in segments {
            segment.each_pv_run(|pv, _, _| pvs.push(pv));
        }
    }
    pvs
}

/// The run to use next, the longest of a PV.  A leg goes on where it began, and begins where all of it fits, so that one disk
/// that fails takes no more with it; then comes the PV that is filled first, then for a leg the one with the most room.
fn best_run(
    space: &Space<'_>,
    request: &MoveRequest<'_>,
    held: &[Held<'_>],
    at: &Held<'_>,
    placed: &Placed<'_>,
) -> Option<Run> {
    let is_apart = |id: PvId| !at.apart.contains(&id) && !placed.has_other(at.leg, id);
    // Of the PV itself, what stays.
    let runs_of = |pv: usize| {
        let keep = match space.pv_id(pv) == Some(request.from) {
            true => request.keep.get(),
            false => u32::MAX,
        };
        let clip = move |run: Run| Run {
            length: run.length.min(keep.saturating_sub(run.start)),
            ..run
        };
        space.runs_of(pv).map(clip).filter(|run| run.length > 0)
    };
    let room_of = |pv: usize| runs_of(pv).map(|run| u64::from(run.length)).sum::<u64>();
    let began = at.leg.and_then(|leg| placed.of(leg));
    let of_leg = held.iter().filter(|held| at.leg.is_some() && held.leg == at.leg);
    let whole: u64 = of_leg.map(|held| u64::from(held.extents)).sum();
    let rank = |pv: usize, run: &Run| {
        let id = space.pv_id(pv);
        let room = at.leg.map_or(0, |_| room_of(pv));
        (
            began.is_some() && id == began,
            room >= whole,
            request.first.is_some() && id == request.first,
            room,
            run.length,
        )
    };
    let is_allowed = |pv: usize, run: &Run| match at.policy {
        AllocPolicy::Contiguous => run.length >= at.extents,
        AllocPolicy::Cling => match began {
            Some(_) => space.pv_id(pv) == began,
            None => room_of(pv) >= whole,
        },
        _ => true,
    };
    let best = |may_be_used: &dyn Fn(PvId) -> bool| {
        let is_usable = |pv: &usize| space.pv_id(*pv).is_some_and(may_be_used);
        let pvs = (0..space.pv_count()).filter(is_usable);
        let runs = pvs.filter_map(|pv| largest(runs_of(pv)).map(|run| (pv, run)));
        let runs = runs.filter(|(pv, run)| is_allowed(*pv, run));
        let ranked = runs.map(|(pv, run)| (rank(pv, &run), run));
        let best = ranked.reduce(|best, run| if run.0 > best.0 { run } else { best });
        best.map(|(_, run)| run)
    };
    let shared = || {
        (at.policy == AllocPolicy::Anywhere)
            .then(|| best(&|_| true))
            .flatten()
    };
    best(&is_apart).or_else(shared)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{add, hole, pv_id, vg};
    use super::*;
    use crate::{ChangeError, Error, LvId, LvName, NewLv, Provenance, Sectors, SegmentPlan};

    fn request(max_piece: u32) -> MoveRequest<'static> {
        MoveRequest {
            from: pv_id(0),
            keep: Extents::ZERO,
            only: None,
            to: PvFilter::All,
            first: None,
            max_piece: Extents::new(max_piece),
        }
    }

    fn striped(vg: &mut Vg, name: &str, pvs: &[u8], start: u32, each: u32) {
        let areas = pvs.iter().map(|pv| Area::Pv {
            pv: pv_id(*pv),
            start,
        });
        let extents = Extents::new(each * u32::try_from(pvs.len()).unwrap());
        let plan = SegmentPlan::striped(extents, Sectors::new(128), areas.collect()).unwrap();
        add(vg, name, vec![plan]);
    }

    fn begin(vg: &mut Vg, pieces: &[MovePiece]) -> Result<(), Error> {
        let name = LvName::parse("pvmove0").unwrap();
        let new = NewLv::new(name, LvId::from_uuid_bytes([99; 16]), Vec::new());
        vg.begin_move(new, Sectors::new(4096), pieces)
    }

    #[test]
    fn stripes_stay_on_distinct_pvs_and_are_placed_before_what_may_go_anywhere() {
        // Whatever is linear finds room beside the other stripe, where a stripe must not go.
        let mut vg = vg(&[20, 10, 30, 10]);
        add(
            &mut vg,
            "linear",
            vec![SegmentPlan::linear(pv_id(0), 10, Extents::new(10))],
        );
        striped(&mut vg, "striped", &[0, 2], 0, 10);
        hole(&mut vg, 3, 0, 5);
        let pieces = plan_move(&vg, &request(100)).unwrap();
        assert!(
            pieces[0].lv == "striped" && pieces[0].to.0 == pv_id(1),
            "{pieces:?}"
        );
        assert!(pieces[1..].iter().all(|piece| piece.lv == "linear"), "{pieces:?}");
    }

    /// An array of two copies with its legs on these PVs, a run of data and one extent of metadata each.
    fn copies(vg: &mut Vg, name: &str, legs: [u8; 2], start: u32, each: u32) {
        let legs = legs.map(|pv| {
            let plan = |start, extents| vec![SegmentPlan::linear(pv_id(pv), start, Extents::new(extents))];
            let id = |kind: u8| {
                LvId::from_uuid_bytes([100 + kind * 64 + pv * 16 + u8::try_from(start).unwrap(); 16])
            };
            crate::NewLeg {
                plan: crate::LegPlan {
                    meta: plan(start, 1),
                    image: plan(start + 1, each),
                },
                image: id(0),
                meta: id(1),
            }
        });
        let raid = crate::detail::Raid {
            layout: crate::detail::RaidLayout::Raid1,
            legs: Vec::new(),
            data_copies: None,
            region_size: Some(Sectors::new(4096)),
            stripe_size: None,
            write_behind: None,
            min_recovery_rate: None,
            max_recovery_rate: None,
            data_offset: None,
        };
        let id = LvId::from_uuid_bytes([80 + u8::try_from(vg.lv_count()).unwrap(); 16]);
        let new = NewLv::new(LvName::parse(name).unwrap(), id, Vec::new());
        vg.add_raid(new, &raid, legs.into()).unwrap();
    }

    /// The PVs that the pieces of an LV go to.
    fn to(pieces: &[MovePiece], lv: &str) -> Vec<PvId> {
        let mut to: Vec<_> = pieces
            .iter()
            .filter(|piece| piece.lv == lv)
            .map(|piece| piece.to.0)
            .collect();
        to.dedup();
        to
    }

    #[test]
    fn a_leg_goes_as_a_whole_to_a_pv_without_another_leg() {
        // The most room is beside the other leg, and the longest run on a PV that has no room for all.
        let mut vg = vg(&[20, 40, 9, 12]);
        copies(&mut vg, "array", [0, 1], 0, 9);
        hole(&mut vg, 3, 5, 1);
        let pieces = plan_move(&vg, &request(100)).unwrap();
        assert_eq!(to(&pieces, "array_rmeta_0"), [pv_id(3)], "{pieces:?}");
        assert_eq!(to(&pieces, "array_rimage_0"), [pv_id(3)], "{pieces:?}");
        // A PV that is filled first is not, if it has no room for all.
        let first = |pv| MoveRequest {
            first: Some(pv_id(pv)),
            ..request(100)
        };
        let all = |pieces: &[MovePiece]| [to(pieces, "array_rmeta_0"), to(pieces, "array_rimage_0")].concat();
        let pieces = plan_move(&vg, &first(2)).unwrap();
        assert_eq!(all(&pieces), [pv_id(3); 2], "{pieces:?}");
        let mut small = super::super::tests::vg(&[20, 40, 9, 12]);
        copies(&mut small, "array", [0, 1], 0, 8);
        let pieces = plan_move(&small, &first(2)).unwrap();
        assert_eq!(all(&pieces), [pv_id(2); 2], "{pieces:?}");
    }

    #[test]
    fn legs_of_several_arrays_each_keep_apart_from_their_own() {
        let mut vg = vg(&[20, 20, 19]);
        copies(&mut vg, "array", [0, 1], 0, 5);
        copies(&mut vg, "other", [2, 0], 8, 5);
        let pieces = plan_move(&vg, &request(3)).unwrap();
        assert_eq!(to(&pieces, "array_rimage_0"), [pv_id(2)], "{pieces:?}");
        assert_eq!(to(&pieces, "other_rimage_1"), [pv_id(1)], "{pieces:?}");
        // Without a third PV there is no place apart.
        let mut vg = super::super::tests::vg(&[20, 20]);
        copies(&mut vg, "array", [0, 1], 0, 5);
        let refused = plan_move(&vg, &request(100)).unwrap_err();
        assert!(matches!(refused, MoveError::NoSpace { .. }), "{refused}");
    }

    #[test]
    fn what_finds_no_place_is_refused() {
        let mut vg = vg(&[10, 10, 4]);
        striped(&mut vg, "striped", &[0, 1], 0, 5);
        let error = plan_move(&vg, &request(100)).unwrap_err();
        assert_eq!(
            error,
            MoveError::NoSpace {
                lv: "striped".into(),
                needed: Extents::new(5),
                free: 9
            }
        );
    }

    #[test]
    fn a_move_goes_from_the_old_places_to_the_new_ones_by_sound_metadata() {
        let mut vg = vg(&[20, 7, 20, 20]);
        add(
            &mut vg,
            "a",
            vec![
                SegmentPlan::linear(pv_id(3), 0, Extents::new(3)),
                SegmentPlan::linear(pv_id(0), 0, Extents::new(9)),
            ],
        );
        striped(&mut vg, "b", &[2, 0], 10, 6);
        copies(&mut vg, "c", [3, 0], 16, 2);
        let sizes: Vec<_> = vg.lvs().map(Lv::extent_count).collect();
        let used_by_all = |vg: &Vg| (0..4).map(|pv| vg.pv_used(pv_id(pv)).get()).sum::<u32>();
        let used = used_by_all(&vg);
        let pieces = plan_move(&vg, &request(4)).unwrap();
        assert!(pieces.len() >= 5, "{pieces:?}");
        begin(&mut vg, &pieces).unwrap();
        let sound = |vg: &Vg| {
            assert_eq!(crate::check(vg), []);
            let text = vg.print_raw(&Provenance {
                description: "test".into(),
                creation_host: "host".into(),
                host_uname: "Linux".into(),
                creation_time: 1,
                creation_ctime: "then".into(),
                tool_version: "test".into(),
                system_id: None,
            });
            assert_eq!(Vg::parse(&text).unwrap(), *vg);
        };
        sound(&vg);
        assert!(vg.lv("a").unwrap().is_locked() && vg.lv("b").unwrap().is_locked());
        assert_eq!(
            plan_move(&vg, &request(4)),
            Err(MoveError::Locked("pvmove0".into()))
        );
        let locked = vg.remove_lv("a").unwrap_err();
        assert!(
            matches!(locked, Error::Change(ChangeError::LvLocked(_))),
            "{locked}"
        );
        for piece in vg.lv("pvmove0").unwrap().moving().unwrap() {
            assert!(!piece.is_done());
            vg.finish_piece("pvmove0", piece.start).unwrap();
            sound(&vg);
        }
        assert!(
            vg.lv("pvmove0")
                .unwrap()
                .moving()
                .unwrap()
                .iter()
                .all(|piece| piece.is_done())
        );
        vg.end_move("pvmove0").unwrap();
        sound(&vg);
        vg.remove_move("pvmove0").unwrap();
        sound(&vg);
        assert_eq!(vg.pv_used(pv_id(0)), Extents::ZERO);
        assert_eq!(vg.lvs().map(Lv::extent_count).collect::<Vec<_>>(), sizes);
        assert!(vg.lvs().all(|lv| !lv.is_locked()));
        assert_eq!(used_by_all(&vg), used);
    }

    #[test]
    fn pieces_that_are_not_the_lvs_change_nothing() {
        let mut vg = vg(&[20, 20]);
        add(
            &mut vg,
            "a",
            vec![SegmentPlan::linear(pv_id(0), 0, Extents::new(9))],
        );
        let pieces = plan_move(&vg, &request(4)).unwrap();
        let before = vg.clone();
        let mut other = pieces.clone();
        other[1].from.1 += 1;
        assert!(begin(&mut vg, &other).is_err());
        let twice = [pieces[0].clone(), pieces[0].clone()];
        assert!(begin(&mut vg, &twice).is_err());
        let mut beyond = pieces[2..].to_vec();
        beyond[0].extents = Extents::new(2);
        assert!(begin(&mut vg, &beyond).is_err());
        let mut taken = pieces;
        taken[1].to = taken[0].to;
        assert!(begin(&mut vg, &taken).is_err());
        assert_eq!(vg, before);
    }
    #[test]
    fn what_is_behind_the_extents_that_stay_moves_and_the_rest_stays() {
        let mut vg = vg(&[20, 20]);
        add(
            &mut vg,
            "front",
            vec![SegmentPlan::linear(pv_id(0), 4, Extents::new(9))],
        );
        striped(&mut vg, "striped", &[0, 1], 13, 4);
        let request = MoveRequest {
            keep: Extents::new(10),
            ..request(100)
        };
        let pieces = plan_move(&vg, &request).unwrap();
        let mut moved: Vec<_> = pieces
            .iter()
            .map(|piece| (&*piece.lv, piece.from.1, piece.extents.get()))
            .collect();
        moved.sort_unstable();
        assert_eq!(moved, [("front", 10, 3), ("striped", 13, 4)]);
        let stays = |piece: &MovePiece| piece.to.0 != pv_id(0) || piece.to.1 + piece.extents.get() <= 10;
        assert!(pieces.iter().all(stays), "{pieces:?}");
        let stripe = pieces.iter().find(|piece| piece.lv == "striped").unwrap();
        assert_eq!(stripe.to, (pv_id(0), 0));
        begin(&mut vg, &pieces).unwrap();
        assert!(crate::check(&vg).is_empty());
        vg.end_move("pvmove0").unwrap();
        vg.remove_move("pvmove0").unwrap();
        assert!(crate::check(&vg).is_empty());
        assert_eq!(vg.pv(pv_id(0)).unwrap().free_from(10).get(), 10);
        let text = vg.print_raw(&Provenance::default());
        assert_eq!(Vg::parse(&text).unwrap(), vg);
    }
}
