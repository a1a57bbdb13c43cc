//! The kernel's mapper, with a look at the clock around what it does.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lvm_native::dm::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Error,
    EventSource, Kernel, ListedDevice, NodeMode, OpenMode, StatusLine, SuspendFlags, Table, TargetVersion,
    UdevFlags, Version,
};

/// Time that was spent in the mapper.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    /// In the kernel's calls.
    pub(crate) calls: Duration,
    /// In the wait for udev, or in making the nodes where it does not run.
    pub(crate) nodes: Duration,
}

/// The kernel's mapper, timed.
#[derive(Default)]
pub(crate) struct Timed {
    kernel: Kernel,
    spent: Mutex<Spent>,
}

impl Timed {
    /// What was spent since the last question.
    pub(crate) fn take(&self) -> Spent {
        std::mem::take(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn call<T>(&self, work: impl FnOnce(&Kernel) -> T) -> T {
        let start = Instant::now();
        let done = work(&self.kernel);
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).calls += start.elapsed();
        done
    }
}

impl DeviceMapper for Timed {
    fn backend(&self) -> Backend {
        self.kernel.backend()
    }
    fn node_mode(&self) -> NodeMode {
        self.kernel.node_mode()
    }
    fn version(&self) -> Result<Version, Error> {
        self.call(|kernel| kernel.version())
    }
    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        self.call(|kernel| kernel.targets())
    }
    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error> {
        self.kernel.backing(path)
    }
    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        self.call(|kernel| kernel.each_device(visit))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        self.call(|kernel| kernel.create(name, uuid))
    }
    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error> {
        self.call(|kernel| kernel.load(id, table, read_only))
    }
    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.call(|kernel| kernel.clear(id))
    }
    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        self.call(|kernel| kernel.info(id))
    }
    fn suspend(&self, id: DeviceId<'_>, flags: SuspendFlags) -> Result<DeviceInfo, Error> {
        self.call(|kernel| kernel.suspend(id, flags))
    }
    fn resume(&self, id: DeviceId<'_>, flags: UdevFlags, cookie: &mut Cookie) -> Result<DeviceInfo, Error> {
        self.call(|kernel| kernel.resume(id, flags, cookie))
    }
    fn rename(
        &self,
        name: &DmName,
        new: &DmName,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        self.call(|kernel| kernel.rename(name, new, flags, cookie))
    }
    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error> {
        self.call(|kernel| kernel.set_uuid(name, uuid))
    }
    fn remove(
        &self,
        id: DeviceId<'_>,
        deferred: bool,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        self.call(|kernel| kernel.remove(id, deferred, flags, cookie))
    }
    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error> {
        self.call(|kernel| kernel.table(id, inactive))
    }
    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error> {
        self.call(|kernel| kernel.status(id, noflush))
    }
    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        self.call(|kernel| kernel.deps(id))
    }
    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error> {
        self.call(|kernel| kernel.message(id, sector, text))
    }
    fn events(&self) -> Result<Box<dyn EventSource>, Error> {
        self.kernel.events()
    }
    fn cookie(&self) -> Result<Cookie, Error> {
        self.kernel.cookie()
    }
    fn finish(&self, cookie: Cookie, timeout: Duration) -> Result<(), Error> {
        let start = Instant::now();
        let done = self.kernel.finish(cookie, timeout);
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).nodes += start.elapsed();
        done
    }
    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        self.kernel.open(id, mode)
    }
}
