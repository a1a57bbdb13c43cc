//! All scenarios, and what their VMs are made of: prepared once, run once or again and again.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::accel::Accel;
use super::base::Base;
use super::conduct::Conduct;
use super::debian;
use super::draw::Seed;
use super::jobs;
use super::payload::Payload;
use super::report::Report;
use super::scenario::Scenario;
use super::selection::Selection;
use super::{programs, qemu};
use crate::host::stage;

/// What runs need.
pub(super) struct Suite {
    pub(super) scenarios: Vec<Scenario>,
    programs: Vec<PathBuf>,
    /// By the name of the Debian suite.
    bases: Vec<(&'static str, Base)>,
    accel: Accel,
}

impl Suite {
    /// Builds the programs and the bases of these Debian suites.
    ///
    /// # Errors
    /// If one of them cannot be made.
    pub(super) fn prepare(scenarios: Vec<Scenario>, suites: &[&'static str]) -> Result<Self> {
        stage("QEMU", || debian::install(qemu::TOOLS))?;
        let programs = stage("the programs of the VMs", programs::build)?;
        let bases: Vec<(&str, Base)> = stage("kernels and tools of the VMs", || {
            let base = |suite: &&'static str| Ok((*suite, Base::prepare(suite)?));
            suites.iter().map(base).collect()
        })?;
        let (_, first) = bases.first().context("no machine is selected")?;
        let accel = Accel::probe(&first.kernel)?;
        Ok(Self {
            scenarios,
            programs,
            bases,
            accel,
        })
    }

    /// Runs what is selected, as the seed draws.
    pub(super) fn run(&self, selection: &Selection<'_>, seed: Seed, verbose: bool) -> Vec<Report> {
        let conduct = Conduct {
            accel: self.accel,
            seed,
            moments: selection.moments,
            is_measured: false,
            is_profiled: selection.is_profiled,
        };
        let mut all = Vec::new();
        for kind in &selection.kinds {
            let base = self.bases.iter().find(|(suite, _)| *suite == kind.suite);
            let Some((_, base)) = base else { continue };
            let payload = |scenarios| Payload {
                base,
                udev: kind.udev,
                conduct,
                programs: &self.programs,
                scenarios,
            };
            all.extend(jobs::of_kind(&kind.name(), selection.of(kind, seed), payload));
        }
        jobs::run(all, verbose)
    }

    /// The base, programs and way to run of a scenario that measures.
    pub(super) fn payload<'a>(&'a self, udev: bool, seed: Seed) -> Result<Payload<'a>> {
        let (_, base) = self.bases.first().context("no machine is selected")?;
        Ok(Payload {
            base,
            udev,
            conduct: Conduct::measured(self.accel, seed),
            programs: &self.programs,
            scenarios: self.scenarios.iter().collect(),
        })
    }
}
