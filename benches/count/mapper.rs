//! A mapper that does nothing but remember which devices it has: it takes the kernel out of the counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lvm_native::dm::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Embedded,
    Error, EventSource, ListedDevice, NodeMode, OpenMode, StatusLine, SuspendFlags, Table, TargetVersion,
    UdevFlags, Version,
};

/// The devices, by their uuids, and a mapper for all that has nothing to do with one.
#[derive(Default)]
pub(crate) struct Memory {
    devices: Mutex<BTreeMap<String, DeviceInfo>>,
    rest: Embedded,
}

impl Memory {
    fn devices(&self) -> MutexGuard<'_, BTreeMap<String, DeviceInfo>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, id: DeviceId<'_>, change: impl FnOnce(&mut DeviceInfo)) -> Result<DeviceInfo, Error> {
        let mut devices = self.devices();
        let device = match id {
            DeviceId::Uuid(uuid) => devices.get_mut(uuid.as_str()),
            _ => None,
        };
        let Some(device) = device else {
            return Err(Error::BadName {
                what: "device",
                text: format!("{id:?}"),
                limit: 0,
            });
        };
        change(device);
        Ok(device.clone())
    }
}

impl DeviceMapper for Memory {
    fn backend(&self) -> Backend {
        Backend::Fake
    }
    fn node_mode(&self) -> NodeMode {
        NodeMode::None
    }
    fn version(&self) -> Result<Version, Error> {
        self.rest.version()
    }
    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        self.rest.targets()
    }
    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error> {
        self.rest.backing(path)
    }
    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        for device in self.devices().values() {
            visit(ListedDevice {
                name: device.name.as_str().as_bytes(),
                uuid: device.uuid.as_ref().map(|uuid| uuid.as_str().as_bytes()),
                number: device.number,
                event_nr: Some(device.event_nr),
            });
        }
        Ok(())
    }
    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        let mut devices = self.devices();
        let device = DeviceInfo {
            name: name.clone(),
            uuid: Some(uuid.clone()),
            number: DeviceNumber {
                major: 253,
                minor: u32::try_from(devices.len()).unwrap_or(u32::MAX),
            },
            open_count: 0,
            event_nr: 0,
            target_count: 0,
            suspended: false,
            read_only: false,
            live_table: false,
            inactive_table: false,
            deferred_remove: false,
        };
        devices.insert(uuid.as_str().to_owned(), device.clone());
        Ok(device)
    }
    fn load(&self, id: DeviceId<'_>, _: &Table, _: bool) -> Result<DeviceInfo, Error> {
        self.with(id, |device| device.inactive_table = true)
    }
    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.with(id, |device| device.inactive_table = false)
    }
    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        Ok(self.with(id, |_| {}).ok())
    }
    fn suspend(&self, id: DeviceId<'_>, _: SuspendFlags) -> Result<DeviceInfo, Error> {
        self.with(id, |device| device.suspended = true)
    }
    fn resume(&self, id: DeviceId<'_>, _: UdevFlags, _: &mut Cookie) -> Result<DeviceInfo, Error> {
        self.with(id, |device| {
            device.live_table |= std::mem::take(&mut device.inactive_table);
            device.suspended = false;
        })
    }
    fn rename(&self, _: &DmName, _: &DmName, _: UdevFlags, _: &mut Cookie) -> Result<(), Error> {
        Ok(())
    }
    fn set_uuid(&self, _: &DmName, _: &DmUuid) -> Result<(), Error> {
        Ok(())
    }
    fn remove(&self, id: DeviceId<'_>, _: bool, _: UdevFlags, _: &mut Cookie) -> Result<(), Error> {
        if let DeviceId::Uuid(uuid) = id {
            self.devices().remove(uuid.as_str());
        }
        Ok(())
    }
    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error> {
        self.rest.table(id, inactive)
    }
    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error> {
        self.rest.status(id, noflush)
    }
    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        self.rest.deps(id)
    }
    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error> {
        self.rest.message(id, sector, text)
    }
    fn events(&self) -> Result<Box<dyn EventSource>, Error> {
        self.rest.events()
    }
    fn cookie(&self) -> Result<Cookie, Error> {
        self.rest.cookie()
    }
    fn finish(&self, cookie: Cookie, timeout: Duration) -> Result<(), Error> {
        self.rest.finish(cookie, timeout)
    }
    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        self.rest.open(id, mode)
    }
}
