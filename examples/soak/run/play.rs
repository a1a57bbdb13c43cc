//! Which operations there are, and how they are drawn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::world::World;
use super::{Outcome, copy, pool, replicas, restore, share, thin, tools, volume};

/// One random operation.
pub(crate) type Operation = fn(&mut World) -> Outcome<()>;

/// How often everything is compared, in operations.
const CHECK_ALL_EACH: usize = 25;

const OPERATIONS: &[(usize, Operation)] = &[
    (10, replicas::create),
    (4, replicas::create_many),
    (6, replicas::create_again),
    (9, replicas::destroy),
    (9, replicas::resize),
    (6, replicas::set),
    (20, replicas::write),
    (10, replicas::read),
    (5, replicas::switch),
    (5, replicas::convert),
    (2, replicas::scrub),
    (4, thin::pool),
    (8, thin::create),
    (8, thin::snapshot),
    (6, thin::clone),
    (6, thin::destroy_snapshot),
    (3, thin::thick_snapshot),
    (7, share::share),
    (3, another_process),
    (2, pool::export),
    (4, pool::disks),
    (2, pool::replace),
    (2, pool::narrow),
    (3, pool::move_one),
    (2, pool::rename),
    (2, pool::idle),
    (2, pool::begin_again),
    (3, pool::tag),
    (1, restore::restore),
    (1, copy::import),
    (1, volume::volume),
    (40, tools::tools),
];

/// What went wrong, and what was done until then.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In words; the first line tells it all.
    pub(crate) why: String,
    /// The steps that were done, the last of which failed, or a comparison after it.
    pub(crate) steps: Vec<usize>,
    /// The last operations.
    pub(crate) log: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.steps.last().copied().unwrap_or_default();
        writeln!(f, "after step {last}: {}", self.why)?;
        write!(f, "the last operations:\n{}", self.log)
    }
}

/// Does the steps of these numbers; what was done, in words.
///
/// # Errors
/// What is wrong after one of them, or at the end.
pub(crate) fn play(world: &mut World, steps: impl Iterator<Item = usize>) -> Result<String, Failure> {
    let mut done = Vec::new();
    for step in steps {
        done.push(step);
        let result = caught(|| one(world, step));
        result.map_err(|why| failure(world, &done, why))?;
    }
    caught(|| world.check_all()).map_err(|why| failure(world, &done, why))?;
    Ok(format!(
        "{} operations, and all is as it should be\n{}",
        done.len(),
        world.tally()
    ))
}

fn failure(world: &World, steps: &[usize], why: String) -> Failure {
    Failure {
        why,
        steps: steps.to_vec(),
        log: world.last(),
    }
}

/// A panic of the library is a failure as any other, and can be searched for.
fn caught(what: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn one(world: &mut World, step: usize) -> Outcome<()> {
    world.begin(step);
    world.weighted(OPERATIONS)?;
    match step.is_multiple_of(CHECK_ALL_EACH) {
        true => world.check_all(),
        false => world.check().map(drop),
    }
}

fn another_process(world: &mut World) -> Outcome<()> {
    world.note("restart the process".into());
    world.restart()?;
    world.check_all()
}

impl World {
    /// Does one of these, each as often as its number says.
    pub(crate) fn weighted(&mut self, operations: &[(usize, Operation)]) -> Outcome<()> {
        let all: usize = operations.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.random.below(all);
        for (weight, operation) in operations {
            if drawn < *weight {
                return operation(self);
            }
            drawn -= weight;
        }
        Ok(())
    }
}
