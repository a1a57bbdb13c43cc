//! One block device as sysfs describes it.  Nothing here opens the device.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{Result, sysfs};

/// A block device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// Splits the number that stat(2) gives.
    pub fn from_rdev(rdev: u64) -> Self {
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            major: part(nix::sys::stat::major(rdev)),
            minor: part(nix::sys::stat::minor(rdev)),
        }
    }

    /// Reads `MAJOR:MINOR`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What drives a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A disk, or whatever has no kind of its own here.
    Disk,
    /// A partition of the device with this kernel name.
    Partition {
        /// Kernel name of the whole disk.
        of: String,
        /// Its number, from 1.
        number: u32,
    },
    /// A mapped device.
    Mapped {
        /// Its device-mapper name.
        name: String,
        /// Its device-mapper uuid; empty when it has none.
        uuid: String,
    },
    /// A file as a device.
    Loop {
        /// The file, or `None` when the device is not set up.
        file: Option<PathBuf>,
    },
    /// A software RAID array.
    Md {
        /// Its uuid as sysfs prints it.
        uuid: Option<String>,
    },
}

/// One block device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its number.
    pub number: DeviceNumber,
    /// The kernel's name: `sda1`, `dm-3`, `cciss!c0d0`.
    pub kernel_name: String,
    /// Its node in the devices folder.
    pub node: PathBuf,
    /// Other names of it below the devices folder, in order: `mapper/NAME`, and all others once
    /// [`Devices::find_aliases`](super::Devices::find_aliases) has looked.
    pub aliases: Vec<PathBuf>,
    /// Its folder in sysfs.
    pub sysfs: PathBuf,
    /// What drives it.
    pub kind: DeviceKind,
    /// Kernel names of its partitions.
    pub partitions: Vec<String>,
}

impl BlockDevice {
    /// Reads the disk whose sysfs folder is `dir`; `None` when it is gone or is no block device.
    ///
    /// # Errors
    /// [`super::Error::Io`] for a disk that is there and whose attributes cannot be read.
    pub(crate) fn read(dir: &Path, dev: &Path) -> Result<Option<Self>> {
        let Some(kernel_name) = dir.file_name().and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        let kind = kind(dir, kernel_name)?;
        // The kernel names a partition after its disk.
        let partitions = sysfs::names(dir)
            .into_iter()
            .filter(|name| name.starts_with(kernel_name) && dir.join(name).join("partition").is_file());
        let mapper = match &kind {
            DeviceKind::Mapped { name, .. } => Some(dev.join("mapper").join(name)),
            _ => None,
        };
        let device = Self::with_kind(dir, dev, kind)?;
        Ok(device.map(|device| Self {
            partitions: partitions.collect(),
            aliases: mapper.into_iter().filter(|path| path.exists()).collect(),
            ..device
        }))
    }

    /// Reads the partition whose sysfs folder is `dir`; `None` when it is gone or is none.
    ///
    /// # Errors
    /// As [`BlockDevice::read`].
    pub(crate) fn read_partition(dir: &Path, dev: &Path) -> Result<Option<Self>> {
        let number = sysfs::try_number(&dir.join("partition"))?;
        let disk = dir.parent().and_then(Path::file_name);
        let (Some(number), Some(disk)) = (number.and_then(|number| u32::try_from(number).ok()), disk) else {
            return Ok(None);
        };
        let of = disk.to_string_lossy().into_owned();
        Self::with_kind(dir, dev, DeviceKind::Partition { of, number })
    }

    fn with_kind(dir: &Path, dev: &Path, kind: DeviceKind) -> Result<Option<Self>> {
        let number = sysfs::try_text(&dir.join("dev"))?;
        let number = number.as_deref().and_then(DeviceNumber::parse);
        let kernel_name = dir.file_name().and_then(|name| name.to_str());
        let (Some(number), Some(kernel_name)) = (number, kernel_name.map(str::to_owned)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            number,
            node: dev.join(kernel_name.replace('!', "/")),
            aliases: Vec::new(),
            kind,
            partitions: Vec::new(),
            sysfs: dir.to_owned(),
            kernel_name,
        }))
    }

    /// Its size in bytes now; 0 without a medium, and for one that cannot be read.
    pub fn size(&self) -> u64 {
        self.try_size().unwrap_or(0)
    }

    /// Its size in bytes now; 0 without a medium.
    ///
    /// # Errors
    /// [`super::Error::Io`] when the kernel does not tell.
    pub(crate) fn try_size(&self) -> Result<u64> {
        let sectors = sysfs::try_number(&self.sysfs.join("size"))?;
        Ok(sectors.unwrap_or(0).saturating_mul(512))
    }

    /// The bytes of its smallest request.
    pub fn logical_block_size(&self) -> u32 {
        sysfs::number(&self.whole_sysfs().join("queue/logical_block_size"))
            .and_then(|size| u32::try_from(size).ok())
            .filter(|size| size.is_power_of_two() && (512..=1 << 20).contains(size))
            .unwrap_or(512)
    }

    /// Whether it refuses writes now.
    pub fn is_read_only(&self) -> bool {
        sysfs::flag(&self.sysfs.join("ro"))
    }

    /// Kernel names of the devices that are built on it now.
    pub fn holders(&self) -> Vec<String> {
        sysfs::names(&self.sysfs.join("holders"))
    }

    /// The name to show and to store: `/dev/mapper/NAME` of a mapped device where that exists, else the node.
    pub fn preferred_name(&self) -> &Path {
        let DeviceKind::Mapped { name, .. } = &self.kind else {
            return &self.node;
        };
        let mapper = |alias: &&PathBuf| {
            alias.parent().is_some_and(|dir| dir.ends_with("mapper")) && alias.ends_with(name)
        };
        self.aliases.iter().find(mapper).unwrap_or(&self.node)
    }

    /// The node and all aliases.
    pub fn names(&self) -> Vec<&Path> {
        std::iter::once(&self.node)
            .chain(&self.aliases)
            .map(PathBuf::as_path)
            .collect()
    }

    /// The device-mapper uuid, of a mapped device that has one.
    pub fn dm_uuid(&self) -> Option<&str> {
        match &self.kind {
            DeviceKind::Mapped { uuid, .. } if !uuid.is_empty() => Some(uuid),
            _ => None,
        }
    }

    /// Whether its I/O is stopped now, or that of a mapped device below it, as sysfs says at this moment.  One of which the
    /// kernel does not tell counts as stopped.
    ///
    /// Opening or reading a suspended device can hang for ever: ask before, every time.
    pub fn is_suspended(&self) -> bool {
        let stacks = matches!(self.kind, DeviceKind::Mapped { .. } | DeviceKind::Md { .. });
        stacks && is_stopped(&self.sysfs, &mut HashSet::new())
    }

    /// As [`BlockDevice::is_suspended`], of a device that may be stopped for a moment: asked until it goes on, or `end` is
    /// over.
    pub(crate) fn stays_suspended(&self, end: Instant) -> bool {
        while self.is_suspended() {
            if Instant::now() >= end {
                return true;
            }
            thread::sleep(PAUSE);
        }
        false
    }

    /// The partition's number, or 0.
    pub fn partition_number(&self) -> u32 {
        match self.kind {
            DeviceKind::Partition { number, .. } => number,
            _ => 0,
        }
    }

    /// The sysfs folder of the whole disk.
    pub(crate) fn whole_sysfs(&self) -> &Path {
        match self.kind {
            DeviceKind::Partition { .. } => self.sysfs.parent().unwrap_or(&self.sysfs),
            _ => &self.sysfs,
        }
    }
}

/// Between two questions whether a device still stands still.
const PAUSE: Duration = Duration::from_millis(10);

/// Is the I/O of the device whose folder is `dir` stopped, or that of one below it?  Each is asked once.
fn is_stopped(dir: &Path, asked: &mut HashSet<String>) -> bool {
    // One that is gone stops no other.
    let is_set =
        |value: Result<Option<u64>>| value.map_or(true, |value| value.is_some_and(|value| value != 0));
    is_set(sysfs::try_number(&dir.join("dm/suspended")))
        || sysfs::names(&dir.join("slaves")).into_iter().any(|name| {
            let below = dir.with_file_name(&name);
            asked.insert(name) && is_stopped(&below, asked)
        })
}

/// What drives a whole device: the kernel's drivers name theirs.
///
/// # Errors
/// [`super::Error::Io`] for a mapped device whose name and uuid cannot be read.
fn kind(dir: &Path, kernel_name: &str) -> Result<DeviceKind> {
    let is_numbered = |prefix: &str| {
        kernel_name
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    if is_numbered("dm-") {
        return Ok(DeviceKind::Mapped {
            name: sysfs::try_text(&dir.join("dm/name"))?.unwrap_or_default(),
            uuid: sysfs::try_text(&dir.join("dm/uuid"))?.unwrap_or_default(),
        });
    }
    if kernel_name.starts_with("md") && dir.join("md").is_dir() {
        return Ok(DeviceKind::Md {
            uuid: sysfs::text(&dir.join("md/uuid")),
        });
    }
    // `loop/` is there only while a file is attached.
    if is_numbered("loop") {
        return Ok(DeviceKind::Loop {
            file: sysfs::try_text(&dir.join("loop/backing_file"))?.map(PathBuf::from),
        });
    }
    Ok(DeviceKind::Disk)
}
