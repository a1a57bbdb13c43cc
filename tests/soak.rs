//! A short portion of what `cargo xtask soak` does for as long as one likes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../examples/soak/model.rs"]
mod model;
#[path = "../examples/soak/play.rs"]
mod play;
#[path = "../examples/soak/play_pool.rs"]
mod play_pool;
#[path = "../examples/soak/random.rs"]
mod random;
#[path = "../examples/soak/world.rs"]
mod world;

use world::{Place, World};

const STEPS: usize = 1500;
const IMAGE: u64 = 64 << 20;

fn soak(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let disks: Vec<_> = (0..4).map(|n| dir.path().join(format!("disk-{n}"))).collect();
    for disk in &disks {
        std::fs::File::create(disk).unwrap().set_len(IMAGE).unwrap();
    }
    let place = Place {
        kernel: false,
        locks: dir.path().join("lock"),
        disks,
    };
    let mut world = World::new(place, seed).unwrap();
    if let Err(why) = play::play(&mut world, |step| step < STEPS) {
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
