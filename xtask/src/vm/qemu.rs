//! One start of a VM: how QEMU is called, and how it ends.
//!
//! A VM has six disks, `/dev/vda` to `/dev/vdf`, and one that brings its `/out` back, `/dev/vdg`; its console, and a second
//! serial line on which it tells what is worth keeping.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::debian::Tools;
use super::payload::Payload;
use super::timing;

/// What running VMs takes.
pub(crate) const TOOLS: &Tools = &[("qemu-system-x86_64", "qemu-system-x86"), ("tar", "tar")];

const DISKS: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];
/// Size of the disk that brings `/out` back.
const RESULT_MIB: u32 = 128;

/// What a kernel whose times nobody measures is told, so that it has less to do; none of it changes what devices do.
///
/// What defends a kernel against its programs and its processor is left out, and grace periods of RCU, of which each
/// suspend has some, are short.
///
/// The clock is the emulated HPET's, which costs nothing beside: the kernel measures the processor's counter when it starts, and
/// on a busy host now and then so wrongly that all its seconds are short.
const FASTER: &str = "mitigations=off nosmap nosmep init_on_alloc=0 randomize_kstack_offset=off audit=0 lsm= \
    rcupdate.rcu_expedited=1 clocksource=hpet";

/// How often a VM is started again that died before any of our programs ran.  QEMU's threaded emulation now and then
/// lets one core run the half of an instruction that the kernel is rewriting on the other: an `int3` oops at boot.
pub(crate) const START_AGAIN: u32 = 2;
/// What a report says of that.
pub(crate) const STARTED_AGAIN: &str =
    "the emulated kernel died before its first program ran, and was started again";

/// How a VM is started.
pub(crate) struct Start<'a> {
    /// What is in it.
    pub(crate) payload: &'a Payload<'a>,
    /// The initramfs that was made of the payload.
    pub(crate) initramfs: &'a Path,
    /// Folder of the disks' images.
    pub(crate) disks: PathBuf,
    /// Where what it writes to its console goes.
    pub(crate) console: PathBuf,
    /// Where what it writes to its second serial line goes.
    pub(crate) lines: PathBuf,
    /// Number of its cores.
    pub(crate) cores: u32,
    /// Its memory.
    pub(crate) memory_mib: u32,
    /// Words for its init, on the kernel's command line.
    pub(crate) words: String,
    /// More of QEMU's arguments, such as those of a network.
    pub(crate) devices: Vec<String>,
}

/// A VM that runs.  It ends with this value, or with this program.
pub(crate) struct Vm {
    qemu: Child,
    log: PathBuf,
}

impl Start<'_> {
    /// Starts the VM.
    pub(crate) fn run(&self) -> Result<Vm> {
        // `setpriv` so that no VM outlives this program.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "q35"]);
        let conduct = &self.payload.conduct;
        qemu.args(conduct.accel.arguments());
        qemu.args(["-smp", &self.cores.to_string()]);
        qemu.args(["-nic", "none", "-display", "none", "-monitor", "none"]);
        qemu.args(["-m", &self.memory_mib.to_string()]);
        qemu.arg("-no-reboot")
            .arg("-kernel")
            .arg(&self.payload.base.kernel)
            .arg("-initrd")
            .arg(self.initramfs);
        let faster = if conduct.is_measured { "" } else { FASTER };
        // Older QEMUs translate code by its address: programs that lie elsewhere each time are translated each time,
        // which takes longer than to run them.
        qemu.arg("-append").arg(format!(
            "console=ttyS0 quiet panic=-1 no_timer_check nosoftlockup norandmaps {faster} {} {}",
            conduct.words(self.payload.udev),
            self.words
        ));
        for serial in [&self.console, &self.lines] {
            qemu.arg("-serial").arg(format!("file:{}", serial.display()));
        }
        let images = DISKS
            .iter()
            .map(|disk| (format!("vd{disk}"), format!("disk-{disk}")));
        for (image, serial) in images.chain([("result".into(), "result".into())]) {
            let path = self.disks.join(format!("{image}.img"));
            qemu.arg("-drive").arg(format!(
                "file={},format=raw,if=none,id={image},cache=unsafe,discard=unmap,detect-zeroes=unmap",
                path.display()
            ));
            qemu.arg("-device")
                .arg(format!("virtio-blk-pci,drive={image},serial={serial}"));
        }
        qemu.args(&self.devices);
        let log_path = self.disks.join("qemu.log");
        let log = File::create(&log_path)?;
        let qemu = qemu
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run QEMU")?;
        Ok(Vm { qemu, log: log_path })
    }
}

impl Vm {
    /// Returns the time that it has taken of this machine's processors.
    pub(crate) fn cpu(&self) -> Duration {
        timing::cpu_of(self.qemu.id())
    }

    /// Did the VM come to its end?
    ///
    /// # Errors
    /// If QEMU failed.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        match self.qemu.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("QEMU failed: {status}\n{said}");
            }
        }
    }
}

impl Drop for Vm {
    /// Takes its power away, if it still has any.
    fn drop(&mut self) {
        // Neither fails but for a QEMU that is gone.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// How a start of a VM ended.
pub(crate) enum End {
    /// By itself.
    Came,
    /// By its limit.
    Stopped(Duration),
}

/// Makes the images of the disks in `dir`, all blank.
pub(crate) fn make_disks(dir: &Path, mib: u32) -> Result<()> {
    for disk in DISKS {
        blank(&dir.join(format!("vd{disk}.img")), mib)?;
    }
    Ok(())
}

/// Makes the image of the disk that brings `/out` back, blank.
pub(crate) fn make_result(dir: &Path) -> Result<()> {
    blank(&dir.join("result.img"), RESULT_MIB)
}

/// Removes all images.
pub(crate) fn remove_disks(dir: &Path) -> Result<()> {
    let names = DISKS.iter().map(|disk| format!("vd{disk}.img"));
    for image in names.chain(["result.img".into()]) {
        fs::remove_file(dir.join(image))?;
    }
    Ok(())
}

fn blank(path: &Path, mib: u32) -> Result<()> {
    File::create(path)?.set_len(u64::from(mib) << 20)?;
    Ok(())
}

/// The guest writes `/out` as a tar archive onto the result disk; a VM that was stopped wrote none.
pub(crate) fn unpack_results(disks: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    Command::new("tar")
        .arg("-xf")
        .arg(disks.join("result.img"))
        .arg("-C")
        .arg(out)
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}
