//! The disks of pools: opened for writing only when something is written, and writes that can be taken back.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lvm_meta::Disk;

use crate::Error;
use crate::host::{self, BlockDevice, BlockDisk, Identity, OpenMode, Paths};

/// A disk that is read until the first write opens it for writing.
///
/// Closing a device that was open for writing makes udevd look at it again; readers must not cause that.
pub(crate) struct LazyDisk {
    source: Source,
    read: Box<dyn Disk>,
    write: OnceLock<Box<dyn Disk>>,
}

/// What a disk is opened by.
enum Source {
    /// A device that a scan found.
    Device(BlockDevice),
    /// Whatever is at a path.
    Path(Paths, PathBuf),
}

impl Source {
    fn open(&self, mode: OpenMode) -> Result<Box<dyn Disk>, host::Error> {
        match self {
            Self::Device(device) => Ok(Box::new(BlockDisk::open(device, mode)?)),
            Self::Path(paths, path) => host::open_disk(paths, path, mode),
        }
    }
}

impl Source {
    /// An error of the disk that names it.
    fn named(&self, op: &'static str, error: io::Error) -> io::Error {
        match (self, error.raw_os_error()) {
            // What no system call answered tells of itself.
            (_, None) => error,
            (Self::Device(device), _) => host::Error::named(op, device.preferred_name(), error),
            (Self::Path(_, path), _) => host::Error::named(op, path, error),
        }
    }
}

impl LazyDisk {
    /// Opens a block device or an image file for reading.
    pub(crate) fn open(paths: &Paths, path: &Path) -> Result<Self, host::Error> {
        Self::new(Source::Path(paths.clone(), path.into()))
    }

    /// Opens a device that a scan found for reading.
    pub(crate) fn on(device: &BlockDevice) -> Result<Self, host::Error> {
        Self::new(Source::Device(device.clone()))
    }

    fn new(source: Source) -> Result<Self, host::Error> {
        Ok(Self {
            read: source.open(OpenMode::ReadOnly)?,
            source,
            write: OnceLock::new(),
        })
    }

    fn writable(&self) -> io::Result<&dyn Disk> {
        if let Some(disk) = self.write.get() {
            return Ok(&**disk);
        }
        let opened = self.source.open(OpenMode::ReadWrite);
        let disk = opened.map_err(|error| match error {
            host::Error::Io { op, path, source } => host::Error::named(op, &path, source),
            other => io::Error::other(other),
        })?;
        Ok(&**self.write.get_or_init(|| disk))
    }
}

impl Disk for LazyDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let read = self.read.read_at(at, buf);
        read.map_err(|error| self.source.named("read", error))
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.writable()?.write_at(at, bytes);
        written.map_err(|error| self.source.named("write", error))
    }
    fn sync(&self) -> io::Result<()> {
        let synced = self.write.get().map_or(Ok(()), |disk| disk.sync());
        synced.map_err(|error| self.source.named("sync", error))
    }
    fn size(&self) -> io::Result<u64> {
        self.read.size()
    }
    fn block_size(&self) -> u32 {
        self.read.block_size()
    }
}

/// A disk that remembers what each write replaced, until it is told that all went well.
pub(crate) struct UndoDisk {
    disk: Arc<dyn Disk>,
    replaced: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl UndoDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            replaced: Mutex::default(),
        }
    }

    /// Puts back what the writes since [`UndoDisk::new`] replaced, the last write first, and makes it durable.
    ///
    /// # Errors
    /// The first failure; the others were put back all the same.
    pub(crate) fn undo(&self) -> io::Result<()> {
        let replaced = std::mem::take(&mut *self.replaced.lock().unwrap_or_else(PoisonError::into_inner));
        if replaced.is_empty() {
            return Ok(());
        }
        let mut first = Ok(());
        for (at, bytes) in replaced.into_iter().rev() {
            first = first.and(self.disk.write_at(at, &bytes));
        }
        first.and(self.disk.sync())
    }
}

impl Disk for UndoDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut before = vec![0; bytes.len()];
        self.disk.read_at(at, &mut before)?;
        self.replaced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((at, before));
        self.disk.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }
    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }
}

/// Are these the same disks, in any order and under any of their names?
pub(crate) fn same_disks(given: &[PathBuf], actual: &[PathBuf]) -> Result<bool, Error> {
    if given.len() != actual.len() {
        return Ok(false);
    }
    // A path that leads nowhere is the same as no disk that is there.
    let actual: HashSet<_> = actual.iter().filter_map(|path| Identity::of(path).ok()).collect();
    let is_one = |path: &PathBuf| Identity::of(path).is_ok_and(|disk| actual.contains(&disk));
    Ok(given.iter().all(is_one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvm_meta::MemDisk;

    #[test]
    fn writes_are_taken_back_the_last_one_first() {
        let disk = Arc::new(MemDisk::new((0..=255).collect()));
        let before = disk.bytes();
        let undo = UndoDisk::new(disk.clone());
        undo.write_at(10, &[1; 20]).unwrap();
        undo.write_at(20, &[2; 20]).unwrap();
        assert_ne!(disk.bytes(), before);
        undo.undo().unwrap();
        assert_eq!(disk.bytes(), before);
    }
}
