//! LVs with a cache (dm-cache, dm-writecache), from which the cache is taken off under I/O: LVM's `lvconvert --uncache`.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | the devices of a cached LV, and what is to be done next |
//! | `kind` | how the two kinds of caches differ |
//! | `activate` | the devices of one that is not active, for this alone |
//! | `steps` | how it is written back, and the commit that takes the cache off |
//! | `owner` | the device that tells an LV that was made active for this alone |
//! | `mend` | what a cut change left |
//!
//! | device | uuid's word | table |
//! | --- | --- | --- |
//! | `VG-LV` | | `cache` on origin, data and metadata; `writecache` on origin and cache |
//! | `VG-LV_corig`, `VG-LV_wcorig` | `real` | the origin's segments, or the array that it is |
//! | `VG-POOL_cdata`, `VG-POOL_cmeta` | `cdata`, `cmeta` | data and metadata of a cache pool: segments, or arrays |
//! | `VG-FAST_cvol` | `cvol` | an LV that holds both, or a cache of writes: segments, or an array |
//! | `VG-FAST_cvol-cdata`, `VG-FAST_cvol-cmeta` | `cdata`, `cmeta` | parts of that |
//!
//! | step | kernel | metadata |
//! | --- | --- | --- |
//! | clean | the cache is mapped without write-back and with the policy `cleaner`, a cache of writes with the option `cleaner` | as they were |
//! | wait | the kernel writes dirty blocks back; no write makes another | |
//! | take off | the LV is stopped; nothing may be dirty then; it goes on without the cache, whose devices go | the LV has the origin's segments; origin and cache are gone |
//!
//! A kernel whose target `writecache` has no cleaner, before 5.7, writes all back while the LV is stopped.
//!
//! Reference: LVM2 `lib/metadata/cache_manip.c`, `lib/metadata/writecache_manip.c`, `lib/cache_segtype/cache.c`,
//! `lib/activate/dev_manager.c`.

mod activate;
mod kind;
pub(crate) mod mend;
pub(crate) mod owner;
pub(crate) mod steps;

use lvm_dm::{DeviceId, DeviceInfo, DeviceMapper, DmUuid};
use lvm_meta::detail::Detail;
use lvm_meta::{Lv, LvRole, SegmentKind, Vg};

use crate::layer::{Layer, is_cut};
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::system::Inner;
use crate::{Error, MoveProgress, evacuate};
use kind::{Kind, TARGETS, Usage};

/// The state of a cache that holds what the origin does not have.
pub(crate) const DIRTY: &str = "dirty";

/// A cached LV with what it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Stack<'a> {
    vg: &'a Vg,
    pub(crate) lv: &'a Lv,
    kind: Kind,
    origin: &'a Lv,
    /// The cache pool, or the LV that holds all of the cache.
    pub(crate) pool: &'a Lv,
}

/// What is to be done next, under the VG's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A change that was cut is to be finished or undone.
    Mend,
    /// Its devices are to be made.
    Activate,
    /// It is to be written back.
    Clean,
    /// The cache is to be taken off.
    TakeOff,
}

/// What a look at a cached LV found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It has no cache.
    Free,
    Due(Due),
    /// The kernel writes back; so many bytes are left.
    Cleaning(u64),
}

/// Is it an LV with a cache?
pub(crate) fn is_cached(lv: &Lv) -> bool {
    // The type's name first: most LVs have none, and reading the fields costs.
    let is_cache = |segment: &lvm_meta::Segment| {
        let kind = segment.type_name().split('+').next();
        kind.is_some_and(|kind| TARGETS.contains(&kind))
    };
    matches!(lv.segments(), [segment] if is_cache(segment))
}

impl<'a> Stack<'a> {
    /// A cached LV with what it stands on; `None` for one without a cache.
    pub(crate) fn of(vg: &'a Vg, lv: &Lv) -> Option<Self> {
        if !is_cached(lv) {
            return None;
        }
        let kind = Kind::of(lv)?;
        Some(Self {
            vg,
            lv: vg.lv(lv.name())?,
            origin: vg.lv(kind.origin())?,
            pool: vg.lv(kind.pool())?,
            kind,
        })
    }

    /// Refuses a cached LV from which this crate does not take the cache.
    ///
    /// # Errors
    /// [`Error::Unsupported`]; [`Error::Meta`] for one of which something is being moved.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |what: &str| {
            let what = format!("taking the cache off {:?}, {what},", self.lv.name());
            Err(Error::Unsupported(what))
        };
        if self.vg.role(self.lv) != LvRole::Public || !self.vg.is_visible(self.lv) {
            return refuse("which is a hidden part of others");
        }
        for part in [self.origin, self.pool] {
            if part.is_visible() || self.vg.users_of(part.name()).count() != 1 {
                return refuse("whose parts are used by others");
            }
        }
        for lv in [self.lv, self.origin].into_iter().chain(self.cache_lvs()) {
            if lv.is_locked() {
                let locked = lvm_meta::ChangeError::LvLocked(lv.name().into());
                return Err(Error::Meta(locked.into()));
            }
        }
        match Array::of(self.vg, self.origin) {
            Some(array) => array.check_parts(),
            None if is_on_disks(self.vg, self.origin) => Ok(()),
            None => refuse("whose origin is of another type than linear, striped and an array"),
        }
    }

    /// The LVs of the cache.
    fn cache_lvs(&self) -> impl Iterator<Item = &'a Lv> {
        let parts = match self.pool.detail() {
            Some(Detail::CachePool(pool)) => [self.vg.lv(&pool.metadata), self.vg.lv(&pool.data)],
            _ => [None, None],
        };
        parts.into_iter().flatten().chain([self.pool])
    }

    /// The device that the LV's users see.
    pub(crate) fn top(&self) -> Result<Layer, Error> {
        Layer::plain(self.vg, self.lv)
    }
}

/// Does an LV consist of areas of disks alone?
fn is_on_disks(vg: &Vg, lv: &Lv) -> bool {
    let is_plain = |segment: &lvm_meta::Segment| matches!(segment.kind(), SegmentKind::Striped(_));
    lv.segments().iter().all(is_plain)
        && evacuate::is_on_disks_or_ours(vg, lv)
        && crate::raid::areas(vg, lv).all(|pv| pv.is_some())
}

/// What is to be done next with an LV that may be cached.
///
/// # Errors
/// [`Error::NoCacheTarget`], [`Error::CacheState`], [`Error::LvNotFound`], and as [`Stack::check`].
pub(crate) fn look(inner: &Inner, open: &OpenVg, name: &str) -> Result<Found, Error> {
    let lv = open.vg.lv(name);
    let lv = lv.ok_or_else(|| Error::LvNotFound(format!("{}/{name}", open.vg.name())))?;
    let Some(stack) = Stack::of(&open.vg, lv) else {
        return Ok(Found::Free);
    };
    stack.check()?;
    stack.kind.check_target(inner)?;
    let top = stack.top()?;
    let Some(info) = top.info(inner)? else {
        stack.check_activatable(inner, open)?;
        return Ok(Found::Due(Due::Activate));
    };
    if is_cut(&info) {
        return Ok(Found::Due(Due::Mend));
    }
    let usage = Usage::of(&*inner.mapper, &top.uuid, name)?;
    Ok(match () {
        () if usage.is_nearly_clean() => Found::Due(Due::TakeOff),
        () if usage.is_cleaning => Found::Cleaning(usage.held),
        () if stack.kind.has_cleaner(inner)? => Found::Due(Due::Clean),
        () => Found::Due(Due::TakeOff),
    })
}

/// Has the kernel go on with writing a cache of writes back.
///
/// Its cleaner ends when it meets the device while that is resumed, and nothing but this begins it again: no write takes a
/// block of the cache any more.
///
/// # Errors
/// [`Error::InvalidArgument`] for a name that is too long for a device.
pub(crate) fn urge(inner: &Inner, open: &OpenVg, name: &str) -> Result<(), Error> {
    let stack = open.vg.lv(name).and_then(|lv| Stack::of(&open.vg, lv));
    match stack {
        Some(stack) if matches!(stack.kind, Kind::Writecache(_)) => {
            let uuid = stack.top()?.uuid;
            let message = lvm_dm::Writecache::CLEANER;
            // Another call may have taken it off since the look: the next look tells.
            let _ = inner.mapper.message(DeviceId::Uuid(&uuid), 0, message);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How far the writing back is; `total` is the most that was left at any look.
pub(crate) fn progress(left: u64, total: &mut u64) -> MoveProgress {
    *total = left.max(*total);
    MoveProgress {
        moved: total.saturating_sub(left),
        total: *total,
    }
}

/// The devices below one, nearest first, that are the VG's.
fn below(inner: &Inner, open: &OpenVg, uuid: &DmUuid) -> Result<Vec<DeviceInfo>, Error> {
    let prefix = format!("LVM-{}", open.vg.id().as_str());
    let is_ours = |info: &DeviceInfo| {
        let uuid = info.uuid.as_ref();
        uuid.is_some_and(|uuid| uuid.as_str().starts_with(&prefix))
    };
    let mut found: Vec<DeviceInfo> = Vec::new();
    let mut due = inner.mapper.deps(DeviceId::Uuid(uuid)).map_err(Error::Dm)?;
    while !due.is_empty() {
        let mut next = Vec::new();
        for number in due {
            let info = inner.mapper.info(DeviceId::Number(number)).map_err(Error::Dm)?;
            let Some(info) = info.filter(is_ours) else {
                continue;
            };
            next.extend(inner.mapper.deps(DeviceId::Number(number)).map_err(Error::Dm)?);
            // One that several lie on comes behind all of them.
            found.retain(|other| other.number != number);
            found.push(info);
        }
        due = next;
    }
    Ok(found)
}

/// Fails unless a cache that is mapped, and stopped, holds nothing that the origin does not have.
///
/// # Errors
/// [`Error::CacheState`].
pub(crate) fn check_clean(mapper: &dyn DeviceMapper, uuid: &DmUuid, lv: &str) -> Result<(), Error> {
    match Usage::of(mapper, uuid, lv)?.held {
        0 => Ok(()),
        _ => Err(Error::CacheState {
            lv: lv.into(),
            state: DIRTY.into(),
        }),
    }
}
