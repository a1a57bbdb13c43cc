//! A mapper in this process over image files: real reads and writes, no root, no kernel.
//!
//! Does linear, striped, zero, error, mirror and raid1 tables; other targets are refused by name.  Its devices live
//! as long as it does.  It follows the kernel's rules: a new device has no table, a load stages one, a resume maps it;
//! a device that is open or used by another cannot be removed.  It differs from the kernel so:
//! - A table past the end of a device below is refused by every load, not only by a device's first.
//! - I/O on a suspended device, or on one above it, waits for the resume no longer than 30 seconds.
//! - A resume copies what a mirror or a raid1 with `rebuild` has to bring in line before it returns.  An image that failed
//!   is not used again as long as its device stays in the table; a raid1's metadata devices are neither read nor written,
//!   so this is not known any more once the device was removed.
//! - Numbers are not used again.

mod io;
mod map;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Error,
    EventSource, ListedDevice, NodeMode, OpenMode, StatusLine, SuspendFlags, Table, TargetVersion, UdevFlags,
    Version,
};
use map::Map;

/// The major number of mapped devices; those of images have the one above.
const MAJOR: u32 = 253;
const IMAGE_MAJOR: u32 = MAJOR + 1;

/// A mapper in user space; clones share its devices.
#[derive(Clone, Default)]
pub struct Embedded(Arc<Shared>);

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Embedded({} devices)", self.0.read().devices.len())
    }
}

#[derive(Default)]
struct Shared {
    state: RwLock<State>,
    /// Counts table changes, failures and removals of all devices.
    events: Mutex<u64>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    devices: BTreeMap<u32, Device>,
    images: Vec<Image>,
    next_minor: u32,
}

/// An image file that tables can name.
struct Image {
    /// Device and inode: one file has one number under all its names.
    identity: (u64, u64),
    file: Arc<File>,
}

/// A mapped device.
struct Device {
    name: DmName,
    uuid: Option<DmUuid>,
    live: Option<Map>,
    inactive: Option<Map>,
    suspended: bool,
    opens: Arc<AtomicU32>,
    event_nr: u32,
    deferred: bool,
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, u64> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changed since `seen`; `false` when the time is over.
    fn wait_for_change(&self, seen: u64, end: Deadline) -> bool {
        let waiting = self
            .changed
            .wait_timeout_while(self.events(), end.left(), |now| *now == seen);
        let (now, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        *now != seen
    }

    /// Tells everybody who waits that something changed.
    fn announce(&self) {
        let mut events = self.events();
        *events = events.wrapping_add(1);
        self.changed.notify_all();
    }
}

impl State {
    fn minor(&self, id: DeviceId<'_>) -> Option<u32> {
        match id {
            DeviceId::Number(number) => {
                (number.major == MAJOR && self.devices.contains_key(&number.minor)).then_some(number.minor)
            }
            DeviceId::Name(name) => self
                .devices
                .iter()
                .find(|(_, device)| device.name == *name)
                .map(|(minor, _)| *minor),
            DeviceId::Uuid(uuid) => self
                .devices
                .iter()
                .find(|(_, device)| device.uuid.as_ref() == Some(uuid))
                .map(|(minor, _)| *minor),
        }
    }

    fn find(&self, command: &'static str, id: DeviceId<'_>) -> Result<(u32, &Device), Error> {
        let minor = self.minor(id);
        minor
            .and_then(|minor| Some((minor, self.devices.get(&minor)?)))
            .ok_or_else(|| gone(command, id))
    }

    /// Sectors of a device or image, if there is one of that number.
    fn length(&self, number: DeviceNumber) -> Option<u64> {
        match number.major {
            MAJOR => self
                .devices
                .get(&number.minor)?
                .live
                .as_ref()
                .map(|map| map.table.length()),
            IMAGE_MAJOR => {
                let image = self.images.get(usize::try_from(number.minor).ok()?)?;
                image.file.metadata().ok().map(|found| found.len() / 512)
            }
            _ => None,
        }
    }

    /// How often a device is open, other devices that use it included.
    fn open_count(&self, minor: u32, device: &Device) -> u32 {
        let number = DeviceNumber { major: MAJOR, minor };
        let uses = |map: &Option<Map>| map.as_ref().is_some_and(|map| map.uses(number));
        let users = self
            .devices
            .values()
            .filter(|other| uses(&other.live) || uses(&other.inactive))
            .count();
        device
            .opens
            .load(Ordering::Relaxed)
            .saturating_add(u32::try_from(users).unwrap_or(u32::MAX))
    }

    fn info(&self, minor: u32, device: &Device) -> DeviceInfo {
        DeviceInfo {
            name: device.name.clone(),
            uuid: device.uuid.clone(),
            number: DeviceNumber { major: MAJOR, minor },
            open_count: self.open_count(minor, device),
            event_nr: device.event_nr,
            target_count: device.live.as_ref().map_or(0, |map| {
                u32::try_from(map.table.lines().len()).unwrap_or(u32::MAX)
            }),
            suspended: device.suspended,
            read_only: device.live.as_ref().is_some_and(|map| map.read_only),
            live_table: device.live.is_some(),
            inactive_table: device.inactive.is_some(),
            deferred_remove: device.deferred,
        }
    }

    /// Would `number` lie on itself if it were below `from`?
    fn reaches(&self, from: &[DeviceNumber], number: DeviceNumber) -> bool {
        let (mut todo, mut seen) = (from.to_vec(), Vec::new());
        while let Some(next) = todo.pop() {
            if next == number {
                return true;
            }
            if next.major != MAJOR || seen.contains(&next) {
                continue;
            }
            seen.push(next);
            if let Some(device) = self.devices.get(&next.minor) {
                let maps = device.live.iter().chain(&device.inactive);
                todo.extend(maps.flat_map(|map| map.devices()));
            }
        }
        false
    }

    /// Takes away devices whose removal waited for their last user; did any go?
    fn sweep(&mut self) -> bool {
        let before = self.devices.len();
        loop {
            let idle =
                |(minor, device): &(&u32, &Device)| device.deferred && self.open_count(**minor, device) == 0;
            let Some(minor) = self.devices.iter().find(idle).map(|(minor, _)| *minor) else {
                return self.devices.len() < before;
            };
            self.devices.remove(&minor);
        }
    }
}

fn gone(command: &'static str, id: DeviceId<'_>) -> Error {
    Error::errno_of(command, id, libc::ENXIO)
}

impl Embedded {
    /// A mapper without devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes a device in one step, tells who waits, and gives its state.
    fn change(
        &self,
        command: &'static str,
        id: DeviceId<'_>,
        change: impl FnOnce(&mut State, u32) -> Result<(), Error>,
    ) -> Result<DeviceInfo, Error> {
        let info = {
            let mut state = self.0.write();
            let (minor, _) = state.find(command, id)?;
            let result = change(&mut state, minor);
            state.sweep();
            let info = state.devices.get(&minor).map(|device| state.info(minor, device));
            result.and_then(|()| info.ok_or_else(|| gone(command, id)))
        };
        self.0.announce();
        info
    }
}

impl State {
    fn device(&mut self, minor: u32) -> Result<&mut Device, Error> {
        let number = DeviceNumber { major: MAJOR, minor };
        self.devices
            .get_mut(&minor)
            .ok_or_else(|| gone("find", DeviceId::Number(number)))
    }

    fn load(&mut self, minor: u32, table: &Table, read_only: bool) -> Result<(), Error> {
        map::check(table, &|number| self.length(number))?;
        let map = Map::new(table.clone(), read_only);
        let own = DeviceNumber { major: MAJOR, minor };
        if self.reaches(map.devices(), own) {
            return Err(Error::BadTable(format!("{own} would lie on itself")));
        }
        self.device(minor)?.inactive = Some(map);
        Ok(())
    }

    /// Maps the staged table; what keeps that from being done drops it, and leaves the device suspended.
    fn resume(&mut self, minor: u32) -> Result<(), Error> {
        let device = self.device(minor)?;
        if let Some(map) = device.inactive.take() {
            device.suspended = true;
            if let Some(before) = &device.live {
                map.inherit(before);
            }
            map::check(&map.table, &|number| self.length(number))?;
            self.copy_images(&map).map_err(|source| Error::Io {
                what: "copy the images of",
                path: self
                    .device(minor)
                    .map_or_else(|_| "".into(), |device| device.name.as_str().into()),
                source,
            })?;
            self.device(minor)?.live = Some(map);
        }
        let device = self.device(minor)?;
        if device.suspended && device.live.is_none() {
            return Err(Error::errno_of("resume", &device.name, libc::EINVAL));
        }
        device.suspended = false;
        Ok(())
    }
}

impl DeviceMapper for Embedded {
    fn backend(&self) -> Backend {
        Backend::Embedded
    }

    fn node_mode(&self) -> NodeMode {
        NodeMode::None
    }

    fn version(&self) -> Result<Version, Error> {
        Ok(Version {
            major: 4,
            minor: 0,
            patch: 0,
        })
    }

    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        let version = Version {
            major: 1,
            minor: 0,
            patch: 0,
        };
        let names = ["error", "linear", "mirror", "raid", "striped", "zero"];
        Ok(names
            .map(|name| TargetVersion {
                name: name.into(),
                version,
            })
            .into())
    }

    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error> {
        let failed = |source| Error::Io {
            what: "open",
            path: path.into(),
            source,
        };
        let open = |write| OpenOptions::new().read(true).write(write).open(path);
        // An image that cannot be written can still be read.
        let file = open(true).or_else(|_| open(false)).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(failed(std::io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let identity = (found.dev(), found.ino());
        let mut state = self.0.write();
        let known = state.images.iter().position(|image| image.identity == identity);
        let index = known.unwrap_or_else(|| {
            state.images.push(Image {
                identity,
                file: Arc::new(file),
            });
            state.images.len() - 1
        });
        Ok(DeviceNumber {
            major: IMAGE_MAJOR,
            minor: u32::try_from(index).unwrap_or(u32::MAX),
        })
    }

    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        for (minor, device) in &self.0.read().devices {
            visit(ListedDevice {
                name: device.name.as_str().as_bytes(),
                uuid: device.uuid.as_ref().map(|uuid| uuid.as_str().as_bytes()),
                number: DeviceNumber {
                    major: MAJOR,
                    minor: *minor,
                },
                event_nr: Some(device.event_nr),
            });
        }
        Ok(())
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        let mut state = self.0.write();
        if state
            .minor(DeviceId::Name(name))
            .or(state.minor(DeviceId::Uuid(uuid)))
            .is_some()
        {
            return Err(Error::errno_of("create", name, libc::EBUSY));
        }
        let minor = state.next_minor;
        state.next_minor = minor
            .checked_add(1)
            .ok_or_else(|| Error::errno_of("create", name, libc::ENOSPC))?;
        let device = Device {
            name: name.clone(),
            uuid: Some(uuid.clone()),
            live: None,
            inactive: None,
            suspended: false,
            opens: Arc::default(),
            event_nr: 0,
            deferred: false,
        };
        let info = state.info(minor, &device);
        state.devices.insert(minor, device);
        drop(state);
        self.0.announce();
        Ok(info)
    }

    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error> {
        table.check()?;
        self.change("load", id, |state, minor| state.load(minor, table, read_only))
    }

    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.change("clear", id, |state, minor| {
            state.device(minor)?.inactive = None;
            Ok(())
        })
    }

    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        let state = self.0.read();
        Ok(state
            .minor(id)
            .and_then(|minor| Some(state.info(minor, state.devices.get(&minor)?))))
    }

    fn suspend(&self, id: DeviceId<'_>, _: SuspendFlags) -> Result<DeviceInfo, Error> {
        // I/O under way holds the state's read lock: the change waits for it, as a suspend must.
        self.change("suspend", id, |state, minor| {
            state.device(minor)?.suspended = true;
            Ok(())
        })
    }

    fn resume(&self, id: DeviceId<'_>, _: UdevFlags, _: &mut Cookie) -> Result<DeviceInfo, Error> {
        self.change("resume", id, State::resume)
    }

    fn rename(&self, name: &DmName, new: &DmName, _: UdevFlags, _: &mut Cookie) -> Result<(), Error> {
        let renamed = self.change("rename", DeviceId::Name(name), |state, minor| {
            if state.minor(DeviceId::Name(new)).is_some() {
                return Err(Error::errno_of("rename", new, libc::EBUSY));
            }
            let device = state.device(minor)?;
            device.name = new.clone();
            // As in the kernel, an event of a live table.
            device.event_nr = device.event_nr.wrapping_add(u32::from(device.live.is_some()));
            Ok(())
        });
        renamed.map(drop)
    }

    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error> {
        let set = self.change("rename", DeviceId::Name(name), |state, minor| {
            if state.minor(DeviceId::Uuid(uuid)).is_some() {
                return Err(Error::errno_of("rename", uuid, libc::EBUSY));
            }
            let device = state.device(minor)?;
            match device.uuid.replace(uuid.clone()) {
                None => Ok(()),
                before => {
                    device.uuid = before;
                    Err(Error::errno_of("rename", name, libc::EINVAL))
                }
            }
        });
        set.map(drop)
    }

    fn remove(&self, id: DeviceId<'_>, deferred: bool, _: UdevFlags, _: &mut Cookie) -> Result<(), Error> {
        {
            let mut state = self.0.write();
            let (minor, device) = state.find("remove", id)?;
            if state.open_count(minor, device) > 0 && !deferred {
                return Err(Error::errno_of("remove", id, libc::EBUSY));
            }
            state.device(minor)?.deferred = true;
            state.sweep();
        }
        self.0.announce();
        Ok(())
    }

    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error> {
        let state = self.0.read();
        let (_, device) = state.find("status", id)?;
        let map = if inactive { &device.inactive } else { &device.live };
        Ok(map.as_ref().map(|map| map.table.clone()).unwrap_or_default())
    }

    fn status(&self, id: DeviceId<'_>, _: bool) -> Result<Vec<StatusLine>, Error> {
        let state = self.0.read();
        let (_, device) = state.find("status", id)?;
        Ok(device.live.as_ref().map(Map::status).unwrap_or_default())
    }

    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        let state = self.0.read();
        let (_, device) = state.find("deps", id)?;
        let map = device.live.as_ref();
        Ok(map.map(|map| map.devices().to_vec()).unwrap_or_default())
    }

    fn message(&self, id: DeviceId<'_>, _: u64, text: &str) -> Result<Option<String>, Error> {
        if text != "@cancel_deferred_remove" {
            self.0.read().find("message", id)?;
            return Err(Error::Unsupported(format!("the message {text:?}")));
        }
        let cancel = self.change("message", id, |state, minor| {
            state.device(minor)?.deferred = false;
            Ok(())
        });
        cancel.map(|_| None)
    }

    fn events(&self) -> Result<Box<dyn EventSource>, Error> {
        let seen = *self.0.events();
        Ok(Box::new(Events {
            shared: self.0.clone(),
            seen,
        }))
    }

    fn cookie(&self) -> Result<Cookie, Error> {
        Ok(Cookie::none())
    }

    fn finish(&self, _: Cookie, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        let state = self.0.read();
        let (minor, device) = state.find("open", id)?;
        if device.live.is_none() {
            return Err(Error::errno_of("open", id, libc::ENXIO));
        }
        let opens = device.opens.clone();
        Ok(Box::new(io::Opened::new(self.0.clone(), minor, opens, mode)))
    }
}

/// Events of an embedded mapper.
struct Events {
    shared: Arc<Shared>,
    seen: u64,
}

impl EventSource for Events {
    fn wait(&mut self, timeout: Duration) -> Result<bool, Error> {
        let changed = self.shared.wait_for_change(self.seen, Deadline::after(timeout));
        if changed {
            self.seen = *self.shared.events();
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests;
