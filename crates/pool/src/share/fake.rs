//! The kernel's NVMe target without a kernel: what its files take and refuse, and a process that dies at any of its calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::configfs::ConfigFs;
use crate::{Error, host};

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(String),
    Link(String),
}

type Watch = Box<dyn Fn(&Tree) + Send>;

/// The target, which outlives the processes that use it.
#[derive(Clone, Default)]
pub(super) struct FakeTarget(Arc<Mutex<Tree>>);

#[derive(Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Devices that are there.
    devices: BTreeSet<String>,
    /// Where others listen.
    pub(super) taken: Vec<SocketAddr>,
    /// The kernel is an older one.
    pub(super) is_old: bool,
    /// What was done that changes something.
    pub(super) log: Vec<String>,
    /// The change at which the process dies, from 1.
    dies_at: Option<usize>,
    changes: usize,
    /// Looks at the tree after each change.
    pub(super) watch: Option<Watch>,
}

fn errno<T>(errno: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno))
}

impl FakeTarget {
    pub(super) fn new(devices: &[&str]) -> Self {
        let target = Self::default();
        target.with(|tree| {
            for folder in ["hosts", "ports", "subsystems"] {
                tree.nodes.insert(folder.into(), Node::Dir);
            }
            tree.devices = devices.iter().map(ToString::to_string).collect();
        });
        target
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Tree) -> R) -> R {
        look(&mut self.0.lock().unwrap())
    }

    /// The next process dies before its change of this number.
    pub(super) fn die_at(&self, change: usize) {
        self.with(|tree| (tree.changes, tree.dies_at) = (0, Some(change)));
    }

    /// Another process starts; did the last one die?
    pub(super) fn revive(&self) -> bool {
        self.with(|tree| tree.dies_at.take().is_some_and(|at| tree.changes >= at))
    }

    /// Is nothing left of anything?
    pub(super) fn is_blank(&self) -> bool {
        self.with(|tree| tree.nodes.len() == 3)
    }

    /// Everything by path, for comparison.
    pub(super) fn paths(&self) -> Vec<String> {
        self.with(|tree| tree.nodes.keys().cloned().collect())
    }

    fn change(&self, what: String, change: impl FnOnce(&mut Tree) -> io::Result<()>) -> io::Result<()> {
        self.with(|tree| {
            tree.changes += 1;
            if tree.dies_at.is_some_and(|at| tree.changes >= at) {
                return errno(libc::EINTR);
            }
            tree.log.push(what);
            let done = change(tree);
            if let Some(watch) = tree.watch.take() {
                watch(tree);
                tree.watch = Some(watch);
            }
            done
        })
    }
}

impl Tree {
    pub(super) fn file(&self, path: &str) -> Option<&str> {
        match self.nodes.get(path) {
            Some(Node::File(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn set(&mut self, path: &str, value: &str) {
        self.nodes.insert(path.into(), Node::File(value.into()));
    }

    pub(super) fn children(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let names = self
            .nodes
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix));
        let names = names.map(|(path, _)| &path[prefix.len()..]);
        names.filter(|name| !name.contains('/')).map(Into::into).collect()
    }

    fn is_linked(&self, to: &str) -> bool {
        let mut nodes = self.nodes.values();
        nodes.any(|node| matches!(node, Node::Link(target) if target == to))
    }

    /// Attributes that older kernels do not have.
    fn has_attribute(&self, name: &str) -> bool {
        !self.is_old || !["attr_model", "revalidate_size"].contains(&name)
    }

    fn add(&mut self, dir: &str, dirs: &[&str], files: &[(&str, &str)]) {
        self.nodes.insert(dir.into(), Node::Dir);
        for name in dirs {
            self.nodes.insert(format!("{dir}/{name}"), Node::Dir);
        }
        for (name, value) in files
            .iter()
            .filter(|(name, _)| self.has_attribute(name))
            .collect::<Vec<_>>()
        {
            self.set(&format!("{dir}/{name}"), value);
        }
    }

    fn address(&self, port: &str) -> Option<SocketAddr> {
        let read = |name: &str| self.file(&format!("ports/{port}/{name}"));
        let ip: IpAddr = read("addr_traddr")?.parse().ok()?;
        let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
        (read("addr_trtype") == Some("tcp") && read("addr_adrfam") == Some(family))
            .then(|| Some(SocketAddr::new(ip, read("addr_trsvcid")?.parse().ok()?)))?
    }

    fn make(&mut self, path: &str) -> io::Result<()> {
        if self.nodes.contains_key(path) {
            return errno(libc::EEXIST);
        }
        match path.split('/').collect::<Vec<_>>()[..] {
            ["hosts", _] => self.add(path, &[], &[]),
            ["subsystems", _] => self.add(
                path,
                &["allowed_hosts", "namespaces"],
                &[
                    ("attr_allow_any_host", "0"),
                    ("attr_serial", "0123456789abcdef0123"),
                    ("attr_model", "Linux"),
                    ("attr_version", "1.3"),
                ],
            ),
            ["subsystems", nqn, "namespaces", number] => {
                if !self.nodes.contains_key(&format!("subsystems/{nqn}")) {
                    return errno(libc::ENOENT);
                }
                if number.parse::<u32>().is_ok_and(|number| number > 0) {
                    let files = [
                        ("device_path", "(null)"),
                        ("device_uuid", "00000000-0000-4000-8000-000000000000"),
                        ("device_nguid", "00000000-0000-0000-0000-000000000000"),
                        ("enable", "0"),
                        ("revalidate_size", ""),
                    ];
                    self.add(path, &[], &files);
                } else {
                    return errno(libc::EINVAL);
                }
            }
            ["ports", id] if id.parse::<u16>().is_ok() => self.add(
                path,
                &["subsystems", "referrals"],
                &[
                    ("addr_trtype", ""),
                    ("addr_adrfam", ""),
                    ("addr_traddr", ""),
                    ("addr_trsvcid", ""),
                ],
            ),
            _ => return errno(libc::EPERM),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        if !matches!(self.nodes.get(path), Some(Node::Dir)) {
            return errno(libc::ENOENT);
        }
        if self.is_linked(path) {
            return errno(libc::EBUSY);
        }
        let holds_made = |folder: &str| !self.children(&format!("{path}/{folder}")).is_empty();
        match path.split('/').collect::<Vec<_>>()[..] {
            ["subsystems", _] if holds_made("allowed_hosts") || holds_made("namespaces") => {
                return errno(libc::ENOTEMPTY);
            }
            ["ports", _] if holds_made("subsystems") => return errno(libc::ENOTEMPTY),
            ["hosts" | "ports" | "subsystems", _] | ["subsystems", _, "namespaces", _] => {}
            _ => return errno(libc::EPERM),
        }
        let prefix = format!("{path}/");
        self.nodes
            .retain(|found, _| found != path && !found.starts_with(&prefix));
        Ok(())
    }

    fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        if !matches!(self.nodes.get(path), Some(Node::File(_))) {
            return errno(libc::ENOENT);
        }
        let parts: Vec<&str> = path.split('/').collect();
        let (folder, name) = path.rsplit_once('/').unwrap();
        let is_enabled = self.file(&format!("{folder}/enable")) == Some("1");
        match (&parts[..], name) {
            (["subsystems", _, _], "attr_serial") if value.len() > 20 => return errno(libc::EINVAL),
            (["subsystems", _, _], "attr_model") if value.len() > 40 => return errno(libc::EINVAL),
            (["subsystems", _, _], "attr_allow_any_host")
                if value == "1" && !self.children(&format!("{folder}/allowed_hosts")).is_empty() =>
            {
                return errno(libc::EINVAL);
            }
            (_, "device_path" | "device_uuid" | "device_nguid") if is_enabled => {
                return errno(libc::EBUSY);
            }
            (_, "revalidate_size") => return if is_enabled { Ok(()) } else { errno(libc::EINVAL) },
            (_, "enable") if value == "1" => match self.file(&format!("{folder}/device_path")) {
                Some("(null)") | None => return errno(libc::EINVAL),
                Some(device) if !self.devices.contains(device) => return errno(libc::ENOENT),
                Some(_) => {}
            },
            (["ports", ..], _) if !self.children(&format!("{folder}/subsystems")).is_empty() => {
                return errno(libc::EACCES);
            }
            _ => {}
        }
        self.set(path, value);
        Ok(())
    }

    fn link(&mut self, to: &str, path: &str) -> io::Result<()> {
        if !matches!(self.nodes.get(to), Some(Node::Dir)) {
            return errno(libc::ENOENT);
        }
        match path.split('/').collect::<Vec<_>>()[..] {
            ["subsystems", nqn, "allowed_hosts", _] => {
                if self.file(&format!("subsystems/{nqn}/attr_allow_any_host")) != Some("0") {
                    return errno(libc::EINVAL);
                }
            }
            ["ports", id, "subsystems", _] => {
                let Some(address) = self.address(id) else {
                    return errno(libc::EINVAL);
                };
                if !address.ip().is_loopback() {
                    return errno(libc::EADDRNOTAVAIL);
                }
                let is_first = self.children(&format!("ports/{id}/subsystems")).is_empty();
                let others = self.children("ports").into_iter().filter(|other| other != id);
                let listening = |other: &String| {
                    self.address(other) == Some(address)
                        && !self.children(&format!("ports/{other}/subsystems")).is_empty()
                };
                if is_first && (self.taken.contains(&address) || others.clone().any(|id| listening(&id))) {
                    return errno(libc::EADDRINUSE);
                }
            }
            _ => return errno(libc::EPERM),
        }
        if self.nodes.contains_key(path) {
            return errno(libc::EEXIST);
        }
        self.nodes.insert(path.into(), Node::Link(to.into()));
        Ok(())
    }
}

impl ConfigFs for FakeTarget {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.change(format!("mkdir {path}"), |tree| tree.make(path))
    }
    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.change(format!("rmdir {path}"), |tree| tree.remove(path))
    }
    fn read(&self, path: &str) -> io::Result<String> {
        self.with(|tree| {
            tree.file(path)
                .map_or(errno(libc::ENOENT), |value| Ok(value.into()))
        })
    }
    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        self.change(format!("write {path} {value}"), |tree| tree.write(path, value))
    }
    fn link(&self, to: &str, path: &str) -> io::Result<()> {
        self.change(format!("link {path}"), |tree| tree.link(to, path))
    }
    fn unlink(&self, path: &str) -> io::Result<()> {
        self.change(format!("unlink {path}"), |tree| match tree.nodes.get(path) {
            Some(Node::Link(_)) => {
                tree.nodes.remove(path);
                Ok(())
            }
            _ => errno(libc::ENOENT),
        })
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.with(|tree| match tree.nodes.get(path) {
            Some(Node::Dir) => Ok(tree.children(path)),
            _ => errno(libc::ENOENT),
        })
    }
    fn has(&self, path: &str) -> bool {
        self.with(|tree| tree.nodes.contains_key(path))
    }
    fn lock(&self, _: Duration) -> Result<Option<host::FileLock>, Error> {
        Ok(None)
    }
}
