//! What of the VM suites is to be run, as words say.

use anyhow::{Result, bail};

use super::scenario::Scenario;

/// Debian's name of each generation of LVM and kernel: lvm2 2.03.16 with 6.1, lvm2 2.03.31 with 6.12.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// What is to be run.
pub(super) struct Selection<'a> {
    pub(super) suites: Vec<&'static str>,
    pub(super) udev: Vec<bool>,
    scenarios: Vec<&'a Scenario>,
    /// Scenarios that are named run on every machine that is asked for, as all do for the word `all`.
    everywhere: bool,
}

impl<'a> Selection<'a> {
    pub(super) fn parse(words: &[&str], scenarios: &'a [Scenario]) -> Result<Self> {
        let mut selection = Self {
            suites: Vec::new(),
            udev: Vec::new(),
            scenarios: Vec::new(),
            everywhere: false,
        };
        let of_cluster = words.contains(&"cluster");
        for word in words {
            let suite = SUITES.iter().find(|suite| *suite == word);
            let scenario = scenarios
                .iter()
                .find(|scenario| scenario.name == *word && scenario.is_of_cluster == of_cluster);
            match (word, suite, scenario) {
                (_, Some(suite), _) => selection.suites.push(suite),
                (_, _, Some(scenario)) => {
                    selection.scenarios.push(scenario);
                    selection.everywhere = true;
                }
                (&"all", ..) => selection.everywhere = true,
                (&"cluster", ..) => {}
                (&"udev", ..) => selection.udev.push(true),
                (&"noudev", ..) => selection.udev.push(false),
                _ => bail!(
                    "{word:?} is neither a suite ({}), cluster, udev, noudev, nor a scenario in tests/vm{}",
                    SUITES.join(", "),
                    if of_cluster { "/cluster" } else { "" }
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
            let chosen = |scenario: &&Scenario| !of_cluster || scenario.is_of_cluster;
            selection.scenarios = scenarios.iter().filter(chosen).collect();
        }
        Ok(selection)
    }

    /// The scenarios for the machines of this name, such as `bookworm-noudev`.
    pub(super) fn of(&self, machine: &str) -> Vec<&'a Scenario> {
        let chosen = |scenario: &&Scenario| self.everywhere || scenario.is_for(machine);
        self.scenarios.iter().copied().filter(chosen).collect()
    }
}
