//! The policies of VGs, LVs and arrays, as their texts say them.

use super::tests::{add, hole, pv_id, vg};
use super::*;
use crate::Provenance;

/// The VG with a policy in its text, and others in those of LVs.
fn with(vg: &Vg, own: &str, lvs: &[(&str, &str)]) -> Vg {
    let mut text = String::from_utf8(vg.print_raw(&Provenance::default())).unwrap();
    let mut say = |behind: String, policy: &str| {
        assert_eq!(text.matches(&behind).count(), 1, "{behind} in {text}");
        text = text.replace(&behind, &format!("{behind}allocation_policy = \"{policy}\"\n"));
    };
    say("max_pv = 0\n".into(), own);
    for (lv, policy) in lvs {
        say(format!("\n{lv} {{\n"), policy);
    }
    Vg::parse(text.as_bytes()).unwrap()
}

fn linear(pv: u8, start: u32, extents: u32) -> Vec<SegmentPlan> {
    vec![SegmentPlan::linear(pv_id(pv), start, Extents::new(extents))]
}

fn grow(lv: &'static str, extents: u32) -> AllocRequest<'static> {
    AllocRequest {
        extend: Some(lv),
        ..AllocRequest::new(Extents::new(extents))
    }
}

#[test]
fn an_lvs_own_policy_counts_before_that_of_its_vg_and_unknown_words_count_as_none() {
    let mut plain = vg(&[10]);
    add(&mut plain, "a", linear(0, 0, 1));
    for (own, lv, expected) in [
        ("contiguous", "inherit", AllocPolicy::Contiguous),
        ("contiguous", "anywhere", AllocPolicy::Anywhere),
        ("cling", "strange", AllocPolicy::Cling),
        ("strange", "inherit", AllocPolicy::Normal),
        ("inherit", "cling_by_tags", AllocPolicy::Cling),
        ("anywhere", "next free", AllocPolicy::Normal),
    ] {
        let vg = with(&plain, own, &[("a", lv)]);
        assert_eq!(AllocPolicy::of(&vg, Some("a")), expected, "{own} and {lv}");
    }
    assert_eq!(AllocPolicy::of(&plain, Some("a")), AllocPolicy::Normal);
    assert_eq!(
        AllocPolicy::of(&with(&plain, "cling", &[]), None),
        AllocPolicy::Cling
    );
}

#[test]
fn what_is_made_and_grown_obeys_the_policy_in_the_text() {
    let mut plain = vg(&[20, 20]);
    add(&mut plain, "a", linear(0, 0, 5));
    hole(&mut plain, 0, 8, 1);
    hole(&mut plain, 1, 12, 1);
    let is_refused = |vg: &Vg, request: &AllocRequest<'_>| match allocate(vg, request) {
        Ok(_) => false,
        Err(AllocError::Policy { policy, free, .. }) => {
            assert!(
                policy == AllocPolicy::of(vg, request.extend) && free == 33,
                "{policy} {free}"
            );
            true
        }
        Err(error) => panic!("{error}"),
    };
    let new = |extents| AllocRequest::new(Extents::new(extents));
    for (own, lv, made, grown) in [
        ("contiguous", "inherit", 12, 3),
        ("cling", "inherit", 19, 14),
        ("normal", "contiguous", 33, 3),
        ("contiguous", "cling", 12, 14),
        ("anywhere", "inherit", 33, 33),
        ("contiguous", "normal", 12, 33),
    ] {
        let vg = with(&plain, own, &[("a", lv)]);
        assert!(!is_refused(&vg, &new(made)), "{own}");
        assert!(!is_refused(&vg, &grow("a", grown)), "{own} {lv}");
        if made < 33 {
            assert!(is_refused(&vg, &new(made + 1)), "{own}");
        }
        if grown < 33 {
            assert!(is_refused(&vg, &grow("a", grown + 1)), "{own} {lv}");
        }
    }
}

#[test]
fn stripes_that_cling_stay_on_pvs_with_room_for_all_of_them() {
    // The longest runs are on PVs that have not enough.
    let mut vg = vg(&[10, 10, 15, 15]);
    hole(&mut vg, 2, 7, 1);
    hole(&mut vg, 3, 7, 1);
    let striped = AllocRequest {
        layout: Layout::Striped {
            stripes: 2,
            stripe_size: Sectors::new(128),
        },
        policy: AllocPolicy::Cling,
        ..AllocRequest::new(Extents::new(24))
    };
    let plans = allocate(&vg, &striped).unwrap();
    let mut pvs = std::collections::BTreeSet::new();
    for plan in &plans {
        let SegmentKind::Striped(striped) = plan.kind() else {
            panic!("{plan:?}");
        };
        pvs.extend(striped.areas().iter().filter_map(|area| match area {
            Area::Pv { pv, .. } => Some(*pv),
            Area::Lv { .. } => None,
        }));
    }
    assert_eq!(Vec::from_iter(pvs), [pv_id(2), pv_id(3)]);
}

#[test]
fn legs_obey_the_policy_of_their_array() {
    let mut vg = vg(&[20, 20]);
    add(&mut vg, "a", linear(0, 0, 2));
    add(&mut vg, "b", linear(1, 0, 2));
    hole(&mut vg, 0, 6, 1);
    hole(&mut vg, 1, 10, 1);
    let images = ["a", "b"];
    let request = |legs, image, extend, policy| LegsRequest {
        legs,
        image: Extents::new(image),
        meta: Extents::new(u32::from(policy != AllocPolicy::Inherit)),
        extend,
        pvs: PvFilter::All,
        policy,
    };
    let is_taken = |legs, image, policy| allocate_legs(&vg, &request(legs, image, &[], policy)).is_ok();
    let grows = |image, policy| {
        let request = LegsRequest {
            meta: Extents::ZERO,
            ..request(2, image, &images, policy)
        };
        allocate_legs(&vg, &request).is_ok()
    };
    use AllocPolicy::{Anywhere, Cling, Contiguous, Normal};
    // Runs of 4 and 13, and of 8 and 9.
    assert!(is_taken(2, 8, Contiguous) && !is_taken(2, 9, Contiguous) && is_taken(2, 16, Cling));
    assert!(grows(4, Contiguous) && !grows(5, Contiguous));
    assert!(grows(17, Cling) && !grows(18, Cling) && grows(17, Normal) && !grows(18, Normal));
    assert!(!is_taken(3, 5, Normal) && !is_taken(3, 5, Cling) && is_taken(3, 5, Anywhere));
    // Shared only where there are too few PVs.
    let plans = allocate_legs(&vg, &request(2, 5, &[], Anywhere)).unwrap();
    let first = |leg: &LegPlan| match leg.image[0].kind() {
        SegmentKind::Striped(striped) => striped.areas()[0].clone(),
        kind => panic!("{kind:?}"),
    };
    let pv = |area: Area| match area {
        Area::Pv { pv, .. } => pv,
        area => panic!("{area:?}"),
    };
    assert_ne!(pv(first(&plans[0])), pv(first(&plans[1])));
}

/// The LV of a piece, where it goes, and its extents.
type Moved = (String, (PvId, u32), u32);

fn moved(vg: &Vg, max_piece: u32) -> Result<Vec<Moved>, MoveError> {
    let request = MoveRequest {
        from: pv_id(0),
        keep: Extents::ZERO,
        only: None,
        to: crate::PvFilter::All,
        first: None,
        max_piece: Extents::new(max_piece),
    };
    let piece = |piece: MovePiece| (piece.lv, piece.to, piece.extents.get());
    plan_move(vg, &request).map(|pieces| pieces.into_iter().map(piece).collect())
}

#[test]
fn what_moves_stays_contiguous_or_on_one_pv_where_it_must() {
    // Runs of 5 and 14 on one PV, and of 8 and 3 on the other.
    let mut plain = vg(&[20, 20, 12]);
    add(&mut plain, "a", linear(0, 0, 9));
    hole(&mut plain, 1, 5, 1);
    hole(&mut plain, 2, 8, 1);
    let vg = with(&plain, "normal", &[("a", "contiguous")]);
    let to = |start, extents| ("a".to_owned(), (pv_id(1), start), extents);
    assert_eq!(moved(&vg, 4).unwrap(), [to(6, 4), to(10, 4), to(14, 1)]);
    hole(&mut plain, 1, 14, 6);
    // Runs of 5 and 8, and of 8 and 3: one PV has room for all, but no run.
    let refused = moved(&with(&plain, "contiguous", &[]), 100).unwrap_err();
    assert!(
        matches!(&refused, MoveError::Policy { policy: AllocPolicy::Contiguous, lv, .. } if lv == "a"),
        "{refused}"
    );
    let vg = with(&plain, "cling", &[]);
    assert_eq!(moved(&vg, 100).unwrap(), [to(6, 8), to(0, 1)]);
    hole(&mut plain, 1, 0, 5);
    assert!(moved(&with(&plain, "normal", &[]), 100).is_ok());
    hole(&mut plain, 2, 9, 3);
    let refused = moved(&with(&plain, "cling", &[]), 100).unwrap_err();
    assert!(
        matches!(
            refused,
            MoveError::Policy {
                policy: AllocPolicy::Cling,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn stripes_share_a_pv_after_a_move_only_where_they_may_and_must() {
    let mut plain = vg(&[10, 20]);
    let areas = [0, 1].map(|pv| Area::Pv {
        pv: pv_id(pv),
        start: 0,
    });
    let plan = SegmentPlan::striped(Extents::new(8), Sectors::new(128), areas.into()).unwrap();
    add(&mut plain, "a", vec![plan]);
    assert!(matches!(moved(&plain, 100), Err(MoveError::NoSpace { .. })));
    let vg = with(&plain, "normal", &[("a", "anywhere")]);
    assert_eq!(moved(&vg, 100).unwrap(), [("a".to_owned(), (pv_id(1), 4), 4)]);
    let mut roomy = super::tests::vg(&[10, 20, 4]);
    let plan = vg.lv("a").unwrap().segments()[0].clone();
    let SegmentKind::Striped(striped) = plan.kind() else {
        panic!("{plan:?}");
    };
    let plan = SegmentPlan::striped(Extents::new(8), Sectors::new(128), striped.areas().to_vec()).unwrap();
    add(&mut roomy, "a", vec![plan]);
    let vg = with(&roomy, "anywhere", &[]);
    assert_eq!(moved(&vg, 100).unwrap(), [("a".to_owned(), (pv_id(2), 0), 4)]);
}
