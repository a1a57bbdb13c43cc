//! One call of a mapper, as the fake's log has it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::{DmName, DmUuid, OpenMode, SuspendFlags, Table, UdevFlags};

/// A call.  `device` is the device's name at the time, or the key as given when there was no such device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the arguments of the trait's methods")]
pub enum Call {
    /// `DeviceMapper::version`
    Version,
    /// `DeviceMapper::targets`
    Targets,
    /// `DeviceMapper::backing`
    Backing { path: PathBuf },
    /// `DeviceMapper::list`
    List,
    /// `DeviceMapper::create`
    Create { name: DmName, uuid: DmUuid },
    /// `DeviceMapper::load`
    Load {
        device: String,
        table: Table,
        read_only: bool,
    },
    /// `DeviceMapper::clear`
    Clear { device: String },
    /// `DeviceMapper::info`
    Info { device: String },
    /// `DeviceMapper::suspend`
    Suspend { device: String, flags: SuspendFlags },
    /// `DeviceMapper::resume`
    Resume { device: String, flags: UdevFlags },
    /// `DeviceMapper::rename`
    Rename {
        name: DmName,
        new: DmName,
        flags: UdevFlags,
    },
    /// `DeviceMapper::set_uuid`
    SetUuid { name: DmName, uuid: DmUuid },
    /// `DeviceMapper::remove`
    Remove {
        device: String,
        deferred: bool,
        flags: UdevFlags,
    },
    /// `DeviceMapper::table`
    Table { device: String, inactive: bool },
    /// `DeviceMapper::status`
    Status { device: String, noflush: bool },
    /// `DeviceMapper::deps`
    Deps { device: String },
    /// `DeviceMapper::message`
    Message {
        device: String,
        sector: u64,
        text: String,
    },
    /// `DeviceMapper::wait`
    Wait {
        device: String,
        event_nr: u32,
        timeout: Duration,
    },
    /// `DeviceMapper::events`
    Events,
    /// `DeviceMapper::cookie`
    Cookie,
    /// `DeviceMapper::finish`
    Finish { timeout: Duration },
    /// `DeviceMapper::open`
    Open { device: String, mode: OpenMode },
    /// `BlockIo::read_at`
    Read { device: String, at: u64, length: u64 },
    /// `BlockIo::write_at`
    Write { device: String, at: u64, length: u64 },
    /// `BlockIo::sync`
    Sync { device: String },
    /// `BlockIo::zero`
    Zero { device: String, at: u64, length: u64 },
}

impl Call {
    /// Does it change devices, nodes or data?
    pub fn is_change(&self) -> bool {
        match self {
            Self::Create { .. }
            | Self::Load { .. }
            | Self::Clear { .. }
            | Self::Suspend { .. }
            | Self::Resume { .. }
            | Self::Rename { .. }
            | Self::SetUuid { .. }
            | Self::Remove { .. }
            | Self::Message { .. }
            | Self::Finish { .. }
            | Self::Write { .. }
            | Self::Sync { .. }
            | Self::Zero { .. } => true,
            Self::Version
            | Self::Targets
            | Self::Backing { .. }
            | Self::List
            | Self::Info { .. }
            | Self::Table { .. }
            | Self::Status { .. }
            | Self::Deps { .. }
            | Self::Wait { .. }
            | Self::Events
            | Self::Cookie
            | Self::Open { .. }
            | Self::Read { .. } => false,
        }
    }

    /// The method's name.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Targets => "targets",
            Self::Backing { .. } => "backing",
            Self::List => "list",
            Self::Create { .. } => "create",
            Self::Load { .. } => "load",
            Self::Clear { .. } => "clear",
            Self::Info { .. } => "info",
            Self::Suspend { .. } => "suspend",
            Self::Resume { .. } => "resume",
            Self::Rename { .. } => "rename",
            Self::SetUuid { .. } => "set uuid",
            Self::Remove { .. } => "remove",
            Self::Table { .. } => "table",
            Self::Status { .. } => "status",
            Self::Deps { .. } => "deps",
            Self::Message { .. } => "message",
            Self::Wait { .. } => "wait",
            Self::Events => "events",
            Self::Cookie => "cookie",
            Self::Finish { .. } => "finish",
            Self::Open { .. } => "open",
            Self::Read { .. } => "read",
            Self::Write { .. } => "write",
            Self::Sync { .. } => "sync",
            Self::Zero { .. } => "zero",
        }
    }

    /// The device's name; empty for calls that are about none.
    pub fn device(&self) -> &str {
        match self {
            Self::Create { name, .. } | Self::Rename { name, .. } | Self::SetUuid { name, .. } => {
                name.as_str()
            }
            Self::Load { device, .. }
            | Self::Clear { device }
            | Self::Info { device }
            | Self::Suspend { device, .. }
            | Self::Resume { device, .. }
            | Self::Remove { device, .. }
            | Self::Table { device, .. }
            | Self::Status { device, .. }
            | Self::Deps { device }
            | Self::Message { device, .. }
            | Self::Wait { device, .. }
            | Self::Open { device, .. }
            | Self::Read { device, .. }
            | Self::Write { device, .. }
            | Self::Sync { device }
            | Self::Zero { device, .. } => device,
            Self::Version
            | Self::Targets
            | Self::Backing { .. }
            | Self::List
            | Self::Events
            | Self::Cookie
            | Self::Finish { .. } => "",
        }
    }
}

/// The command and the device, as `resume vg-lv`: enough to tell the order of a plan's steps.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.device().is_empty() { "" } else { " " };
        write!(f, "{}{blank}{}", self.command(), self.device())
    }
}
