//! A network of VMs that takes no root: QEMU gives each frame that a node sends to a port of this program, which hands it
//! to the node that it is meant for.
//!
//! A link that is cut here is silently dead: frames vanish both ways, and the node's carrier stays.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Nodes of a network, which are numbered from 1.
pub(crate) const NODES: usize = 3;

/// The longest frame of QEMU.
const LONGEST: usize = 4096 + 65536;
/// Frames that wait for a node that does not take them; more are lost, as in a real switch.
const WAITING: usize = 512;
/// How often a port without a node looks for one.
const LOOK: Duration = Duration::from_millis(20);

/// A network; it ends with this value.
pub(crate) struct Network {
    number: u8,
    /// Of each node.
    ports: Vec<u16>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: [AtomicBool; NODES],
    ended: AtomicBool,
    nodes: [Mutex<Option<Arc<TcpStream>>>; NODES],
}

impl Network {
    /// A network of which `number` is in the addresses of its nodes.
    pub(crate) fn new(number: u8) -> Result<Self> {
        let state = Arc::<State>::default();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..NODES).map(|_| mpsc::sync_channel(WAITING)).unzip();
        let mut ports = Vec::new();
        for (node, frames) in receivers.into_iter().enumerate() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a network")?;
            listener.set_nonblocking(true)?;
            ports.push(listener.local_addr()?.port());
            let (shared, senders) = (state.clone(), senders.clone());
            thread::spawn(move || shared.take_in(node, &listener, &senders));
            let shared = state.clone();
            thread::spawn(move || shared.give_out(node, &frames));
        }
        Ok(Self { number, ports, state })
    }

    /// QEMU's arguments for the network card of a node, whose address ends in the network's and the node's numbers.
    pub(crate) fn card(&self, node: usize) -> [String; 4] {
        let (number, port) = (self.number, self.ports[node - 1]);
        [
            "-netdev".into(),
            format!("socket,id=net{number},connect=127.0.0.1:{port}"),
            "-device".into(),
            format!("virtio-net-pci,netdev=net{number},mac=52:54:00:00:{number:02x}:{node:02x}"),
        ]
    }

    /// Cuts the link of a node, or mends it.
    pub(crate) fn set_cut(&self, node: usize, is_cut: bool) {
        self.state.cut[node - 1].store(is_cut, Ordering::SeqCst);
    }
}

impl Drop for Network {
    /// The threads end when the VMs have.
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
    }
}

impl State {
    /// Takes in what a node sends, each time that its VM runs.
    fn take_in(&self, node: usize, listener: &TcpListener, to: &[SyncSender<Vec<u8>>]) {
        while !self.ended.load(Ordering::SeqCst) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(LOOK);
                continue;
            };
            let stream = Arc::new(stream);
            if stream
                .set_nonblocking(false)
                .and(stream.set_nodelay(true))
                .is_err()
            {
                continue;
            }
            self.set_stream(node, Some(stream.clone()));
            while let Ok(frame) = read_frame(&stream) {
                self.hand_on(node, frame, to);
            }
            self.set_stream(node, None);
        }
    }

    /// Gives a frame to the node that its address names, or to all others.
    fn hand_on(&self, from: usize, frame: Vec<u8>, to: &[SyncSender<Vec<u8>>]) {
        let Some(address) = frame.first_chunk::<6>() else {
            return;
        };
        let is_for_many = address[0] & 1 == 1;
        let only = usize::from(address[5]).wrapping_sub(1);
        for (node, sender) in to.iter().enumerate() {
            let is_cut = [from, node]
                .iter()
                .any(|end| self.cut[*end].load(Ordering::SeqCst));
            if node != from && !is_cut && (is_for_many || node == only) {
                // Full: the frame is lost.
                let _ = sender.try_send(frame.clone());
            }
        }
    }

    /// Gives a node the frames that are for it, until no node is left that could send any.
    fn give_out(&self, node: usize, frames: &Receiver<Vec<u8>>) {
        for frame in frames {
            let stream = self.nodes[node]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(stream) = stream {
                // A node without power loses its frames.
                let _ = write_frame(&stream, &frame);
            }
        }
    }

    fn set_stream(&self, node: usize, stream: Option<Arc<TcpStream>>) {
        *self.nodes[node].lock().unwrap_or_else(PoisonError::into_inner) = stream;
    }
}

/// QEMU's framing: the length as four bytes, then the frame.
fn read_frame(mut stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(mut stream: &TcpStream, frame: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), frame].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(200);

    /// A node, as QEMU is one.
    fn join(network: &Network, node: usize) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, network.ports[node - 1])).unwrap();
        while network.state.nodes[node - 1].lock().unwrap().is_none() {
            thread::sleep(LOOK);
        }
        stream
    }

    fn frame(to: u8, text: &[u8]) -> Vec<u8> {
        [&[0x52, 0x54, 0, 0, 1, to], text].concat()
    }

    fn gets(node: &TcpStream, frame: &[u8]) {
        node.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(read_frame(node).unwrap(), frame);
    }

    fn gets_nothing(node: &TcpStream) {
        node.set_read_timeout(Some(NEVER)).unwrap();
        assert!(read_frame(node).is_err());
    }

    #[test]
    fn frames_reach_whom_they_are_for() {
        let network = Network::new(1).unwrap();
        let nodes: Vec<TcpStream> = (1..=NODES).map(|node| join(&network, node)).collect();
        write_frame(&nodes[0], &frame(2, b"one")).unwrap();
        gets(&nodes[1], &frame(2, b"one"));
        let all = [&[0xff; 6][..], b"all"].concat();
        write_frame(&nodes[0], &all).unwrap();
        gets(&nodes[1], &all);
        gets(&nodes[2], &all);
        nodes.iter().for_each(gets_nothing);
    }

    #[test]
    fn a_cut_link_loses_frames_both_ways_until_it_is_mended() {
        let network = Network::new(1).unwrap();
        let nodes: Vec<TcpStream> = (1..=NODES).map(|node| join(&network, node)).collect();
        network.set_cut(1, true);
        write_frame(&nodes[0], &frame(2, b"from")).unwrap();
        write_frame(&nodes[1], &frame(1, b"to")).unwrap();
        gets_nothing(&nodes[0]);
        gets_nothing(&nodes[1]);
        write_frame(&nodes[2], &frame(2, b"others")).unwrap();
        gets(&nodes[1], &frame(2, b"others"));
        network.set_cut(1, false);
        write_frame(&nodes[1], &frame(1, b"again")).unwrap();
        gets(&nodes[0], &frame(1, b"again"));
    }

    #[test]
    fn a_node_that_was_away_is_found_again() {
        let network = Network::new(1).unwrap();
        let (first, second) = (join(&network, 1), join(&network, 2));
        drop(second);
        while network.state.nodes[1].lock().unwrap().is_some() {
            thread::sleep(LOOK);
        }
        write_frame(&first, &frame(2, b"lost")).unwrap();
        thread::sleep(NEVER);
        let second = join(&network, 2);
        write_frame(&first, &frame(2, b"found")).unwrap();
        gets(&second, &frame(2, b"found"));
    }
}
