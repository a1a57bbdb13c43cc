//! `cargo xtask count`: the instructions of the hot operations, against those that are checked in.
//!
//! Times of a busy machine tell little; instructions are the same each time, give or take the seeds of hash tables.  They
//! are those of one compiler, C library and valgrind: with others nothing is compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{sh, vm};

const TOOLS: &[(&str, &str)] = &[("valgrind", "valgrind"), ("getconf", "libc-bin")];
/// Where the counts are kept.
const FILE: &str = "benches/count/counts";
/// More than this over what is checked in is a failure.  The same build differs by up to 4 % between processors: the C library
/// and `memchr` choose their loops by them.
const TOLERANCE_PERCENT: u64 = 5;
/// A change in a pool of 10 000 replicas is this many copies and checksums of the text at most.
const COPIES: u64 = 4;
const COPY: &str = "copy_and_checksum";
const CHANGES: [&str; 4] = [
    "create_in_10000",
    "set_in_10000",
    "resize_in_10000",
    "destroy_in_10000",
];
/// The module whose functions are counted.
const HOT: &str = "count::hot::";

/// Instructions by operation.
type Counts = BTreeMap<String, u64>;

/// Counts and compares.
pub(crate) fn check() -> Result<()> {
    let counts = count()?;
    check_goal(&counts)?;
    let path = sh::workspace().join(FILE);
    let kept = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    let (made_with, kept) = read(&kept).with_context(|| format!("cannot read {FILE}"))?;
    let ours = versions()?;
    if made_with != ours {
        println!(
            "# instructions are not compared: those of {FILE} were counted with {made_with}, this is {ours}"
        );
        return Ok(());
    }
    compare(&kept, &counts)
}

/// Counts and keeps the result.
pub(crate) fn update() -> Result<()> {
    let counts = count()?;
    check_goal(&counts)?;
    let mut text = format!(
        "# Instructions of one call of each function of hot.rs; written by `cargo xtask count update`.\n# {}\n",
        versions()?
    );
    for (name, count) in &counts {
        writeln!(text, "{name} {count}")?;
    }
    fs::write(sh::workspace().join(FILE), text).with_context(|| format!("cannot write {FILE}"))
}

/// What the counts depend on beside the sources.
fn versions() -> Result<String> {
    let mut words = Vec::new();
    for command in [
        ["rustc", "--version"],
        ["getconf", "GNU_LIBC_VERSION"],
        ["valgrind", "--version"],
    ] {
        let [program, argument] = command;
        words.push(sh::output(Command::new(program).arg(argument))?.trim().to_owned());
    }
    Ok(words.join(", "))
}

/// Builds the program and runs it under callgrind.
fn count() -> Result<Counts> {
    vm::install(TOOLS)?;
    let program = build()?;
    let out = sh::target().join("count.callgrind");
    // How the C library copies depends on the size of the processor's caches, unless it is told.
    let copying =
        "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_non_temporal_threshold=1000000000";
    sh::output(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--collect-atstart=no"])
            .arg(format!("--toggle-collect={HOT}*"))
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(program)
            .env("GLIBC_TUNABLES", copying),
    )?;
    let counts = parse(&fs::read_to_string(&out)?);
    if counts.is_empty() {
        bail!("callgrind saw no function of {HOT}");
    }
    Ok(counts)
}

fn build() -> Result<PathBuf> {
    let args = [
        "build",
        "--quiet",
        "--profile",
        "bench",
        "--bench",
        "count",
        "--message-format",
        "json",
    ];
    let messages = sh::output(&mut sh::cargo(&args))?;
    let program = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "count";
        Some(PathBuf::from(message["executable"].as_str().filter(|_| is_it)?))
    });
    program.context("cargo names no program of the benchmark `count`")
}

/// The inclusive cost of each hot function, from a file of callgrind's.
///
/// A function is named `(NUMBER) NAME` the first time and `(NUMBER)` from then on.  A call is three lines: `cfn=` with
/// the function, `calls=`, and the line of the caller with the cost of the call.
fn parse(text: &str) -> Counts {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut counts = Counts::new();
    let (mut called, mut is_cost) = (None, false);
    for line in text.lines() {
        let function = line.strip_prefix("cfn=").or(line.strip_prefix("fn="));
        if let Some((number, name)) =
            function.map(|function| function.split_once(' ').unwrap_or((function, "")))
        {
            if !name.is_empty() {
                names.insert(number, name);
            }
            if line.starts_with("cfn=") {
                called = names.get(number).and_then(|name| name.strip_prefix(HOT));
            }
        } else if line.starts_with("calls=") {
            is_cost = true;
        } else if is_cost {
            is_cost = false;
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if let (Some(name), Some(cost)) = (called.take(), cost) {
                *counts.entry(name.to_owned()).or_default() += cost;
            }
        }
    }
    counts
}

/// What the counts were made with, and they.
fn read(text: &str) -> Result<(&str, Counts)> {
    let mut made_with = "";
    let mut counts = Counts::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            made_with = comment;
            continue;
        }
        let (name, count) = line
            .split_once(' ')
            .with_context(|| format!("no count: {line:?}"))?;
        counts.insert(name.to_owned(), count.parse()?);
    }
    Ok((made_with, counts))
}

/// A change costs no more than the goal allows, with any compiler.
fn check_goal(counts: &Counts) -> Result<()> {
    let of = |name: &str| {
        counts
            .get(name)
            .copied()
            .with_context(|| format!("no count of {name}"))
    };
    let most = of(COPY)? * COPIES;
    for name in CHANGES {
        let found = of(name)?;
        if found > most {
            bail!("{name} takes {found} instructions; {COPIES} copies and checksums of the text are {most}");
        }
    }
    Ok(())
}

fn compare(kept: &Counts, counts: &Counts) -> Result<()> {
    let mut worse = Vec::new();
    for (name, found) in counts {
        let Some(before) = kept.get(name) else {
            worse.push(format!("{name} is not in {FILE}"));
            continue;
        };
        let most = before + before * TOLERANCE_PERCENT / 100;
        let least = before - before * TOLERANCE_PERCENT / 100;
        if *found > most {
            worse.push(format!("{name}: {found} instructions, {before} before"));
        } else if *found < least {
            println!(
                "# {name}: {found} instructions, {before} before; `cargo xtask count update` keeps that"
            );
        }
    }
    let gone = kept.keys().filter(|name| !counts.contains_key(*name));
    worse.extend(gone.map(|name| format!("{name} is in {FILE} and was not counted")));
    if !worse.is_empty() {
        bail!(
            "more than {TOLERANCE_PERCENT} % slower, or not known; if it has to be, `cargo xtask count update`:\n{}",
            worse.join("\n")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, u64)]) -> Counts {
        list.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn the_cost_of_each_hot_function_with_what_it_calls_is_read() {
        let text = "\
fn=(1) count::main
cfn=(2) count::hot::create
calls=1 0
+3 500

fn=(2)
0 100
cfn=(3) other
calls=4 0
0 400

fn=(4) count::hot::list
0 7

fn=(1)
0 1
cfn=(4)
calls=1 0
* 7
";
        assert_eq!(parse(text), counts(&[("create", 500), ("list", 7)]));
    }

    #[test]
    fn what_is_kept_is_read_with_what_it_was_made_with() {
        let (made_with, found) = read("# A comment\n# rustc 1\na 1\nb 2\n").unwrap();
        assert_eq!((made_with, found), ("rustc 1", counts(&[("a", 1), ("b", 2)])));
        assert!(read("a\n").is_err());
    }

    #[test]
    fn more_instructions_fail_and_fewer_do_not() {
        let kept = counts(&[("a", 1000), ("b", 1000)]);
        assert!(compare(&kept, &counts(&[("a", 1050), ("b", 500)])).is_ok());
        assert!(compare(&kept, &counts(&[("a", 1051), ("b", 1000)])).is_err());
        assert!(compare(&kept, &counts(&[("a", 1000)])).is_err());
        assert!(compare(&counts(&[("a", 1000)]), &kept).is_err());
    }

    #[test]
    fn a_change_that_costs_more_than_its_goal_fails() {
        let with = |count| {
            let mut found = counts(&[(COPY, 100)]);
            found.extend(CHANGES.map(|name| (name.to_owned(), count)));
            found
        };
        assert!(check_goal(&with(400)).is_ok());
        assert!(check_goal(&with(401)).is_err());
        assert!(check_goal(&counts(&[(COPY, 100)])).is_err());
    }
}
