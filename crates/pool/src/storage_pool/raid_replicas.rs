//! Replicas that are arrays: making and growing them.

use lvm_meta::{Extents, LegsRequest, LvId, NewLeg, NewLv, PvFilter, Sectors, allocate_legs};

use super::resize_replica::alloc_error;
use crate::apply::Step;
use crate::open_vg::Change;
use crate::raid::Array;
use crate::raid::plan::Shape;
use crate::system::Inner;
use crate::{Error, RaidLevel, identity, naming};

/// Adds an array to the VG being changed.
///
/// # Errors
/// [`Error::NoSpace`]; [`Error::InvalidArgument`] for names that are too long with those of the images.
pub(super) fn add(
    change: &mut Change<'_>,
    new: NewLv,
    level: RaidLevel,
    count: u32,
    stripe_size: Sectors,
    size: u64,
) -> Result<(), Error> {
    let vg = &change.open().vg;
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
        pvs: PvFilter::All,
    };
    let plans = allocate_legs(vg, &request).map_err(|error| alloc_error(vg, size, error))?;
    let legs = plans.into_iter().map(|plan| NewLeg {
        plan,
        image: LvId::from_random(identity::random()),
        meta: LvId::from_random(identity::random()),
    });
    let legs = legs.collect();
    change.edit().add_raid(new, &raid, legs).map_err(Error::Meta)
}

/// Plans that an array holds `size` bytes; false when it does already.
///
/// # Errors
/// [`Error::NoSpace`], and [`Error::Unsupported`] for less than it holds.
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
    if wanted < now {
        return Err(Error::Unsupported("making an array smaller".into()));
    }
    let images: Vec<&str> = array.detail.legs.iter().map(|leg| &*leg.image).collect();
    let has = array
        .legs
        .first()
        .map_or(Extents::ZERO, |leg| leg.image.extent_count());
    let more = image.checked_sub(has).unwrap_or(Extents::ZERO);
    let request = LegsRequest {
        legs: images.len(),
        image: more,
        meta: Extents::ZERO,
        extend: &images,
        pvs: PvFilter::All,
    };
    let plans = allocate_legs(&open.vg, &request).map_err(|error| alloc_error(&open.vg, size, error))?;
    let is_active = open.kernel_device(inner, array.lv)?.is_some();
    change.edit().extend_raid(name, plans).map_err(Error::Meta)?;
    let open = change.open();
    let grown = open.vg.lv(name).and_then(|lv| Array::of(&open.vg, lv));
    let steps = match grown.filter(|_| is_active) {
        Some(array) => array.grow(inner, open)?,
        None => vec![Step::Commit],
    };
    steps.into_iter().for_each(|step| change.step(step));
    Ok(true)
}
