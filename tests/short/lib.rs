//! A library for `LD_PRELOAD`: each `read`, `write`, `pread` and `pwrite` moves a part of the bytes, and every other one none, as a
//! signal interrupts it.  `tests/poolctl/short.rs` runs the example programs under it.

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{off64_t, size_t, ssize_t};

/// What the kernel moves at once to a disk: never a part of it, while there is more.
const SECTOR: size_t = 512;

type Plain = unsafe extern "C" fn(c_int, *mut c_void, size_t) -> ssize_t;
type Positioned = unsafe extern "C" fn(c_int, *mut c_void, size_t, off64_t) -> ssize_t;

/// Moves a part of `count` bytes by `call`, or none with `EINTR`.
fn short(count: size_t, call: impl FnOnce(size_t) -> ssize_t) -> ssize_t {
    static WAS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
    if !WAS_INTERRUPTED.fetch_xor(true, Ordering::Relaxed) {
        // SAFETY: the C library gives a pointer to this thread's own `errno`.
        unsafe { *libc::__errno_location() = libc::EINTR };
        return -1;
    }
    call(match count {
        0 => 0,
        1..=SECTOR => 1,
        _ => (count / 2 / SECTOR * SECTOR).max(SECTOR),
    })
}

/// The C library's own function that this library hides.
///
/// # Safety
/// `F` is the type of a function of this name.
unsafe fn hidden<F: Copy>(name: &CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name ends with a zero byte.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(
        !found.is_null(),
        "the C library has no {}",
        name.to_string_lossy()
    );
    // SAFETY: as large as a pointer, and of this type by the caller's word.
    unsafe { std::mem::transmute_copy(&found) }
}

macro_rules! positioned {
    ($($name:ident $text:literal)*) => {$(
        /// As in the C library.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(fd: c_int, bytes: *mut c_void, count: size_t, at: off64_t) -> ssize_t {
            // SAFETY: that is its type, and a part of the caller's bytes is the caller's.
            short(count, |part| unsafe { hidden::<Positioned>($text)(fd, bytes, part, at) })
        }
    )*};
}
macro_rules! plain {
    ($($name:ident $text:literal)*) => {$(
        /// As in the C library.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(fd: c_int, bytes: *mut c_void, count: size_t) -> ssize_t {
            // SAFETY: that is its type, and a part of the caller's bytes is the caller's.
            short(count, |part| unsafe { hidden::<Plain>($text)(fd, bytes, part) })
        }
    )*};
}
positioned! { pread c"pread" pread64 c"pread64" pwrite c"pwrite" pwrite64 c"pwrite64" }
plain! { read c"read" write c"write" }
