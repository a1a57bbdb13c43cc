//! Runs of extents of one PV.

/// The extents of a PV that LVs hold.  Those that follow each other, as in a VG that was filled, are one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Vec<Run>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    start: u64,
    end: u64,
}

impl Runs {
    pub(super) fn add(&mut self, start: u32, length: u32) {
        let start = u64::from(start);
        let end = start.saturating_add(u64::from(length));
        match self.0.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.0.push(Run { start, end }),
        }
    }

    /// The extent behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.0.iter().map(|run| run.end).max().unwrap_or(0)
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    /// Tells whether no extent is in two runs, once they are sorted.
    pub(super) fn are_disjoint(&self) -> bool {
        let behind = self.0.iter().skip(1);
        self.0.iter().zip(behind).all(|(run, next)| run.end <= next.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_runs(runs: &[(u32, u32)], count: usize, are_disjoint: bool) {
        let mut all = Runs::default();
        runs.iter().for_each(|(start, length)| all.add(*start, *length));
        all.sort();
        assert_eq!(
            (all.0.len(), all.are_disjoint()),
            (count, are_disjoint),
            "{runs:?}"
        );
    }

    #[test]
    fn extents_with_two_owners_are_seen_in_any_order() {
        check_runs(&[(0, 4), (4, 2), (6, 1)], 1, true);
        check_runs(&[(6, 1), (0, 4), (4, 2)], 2, true);
        check_runs(&[(0, 4), (3, 2)], 2, false);
        check_runs(&[(8, 4), (0, 20)], 2, false);
        check_runs(&[(0, 9), (9, 1), (2, 1)], 2, false);
        check_runs(&[(u32::MAX, u32::MAX), (0, u32::MAX)], 2, true);
    }
}
