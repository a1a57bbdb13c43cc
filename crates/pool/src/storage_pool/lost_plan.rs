//! What becomes of all that a lost disk held, planned on a copy of the VG before the first commit.

use lvm_dm::RaidHealth;
use lvm_meta::{LegSlot, Lv, LvRole, Pv, PvFilter, PvId, Vg};

use super::convert::spare_legs;
use super::resize_replica::disks;
use crate::cow::Group;
use crate::error::{Obstacle, Size};
use crate::open_vg::OpenVg;
use crate::raid::{self, Array, areas};
use crate::system::Inner;
use crate::tags::LvTags;
use crate::thin::PoolLv;
use crate::{Error, evacuate, replica};

/// What is to be done before a lost disk can leave.
#[derive(Debug, Default)]
pub(super) struct LostPlan {
    /// The arrays whose images are to be made anew, in this order.
    pub(super) arrays: Vec<String>,
    /// LVs that hold nothing that was ever used: creations that were cut, and the spare of thin pools.
    pub(super) unused: Vec<String>,
}

/// Where new images may be put.
pub(super) struct Room {
    /// A copy of the VG, with the disk that is to join it.
    pub(super) vg: Vg,
    /// The only disk that may take them, if there is one.
    pub(super) on: Option<PvId>,
}

/// Plans new images for all arrays with images on a lost PV; else tells all that is in the way.
///
/// # Errors
/// What keeps any array from being made anew on this host, [`Error::MoveUnderWay`] for a move that is not ours, and
/// [`Error::MetadataFull`].
pub(super) fn plan(
    inner: &Inner,
    open: &OpenVg,
    Room { mut vg, on }: Room,
    lost: PvId,
) -> Result<Result<LostPlan, Vec<Obstacle>>, Error> {
    let is_there = |pv: PvId| open.device(pv).is_some() || on == Some(pv);
    let gone = vg.pvs().iter().map(Pv::id).filter(|pv| !is_there(*pv));
    let gone: Vec<PvId> = gone.collect();
    vg.mark_missing(&gone, true);
    evacuate::take_back_in(inner, open, &mut vg)?;
    let (mut plan, mut in_the_way) = held(&vg, lost);
    // What has the fewest disks to choose from comes first, and of those what is largest.
    plan.arrays.sort_by_key(|name| {
        Array::named(&vg, name).map(|array| {
            let size = array.legs.first().map(|leg| leg.image.extent_count());
            std::cmp::Reverse((array.legs.len(), size))
        })
    });
    for name in &plan.arrays {
        in_the_way.extend(plan_array(inner, open, &mut vg, name, on, &is_there)?);
    }
    if !in_the_way.is_empty() {
        return Ok(Err(in_the_way));
    }
    let mut unused = plan.unused.iter();
    vg.repairing(|vg| unused.try_for_each(|name| vg.remove_lv(name).map(drop)))
        .and_then(|()| vg.repairing(|vg| vg.remove_pv(lost).map(drop)))
        .map_err(Error::Meta)?;
    let text = vg.print_raw(&inner.provenance("remove missing disk"));
    let (needed, capacity) = (text.len() as u64, open.mdas.capacity());
    match needed > capacity {
        true => Err(Error::MetadataFull {
            pool: vg.name().into(),
            needed,
            capacity,
        }),
        false => Ok(Ok(plan)),
    }
}

/// The arrays with images on a PV, what is on it and was never used, and all else that is there.
fn held(vg: &Vg, lost: PvId) -> (LostPlan, Vec<Obstacle>) {
    let (mut plan, mut in_the_way) = (LostPlan::default(), Vec::<Obstacle>::new());
    for lv in vg.lvs().filter(|lv| areas(vg, lv).any(|area| area == Some(lost))) {
        match vg.role(lv) {
            LvRole::RaidImage { of, .. } | LvRole::RaidMeta { of, .. } => {
                if !plan.arrays.iter().any(|array| array == of) {
                    plan.arrays.push(of.into());
                }
            }
            LvRole::PoolSpare => plan.unused.push(lv.name().into()),
            LvRole::Public if LvTags::read(lv.tags()).creating => plan.unused.push(lv.name().into()),
            _ => {
                let obstacle = of(vg, lv, "held data there that no other disk has", None);
                if !in_the_way.contains(&obstacle) {
                    in_the_way.push(obstacle);
                }
            }
        }
    }
    (plan, in_the_way)
}

/// Plans new images for one array, in the VG; gives what is in the way.
fn plan_array(
    inner: &Inner,
    open: &OpenVg,
    vg: &mut Vg,
    name: &str,
    on: Option<PvId>,
    is_there: &dyn Fn(PvId) -> bool,
) -> Result<Option<Obstacle>, Error> {
    let Some(array) = Array::named(vg, name) else {
        let lv = vg.lv(name);
        return Ok(lv.map(|lv| of(vg, lv, "has images that are not known here", None)));
    };
    if let Err(error) = array.check().and_then(|()| array.check_not_moved()) {
        return Ok(Some(of(
            vg,
            array.lv,
            &format!("cannot be repaired ({error})"),
            None,
        )));
    }
    raid::check_target(inner, array.detail.layout)?;
    let holds = array.holding(inner, open);
    if !array.survives(&holds) {
        return Ok(Some(of(vg, array.lv, "lost more images than it can", None)));
    }
    let lost = lost_legs(inner, open, &array);
    let ids: Vec<PvId> = on.into_iter().collect();
    let filter = match on {
        Some(_) => PvFilter::Ids(&ids),
        None => PvFilter::All,
    };
    let new = match spare_legs(vg, &array, lost.len(), &lost, filter, is_there) {
        Ok(new) => new,
        Err(Error::NoSpace { .. }) => {
            return Ok(Some(no_room(vg, &array, lost.len(), on.is_some(), &holds)));
        }
        Err(error) => return Err(error),
    };
    let mut slots: Vec<LegSlot> = (0..array.legs.len()).map(LegSlot::Kept).collect();
    for (at, leg) in lost.into_iter().zip(new) {
        if let Some(slot) = slots.get_mut(at) {
            *slot = LegSlot::New(leg);
        }
    }
    vg.repairing(|vg| vg.set_legs(name, slots)).map_err(Error::Meta)?;
    Ok(None)
}

/// The images of an array that are to be made anew.
fn lost_legs(inner: &Inner, open: &OpenVg, array: &Array<'_>) -> Vec<usize> {
    let (present, status) = (array.present(open), array.status(inner));
    let is_lost = |at: &usize| {
        let told = status.as_ref().and_then(|status| status.images.get(*at));
        let has_failed = told == Some(&RaidHealth::Dead) && !array.answers(open, *at);
        present.get(*at) != Some(&true) || has_failed
    };
    (0..array.legs.len()).filter(is_lost).collect()
}

fn no_room(vg: &Vg, array: &Array<'_>, lost: usize, is_bound: bool, holds: &[bool]) -> Obstacle {
    let leg = array.legs.first();
    let extents = leg.map_or(0, |leg| {
        leg.parts().map(|part| u64::from(part.extent_count().get())).sum()
    });
    let each = Size(extents.saturating_mul(vg.extent_size().bytes()));
    let why = match is_bound {
        true => format!("needs {each} free on the new disk, and no image there yet"),
        false => format!(
            "needs {} more with {each} free on each, and none of its images there",
            disks(lost as u64)
        ),
    };
    let left = holds.iter().filter(|holds| **holds).count();
    let fewer = array.is_copies() && replica::replica_of(array.lv).is_some();
    let convert = match left {
        0 => None,
        _ if !fewer => None,
        1 => Some("convert it to linear".to_string()),
        left => Some(format!("convert it to raid1:{left}")),
    };
    Obstacle {
        lacks_space: true,
        ..of(vg, array.lv, &why, Some((is_bound, convert)))
    }
}

/// What is in the way, in the words of who uses it; `room` is how it would be helped if room is all that is lacking.
fn of(vg: &Vg, lv: &Lv, why: &str, room: Option<(bool, Option<String>)>) -> Obstacle {
    let lv = owner(vg, lv);
    let (what, end) = match (replica::replica_of(lv), vg.role(lv)) {
        (Some(uuid), _) => (
            format!("replica {uuid} ({})", replica::layout(lv)),
            match Group::of_origin(vg, lv) {
                Some(_) => "destroy its snapshots and then the replica".to_string(),
                None => "destroy it".to_string(),
            },
        ),
        (None, LvRole::SnapshotStore { .. }) => (format!("snapshot {:?}", lv.name()), "destroy it".into()),
        (None, _) if PoolLv::named(vg, lv.name()).is_some() => (
            format!("thin pool {:?}", lv.name()),
            "destroy its replicas and snapshots".into(),
        ),
        _ => (
            format!("logical volume {:?}", lv.name()),
            format!("remove it (lvremove {}/{})", vg.name(), lv.name()),
        ),
    };
    let help = match room {
        None => format!("bring the disk back, or {end}"),
        Some((true, convert)) => format!("take a larger disk, {}or {end}", listed(convert)),
        Some((false, convert)) => format!("add a disk, {}or {end}", listed(convert)),
    };
    Obstacle {
        what,
        why: why.into(),
        help,
        lacks_space: false,
    }
}

fn listed(convert: Option<String>) -> String {
    convert.map_or_else(String::new, |convert| format!("{convert}, "))
}

/// The LV that users know, of which an LV is a part.
fn owner<'a>(vg: &'a Vg, lv: &'a Lv) -> &'a Lv {
    let mut lv = lv;
    // Deeper than any stack that there is.
    for _ in 0..8 {
        let of = match vg.role(lv) {
            LvRole::RaidImage { of, .. }
            | LvRole::RaidMeta { of, .. }
            | LvRole::MirrorImage { of, .. }
            | LvRole::MirrorLog { of }
            | LvRole::PoolData { of }
            | LvRole::PoolMetadata { of }
            | LvRole::CacheOf { of }
            | LvRole::CacheOrigin { of }
            | LvRole::IntegrityOrigin { of }
            | LvRole::IntegrityMeta { of } => of,
            _ => return lv,
        };
        match vg.lv(of) {
            Some(above) => lv = above,
            None => return lv,
        }
    }
    lv
}
