//! What operations ask of the system, as strace saw it.

use std::path::Path;

use anyhow::{Result, ensure};

use super::trace::Counts;
use super::{OPERATIONS, read};

/// Prints the counts of one operation in pools of 10 000 and 100 LVs, and of the activation of all.
pub(super) fn print(out: &Path) -> Result<()> {
    println!(
        "\nWhat one operation of a long-lived process asks of the system in a pool of 10 000 LVs on one disk.\n"
    );
    println!(
        "| operation | reads of 512 bytes | other reads | text, bytes in one write | headers | syncs | ioctls | waits for udevd | all calls |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|---:|---:|");
    let marked = read(&out.join("trace-process-10000"))?;
    let operations = [
        "create",
        "create-unzeroed",
        "set-tag",
        "resize",
        "destroy",
        "list",
    ];
    for operation in operations {
        let counts = Counts::between(&marked, operation);
        ensure!(counts.calls > 0, "the trace has no {operation}");
        let headers = |sizes: &[u64]| sizes.iter().filter(|size| **size == 512).count();
        let texts: Vec<String> = counts
            .writes
            .iter()
            .filter(|size| **size != 512)
            .map(u64::to_string)
            .collect();
        println!(
            "| {operation} | {} | {} | {} | {} | {} | {} | {} | {} |",
            headers(&counts.reads),
            counts.reads.len() - headers(&counts.reads),
            texts.join(", "),
            headers(&counts.writes),
            counts.syncs,
            counts.named_ioctls(),
            counts.waits,
            counts.calls
        );
    }

    println!("\nThe same beside the tools: system calls, ioctls and syncs of one operation.\n");
    println!("| LVs | operation | in process | `poolctl` | tools |");
    println!("|---:|---|---:|---:|---:|");
    let shown = |counts: &Counts| format!("{} / {} / {}", counts.calls, counts.ioctl_count(), counts.syncs);
    let of = |who: &str, lvs: u32, operation: &str| {
        read(&out.join(format!("trace-{who}-{lvs}-{operation}"))).map(|text| shown(&Counts::of(&text)))
    };
    let small = read(&out.join("trace-process-100"))?;
    for operation in OPERATIONS {
        let process = shown(&Counts::between(&small, operation));
        let (poolctl, tools) = (of("poolctl", 100, operation)?, of("tools", 100, operation)?);
        println!("| 100 | {operation} | {process} | {poolctl} | {tools} |");
    }
    let process = shown(&Counts::between(&marked, "list"));
    println!(
        "| 10000 | list | {process} | | {} |",
        of("tools", 10_000, "list")?
    );

    println!("\nThe activation of all LVs of a pool.\n");
    println!("| LVs | who | all calls | ioctls | waits for udevd |");
    println!("|---:|---|---:|---|---:|");
    let marked = |name: &str| read(&out.join(name)).map(|trace| Counts::between(&trace, "activate"));
    for (lvs, who, counts) in [
        (
            100,
            "tools",
            Counts::of(&read(&out.join("trace-tools-100-activate"))?),
        ),
        (100, "in process", marked("trace-process-100-activate")?),
        (1000, "in process", marked("trace-process-1000")?),
    ] {
        ensure!(counts.calls > 0, "the trace of {who} has no activation of {lvs}");
        println!(
            "| {lvs} | {who} | {} | {} | {} |",
            counts.calls,
            counts.named_ioctls(),
            counts.waits
        );
    }
    Ok(())
}
