//! A table: which target serves which sectors of a device.

use std::fmt;

use crate::{Error, Target};

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

    /// Refuses what the kernel refuses of every table: no lines, gaps, lines of no length, lengths past 2^63 bytes.
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn prints_as_dmsetup_does() {
        assert_eq!(
            Table::new(vec![zero(0, 8), zero(8, 1)]).to_string(),
            "0 8 zero\n8 1 zero"
        );
    }
}
