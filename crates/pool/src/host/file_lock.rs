//! flock(2) on one open file, and on a file or folder that is there, with a deadline.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Error, LockMode, LockName, Result, lock_holder};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// An open file with a lock on it, which is released when this is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

/// What became of one try to lock a file.
pub(crate) enum Tried {
    /// The lock is held.
    Locked(FileLock),
    /// Something else has it, or a signal came in between.
    Busy(File),
}

impl FileLock {
    /// Tries once to lock an open file.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn try_lock(file: File, mode: LockMode) -> io::Result<Tried> {
        let tried = match mode {
            LockMode::Shared => file.try_lock_shared(),
            LockMode::Exclusive => file.try_lock(),
        };
        match tried {
            Ok(()) => Ok(Tried::Locked(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(Tried::Busy(file)),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Ok(Tried::Busy(file))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The locked file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A child that was forked meanwhile has the file, too, so closing it would not be enough.  If unlocking fails
        // closing is all that is left: nothing can be told from here, and a panic would end more than this lock.
        let _ = self.file.unlock();
    }
}

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
) -> Result<FileLock> {
    let began = Instant::now();
    loop {
        match FileLock::try_lock(file, LockMode::Exclusive).map_err(Error::io("lock", path))? {
            Tried::Locked(lock) => return Ok(lock),
            Tried::Busy(back) => file = back,
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
pub(crate) fn lock_folder(path: &Path, proc: &Path, timeout: Duration) -> Result<FileLock> {
    let folder = File::open(path).map_err(Error::io("open", path))?;
    lock_exclusive(folder, path, LockName::NvmeTarget, proc, timeout)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn a_lock_that_cannot_be_released_panics_nobody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A file that is open by its name only takes no flock.
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_PATH).open(file.path());
        let lock = FileLock { file: file.unwrap() };
        assert!(lock.file().unlock().is_err());
        drop(lock);
    }

    #[test]
    fn a_dropped_lock_is_free_though_the_file_is_open_elsewhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let Tried::Locked(lock) = FileLock::try_lock(open(), LockMode::Exclusive).unwrap() else {
            panic!("a fresh file is locked");
        };
        // As a child that was forked has it.
        let _copy = lock.file().try_clone().unwrap();
        assert!(matches!(
            FileLock::try_lock(open(), LockMode::Shared).unwrap(),
            Tried::Busy(_)
        ));
        drop(lock);
        assert!(matches!(
            FileLock::try_lock(open(), LockMode::Shared).unwrap(),
            Tried::Locked(_)
        ));
    }
}
