//! What a cut change of a thin pool's size leaves, and putting it right.
//!
//! A change gives a part of the pool its longer table, stages the pool's, stops the pool, commits, and lets it go on.
//! Cut before the commit, the part is longer than the metadata says; cut after it, the pool stands still.  Whoever
//! finds either gives all devices the tables of the metadata, the parts first: a pool takes what space its parts have
//! the moment it goes on, and must not take what may be another LV's by then.

use lvm_dm::DeviceInfo;
use lvm_meta::{Lv, Sectors};

use super::stack::{self, Layers};
use super::{PoolLv, usage};
use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::system::Inner;
use crate::{Error, raid};

/// Sectors of metadata that LVM maps at most in pools that it marks so.
const CROPPED: u64 = 255 * (1 << 14) * 8 - (256 << 10);

/// A device of a pool beside what the metadata says of it.
struct Found<'a> {
    layer: &'a Layer,
    /// `None` if there is no device.
    info: Option<DeviceInfo>,
    /// Sectors that are mapped.
    length: u64,
    /// Sectors that the metadata has.
    wanted: u64,
}

impl<'a> Found<'a> {
    fn of(inner: &Inner, open: &OpenVg, layer: &'a Layer, lv: &Lv) -> Result<Self, Error> {
        let info = layer.info(inner)?;
        let length = match &info {
            Some(info) if info.live_table => layer.table(inner)?.length(),
            _ => 0,
        };
        let wanted = open.vg.extent_size().to_sectors(lv.extent_count()).get();
        Ok(Self {
            layer,
            info,
            length,
            wanted,
        })
    }

    fn is_live(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.live_table)
    }

    /// Was it made and never mapped?
    fn is_empty(&self) -> bool {
        self.info.as_ref().is_some_and(|info| !info.live_table)
    }

    /// Is it stopped, or is a table staged?
    fn is_midway(&self) -> bool {
        let midway = |info: &DeviceInfo| info.suspended || info.inactive_table;
        self.info.as_ref().is_some_and(midway)
    }
}

/// The devices of a pool as they are.
struct Stack<'a> {
    /// Data and metadata.
    parts: [(Found<'a>, &'a Lv); 2],
    pool: Found<'a>,
}

impl<'a> Stack<'a> {
    fn look(inner: &Inner, open: &'a OpenVg, pool: &PoolLv<'a>, layers: &'a Layers) -> Result<Self, Error> {
        let [data, metadata] = pool.parts(&open.vg)?;
        let mut found = Found::of(inner, open, &layers.metadata, metadata)?;
        if pool.detail.crop_metadata == Some(true) {
            found.wanted = found.wanted.min(CROPPED);
        }
        Ok(Self {
            parts: [
                (Found::of(inner, open, &layers.data, data)?, data),
                (found, metadata),
            ],
            pool: Found::of(inner, open, &layers.pool, pool.lv)?,
        })
    }

    /// Is the kernel ahead of the metadata, as after a restore of older ones?  No pool becomes smaller.
    fn is_ahead(&self) -> bool {
        self.pool.length > self.pool.wanted
    }

    /// Those of the parts that have another table than the metadata say, or are on their way to it.  One whose table is
    /// LVM's alone to make is none of them, nor one that somebody looks into while the pool is inactive.
    fn cut_parts(&self, open: &OpenVg) -> impl Iterator<Item = (&Found<'a>, &'a Lv)> {
        let cut = self.parts.iter().filter(|(part, _)| {
            let differs = self.pool.is_live() && part.length != part.wanted;
            part.is_live() && (part.is_midway() || differs)
        });
        let is_ours = |lv: &Lv| match Array::of(&open.vg, lv) {
            Some(array) => array.check().is_ok(),
            None => open.table_of_part(lv).is_ok(),
        };
        cut.map(|(part, lv)| (part, *lv))
            .filter(move |(_, lv)| is_ours(lv))
    }

    fn is_pool_cut(&self) -> bool {
        self.pool.is_live() && (self.pool.is_midway() || self.pool.length != self.pool.wanted)
    }
}

/// Is a device of the pool stopped, staged, without a table, or of another size than the metadata says?
pub(crate) fn is_cut(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> Result<bool, Error> {
    let layers = Layers::of(open, pool)?;
    let found = Stack::look(inner, open, pool, &layers)?;
    let is_empty = found.pool.is_empty() || found.parts.iter().any(|(part, _)| part.is_empty());
    Ok(is_empty || !found.is_ahead() && (found.is_pool_cut() || found.cut_parts(open).next().is_some()))
}

/// Gives the devices of a pool the tables of the metadata where a cut change left others, and lets I/O go on.  The
/// caller holds the VG's lock.
///
/// A device without a table, of an activation that was cut, goes away.
///
/// # Errors
/// [`Error::ThinPoolState`] when the kernel has put something where the metadata have nothing: nobody may take it away.
pub(crate) fn mend(inner: &Inner, open: &OpenVg, name: &str) -> Result<(), Error> {
    let Some(pool) = PoolLv::named(&open.vg, name) else {
        return Ok(());
    };
    let layers = Layers::of(open, &pool)?;
    let found = Stack::look(inner, open, &pool, &layers)?;
    let mut steps = Vec::new();
    for device in [&found.pool, &found.parts[1].0, &found.parts[0].0] {
        if device.is_empty() {
            steps.push(device.layer.remove());
        }
    }
    if found.is_ahead() {
        return inner.kernel().apply(None, &steps);
    }
    let [_, (metadata, _)] = &found.parts;
    if metadata.length > metadata.wanted
        && found.pool.is_live()
        && let Ok(status) = usage::status(inner, open, &pool)
        && status.metadata_blocks > metadata.wanted * Sectors::SIZE / usage::METADATA_BLOCK
    {
        return Err(Error::ThinPoolState {
            pool: open.vg.name().into(),
            state: "ahead_of_metadata",
        });
    }
    for (part, lv) in found.cut_parts(open) {
        steps.extend(stack::replace_part(inner, open, part.layer, lv)?);
    }
    inner.kernel().apply(None, &steps)?;
    for array in stack::arrays(open, &pool)? {
        let steps = raid::mend::steps(inner, open, &array)?;
        inner.kernel().apply(None, &steps)?;
    }
    // By itself: when the pool does not go on, its parts must not get the tables back that they had.
    if found.is_pool_cut() {
        let low_water = stack::kept_low_water(inner, open, &pool, &layers.pool.table(inner)?);
        let [load, suspend] = layers.reload(inner, open, &pool, low_water)?;
        inner
            .kernel()
            .apply(None, &[load, suspend, layers.pool.resume()])?;
    }
    Ok(())
}
