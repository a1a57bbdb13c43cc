//! The system's allocator, with a count of what it hands out.
#![expect(
    unsafe_code,
    reason = "the trait of allocators is unsafe; every call goes on as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The allocator; a program makes it its own with `#[global_allocator]`.
pub struct Counting;

static IS_ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// What one call of a function took.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Allocations and growths.
    pub allocations: usize,
    /// Bytes that were in use at once.
    pub peak: usize,
    /// Bytes that its result holds.
    pub kept: usize,
}

/// Counts what a function takes on a program's only thread.  Nothing older may be freed in it.
pub fn count<T>(run: impl FnOnce() -> T) -> (T, Count) {
    for counter in [&ALLOCATIONS, &BYTES, &PEAK] {
        counter.store(0, Relaxed);
    }
    IS_ON.store(true, Relaxed);
    let result = run();
    IS_ON.store(false, Relaxed);
    let count = Count {
        allocations: ALLOCATIONS.load(Relaxed),
        peak: PEAK.load(Relaxed),
        kept: BYTES.load(Relaxed),
    };
    (result, count)
}

fn took(bytes: usize) {
    if IS_ON.load(Relaxed) {
        ALLOCATIONS.fetch_add(1, Relaxed);
        let now = BYTES.fetch_add(bytes, Relaxed).wrapping_add(bytes);
        PEAK.fetch_max(now, Relaxed);
    }
}

fn gave(bytes: usize) {
    if IS_ON.load(Relaxed) {
        BYTES.fetch_sub(bytes, Relaxed);
    }
}

// SAFETY: each method hands its arguments on as they came, so what holds for them holds for the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the rules of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller keeps the rules of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old and the new block may both be there for a moment: the peak counts them both.
        took(size);
        gave(layout.size());
        // SAFETY: the caller keeps the rules of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
