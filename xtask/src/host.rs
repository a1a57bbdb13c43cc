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
];

/// What the crate `devicemapper` is built with.
const DEVICEMAPPER: &[&str] = &["libclang-dev", "libdevmapper-dev", "pkg-config"];

/// The rules of the source tree, then all unit, integration and documentation tests, the examples, the
/// instructions of the hot operations, and the oldest compiler.
pub(crate) fn test() -> Result<()> {
    tidy::check()?;
    vm::install(TOOLS)?;
    let features = ["--features", "lvm-meta/testing,lvm-dm/testing,lvm-native/serde"];
    sh::run(sh::cargo(&["test", "--quiet", "--workspace"]).args(features))?;
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
    sh::run(&mut sh::cargo(&["run", "--quiet", "--example", "quickstart"]))?;
    count::check()?;
    oldest_compiler()
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
