//! The kernel's device-mapper by the crate `devicemapper`, for those who have that crate anyway.
//!
//! What it lacks is made of what it has: look-ups by number, uuids in the list, waits with a limit, nodes without udevd.
//! What it cannot do:
//! - Where udevd runs, each resume, rename and removal waits for it by itself and without limit; nothing turns that off.
//!   [`Stratis::new`] refuses to work where that would never end.
//! - A rename carries no flags for udev: one that asks for some is refused where udevd runs.
//! - Its answers to messages are asked for again when they pass 16 KiB: `@stats_print_clear`, which must not be sent twice,
//!   is refused.
//! - One device of the host whose name is not ASCII keeps it from listing any, and from finding others by number.

use std::path::Path;
use std::time::Duration;

use devicemapper as dm;

use crate::deadline::Deadline;
use crate::kernel::{self, Kernel};
use crate::nodes::NodeChanges;
use crate::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Error,
    EventSource, ListedDevice, NodeMode, OpenMode, StatusLine, SuspendFlags, Table, TargetVersion, UdevFlags,
    Version,
};

/// The kernel's device-mapper, by the crate `devicemapper`.
pub struct Stratis {
    dm: dm::DM,
    mode: NodeMode,
}

impl Stratis {
    /// Opens the control device.  udevd makes the nodes where it runs, else this library does.
    ///
    /// # Errors
    /// [`Error::NoDeviceMapper`]; [`Error::Unsupported`] where udevd runs but cannot be waited for.
    pub fn new() -> Result<Self, Error> {
        let running = Path::new("/run/udev/control").exists();
        if running && !kernel::udev::can_wait(Path::new("/")) {
            let what = "udevd that runs in another namespace of System V semaphores";
            return Err(Error::Unsupported(what.into()));
        }
        // The crate tells no errno.
        kernel::open_control(Path::new("/dev"))?;
        let dm = dm::DM::new().map_err(|error| failed("open", "the mapper", error))?;
        let mode = if running { NodeMode::Udev } else { NodeMode::Own };
        Ok(Self { dm, mode })
    }

    /// Our name of a device as theirs.
    fn key(&self, command: &'static str, id: DeviceId<'_>) -> Result<Key, Error> {
        let failed = |error| failed(command, id, error);
        match id {
            DeviceId::Name(name) => their_name(command, name).map(Key::Name),
            DeviceId::Uuid(uuid) => dm::DmUuidBuf::new(uuid.to_string())
                .map(Key::Uuid)
                .map_err(failed),
            DeviceId::Number(number) => {
                let devices = self.dm.list_devices().map_err(failed)?;
                let found = devices
                    .into_iter()
                    .find(|(_, device, _)| our_number(*device) == number);
                found
                    .map(|(name, _, _)| Key::Name(name))
                    .ok_or_else(|| Error::errno_of(command, id, libc::ENXIO))
            }
        }
    }

    /// Runs one of their commands on a device.
    fn run<T>(
        &self,
        command: &'static str,
        id: DeviceId<'_>,
        act: impl FnOnce(&dm::DM, &dm::DevId<'_>) -> dm::DmResult<T>,
    ) -> Result<T, Error> {
        let key = self.key(command, id)?;
        act(&self.dm, &key.id()).map_err(|error| failed(command, id, error))
    }

    /// Runs a command and tells the device's state after it.
    fn change(
        &self,
        command: &'static str,
        id: DeviceId<'_>,
        act: impl FnOnce(&dm::DM, &dm::DevId<'_>) -> dm::DmResult<dm::DeviceInfo>,
    ) -> Result<DeviceInfo, Error> {
        let info = self.run(command, id, act)?;
        self.describe(&info)
    }

    fn describe(&self, info: &dm::DeviceInfo) -> Result<DeviceInfo, Error> {
        let name = DmName::of_kernel(info.name().map_or(&b""[..], |name| name.as_bytes()));
        let has = |flag| info.flags().contains(flag);
        let live_table = has(dm::DmFlags::DM_ACTIVE_PRESENT);
        // Their state does not count targets.
        let target_count = match live_table {
            true => self.lines(DeviceId::Name(&name), dm::DmFlags::DM_NOFLUSH)?.len(),
            false => 0,
        };
        Ok(DeviceInfo {
            uuid: info.uuid().map(|uuid| DmUuid::of_kernel(uuid.as_bytes())),
            number: our_number(info.device()),
            open_count: u32::try_from(info.open_count()).unwrap_or(0),
            event_nr: info.event_nr(),
            target_count: u32::try_from(target_count).unwrap_or(u32::MAX),
            suspended: has(dm::DmFlags::DM_SUSPEND),
            read_only: has(dm::DmFlags::DM_READONLY),
            live_table,
            inactive_table: has(dm::DmFlags::DM_INACTIVE_PRESENT),
            deferred_remove: has(dm::DmFlags::DM_DEFERRED_REMOVE),
            name,
        })
    }

    fn lines(&self, id: DeviceId<'_>, flags: dm::DmFlags) -> Result<Vec<StatusLine>, Error> {
        let options = dm::DmOptions::default().set_flags(flags);
        let (_, lines) = self.run("status", id, |dm, id| dm.table_status(id, options))?;
        let line = |(start, length, kind, status)| StatusLine {
            start,
            length,
            kind,
            status,
        };
        Ok(lines.into_iter().map(line).collect())
    }

    fn options(&self, flags: UdevFlags) -> dm::DmOptions {
        let fallback = match self.mode {
            NodeMode::Udev => UdevFlags::DISABLE_LIBRARY_FALLBACK,
            _ => UdevFlags::empty(),
        };
        // They have no name for the flags of subsystems, such as LVM's.
        let bits = u32::from((flags | fallback).bits());
        dm::DmOptions::default().set_udev_flags(dm::DmUdevFlags::from_bits_retain(bits))
    }
}

enum Key {
    Name(dm::DmNameBuf),
    Uuid(dm::DmUuidBuf),
}

impl Key {
    fn id(&self) -> dm::DevId<'_> {
        match self {
            Self::Name(name) => dm::DevId::Name(name),
            Self::Uuid(uuid) => dm::DevId::Uuid(uuid),
        }
    }
}

fn their_name(command: &'static str, name: &DmName) -> Result<dm::DmNameBuf, Error> {
    dm::DmNameBuf::new(name.to_string()).map_err(|error| failed(command, name, error))
}

fn our_number(device: dm::Device) -> DeviceNumber {
    DeviceNumber {
        major: device.major,
        minor: device.minor,
    }
}

fn failed(command: &'static str, about: impl ToString, error: dm::DmError) -> Error {
    use dm::errors::Error as Theirs;
    match error {
        dm::DmError::Core(Theirs::Ioctl(_, _, _, errno)) => Error::errno_of(command, about, *errno as i32),
        dm::DmError::Core(Theirs::InvalidArgument(_)) => Error::errno_of(command, about, libc::EINVAL),
        error => Error::command(command, about, std::io::Error::other(error.to_string())),
    }
}

impl DeviceMapper for Stratis {
    fn backend(&self) -> Backend {
        Backend::Stratis
    }

    fn node_mode(&self) -> NodeMode {
        self.mode
    }

    fn version(&self) -> Result<Version, Error> {
        let version = self.dm.version();
        let (major, minor, patch) = version.map_err(|error| failed("version", "the mapper", error))?;
        Ok(Version { major, minor, patch })
    }

    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        let targets = self.dm.list_versions();
        let targets = targets.map_err(|error| failed("targets", "targets", error))?;
        let target = |(name, major, minor, patch)| TargetVersion {
            name,
            version: Version { major, minor, patch },
        };
        Ok(targets.into_iter().map(target).collect())
    }

    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error> {
        Kernel::with_nodes(self.mode).backing(path)
    }

    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        let devices = self.dm.list_devices();
        let devices = devices.map_err(|error| failed("list", "devices", error))?;
        for (name, device, event_nr) in devices {
            let name = DmName::of_kernel(name.as_bytes());
            let info = self.run("info", DeviceId::Name(&name), |dm, id| dm.device_info(id));
            let info = match info {
                Ok(info) => info,
                // It went away meanwhile.
                Err(error) if error.errno() == libc::ENXIO => continue,
                Err(error) => return Err(error),
            };
            visit(ListedDevice {
                name: name.as_str().as_bytes(),
                uuid: info.uuid().map(|uuid| uuid.as_bytes()),
                number: our_number(device),
                event_nr,
            });
        }
        Ok(())
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        let their_uuid = dm::DmUuidBuf::new(uuid.to_string());
        let their_uuid = their_uuid.map_err(|error| failed("create", uuid, error))?;
        let their_name = their_name("create", name)?;
        let info = self
            .dm
            .device_create(&their_name, Some(&their_uuid), dm::DmOptions::default());
        self.describe(&info.map_err(|error| failed("create", name, error))?)
    }

    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error> {
        table.check()?;
        // They leave the escape for the kernel's splitter to the caller.
        let lines: Vec<_> = table
            .lines()
            .iter()
            .map(|line| {
                let params = line.target.params().replace('\\', "\\\\");
                (line.start, line.length, line.target.kind().to_string(), params)
            })
            .collect();
        let flags = match read_only {
            true => dm::DmFlags::DM_READONLY,
            false => dm::DmFlags::empty(),
        };
        let options = dm::DmOptions::default().set_flags(flags);
        self.change("load", id, |dm, id| dm.table_load(id, &lines, options))
    }

    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        self.change("clear", id, dm::DM::table_clear)
    }

    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        match self.change("info", id, dm::DM::device_info) {
            Err(error) if error.errno() == libc::ENXIO => Ok(None),
            result => result.map(Some),
        }
    }

    fn suspend(&self, id: DeviceId<'_>, flags: SuspendFlags) -> Result<DeviceInfo, Error> {
        let flags = dm::DmFlags::DM_SUSPEND | dm::DmFlags::from_bits_truncate(flags.bits());
        let options = dm::DmOptions::default().set_flags(flags);
        self.change("suspend", id, |dm, id| dm.device_suspend(id, options))
    }

    fn resume(&self, id: DeviceId<'_>, flags: UdevFlags, cookie: &mut Cookie) -> Result<DeviceInfo, Error> {
        let options = self.options(flags);
        let info = self.change("resume", id, |dm, id| dm.device_suspend(id, options))?;
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
        if self.mode == NodeMode::Udev && !flags.difference(UdevFlags::PRIMARY_SOURCE).is_empty() {
            return Err(Error::Unsupported("a rename with flags for udev".into()));
        }
        let (theirs, their_new) = (their_name("rename", name)?, their_name("rename", new)?);
        let info = self.dm.device_rename(&theirs, &dm::DevId::Name(&their_new));
        let number = our_number(info.map_err(|error| failed("rename", name, error))?.device());
        cookie.nodes.remove(name, number);
        if !flags.contains(UdevFlags::DISABLE_DM_RULES) {
            cookie.nodes.make(new, number);
        }
        Ok(())
    }

    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error> {
        let failed = |error| failed("rename", name, error);
        let their_uuid = dm::DmUuidBuf::new(uuid.to_string()).map_err(failed)?;
        let theirs = their_name("rename", name)?;
        let renamed = self.dm.device_rename(&theirs, &dm::DevId::Uuid(&their_uuid));
        renamed.map(drop).map_err(failed)
    }

    fn remove(
        &self,
        id: DeviceId<'_>,
        deferred: bool,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        let mut options = self.options(flags);
        if deferred {
            options = options.set_flags(dm::DmFlags::DM_DEFERRED_REMOVE);
        }
        let about = self
            .info(id)?
            .ok_or_else(|| Error::errno_of("remove", id, libc::ENXIO))?;
        let end = Deadline::after(kernel::BUSY_LIMIT);
        loop {
            // Tries for a second by itself.
            match self.run("remove", id, |dm, id| dm.device_remove(id, options)) {
                Err(error) if error.errno() == libc::EBUSY && !end.left().is_zero() => {}
                result => {
                    result?;
                    cookie.nodes.remove(&about.name, about.number);
                    return Ok(());
                }
            }
        }
    }

    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error> {
        let mut flags = dm::DmFlags::DM_STATUS_TABLE;
        if inactive {
            flags |= dm::DmFlags::DM_QUERY_INACTIVE_TABLE;
        }
        Table::of_kernel(self.lines(id, flags)?)
    }

    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error> {
        let flags = match noflush {
            true => dm::DmFlags::DM_NOFLUSH,
            false => dm::DmFlags::empty(),
        };
        self.lines(id, flags)
    }

    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        let devices = self.run("deps", id, |dm, id| dm.table_deps(id, dm::DmOptions::default()))?;
        Ok(devices.into_iter().map(our_number).collect())
    }

    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error> {
        if text.contains('\0') {
            return Err(Error::errno_of("message", id, libc::EINVAL));
        }
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        if word.eq_ignore_ascii_case("@stats_print_clear") {
            return Err(Error::Unsupported(format!("the message {word}")));
        }
        let (_, answer) = self.run("message", id, |dm, id| dm.target_msg(id, Some(sector), text))?;
        Ok(answer)
    }

    fn events(&self) -> Result<Box<dyn EventSource>, Error> {
        let dm = dm::DM::new().map_err(|error| failed("open", "the mapper", error))?;
        let events = Events(dm);
        events.arm()?;
        Ok(Box::new(events))
    }

    fn cookie(&self) -> Result<Cookie, Error> {
        Ok(Cookie {
            semaphore: None,
            nodes: NodeChanges::below(Path::new("/dev"), self.mode == NodeMode::Udev),
        })
    }

    fn finish(&self, mut cookie: Cookie, _: Duration) -> Result<(), Error> {
        cookie.nodes.apply(self.mode == NodeMode::Udev)
    }

    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        let info = self
            .info(id)?
            .ok_or_else(|| Error::errno_of("open", id, libc::ENXIO))?;
        Ok(Box::new(kernel::io::Device::open(
            Path::new("/dev"),
            &info,
            mode,
        )?))
    }
}

/// A context of its own, armed.
struct Events(dm::DM);

impl Events {
    fn arm(&self) -> Result<(), Error> {
        let armed = self.0.arm_poll();
        armed
            .map(drop)
            .map_err(|error| failed("arm poll", "events", error))
    }
}

impl EventSource for Events {
    fn wait(&mut self, timeout: Duration) -> Result<bool, Error> {
        let changed = kernel::events::poll_until(self.0.file(), Deadline::after(timeout))?;
        if changed {
            self.arm()?;
        }
        Ok(changed)
    }
}
