//! Where a target listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt::ReuseAddr,
};

use crate::Error;

/// The port of replicas, as io-engine's.
const PORT: u16 = 8420;
/// Addresses that no host has, to ask the kernel for the way to anywhere.  Reference: RFC 5737, RFC 3849.
const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Where to listen if nobody says: at the address by which this host reaches others, else at its own.
pub(crate) fn default_listen() -> SocketAddr {
    let ip = ANYWHERE.into_iter().find_map(own_address_towards);
    SocketAddr::new(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), PORT)
}

/// The address that this host would send from.  Nothing is sent.
fn own_address_towards(other: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match other {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, PORT)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    check(SocketAddr::new(own, PORT)).ok().map(|address| address.ip())
}

/// The address in one spelling, if others can connect to it.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub(crate) fn check(address: SocketAddr) -> Result<SocketAddr, Error> {
    let ip = address.ip().to_canonical();
    let why = match ip {
        _ if address.port() == 0 => "it has no port",
        ip if ip.is_unspecified() || ip.is_multicast() => "nobody can connect to it",
        IpAddr::V4(ip) if ip.is_broadcast() => "nobody can connect to it",
        IpAddr::V6(ip) if ip.is_unicast_link_local() => "it means something on one link alone",
        _ => return Ok(SocketAddr::new(ip, address.port())),
    };
    Err(Error::InvalidArgument {
        what: "listen address",
        given: address.to_string(),
        why: why.into(),
    })
}

/// The address as a tag holds it, in which brackets are refused.
pub(crate) fn to_tag(address: SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}

/// The address that a tag holds.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub(crate) fn from_tag(text: &str) -> Result<SocketAddr, Error> {
    let parts = text.rsplit_once(':');
    let parsed = parts.and_then(|(ip, port)| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)));
    let address = parsed.ok_or_else(|| Error::InvalidArgument {
        what: "listen address",
        given: text.into(),
        why: "it is no address and port".into(),
    })?;
    check(address)
}

/// Has this host the address?
pub(crate) fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Refuses an address at which nothing new can listen.  Nobody is listened to meanwhile.
///
/// # Errors
/// [`Error::AddressNotLocal`], [`Error::AddressInUse`], [`Error::ShareFailed`].
pub(crate) fn check_free(address: SocketAddr) -> Result<(), Error> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let tried = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).and_then(|socket| {
        // As the kernel's target does: connections that are over do not count.
        setsockopt(&socket, ReuseAddr, &true)?;
        bind(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            &SockaddrStorage::from(address),
        )
    });
    tried.map_err(|errno| refused(address, errno.into()))
}

/// What an answer to listening at an address says.
pub(crate) fn refused(address: SocketAddr, source: std::io::Error) -> Error {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRNOTAVAIL) => Error::AddressNotLocal(address),
        Some(Errno::EADDRINUSE) => Error::AddressInUse(address),
        _ => Error::ShareFailed {
            what: format!("listen at {address}"),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_reads_back_from_its_tag() {
        for text in ["127.0.0.1:8420", "[::1]:8420", "[2001:db8::7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let tag = to_tag(address);
            assert!(!tag.contains(['[', ']']), "{tag}");
            assert_eq!(from_tag(&tag).unwrap(), address);
        }
        for text in [
            "",
            "8420",
            "127.0.0.1",
            "127.0.0.1:",
            "host:1",
            "127.0.0.1:65536",
            "::1",
        ] {
            assert!(from_tag(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_to_which_nobody_can_connect_are_refused() {
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            "127.0.0.1:0",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
            "[::ffff:0.0.0.0]:1",
        ] {
            let error = check(text.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), "InvalidArgument", "{text}");
        }
        let mapped = check("[::ffff:10.0.0.1]:1".parse().unwrap()).unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.1:1");
        check(default_listen()).unwrap();
        assert!(is_local(default_listen().ip()));
    }

    #[test]
    fn what_keeps_a_target_from_listening_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        assert!(matches!(check_free(taken), Err(Error::AddressInUse(address)) if address == taken));
        drop(listener);
        check_free(taken).unwrap();
        let elsewhere: SocketAddr = "203.0.113.77:1".parse().unwrap();
        assert!(matches!(check_free(elsewhere), Err(Error::AddressNotLocal(_))));
        assert!(!is_local(elsewhere.ip()));
    }
}
