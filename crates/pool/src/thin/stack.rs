//! The devices of a thin pool: data and metadata below, the pool on them, thin LVs on the pool.
//!
//! Their names and uuids are LVM's, so the tools take the devices for their own.  Reference: LVM2
//! `lib/activate/dev_manager.c`, `libdm/libdm-deptree.c`.

use lvm_dm::{DeviceInfo, DeviceNumber, Table, Target, TargetLine};
use lvm_meta::{Extents, Lv};

use super::PoolLv;
use crate::apply::Step;
use crate::layer::{Layer, is_cut};
use crate::open_vg::OpenVg;
use crate::raid::{Array, Degraded, First};
use crate::request::CreateThinPool;
use crate::system::Inner;
use crate::{Error, Layout, raid};

/// The kernel's target of thin pools, by which a host without it is told.
const TARGET: &str = "thin-pool";

/// The devices of a thin pool, from the bottom up.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    pub(crate) data: Layer,
    pub(crate) metadata: Layer,
    pub(crate) pool: Layer,
    /// What LVM shows of a pool that it was told to activate by name: the pool, read-only.  We make none.
    front: Layer,
    /// The parts of the arrays that data and metadata may be.
    below: Vec<Layer>,
}

impl Layers {
    pub(crate) fn of(open: &OpenVg, pool: &PoolLv<'_>) -> Result<Self, Error> {
        let [data, metadata] = pool.parts(&open.vg)?;
        let mut below = Vec::new();
        for array in arrays(open, pool)? {
            let layers = array.parts().map(|part| array.layer(part));
            below.extend(layers.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self {
            below,
            data: Layer::of(&open.vg, data, "", "tdata")?,
            metadata: Layer::of(&open.vg, metadata, "", "tmeta")?,
            pool: Layer::of(&open.vg, pool.lv, "tpool", "tpool")?,
            front: Layer::of(&open.vg, pool.lv, "", "pool")?,
        })
    }

    /// The table of the pool over its parts, which are there.
    fn pool_table(
        &self,
        inner: &Inner,
        open: &OpenVg,
        pool: &PoolLv<'_>,
        low_water: u64,
    ) -> Result<Table, Error> {
        let (metadata, data) = (self.metadata.number(inner)?, self.data.number(inner)?);
        Ok(pool_table(open, pool, metadata, data, low_water))
    }

    /// The steps that give the pool the table of the metadata: what comes next is [`Layer::resume`].
    pub(crate) fn reload(
        &self,
        inner: &Inner,
        open: &OpenVg,
        pool: &PoolLv<'_>,
        low_water: u64,
    ) -> Result<[Step; 2], Error> {
        Ok(self.pool.reload(self.pool_table(inner, open, pool, low_water)?))
    }

    /// The steps that take away those of the devices that are there, from the top down.
    pub(crate) fn deactivate(&self, inner: &Inner) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let layers = [&self.front, &self.pool, &self.metadata, &self.data];
        for layer in layers.into_iter().chain(&self.below) {
            if layer.info(inner)?.is_some() {
                steps.push(layer.remove());
            }
        }
        Ok(steps)
    }
}

/// Is data or metadata of a pool gone with disks that are missing?
pub(crate) fn is_lost(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> Result<bool, Error> {
    let vg = &open.vg;
    let is_lost = |part: &Lv| match Array::of(vg, part) {
        Some(array) => !array.survives(&array.holding(inner, open)),
        None => raid::areas(vg, part).any(|pv| pv.is_some_and(|pv| open.device(pv).is_none())),
    };
    Ok(pool.parts(vg)?.into_iter().any(is_lost))
}

/// The arrays among data and metadata of a pool.
pub(crate) fn arrays<'a>(
    open: &'a OpenVg,
    pool: &PoolLv<'a>,
) -> Result<impl Iterator<Item = Array<'a>>, Error> {
    let parts = pool.parts(&open.vg)?.into_iter();
    Ok(parts.filter_map(|part| Array::of(&open.vg, part)))
}

/// The steps that give a part of a pool, which is mapped, the table of the metadata under the pool.
pub(crate) fn replace_part(
    inner: &Inner,
    open: &OpenVg,
    layer: &Layer,
    part: &Lv,
) -> Result<Vec<Step>, Error> {
    match Array::of(&open.vg, part) {
        Some(array) => {
            array.check()?;
            array.replace(inner, open)
        }
        None => Ok(vec![
            layer.replace(open.table_of_part(part)?, layer.table(inner)?),
        ]),
    }
}

/// The table of a thin pool over these devices.
fn pool_table(
    open: &OpenVg,
    pool: &PoolLv<'_>,
    metadata: DeviceNumber,
    data: DeviceNumber,
    low_water: u64,
) -> Table {
    let detail = &pool.detail;
    let mut features = Vec::new();
    if !detail.zero_new_blocks {
        features.push("skip_block_zeroing");
    }
    match detail.discards.as_deref() {
        Some("passdown") => {}
        Some("nopassdown") => features.push("no_discard_passdown"),
        _ => features.push("ignore_discard"),
    }
    if pool.lv.flags().contains(lvm_meta::LvFlags::ERROR_WHEN_FULL) {
        features.push("error_if_no_space");
    }
    one_line(
        open,
        pool.lv.extent_count(),
        Target::ThinPool(lvm_dm::ThinPool {
            metadata,
            data,
            chunk: detail.chunk_size.get(),
            low_water,
            features: features.into_iter().map(Into::into).collect(),
        }),
    )
}

/// A table of one line as long as an LV.
pub(crate) fn one_line(open: &OpenVg, extents: Extents, target: Target) -> Table {
    Table::new(vec![TargetLine {
        start: 0,
        length: open.vg.extent_size().to_sectors(extents).get(),
        target,
    }])
}

/// How many free chunks make an event, by LVM's own threshold for extending pools.
pub(crate) fn low_water(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> u64 {
    let threshold = inner.config.activation.thin_pool_autoextend_threshold;
    low_water_at(chunks(open, pool), threshold.clamp(50, 100))
}

/// How many of `chunks` are free when `percent` of them are used.
pub(crate) fn low_water_at(chunks: u64, percent: u32) -> u64 {
    share(chunks, u64::from(100_u32.saturating_sub(percent)), 100)
}

/// As [`low_water`], and no fewer than somebody asked for in the table that is mapped.
pub(crate) fn kept_low_water(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>, mapped: &Table) -> u64 {
    let kept = mapped.lines().first().and_then(|line| match &line.target {
        Target::ThinPool(mapped) => {
            let before = line.length.checked_div(mapped.chunk)?;
            Some(share(chunks(open, pool), mapped.low_water, before))
        }
        _ => None,
    });
    low_water(inner, open, pool).max(kept.unwrap_or(0))
}

/// The chunks of a pool, of which only whole ones count.
pub(crate) fn chunks(open: &OpenVg, pool: &PoolLv<'_>) -> u64 {
    let sectors = open.vg.extent_size().to_sectors(pool.lv.extent_count()).get();
    sectors.checked_div(pool.detail.chunk_size.get()).unwrap_or(0)
}

/// `part` out of `whole`, of `all`.
fn share(all: u64, part: u64, whole: u64) -> u64 {
    let share = (u128::from(all) * u128::from(part)).checked_div(u128::from(whole));
    share.map_or(0, |share| u64::try_from(share).unwrap_or(all))
}

/// Refuses a kernel without thin provisioning.
///
/// # Errors
/// [`Error::NoThinTarget`].
pub(crate) fn check_target(inner: &Inner) -> Result<(), Error> {
    match inner.mapper.has_target(TARGET).map_err(Error::Dm)? {
        true => Ok(()),
        false => Err(Error::NoThinTarget),
    }
}

/// Refuses a host that cannot map a thin pool to be.
///
/// # Errors
/// [`Error::NoThinTarget`], [`Error::NoRaidTarget`], [`Error::Unsupported`].
pub(crate) fn check_targets(inner: &Inner, request: &CreateThinPool) -> Result<(), Error> {
    check_target(inner)?;
    match request.layout {
        Layout::Raid { level, .. } => raid::check_target(inner, level.lvm()),
        _ => Ok(()),
    }
}

/// Makes the pool's device if it is not there, and gives its state.  The caller holds the VG's lock.
///
/// # Errors
/// [`Error::NoThinTarget`], [`Error::NoRaidTarget`], [`Error::MissingDisk`], [`Error::Dm`]; what was made is gone again then.
pub(crate) fn ensure_active(
    inner: &Inner,
    open: &OpenVg,
    pool: &PoolLv<'_>,
    degraded: Degraded,
) -> Result<DeviceInfo, Error> {
    let layers = Layers::of(open, pool)?;
    let mut found = layers.pool.info(inner)?;
    if found.as_ref().is_none_or(is_cut) {
        // What somebody left half made who is no more: the lock is the caller's.
        super::mend::mend(inner, open, pool.lv.name())?;
        found = layers.pool.info(inner)?;
    }
    if let Some(info) = found.filter(|info| info.live_table) {
        // LVM shows a pool that never had a thin LV under the pool's own name, until it has one.
        if info.name != layers.pool.name {
            layers.pool.rename(inner, &info.name)?;
            inner.nodes.unlink(open.vg.name(), pool.lv.name())?;
        }
        return Ok(info);
    }
    check_target(inner)?;
    let made = make(inner, open, pool, &layers, degraded);
    if made.is_err()
        && let Ok(steps) = layers.deactivate(inner)
    {
        // The first error is the one to tell.
        let _ = inner.kernel().apply(None, &steps);
    }
    made
}

fn make(
    inner: &Inner,
    open: &OpenVg,
    pool: &PoolLv<'_>,
    layers: &Layers,
    degraded: Degraded,
) -> Result<DeviceInfo, Error> {
    let parts = pool.parts(&open.vg)?;
    let mut steps = Vec::new();
    for (layer, part) in [&layers.data, &layers.metadata].into_iter().zip(parts) {
        if layer.info(inner)?.is_some_and(|info| info.live_table) {
            continue;
        }
        match Array::of(&open.vg, part) {
            Some(array) => {
                steps.extend(array.create(inner, open, First::No, degraded)?);
                steps.push(layer.resume());
            }
            None => steps.extend(layer.activate(open.table_of_part(part)?)),
        }
    }
    inner.kernel().apply(None, &steps)?;
    let table = layers.pool_table(inner, open, pool, low_water(inner, open, pool))?;
    inner.kernel().apply(None, &layers.pool.activate(table))?;
    let info = layers.pool.info(inner)?;
    info.ok_or_else(|| Error::NotActive(layers.pool.name.to_string()))
}

/// The number of the pool's device.
///
/// # Errors
/// [`Error::NotActive`].
pub(crate) fn pool_number(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> Result<DeviceNumber, Error> {
    let layer = Layers::of(open, pool)?.pool;
    match layer.info(inner)?.filter(|info| info.live_table) {
        Some(info) => Ok(info.number),
        None => Err(Error::NotActive(layer.name.to_string())),
    }
}
