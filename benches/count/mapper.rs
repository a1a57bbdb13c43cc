//! A mapper that does nothing but remember which devices it has, and a thin pool's transaction: it takes the kernel out of
//! the counts.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Of the one thin pool.
    transaction_id: AtomicU64,
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
        let target = |name: &str| TargetVersion {
            name: name.into(),
            version: Version {
                major: 1,
                minor: 23,
                patch: 0,
            },
        };
        Ok(["linear", "striped", "thin", "thin-pool"].map(target).into())
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
    fn status(&self, id: DeviceId<'_>, _: bool) -> Result<Vec<StatusLine>, Error> {
        let is_pool = matches!(id, DeviceId::Uuid(uuid) if uuid.as_str().ends_with("-tpool"));
        let (kind, status) = match is_pool {
            true => {
                let id = self.transaction_id.load(Ordering::Relaxed);
                let rest = "9/1024 0/1024 - rw no_discard_passdown queue_if_no_space - 256";
                ("thin-pool", format!("{id} {rest}"))
            }
            false => ("thin", "0 -".into()),
        };
        Ok(vec![StatusLine {
            start: 0,
            length: 128,
            kind: kind.into(),
            status,
        }])
    }
    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        self.rest.deps(id)
    }
    fn message(&self, _: DeviceId<'_>, _: u64, text: &str) -> Result<Option<String>, Error> {
        if let Some(("set_transaction_id", ids)) = text.split_once(' ') {
            let new = ids.split(' ').nth(1).and_then(|id| id.parse().ok());
            self.transaction_id
                .store(new.unwrap_or_default(), Ordering::Relaxed);
        }
        Ok(None)
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
    fn open(&self, _: DeviceId<'_>, _: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        Ok(Box::new(Nothing))
    }
}

/// A device that forgets what is written.
struct Nothing;

impl BlockIo for Nothing {
    fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn zero(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}
