use super::*;
use crate::{Area, ExtentSize, LvName, NewLv, NewPv, NewVg, PvId, VgId, VgName};

pub(super) fn pv_id(number: u8) -> PvId {
    PvId::from_uuid_bytes([number; 16])
}

/// A VG whose PVs have these numbers of extents.
pub(super) fn vg(sizes: &[u32]) -> Vg {
    let name = VgName::parse("vg0").unwrap();
    let (id, extent_size) = (VgId::from_uuid_bytes([9; 16]), ExtentSize::DEFAULT);
    let mut vg = Vg::new(NewVg {
        name,
        id,
        extent_size,
        tags: Vec::new(),
        system_id: None,
    });
    for (number, size) in (0u8..).zip(sizes) {
        vg.add_pv(NewPv {
            id: pv_id(number),
            device_hint: format!("/dev/sd{number}"),
            dev_size: Sectors::new(2048 + u64::from(*size) * 8192),
            pe_start: Sectors::new(2048),
            pe_count: Extents::new(*size),
            device_id: None,
        })
        .unwrap();
    }
    vg
}

pub(super) fn add(vg: &mut Vg, name: &str, segments: Vec<SegmentPlan>) {
    let id = crate::LvId::from_uuid_bytes([u8::try_from(vg.lv_count()).unwrap(); 16]);
    vg.add_lv(NewLv::new(LvName::parse(name).unwrap(), id, segments))
        .unwrap();
}

/// Uses up extents, so that free runs lie between them.
pub(super) fn hole(vg: &mut Vg, pv: u8, start: u32, length: u32) {
    let name = format!("used{}", vg.lv_count());
    add(
        vg,
        &name,
        vec![SegmentPlan::linear(pv_id(pv), start, Extents::new(length))],
    );
}

fn request(extents: u32, policy: AllocPolicy) -> AllocRequest<'static> {
    AllocRequest {
        policy,
        ..AllocRequest::new(Extents::new(extents))
    }
}

fn striped(extents: u32, stripes: u32, policy: AllocPolicy) -> AllocRequest<'static> {
    let layout = Layout::Striped {
        stripes,
        stripe_size: Sectors::new(128),
    };
    AllocRequest {
        layout,
        ..request(extents, policy)
    }
}

/// The plan as extents, and PV number and first extent of each area.
fn shape(plans: &[SegmentPlan]) -> Vec<(u32, Vec<(u8, u32)>)> {
    let area = |area: &Area| match area {
        Area::Pv { pv, start } => (pv.to_uuid_bytes().unwrap()[0], *start),
        Area::Lv { name, .. } => panic!("{name}"),
    };
    let plan = |plan: &SegmentPlan| match plan.kind() {
        SegmentKind::Striped(striped) => (plan.extents().get(), striped.areas().iter().map(area).collect()),
        other => panic!("{other:?}"),
    };
    plans.iter().map(plan).collect()
}

#[track_caller]
fn check_plan(vg: &Vg, request: &AllocRequest<'_>, expected: &[(u32, &[(u8, u32)])]) {
    let plans = allocate(vg, request).unwrap();
    let expected: Vec<_> = expected
        .iter()
        .map(|(extents, areas)| (*extents, areas.to_vec()))
        .collect();
    assert_eq!(shape(&plans), expected);
    assert_eq!(
        allocate(vg, request).unwrap(),
        plans,
        "the same input gives the same plan"
    );
}

#[track_caller]
fn check_no_space(vg: &Vg, request: &AllocRequest<'_>) {
    let error = allocate(vg, request).unwrap_err();
    assert!(
        matches!(error, AllocError::NoSpace { .. } | AllocError::Policy { .. }),
        "{error}"
    );
}

#[test]
fn a_new_lv_takes_the_largest_run_first() {
    let mut vg = vg(&[10, 30]);
    hole(&mut vg, 1, 10, 2);
    check_plan(&vg, &request(18, AllocPolicy::Normal), &[(18, &[(1, 12)])]);
    check_plan(
        &vg,
        &request(25, AllocPolicy::Normal),
        &[(18, &[(1, 12)]), (7, &[(1, 0)])],
    );
    check_no_space(&vg, &request(39, AllocPolicy::Normal));
}

#[test]
fn contiguous_takes_one_run_or_none() {
    let mut vg = vg(&[10, 30]);
    hole(&mut vg, 1, 10, 2);
    check_plan(&vg, &request(18, AllocPolicy::Contiguous), &[(18, &[(1, 12)])]);
    check_no_space(&vg, &request(19, AllocPolicy::Contiguous));
}

#[test]
fn an_lv_grows_right_behind_its_last_extent_if_it_can() {
    let mut vg = vg(&[20, 30]);
    add(
        &mut vg,
        "a",
        vec![SegmentPlan::linear(pv_id(0), 0, Extents::new(5))],
    );
    hole(&mut vg, 0, 10, 1);
    let grow = |extents, policy| AllocRequest {
        extend: Some("a"),
        ..request(extents, policy)
    };
    check_plan(&vg, &grow(5, AllocPolicy::Normal), &[(5, &[(0, 5)])]);
    check_plan(&vg, &grow(5, AllocPolicy::Contiguous), &[(5, &[(0, 5)])]);
    check_no_space(&vg, &grow(6, AllocPolicy::Contiguous));
    check_plan(
        &vg,
        &grow(8, AllocPolicy::Normal),
        &[(5, &[(0, 5)]), (3, &[(0, 11)])],
    );
    // Its own PV first, then another.
    check_plan(
        &vg,
        &grow(15, AllocPolicy::Normal),
        &[(5, &[(0, 5)]), (9, &[(0, 11)]), (1, &[(1, 0)])],
    );
    check_plan(
        &vg,
        &grow(8, AllocPolicy::Cling),
        &[(5, &[(0, 5)]), (3, &[(0, 11)])],
    );
    check_no_space(&vg, &grow(15, AllocPolicy::Cling));
    let missing = AllocRequest {
        extend: Some("b"),
        ..request(1, AllocPolicy::Normal)
    };
    assert_eq!(allocate(&vg, &missing), Err(AllocError::NoSuchLv("b".into())));
}

#[test]
fn stripes_lie_on_pvs_of_their_own_unless_anywhere_will_do() {
    let vg = vg(&[10, 30]);
    check_plan(
        &vg,
        &striped(12, 2, AllocPolicy::Normal),
        &[(12, &[(1, 0), (0, 0)])],
    );
    check_no_space(&vg, &striped(22, 2, AllocPolicy::Normal));
    let three = allocate(&vg, &striped(3, 3, AllocPolicy::Normal));
    assert_eq!(three, Err(AllocError::TooFewPvs { stripes: 3, pvs: 2 }));
    check_plan(
        &vg,
        &striped(3, 3, AllocPolicy::Anywhere),
        &[(3, &[(1, 0), (0, 0), (1, 1)])],
    );
    // 13 extents each: twice on the larger PV is the most that two areas get.
    check_plan(
        &vg,
        &striped(26, 2, AllocPolicy::Anywhere),
        &[(26, &[(1, 0), (1, 13)])],
    );
}

#[test]
fn anywhere_uses_every_free_extent() {
    let mut vg = vg(&[5, 5]);
    hole(&mut vg, 0, 2, 1);
    hole(&mut vg, 1, 2, 1);
    let plans = allocate(&vg, &striped(6, 3, AllocPolicy::Anywhere)).unwrap();
    assert_eq!(shape(&plans), [(6, vec![(0, 0), (1, 0), (0, 3)])]);
    add(&mut vg, "a", plans);
    check_plan(
        &vg,
        &striped(2, 2, AllocPolicy::Anywhere),
        &[(2, &[(1, 3), (1, 4)])],
    );
}

#[test]
fn sizes_are_rounded_up_to_whole_stripes() {
    let vg = vg(&[10, 10]);
    check_plan(
        &vg,
        &striped(5, 2, AllocPolicy::Normal),
        &[(6, &[(0, 0), (1, 0)])],
    );
}

#[test]
fn a_striped_lv_grows_behind_each_of_its_stripes() {
    let mut vg = vg(&[10, 10, 30]);
    let plans = allocate(
        &vg,
        &AllocRequest {
            pvs: PvFilter::Ids(&[pv_id(0), pv_id(1)]),
            ..striped(6, 2, AllocPolicy::Normal)
        },
    );
    add(&mut vg, "a", plans.unwrap());
    let grow = |extents, policy| AllocRequest {
        extend: Some("a"),
        ..striped(extents, 2, policy)
    };
    for policy in [
        AllocPolicy::Normal,
        AllocPolicy::Contiguous,
        AllocPolicy::Cling,
        AllocPolicy::Anywhere,
    ] {
        check_plan(&vg, &grow(14, policy), &[(14, &[(0, 3), (1, 3)])]);
    }
    check_no_space(&vg, &grow(16, AllocPolicy::Cling));
    hole(&mut vg, 1, 4, 1);
    check_no_space(&vg, &grow(4, AllocPolicy::Contiguous));
    check_plan(
        &vg,
        &grow(4, AllocPolicy::Cling),
        &[(2, &[(0, 3), (1, 3)]), (2, &[(0, 4), (1, 5)])],
    );
    check_plan(
        &vg,
        &grow(4, AllocPolicy::Normal),
        &[(2, &[(0, 3), (1, 3)]), (2, &[(0, 4), (1, 5)])],
    );
    check_plan(
        &vg,
        &grow(14, AllocPolicy::Normal),
        &[
            (2, &[(0, 3), (1, 3)]),
            (10, &[(0, 4), (1, 5)]),
            (2, &[(2, 0), (0, 9)]),
        ],
    );
}

#[test]
fn a_limit_for_each_pv_is_kept() {
    let vg = vg(&[10, 30]);
    let limited = |request| AllocRequest {
        max_per_pv: Some(Extents::new(7)),
        ..request
    };
    check_plan(
        &vg,
        &limited(request(14, AllocPolicy::Normal)),
        &[(7, &[(0, 0)]), (7, &[(1, 0)])],
    );
    check_no_space(&vg, &limited(request(15, AllocPolicy::Normal)));
    check_plan(
        &vg,
        &limited(striped(14, 2, AllocPolicy::Normal)),
        &[(14, &[(0, 0), (1, 0)])],
    );
    check_no_space(&vg, &limited(striped(16, 2, AllocPolicy::Anywhere)));
    let four = limited(striped(12, 4, AllocPolicy::Anywhere));
    check_plan(&vg, &four, &[(12, &[(0, 0), (1, 0), (0, 3), (1, 3)])]);
}

#[test]
fn stripes_that_share_a_pv_keep_its_limit_together() {
    let mut vg = vg(&[40, 1]);
    let areas = [0, 20].map(|start| Area::Pv { pv: pv_id(0), start });
    let segment = SegmentPlan::striped(Extents::new(4), Sectors::new(128), areas.into());
    add(&mut vg, "a", vec![segment.unwrap()]);
    let grow = |limit| AllocRequest {
        extend: Some("a"),
        max_per_pv: Some(Extents::new(limit)),
        ..striped(8, 2, AllocPolicy::Cling)
    };
    check_no_space(&vg, &grow(7));
    check_plan(&vg, &grow(8), &[(8, &[(0, 2), (0, 22)])]);
}

#[test]
fn pvs_are_chosen_by_id_and_by_tag() {
    let mut text = String::from_utf8(vg(&[10, 30]).print_raw(&crate::Provenance::default())).unwrap();
    text = text.replacen(
        "flags = []\ndev_size",
        "flags = []\ntags = [\"fast\"]\ndev_size",
        1,
    );
    let vg = Vg::parse(text.as_bytes()).unwrap();
    let ids = [pv_id(0)];
    let by_id = AllocRequest {
        pvs: PvFilter::Ids(&ids),
        ..request(10, AllocPolicy::Normal)
    };
    check_plan(&vg, &by_id, &[(10, &[(0, 0)])]);
    let by_tag = AllocRequest {
        pvs: PvFilter::Tags(&["slow", "fast"]),
        ..request(10, AllocPolicy::Normal)
    };
    check_plan(&vg, &by_tag, &[(10, &[(0, 0)])]);
    check_no_space(
        &vg,
        &AllocRequest {
            extents: Extents::new(11),
            ..by_tag
        },
    );
    check_no_space(
        &vg,
        &AllocRequest {
            pvs: PvFilter::Tags(&["slow"]),
            ..by_tag
        },
    );
}

#[test]
fn pvs_that_are_not_allocatable_are_never_used() {
    let text = String::from_utf8(vg(&[10, 30]).print_raw(&crate::Provenance::default())).unwrap();
    let at = text.rfind("status = [\"ALLOCATABLE\"]").unwrap();
    let text = format!(
        "{}status = []{}",
        &text[..at],
        &text[at + "status = [\"ALLOCATABLE\"]".len()..]
    );
    let vg = Vg::parse(text.as_bytes()).unwrap();
    check_no_space(&vg, &request(11, AllocPolicy::Anywhere));
    check_plan(&vg, &request(10, AllocPolicy::Anywhere), &[(10, &[(0, 0)])]);
}

#[test]
fn nothing_is_allocated_where_the_use_of_pvs_is_unknown() {
    let mut known = vg(&[10]);
    add(&mut known, "a", vec![SegmentPlan::zero(Extents::new(1))]);
    let text = String::from_utf8(known.print_raw(&crate::Provenance::default())).unwrap();
    for unknown in [
        "type = \"future\"",
        "type = \"striped+FUTURE\"",
        "type = \"mirror+FUTURE\"\nmirrors = [\"pv0\", 0]",
    ] {
        let vg = Vg::parse(text.replace("type = \"zero\"", unknown).as_bytes()).unwrap();
        let error = allocate(&vg, &request(1, AllocPolicy::Normal));
        let refusal = matches!(
            error,
            Err(AllocError::Refused(Refusal::UnknownSegmentType { .. }))
        );
        assert!(refusal, "{unknown}: {error:?}");
    }
}

#[test]
fn impossible_requests_are_refused_by_name() {
    let vg = vg(&[10]);
    for (bad, why) in [
        (request(0, AllocPolicy::Normal), "no extents"),
        (striped(1, 0, AllocPolicy::Normal), "stripes are 1 to 128"),
        (striped(1, 129, AllocPolicy::Normal), "stripes are 1 to 128"),
        (
            striped(u32::MAX, 2, AllocPolicy::Normal),
            "more than 4294967295 extents in whole stripes",
        ),
    ] {
        assert_eq!(allocate(&vg, &bad), Err(AllocError::BadRequest(why)));
    }
    let layout = Layout::Striped {
        stripes: 2,
        stripe_size: Sectors::new(0),
    };
    let bad = AllocRequest {
        layout,
        ..request(2, AllocPolicy::Normal)
    };
    assert_eq!(allocate(&vg, &bad), Err(AllocError::BadRequest("no stripe size")));
    check_plan(&vg, &striped(10, 1, AllocPolicy::Normal), &[(10, &[(0, 0)])]);
}
