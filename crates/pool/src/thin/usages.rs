//! What the thin pools of a VG take, each asked for once at most.

use std::cell::OnceCell;
use std::ops::RangeInclusive;

use lvm_dm::{DeviceId, ThinStatus};
use lvm_meta::Lv;
use lvm_meta::detail::Thin;

use super::PoolLv;
use super::usage::{ALL, Usage};
use crate::info::{ArrayInfo, State};
use crate::naming;
use crate::open_vg::OpenVg;
use crate::system::Inner;

/// What is known of the space of a VG's thin pools.
pub(crate) struct Usages<'a> {
    inner: &'a Inner,
    open: &'a OpenVg,
    /// The devices that are asked about.
    devices: RangeInclusive<u32>,
    /// The one pool that is asked about.
    only: Option<String>,
    pools: OnceCell<Vec<Usage<'a>>>,
}

impl<'a> Usages<'a> {
    /// Of the pools themselves, with those of their devices.
    pub(crate) fn new(inner: &'a Inner, open: &'a OpenVg, devices: RangeInclusive<u32>) -> Self {
        Self {
            inner,
            open,
            devices,
            only: None,
            pools: OnceCell::new(),
        }
    }

    /// Of all devices of all pools.
    pub(crate) fn all_devices(inner: &'a Inner, open: &'a OpenVg) -> Self {
        Self::new(inner, open, ALL)
    }

    /// Of one LV, if it is thin.
    pub(crate) fn of_one(inner: &'a Inner, open: &'a OpenVg, lv: &Lv) -> Self {
        let thin = super::thin(lv);
        let id = thin.as_ref().map_or(0, |thin| thin.device_id);
        Self {
            only: thin.map(|thin| thin.pool.to_string()),
            ..Self::new(inner, open, id..=id)
        }
    }

    /// What is known of each pool, in the order of the metadata.
    pub(crate) fn each(&self) -> &[Usage<'a>] {
        // Of a thick replica no pool is asked.
        self.pools.get_or_init(|| {
            let vg = &self.open.vg;
            let usage = |pool| Usage::new(self.inner, self.open, pool, self.devices.clone());
            match &self.only {
                Some(name) => PoolLv::named(vg, name).map(usage).into_iter().collect(),
                None => PoolLv::all(vg).map(usage).collect(),
            }
        })
    }

    /// What is known of the pool of a thin LV.
    fn of(&self, thin: &Thin) -> Option<&Usage<'a>> {
        let mut each = self.each().iter();
        each.find(|usage| *thin.pool == *usage.pool.lv.name())
    }

    /// Whether a thin LV is served by its pool.
    pub(crate) fn health(&self, thin: &Thin) -> State {
        self.of(thin).map_or(State::Online, Usage::health)
    }

    /// The arrays that the pool of a thin LV lies on: the state of the worst, and all images.
    pub(crate) fn arrays_of(&self, thin: &Thin) -> Option<&(State, ArrayInfo)> {
        self.of(thin)?.arrays()
    }

    /// Bytes of the chunks that a thin LV has, shared ones included; all of it when nobody can tell.
    pub(crate) fn allocated(&self, lv: &Lv, thin: &Thin, is_active: bool) -> u64 {
        let vg = &self.open.vg;
        let size = vg.extent_size().to_bytes(lv.extent_count()).unwrap_or(u64::MAX);
        let told = || {
            let uuid = naming::dm_uuid(&vg.id(), &lv.id());
            let lines = self.inner.mapper.status(DeviceId::Uuid(&uuid), true).ok()?;
            let status = lines.first().and_then(ThinStatus::parse)?;
            status.mapped.checked_mul(512)
        };
        let noted = || self.of(thin)?.noted(thin);
        is_active.then(told).flatten().or_else(noted).unwrap_or(size)
    }
}
