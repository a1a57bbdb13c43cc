//! The block devices of the host, found in sysfs, and the names they have in the devices folder.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::dir::Type;

use super::{BlockDevice, DeviceNumber, Error, Paths, Result, entries, read_folder};

/// Folders of the devices folder that hold no block devices but may hold much else.
const SKIPPED_DIRS: [&str; 7] = ["bus", "char", "fd", "hugepages", "mqueue", "pts", "shm"];
/// How deep links are looked for.
const DEPTH_LIMIT: u32 = 5;
/// How many names are looked at.
const NAME_LIMIT: usize = 1 << 18;

/// The block devices of the host at one moment, in the order of their kernel names.
#[derive(Debug, Default)]
pub struct Devices {
    list: Vec<BlockDevice>,
    by_number: HashMap<DeviceNumber, usize>,
    by_name: HashMap<PathBuf, usize>,
    unreadable: Vec<(PathBuf, Error)>,
}

/// Mapped devices that a scan leaves alone, with what leads to them: a host has few disks and may have thousands of LVs.
#[derive(Clone, Debug, Default)]
pub struct LeaveOut {
    /// Their kernel names.
    pub kernel_names: HashSet<String>,
    /// Their device-mapper names.
    pub dm_names: HashSet<String>,
    /// The folders of their links, right below the devices folder.
    pub folders: HashSet<String>,
}

impl Devices {
    /// Lists all block devices and partitions but those to leave out.  Opens none of them.
    ///
    /// Of their names it finds only those that follow from the kernel's; see [`Devices::find_aliases`].
    ///
    /// # Errors
    /// [`Error::Io`] when sysfs cannot be listed.  A device that goes away meanwhile is left out.
    pub fn scan(paths: &Paths, leave_out: &LeaveOut) -> Result<Self> {
        let block = paths.sys.join("block");
        let (mut list, mut unreadable) = (Vec::new(), Vec::new());
        for entry in read_folder(&block).map_err(Error::io("list", &block))? {
            let entry = entry.map_err(Error::io("list", &block))?;
            let is_left_out = |name: &str| leave_out.kernel_names.contains(name);
            if entry.name().to_str().is_some_and(is_left_out) {
                continue;
            }
            let dir = entry.path();
            let node = |name: &str| paths.dev.join(name.replace('!', "/"));
            let device = match BlockDevice::read(&dir, &paths.dev) {
                Ok(Some(device)) => device,
                Ok(None) => continue,
                Err(error) => {
                    unreadable.push((node(&entry.name().to_string_lossy()), error));
                    continue;
                }
            };
            for name in &device.partitions {
                match BlockDevice::read_partition(&dir.join(name), &paths.dev) {
                    Ok(partition) => list.extend(partition),
                    Err(error) => unreadable.push((node(name), error)),
                }
            }
            list.push(device);
        }
        list.sort_by(|a, b| a.kernel_name.cmp(&b.kernel_name));
        let mut devices = Self {
            list,
            unreadable,
            ..Self::default()
        };
        devices.by_number = devices
            .list
            .iter()
            .enumerate()
            .map(|(at, device)| (device.number, at))
            .collect();
        for (at, device) in devices.list.iter().enumerate() {
            let names = device.names().into_iter().map(|name| (name.to_owned(), at));
            devices.by_name.extend(names);
        }
        Ok(devices)
    }

    /// The devices in order.
    pub fn iter(&self) -> std::slice::Iter<'_, BlockDevice> {
        self.list.iter()
    }

    /// The nodes of what is there and of which the kernel's attributes cannot be read, and why.
    pub(crate) fn take_unreadable(&mut self) -> Vec<(PathBuf, Error)> {
        std::mem::take(&mut self.unreadable)
    }

    /// The device with this number.
    pub fn by_number(&self, number: DeviceNumber) -> Option<&BlockDevice> {
        self.list.get(*self.by_number.get(&number)?)
    }

    /// The device with this kernel name.
    pub fn by_kernel_name(&self, name: &str) -> Option<&BlockDevice> {
        let at = self
            .list
            .binary_search_by(|device| device.kernel_name.as_str().cmp(name))
            .ok()?;
        self.list.get(at)
    }

    /// The device that `path` names: any of its names, or any node or link that leads to it.
    pub fn by_path(&self, path: &Path) -> Option<&BlockDevice> {
        if let Some(at) = self.by_name.get(path) {
            return self.list.get(*at);
        }
        match fs::metadata(path) {
            Ok(meta) if meta.file_type().is_block_device() => {
                self.by_number(DeviceNumber::from_rdev(meta.rdev()))
            }
            _ => self.list.get(*self.by_name.get(&fs::canonicalize(path).ok()?)?),
        }
    }

    /// Finds every name of the devices by a walk through the devices folder, past what leads to those left out.
    pub fn find_aliases(&mut self, dev: &Path, leave_out: &LeaveOut) {
        let mut open = vec![(dev.to_owned(), 0)];
        let mut seen = 0_usize;
        while let Some((dir, depth)) = open.pop() {
            let is_mapper = depth == 1 && dir.ends_with("mapper");
            for entry in entries(&dir) {
                let Some(name) = entry.name().to_str() else {
                    continue;
                };
                let leads_out = match depth {
                    0 => leave_out.kernel_names.contains(name) || leave_out.folders.contains(name),
                    _ => is_mapper && leave_out.dm_names.contains(name),
                };
                let (false, Some(kind)) = (leads_out, entry.kind()) else {
                    continue;
                };
                seen = seen.saturating_add(1);
                if kind == Type::Directory {
                    let skipped = name.starts_with('.') || depth == 0 && SKIPPED_DIRS.contains(&name);
                    if !skipped && depth < DEPTH_LIMIT {
                        open.push((entry.path(), depth + 1));
                    }
                } else if seen <= NAME_LIMIT && matches!(kind, Type::Symlink | Type::BlockDevice) {
                    self.add_alias(entry.path());
                }
            }
        }
        for device in &mut self.list {
            device.aliases.sort();
        }
    }

    fn add_alias(&mut self, path: PathBuf) {
        if self.by_name.contains_key(&path) {
            return;
        }
        let found = self.by_path(&path).map(|device| device.number);
        let Some(at) = found.and_then(|number| self.by_number.get(&number).copied()) else {
            return;
        };
        if let Some(device) = self.list.get_mut(at) {
            device.aliases.push(path.clone());
            self.by_name.insert(path, at);
        }
    }
}

/// Are there descriptors for a look at sysfs?  Without one an attribute or a folder reads as one that is not there.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn check_descriptors(paths: &Paths) -> Result<()> {
    // As many as a walk through sysfs holds at once, and some for other threads.
    const SPARE: usize = 8;
    let open = |_| fs::File::open(&paths.sys).map_err(Error::io("open", &paths.sys));
    (0..SPARE).map(open).collect::<Result<Vec<_>>>().map(drop)
}

/// Whether two paths lead to one block device, whatever their names; also true for two names of one file.
///
/// # Errors
/// [`Error::Io`] when one of them cannot be looked up.
pub fn same_device(a: &Path, b: &Path) -> Result<bool> {
    Ok(Identity::of(a)? == Identity::of(b)?)
}

/// What is the same of all paths that lead to one block device, or to one file: asked once for each of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    Device(u64),
    File { device: u64, inode: u64 },
}

impl Identity {
    /// That of the device or file at a path.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let found = fs::metadata(path).map_err(Error::io("stat", path))?;
        Ok(match found.file_type().is_block_device() {
            true => Self::Device(found.rdev()),
            false => Self::File {
                device: found.dev(),
                inode: found.ino(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::DeviceKind;
    use crate::host::testing::FakeHost;

    fn names(devices: &Devices) -> Vec<&str> {
        devices.iter().map(|device| device.kernel_name.as_str()).collect()
    }

    #[test]
    fn disks_and_partitions_are_found_with_all_their_names() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30)
            .partition("sda", "sda1", "8:1", 1 << 20);
        host.link("disk/by-id/wwn-1-part1", "sda1")
            .link("disk/by-id/wwn-1", "sda")
            .link("dangling", "gone");
        let mut devices = Devices::scan(&host.paths, &LeaveOut::default()).unwrap();
        devices.find_aliases(&host.paths.dev, &LeaveOut::default());
        assert_eq!(names(&devices), ["sda", "sda1"]);

        let disk = devices.by_kernel_name("sda").unwrap();
        assert_eq!(
            (disk.size(), disk.logical_block_size(), disk.is_read_only()),
            (1 << 30, 512, false)
        );
        assert_eq!(disk.partitions, ["sda1"]);
        assert_eq!(disk.aliases, [host.paths.dev.join("disk/by-id/wwn-1")]);
        let part = devices
            .by_path(&host.paths.dev.join("disk/by-id/wwn-1-part1"))
            .unwrap();
        assert_eq!(
            part.kind,
            DeviceKind::Partition {
                of: "sda".into(),
                number: 1
            }
        );
        assert_eq!(devices.by_number(DeviceNumber { major: 8, minor: 1 }), Some(part));
    }

    #[test]
    fn mapped_devices_prefer_their_mapper_name() {
        let host = FakeHost::new();
        host.mapped("dm-0", "253:0", "mpatha", "mpath-3600")
            .link("mapper/mpatha", "dm-0")
            .link("mapper/x", "dm-0");
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        let device = devices.by_kernel_name("dm-0").unwrap();
        assert_eq!(device.preferred_name(), host.paths.dev.join("mapper/mpatha"));
        assert_eq!(device.dm_uuid(), Some("mpath-3600"));
        assert!(!device.is_suspended());
        host.attribute("dm-0", "dm/suspended", "1");
        assert!(device.is_suspended(), "asked anew each time");
    }

    #[test]
    fn what_is_over_a_device_that_stands_still_stands_still() {
        let host = FakeHost::new();
        for (kernel, number) in [("dm-0", "253:0"), ("dm-1", "253:1"), ("dm-2", "253:2")] {
            host.mapped(kernel, number, kernel, "X");
        }
        host.disk("sda", "8:0", 1 << 30);
        host.attribute("dm-2", "slaves/dm-1/name", "")
            .attribute("dm-1", "slaves/dm-0/name", "")
            .attribute("dm-0", "slaves/sda/name", "")
            // No kernel has a ring; a walk must end all the same.
            .attribute("dm-0", "slaves/dm-2/name", "");
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        let top = devices.by_kernel_name("dm-2").unwrap();
        assert!(!top.stays_suspended(std::time::Instant::now()));
        host.attribute("dm-0", "dm/suspended", "1");
        assert!(top.stays_suspended(std::time::Instant::now()));
        assert!(!devices.by_kernel_name("sda").unwrap().is_suspended());
    }

    /// An attribute that is there and cannot be read.
    fn broken(host: &FakeHost, device: &str, attribute: &str) {
        let path = host.paths.sys.join("block").join(device).join(attribute);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }

    #[test]
    fn a_device_whose_attributes_cannot_be_read_is_told_and_not_absent() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30)
            .disk("sdb", "8:16", 1 << 30)
            .mapped("dm-0", "253:0", "x", "X")
            .mapped("dm-1", "253:1", "y", "Y");
        broken(&host, "sda", "dev");
        broken(&host, "dm-0", "dm/uuid");
        broken(&host, "dm-1", "dm/suspended");
        let mut devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        assert_eq!(names(&devices), ["dm-1", "sdb"]);
        let unreadable = devices.take_unreadable();
        let paths: std::collections::HashSet<_> = unreadable.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(
            paths,
            ["sda", "dm-0"].map(|name| host.paths.dev.join(name)).into()
        );
        assert!(
            unreadable
                .iter()
                .all(|(_, error)| matches!(error, Error::Io { .. }))
        );
        assert!(
            devices.by_kernel_name("dm-1").unwrap().is_suspended(),
            "it is not opened"
        );
        broken(&host, "sdb", "size");
        let rules = crate::host::DeviceRules::default();
        let skip = rules.skip(&devices, devices.by_kernel_name("sdb").unwrap());
        let errno = libc::EISDIR;
        assert_eq!(skip, Some(crate::host::Skip::Unreadable { errno }));
    }

    #[test]
    fn what_is_left_out_is_no_device_and_nothing_that_leads_to_it_is_a_name() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30)
            .mapped("dm-0", "253:0", "vg-lv", "LVM-1");
        // These lead to the disk, to tell whether they are looked at.
        for name in ["mapper/vg-lv", "vg/lv", "mapper/other", "vg2/lv"] {
            host.link(name, "sda");
        }
        let set = |name: &str| HashSet::from([name.to_owned()]);
        let leave_out = LeaveOut {
            kernel_names: set("dm-0"),
            dm_names: set("vg-lv"),
            folders: set("vg"),
        };
        let mut devices = Devices::scan(&host.paths, &leave_out).unwrap();
        assert_eq!(names(&devices), ["sda"]);
        devices.find_aliases(&host.paths.dev, &leave_out);
        let kept = ["mapper/other", "vg2/lv"].map(|name| host.paths.dev.join(name));
        assert_eq!(devices.by_kernel_name("sda").unwrap().aliases, kept);
    }

    #[test]
    fn attributes_out_of_range_do_not_stop_the_scan() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 0)
            .disk("sdb", "nonsense", 0)
            .disk("sdc", "8:32", 0);
        host.attribute("sda", "size", "18446744073709551615").attribute(
            "sda",
            "queue/logical_block_size",
            "3",
        );
        let devices = Devices::scan(&host.paths, &Default::default()).unwrap();
        assert_eq!(names(&devices), ["sda", "sdc"]);
        let disk = devices.by_kernel_name("sda").unwrap();
        assert_eq!((disk.size(), disk.logical_block_size()), (u64::MAX, 512));
    }

    #[test]
    fn one_device_by_two_names_is_the_same_device() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image");
        let link = dir.path().join("link");
        let other = dir.path().join("other");
        fs::write(&file, "").unwrap();
        fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(same_device(&file, &link).unwrap());
        assert!(!same_device(&file, &other).unwrap());
        assert!(same_device(&file, &dir.path().join("none")).is_err());
    }
}
