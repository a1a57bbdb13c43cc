//! Which machines run which scenarios, and how many of them at once.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::cluster::Cluster;
use super::machine::Machine;
use super::payload::Payload;
use super::report::Report;
use super::scenario::Scenario;
use super::slots::Slots;

/// Most scenarios in one boot: more are split, so that the machines are about as long as each other.
const MOST_TOGETHER: usize = 6;
/// Longest run of a VM.
pub(super) const LIMIT: Duration = Duration::from_secs(2400);

/// What runs scenarios.
pub(super) enum Job<'a> {
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

/// The jobs of machines of one kind, which `name` names: most scenarios share a start, the others have a machine of their own.
pub(super) fn of_kind<'a>(
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

/// Runs the jobs, the longest first so that no core is idle while the last one runs, and as many at once as the host bears.
/// Prints each one's results when it is through.
pub(super) fn run(mut jobs: Vec<Job<'_>>, verbose: bool) -> Vec<Report> {
    jobs.sort_by_key(|job| Reverse(job.length()));
    let slots = Slots::of_host();
    let reports = Mutex::new(Vec::new());
    let work = |job: &Job<'_>| {
        let report = job.run().unwrap_or_else(|error| {
            let mut report = Report::new(job.name(), PathBuf::new());
            report.fail(&format!("cannot be run: {error:#}"));
            report
        });
        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        report.print(verbose);
        reports.push(report);
    };
    thread::scope(|scope| {
        for job in &jobs {
            let taken = slots.take(job.width());
            scope.spawn(|| {
                let _taken = taken;
                work(job);
            });
        }
    });
    reports.into_inner().unwrap_or_else(PoisonError::into_inner)
}
