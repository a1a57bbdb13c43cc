//! The serial line on which a VM asks this program for what no guest can do for itself, such as taking another's power away.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Longest time that an answer takes to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// The end of the line that is ours.
pub(crate) struct HostLine {
    listener: TcpListener,
    vm: Option<TcpStream>,
    /// What came of a request that is not whole yet.
    begun: Vec<u8>,
}

impl HostLine {
    /// A line for one VM, which may be started more than once.
    pub(crate) fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a serial line")?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            vm: None,
            begun: Vec::new(),
        })
    }

    /// QEMU's arguments for the other end, the VM's next serial line.
    pub(crate) fn serial(&self) -> Result<[String; 2]> {
        let port = self.listener.local_addr()?.port();
        Ok(["-serial".into(), format!("tcp:127.0.0.1:{port}")])
    }

    /// The next request, if one has come: a line, without its end.
    pub(crate) fn request(&mut self) -> Result<Option<String>> {
        if let Ok((vm, _)) = self.listener.accept() {
            vm.set_nonblocking(true)?;
            vm.set_write_timeout(Some(PATIENCE))?;
            self.vm = Some(vm);
            self.begun.clear();
        }
        if let Some(vm) = &mut self.vm {
            let mut came = [0; 256];
            match vm.read(&mut came) {
                // The VM has ended, which its owner sees.
                Ok(0) => self.vm = None,
                Ok(size) => self.begun.extend_from_slice(&came[..size]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => self.vm = None,
            }
        }
        let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.begun.drain(..=end).collect();
        Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
    }

    /// Answers a request in one line.
    pub(crate) fn answer(&mut self, text: &str) {
        if let Some(vm) = &mut self.vm {
            // The few bytes fit in the socket, or the VM is gone.
            let _ = vm.write_all(format!("{text}\n").as_bytes());
        }
    }
}
