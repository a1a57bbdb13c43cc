//! What the library needs of a device: read, write, sync, size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A device or an image that holds a PV.
pub trait Disk: Send + Sync {
    /// Fills `buf` from byte `at`.
    ///
    /// # Errors
    /// The device's, and `UnexpectedEof` past its end.
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at byte `at`.  Durable only after [`Disk::sync`].
    ///
    /// # Errors
    /// The device's.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes every write before it durable.
    ///
    /// # Errors
    /// The device's; what was written since the last good sync may be lost then.
    fn sync(&self) -> io::Result<()>;

    /// The size in bytes, now.
    ///
    /// # Errors
    /// The device's.
    fn size(&self) -> io::Result<u64>;

    /// The logical block size in bytes, the least that the device reads and writes: 512 for an image.
    fn block_size(&self) -> u32 {
        512
    }
}

impl<D: Disk + ?Sized> Disk for std::sync::Arc<D> {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
    fn block_size(&self) -> u32 {
        (**self).block_size()
    }
}

impl<D: Disk + ?Sized> Disk for Box<D> {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
    fn block_size(&self) -> u32 {
        (**self).block_size()
    }
}

/// An image file.
#[derive(Debug)]
pub struct FileDisk(File);

impl FileDisk {
    /// Takes an open file.
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl Disk for FileDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, at)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn size(&self) -> io::Result<u64> {
        use std::io::Seek;
        (&self.0).seek(io::SeekFrom::End(0))
    }
}

/// A disk in memory.
#[derive(Debug)]
pub struct MemDisk(Mutex<Vec<u8>>);

impl MemDisk {
    /// A disk that holds these bytes; its size is fixed.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(bytes))
    }

    /// A copy of what it holds.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The range of `len` bytes from `at`, if a buffer of `size` bytes has it.
fn range(at: u64, len: usize, size: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(at).ok()?;
    let end = start.checked_add(len)?;
    (end <= size).then_some(start..end)
}

impl Disk for MemDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = self.lock();
        let part = range(at, buf.len(), bytes.len()).and_then(|range| bytes.get(range));
        buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write_at(&self, at: u64, new: &[u8]) -> io::Result<()> {
        let mut bytes = self.lock();
        let part = range(at, new.len(), bytes.len()).and_then(|range| bytes.get_mut(range));
        part.ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(new);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.lock().len()).unwrap_or(u64::MAX))
    }
}
