//! Tests beside the real LVM tools, on real kernels: VMs in QEMU's software emulation, so they run anywhere.
//!
//! [`base`] makes a kernel and an initramfs of a Debian suite, [`machine`] runs a VM and [`cluster`] three of them on a
//! network, [`report`] is what they said.

mod base;
mod cluster;
mod cpio;
mod debian;
mod host_line;
mod machine;
mod network;
mod node;
mod payload;
mod programs;
mod qemu;
mod report;
mod scenario;
mod selection;
mod slots;

use std::cmp::Reverse;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use base::Base;
use cluster::Cluster;
use machine::Machine;
use payload::Payload;
use report::Line;
pub(crate) use report::Report;
use scenario::Scenario;
use selection::Selection;
use slots::Slots;

pub(crate) use debian::{install, install_libraries};
pub(crate) use programs::names as example_names;

use crate::sh;

/// Most scenarios in one boot: more are split, so that the machines are about as long as each other.
const MOST_TOGETHER: usize = 6;
/// Longest run of a VM.
const LIMIT: Duration = Duration::from_secs(2400);

/// What runs scenarios.
enum Job<'a> {
    Machine(Machine<'a>),
    Cluster(Cluster<'a>),
}

impl Job<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Machine(machine) => &machine.name,
            Self::Cluster(cluster) => &cluster.name,
        }
    }

    /// How many machines it counts for: three VMs that mostly wait for each other.
    fn width(&self) -> usize {
        match self {
            Self::Machine(_) => 1,
            Self::Cluster(_) => 2,
        }
    }

    /// Scenarios that are run; as most take about as long as each other, also how long it takes.  A cluster's take longest.
    fn length(&self) -> usize {
        match self {
            Self::Machine(machine) => machine.payload.scenarios.len(),
            Self::Cluster(_) => usize::MAX,
        }
    }

    fn run(&self) -> Result<Report> {
        match self {
            Self::Machine(machine) => machine.run(),
            Self::Cluster(cluster) => cluster.run(),
        }
    }
}

/// Runs the VM suites, or the part that `words` select: names of suites, `udev`, `noudev`, names of scenarios;
/// `all` runs every scenario on every machine, whatever its `# on:` line says, and `cluster` those of clusters alone.
pub(crate) fn test(words: &[&str]) -> Result<()> {
    let scenarios = Scenario::all()?;
    let selection = Selection::parse(words, &scenarios)?;
    install(qemu::TOOLS)?;
    let programs = programs::build()?;
    let bases: Vec<(&str, Base)> = selection
        .suites
        .iter()
        .map(|suite| Ok((*suite, Base::prepare(suite)?)))
        .collect::<Result<_>>()?;

    let mut jobs = Vec::new();
    for (suite, base) in &bases {
        for udev in selection.udev.iter().copied() {
            let name = format!("{suite}-{}", if udev { "udev" } else { "noudev" });
            let payload = |scenarios| Payload {
                base,
                udev,
                is_measured: false,
                programs: &programs,
                scenarios,
            };
            jobs.extend(jobs_of(&name, selection.of(&name), payload));
        }
    }
    // The longest first, so that no core is idle while the last one runs.
    jobs.sort_by_key(|job| Reverse(job.length()));
    run_all(&jobs, !words.is_empty())
}

/// The scenarios of machines of one kind: most share a boot, the others have a machine of their own.
fn jobs_of<'a>(
    name: &str,
    scenarios: Vec<&'a Scenario>,
    payload: impl Fn(Vec<&'a Scenario>) -> Payload<'a>,
) -> Vec<Job<'a>> {
    let machine = |name, scenarios, boots| {
        Job::Machine(Machine {
            name,
            payload: payload(scenarios),
            boots,
            limit: LIMIT,
        })
    };
    let (of_cluster, of_one): (Vec<&Scenario>, Vec<&Scenario>) =
        scenarios.into_iter().partition(|scenario| scenario.is_of_cluster);
    let (alone, together): (Vec<&Scenario>, Vec<&Scenario>) = of_one
        .into_iter()
        .partition(|scenario| scenario.boots().is_some());
    let mut jobs = Vec::new();
    let parts = together.len().div_ceil(MOST_TOGETHER).max(1);
    for (part, some) in together.chunks(together.len().div_ceil(parts).max(1)).enumerate() {
        let name = match parts {
            1 => name.to_owned(),
            _ => format!("{name}-part{}", part + 1),
        };
        jobs.push(machine(name, some.to_vec(), 1));
    }
    for scenario in alone {
        let boots = scenario.boots().unwrap_or(1);
        jobs.push(machine(
            format!("{name}-{}", scenario.name),
            vec![scenario],
            boots,
        ));
    }
    jobs.extend(of_cluster.into_iter().map(|scenario| {
        Job::Cluster(Cluster {
            name: format!("{name}-cluster-{}", scenario.name),
            payload: payload(vec![scenario]),
            limit: LIMIT,
        })
    }));
    jobs
}

/// Runs scenarios, files below `tests/vm`, that measure, one after the other in a VM of their own, which `name` names.
///
/// # Errors
/// If the VM cannot be run, or one of the scenarios' checks fails.
pub(crate) fn measure(name: &str, suite: &str, udev: bool, files: &[&str]) -> Result<Report> {
    install(qemu::TOOLS)?;
    let read = |file: &&str| Scenario::read(&sh::workspace().join("tests/vm").join(file));
    let scenarios: Vec<Scenario> = files.iter().map(read).collect::<Result<_>>()?;
    let programs = programs::build()?;
    let base = Base::prepare(suite)?;
    let machine = Machine {
        name: format!("{suite}-{}-{name}", if udev { "udev" } else { "noudev" }),
        payload: Payload {
            base: &base,
            udev,
            is_measured: true,
            programs: &programs,
            scenarios: scenarios.iter().collect(),
        },
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

/// Runs the jobs, as many at once as the host bears, and prints their results; an error if a check failed.
fn run_all(jobs: &[Job<'_>], verbose: bool) -> Result<()> {
    let slots = Slots::of_host();
    let totals = Mutex::new((0, 0));
    let work = |job: &Job<'_>| {
        let result = job.run();
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(report) => {
                print(&report, verbose);
                let (passed, failed) = report.counts();
                totals.0 += passed;
                totals.1 += failed;
            }
            Err(error) => {
                println!("not ok {}: {error:#}", job.name());
                totals.1 += 1;
            }
        }
    };
    thread::scope(|scope| {
        for job in jobs {
            let taken = slots.take(job.width());
            scope.spawn(|| {
                let _taken = taken;
                work(job);
            });
        }
    });
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
