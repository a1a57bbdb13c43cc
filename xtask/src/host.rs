//! The tests that need nothing but this machine.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{count, sh, tidy, vm};

/// Programs that tests run beside the library.
const TOOLS: &[(&str, &str)] = &[
    ("lvm", "lvm2"),
    ("dmsetup", "dmsetup"),
    ("losetup", "mount"),
    ("blkid", "util-linux"),
    ("flock", "util-linux"),
    ("mkfs.ext4", "e2fsprogs"),
    ("strace", "strace"),
];

/// What the crate `devicemapper` is built with.
const DEVICEMAPPER: &[&str] = &["libclang-dev", "libdevmapper-dev", "pkg-config"];

/// Where files are in memory.
const IN_MEMORY: &str = "/dev/shm";
/// Far more than the tests take there.
const ROOM_MIB: u64 = 512;

/// The rules of the source tree, then all unit, integration and documentation tests, the examples, and the instructions of
/// the hot operations.  Says after each stage how long it took.
pub(crate) fn test() -> Result<()> {
    stage("the rules of the source tree", tidy::check)?;
    stage("the packages that tests need", || {
        vm::install(TOOLS)?;
        vm::install_libraries(DEVICEMAPPER)
    })?;
    stage("this machine's tests", || {
        let features = [
            "--features",
            "lvm-meta/testing,lvm-native/testing,lvm-native/serde",
        ];
        let mut tests = sh::cargo(&["test", "--quiet", "--workspace"]);
        if has_memory_for_images() {
            tests.env("TMPDIR", IN_MEMORY);
        }
        sh::run(tests.args(features))
    })?;
    stage("the tests with the crate devicemapper", || {
        let words = [
            "test",
            "--quiet",
            "-p",
            "lvm-dm",
            "--features",
            "testing,devicemapper",
        ];
        sh::run(&mut sh::cargo(&words))
    })?;
    // As users run it; what it is made of is what `count` counts.
    stage("the quickstart", || {
        sh::run(&mut sh::cargo(&[
            "run",
            "--release",
            "--quiet",
            "--example",
            "quickstart",
        ]))
    })?;
    stage("the instructions of the hot operations", count::check)?;
    oldest_compiler()
}

/// Runs one part of a task, and says how long it took.
pub(crate) fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = work()?;
    println!("# {name}: {} s", start.elapsed().as_secs());
    Ok(done)
}

/// Can the tests, which sync their images at each step, make these in memory?
fn has_memory_for_images() -> bool {
    if std::env::var_os("TMPDIR").is_some() {
        return false;
    }
    let mut df = Command::new("df");
    let told = sh::output(df.args(["--output=fstype,avail", "--block-size=1M", IN_MEMORY]));
    let told = told.unwrap_or_default();
    let mut words = told.lines().last().unwrap_or_default().split_whitespace();
    let is_memory = words.next() == Some("tmpfs");
    let room = words.next().and_then(|word| word.parse::<u64>().ok());
    is_memory && room.is_some_and(|room| room >= ROOM_MIB)
}

/// Says whether all of this ran with the oldest compiler that is promised: that of `rust-version`.
fn oldest_compiler() -> Result<()> {
    let manifest = fs::read_to_string(sh::workspace().join("Cargo.toml"))?;
    let promised = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .context("Cargo.toml states no rust-version")?
        .trim_matches('"');
    let used = sh::output(
        Command::new("rustc")
            .arg("--version")
            .current_dir(sh::workspace()),
    )?;
    let is_promised = used
        .split_whitespace()
        .nth(1)
        .is_some_and(|version| version == promised || version.starts_with(&format!("{promised}.")));
    match is_promised {
        true => println!("# all of this ran with Rust {promised}, the oldest that is supported"),
        false => println!(
            "# Rust {promised} is the oldest that is supported; this was {}",
            used.trim()
        ),
    }
    Ok(())
}
