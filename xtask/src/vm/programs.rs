//! The example programs, and tests that need root, as static binaries: one file each, which runs on every generation
//! of Debian.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Tools};
use crate::sh;

/// Of the machines that the VMs emulate.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What a static program is linked with.
const TOOLS: &Tools = &[("cc", "gcc")];

/// The tests of the layer that knows hosts, of which those that are marked as ignored want a host of their own.
const HOST_TESTS: &str = "host_tests";
/// What tries every call of a mapper on real devices.
const SELFTEST: &str = "mapper_selftest";

/// Builds them all; gives their paths.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    debian::install(TOOLS)?;
    sh::run(&mut cargo_static(&["build", "--quiet", "--examples"]))?;
    let selftest = [
        "build",
        "--quiet",
        "-p",
        "lvm-dm",
        "--features",
        "testing",
        "--example",
        SELFTEST,
    ];
    sh::run(&mut cargo_static(&selftest))?;
    let dir = sh::target().join(TARGET).join("release/examples");
    let mut programs: Vec<PathBuf> = names()?.into_iter().map(|name| dir.join(name)).collect();
    programs.extend([dir.join(SELFTEST), build_host_tests()?]);
    Ok(programs)
}

fn cargo_static(args: &[&str]) -> Command {
    let mut cargo = sh::cargo(args);
    cargo.args(["--release", "--target", TARGET]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    cargo
}

fn build_host_tests() -> Result<PathBuf> {
    let args = ["test", "--no-run", "--quiet", "-p", "lvm-pool", "--lib"];
    let path = sh::target().join(TARGET).join("release").join(HOST_TESTS);
    fs::copy(sh::built(&mut cargo_static(&args))?, &path)?;
    Ok(path)
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
