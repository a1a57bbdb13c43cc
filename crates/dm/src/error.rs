//! The crate's error: the command, the device, and the system's answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ThinMetadataProblem;

/// Why an operation on mapped devices failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no device-mapper, or `/dev/mapper/control` is missing.
    #[error("the kernel does not offer device-mapper (modprobe dm-mod): {path:?} cannot be opened")]
    NoDeviceMapper {
        /// The control node.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's interface is not version 4.
    #[error("the kernel's device-mapper interface is {0}, not 4")]
    Version(crate::Version),
    /// A command failed.
    #[error("device-mapper command {command} on {device:?} failed{hint}")]
    Command {
        /// The command, in lower case: `create`, `load`.
        command: &'static str,
        /// The device or what else it was about.
        device: String,
        /// Where to learn more.
        hint: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's answer breaks the interface.
    #[error("the answer to device-mapper command {command} is malformed at byte {at}")]
    Reply {
        /// The command.
        command: &'static str,
        /// Byte of the answer.
        at: usize,
    },
    /// A name or uuid that no device can have.
    #[error("{what} {text:?} is refused: 1 to {limit} bytes, not \".\", \"..\" or \"control\"")]
    BadName {
        /// `name` or `uuid`.
        what: &'static str,
        /// The text.
        text: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// Parameters that a target does not take.
    #[error("target {kind:?} does not take the parameters {params:?}")]
    BadParams {
        /// The target.
        kind: String,
        /// The parameters.
        params: String,
    },
    /// A table with gaps, of no length, or past the end of a device below it.
    #[error("the table is refused: {0}")]
    BadTable(String),
    /// This mapper does not do that.
    #[error("{0} is not supported by this mapper")]
    Unsupported(String),
    /// udev was done with no event for so long.  The cookie was removed; nodes were made or not.
    #[error("udev was done with nothing for {:.1} s", .0.as_secs_f64())]
    UdevTimeout(Duration),
    /// A block of a thin pool's metadata is not what it must be.
    #[error("block {block} of the thin pool's metadata: {problem}")]
    ThinMetadata {
        /// The block, of 4 KiB.
        block: u64,
        /// What is wrong with it.
        problem: ThinMetadataProblem,
    },
    /// A block of a thin pool's metadata could not be read.
    #[error("cannot read block {block} of the thin pool's metadata")]
    ReadThinMetadata {
        /// The block, of 4 KiB.
        block: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A file or device could not be used.
    #[error("cannot {what} {path:?}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn command(command: &'static str, device: impl ToString, source: io::Error) -> Self {
        let hint = if command == "load" {
            "; the kernel log has the reason"
        } else {
            ""
        };
        Self::Command {
            command,
            device: device.to_string(),
            hint,
            source,
        }
    }

    pub(crate) fn errno_of(command: &'static str, device: impl ToString, errno: i32) -> Self {
        Self::command(command, device, io::Error::from_raw_os_error(errno))
    }

    /// The stable positive errno.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NoDeviceMapper { source, .. }
            | Self::Command { source, .. }
            | Self::ReadThinMetadata { source, .. }
            | Self::Io { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
            Self::Version(_) | Self::Unsupported(_) => libc::EOPNOTSUPP,
            Self::Reply { .. } => libc::EPROTO,
            Self::BadName { .. } | Self::BadParams { .. } | Self::BadTable(_) => libc::EINVAL,
            Self::ThinMetadata { problem, .. } => problem.errno(),
            Self::UdevTimeout(_) => libc::ETIMEDOUT,
        }
    }
}
