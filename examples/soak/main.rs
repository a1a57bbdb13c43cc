//! Draws random operations by a seed, does them on a pool, and compares everything with a model of what should be.
//!
//! ```text
//! soak images|kernel SEED SECONDS|--steps N,N,... DISK...
//! ```
//!
//! On image files, which are made as needed, the mapper is the embedded one, which does thin pools if the feature
//! `testing` is on; with the kernel's, LVM's own tools change the pool in turn.  Overwrites the disks.
//!
//! Each step depends on the seed and its number alone, so that any of them can be done without the others.  Exit 1
//! tells what is wrong after which operations; on image files also the shortest list of steps that is found to fail
//! the same way.

mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use run::{Outcome, Place, World};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let Some(wanted) = Wanted::read(&words) else {
        eprintln!("usage: soak images|kernel SEED SECONDS|--steps N,N,... DISK...");
        return ExitCode::from(2);
    };
    let seed = wanted.seed;
    println!("seed {seed}");
    match wanted.run() {
        Ok(done) => {
            println!("seed {seed}: {done}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Wanted {
    is_kernel: bool,
    seed: u64,
    steps: Steps,
    disks: Vec<PathBuf>,
}

enum Steps {
    /// All, for so long.
    For(Duration),
    These(Vec<usize>),
}

impl Wanted {
    fn read(words: &[&str]) -> Option<Self> {
        let (mode, seed, steps, disks) = match words {
            [mode, seed, "--steps", list, disks @ ..] => {
                let steps = list.split(',').map(|step| step.parse().ok());
                (mode, seed, Steps::These(steps.collect::<Option<_>>()?), disks)
            }
            [mode, seed, seconds, disks @ ..] => {
                let time = Duration::from_secs(seconds.parse().ok()?);
                (mode, seed, Steps::For(time), disks)
            }
            _ => return None,
        };
        let is_kernel = match *mode {
            "images" => false,
            "kernel" => true,
            _ => return None,
        };
        (!disks.is_empty()).then_some(())?;
        Some(Self {
            is_kernel,
            seed: seed.parse().ok()?,
            steps,
            disks: disks.iter().map(Into::into).collect(),
        })
    }

    fn run(self) -> Outcome<String> {
        let (seed, disks) = (self.seed, self.disks);
        match (self.steps, self.is_kernel) {
            (Steps::For(time), is_kernel) => {
                let end = Instant::now() + time;
                let steps = (1..).take_while(move |_| Instant::now() < end);
                match is_kernel {
                    true => on_kernel(disks, seed, steps),
                    false => run::on_images(&disks, seed, steps),
                }
            }
            (Steps::These(steps), true) => on_kernel(disks, seed, steps.into_iter()),
            (Steps::These(steps), false) => {
                run::once(&disks, seed, steps.into_iter())?.map_err(|failed| failed.to_string())
            }
        }
    }
}

fn on_kernel(disks: Vec<PathBuf>, seed: u64, steps: impl Iterator<Item = usize>) -> Outcome<String> {
    let mut world = World::new(Place::new(disks, true)?, seed)?;
    run::play(&mut world, steps).map_err(|failed| failed.to_string())
}
