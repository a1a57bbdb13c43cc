//! Fuzzing the readers of hostile bytes.

use std::process::Command;

use anyhow::Result;

use crate::sh;

/// Runs each fuzz target for so many seconds.  Installs cargo-fuzz if it is missing.
pub(crate) fn run(seconds: &str) -> Result<()> {
    if Command::new("cargo")
        .args(["fuzz", "--version"])
        .output()
        .map_or(true, |output| !output.status.success())
    {
        sh::run(&mut sh::cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    // It asks for features that only a nightly compiler offers; this lets the stable one take part.
    let fuzz = |words: &[&str]| {
        let mut cargo = sh::cargo(&["fuzz"]);
        cargo.args(words).env("RUSTC_BOOTSTRAP", "1");
        cargo
    };
    for target in sh::output(&mut fuzz(&["list"]))?.lines() {
        println!("# {target} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        sh::run(&mut fuzz(&[
            "run",
            target,
            "--",
            &limit,
            "-rss_limit_mb=4096",
            "-timeout=10",
        ]))?;
    }
    Ok(())
}
