//! Which machines and which moments a run tries, of all that there are: drawn by a seed, so that each commit tries others.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;

/// Names a seed in hexadecimal digits; without it, it is the commit's.
pub(crate) const VARIABLE: &str = "LVM_NATIVE_SEED";
/// Hexadecimal digits of a commit's id that make a seed.
const DIGITS: usize = 12;

/// What all that is drawn depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u64);

impl Seed {
    /// The seed that the environment names, or the commit's; where no commit is known, it says so and takes a fixed one.
    ///
    /// # Errors
    /// If what the environment names is none.
    pub(crate) fn of_run() -> Result<Self> {
        if let Ok(digits) = std::env::var(VARIABLE) {
            return Self::parse(&digits);
        }
        let mut git = Command::new("git");
        git.args(["rev-parse", "HEAD"]).current_dir(sh::workspace());
        let commit =
            sh::output(&mut git).and_then(|commit| Self::parse(commit.get(..DIGITS).unwrap_or_default()));
        commit.or_else(|error| {
            println!("# no commit is known, so the seed is a fixed one: {error:#}");
            Ok(Self(1))
        })
    }

    /// Reads up to 16 hexadecimal digits.
    pub(crate) fn parse(digits: &str) -> Result<Self> {
        let number = u64::from_str_radix(digits.trim(), 16);
        number
            .map(Self)
            .with_context(|| format!("{digits:?} is not a seed of up to 16 hexadecimal digits"))
    }

    /// The seed of one round of many.
    pub(crate) fn round(self, round: u64) -> Self {
        Self(self.0.wrapping_add(round) & (u64::MAX >> 16))
    }

    /// One of `0..count` for what has this name; 0 if there are none.  The same on every machine, with every compiler.
    pub(crate) fn draw(self, name: &str, count: usize) -> usize {
        // FNV-1a of the name, then the finish of SplitMix64.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64 ^ self.0, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let mixed = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % count.max(1) as u64) as usize
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

/// How much of a scenario that does the same at each of many moments is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moments {
    /// Some, by the seed.
    Some,
    /// All.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_again_and_each_choice_comes_up() {
        let seeds: Vec<Seed> = (0..64).map(Seed).collect();
        let drawn: Vec<usize> = seeds.iter().map(|seed| seed.draw("raid", 4)).collect();
        let again: Vec<usize> = seeds.iter().map(|seed| seed.draw("raid", 4)).collect();
        assert_eq!(drawn, again);
        for choice in 0..4 {
            let count = drawn.iter().filter(|drawn| **drawn == choice).count();
            assert!((6..=30).contains(&count), "{choice} came up {count} times of 64");
        }
        assert_ne!(
            drawn,
            seeds.iter().map(|seed| seed.draw("thin", 4)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_seed_is_printed_as_it_is_read() {
        let seed = Seed::parse("00ab12cd34ef").unwrap();
        assert_eq!(seed, Seed::parse(&seed.to_string()).unwrap());
        assert!(Seed::parse("").is_err() && Seed::parse("0x12").is_err() && Seed::parse("seed").is_err());
    }
}
