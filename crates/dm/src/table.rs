//! A table: which target serves which sectors of a device.

use std::fmt;
use std::str::FromStr;

use crate::{Error, StatusLine, Target};

/// Longest name of a target in bytes.
const KIND_LIMIT: usize = 15;

/// Targets one after the other, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(Vec<TargetLine>);

/// One target of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetLine {
    /// First sector that it serves.
    pub start: u64,
    /// Sectors that it serves.
    pub length: u64,
    /// What it does with them.
    pub target: Target,
}

impl Table {
    /// A table of these lines, in their order.
    pub fn new(lines: Vec<TargetLine>) -> Self {
        Self(lines)
    }

    /// A table of one line.
    pub fn one(length: u64, target: Target) -> Self {
        let start = 0;
        Self(vec![TargetLine {
            start,
            length,
            target,
        }])
    }

    /// From the kernel's table lines.
    pub(crate) fn of_kernel(lines: Vec<StatusLine>) -> Result<Self, Error> {
        let parse = |line: StatusLine| {
            Ok(TargetLine {
                start: line.start,
                length: line.length,
                target: Target::parse(&line.kind, &line.status)?,
            })
        };
        lines
            .into_iter()
            .map(parse)
            .collect::<Result<_, Error>>()
            .map(Self)
    }

    /// Its lines.
    pub fn lines(&self) -> &[TargetLine] {
        &self.0
    }

    /// Sectors of the device that it makes.
    pub fn length(&self) -> u64 {
        self.0
            .last()
            .map_or(0, |line| line.start.saturating_add(line.length))
    }

    /// Refuses what the kernel refuses of every table: no lines, gaps, lines of no length, lengths past 2^63 bytes, and
    /// names and parameters that do not fit into its structures.
    ///
    /// # Errors
    /// [`Error::BadTable`].
    pub fn check(&self) -> Result<(), Error> {
        let mut end: u64 = 0;
        for line in &self.0 {
            if line.start != end {
                return Err(Error::BadTable(format!(
                    "a line starts at sector {}, the one before ends at {end}",
                    line.start
                )));
            }
            let kind = line.target.kind();
            if !(1..=KIND_LIMIT).contains(&kind.len()) || !kind.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Error::BadTable(format!("no target has the name {kind:?}")));
            }
            if line.target.params().contains('\0') {
                return Err(Error::BadTable(format!(
                    "the parameters at sector {end} contain a NUL"
                )));
            }
            if line.length == 0 {
                return Err(Error::BadTable(format!("the line at sector {end} has no length")));
            }
            end = line
                .start
                .checked_add(line.length)
                .filter(|end| *end <= 1 << 54)
                .ok_or_else(|| {
                    Error::BadTable(format!("the line at sector {} passes 2^63 bytes", line.start))
                })?;
        }
        if end == 0 {
            Err(Error::BadTable("it is empty".into()))
        } else {
            Ok(())
        }
    }
}

/// As `dmsetup table` shows it, a line a target.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.0.iter().enumerate() {
            let params = line.target.params();
            let blank = if params.is_empty() { "" } else { " " };
            let newline = if at == 0 { "" } else { "\n" };
            write!(
                f,
                "{newline}{} {} {}{blank}{params}",
                line.start,
                line.length,
                line.target.kind()
            )?;
        }
        Ok(())
    }
}

/// Reads what it prints, or `dmsetup table`: `START LENGTH TARGET [PARAMETERS]`, a line a target.
impl FromStr for Table {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = |line: &str| {
            let unclear = || Error::BadTable(format!("the line {line:?} has no start, length and target"));
            let mut words = line.trim().splitn(4, ' ');
            let mut number = || words.next()?.parse().ok();
            let (start, length) = (number().ok_or_else(unclear)?, number().ok_or_else(unclear)?);
            let kind = words.next().ok_or_else(unclear)?;
            let target = Target::parse(kind, words.next().unwrap_or_default())?;
            Ok(TargetLine {
                start,
                length,
                target,
            })
        };
        text.lines().map(parse).collect::<Result<_, Error>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::any_target;
    use proptest::prelude::*;

    fn zero(start: u64, length: u64) -> TargetLine {
        TargetLine {
            start,
            length,
            target: Target::Zero,
        }
    }

    #[test]
    fn tables_without_gaps_are_taken_and_others_refused() {
        assert!(Table::new(vec![zero(0, 8), zero(8, 1)]).check().is_ok());
        for bad in [
            vec![],
            vec![zero(1, 8)],
            vec![zero(0, 0)],
            vec![zero(0, 8), zero(9, 1)],
            vec![zero(0, u64::MAX)],
        ] {
            assert!(Table::new(bad.clone()).check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_and_parameters_that_do_not_fit_are_refused() {
        for (kind, params, good) in [
            ("fifteen-letters", "", true),
            ("sixteen--letters", "", false),
            ("", "", false),
            ("two words", "", false),
            ("k\0d", "", false),
            ("crypt", "a\0b", false),
        ] {
            let (kind, params) = (kind.into(), params.into());
            let target = Target::Other { kind, params };
            let table = Table::new(vec![TargetLine {
                start: 0,
                length: 8,
                target,
            }]);
            assert_eq!(table.check().is_ok(), good, "{table}");
        }
    }

    #[test]
    fn text_that_is_no_table_is_refused() {
        for bad in [
            "0",
            "0 8",
            "x 8 zero",
            "0 -8 zero",
            "0 8 linear",
            "0 8 zero\n\n8 8 zero",
        ] {
            assert!(bad.parse::<Table>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_table_reads_back_as_it_prints(lines in prop::collection::vec((0u64..9, 1u64..9, any_target()), 0..5)) {
            let line = |(start, length, target)| TargetLine { start, length, target };
            let table = Table::new(lines.into_iter().map(line).collect());
            prop_assert_eq!(table.to_string().parse::<Table>().unwrap(), table);
        }
    }

    #[test]
    fn prints_as_dmsetup_does() {
        assert_eq!(
            Table::new(vec![zero(0, 8), zero(8, 1)]).to_string(),
            "0 8 zero\n8 1 zero"
        );
    }
}
