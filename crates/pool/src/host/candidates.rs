//! Which block devices LVM would look at for PVs, and why not the others.

use std::collections::HashSet;
use std::fmt;

use super::device_id::has_prefix;
use super::{
    BlockDevice, DeviceIdType, DeviceKind, Devices, DevicesFile, Error, Filter, FoundSignature, Paths,
    Result, SignatureKind, errno_of, sysfs,
};

/// Smallest PV that LVM takes by default, in bytes.
pub(crate) const DEFAULT_PV_MIN_SIZE: u64 = 2048 << 10;

/// The block drivers, as `/proc/devices` names them, whose devices LVM uses.  Reference: LVM2
/// `lib/device/device-types.h`.
const DRIVERS: [&str; 38] = [
    "sd",
    "ide",
    "md",
    "loop",
    "ramdisk",
    "device-mapper",
    "mdp",
    "dasd",
    "dac960",
    "nbd",
    "ida",
    "cciss",
    "ubd",
    "ataraid",
    "drbd",
    "rbd",
    "emcpower",
    "power2",
    "i2o_block",
    "iseries/vd",
    "gnbd",
    "aoe",
    "xvd",
    "vdisk",
    "ps3disk",
    "virtblk",
    "mmc",
    "blkext",
    "fio",
    "mtip32xx",
    "vtms",
    "skd",
    "scm",
    "bcache",
    "nvme",
    "zvol",
    "VxDMP",
    "zram",
];

/// Why a device is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// A device filter of `lvm.conf` rejects it.
    Filtered,
    /// A devices file is in use and does not list it.
    NotListed,
    /// LVM does not use devices of its driver.
    Driver,
    /// It has no medium, or nothing is attached.
    Empty,
    /// It is smaller than the least PV.
    TooSmall {
        /// Its bytes.
        size: u64,
        /// The bytes that are needed.
        least: u64,
    },
    /// Its I/O is stopped.
    Suspended,
    /// The kernel does not tell its size.
    Unreadable {
        /// The errno.
        errno: i32,
    },
    /// It is an LV, and LVs are not searched for PVs.
    Lv,
    /// It is one path of this multipath device.
    MultipathLeg {
        /// Kernel name of the multipath device, where it is set up.
        of: Option<String>,
    },
    /// It is a member of this RAID array.
    RaidMember {
        /// Kernel name of the array, where it is running.
        of: Option<String>,
    },
    /// It holds a partition table.
    Partitioned,
    /// It holds an LVM1 volume.
    Lvm1,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |of: &Option<String>| of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
        match self {
            Self::Filtered => f.write_str("a device filter rejects it"),
            Self::NotListed => f.write_str("the devices file does not list it"),
            Self::Driver => f.write_str("LVM does not use devices of its driver"),
            Self::Empty => f.write_str("it is empty"),
            Self::TooSmall { size, least } => {
                write!(f, "its {size} bytes are fewer than the {least} of the least PV")
            }
            Self::Suspended => f.write_str("it is suspended"),
            Self::Unreadable { errno } => write!(
                f,
                "its size cannot be read: {}",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::Lv => f.write_str("it is an LV"),
            Self::MultipathLeg { of: leg } => write!(f, "it is a path of multipath device{}", of(leg)),
            Self::RaidMember { of: array } => write!(f, "it is a member of RAID array{}", of(array)),
            Self::Partitioned => f.write_str("it is partitioned"),
            Self::Lvm1 => f.write_str("it is an LVM1 volume"),
        }
    }
}

/// The rules by which devices are looked at or skipped.
#[derive(Clone, Debug)]
pub struct DeviceRules {
    /// `devices/filter`; not used while a devices file is.
    pub filter: Filter,
    /// `devices/global_filter`; not used while a devices file is.
    pub global_filter: Filter,
    /// The devices file, if one is in use.
    pub devices_file: Option<DevicesFile>,
    /// `devices/scan_lvs`.
    pub scan_lvs: bool,
    /// `devices/pv_min_size`, in bytes.
    pub pv_min_size: u64,
    /// `devices/multipath_component_detection`.
    pub multipath_detection: bool,
    /// `devices/md_component_detection`.
    pub md_detection: bool,
    /// Major numbers that LVM uses, or `None` where the kernel's list could not be read: then all.
    pub majors: Option<HashSet<u32>>,
    /// World-wide ids, without their type, of what multipath has claimed before.
    pub multipath_wwids: HashSet<String>,
}

impl Default for DeviceRules {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            global_filter: Filter::default(),
            devices_file: None,
            scan_lvs: false,
            pv_min_size: DEFAULT_PV_MIN_SIZE,
            multipath_detection: true,
            md_detection: true,
            majors: None,
            multipath_wwids: HashSet::new(),
        }
    }
}

impl DeviceRules {
    /// Why LVM would not look at the device, in LVM's order; `None` when it would.  Opens nothing.
    ///
    /// What can be told only from the device's content is [`DeviceRules::skip_content`]'s.
    pub fn skip(&self, devices: &Devices, device: &BlockDevice) -> Option<Skip> {
        // First, whatever else is wrong with it: a suspended device must not be opened by anybody.
        if device.is_suspended() {
            return Some(Skip::Suspended);
        }
        self.skip_running(devices, device)
    }

    /// As [`DeviceRules::skip`], for a device whose I/O may be stopped: would LVM look at it if it were not?
    pub(crate) fn skip_running(&self, devices: &Devices, device: &BlockDevice) -> Option<Skip> {
        match &self.devices_file {
            Some(file) if file.entry(device).is_none() => return Some(Skip::NotListed),
            Some(_) => {}
            None => {
                let names = device.names();
                if !self.global_filter.accepts(&names) || !self.filter.accepts(&names) {
                    return Some(Skip::Filtered);
                }
            }
        }
        if self
            .majors
            .as_ref()
            .is_some_and(|majors| !majors.contains(&device.number.major))
        {
            return Some(Skip::Driver);
        }
        if device.kind == (DeviceKind::Loop { file: None }) {
            return Some(Skip::Empty);
        }
        if !self.scan_lvs && device.dm_uuid().is_some_and(|uuid| has_prefix(uuid, "LVM-")) {
            return Some(Skip::Lv);
        }
        let least = self.pv_min_size;
        let size = match device.try_size() {
            Ok(size) => size,
            Err(Error::Io { source, .. }) => {
                let errno = errno_of(&source);
                return Some(Skip::Unreadable { errno });
            }
            Err(_) => return Some(Skip::Unreadable { errno: libc::EIO }),
        };
        if size == 0 {
            return Some(Skip::Empty);
        }
        if size < least {
            return Some(Skip::TooSmall { size, least });
        }
        let holders = holders(devices, device);
        if self.multipath_detection
            && let Some(skip) = self.multipath_leg(device, &holders)
        {
            return Some(skip);
        }
        if self.md_detection {
            let array = holders
                .iter()
                .find(|holder| matches!(holder.kind, DeviceKind::Md { .. }));
            if let Some(array) = array {
                return Some(Skip::RaidMember {
                    of: Some(array.kernel_name.clone()),
                });
            }
        }
        if !device.partitions.is_empty() {
            return Some(Skip::Partitioned);
        }
        None
    }

    /// Why LVM would not look at a device with these signatures; `None` when it would.
    ///
    /// Ask before a PV label is trusted: a RAID member of the older versions shows the label of the array.
    pub fn skip_content(&self, device: &BlockDevice, signatures: &[FoundSignature]) -> Option<Skip> {
        let table = |found: &FoundSignature| matches!(found.kind, SignatureKind::Mbr | SignatureKind::Gpt);
        // Loop devices have partitions only where that is asked for.
        let can_have_partitions = match device.kind {
            DeviceKind::Partition { .. } => false,
            DeviceKind::Loop { .. } => sysfs::flag(&device.sysfs.join("loop/partscan")),
            _ => true,
        };
        if can_have_partitions && signatures.iter().any(table) {
            return Some(Skip::Partitioned);
        }
        let raid = |found: &FoundSignature| {
            matches!(
                found.kind,
                SignatureKind::Md | SignatureKind::DdfRaid | SignatureKind::IntelRaid
            )
        };
        if self.md_detection && signatures.iter().any(raid) {
            return Some(Skip::RaidMember { of: None });
        }
        signatures
            .iter()
            .any(|found| found.kind == SignatureKind::Lvm1)
            .then_some(Skip::Lvm1)
    }

    /// The devices that LVM would look at.
    pub fn candidates<'a>(&self, devices: &'a Devices) -> Vec<&'a BlockDevice> {
        devices
            .iter()
            .filter(|device| self.skip(devices, device).is_none())
            .collect()
    }

    /// Whether a device's other names matter: `filter` looks at all of them.
    pub fn need_aliases(&self) -> bool {
        match &self.devices_file {
            Some(file) => file
                .entries()
                .iter()
                .any(|entry| entry.id_type == DeviceIdType::DevName),
            None => !self.filter.is_empty() || !self.global_filter.is_empty(),
        }
    }

    fn multipath_leg(&self, device: &BlockDevice, holders: &[&BlockDevice]) -> Option<Skip> {
        if matches!(device.kind, DeviceKind::Mapped { .. }) {
            return None;
        }
        let is_map = |holder: &&&BlockDevice| holder.dm_uuid().is_some_and(|uuid| has_prefix(uuid, "mpath-"));
        if let Some(map) = holders.iter().find(is_map) {
            return Some(Skip::MultipathLeg {
                of: Some(map.kernel_name.clone()),
            });
        }
        if self.multipath_wwids.is_empty() {
            return None;
        }
        let ids = [
            DeviceIdType::SysWwid,
            DeviceIdType::WwidNaa,
            DeviceIdType::WwidEui,
            DeviceIdType::WwidT10,
        ];
        let claimed = |id: String| {
            let bare = ["naa.", "eui.", "t10."]
                .iter()
                .find_map(|prefix| id.strip_prefix(prefix))
                .unwrap_or(&id);
            self.multipath_wwids.contains(bare)
        };
        ids.iter()
            .filter_map(|kind| device.id(kind))
            .any(claimed)
            .then_some(Skip::MultipathLeg { of: None })
    }

    /// The majors of the drivers that LVM uses and of `more` (the names in `devices/types`), from `/proc/devices`.
    pub(crate) fn read_majors(paths: &Paths, more: &[String]) -> Result<Option<HashSet<u32>>> {
        let Some(text) = sysfs::optional_file(&paths.proc.join("devices"))? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        let block = text
            .lines()
            .skip_while(|line| !line.starts_with("Block devices:"));
        let used = |name: &str| {
            DRIVERS
                .iter()
                .copied()
                .chain(more.iter().map(String::as_str))
                .any(|d| name.starts_with(d))
        };
        let majors = block
            .filter_map(|line| line.trim().split_once(' '))
            .filter(|(_, name)| used(name.trim_start()));
        Ok(Some(majors.filter_map(|(major, _)| major.parse().ok()).collect()))
    }

    /// The ids in multipath's file, one a line as `/3600140.../`; none when there is no file.
    pub(crate) fn read_multipath_wwids(file: &std::path::Path) -> Result<HashSet<String>> {
        let text = sysfs::optional_file(file)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let ids = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let line = line.strip_prefix('/').unwrap_or(line);
                // The first character is the type, which sysfs writes as a prefix.
                let id = line.strip_prefix(['1', '2', '3']).unwrap_or(line);
                id.split('/').next().filter(|id| !id.is_empty())
            });
        Ok(ids.map(str::to_owned).collect())
    }
}

/// The devices that are built on this one or, for a partition, on its disk.
fn holders<'a>(devices: &'a Devices, device: &BlockDevice) -> Vec<&'a BlockDevice> {
    let mut names = device.holders();
    if let DeviceKind::Partition { of, .. } = &device.kind
        && let Some(disk) = devices.by_kernel_name(of)
    {
        names.extend(disk.holders());
    }
    names
        .iter()
        .filter_map(|name| devices.by_kernel_name(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeHost;

    const GIB: u64 = 1 << 30;

    fn skip(host: &FakeHost, rules: &DeviceRules, name: &str) -> Option<Skip> {
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        rules.skip(&devices, devices.by_kernel_name(name).unwrap())
    }

    #[test]
    fn plain_disks_partitions_and_maps_are_candidates() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", GIB)
            .disk("sdb", "8:16", GIB)
            .partition("sdb", "sdb1", "8:17", GIB / 2);
        host.mapped("dm-0", "253:0", "mpatha", "mpath-1")
            .mapped("dm-1", "253:1", "secret", "CRYPT-1");
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        let rules = DeviceRules::default();
        let names: Vec<_> = rules
            .candidates(&devices)
            .iter()
            .map(|device| device.kernel_name.as_str())
            .collect();
        assert_eq!(names, ["dm-0", "dm-1", "sda", "sdb1"]);
        assert_eq!(skip(&host, &rules, "sdb"), Some(Skip::Partitioned));
    }

    #[test]
    fn a_suspended_map_is_skipped_before_anything_else() {
        let host = FakeHost::new();
        host.mapped("dm-0", "253:0", "x", "LVM-1")
            .attribute("dm-0", "dm/suspended", "1");
        assert_eq!(
            skip(&host, &DeviceRules::default(), "dm-0"),
            Some(Skip::Suspended)
        );
    }

    #[test]
    fn lvs_and_partitions_on_lvs_are_not_searched_unless_asked_for() {
        let host = FakeHost::new();
        host.mapped("dm-0", "253:0", "vg-lv", "LVM-1")
            .mapped("dm-1", "253:1", "vg-lv1", "part1-LVM-1");
        let rules = DeviceRules::default();
        assert_eq!(skip(&host, &rules, "dm-0"), Some(Skip::Lv));
        assert_eq!(skip(&host, &rules, "dm-1"), Some(Skip::Lv));
        let all = DeviceRules {
            scan_lvs: true,
            ..rules
        };
        assert_eq!(skip(&host, &all, "dm-0"), None);
    }

    #[test]
    fn empty_and_small_devices_are_skipped() {
        let host = FakeHost::new();
        host.disk("sr0", "11:0", 0)
            .disk("sda", "8:0", (2 << 20) - 512)
            .disk("sdb", "8:16", 2 << 20);
        host.disk("loop0", "7:0", GIB)
            .disk("loop1", "7:1", GIB)
            .attribute("loop1", "loop/backing_file", "/image");
        let rules = DeviceRules::default();
        assert_eq!(skip(&host, &rules, "sr0"), Some(Skip::Empty));
        assert_eq!(
            skip(&host, &rules, "sda"),
            Some(Skip::TooSmall {
                size: (2 << 20) - 512,
                least: 2 << 20
            })
        );
        assert_eq!(skip(&host, &rules, "sdb"), None);
        assert_eq!(skip(&host, &rules, "loop0"), Some(Skip::Empty));
        assert_eq!(skip(&host, &rules, "loop1"), None);
    }

    #[test]
    fn paths_of_multipath_and_members_of_raid_are_skipped_with_their_partitions() {
        let host = FakeHost::new();
        host.mapped("dm-0", "253:0", "mpatha", "mpath-1")
            .disk("md0", "9:0", GIB)
            .attribute("md0", "md/uuid", "1");
        host.disk("sda", "8:0", GIB)
            .holder("sda", "dm-0")
            .partition("sda", "sda1", "8:1", GIB / 2);
        host.disk("sdb", "8:16", GIB).holder("sdb", "md0");
        host.disk("sdc", "8:32", GIB)
            .attribute("sdc", "device/wwid", "naa.600140");
        let rules = DeviceRules::default();
        let leg = |of: &str| Some(Skip::MultipathLeg { of: Some(of.into()) });
        assert_eq!(skip(&host, &rules, "sda"), leg("dm-0"));
        assert_eq!(skip(&host, &rules, "sda1"), leg("dm-0"));
        assert_eq!(
            skip(&host, &rules, "sdb"),
            Some(Skip::RaidMember {
                of: Some("md0".into())
            })
        );
        assert_eq!(skip(&host, &rules, "sdc"), None);

        let file = host.root().join("wwids");
        host.write(&file, "# Multipath wwids\n/3600140/\n");
        let multipath_wwids = DeviceRules::read_multipath_wwids(&file).unwrap();
        let rules = DeviceRules {
            multipath_wwids,
            ..rules
        };
        assert_eq!(
            skip(&host, &rules, "sdc"),
            Some(Skip::MultipathLeg { of: None }),
            "claimed, not yet set up"
        );
        let off = DeviceRules {
            multipath_detection: false,
            md_detection: false,
            ..rules
        };
        assert_eq!((skip(&host, &off, "sdb"), skip(&host, &off, "sdc")), (None, None));
    }

    #[test]
    fn both_filters_must_accept_and_a_devices_file_stands_above_them() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", GIB)
            .attribute("sda", "device/wwid", "naa.1")
            .disk("sdb", "8:16", GIB);
        let none = Filter::parse(&["r|.*|"]).unwrap();
        for rules in [
            DeviceRules {
                filter: none.clone(),
                ..DeviceRules::default()
            },
            DeviceRules {
                global_filter: none.clone(),
                ..DeviceRules::default()
            },
        ] {
            assert_eq!(skip(&host, &rules, "sda"), Some(Skip::Filtered));
        }
        host.write(
            &DevicesFile::path(&host.paths, "d"),
            "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=. PVID=.\n",
        );
        let devices_file = DevicesFile::read(&host.paths, "d").unwrap();
        let rules = DeviceRules {
            filter: none,
            devices_file,
            ..DeviceRules::default()
        };
        assert_eq!(skip(&host, &rules, "sda"), None);
        assert_eq!(skip(&host, &rules, "sdb"), Some(Skip::NotListed));
    }

    #[test]
    fn only_drivers_that_lvm_uses_are_searched() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", GIB)
            .disk("fd0", "2:0", GIB)
            .disk("new0", "240:0", GIB);
        host.write(
            &host.paths.proc.join("devices"),
            "Character devices:\n  2 pty\n\nBlock devices:\n  2 fd\n  8 sd\n240 newdisk\n",
        );
        let majors = DeviceRules::read_majors(&host.paths, &[]).unwrap();
        let rules = DeviceRules {
            majors,
            ..DeviceRules::default()
        };
        assert_eq!(skip(&host, &rules, "sda"), None);
        assert_eq!(skip(&host, &rules, "fd0"), Some(Skip::Driver));
        let majors = DeviceRules::read_majors(&host.paths, &["newdisk".into()]).unwrap();
        assert_eq!(skip(&host, &DeviceRules { majors, ..rules }, "new0"), None);
    }

    #[test]
    fn what_lies_on_a_device_can_forbid_it_too() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", GIB).partition("sda", "sda1", "8:1", GIB);
        host.disk("loop1", "7:1", GIB)
            .attribute("loop1", "loop/backing_file", "/image");
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        let rules = DeviceRules::default();
        let check = |name: &str, kind| {
            let found = FoundSignature {
                kind,
                offset: 0,
                length: 8,
            };
            rules.skip_content(devices.by_kernel_name(name).unwrap(), &[found])
        };
        assert_eq!(check("sda", SignatureKind::Gpt), Some(Skip::Partitioned));
        assert_eq!(check("sda1", SignatureKind::Mbr), None);
        assert_eq!(check("loop1", SignatureKind::Mbr), None);
        assert_eq!(
            check("sda", SignatureKind::Md),
            Some(Skip::RaidMember { of: None })
        );
        assert_eq!(check("sda", SignatureKind::LvmPv), None);
        assert_eq!(check("sda", SignatureKind::Lvm1), Some(Skip::Lvm1));
    }
}
