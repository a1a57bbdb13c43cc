//! Thin pools of a mapper for tests: the kernel's rules, messages, states and events; blocks really lie in the data device.
//!
//! The metadata device gets what the kernel would write of the pool's and the devices' numbers, at each commit, so that
//! [`crate::ThinMetadata`] reads them.  The mappings themselves are in memory alone, and live as long as the mapper: they
//! outlive the mapped devices, and are found again by a mark in the superblock.  A pool whose superblock was made or
//! changed by anybody else is refused.

mod commit;
mod features;
mod io;
mod message;
mod open;
mod pool;
mod status;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::State;
use super::map::Map;
use crate::{Target, Thin, ThinPool};
pub(super) use io::Bytes;
use pool::Pool;

/// A pool, which lives on when no device maps it.
pub(super) type Handle = Arc<Shared>;

/// What marks a pool in its superblock.
type Mark = [u8; 16];

/// The pools that a mapper ever made.
#[derive(Default)]
pub(super) struct Pools {
    /// None for a mapper that refuses thin targets.
    known: Option<Mutex<BTreeMap<Mark, Handle>>>,
    /// A pool's event was not told yet to those who wait.
    raised: Arc<AtomicBool>,
}

impl Pools {
    /// Those of a mapper that does thin targets.
    pub(super) fn done() -> Self {
        Self {
            known: Some(Mutex::default()),
            raised: Arc::default(),
        }
    }

    /// Does the mapper do thin targets?
    pub(super) fn are_done(&self) -> bool {
        self.known.is_some()
    }

    /// Was there an event since the last call?
    pub(super) fn take_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed) && self.raised.swap(false, Ordering::Relaxed)
    }

    fn find(&self, mark: Mark) -> Option<Handle> {
        let known = self.known.as_ref()?.lock();
        known.unwrap_or_else(PoisonError::into_inner).get(&mark).cloned()
    }

    fn insert(&self, mark: Mark, pool: Pool) -> Handle {
        let handle = Arc::new(Shared(Mutex::new(pool)));
        if let Some(known) = &self.known {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(mark, handle.clone());
        }
        handle
    }
}

/// A pool behind its lock, which is held while its devices below are read and written; never while an origin is.
pub(super) struct Shared(Mutex<Pool>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mark that no other pool has.
fn new_mark() -> Mark {
    let random = || u128::from(RandomState::new().hash_one(0));
    ((random() << 64) | random()).to_le_bytes()
}

/// The pool that a table is, as its line says.
fn pool_of(map: &Map) -> Option<(&ThinPool, &Handle, u64)> {
    let lines = map.table.lines().iter().zip(&map.pools);
    lines
        .filter_map(|(line, handle)| match (&line.target, handle) {
            (Target::ThinPool(target), Some(handle)) => Some((target, handle, line.length)),
            _ => None,
        })
        .next()
}

/// The thin devices of a table.
fn thins_of(map: &Map) -> impl Iterator<Item = (&Thin, &Handle)> {
    let lines = map.table.lines().iter().zip(&map.pools);
    lines.filter_map(|(line, handle)| match (&line.target, handle) {
        (Target::Thin(target), Some(handle)) => Some((target, handle)),
        _ => None,
    })
}

impl State {
    /// Maps that a device has, live or staged.
    fn maps(&self, minor: u32) -> impl Iterator<Item = &Map> {
        let device = self.devices.get(minor).into_iter();
        device.flat_map(|device| device.live.iter().chain(&device.inactive))
    }
}

#[cfg(test)]
mod tests;
