//! Any request against any map of free extents, extent by extent.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::tests::{hole, pv_id, vg};
use super::*;
use crate::{Lv, Segment};

/// One PV: its extents, each in use or free, and whether new ones may be taken from it.
#[derive(Clone, Debug)]
pub(super) struct PvMap {
    pub(super) used: Vec<bool>,
    pub(super) is_allocatable: bool,
}

pub(super) fn pv_map() -> impl Strategy<Value = PvMap> {
    // Runs of some length, used and free in turn.
    let runs = prop::collection::vec(1usize..12, 1..8);
    (runs, any::<bool>(), prop::bool::weighted(0.9)).prop_map(|(runs, first, is_allocatable)| {
        let used = runs.iter().zip(0..).flat_map(|(length, number)| {
            let is_used = (number % 2 == 0) == first;
            std::iter::repeat_n(is_used, *length)
        });
        PvMap {
            used: used.collect(),
            is_allocatable,
        }
    })
}

/// A VG with these maps; each run in use is an LV.
pub(super) fn build(maps: &[PvMap]) -> Vg {
    let sizes: Vec<u32> = maps.iter().map(|map| map.used.len() as u32).collect();
    let mut vg = vg(&sizes);
    for (pv, map) in (0u8..).zip(maps) {
        let mut at = 0;
        for run in map.used.chunk_by(|a, b| a == b) {
            if run[0] {
                hole(&mut vg, pv, at, run.len() as u32);
            }
            at += run.len() as u32;
        }
    }
    let text = String::from_utf8(vg.print_raw(&crate::Provenance::default())).unwrap();
    let mut parts = text.split("status = [\"ALLOCATABLE\"]");
    let mut text = parts.next().unwrap().to_owned();
    for (map, part) in maps.iter().zip(parts) {
        let status = if map.is_allocatable { "\"ALLOCATABLE\"" } else { "" };
        text += &format!("status = [{status}]{part}");
    }
    Vg::parse(text.as_bytes()).unwrap()
}

fn layouts() -> impl Strategy<Value = Layout> {
    let striped = (1u32..6).prop_map(|stripes| Layout::Striped {
        stripes,
        stripe_size: Sectors::new(128),
    });
    prop_oneof![Just(Layout::Linear), striped]
}

fn policies() -> impl Strategy<Value = AllocPolicy> {
    prop::sample::select(vec![
        AllocPolicy::Contiguous,
        AllocPolicy::Cling,
        AllocPolicy::Normal,
        AllocPolicy::Anywhere,
    ])
}

fn stripes(layout: Layout) -> u32 {
    match layout {
        Layout::Linear => 1,
        Layout::Striped { stripes, .. } => stripes,
    }
}

/// Takes the extents of a plan from free ones, each once; gives how many of each PV.
fn take(vg: &Vg, maps: &[PvMap], plans: &[SegmentPlan], request: &AllocRequest<'_>) -> HashMap<PvId, u32> {
    let mut free: BTreeSet<(PvId, u32)> = BTreeSet::new();
    for (pv, map) in vg.pvs().iter().zip(maps).filter(|(_, map)| map.is_allocatable) {
        let own = map.used.iter().zip(0..).filter(|(used, _)| !**used);
        free.extend(own.map(|(_, extent)| (pv.id(), extent)));
    }
    let mut taken = HashMap::new();
    for plan in plans {
        let SegmentKind::Striped(striped) = plan.kind() else {
            panic!("{plan:?}");
        };
        assert_eq!(striped.stripe_count(), stripes(request.layout));
        assert_ne!(plan.extents(), Extents::ZERO);
        let length = plan.extents().get() / striped.stripe_count();
        assert_eq!(length * striped.stripe_count(), plan.extents().get());
        let mut pvs = BTreeSet::new();
        each_run(plan.kind(), plan.extents(), |pv, start, length| {
            for extent in start..start + length {
                assert!(free.remove(&(pv, extent)), "extent {extent} of {pv}: {plans:?}");
            }
            *taken.entry(pv).or_default() += length;
            pvs.insert(pv);
        });
        let grows = request.extend.and_then(|name| vg.lv(name)?.segments().last());
        let may_share = request.policy == AllocPolicy::Anywhere || grows.is_some_and(shares_pv);
        assert!(may_share || pvs.len() == striped.areas().len(), "{plan:?}");
    }
    taken
}

/// Calls `each` with every run of PV extents of a segment or plan.
fn each_run(kind: &SegmentKind, extents: Extents, mut each: impl FnMut(PvId, u32, u32)) {
    let SegmentKind::Striped(striped) = kind else {
        panic!("{kind:?}");
    };
    for area in striped.areas() {
        let Area::Pv { pv, start } = area else {
            panic!("{area:?}");
        };
        each(*pv, *start, striped.area_extents(extents).get());
    }
}

/// The PVs of an LV.
fn pvs_of(vg: &Vg, name: &str) -> BTreeSet<PvId> {
    let mut pvs = BTreeSet::new();
    for segment in vg.lv(name).unwrap().segments() {
        each_run(segment.kind(), segment.extent_count(), |pv, _, _| {
            pvs.insert(pv);
        });
    }
    pvs
}

/// What is contiguous goes on right behind the LV; what clings stays on its PVs, and what is linear and normal leaves them only
/// when they are full.
fn keeps_to_its_own(vg: &Vg, plans: &[SegmentPlan], request: &AllocRequest<'_>, most: &HashMap<PvId, u32>) {
    let mut taken: HashMap<PvId, u32> = HashMap::new();
    for plan in plans {
        each_run(plan.kind(), plan.extents(), |pv, _, length| {
            *taken.entry(pv).or_default() += length;
        });
    }
    let stripes = stripes(request.layout) as usize;
    let Some(name) = request.extend else {
        assert!(
            request.policy != AllocPolicy::Cling || taken.len() <= stripes,
            "{plans:?}"
        );
        return;
    };
    let own = pvs_of(vg, name);
    let strays = taken.keys().any(|pv| !own.contains(pv));
    match request.policy {
        AllocPolicy::Contiguous => {
            let segments = vg.lv(name).unwrap().segments();
            let last = segments.last().unwrap();
            let (mut ends, mut starts) = (Vec::new(), Vec::new());
            each_run(last.kind(), last.extent_count(), |pv, start, length| {
                ends.push((pv, start + length))
            });
            each_run(plans[0].kind(), plans[0].extents(), |pv, start, _| {
                starts.push((pv, start))
            });
            assert_eq!(starts, ends);
        }
        AllocPolicy::Cling => assert!(!strays, "{plans:?}"),
        AllocPolicy::Normal if stripes == 1 && strays => {
            let is_full = |pv| taken.get(pv) == most.get(pv).filter(|most| **most > 0);
            assert!(own.iter().all(is_full), "{plans:?}");
        }
        _ => {}
    }
}

/// Tells whether two areas of a segment lie on one PV: what grows behind them does so, too.
fn shares_pv(segment: &Segment) -> bool {
    let mut pvs = BTreeSet::new();
    let mut shares = false;
    each_run(segment.kind(), segment.extent_count(), |pv, _, _| {
        shares |= !pvs.insert(pv)
    });
    shares
}

/// Adds an LV with stripes, for a request to grow it.
fn add_striped(vg: &mut Vg, maps: &mut [PvMap], extents: u32, layout: Layout) -> bool {
    let request = AllocRequest {
        layout,
        policy: AllocPolicy::Anywhere,
        ..AllocRequest::new(Extents::new(extents))
    };
    let Ok(plans) = allocate(vg, &request) else {
        return false;
    };
    for plan in &plans {
        each_run(plan.kind(), plan.extents(), |pv, start, length| {
            let at = vg.pvs().iter().position(|own| own.id() == pv).unwrap();
            maps[at].used[start as usize..][..length as usize].fill(true);
        });
    }
    super::tests::add(vg, "striped", plans);
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn any_request_gets_free_extents_of_its_own_or_there_are_too_few(
        mut maps in prop::collection::vec(pv_map(), 1..6),
        striped in prop::option::of((1u32..10, layouts())),
        extents in prop_oneof![3 => 1u32..12, 1 => 12u32..60],
        layout in layouts(),
        goes_on in prop::bool::weighted(0.7),
        policy in policies(),
        extend in prop::option::of(any::<prop::sample::Index>()),
        max_per_pv in prop::option::of(0u32..20),
        wanted in prop::option::of(prop::collection::vec(0u8..6, 0..5)),
    ) {
        let mut vg = build(&maps);
        let has_striped = striped.is_some_and(|(extents, layout)| add_striped(&mut vg, &mut maps, extents, layout));
        // What grows most often goes on as it is.
        let layout = match striped {
            Some((_, own)) if has_striped && goes_on => own,
            _ => layout,
        };
        let names: Vec<&str> = vg.lvs().map(Lv::name).collect();
        let extend = extend.filter(|_| !names.is_empty()).map(|at| if has_striped { "striped" } else { at.get(&names) });
        let ids: Option<Vec<PvId>> = wanted.map(|pvs| pvs.into_iter().map(pv_id).collect());
        let request = AllocRequest {
            layout,
            policy,
            extend,
            pvs: ids.as_deref().map_or(PvFilter::All, PvFilter::Ids),
            max_per_pv: max_per_pv.map(Extents::new),
            ..AllocRequest::new(Extents::new(extents))
        };
        let plans = allocate(&vg, &request);
        prop_assert_eq!(&allocate(&vg, &request), &plans);
        // What each PV may give.
        let is_wanted = |pv: &PvId| ids.as_ref().is_none_or(|ids| ids.contains(pv));
        let limit = max_per_pv.unwrap_or(u32::MAX);
        let usable = vg.pvs().iter().filter(|pv| pv.is_allocatable() && is_wanted(&pv.id()));
        let most: HashMap<PvId, u32> = usable.map(|pv| (pv.id(), pv.free().get().min(limit))).collect();
        let (sum, needed) = (most.values().sum::<u32>(), extents.next_multiple_of(stripes(layout)));
        match plans {
            Ok(plans) => {
                let taken = take(&vg, &maps, &plans, &request);
                prop_assert_eq!(taken.values().sum::<u32>(), needed);
                prop_assert!(taken.iter().all(|(pv, length)| most.get(pv).is_some_and(|most| length <= most)));
                prop_assert!(policy != AllocPolicy::Contiguous || plans.len() == 1);
                keeps_to_its_own(&vg, &plans, &request, &most);
                // The VG takes them.
                let mut changed = vg.clone();
                match extend {
                    Some(name) => changed.extend_lv(name, plans).unwrap(),
                    None => super::tests::add(&mut changed, "new", plans),
                }
            }
            Err(AllocError::NoSpace { needed: told, .. }) => {
                prop_assert_eq!(told.get(), needed);
                // Any free extent will do for these, so only their number counts.
                let takes_any = policy == AllocPolicy::Anywhere
                    || stripes(layout) == 1 && policy == AllocPolicy::Normal;
                let is_strict = matches!(policy, AllocPolicy::Contiguous | AllocPolicy::Cling);
                prop_assert!(!(takes_any || is_strict) || sum < needed, "{} of {}", needed, sum);
            }
            Err(AllocError::Policy { policy: told, needed: all, .. }) => {
                prop_assert_eq!((told, all.get()), (policy, needed));
                prop_assert!(matches!(policy, AllocPolicy::Contiguous | AllocPolicy::Cling) && sum >= needed);
                if policy == AllocPolicy::Cling && stripes(layout) == 1 {
                    let own = extend.map(|name| pvs_of(&vg, name));
                    let most_of = |pv: &PvId| most.get(pv).copied().unwrap_or_default();
                    let could = match &own {
                        Some(own) => own.iter().map(most_of).sum::<u32>(),
                        None => most.values().copied().max().unwrap_or_default(),
                    };
                    prop_assert!(could < needed, "{} of {}", needed, could);
                }
            }
            Err(AllocError::TooFewPvs { stripes: told, pvs }) => {
                prop_assert_eq!(told, stripes(layout));
                prop_assert!(policy != AllocPolicy::Anywhere);
                prop_assert_eq!(pvs, most.values().filter(|most| **most > 0).count());
                prop_assert!(pvs < told as usize);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
