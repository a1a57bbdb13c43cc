use std::collections::BTreeSet;

use proptest::prelude::*;

use super::properties::{PvMap, build, pv_map};
use super::tests::{add, hole, pv_id, vg};
use super::*;

fn request(legs: usize, image: u32, meta: u32) -> LegsRequest<'static> {
    LegsRequest {
        legs,
        image: Extents::new(image),
        meta: Extents::new(meta),
        extend: &[],
        pvs: PvFilter::All,
        policy: AllocPolicy::Inherit,
    }
}

/// PV, first extent and length of each run.
fn runs(segments: &[SegmentPlan]) -> Vec<(PvId, u32, u32)> {
    let run = |plan: &SegmentPlan| match plan.kind() {
        SegmentKind::Striped(striped) => match striped.areas() {
            [Area::Pv { pv, start }] => (*pv, *start, plan.extents().get()),
            areas => panic!("{areas:?}"),
        },
        kind => panic!("{kind:?}"),
    };
    segments.iter().map(run).collect()
}

#[test]
fn a_leg_has_its_metadata_before_its_data_on_a_disk_of_its_own() {
    let plans = allocate_legs(&vg(&[10, 20, 20]), &request(2, 6, 1)).unwrap();
    let found: Vec<_> = plans
        .iter()
        .map(|leg| (runs(&leg.meta), runs(&leg.image)))
        .collect();
    let leg = |pv| (vec![(pv_id(pv), 0, 1)], vec![(pv_id(pv), 1, 6)]);
    assert_eq!(found, [leg(1), leg(2)]);
}

#[test]
fn a_leg_may_lie_in_several_runs_of_its_disk_but_not_on_two_disks() {
    let mut vg = vg(&[9, 9, 4]);
    hole(&mut vg, 0, 4, 1);
    hole(&mut vg, 1, 2, 1);
    let plans = allocate_legs(&vg, &request(2, 7, 1)).unwrap();
    assert_eq!(runs(&plans[0].image), [(pv_id(1), 4, 5), (pv_id(1), 0, 2)]);
    assert_eq!(runs(&plans[1].image), [(pv_id(0), 5, 4), (pv_id(0), 1, 3)]);
    let refused = allocate_legs(&vg, &request(3, 7, 1)).unwrap_err();
    let extents = Extents::new(8);
    assert_eq!(
        refused,
        AllocError::TooFewLegs {
            legs: 3,
            extents,
            pvs: 2
        }
    );
}

#[test]
fn a_leg_grows_behind_itself_then_on_its_disk_then_on_one_that_no_other_has() {
    let mut vg = vg(&[10, 10, 10]);
    add(
        &mut vg,
        "a",
        vec![SegmentPlan::linear(pv_id(0), 2, Extents::new(2))],
    );
    add(
        &mut vg,
        "b",
        vec![SegmentPlan::linear(pv_id(1), 0, Extents::new(2))],
    );
    let grow = |extents| {
        let images = ["a", "b"];
        let request = LegsRequest {
            extend: &images,
            ..request(2, extents, 0)
        };
        allocate_legs(&vg, &request).map(|plans| plans.iter().map(|leg| runs(&leg.image)).collect::<Vec<_>>())
    };
    assert_eq!(grow(3).unwrap(), [[(pv_id(0), 4, 3)], [(pv_id(1), 2, 3)]]);
    assert_eq!(grow(8).unwrap()[0], [(pv_id(0), 4, 6), (pv_id(0), 0, 2)]);
    // One disk is left, and only one leg may have it.
    assert!(matches!(grow(9), Err(AllocError::NoSpace { .. })));
}

fn free_of(map: &PvMap) -> usize {
    if map.is_allocatable {
        map.used.iter().filter(|used| !**used).count()
    } else {
        0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_legs_get_free_extents_on_disks_of_their_own_or_there_are_too_few(
        maps in prop::collection::vec(pv_map(), 1..7),
        legs in 1usize..6,
        image in 1u32..20,
        meta in 0u32..3,
        more in 1u32..20,
    ) {
        let mut vg = build(&maps);
        let request = request(legs, image, meta);
        let with_room = maps.iter().filter(|map| free_of(map) >= (image + meta) as usize).count();
        let plans = match allocate_legs(&vg, &request) {
            Ok(plans) => plans,
            Err(error) => {
                prop_assert!(with_room < legs, "{}", error);
                let extents = Extents::new(image + meta);
                prop_assert_eq!(error, AllocError::TooFewLegs { legs, extents, pvs: with_room });
                return Ok(());
            }
        };
        prop_assert_eq!(plans.len(), legs);
        let mut pvs = BTreeSet::new();
        let mut images = Vec::new();
        for (number, leg) in plans.iter().enumerate() {
            let (metas, datas) = (runs(&leg.meta), runs(&leg.image));
            let own: BTreeSet<PvId> = metas.iter().chain(&datas).map(|run| run.0).collect();
            prop_assert_eq!(own.len(), 1);
            prop_assert!(own.into_iter().all(|pv| pvs.insert(pv)), "a disk has two legs");
            prop_assert_eq!(metas.iter().map(|run| run.2).sum::<u32>(), meta);
            prop_assert_eq!(datas.iter().map(|run| run.2).sum::<u32>(), image);
            // The VG refuses extents that are not free.
            if meta > 0 {
                add(&mut vg, &format!("meta{number}"), leg.meta.clone());
            }
            add(&mut vg, &format!("image{number}"), leg.image.clone());
            images.push(format!("image{number}"));
        }
        let names: Vec<&str> = images.iter().map(String::as_str).collect();
        let grow = LegsRequest { image: Extents::new(more), meta: Extents::ZERO, extend: &names, ..request };
        if let Ok(plans) = allocate_legs(&vg, &grow) {
            for (name, leg) in names.iter().zip(plans) {
                prop_assert_eq!(runs(&leg.image).iter().map(|run| run.2).sum::<u32>(), more);
                vg.extend_lv(name, leg.image).unwrap();
            }
            let mut owners = BTreeSet::new();
            for name in &names {
                let mut own = BTreeSet::new();
                for segment in vg.lv(name).unwrap().segments() {
                    segment.each_pv_run(|pv, _, _| { own.insert(pv); });
                }
                prop_assert!(own.into_iter().all(|pv| owners.insert(pv)), "a disk has two legs");
            }
        }
    }
}
