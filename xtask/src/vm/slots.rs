//! How many machines run at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// Machines at once for each core of this host: they wait for clocks about as long as they compute.
const AT_ONCE_PER_CORE: usize = 2;
/// Most machines at once, as each takes memory.
const MOST_AT_ONCE: usize = 8;

/// The machines that this host bears.
pub(crate) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    /// As many as this host has.
    pub(crate) fn of_host() -> Self {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            free: Mutex::new((cores * AT_ONCE_PER_CORE).min(MOST_AT_ONCE)),
            freed: Condvar::new(),
        }
    }

    /// Waits until so many are free, and takes them; they are free again with the value.
    pub(crate) fn take(&self, count: usize) -> Taken<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free < count)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= count;
        Taken { slots: self, count }
    }
}

/// Slots that are taken.
pub(crate) struct Taken<'a> {
    slots: &'a Slots,
    count: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.slots.free.lock().unwrap_or_else(PoisonError::into_inner) += self.count;
        self.slots.freed.notify_one();
    }
}
