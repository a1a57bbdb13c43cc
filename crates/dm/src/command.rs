//! The commands of the control device: number, name, and the lowest interface version that has them.
//!
//! The kernel refuses a request whose minor version is above its own, so each is sent with the lowest that it needs.

/// A command of the control device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Version,
    RemoveAll,
    ListDevices,
    Create,
    Remove,
    Rename,
    Suspend,
    Status,
    Wait,
    TableLoad,
    TableClear,
    TableDeps,
    TableStatus,
    ListVersions,
    TargetMessage,
    SetGeometry,
    ArmPoll,
    GetTargetVersion,
}

impl Command {
    /// Its number in the ioctl's request code.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The lowest minor version of the interface that has it.
    pub(crate) const fn least_minor(self) -> u32 {
        match self {
            Self::ListVersions => 1,
            Self::TargetMessage => 2,
            Self::SetGeometry => 6,
            Self::ArmPoll => 37,
            Self::GetTargetVersion => 41,
            _ => 0,
        }
    }

    /// Its name in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::RemoveAll => "remove all",
            Self::ListDevices => "list",
            Self::Create => "create",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Suspend => "suspend",
            Self::Status => "info",
            Self::Wait => "wait",
            Self::TableLoad => "load",
            Self::TableClear => "clear",
            Self::TableDeps => "deps",
            Self::TableStatus => "status",
            Self::ListVersions => "targets",
            Self::TargetMessage => "message",
            Self::SetGeometry => "set geometry",
            Self::ArmPoll => "arm poll",
            Self::GetTargetVersion => "target version",
        }
    }

    /// May it be sent again with a larger buffer?  Commands that change something are sent once.
    pub(crate) const fn is_query(self) -> bool {
        matches!(
            self,
            Self::ListDevices
                | Self::TableDeps
                | Self::TableStatus
                | Self::ListVersions
                | Self::GetTargetVersion
                | Self::Wait
        )
    }

    /// First size of the buffer, for commands with a reply of unknown length.
    pub(crate) const fn room(self) -> usize {
        match self {
            Self::TargetMessage => 64 << 10,
            _ if self.is_query() => 16 << 10,
            _ => 0,
        }
    }
}

const _: () = assert!(Command::TableLoad.number() == 9 && Command::GetTargetVersion.number() == 17);
