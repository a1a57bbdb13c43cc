//! Bounded reads of the small files that the kernel publishes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Error, Result, entries, regular};

/// Longest attribute that is read: sysfs itself ends them at a page, but for a few binary ones.
const ATTRIBUTE_LIMIT: u64 = 64 << 10;
/// Sysfs gives an attribute in one read; less than this is all of it.
const PAGE: usize = 4096;
/// Longest text file that is read whole.
const TEXT_LIMIT: u64 = 64 << 20;

/// An attribute's text without the white space around it; `None` when it is absent, unreadable or empty.
pub(crate) fn text(path: &Path) -> Option<String> {
    let raw = bytes(path)?;
    let text = String::from_utf8_lossy(&raw).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// As [`text`], of an attribute that decides whether a device is looked at: one that is there and cannot be read is none
/// that is absent.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn try_text(path: &Path) -> Result<Option<String>> {
    let raw = match read(path) {
        Err(error) if is_gone(&error) => return Ok(None),
        read => read.map_err(Error::io("read", path))?,
    };
    let text = String::from_utf8_lossy(&raw).trim().to_owned();
    Ok((!text.is_empty()).then_some(text))
}

/// An attribute that is one decimal number, as [`try_text`].
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn try_number(path: &Path) -> Result<Option<u64>> {
    Ok(try_text(path)?.and_then(|text| text.parse().ok()))
}

/// Does an error say that an attribute's device is gone, or never had it?  Mapped devices on their way out say `EINVAL`.
fn is_gone(error: &io::Error) -> bool {
    let gone = [
        libc::ENOENT,
        libc::ENOTDIR,
        libc::ENODEV,
        libc::ENXIO,
        libc::EINVAL,
    ];
    error.raw_os_error().is_some_and(|errno| gone.contains(&errno))
}

/// An attribute's bytes as they are; `None` when it is absent or unreadable.
pub(crate) fn bytes(path: &Path) -> Option<Vec<u8>> {
    read(path).ok()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut raw = vec![0; PAGE];
    let length = file.read(&mut raw)?;
    raw.truncate(length);
    if length == PAGE {
        file.take(ATTRIBUTE_LIMIT).read_to_end(&mut raw)?;
    }
    Ok(raw)
}

/// An attribute that is one decimal number.
pub(crate) fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

/// Whether an attribute that is 0 or 1 says 1.
pub(crate) fn flag(path: &Path) -> bool {
    number(path).is_some_and(|value| value != 0)
}

/// The names in a folder in order; none when it is absent.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let found = entries(dir);
    let mut names: Vec<String> = found
        .filter_map(|entry| entry.name().to_str().map(Into::into))
        .collect();
    names.sort();
    names
}

/// A whole text file, or `None` when there is none.
///
/// # Errors
/// As [`regular::read`].
pub(crate) fn optional_file(path: &Path) -> Result<Option<Vec<u8>>> {
    regular::read(path, TEXT_LIMIT)
}
