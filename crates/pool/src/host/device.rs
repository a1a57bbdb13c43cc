//! One block device as sysfs describes it.  Nothing here opens the device.

use std::fmt;
use std::path::{Path, PathBuf};

use super::sysfs;

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
        /// Whether its I/O is stopped: an open or a read could hang.
        suspended: bool,
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
    /// Every other name of it below the devices folder, in order.
    pub aliases: Vec<PathBuf>,
    /// Its folder in sysfs.
    pub sysfs: PathBuf,
    /// Its size in bytes; 0 without a medium.
    pub size: u64,
    /// The bytes of its smallest request.
    pub logical_block_size: u32,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// What drives it.
    pub kind: DeviceKind,
    /// Kernel names of the devices that are built on it.
    pub holders: Vec<String>,
    /// Kernel names of its partitions.
    pub partitions: Vec<String>,
}

impl BlockDevice {
    /// Reads the device whose sysfs folder is `dir`; `None` when it is gone or is no block device.
    pub(crate) fn read(dir: &Path, dev: &Path) -> Option<Self> {
        let kernel_name = dir.file_name()?.to_str()?.to_owned();
        let number = DeviceNumber::parse(&sysfs::text(&dir.join("dev"))?)?;
        let partition = sysfs::number(&dir.join("partition")).and_then(|number| u32::try_from(number).ok());
        let whole = if partition.is_some() { dir.parent()? } else { dir };
        let logical_block_size = sysfs::number(&whole.join("queue/logical_block_size"))
            .and_then(|size| u32::try_from(size).ok())
            .filter(|size| size.is_power_of_two() && (512..=1 << 20).contains(size))
            .unwrap_or(512);
        let partitions = sysfs::names(dir)
            .into_iter()
            .filter(|name| dir.join(name).join("partition").is_file());
        Some(Self {
            number,
            node: dev.join(kernel_name.replace('!', "/")),
            aliases: Vec::new(),
            size: sysfs::number(&dir.join("size")).unwrap_or(0).saturating_mul(512),
            logical_block_size,
            read_only: sysfs::flag(&dir.join("ro")),
            kind: kind(dir, &kernel_name, partition),
            holders: sysfs::names(&dir.join("holders")),
            partitions: partitions.collect(),
            sysfs: dir.to_owned(),
            kernel_name,
        })
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

    /// Whether its I/O is stopped now, as sysfs says at this moment.
    ///
    /// Opening or reading a suspended device can hang for ever: ask before, every time.
    pub fn is_suspended(&self) -> bool {
        sysfs::flag(&self.sysfs.join("dm/suspended"))
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

fn kind(dir: &Path, kernel_name: &str, partition: Option<u32>) -> DeviceKind {
    if let Some(number) = partition {
        let of = dir.parent().and_then(Path::file_name).unwrap_or_default();
        return DeviceKind::Partition {
            of: of.to_string_lossy().into_owned(),
            number,
        };
    }
    if dir.join("dm").is_dir() {
        return DeviceKind::Mapped {
            name: sysfs::text(&dir.join("dm/name")).unwrap_or_default(),
            uuid: sysfs::text(&dir.join("dm/uuid")).unwrap_or_default(),
            suspended: sysfs::flag(&dir.join("dm/suspended")),
        };
    }
    if dir.join("md").is_dir() {
        return DeviceKind::Md {
            uuid: sysfs::text(&dir.join("md/uuid")),
        };
    }
    // `loop/` is there only while a file is attached.
    let numbered = kernel_name
        .strip_prefix("loop")
        .is_some_and(|rest| rest.parse::<u32>().is_ok());
    if numbered {
        return DeviceKind::Loop {
            file: sysfs::text(&dir.join("loop/backing_file")).map(PathBuf::from),
        };
    }
    DeviceKind::Disk
}
