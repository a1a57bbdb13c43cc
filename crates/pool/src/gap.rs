//! What a look at the disks could not see, and answers that say so.
//!
//! "There is none" is said only when everything in scope was looked at.  A disk that cannot be opened or read, or whose
//! label or metadata are broken, may hold what was asked for: it is a [`Gap`] beside a list, and the error of everything
//! that was not found.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, host};

/// A disk, or a VG, that is in scope and could not be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gap {
    /// The disk; the first one, of a VG.
    pub disk: PathBuf,
    /// The VG on it, where its name is known.
    pub vg: Option<String>,
    /// Why it could not be read.
    pub error: Arc<Error>,
    /// The disk was named, and LVM's rules on this host exclude it: nothing on it is looked for.
    pub is_excluded: bool,
}

impl Gap {
    pub(crate) fn new(disk: &Path, error: Error) -> Self {
        Self {
            disk: disk.into(),
            vg: None,
            error: Arc::new(error),
            is_excluded: false,
        }
    }
}

impl fmt::Display for Gap {
    /// Disk and reason, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // These name the disk themselves.
        match &*self.error {
            Error::Disk { .. } | Error::Host(_) | Error::Io { .. } | Error::Unreadable { .. } => {}
            _ => write!(f, "disk {:?}: ", self.disk)?,
        }
        write!(f, "{}", self.error)?;
        let mut source = std::error::Error::source(&*self.error);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// What was found, with what could not be looked at.
///
/// Reads as the list of what was found.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    found: Vec<T>,
    gaps: Vec<Gap>,
}

impl<T> Listed<T> {
    pub(crate) fn new(found: Vec<T>, gaps: Vec<Gap>) -> Self {
        Self { found, gaps }
    }

    /// What could not be looked at, and may hold more.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The list, if it is whole.
    ///
    /// # Errors
    /// [`Error::Unseen`] with the gaps.
    pub fn complete(self) -> Result<Vec<T>, Error> {
        match self.gaps.is_empty() {
            true => Ok(self.found),
            false => Err(Error::Unseen {
                what: "the list is not whole".into(),
                gaps: self.gaps,
            }),
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<T>, Vec<Gap>) {
        (self.found, self.gaps)
    }
}

impl<T> std::ops::Deref for Listed<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.found
    }
}

impl<T> IntoIterator for Listed<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Listed<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.found.iter()
    }
}

/// The answer to a question whose object was not found: `not_found` itself if everything was looked at.
pub(crate) fn unless_unseen(not_found: Error, gaps: &[Gap]) -> Error {
    let gaps: Vec<Gap> = gaps.iter().filter(|gap| !gap.is_excluded).cloned().collect();
    match gaps.is_empty() {
        true => not_found,
        false => Error::Unseen {
            what: format!("{not_found} on the disks that could be read"),
            gaps,
        },
    }
}

/// Brings the gaps of a VG of this name to the front; those are the answer to a question about it.
pub(crate) fn of_vg(gaps: &[Gap], name: &str) -> Vec<Gap> {
    let is_its = |gap: &&Gap| gap.vg.as_deref() == Some(name);
    gaps.iter().filter(is_its).cloned().collect()
}

/// The gaps in one line, as many as a message has room for.
pub(crate) fn describe(gaps: &[Gap]) -> String {
    const ROOM: usize = 4;
    let mut told: Vec<String> = gaps.iter().take(ROOM).map(Gap::to_string).collect();
    if gaps.len() > ROOM {
        told.push(format!("and {} more", gaps.len() - ROOM));
    }
    told.join("; ")
}

/// Is it this process or host that has no room for another look, so that no disk is to blame?
pub(crate) fn is_shortage(error: &Error) -> bool {
    let source = match error {
        Error::Host(host::Error::Io { source, .. } | host::Error::DiskIo { source, .. })
        | Error::Meta(lvm_meta::Error::Io { source, .. })
        | Error::Io { source, .. } => source,
        _ => return false,
    };
    matches!(
        source.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    )
}

/// Is a device of the host that is listed not there to be looked at, as LVM sees it: no medium, no node, or gone since?
pub(crate) fn is_absent(error: &host::Error) -> bool {
    let host::Error::Io { source, .. } = error else {
        return false;
    };
    matches!(
        source.raw_os_error(),
        Some(libc::ENOMEDIUM | libc::EMEDIUMTYPE | libc::ENXIO | libc::ENODEV | libc::ENOENT)
    )
}

/// Why a path that a caller named is no disk, as far as that shows without opening it.
pub(crate) fn check_named(path: &Path, takes_images: bool) -> Result<(), Error> {
    use std::os::unix::fs::FileTypeExt;
    let refuse = |why| Error::Disk {
        disk: path.into(),
        why,
    };
    let kind = match std::fs::metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) => {
            return Err(match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => refuse(crate::DiskProblem::Missing),
                _ => Error::Io {
                    what: "look at",
                    path: path.into(),
                    source: error,
                },
            });
        }
    };
    match kind.is_block_device() || kind.is_file() && takes_images {
        true => Ok(()),
        false if kind.is_file() => Err(refuse(crate::DiskProblem::ImageFile)),
        false => Err(Error::Host(host::Error::NotADisk { path: path.into() })),
    }
}

/// An error that stays where it was found, too.
pub(crate) fn copy_of(error: &lvm_meta::Error) -> lvm_meta::Error {
    use lvm_meta::Error as E;
    match error {
        E::Corrupt { part, at, kind } => E::Corrupt {
            part: *part,
            at: *at,
            kind: kind.clone(),
        },
        E::TextTooLarge { length, capacity } => E::TextTooLarge {
            length: *length,
            capacity: *capacity,
        },
        E::Io { op, at, len, source } => E::Io {
            op: *op,
            at: *at,
            len: *len,
            source: match source.raw_os_error() {
                Some(errno) => std::io::Error::from_raw_os_error(errno),
                None => std::io::Error::new(source.kind(), source.to_string()),
            },
        },
        other => E::Io {
            op: lvm_meta::IoOp::Read,
            at: 0,
            len: 0,
            source: std::io::Error::other(other.to_string()),
        },
    }
}
