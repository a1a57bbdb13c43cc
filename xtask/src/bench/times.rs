//! The times that a run noted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Microseconds by who, operation and number of LVs.
pub(super) struct Times(BTreeMap<(String, String), BTreeMap<u32, Vec<u64>>>);

impl Times {
    /// Lines of `WHO LVS OPERATION MICROSECONDS`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut times = Self(BTreeMap::new());
        for line in super::read(path)?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [who, lvs, operation, micros] = words[..] else {
                bail!("{}: not a time: {line:?}", path.display());
            };
            let key = (who.to_owned(), operation.to_owned());
            let sizes = times.0.entry(key).or_default();
            sizes.entry(lvs.parse()?).or_default().push(micros.parse()?);
        }
        Ok(times)
    }

    /// The median of each number of LVs, in microseconds; empty if none was measured.
    pub(super) fn curve(&self, who: &str, operation: &str) -> Vec<(f64, f64)> {
        let sizes = self.0.get(&(who.to_owned(), operation.to_owned()));
        let median = |(lvs, times): (&u32, &Vec<u64>)| {
            let mut sorted = times.clone();
            sorted.sort_unstable();
            // Of two the smaller.
            let middle = sorted.len().saturating_sub(1) / 2;
            let median = sorted.get(middle).copied().unwrap_or_default();
            (f64::from(*lvs), median.max(1) as f64)
        };
        sizes.into_iter().flatten().map(median).collect()
    }

    /// The median at one number of LVs, in microseconds.
    pub(super) fn at(&self, who: &str, operation: &str, lvs: u32) -> Result<f64> {
        let curve = self.curve(who, operation);
        let found = curve.iter().find(|(at, _)| *at == f64::from(lvs));
        found
            .map(|(_, micros)| *micros)
            .with_context(|| format!("no time of {who} {operation} at {lvs} LVs"))
    }

    /// The numbers of LVs at which something was measured.
    pub(super) fn sizes(&self, who: &str, operation: &str) -> Vec<u32> {
        let curve = self.curve(who, operation);
        curve.iter().map(|(lvs, _)| *lvs as u32).collect()
    }
}

/// The area below a curve from nothing to its last point, straight between two points and level before the first.
pub(super) fn area(curve: &[(f64, f64)]) -> f64 {
    let head = curve.first().map_or(0.0, |(x, y)| x * y);
    let rest = curve.windows(2).map(|pair| match pair {
        [(x0, y0), (x1, y1)] => (x1 - x0) * (y0 + y1) / 2.0,
        _ => 0.0,
    });
    head + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_that_of_the_level_and_the_trapezoids() {
        assert_eq!(area(&[]), 0.0);
        assert_eq!(area(&[(10.0, 3.0)]), 30.0);
        assert_eq!(area(&[(10.0, 3.0), (20.0, 5.0)]), 70.0);
    }
}
