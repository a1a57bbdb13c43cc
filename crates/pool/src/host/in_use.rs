//! Whether a disk is free to become a PV: nobody uses it, and nothing of value lies on it.

use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use lvm_meta::Disk;

use super::{
    BlockDevice, BlockDisk, DeviceNumber, DeviceRules, Devices, Error, FoundSignature, OpenMode, Paths,
    Result, SignatureKind, Skip, erase_signatures, find_signatures, sysfs,
};

/// One reason why a disk must not become a PV.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InUse {
    /// It, or this partition of it, is mounted.
    Mounted {
        /// Kernel name of what is mounted.
        device: String,
        /// Where, in this process's mount namespace.
        on: PathBuf,
    },
    /// It, or this partition of it, is swap space in use.
    Swap {
        /// Kernel name of what is swap.
        device: String,
    },
    /// Other devices are built on it, or on this partition of it.
    Held {
        /// Kernel name of what is held.
        device: String,
        /// Kernel names of the holders.
        by: Vec<String>,
    },
    /// The kernel knows partitions on it.
    Partitions {
        /// Their kernel names.
        names: Vec<String>,
    },
    /// It refuses writes.
    ReadOnly,
    /// LVM would not look at it.
    Skipped(Skip),
    /// Something has it open exclusively that none of the other reasons names: another mount namespace, a program.
    Claimed,
    /// This lies on it.
    Signature(FoundSignature),
}

impl InUse {
    /// Whether the owner may say that it does not matter: true for what merely lies on the disk, but not for a PV,
    /// which is taken away by its own operation.
    pub fn can_be_forced(&self) -> bool {
        matches!(self, Self::Signature(found) if found.kind != SignatureKind::LvmPv)
    }
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted { device, on } => write!(f, "{device} is mounted on {}", on.display()),
            Self::Swap { device } => write!(f, "{device} is swap space in use"),
            Self::Held { device, by } => write!(f, "{device} is used by {}", by.join(", ")),
            Self::Partitions { names } => write!(f, "it has the partitions {}", names.join(", ")),
            Self::ReadOnly => f.write_str("it is read-only"),
            Self::Skipped(skip) => skip.fmt(f),
            Self::Claimed => f.write_str("something has it open exclusively"),
            Self::Signature(found) => write!(f, "it holds {found}"),
        }
    }
}

/// What to do with what lies on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignature {
    /// Refuse the disk.
    Refuse,
    /// Erase the magics, durably; a PV label is refused all the same.
    Erase,
}

/// A disk that is ours alone until it is dropped.
#[derive(Debug)]
pub struct ClaimedDisk {
    /// The disk, open exclusively.
    pub disk: BlockDisk,
    /// What was erased.
    pub erased: Vec<FoundSignature>,
}

/// Opens a disk exclusively after making sure that nothing uses it and nothing of value lies on it.
///
/// All reasons against it are collected, not just the first.  The disk is not written to unless
/// [`OnSignature::Erase`] is asked for and nothing else stands against it.
///
/// # Errors
/// [`Error::InUse`] with all reasons; [`Error::Io`] or [`Error::DiskIo`] when that cannot be found out.
pub fn claim_disk(
    paths: &Paths,
    devices: &Devices,
    rules: &DeviceRules,
    device: &BlockDevice,
    on_signature: OnSignature,
) -> Result<ClaimedDisk> {
    let mut reasons = uses(paths, devices, device)?;
    // A disk that is about to become a PV need not be in the devices file yet.
    if let Some(skip) = rules
        .skip(devices, device)
        .filter(|skip| *skip != Skip::NotListed)
    {
        let known = matches!(skip, Skip::Partitioned) && !device.partitions.is_empty();
        if !known {
            reasons.push(InUse::Skipped(skip));
        }
    }
    let refuse = |reasons| Error::InUse {
        path: device.preferred_name().to_owned(),
        reasons,
    };
    if reasons.contains(&InUse::Skipped(Skip::Suspended)) {
        return Err(refuse(reasons));
    }
    // Opened for reading first: closing a writable descriptor makes udev probe the disk, even for a refusal.
    let probe = BlockDisk::open(device, OpenMode::ReadOnly)?;
    probe.check_sectors()?;
    reasons.extend(find_signatures(&probe)?.into_iter().map(InUse::Signature));
    drop(probe);
    if reasons
        .iter()
        .any(|reason| on_signature == OnSignature::Refuse || !reason.can_be_forced())
    {
        return Err(refuse(reasons));
    }
    let disk = match BlockDisk::open(device, OpenMode::Exclusive) {
        Err(Error::Claimed { .. }) => {
            reasons.push(InUse::Claimed);
            return Err(refuse(reasons));
        }
        opened => opened?,
    };
    let erased = empty_disk(&disk, device.preferred_name(), on_signature)?;
    Ok(ClaimedDisk { disk, erased })
}

/// Makes sure that nothing of value lies on an open disk or image, or erases it.
///
/// # Errors
/// [`Error::InUse`] with what lies on it, [`Error::DiskIo`] when the disk fails.
pub fn empty_disk(disk: &dyn Disk, path: &Path, on_signature: OnSignature) -> Result<Vec<FoundSignature>> {
    let found: Vec<InUse> = find_signatures(disk)?.into_iter().map(InUse::Signature).collect();
    if found
        .iter()
        .any(|reason| on_signature == OnSignature::Refuse || !reason.can_be_forced())
    {
        return Err(Error::InUse {
            path: path.to_owned(),
            reasons: found,
        });
    }
    if found.is_empty() {
        Ok(Vec::new())
    } else {
        erase_signatures(disk, |found| found.kind != SignatureKind::LvmPv)
    }
}

/// Who uses the disk or a partition of it, as far as the kernel tells without opening it.
///
/// # Errors
/// [`Error::Io`] when the kernel's lists of mounts or swap spaces cannot be read.
pub fn uses(paths: &Paths, devices: &Devices, device: &BlockDevice) -> Result<Vec<InUse>> {
    let parts = device
        .partitions
        .iter()
        .filter_map(|name| devices.by_kernel_name(name));
    let all: Vec<&BlockDevice> = std::iter::once(device).chain(parts).collect();
    let one_of = |number: DeviceNumber| all.iter().find(|device| device.number == number);
    let mut reasons = Vec::new();

    let mounts = sysfs::optional_file(&paths.proc.join("self/mountinfo"))?.unwrap_or_default();
    for mount in mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Mount::parse(line, devices))
    {
        if let Some(device) = mount.numbers.iter().find_map(|number| one_of(*number)) {
            reasons.push(InUse::Mounted {
                device: device.kernel_name.clone(),
                on: mount.on,
            });
        }
    }
    let swaps = sysfs::optional_file(&paths.proc.join("swaps"))?.unwrap_or_default();
    for line in swaps.split(|byte| *byte == b'\n').skip(1) {
        let path = line
            .split(|byte| byte.is_ascii_whitespace())
            .next()
            .unwrap_or_default();
        let found = devices
            .by_path(&unescape(path))
            .and_then(|found| one_of(found.number));
        reasons.extend(found.map(|device| InUse::Swap {
            device: device.kernel_name.clone(),
        }));
    }
    for device in all {
        let by = device.holders();
        if !by.is_empty() {
            reasons.push(InUse::Held {
                device: device.kernel_name.clone(),
                by,
            });
        }
    }
    if !device.partitions.is_empty() {
        reasons.push(InUse::Partitions {
            names: device.partitions.clone(),
        });
    }
    if device.is_read_only() {
        reasons.push(InUse::ReadOnly);
    }
    Ok(reasons)
}

/// A line of mountinfo: `36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw`.
struct Mount {
    on: PathBuf,
    /// The number in the line and that of the named source; file systems over several devices have their own first.
    numbers: Vec<DeviceNumber>,
}

impl Mount {
    fn parse(line: &[u8], devices: &Devices) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let number = DeviceNumber::parse(&String::from_utf8_lossy(words.nth(2)?));
        let on = unescape(words.nth(1)?);
        let source = words.skip_while(|word| *word != b"-").nth(2).map(unescape);
        // Sources that are no absolute path name no device: `tmpfs`, `host:/export`.
        let source = source
            .filter(|path| path.is_absolute())
            .and_then(|path| devices.by_path(&path));
        Some(Self {
            on,
            numbers: number
                .into_iter()
                .chain(source.map(|device| device.number))
                .collect(),
        })
    }
}

/// Undoes the kernel's `\040` for characters that would end a field.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeHost;
    use lvm_meta::MemDisk;

    fn check(host: &FakeHost, name: &str) -> Vec<String> {
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        let device = devices.by_kernel_name(name).unwrap();
        uses(&host.paths, &devices, device)
            .unwrap()
            .iter()
            .map(InUse::to_string)
            .collect()
    }

    #[test]
    fn a_free_disk_has_no_uses() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30);
        assert_eq!(check(&host, "sda"), [""; 0]);
    }

    #[test]
    fn mounts_swap_and_holders_of_a_partition_count_for_its_disk() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30)
            .partition("sda", "sda1", "8:1", 1 << 20);
        host.partition("sda", "sda2", "8:2", 1 << 20)
            .holder("sda/sda2", "dm-0")
            .link("disk/by-label/swap", "sda1");
        let swap = host.paths.dev.join("disk/by-label/swap");
        let proc = &host.paths.proc;
        host.write(
            &proc.join("swaps"),
            format!(
                "Filename Type\n{} partition 1 0 -2\n/swapfile file\n",
                swap.display()
            ),
        );
        host.write(
            &proc.join("self/mountinfo"),
            "30 20 8:2 / /mnt/my\\040disk rw - ext4 /dev/sda2 rw\n31 20 0:5 / /dev rw - devtmpfs devtmpfs rw\n\nodd line\n",
        );
        assert_eq!(
            check(&host, "sda"),
            [
                "sda2 is mounted on /mnt/my disk",
                "sda1 is swap space in use",
                "sda2 is used by dm-0",
                "it has the partitions sda1, sda2",
            ]
        );
        assert_eq!(check(&host, "sda1"), ["sda1 is swap space in use"]);
    }

    #[test]
    fn file_systems_with_numbers_of_their_own_are_known_by_their_source() {
        let host = FakeHost::new();
        host.disk("sdb", "8:16", 1 << 30).attribute("sdb", "ro", "1");
        let node = host.paths.dev.join("sdb");
        let line = format!(
            "40 20 0:44 /sub /data rw shared:1 - btrfs {} rw\n",
            node.display()
        );
        host.write(&host.paths.proc.join("self/mountinfo"), line);
        assert_eq!(
            check(&host, "sdb"),
            ["sdb is mounted on /data", "it is read-only"]
        );
    }

    #[test]
    fn a_disk_with_something_on_it_is_refused_unless_erasing_is_asked_for() {
        let mut bytes = vec![0; 1 << 20];
        bytes[..4].copy_from_slice(b"XFSB");
        let disk = MemDisk::new(bytes.clone());
        let path = Path::new("/dev/sda");
        let err = empty_disk(&disk, path, OnSignature::Refuse).unwrap_err();
        assert_eq!(err.to_string(), "/dev/sda cannot be used: it holds XFS at byte 0");
        assert_eq!(disk.bytes(), bytes, "a refusal writes nothing");
        assert_eq!(empty_disk(&disk, path, OnSignature::Erase).unwrap().len(), 1);
        assert!(disk.bytes().iter().all(|byte| *byte == 0));
        assert_eq!(empty_disk(&disk, path, OnSignature::Refuse).unwrap(), []);
    }

    #[test]
    fn a_pv_is_not_erased_even_when_erasing_is_asked_for() {
        let mut bytes = vec![0; 1 << 20];
        bytes[512..520].copy_from_slice(b"LABELONE");
        bytes[536..544].copy_from_slice(b"LVM2 001");
        bytes[..4].copy_from_slice(b"XFSB");
        let disk = MemDisk::new(bytes.clone());
        let err = empty_disk(&disk, Path::new("x"), OnSignature::Erase).unwrap_err();
        assert!(
            matches!(&err, Error::InUse { reasons, .. } if reasons.len() == 2),
            "{err}"
        );
        assert_eq!(disk.bytes(), bytes);
    }

    #[test]
    fn escapes_of_the_kernel_are_undone() {
        for (field, path) in [
            (r"/a\040b", "/a b"),
            (r"\134x", r"\x"),
            (r"/a\04", r"/a\04"),
            (r"\", r"\"),
            (r"\999", r"\999"),
        ] {
            assert_eq!(unescape(field.as_bytes()), Path::new(path));
        }
    }
}
