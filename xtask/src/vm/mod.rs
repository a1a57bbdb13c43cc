//! Tests beside the real LVM tools, on real kernels: VMs in QEMU's software emulation, so they run anywhere.
//!
//! [`base`] makes a kernel and an initramfs of a Debian suite, [`machine`] runs a VM, [`report`] is what it said.

mod base;
mod cpio;
mod debian;
mod machine;
mod programs;
mod report;
mod scenario;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use base::Base;
use machine::Machine;
use report::Line;
pub(crate) use report::Report;
use scenario::Scenario;

pub(crate) use debian::{install, install_libraries};
pub(crate) use programs::names as example_names;

use crate::sh;

/// Debian's name of each generation of LVM and kernel: lvm2 2.03.16 with 6.1, lvm2 2.03.31 with 6.12.
const SUITES: [&str; 2] = ["bookworm", "trixie"];
/// VMs at once: two take one and a half times as long as one.
const AT_ONCE: usize = 2;
/// Most scenarios in one boot: more are split, so that the machines are about as long as each other.
const MOST_TOGETHER: usize = 12;
/// Longest run of a VM.
const LIMIT: Duration = Duration::from_secs(2400);

/// Runs the VM suites, or the part that `words` select: names of suites, `udev`, `noudev`, names of scenarios;
/// `all` runs every scenario on every machine, whatever its `# on:` line says.
pub(crate) fn test(words: &[&str]) -> Result<()> {
    let scenarios = Scenario::all()?;
    let selection = Selection::parse(words, &scenarios)?;
    install(machine::TOOLS)?;
    let programs = programs::build()?;
    let bases: Vec<(&str, Base)> = selection
        .suites
        .iter()
        .map(|suite| Ok((*suite, Base::prepare(suite)?)))
        .collect::<Result<_>>()?;

    let mut machines = VecDeque::new();
    for (suite, base) in &bases {
        for udev in selection.udev.iter().copied() {
            let name = format!("{suite}-{}", if udev { "udev" } else { "noudev" });
            let machine = |name, scenarios, boots| Machine {
                name,
                base,
                udev,
                programs: &programs,
                scenarios,
                boots,
                limit: LIMIT,
            };
            let chosen = selection.scenarios.iter().copied();
            let (alone, together): (Vec<&Scenario>, Vec<&Scenario>) = chosen
                .filter(|scenario| selection.everywhere || scenario.is_for(&name))
                .partition(|scenario| scenario.boots().is_some());
            let parts = together.len().div_ceil(MOST_TOGETHER).max(1);
            for (part, some) in together.chunks(together.len().div_ceil(parts).max(1)).enumerate() {
                let name = match parts {
                    1 => name.clone(),
                    _ => format!("{name}-part{}", part + 1),
                };
                machines.push_back(machine(name, some.to_vec(), 1));
            }
            for scenario in alone {
                let boots = scenario.boots().unwrap_or(1);
                machines.push_back(machine(
                    format!("{name}-{}", scenario.name),
                    vec![scenario],
                    boots,
                ));
            }
        }
    }
    // The longest first, so that no core is idle while the last one runs.
    machines
        .make_contiguous()
        .sort_by_key(|machine| Reverse(machine.scenarios.len()));
    run_all(machines, !words.is_empty())
}

/// Runs scenarios, files below `tests/vm`, one after the other in a VM of their own, which `name` names.
///
/// # Errors
/// If the VM cannot be run, or one of the scenarios' checks fails.
pub(crate) fn run_alone(name: &str, suite: &str, udev: bool, files: &[&str]) -> Result<Report> {
    install(machine::TOOLS)?;
    let read = |file: &&str| Scenario::read(&sh::workspace().join("tests/vm").join(file));
    let scenarios: Vec<Scenario> = files.iter().map(read).collect::<Result<_>>()?;
    let programs = programs::build()?;
    let base = Base::prepare(suite)?;
    let machine = Machine {
        name: format!("{suite}-{}-{name}", if udev { "udev" } else { "noudev" }),
        base: &base,
        udev,
        programs: &programs,
        scenarios: scenarios.iter().collect(),
        boots: 1,
        limit: LIMIT,
    };
    let report = machine.run()?;
    print(&report, true);
    match report.counts() {
        (1.., 0) => Ok(report),
        (_, failed) => bail!("{failed} checks of {} failed", files.join(", ")),
    }
}

/// Runs the machines and prints their results; an error if a check failed.
fn run_all(machines: VecDeque<Machine<'_>>, verbose: bool) -> Result<()> {
    let queue = Mutex::new(machines);
    let totals = Mutex::new((0, 0));
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(machine) = next else { return };
            let result = machine.run();
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(report) => {
                    print(&report, verbose);
                    let (passed, failed) = report.counts();
                    totals.0 += passed;
                    totals.1 += failed;
                }
                Err(error) => {
                    println!("not ok {}: {error:#}", machine.name);
                    totals.1 += 1;
                }
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let (passed, failed) = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("vm: {passed} passed, {failed} failed");
    if failed > 0 || passed == 0 {
        bail!("VM tests failed");
    }
    Ok(())
}

fn print(report: &Report, verbose: bool) {
    let (machine, (passed, failed)) = (&report.machine, report.counts());
    for line in &report.lines {
        match line {
            Line::Ok(text) if verbose => println!("ok {machine}: {text}"),
            Line::Ok(_) => {}
            Line::NotOk(text) => println!("not ok {machine}: {text}"),
            Line::Note(text) if verbose => println!("# {machine}: {text}"),
            Line::Note(_) => {}
        }
    }
    let (took, out) = (report.took.as_secs(), report.out.display());
    println!("# {machine}: {passed} ok, {failed} not ok in {took} s; logs in {out}");
}

/// What is to be run.
struct Selection<'a> {
    suites: Vec<&'static str>,
    udev: Vec<bool>,
    scenarios: Vec<&'a Scenario>,
    /// Scenarios that are named run on every machine that is asked for, as all do for the word `all`.
    everywhere: bool,
}

impl<'a> Selection<'a> {
    fn parse(words: &[&str], scenarios: &'a [Scenario]) -> Result<Self> {
        let mut selection = Self {
            suites: Vec::new(),
            udev: Vec::new(),
            scenarios: Vec::new(),
            everywhere: false,
        };
        for word in words {
            let suite = SUITES.iter().find(|suite| *suite == word);
            let scenario = scenarios.iter().find(|scenario| scenario.name == *word);
            match (word, suite, scenario) {
                (_, Some(suite), _) => selection.suites.push(suite),
                (_, _, Some(scenario)) => {
                    selection.scenarios.push(scenario);
                    selection.everywhere = true;
                }
                (&"all", ..) => selection.everywhere = true,
                (&"udev", ..) => selection.udev.push(true),
                (&"noudev", ..) => selection.udev.push(false),
                _ => bail!(
                    "{word:?} is neither a suite ({}), udev, noudev, nor a scenario in tests/vm",
                    SUITES.join(", ")
                ),
            }
        }
        if selection.suites.is_empty() {
            selection.suites = SUITES.to_vec();
        }
        if selection.udev.is_empty() {
            selection.udev = vec![true, false];
        }
        if selection.scenarios.is_empty() {
            selection.scenarios = scenarios.iter().collect();
        }
        Ok(selection)
    }
}
