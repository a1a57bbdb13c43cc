//! `cargo xtask bench`: the library against the commands that io-engine's LVM backend runs today, in one VM boot.

mod growth;
pub(crate) mod io;
pub(crate) mod metadata;
mod plot;
mod proof;
pub(crate) mod thin;
mod times;
mod trace;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{sh, vm};
use times::{Times, area};

/// How many times less a change and a list shall take in a long-lived process than with the tools.
const PROCESS_TARGET: f64 = 200.0;
/// The same with a fresh `poolctl` for each call.
const POOLCTL_TARGET: f64 = 5.0;
/// The same for many replicas in one commit.
const MANY_TARGET: f64 = 2000.0;
const OPERATIONS: [&str; 5] = ["create", "set-tag", "resize", "list", "destroy"];

/// Runs the comparison, with udevd if `udev`, prints it as tables and draws it.
pub(crate) fn run(udev: bool) -> Result<()> {
    vm::measure("bench", "bookworm", udev, &["bench/ops.sh"])?;
    print(udev)
}

/// Prints and draws the last run's results again.
pub(crate) fn print(udev: bool) -> Result<()> {
    let mode = if udev { "udev" } else { "noudev" };
    let out = sh::target().join(format!("vm/bookworm-{mode}-bench/out/boot-1/ops"));
    let times = Times::read(&out.join("times"))?;
    let mut missed = Vec::new();
    print_operations(&times, &mut missed)?;
    print_many(&times, &mut missed)?;
    print_activation(&times)?;
    growth::draw(&times, udev)?;
    proof::print(&out)?;
    print_missed(&missed);
    Ok(())
}

/// Each operation beside the tools' commands for it.
fn print_operations(times: &Times, missed: &mut Vec<String>) -> Result<()> {
    println!(
        "How many times faster than the tools, and than the tools a library would be that did only the kernel's part:"
    );
    println!(
        "the device-mapper calls, the wait for nodes, the zeroing, and the writes and syncs of one small commit.\n"
    );
    println!("| LVs | operation | in process | at most | `poolctl` | tools, ms |");
    println!("|---:|---|---:|---:|---:|---:|");
    for lvs in times.sizes("tools", "create") {
        for operation in OPERATIONS {
            let of = |who| times.at(who, operation, lvs);
            // In the largest pools only what the others need is sampled.
            let Ok(tools) = of("tools") else { continue };
            let (process, poolctl) = (tools / of("process")?, tools / of("poolctl")?);
            // A list asks the kernel for nothing that could be told apart.
            let most = of("floor").map(|floor| tools / floor);
            let shown = most
                .as_ref()
                .map_or_else(|_| "-".into(), |most| format!("{most:.0}"));
            println!(
                "| {lvs} | {operation} | {process:.0} | {shown} | {poolctl:.1} | {:.0} |",
                tools / 1e3
            );
            if process < PROCESS_TARGET {
                missed.push(format!(
                    "in process {operation} at {lvs} LVs: {process:.0} of {PROCESS_TARGET} times; the kernel alone leaves {shown}"
                ));
            }
            if poolctl < POOLCTL_TARGET && operation != "list" {
                missed.push(format!(
                    "poolctl {operation} at {lvs} LVs: {poolctl:.1} of {POOLCTL_TARGET} times"
                ));
            }
        }
    }
    Ok(())
}

/// Many replicas in one commit beside as many runs of the tools' commands for one.
fn print_many(times: &Times, missed: &mut Vec<String>) -> Result<()> {
    for lvs in times.sizes("many", "many") {
        let (sampled, tools) = tools_total(times, lvs);
        let of = |what| times.at("many", what, lvs);
        let (total, calls, nodes) = (of("many")?, of("many-calls")?, of("many-nodes")?);
        let (rest, metadata) = (total - calls - nodes, times.at("metadata", "many", lvs)?);
        println!(
            "\n{lvs} replicas made and activated by one call, in one commit.  The tools' time is the area below what their"
        );
        println!("commands for one create took at {sampled} LVs.\n");
        println!("| part | share | the tools' time is so many times that |");
        println!("|---|---:|---:|");
        for (part, time) in [
            ("all of it", total),
            ("the kernel's calls: create, load, resume for each", calls),
            ("the nodes: made, or udevd waited for", nodes),
            ("the rest: planning, check, text, commit, links, answer", rest),
        ] {
            println!("| {part} | {:.1} % | {:.0} |", 100.0 * time / total, tools / time);
        }
        println!(
            "| the same in metadata alone, without a kernel | {:.1} % | {:.0} |",
            100.0 * metadata / total,
            tools / metadata
        );
        if tools / total < MANY_TARGET {
            missed.push(format!(
                "{lvs} replicas in one commit: {:.0} of {MANY_TARGET} times; the kernel's calls and the nodes alone leave {:.0}",
                tools / total,
                tools / (calls + nodes)
            ));
        }
    }
    Ok(())
}

/// What the tools take to create so many LVs one by one, in microseconds, and where that was sampled.
///
/// All LVs are active in these samples, as they are for who creates them so.
fn tools_total(times: &Times, lvs: u32) -> (String, f64) {
    let beside = times.curve("beside", "create");
    let mut curve = times.curve("tools", "create");
    curve.retain(|(at, _)| *at <= f64::from(lvs) && beside.iter().all(|(other, _)| at != other));
    curve.extend(beside.into_iter().filter(|(at, _)| *at <= f64::from(lvs)));
    let sampled: Vec<String> = curve.iter().map(|(at, _)| format!("{at:.0}")).collect();
    (sampled.join(", "), area(&curve))
}

/// All LVs of a pool activated at once.
fn print_activation(times: &Times) -> Result<()> {
    println!("\nAll LVs of a pool activated: `vgchange -ay`, and the import of a pool.\n");
    println!("| LVs | times faster | at most | of it in the kernel's calls | in nodes |");
    println!("|---:|---:|---:|---:|---:|");
    for lvs in times.sizes("tools", "activate") {
        let of = |what| times.at("process", what, lvs);
        let (tools, ours) = (times.at("tools", "activate", lvs)?, of("activate")?);
        let (calls, nodes) = (of("activate-calls")?, of("activate-nodes")?);
        println!(
            "| {lvs} | {:.1} | {:.1} | {:.0} % | {:.0} % |",
            tools / ours,
            tools / (calls + nodes),
            100.0 * calls / ours,
            100.0 * nodes / ours
        );
    }
    Ok(())
}

/// Says which targets were not reached.
fn print_missed(missed: &[String]) {
    println!();
    match missed {
        [] => println!("Every target is reached."),
        missed => missed.iter().for_each(|what| println!("missed: {what}")),
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
