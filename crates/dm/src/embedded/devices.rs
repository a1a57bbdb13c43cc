//! The devices of an embedded mapper, each found in one step by its number, name or uuid, with who uses whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::MAJOR;
use super::map::Map;
use crate::{DeviceId, DeviceInfo, DeviceNumber, DmName, DmUuid};

/// A mapped device.
pub(super) struct Device {
    pub(super) name: DmName,
    pub(super) uuid: Option<DmUuid>,
    pub(super) live: Option<Map>,
    pub(super) inactive: Option<Map>,
    pub(super) suspended: bool,
    pub(super) opens: Arc<AtomicU32>,
    /// Counts its events; a thin pool counts its own there.
    pub(super) events: Arc<AtomicU32>,
    pub(super) deferred: bool,
}

impl Device {
    pub(super) fn new(name: &DmName, uuid: &DmUuid) -> Self {
        Self {
            name: name.clone(),
            uuid: Some(uuid.clone()),
            live: None,
            inactive: None,
            suspended: false,
            opens: Arc::default(),
            events: Arc::default(),
            deferred: false,
        }
    }

    pub(super) fn event_nr(&self) -> u32 {
        self.events.load(Ordering::Relaxed)
    }

    /// The minor numbers of the mapped devices that its tables lie on; a device is used once however often it is named.
    fn below(&self) -> impl Iterator<Item = u32> {
        let maps = self.live.iter().chain(&self.inactive);
        maps.flat_map(Map::devices)
            .filter(|below| below.major == MAJOR)
            .map(|below| below.minor)
    }
}

/// All devices by their minor numbers.  A device changes by [`Devices::update`] alone, which keeps the indexes true.
#[derive(Default)]
pub(super) struct Devices {
    by_minor: BTreeMap<u32, Device>,
    by_name: HashMap<DmName, u32>,
    by_uuid: HashMap<DmUuid, u32>,
    /// Pairs of a device and one whose tables lie on it.
    uses: BTreeSet<(u32, u32)>,
    /// Those that go with their last user.
    deferred: BTreeSet<u32>,
}

impl Devices {
    pub(super) fn len(&self) -> usize {
        self.by_minor.len()
    }

    pub(super) fn get(&self, minor: u32) -> Option<&Device> {
        self.by_minor.get(&minor)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Device)> {
        self.by_minor.iter().map(|(minor, device)| (*minor, device))
    }

    pub(super) fn minor(&self, id: DeviceId<'_>) -> Option<u32> {
        match id {
            DeviceId::Number(number) => {
                (number.major == MAJOR && self.by_minor.contains_key(&number.minor)).then_some(number.minor)
            }
            DeviceId::Name(name) => self.by_name.get(name).copied(),
            DeviceId::Uuid(uuid) => self.by_uuid.get(uuid).copied(),
        }
    }

    /// Adds a device, under a number and names that no other has.
    pub(super) fn insert(&mut self, minor: u32, device: Device) {
        self.enter(minor, &device);
        self.by_minor.insert(minor, device);
    }

    /// Changes a device; `None` if there is none of that number.
    pub(super) fn update<T>(&mut self, minor: u32, change: impl FnOnce(&mut Device) -> T) -> Option<T> {
        let mut device = self.take(minor)?;
        let result = change(&mut device);
        self.insert(minor, device);
        Some(result)
    }

    fn take(&mut self, minor: u32) -> Option<Device> {
        let device = self.by_minor.remove(&minor)?;
        self.by_name.remove(&device.name);
        if let Some(uuid) = &device.uuid {
            self.by_uuid.remove(uuid);
        }
        for below in device.below() {
            self.uses.remove(&(below, minor));
        }
        self.deferred.remove(&minor);
        Some(device)
    }

    fn enter(&mut self, minor: u32, device: &Device) {
        self.by_name.insert(device.name.clone(), minor);
        if let Some(uuid) = &device.uuid {
            self.by_uuid.insert(uuid.clone(), minor);
        }
        self.uses.extend(device.below().map(|below| (below, minor)));
        if device.deferred {
            self.deferred.insert(minor);
        }
    }

    /// The devices whose tables lie on one.
    pub(super) fn users(&self, minor: u32) -> impl Iterator<Item = u32> {
        let users = self.uses.range((minor, 0)..=(minor, u32::MAX));
        users.map(|(_, user)| *user)
    }

    /// How often a device is open, other devices that use it included.
    pub(super) fn open_count(&self, minor: u32, device: &Device) -> u32 {
        let users = self.users(minor).count();
        let opens = device.opens.load(Ordering::Relaxed);
        opens.saturating_add(u32::try_from(users).unwrap_or(u32::MAX))
    }

    /// Takes away devices whose removal waited for their last user; did any go?
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.len();
        loop {
            let is_idle = |minor: &&u32| {
                let device = self.get(**minor);
                device.is_some_and(|device| self.open_count(**minor, device) == 0)
            };
            let Some(minor) = self.deferred.iter().find(is_idle).copied() else {
                return self.len() < before;
            };
            self.take(minor);
        }
    }

    pub(super) fn info(&self, minor: u32, device: &Device) -> DeviceInfo {
        DeviceInfo {
            name: device.name.clone(),
            uuid: device.uuid.clone(),
            number: DeviceNumber { major: MAJOR, minor },
            open_count: self.open_count(minor, device),
            event_nr: device.event_nr(),
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
    pub(super) fn reaches(&self, from: &[DeviceNumber], number: DeviceNumber) -> bool {
        let (mut todo, mut seen) = (from.to_vec(), Vec::new());
        while let Some(next) = todo.pop() {
            if next == number {
                return true;
            }
            if next.major != MAJOR || seen.contains(&next) {
                continue;
            }
            seen.push(next);
            if let Some(device) = self.get(next.minor) {
                let maps = device.live.iter().chain(&device.inactive);
                todo.extend(maps.flat_map(Map::devices));
            }
        }
        false
    }
}
