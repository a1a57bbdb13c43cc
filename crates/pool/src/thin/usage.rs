//! What a thin pool and its volumes take: by the kernel's word where it has them, else by the kernel's own metadata.

use std::cell::OnceCell;
use std::io;
use std::ops::RangeInclusive;

use lvm_dm::{DeviceId, ThinMetadata, ThinPoolMode, ThinPoolStatus};
use lvm_meta::detail::Thin;
use lvm_meta::{Lv, Sectors};

use super::{PoolLv, protocol, stack};
use crate::info::{ArrayInfo, State, ThinPoolInfo};
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::system::Inner;
use crate::{Error, replica};

/// Bytes of a block of the kernel's metadata.
pub(crate) const METADATA_BLOCK: u64 = 4096;

/// The word for a pool's state.
pub(crate) fn state(mode: ThinPoolMode, needs_check: bool) -> &'static str {
    match mode {
        ThinPoolMode::Failed => "failed",
        _ if needs_check => "needs_check",
        ThinPoolMode::ReadOnly => "read_only",
        ThinPoolMode::OutOfDataSpace => "out_of_data_space",
        _ => "online",
    }
}

/// Whether the volumes of a pool in that state serve.
pub(crate) fn health(state: &str) -> State {
    match state {
        "online" | "inactive" => State::Online,
        "failed" => State::Faulted,
        _ => State::Degraded,
    }
}

/// Blocks of metadata that are kept free for deletions: a quarter of all, and no more than these.
const RESERVE: u64 = 1024;

/// Is what is left of so many blocks of metadata kept for deletions?
pub(crate) fn is_short_of_metadata(used: u64, blocks: u64) -> bool {
    blocks.saturating_sub(used) < (blocks / 4).min(RESERVE)
}

/// What the pool's device says; without waiting for what is not committed yet, which a sick pool would wait for for ever.
///
/// # Errors
/// [`Error::NotActive`], [`Error::ThinPoolState`] for an answer that no pool gives.
pub(crate) fn status(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> Result<ThinPoolStatus, Error> {
    let layer = stack::Layers::of(open, pool)?.pool;
    let lines = inner
        .mapper
        .status(DeviceId::Uuid(&layer.uuid), true)
        .map_err(Error::Dm)?;
    let status = lines.first().and_then(ThinPoolStatus::parse);
    status.ok_or_else(|| Error::NotActive(layer.name.to_string()))
}

/// All devices of a pool.
pub(crate) const ALL: RangeInclusive<u32> = 0..=u32::MAX;

/// The kernel's metadata of a pool with the devices of these numbers, as last committed; `None` for a pool that was never
/// used.
///
/// # Errors
/// [`Error::Dm`] for metadata that cannot be read, [`Error::MissingDisk`], [`Error::Unsupported`] for an array of which no image
/// is known to have them all.
pub(crate) fn metadata(
    inner: &Inner,
    open: &OpenVg,
    pool: &PoolLv<'_>,
    devices: RangeInclusive<u32>,
) -> Result<Option<ThinMetadata>, Error> {
    let [_, part] = pool.parts(&open.vg)?;
    let part = match Array::of(&open.vg, part) {
        // What is mapped is read from one of the copies: the kernel's cache of the array's device knows nothing of what the
        // pool writes.
        Some(array) => array.fresh_copy(inner, open).ok_or_else(|| {
            let layout = array.detail.layout.as_str();
            Error::Unsupported(format!("reading thin metadata on {layout}"))
        })?,
        None => part,
    };
    let table = open.table_of_part(part)?;
    let sectors = METADATA_BLOCK / Sectors::SIZE;
    // Extents are whole blocks but for the smallest; a part of a pool is never striped by us, and LVM's may be.
    ThinMetadata::read_devices(devices, &mut |block, bytes| {
        let sector = block.checked_mul(sectors);
        let sector = sector.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        open.read_mapped(&table, sector, bytes)
    })
    .map_err(Error::Dm)
}

/// What is known of a pool's space, asked for once at most.
pub(crate) struct Usage<'a> {
    inner: &'a Inner,
    open: &'a OpenVg,
    /// The devices that are asked about.
    devices: RangeInclusive<u32>,
    pub(crate) pool: PoolLv<'a>,
    metadata: OnceCell<Option<ThinMetadata>>,
    /// Of an active pool.
    status: OnceCell<Option<ThinPoolStatus>>,
    arrays: OnceCell<Option<(State, ArrayInfo)>>,
}

impl<'a> Usage<'a> {
    pub(crate) fn new(
        inner: &'a Inner,
        open: &'a OpenVg,
        pool: PoolLv<'a>,
        devices: RangeInclusive<u32>,
    ) -> Self {
        Self {
            inner,
            open,
            devices,
            pool,
            metadata: OnceCell::new(),
            status: OnceCell::new(),
            arrays: OnceCell::new(),
        }
    }

    fn metadata(&self) -> Option<&ThinMetadata> {
        let read = || {
            let devices = self.devices.clone();
            metadata(self.inner, self.open, &self.pool, devices)
                .ok()
                .flatten()
        };
        self.metadata.get_or_init(read).as_ref()
    }

    /// What the kernel says of the pool, if it is active.
    fn status(&self) -> Option<ThinPoolStatus> {
        let told = || status(self.inner, self.open, &self.pool).ok();
        *self.status.get_or_init(told)
    }

    /// Whether the pool serves its volumes.
    pub(crate) fn health(&self) -> State {
        self.status().map_or(State::Online, |status| {
            health(state(status.mode, status.needs_check))
        })
    }

    /// The transaction that the kernel has, if it is not of the moment of LVM's metadata.
    pub(crate) fn other_moment(&self) -> Option<u64> {
        let status = self
            .status()
            .filter(|status| status.mode != ThinPoolMode::Failed)?;
        (!protocol::is_of_moment(&self.pool, status.transaction_id)).then_some(status.transaction_id)
    }

    /// The arrays that the pool lies on: the state of the worst, and all images.
    pub(crate) fn arrays(&self) -> Option<&(State, ArrayInfo)> {
        let told = || {
            let arrays = stack::arrays(self.open, &self.pool).ok()?;
            let told = arrays.map(|array| array.health(self.inner, self.open, true));
            told.reduce(|(state, info), (other_state, other)| (state.max(other_state), info.and(other)))
        };
        self.arrays.get_or_init(told).as_ref()
    }

    /// Bytes of the chunks that a thin LV of the pool has by the kernel's metadata.
    pub(crate) fn noted(&self, thin: &Thin) -> Option<u64> {
        let Some(metadata) = self.metadata() else {
            return (self.pool.detail.transaction_id == 0).then_some(0);
        };
        let device = metadata.devices.get(&thin.device_id)?;
        device.mapped.checked_mul(self.pool.chunk())
    }

    /// Has the pool still to be told something?
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.pool.detail.messages.is_empty()
    }

    /// The pool's properties; `None` for one without its parts.
    pub(crate) fn pool_info(&self) -> Option<ThinPoolInfo> {
        let pool = &self.pool;
        let vg = &self.open.vg;
        let bytes = |lv: &Lv| vg.extent_size().to_bytes(lv.extent_count()).unwrap_or(u64::MAX);
        let [data_lv, metadata_lv] = pool.parts(vg).ok()?;
        let (array_state, array) = self.arrays().cloned().unzip();
        let (data_size, metadata_size) = (bytes(pool.lv), bytes(metadata_lv));
        let info = |data_used: u64, metadata_used: u64, state| ThinPoolInfo {
            name: pool.lv.name().into(),
            chunk_size: pool.chunk(),
            data_size,
            data_used: data_used.saturating_mul(pool.chunk()).min(data_size),
            metadata_size,
            metadata_used: metadata_used.saturating_mul(METADATA_BLOCK).min(metadata_size),
            transaction_id: pool.detail.transaction_id,
            state,
            layout: replica::layout(data_lv),
            health: health(state).max(array_state.unwrap_or(State::Online)),
            array: array.clone(),
        };
        if let Some(status) = self.status() {
            let word = state(status.mode, status.needs_check);
            return Some(match status.mode {
                // A pool that failed tells no numbers: what it holds cannot be given to others.
                ThinPoolMode::Failed => info(u64::MAX, u64::MAX, word),
                _ => info(status.data_used, status.metadata_used, word),
            });
        }
        Some(match self.metadata() {
            Some(found) if found.needs_check => info(found.data_used, found.metadata_used, "needs_check"),
            Some(found) => info(found.data_used, found.metadata_used, "inactive"),
            None if pool.detail.transaction_id == 0 => info(0, 0, "inactive"),
            None => info(u64::MAX, u64::MAX, "inactive"),
        })
    }
}
