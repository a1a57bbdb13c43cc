//! The files by which the LVM tools know which disks are theirs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lvm_dm::{DeviceEntry, NodeMode};
use lvm_meta::PvId;

use crate::Error;
use crate::host::{
    CivilTime, Devices, DevicesFile, HeldLocks, InvalidHints, LeaveOut, LockName, invalidate_hints,
};
use crate::new_disk::NewDisk;
use crate::system::Inner;

impl Inner {
    /// Are there nodes of the VG's devices that are gone?  `devices` are those that are there.
    pub(crate) fn has_stale_nodes(&self, vg: &str, devices: &[DeviceEntry]) -> bool {
        let names = names(devices);
        !self.nodes.stale(vg, &|name| names.contains(name)).is_empty()
    }

    /// Removes the nodes of the VG's devices that are gone.  The caller holds the VG's lock.
    pub(crate) fn sweep_nodes(&self, vg: &str) -> Result<(), Error> {
        if self.mapper.node_mode() != NodeMode::Own {
            return Ok(());
        }
        let devices = self.mapper.list().map_err(Error::Dm)?;
        let names = names(&devices);
        self.nodes.sweep(vg, &|name| names.contains(name))
    }

    /// Makes the tools look at all disks again, until the result is dropped and after.
    pub(crate) fn invalidate_hints(&self) -> Result<Option<InvalidHints>, Error> {
        if self.images {
            return Ok(None);
        }
        invalidate_hints(&self.paths, self.timeout)
            .map(Some)
            .map_err(Error::Host)
    }

    /// Does this host keep a list of the disks that LVM may use?
    pub(crate) fn has_devices_file(&self) -> bool {
        let config = &self.config.devices;
        !self.images && config.use_devicesfile && DevicesFile::path(&self.paths, &config.devicesfile).exists()
    }

    /// Lists new disks in the devices file, if one is in use, and returns the file as it was.
    pub(crate) fn enter_devices_file(
        &self,
        locks: &mut HeldLocks,
        disks: &[NewDisk],
    ) -> Result<Option<DevicesFile>, Error> {
        let mut before = None;
        self.edit_devices_file(locks, |file, devices| {
            before = Some(file.clone());
            for disk in disks {
                if let Some(device) = devices.by_path(&disk.path) {
                    file.add(device, disk.id);
                }
            }
        })?;
        Ok(before)
    }

    /// Lists disks whose PVs have new ids in the devices file, if one is in use.
    pub(crate) fn enter_pvs(&self, locks: &mut HeldLocks, pvs: &[(PathBuf, PvId)]) -> Result<(), Error> {
        self.edit_devices_file(locks, |file, devices| {
            for (path, id) in pvs {
                if let Some(device) = devices.by_path(path) {
                    file.add(device, *id);
                }
            }
        })
    }

    /// Takes back what [`Inner::enter_devices_file`] wrote; its lock was held since.
    pub(crate) fn restore_devices_file(
        &self,
        locks: &mut HeldLocks,
        before: &DevicesFile,
    ) -> Result<(), Error> {
        self.edit_devices_file(locks, |file, _| file.restore(before))
    }

    /// Notes in the devices file, if one is in use, that disks hold no PV any more.
    pub(crate) fn leave_devices_file<'a>(
        &self,
        locks: &mut HeldLocks,
        disks: impl Iterator<Item = &'a Path>,
    ) -> Result<(), Error> {
        self.edit_devices_file(locks, |file, devices| {
            for device in disks.filter_map(|path| devices.by_path(path)) {
                file.clear_pv(device);
            }
        })
    }

    fn edit_devices_file(
        &self,
        locks: &mut HeldLocks,
        edit: impl FnOnce(&mut DevicesFile, &Devices),
    ) -> Result<(), Error> {
        let config = &self.config.devices;
        let name = &config.devicesfile;
        // Locked from the start of the change, if it was in use then.
        if locks.mode(&LockName::DevicesFile(name.clone())).is_none() {
            return Ok(());
        }
        let Some(mut file) = DevicesFile::read(&self.paths, name).map_err(Error::Host)? else {
            return Ok(());
        };
        edit(&mut file, &self.devices(&LeaveOut::default())?.0);
        file.write(
            locks,
            "lvm-native",
            CivilTime::now(),
            config.devicesfile_backup_limit,
        )
        .map_err(Error::Host)
    }
}

fn names(devices: &[DeviceEntry]) -> HashSet<&str> {
    devices.iter().map(|device| device.name.as_str()).collect()
}
