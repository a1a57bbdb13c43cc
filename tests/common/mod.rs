//! What the tests of all example programs share.

use std::path::PathBuf;

/// The program of an example, which cargo builds beside the tests.
///
/// `cargo test` builds all examples; `cargo test --test NAME` builds none.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // The test is target/PROFILE/deps/NAME-HASH, the example target/PROFILE/examples/NAME.
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not there: run `cargo build --examples` first",
        program.display()
    );
    program
}
