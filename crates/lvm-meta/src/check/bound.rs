//! Which LVs rules ask about for the sake of others, and when a thin LV that did not change is as good as it was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::last::Seen;
use crate::detail::Detail;
use crate::{Area, Lv, LvId, Opaque, Segment, SegmentKind, Vg};

/// How far what the rules ask of an LV is outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// It lies on PVs alone: nothing is, as long as no other LV refers to it.
    Free,
    /// A thin LV that neither merges nor has an origin outside its pool.  Asked is that its pool is one and that its
    /// origin is there; and whoever else stands on it stands beside its snapshots.
    Thin,
    /// It may be the second one of a kind of which there is one, or stands on other LVs, or its type is none that we make.
    Tied,
}

impl Bound {
    pub(super) fn of(lv: &Lv) -> Self {
        if !lv.is_visible() || lv.lock_args().is_some() {
            Self::Tied
        } else if lv.segments().iter().all(is_on_pvs) {
            Self::Free
        } else {
            match whole(lv) {
                Some(opaque) if is_plain_thin(opaque) => Self::Thin,
                _ => Self::Tied,
            }
        }
    }
}

fn is_on_pvs(segment: &Segment) -> bool {
    match segment.kind() {
        SegmentKind::Striped(striped) => striped.areas().iter().all(|area| matches!(area, Area::Pv { .. })),
        SegmentKind::Error | SegmentKind::Zero => true,
        SegmentKind::Other(_) => false,
    }
}

/// The only segment of an LV, if it is kept as text.
fn whole(lv: &Lv) -> Option<&Opaque> {
    match lv.segments() {
        [segment] => match segment.kind() {
            SegmentKind::Other(opaque) => Some(opaque),
            _ => None,
        },
        _ => None,
    }
}

fn is_plain_thin(opaque: &Opaque) -> bool {
    opaque.type_name() == "thin"
        && opaque.mentions().is_empty()
        && matches!(opaque.detail(), Ok(Some(Detail::Thin(thin))) if thin.external_origin.is_none())
}

/// Tells whether nothing came between the thin LVs that did not change and what they stand on.
///
/// So it is when all that changed are LVs on PVs alone, thin LVs, and thin pools that have their parts still; and when
/// what others referred to is there still, and of its kind.
pub(super) fn were_thins_left_alone(went: &[(Arc<Lv>, Seen)], came: &[(&Lv, Bound)]) -> bool {
    let by_id: HashMap<LvId, (&Lv, Bound)> =
        came.iter().map(|(lv, bound)| (lv.id(), (*lv, *bound))).collect();
    let mut pools = HashSet::new();
    for (old, seen) in went {
        let new = by_id.get(&old.id()).filter(|(new, _)| new.name() == old.name());
        match (seen.bound, new) {
            (Bound::Tied, Some((new, _))) if is_same_pool(old, new) => {
                pools.insert(old.id());
            }
            (Bound::Tied, _) => return false,
            (bound, Some((_, now))) if bound == *now => {}
            (_, _) if seen.had_users => return false,
            _ => {}
        }
    }
    let mut tied = came.iter().filter(|(_, bound)| *bound == Bound::Tied);
    tied.all(|(lv, _)| pools.contains(&lv.id()))
}

/// Tells whether a thin pool differs in no more than in how far it is, its messages and its settings.
fn is_same_pool(old: &Lv, new: &Lv) -> bool {
    match (whole(old), whole(new)) {
        (Some(old), Some(new)) => {
            let are_pools = [old, new].map(Opaque::type_name) == ["thin-pool"; 2];
            are_pools && old.stands_on() == new.stands_on()
        }
        _ => false,
    }
}

/// The thin LVs that did not change and that one of these LVs, unless that is itself a thin one, names.
pub(super) fn thins_named_by<'a>(vg: &'a Vg, lvs: &[&'a Lv], came: &[(&Lv, Bound)]) -> Vec<&'a Lv> {
    let mut names = HashSet::new();
    for segment in lvs.iter().flat_map(|lv| lv.segments()) {
        match segment.kind() {
            SegmentKind::Striped(striped) => {
                names.extend(striped.areas().iter().filter_map(|area| match area {
                    Area::Lv { name, .. } => Some(&**name),
                    Area::Pv { .. } => None,
                }))
            }
            SegmentKind::Other(opaque) if !is_plain_thin(opaque) => {
                let named = opaque.stands_on().iter().chain(opaque.mentions());
                names.extend(named.map(|name| &**name));
            }
            _ => {}
        }
    }
    for (lv, _) in came {
        names.remove(lv.name());
    }
    let named = names.into_iter().filter_map(|name| vg.lv(name));
    named.filter(|lv| Bound::of(lv) == Bound::Thin).collect()
}
