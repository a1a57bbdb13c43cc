//! Finding new places for the extents that LVs hold on one PV.

use super::space::{Run, Space};
use super::{AllocError, AllocRequest};
use crate::{Area, Extents, Lv, PvId, Refusal, SegmentKind, Vg};

/// What is to be moved, and where it may go.
#[derive(Clone, Copy, Debug)]
pub struct MoveRequest {
    /// The PV to empty.
    pub from: PvId,
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
    start: u32,
    extents: u32,
    /// The PVs of the segment's other stripes.
    apart: Vec<PvId>,
}

/// Finds places on other PVs for all that a PV holds; empty when it holds nothing.
///
/// Nothing is taken: hand the pieces to [`Vg::begin_move`].  The stripes of a segment stay on distinct PVs.  They are
/// placed before linear segments, which may go anywhere.  Missing PVs and those that are not allocatable are never used.
///
/// # Errors
/// [`MoveError`]
pub fn plan_move(vg: &Vg, request: &MoveRequest) -> Result<Vec<MovePiece>, MoveError> {
    if let Some(refusal) = vg.refusal() {
        return Err(refusal.into());
    }
    let mut held = held(vg, request.from)?;
    held.sort_by_key(|held| held.apart.is_empty());
    let total = held
        .iter()
        .fold(0u32, |sum, held| sum.saturating_add(held.extents));
    let mut space = Space::new(vg, &AllocRequest::new(Extents::new(total)));
    let free = match Space::no_space(&space, Extents::new(total)) {
        AllocError::NoSpace { free, .. } => free,
        _ => 0,
    };
    let own = vg.pv(request.from).filter(|pv| pv.is_allocatable());
    let free = free.saturating_sub(own.map_or(0, |pv| u64::from(pv.free().get())));
    let mut pieces = Vec::new();
    for held in &held {
        let mut done = 0;
        while done < held.extents {
            let run = best_run(&space, request, &held.apart).ok_or_else(|| MoveError::NoSpace {
                lv: held.lv.name().to_owned(),
                needed: Extents::new(total),
                free,
            })?;
            let left = held.extents.saturating_sub(done);
            let length = run.length.min(left).min(request.max_piece.get().max(1));
            let Some(to) = space.pv_id(run.pv) else { break };
            space.take(run, length);
            pieces.push(MovePiece {
                lv: held.lv.name().to_owned(),
                segment_start: held.segment_start,
                area: held.area,
                offset: done,
                extents: Extents::new(length),
                from: (request.from, held.start.saturating_add(done)),
                to: (to, run.start),
            });
            done = done.saturating_add(length);
        }
    }
    Ok(pieces)
}

/// All that lies on a PV.
fn held(vg: &Vg, from: PvId) -> Result<Vec<Held<'_>>, MoveError> {
    let mut held = Vec::new();
    for lv in vg.lvs() {
        for segment in lv.segments() {
            let mut runs = 0usize;
            segment.each_pv_run(|pv, _, _| runs = runs.saturating_add(usize::from(pv == from)));
            if runs == 0 {
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
            let mut apart = Vec::new();
            let mut own = None;
            for (at, area) in striped.areas().iter().enumerate() {
                match area {
                    Area::Pv { pv, start } if *pv == from => own = Some((at, *start)),
                    Area::Pv { pv, .. } => apart.push(*pv),
                    Area::Lv { .. } => {}
                }
            }
            if let Some((area, start)) = own {
                held.push(Held {
                    lv,
                    segment_start: segment.start(),
                    area,
                    start,
                    extents: striped.area_extents(segment.extent_count()).get(),
                    apart,
                });
            }
        }
    }
    Ok(held)
}

/// The run to use next: the longest one of the PV that is filled first, or the longest of all.
fn best_run(space: &Space<'_>, request: &MoveRequest, apart: &[PvId]) -> Option<Run> {
    let id = |run: &Run| space.pv_id(run.pv);
    let may_be_used = |run: &Run| id(run).is_some_and(|pv| pv != request.from && !apart.contains(&pv));
    let is_first = |run: &Run| request.first.is_some() && id(run) == request.first;
    space.runs().filter(may_be_used).reduce(|best, run| {
        match (is_first(&run), run.length).cmp(&(is_first(&best), best.length)) {
            std::cmp::Ordering::Greater => run,
            _ => best,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{add, hole, pv_id, vg};
    use super::*;
    use crate::{ChangeError, Error, LvId, LvName, NewLv, Provenance, Sectors, SegmentPlan};

    fn request(max_piece: u32) -> MoveRequest {
        MoveRequest {
            from: pv_id(0),
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
        let sizes: Vec<_> = vg.lvs().map(Lv::extent_count).collect();
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
        let used: u32 = (0..4).map(|pv| vg.pv_used(pv_id(pv)).get()).sum();
        assert_eq!(
            u64::from(used),
            sizes.iter().map(|size| u64::from(size.get())).sum::<u64>()
        );
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
        assert!(begin(&mut vg, &pieces[..1]).is_err());
        let mut taken = pieces;
        taken[1].to = taken[0].to;
        assert!(begin(&mut vg, &taken).is_err());
        assert_eq!(vg, before);
    }
}
