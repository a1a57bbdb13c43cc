//! The lock on one file or folder that is there, with a deadline.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Error, LockName, Result, lock_holder};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// Locks an open file exclusively; `timeout` zero tries once.
///
/// # Errors
/// [`Error::LockTimeout`] with the holder when it is not free in time, [`Error::Io`] for the rest.
pub(super) fn lock_exclusive(
    mut file: File,
    path: &Path,
    name: LockName,
    proc: &Path,
    timeout: Duration,
) -> Result<Flock<File>> {
    let began = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(Error::io("lock", path)(errno.into())),
        }
        let waited = began.elapsed();
        if waited >= timeout {
            return Err(Error::LockTimeout {
                lock: name,
                path: path.to_owned(),
                waited,
                holder: lock_holder::find(proc, path),
            });
        }
        thread::sleep(PAUSE);
    }
}

/// Locks the folder of the kernel's NVMe target against other processes of this library.
///
/// # Errors
/// As [`lock_exclusive`].
pub(crate) fn lock_folder(path: &Path, proc: &Path, timeout: Duration) -> Result<Flock<File>> {
    let folder = File::open(path).map_err(Error::io("open", path))?;
    lock_exclusive(folder, path, LockName::NvmeTarget, proc, timeout)
}
