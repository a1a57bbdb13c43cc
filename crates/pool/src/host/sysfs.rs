//! Bounded reads of the small files that the kernel publishes.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::{Result, regular};

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

/// An attribute's bytes as they are; `None` when it is absent or unreadable.
pub(crate) fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let mut page = [0; PAGE];
    let length = file.read(&mut page).ok()?;
    let mut raw = page.get(..length)?.to_vec();
    if length == PAGE {
        file.take(ATTRIBUTE_LIMIT).read_to_end(&mut raw).ok()?;
    }
    Some(raw)
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
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
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
