//! The kind, class and errno of each error, and of those of the layers below.

use super::{Class, DiskProblem, Error, Refusal};
use crate::host;

impl Error {
    /// The stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PoolNotFound(_) => "PoolNotFound",
            Self::ReplicaNotFound(_) => "ReplicaNotFound",
            Self::LvNotFound(_) => "LvNotFound",
            Self::Unseen { gaps, .. } => gaps.first().map_or("Io", |gap| gap.error.kind()),
            Self::AmbiguousName { .. } | Self::InSeveralPools { .. } => "AmbiguousName",
            Self::Exists { .. } => "AlreadyExists",
            Self::DisksMismatch { .. } => "DisksMismatch",
            Self::UuidMismatch { .. } => "UuidMismatch",
            Self::InvalidArgument { .. } => "InvalidArgument",
            Self::Name(_) => "InvalidName",
            Self::NoSpace { .. } => "NoSpace",
            Self::DiskStays { in_the_way, .. } => match super::why::is_lack_of_space(in_the_way) {
                true => "NoSpace",
                false => "DiskNotEmpty",
            },
            Self::Partly { source, .. } => source.kind(),
            Self::MetadataFull { .. } => "MetadataFull",
            Self::ShrinkRefused { .. } => "ShrinkRefused",
            Self::Busy { .. } => "Busy",
            Self::MinorTaken { .. } => "MinorTaken",
            Self::DeviceTaken { .. } => "DeviceTaken",
            Self::ForeignLvs { .. } => "ForeignLvs",
            Self::Refused { why, .. } => why.kind(),
            Self::Disk { why, .. } => why.kind(),
            Self::MissingDisk { .. } => "MissingPv",
            Self::BadBackup { .. } => "BadBackup",
            Self::ActiveLvs { .. } => "ActiveLvs",
            Self::NeedsForce { .. } => "NeedsForce",
            Self::NoMirrorTarget => "NoMirrorTarget",
            Self::MoveUnderWay { .. } => "MoveUnderWay",
            Self::MoveFailed { .. } => "MoveFailed",
            Self::NotActive(_) => "NotActive",
            Self::SnapshotNotFound(_) => "SnapshotNotFound",
            Self::NoThinPool { .. } => "NoThinPool",
            Self::ManyThinPools { .. } => "ManyThinPools",
            Self::NoThinTarget => "NoThinTarget",
            Self::ThinPoolState { .. } => "ThinPoolState",
            Self::ThinPoolMismatch { .. } => "ThinPoolMismatch",
            Self::ThinPoolFull { .. } => "NoSpace",
            Self::NotThin { .. } => "NotThin",
            Self::HasSnapshots { .. } => "HasSnapshots",
            Self::NoSnapshotTarget => "NoSnapshotTarget",
            Self::NoRaidTarget => "NoRaidTarget",
            Self::NoCacheTarget(_) => "NoCacheTarget",
            Self::CacheState { .. } => "CacheState",
            Self::NotArray { .. } => "NotArray",
            Self::ArrayState { .. } => "ArrayState",
            Self::ScrubFailed { .. } => "ScrubFailed",
            Self::NothingToRepair(_) => "NothingToRepair",
            Self::ArrayLost(_) => "ArrayLost",
            Self::SnapshotLost(_) => "SnapshotLost",
            Self::Unsound { .. } => "Unsound",
            Self::NoNvmeTarget { .. } => "NoNvmeTarget",
            Self::NoConfigfs(_) => "NoConfigfs",
            Self::AddressNotLocal(_) => "AddressNotLocal",
            Self::AddressInUse(_) => "AddressInUse",
            Self::ShareFailed { source, .. } => share_kind(source).0,
            Self::Unsupported(_) => "Unsupported",
            Self::Unreadable { .. } => "Corrupt",
            Self::Meta(error) => meta_kind(error).0,
            Self::Dm(error) => dm_kind(error).0,
            Self::Host(error) => host_kind(error).0,
            Self::Volume(error) => error.kind(),
            Self::AfterCommit(inner) => inner.kind(),
            Self::Io { .. } => "Io",
        }
    }

    /// The stable positive errno, for callers that pass errors as one.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Io { source, .. } => host::errno_of(source),
            Self::Meta(error) => meta_kind(error).2,
            Self::Dm(error) => dm_kind(error).2,
            Self::Host(error) => host_kind(error).2,
            Self::Disk {
                why: DiskProblem::Missing,
                ..
            } => libc::ENODEV,
            Self::Refused {
                why: Refusal::Foreign { .. },
                ..
            } => libc::EPERM,
            Self::Refused {
                why:
                    Refusal::Metadata { kind: "ReadOnly", .. } | Refusal::ReadOnlyDisk(_) | Refusal::ReadOnlyHost,
                ..
            } => libc::EROFS,
            // Never that there is none.
            Self::Unseen { gaps, .. } => match gaps.first().map_or(libc::EIO, |gap| gap.error.errno()) {
                libc::ENOENT => libc::ENODEV,
                errno => errno,
            },
            Self::Volume(error) => error.errno(),
            Self::AfterCommit(inner) | Self::Partly { source: inner, .. } => inner.errno(),
            Self::NothingToRepair(_) => libc::EINVAL,
            Self::AddressNotLocal(_) => libc::EADDRNOTAVAIL,
            Self::AddressInUse(_) => libc::EADDRINUSE,
            Self::ShareFailed { source, .. } => share_kind(source).2,
            Self::ArrayLost(_) => libc::EIO,
            // io-engine's errno for what a pool of another kind could do.
            Self::NoThinPool { .. }
            | Self::NoThinTarget
            | Self::NoSnapshotTarget
            | Self::NoMirrorTarget
            | Self::NoRaidTarget
            | Self::NoCacheTarget(_)
            | Self::NoNvmeTarget { .. }
            | Self::NoConfigfs(_)
            | Self::NotArray { .. }
            | Self::NotThin { .. } => libc::ENOTSUP,
            _ => match self.class() {
                Class::NotFound => libc::ENOENT,
                Class::AlreadyExists => libc::EEXIST,
                Class::InvalidArgument => libc::EINVAL,
                Class::NoSpace => libc::ENOSPC,
                Class::Precondition | Class::Busy => libc::EBUSY,
                Class::Permission => libc::EACCES,
                Class::Corrupt => libc::EILSEQ,
                Class::Unsupported => libc::ENOTSUP,
                Class::Internal => libc::EIO,
            },
        }
    }

    /// What a caller can do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::PoolNotFound(_)
            | Self::ReplicaNotFound(_)
            | Self::LvNotFound(_)
            | Self::SnapshotNotFound(_) => Class::NotFound,
            Self::Exists { .. } => Class::AlreadyExists,
            Self::Unseen { gaps, .. } => match gaps.first().map(|gap| gap.error.class()) {
                Some(Class::NotFound) => Class::Precondition,
                Some(class) => class,
                None => Class::Internal,
            },
            Self::AmbiguousName { .. }
            | Self::InSeveralPools { .. }
            | Self::DisksMismatch { .. }
            | Self::UuidMismatch { .. }
            | Self::ManyThinPools { .. }
            | Self::InvalidArgument { .. }
            | Self::Name(_)
            | Self::ShrinkRefused { .. }
            | Self::AddressNotLocal(_)
            | Self::NeedsForce { .. } => Class::InvalidArgument,
            Self::Disk {
                why: DiskProblem::Missing,
                ..
            } => Class::NotFound,
            Self::Disk { why, .. } => match why {
                DiskProblem::InVg(_)
                | DiskProblem::InUse(_)
                | DiskProblem::Used(_)
                | DiskProblem::UsedBehind { .. }
                | DiskProblem::OnlyMetadata
                | DiskProblem::OfUnseenVg
                | DiskProblem::Last => Class::Precondition,
                _ => Class::InvalidArgument,
            },
            Self::NoSpace { .. } | Self::MetadataFull { .. } | Self::ThinPoolFull { .. } => Class::NoSpace,
            Self::DiskStays { in_the_way, .. } => match super::why::is_lack_of_space(in_the_way) {
                true => Class::NoSpace,
                false => Class::Precondition,
            },
            Self::Partly { source, .. } => source.class(),
            Self::Busy { .. }
            | Self::ActiveLvs { .. }
            | Self::MinorTaken { .. }
            | Self::DeviceTaken { .. } => Class::Busy,
            Self::ForeignLvs { .. }
            | Self::Refused { .. }
            | Self::MissingDisk { .. }
            | Self::NoThinPool { .. }
            | Self::NoThinTarget
            | Self::NoMirrorTarget
            | Self::MoveUnderWay { .. }
            | Self::ThinPoolState { .. }
            | Self::ThinPoolMismatch { .. }
            | Self::NotThin { .. }
            | Self::HasSnapshots { .. }
            | Self::NoSnapshotTarget
            | Self::NoRaidTarget
            | Self::NoCacheTarget(_)
            | Self::CacheState { .. }
            | Self::NoNvmeTarget { .. }
            | Self::NoConfigfs(_)
            | Self::AddressInUse(_)
            | Self::NothingToRepair(_)
            | Self::NotArray { .. }
            | Self::ArrayState { .. }
            | Self::SnapshotLost(_)
            | Self::NotActive(_) => Class::Precondition,
            Self::Unsupported(_) => Class::Unsupported,
            Self::Unreadable { .. } | Self::BadBackup { .. } | Self::ArrayLost(_) => Class::Corrupt,
            Self::Unsound { .. } | Self::MoveFailed { .. } | Self::ScrubFailed { .. } => Class::Internal,
            Self::Meta(error) => meta_kind(error).1,
            Self::Dm(error) => dm_kind(error).1,
            Self::Host(error) => host_kind(error).1,
            Self::Volume(error) => error.class(),
            Self::ShareFailed { source, .. } => share_kind(source).1,
            Self::AfterCommit(_) => Class::Internal,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Class::Permission
            }
            Self::Io { .. } => Class::Internal,
        }
    }
}

fn of_io(source: &std::io::Error) -> (&'static str, Class, i32) {
    let errno = host::errno_of(source);
    match errno {
        libc::EACCES | libc::EPERM => ("PermissionDenied", Class::Permission, errno),
        _ => ("Io", Class::Internal, errno),
    }
}

/// io-engine's errno for a failed share is EFAULT; an answer that tells more is kept.
fn share_kind(source: &std::io::Error) -> (&'static str, Class, i32) {
    match of_io(source) {
        (_, Class::Internal, errno @ (libc::ENOENT | libc::EBUSY)) => ("ShareFailed", Class::Internal, errno),
        (_, Class::Internal, _) => ("ShareFailed", Class::Internal, libc::EFAULT),
        denied => denied,
    }
}

fn meta_kind(error: &lvm_meta::Error) -> (&'static str, Class, i32) {
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

fn dm_kind(error: &lvm_dm::Error) -> (&'static str, Class, i32) {
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

fn host_kind(error: &host::Error) -> (&'static str, Class, i32) {
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
        E::NotAFile { .. } => ("NotAFile", Class::Precondition, libc::EINVAL),
        E::FileTooLarge { .. } => ("FileTooLarge", Class::Precondition, libc::EFBIG),
        E::UnsafeFolder { .. } => ("UnsafeFolder", Class::Permission, libc::EACCES),
        E::PartialSector { .. } => ("InvalidDisk", Class::InvalidArgument, libc::EINVAL),
        E::NotADisk { .. } => ("InvalidDisk", Class::InvalidArgument, libc::ENOTBLK),
        _ => ("Host", Class::Internal, libc::EIO),
    }
}
