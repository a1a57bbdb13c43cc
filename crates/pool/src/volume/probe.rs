//! Asks a target over NVMe/TCP whether it takes a connection, before the kernel does.
//!
//! The kernel connects without a deadline of the caller's: for each command that a silent target does not answer it waits as long
//! as `nvme_core.admin_timeout` says, a minute by default, cannot be interrupted, and lets no other connection of the host be made
//! meanwhile (Linux `drivers/nvme/host/fabrics.c`, `nvmf_dev_write`).  So who does not answer here is not given to it.
//! References: NVM Express TCP Transport Specification 1.0, sections 3.3 and 3.6; NVM Express Base Specification 2.0,
//! section 6.3 (Connect).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::nvmf::Nqn;

const IC_REQUEST: u8 = 0x00;
const IC_RESPONSE: u8 = 0x01;
const TARGET_ENDS: u8 = 0x03;
const COMMAND: u8 = 0x04;
const RESPONSE: u8 = 0x05;
/// Both initial messages, whole.
const IC_SIZE: usize = 128;
/// A command's header: that of its message, and its queue entry.
const COMMAND_HEADER: usize = 8 + 64;
const CONNECT_DATA: usize = 1024;
/// A response, whole: the header of its message, and its queue entry.
const RESPONSE_SIZE: usize = 8 + 16;
const FABRICS: u8 = 0x7f;
const CONNECT: u8 = 0x01;
/// The data follow the command, as a transport's own list of data says.
const BY_SGL: u8 = 0x40;
const IN_CAPSULE: u8 = 0x01;
/// Entries of the queue, less one.
const QUEUE_SIZE: u16 = 31;
/// Milliseconds after which the target forgets a connection of which it does not hear any more.
const KEEP_ALIVE: u32 = 5_000;
/// The target chooses the controller's id.
const ANY_CONTROLLER: u16 = 0xffff;

/// What a target says to a host that wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Admitted,
    /// The NVMe status.
    Refused(u16),
}

impl Answer {
    const INVALID_PARAMETER: u16 = 0x182;
    const INVALID_HOST: u16 = 0x184;

    /// Returns `true` if the target says that it lets this host not in: by its name, or by hiding the subsystem from it.
    pub(super) fn is_no_entry(self) -> bool {
        matches!(self, Self::Refused(Self::INVALID_PARAMETER | Self::INVALID_HOST))
    }

    /// Why a host is not let in, in words.
    pub(super) fn problem(self, subsystem: &Nqn, host: &Nqn) -> Option<String> {
        match self {
            Self::Admitted => None,
            Self::Refused(Self::INVALID_HOST) => Some(format!("the target does not admit the host {host}")),
            Self::Refused(Self::INVALID_PARAMETER) => Some(format!(
                "the target has no subsystem {subsystem} for the host {host}"
            )),
            Self::Refused(status) => Some(format!(
                "the target refuses the connection with NVMe status {status:#x}"
            )),
        }
    }
}

/// Connects as a host, to the admin queue alone, and ends the connection at once.
///
/// # Errors
/// The network's; [`ErrorKind::TimedOut`] for a target that has not answered by `until`; [`ErrorKind::InvalidData`] for one that
/// speaks something else.
pub(super) fn ask(
    address: SocketAddr,
    subsystem: &Nqn,
    host: &Nqn,
    host_id: Uuid,
    until: Instant,
) -> io::Result<Answer> {
    let mut target = Target {
        stream: TcpStream::connect_timeout(&address, left(until)?)?,
        until,
    };
    target.send(&ic_request())?;
    let mut hello = [0; IC_SIZE];
    target.receive(IC_RESPONSE, &mut hello)?;
    if u16_at(&hello, 8) != 0 {
        return Err(invalid("speaks an unknown version of NVMe/TCP"));
    }
    if hello.get(11).is_some_and(|digests| *digests != 0) {
        return Err(invalid("wants digests that it was not offered"));
    }
    target.send(&connect(subsystem, host, host_id))?;
    let mut said = [0; RESPONSE_SIZE];
    target.receive(RESPONSE, &mut said)?;
    // The lowest bit is the phase tag, the highest ones say how to try again.
    match u16_at(&said, 22) >> 1 & 0x7ff {
        0 => Ok(Answer::Admitted),
        status => Ok(Answer::Refused(status)),
    }
}

struct Target {
    stream: TcpStream,
    until: Instant,
}

impl Target {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = message.get(sent..).filter(|rest| !rest.is_empty()) {
            self.stream.set_write_timeout(Some(left(self.until)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) => again(error)?,
            }
        }
        Ok(())
    }

    /// Receives a message of one kind, whose size is fixed.
    fn receive(&mut self, kind: u8, message: &mut [u8]) -> io::Result<()> {
        let size = message.len();
        let (head, body) = message.split_at_mut_checked(8).unwrap_or_default();
        self.fill(head)?;
        let length = head.get(4..8).and_then(|bytes| bytes.try_into().ok());
        let length = length.map_or(0, u32::from_le_bytes);
        match head.first() {
            Some(found) if *found == kind && length as usize == size => self.fill(body),
            Some(&TARGET_ENDS) => Err(invalid("ends the connection as wrong")),
            _ => Err(invalid("does not answer as NVMe/TCP has it")),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            // Also one that sends a byte now and then is silent.
            self.stream.set_read_timeout(Some(left(self.until)?))?;
            match self.stream.read(rest) {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "the target ended the connection",
                    ));
                }
                Ok(count) => filled += count,
                Err(error) => again(error)?,
            }
        }
        Ok(())
    }
}

/// What is left of the time; more than nothing.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        false => Ok(left),
        true => Err(io::Error::new(ErrorKind::TimedOut, "the target does not answer")),
    }
}

/// The end of a socket's own timeout is looked at by [`left`].
fn again(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the target {why}"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..at + 2).and_then(|found| found.try_into().ok());
    found.map_or(0, u16::from_le_bytes)
}

/// Kind, flags, the header's length, where the data begin, the whole length.
fn header(kind: u8, header: usize, data_at: usize, whole: usize) -> Vec<u8> {
    let mut bytes = vec![kind, 0, header as u8, data_at as u8];
    bytes.extend((whole as u32).to_le_bytes());
    bytes
}

/// The first version of the protocol, data where they come, no digests, one transfer at a time: all of these are zeroes.
fn ic_request() -> Vec<u8> {
    let mut bytes = header(IC_REQUEST, IC_SIZE, 0, IC_SIZE);
    bytes.resize(IC_SIZE, 0);
    bytes
}

fn connect(subsystem: &Nqn, host: &Nqn, host_id: Uuid) -> Vec<u8> {
    let whole = COMMAND_HEADER + CONNECT_DATA;
    let mut bytes = header(COMMAND, COMMAND_HEADER, COMMAND_HEADER, whole);
    bytes.extend([FABRICS, BY_SGL, 0, 0, CONNECT]);
    // The list of data: its place, its length, its kind.
    bytes.resize(8 + 32, 0);
    bytes.extend((CONNECT_DATA as u32).to_le_bytes());
    bytes.resize(8 + 39, 0);
    bytes.push(IN_CAPSULE);
    // The format of the record and the queue, both 0.
    bytes.resize(8 + 44, 0);
    bytes.extend(QUEUE_SIZE.to_le_bytes());
    bytes.resize(8 + 48, 0);
    bytes.extend(KEEP_ALIVE.to_le_bytes());
    bytes.resize(COMMAND_HEADER, 0);
    bytes.extend(host_id.as_bytes());
    bytes.extend(ANY_CONTROLLER.to_le_bytes());
    // An NQN is shorter than its field, and so ends with a zero.
    for (name, at) in [(subsystem, 256), (host, 512)] {
        bytes.resize(COMMAND_HEADER + at, 0);
        bytes.extend(name.as_str().bytes());
    }
    bytes.resize(whole, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const ID: Uuid = Uuid::from_u128(7);

    /// What a target does: it sends the first part once it heard the host's first message, the second once it heard the second.
    fn told_by(parts: [Vec<u8>; 2], stays: bool) -> io::Result<Answer> {
        told_within(Duration::from_secs(30), parts, stays)
    }

    fn told_within(limit: Duration, parts: [Vec<u8>; 2], stays: bool) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = thread::spawn(move || {
            let (mut host, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            for (part, length) in parts.iter().zip([IC_SIZE, COMMAND_HEADER + CONNECT_DATA]) {
                let mut message = vec![0; length];
                if host.read_exact(&mut message).is_err() || host.write_all(part).is_err() {
                    return heard;
                }
                heard.push(message);
            }
            if stays {
                let _ = host.read(&mut [0; 1]);
            }
            heard
        });
        let (subsystem, host) = (Nqn::of_replica(ID), Nqn::of_node("n").unwrap());
        let until = Instant::now() + limit;
        let answer = ask(address, &subsystem, &host, ID, until);
        let heard = target.join().unwrap();
        if let Some(command) = heard.get(1) {
            let data = &command[COMMAND_HEADER..];
            assert_eq!(&data[..16], ID.as_bytes());
            assert!(data[256..].starts_with(format!("{subsystem}\0").as_bytes()));
            assert!(data[512..].starts_with(format!("{host}\0").as_bytes()));
        }
        answer
    }

    fn hello() -> Vec<u8> {
        let mut bytes = header(IC_RESPONSE, IC_SIZE, 0, IC_SIZE);
        bytes.resize(IC_SIZE, 0);
        bytes
    }

    fn response(status: u16) -> Vec<u8> {
        let mut bytes = header(RESPONSE, RESPONSE_SIZE, 0, RESPONSE_SIZE);
        bytes.resize(22, 0);
        bytes.extend((status << 1).to_le_bytes());
        bytes
    }

    #[test]
    fn a_target_that_lets_the_host_in_and_one_that_does_not_are_told_apart() {
        assert_eq!(told_by([hello(), response(0)], true).unwrap(), Answer::Admitted);
        // With the bit that says not to try again.
        let refused = told_by([hello(), response(0x4184)], true).unwrap();
        assert_eq!(refused, Answer::Refused(0x184));
        assert!(refused.is_no_entry() && !Answer::Admitted.is_no_entry());
        assert!(!Answer::Refused(0x181).is_no_entry(), "busy is not refused");
    }

    #[test]
    fn a_silent_target_holds_nobody_after_the_deadline() {
        let limit = Duration::from_millis(300);
        let kind = |parts| told_within(limit, parts, true).unwrap_err().kind();
        assert_eq!(kind([Vec::new(), Vec::new()]), ErrorKind::TimedOut);
        assert_eq!(kind([hello(), Vec::new()]), ErrorKind::TimedOut);
        assert_eq!(kind([hello()[..40].into(), Vec::new()]), ErrorKind::TimedOut);
        assert_eq!(kind([hello(), response(0)[..23].into()]), ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        let mut other_version = hello();
        other_version[8] = 1;
        let mut digests = hello();
        digests[11] = 3;
        let mut long = hello();
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let ends = header(TARGET_ENDS, 24, 0, 24);
        let http = b"HTTP/1.1 400 Bad Request\r\n".to_vec();
        for first in [other_version, digests, long, ends, http, response(0)] {
            let answer = told_by([first.clone(), Vec::new()], true).unwrap_err();
            assert_eq!(answer.kind(), ErrorKind::InvalidData, "{first:?}");
        }
        let error = told_by([hello(), hello()], true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(
            told_by([hello(), Vec::new()], false).is_err(),
            "the end of the connection"
        );
    }

    #[test]
    fn where_nothing_listens_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (subsystem, host) = (Nqn::of_replica(ID), Nqn::of_node("n").unwrap());
        let until = Instant::now() + Duration::from_secs(5);
        let error = ask(address, &subsystem, &host, ID, until).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
