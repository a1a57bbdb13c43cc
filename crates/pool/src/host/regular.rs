//! Reads files of the host that must be plain files, and no longer than they have reason to be.
//!
//! A FIFO in the place of such a file would be waited for, and a device read without end; opening some devices is not
//! harmless.  So the kind is asked before the file is opened, and once more of what was opened.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::{Error, Result};

/// Room for a file before its length is known: the kernel's have none.
const START: usize = 16 << 10;

/// Reads a whole file; `None` when there is none.  Links are followed: `/etc` is full of them.
///
/// # Errors
/// [`Error::NotAFile`] for anything else in its place, [`Error::FileTooLarge`] above `limit` bytes, [`Error::Io`] for
/// the rest.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path, OpenOptions::new().read(true))? else {
        return Ok(None);
    };
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut raw = Vec::with_capacity(START);
    // The length is no more than a hint: that of the kernel's files is 0, and others may grow.
    if length <= limit {
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut raw);
        read.map_err(Error::io("read", path))?;
    }
    if length > limit || u64::try_from(raw.len()).is_ok_and(|read| read > limit) {
        return Err(Error::FileTooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(Some(raw))
}

/// Opens a plain file as `options` say, without waiting; `None` when there is none.
///
/// # Errors
/// [`Error::NotAFile`] for anything else in its place, [`Error::Io`] for the rest.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> Result<Option<File>> {
    let absent = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(Error::io("open", path)(error)),
    };
    match fs::metadata(path) {
        Ok(found) => check(path, found.file_type())?,
        Err(error) => return absent(error),
    }
    match options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => check_open(path, &file).map(|()| Some(file)),
        Err(error) => absent(error),
    }
}

/// Refuses an open file that is no plain one.
///
/// # Errors
/// [`Error::NotAFile`], [`Error::Io`].
pub(crate) fn check_open(path: &Path, file: &File) -> Result<()> {
    let found = file.metadata().map_err(Error::io("stat", path))?;
    check(path, found.file_type())
}

/// Refuses what is there, if it is no plain file.  Follows no link; nothing at all is fine.
///
/// # Errors
/// [`Error::NotAFile`], [`Error::Io`].
pub(crate) fn check_name(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) => check(path, found.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("stat", path)(error)),
    }
}

fn check(path: &Path, found: FileType) -> Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(Error::NotAFile {
        path: path.to_owned(),
        found: kind(found),
    })
}

/// What a thing in the place of a file is called.
fn kind(found: FileType) -> &'static str {
    match found {
        _ if found.is_dir() => "a folder",
        _ if found.is_fifo() => "a FIFO",
        _ if found.is_symlink() => "a symbolic link",
        _ if found.is_block_device() => "a block device",
        _ if found.is_char_device() => "a character device",
        _ if found.is_socket() => "a socket",
        _ => "something unknown",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_named_and_neither_waited_for_nor_read() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        symlink("/dev/zero", &link).unwrap();
        for (path, kind) in [
            (&*fifo, "a FIFO"),
            (dir.path(), "a folder"),
            (Path::new("/dev/zero"), "a character device"),
            (&*link, "a character device"),
        ] {
            let error = read(path, 100).unwrap_err();
            assert!(
                matches!(&error, Error::NotAFile { found, .. } if *found == kind),
                "{error}"
            );
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        }
        assert!(matches!(check_name(&link), Err(Error::NotAFile { .. })));
        assert!(check_name(&dir.path().join("none")).is_ok());
        assert!(read(&dir.path().join("none"), 100).unwrap().is_none());
    }

    #[test]
    fn a_file_over_the_limit_is_an_error_and_one_at_the_limit_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&path, [7; 100]).unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link, 100).unwrap().unwrap(), [7; 100]);
        assert!(matches!(
            read(&path, 99),
            Err(Error::FileTooLarge { limit: 99, .. })
        ));
        // Files of the kernel say that they have no length.
        assert!(matches!(
            read(Path::new("/proc/self/maps"), 99),
            Err(Error::FileTooLarge { .. })
        ));
        assert!(
            !read(Path::new("/proc/self/maps"), 1 << 20)
                .unwrap()
                .unwrap()
                .is_empty()
        );
    }
}
