//! The kind, class and errno of the errors of the layers below.

use super::Class;
use crate::host;

fn of_io(source: &std::io::Error) -> (&'static str, Class, i32) {
    let errno = source.raw_os_error().unwrap_or(libc::EIO);
    match errno {
        libc::EACCES | libc::EPERM => ("PermissionDenied", Class::Permission, errno),
        _ => ("Io", Class::Internal, errno),
    }
}

pub(super) fn meta_kind(error: &lvm_meta::Error) -> (&'static str, Class, i32) {
    use lvm_meta::Error as E;
    match error {
        E::Corrupt { .. } => ("Corrupt", Class::Corrupt, libc::EILSEQ),
        E::Io { source, .. } => of_io(source),
        E::TextTooLarge { .. } => ("MetadataFull", Class::NoSpace, libc::ENOSPC),
        E::DeviceTooSmall { .. } => ("DiskTooSmall", Class::InvalidArgument, libc::EINVAL),
        E::Poisoned => ("Reopen", Class::Internal, libc::EIO),
        E::Conflict => ("Conflict", Class::Busy, libc::EBUSY),
        E::Name(_) => ("InvalidName", Class::InvalidArgument, libc::EINVAL),
        E::Id(_) | E::Geometry { .. } => ("InvalidArgument", Class::InvalidArgument, libc::EINVAL),
        E::Change(change) => change_kind(change),
        _ => ("Metadata", Class::Internal, libc::EIO),
    }
}

fn change_kind(change: &lvm_meta::ChangeError) -> (&'static str, Class, i32) {
    use lvm_meta::ChangeError as C;
    match change {
        C::Refused(_) => ("Refused", Class::Precondition, libc::EBUSY),
        C::NoSuchLv(_) | C::NoSuchPv(_) => ("NotFound", Class::NotFound, libc::ENOENT),
        C::LvExists(_) | C::LvIdExists(_) | C::PvExists(_) => {
            ("AlreadyExists", Class::AlreadyExists, libc::EEXIST)
        }
        C::LvInUse { .. } | C::LvLocked(_) | C::PvInUse { .. } | C::PvKeysInUse(_) => {
            ("Busy", Class::Busy, libc::EBUSY)
        }
        C::NotFree { .. } | C::Limit { .. } => ("NoSpace", Class::NoSpace, libc::ENOSPC),
        C::NotResizable { .. } => ("Unsupported", Class::Unsupported, libc::ENOTSUP),
        _ => ("InvalidArgument", Class::InvalidArgument, libc::EINVAL),
    }
}

pub(super) fn dm_kind(error: &lvm_dm::Error) -> (&'static str, Class, i32) {
    use lvm_dm::Error as E;
    let errno = error.errno();
    match error {
        E::NoDeviceMapper { .. } | E::Command { .. } | E::Io { .. }
            if matches!(errno, libc::EACCES | libc::EPERM) =>
        {
            ("PermissionDenied", Class::Permission, errno)
        }
        E::NoDeviceMapper { .. } | E::Version(_) => ("NoDeviceMapper", Class::Precondition, errno),
        E::Command { .. } if errno == libc::EBUSY => ("Busy", Class::Busy, errno),
        E::Unsupported(_) => ("Unsupported", Class::Unsupported, errno),
        E::UdevTimeout(_) => ("UdevTimeout", Class::Internal, errno),
        _ => ("DeviceMapper", Class::Internal, errno),
    }
}

pub(super) fn host_kind(error: &host::Error) -> (&'static str, Class, i32) {
    use host::Error as E;
    match error {
        E::LockTimeout { .. } => ("LockTimeout", Class::Busy, libc::EBUSY),
        E::LockAccess { source, .. } | E::Io { source, .. } | E::DiskIo { source, .. } => of_io(source),
        E::ConfigSyntax { .. } | E::ConfigValue { .. } | E::FilterPattern { .. } => {
            ("Config", Class::Precondition, libc::EINVAL)
        }
        E::Suspended { .. } | E::Claimed { .. } | E::InUse { .. } => {
            ("DiskInUse", Class::Precondition, libc::EBUSY)
        }
        E::NotADisk { .. } => ("InvalidDisk", Class::InvalidArgument, libc::ENOTBLK),
        _ => ("Host", Class::Internal, libc::EIO),
    }
}
