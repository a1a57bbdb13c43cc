//! Files that are there whole or not at all, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Error, Result};

/// Puts a new file in the place of `path`, so that a reader sees the old one or the new one.
///
/// It is made beside it under its name with `suffix`, which nobody else's file may have.
pub(crate) fn replace(path: &Path, suffix: &str, text: impl AsRef<[u8]>) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(suffix);
    let new = Path::new(&new);
    match fs::remove_file(new) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", new)(err)),
        _ => {}
    }
    let made = create(new, text).and_then(|()| fs::rename(new, path).map_err(Error::io("replace", path)));
    if made.is_err() {
        // A full disk shall not be filled by what is of no use.
        let _ = fs::remove_file(new);
    }
    made?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Makes a private file, durable but for its name.
pub(crate) fn create(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.map_err(Error::io("create", path))?;
    let done = file.write_all(text.as_ref()).and_then(|()| file.sync_all());
    done.map_err(Error::io("write", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("sync", dir))
}
