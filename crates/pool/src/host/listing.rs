//! What is in a folder.
//!
//! Not by `std::fs::read_dir`, which panics where the close of a folder fails.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::iter::FusedIterator;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, OwningIter, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// Something in a folder.
pub(crate) struct Entry<'d> {
    dir: &'d Path,
    found: nix::dir::Entry,
}

impl Entry<'_> {
    /// Its name.
    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.found.file_name().to_bytes())
    }

    /// The folder's path with its name.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.name())
    }

    /// What it is itself; of a file system that does not tell, if that is a folder, a link or a block device.  Mostly read with the folder: it costs no look at the
    /// file.
    pub(crate) fn kind(&self) -> Option<Type> {
        self.found.file_type().or_else(|| {
            let kind = fs::symlink_metadata(self.path()).ok()?.file_type();
            match kind {
                kind if kind.is_dir() => Some(Type::Directory),
                kind if kind.is_symlink() => Some(Type::Symlink),
                kind if kind.is_block_device() => Some(Type::BlockDevice),
                _ => None,
            }
        })
    }
}

/// What [`read_folder`] goes through.
pub(crate) struct Entries<'d> {
    dir: &'d Path,
    /// `None` after the end and after a failure, which would come again and again.
    left: Option<OwningIter>,
}

impl<'d> Iterator for Entries<'d> {
    type Item = io::Result<Entry<'d>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.left.as_mut()?.next() {
                Some(Ok(found)) if matches!(found.file_name().to_bytes(), b"." | b"..") => {}
                Some(Ok(found)) => return Some(Ok(Entry { dir: self.dir, found })),
                Some(Err(error)) => {
                    self.left = None;
                    return Some(Err(error.into()));
                }
                None => self.left = None,
            }
        }
    }
}

impl FusedIterator for Entries<'_> {}

/// Lists a folder in no order.
///
/// # Errors
/// Those of opening it; each entry has its own, and after one there is no more.
pub(crate) fn read_folder(dir: &Path) -> io::Result<Entries<'_>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let left = Some(Dir::open(dir, flags, Mode::empty())?.into_iter());
    Ok(Entries { dir, left })
}

/// What of a folder can be listed, in no order; nothing if it is absent.
pub(crate) fn entries(dir: &Path) -> impl Iterator<Item = Entry<'_>> {
    read_folder(dir).into_iter().flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_is_listed_with_its_kinds_and_without_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        symlink("nowhere", dir.path().join("link")).unwrap();
        let mut found: Vec<_> = entries(dir.path())
            .map(|entry| (entry.path(), entry.kind()))
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let path = |name: &str| dir.path().join(name);
        let wanted = [
            (path("file"), Some(Type::File)),
            (path("folder"), Some(Type::Directory)),
            (path("link"), Some(Type::Symlink)),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_no_folder_is_an_error_and_has_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = |path: &Path| read_folder(path).err().map(|error| error.kind());
        assert_eq!(error(&file), Some(io::ErrorKind::NotADirectory));
        assert_eq!(error(&dir.path().join("absent")), Some(io::ErrorKind::NotFound));
        assert_eq!(entries(&file).count(), 0);
    }
}
