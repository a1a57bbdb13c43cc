//! Nodes below `/dev/mapper`, where udevd does not make them or did not.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::{DeviceNumber, DmName, Error};

/// The control device's fixed number.
const CONTROL: DeviceNumber = DeviceNumber {
    major: 10,
    minor: 236,
};

/// Makes the control node if it is missing or another device's; what stops that shows when it is opened.
pub(crate) fn ensure_control(path: &Path) {
    let stale = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type().is_char_device() && DeviceNumber::of_stat(found.rdev()) != CONTROL,
        Err(_) => false,
    };
    if stale {
        let _ = fs::remove_file(path);
    }
    if !path.exists() {
        let _ = path.parent().map(fs::create_dir_all);
        let mode = Mode::from_bits_truncate(0o600);
        let _ = mknod(path, SFlag::S_IFCHR, mode, CONTROL.to_dev());
    }
}

/// What a batch of commands leaves to be done below `/dev/mapper`: for each name, what is to be there in the end.
#[derive(Debug)]
pub(crate) struct NodeChanges {
    /// `/dev`; none where devices have no nodes.
    dev: Option<PathBuf>,
    /// udevd makes the nodes, so that nothing is to be done if nobody comes back to see.
    by_udev: bool,
    wanted: BTreeMap<DmName, Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Node(DeviceNumber),
    /// No node or link of this device, which is gone or has another name.
    Nothing(DeviceNumber),
}

impl NodeChanges {
    /// For devices without nodes.
    pub(crate) fn none() -> Self {
        Self {
            dev: None,
            by_udev: false,
            wanted: BTreeMap::new(),
        }
    }

    /// For nodes below `dev`.
    pub(crate) fn below(dev: &Path, by_udev: bool) -> Self {
        Self {
            dev: Some(dev.into()),
            by_udev,
            wanted: BTreeMap::new(),
        }
    }

    /// The device needs its node.
    pub(crate) fn make(&mut self, name: &DmName, number: DeviceNumber) {
        self.wanted.insert(name.clone(), Wanted::Node(number));
    }

    /// The device needs no node of this name any more.
    pub(crate) fn remove(&mut self, name: &DmName, number: DeviceNumber) {
        self.wanted.insert(name.clone(), Wanted::Nothing(number));
    }

    /// Brings the nodes to what is wanted.  `udev_is_done` leaves links to udev; what is right stays as it is in any case.
    /// All names are tried.
    ///
    /// # Errors
    /// The first failure; nothing is tried again.
    pub(crate) fn apply(&mut self, udev_is_done: bool) -> Result<(), Error> {
        let wanted = std::mem::take(&mut self.wanted);
        let Some(dev) = &self.dev else { return Ok(()) };
        // Read once for all nodes, and not where udevd made them.
        let group = OnceCell::new();
        let mut first = Ok(());
        for (name, wanted) in wanted {
            // The kernel has no such names; a path made of one would lead out of the folder.
            if name.as_str().contains('/') || matches!(name.as_str(), "" | "." | "..") {
                continue;
            }
            let path = dev.join("mapper").join(name.as_str());
            first = first.and(match wanted {
                // The cheapest look where nothing is to be done.
                Wanted::Node(number) if udev_is_done && is_device(&path, number) => Ok(()),
                Wanted::Node(number) => make(&path, number, *group.get_or_init(disk_group)),
                Wanted::Nothing(number) => remove(&path, number, !udev_is_done),
            });
        }
        first
    }
}

impl Drop for NodeChanges {
    fn drop(&mut self) {
        if !self.by_udev {
            // Nobody is left to hear of a failure.
            let _ = self.apply(false);
        }
    }
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

fn make(path: &Path, number: DeviceNumber, group: Option<u32>) -> Result<(), Error> {
    // Mostly nothing is there.  Twice, since what is there may be stale.
    for _ in 0..2 {
        let mode = Mode::from_bits_truncate(0o600);
        match mknod(path, SFlag::S_IFBLK, mode, number.to_dev()) {
            Ok(()) => return open_to_group(path, group),
            Err(Errno::EEXIST) if is_device(path, number) => return Ok(()),
            Err(Errno::EEXIST) => clear(path)?,
            Err(errno) => return Err(failed("make", path)(errno.into())),
        }
    }
    Err(failed("make", path)(io::ErrorKind::AlreadyExists.into()))
}

/// As LVM's packages have it: the group `disk` may use the node.
fn open_to_group(path: &Path, group: Option<u32>) -> Result<(), Error> {
    if group.is_none() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(0), group).map_err(failed("own", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed("open up", path))
}

/// Makes room for a node: another device's node and a link are stale, any other file is somebody's and stays.
fn clear(path: &Path) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    if !found.is_block_device() && !found.is_symlink() {
        return Err(failed("replace", path)(io::ErrorKind::AlreadyExists.into()));
    }
    unlink(path)
}

/// Removes the node of a device that is gone, and a link to it; what belongs to another device or is another file stays.
fn remove(path: &Path, number: DeviceNumber, links_too: bool) -> Result<(), Error> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let ours = if found.file_type().is_symlink() {
        links_too && (!path.exists() || is_device(path, number))
    } else {
        found.file_type().is_block_device() && DeviceNumber::of_stat(found.rdev()) == number
    };
    if ours { unlink(path) } else { Ok(()) }
}

fn unlink(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The id of the group `disk`.
fn disk_group() -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().find(|line| line.starts_with("disk:"))?.split(':');
    fields.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const NUMBER: DeviceNumber = DeviceNumber {
        major: 7,
        minor: 1000,
    };
    const OTHER: DeviceNumber = DeviceNumber {
        major: 7,
        minor: 1001,
    };

    fn dev() -> (tempfile::TempDir, PathBuf) {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir(dev.path().join("mapper")).unwrap();
        let path = dev.path().join("mapper/vg-lv");
        (dev, path)
    }

    fn name() -> DmName {
        DmName::new("vg-lv").unwrap()
    }

    fn want_node(dev: &Path) -> Result<(), Error> {
        let mut changes = NodeChanges::below(dev, false);
        changes.make(&name(), NUMBER);
        changes.apply(false)
    }

    fn want_nothing(dev: &Path, udev_is_done: bool) -> Result<(), Error> {
        let mut changes = NodeChanges::below(dev, false);
        changes.remove(&name(), NUMBER);
        changes.apply(udev_is_done)
    }

    /// Without the right to make nodes, the error says so; `false` then.
    #[track_caller]
    fn was_made(result: Result<(), Error>, path: &Path) -> bool {
        match result {
            Ok(()) => {
                assert!(is_device(path, NUMBER));
                true
            }
            Err(error) => {
                assert_eq!(error.errno(), libc::EPERM, "{error}");
                false
            }
        }
    }

    #[test]
    fn a_node_is_made_for_root_and_the_group_disk_and_removed_again() {
        let (dev, path) = dev();
        if was_made(want_node(dev.path()), &path) {
            let found = fs::metadata(&path).unwrap();
            let expected = match disk_group() {
                Some(group) => (0o660, group),
                None => (0o600, found.gid()),
            };
            assert_eq!((found.mode() & 0o777, found.gid()), expected);
            want_node(dev.path()).unwrap();
            want_nothing(dev.path(), false).unwrap();
            assert!(fs::symlink_metadata(&path).is_err());
        }
    }

    #[test]
    fn a_stale_node_and_a_stale_link_are_replaced() {
        let (dev, path) = dev();
        symlink("../dm-7", &path).unwrap();
        was_made(want_node(dev.path()), &path);
        let (dev, path) = self::dev();
        let mode = Mode::from_bits_truncate(0o600);
        if mknod(&path, SFlag::S_IFBLK, mode, OTHER.to_dev()).is_ok() {
            assert!(was_made(want_node(dev.path()), &path));
        }
    }

    #[test]
    fn a_foreign_file_is_never_replaced_or_removed() {
        let (dev, path) = dev();
        fs::write(&path, "precious").unwrap();
        let error = want_node(dev.path()).unwrap_err();
        assert!(matches!(error, Error::Io { what: "replace", .. }), "{error}");
        want_nothing(dev.path(), false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        let elsewhere = dev.path().join("elsewhere");
        fs::write(&elsewhere, "x").unwrap();
        symlink(&elsewhere, &path).unwrap();
        want_nothing(dev.path(), false).unwrap();
        assert!(path.exists(), "a link to something else stays");
    }

    #[test]
    fn a_dangling_link_goes_unless_udev_is_done_with_links() {
        let (dev, path) = dev();
        symlink("../dm-7", &path).unwrap();
        want_nothing(dev.path(), true).unwrap();
        assert!(fs::symlink_metadata(&path).is_ok());
        want_nothing(dev.path(), false).unwrap();
        assert!(fs::symlink_metadata(&path).is_err());
    }

    #[test]
    fn the_last_change_of_a_name_counts() {
        let (dev, path) = dev();
        let mut changes = NodeChanges::below(dev.path(), false);
        changes.make(&name(), NUMBER);
        changes.remove(&name(), NUMBER);
        changes.apply(false).unwrap();
        assert!(fs::symlink_metadata(&path).is_err());
    }

    #[test]
    fn changes_that_are_dropped_are_made_unless_udev_makes_them() {
        for (by_udev, remains) in [(false, false), (true, true)] {
            let (dev, path) = dev();
            symlink("../dm-7", &path).unwrap();
            let mut changes = NodeChanges::below(dev.path(), by_udev);
            changes.remove(&name(), NUMBER);
            drop(changes);
            assert_eq!(fs::symlink_metadata(&path).is_ok(), remains, "{by_udev}");
        }
    }

    #[test]
    fn a_name_with_a_slash_touches_nothing() {
        let (dev, _) = dev();
        let victim = dev.path().join("victim");
        symlink("nowhere", &victim).unwrap();
        let mut changes = NodeChanges::below(dev.path(), false);
        changes.remove(&DmName::of_kernel(b"../victim"), NUMBER);
        changes.apply(false).unwrap();
        assert!(fs::symlink_metadata(&victim).is_ok());
    }

    #[test]
    fn one_failure_does_not_keep_the_other_names_from_their_changes() {
        let (dev, path) = dev();
        symlink("../dm-7", &path).unwrap();
        fs::write(dev.path().join("mapper/a"), "in the way").unwrap();
        let mut changes = NodeChanges::below(dev.path(), false);
        changes.make(&DmName::new("a").unwrap(), OTHER);
        changes.remove(&name(), NUMBER);
        changes.apply(false).unwrap_err();
        assert!(fs::symlink_metadata(&path).is_err());
    }
}
