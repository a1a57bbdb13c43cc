//! The program that newcomers run first: it does all its steps, tells them, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn quickstart(temp: &Path) -> Output {
    let mut command = Command::new("timeout");
    command.arg("120").arg(common::example("quickstart"));
    command.env("TMPDIR", temp).output().unwrap()
}

#[test]
fn quickstart_tells_each_step_with_its_time_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let output = quickstart(temp.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &*output.stderr),
        (Some(0), &b""[..]),
        "{text}"
    );

    let steps: Vec<&str> = text.lines().filter(|line| line.ends_with(" ms")).collect();
    for (number, (step, words)) in steps.iter().zip(STEPS).enumerate() {
        assert!(
            step.trim_start().starts_with(&format!("{}. ", number + 1)),
            "{step}"
        );
        assert!(step.contains(words), "{step}: no {words:?}");
    }
    assert_eq!(steps.len(), STEPS.len(), "{text}");
    assert!(text.contains("capacity 120 MiB"), "{text}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

/// Words of each step, in order.
const STEPS: [&str; 13] = [
    "two image files",
    "create a pool",
    "create a replica",
    "striped over both disks",
    "write 8 MiB",
    "resize it to 80 MiB",
    "read the data back",
    "list the replicas",
    "open the pool again",
    "read the data back again",
    "draw the extents",
    "destroy the pool",
    "remove the images",
];

#[test]
fn quickstart_fails_with_the_reason_where_it_cannot_write() {
    let output = quickstart(Path::new("/nowhere/at/all"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("/nowhere/at/all")
    );
}
