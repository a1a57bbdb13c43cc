//! The random run: places, operations, the model, and the search for the shortest list of steps that fails.

mod check;
mod copy;
mod model;
mod place;
mod play;
mod pool;
mod random;
mod replicas;
mod restore;
mod share;
mod shrink;
mod target;
mod thin;
mod tools;
mod tools_cache;
mod tools_lvs;
mod volume;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lvm_native::pool::Error;

pub(crate) use place::Place;
pub(crate) use play::{Failure, play};
use shrink::{essence, shrink};
pub(crate) use world::World;

/// Longest search for a shorter list of steps.
const SEARCH: Duration = Duration::from_secs(120);

/// What is wrong, in words.
pub(crate) type Outcome<T> = Result<T, String>;

fn told(error: Error) -> String {
    format!("{}: {error}", error.kind())
}

/// Runs on image files that are made; on a failure, searches for fewer steps that fail the same way.
///
/// # Errors
/// All of this in words, with the command that repeats it.
pub(crate) fn on_images(disks: &[PathBuf], seed: u64, steps: impl Iterator<Item = usize>) -> Outcome<String> {
    let failed = match once(disks, seed, steps)? {
        Ok(done) => return Ok(done),
        Err(failed) => failed,
    };
    // The disks as they are after the failure can be looked at.
    let again: Vec<PathBuf> = disks.iter().map(|disk| disk.with_extension("again")).collect();
    let shortest = shortest(&failed, Instant::now() + SEARCH, &mut |steps| {
        once(&again, seed, steps.iter().copied()).ok()?.err()
    });
    Err(format!("{failed}\n{}", report(&shortest, seed, &again)))
}

/// Does steps on blank images.
///
/// # Errors
/// The images cannot be made.
pub(crate) fn once(
    disks: &[PathBuf],
    seed: u64,
    steps: impl Iterator<Item = usize>,
) -> Outcome<Result<String, Failure>> {
    let mut world = World::new(Place::new(disks.to_vec(), false)?, seed)?;
    Ok(play(&mut world, steps))
}

/// The failure of the shortest list of steps that is found to fail as that one.
pub(crate) fn shortest(
    failed: &Failure,
    end: Instant,
    replay: &mut dyn FnMut(&[usize]) -> Option<Failure>,
) -> Option<Failure> {
    let mut last = None;
    let wanted = essence(&failed.why);
    shrink(failed.steps.clone(), end, &mut |steps| {
        let found = replay(steps).filter(|found| essence(&found.why) == wanted)?;
        let done = found.steps.clone();
        last = Some(found);
        Some(done)
    });
    last
}

fn report(shortest: &Option<Failure>, seed: u64, disks: &[PathBuf]) -> String {
    let Some(found) = shortest else {
        return "no shorter list of steps was found that fails the same way".into();
    };
    let steps: Vec<String> = found.steps.iter().map(ToString::to_string).collect();
    let disks: Vec<String> = disks.iter().map(|disk| shown(disk)).collect();
    let features = if cfg!(feature = "testing") {
        "--features testing "
    } else {
        ""
    };
    format!(
        "{} steps fail the same way, {found}\nthis repeats it:\n\
         cargo run --release {features}--example soak -- images {seed} --steps {} {}",
        steps.len(),
        steps.join(","),
        disks.join(" ")
    )
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
