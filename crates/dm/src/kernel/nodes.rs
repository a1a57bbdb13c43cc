//! Nodes below `/dev/mapper`, where udevd does not make them or did not.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, mknod};

use crate::udev::NodeChange;
use crate::{DeviceNumber, DmName, Error};

/// The control device's fixed number.
const CONTROL: DeviceNumber = DeviceNumber {
    major: 10,
    minor: 236,
};

/// Makes the control node if it is missing; what stops that shows when it is opened.
pub(super) fn ensure_control(path: &Path) {
    if !path.exists() {
        let _ = path.parent().map(fs::create_dir_all);
        let _ = mknod(
            path,
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o600),
            CONTROL.to_dev(),
        );
    }
}

/// Brings the nodes to what the batch left.  Where udevd is done, nodes that are right stay as they are.
pub(super) fn apply(dev: &Path, changes: &[NodeChange], removed_by_udev: bool) -> Result<(), Error> {
    let node = |name: &DmName| dev.join("mapper").join(name.as_str());
    for (at, change) in changes.iter().enumerate() {
        match change {
            NodeChange::Make(name, number) => {
                // A later change of the batch may have taken the device away again.
                let gone = changes[at..].iter().any(|later| match later {
                    NodeChange::Remove(other) | NodeChange::Rename(other, _) => other == name,
                    NodeChange::Make(..) => false,
                });
                if !gone {
                    make(&node(name), *number)?;
                }
            }
            NodeChange::Remove(name) if !removed_by_udev => remove(&node(name))?,
            NodeChange::Rename(old, new) if !removed_by_udev => rename(&node(old), &node(new))?,
            NodeChange::Remove(_) | NodeChange::Rename(..) => {}
        }
    }
    Ok(())
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}

/// A block device that is `number`, whether a node or a link to one.
fn is_device(path: &Path, number: DeviceNumber) -> bool {
    fs::metadata(path).is_ok_and(|found| {
        found.file_type().is_block_device() && DeviceNumber::of_stat(found.rdev()) == number
    })
}

fn make(path: &Path, number: DeviceNumber) -> Result<(), Error> {
    if is_device(path, number) {
        return Ok(());
    }
    remove(path)?;
    match mknod(
        path,
        SFlag::S_IFBLK,
        Mode::from_bits_truncate(0o600),
        number.to_dev(),
    ) {
        Ok(()) => {}
        Err(nix::errno::Errno::EEXIST) => return Ok(()),
        Err(errno) => return Err(failed("make", path)(errno.into())),
    }
    // As LVM's packages have it: the group `disk` may use the node.
    if let Some(group) = disk_group() {
        std::os::unix::fs::chown(path, Some(0), Some(group)).map_err(failed("own", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed("open up", path))?;
    }
    Ok(())
}

/// Removes a block device's node or a link; another file in the way is an error, never deleted.
fn remove(path: &Path) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    if !found.is_block_device() && !found.is_symlink() {
        return Err(failed("replace", path)(io::ErrorKind::AlreadyExists.into()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn rename(old: &PathBuf, new: &PathBuf) -> Result<(), Error> {
    match fs::rename(old, new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("rename", old)(error)),
        _ => Ok(()),
    }
}

/// The id of the group `disk`.
fn disk_group() -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().find(|line| line.starts_with("disk:"))?.split(':');
    fields.nth(2)?.parse().ok()
}
