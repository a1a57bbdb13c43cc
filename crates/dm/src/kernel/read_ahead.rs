//! How far the kernel reads ahead of those who read a device, as it stands in sysfs.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::{DeviceNumber, Error, ReadAhead};

/// Sets how far a device reads ahead; what it does already is not written.
///
/// The kernel counts kilobytes: an odd number of sectors is rounded up, as LVM does.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn set(sys: &Path, number: DeviceNumber, wanted: ReadAhead) -> Result<(), Error> {
    let device = sys.join("dev/block").join(number.to_string());
    let file = device.join("queue/read_ahead_kb");
    let now = read(&file).map_err(failed("read", &file))?;
    let wanted = match wanted {
        ReadAhead::Exactly(sectors) => u64::from(sectors).div_ceil(2),
        ReadAhead::AtLeast(sectors) => now.max(u64::from(sectors).div_ceil(2)),
        ReadAhead::AsBelow => now.max(farthest_below(&device)),
    };
    if wanted == now {
        return Ok(());
    }
    fs::write(&file, wanted.to_string()).map_err(failed("write", &file))
}

/// The kilobytes of the device below that reads farthest ahead.
fn farthest_below(device: &Path) -> u64 {
    let folder = device.join("slaves");
    // The language's own reader of folders panics where their close fails.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let entries = Dir::open(&folder, flags, Mode::empty()).into_iter().flatten();
    let slaves = entries.map_while(Result::ok).filter_map(|entry| {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        (name != "." && name != "..").then(|| folder.join(name))
    });
    let of = |slave: PathBuf| {
        let own = slave.join("queue/read_ahead_kb");
        // A partition has its disk's.
        let file = match slave.join("partition").exists() {
            true => fs::canonicalize(&slave)
                .ok()?
                .parent()?
                .join("queue/read_ahead_kb"),
            false => own,
        };
        read(&file).ok()
    };
    slaves.filter_map(of).max().unwrap_or(0)
}

fn read(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let number = text.trim().parse();
    number.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn device(sys: &Path, number: &str, kilobytes: u64) -> PathBuf {
        let dir = sys.join("dev/block").join(number);
        fs::create_dir_all(dir.join("queue")).unwrap();
        fs::create_dir_all(dir.join("slaves")).unwrap();
        fs::write(dir.join("queue/read_ahead_kb"), format!("{kilobytes}\n")).unwrap();
        dir
    }

    #[test]
    fn exact_values_are_set_and_others_only_raised() {
        let sys = tempfile::tempdir().unwrap();
        let dir = device(sys.path(), "253:0", 128);
        device(sys.path(), "8:0", 512);
        // A partition of a disk that reads farther still.
        let disk = device(sys.path(), "8:16", 1024);
        fs::create_dir(disk.join("sdb1")).unwrap();
        fs::write(disk.join("sdb1/partition"), "1\n").unwrap();
        let number = DeviceNumber { major: 253, minor: 0 };
        let after = |wanted| {
            set(sys.path(), number, wanted).unwrap();
            read(&dir.join("queue/read_ahead_kb")).unwrap()
        };
        assert_eq!(after(ReadAhead::AsBelow), 128);
        assert_eq!(after(ReadAhead::AtLeast(100)), 128);
        assert_eq!(after(ReadAhead::AtLeast(513)), 257);
        assert_eq!(after(ReadAhead::Exactly(0)), 0);
        assert_eq!(after(ReadAhead::Exactly(256)), 128);
        symlink(sys.path().join("dev/block/8:0"), dir.join("slaves/sda")).unwrap();
        assert_eq!(after(ReadAhead::AsBelow), 512);
        symlink(disk.join("sdb1"), dir.join("slaves/sdb1")).unwrap();
        assert_eq!(after(ReadAhead::AsBelow), 1024);
        let gone = DeviceNumber { major: 253, minor: 9 };
        assert!(set(sys.path(), gone, ReadAhead::AsBelow).is_err());
    }
}
