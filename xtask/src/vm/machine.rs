//! One VM: what is put into it, how it is run, and what comes back.
//!
//! A VM of this kind runs scenarios, one after the other, and ends.  It has six disks, `/dev/vda` to `/dev/vdf`, of
//! [`DISK_MIB`] each if no scenario wants more; a scenario tells its results as lines, and what it leaves in the guest's `/out` comes back.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::base::Base;
use super::cpio::Archive;
use super::debian::Tools;
use super::report::Report;
use super::scenario::Scenario;
use crate::sh;

/// What running VMs takes.
pub(crate) const TOOLS: &Tools = &[("qemu-system-x86_64", "qemu-system-x86"), ("tar", "tar")];

/// Memory of a VM, if no scenario wants more.
const MEMORY_MIB: u32 = 2048;
/// Size of each of the guest's disks, if no scenario wants more.
const DISK_MIB: u32 = 256;
const DISKS: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];
/// Size of the disk that brings `/out` back.
const RESULT_MIB: u32 = 128;

/// How often a VM is started again that died before any of our programs ran.  QEMU's threaded emulation now and then
/// lets one core run the half of an instruction that the kernel is rewriting on the other: an `int3` oops at boot.
const START_AGAIN: u32 = 2;

/// What a VM is made of.
pub(crate) struct Machine<'a> {
    /// Names the folder below the target folder that keeps the logs and results.
    pub(crate) name: String,
    /// Kernel and tools.
    pub(crate) base: &'a Base,
    /// Does udevd run in the VM?
    pub(crate) udev: bool,
    /// Static programs, put on the guest's path under their file names.
    pub(crate) programs: &'a [PathBuf],
    /// What is run, in this order.
    pub(crate) scenarios: Vec<&'a Scenario>,
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
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
        }
        fs::create_dir_all(&dir)?;
        let initramfs = dir.join("initramfs");
        self.write_initramfs(&initramfs)?;
        for disk in DISKS {
            blank(
                &dir.join(format!("vd{disk}.img")),
                self.most(Scenario::disk_mib, DISK_MIB),
            )?;
        }
        let mut report = Report::new(&self.name, dir.join("out"));
        for boot in 1..=self.boots {
            blank(&dir.join("result.img"), RESULT_MIB)?;
            let start = Instant::now();
            let (mut end, mut lines) = self.boot(&dir, &initramfs, boot)?;
            for _ in 0..START_AGAIN {
                if !(matches!(end, End::Came) && lines.is_empty()) {
                    break;
                }
                report.note("the emulated kernel died before its first program ran, and was started again");
                (end, lines) = self.boot(&dir, &initramfs, boot)?;
            }
            let lines = String::from_utf8_lossy(&lines).replace('\r', "");
            let console = fs::read(dir.join("console.log")).unwrap_or_default();
            report.add_boot(&lines, end, &String::from_utf8_lossy(&console));
            report.took += start.elapsed();
            unpack_results(&dir, boot)?;
            fs::rename(dir.join("console.log"), dir.join(format!("console-{boot}.log")))?;
            fs::rename(dir.join("lines"), dir.join(format!("lines-{boot}")))?;
        }
        for image in DISKS
            .iter()
            .map(|disk| format!("vd{disk}.img"))
            .chain(["result.img".into(), "initramfs".into()])
        {
            fs::remove_file(dir.join(image))?;
        }
        Ok(report)
    }

    /// The most that a scenario wants, and `least` at least.
    fn most(&self, wants: impl Fn(&Scenario) -> Option<u32>, least: u32) -> u32 {
        let wanted = self.scenarios.iter().filter_map(|scenario| wants(scenario));
        wanted.max().unwrap_or(least).max(least)
    }

    /// The payload first, uncompressed, then the base.
    fn write_initramfs(&self, path: &Path) -> Result<()> {
        let mut archive = Archive::new(File::create(path)?);
        let guest = sh::workspace().join("tests/vm/guest");
        archive.file("init", 0o755, &fs::read(guest.join("init"))?)?;
        for name in [
            "lib.sh",
            "helper.py",
            "parity.py",
            "powercut.py",
            "stall.py",
            "stamp.py",
        ] {
            archive.file(&format!("opt/vm/{name}"), 0o644, &fs::read(guest.join(name))?)?;
        }
        let plan: Vec<&str> = self
            .scenarios
            .iter()
            .map(|scenario| scenario.name.as_str())
            .collect();
        archive.file("opt/vm/plan", 0o644, format!("{}\n", plan.join("\n")).as_bytes())?;
        for scenario in &self.scenarios {
            archive.file(
                &format!("opt/vm/{}.sh", scenario.name),
                0o644,
                scenario.text.as_bytes(),
            )?;
        }
        for program in self.programs {
            let name = program
                .file_name()
                .and_then(|name| name.to_str())
                .context("a program without a name")?;
            let content = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
            archive.file(
                &format!("opt/vm/bin/{name}"),
                fs::metadata(program)?.permissions().mode(),
                &content,
            )?;
        }
        let mut out = archive.finish()?;
        std::io::copy(&mut File::open(&self.base.initramfs)?, &mut out)?;
        Ok(())
    }

    /// Starts the VM and waits for its end; with what its scenarios said.
    fn boot(&self, dir: &Path, initramfs: &Path, boot: u32) -> Result<(End, Vec<u8>)> {
        let udev = if self.udev { "udev" } else { "noudev" };
        // `setpriv` so that no VM outlives this program.
        let mut qemu = Command::new("setpriv");
        qemu.args([
            "--pdeathsig",
            "KILL",
            "qemu-system-x86_64",
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
        ]);
        // One emulated instruction for checksums is slower than the table that programs use without it.
        qemu.args([
            "-cpu",
            "max,pclmulqdq=off",
            "-smp",
            "2",
            "-nic",
            "none",
            "-display",
            "none",
            "-monitor",
            "none",
        ]);
        let memory = self.most(Scenario::memory_mib, MEMORY_MIB);
        qemu.args(["-m", &memory.to_string()]);
        qemu.arg("-no-reboot")
            .arg("-kernel")
            .arg(&self.base.kernel)
            .arg("-initrd")
            .arg(initramfs);
        // Older QEMUs translate code by its address: programs that lie elsewhere each time are translated each time,
        // which takes longer than to run them.
        qemu.arg("-append").arg(format!(
            "console=ttyS0 quiet panic=-1 no_timer_check norandmaps vm.udev={udev} vm.boot={boot} vm.boots={}",
            self.boots
        ));
        for serial in ["console.log", "lines"] {
            qemu.arg("-serial")
                .arg(format!("file:{}", dir.join(serial).display()));
        }
        let images = DISKS
            .iter()
            .map(|disk| (format!("vd{disk}"), format!("disk-{disk}")));
        for (image, serial) in images.chain([("result".into(), "result".into())]) {
            let path = dir.join(format!("{image}.img"));
            qemu.arg("-drive").arg(format!(
                "file={},format=raw,if=none,id={image},cache=unsafe,discard=unmap,detect-zeroes=unmap",
                path.display()
            ));
            qemu.arg("-device")
                .arg(format!("virtio-blk-pci,drive={image},serial={serial}"));
        }
        let log = File::create(dir.join("qemu.log"))?;
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run QEMU")?;
        let deadline = Instant::now() + self.limit;
        let end = loop {
            match child.try_wait()? {
                Some(status) if status.success() => break End::Came,
                Some(status) => {
                    let said = fs::read_to_string(dir.join("qemu.log")).unwrap_or_default();
                    bail!("QEMU failed: {status}\n{said}");
                }
                None if Instant::now() > deadline => {
                    child.kill()?;
                    child.wait()?;
                    break End::Stopped(self.limit);
                }
                None => thread::sleep(Duration::from_millis(100)),
            }
        };
        Ok((end, fs::read(dir.join("lines")).unwrap_or_default()))
    }
}

/// How a start of a VM ended.
pub(crate) enum End {
    /// By itself.
    Came,
    /// By its limit.
    Stopped(Duration),
}

fn blank(path: &Path, mib: u32) -> Result<()> {
    File::create(path)?.set_len(u64::from(mib) << 20)?;
    Ok(())
}

/// The guest writes `/out` as a tar archive onto the result disk; a VM that was stopped wrote none.
fn unpack_results(dir: &Path, boot: u32) -> Result<()> {
    let out = dir.join("out").join(format!("boot-{boot}"));
    fs::create_dir_all(&out)?;
    Command::new("tar")
        .arg("-xf")
        .arg(dir.join("result.img"))
        .arg("-C")
        .arg(&out)
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}
