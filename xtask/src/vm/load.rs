//! Load on this machine while something is repeated: what holds only on an idle machine fails under it.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Runs `work` while as many threads as there are cores do nothing useful.
pub(super) fn under_load<T>(work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    let spin = || {
        while !is_over.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(spin);
        }
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}
