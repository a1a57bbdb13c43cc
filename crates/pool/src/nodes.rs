//! The `/dev/VG/LV` links, where udevd does not make them or did not.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use lvm_dm::{DmName, NodeMode};
use nix::dir::Type;

use crate::Error;
use crate::host::{Entries, entries, read_folder};

/// Makes and removes links in `/dev`; where udevd does, only what it left undone, as LVM does.
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
        let stale = |dir: Entries<'_>| dir.flatten().all(|entry| !entry.path().exists());
        let taken = match fs::symlink_metadata(&path) {
            _ if self.mode == NodeMode::None => false,
            Err(_) => false,
            Ok(found) if found.is_dir() => !read_folder(&path).is_ok_and(stale),
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

    /// What is where the link of an LV would be, or the VG's folder, and is neither: a disk, a file, somebody's folder.
    pub(crate) fn in_the_way(&self, vg: &str, lv: &str) -> Option<PathBuf> {
        if self.mode == NodeMode::None {
            return None;
        }
        let dir = self.dev.join(vg);
        match fs::symlink_metadata(&dir) {
            Err(_) => return None,
            Ok(found) if !found.is_dir() => return Some(dir),
            Ok(_) => {}
        }
        let path = dir.join(lv);
        let found = fs::symlink_metadata(&path).ok()?;
        (!found.is_symlink()).then_some(path)
    }

    /// Makes `/dev/VG/LV` point to `/dev/mapper/<device>`, if udevd did not.
    pub(crate) fn link(&self, vg: &str, lv: &str, device: &DmName) -> Result<(), Error> {
        let dir = self.dev.join(vg);
        let path = dir.join(lv);
        match self.mode {
            NodeMode::None => return Ok(()),
            // What is there is udevd's, whose links lead to the kernel's names.
            NodeMode::Udev if fs::symlink_metadata(&path).is_ok() => return Ok(()),
            NodeMode::Udev | NodeMode::Own => {}
        }
        let target = self.dev.join("mapper").join(device.as_str());
        let fail = |source| Error::Io {
            what: "link",
            path: path.clone(),
            source,
        };
        // Mostly the folder is there and the link is not.
        match symlink(&target, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match fs::DirBuilder::new().mode(0o755).create(&dir) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(fail(error)),
                    _ => symlink(&target, &path).map_err(fail),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::read_link(&path) {
                Ok(found) if found == target => Ok(()),
                // Only a link is replaced: another file in the way belongs to somebody.
                Ok(_) => fs::remove_file(&path)
                    .and_then(|()| symlink(&target, &path))
                    .map_err(fail),
                Err(_) => Err(fail(error)),
            },
            done => done.map_err(fail),
        }
    }

    /// Removes `/dev/VG/LV`, and `/dev/VG` with its last link, if udevd did not and it is none of udevd's links.
    pub(crate) fn unlink(&self, vg: &str, lv: &str) -> Result<(), Error> {
        let dir = self.dev.join(vg);
        let path = dir.join(lv);
        let is_udevds = match self.mode {
            NodeMode::None => return Ok(()),
            NodeMode::Own => false,
            NodeMode::Udev => {
                fs::read_link(&path).is_ok_and(|to| to.parent() != Some(&*self.dev.join("mapper")))
            }
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() && !is_udevds => {
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

/// What is below `/dev` of a VG, by name.
pub(crate) struct Present {
    mapper: HashSet<OsString>,
    links: HashSet<OsString>,
}

impl Present {
    /// Is the node of an LV's device missing, or the link of one that users see?
    pub(crate) fn lacks(&self, device: &DmName, lv: Option<&str>) -> bool {
        let has = |names: &HashSet<OsString>, name: &str| names.contains(OsStr::new(name));
        !has(&self.mapper, device.as_str()) || lv.is_some_and(|lv| !has(&self.links, lv))
    }
}

impl Nodes {
    /// What is there of a VG; `None` where devices have no nodes.
    pub(crate) fn present(&self, vg: &str) -> Option<Present> {
        let names = |dir: PathBuf| {
            let found = entries(&dir);
            found.map(|entry| entry.name().to_owned()).collect()
        };
        (self.mode != NodeMode::None).then(|| Present {
            mapper: names(self.dev.join("mapper")),
            links: names(self.dev.join(vg)),
        })
    }

    /// The nodes and links of a VG's devices that are gone: a process was killed between removing the one and the other.
    ///
    /// `exists` knows the names of the devices there are.  Empty where udevd keeps the nodes.
    pub(crate) fn stale(&self, vg: &str, exists: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
        if self.mode != NodeMode::Own {
            return Vec::new();
        }
        let prefix = format!("{}-", vg.replace('-', "--"));
        let is_gone = |device: &str| {
            let lv = device.strip_prefix(&prefix);
            lv.is_some_and(|lv| !lv.is_empty() && !lv.starts_with('-')) && !exists(device)
        };
        let (mapper, dir) = (self.dev.join("mapper"), self.dev.join(vg));
        let nodes = entries(&mapper).filter(|entry| {
            let is_node = entry.kind() == Some(Type::BlockDevice);
            is_node && entry.name().to_str().is_some_and(is_gone)
        });
        let links = entries(&dir).filter(|entry| {
            let own = entry
                .name()
                .to_str()
                .map(|lv| format!("{prefix}{}", lv.replace('-', "--")));
            if own.is_some_and(|device| exists(&device)) {
                return false;
            }
            let target = fs::read_link(entry.path()).ok();
            let device = target.filter(|target| target.parent() == Some(&*mapper));
            device.and_then(|path| path.file_name()?.to_str().map(is_gone)) == Some(true)
        });
        links.chain(nodes).map(|entry| entry.path()).collect()
    }

    /// Removes what [`Nodes::stale`] finds, and the VG's folder with its last link.  The caller holds the VG's lock.
    pub(crate) fn sweep(&self, vg: &str, exists: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        for path in self.stale(vg, exists) {
            let fail = |source| Error::Io {
                what: "unlink",
                path: path.clone(),
                source,
            };
            fs::remove_file(&path).map_err(fail)?;
            remove_empty(&self.dev.join(vg));
        }
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
        let link = dev.path().join("vg0/a");
        for stale in [None, Some("../mapper/vg0-b"), None] {
            if let Some(stale) = stale {
                fs::remove_file(&link).unwrap();
                symlink(stale, &link).unwrap();
            }
            nodes.link("vg0", "a", &device).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), dev.path().join("mapper/vg0-a"));
        }
        nodes.unlink("vg0", "a").unwrap();
        nodes.unlink("vg0", "a").unwrap();
        assert!(!dev.path().join("vg0").exists());
    }

    #[test]
    fn what_is_in_the_way_of_a_link_is_found_before_it_is_made() {
        let dev = tempfile::tempdir().unwrap();
        let path = |name: &str| dev.path().join(name);
        let nodes = own(dev.path());
        fs::write(path("disk"), "").unwrap();
        fs::create_dir(path("vg0")).unwrap();
        fs::write(path("vg0/a"), "").unwrap();
        symlink("../mapper/vg0-b", path("vg0/b")).unwrap();
        assert_eq!(nodes.in_the_way("disk", "a"), Some(path("disk")));
        assert_eq!(nodes.in_the_way("vg0", "a"), Some(path("vg0/a")));
        assert_eq!(nodes.in_the_way("vg0", "b"), None);
        assert_eq!(nodes.in_the_way("vg0", "c"), None);
        assert_eq!(nodes.in_the_way("vg1", "a"), None);
        let none = Nodes::new(dev.path().into(), NodeMode::None);
        assert_eq!(none.in_the_way("disk", "a"), None);
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
    fn links_of_devices_that_are_gone_are_swept_and_others_stay() {
        let dev = tempfile::tempdir().unwrap();
        let nodes = own(dev.path());
        for (vg, lv, device) in [
            ("vg0", "a", "vg0-a"),
            ("vg0", "b", "vg0-b"),
            ("vg0-b", "c", "vg0--b-c"),
        ] {
            nodes.link(vg, lv, &DmName::new(device).unwrap()).unwrap();
        }
        symlink("/elsewhere/vg0-d", dev.path().join("vg0/d")).unwrap();
        let exists = |device: &str| device == "vg0-b";
        assert_eq!(nodes.stale("vg0", &exists), [dev.path().join("vg0/a")]);
        nodes.sweep("vg0", &exists).unwrap();
        assert!(nodes.stale("vg0", &exists).is_empty());
        for kept in ["vg0/b", "vg0/d", "vg0-b/c"] {
            assert!(fs::symlink_metadata(dev.path().join(kept)).is_ok(), "{kept}");
        }
        nodes.sweep("vg0-b", &|_| false).unwrap();
        assert!(!dev.path().join("vg0-b").exists());
    }

    #[test]
    fn missing_nodes_and_links_are_seen_only_where_they_are_ours() {
        let dev = tempfile::tempdir().unwrap();
        let nodes = own(dev.path());
        let device = DmName::new("vg0-a").unwrap();
        let lacks = |nodes: &Nodes, lv| nodes.present("vg0").unwrap().lacks(&device, lv);
        assert!(lacks(&nodes, None));
        fs::create_dir(dev.path().join("mapper")).unwrap();
        fs::write(dev.path().join("mapper/vg0-a"), "").unwrap();
        assert!(lacks(&nodes, Some("a")) && !lacks(&nodes, None));
        nodes.link("vg0", "a", &device).unwrap();
        assert!(!lacks(&nodes, Some("a")));
        assert!(
            Nodes::new(dev.path().into(), NodeMode::None)
                .present("vg0")
                .is_none()
        );
    }

    #[test]
    fn udevds_links_are_left_alone_and_what_it_did_not_make_is_made() {
        let dev = tempfile::tempdir().unwrap();
        let nodes = Nodes::new(dev.path().to_path_buf(), NodeMode::Udev);
        let link = dev.path().join("vg0/a");
        fs::create_dir(dev.path().join("vg0")).unwrap();
        symlink("../dm-7", &link).unwrap();
        nodes.link("vg0", "a", &DmName::new("vg0-a").unwrap()).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../dm-7"));
        nodes.unlink("vg0", "a").unwrap();
        assert!(fs::symlink_metadata(&link).is_ok());
        fs::remove_file(&link).unwrap();
        nodes.link("vg0", "a", &DmName::new("vg0-a").unwrap()).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), dev.path().join("mapper/vg0-a"));
        nodes.unlink("vg0", "a").unwrap();
        assert!(!dev.path().join("vg0").exists());
    }
}
