//! The one trait of all mappers.
//!
//! The life of a device: [`create`](DeviceMapper::create) (no table, no I/O), [`load`](DeviceMapper::load) (a table
//! staged), [`resume`](DeviceMapper::resume) (the staged table mapped, I/O flows); then `load`,
//! [`suspend`](DeviceMapper::suspend), `resume` for each change; [`remove`](DeviceMapper::remove).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::{
    Cookie, DeviceEntry, DeviceId, DeviceInfo, DeviceNumber, DmName, DmUuid, Error, ListedDevice, StatusLine,
    SuspendFlags, Table, TargetVersion, UdevFlags, Version,
};

/// Which mapper it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The kernel's, by our own ioctls.
    Kernel,
    /// The kernel's, by the `devicemapper` crate.
    Stratis,
    /// In this process, over image files.
    Embedded,
    /// A test's, whose devices outlive the handles under test.
    Fake,
}

/// Who makes device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeMode {
    /// udevd: commands wait for it, for a bounded time.
    Udev,
    /// This library.
    Own,
    /// Nobody: devices have no nodes.
    None,
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading.
    ReadOnly,
    /// For reading and writing.
    ReadWrite,
}

/// How far a device reads ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAhead {
    /// So many sectors; none for 0.
    Exactly(u32),
    /// So many sectors, if it reads less far now.
    AtLeast(u32),
    /// As far as the device below that reads farthest, if it reads less far now.
    AsBelow,
}

/// Mapped devices and all that can be done with them.
///
/// Every device is named by one key; ask by uuid where there is one.  Errors carry the kernel's errno, with the
/// same meaning whatever the mapper: `ENXIO` no such device, `EBUSY` in use or taken, `EINVAL` refused.
pub trait DeviceMapper: Send + Sync {
    /// Tells which mapper this is.
    fn backend(&self) -> Backend;

    /// Tells who makes device nodes.
    fn node_mode(&self) -> NodeMode;

    /// Reads the interface's version.
    ///
    /// # Errors
    /// [`Error::NoDeviceMapper`] where there is none.
    #[doc(alias = "DM_VERSION")]
    fn version(&self) -> Result<Version, Error>;

    /// Lists the targets that are loaded.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_LIST_VERSIONS")]
    fn targets(&self) -> Result<Vec<TargetVersion>, Error>;

    /// Does the mapper have a target of that name?  A module that has it is loaded first, where modules are loaded.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_GET_TARGET_VERSION")]
    fn has_target(&self, name: &str) -> Result<bool, Error> {
        Ok(self.targets()?.iter().any(|target| target.name == name))
    }

    /// Tells whether arrays of a level can be mapped where there is a target for them; `level` is the table's word.
    fn takes_raid(&self, level: &str) -> bool {
        // What a kernel takes shows when it loads the level's module, with the table.
        let _ = level;
        true
    }

    /// The number by which tables name the device or image at `path`.
    ///
    /// # Errors
    /// [`Error::Io`], also for what is no block device (or file, for the embedded mapper).
    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error>;

    /// The path of the device or image with a number that [`DeviceMapper::backing`] gave; `None` when it is gone.
    fn backing_path(&self, number: DeviceNumber) -> Option<PathBuf> {
        let file = format!("/sys/dev/block/{number}/uevent");
        let uevent = std::fs::read_to_string(file).ok()?;
        let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        Some(Path::new("/dev").join(name))
    }

    /// Shows all devices to `visit`, one after the other, with no allocation for each; `visit` must not ask the mapper.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_LIST_DEVICES")]
    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error>;

    /// Lists all devices.
    ///
    /// # Errors
    /// [`Error::Command`].
    fn list(&self) -> Result<Vec<DeviceEntry>, Error> {
        let mut entries = Vec::new();
        self.each_device(&mut |listed| entries.push(listed.into()))?;
        Ok(entries)
    }

    /// Makes a device without a table: it has no size yet, is not marked as suspended, and cannot be opened for I/O.
    ///
    /// # Errors
    /// `EBUSY` when the name or the uuid is taken.
    #[doc(alias = "DM_DEV_CREATE")]
    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error>;

    /// As [`DeviceMapper::create`], with a minor number that the caller chooses; the major number is the mapper's.
    ///
    /// # Errors
    /// `EBUSY` also when another device has the number; `EINVAL` for one that no device can have.
    fn create_at(&self, name: &DmName, uuid: &DmUuid, minor: u32) -> Result<DeviceInfo, Error> {
        let _ = uuid;
        Err(Error::Unsupported(format!(
            "minor number {minor} for device {name}"
        )))
    }

    /// Sets how far a device reads ahead, where that means anything: for the kernel's devices.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn set_read_ahead(&self, number: DeviceNumber, read_ahead: ReadAhead) -> Result<(), Error> {
        let _ = (number, read_ahead);
        Ok(())
    }

    /// Stages a table, in place of one staged before.
    ///
    /// The kernel checks against the sizes of the devices below when it loads a device's first table; for later ones
    /// not before the resume.
    ///
    /// # Errors
    /// [`Error::BadTable`]; `EINVAL` for what a target refuses, an area past its device's end included; `ENXIO` or
    /// `EINVAL` when a device below is not there.
    #[doc(alias = "DM_TABLE_LOAD")]
    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error>;

    /// Drops the staged table.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_TABLE_CLEAR")]
    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error>;

    /// Reads a device's state; `None` when there is no such device.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_DEV_STATUS")]
    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error>;

    /// Stops I/O; what comes later waits for the resume.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_DEV_SUSPEND")]
    fn suspend(&self, id: DeviceId<'_>, flags: SuspendFlags) -> Result<DeviceInfo, Error>;

    /// Maps the staged table, if there is one, and lets I/O go on.  Nodes are there after [`DeviceMapper::finish`].
    ///
    /// # Errors
    /// `EINVAL` when the staged table cannot be mapped, such as one past the end of a device below: it is dropped then,
    /// the device stays suspended with its old table, and another resume lets it go on with that.
    fn resume(&self, id: DeviceId<'_>, flags: UdevFlags, cookie: &mut Cookie) -> Result<DeviceInfo, Error>;

    /// Gives a device another name.
    ///
    /// # Errors
    /// `EBUSY` when it is taken.
    #[doc(alias = "DM_DEV_RENAME")]
    fn rename(&self, name: &DmName, new: &DmName, flags: UdevFlags, cookie: &mut Cookie)
    -> Result<(), Error>;

    /// Gives a uuid to a device that has none.
    ///
    /// # Errors
    /// `EINVAL` when it has one.
    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error>;

    /// Takes a device away.  One that is open is tried again for a bounded time, since udev opens devices for
    /// moments; with `deferred` it goes when its last user closes it, and only a node that this library made goes at once.
    ///
    /// # Errors
    /// `EBUSY` while it is open.
    #[doc(alias = "DM_DEV_REMOVE")]
    fn remove(
        &self,
        id: DeviceId<'_>,
        deferred: bool,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error>;

    /// Reads the live table, or the staged one.
    ///
    /// # Errors
    /// [`Error::Command`]; [`Error::BadParams`] for a line that cannot be read.
    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error>;

    /// Reads what the targets say.  With `noflush` a thin pool does not commit first.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_TABLE_STATUS")]
    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error>;

    /// Lists the devices that the live table uses.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_TABLE_DEPS")]
    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error>;

    /// Sends a message to the target at a sector, and gives its answer if it has one.  Sent once, whatever happens.
    ///
    /// The kernel splits the text at blanks, and takes a backslash for an escape.
    ///
    /// # Errors
    /// [`Error::Command`]: `EINVAL` for what the target does not know, and for a text with a NUL; `E2BIG` for an answer
    /// past 64 KiB: the message was carried out all the same.
    #[doc(alias = "DM_TARGET_MSG")]
    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error>;

    /// Takes a deferred removal back: the device stays when its last user closes it.
    ///
    /// # Errors
    /// [`Error::Command`].
    fn cancel_deferred_remove(&self, id: DeviceId<'_>) -> Result<(), Error> {
        self.message(id, 0, "@cancel_deferred_remove").map(drop)
    }

    /// Waits until the device's event counter is not `event_nr` any more, or the time is over, and gives its state.
    ///
    /// # Errors
    /// [`Error::Command`], `ENXIO` when the device goes away meanwhile.
    fn wait(&self, id: DeviceId<'_>, event_nr: u32, timeout: Duration) -> Result<DeviceInfo, Error> {
        let end = Deadline::after(timeout);
        // Before the first look at the device, so that no event is lost.
        let mut events = self.events()?;
        loop {
            let info = self
                .info(id)?
                .ok_or_else(|| Error::errno_of("wait", id, libc::ENXIO))?;
            if info.event_nr != event_nr || end.left().is_zero() {
                return Ok(info);
            }
            events.wait(end.left())?;
        }
    }

    /// Opens a stream of events of all devices.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_DEV_ARM_POLL")]
    fn events(&self) -> Result<Box<dyn EventSource>, Error>;

    /// Begins a batch of resumes, renames and removals, whose nodes one [`DeviceMapper::finish`] waits for;
    /// at most 32 766 of them, since udev's semaphore counts no further.
    ///
    /// # Errors
    /// [`Error::Io`] when udev's semaphore cannot be had.
    fn cookie(&self) -> Result<Cookie, Error>;

    /// Waits until the nodes of a batch are there or gone; never while a device of it is suspended.
    ///
    /// `timeout` is for one event: the wait ends when udevd was done with none for so long.
    ///
    /// # Errors
    /// [`Error::UdevTimeout`]; the cookie is removed all the same.
    fn finish(&self, cookie: Cookie, timeout: Duration) -> Result<(), Error>;

    /// Opens a mapped device for I/O.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error>;
}

/// Events of all devices of a mapper.
pub trait EventSource: Send {
    /// Waits for an event after the last call (or after the source was made); `false` when the time is over.
    ///
    /// Ask for devices' states after this, not before: an event in between is then not lost.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn wait(&mut self, timeout: Duration) -> Result<bool, Error>;
}

/// A mapped device, open.  Any range of bytes can be read and written, whole sectors or not.
pub trait BlockIo: Send + Sync {
    /// Fills `buf` from byte `at`.
    ///
    /// # Errors
    /// The device's, and `UnexpectedEof` past its end.
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at byte `at`; durable after [`BlockIo::sync`].
    ///
    /// # Errors
    /// The device's, and `ENOSPC` past its end, with what is before it written.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The device's.
    fn sync(&self) -> io::Result<()>;

    /// The size in bytes.
    ///
    /// # Errors
    /// The device's.
    fn size(&self) -> io::Result<u64>;

    /// Zeroes `length` bytes from byte `at`, both multiples of 512, by the device's own means where it has them.
    ///
    /// # Errors
    /// The device's; `EINVAL` for other ranges, and past its end.
    fn zero(&self, at: u64, length: u64) -> io::Result<()>;
}
