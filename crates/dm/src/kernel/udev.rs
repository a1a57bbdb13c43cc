//! Is there a udevd, and can it be waited for?

use std::fs;
use std::path::Path;

use crate::sys::Semaphore;
use crate::{Cookie, Error, NodeMode};

/// Tries for a free semaphore key before giving up.
const TRIES: u32 = 64;

/// udevd runs, reaches our semaphores, and nobody turned it off.
pub(super) fn detect() -> NodeMode {
    let disabled = std::env::var_os("DM_DISABLE_UDEV").is_some_and(|value| !value.is_empty() && value != "0");
    let running = Path::new("/run/udev/control").exists();
    // In a container with an IPC namespace of its own, udevd's countdown never arrives.
    let ours = fs::read_link("/proc/self/ns/ipc").ok();
    let first = fs::read_link("/proc/1/ns/ipc").ok();
    let reached = first.is_none() || first == ours;
    if running && reached && !disabled {
        NodeMode::Udev
    } else {
        NodeMode::Own
    }
}

/// A cookie with a semaphore of its own, by a random key.
pub(super) fn cookie() -> Result<Cookie, Error> {
    let failed = |source| Error::Io {
        what: "make",
        path: "udev's semaphore".into(),
        source,
    };
    let mut last = std::io::ErrorKind::AlreadyExists.into();
    for _ in 0..TRIES {
        match random() {
            0 => {}
            number => match Semaphore::new(number) {
                Ok(semaphore) => {
                    return Ok(Cookie {
                        semaphore: Some(semaphore),
                        nodes: Vec::new(),
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(failed(error)),
            },
        }
    }
    Err(failed(last))
}

/// Any number will do that two processes are unlikely to draw at once: the key's exclusive creation decides.
fn random() -> u16 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bytes = RandomState::new().build_hasher().finish().to_ne_bytes();
    u16::from_ne_bytes([bytes[0], bytes[1]])
}
