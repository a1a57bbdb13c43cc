//! The kernel's own NVMe target, over TCP, set up by configfs.
//!
//! A replica is a subsystem of its own, with one namespace.  Hosts reach it by a link from a port, of which there is one for each
//! address: that link is made last and removed first, so that nobody ever meets a half-made subsystem.  Taking the namespace out of
//! service waits for the I/O that was begun.  Reference: the kernel's `drivers/nvme/target/configfs.c`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::configfs::{ConfigFs, Mounted};
use super::tree::{
    HOSTS, MODEL, NAMESPACE, PORT_IDS, PORTS, Place, Port, SUBSYSTEMS, Subsystem, failed, host, port,
    present, serial,
};
use super::{ServedReplica, Share, SharedDevice, address};
use crate::{Error, Nqn};

/// The kernel's NVMe target, over TCP: modules `nvmet` and `nvmet-tcp`.
///
/// Several processes may use it at once, and administrators beside them: subsystems, ports and hosts of others stay.  The module
/// `nvmet` must be loaded; the kernel loads `nvmet-tcp` itself where it can.
///
/// The target listens in the network namespace of the thread that calls.
pub struct NvmetTarget {
    fs: Box<dyn ConfigFs>,
    timeout: Duration,
}

impl std::fmt::Debug for NvmetTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NvmetTarget").finish_non_exhaustive()
    }
}

impl NvmetTarget {
    /// The target of the kernel whose configfs is mounted there, mostly `/sys/kernel/config`.  Other processes of this library
    /// that change it are waited for no longer than `timeout`.
    pub fn new(configfs: PathBuf, timeout: Duration) -> Self {
        Self::on(Box::new(Mounted::new(configfs)), timeout)
    }

    pub(super) fn on(fs: Box<dyn ConfigFs>, timeout: Duration) -> Self {
        Self { fs, timeout }
    }

    fn act(&self, what: &str, path: &str, done: io::Result<()>) -> Result<(), Error> {
        done.map_err(|source| failed(what, path, source))
    }

    fn make_dir(&self, path: &str) -> Result<(), Error> {
        self.act("make", path, self.fs.make_dir(path))
    }

    fn remove_dir(&self, path: &str) -> Result<(), Error> {
        self.act("remove", path, self.fs.remove_dir(path))
    }

    /// Removes an object unless something uses it.
    fn remove_unused(&self, path: &str) -> Result<(), Error> {
        match self.fs.remove_dir(path) {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EBUSY | libc::ENOTEMPTY | libc::ENOENT)
                ) =>
            {
                Ok(())
            }
            done => self.act("remove", path, done),
        }
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Error> {
        let done = self.fs.write(path, value);
        done.map_err(|source| failed(&format!("write {value:?} to"), path, source))
    }

    fn unlink(&self, path: &str) -> Result<(), Error> {
        self.act("unlink", path, self.fs.unlink(path))
    }

    /// Takes away all that there is of a subsystem: hosts first lose the way to it, then its I/O comes to its end.  Tells
    /// whether it was one that nobody could reach: a process was killed at it.
    fn take_down(&self, place: &Place, ports: &[Port]) -> Result<bool, Error> {
        let Some(found) = Subsystem::read(&*self.fs, place)? else {
            return Ok(false);
        };
        let mut was_linked = false;
        for port in ports.iter().filter(|port| port.has(&*self.fs, place)) {
            self.unlink(&place.link(&port.id))?;
            was_linked = true;
        }
        for number in &found.namespaces {
            let namespace = place.namespace(number);
            self.write(&format!("{namespace}/enable"), "0")?;
            self.remove_dir(&namespace)?;
        }
        for name in &found.hosts {
            self.unlink(&place.allowed(name))?;
            self.remove_unused(&host(name))?;
        }
        self.remove_dir(&place.subsystem())?;
        Ok(!was_linked || found.is_closed())
    }

    /// Takes down a subsystem, with what a killed process left beside it.
    fn clear(&self, place: &Place) -> Result<(), Error> {
        if self.take_down(place, &Port::all(&*self.fs)?)? {
            self.sweep_hosts()?;
        }
        self.sweep_ports()
    }

    /// Removes the ports of ours that lead nowhere.
    fn sweep_ports(&self) -> Result<(), Error> {
        let ports = Port::all(&*self.fs)?.into_iter();
        ports
            .filter(Port::is_ours)
            .try_for_each(|port| self.remove_unused(&format!("{PORTS}/{}", port.id)))
    }

    /// Removes the hosts that no subsystem lets in.  A killed process may have left one, whose name nobody knows any more.
    fn sweep_hosts(&self) -> Result<(), Error> {
        let names = self
            .fs
            .list(HOSTS)
            .map_err(|source| failed("list", HOSTS, source))?;
        names.iter().try_for_each(|name| self.remove_unused(&host(name)))
    }

    /// The replicas whose subsystems a folder has; none if it is not there.
    fn replicas(&self, path: &str) -> Result<impl Iterator<Item = Uuid> + use<>, Error> {
        let names = present(self.fs.list(path)).map_err(|source| failed("list", path, source))?;
        let names = names.unwrap_or_default().into_iter();
        Ok(names.filter_map(|name| Nqn::parse(&name).ok()?.replica()))
    }

    /// Lets a host in.
    fn admit(&self, place: &Place, nqn: &str) -> Result<(), Error> {
        let (object, link) = (host(nqn), place.allowed(nqn));
        match self.fs.make_dir(&object) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => self.act("make", &object, done)?,
        }
        self.act("link", &link, self.fs.link(&object, &link))
    }

    /// Lets every host in, and keeps no list of some.
    fn admit_all(&self, place: &Place, listed: &[String]) -> Result<(), Error> {
        for name in listed {
            self.unlink(&place.allowed(name))?;
            self.remove_unused(&host(name))?;
        }
        // Before the last step: after it nothing tells that one may be left.
        self.sweep_hosts()?;
        self.write(&place.at("attr_allow_any_host"), "1")
    }

    fn build(&self, place: &Place, device: &str, wanted: &SharedDevice) -> Result<(), Error> {
        self.make_dir(&place.subsystem())?;
        self.write(&place.at("attr_serial"), &serial(place.replica))?;
        // Older kernels have none.
        let model = place.at("attr_model");
        if self.fs.has(&model) {
            self.write(&model, MODEL)?;
        }
        match &wanted.allowed_hosts[..] {
            [] => self.write(&place.at("attr_allow_any_host"), "1")?,
            hosts => hosts
                .iter()
                .try_for_each(|host| self.admit(place, host.as_str()))?,
        }
        self.make_dir(&place.namespace(NAMESPACE))?;
        let id = place.replica.to_string();
        for (attribute, value) in [
            ("device_path", device),
            ("device_uuid", &id),
            ("device_nguid", &id),
            ("enable", "1"),
        ] {
            self.write(&place.attribute(attribute), value)?;
        }
        let port = self.port(wanted.listen)?;
        let link = place.link(&port);
        self.fs
            .link(&place.subsystem(), &link)
            .map_err(|source| match source.raw_os_error() {
                // All else that the kernel refuses so is right here.
                Some(libc::EINVAL) => Error::NoNvmeTarget { module: "nvmet-tcp" },
                Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => address::refused(wanted.listen, source),
                _ => failed("link", &link, source),
            })
    }

    /// The number of the port at an address, made if there is none.
    fn port(&self, listen: SocketAddr) -> Result<String, Error> {
        let ports = Port::all(&*self.fs)?;
        if let Some(found) = ports.iter().find(|port| port.address == Some(listen)) {
            return Ok(found.id.clone());
        }
        let is_free = |id: &String| !ports.iter().any(|port| port.id == *id);
        let id = PORT_IDS.map(|id| id.to_string()).find(is_free);
        let id = id.ok_or_else(|| failed("make", PORTS, io::Error::from_raw_os_error(libc::ENOSPC)))?;
        self.make_dir(&format!("{PORTS}/{id}"))?;
        let family = if listen.is_ipv4() { "ipv4" } else { "ipv6" };
        for (attribute, value) in [
            ("addr_trtype", "tcp"),
            ("addr_adrfam", family),
            ("addr_traddr", &listen.ip().to_string()),
            ("addr_trsvcid", &listen.port().to_string()),
        ] {
            self.write(&port(&id, attribute), value)?;
        }
        Ok(id)
    }
}

impl Share for NvmetTarget {
    fn check(&self, wanted: &SharedDevice) -> Result<(), Error> {
        let _lock = self.fs.lock(self.timeout)?;
        device(wanted)?;
        for port in Port::all(&*self.fs)? {
            let links = || self.fs.list(&self::port(&port.id, SUBSYSTEMS));
            if port.address == Some(wanted.listen) && links().is_ok_and(|links| !links.is_empty()) {
                return Ok(());
            }
        }
        address::check_free(wanted.listen)
    }

    fn share(&self, wanted: &SharedDevice) -> Result<(), Error> {
        let _lock = self.fs.lock(self.timeout)?;
        let (place, device) = (Place::of(wanted.replica), device(wanted)?);
        let ports = Port::all(&*self.fs)?;
        let mut linked = ports.iter().filter(|port| port.has(&*self.fs, &place));
        let is_there = linked
            .next()
            .is_some_and(|port| port.address == Some(wanted.listen))
            && linked.next().is_none();
        let found = Subsystem::read(&*self.fs, &place)?;
        if let Some(found) = found.filter(|found| is_there && found.serves(&place, wanted)) {
            let hosts: Vec<&str> = wanted.allowed_hosts.iter().map(Nqn::as_str).collect();
            if hosts.is_empty() {
                return match found.any_host {
                    true => Ok(()),
                    false => self.admit_all(&place, &found.hosts),
                };
            }
            // A host that is let in no more may have a connection, which only the subsystem's end cuts off.
            if !found.any_host && found.hosts.iter().all(|host| hosts.contains(&host.as_str())) {
                let is_new = |host: &&&str| !found.hosts.iter().any(|found| found == *host);
                return hosts
                    .iter()
                    .filter(is_new)
                    .try_for_each(|host| self.admit(&place, host));
            }
        }
        self.clear(&place)?;
        self.build(&place, device, wanted).inspect_err(|_| {
            // What cannot be taken down now the next call finds half made.
            let _ = self.clear(&place);
        })
    }

    fn unshare(&self, replica: Uuid) -> Result<(), Error> {
        let _lock = match self.fs.lock(self.timeout) {
            Err(Error::NoConfigfs(_) | Error::NoNvmeTarget { .. }) => return Ok(()),
            lock => lock?,
        };
        self.clear(&Place::of(replica))
    }

    fn served(&self, only: Option<Uuid>) -> Result<Vec<ServedReplica>, Error> {
        let fs = &*self.fs;
        let ports = Port::all(fs)?;
        let mut linked: HashMap<Uuid, Vec<&Port>> = HashMap::new();
        let places = match only {
            Some(replica) => {
                let place = Place::of(replica);
                let to = ports.iter().filter(|port| port.has(fs, &place));
                linked.insert(replica, to.collect());
                vec![place]
            }
            None => {
                for port in &ports {
                    for replica in self.replicas(&self::port(&port.id, SUBSYSTEMS))? {
                        linked.entry(replica).or_default().push(port);
                    }
                }
                self.replicas(SUBSYSTEMS)?.map(Place::of).collect()
            }
        };
        let mut served = Vec::with_capacity(places.len());
        for place in places {
            if let Some(found) = Subsystem::read(fs, &place)? {
                let to = linked.get(&place.replica).map_or(&[][..], Vec::as_slice);
                served.push(found.served(&place, to));
            }
        }
        Ok(served)
    }

    /// By the links alone: what has one is whole.
    fn reached(&self, only: Option<Uuid>) -> Result<Vec<(Uuid, SocketAddr)>, Error> {
        let mut reached = Vec::new();
        for port in Port::all(&*self.fs)? {
            let Some(address) = port.address else { continue };
            match only {
                Some(replica) if port.has(&*self.fs, &Place::of(replica)) => reached.push((replica, address)),
                Some(_) => {}
                None => {
                    let replicas = self.replicas(&self::port(&port.id, SUBSYSTEMS))?;
                    reached.extend(replicas.map(|replica| (replica, address)));
                }
            }
        }
        Ok(reached)
    }

    fn resized(&self, replica: Uuid) -> Result<(), Error> {
        let place = Place::of(replica);
        // Where the kernel has no such file, hosts find the size when they look again.
        let path = place.attribute("revalidate_size");
        match self.fs.write(&path, "1") {
            // Nor does a namespace that is not in service have a size.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => Ok(()),
            done => self.act("tell the size by", &path, done),
        }
    }
}

/// The device's path, as the kernel is told it.
///
/// # Errors
/// [`Error::Unsupported`] for what has none.
fn device(wanted: &SharedDevice) -> Result<&str, Error> {
    let path = wanted.device.as_ref().and_then(|path| path.to_str());
    path.ok_or_else(|| Error::Unsupported("sharing a replica without a device node".into()))
}
