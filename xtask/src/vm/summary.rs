//! What a run of many machines came to: checks, moments, and where the time went.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use super::accounting::{self, Total, Totals};
use super::report::{Line, Report};
use super::timing::Timing;

/// Scenarios that a short table has.
const LONGEST: usize = 12;

/// Prints the sums, and which scenarios took longest; if the run was profiled, all of them, and all programs.
///
/// # Errors
/// If the accounts of a VM cannot be read.
pub(super) fn print(reports: &[Report], is_profiled: bool) -> Result<()> {
    let moments = reports
        .iter()
        .flat_map(|report| &report.lines)
        .filter_map(moments);
    let (tried, all) = moments.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("# {tried} of {all} moments of kills, cuts and failures");
    let mut timings: Vec<(&Report, &Timing)> = reports
        .iter()
        .flat_map(|report| report.timings.iter().map(move |timing| (report, timing)))
        .collect();
    timings.sort_by_key(|(_, timing)| Reverse(timing.cpu));
    let total: Duration = timings.iter().map(|(_, timing)| timing.cpu).sum();
    let starts: usize = reports.iter().map(|report| report.boots).sum();
    println!(
        "# {} s of this machine's processors in {} machines, {starts} starts",
        total.as_secs(),
        reports.len()
    );
    println!("#   CPU s  clock s");
    for (report, timing) in timings
        .iter()
        .take(if is_profiled { usize::MAX } else { LONGEST })
    {
        let (cpu, wall) = (timing.cpu.as_secs_f64(), timing.wall.as_secs_f64());
        println!("# {cpu:7.1} {wall:8.1}  {} on {}", timing.name, report.machine);
    }
    match is_profiled {
        true => print_programs(reports),
        false => Ok(()),
    }
}

/// An error if a check failed, or none was made.
pub(super) fn judge(reports: &[Report]) -> Result<()> {
    let (passed, failed) = reports
        .iter()
        .map(Report::counts)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("vm: {passed} passed, {failed} failed");
    if failed > 0 || passed == 0 {
        bail!("VM tests failed");
    }
    Ok(())
}

/// `# moments N of M`, which a scenario says of what it did at N of M moments.
fn moments(line: &Line) -> Option<(usize, usize)> {
    let Line::Note(text) = line else { return None };
    let (_, numbers) = text.split_once(": moments ")?;
    let (tried, all) = numbers.split_once(" of ")?;
    let all = all.split_whitespace().next()?;
    Some((tried.parse().ok()?, all.parse().ok()?))
}

/// Which programs ran, by the scenario and in all.
fn print_programs(reports: &[Report]) -> Result<()> {
    let mut by_scenario: BTreeMap<String, Totals> = BTreeMap::new();
    for report in reports {
        for accounts in report.accounts()? {
            let name = format!("{} on {}", accounts.0, report.machine);
            by_scenario.entry(name).or_default().extend(accounts.1);
        }
    }
    println!("# starts and guest's CPU s of  LVM's commands  python3  poolctl  all  by scenario");
    let mut programs = Totals::new();
    for (name, totals) in &by_scenario {
        let sum = |is_meant: &dyn Fn(&str) -> bool| {
            let mut sum = Total::default();
            let meant = totals.iter().filter(|(name, _)| is_meant(name));
            meant.for_each(|(_, total)| sum.add(total));
            format!("{:5} {:6.1}", sum.starts, sum.cpu.as_secs_f64())
        };
        println!(
            "# {}  {}  {}  {}  {name}",
            sum(&accounting::is_lvm),
            sum(&|name| name == "python3"),
            sum(&|name| name == "poolctl"),
            sum(&|_| true),
        );
        for (name, total) in totals {
            programs.entry(name.clone()).or_default().add(total);
        }
    }
    let mut programs: Vec<_> = programs.into_iter().collect();
    programs.sort_by_key(|(_, total)| Reverse(total.cpu));
    println!("# starts, guest's CPU s, s from start to end, by program");
    for (name, total) in &programs {
        let (cpu, wall) = (total.cpu.as_secs_f64(), total.wall.as_secs_f64());
        println!("# {:6} {cpu:8.1} {wall:8.1}  {name}", total.starts);
    }
    Ok(())
}
