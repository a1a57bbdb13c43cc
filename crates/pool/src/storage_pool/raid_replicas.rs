//! Replicas that are arrays: making and growing them.

use lvm_meta::{
    AllocError, AllocPolicy, Extents, LegPlan, LegsRequest, LvId, NewLeg, NewLv, PvFilter, Sectors, Vg,
    allocate_legs,
};

use super::resize_replica::{alloc_error, check_origin, no_space};
use crate::apply::Step;
use crate::error::Size;
use crate::open_vg::Change;
use crate::raid::Array;
use crate::raid::plan::Shape;
use crate::system::Inner;
use crate::{Error, RaidLevel, identity, naming};

/// Adds an array to a VG, on these of its disks.
///
/// # Errors
/// [`Error::NoSpace`]; [`Error::InvalidArgument`] for names that are too long with those of the images.
pub(super) fn add(
    vg: &mut Vg,
    new: NewLv,
    level: RaidLevel,
    count: u32,
    stripe_size: Sectors,
    size: u64,
    pvs: PvFilter<'_>,
) -> Result<(), Error> {
    let Shape {
        raid,
        images,
        image,
        meta,
    } = Shape::new(vg, level, count, stripe_size, size)?;
    naming::dm_name(
        vg.name(),
        &format!("{}_rimage_{}", new.name, images.saturating_sub(1)),
    )?;
    let request = LegsRequest {
        legs: images,
        image,
        meta,
        extend: &[],
        pvs,
        policy: AllocPolicy::Inherit,
    };
    let plans = allocate_legs(vg, &request).map_err(|error| alloc_error(vg, size, error))?;
    let legs = plans.into_iter().map(|plan| {
        Ok(NewLeg {
            plan,
            image: LvId::from_random(identity::random()?),
            meta: LvId::from_random(identity::random()?),
        })
    });
    let legs = legs.collect::<Result<_, Error>>()?;
    vg.add_raid(new, &raid, legs).map_err(Error::Meta)
}

/// Makes the images of an array `image` extents long in a VG; more than they are.
///
/// # Errors
/// [`Error::NoSpace`].
pub(super) fn extend(vg: &mut Vg, name: &str, image: Extents) -> Result<(), Error> {
    let array = Array::named(vg, name);
    let array = array.ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let has = array
        .legs
        .first()
        .map_or(Extents::ZERO, |leg| leg.image.extent_count());
    let more = image.checked_sub(has).unwrap_or(Extents::ZERO);
    let plans = more_of(vg, &array, more).map_err(|error| {
        let all = u64::try_from(array.legs.len()).unwrap_or(u64::MAX);
        let each = vg.extent_size().to_bytes(more).unwrap_or(u64::MAX);
        match error {
            AllocError::NoSpace { .. } => no_space(
                vg,
                each.saturating_mul(all),
                format!(
                    ": each of the {all} images takes {} more, on its own disk or on one without any of the others",
                    Size(each)
                ),
            ),
            other => alloc_error(vg, each.saturating_mul(all), other),
        }
    })?;
    vg.extend_raid(name, plans).map_err(Error::Meta)
}

/// Is there room for so many extents more of each image of an array?
pub(super) fn has_room(vg: &Vg, array: &Array<'_>, more: Extents) -> bool {
    more_of(vg, array, more).is_ok()
}

fn more_of(vg: &Vg, array: &Array<'_>, more: Extents) -> Result<Vec<LegPlan>, AllocError> {
    let images: Vec<&str> = array.detail.legs.iter().map(|leg| &*leg.image).collect();
    let request = LegsRequest {
        legs: images.len(),
        image: more,
        meta: Extents::ZERO,
        extend: &images,
        pvs: PvFilter::All,
        policy: AllocPolicy::of(vg, Some(array.lv.name())),
    };
    allocate_legs(vg, &request)
}

/// Plans that an array holds `size` bytes; false when it does already.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::HasSnapshots`], and [`Error::Unsupported`] for less than it holds.
pub(super) fn resize(change: &mut Change<'_>, inner: &Inner, name: &str, size: u64) -> Result<bool, Error> {
    let open = change.open();
    let found = open.vg.lv(name).and_then(|lv| Array::of(&open.vg, lv));
    let array = found.ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    array.check()?;
    let (wanted, image) = array.sized(size)?;
    let now = array.lv.extent_count();
    if wanted == now {
        return Ok(false);
    }
    let is_active = open.kernel_device(inner, array.lv)?.is_some();
    check_origin(&open.vg, array.lv, wanted, is_active)?;
    if wanted < now {
        return Err(Error::Unsupported("making an array smaller".into()));
    }
    extend(change.edit(), name, image)?;
    let open = change.open();
    let grown = open.vg.lv(name).and_then(|lv| Array::of(&open.vg, lv));
    let steps = match grown.filter(|_| is_active) {
        Some(array) => array.grow(inner, open)?,
        None => vec![Step::Commit],
    };
    steps.into_iter().for_each(|step| change.step(step));
    Ok(true)
}
