//! Scenarios again and again, under load: which checks fail now and then.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::draw::Seed;
use super::load::under_load;
use super::report::{Line, Report};
use super::scenario::Scenario;
use super::selection::Selection;
use super::suite::Suite;

/// Runs `count` times what `words` select, each time as another seed draws, and says how often each check failed.
///
/// # Errors
/// If one failed even once.
pub(crate) fn repeat(count: &str, words: &[&str]) -> Result<()> {
    let count: u64 = count.parse().context("N is no number")?;
    let scenarios = Scenario::all()?;
    let suites = Selection::parse(words, &scenarios)?.suites();
    let suite = Suite::prepare(scenarios, &suites)?;
    let selection = Selection::parse(words, &suite.scenarios)?.drawn();
    let first = Seed::of_run()?;
    let mut failures: BTreeMap<String, Vec<Seed>> = BTreeMap::new();
    let mut checks = 0;
    for round in 1..=count {
        let seed = first.round(round);
        println!("# round {round} of {count}, seed {seed}");
        let reports = under_load(|| suite.run(&selection, seed, false));
        checks += reports.iter().map(|report| report.counts().0).sum::<usize>();
        for failure in reports.iter().flat_map(failed) {
            failures.entry(failure).or_default().push(seed);
        }
    }
    println!("# {count} rounds, {checks} checks held");
    for (check, seeds) in &failures {
        let seeds: Vec<String> = seeds.iter().map(Seed::to_string).collect();
        println!(
            "not ok {check}: failed {} times, with seed {}",
            seeds.len(),
            seeds.join(", ")
        );
    }
    match failures.is_empty() && checks > 0 {
        true => Ok(()),
        false => bail!("{} checks failed now and then", failures.len()),
    }
}

/// The checks of a report that failed, without the reasons, which differ each time.
fn failed(report: &Report) -> Vec<String> {
    let name = |line: &Line| match line {
        Line::NotOk(text) => {
            let name: Vec<&str> = text.splitn(3, ": ").take(2).collect();
            Some(format!("{}: {}", report.machine, name.join(": ")))
        }
        Line::Ok(_) | Line::Note(_) => None,
    };
    report.lines.iter().filter_map(name).collect()
}
