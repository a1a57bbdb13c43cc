//! LVs with a cache (dm-cache), from which the cache is taken off under I/O: LVM's `lvconvert --uncache`.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | the devices of a cached LV, and what is to be done next |
//! | `activate` | the devices of one that is not active, for this alone |
//! | `steps` | how it is written back, and the commit that takes the cache off |
//! | `mend` | what a cut change left |
//!
//! | device | uuid's word | table |
//! | --- | --- | --- |
//! | `VG-LV` | | `cache` on the three below |
//! | `VG-LV_corig` | `real` | the origin's segments, or the array that it is |
//! | `VG-POOL_cdata`, `VG-POOL_cmeta` | `cdata`, `cmeta` | the segments of data and metadata of a cache pool |
//! | `VG-FAST_cvol` | `cvol` | the segments of an LV that holds both |
//! | `VG-FAST_cvol-cdata`, `VG-FAST_cvol-cmeta` | `cdata`, `cmeta` | parts of that |
//!
//! | step | kernel | metadata |
//! | --- | --- | --- |
//! | clean | the cache is mapped without write-back and with the policy `cleaner` | as they were |
//! | wait | the kernel writes dirty blocks back; no write makes another | |
//! | take off | the LV is stopped; nothing may be dirty then; it goes on without the cache, whose devices go | the LV has the origin's segments; origin and cache are gone |
//!
//! Reference: LVM2 `lib/metadata/cache_manip.c`, `lib/cache_segtype/cache.c`, `lib/activate/dev_manager.c`.

mod activate;
pub(crate) mod mend;
pub(crate) mod steps;

use lvm_dm::{CacheStatus, CacheUsage, DeviceId, DeviceInfo, DeviceMapper, DmUuid, Target};
use lvm_meta::detail::{Cache, CacheSettings, Detail};
use lvm_meta::{Lv, LvRole, SegmentKind, Vg};

use crate::layer::{Layer, is_cut};
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::system::Inner;
use crate::{Error, MoveProgress, evacuate};

/// The kernel's target of caches, by which a host without it is told.
const TARGET: &str = "cache";
/// The state of a cache that holds what the origin does not have.
pub(crate) const DIRTY: &str = "dirty";

/// A cached LV with what it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Stack<'a> {
    vg: &'a Vg,
    pub(crate) lv: &'a Lv,
    pub(crate) detail: Cache,
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
    let is_cache = |segment: &lvm_meta::Segment| segment.type_name().split('+').next() == Some(TARGET);
    matches!(lv.segments(), [segment] if is_cache(segment))
}

impl<'a> Stack<'a> {
    /// A cached LV with what it stands on; `None` for one without a cache.
    pub(crate) fn of(vg: &'a Vg, lv: &Lv) -> Option<Self> {
        if !is_cached(lv) {
            return None;
        }
        let Some(Detail::Cache(detail)) = lv.detail() else {
            return None;
        };
        Some(Self {
            vg,
            lv: vg.lv(lv.name())?,
            origin: vg.lv(&detail.origin)?,
            pool: vg.lv(&detail.pool)?,
            detail,
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

    /// How the cache works.
    fn settings(&self) -> Option<CacheSettings> {
        match (&self.detail.volume, self.pool.detail()) {
            (Some(volume), _) => Some(volume.settings.clone()),
            (None, Some(Detail::CachePool(pool))) => Some(pool.settings),
            _ => None,
        }
    }

    /// The device that the LV's users see.
    pub(crate) fn top(&self) -> Result<Layer, Error> {
        Layer::plain(self.vg, self.lv)
    }

    /// The device of what lies behind the cache.
    fn origin_layer(&self) -> Result<Layer, Error> {
        Layer::of(self.vg, self.origin, "", "real")
    }

    /// What the kernel says of the cache, which is mapped.
    ///
    /// # Errors
    /// [`Error::CacheState`] for one that cannot be written back.
    pub(crate) fn usage(&self, inner: &Inner) -> Result<CacheUsage, Error> {
        let uuid = self.top()?.uuid;
        usage(&*inner.mapper, &uuid, self.lv.name())
    }
}

/// What the kernel says of a cache that is mapped; `lv` is what errors name.
fn usage(mapper: &dyn DeviceMapper, uuid: &DmUuid, lv: &str) -> Result<CacheUsage, Error> {
    let lines = mapper.status(DeviceId::Uuid(uuid), true).map_err(Error::Dm)?;
    let state = |state: &str| {
        Err(Error::CacheState {
            lv: lv.into(),
            state: state.into(),
        })
    };
    let [line] = lines.as_slice() else {
        return state("mapped without a cache");
    };
    match CacheStatus::parse(line) {
        Some(CacheStatus::Serving(usage)) if usage.needs_check => {
            state("to be checked (cache_check, cache_repair)")
        }
        Some(CacheStatus::Serving(usage)) if usage.is_read_only => state("read-only"),
        Some(CacheStatus::Serving(usage)) => Ok(usage),
        Some(_) => state("failed"),
        None => state("mapped without a cache"),
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
    check_target(inner)?;
    let Some(top) = stack.top()?.info(inner)? else {
        stack.check_activatable(inner, open)?;
        return Ok(Found::Due(Due::Activate));
    };
    if is_cut(&top) {
        return Ok(Found::Due(Due::Mend));
    }
    let usage = stack.usage(inner)?;
    Ok(match () {
        () if usage.is_clean() => Found::Due(Due::TakeOff),
        () if usage.is_writeback() || usage.policy != lvm_dm::Cache::CLEANER => Found::Due(Due::Clean),
        () => Found::Cleaning(bytes(&usage)),
    })
}

/// Bytes that are to be written back.
fn bytes(usage: &CacheUsage) -> u64 {
    usage.dirty.saturating_mul(usage.block_size).saturating_mul(512)
}

/// How far the writing back is; `total` is the most that was left at any look.
pub(crate) fn progress(left: u64, total: &mut u64) -> MoveProgress {
    *total = left.max(*total);
    MoveProgress {
        moved: total.saturating_sub(left),
        total: *total,
    }
}

/// Refuses a kernel without caches.
///
/// # Errors
/// [`Error::NoCacheTarget`].
fn check_target(inner: &Inner) -> Result<(), Error> {
    match inner.mapper.has_target(TARGET).map_err(Error::Dm)? {
        true => Ok(()),
        false => Err(Error::NoCacheTarget),
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

/// The cache that the kernel has mapped for a device.
fn mapped(inner: &Inner, uuid: &DmUuid) -> Result<Option<lvm_dm::Cache>, Error> {
    let table = inner
        .mapper
        .table(DeviceId::Uuid(uuid), false)
        .map_err(Error::Dm)?;
    Ok(match table.lines() {
        [line] => match &line.target {
            Target::Cache(cache) => Some(cache.clone()),
            _ => None,
        },
        _ => None,
    })
}

/// Fails unless a cache that is mapped holds nothing that the origin does not have, and can hold no more such.
///
/// # Errors
/// [`Error::CacheState`].
pub(crate) fn check_clean(mapper: &dyn DeviceMapper, uuid: &DmUuid, lv: &str) -> Result<(), Error> {
    match usage(mapper, uuid, lv)?.is_clean() {
        true => Ok(()),
        false => Err(Error::CacheState {
            lv: lv.into(),
            state: DIRTY.into(),
        }),
    }
}
