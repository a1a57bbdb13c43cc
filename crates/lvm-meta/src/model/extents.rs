//! Which extents of a PV are free.

use std::collections::BTreeMap;

/// The free runs of one PV, kept up to date with every change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtentMap {
    /// First extent to length; runs never touch each other.
    free: BTreeMap<u32, u32>,
    free_count: u32,
}

/// Runs in use, on their way into a map.  Those that follow each other, as in a VG that was filled, are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsedRuns(Vec<(u32, u32)>);

impl UsedRuns {
    /// Adds a run that ends within 32 bits.
    pub(crate) fn add(&mut self, start: u32, length: u32) {
        match self.0.last_mut() {
            Some((first, run)) if first.saturating_add(*run) == start => *run = run.saturating_add(length),
            _ => self.0.push((start, length)),
        }
    }
}

/// Two owners of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// The first extent that has two.
    pub(crate) at: u32,
}

impl ExtentMap {
    /// A PV of `count` extents with these runs in use; runs must end at or before `count`.
    pub(crate) fn new(count: u32, used: UsedRuns) -> Result<Self, Overlap> {
        let UsedRuns(mut used) = used;
        used.sort_unstable();
        let mut map = Self::default();
        let mut next = 0u32;
        let mut runs = Vec::new();
        for (start, length) in used {
            let gap = start.checked_sub(next).ok_or(Overlap { at: start })?;
            if gap > 0 {
                runs.push((next, gap));
            }
            map.free_count = map.free_count.saturating_add(gap);
            next = start.saturating_add(length);
        }
        let tail = count.saturating_sub(next);
        if tail > 0 {
            runs.push((next, tail));
        }
        map.free_count = map.free_count.saturating_add(tail);
        map.free = runs.into_iter().collect();
        Ok(map)
    }

    /// Extents in no LV.
    pub(crate) fn free_count(&self) -> u32 {
        self.free_count
    }

    /// Free runs as (first extent, length), by their first extent.
    pub(crate) fn runs(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> {
        self.free.iter().map(|(start, length)| (*start, *length))
    }

    /// The free extents from `start` on, in one run; 0 when `start` is in use.
    pub(crate) fn free_from(&self, start: u32) -> u32 {
        let run = self.free.range(..=start).next_back();
        run.map_or(0, |(first, length)| {
            first.saturating_add(*length).saturating_sub(start)
        })
    }

    /// Takes a run; false, and nothing changes, when a part of it is in use.
    pub(crate) fn take(&mut self, start: u32, length: u32) -> bool {
        let Some((&first, &run)) = self.free.range(..=start).next_back() else {
            return false;
        };
        let end = first.saturating_add(run);
        let Some(after) = start.checked_add(length).and_then(|stop| end.checked_sub(stop)) else {
            return false;
        };
        let before = start.saturating_sub(first);
        if before > 0 {
            self.free.insert(first, before);
        } else {
            self.free.remove(&first);
        }
        if after > 0 {
            self.free.insert(end.saturating_sub(after), after);
        }
        self.free_count = self.free_count.saturating_sub(length);
        true
    }

    /// Gives back a run that was taken.
    pub(crate) fn give(&mut self, start: u32, length: u32) {
        let mut first = start;
        let mut run = length;
        if let Some((&left, &left_run)) = self.free.range(..start).next_back()
            && left.saturating_add(left_run) == start
        {
            self.free.remove(&left);
            first = left;
            run = run.saturating_add(left_run);
        }
        if let Some(right_run) = self.free.remove(&start.saturating_add(length)) {
            run = run.saturating_add(right_run);
        }
        self.free.insert(first, run);
        self.free_count = self.free_count.saturating_add(length);
    }

    /// Changes the number of extents; false, and nothing changes, when extents past the new end are in use.
    pub(crate) fn resize(&mut self, old: u32, new: u32) -> bool {
        if let Some(more) = new.checked_sub(old) {
            if more > 0 {
                self.give(old, more);
            }
            return true;
        }
        self.take(new, old.saturating_sub(new))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn used(runs: &[(u32, u32)]) -> UsedRuns {
        let mut used = UsedRuns::default();
        runs.iter().for_each(|(start, length)| used.add(*start, *length));
        used
    }

    #[test]
    fn overlaps_are_found() {
        assert_eq!(
            ExtentMap::new(10, used(&[(4, 2), (0, 5)])),
            Err(Overlap { at: 4 })
        );
        let map = ExtentMap::new(10, used(&[(5, 2), (0, 1), (1, 1)])).unwrap();
        assert_eq!(map.runs().collect::<Vec<_>>(), [(2, 3), (7, 3)]);
        assert_eq!(map.free_count(), 6);
    }

    #[test]
    fn a_pv_shrinks_only_over_free_extents() {
        let mut map = ExtentMap::new(10, used(&[(5, 2)])).unwrap();
        assert!(!map.resize(10, 6));
        assert!(map.resize(10, 7));
        assert!(map.resize(7, 12));
        assert_eq!(map.runs().collect::<Vec<_>>(), [(0, 5), (7, 5)]);
    }

    proptest! {
        #[test]
        fn runs_taken_and_given_back_match_a_bit_per_extent(
            steps in proptest::collection::vec((0u32..40, 1u32..12), 1..60)
        ) {
            let mut map = ExtentMap::new(40, UsedRuns::default()).unwrap();
            let mut bits = [false; 40];
            let mut taken = Vec::new();
            for (start, length) in steps {
                let range = start as usize..(start + length) as usize;
                let fits = bits.get(range.clone()).is_some_and(|part| part.iter().all(|is_used| !is_used));
                prop_assert_eq!(map.take(start, length), fits);
                if fits {
                    bits[range].fill(true);
                    taken.push((start, length));
                } else if let Some((start, length)) = taken.pop() {
                    map.give(start, length);
                    bits[start as usize..(start + length) as usize].fill(false);
                }
                prop_assert_eq!(map.free_count() as usize, bits.iter().filter(|is_used| !**is_used).count());
                prop_assert_eq!(&map, &ExtentMap::new(40, used(&taken)).unwrap());
            }
        }
    }
}
