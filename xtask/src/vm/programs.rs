//! The example programs, and tests that need root, as static binaries: one file each, which runs on every generation
//! of Debian.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::debian::{self, Tools};
use crate::sh;

/// What a static program is linked with.
const TOOLS: &Tools = &[("cc", "gcc")];

/// The flag that makes a program static.  It is for the program alone: what that is made of is built once, also for the quickstart
/// and the benches.
const STATIC: [&str; 2] = ["-C", "target-feature=+crt-static"];

/// The examples that scenarios use.
const EXAMPLES: [&str; 6] = ["bench_ops", "callers", "ha_volume", "inspect", "poolctl", "soak"];
/// The tests of the layer that knows hosts, of which those that are marked as ignored want a host of their own.
const HOST_TESTS: &str = "host_tests";
/// What tries every call of a mapper on real devices.
const SELFTEST: &str = "mapper_selftest";

/// Builds them all; gives their paths.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    debian::install(TOOLS)?;
    let dir = sh::target().join("vm-programs");
    fs::create_dir_all(&dir)?;
    let keep = |name: &str, built: PathBuf| -> Result<PathBuf> {
        let path = dir.join(name);
        fs::copy(&built, &path).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(path)
    };
    let mut programs = Vec::new();
    for name in EXAMPLES {
        let words = ["rustc", "--quiet", "--release", "--example", name];
        programs.push(keep(name, built_static(&words)?)?);
    }
    let words = [
        "rustc",
        "--quiet",
        "--release",
        "-p",
        "lvm-dm",
        "--features",
        "testing",
        "--example",
        SELFTEST,
    ];
    programs.push(keep(SELFTEST, built_static(&words)?)?);
    // With the features that the tests of this machine have, so that it is made of what they are made of.
    let features = "lvm-meta/testing,lvm-meta/serde,lvm-dm/testing";
    let words = [
        "rustc",
        "--quiet",
        "--profile",
        "test",
        "-p",
        "lvm-pool",
        "--lib",
        "--features",
        features,
    ];
    programs.push(keep(HOST_TESTS, built_static(&words)?)?);
    Ok(programs)
}

fn built_static(words: &[&str]) -> Result<PathBuf> {
    sh::built(&mut sh::cargo(words), &STATIC)
}

/// The names of the example programs, sorted.
pub(crate) fn names() -> Result<Vec<String>> {
    let dir = sh::workspace().join("examples");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.join("main.rs").is_file() || path.extension().is_some_and(|kind| kind == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}
