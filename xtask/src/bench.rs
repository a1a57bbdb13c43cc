//! `cargo xtask bench`: the library against the commands that io-engine's LVM backend runs today, in one VM boot.

pub(crate) mod io;
pub(crate) mod metadata;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::vm;
use trace::Counts;

/// What the ratios shall reach, in a long-lived process and with a fresh `poolctl` for each call.
const TARGETS: [(&str, f64); 2] = [("process", 100.0), ("ours", 5.0)];
const OPERATIONS: [&str; 5] = ["create", "settag", "resize", "list", "destroy"];

/// Microseconds by who, number of LVs and operation.
type Times = BTreeMap<(String, u32, String), Vec<u64>>;

/// Runs the comparison and prints it as two tables; with udevd if `udev`.
pub(crate) fn run(udev: bool) -> Result<()> {
    let report = vm::run_alone("bookworm", udev, "bench/ops.sh")?;
    let out = report.out.join("boot-1/ops");
    let times = read_times(&out.join("times"))?;
    let mut sizes: Vec<u32> = times.keys().map(|(_, lvs, _)| *lvs).collect();
    sizes.sort_unstable();
    sizes.dedup();

    println!(
        "Median times in milliseconds; ratios to the commands of the tools.  \"kernel\" is what of the time in process"
    );
    println!(
        "no library can save: the device-mapper calls, the zeroing, and the writes and syncs of one commit.\n"
    );
    println!("| LVs | operation | tools | poolctl | ratio | in process | ratio | kernel |");
    println!("|---:|---|---:|---:|---:|---:|---:|---:|");
    let mut missed = Vec::new();
    for lvs in &sizes {
        for operation in OPERATIONS {
            let median = |who: &str| median(&times, who, *lvs, operation);
            let [tools, fresh, process, floor] = [
                median("tools")?,
                median("ours")?,
                median("process")?,
                median("floor")?,
            ];
            println!(
                "| {lvs} | {operation} | {:.1} | {:.1} | {:.1} | {:.2} | {:.0} | {:.2} |",
                tools / 1e3,
                fresh / 1e3,
                tools / fresh,
                process / 1e3,
                tools / process,
                floor / 1e3,
            );
            for ((who, target), found) in TARGETS.iter().zip([tools / process, tools / fresh]) {
                if found < *target && operation != "list" {
                    missed.push(format!(
                        "{who} {operation} at {lvs} LVs: {found:.1} of {target}; the kernel alone leaves {:.0}",
                        tools / floor
                    ));
                }
            }
        }
    }

    println!("\nSystem calls, syncs and bytes written by them, of one operation in a pool of 100 LVs.\n");
    println!(
        "| operation | in process: calls | ioctls | syncs | bytes | poolctl: calls | syncs | tools: calls | syncs |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let marked = read(&out.join("trace-process"))?;
    for operation in OPERATIONS {
        let process = Counts::between(&marked, operation);
        let of =
            |who: &str| read(&out.join(format!("trace-{who}-{operation}"))).map(|text| Counts::of(&text));
        let (fresh, tools) = (of("poolctl")?, of("tools")?);
        println!(
            "| {operation} | {} | {} | {} | {} | {} | {} | {} | {} |",
            process.calls,
            process.ioctls,
            process.syncs,
            process.bytes,
            fresh.calls,
            fresh.syncs,
            tools.calls,
            tools.syncs
        );
    }
    println!();
    print_missed(&missed);
    Ok(())
}

/// Says which targets were not reached.
fn print_missed(missed: &[String]) {
    match missed {
        [] => println!("Every target is reached."),
        missed => missed.iter().for_each(|what| println!("missed: {what}")),
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines of `WHO LVS OPERATION MICROSECONDS`.
fn read_times(path: &Path) -> Result<Times> {
    let mut times = Times::new();
    for line in read(path)?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [who, lvs, operation, micros] = words[..] else {
            anyhow::bail!("{}: not a time: {line:?}", path.display());
        };
        let key = (who.to_owned(), lvs.parse()?, operation.to_owned());
        times.entry(key).or_default().push(micros.parse()?);
    }
    Ok(times)
}

fn median(times: &Times, who: &str, lvs: u32, operation: &str) -> Result<f64> {
    let key = (who.to_owned(), lvs, operation.to_owned());
    let mut found = times.get(&key).cloned().unwrap_or_default();
    found.sort_unstable();
    let median = found.get(found.len() / 2).copied();
    let median = median.with_context(|| format!("no time of {who} {operation} at {lvs} LVs"))?;
    Ok(median.max(1) as f64)
}
