//! Random operations by a seed, for as long as one likes: `examples/soak` on image files, or in a VM.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Images of the pool and beside it.
const IMAGES: usize = 4;
/// What a VM gets at once: it has a limit to its life.
const MOST_MINUTES: u64 = 30;
/// How the VM's payload learns of seed and minutes.
pub(crate) const WORDS: &str = "LVM_NATIVE_SOAK";

/// On image files.
pub(crate) fn on_images(seed: &str, minutes: &str) -> Result<()> {
    let (seed, minutes) = numbers(seed, minutes)?;
    let memory = std::path::Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory.into()
    } else {
        sh::target()
    };
    let dir = parent.join(format!("soak-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let mut cargo = sh::cargo(&["run", "--quiet", "--release"]);
    cargo.args(["--features", "testing", "--example", "soak"]);
    cargo.args(["--", "images"]);
    cargo.args([seed.to_string(), (minutes * 60).to_string()]);
    cargo.args((0..IMAGES).map(|number| dir.join(format!("disk-{number}"))));
    let done = sh::run(&mut cargo);
    // What went wrong can be looked at.
    match &done {
        Ok(()) => fs::remove_dir_all(&dir)?,
        Err(_) => println!("the disks are in {}", dir.display()),
    }
    done
}

/// In a VM, in portions of seeds that follow each other.
pub(crate) fn in_vm(seed: &str, minutes: &str) -> Result<()> {
    let (mut seed, mut minutes) = numbers(seed, minutes)?;
    while minutes > 0 {
        let portion = minutes.min(MOST_MINUTES);
        let mut vm = Command::new(std::env::current_exe()?);
        vm.args(["vm", "bookworm", "noudev", "soak"]);
        sh::run(vm.env(WORDS, format!("{seed} {portion}\n")))?;
        minutes -= portion;
        seed = seed.wrapping_add(1);
    }
    Ok(())
}

fn numbers(seed: &str, minutes: &str) -> Result<(u64, u64)> {
    let seed = seed.parse().context("SEED is no number")?;
    match minutes.parse().context("MINUTES is no number")? {
        0 => bail!("MINUTES is 0"),
        minutes => Ok((seed, minutes)),
    }
}
