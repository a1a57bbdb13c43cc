//! What holds for any VG and any change: texts parse to what was printed, and extents have one owner.

use std::collections::HashMap;

use lvm_meta::{
    AllocError, AllocPolicy, AllocRequest, Area, Extents, LastCheck, LastPrint, Layout, LvFlags, LvId,
    LvName, LvStatus, NewLv, PvFilter, PvId, Sectors, SegmentKind, SegmentPlan, Striped, Tag, Vg, allocate,
    check,
};
use proptest::prelude::*;

use crate::support::{layout, new_vg, provenance, pv_id};

/// One change; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    Add {
        extents: u32,
        layout: Layout,
        policy: AllocPolicy,
        limit: Option<u32>,
        tags: Vec<String>,
    },
    Grow {
        lv: usize,
        extents: u32,
        layout: Layout,
        policy: AllocPolicy,
    },
    Cut {
        lv: usize,
        to: u32,
    },
    Remove {
        lv: usize,
    },
    Rename {
        lv: usize,
        to: u16,
    },
    Tag {
        lv: usize,
        tags: Vec<String>,
    },
    OnTop {
        lv: usize,
        start: u32,
        extents: u32,
    },
    Fill {
        extents: u32,
        is_zero: bool,
    },
    Hide {
        lv: usize,
    },
    Shrink {
        pv: usize,
        by: u32,
    },
}

fn layouts() -> impl Strategy<Value = Layout> {
    let striped = (1u32..5, 3u32..8);
    prop_oneof![
        Just(Layout::Linear),
        striped.prop_map(|(stripes, power)| Layout::Striped {
            stripes,
            stripe_size: Sectors::new(1 << power)
        }),
    ]
}

fn policies() -> impl Strategy<Value = AllocPolicy> {
    prop::sample::select(vec![
        AllocPolicy::Contiguous,
        AllocPolicy::Cling,
        AllocPolicy::Normal,
        AllocPolicy::Anywhere,
    ])
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[A-Za-z0-9._+/=!:&#-]{1,12}", 0..4)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let add = (
        1u32..20,
        layouts(),
        policies(),
        prop::option::of(1u32..15),
        tags(),
    );
    let op = prop_oneof![
        4 => add.prop_map(|(extents, layout, policy, limit, tags)| Op::Add { extents, layout, policy, limit, tags }),
        3 => (any::<usize>(), 1u32..12, layouts(), policies())
            .prop_map(|(lv, extents, layout, policy)| Op::Grow { lv, extents, layout, policy }),
        2 => (any::<usize>(), 0u32..20).prop_map(|(lv, to)| Op::Cut { lv, to }),
        2 => any::<usize>().prop_map(|lv| Op::Remove { lv }),
        1 => (any::<usize>(), any::<u16>()).prop_map(|(lv, to)| Op::Rename { lv, to }),
        1 => (any::<usize>(), tags()).prop_map(|(lv, tags)| Op::Tag { lv, tags }),
        1 => (any::<usize>(), 0u32..5, 1u32..5).prop_map(|(lv, start, extents)| Op::OnTop { lv, start, extents }),
        1 => (1u32..9, any::<bool>()).prop_map(|(extents, is_zero)| Op::Fill { extents, is_zero }),
        1 => any::<usize>().prop_map(|lv| Op::Hide { lv }),
        1 => (any::<usize>(), 0u32..4).prop_map(|(pv, by)| Op::Shrink { pv, by }),
    ];
    prop::collection::vec(op, 1..40)
}

fn four_pvs() -> Vg {
    let mut vg = new_vg("vg0");
    for number in 0..4 {
        crate::support::add_pv(&mut vg, number, &layout(1));
    }
    vg
}

/// Insists that a plan is one that the request allows, whatever the VG.
fn check_plan(vg: &Vg, request: &AllocRequest<'_>, plans: &[SegmentPlan]) {
    let mut taken: HashMap<PvId, u32> = HashMap::new();
    let stripes = match request.layout {
        Layout::Linear => 1,
        Layout::Striped { stripes, .. } => stripes,
    };
    let sum: u32 = plans.iter().map(|plan| plan.extents().get()).sum();
    assert_eq!(sum, request.extents.get().next_multiple_of(stripes));
    for plan in plans {
        let SegmentKind::Striped(striped) = plan.kind() else {
            panic!("{plan:?}")
        };
        assert_eq!(striped.stripe_count(), stripes);
        let length = striped.area_extents(plan.extents()).get();
        let mut pvs = Vec::new();
        for area in striped.areas() {
            let Area::Pv { pv, start } = area else {
                panic!("{area:?}")
            };
            assert!(vg.pv(*pv).unwrap().free_from(*start).get() >= length);
            *taken.entry(*pv).or_default() += length;
            pvs.push(*pv);
        }
        pvs.sort();
        pvs.dedup();
        assert!(request.policy == AllocPolicy::Anywhere || pvs.len() == striped.areas().len());
    }
    let limit = request.max_per_pv.map_or(u32::MAX, Extents::get);
    assert!(taken.values().all(|length| *length <= limit));
    if request.policy == AllocPolicy::Contiguous {
        assert_eq!(plans.len(), 1);
    }
}

/// Asks for extents, and insists on the same answer twice.
fn plan(vg: &Vg, request: &AllocRequest<'_>) -> Option<Vec<SegmentPlan>> {
    let plans = allocate(vg, request);
    assert_eq!(plans, allocate(vg, request));
    match plans {
        Ok(plans) => {
            check_plan(vg, request, &plans);
            Some(plans)
        }
        Err(AllocError::NoSpace { needed, free, .. }) => {
            // Anywhere fails only when there is too little.
            let enough = u64::from(needed.get()) <= free && request.policy == AllocPolicy::Anywhere;
            assert!(!enough || request.layout != Layout::Linear, "{needed} of {free}");
            None
        }
        Err(AllocError::TooFewPvs { .. } | AllocError::Policy { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Does a change; one that is refused must leave the VG as it was.
fn apply(vg: &mut Vg, number: u16, op: &Op) {
    let before = vg.clone();
    let names: Vec<String> = vg.lvs().map(|lv| lv.name().to_owned()).collect();
    let name = |lv: usize| names.get(lv.checked_rem(names.len())?).cloned();
    let new = |segments| {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        NewLv::new(
            LvName::parse(&format!("lv{number}")).unwrap(),
            LvId::from_uuid_bytes(id),
            segments,
        )
    };
    let result = match op {
        Op::Add {
            extents,
            layout,
            policy,
            limit,
            tags,
        } => {
            let max_per_pv = limit.map(Extents::new);
            let request = AllocRequest {
                layout: *layout,
                policy: *policy,
                max_per_pv,
                pvs: PvFilter::All,
                ..AllocRequest::new(Extents::new(*extents))
            };
            let Some(segments) = plan(vg, &request) else {
                return;
            };
            let tags = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
            let creation = Some((1_700_000_000, "node \"1\"".to_owned()));
            vg.add_lv(NewLv {
                tags,
                creation,
                ..new(segments)
            })
            .unwrap();
            Ok(())
        }
        Op::Grow {
            lv,
            extents,
            layout,
            policy,
        } => {
            let Some(name) = name(*lv) else { return };
            let extend = Some(name.as_str());
            let request = AllocRequest {
                layout: *layout,
                policy: *policy,
                extend,
                ..AllocRequest::new(Extents::new(*extents))
            };
            let Some(segments) = plan(vg, &request) else {
                return;
            };
            vg.extend_lv(&name, segments)
        }
        Op::Cut { lv, to } => name(*lv).map_or(Ok(()), |name| vg.reduce_lv(&name, Extents::new(*to))),
        Op::Remove { lv } => name(*lv).map_or(Ok(()), |name| vg.remove_lv(&name).map(|_| ())),
        Op::Rename { lv, to } => {
            let to = LvName::parse(&format!("r{to}")).unwrap();
            name(*lv).map_or(Ok(()), |name| vg.rename_lv(&name, to))
        }
        Op::Tag { lv, tags } => name(*lv).map_or(Ok(()), |name| vg.set_lv_tags(&name, tags).map(|_| ())),
        Op::OnTop { lv, start, extents } => {
            let Some(below) = name(*lv) else { return };
            let area = Area::Lv {
                name: below.as_str().into(),
                start: *start,
            };
            let end = u64::from(*start) + u64::from(*extents);
            if end > u64::from(vg.lv(&below).unwrap().extent_count().get()) {
                return;
            }
            vg.add_lv(new(vec![
                SegmentPlan::striped(Extents::new(*extents), Sectors::new(0), vec![area]).unwrap(),
            ]))
        }
        Op::Fill { extents, is_zero } => {
            let extents = Extents::new(*extents);
            vg.add_lv(new(vec![if *is_zero {
                SegmentPlan::zero(extents)
            } else {
                SegmentPlan::error(extents)
            }]))
        }
        Op::Hide { lv } => name(*lv).map_or(Ok(()), |name| {
            vg.set_lv_status(&name, LvStatus::HIDDEN, LvFlags::ACTIVATION_SKIP)
                .map(|_| ())
        }),
        Op::Shrink { pv, by } => {
            let pv = &vg.pvs()[pv % vg.pvs().len()];
            let (id, size) = (pv.id(), pv.dev_size());
            let count = pv.pe_count().get().saturating_sub(*by);
            vg.resize_pv(id, size, Extents::new(count)).map(|_| ())
        }
    };
    if result.is_err() {
        assert_eq!(*vg, before, "{op:?}");
    }
}

/// Counts every extent's owners anew and compares with the VG's own maps.
fn check_owners(vg: &Vg) {
    let mut owned: HashMap<(PvId, u32), String> = HashMap::new();
    for lv in vg.lvs() {
        for segment in lv.segments() {
            let SegmentKind::Striped(striped) = segment.kind() else {
                continue;
            };
            let length = Striped::area_extents(striped, segment.extent_count()).get();
            for area in striped.areas() {
                let Area::Pv { pv, start } = area else { continue };
                for extent in *start..*start + length {
                    let other = owned.insert((*pv, extent), lv.name().to_owned());
                    assert_eq!(other, None, "extent {extent} of {pv}");
                }
            }
        }
    }
    for pv in vg.pvs() {
        let used = owned.keys().filter(|(id, _)| *id == pv.id()).count();
        assert_eq!(used, usize::try_from(pv.used().get()).unwrap());
        assert!(
            owned
                .keys()
                .all(|(id, extent)| *id != pv.id() || *extent < pv.pe_count().get())
        );
        let free: u32 = pv.free_runs().map(|(_, length)| length.get()).sum();
        assert_eq!(free, pv.free().get());
    }
}

proptest! {
    #[test]
    fn any_changes_leave_a_vg_that_is_printed_and_read_back(ops in ops()) {
        let mut vg = four_pvs();
        for (number, op) in (0u16..).zip(&ops) {
            apply(&mut vg, number, op);
            vg.bump_seqno().unwrap();
        }
        check_owners(&vg);
        let text = vg.print_raw(&provenance());
        let again = Vg::parse(&text).unwrap();
        // LVM prints visible LVs first, so the order may differ the first time.
        let second = again.print_raw(&provenance());
        prop_assert_eq!(String::from_utf8(second).unwrap(), String::from_utf8(text).unwrap());
        prop_assert_eq!(Vg::parse(&again.print_raw(&provenance())).unwrap(), again.clone());
        prop_assert_eq!(again.lv_count(), vg.lv_count());
        for lv in vg.lvs() {
            prop_assert_eq!(again.lv(lv.name()), Some(lv));
        }
        prop_assert_eq!(again.pvs(), vg.pvs());
        // What lies on an LV may have been cut away from under it: the one rule that a single change does not keep.
        let findings: Vec<_> = check(&vg).into_iter().filter(|finding| finding.rule != "lv-areas").collect();
        prop_assert_eq!(findings, []);
    }

    #[test]
    fn printing_and_checking_what_changed_is_as_good_as_all(
        ops in prop::collection::vec((ops(), any::<bool>(), any::<bool>()), 1..8),
    ) {
        let (mut vg, mut print, mut check_last) = (four_pvs(), LastPrint::default(), LastCheck::default());
        let mut number = 0;
        for (ops, is_looked_at, is_undone) in &ops {
            let before = vg.clone();
            for op in ops {
                apply(&mut vg, number, op);
                number += 1;
            }
            vg.bump_seqno().unwrap();
            if *is_looked_at {
                let printed = print.print_raw(&vg, &provenance());
                prop_assert_eq!(printed.bytes(), &*vg.print_raw(&provenance()));
                prop_assert_eq!(check_last.check(&vg), check(&vg));
            }
            // As when a change was printed and then failed.
            if *is_undone {
                vg = before;
            }
        }
        prop_assert_eq!(print.print_raw(&vg, &provenance()).bytes(), &*vg.print_raw(&provenance()));
        prop_assert_eq!(check_last.check(&vg), check(&vg));
    }

    #[test]
    fn a_text_with_lines_put_in_or_taken_out_is_refused_or_printed_stably(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(WORDS.to_vec())), 0..6),
        removed in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let odd = crate::texts::shown("odd", 4, "type = \"thin\"\nthin_pool = \"p\"\ndevice_id = 1");
        let text = crate::texts::vg(&[odd, crate::texts::part("p", 0, 0, 8)]);
        let mut lines: Vec<&str> = text.trim_end_matches('\0').lines().collect();
        for (at, word) in changes {
            lines.insert(at.index(lines.len()), word);
        }
        if let Some(at) = removed {
            lines.remove(at.index(lines.len()));
        }
        if let Ok(vg) = Vg::parse(lines.join("\n").as_bytes()) {
            let printed = vg.print_raw(&provenance());
            let again = Vg::parse(&printed);
            prop_assert!(again.is_ok(), "{:?}\n{}\n{}", again, lines.join("\n"), String::from_utf8_lossy(&printed));
            prop_assert_eq!(again.unwrap().print_raw(&provenance()), printed);
        }
    }

    #[test]
    fn a_pv_is_never_counted_past_its_end(pe_count in 0u32.., start: u32, extents in 1u32..) {
        let text = crate::texts::vg(&[crate::texts::part("a", 0, start, extents)]);
        let vg = Vg::parse(text.replacen("pe_count = 1000", &format!("pe_count = {pe_count}"), 1).as_bytes());
        let fits = u64::from(start) + u64::from(extents) <= u64::from(pe_count);
        prop_assert_eq!(vg.is_ok(), fits);
        if let Ok(vg) = vg {
            prop_assert_eq!(vg.pv_used(PvId::parse(&crate::texts::id(10)).unwrap()).get(), extents);
            prop_assert!(vg.pv(pv_id(9)).is_none());
        }
    }
}

/// Lines that are sometimes good in the middle of a text.
const WORDS: [&str; 28] = [
    "id = \"000000-0000-0000-0000-0000-0000-000001\"",
    "seqno = 010",
    "status = [\"READ\", \"WRITE\"]",
    "status = \"X\"",
    "flags = [\"X\", \"WRITE_LOCKED\"]",
    "flags = \"MISSING\"",
    "pv9 {",
    "a {",
    "}",
    "pe_start = 8",
    "segment_count = 2",
    "segment1 {",
    "extent_count = 2",
    "start_extent = 4",
    "type = \"zero\"",
    "type = 'odd+X'",
    "key=[1 , 'x' \"y\" , 2.5,]",
    "tags = [\"t\", \"\\\"\"]",
    "# } { \" c",
    "historical_logical_volumes {",
    "system_id = s",
    "\tk = 1 # x",
    "device_id_type = \"loop_file\" device_id = \"/a\"",
    "read_ahead = -1",
    "profile = 'p'",
    "lock_type = \"none\"",
    "x { y { z = [] } }",
    "creation_time = 99999999999999999999",
];
