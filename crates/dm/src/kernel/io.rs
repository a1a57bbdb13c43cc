//! I/O on a mapped device's node.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use crate::sys;
use crate::{BlockIo, DeviceInfo, DeviceNumber, Error, OpenMode};

pub(crate) struct Device(File);

impl Device {
    /// Opens `/dev/dm-N`, `/dev/mapper/NAME` or `/dev/block/M:N`, whichever is the device, and nothing else.
    pub(crate) fn open(dev: &Path, info: &DeviceInfo, mode: OpenMode) -> Result<Self, Error> {
        let is_it = |found: &std::fs::Metadata| {
            found.file_type().is_block_device() && DeviceNumber::of_stat(found.rdev()) == info.number
        };
        let failed = |path: &Path, source| Error::Io {
            what: "open",
            path: path.into(),
            source,
        };
        let by_name = dev.join("mapper").join(info.name.as_str());
        let paths = [
            dev.join(format!("dm-{}", info.number.minor)),
            by_name.clone(),
            dev.join("block").join(info.number.to_string()),
        ];
        for path in paths {
            if !std::fs::metadata(&path).is_ok_and(|found| is_it(&found)) {
                continue;
            }
            let file = OpenOptions::new()
                .read(true)
                .write(mode == OpenMode::ReadWrite)
                .open(&path)
                .map_err(|source| failed(&path, source))?;
            // Another device may have got the node since.
            if file.metadata().is_ok_and(|found| is_it(&found)) {
                return Ok(Self(file));
            }
        }
        Err(failed(&by_name, io::ErrorKind::NotFound.into()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DmName;

    #[test]
    fn a_file_that_is_not_the_device_is_not_opened() {
        let dev = tempfile::tempdir().unwrap();
        std::fs::create_dir(dev.path().join("mapper")).unwrap();
        std::fs::write(dev.path().join("mapper/vg-lv"), "not a device").unwrap();
        let info = DeviceInfo {
            name: DmName::new("vg-lv").unwrap(),
            uuid: None,
            number: DeviceNumber { major: 253, minor: 0 },
            open_count: 0,
            event_nr: 0,
            target_count: 1,
            suspended: false,
            read_only: false,
            live_table: true,
            inactive_table: false,
            deferred_remove: false,
        };
        let error = Device::open(dev.path(), &info, OpenMode::ReadOnly).err().unwrap();
        assert!(matches!(error, Error::Io { what: "open", .. }), "{error}");
    }
}
