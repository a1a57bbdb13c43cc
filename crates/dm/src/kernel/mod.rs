//! The kernel's device-mapper, by its own ioctls.

pub(crate) mod events;
pub(crate) mod io;
mod read_ahead;
pub(crate) mod udev;

use std::fs::{File, OpenOptions};
use std::io as stdio;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::codec::{Listed, Message, flag};
use crate::command::Command;
use crate::deadline::Deadline;
use crate::nodes::{self, NodeChanges};
use crate::sys;
use crate::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Error,
    EventSource, ListedDevice, NodeMode, OpenMode, ReadAhead, StatusLine, SuspendFlags, Table, TargetVersion,
    UdevFlags, Version,
};

/// Longest that a removal is tried again: udev opens devices for moments.
pub(crate) const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// The kernel's minor numbers have 20 bits.
const MINOR_LIMIT: u32 = 0xf_ffff;
/// Largest buffer for a reply: a list of 200 000 devices fits.  The kernel takes 16 times as much.
const ROOM_LIMIT: usize = 64 << 20;

/// The kernel's device-mapper.
#[derive(Debug)]
pub struct Kernel {
    dev: PathBuf,
    control: OnceLock<File>,
    mode: NodeMode,
    /// Bytes that the last list took: the next one is asked for once.
    list_room: AtomicUsize,
}

impl Kernel {
    /// The kernel's mapper.  udevd makes the nodes where it runs and can be waited for, else this library does.
    ///
    /// Nothing is opened before the first command.
    pub fn new() -> Self {
        Self::with_nodes(udev::detect())
    }

    /// As [`Kernel::new`], with nodes made by whom the caller says.
    pub fn with_nodes(mode: NodeMode) -> Self {
        Self {
            dev: "/dev".into(),
            control: OnceLock::new(),
            mode,
            list_room: AtomicUsize::new(Command::ListDevices.room()),
        }
    }

    fn control(&self) -> Result<&File, Error> {
        if let Some(file) = self.control.get() {
            return Ok(file);
        }
        let file = open_control(&self.dev)?;
        if self.mode == NodeMode::Udev {
            udev::remove_cookies_of_the_dead();
        }
        Ok(self.control.get_or_init(|| file))
    }

    /// Sends a request; a query whose reply did not fit is sent again with more room.
    fn call(&self, request: &Message, about: impl ToString) -> Result<Message, Error> {
        call(self.control()?, request, about)
    }

    fn info_of(&self, request: &Message, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.call(request, id)?.info()
    }

    /// Sends a command whose event udevd may answer, counting it in the cookie.
    fn call_with_event(
        &self,
        request: Message,
        about: impl ToString,
        flags: UdevFlags,
        cookie: &Cookie,
    ) -> Result<Message, Error> {
        if let Some(semaphore) = &cookie.semaphore {
            semaphore.raise().map_err(|source| Error::Io {
                what: "count events in",
                path: "udev's semaphore".into(),
                source,
            })?;
        }
        let reply = self.call(&request.cookie(cookie.event_nr(flags)), about);
        let announced = reply
            .as_ref()
            .is_ok_and(|reply| reply.has(flag::UEVENT_GENERATED));
        if let Some(semaphore) = &cookie.semaphore
            && !announced
        {
            // The command is done or has failed, and that is what to tell: a semaphore that somebody removed is not.
            let _ = semaphore.lower();
        }
        reply
    }

    /// Removes every device of the host that is not open, others' devices too.  For tests on machines of their own.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_REMOVE_ALL")]
    pub fn remove_all_devices_of_the_host(&self) -> Result<(), Error> {
        self.call(&Message::new(Command::RemoveAll), "all devices")
            .map(drop)
    }

    /// Sets the geometry that old boot loaders ask for.
    ///
    /// # Errors
    /// [`Error::Command`].
    #[doc(alias = "DM_DEV_SET_GEOMETRY")]
    pub fn set_geometry(
        &self,
        id: DeviceId<'_>,
        cylinders: u64,
        heads: u64,
        sectors: u64,
        start: u64,
    ) -> Result<(), Error> {
        let text = format!("{cylinders} {heads} {sectors} {start}");
        self.call(&Message::about(Command::SetGeometry, id).text(&text), id)
            .map(drop)
    }

    /// Reads the version of a target, loading its module if need be.
    ///
    /// # Errors
    /// `EINVAL` when the kernel has no such target.
    #[doc(alias = "DM_GET_TARGET_VERSION")]
    pub fn target_version(&self, target: &str) -> Result<Option<TargetVersion>, Error> {
        let request = Message::new(Command::GetTargetVersion).name(&DmName::new(target)?);
        Ok(self.call(&request, target)?.target_versions()?.pop())
    }

    /// Waits in the kernel until the device's event counter is not `event_nr` any more, however long that takes.
    ///
    /// # Errors
    /// [`Error::Command`], `EINTR` when a signal came.
    #[doc(alias = "DM_DEV_WAIT")]
    pub fn wait_without_limit(&self, id: DeviceId<'_>, event_nr: u32) -> Result<DeviceInfo, Error> {
        self.info_of(&Message::about(Command::Wait, id).event_nr(event_nr), id)
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn open_control(dev: &Path) -> Result<File, Error> {
    let path = dev.join("mapper/control");
    nodes::ensure_control(&path);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(|source| Error::NoDeviceMapper {
        path: path.clone(),
        source,
    })?;
    if !file
        .metadata()
        .is_ok_and(|found| found.file_type().is_char_device())
    {
        let source = stdio::Error::from_raw_os_error(libc::ENODEV);
        return Err(Error::NoDeviceMapper { path, source });
    }
    let version =
        call(&file, &Message::new(Command::Version), "the mapper").and_then(|reply| reply.version());
    match version {
        Ok(version) if version.major == 4 => Ok(file),
        Ok(version) => Err(Error::Version(version)),
        Err(Error::Command { source, .. }) if source.raw_os_error() == Some(libc::ENOTTY) => {
            Err(Error::NoDeviceMapper { path, source })
        }
        Err(error) => Err(error),
    }
}

fn call(control: &File, request: &Message, about: impl ToString) -> Result<Message, Error> {
    let number = request.command.number();
    exchange(request, about, request.command.room(), |words| {
        sys::dm_ioctl(control, number, words)
    })
}

/// Sends a request; a query whose reply did not fit is sent again with more room, anything else is sent once.
fn exchange(
    request: &Message,
    about: impl ToString,
    mut room: usize,
    mut send: impl FnMut(&mut [u64]) -> stdio::Result<()>,
) -> Result<Message, Error> {
    let command = request.command;
    loop {
        // Built anew each time: the kernel writes over it.
        let mut words = request.to_words(room.max(sys::HEADER));
        if let Err(source) = send(&mut words) {
            return Err(Error::command(command.name(), about, source));
        }
        let reply = Message::reply(command, &words);
        if !reply.has(flag::BUFFER_FULL) {
            return Ok(reply);
        }
        if !command.is_query() || room >= ROOM_LIMIT {
            return Err(Error::errno_of(command.name(), about, libc::E2BIG));
        }
        room = room.saturating_mul(4).min(ROOM_LIMIT);
    }
}

fn is_errno<T>(result: &Result<T, Error>, errno: i32) -> bool {
    matches!(result, Err(Error::Command { source, .. }) if source.raw_os_error() == Some(errno))
}

impl DeviceMapper for Kernel {
    fn backend(&self) -> Backend {
        Backend::Kernel
    }

    fn node_mode(&self) -> NodeMode {
        self.mode
    }

    fn version(&self) -> Result<Version, Error> {
        self.call(&Message::new(Command::Version), "the mapper")?
            .version()
    }

    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        self.call(&Message::new(Command::ListVersions), "targets")?
            .target_versions()
    }

    fn has_target(&self, name: &str) -> Result<bool, Error> {
        match self.target_version(name) {
            Ok(found) => Ok(found.is_some()),
            Err(error) if error.errno() == libc::EINVAL => Ok(false),
            // Kernels whose interface is older than 4.41 tell of loaded targets alone.
            Err(error) if error.errno() == libc::ENOTTY => {
                Ok(self.targets()?.iter().any(|target| target.name == name))
            }
            Err(error) => Err(error),
        }
    }

    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error> {
        let failed = |source| Error::Io {
            what: "look at",
            path: path.into(),
            source,
        };
        let found = std::fs::metadata(path).map_err(failed)?;
        if !found.file_type().is_block_device() {
            return Err(failed(stdio::Error::from_raw_os_error(libc::ENOTBLK)));
        }
        Ok(DeviceNumber::of_stat(found.rdev()))
    }

    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        // Kernels since 5.13 add the uuids, when asked.
        let request = Message::new(Command::ListDevices).flags(flag::UUID);
        let room = self.list_room.load(Ordering::Relaxed);
        let control = self.control()?;
        let number = request.command.number();
        let reply = exchange(&request, "devices", room, |words| {
            sys::dm_ioctl(control, number, words)
        })?;
        self.list_room
            .fetch_max(reply.size().next_power_of_two(), Ordering::Relaxed);
        reply.each_device(|Listed { device, tells_uuid }| {
            if tells_uuid {
                visit(device);
                return Ok(());
            }
            let info = self.info(DeviceId::Number(device.number))?;
            let uuid = info.as_ref().and_then(|info| info.uuid.as_ref());
            visit(ListedDevice {
                uuid: uuid.map(|uuid| uuid.as_str().as_bytes()),
                ..device
            });
            Ok(())
        })
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        self.call(&Message::new(Command::Create).name(name).uuid(uuid), name)?
            .info()
    }

    fn create_at(&self, name: &DmName, uuid: &DmUuid, minor: u32) -> Result<DeviceInfo, Error> {
        if minor > MINOR_LIMIT {
            return Err(Error::errno_of("create", name, libc::EINVAL));
        }
        let request = Message::new(Command::Create)
            .name(name)
            .uuid(uuid)
            .at_minor(minor);
        let made = self.call(&request, name);
        // Whatever keeps the kernel from taking a minor number, it says that there is no such device.
        if is_errno(&made, libc::ENXIO) {
            return Err(Error::errno_of("create", name, libc::EBUSY));
        }
        made?.info()
    }

    fn set_read_ahead(&self, number: DeviceNumber, read_ahead: ReadAhead) -> Result<(), Error> {
        read_ahead::set(Path::new("/sys"), number, read_ahead)
    }

    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error> {
        table.check()?;
        let flags = if read_only { flag::READONLY } else { 0 };
        self.info_of(
            &Message::about(Command::TableLoad, id).flags(flags).table(table),
            id,
        )
    }

    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.info_of(&Message::about(Command::TableClear, id), id)
    }

    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        let result = self.info_of(&Message::about(Command::Status, id), id);
        if is_errno(&result, libc::ENXIO) {
            Ok(None)
        } else {
            result.map(Some)
        }
    }

    fn suspend(&self, id: DeviceId<'_>, flags: SuspendFlags) -> Result<DeviceInfo, Error> {
        self.info_of(
            &Message::about(Command::Suspend, id).flags(flag::SUSPEND | flags.bits()),
            id,
        )
    }

    fn resume(&self, id: DeviceId<'_>, flags: UdevFlags, cookie: &mut Cookie) -> Result<DeviceInfo, Error> {
        let reply = self.call_with_event(Message::about(Command::Suspend, id), id, flags, cookie)?;
        let info = reply.info()?;
        if !flags.contains(UdevFlags::DISABLE_DM_RULES) {
            cookie.nodes.make(&info.name, info.number);
        }
        Ok(info)
    }

    fn rename(
        &self,
        name: &DmName,
        new: &DmName,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        let request = Message::about(Command::Rename, DeviceId::Name(name)).text(new.as_str());
        let number = self.call_with_event(request, name, flags, cookie)?.info()?.number;
        cookie.nodes.remove(name, number);
        if !flags.contains(UdevFlags::DISABLE_DM_RULES) {
            cookie.nodes.make(new, number);
        }
        Ok(())
    }

    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error> {
        let request = Message::about(Command::Rename, DeviceId::Name(name))
            .flags(flag::UUID)
            .text(uuid.as_str());
        self.call(&request, name).map(drop)
    }

    fn remove(
        &self,
        id: DeviceId<'_>,
        deferred: bool,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        let about = self
            .info(id)?
            .ok_or_else(|| Error::errno_of("remove", id, libc::ENXIO))?;
        let end = Deadline::after(BUSY_LIMIT);
        loop {
            let request =
                Message::about(Command::Remove, id).flags(if deferred { flag::DEFERRED_REMOVE } else { 0 });
            let result = self.call_with_event(request, id, flags, cookie);
            if !is_errno(&result, libc::EBUSY) || end.left().is_zero() {
                result?;
                cookie.nodes.remove(&about.name, about.number);
                return Ok(());
            }
            thread::sleep(BUSY_PAUSE);
        }
    }

    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error> {
        let flags = flag::STATUS_TABLE | if inactive { flag::QUERY_INACTIVE } else { 0 };
        let reply = self.call(&Message::about(Command::TableStatus, id).flags(flags), id)?;
        Table::of_kernel(reply.status_lines()?)
    }

    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error> {
        let flags = if noflush { flag::NOFLUSH } else { 0 };
        self.call(&Message::about(Command::TableStatus, id).flags(flags), id)?
            .status_lines()
    }

    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        self.call(&Message::about(Command::TableDeps, id), id)?
            .dependencies()
    }

    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error> {
        if text.contains('\0') {
            return Err(Error::errno_of("message", id, libc::EINVAL));
        }
        self.call(
            &Message::about(Command::TargetMessage, id).target_message(sector, text),
            id,
        )?
        .answer()
    }

    fn events(&self) -> Result<Box<dyn EventSource>, Error> {
        Ok(Box::new(events::Events::new(open_control(&self.dev)?)?))
    }

    fn cookie(&self) -> Result<Cookie, Error> {
        match self.mode {
            NodeMode::Udev => udev::cookie(&self.dev),
            NodeMode::None => Ok(Cookie::none()),
            NodeMode::Own => Ok(Cookie {
                semaphore: None,
                nodes: NodeChanges::below(&self.dev, false),
            }),
        }
    }

    fn finish(&self, mut cookie: Cookie, timeout: Duration) -> Result<(), Error> {
        let waited = match cookie.semaphore.take() {
            Some(semaphore) => semaphore.wait(timeout).map(Some),
            None => Ok(None),
        };
        // Nodes are looked at whatever became of the wait: udevd may have no rules for them.
        let nodes = cookie.nodes.apply(matches!(waited, Ok(Some(true))));
        match waited {
            Err(source) => Err(Error::Io {
                what: "wait for",
                path: "udev's semaphore".into(),
                source,
            }),
            Ok(Some(false)) => Err(Error::UdevTimeout(timeout)),
            Ok(_) => nodes,
        }
    }

    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        let info = self
            .info(id)?
            .ok_or_else(|| Error::errno_of("open", id, libc::ENXIO))?;
        Ok(Box::new(io::Device::open(&self.dev, &info, mode)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers that the buffer is too small until it has so many bytes, writing over all of it.
    fn kernel_that_needs(least: usize, sizes: &mut Vec<usize>, words: &mut [u64]) -> stdio::Result<()> {
        let size = size_of_val(words);
        assert_eq!(words[0] as u32, 4, "the request is whole each time");
        sizes.push(size);
        words.fill(u64::from_ne_bytes([0xff; 8]));
        if size >= least {
            words[..sys::HEADER / 8].fill(0);
        }
        Ok(())
    }

    #[test]
    fn a_query_is_sent_again_with_more_room_up_to_a_bound() {
        let request = Message::new(Command::ListDevices);
        let mut sizes = Vec::new();
        exchange(&request, "devices", request.command.room(), |words| {
            kernel_that_needs(100 << 10, &mut sizes, words)
        })
        .unwrap();
        assert_eq!(sizes, [16 << 10, 64 << 10, 256 << 10]);
        sizes.clear();
        let endless = exchange(&request, "devices", request.command.room(), |words| {
            kernel_that_needs(usize::MAX, &mut sizes, words)
        });
        assert_eq!(endless.unwrap_err().errno(), libc::E2BIG);
        assert_eq!(sizes.last(), Some(&ROOM_LIMIT));
    }

    #[test]
    fn a_message_whose_answer_did_not_fit_is_not_sent_twice() {
        for command in [Command::TargetMessage, Command::TableLoad, Command::Suspend] {
            let mut sizes = Vec::new();
            let result = exchange(&Message::new(command), "it", command.room(), |words| {
                kernel_that_needs(usize::MAX, &mut sizes, words)
            });
            assert_eq!(result.unwrap_err().errno(), libc::E2BIG);
            assert_eq!(sizes.len(), 1, "{command:?}");
        }
    }

    #[test]
    fn a_failure_tells_command_device_and_errno() {
        let request = Message::new(Command::TableLoad);
        let error = exchange(&request, "vg-lv", request.command.room(), |_| {
            Err(stdio::Error::from_raw_os_error(libc::EINVAL))
        });
        let error = error.unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        let words = error.to_string();
        assert!(
            words.contains("load") && words.contains("vg-lv") && words.contains("kernel log"),
            "{words}"
        );
    }
}
