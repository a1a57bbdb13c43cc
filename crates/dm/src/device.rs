//! What names a mapped device, and what the mapper says of it.

use std::fmt;

use bitflags::bitflags;

use crate::{DmName, DmUuid};

/// A block device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// From `stat`'s device number.
    pub fn of_stat(dev: u64) -> Self {
        let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
        Self {
            major: low((dev >> 8 & 0xfff) | (dev >> 32 & !0xfff)),
            minor: low((dev & 0xff) | (dev >> 12 & !0xff)),
        }
    }

    /// As `mknod` takes it.
    pub(crate) fn to_dev(self) -> u64 {
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }

    /// As device-mapper's ioctls have it: the kernel's `huge_encode_dev`; 0, which is no device's, for a number past the
    /// kernel's 12 and 20 bits.
    pub(crate) fn to_huge(self) -> u64 {
        if self.major > 0xfff || self.minor > 0xf_ffff {
            return 0;
        }
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        (minor & 0xff) | major << 8 | (minor & !0xff) << 12
    }

    /// From device-mapper's ioctls.
    pub(crate) fn of_huge(dev: u64) -> Self {
        let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
        Self {
            major: low(dev >> 8 & 0xfff),
            minor: low((dev & 0xff) | (dev >> 12 & !0xff)),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':').filter(|_| !text.contains('+'))?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

/// As tables have it: `major:minor`.
impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What a command is about: exactly one key, as the kernel wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceId<'a> {
    /// By name.
    Name(&'a DmName),
    /// By uuid: the identity that survives a rename.
    Uuid(&'a DmUuid),
    /// By number.
    Number(DeviceNumber),
}

impl fmt::Display for DeviceId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A mapper's interface version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Incompatible changes.
    pub major: u32,
    /// Additions.
    pub minor: u32,
    /// Corrections.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What a mapper says of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub name: DmName,
    /// Its uuid, if it has one.
    pub uuid: Option<DmUuid>,
    /// Its number.
    pub number: DeviceNumber,
    /// How often it is open: a moment's value.
    pub open_count: u32,
    /// Its event counter.
    pub event_nr: u32,
    /// Targets in the live table.
    pub target_count: u32,
    /// I/O is stopped.
    pub suspended: bool,
    /// Writes are refused.
    pub read_only: bool,
    /// A table is mapped.
    pub live_table: bool,
    /// A table is staged.
    pub inactive_table: bool,
    /// It goes when its last user closes it.
    pub deferred_remove: bool,
}

/// One device of a mapper's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// Its name.
    pub name: DmName,
    /// Its uuid, if it has one.
    pub uuid: Option<DmUuid>,
    /// Its number.
    pub number: DeviceNumber,
    /// Its event counter, where the kernel tells it in the list.
    pub event_nr: Option<u32>,
}

/// One device of a mapper's list, as it goes by: nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedDevice<'a> {
    /// Its name as the kernel has it, which need not be text.
    pub name: &'a [u8],
    /// Its uuid, if it has one; the same.
    pub uuid: Option<&'a [u8]>,
    /// Its number.
    pub number: DeviceNumber,
    /// Its event counter, where the kernel tells it in the list.
    pub event_nr: Option<u32>,
}

impl From<ListedDevice<'_>> for DeviceEntry {
    fn from(listed: ListedDevice<'_>) -> Self {
        Self {
            name: DmName::of_kernel(listed.name),
            uuid: listed.uuid.map(DmUuid::of_kernel),
            number: listed.number,
            event_nr: listed.event_nr,
        }
    }
}

/// A target that the kernel has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
}

/// What a target says of a part of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusLine {
    /// First sector.
    pub start: u64,
    /// Sectors.
    pub length: u64,
    /// The target's name.
    pub kind: String,
    /// Its words.
    pub status: String,
}

bitflags! {
    /// How a device is suspended.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SuspendFlags: u32 {
        /// The file system is not frozen.
        const SKIP_LOCKFS = 1 << 10;
        /// Queued I/O is kept for the new table, not finished with the old one.
        const NOFLUSH = 1 << 11;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_both_encodings() {
        for (major, minor) in [(253, 0), (8, 255), (253, 256), (259, 70_000), (4095, 1_048_575)] {
            let number = DeviceNumber { major, minor };
            assert_eq!(DeviceNumber::of_stat(number.to_dev()), number);
            assert_eq!(DeviceNumber::of_huge(number.to_huge()), number);
            assert_eq!(DeviceNumber::parse(&number.to_string()), Some(number));
        }
    }

    #[test]
    fn numbers_are_laid_out_as_the_kernel_has_them() {
        let number = DeviceNumber {
            major: 0xabc,
            minor: 0x1_2345,
        };
        assert_eq!(number.to_huge(), 0x123a_bc45);
        assert_eq!(number.to_dev(), 0x123a_bc45);
    }

    #[test]
    fn a_number_too_large_for_the_kernel_names_no_device() {
        for (major, minor) in [(0x1000, 0), (8, 0x10_0000), (u32::MAX, u32::MAX)] {
            assert_eq!(DeviceNumber { major, minor }.to_huge(), 0);
        }
    }
}
