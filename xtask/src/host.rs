//! The tests that need nothing but this machine.

use std::fs;
use std::process::Command;

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

/// The rules of the source tree, then all unit, integration and documentation tests, the examples, the
/// instructions of the hot operations, and the oldest compiler.
pub(crate) fn test() -> Result<()> {
    tidy::check()?;
    vm::install(TOOLS)?;
    let features = ["--features", "lvm-meta/testing,lvm-dm/testing,lvm-native/serde"];
    let mut tests = sh::cargo(&["test", "--quiet", "--workspace"]);
    if has_memory_for_images() {
        tests.env("TMPDIR", IN_MEMORY);
    }
    sh::run(tests.args(features))?;
    vm::install_libraries(DEVICEMAPPER)?;
    let stratis = [
        "test",
        "--quiet",
        "-p",
        "lvm-dm",
        "--features",
        "testing,devicemapper",
    ];
    sh::run(&mut sh::cargo(&stratis))?;
    // As users run it; what it is made of is what `count` counts.
    let quickstart = ["run", "--release", "--quiet", "--example", "quickstart"];
    sh::run(&mut sh::cargo(&quickstart))?;
    count::check()?;
    oldest_compiler()
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

/// Checks the workspace with the oldest compiler that it promises, if that is installed.
fn oldest_compiler() -> Result<()> {
    let manifest = fs::read_to_string(sh::workspace().join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let version = version
        .context("Cargo.toml states no rust-version")?
        .trim_matches('"');
    let installed = sh::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let Some(toolchain) = installed.lines().find(|line| line.starts_with(version)) else {
        println!(
            "# Rust {version}, the oldest that is promised, is not installed: only clippy's incompatible_msrv was checked"
        );
        return Ok(());
    };
    let toolchain = toolchain.split_whitespace().next().unwrap_or(toolchain);
    let check = [
        "run",
        toolchain,
        "cargo",
        "check",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--features",
        "lvm-native/serde",
    ];
    sh::run(
        Command::new("rustup")
            .args(check)
            .current_dir(sh::workspace())
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )
}
