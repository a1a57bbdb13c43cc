//! Reads and writes block devices past the page cache, as LVM does.
//!
//! O_DIRECT wants offsets, lengths and memory in whole logical blocks, so everything else goes through an aligned
//! buffer; a write that covers part of a block reads the block first.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lvm_meta::{Disk, FileDisk};
use nix::errno::Errno;

use super::{BlockDevice, DeviceNumber, Error, Paths, Result};

/// Most bytes in one request through memory of our own.
const REQUEST_LIMIT: usize = 1 << 20;
/// Alignment of the buffer: no device asks for more than a page.
const MEMORY_ALIGNMENT: usize = 4096;

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading.
    ReadOnly,
    /// For reading and writing.
    ReadWrite,
    /// As `ReadWrite`, and only if nothing else claims the device: no mount, swap, RAID array, mapped device or
    /// other exclusive opener.  An image file is opened as with `ReadWrite`.
    Exclusive,
}

/// Does something claim a block device: a mount, swap, an array, another mapped device or an exclusive opener?
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn is_claimed(path: &Path) -> Result<bool> {
    let mut options = OpenOptions::new();
    // Read only: closing a writable descriptor makes udev probe the device.
    match options.read(true).custom_flags(libc::O_EXCL).open(path) {
        Ok(_) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(true),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Does a disk take no writes: a block device that is set so, or a file that this process may not write?
pub(crate) fn is_read_only(path: &Path) -> bool {
    let Ok(found) = std::fs::metadata(path) else {
        return false;
    };
    if !found.file_type().is_block_device() {
        let refused = nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).err();
        return matches!(refused, Some(Errno::EROFS | Errno::EACCES | Errno::EPERM));
    }
    let DeviceNumber { major, minor } = DeviceNumber::from_rdev(found.rdev());
    let set = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/ro"));
    set.is_ok_and(|set| set.trim() == "1")
}

/// An open block device.
#[derive(Debug)]
pub struct BlockDisk {
    blocks: Blocks<File>,
    device: BlockDevice,
}

impl BlockDisk {
    /// Opens a device that [`Devices`](super::Devices) listed.
    ///
    /// # Errors
    /// [`Error::Suspended`] without opening it when its I/O is stopped, [`Error::Claimed`] when `Exclusive` finds
    /// it claimed, [`Error::WrongDevice`] when the node is another device's, [`Error::Io`] for the rest.
    pub fn open(device: &BlockDevice, mode: OpenMode) -> Result<Self> {
        if device.is_suspended() {
            return Err(Error::Suspended {
                path: device.preferred_name().to_owned(),
            });
        }
        let exclusive = if mode == OpenMode::Exclusive {
            libc::O_EXCL
        } else {
            0
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(mode != OpenMode::ReadOnly)
            .custom_flags(libc::O_DIRECT | exclusive);
        let file = options.open(&device.node).map_err(|err| {
            match Errno::from_raw(err.raw_os_error().unwrap_or(0)) {
                Errno::EBUSY => Error::Claimed {
                    path: device.node.clone(),
                },
                _ => Error::io("open", &device.node)(err),
            }
        })?;
        let meta = file.metadata().map_err(Error::io("stat", &device.node))?;
        let found = meta
            .file_type()
            .is_block_device()
            .then(|| DeviceNumber::from_rdev(meta.rdev()));
        if found != Some(device.number) {
            return Err(Error::WrongDevice {
                path: device.node.clone(),
                expected: device.number,
                found,
            });
        }
        let block = usize::try_from(device.logical_block_size()).unwrap_or(MEMORY_ALIGNMENT);
        Ok(Self {
            blocks: Blocks::new(file, block),
            device: device.clone(),
        })
    }

    /// The device.
    pub fn device(&self) -> &BlockDevice {
        &self.device
    }

    /// Refuses a device whose last sector is not whole: the kernel answers a request for it with a bare `EINVAL`.
    ///
    /// # Errors
    /// [`Error::PartialSector`], [`Error::Io`].
    pub(crate) fn check_sectors(&self) -> Result<()> {
        let size = self.size().map_err(Error::io("measure", &self.device.node))?;
        let sector = u64::from(self.device.logical_block_size());
        if sector == 0 || size.is_multiple_of(sector) {
            return Ok(());
        }
        Err(Error::PartialSector {
            path: self.device.preferred_name().to_owned(),
            size,
            sector,
        })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.blocks.raw
    }
}

impl Disk for BlockDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.blocks.read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.blocks.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.file().sync_data()
    }
    fn size(&self) -> io::Result<u64> {
        self.file().seek(io::SeekFrom::End(0))
    }
    fn block_size(&self) -> u32 {
        self.device.logical_block_size()
    }
}

/// Opens whatever `path` is: a block device past the page cache, or an image file.
///
/// # Errors
/// As [`BlockDisk::open`], and [`Error::NotADisk`] when it is something else.
pub fn open_disk(paths: &Paths, path: &Path, mode: OpenMode) -> Result<Box<dyn Disk>> {
    let meta = std::fs::metadata(path).map_err(Error::io("stat", path))?;
    if meta.file_type().is_block_device() {
        let device = device_at(paths, path, DeviceNumber::from_rdev(meta.rdev()))?;
        return Ok(Box::new(BlockDisk::open(&device, mode)?));
    }
    if !meta.is_file() {
        return Err(Error::NotADisk {
            path: path.to_owned(),
        });
    }
    let file = OpenOptions::new()
        .read(true)
        .write(mode != OpenMode::ReadOnly)
        .open(path);
    Ok(Box::new(FileDisk::new(file.map_err(Error::io("open", path))?)))
}

/// Looks one device up in sysfs without listing the others; `node` is the path that it is opened by.
fn device_at(paths: &Paths, node: &Path, number: DeviceNumber) -> Result<BlockDevice> {
    let link: PathBuf = paths.sys.join("dev/block").join(number.to_string());
    let dir = link.canonicalize().map_err(Error::io("look up", &link))?;
    let device = match dir.join("partition").exists() {
        true => BlockDevice::read_partition(&dir, &paths.dev)?,
        false => BlockDevice::read(&dir, &paths.dev)?,
    };
    let device = device.ok_or_else(|| Error::NotADisk {
        path: node.to_owned(),
    })?;
    Ok(BlockDevice {
        node: node.to_owned(),
        ..device
    })
}

/// Something that only takes whole, aligned blocks.
trait RawBlocks {
    fn read_blocks(&self, at: u64, buf: &mut [u8]) -> io::Result<()>;
    fn write_blocks(&self, at: u64, buf: &[u8]) -> io::Result<()>;
}

impl RawBlocks for File {
    fn read_blocks(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buf, at)
    }
    fn write_blocks(&self, at: u64, buf: &[u8]) -> io::Result<()> {
        self.write_all_at(buf, at)
    }
}

/// Turns any request into requests of whole blocks.
#[derive(Debug)]
struct Blocks<R> {
    raw: R,
    block: usize,
    /// Held while a block is read, changed and written, so that two writes into one block do not lose each other.
    partial: Mutex<()>,
}

/// One request of whole blocks, and where the wanted bytes lie in it.
struct Span {
    at: u64,
    len: usize,
    skip: usize,
    part: usize,
}

impl<R: RawBlocks> Blocks<R> {
    fn new(raw: R, block: usize) -> Self {
        Self {
            raw,
            block,
            partial: Mutex::new(()),
        }
    }

    fn read_at(&self, mut at: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let mut memory = Vec::new();
        while !buf.is_empty() {
            let span = self.span(at, buf.len())?;
            let (now, rest) = buf.split_at_mut(span.part);
            let bounce = self.aligned(&mut memory, span.len);
            self.raw.read_blocks(span.at, bounce)?;
            now.copy_from_slice(
                bounce
                    .get(span.skip..span.skip + span.part)
                    .ok_or(io::ErrorKind::UnexpectedEof)?,
            );
            buf = rest;
            at = after(at, span.part)?;
        }
        Ok(())
    }

    fn write_at(&self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        let mut memory = Vec::new();
        while !bytes.is_empty() {
            let (whole, rest) = bytes.split_at(self.whole_blocks(at, bytes));
            if !whole.is_empty() {
                self.raw.write_blocks(at, whole)?;
                bytes = rest;
                at = after(at, whole.len())?;
                continue;
            }
            let span = self.span(at, bytes.len())?;
            let (now, rest) = bytes.split_at(span.part);
            let bounce = self.aligned(&mut memory, span.len);
            // Whole blocks need no lock: nobody else's bytes are written again.
            let lock =
                (span.part < span.len).then(|| self.partial.lock().unwrap_or_else(PoisonError::into_inner));
            if span.skip > 0 {
                let (first, _) = bounce.split_at_mut(self.block);
                self.raw.read_blocks(span.at, first)?;
            }
            let last = span.len - self.block;
            if span.skip + span.part < span.len && (last > 0 || span.skip == 0) {
                let (_, block) = bounce.split_at_mut(last);
                self.raw.read_blocks(after(span.at, last)?, block)?;
            }
            let part = bounce
                .get_mut(span.skip..span.skip + span.part)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            part.copy_from_slice(now);
            self.raw.write_blocks(span.at, bounce)?;
            drop(lock);
            bytes = rest;
            at = after(at, span.part)?;
        }
        Ok(())
    }

    /// How many of the bytes the kernel takes from where they lie, in one request of any length.
    fn whole_blocks(&self, at: u64, bytes: &[u8]) -> usize {
        let is_aligned = bytes.as_ptr().align_offset(self.alignment()) == 0;
        match u64::try_from(self.block) {
            Ok(block) if is_aligned && at.is_multiple_of(block) => bytes.len() - bytes.len() % self.block,
            _ => 0,
        }
    }

    /// The alignment of memory for any device.
    fn alignment(&self) -> usize {
        self.block.max(MEMORY_ALIGNMENT)
    }

    /// The first request for `len` bytes at `at`.
    fn span(&self, at: u64, len: usize) -> io::Result<Span> {
        let block = u64::try_from(self.block).map_err(io::Error::other)?;
        let skip = usize::try_from(at % block).map_err(io::Error::other)?;
        let limit = REQUEST_LIMIT.max(self.block);
        let part = len.min(limit - skip);
        let len = (skip + part).next_multiple_of(self.block);
        Ok(Span {
            at: at - at % block,
            len,
            skip,
            part,
        })
    }

    /// `len` bytes of `memory` that begin at an aligned address.
    fn aligned<'a>(&self, memory: &'a mut Vec<u8>, len: usize) -> &'a mut [u8] {
        let alignment = self.alignment();
        memory.resize(memory.len().max(len + alignment), 0);
        let skip = memory.as_ptr().align_offset(alignment);
        // `align_offset` may answer `usize::MAX` only in const evaluation.
        memory.get_mut(skip..skip.saturating_add(len)).unwrap_or_default()
    }
}

fn after(at: u64, len: usize) -> io::Result<u64> {
    let len = u64::try_from(len).map_err(io::Error::other)?;
    at.checked_add(len)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use lvm_meta::MemDisk;

    /// Takes whole, aligned blocks only, as a kernel does, and counts the writes.
    struct Strict(MemDisk, usize, AtomicUsize);

    impl Strict {
        fn check(&self, at: u64, buf: &[u8]) -> io::Result<()> {
            let aligned = at.is_multiple_of(self.1 as u64)
                && buf.len().is_multiple_of(self.1)
                && buf.as_ptr().align_offset(self.1) == 0;
            if aligned && !buf.is_empty() {
                Ok(())
            } else {
                Err(Errno::EINVAL.into())
            }
        }
    }

    impl RawBlocks for Strict {
        fn read_blocks(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
            self.check(at, buf)?;
            self.0.read_at(at, buf)
        }
        fn write_blocks(&self, at: u64, buf: &[u8]) -> io::Result<()> {
            self.check(at, buf)?;
            self.2.fetch_add(1, Ordering::Relaxed);
            self.0.write_at(at, buf)
        }
    }

    fn disk(size: usize, block: usize) -> Blocks<Strict> {
        Blocks::new(
            Strict(
                MemDisk::new((0..size).map(|i| i as u8).collect()),
                block,
                AtomicUsize::new(0),
            ),
            block,
        )
    }

    proptest::proptest! {
        #[test]
        fn any_request_reads_and_writes_just_its_bytes(
            block in proptest::sample::select(vec![512_usize, 4096]),
            writes in proptest::collection::vec((0..60_000_u64, 0..9_000_usize, 0..=255_u8), 1..6),
        ) {
            let disk = disk(1 << 16, block);
            let mut model = disk.raw.0.bytes();
            for (at, len, value) in writes {
                let len = len.min(model.len() - at as usize);
                disk.write_at(at, &vec![value; len]).unwrap();
                model[at as usize..at as usize + len].fill(value);
                let mut read = vec![0; len];
                disk.read_at(at, &mut read).unwrap();
                assert!(read.iter().all(|byte| *byte == value));
            }
            assert_eq!(disk.raw.0.bytes(), model);
        }
    }

    #[test]
    fn requests_larger_than_the_buffer_are_split() {
        let disk = disk(3 << 20, 4096);
        let bytes: Vec<u8> = (0..(2 << 20) + 77).map(|i| (i % 251) as u8).collect();
        disk.write_at(1000, &bytes).unwrap();
        let mut read = vec![0; bytes.len()];
        disk.read_at(1000, &mut read).unwrap();
        assert_eq!(read, bytes);
    }

    #[test]
    fn aligned_memory_is_written_in_one_request_and_the_rest_of_a_block_in_another() {
        let disk = disk(3 << 20, 512);
        let memory: Vec<u8> = (0..(2 << 20) + 8192).map(|i| (i % 251) as u8).collect();
        let aligned = memory.as_ptr().align_offset(MEMORY_ALIGNMENT);
        for (at, skip, length, writes) in [
            (512, 0, 2 << 20, 1),
            (1024, 0, (2 << 20) + 7, 2),
            (1000, 0, 512, 1),
            (512, 512, 512, 1),
            (512, 512, 2 << 20, 2),
        ] {
            let bytes = &memory[aligned + skip..][..length];
            let before = disk.raw.2.load(Ordering::Relaxed);
            disk.write_at(at, bytes).unwrap();
            assert_eq!(
                disk.raw.2.load(Ordering::Relaxed) - before,
                writes,
                "{at} {skip} {length}"
            );
            let mut read = vec![0; length];
            disk.read_at(at, &mut read).unwrap();
            assert_eq!(read, bytes);
        }
    }

    #[test]
    fn a_request_past_the_end_fails_and_one_at_the_end_does_not() {
        let disk = disk(8192, 4096);
        let mut buf = [0; 512];
        disk.read_at(8192 - 512, &mut buf).unwrap();
        assert!(disk.read_at(8192 - 511, &mut buf).is_err());
        assert!(disk.write_at(8192, &[0]).is_err());
        assert!(disk.read_at(u64::MAX - 5, &mut buf).is_err());
    }

    #[test]
    fn writes_of_two_threads_into_one_block_are_both_kept() {
        let disk = disk(4096, 4096);
        std::thread::scope(|scope| {
            for lane in 0..8_u8 {
                let disk = &disk;
                scope.spawn(move || {
                    for _ in 0..50 {
                        disk.write_at(u64::from(lane) * 512, &[lane; 512]).unwrap();
                    }
                });
            }
        });
        let bytes = disk.raw.0.bytes();
        assert!((0..8).all(|lane| bytes[lane * 512..][..512].iter().all(|byte| *byte == lane as u8)));
    }

    #[test]
    fn image_files_open_and_other_things_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        let image = dir.path().join("image");
        std::fs::write(&image, [0; 4096]).unwrap();
        let disk = open_disk(&paths, &image, OpenMode::ReadWrite).unwrap();
        disk.write_at(10, b"x").unwrap();
        disk.sync().unwrap();
        assert_eq!(disk.size().unwrap(), 4096);
        let read_only = open_disk(&paths, &image, OpenMode::ReadOnly).unwrap();
        assert!(read_only.write_at(0, b"x").is_err());
        assert!(matches!(
            open_disk(&paths, dir.path(), OpenMode::ReadOnly),
            Err(Error::NotADisk { .. })
        ));
        assert!(matches!(
            open_disk(&paths, Path::new("/nonexistent"), OpenMode::ReadOnly),
            Err(Error::Io { .. })
        ));
    }

    #[test]
    fn a_suspended_device_is_refused_before_it_is_opened() {
        let host = crate::host::testing::FakeHost::new();
        host.mapped("dm-0", "253:0", "x", "")
            .attribute("dm-0", "dm/suspended", "1");
        let devices = crate::host::Devices::scan(&host.paths, &Default::default()).unwrap();
        let device = devices.by_kernel_name("dm-0").unwrap();
        assert!(matches!(
            BlockDisk::open(device, OpenMode::ReadOnly),
            Err(Error::Suspended { .. })
        ));
        host.attribute("dm-0", "dm/suspended", "0");
        // The node of this host is a plain file: never taken for the device.
        let err = BlockDisk::open(device, OpenMode::ReadOnly).unwrap_err();
        assert!(
            matches!(err, Error::WrongDevice { found: None, .. } | Error::Io { .. }),
            "{err}"
        );
    }
}
