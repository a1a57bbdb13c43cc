//! A short portion of what `cargo xtask soak` does for as long as one likes, and the search for a short list of steps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../examples/soak/run/mod.rs"]
mod run;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use run::{Failure, Place, World};
use uuid::Uuid;

const STEPS: usize = 1500;

fn disks(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    (0..4).map(|n| dir.path().join(format!("disk-{n}"))).collect()
}

fn soak(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    if let Err(why) = run::on_images(&disks(&dir), seed, 1..=STEPS) {
        panic!("seed {seed}: {why}");
    }
}

#[test]
fn random_operations_leave_what_a_model_says_seed_1() {
    soak(1);
}

#[test]
fn random_operations_leave_what_a_model_says_seed_2() {
    soak(2);
}

/// A model that is wrong on purpose: it does not know that the pool may have both of two replicas.
fn replay_with_wrong_model(disks: &[PathBuf], steps: &[usize], pair: [Uuid; 2]) -> Option<Failure> {
    let mut world = World::new(Place::new(disks.to_vec(), false).unwrap(), 3).unwrap();
    run::play(&mut world, steps.iter().copied()).unwrap();
    let replicas = world.pool().unwrap().replicas().unwrap();
    let has = |wanted: &Uuid| replicas.iter().any(|info| info.uuid == *wanted);
    pair.iter().all(has).then(|| Failure {
        why: format!(
            "{} and {} are both there, of {}",
            pair[0],
            pair[1],
            replicas.len()
        ),
        steps: steps.to_vec(),
        log: world.last(),
    })
}

/// The step that made a replica.
fn step_of(uuid: Uuid) -> usize {
    usize::try_from(uuid.as_u128() >> 8 & 0xffff_ffff).unwrap()
}

#[test]
fn a_failure_is_searched_for_the_fewest_steps_that_fail_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let disks = disks(&dir);
    let mut world = World::new(Place::new(disks.clone(), false).unwrap(), 3).unwrap();
    // Until there are two that were made by different steps, each of which needs no other.
    let (mut steps, mut wanted, mut pair) = (0, [0, 0], [Uuid::nil(); 2]);
    while wanted[0] == wanted[1] {
        run::play(&mut world, steps + 1..=steps + 80).unwrap();
        steps += 80;
        let thick = world.model.uuids(|replica| !replica.thin);
        pair = [thick.first(), thick.last()].map(|uuid| uuid.copied().unwrap_or_default());
        wanted = pair.map(step_of);
    }
    drop(world);
    let steps: Vec<usize> = (1..=steps).collect();

    let failed = replay_with_wrong_model(&disks, &steps, pair).unwrap();
    let mut replays = 0;
    let found = run::shortest(&failed, Instant::now() + Duration::from_secs(600), &mut |steps| {
        replays += 1;
        replay_with_wrong_model(&disks, steps, pair)
    });
    assert_eq!(found.unwrap().steps, wanted);
    assert!(replays < steps.len(), "{replays} replays");
    // Without time the list stays as it is.
    let none = run::shortest(&failed, Instant::now(), &mut |_| panic!("the time is over"));
    assert!(none.is_none());
}

#[test]
fn a_shorter_list_that_fails_in_another_way_is_not_taken() {
    let failure = |why: &str, steps: &[usize]| Failure {
        why: why.into(),
        steps: steps.to_vec(),
        log: String::new(),
    };
    let failed = failure(
        "replica 7a has lost what was written to slot 3\nmore",
        &[1, 2, 3, 4],
    );
    let found = run::shortest(
        &failed,
        Instant::now() + Duration::from_secs(60),
        &mut |steps| match (steps.contains(&2), steps.contains(&4)) {
            (true, true) => Some(failure("replica 9b has lost what was written to slot 5", steps)),
            _ => Some(failure("the pool is not well: 1", steps)),
        },
    );
    assert_eq!(found.unwrap().steps, [2, 4]);
}
