//! Why a path cannot be shown: what is wrong with it, and at which byte.

use std::io;
use std::path::{Path, PathBuf};

use lvm_native::meta::{CorruptKind, Error};
use nix::errno::Errno;

/// A device that cannot be read or trusted.
pub(crate) struct Failure {
    pub(crate) path: PathBuf,
    /// The stable name of the kind of error.
    pub(crate) kind: &'static str,
    pub(crate) errno: Errno,
    /// Byte on the device, where one is to blame.
    pub(crate) byte: Option<u64>,
    /// Path and byte included; one line.
    pub(crate) message: String,
}

impl Failure {
    /// The bytes of a device are not what they should be.
    pub(crate) fn corrupt(path: &Path, byte: u64, what: &str) -> Self {
        let message = format!("{}: {what}", path.display());
        Self {
            path: path.into(),
            kind: "Corrupt",
            errno: Errno::EILSEQ,
            byte: Some(byte),
            message,
        }
    }

    /// The device holds no PV.
    pub(crate) fn no_pv(path: &Path, what: &str) -> Self {
        Self {
            kind: "NotAPv",
            ..Self::corrupt(path, 0, what)
        }
    }

    /// The path names no device or image.
    pub(crate) fn unusable(path: &Path, errno: Errno, what: &str) -> Self {
        let message = format!("{}: {what}", path.display());
        Self {
            path: path.into(),
            kind: "InvalidDisk",
            errno,
            byte: None,
            message,
        }
    }

    /// The system refuses an operation on a path.
    pub(crate) fn io(path: &Path, what: &str, byte: Option<u64>, source: &io::Error) -> Self {
        let errno = Errno::from_raw(source.raw_os_error().unwrap_or(nix::libc::EIO));
        let kind = match errno {
            Errno::ENOENT => "DiskNotFound",
            Errno::EACCES | Errno::EPERM => "PermissionDenied",
            _ => "Io",
        };
        let message = format!("{}: {what}: {source}", path.display());
        Self {
            path: path.into(),
            kind,
            errno,
            byte,
            message,
        }
    }

    /// The library's answer to reading what is at byte `at` of a device.
    pub(crate) fn meta(path: &Path, at: u64, error: &Error) -> Self {
        match error {
            Error::Io { at, source, .. } => Self::io(path, &error.to_string(), Some(*at), source),
            Error::Corrupt { at, .. } => Self::corrupt(path, *at, &error.to_string()),
            _ => Self::corrupt(path, at, &error.to_string()),
        }
    }

    /// The name of the errno, such as `ENOENT`.
    pub(crate) fn errno_name(&self) -> String {
        format!("{:?}", self.errno)
    }
}

/// The byte in a text at which it breaks a rule, if `error` is about that.
pub(crate) fn byte_in_text(error: &Error) -> Option<u64> {
    match error {
        Error::Corrupt {
            at,
            kind: CorruptKind::Text(_),
            ..
        } => Some(*at),
        _ => None,
    }
}
