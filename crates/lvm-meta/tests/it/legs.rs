//! Arrays whose legs change.

use lvm_meta::detail::{Detail, Raid, RaidLayout};
use lvm_meta::{
    AllocRequest, Area, ChangeError, Error, Extents, LegPlan, LegSlot, LegsRequest, LvId, LvName, LvStatus,
    NewLeg, NewLv, PvFilter, PvId, SegmentKind, Vg, allocate, allocate_legs, check,
};

use crate::raid::{add, empty, names, raid};
use crate::support::provenance;

fn id(n: u8) -> LvId {
    LvId::from_uuid_bytes([n; 16])
}

fn detail(vg: &Vg) -> Raid {
    match vg.lv("r").unwrap().detail() {
        Some(Detail::Raid(raid)) => raid,
        other => panic!("{other:?}"),
    }
}

fn pvs_of(vg: &Vg, lv: &str) -> Vec<PvId> {
    let segments = vg.lv(lv).unwrap().segments().iter();
    let areas = segments.flat_map(|segment| match segment.kind() {
        SegmentKind::Striped(striped) => striped.areas().to_vec(),
        _ => Vec::new(),
    });
    areas
        .filter_map(|area| match area {
            Area::Pv { pv, .. } => Some(pv),
            _ => None,
        })
        .collect()
}

/// Legs on PVs that the array does not use.
fn new_legs(vg: &Vg, count: usize, image: u32) -> Vec<NewLeg> {
    let used: Vec<PvId> = detail(vg)
        .legs
        .iter()
        .flat_map(|leg| pvs_of(vg, &leg.image))
        .collect();
    let free: Vec<PvId> = vg
        .pvs()
        .iter()
        .map(|pv| pv.id())
        .filter(|pv| !used.contains(pv))
        .collect();
    let request = LegsRequest {
        legs: count,
        image: Extents::new(image),
        meta: Extents::new(1),
        extend: &[],
        pvs: PvFilter::Ids(&free),
        policy: lvm_meta::AllocPolicy::Inherit,
    };
    let plans = allocate_legs(vg, &request).unwrap();
    (0x70..)
        .zip(plans)
        .map(|(n, plan)| NewLeg {
            plan,
            image: id(2 * n),
            meta: id(2 * n + 1),
        })
        .collect()
}

fn is_marked(vg: &Vg, lv: &str) -> bool {
    vg.lv(lv).unwrap().status().contains(LvStatus::REBUILD)
}

fn sound(vg: &Vg) {
    assert_eq!(check(vg), []);
    let text = vg.print_raw(&provenance());
    assert_eq!(Vg::parse(&text).unwrap().print_raw(&provenance()), text);
}

#[test]
fn a_leg_is_replaced_in_its_place_and_marked_until_the_end() {
    for (layout, legs) in [
        (RaidLayout::Raid1, 2),
        (RaidLayout::Raid5, 3),
        (RaidLayout::Raid6, 5),
        (RaidLayout::Raid10, 4),
    ] {
        let mut vg = empty();
        add(&mut vg, "r", layout, legs, 4).unwrap();
        let free = vg.free_extents();
        let (kept, replaced) = (vg.lv("r_rimage_0").unwrap().id(), pvs_of(&vg, "r_rimage_1"));
        let mut slots: Vec<LegSlot> = (0..legs).map(LegSlot::Kept).collect();
        slots[1] = LegSlot::New(new_legs(&vg, 1, 4).remove(0));
        vg.set_legs("r", slots).unwrap();
        sound(&vg);
        assert_eq!(vg.lv("r_rimage_0").unwrap().id(), kept);
        assert!(pvs_of(&vg, "r_rimage_1") != replaced);
        assert!(
            is_marked(&vg, "r_rimage_1") && !is_marked(&vg, "r_rimage_0") && !is_marked(&vg, "r_rmeta_1")
        );
        assert_eq!(vg.free_extents(), free);
        assert!(vg.end_rebuild("r").unwrap());
        assert!(!is_marked(&vg, "r_rimage_1"));
        assert!(!vg.end_rebuild("r").unwrap());
        sound(&vg);
    }
}

#[test]
fn copies_come_and_go_and_keep_names_by_place() {
    let mut vg = empty();
    add(&mut vg, "r", RaidLayout::Raid1, 2, 4).unwrap();
    let second = vg.lv("r_rimage_1").unwrap().id();
    let slots = [LegSlot::Kept(0), LegSlot::Kept(1)].into_iter();
    let more = new_legs(&vg, 2, 4).into_iter().map(LegSlot::New);
    vg.set_legs("r", slots.chain(more).collect()).unwrap();
    assert_eq!(detail(&vg).legs.len(), 4);
    sound(&vg);
    vg.set_legs("r", vec![LegSlot::Kept(1), LegSlot::Kept(3)])
        .unwrap();
    assert_eq!(names(&vg).len(), 5);
    assert_eq!(vg.lv("r_rimage_0").unwrap().id(), second);
    sound(&vg);
    vg.keep_copy("r", 0).unwrap();
    assert_eq!(names(&vg), ["r"]);
    assert_eq!(vg.lv("r").unwrap().extent_count(), Extents::new(4));
    sound(&vg);
}

#[test]
fn a_linear_lv_becomes_the_first_copy_and_is_itself_again() {
    let mut vg = empty();
    let plan = allocate(&vg, &AllocRequest::new(Extents::new(4))).unwrap();
    vg.add_lv(NewLv::new(LvName::parse("r").unwrap(), id(1), plan))
        .unwrap();
    let before = vg.print_raw(&provenance());
    let own = pvs_of(&vg, "r");
    let meta = allocate(
        &vg,
        &AllocRequest {
            pvs: PvFilter::Ids(&own),
            ..AllocRequest::new(Extents::new(1))
        },
    )
    .unwrap();
    let first = NewLeg {
        plan: LegPlan {
            meta,
            image: Vec::new(),
        },
        image: id(2),
        meta: id(3),
    };
    let others: Vec<PvId> = vg
        .pvs()
        .iter()
        .map(|pv| pv.id())
        .filter(|pv| !own.contains(pv))
        .collect();
    let request = LegsRequest {
        legs: 1,
        image: Extents::new(4),
        meta: Extents::new(1),
        extend: &[],
        pvs: PvFilter::Ids(&others),
        policy: lvm_meta::AllocPolicy::Inherit,
    };
    let plan = allocate_legs(&vg, &request).unwrap().remove(0);
    let more = vec![NewLeg {
        plan,
        image: id(4),
        meta: id(5),
    }];
    vg.add_copies("r", &raid(RaidLayout::Raid1), first, more).unwrap();
    sound(&vg);
    assert_eq!(pvs_of(&vg, "r_rimage_0"), own);
    assert!(!is_marked(&vg, "r_rimage_0") && is_marked(&vg, "r_rimage_1"));
    vg.keep_copy("r", 0).unwrap();
    assert_eq!(vg.print_raw(&provenance()), before);
}

#[test]
fn what_is_refused_leaves_the_array_as_it_was() {
    let mut vg = empty();
    add(&mut vg, "r", RaidLayout::Raid5, 3, 4).unwrap();
    let before = vg.print_raw(&provenance());
    let new = || LegSlot::New(new_legs(&empty_with_r(), 1, 2).remove(0));
    for slots in [
        vec![LegSlot::Kept(0), LegSlot::Kept(1)],
        vec![LegSlot::Kept(0), LegSlot::Kept(1), LegSlot::Kept(3)],
        // An image of another size.
        vec![LegSlot::Kept(0), LegSlot::Kept(1), new()],
        vec![LegSlot::Kept(1), LegSlot::Kept(0), LegSlot::Kept(2)],
        vec![LegSlot::Kept(0), LegSlot::Kept(0), LegSlot::Kept(2)],
    ] {
        vg.set_legs("r", slots).unwrap_err();
        assert_eq!(vg.print_raw(&provenance()), before);
    }
    assert!(matches!(
        vg.keep_copy("r", 0),
        Err(Error::Change(ChangeError::NotResizable { .. }))
    ));
    assert_eq!(vg.print_raw(&provenance()), before);
}

fn empty_with_r() -> Vg {
    let mut vg = empty();
    add(&mut vg, "r", RaidLayout::Raid5, 3, 4).unwrap();
    vg
}

#[test]
fn legs_on_a_missing_pv_can_be_replaced_and_nothing_else_changed() {
    let mut vg = empty_with_r();
    let lost = pvs_of(&vg, "r_rimage_2")[0];
    assert!(vg.mark_missing(&[lost], true));
    assert!(!vg.mark_missing(&[lost], true));
    let new = new_legs(&vg, 1, 4).remove(0);
    assert!(!new.plan.image.iter().any(|plan| matches!(plan.kind(), SegmentKind::Striped(striped) if striped.areas().iter().any(|area| matches!(area, Area::Pv { pv, .. } if *pv == lost)))));
    let slots = || vec![LegSlot::Kept(0), LegSlot::Kept(1), LegSlot::New(new.clone())];
    vg.set_legs("r", slots()).unwrap_err();
    vg.repairing(|vg| vg.set_legs("r", slots())).unwrap();
    assert!(vg.pv(lost).unwrap().is_missing());
    assert_eq!(vg.pv_used(lost).get(), 0);
    vg.remove_lv("r").unwrap_err();
    vg.repairing(|vg| vg.remove_pv(lost)).unwrap();
    sound(&vg);
}
