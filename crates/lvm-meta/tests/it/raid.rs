//! Arrays that are made here are what LVM makes.

use lvm_meta::detail::{Detail, Raid, RaidLayout};
use lvm_meta::{
    Extents, LegsRequest, LvId, LvName, NewLeg, NewLv, PvFilter, Sectors, Vg, allocate_legs, check,
};

use crate::support::{add_pv, layout, new_vg, provenance};

pub(crate) fn raid(layout: RaidLayout) -> Raid {
    let is_striped_only = layout.is_striped_only();
    Raid {
        layout,
        legs: Vec::new(),
        data_copies: (layout == RaidLayout::Raid10).then_some(2),
        region_size: (!is_striped_only).then_some(Sectors::new(4096)),
        stripe_size: (layout != RaidLayout::Raid1).then_some(Sectors::new(128)),
        write_behind: None,
        min_recovery_rate: None,
        max_recovery_rate: None,
        data_offset: None,
    }
}

pub(crate) fn add(
    vg: &mut Vg,
    name: &str,
    layout: RaidLayout,
    legs: usize,
    image: u32,
) -> Result<(), lvm_meta::Error> {
    let meta = Extents::new(u32::from(layout != RaidLayout::Raid0));
    let request = LegsRequest {
        legs,
        image: Extents::new(image),
        meta,
        extend: &[],
        pvs: PvFilter::All,
        policy: lvm_meta::AllocPolicy::Inherit,
    };
    let id = |n: usize| LvId::from_uuid_bytes([u8::try_from(n + 16 * vg.lv_count() + 1).unwrap(); 16]);
    let plans = allocate_legs(vg, &request).unwrap();
    let legs = plans.into_iter().enumerate().map(|(at, plan)| NewLeg {
        plan,
        image: id(2 * at + 1),
        meta: id(2 * at + 2),
    });
    let (new, legs) = (
        NewLv::new(LvName::parse(name).unwrap(), id(0), Vec::new()),
        legs.collect(),
    );
    vg.add_raid(new, &raid(layout), legs)
}

pub(crate) fn names(vg: &Vg) -> Vec<String> {
    vg.lvs().map(|lv| lv.name().to_owned()).collect()
}

/// A VG of six PVs.
pub(crate) fn empty() -> Vg {
    let mut vg = new_vg("vg0");
    (0..6).for_each(|number| add_pv(&mut vg, number, &layout(1)));
    vg
}

#[test]
fn every_level_is_sound_and_reads_back() {
    for (layout, legs, extents) in [
        (RaidLayout::Raid0, 3, 12),
        (RaidLayout::Raid0Meta, 2, 8),
        (RaidLayout::Raid1, 3, 4),
        (RaidLayout::Raid4, 3, 8),
        (RaidLayout::Raid5, 4, 12),
        (RaidLayout::Raid6, 5, 12),
        (RaidLayout::Raid10, 4, 8),
    ] {
        let mut vg = empty();
        add(&mut vg, "r", layout, legs, 4).unwrap();
        assert_eq!(check(&vg), [], "{layout:?}");
        let lv = vg.lv("r").unwrap();
        assert_eq!(lv.extent_count(), Extents::new(extents), "{layout:?}");
        let Some(Detail::Raid(found)) = lv.detail() else {
            panic!("{layout:?}");
        };
        assert_eq!(found.legs.len(), legs);
        let text = vg.print_raw(&provenance());
        let read = Vg::parse(&text).unwrap();
        assert_eq!(names(&read), names(&vg));
        let plans = allocate_legs(
            &vg,
            &LegsRequest {
                legs,
                image: Extents::new(2),
                meta: Extents::ZERO,
                extend: &found.legs.iter().map(|leg| &*leg.image).collect::<Vec<_>>(),
                pvs: PvFilter::All,
                policy: lvm_meta::AllocPolicy::Inherit,
            },
        );
        vg.extend_raid("r", plans.unwrap()).unwrap();
        assert_eq!(check(&vg), [], "{layout:?}");
        assert_eq!(vg.lv("r").unwrap().extent_count().get(), extents + extents / 2);
    }
}

#[test]
fn an_array_stands_before_its_parts_in_lvms_order() {
    let mut vg = empty();
    add(&mut vg, "r", RaidLayout::Raid1, 2, 4).unwrap();
    assert_eq!(
        names(&vg),
        ["r", "r_rimage_0", "r_rmeta_0", "r_rimage_1", "r_rmeta_1"]
    );
    assert!(vg.lvs().skip(1).all(|lv| !lv.is_visible()));
}

#[test]
fn what_cannot_be_added_or_grown_leaves_the_vg_as_it_was() {
    let mut vg = empty();
    add(&mut vg, "a_rmeta_1", RaidLayout::Raid1, 2, 1).unwrap();
    add(&mut vg, "r", RaidLayout::Raid1, 2, 4).unwrap();
    let before = vg.print_raw(&provenance());
    // The name of a part is taken.
    add(&mut vg, "a", RaidLayout::Raid1, 2, 4).unwrap_err();
    assert_eq!(vg.print_raw(&provenance()), before);
    let plan = |pv: usize, extents| lvm_meta::LegPlan {
        meta: Vec::new(),
        image: vec![lvm_meta::SegmentPlan::linear(
            vg.pvs()[pv].id(),
            50,
            Extents::new(extents),
        )],
    };
    let (same_extents, unequal) = (vec![plan(0, 1), plan(0, 1)], vec![plan(0, 1), plan(1, 2)]);
    vg.extend_raid("r", same_extents).unwrap_err();
    vg.extend_raid("r", unequal).unwrap_err();
    vg.extend_raid("r_rimage_0", Vec::new()).unwrap_err();
    assert_eq!(vg.print_raw(&provenance()), before);
}
