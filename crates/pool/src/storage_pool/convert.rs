//! Changing how many images a replica has, and replacing those that failed.

use lvm_dm::RaidHealth;
use lvm_meta::{
    AllocPolicy, AllocRequest, Extents, LegPlan, LegSlot, LegsRequest, LvId, NewLeg, PvFilter, PvId, Vg,
};
use uuid::Uuid;

use super::StoragePool;
use super::resize_replica::alloc_error;
use crate::cow::Group;
use crate::info::ReplicaInfo;
use crate::open_vg::{Change, OpenVg};
use crate::raid::plan::Shape;
use crate::raid::swap::{self, OldParts};
use crate::raid::{self, Array};
use crate::thin::{self, PoolLv, stack};
use crate::{Error, Layout, RaidLevel, identity, replica};

impl StoragePool {
    /// Gives an active replica another layout under I/O: copies of a linear one, more copies, fewer, or none.  Durable when
    /// this returns; the layout that it has already is success without a commit.
    ///
    /// New images are filled while the replica serves: its health tells how far that is.  Images that are not in sync are the
    /// first to go, then the last ones.  Disks may be missing where images are to become fewer: those on them are the first to go.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any two layouts but `linear` and `raid1:N`, [`Error::NotActive`], [`Error::ArrayState`] while
    /// images are filled that more or fewer of them need, [`Error::NoSpace`] for too few disks with room, [`Error::HasSnapshots`],
    /// [`Error::ReplicaNotFound`]; the replica is unchanged then.
    pub fn convert_replica(&self, uuid: Uuid, layout: Layout) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        let wanted = copies_in(layout);
        let becomes_less = |open: &OpenVg| -> Result<bool, Error> {
            let now = copies_of(open, replica::find(open, uuid)?.name());
            Ok(now.zip(wanted).is_some_and(|(now, wanted)| wanted < now))
        };
        let is_degraded = {
            let open = self.fresh()?;
            self.check_ours(&open)?;
            open.check_writable(inner).is_err() && becomes_less(&open)?
        };
        if is_degraded {
            // The kernel knows which images hold all.
            self.activate_replica_degraded(uuid)?;
        }
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.repairable()?;
        if !becomes_less(&open)? {
            open.check_writable(inner)?;
        }
        let lv = replica::find(&open, uuid)?;
        let name = lv.name().to_string();
        let now = copies_of(&open, &name);
        let (Some(now), Some(wanted)) = (now, wanted) else {
            let from = replica::layout(lv);
            return Err(Error::Unsupported(format!("making {layout} of {from}")));
        };
        if now != wanted {
            if let Some(group) = Group::of(&open.vg, lv) {
                return Err(group.refuse("converted"));
            }
            check_active(inner, &open, &name)?;
            Array::named(&open.vg, &name).map_or(Ok(()), |array| array.check_not_moved())?;
            open.change(inner, &format!("convert replica {uuid} to {layout}"), |change| {
                let old = match Array::named(&change.open().vg, &name) {
                    Some(array) => OldParts::of(inner, &array)?,
                    None => OldParts::none(),
                };
                match (now, wanted) {
                    (1, _) => mirror(change, &name, wanted)?,
                    (_, 1) => keep_one(inner, change, &name)?,
                    _ if wanted > now => add_copies(inner, change, &name, wanted - now)?,
                    _ => drop_copies(inner, change, &name, wanted)?,
                }
                swap::steps(inner, change.open(), &name, &old)?
                    .into_iter()
                    .for_each(|step| change.step(step));
                Ok(())
            })?;
            swap::end_rebuild(inner, &mut open, &name).map_err(Error::after_the_change)?;
        }
        self.describe(&open, uuid)
    }

    /// Puts an active array right whose images failed: those whose disks answer again are taken back in, and brought up to
    /// date; the others are replaced by free space on disks that no image of it is on.  Durable when this returns; the
    /// images are filled while the replica serves.  Disks of the pool may be missing.  Of a thin replica it is the arrays of
    /// its thin pool.
    ///
    /// # Errors
    /// [`Error::NothingToRepair`], [`Error::ArrayLost`] when data is gone with the images, [`Error::ArrayState`] while the images
    /// that are left are filled, [`Error::NotActive`], [`Error::NoSpace`], [`Error::NotArray`]; nothing but what is taken back is changed then.
    pub fn repair_replica(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.repairable()?;
        raid::mend::mend_all(inner, &mut open)?;
        let lv = replica::find(&open, uuid)?;
        let arrays: Vec<String> = match thin::thin(lv) {
            Some(thin) => stack::arrays(&open, &PoolLv::of(&open.vg, &thin)?)?
                .map(|array| array.lv.name().to_string())
                .collect(),
            None => vec![lv.name().to_string()],
        };
        let mut is_repaired = false;
        for name in &arrays {
            match self.repair_array(&mut open, name, PvFilter::All) {
                Err(Error::NothingToRepair(_)) => {}
                repaired => {
                    repaired?;
                    is_repaired = true;
                }
            }
        }
        match is_repaired {
            true => self.describe(&open, uuid),
            false => Err(Error::NothingToRepair(uuid.to_string())),
        }
    }

    /// As [`StoragePool::repair_replica`], with new images on some PVs alone.  The caller holds the VG's lock.
    pub(super) fn repair_array(&self, open: &mut OpenVg, name: &str, pvs: PvFilter<'_>) -> Result<(), Error> {
        let inner = &*self.inner;
        let array = Array::named(&open.vg, name);
        let array = array.ok_or_else(|| Error::NotArray {
            replica: name.into(),
            what: "repaired",
        })?;
        array.check()?;
        array.check_not_moved()?;
        let mut failed = failed(inner, open, &array)?;
        if failed.is_empty() {
            return Err(Error::NothingToRepair(name.into()));
        }
        if failed.iter().any(|at| array.answers(open, *at)) {
            inner.kernel().apply(None, &array.take_back(inner, open)?)?;
            failed = self::failed(inner, open, &array)?;
        }
        if failed.is_empty() {
            return Ok(());
        }
        open.change(inner, &format!("repair {name}"), |change| {
            let array =
                Array::named(&change.open().vg, name).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
            let old = OldParts::of(inner, &array)?;
            let open = change.open();
            let new = spare_legs(&open.vg, &array, failed.len(), &failed, pvs, &|pv| {
                open.device(pv).is_some()
            })?;
            let mut slots: Vec<LegSlot> = (0..array.legs.len()).map(LegSlot::Kept).collect();
            for (at, leg) in failed.iter().zip(new) {
                if let Some(slot) = slots.get_mut(*at) {
                    *slot = LegSlot::New(leg);
                }
            }
            change.repair(|vg| vg.set_legs(name, slots))?;
            swap::steps(inner, change.open(), name, &old)?
                .into_iter()
                .for_each(|step| change.step(step));
            Ok(())
        })?;
        // The array is repaired, whatever becomes of the mark.
        swap::end_rebuild(inner, open, name).map_err(Error::after_the_change)
    }
}

/// How many copies a replica has; `None` for one of another layout.
fn copies_of(open: &OpenVg, name: &str) -> Option<usize> {
    let lv = open.vg.lv(name)?;
    match Array::of(&open.vg, lv) {
        Some(array) => array.is_copies().then_some(array.legs.len()),
        None => (replica::layout(lv) == "linear").then_some(1),
    }
}

/// How many copies a layout has.
fn copies_in(layout: Layout) -> Option<usize> {
    match layout {
        Layout::Linear => Some(1),
        Layout::Raid {
            level: RaidLevel::Raid1,
            count,
            ..
        } => usize::try_from(count).ok(),
        _ => None,
    }
}

fn check_active(inner: &crate::system::Inner, open: &OpenVg, name: &str) -> Result<(), Error> {
    let lv = open
        .vg
        .lv(name)
        .ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let device = match Array::of(&open.vg, lv) {
        Some(array) => array.device()?.info(inner)?,
        None => open.kernel_device(inner, lv)?,
    };
    device.map(drop).ok_or_else(|| Error::NotActive(name.into()))
}

fn new_leg(plan: LegPlan) -> Result<NewLeg, Error> {
    Ok(NewLeg {
        plan,
        image: LvId::from_random(identity::random()?),
        meta: LvId::from_random(identity::random()?),
    })
}

fn mirror(change: &mut Change<'_>, name: &str, copies: usize) -> Result<(), Error> {
    let vg = &change.open().vg;
    let lv = vg.lv(name).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let size = vg.extent_size().to_bytes(lv.extent_count()).unwrap_or(u64::MAX);
    let count = u32::try_from(copies).unwrap_or(u32::MAX);
    let shape = Shape::new(vg, RaidLevel::Raid1, count, lvm_meta::Sectors::new(0), size)?;
    let own: Vec<PvId> = raid::areas(vg, lv).flatten().collect();
    // As LVM: the metadata of an image lies on its own disks.
    let request = AllocRequest {
        pvs: PvFilter::Ids(&own),
        policy: AllocPolicy::of(vg, Some(name)),
        ..AllocRequest::new(shape.meta)
    };
    let meta = lvm_meta::allocate(vg, &request).map_err(|error| alloc_error(vg, size, error))?;
    let others: Vec<PvId> = vg
        .pvs()
        .iter()
        .map(lvm_meta::Pv::id)
        .filter(|pv| !own.contains(pv))
        .collect();
    let request = LegsRequest {
        legs: copies.saturating_sub(1),
        image: shape.image,
        meta: shape.meta,
        extend: &[],
        pvs: PvFilter::Ids(&others),
        policy: AllocPolicy::of(vg, Some(name)),
    };
    let more = lvm_meta::allocate_legs(vg, &request).map_err(|error| alloc_error(vg, size, error))?;
    let first = new_leg(LegPlan {
        meta,
        image: Vec::new(),
    })?;
    let more = more.into_iter().map(new_leg).collect::<Result<_, Error>>()?;
    change
        .edit()
        .add_copies(name, &shape.raid, first, more)
        .map_err(Error::Meta)
}

fn keep_one(inner: &crate::system::Inner, change: &mut Change<'_>, name: &str) -> Result<(), Error> {
    let kept = in_sync(inner, change.open(), name, 1)?;
    let at = kept.first().copied().unwrap_or_default();
    change.repair(|vg| vg.keep_copy(name, at))
}

fn drop_copies(
    inner: &crate::system::Inner,
    change: &mut Change<'_>,
    name: &str,
    wanted: usize,
) -> Result<(), Error> {
    let kept = in_sync(inner, change.open(), name, wanted)?;
    let slots = kept.into_iter().map(LegSlot::Kept).collect();
    change.repair(|vg| vg.set_legs(name, slots))
}

fn add_copies(
    inner: &crate::system::Inner,
    change: &mut Change<'_>,
    name: &str,
    more: usize,
) -> Result<(), Error> {
    let open = change.open();
    let array = Array::named(&open.vg, name).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    // The kernel fills new images from those that are.
    in_sync(inner, open, name, array.legs.len())?;
    let new = spare_legs(&open.vg, &array, more, &[], PvFilter::All, &|pv| {
        open.device(pv).is_some()
    })?;
    let kept = (0..array.legs.len()).map(LegSlot::Kept);
    let slots = kept.chain(new.into_iter().map(LegSlot::New)).collect();
    change.edit().set_legs(name, slots).map_err(Error::Meta)
}

/// The first so many images that are in sync.
///
/// # Errors
/// [`Error::ArrayState`].
fn in_sync(
    inner: &crate::system::Inner,
    open: &OpenVg,
    name: &str,
    wanted: usize,
) -> Result<Vec<usize>, Error> {
    let array = Array::named(&open.vg, name).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let status = array.status(inner).ok_or_else(|| Error::NotActive(name.into()))?;
    let present = array.present(open);
    let is_in_sync =
        |at: &usize| present.get(*at) == Some(&true) && status.images.get(*at) == Some(&RaidHealth::InSync);
    let whole: Vec<usize> = (0..array.legs.len()).filter(is_in_sync).take(wanted).collect();
    match whole.len() == wanted {
        true => Ok(whole),
        false => Err(array.is_syncing()),
    }
}

/// The images of an active array that serve no more.
///
/// # Errors
/// [`Error::ArrayLost`] when the others do not have all data, [`Error::ArrayState`] when they do not have it yet.
fn failed(inner: &crate::system::Inner, open: &OpenVg, array: &Array<'_>) -> Result<Vec<usize>, Error> {
    let name = array.lv.name();
    let status = array.status(inner).ok_or_else(|| Error::NotActive(name.into()))?;
    let present = array.present(open);
    let told = |at: usize| status.images.get(at).copied().unwrap_or(RaidHealth::Missing);
    let serves = |at: &usize| {
        present.get(*at) == Some(&true) && matches!(told(*at), RaidHealth::InSync | RaidHealth::Behind)
    };
    let all = 0..array.legs.len();
    let failed: Vec<usize> = all.clone().filter(|at| !serves(at)).collect();
    if failed.is_empty() {
        return Ok(failed);
    }
    if !array.survives(&array.holding(inner, open)) {
        return Err(Error::ArrayLost(name.into()));
    }
    let is_behind = |at: usize| serves(&at) && told(at) == RaidHealth::Behind;
    match all.into_iter().any(is_behind) {
        true => Err(array.is_syncing()),
        false => Ok(failed),
    }
}

/// Space for more images of an array, on PVs that none of them is on; `replaced` are those that go for them.
pub(super) fn spare_legs(
    vg: &Vg,
    array: &Array<'_>,
    count: usize,
    replaced: &[usize],
    pvs: PvFilter<'_>,
    is_there: &dyn Fn(PvId) -> bool,
) -> Result<Vec<NewLeg>, Error> {
    let used: Vec<PvId> = array.pvs_beside(replaced).collect();
    let is_wanted = |pv: &PvId| match pvs {
        PvFilter::Ids(ids) => ids.contains(pv),
        _ => true,
    };
    let free = vg.pvs().iter().map(lvm_meta::Pv::id);
    let free: Vec<PvId> = free
        .filter(|pv| !used.contains(pv) && is_wanted(pv) && is_there(*pv))
        .collect();
    let size = |lv: Option<&lvm_meta::Lv>| lv.map_or(Extents::ZERO, lvm_meta::Lv::extent_count);
    let leg = array.legs.first();
    let request = LegsRequest {
        legs: count,
        image: size(leg.map(|leg| leg.image)),
        meta: size(leg.and_then(|leg| leg.meta)),
        extend: &[],
        pvs: PvFilter::Ids(&free),
        policy: AllocPolicy::of(vg, Some(array.lv.name())),
    };
    let plans = lvm_meta::allocate_legs(vg, &request);
    let each = request.image.checked_add(request.meta).unwrap_or(request.image);
    let needed = vg.extent_size().to_bytes(each).unwrap_or(u64::MAX);
    let needed = needed.saturating_mul(count as u64);
    let plans = plans.map_err(|error| alloc_error(vg, needed, error))?;
    plans.into_iter().map(new_leg).collect()
}
