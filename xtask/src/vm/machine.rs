//! A machine that is one VM: it runs scenarios, one after the other, and ends.
//!
//! A scenario tells its results as lines, and what it leaves in the guest's `/out` comes back.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::payload::Payload;
use super::qemu::{self, End, START_AGAIN, STARTED_AGAIN, Start};
use super::report::Report;
use super::timing::Watch;
use crate::sh;

/// Memory of a VM, if no scenario wants more.
const MEMORY_MIB: u32 = 2048;

/// One VM and its scenarios.
pub(crate) struct Machine<'a> {
    /// Names the folder below the target folder that keeps the logs and results.
    pub(crate) name: String,
    /// What is in the VM.
    pub(crate) payload: Payload<'a>,
    /// How often the VM is started, with the same disks: the scenarios see `$BOOT`.
    pub(crate) boots: u32,
    /// Limit of one start.
    pub(crate) limit: Duration,
}

impl Machine<'_> {
    /// Runs the VM to its end, or to its limit.  A VM that hangs or crashes is a failed check of the report.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn run(&self) -> Result<Report> {
        let dir = sh::target().join("vm").join(&self.name);
        make_empty(&dir)?;
        let initramfs = dir.join("initramfs");
        self.payload.write_initramfs(&initramfs)?;
        qemu::make_disks(&dir, self.payload.disk_mib())?;
        let mut report = Report::new(&self.name, dir.join("out"));
        for boot in 1..=self.boots {
            qemu::make_result(&dir)?;
            let start = Instant::now();
            let (mut end, mut lines) = self.boot(&dir, &initramfs, boot, &mut report)?;
            for _ in 0..START_AGAIN {
                if !(matches!(end, End::Came) && lines.is_empty()) {
                    break;
                }
                report.note(STARTED_AGAIN);
                (end, lines) = self.boot(&dir, &initramfs, boot, &mut report)?;
            }
            let lines = String::from_utf8_lossy(&lines).replace('\r', "");
            let console = fs::read(dir.join("console.log")).unwrap_or_default();
            report.add_boot(&lines, end, &String::from_utf8_lossy(&console));
            report.took += start.elapsed();
            qemu::unpack_results(&dir, &dir.join("out").join(format!("boot-{boot}")))?;
            fs::rename(dir.join("console.log"), dir.join(format!("console-{boot}.log")))?;
            fs::rename(dir.join("lines"), dir.join(format!("lines-{boot}")))?;
        }
        qemu::remove_disks(&dir)?;
        fs::remove_file(initramfs)?;
        Ok(report)
    }

    /// Starts the VM and waits for its end; with what its scenarios said.  The report gets the times.
    fn boot(&self, dir: &Path, initramfs: &Path, boot: u32, report: &mut Report) -> Result<(End, Vec<u8>)> {
        let lines = dir.join("lines");
        let start = Start {
            payload: &self.payload,
            initramfs,
            disks: dir.to_owned(),
            console: dir.join("console.log"),
            lines: lines.clone(),
            cores: 2,
            memory_mib: self.payload.memory_mib(MEMORY_MIB),
            words: format!("vm.boot={boot} vm.boots={}", self.boots),
            devices: Vec::new(),
        };
        let mut vm = start.run()?;
        let mut watch = Watch::new(&lines);
        let mut cpu = Duration::ZERO;
        let deadline = Instant::now() + self.limit;
        let end = loop {
            if vm.has_ended()? {
                break End::Came;
            }
            if Instant::now() > deadline {
                break End::Stopped(self.limit);
            }
            cpu = vm.cpu();
            watch.look(cpu);
            thread::sleep(Duration::from_millis(100));
        };
        drop(vm);
        report.timings.extend(watch.finish(cpu));
        report.boots += 1;
        Ok((end, fs::read(lines).unwrap_or_default()))
    }
}

/// Makes a folder that holds nothing.
pub(crate) fn make_empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}
