//! A mapper in this process over image files: real reads and writes, no root, no kernel.
//!
//! Does linear, striped, zero, error, mirror, multipath and raid1 tables; other targets are refused by name.  Its devices live
//! as long as it does.  It follows the kernel's rules: a new device has no table, a load stages one, a resume maps it;
//! a device that is open or used by another cannot be removed.  It differs from the kernel so:
//! - A table past the end of a device below is refused by every load, not only by a device's first.
//! - I/O on a suspended device, or on one above it, waits for the resume no longer than 30 seconds.
//! - A resume copies what a mirror or a raid1 with `rebuild` has to bring in line before it returns.  An image that failed
//!   is not used again as long as its device stays in the table; a raid1's metadata devices are neither read nor written,
//!   so this is not known any more once the device was removed.
//! - A multipath device has its first path alone, whose errors are never held.
//! - What a raid1 is told to `check` or `repair` is compared before the message returns.
//! - Numbers are not used again.

mod cache;
mod devices;
mod io;
mod map;
mod rows;
mod scrub;
#[cfg_attr(not(any(test, feature = "testing")), path = "no_thin.rs")]
mod thin;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Error,
    EventSource, ListedDevice, NodeMode, OpenMode, StatusLine, SuspendFlags, Table, TargetVersion, UdevFlags,
    Version,
};
use devices::{Device, Devices};
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
    devices: Devices,
    images: Vec<Image>,
    next_minor: u32,
    pools: thin::Pools,
}

/// An image file that tables can name.
struct Image {
    /// Device and inode: one file has one number under all its names.
    identity: (u64, u64),
    path: PathBuf,
    file: Arc<File>,
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
    fn find(&self, command: &'static str, id: DeviceId<'_>) -> Result<(u32, &Device), Error> {
        let minor = self.devices.minor(id);
        minor
            .and_then(|minor| Some((minor, self.devices.get(minor)?)))
            .ok_or_else(|| gone(command, id))
    }

    /// Sectors of a device or image, if there is one of that number.  One that never had a table takes any area, as in the
    /// kernel: it may become as long as need be before what lies on it is mapped.
    fn length(&self, number: DeviceNumber) -> Option<u64> {
        match number.major {
            MAJOR => {
                let live = self.devices.get(number.minor)?.live.as_ref();
                Some(live.map_or(u64::MAX, |map| map.table.length()))
            }
            IMAGE_MAJOR => {
                let image = self.images.get(usize::try_from(number.minor).ok()?)?;
                image.file.metadata().ok().map(|found| found.len() / 512)
            }
            _ => None,
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

    /// A mapper that does thin pools and thin devices, too, and caches in a form of its own.
    ///
    /// It has the rules, messages, states and events of the kernel's, and writes the numbers of a pool to its metadata
    /// device, so that [`crate::ThinMetadata`] reads them.  Which block is where it knows by itself: a pool that another
    /// mapper wrote, or whose superblock somebody changed, is refused.  It differs from the kernel's so:
    /// - A write that waits for space fails after 30 seconds, and the pool goes on waiting.
    /// - A pool of smaller devices is refused by the resume, which drops the table.
    /// - Nothing is committed by time alone, and no discard comes.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_thin_pools() -> Self {
        let state = State {
            pools: thin::Pools::done(),
            ..State::default()
        };
        Self(Arc::new(Shared {
            state: RwLock::new(state),
            ..Shared::default()
        }))
    }

    /// Tells who waits of a thin pool's event, if there was one.
    fn announce_raised(&self) {
        let raised = self.0.read().pools.take_raised();
        if raised {
            self.0.announce();
        }
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
            state.devices.sweep();
            // Told below, with the change.
            state.pools.take_raised();
            let device = state.devices.get(minor);
            let info = device.map(|device| state.devices.info(minor, device));
            result.and_then(|()| info.ok_or_else(|| gone(command, id)))
        };
        self.0.announce();
        info
    }
}

impl State {
    /// Changes a device, if it is still there.
    fn update<T>(&mut self, minor: u32, change: impl FnOnce(&mut Device) -> T) -> Result<T, Error> {
        let number = DeviceNumber { major: MAJOR, minor };
        self.devices
            .update(minor, change)
            .ok_or_else(|| gone("find", DeviceId::Number(number)))
    }

    /// Commits the thin pool that a device is before it stops or goes.
    fn commit_device(&self, minor: u32) {
        if let Some(live) = self.devices.get(minor).and_then(|device| device.live.as_ref()) {
            self.commit_pool(live);
        }
    }

    fn load(&mut self, minor: u32, table: &Table, read_only: bool) -> Result<(), Error> {
        map::check(table, self.pools.are_done(), &|number| self.length(number))?;
        let pools = self.open_pools(minor, table)?;
        let map = Map::new(table.clone(), read_only, pools);
        let own = DeviceNumber { major: MAJOR, minor };
        if self.devices.reaches(map.devices(), own) {
            return Err(Error::BadTable(format!("{own} would lie on itself")));
        }
        self.update(minor, |device| device.inactive = Some(map))
    }

    /// Maps the staged table; what keeps that from being done drops it, and leaves the device suspended.
    fn resume(&mut self, minor: u32) -> Result<(), Error> {
        let staged = self.update(minor, |device| {
            let staged = device.inactive.take();
            device.suspended |= staged.is_some();
            if let (Some(map), Some(before)) = (&staged, &device.live) {
                map.inherit(before);
            }
            staged
        })?;
        if let Some(map) = staged {
            map::check(&map.table, self.pools.are_done(), &|number| self.length(number))?;
            self.resume_pool(minor, &map, true)?;
            self.copy_images(&map).map_err(|source| Error::Io {
                what: "copy the images of",
                path: self
                    .devices
                    .get(minor)
                    .map_or_else(|| "".into(), |device| device.name.as_str().into()),
                source,
            })?;
            self.update(minor, |device| device.live = Some(map))?;
        } else if let Some(device) = self.devices.get(minor)
            && let Some(live) = device.live.as_ref().filter(|_| device.suspended)
        {
            self.resume_pool(minor, live, false)?;
        }
        self.update(minor, |device| {
            if device.suspended && device.live.is_none() {
                return Err(Error::errno_of("resume", &device.name, libc::EINVAL));
            }
            device.suspended = false;
            Ok(())
        })?
    }
}

impl Embedded {
    fn create_device(&self, name: &DmName, uuid: &DmUuid, wanted: Option<u32>) -> Result<DeviceInfo, Error> {
        let mut state = self.0.write();
        let taken = [DeviceId::Name(name), DeviceId::Uuid(uuid)];
        if taken.iter().any(|id| state.devices.minor(*id).is_some()) {
            return Err(Error::errno_of("create", name, libc::EBUSY));
        }
        // As the kernel: 20 bits, and no number twice.
        if wanted.is_some_and(|minor| minor > 0xf_ffff) {
            return Err(Error::errno_of("create", name, libc::EINVAL));
        }
        if wanted.is_some_and(|minor| state.devices.get(minor).is_some()) {
            return Err(Error::errno_of("create", name, libc::EBUSY));
        }
        let mut free = wanted.unwrap_or(state.next_minor);
        while wanted.is_none() && state.devices.get(free).is_some() {
            free = free.saturating_add(1);
        }
        let minor = free;
        if wanted.is_none() {
            state.next_minor = minor
                .checked_add(1)
                .ok_or_else(|| Error::errno_of("create", name, libc::ENOSPC))?;
        }
        let device = Device::new(name, uuid);
        let info = state.devices.info(minor, &device);
        state.devices.insert(minor, device);
        drop(state);
        self.0.announce();
        Ok(info)
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

    fn takes_raid(&self, level: &str) -> bool {
        level == "raid1"
    }

    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        // What tells versions apart is done as the newest does it.
        let version = Version {
            major: 1,
            minor: 6,
            patch: 0,
        };
        let mut names = vec![
            "error",
            "linear",
            "mirror",
            "multipath",
            "raid",
            "striped",
            "zero",
        ];
        if self.0.read().pools.are_done() {
            names.extend(["cache", "thin", "thin-pool", "writecache"]);
        }
        let version = |name: &str| TargetVersion {
            name: name.into(),
            version,
        };
        Ok(names.into_iter().map(version).collect())
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
                path: path.into(),
                file: Arc::new(file),
            });
            state.images.len() - 1
        });
        Ok(DeviceNumber {
            major: IMAGE_MAJOR,
            minor: u32::try_from(index).unwrap_or(u32::MAX),
        })
    }

    fn backing_path(&self, number: DeviceNumber) -> Option<PathBuf> {
        let index = usize::try_from(number.minor).ok()?;
        let state = self.0.read();
        let image = state.images.get(index).filter(|_| number.major == IMAGE_MAJOR);
        image.map(|image| image.path.clone())
    }

    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        for (minor, device) in self.0.read().devices.iter() {
            visit(ListedDevice {
                name: device.name.as_str().as_bytes(),
                uuid: device.uuid.as_ref().map(|uuid| uuid.as_str().as_bytes()),
                number: DeviceNumber { major: MAJOR, minor },
                event_nr: Some(device.event_nr()),
            });
        }
        Ok(())
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        self.create_device(name, uuid, None)
    }

    fn create_at(&self, name: &DmName, uuid: &DmUuid, minor: u32) -> Result<DeviceInfo, Error> {
        self.create_device(name, uuid, Some(minor))
    }

    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error> {
        table.check()?;
        self.change("load", id, |state, minor| state.load(minor, table, read_only))
    }

    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.change("clear", id, |state, minor| {
            state.update(minor, |device| device.inactive = None)
        })
    }

    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        let state = self.0.read();
        let devices = &state.devices;
        let minor = devices.minor(id);
        Ok(minor.and_then(|minor| Some(devices.info(minor, devices.get(minor)?))))
    }

    fn suspend(&self, id: DeviceId<'_>, _: SuspendFlags) -> Result<DeviceInfo, Error> {
        // I/O under way holds the state's read lock: the change waits for it, as a suspend must.
        self.change("suspend", id, |state, minor| {
            state.commit_device(minor);
            state.stop_caches(minor);
            state.update(minor, |device| device.suspended = true)
        })
    }

    fn resume(&self, id: DeviceId<'_>, _: UdevFlags, _: &mut Cookie) -> Result<DeviceInfo, Error> {
        self.change("resume", id, State::resume)
    }

    fn rename(&self, name: &DmName, new: &DmName, _: UdevFlags, _: &mut Cookie) -> Result<(), Error> {
        let renamed = self.change("rename", DeviceId::Name(name), |state, minor| {
            if state.devices.minor(DeviceId::Name(new)).is_some() {
                return Err(Error::errno_of("rename", new, libc::EBUSY));
            }
            state.update(minor, |device| {
                device.name = new.clone();
                // As in the kernel, an event of a live table.
                let events = u32::from(device.live.is_some());
                device.events.fetch_add(events, Ordering::Relaxed);
            })
        });
        renamed.map(drop)
    }

    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error> {
        let set = self.change("rename", DeviceId::Name(name), |state, minor| {
            if state.devices.minor(DeviceId::Uuid(uuid)).is_some() {
                return Err(Error::errno_of("rename", uuid, libc::EBUSY));
            }
            state.update(minor, |device| match &device.uuid {
                None => {
                    device.uuid = Some(uuid.clone());
                    Ok(())
                }
                Some(_) => Err(Error::errno_of("rename", name, libc::EINVAL)),
            })?
        });
        set.map(drop)
    }

    fn remove(&self, id: DeviceId<'_>, deferred: bool, _: UdevFlags, _: &mut Cookie) -> Result<(), Error> {
        {
            let mut state = self.0.write();
            let (minor, device) = state.find("remove", id)?;
            if state.devices.open_count(minor, device) > 0 && !deferred {
                return Err(Error::errno_of("remove", id, libc::EBUSY));
            }
            state.commit_device(minor);
            state.update(minor, |device| device.deferred = true)?;
            state.devices.sweep();
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

    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error> {
        let state = self.0.read();
        let (_, device) = state.find("status", id)?;
        let Some(live) = &device.live else {
            return Ok(Vec::new());
        };
        let mut lines = live.status();
        state.describe_thin(live, &mut lines, noflush || device.suspended);
        let has_worked = state.describe_caches(live, &mut lines, device.suspended);
        drop(state);
        if has_worked {
            self.0.announce();
        }
        self.announce_raised();
        Ok(lines)
    }

    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        let state = self.0.read();
        let (_, device) = state.find("deps", id)?;
        let map = device.live.as_ref();
        Ok(map.map(|map| map.devices().to_vec()).unwrap_or_default())
    }

    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error> {
        if text != "@cancel_deferred_remove" {
            let (obeyed, is_of_array) = {
                let state = self.0.read();
                let (minor, _) = state.find("message", id)?;
                let of_array = state.array_message(minor, sector, text);
                let is_of_array = of_array.is_some();
                (
                    of_array
                        .or_else(|| state.path_message(minor, text))
                        .or_else(|| state.cache_message(minor, text))
                        .or_else(|| state.pool_message(minor, sector, text)),
                    is_of_array,
                )
            };
            match is_of_array {
                true => self.0.announce(),
                false => self.announce_raised(),
            }
            let refused = || Err(Error::Unsupported(format!("the message {text:?}")));
            return obeyed.unwrap_or_else(refused).map(|()| None);
        }
        let cancel = self.change("message", id, |state, minor| {
            state.update(minor, |device| device.deferred = false)
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
