//! Names of NVMe over Fabrics: qualified names, and the URIs by which replicas are reached.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use uuid::Uuid;

use crate::Error;

/// What the qualified names of replicas begin with, as io-engine spells it.
const REPLICA_PREFIX: &str = "nqn.2019-05.io.openebs:";
/// What the qualified name of a host of io-engine's begins with; the node's name follows.
const HOST_PREFIX: &str = "nqn.2019-05.io.openebs:node-name:";
const SCHEME_NVMF: &str = "nvmf://";
const SCHEME_LOCAL: &str = "bdev:///";

/// An NVMe qualified name of a subsystem or a host: `nqn.YYYY-MM.REVERSED.DOMAIN:STRING`, of 223 bytes at most.
///
/// The kernel takes anything for one and cuts what is longer; this does not.  Of the characters that NVMe allows these are
/// taken that stand in a file's name, in an LVM tag and in the kernel's options: letters, digits and `_+.-=!:&#`.
/// Reference: NVM Express Base Specification 2.0, section 4.5.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nqn(String);

impl Nqn {
    /// The most bytes.
    pub const MAX: usize = 223;

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], which tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match Self::problem(text) {
            None => Ok(Self(text.into())),
            Some(why) => Err(Error::InvalidArgument {
                what: "NQN",
                given: text.chars().take(240).collect(),
                why: format!("it {why}"),
            }),
        }
    }

    /// The subsystem of a replica.
    pub fn of_replica(uuid: Uuid) -> Self {
        Self(format!("{REPLICA_PREFIX}{uuid}"))
    }

    /// The host that a node of io-engine's is.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name with characters that no name of a node has.
    pub fn of_node(name: &str) -> Result<Self, Error> {
        Self::parse(&format!("{HOST_PREFIX}{name}"))
    }

    /// The replica whose subsystem it is, if it is one's.
    pub fn replica(&self) -> Option<Uuid> {
        let uuid = self.0.strip_prefix(REPLICA_PREFIX)?;
        Uuid::parse_str(uuid).ok()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn problem(text: &str) -> Option<&'static str> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-=!:&#".contains(&byte);
        if text.len() > Self::MAX {
            return Some("is longer than 223 bytes");
        }
        if !text.bytes().all(is_allowed) {
            return Some("has a character other than letters, digits and _+.-=!:&#");
        }
        let is_date = |date: &str| {
            let mut parts = date.split('-');
            let mut digits = |count| {
                let part = parts.next().filter(|part| part.len() == count)?;
                part.bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then(|| part.parse::<u16>().ok())?
            };
            let (year, month) = (digits(4), digits(2));
            year.is_some() && month.is_some_and(|month| (1..=12).contains(&month)) && parts.next().is_none()
        };
        let parts = text.strip_prefix("nqn.").and_then(|rest| rest.split_once('.'));
        let Some((_, rest)) = parts.filter(|(date, _)| is_date(date)) else {
            return Some("does not begin with nqn., a year, a dash, a month and a point");
        };
        match rest.split_once(':') {
            Some((domain, name)) if !domain.is_empty() && !name.is_empty() => None,
            _ => Some("has no domain, colon and name after the date"),
        }
    }
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Nqn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// Where a replica is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// On a node, over NVMe/TCP.
    Nvmf {
        /// Where the target listens.
        address: SocketAddr,
        /// The subsystem; the replica is its first namespace.
        nqn: Nqn,
        /// The host as which to connect; this node's own otherwise.
        host: Option<Nqn>,
    },
    /// On this node.
    Local {
        /// Its device.
        device: PathBuf,
    },
}

/// The URI of a replica, in io-engine's spelling: `nvmf://ADDRESS:PORT/NQN?uuid=UUID[&hostnqn=NQN]` for one on a node, or
/// `bdev:///PATH?uuid=UUID` for a device of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaUri {
    /// The replica.
    pub uuid: Uuid,
    /// Where it is reached.
    pub location: Location,
}

impl ReplicaUri {
    /// The most bytes of one.
    pub const MAX: usize = 600;

    /// A replica that a target on `address` serves.
    pub fn shared(uuid: Uuid, address: SocketAddr) -> Self {
        Self {
            uuid,
            location: Location::Nvmf {
                address,
                nqn: Nqn::of_replica(uuid),
                host: None,
            },
        }
    }
}

impl fmt::Display for ReplicaUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Nvmf { address, nqn, host } => {
                write!(f, "{SCHEME_NVMF}{address}/{nqn}?uuid={}", self.uuid)?;
                match host {
                    Some(host) => write!(f, "&hostnqn={host}"),
                    None => Ok(()),
                }
            }
            Location::Local { device } => {
                write!(f, "{SCHEME_LOCAL}{}?uuid={}", device.display(), self.uuid)
            }
        }
    }
}

impl FromStr for ReplicaUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Error::InvalidArgument {
            what: "replica URI",
            given: text.chars().take(Self::MAX).collect(),
            why: format!("it {why}"),
        };
        if text.len() > Self::MAX {
            return Err(refuse("is too long"));
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut uuid, mut host) = (None, None);
        // An `&` in a host's name would end the pair: io-engine does not escape either.
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("uuid", value)) => {
                    let parsed = Uuid::parse_str(value).map_err(|_| refuse("has a uuid that is none"))?;
                    uuid = Some(parsed);
                }
                Some(("hostnqn", value)) => host = Some(Nqn::parse(value)?),
                _ => return Err(refuse("asks for something unknown")),
            }
        }
        if let Some(rest) = place.strip_prefix(SCHEME_NVMF) {
            let (address, nqn) = rest.split_once('/').ok_or_else(|| refuse("has no NQN"))?;
            let address = SocketAddr::from_str(address)
                .map_err(|_| refuse("has no numeric address and port before the NQN"))?;
            let is_peer = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
            if address.port() == 0 || !is_peer(address.ip()) {
                return Err(refuse("has an address to which nobody can connect"));
            }
            let nqn = Nqn::parse(nqn)?;
            let uuid = uuid
                .or_else(|| nqn.replica())
                .ok_or_else(|| refuse("has no uuid"))?;
            let location = Location::Nvmf { address, nqn, host };
            return Ok(Self { uuid, location });
        }
        if let Some(device) = place.strip_prefix(SCHEME_LOCAL) {
            let device = Path::new(device);
            if !device.is_absolute() || host.is_some() {
                return Err(refuse("is no absolute path after bdev:///"));
            }
            return Ok(Self {
                uuid: uuid.ok_or_else(|| refuse("has no uuid"))?,
                location: Location::Local {
                    device: device.into(),
                },
            });
        }
        Err(refuse("begins neither with nvmf:// nor with bdev:///"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0859bf7e-aa27-4baa-893c-fcc2745526f5";

    #[test]
    fn names_of_hosts_and_replicas_are_taken() {
        for text in [
            "nqn.2019-05.io.openebs:0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "nqn.2014-08.org.nvmexpress:uuid:0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "nqn.2019-05.io.openebs:node-name:node-1",
            "nqn.2014-08.org.nvmexpress.discovery:x",
        ] {
            assert_eq!(Nqn::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(
            Nqn::of_replica(UUID.parse().unwrap()).replica(),
            UUID.parse().ok()
        );
        assert_eq!(Nqn::of_node("n1").unwrap().replica(), None);
    }

    #[test]
    fn names_that_the_kernel_would_take_and_nobody_could_use_are_refused() {
        let long = format!("nqn.2019-05.io:{}", "x".repeat(209));
        for text in [
            "",
            "nqn.",
            "x",
            "nqn.2019.io:x",
            "nqn.2019-13.io:x",
            "nqn.2019-00.io:x",
            "nqn.+019-05.io:x",
            "nqn.2019-05.io",
            "nqn.2019-05.:x",
            "nqn.2019-05.io:",
            "nqn.2019-05.io:a/b",
            "nqn.2019-05.io:a,b",
            "nqn.2019-05.io:a b",
            "nqn.2019-05.io:\u{fc}",
            "nqn.2019-05.io:a\n",
            "iqn.2019-05.io:x",
            "NQN.2019-05.io:x",
            &long,
        ] {
            assert!(Nqn::parse(text).is_err(), "{text}");
        }
        assert!(Nqn::parse(&long[..Nqn::MAX]).is_ok());
    }

    #[test]
    fn a_uri_reads_back_as_it_prints() {
        for text in [
            format!("nvmf://10.0.1.2:8420/nqn.2019-05.io.openebs:{UUID}?uuid={UUID}"),
            format!(
                "nvmf://[fe80::1]:8420/nqn.2019-05.io.openebs:{UUID}?uuid={UUID}&hostnqn=nqn.2019-05.io:h"
            ),
            format!("bdev:////dev/pool/{UUID}?uuid={UUID}"),
        ] {
            assert_eq!(text.parse::<ReplicaUri>().unwrap().to_string(), text);
        }
        let bare = format!("nvmf://10.0.1.2:8420/nqn.2019-05.io.openebs:{UUID}");
        assert_eq!(
            bare.parse::<ReplicaUri>().unwrap().uuid.to_string(),
            UUID,
            "the uuid of the NQN"
        );
    }

    #[test]
    fn uris_that_lead_nowhere_are_refused() {
        for text in [
            "",
            "nvmf://",
            "nvmf://host:8420/nqn.2019-05.io:x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "nvmf://10.0.1.2/nqn.2019-05.io:x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "nvmf://10.0.1.2:0/nqn.2019-05.io:x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "nvmf://0.0.0.0:1/nqn.2019-05.io:x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "nvmf://10.0.1.2:8420/nqn.2019-05.io:x",
            "nvmf://10.0.1.2:8420/nqn.2019-05.io:x?uuid=1",
            "nvmf://10.0.1.2:8420/nqn.2019-05.io:x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5&x=1",
            "bdev:///dev/x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5",
            "bdev:////dev/x",
            "malloc:///x?uuid=0859bf7e-aa27-4baa-893c-fcc2745526f5",
        ] {
            assert!(text.parse::<ReplicaUri>().is_err(), "{text}");
        }
    }
}
