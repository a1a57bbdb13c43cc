//! What is put into a VM beside its base: its init, the words of the scenarios, the scenarios, and programs.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::base::Base;
use super::conduct::Conduct;
use super::cpio::Archive;
use super::scenario::Scenario;
use crate::{sh, soak};

/// Files of `tests/vm/guest` that scenarios and inits use.
const GUEST_FILES: [&str; 10] = [
    "agent.py",
    "cluster.sh",
    "failing.py",
    "helper.py",
    "lib.sh",
    "on.sh",
    "parity.py",
    "powercut.py",
    "stamp.py",
    "volume_words.sh",
];

/// Size of each of the guest's disks, if no scenario wants more.
const DISK_MIB: u32 = 256;

/// What the VMs of a machine are made of.
pub(crate) struct Payload<'a> {
    /// Kernel and tools.
    pub(crate) base: &'a Base,
    /// Does udevd run?
    pub(crate) udev: bool,
    /// How it is run.
    pub(crate) conduct: Conduct,
    /// Static programs, put on the guest's path under their file names.
    pub(crate) programs: &'a [PathBuf],
    /// What is run, in this order.
    pub(crate) scenarios: Vec<&'a Scenario>,
}

impl Payload<'_> {
    /// Writes the initramfs: the payload first, then the base.
    pub(crate) fn write_initramfs(&self, path: &Path) -> Result<()> {
        let mut archive = Archive::new(File::create(path)?);
        let guest = sh::workspace().join("tests/vm/guest");
        archive.file("init", 0o755, &fs::read(guest.join("init"))?)?;
        for name in GUEST_FILES {
            archive.file(&format!("opt/vm/{name}"), 0o644, &fs::read(guest.join(name))?)?;
        }
        let plan: Vec<&str> = self
            .scenarios
            .iter()
            .map(|scenario| scenario.name.as_str())
            .collect();
        archive.file("opt/vm/plan", 0o644, format!("{}\n", plan.join("\n")).as_bytes())?;
        if let Ok(words) = std::env::var(soak::WORDS) {
            archive.file("opt/vm/soak", 0o644, words.as_bytes())?;
        }
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

    /// Memory of a VM: the most that a scenario wants, and `least` at least.
    pub(crate) fn memory_mib(&self, least: u32) -> u32 {
        self.most(Scenario::memory_mib, least)
    }

    /// Size of each of a VM's disks.
    pub(crate) fn disk_mib(&self) -> u32 {
        self.most(Scenario::disk_mib, DISK_MIB)
    }

    fn most(&self, wants: impl Fn(&Scenario) -> Option<u32>, least: u32) -> u32 {
        let wanted = self.scenarios.iter().filter_map(|scenario| wants(scenario));
        wanted.max().unwrap_or(least).max(least)
    }
}
