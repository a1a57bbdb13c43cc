//! The `/dev/VG/LV` links, where udevd does not make them.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use lvm_dm::{DmName, NodeMode};

use crate::Error;

/// Makes and removes links in `/dev`, or leaves that to udevd.
#[derive(Debug)]
pub(crate) struct Nodes {
    dev: PathBuf,
    mode: NodeMode,
}

impl Nodes {
    /// Links below `dev`, made by whom `mode` says.
    pub(crate) fn new(dev: PathBuf, mode: NodeMode) -> Self {
        Self { dev, mode }
    }

    /// The path of an LV's device; `None` where the mapper has no nodes.
    pub(crate) fn path(&self, vg: &str, lv: &str) -> Option<PathBuf> {
        (self.mode != NodeMode::None).then(|| self.dev.join(vg).join(lv))
    }

    /// Refuses a VG's name that is taken below `/dev`, by anything but a folder that holds nothing real.
    pub(crate) fn check_vg_name_free(&self, vg: &str) -> Result<(), Error> {
        let path = self.dev.join(vg);
        let stale = |dir: fs::ReadDir| dir.flatten().all(|entry| !entry.path().exists());
        let taken = match fs::symlink_metadata(&path) {
            _ if self.mode == NodeMode::None => false,
            Err(_) => false,
            Ok(found) if found.is_dir() => !fs::read_dir(&path).is_ok_and(stale),
            Ok(_) => true,
        };
        if taken {
            let why = format!("{} exists", path.display());
            return Err(Error::InvalidArgument {
                what: "pool name",
                given: vg.into(),
                why,
            });
        }
        Ok(())
    }

    /// Makes `/dev/VG/LV` point to `/dev/mapper/<device>`, if udevd does not.
    pub(crate) fn link(&self, vg: &str, lv: &str, device: &DmName) -> Result<(), Error> {
        if self.mode != NodeMode::Own {
            return Ok(());
        }
        let dir = self.dev.join(vg);
        let path = dir.join(lv);
        let target = self.dev.join("mapper").join(device.as_str());
        let fail = |source| Error::Io {
            what: "link",
            path: path.clone(),
            source,
        };
        match fs::DirBuilder::new().mode(0o755).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
            _ => {}
        }
        match fs::read_link(&path) {
            Ok(found) if found == target => return Ok(()),
            // Only a link is replaced: another file in the way belongs to somebody.
            Ok(_) => fs::remove_file(&path).map_err(fail)?,
            Err(_) => {}
        }
        symlink(&target, &path).map_err(fail)
    }

    /// Removes `/dev/VG/LV`, and `/dev/VG` with its last link, if udevd does not.
    pub(crate) fn unlink(&self, vg: &str, lv: &str) -> Result<(), Error> {
        if self.mode != NodeMode::Own {
            return Ok(());
        }
        let dir = self.dev.join(vg);
        let path = dir.join(lv);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                fs::remove_file(&path).map_err(|source| Error::Io {
                    what: "unlink",
                    path: path.clone(),
                    source,
                })?;
            }
            _ => {}
        }
        remove_empty(&dir);
        Ok(())
    }
}

/// Removes a directory that holds nothing; one that holds something stays.
fn remove_empty(dir: &Path) {
    let _ = fs::remove_dir(dir);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(dev: &Path) -> Nodes {
        Nodes::new(dev.to_path_buf(), NodeMode::Own)
    }

    #[test]
    fn links_are_made_once_and_go_with_their_directory() {
        let dev = tempfile::tempdir().unwrap();
        let nodes = own(dev.path());
        let device = DmName::new("vg0-a").unwrap();
        nodes.link("vg0", "a", &device).unwrap();
        nodes.link("vg0", "a", &device).unwrap();
        assert_eq!(
            fs::read_link(dev.path().join("vg0/a")).unwrap(),
            dev.path().join("mapper/vg0-a")
        );
        nodes.unlink("vg0", "a").unwrap();
        nodes.unlink("vg0", "a").unwrap();
        assert!(!dev.path().join("vg0").exists());
    }

    #[test]
    fn a_file_in_the_way_is_not_replaced() {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir(dev.path().join("vg0")).unwrap();
        fs::write(dev.path().join("vg0/a"), "theirs").unwrap();
        let nodes = own(dev.path());
        assert!(nodes.link("vg0", "a", &DmName::new("vg0-a").unwrap()).is_err());
        nodes.unlink("vg0", "a").unwrap();
        assert_eq!(fs::read(dev.path().join("vg0/a")).unwrap(), b"theirs");
    }

    #[test]
    fn nothing_is_linked_where_udevd_does_it() {
        let dev = tempfile::tempdir().unwrap();
        let nodes = Nodes::new(dev.path().to_path_buf(), NodeMode::Udev);
        nodes.link("vg0", "a", &DmName::new("vg0-a").unwrap()).unwrap();
        assert!(!dev.path().join("vg0").exists());
    }
}
