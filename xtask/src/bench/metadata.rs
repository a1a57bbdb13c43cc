//! `cargo xtask bench metadata`: reading and printing VGs, beside libdevmapper's parser and what no reader can save.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{sh, vm};

/// How many times faster than the C library's parser alone, with headers, checksums, types and rules.
const OPEN_TARGET: f64 = 10.0;
/// Peak memory, as a multiple of the text.
const PEAK_TARGET: f64 = 2.5;
/// Allocations for each LV.
const ALLOCATIONS_TARGET: f64 = 2.0;
/// Memory of an open VG, as a multiple of the text.
const KEPT_TARGET: f64 = 3.0;
/// Time to print, as a multiple of a look at each newline.
const PRINT_TARGET: f64 = 3.0;

/// How often each of the two is measured, in turns, so that other work on the machine harms both alike.
const TURNS: usize = 5;

/// Numbers by data, number of LVs and what was measured.
type Numbers = BTreeMap<(String, u32, String), f64>;

/// Runs the measurement and prints it as a table.
pub(crate) fn run() -> Result<()> {
    let dir = sh::target().join("bench-metadata");
    fs::create_dir_all(&dir)?;
    let parser = build_parser(&dir)?;
    let build = |program: &str| {
        let words = ["bench", "--quiet", "--no-run", "--bench", program];
        sh::built(&mut sh::cargo(&words), &[])
    };
    let (speed, memory) = (build("speed")?, build("memory")?);
    let run = |program: &Path, words: &[&str]| sh::output(Command::new(program).args(words).arg(&dir));
    run(&speed, &["write"])?;
    let mut numbers = read(&run(&memory, &[])?)?;
    let measured: Vec<(String, u32)> = numbers
        .keys()
        .filter(|(_, _, what)| what == "peak")
        .map(|(data, lvs, _)| (data.clone(), *lvs))
        .collect();
    for (data, lvs) in &measured {
        let (lv_count, rounds) = (lvs.to_string(), (400_000 / lvs).clamp(9, 400).to_string());
        let text = dir.join(format!("{data}-{lvs}"));
        let mut turns = BTreeMap::<_, Vec<f64>>::new();
        for _ in 0..TURNS {
            let mut turn = read(&run(&speed, &["measure", data, &lv_count, &rounds])?)?;
            let time = sh::output(Command::new(&parser).arg(&text).arg(&rounds))?;
            let time = time.trim().parse().context("the C program prints a time")?;
            turn.insert((data.clone(), *lvs, "c".to_owned()), time);
            turn.into_iter()
                .for_each(|(key, number)| turns.entry(key).or_default().push(number));
        }
        for (key, mut values) in turns {
            values.sort_unstable_by(f64::total_cmp);
            numbers.extend(values.get(TURNS / 2).map(|median| (key, *median)));
        }
        fs::remove_file(text)?;
    }
    fs::remove_file(dir.join("image"))?;
    print(&numbers, &measured)
}

/// Compiles the C program against libdevmapper, which nothing else here links.
fn build_parser(dir: &Path) -> Result<PathBuf> {
    vm::install(&[("cc", "gcc")])?;
    vm::install_libraries(&["libdevmapper-dev"])?;
    let program = dir.join("parse");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O2", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(sh::workspace().join("benches/speed/parse.c"))
        .arg("-ldevmapper");
    sh::run(&mut compiler)?;
    Ok(program)
}

/// Lines of `DATA LVS WHAT NUMBER`.
fn read(report: &str) -> Result<Numbers> {
    let mut numbers = Numbers::new();
    for line in report.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [data, lvs, what, number] = words[..] else {
            anyhow::bail!("not a number: {line:?}");
        };
        numbers.insert((data.to_owned(), lvs.parse()?, what.to_owned()), number.parse()?);
    }
    Ok(numbers)
}

fn print(numbers: &Numbers, measured: &[(String, u32)]) -> Result<()> {
    println!(
        "Median times of the processor in microseconds, without freeing.  \"Open\" is scan, assembly, parse and check of a PV image;"
    );
    println!(
        "\"C\" is `dm_config_parse_without_dup_node_check` on the text alone.  Memory is a multiple of the text.\n"
    );
    println!(
        "| data | LVs | KB | C | open | times faster | parse | check | peak | kept | allocations/LV | print | \
         newlines | print/newlines | checksum | copy |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut missed = Vec::new();
    for (data, lvs) in measured {
        let number = |what: &str| {
            let key = (data.clone(), *lvs, what.to_owned());
            let number = numbers.get(&key).copied();
            number.with_context(|| format!("no number of {what} for {data} at {lvs} LVs"))
        };
        let (bytes, c, open) = (number("bytes")?, number("c")?, number("open")?);
        let (faster, print) = (c / open, number("print")? / number("newlines")?);
        let (peak, kept) = (number("peak")? / bytes, number("kept")? / bytes);
        let allocations = number("allocations")? / f64::from(*lvs);
        let micros = |what: &str| number(what).map(|nanos| nanos / 1e3);
        println!(
            "| {data} | {lvs} | {:.0} | {:.0} | {:.1} | {faster:.1} | {:.1} | {:.1} | {peak:.2} | {kept:.2} | \
             {allocations:.2} | {:.1} | {:.1} | {print:.2} | {:.1} | {:.1} |",
            bytes / 1e3,
            c / 1e3,
            open / 1e3,
            micros("parse")?,
            micros("check")?,
            micros("print")?,
            micros("newlines")?,
            micros("checksum")?,
            micros("copy")?,
        );
        let mut miss = |is_missed: bool, what: &str, found: f64, target: f64| {
            if is_missed {
                missed.push(format!("{what} of {data} at {lvs} LVs: {found:.2} of {target}"));
            }
        };
        miss(faster < OPEN_TARGET, "times faster", faster, OPEN_TARGET);
        // Of a few LVs the fixed part is all there is: a label, a PV, the VG itself.
        if *lvs >= 1_000 {
            miss(peak > PEAK_TARGET, "peak", peak, PEAK_TARGET);
            miss(kept > KEPT_TARGET, "kept", kept, KEPT_TARGET);
            let target = ALLOCATIONS_TARGET;
            miss(allocations > target, "allocations/LV", allocations, target);
        }
        if *lvs == 10_000 {
            miss(print > PRINT_TARGET, "print/newlines", print, PRINT_TARGET);
        }
    }
    println!();
    super::print_missed(&missed);
    Ok(())
}
