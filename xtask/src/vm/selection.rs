//! What of the VM suites is to be run, as words say, and on which machines.

use anyhow::{Error, Result, anyhow};

use super::draw::{Moments, Seed};
use super::scenario::Scenario;

/// Debian's name of each generation of LVM and kernel: lvm2 2.03.16 with 6.1, lvm2 2.03.31 with 6.12.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// A kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) suite: &'static str,
    /// Does udevd run?
    pub(super) udev: bool,
}

impl Kind {
    fn all() -> Vec<Self> {
        let of_suite = |suite| [true, false].map(|udev| Self { suite, udev });
        SUITES.into_iter().flat_map(of_suite).collect()
    }

    /// Such as `bookworm-noudev`.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.suite, if self.udev { "udev" } else { "noudev" })
    }
}

/// What is to be run.
pub(super) struct Selection<'a> {
    pub(super) kinds: Vec<Kind>,
    scenarios: Vec<&'a Scenario>,
    /// Pairs of a scenario and a machine that a run in full has.
    pairs: usize,
    /// Were they chosen by their names?
    is_named: bool,
    reach: Reach,
    /// Which of many moments a scenario tries.
    pub(super) moments: Moments,
    /// Are all processes accounted for?
    pub(super) is_profiled: bool,
}

/// How much of the scenarios is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Each on one machine, at some moments, as the seed draws.
    Drawn,
    /// Each on every machine, at all moments.
    Full,
}

impl<'a> Selection<'a> {
    /// Words are names of suites, `udev` and `noudev`, which select machines; names of scenarios, which then run in full, as all do
    /// for the word `all`; `some`, for some moments even so; `cluster`, which selects those of clusters; and `profile`.
    pub(super) fn parse(words: &[&str], scenarios: &'a [Scenario]) -> Result<Self> {
        let of_cluster = words.contains(&"cluster");
        let named = |word: &str| {
            scenarios
                .iter()
                .find(|scenario| scenario.name == word && scenario.is_of_cluster == of_cluster)
        };
        let (mut suites, mut udev, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
        for word in words {
            match *word {
                "all" | "cluster" | "profile" | "some" => {}
                "udev" => udev.push(true),
                "noudev" => udev.push(false),
                suite if SUITES.contains(&suite) => suites.push(suite),
                name => chosen.push(named(name).ok_or_else(|| unknown(name, of_cluster))?),
            }
        }
        let is_wanted = |kind: &Kind| {
            (suites.is_empty() || suites.contains(&kind.suite))
                && (udev.is_empty() || udev.contains(&kind.udev))
        };
        let reach = match words.contains(&"all") || !chosen.is_empty() {
            true => Reach::Full,
            false => Reach::Drawn,
        };
        let kinds: Vec<Kind> = Kind::all().into_iter().filter(is_wanted).collect();
        let is_named = !chosen.is_empty();
        if !is_named {
            let is_chosen = |scenario: &&Scenario| !of_cluster || scenario.is_of_cluster;
            chosen = scenarios.iter().filter(is_chosen).collect();
        }
        let possible = |kind: &Kind| chosen.iter().filter(|one| one.runs_on(&kind.name())).count();
        let pairs = kinds.iter().map(possible).sum();
        Ok(Self {
            kinds,
            scenarios: chosen,
            pairs,
            is_named,
            reach,
            moments: match reach {
                Reach::Full if !words.contains(&"some") => Moments::All,
                _ => Moments::Some,
            },
            is_profiled: words.contains(&"profile"),
        })
    }

    /// The Debian suites of the machines.
    pub(super) fn suites(&self) -> Vec<&'static str> {
        let mut suites: Vec<&str> = self.kinds.iter().map(|kind| kind.suite).collect();
        suites.dedup();
        suites
    }

    /// The same scenarios, as the gate runs them: each on one machine, at some moments.
    pub(super) fn drawn(self) -> Self {
        Self {
            reach: Reach::Drawn,
            moments: Moments::Some,
            ..self
        }
    }

    /// The scenarios for the machines of this kind.
    pub(super) fn of(&self, kind: &Kind, seed: Seed) -> Vec<&'a Scenario> {
        let machine = kind.name();
        let is_chosen = |scenario: &&Scenario| match self.reach {
            Reach::Full => scenario.runs_on(&machine),
            Reach::Drawn => self.drawn_kind(scenario, seed).as_ref() == Some(kind),
        };
        self.scenarios.iter().copied().filter(is_chosen).collect()
    }

    /// The one machine that a scenario runs on; one that is not for each commit has none, unless it is named.
    fn drawn_kind(&self, scenario: &Scenario, seed: Seed) -> Option<Kind> {
        let of = |is_meant: &dyn Fn(&str) -> bool| -> Vec<Kind> {
            Kind::all()
                .into_iter()
                .filter(|kind| is_meant(&kind.name()))
                .collect()
        };
        let mut kinds = of(&|machine| scenario.is_drawn_on(machine));
        if kinds.is_empty() && self.is_named {
            kinds = of(&|machine| scenario.runs_on(machine));
        }
        match kinds.len() {
            0 => None,
            count => Some(kinds.swap_remove(seed.draw(&scenario.name, count))),
        }
    }

    /// Pairs of a scenario and a machine that are run, and all that there are, of the machines that are selected.
    pub(super) fn counts(&self, seed: Seed) -> (usize, usize) {
        let run = self.kinds.iter().map(|kind| self.of(kind, seed).len()).sum();
        (run, self.pairs)
    }
}

fn unknown(word: &str, of_cluster: bool) -> Error {
    anyhow!(
        "{word:?} is neither a suite ({}), cluster, udev, noudev, all, some, profile, nor a scenario in tests/vm{}",
        SUITES.join(", "),
        if of_cluster { "/cluster" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, text: &str) -> Scenario {
        Scenario {
            name: name.into(),
            is_of_cluster: false,
            text: text.into(),
        }
    }

    fn run(selection: &Selection<'_>, seed: Seed) -> Vec<(String, String)> {
        let of = |kind: &Kind| {
            let some = selection.of(kind, seed);
            let pairs = some
                .into_iter()
                .map(|scenario| (kind.name(), scenario.name.clone()));
            pairs.collect::<Vec<_>>()
        };
        selection.kinds.iter().flat_map(of).collect()
    }

    #[test]
    fn without_words_each_scenario_runs_once_where_it_can_and_the_others_do_not() {
        let all = [
            scenario("any", ""),
            scenario("new", "# on: trixie-udev trixie-noudev\n"),
            scenario("long", "# gate: no\n"),
            scenario("known", "# gate: bookworm-udev\n"),
        ];
        let selection = Selection::parse(&[], &all).unwrap();
        for digits in 0..20 {
            let seed = Seed::parse(&format!("{digits:x}")).unwrap();
            let run = run(&selection, seed);
            let names: Vec<&str> = run.iter().map(|(_, name)| name.as_str()).collect();
            assert_eq!(names.len(), 3, "{run:?}");
            assert!(!names.contains(&"long") && run.contains(&("bookworm-udev".into(), "known".into())));
            assert!(
                run.iter()
                    .all(|(machine, name)| name != "new" || machine.starts_with("trixie"))
            );
            assert_eq!(selection.counts(seed), (3, 14));
        }
        assert_eq!(selection.moments, Moments::Some);
    }

    #[test]
    fn what_is_named_runs_in_full_on_every_machine_that_is_selected() {
        let all = [scenario("any", ""), scenario("long", "# gate: no\n")];
        let seed = Seed::parse("1").unwrap();
        let selection = Selection::parse(&["trixie", "long"], &all).unwrap();
        assert_eq!(run(&selection, seed).len(), 2);
        assert_eq!(selection.moments, Moments::All);
        assert_eq!(run(&Selection::parse(&["all"], &all).unwrap(), seed).len(), 8);
        assert!(Selection::parse(&["short"], &all).is_err());
    }
}
