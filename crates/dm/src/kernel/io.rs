//! I/O on a mapped device's node.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::sys;
use crate::{BlockIo, DeviceInfo, DeviceNumber, Error, OpenMode};

pub(super) struct Device(File);

impl Device {
    /// Opens `/dev/dm-N` or `/dev/mapper/NAME`, whichever is the device.
    pub(super) fn open(dev: &Path, info: &DeviceInfo, mode: OpenMode) -> Result<Self, Error> {
        let by_name = dev.join("mapper").join(info.name.as_str());
        let paths = [dev.join(format!("dm-{}", info.number.minor)), by_name.clone()];
        let right = |path: &&std::path::PathBuf| {
            std::fs::metadata(path).is_ok_and(|found| DeviceNumber::of_stat(found.rdev()) == info.number)
        };
        let path = paths.iter().find(right).unwrap_or(&by_name);
        let file = OpenOptions::new()
            .read(true)
            .write(mode == OpenMode::ReadWrite)
            .open(path);
        file.map(Self).map_err(|source| Error::Io {
            what: "open",
            path: path.clone(),
            source,
        })
    }
}

impl BlockIo for Device {
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
        (&self.0).seek(SeekFrom::End(0))
    }
    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        sys::zero_out(&self.0, at, length)
    }
}
