//! What the folder of the kernel's NVMe target holds: where each object is, and how it is read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use uuid::Uuid;

use super::configfs::ConfigFs;
use super::{ServedReplica, SharedDevice};
use crate::sha256::sha256;
use crate::{Error, Nqn};

pub(super) const HOSTS: &str = "hosts";
pub(super) const PORTS: &str = "ports";
pub(super) const SUBSYSTEMS: &str = "subsystems";
/// The numbers of the ports that this library makes.  One of them that no subsystem is linked to is left over.
pub(super) const PORT_IDS: RangeInclusive<u16> = 8420..=9443;
/// The one namespace of a replica's subsystem.
pub(super) const NAMESPACE: &str = "1";
/// The model of the controller, as io-engine's.
pub(super) const MODEL: &str = "Mayastor NVMe controller";
/// What an attribute without a value reads as.
const NO_VALUE: &str = "(null)";

/// The place of a replica's subsystem.
pub(super) struct Place {
    pub(super) nqn: Nqn,
    pub(super) replica: Uuid,
}

impl Place {
    pub(super) fn of(replica: Uuid) -> Self {
        Self {
            nqn: Nqn::of_replica(replica),
            replica,
        }
    }

    pub(super) fn subsystem(&self) -> String {
        format!("{SUBSYSTEMS}/{}", self.nqn)
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{SUBSYSTEMS}/{}/{path}", self.nqn)
    }

    pub(super) fn namespace(&self, number: &str) -> String {
        self.at(&format!("namespaces/{number}"))
    }

    pub(super) fn attribute(&self, of_namespace: &str) -> String {
        self.at(&format!("namespaces/{NAMESPACE}/{of_namespace}"))
    }

    pub(super) fn allowed(&self, host: &str) -> String {
        self.at(&format!("allowed_hosts/{host}"))
    }

    pub(super) fn link(&self, port: &str) -> String {
        format!("{PORTS}/{port}/{SUBSYSTEMS}/{}", self.nqn)
    }
}

/// The place of a host.
pub(super) fn host(nqn: &str) -> String {
    format!("{HOSTS}/{nqn}")
}

/// The place of something of a port.
pub(super) fn port(id: &str, path: &str) -> String {
    format!("{PORTS}/{id}/{path}")
}

/// The serial number of a replica's controller, as io-engine derives it.
pub(super) fn serial(replica: Uuid) -> String {
    let digest = sha256(replica.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("DCS{}", hex.get(..17).unwrap_or_default())
}

/// A subsystem as it is.
pub(super) struct Subsystem {
    serial: String,
    model: Option<String>,
    pub(super) any_host: bool,
    pub(super) hosts: Vec<String>,
    pub(super) namespaces: Vec<String>,
    first: Option<Namespace>,
}

struct Namespace {
    device: String,
    uuid: String,
    nguid: String,
    is_enabled: bool,
}

impl Subsystem {
    /// Reads one; `None` if there is none, or it is just being removed.
    pub(super) fn read(fs: &dyn ConfigFs, place: &Place) -> Result<Option<Self>, Error> {
        present(Self::try_read(fs, place)).map_err(|source| failed("read", &place.subsystem(), source))
    }

    fn try_read(fs: &dyn ConfigFs, place: &Place) -> io::Result<Self> {
        let hosts = fs.list(&place.at("allowed_hosts"))?;
        let namespaces = fs.list(&place.at("namespaces"))?;
        let read_first = || {
            let read = |name| fs.read(&place.attribute(name));
            Ok::<_, io::Error>(Namespace {
                device: read("device_path")?,
                uuid: read("device_uuid")?,
                nguid: read("device_nguid")?,
                is_enabled: read("enable")? == "1",
            })
        };
        let has_first = namespaces.iter().any(|number| number == NAMESPACE);
        Ok(Self {
            serial: fs.read(&place.at("attr_serial"))?,
            // Older kernels have none.
            model: present(fs.read(&place.at("attr_model")))?,
            any_host: fs.read(&place.at("attr_allow_any_host"))? == "1",
            hosts,
            namespaces,
            first: if has_first { Some(read_first()?) } else { None },
        })
    }

    /// Does it have all that hosts know a replica by, and nothing else?
    fn is_whole(&self, place: &Place) -> bool {
        let is_its = |text: &str| Uuid::parse_str(text).is_ok_and(|found| found == place.replica);
        let is_whole = |first: &Namespace| first.is_enabled && is_its(&first.uuid) && is_its(&first.nguid);
        self.serial == serial(place.replica)
            && self.model.as_deref().is_none_or(|model| model == MODEL)
            && self.namespaces.len() == 1
            && self.first.as_ref().is_some_and(is_whole)
            && !self.is_closed()
    }

    /// May nobody connect?  No caller asks for that.
    pub(super) fn is_closed(&self) -> bool {
        !self.any_host && self.hosts.is_empty()
    }

    /// Is it this replica's, but for the hosts?
    pub(super) fn serves(&self, place: &Place, wanted: &SharedDevice) -> bool {
        self.is_whole(place) && self.device() == wanted.device
    }

    fn device(&self) -> Option<PathBuf> {
        let device = self.first.as_ref().map(|first| first.device.as_str());
        device
            .filter(|device| !device.is_empty() && *device != NO_VALUE)
            .map(Into::into)
    }

    /// What it is to those who ask what is served.
    pub(super) fn served(self, place: &Place, linked_to: &[&Port]) -> ServedReplica {
        let address = match linked_to {
            [port] => port.address,
            _ => None,
        };
        ServedReplica {
            replica: place.replica,
            device: self.device(),
            is_whole: address.is_some() && self.is_whole(place),
            is_open: self.first.as_ref().is_some_and(|first| first.is_enabled),
            listen: linked_to.iter().find_map(|port| port.address),
            allowed_hosts: self.hosts,
        }
    }
}

/// A port as it is.
pub(super) struct Port {
    pub(super) id: String,
    /// Where it listens, if that is TCP.
    pub(super) address: Option<SocketAddr>,
}

impl Port {
    /// Reads all.
    pub(super) fn all(fs: &dyn ConfigFs) -> Result<Vec<Self>, Error> {
        let ids = present(fs.list(PORTS)).map_err(|source| failed("list", PORTS, source))?;
        let mut ports = Vec::new();
        for id in ids.unwrap_or_default() {
            let read = |name: &str| fs.read(&port(&id, name));
            let parse = || {
                let ip: IpAddr = read("addr_traddr").ok()?.parse().ok()?;
                let port = read("addr_trsvcid").ok()?.parse().ok()?;
                let is_tcp = read("addr_trtype").is_ok_and(|kind| kind == "tcp");
                is_tcp.then(|| SocketAddr::new(ip.to_canonical(), port))
            };
            let address = parse();
            ports.push(Self { id, address });
        }
        Ok(ports)
    }

    /// Did this library make it?
    pub(super) fn is_ours(&self) -> bool {
        self.id.parse().is_ok_and(|id: u16| PORT_IDS.contains(&id))
    }

    /// Is a subsystem linked to it?
    pub(super) fn has(&self, fs: &dyn ConfigFs, place: &Place) -> bool {
        fs.has(&place.link(&self.id))
    }
}

/// `None` for what is not there.
pub(super) fn present<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The target's answer as an error.
pub(super) fn failed(what: &str, path: &str, source: io::Error) -> Error {
    Error::ShareFailed {
        what: format!("{what} {path}"),
        source,
    }
}
