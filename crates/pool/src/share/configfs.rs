//! The kernel's NVMe target as files: what is done with them, and nothing of what they mean.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statfs::{FsType, statfs};

use crate::{Error, host};

/// What the kernel calls the target's folder.
const FOLDER: &str = "nvmet";
/// `CONFIGFS_MAGIC` of the kernel.
const MAGIC: FsType = FsType(0x6265_6570);
/// Longest attribute: one page.
const ATTRIBUTE_LIMIT: u64 = 4096;

/// The folder of the target.  Paths are relative to it.
pub(super) trait ConfigFs: Send + Sync {
    fn make_dir(&self, path: &str) -> io::Result<()>;
    fn remove_dir(&self, path: &str) -> io::Result<()>;
    /// An attribute without the white space around it.
    fn read(&self, path: &str) -> io::Result<String>;
    fn write(&self, path: &str, value: &str) -> io::Result<()>;
    /// Makes the link `path` to the object `to`.
    fn link(&self, to: &str, path: &str) -> io::Result<()>;
    fn unlink(&self, path: &str) -> io::Result<()>;
    /// The names in a folder, in order.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    fn has(&self, path: &str) -> bool;
    /// Keeps other processes of this library out.
    ///
    /// # Errors
    /// [`Error::NoConfigfs`] and [`Error::NoNvmeTarget`] for a host without a target; [`Error::Host`] when the lock is not
    /// free in time.
    fn lock(&self, timeout: Duration) -> Result<Option<host::FileLock>, Error>;
}

/// A mounted configfs.
pub(super) struct Mounted {
    mount: PathBuf,
    folder: PathBuf,
    proc: PathBuf,
}

impl Mounted {
    pub(super) fn new(mount: PathBuf) -> Self {
        Self {
            folder: mount.join(FOLDER),
            mount,
            proc: host::Paths::default().proc,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

impl ConfigFs for Mounted {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir(self.at(path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.at(path))
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let mut text = Vec::new();
        File::open(self.at(path))?
            .take(ATTRIBUTE_LIMIT)
            .read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        // The kernel takes what one call brings for the whole value.
        let mut file = OpenOptions::new().write(true).open(self.at(path))?;
        file.write_all(value.as_bytes())
    }

    fn link(&self, to: &str, path: &str) -> io::Result<()> {
        symlink(self.at(to), self.at(path))
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = self.at(path);
        let names = host::read_folder(&folder)?.map(|entry| Ok(entry?.name().to_owned()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        // The kernel takes any bytes for a name; what is not text is nobody's that this library knows.
        let mut names: Vec<String> = names
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    fn lock(&self, timeout: Duration) -> Result<Option<host::FileLock>, Error> {
        if !self.folder.is_dir() {
            return Err(no_target(&self.mount));
        }
        host::lock_folder(&self.folder, &self.proc, timeout)
            .map(Some)
            .map_err(Error::Host)
    }
}

/// Why there is no folder of the target.
fn no_target(mount: &Path) -> Error {
    match statfs(mount) {
        Ok(found) if found.filesystem_type() == MAGIC => Error::NoNvmeTarget { module: "nvmet" },
        _ => Error::NoConfigfs(mount.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_configfs_is_told_from_one_without_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let fs = Mounted::new(folder.path().into());
        assert!(matches!(fs.lock(Duration::ZERO), Err(Error::NoConfigfs(path)) if path == folder.path()));
        assert!(fs.list("subsystems").is_err());
    }

    #[test]
    fn two_processes_do_not_change_the_target_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        let fs = Mounted::new(folder.path().into());
        let held = fs.lock(Duration::ZERO).unwrap();
        let error = fs.lock(Duration::from_millis(20)).unwrap_err();
        assert_eq!((error.kind(), error.errno()), ("LockTimeout", libc::EBUSY));
        drop(held);
        fs.lock(Duration::ZERO).unwrap();
    }
}
