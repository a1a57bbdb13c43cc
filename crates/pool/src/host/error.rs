//! What can go wrong between this library and the host.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock_holder::LockHolder;
use super::{DeviceNumber, FoundSignature, InUse};

/// Why something asked of the host failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A lock was not free in time.  Nothing was changed; try again later.
    #[error(
        "{lock} ({}) was not free within {:.1} s{}",
        path.display(), waited.as_secs_f64(), held_by(holder)
    )]
    LockTimeout {
        /// Which lock.
        lock: LockName,
        /// Its file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// Who holds it, where that could be found out.
        holder: Option<LockHolder>,
    },
    /// A lock was asked for in an order that can deadlock with the LVM tools.  The caller's mistake.
    #[error("{wanted} must be taken before {held}")]
    LockOrder {
        /// The lock asked for.
        wanted: LockName,
        /// The lock that is held already.
        held: LockName,
    },
    /// The lock files cannot be used by this user.
    #[error("no permission for the lock file {}", path.display())]
    LockAccess {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A name that cannot be part of a lock file's name.
    #[error("{name:?} cannot name a lock file")]
    LockFileName {
        /// The name, cut to a printable length.
        name: String,
    },
    /// A configuration file cannot be parsed.
    #[error("{} line {line}: {why}", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A setting has a value of the wrong kind.
    #[error("{} sets {key} to {found}, not to {expected}", path.display())]
    ConfigValue {
        /// The file.
        path: PathBuf,
        /// The setting, as `section/key`.
        key: String,
        /// Its value, cut to a printable length.
        found: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A pattern of a device filter that cannot be used.
    #[error("filter pattern {pattern:?} is refused: {why}")]
    FilterPattern {
        /// The pattern, cut to a printable length.
        pattern: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A mapped device's I/O is stopped: opening it could hang for ever.
    #[error("{} is suspended", path.display())]
    Suspended {
        /// The device.
        path: PathBuf,
    },
    /// Something else claims the device: a mount, swap, an array, another mapped device or program.
    #[error("{} is claimed by something else", path.display())]
    Claimed {
        /// The device.
        path: PathBuf,
    },
    /// A device node is not the device that it should be.
    #[error("{} is {}, not device {expected}", path.display(), other_device(found))]
    WrongDevice {
        /// The node.
        path: PathBuf,
        /// The device that was meant.
        expected: DeviceNumber,
        /// The device that it is, or `None` for no device at all.
        found: Option<DeviceNumber>,
    },
    /// Neither a block device nor a file.
    #[error("{} is neither a block device nor a file", path.display())]
    NotADisk {
        /// The path.
        path: PathBuf,
    },
    /// An open disk failed.
    #[error("cannot {op} at byte {at} of the disk")]
    DiskIo {
        /// What was tried: a verb.
        op: &'static str,
        /// First byte.
        at: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A signature is read back after it was erased: the disk drops writes, or something else writes to it.
    #[error("{signature} comes back after it was erased")]
    Stubborn {
        /// The signature.
        signature: FoundSignature,
    },
    /// The devices file cannot be understood well enough to be changed.
    #[error("devices file {} line {line}: {why}", path.display())]
    DevicesFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 for the whole.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// Somebody changed the devices file between reading and writing.  Read it again.
    #[error("devices file {} was changed by somebody else", path.display())]
    DevicesFileChanged {
        /// The file.
        path: PathBuf,
    },
    /// A change was asked for without the lock that it needs.  The caller's mistake.
    #[error("{lock} is not held exclusively")]
    NotLocked {
        /// The lock.
        lock: LockName,
    },
    /// A disk must not become a PV.  Nothing was written to it.
    #[error("{} cannot be used: {}", path.display(), join(reasons))]
    InUse {
        /// The disk.
        path: PathBuf,
        /// Every reason that was found.
        reasons: Vec<InUse>,
    },
    /// Something else is in the place of a file: a folder, a FIFO, a device.  It was not read.
    #[error("{} is {found}, not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A file is longer than any of its kind.
    #[error("{} is larger than {limit} bytes", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// A folder that another user can change, or whose place another user chose, is no place for locks.
    #[error("the folder {} is not used: {why}", path.display())]
    UnsafeFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The last sector of a disk is not whole: what lies there can be neither read nor written.
    #[error("{} of {size} bytes ends within a sector: its sectors have {sector} bytes", path.display())]
    PartialSector {
        /// The disk.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The size of its logical sectors.
        sector: u64,
    },
    /// A file of the kernel has an unknown form.
    #[error("{} says {text:?}", path.display())]
    Attribute {
        /// The file.
        path: PathBuf,
        /// What it says, cut to a printable length.
        text: String,
    },
    /// The system refused an operation on a file.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was tried: a verb.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// Wraps the system's answer to `op` on `path`.
    /// The answer of the system as one that names what was asked, with its errno behind it.
    pub(crate) fn named(op: &'static str, path: &Path, source: io::Error) -> io::Error {
        io::Error::new(source.kind(), Self::io(op, path)(source))
    }

    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { op, path, source }
    }

    /// Tells of an attribute that cannot be understood.
    pub(crate) fn attribute(path: &Path, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text).chars().take(140).collect();
        Self::Attribute {
            path: path.to_owned(),
            text,
        }
    }

    /// Wraps the answer of an open disk to `op` at byte `at`.
    pub(crate) fn disk_io(op: &'static str, at: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::DiskIo { op, at, source }
    }
}

fn held_by(holder: &Option<LockHolder>) -> String {
    match holder {
        Some(holder) => format!("; held by {holder}"),
        None => String::new(),
    }
}

fn join(reasons: &[InUse]) -> String {
    reasons
        .iter()
        .map(InUse::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn other_device(found: &Option<DeviceNumber>) -> String {
    match found {
        Some(number) => format!("device {number}"),
        None => "no block device".to_owned(),
    }
}

/// One of LVM's locks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockName {
    /// The set of PVs and the names of all VGs.
    Global,
    /// A devices file, by its file name.
    DevicesFile(String),
    /// One VG, by its name.
    Vg(String),
    /// LVM's hints; taken by [`invalidate_hints`](super::invalidate_hints) alone.
    Hints,
    /// The kernel's NVMe target.
    NvmeTarget,
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("LVM's global lock"),
            Self::DevicesFile(name) => write!(f, "the lock of devices file {name:?}"),
            Self::Vg(name) => write!(f, "the lock of VG {name:?}"),
            Self::Hints => f.write_str("the lock of LVM's hints"),
            Self::NvmeTarget => f.write_str("the lock of the kernel's NVMe target"),
        }
    }
}

/// The errno of an answer of the system, also of one that names what was asked; `EIO` for any other.
pub(crate) fn errno_of(error: &io::Error) -> i32 {
    let named = || match error.get_ref()?.downcast_ref::<Error>()? {
        Error::Io { source, .. } => Some(errno_of(source)),
        _ => None,
    };
    error.raw_os_error().or_else(named).unwrap_or(libc::EIO)
}
