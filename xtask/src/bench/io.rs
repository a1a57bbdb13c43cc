//! `cargo xtask bench io`: the embedded mapper's reads and writes, beside pread and pwrite of its images.

use std::fs;

use anyhow::{Result, bail};

use crate::sh;

/// Time of a call through the mapper, as a multiple of that on the file.
const TARGET: f64 = 1.10;

/// Runs the measurement and prints it as a table.
pub(crate) fn run() -> Result<()> {
    let dir = sh::target().join("bench-io");
    fs::create_dir_all(&dir)?;
    let mut cargo = sh::cargo(&["bench", "--quiet", "--bench", "io", "--"]);
    let report = sh::output(cargo.arg(&dir))?;
    println!("Median times of the processor of one call, in nanoseconds, in the page cache.\n");
    println!("| table | call | bytes | mapped | file | mapped/file |");
    println!("|---|---|---:|---:|---:|---:|");
    let mut missed = Vec::new();
    for line in report.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [table, call, bytes, mapped, file] = words[..] else {
            bail!("not a time: {line:?}");
        };
        let ratio = mapped.parse::<f64>()? / file.parse::<f64>()?;
        println!("| {table} | {call} | {bytes} | {mapped} | {file} | {ratio:.2} |");
        if ratio > TARGET {
            missed.push(format!(
                "{call} of {bytes} bytes, {table}: {ratio:.2} of {TARGET:.2}"
            ));
        }
    }
    println!();
    super::print_missed(&missed);
    Ok(())
}
