//! Growing and shrinking a replica online.

use lvm_dm::UdevFlags;
use lvm_meta::{AllocError, AllocPolicy, AllocRequest, Extents, Lv, PvFilter, SegmentKind, Vg};
use uuid::Uuid;

use super::StoragePool;
use super::share_replica::tell_size;
use crate::apply::Step;
use crate::cow::Group;
use crate::error::Size;
use crate::info::ReplicaInfo;
use crate::raid::Array;
use crate::request::{Shrink, check_size};
use crate::{Error, Layout, activate, replica, thin};

impl StoragePool {
    /// Makes a replica `size` bytes large, rounded up to whole extents and stripes, under I/O if it is active.
    /// Durable when this returns; the size that it has already is success without a commit.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::ShrinkRefused`], [`Error::ReplicaNotFound`]; [`Error::HasSnapshots`] for an origin of
    /// classic snapshots, but to make it larger while it is inactive; the replica is unchanged then.
    pub fn resize_replica(&self, uuid: Uuid, size: u64, shrink: Shrink) -> Result<ReplicaInfo, Error> {
        check_size(size)?;
        self.change_replica(
            &format!("resize replica {uuid} to {size} bytes"),
            uuid,
            |change| {
                let open = change.open();
                let lv = replica::find(open, uuid)?;
                let (name, now) = (lv.name().to_string(), lv.extent_count());
                if Array::of(&open.vg, lv).is_some() {
                    check_shrink(&open.vg, lv, size, shrink)?;
                    super::raid_replicas::resize(change, &self.inner, &name, size)?;
                    tell_size(change, uuid)?;
                    return Ok(None);
                }
                let thin = thin::thin(lv);
                let layout = match thin {
                    Some(_) => Layout::Linear,
                    None => last_layout(lv)?,
                };
                let (alloc_layout, wanted) = extents(&open.vg, layout, size)?;
                if wanted == now {
                    // A call that was cut may not have come to that.
                    tell_size(change, uuid)?;
                    return Ok(None);
                }
                let active = open.kernel_device(&self.inner, lv)?.is_some();
                check_origin(&open.vg, lv, wanted, active)?;
                if wanted < now {
                    check_shrink(&open.vg, lv, size, shrink)?;
                    if thin.is_none() {
                        change.edit().reduce_lv(&name, wanted).map_err(Error::Meta)?;
                    }
                } else if thin.is_none() {
                    let more = wanted.checked_sub(now).unwrap_or(Extents::ZERO);
                    let plan = lvm_meta::allocate(
                        &open.vg,
                        &AllocRequest {
                            extents: more,
                            layout: alloc_layout,
                            policy: AllocPolicy::Inherit,
                            extend: Some(&name),
                            pvs: PvFilter::All,
                            max_per_pv: None,
                        },
                    );
                    let segments = plan.map_err(|error| {
                        alloc_error(
                            &open.vg,
                            open.vg.extent_size().to_bytes(more).unwrap_or(u64::MAX),
                            error,
                        )
                    })?;
                    change.edit().extend_lv(&name, segments).map_err(Error::Meta)?;
                }
                if let Some(thin) = thin {
                    super::thin_replicas::set_size(change, &name, thin, wanted)?;
                }
                let open = change.open();
                let lv = replica::find(open, uuid)?;
                let steps = if active {
                    let ([load, suspend], resume) = (
                        activate::reload(&self.inner, open, lv)?,
                        activate::resume(open, lv, UdevFlags::empty())?,
                    );
                    vec![load, suspend, Step::Commit, resume, Step::Settle]
                } else {
                    vec![Step::Commit]
                };
                steps.into_iter().for_each(|step| change.step(step));
                tell_size(change, uuid)?;
                // A table was loaded and mapped, whatever there was before.
                Ok(Some(active))
            },
        )
    }
}

/// Refuses what would cut data off, unless that was asked for.
///
/// # Errors
/// [`Error::ShrinkRefused`].
fn check_shrink(vg: &Vg, lv: &Lv, asked: u64, shrink: Shrink) -> Result<(), Error> {
    let wanted = vg.extent_size().extents_ceil(asked);
    let data = Array::of(vg, lv).map_or(1, |array| array.detail.data_images().max(1));
    let data = u32::try_from(data).unwrap_or(1);
    let is_less = wanted
        .and_then(|wanted| wanted.get().checked_next_multiple_of(data))
        .is_some_and(|wanted| wanted < lv.extent_count().get());
    match shrink == Shrink::Refuse && is_less {
        true => Err(Error::ShrinkRefused {
            replica: lv.name().into(),
            size: vg.extent_size().to_bytes(lv.extent_count()).unwrap_or(u64::MAX),
            asked,
        }),
        false => Ok(()),
    }
}

/// As LVM: an origin of classic snapshots never becomes smaller, and larger only while it is inactive.
///
/// # Errors
/// [`Error::HasSnapshots`].
pub(super) fn check_origin(vg: &Vg, lv: &Lv, wanted: Extents, active: bool) -> Result<(), Error> {
    match Group::of_origin(vg, lv) {
        Some(group) if wanted < lv.extent_count() => Err(group.refuse("made smaller")),
        Some(group) if active => Err(group.refuse("made larger while it is active")),
        _ => Ok(()),
    }
}

/// The layout by which an LV goes on: that of its last segment.
pub(super) fn last_layout(lv: &Lv) -> Result<Layout, Error> {
    match lv
        .segments()
        .last()
        .map(|segment| (segment.kind(), segment.type_name()))
    {
        Some((SegmentKind::Striped(striped), _)) if striped.areas().len() == 1 => Ok(Layout::Linear),
        Some((SegmentKind::Striped(striped), _)) => Ok(Layout::Striped {
            stripes: u32::try_from(striped.areas().len()).unwrap_or(u32::MAX),
            stripe_size: striped.stripe_size(),
        }),
        other => {
            let kind = other.map_or("nothing", |(_, name)| name);
            Err(Error::Unsupported(format!("resizing an LV of type {kind:?}")))
        }
    }
}

/// The allocator's word for a layout, and the extents that hold `size` bytes in it.
///
/// # Errors
/// [`Error::NoSpace`] for a size beyond the format.
pub(super) fn extents(vg: &Vg, layout: Layout, size: u64) -> Result<(lvm_meta::Layout, Extents), Error> {
    let beyond = || no_space(vg, size, String::new());
    let extents = vg.extent_size().extents_ceil(size).ok_or_else(beyond)?;
    match layout {
        Layout::Linear => Ok((lvm_meta::Layout::Linear, extents)),
        Layout::Striped { stripes, stripe_size } => {
            let whole = extents
                .get()
                .checked_next_multiple_of(stripes)
                .ok_or_else(beyond)?;
            Ok((
                lvm_meta::Layout::Striped { stripes, stripe_size },
                Extents::new(whole),
            ))
        }
        Layout::Raid { .. } => Err(Error::Unsupported("an array here".into())),
    }
}

/// The allocator's refusal in this crate's words.
pub(super) fn alloc_error(vg: &Vg, needed: u64, error: AllocError) -> Error {
    let size = |extents: u64| Size(extents.saturating_mul(vg.extent_size().bytes()));
    let detail = match error {
        AllocError::NoSpace { free, largest, .. } => format!(
            ": {} on the disks that may be used, {} of it in one piece",
            size(free),
            size(u64::from(largest.get()))
        ),
        AllocError::TooFewPvs { stripes, pvs } => {
            format!(
                ": it takes {} with free space, and {pvs} may be used",
                disks(u64::from(stripes))
            )
        }
        AllocError::TooFewLegs { legs, extents, pvs } => format!(
            ": it takes {} with {} free on each, and {pvs} may be used",
            disks(legs as u64),
            size(u64::from(extents.get()))
        ),
        AllocError::Refused(refusal) => {
            return Error::Refused {
                vg: vg.name().into(),
                why: crate::Refusal::of_metadata(&refusal),
            };
        }
        other => format!(": {other}"),
    };
    no_space(vg, needed, detail)
}

/// So many disks.
pub(super) fn disks(count: u64) -> String {
    match count {
        1 => "1 disk".into(),
        _ => format!("{count} disks"),
    }
}

pub(crate) fn no_space(vg: &Vg, needed: u64, detail: String) -> Error {
    let free = vg.free_extents().saturating_mul(vg.extent_size().bytes());
    Error::NoSpace {
        pool: vg.name().into(),
        needed,
        free,
        detail,
    }
}
