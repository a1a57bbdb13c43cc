//! `cargo xtask bench thin`: thin replicas, snapshots and clones beside the tools' own commands, in one VM boot.

use anyhow::Result;

use super::times::Times;
use crate::{sh, vm};

/// How many times less each operation shall take in a long-lived process than the tools' one command for it.
const TARGET: f64 = 50.0;
const OPERATIONS: [&str; 6] = [
    "snapshot",
    "clone",
    "thin-create",
    "destroy-snapshot",
    "destroy-clone",
    "thin-destroy",
];

/// Runs the comparison, with udevd if `udev`, and prints it as tables.
pub(crate) fn run(udev: bool) -> Result<()> {
    let name = "bench-thin";
    vm::measure(name, "bookworm", udev, &["bench/thin.sh"])?;
    let mode = if udev { "udev" } else { "noudev" };
    let out = sh::target().join(format!("vm/bookworm-{mode}-{name}/out/boot-1/thin"));
    let times = Times::read(&out.join("times"))?;
    println!(
        "How many times faster than `lvcreate` or `lvremove` a long-lived process is, and a library would be that did only"
    );
    println!("the kernel's messages and devices, and the writes and syncs of two small commits:\n");
    println!("| snapshots | operation | in process | at most | tools, ms |");
    println!("|---:|---|---:|---:|---:|");
    let mut missed = Vec::new();
    for count in times.sizes("tools", "snapshot") {
        for operation in OPERATIONS {
            let of = |who| times.at(who, operation, count);
            let tools = of("tools")?;
            let (ratio, most) = (tools / of("process")?, tools / of("floor")?);
            println!(
                "| {count} | {operation} | {ratio:.0} | {most:.0} | {:.0} |",
                tools / 1e3
            );
            if ratio < TARGET {
                missed.push(format!(
                    "{operation} at {count} snapshots: {ratio:.0} of {TARGET} times; the kernel alone leaves {most:.0}"
                ));
            }
        }
    }
    println!("\nThe longest that a write to the replica waits while a snapshot is taken, in milliseconds:\n");
    println!("| snapshots | tools | `poolctl` | in process, the replica stopped |");
    println!("|---:|---:|---:|---:|");
    for count in times.sizes("tools", "stall") {
        let stall = |who| times.at(who, "stall", count).map(|micros| micros / 1e3);
        let (tools, poolctl, process) = (stall("tools")?, stall("poolctl")?, stall("process")?);
        println!("| {count} | {tools:.1} | {poolctl:.1} | {process:.1} |");
    }
    println!();
    super::print_missed(&missed);
    Ok(())
}
