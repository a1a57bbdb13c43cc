//! The example programs as static binaries: one file each, which runs on every generation of Debian.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::debian::{self, Tools};
use crate::sh;

/// Of the machines that the VMs emulate.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What a static program is linked with.
const TOOLS: &Tools = &[("cc", "gcc")];

/// Builds all examples; gives their paths.
pub(crate) fn build() -> Result<Vec<PathBuf>> {
    debian::install(TOOLS)?;
    let mut cargo = sh::cargo(&["build", "--quiet", "--release", "--examples", "--target", TARGET]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    sh::run(&mut cargo)?;
    let dir = sh::target().join(TARGET).join("release/examples");
    Ok(names()?.into_iter().map(|name| dir.join(name)).collect())
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
