//! Waiting for what happens to arrays.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use lvm_dm::{DeviceId, EventSource};
use lvm_meta::Lv;

use super::StoragePool;
use crate::info::ReplicaInfo;
use crate::raid::Array;
use crate::replica::{self, ActiveDevices};
use crate::system::Inner;
use crate::thin::{self, PoolLv};
use crate::{Error, System};

/// Waits for what happens to the arrays of pools, replicas and those that thin replicas lie on: a synchronisation or a scrub
/// ends, an image fails.
///
/// It has no thread, holds no lock and changes nothing.  Between events of the kernel's it sleeps; after each it asks the
/// kernel once for the counters of all devices, and for the health of the arrays alone whose counter moved.
pub struct ArrayMonitor {
    pools: Vec<StoragePool>,
    events: Box<dyn EventSource>,
    /// The event counters of the arrays that are active, by the uuids of their devices.
    counters: HashMap<Vec<u8>, u32>,
}

impl std::fmt::Debug for ArrayMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrayMonitor")
            .field("pools", &self.pools)
            .finish_non_exhaustive()
    }
}

impl StoragePool {
    /// Begins to watch the pool's arrays: what happens from now on is told by [`ArrayMonitor::wait`].
    ///
    /// # Errors
    /// [`Error::Dm`], and as [`StoragePool::info`].
    pub fn watch_arrays(&self) -> Result<ArrayMonitor, Error> {
        ArrayMonitor::new(vec![self.clone()], &self.inner)
    }
}

impl System {
    /// Begins to watch the arrays of all pools that there are now, as [`StoragePool::watch_arrays`].
    ///
    /// # Errors
    /// As that, and as [`System::open_pool`].
    pub fn watch_arrays(&self) -> Result<ArrayMonitor, Error> {
        let pools = self.pools()?.into_iter();
        let pools = pools.map(|pool| self.open_pool(&pool.vg_id.to_string()));
        ArrayMonitor::new(pools.collect::<Result<_, _>>()?, &self.inner)
    }
}

impl ArrayMonitor {
    fn new(pools: Vec<StoragePool>, inner: &Inner) -> Result<Self, Error> {
        let mut monitor = Self {
            pools,
            // Before the first look, so that nothing falls between the two.
            events: inner.mapper.events().map_err(Error::Dm)?,
            counters: HashMap::new(),
        };
        monitor.changed()?;
        Ok(monitor)
    }

    /// Waits until something happens to an array, and gives the health of all to which something happened since the last
    /// call; none when the time is over, which is also how to end the waiting from outside: wait in pieces.
    ///
    /// An array to which something happened need not have another health: it may have got another table, or have been
    /// scrubbed without a finding.  One that is activated or deactivated is told, one that is destroyed is not.  What begins
    /// is no event of the kernel's: that images are brought in line is told when they are.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] when none of the pools is there any more; [`Error::Dm`], and as [`StoragePool::info`].
    pub fn wait(&mut self, timeout: Duration) -> Result<Vec<ReplicaInfo>, Error> {
        let begun = Instant::now();
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let is_event = self.events.wait(left).map_err(Error::Dm)?;
            let changed = self.changed()?;
            if !changed.is_empty() || !is_event {
                return Ok(changed);
            }
        }
    }

    /// The arrays whose counters moved since the last look.
    fn changed(&mut self) -> Result<Vec<ReplicaInfo>, Error> {
        let mut counters = HashMap::new();
        let mut changed = Vec::new();
        let mut gone = None;
        let mut pools = Vec::with_capacity(self.pools.len());
        for pool in &self.pools {
            match self.look(pool, &mut counters) {
                Err(Error::PoolNotFound(name)) => gone = Some(name),
                looked => {
                    changed.extend(looked?);
                    pools.push(pool.clone());
                }
            }
        }
        self.pools = pools;
        self.counters = counters;
        match gone.filter(|_| self.pools.is_empty()) {
            Some(name) => Err(Error::PoolNotFound(name)),
            None => Ok(changed),
        }
    }

    fn look(
        &self,
        pool: &StoragePool,
        counters: &mut HashMap<Vec<u8>, u32>,
    ) -> Result<Vec<ReplicaInfo>, Error> {
        let (inner, open) = (&*pool.inner, pool.fresh()?);
        let vg = &open.vg;
        // By the uuids of their devices; of one that is there, what the list tells of its counter.
        let mut listed: HashMap<Vec<u8>, Option<Option<u32>>> = HashMap::new();
        let mut arrays = Vec::new();
        for array in Array::all(vg) {
            let uuid = array.device()?.uuid;
            listed.insert(uuid.as_str().into(), None);
            arrays.push((array.lv.name(), uuid));
        }
        let list = inner.mapper.each_device(&mut |device| {
            if let Some(found) = device.uuid.and_then(|uuid| listed.get_mut(uuid)) {
                *found = Some(device.event_nr);
            }
        });
        list.map_err(Error::Dm)?;
        let mut moved = HashSet::new();
        for (name, uuid) in arrays {
            let key = uuid.as_str().as_bytes();
            let counter = match listed.get(key).copied().flatten() {
                Some(Some(counter)) => Some(counter),
                // A kernel that does not tell it in the list.
                Some(None) => {
                    let info = inner.mapper.info(DeviceId::Uuid(&uuid)).map_err(Error::Dm)?;
                    info.map(|info| info.event_nr)
                }
                None => None,
            };
            if self.counters.get(key).copied() != counter {
                moved.insert(name);
            }
            counters.extend(counter.map(|counter| (key.to_vec(), counter)));
        }
        if moved.is_empty() {
            return Ok(Vec::new());
        }
        let lies_on_moved = |lv: &Lv| match thin::thin(lv) {
            None => moved.contains(lv.name()),
            Some(thin) => PoolLv::of(vg, &thin)
                .and_then(|pool| pool.parts(vg))
                .is_ok_and(|parts| parts.iter().any(|part| moved.contains(part.name()))),
        };
        let replicas = vg.lvs().filter_map(|lv| Some((lv, replica::replica_of(lv)?)));
        let changed = replicas.filter(|(lv, _)| lies_on_moved(lv));
        Ok(changed
            .map(|(lv, uuid)| {
                let active = ActiveDevices::only(inner, &open, lv);
                replica::info(inner, &open, lv, uuid, &active)
            })
            .collect())
    }
}
