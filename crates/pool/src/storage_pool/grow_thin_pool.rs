//! Making the thin pool larger, under I/O.

use lvm_meta::detail::Detail;
use lvm_meta::{AllocPolicy, AllocRequest, Extents, Lv, LvRole, PvFilter, Vg};

use super::StoragePool;
use super::raid_replicas;
use super::resize_replica::{alloc_error, extents, last_layout};
use super::thin_pool::whole;
use super::thin_volumes::pool_name;
use crate::apply::Step;
use crate::info::PoolInfo;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::request::check_size;
use crate::system::Inner;
use crate::thin::policy::ThinPart;
use crate::thin::sizes::MOST_METADATA;
use crate::thin::stack::{self, Layers};
use crate::thin::{PoolLv, mend, usage};
use crate::{Error, Layout};

impl StoragePool {
    /// Makes the data of the thin pool, its metadata, or both so many bytes large, rounded up to whole extents and, of
    /// the data, chunks; under I/O if the pool is active.  Durable when this returns.  The size that a part has already
    /// is success without a commit for it.
    ///
    /// Each part is a commit of its own, the metadata first: a pool that is short of them cannot take more data.  What
    /// writes to a full pool waited for goes on.  A spare for the metadata that LVM made grows with them while there
    /// is room.
    ///
    /// # Errors
    /// [`Error::NoThinPool`], [`Error::ManyThinPools`]; [`Error::NoSpace`]; [`Error::InvalidArgument`] for less than there is, and for more metadata
    /// than the kernel uses; [`Error::ThinPoolState`] for a pool that takes no space (`failed`, `needs_check`, and of
    /// data `read_only`); nothing is changed by these, but that of two parts the first may have grown.
    /// [`Error::AfterCommit`] with [`Error::ThinPoolState`] when the kernel did not take the space after all.
    pub fn extend_thin_pool(&self, data: Option<u64>, metadata: Option<u64>) -> Result<PoolInfo, Error> {
        self.extend_chosen(None, data, metadata)
    }

    /// As [`StoragePool::extend_thin_pool`], of the thin pool whose LV has this name, whoever made it.
    ///
    /// # Errors
    /// As there; [`Error::LvNotFound`], [`Error::InvalidArgument`] for an LV that is no thin pool.
    pub fn extend_thin_pool_named(
        &self,
        name: &str,
        data: Option<u64>,
        metadata: Option<u64>,
    ) -> Result<PoolInfo, Error> {
        self.extend_chosen(Some(name), data, metadata)
    }

    fn extend_chosen(
        &self,
        name: Option<&str>,
        data: Option<u64>,
        metadata: Option<u64>,
    ) -> Result<PoolInfo, Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        let name = pool_name(&open, name)?;
        // What somebody left who is no more must not stand in the way of somebody who stays.
        mend::mend(inner, &open, &name)?;
        let mut plan = Vec::new();
        for (part, bytes) in [(ThinPart::Metadata, metadata), (ThinPart::Data, data)] {
            let Some(bytes) = bytes else { continue };
            let to = wanted(&open, &name, part, bytes)?;
            plan.extend(to.map(|to| (part, to)));
        }
        // Both or none, as far as can be told before.
        if plan.len() > 1 {
            let mut vg = open.vg.clone();
            for (part, to) in &plan {
                add_extents(&mut vg, &name, *part, *to)?;
            }
        }
        for (part, to) in plan {
            grow_part(inner, &mut open, &name, part, to, None)?;
        }
        Ok(super::info(inner, &open))
    }
}

/// The extents that a part shall have for `bytes`; `None` if it has them.
///
/// # Errors
/// [`Error::InvalidArgument`], [`Error::NoSpace`] for a size beyond the format.
fn wanted(open: &OpenVg, pool: &str, part: ThinPart, bytes: u64) -> Result<Option<Extents>, Error> {
    check_size(bytes)?;
    let (vg, lv) = (&open.vg, part_of(open, pool, part)?);
    let now = lv.extent_count();
    let refuse = |why| {
        Err(Error::InvalidArgument {
            what: match part {
                ThinPart::Data => "thin pool size",
                ThinPart::Metadata => "thin metadata size",
            },
            given: bytes.to_string(),
            why,
        })
    };
    if vg.extent_size().extents_ceil(bytes) == Some(now) {
        return Ok(None);
    }
    let to = match part {
        ThinPart::Data => whole(vg, bytes, found(open, pool)?.chunk())?,
        ThinPart::Metadata if bytes > MOST_METADATA => return refuse("it is 15.8 GiB at most".into()),
        ThinPart::Metadata => whole(vg, bytes, 1)?,
    };
    if to < now {
        let size = vg.extent_size().to_bytes(now).unwrap_or(u64::MAX);
        return refuse(format!("it has {size} bytes, and no thin pool becomes smaller"));
    }
    if let Some(array) = Array::of(vg, lv) {
        array.check()?;
        let bytes = vg.extent_size().to_bytes(to).unwrap_or(u64::MAX);
        return array.sized(bytes).map(|(to, _)| Some(to).filter(|to| *to > now));
    }
    let more = to.checked_sub(now).unwrap_or(Extents::ZERO);
    let bytes = vg.extent_size().to_bytes(more).unwrap_or(u64::MAX);
    let (_, more) = extents(vg, last_layout(lv)?, bytes)?;
    Ok(now.checked_add(more).filter(|to| *to > now))
}

/// Makes a part of a pool so many extents large; more than it has, in whole stripes.  The caller holds the VG's lock.
///
/// With a `threshold` the kernel's event comes when so many percent of the data are in use; else when it came before.
///
/// # Errors
/// As [`StoragePool::extend_thin_pool`].
pub(super) fn grow_part(
    inner: &Inner,
    open: &mut OpenVg,
    pool: &str,
    part: ThinPart,
    to: Extents,
    threshold: Option<u32>,
) -> Result<(), Error> {
    let layers = Layers::of(open, &found(open, pool)?)?;
    let is_active = layers.pool.info(inner)?.is_some_and(|info| info.live_table);
    if is_active {
        check_growable(inner, open, pool, part)?;
    }
    let size = open.vg.extent_size().to_bytes(to).unwrap_or(u64::MAX);
    let description = format!("extend the {part} of thin pool {pool} to {size} bytes");
    open.change(inner, &description, |change| {
        add_extents(change.edit(), pool, part, to)?;
        if !is_active {
            change.step(Step::Commit);
            return Ok(());
        }
        let open = change.open();
        let found = found(open, pool)?;
        let layer = match part {
            ThinPart::Data => &layers.data,
            ThinPart::Metadata => &layers.metadata,
        };
        let low_water = match threshold {
            Some(percent) => stack::low_water_at(stack::chunks(open, &found), percent),
            None => stack::kept_low_water(inner, open, &found, &layers.pool.table(inner)?),
        };
        let replace = stack::replace_part(inner, open, layer, part_of(open, pool, part)?)?;
        let [load, suspend] = layers.reload(inner, open, &found, low_water)?;
        let resume = layers.pool.resume();
        let then = [load, suspend, Step::Commit, resume, Step::Settle];
        replace.into_iter().chain(then).for_each(|step| change.step(step));
        Ok(())
    })?;
    match is_active {
        true => check_grown(inner, open, pool, part, size),
        false => Ok(()),
    }
}

/// Gives a part of a pool more extents in a VG.
fn add_extents(vg: &mut Vg, pool: &str, part: ThinPart, to: Extents) -> Result<(), Error> {
    let no_pool = |vg: &Vg| Error::NoThinPool {
        pool: vg.name().into(),
    };
    let detail = PoolLv::named(vg, pool).ok_or_else(|| no_pool(vg))?.detail;
    match part {
        ThinPart::Data => {
            extend_lv(vg, &detail.data, to)?;
            let extents = vg.lv(&detail.data).ok_or_else(|| no_pool(vg))?.extent_count();
            vg.set_detail(pool, extents, &Detail::ThinPool(detail))
                .map_err(Error::Meta)
        }
        ThinPart::Metadata => {
            extend_lv(vg, &detail.metadata, to)?;
            // A repair needs a spare as large as what it repairs; without one it asks for space then.
            let spare = vg.lvs().find(|lv| vg.role(lv) == LvRole::PoolSpare);
            let short = spare.filter(|spare| spare.extent_count() < to);
            match short.map(|spare| spare.name().to_string()) {
                Some(name) => match extend_lv(vg, &name, to) {
                    Err(Error::NoSpace { .. } | Error::Unsupported(_)) => Ok(()),
                    result => result,
                },
                None => Ok(()),
            }
        }
    }
}

fn extend_lv(vg: &mut Vg, name: &str, to: Extents) -> Result<(), Error> {
    let lv = vg.lv(name).ok_or_else(|| Error::NotActive(name.into()))?;
    if let Some(array) = Array::of(vg, lv) {
        let image = array.sized(vg.extent_size().to_bytes(to).unwrap_or(u64::MAX))?.1;
        return raid_replicas::extend(vg, name, image);
    }
    let more = to.checked_sub(lv.extent_count()).unwrap_or(Extents::ZERO);
    let bytes = vg.extent_size().to_bytes(more).unwrap_or(u64::MAX);
    let (layout, more) = extents(vg, last_layout(lv)?, bytes)?;
    let request = AllocRequest {
        extents: more,
        layout,
        policy: AllocPolicy::Inherit,
        extend: Some(name),
        pvs: PvFilter::All,
        max_per_pv: None,
    };
    let segments = lvm_meta::allocate(vg, &request).map_err(|error| alloc_error(vg, bytes, error))?;
    vg.extend_lv(name, segments).map_err(Error::Meta)
}

/// Refuses a pool whose kernel would take no space, or be hurt by it: one that is out of metadata breaks when it is to
/// note more data.
fn check_growable(inner: &Inner, open: &OpenVg, pool: &str, part: ThinPart) -> Result<(), Error> {
    let status = usage::status(inner, open, &found(open, pool)?)?;
    match (usage::state(status.mode, status.needs_check), part) {
        (state @ ("failed" | "needs_check"), _) | (state @ "read_only", ThinPart::Data) => {
            Err(Error::ThinPoolState {
                pool: open.vg.name().into(),
                state,
            })
        }
        _ => Ok(()),
    }
}

/// Looks that the kernel has the space: it succeeds without taking it when the pool needs a check.
fn check_grown(inner: &Inner, open: &OpenVg, pool: &str, part: ThinPart, size: u64) -> Result<(), Error> {
    let found = found(open, pool)?;
    // It is committed, whether the kernel tells or not.
    let status = usage::status(inner, open, &found).map_err(|error| Error::AfterCommit(Box::new(error)))?;
    let is_grown = match part {
        ThinPart::Data => status.data_blocks >= stack::chunks(open, &found),
        ThinPart::Metadata => status.metadata_blocks >= size.min(MOST_METADATA) / usage::METADATA_BLOCK,
    };
    if is_grown {
        return Ok(());
    }
    let state = match usage::state(status.mode, status.needs_check) {
        "online" => "not_grown",
        word => word,
    };
    Err(Error::AfterCommit(Box::new(Error::ThinPoolState {
        pool: open.vg.name().into(),
        state,
    })))
}

fn found<'a>(open: &'a OpenVg, pool: &str) -> Result<PoolLv<'a>, Error> {
    PoolLv::named(&open.vg, pool).ok_or_else(|| Error::NoThinPool {
        pool: open.vg.name().into(),
    })
}

/// The LV of a part of a pool.
pub(super) fn part_of<'a>(open: &'a OpenVg, pool: &str, part: ThinPart) -> Result<&'a Lv, Error> {
    let [data, metadata] = found(open, pool)?.parts(&open.vg)?;
    Ok(match part {
        ThinPart::Data => data,
        ThinPart::Metadata => metadata,
    })
}

/// How many extents a part goes on by for `more`: whole stripes, and no more than there is room for.
///
/// # Errors
/// [`Error::Unsupported`] for a part that does not grow.
pub(super) fn room(vg: &Vg, lv: &Lv, more: Extents) -> Result<Extents, Error> {
    let Some(array) = Array::of(vg, lv) else {
        let free = u32::try_from(vg.free_extents()).unwrap_or(u32::MAX);
        return whole_stripes(vg, lv, more.min(Extents::new(free)));
    };
    let more = whole_stripes(vg, lv, more)?;
    let data = u32::try_from(array.detail.data_images()).unwrap_or(u32::MAX);
    let image = more.get().checked_div(data).unwrap_or(0);
    // What is free for one image depends on where the others lie: the most that can be had is looked for.
    let (mut least, mut most) = (0, image);
    while least < most {
        let tried = least + (most - least).div_ceil(2);
        match raid_replicas::has_room(vg, &array, Extents::new(tried)) {
            true => least = tried,
            false => most = tried.saturating_sub(1),
        }
    }
    Ok(Extents::new(least.saturating_mul(data)))
}

/// Whole stripes of a part that goes on: `extents` more or fewer.
///
/// # Errors
/// [`Error::Unsupported`] for a part that does not grow.
pub(super) fn whole_stripes(vg: &Vg, lv: &Lv, extents: Extents) -> Result<Extents, Error> {
    let unit = match Array::of(vg, lv) {
        Some(array) => {
            array.check()?;
            u32::try_from(array.detail.data_images()).unwrap_or(u32::MAX)
        }
        None => match last_layout(lv)? {
            Layout::Striped { stripes, .. } => stripes,
            Layout::Linear | Layout::Raid { .. } => 1,
        },
    };
    let rest = extents.get().checked_rem(unit).unwrap_or(0);
    Ok(Extents::new(extents.get().saturating_sub(rest)))
}
