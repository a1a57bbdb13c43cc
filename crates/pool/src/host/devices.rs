//! All block devices of the host, found in sysfs, with every name they have in the devices folder.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{BlockDevice, DeviceNumber, Error, Paths, Result, sysfs};

/// Folders of the devices folder that hold no block devices but may hold much else.
const SKIPPED_DIRS: [&str; 7] = ["bus", "char", "fd", "hugepages", "mqueue", "pts", "shm"];
/// How deep links are looked for.
const DEPTH_LIMIT: u32 = 5;
/// How many names are looked at.
const NAME_LIMIT: usize = 1 << 18;

/// The block devices of the host at one moment, in the order of their kernel names.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    list: Vec<BlockDevice>,
    by_number: HashMap<DeviceNumber, usize>,
    by_name: HashMap<PathBuf, usize>,
}

impl Devices {
    /// Lists all block devices and partitions.  Opens none of them.
    ///
    /// # Errors
    /// [`Error::Io`] when sysfs cannot be listed.  A device that goes away meanwhile is left out.
    pub fn scan(paths: &Paths) -> Result<Self> {
        let block = paths.sys.join("block");
        let mut list = Vec::new();
        for entry in fs::read_dir(&block).map_err(Error::io("list", &block))? {
            let dir = entry.map_err(Error::io("list", &block))?.path();
            let Some(device) = BlockDevice::read(&dir, &paths.dev) else {
                continue;
            };
            let partitions = device.partitions.iter().map(|name| dir.join(name));
            list.extend(partitions.filter_map(|dir| BlockDevice::read(&dir, &paths.dev)));
            list.push(device);
        }
        list.sort_by(|a, b| a.kernel_name.cmp(&b.kernel_name));
        let mut devices = Self {
            list,
            ..Self::default()
        };
        devices.by_number = devices
            .list
            .iter()
            .enumerate()
            .map(|(at, device)| (device.number, at))
            .collect();
        devices.by_name = devices
            .list
            .iter()
            .enumerate()
            .map(|(at, device)| (device.node.clone(), at))
            .collect();
        devices.find_aliases(&paths.dev);
        Ok(devices)
    }

    /// The devices in order.
    pub fn iter(&self) -> std::slice::Iter<'_, BlockDevice> {
        self.list.iter()
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

    fn find_aliases(&mut self, dev: &Path) {
        let mut open = vec![(dev.to_owned(), 0)];
        let mut seen = 0_usize;
        while let Some((dir, depth)) = open.pop() {
            for name in sysfs::names(&dir) {
                seen = seen.saturating_add(1);
                let path = dir.join(&name);
                let Ok(meta) = fs::symlink_metadata(&path) else {
                    continue;
                };
                if meta.is_dir() {
                    let skipped =
                        name.starts_with('.') || depth == 0 && SKIPPED_DIRS.contains(&name.as_str());
                    if !skipped && depth < DEPTH_LIMIT {
                        open.push((path, depth + 1));
                    }
                } else if seen <= NAME_LIMIT && (meta.is_symlink() || meta.file_type().is_block_device()) {
                    self.add_alias(path);
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

/// Whether two paths lead to one block device, whatever their names; also true for two names of one file.
///
/// # Errors
/// [`Error::Io`] when one of them cannot be looked up.
pub fn same_device(a: &Path, b: &Path) -> Result<bool> {
    let [a, b] = [a, b].map(|path| fs::metadata(path).map_err(Error::io("stat", path)));
    let (a, b) = (a?, b?);
    Ok(
        match (a.file_type().is_block_device(), b.file_type().is_block_device()) {
            (true, true) => a.rdev() == b.rdev(),
            (false, false) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        },
    )
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
        let devices = Devices::scan(&host.paths).unwrap();
        assert_eq!(names(&devices), ["sda", "sda1"]);

        let disk = devices.by_kernel_name("sda").unwrap();
        assert_eq!(
            (disk.size, disk.logical_block_size, disk.read_only),
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
        let devices = Devices::scan(&host.paths).unwrap();
        let device = devices.by_kernel_name("dm-0").unwrap();
        assert_eq!(device.preferred_name(), host.paths.dev.join("mapper/mpatha"));
        assert_eq!(device.dm_uuid(), Some("mpath-3600"));
        assert!(!device.is_suspended());
        host.attribute("dm-0", "dm/suspended", "1");
        assert!(device.is_suspended(), "asked anew each time");
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
        let devices = Devices::scan(&host.paths).unwrap();
        assert_eq!(names(&devices), ["sda", "sdc"]);
        let disk = devices.by_kernel_name("sda").unwrap();
        assert_eq!((disk.size, disk.logical_block_size), (u64::MAX, 512));
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
