//! LVM's hints: its memory of which devices hold PVs, which others must be told to forget.
//!
//! `/run/lvm/hints` lists the PVs that the last full scan found, and most commands then read only those.  Whoever
//! makes or removes a PV, or makes, removes or renames a VG, has to invalidate it:
//!
//! 1. make `nohints`, so that no command starts to wait on the file,
//! 2. lock `hints` exclusively, which waits for readers of it,
//! 3. remove `nohints`, empty `hints`, make `newhints`, which asks the next full scan to write the file anew,
//! 4. keep the lock until the change is done.
//!
//! Reference: LVM2 `lib/label/hints.c`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::file_lock::{FileLock, lock_exclusive};
use super::{Error, LockName, Paths, Result, regular};

/// LVM's hints, out of use until this is dropped.
#[derive(Debug)]
#[must_use = "LVM may use hints again when this is dropped"]
pub struct InvalidHints {
    _lock: Option<FileLock>,
}

/// Makes LVM forget which devices hold PVs, and keeps it from using hints until the result is dropped.
///
/// Take the global lock first, exclusively.  Does nothing on a host without LVM's run-time folder.
///
/// # Errors
/// [`Error::LockTimeout`] when a reader keeps the hints for longer than `timeout`, [`Error::Io`] for the rest.
pub fn invalidate_hints(paths: &Paths, timeout: Duration) -> Result<InvalidHints> {
    let dir = &paths.run_lvm;
    if !dir.is_dir() {
        return Ok(InvalidHints { _lock: None });
    }
    let no_hints = dir.join("nohints");
    touch(&no_hints)?;
    let lock = lock(paths, &dir.join("hints"), timeout);
    // Whatever became of the lock: left in place, it would keep hints out of use for ever.
    remove(&no_hints)?;
    let lock = lock?;
    if let Some(lock) = &lock {
        lock.file()
            .set_len(0)
            .map_err(Error::io("empty", &dir.join("hints")))?;
    }
    touch(&dir.join("newhints"))?;
    Ok(InvalidHints { _lock: lock })
}

/// The exclusive lock on the hints, or `None` when there are none.
fn lock(paths: &Paths, path: &Path, timeout: Duration) -> Result<Option<FileLock>> {
    regular::check_name(path)?;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    match opened {
        Ok(file) => lock_exclusive(file, path, LockName::Hints, &paths.proc, timeout).map(Some),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(Error::io("open", path)(err)),
    }
}

fn touch(path: &Path) -> Result<()> {
    regular::check_name(path)?;
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path).map(drop).map_err(Error::io("create", path))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(err)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::fcntl::{Flock, FlockArg};

    use super::*;
    use crate::host::testing::FakeHost;

    fn names(host: &FakeHost) -> Vec<String> {
        super::super::sysfs::names(&host.paths.run_lvm)
    }

    #[test]
    fn hints_are_emptied_and_locked_until_the_change_is_done() {
        let host = FakeHost::new();
        let hints = host.paths.run_lvm.join("hints");
        host.write(&hints, "scan:/dev/sda\n");
        let invalid = invalidate_hints(&host.paths, Duration::ZERO).unwrap();
        assert_eq!(names(&host), ["hints", "newhints"]);
        assert_eq!(fs::read(&hints).unwrap(), b"");
        let reader = File::open(&hints).unwrap();
        let (reader, _) = Flock::lock(reader, FlockArg::LockSharedNonblock).unwrap_err();
        drop(invalid);
        Flock::lock(reader, FlockArg::LockSharedNonblock).unwrap();
    }

    #[test]
    fn a_reader_that_never_ends_is_an_error_and_leaves_hints_usable() {
        let host = FakeHost::new();
        let hints = host.paths.run_lvm.join("hints");
        host.write(&hints, "scan:/dev/sda\n");
        let reader = Flock::lock(File::open(&hints).unwrap(), FlockArg::LockSharedNonblock).unwrap();
        let err = invalidate_hints(&host.paths, Duration::from_millis(5)).unwrap_err();
        assert!(matches!(
            err,
            Error::LockTimeout {
                lock: LockName::Hints,
                ..
            }
        ));
        assert_eq!(names(&host), ["hints"]);
        assert_eq!(fs::read(&hints).unwrap(), b"scan:/dev/sda\n");
        drop(reader);
    }

    #[test]
    fn without_hints_the_next_scan_is_still_told_to_make_new_ones() {
        let host = FakeHost::new();
        let _none = invalidate_hints(&host.paths, Duration::ZERO).unwrap();
        assert!(!host.paths.run_lvm.exists(), "a host without LVM stays without");
        fs::create_dir_all(&host.paths.run_lvm).unwrap();
        let _invalid = invalidate_hints(&host.paths, Duration::ZERO).unwrap();
        assert_eq!(names(&host), ["newhints"]);
    }
}
