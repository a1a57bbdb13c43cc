//! Whether this machine's processor runs VMs itself, or has to emulate theirs.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::sh;

/// The kernel's virtual machines.
const KVM: &str = "/dev/kvm";
/// Time in which a kernel that is really run has long found that it has no root.
const LIMIT: Duration = Duration::from_secs(8);
/// What the kernel says of that.
const RAN: &str = "Kernel panic";

/// How the VMs' processors come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accel {
    /// This machine's own, by [`KVM`].
    Kvm,
    /// Emulated: many times slower, and everywhere.
    Emulated,
}

impl Accel {
    /// Tries it with this kernel, and says in one line what is used and why: a device that is there may start no kernel at all.
    ///
    /// # Errors
    /// If QEMU cannot be run.
    pub(crate) fn probe(kernel: &Path) -> Result<Self> {
        let (accel, why) = match File::options().read(true).write(true).open(KVM) {
            Err(error) => (Self::Emulated, format!("{KVM}: {error}")),
            Ok(_) if starts(kernel)? => (Self::Kvm, format!("{KVM} starts a kernel")),
            Ok(_) => (
                Self::Emulated,
                format!(
                    "{KVM} is there, and starts no kernel within {} s",
                    LIMIT.as_secs()
                ),
            ),
        };
        let how = match accel {
            Self::Kvm => "run by this machine's processor",
            Self::Emulated => "emulated",
        };
        println!("# the VMs are {how}: {why}");
        Ok(accel)
    }

    /// QEMU's arguments.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // One emulated instruction for checksums is slower than the table that programs use without it.
            Self::Emulated => ["-accel", "tcg,thread=multi", "-cpu", "max,pclmulqdq=off"],
        }
    }
}

/// Returns `true` if a kernel that is started by [`KVM`] comes to where it misses its root.
fn starts(kernel: &Path) -> Result<bool> {
    let console = sh::target().join("vm-probe.log");
    if let Some(dir) = console.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "q35", "-m", "512", "-no-reboot", "-nic", "none"]);
    qemu.args(["-display", "none", "-monitor", "none"])
        .args(Accel::Kvm.arguments());
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    qemu.arg("-kernel")
        .arg(kernel)
        .args(["-append", "console=ttyS0 panic=-1"]);
    let qemu = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut qemu = qemu.spawn().context("cannot run QEMU")?;
    let end = Instant::now() + LIMIT;
    while qemu.try_wait()?.is_none() && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    // It fails only for a QEMU that is gone.
    let _ = qemu.kill();
    qemu.wait()?;
    let said = fs::read(&console).unwrap_or_default();
    Ok(String::from_utf8_lossy(&said).contains(RAN))
}
