//! Draws random operations by a seed, does them on a pool, and compares everything with a model of what should be.
//!
//! ```text
//! soak images|kernel SEED SECONDS DISK...
//! ```
//!
//! On image files, which are made as needed, the mapper is the embedded one; with the kernel's, LVM's own tools change the pool in turn.
//! Overwrites the disks.  Exit 1 tells what is wrong after which operations; the same seed draws the same ones.

mod model;
mod play;
mod play_pool;
mod random;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use world::{Outcome, Place, World};

/// Size of an image that is made.
const IMAGE: u64 = 64 << 20;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, seed, seconds, disks @ ..] = args.as_slice() else {
        return usage();
    };
    let (Ok(seed), Ok(seconds)) = (seed.parse(), seconds.parse()) else {
        return usage();
    };
    if !["images", "kernel"].contains(&mode.as_str()) || disks.is_empty() {
        return usage();
    }
    println!("seed {seed}");
    match soak(mode == "kernel", seed, seconds, disks) {
        Ok(steps) => {
            println!("seed {seed}: {steps} operations, and all is as it should be");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: soak images|kernel SEED SECONDS DISK...");
    ExitCode::from(2)
}

fn soak(kernel: bool, seed: u64, seconds: u64, disks: &[String]) -> Outcome<usize> {
    let disks: Vec<PathBuf> = disks.iter().map(Into::into).collect();
    for disk in disks.iter().filter(|_| !kernel) {
        let made = std::fs::File::create(disk).and_then(|file| file.set_len(IMAGE));
        made.map_err(|error| format!("{}: {error}", disk.display()))?;
    }
    let locks = disks
        .first()
        .and_then(|disk| disk.parent())
        .map(|dir| dir.join("lock"));
    let place = Place {
        kernel,
        locks: locks.unwrap_or_default(),
        disks,
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut world = World::new(place, seed)?;
    play::play(&mut world, |_| Instant::now() < end)
}
