//! Tests beside the real LVM tools, on real kernels: VMs in QEMU's software emulation, so they run anywhere.
//!
//! [`base`] makes a kernel and an initramfs of a Debian suite, [`machine`] runs a VM and [`cluster`] three of them on a
//! network, [`report`] is what they said.

mod accel;
mod accounting;
mod base;
mod cluster;
mod conduct;
mod cpio;
mod debian;
mod draw;
mod host_line;
mod jobs;
mod load;
mod machine;
mod network;
mod node;
mod payload;
mod programs;
mod qemu;
mod repeat;
mod report;
mod scenario;
mod selection;
mod slots;
mod suite;
mod summary;
mod timing;
mod witness;

use anyhow::{Result, bail};

use draw::Seed;
use machine::Machine;
use scenario::Scenario;
use selection::Selection;
use suite::Suite;

pub(crate) use debian::{install, install_libraries};
pub(crate) use programs::names as example_names;
pub(crate) use repeat::repeat;
pub(crate) use report::Report;

use crate::host::stage;
use crate::sh;

/// Runs the VM suites, or the part that `words` select: see [`Selection::parse`].
pub(crate) fn test(words: &[&str]) -> Result<()> {
    let scenarios = Scenario::all()?;
    let seed = Seed::of_run()?;
    let suites = Selection::parse(words, &scenarios)?.suites();
    let suite = Suite::prepare(scenarios, &suites)?;
    let selection = Selection::parse(words, &suite.scenarios)?;
    println!(
        "# seed {seed} draws machines and moments: {}={seed} repeats it",
        draw::VARIABLE
    );
    let reports = stage("the VMs", || Ok(suite.run(&selection, seed, !words.is_empty())))?;
    let (run, all) = selection.counts(seed);
    println!("# {run} of {all} pairs of a scenario and a machine");
    summary::print(&reports, selection.is_profiled)?;
    summary::judge(&reports)
}

/// Runs scenarios, files below `tests/vm`, that measure, one after the other in a VM of their own, which `name` names.
///
/// # Errors
/// If the VM cannot be run, or one of the scenarios' checks fails.
pub(crate) fn measure(name: &str, suite: &'static str, udev: bool, files: &[&str]) -> Result<Report> {
    let read = |file: &&str| Scenario::read(&sh::workspace().join("tests/vm").join(file));
    let scenarios: Vec<Scenario> = files.iter().map(read).collect::<Result<_>>()?;
    let name_of_suite = suite;
    let suite = Suite::prepare(scenarios, &[suite])?;
    let machine = Machine {
        name: format!("{name_of_suite}-{}-{name}", if udev { "udev" } else { "noudev" }),
        payload: suite.payload(udev, Seed::of_run()?)?,
        boots: 1,
        limit: jobs::LIMIT,
    };
    let report = machine.run()?;
    report.print(true);
    match report.counts() {
        (1.., 0) => Ok(report),
        (_, failed) => bail!("{failed} checks of {} failed", files.join(", ")),
    }
}
