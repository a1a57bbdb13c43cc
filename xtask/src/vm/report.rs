//! What a VM's scenarios said.
//!
//! A scenario speaks in lines: `ok NAME`, `not ok NAME: WHY`, and `# NOTE`.  The guest's init brackets it in `begin SCENARIO`
//! and `end SCENARIO STATUS`, and says `done` at its own end.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use super::accounting::{self, Totals};
use super::qemu::End;
use super::timing::Timing;
use super::witness;

/// Lines of a console's end that a report shows.
const CONSOLE: usize = 20;

/// The results of one VM, or of a cluster of them.
pub(crate) struct Report {
    /// The machine's name.
    pub(crate) machine: String,
    /// What it said, in order.
    pub(crate) lines: Vec<Line>,
    /// Folder with one `boot-N` for each start, or one `nodeN` for each node of a cluster, which holds what the guest left in `/out`.
    pub(crate) out: PathBuf,
    /// Wall-clock time of all starts.
    pub(crate) took: Duration,
    /// What each scenario took of that, and what comes before and between them.
    pub(crate) timings: Vec<Timing>,
    /// Starts of a VM.
    pub(crate) boots: usize,
}

/// One line of a report.
pub(crate) enum Line {
    /// A check that held, as `scenario: name`.
    Ok(String),
    /// A check that did not hold, as `scenario: name: why`.
    NotOk(String),
    /// Anything else worth reading.
    Note(String),
}

impl Report {
    pub(super) fn new(machine: &str, out: PathBuf) -> Self {
        Self {
            machine: machine.to_owned(),
            lines: Vec::new(),
            out,
            took: Duration::ZERO,
            timings: Vec::new(),
            boots: 0,
        }
    }

    /// Adds what is worth reading beside what the scenarios say.
    pub(super) fn note(&mut self, text: &str) {
        self.lines.push(Line::Note(text.to_owned()));
    }

    /// Adds a failed check that no scenario makes.
    pub(super) fn fail(&mut self, text: &str) {
        self.lines.push(Line::NotOk(text.to_owned()));
    }

    /// Takes in what one start of the VM said.  That a scenario, or the VM, did not come to its end is a failed check.
    pub(super) fn add_boot(&mut self, text: &str, end: End, console: &str) {
        let mut scenario = String::new();
        let mut done = false;
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "begin" => scenario = rest.to_owned(),
                "end" => match rest.split_once(' ') {
                    Some((name, "0")) => self.lines.push(Line::Ok(format!("{name}: comes to its end"))),
                    _ => self.lines.push(Line::NotOk(format!(
                        "{scenario}: comes to its end: exit status: {rest}"
                    ))),
                },
                "ok" => self.lines.push(Line::Ok(format!("{scenario}: {rest}"))),
                "not" => {
                    let rest = rest.strip_prefix("ok ").unwrap_or(rest);
                    self.lines.push(Line::NotOk(format!("{scenario}: {rest}")));
                }
                "#" => self.lines.push(Line::Note(format!("{scenario}: {rest}"))),
                "done" => done = true,
                _ => {}
            }
        }
        if !done {
            let how = match end {
                End::Came => "the VM stopped early".into(),
                End::Stopped(limit) => format!("the VM was stopped after {} s", limit.as_secs()),
            };
            let last: Vec<&str> = console.lines().rev().take(CONSOLE).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            self.lines.push(Line::NotOk(format!(
                "{scenario}: {how}; last on its console: {}",
                last.join(" | ")
            )));
        }
    }

    /// Prints what failed, and how to understand it; all lines if `verbose`.
    pub(super) fn print(&self, verbose: bool) {
        let (machine, (passed, failed)) = (&self.machine, self.counts());
        for line in &self.lines {
            match line {
                Line::Ok(text) if verbose => println!("ok {machine}: {text}"),
                Line::NotOk(text) => println!("not ok {machine}: {text}"),
                Line::Note(text) if verbose => println!("# {machine}: {text}"),
                Line::Ok(_) | Line::Note(_) => {}
            }
        }
        if failed > 0 {
            witness::print(&self.out);
        }
        let (took, out) = (self.took.as_secs(), self.out.display());
        println!("# {machine}: {passed} ok, {failed} not ok in {took} s; logs in {out}");
    }

    /// What the accounts of each scenario's processes say, if the run was profiled.
    pub(super) fn accounts(&self) -> io::Result<Vec<(String, Totals)>> {
        let mut all = Vec::new();
        for start in folders(&self.out)? {
            for scenario in folders(&start)? {
                let name = scenario
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                all.push((name, accounting::read(&scenario.join("accounts"))?));
            }
        }
        Ok(all)
    }

    /// Checks that held, and that did not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let passed = self
            .lines
            .iter()
            .filter(|line| matches!(line, Line::Ok(_)))
            .count();
        let failed = self
            .lines
            .iter()
            .filter(|line| matches!(line, Line::NotOk(_)))
            .count();
        (passed, failed)
    }
}

/// The folders in a folder, by name.
pub(super) fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let all: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    let mut folders: Vec<PathBuf> = all.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}
