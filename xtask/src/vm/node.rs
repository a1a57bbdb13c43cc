//! A VM of a cluster: it can lose its power and get it back, with the same disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::payload::Payload;
use super::qemu::{self, START_AGAIN, STARTED_AGAIN, Start, Vm};
use super::report::Report;

/// Memory of each VM, if the scenario does not want more.
const MEMORY_MIB: u32 = 1024;

/// A node, with power or without.
pub(crate) struct Node<'a> {
    number: usize,
    start: Start<'a>,
    /// Where its logs and what it leaves go.
    out: PathBuf,
    vm: Option<Vm>,
    /// How often it got power.
    boots: u32,
    /// How often it was started since, for a kernel that died at once.
    attempts: u32,
    /// What its VMs took of this machine's processors.
    cpu: Duration,
}

/// What has become of a node.
pub(crate) enum Watched {
    /// It runs.
    Runs,
    /// It has no power, which is known.
    IsOff,
    /// It came to its end, which nobody knew before.
    Ended,
}

impl<'a> Node<'a> {
    /// A node without power, its disks blank, in the folder of its cluster.
    pub(crate) fn new(
        number: usize,
        dir: &Path,
        payload: &'a Payload<'a>,
        initramfs: &'a Path,
        devices: Vec<String>,
    ) -> Result<Self> {
        let disks = dir.join(format!("node{number}"));
        let out = dir.join("out").join(format!("node{number}"));
        fs::create_dir_all(&disks)?;
        fs::create_dir_all(&out)?;
        qemu::make_disks(&disks, payload.disk_mib())?;
        qemu::make_result(&disks)?;
        let start = Start {
            payload,
            initramfs,
            disks,
            console: PathBuf::new(),
            lines: PathBuf::new(),
            cores: 1,
            memory_mib: payload.memory_mib(MEMORY_MIB),
            words: String::new(),
            devices,
        };
        Ok(Self {
            number,
            start,
            out,
            vm: None,
            boots: 0,
            attempts: 0,
            cpu: Duration::ZERO,
        })
    }

    /// Gives it power; nothing if it has some.
    pub(crate) fn power_on(&mut self) -> Result<()> {
        if self.vm.is_some() {
            return Ok(());
        }
        self.boots += 1;
        self.attempts = 0;
        let boot = self.boots;
        self.start.console = self.out.join(format!("console-{boot}.log"));
        self.start.lines = self.out.join(format!("lines-{boot}"));
        self.start.words = format!("vm.boot={boot} vm.boots={boot} vm.node={}", self.number);
        self.vm = Some(self.start.run()?);
        Ok(())
    }

    /// Takes its power away, at once.
    pub(crate) fn power_off(&mut self) {
        if let Some(vm) = self.vm.take() {
            self.cpu += vm.cpu();
        }
    }

    /// Returns how often it got power.
    pub(crate) fn boots(&self) -> usize {
        self.boots as usize
    }

    /// Returns what the VMs that lost their power took of this machine's processors.
    pub(crate) fn cpu(&self) -> Duration {
        self.cpu
    }

    /// Looks after it: a kernel that died before its first program is started again.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) fn watch(&mut self, report: &mut Report) -> Result<Watched> {
        let Some(vm) = &mut self.vm else {
            return Ok(Watched::IsOff);
        };
        if !vm.has_ended()? {
            return Ok(Watched::Runs);
        }
        self.vm = None;
        if self.attempts == START_AGAIN || !self.lines().is_empty() {
            return Ok(Watched::Ended);
        }
        self.attempts += 1;
        report.note(STARTED_AGAIN);
        self.vm = Some(self.start.run()?);
        Ok(Watched::Runs)
    }

    /// What it told on its second serial line since it got power.
    pub(crate) fn lines(&self) -> String {
        read(&self.start.lines)
    }

    /// What it wrote to its console since it got power.
    pub(crate) fn console(&self) -> String {
        read(&self.start.console)
    }

    /// Keeps what it left in `/out`, and no more.
    pub(crate) fn keep_results(&self) -> Result<()> {
        qemu::unpack_results(&self.start.disks, &self.out)?;
        qemu::remove_disks(&self.start.disks)
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "")
}
