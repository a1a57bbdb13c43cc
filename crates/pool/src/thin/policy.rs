//! When a thin pool is made larger, and by how much.

use std::fmt;
use std::str::FromStr;

use super::sizes::MOST_METADATA;
use crate::{Error, parse_size};

/// One of the two spaces of a thin pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinPart {
    /// The chunks of its volumes.
    Data,
    /// The kernel's record of which chunk is whose.
    Metadata,
}

impl ThinPart {
    /// `data` or `metadata`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Metadata => "metadata",
        }
    }
}

impl fmt::Display for ThinPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much space is added at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinStep {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of what there is.
    Percent(u32),
}

impl ThinStep {
    fn of(self, size: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => at_percent(size, u64::from(percent), 100),
        }
    }
}

/// Reads `20%`, or a size as [`parse_size`] does.
impl FromStr for ThinStep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_suffix('%').map(str::parse) {
            None => parse_size(text).map(Self::Bytes),
            Some(Ok(percent)) => Ok(Self::Percent(percent)),
            Some(Err(_)) => refuse("step", text, "it is a size or a whole number of percent"),
        }
    }
}

/// When one space of a thin pool grows, by how much, and how far.
///
/// It grows when the share in use reaches the threshold, by the step or by as much as brings the share below the
/// threshold again, whichever is more, in whole extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThinGrowth {
    /// Percent in use, 1 to 100.
    pub threshold: u32,
    /// What is added.
    pub step: ThinStep,
    /// Bytes that it never grows beyond; `None` for no limit but the pool's disks.
    pub max: Option<u64>,
}

impl ThinGrowth {
    /// Growth from so many percent in use on by this step, without a limit.
    pub fn new(threshold: u32, step: ThinStep) -> Self {
        Self {
            threshold,
            step,
            max: None,
        }
    }
}

/// When and how a thin pool grows; what is in use of data and of metadata is looked at separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThinPolicy {
    /// For the data.
    pub data: ThinGrowth,
    /// For the metadata.
    pub metadata: ThinGrowth,
}

impl Default for ThinPolicy {
    /// Data: a fifth more at 80 percent.  Metadata: half more at 70 percent, since no thin device can be added when a
    /// quarter of small metadata is left.  No limits.
    fn default() -> Self {
        Self {
            data: ThinGrowth::new(80, ThinStep::Percent(20)),
            metadata: ThinGrowth::new(70, ThinStep::Percent(50)),
        }
    }
}

impl ThinPolicy {
    pub(crate) fn of(&self, part: ThinPart) -> &ThinGrowth {
        match part {
            ThinPart::Data => &self.data,
            ThinPart::Metadata => &self.metadata,
        }
    }

    /// Refuses a policy that cannot be followed.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        for growth in [&self.data, &self.metadata] {
            if !(1..=100).contains(&growth.threshold) {
                return refuse("threshold", growth.threshold, "it is 1 to 100 percent");
            }
            if matches!(growth.step, ThinStep::Bytes(0) | ThinStep::Percent(0)) {
                return refuse("step", 0, "nothing would be added");
            }
        }
        Ok(())
    }
}

/// The space of one part, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// What LVM's metadata have set aside.
    pub(crate) size: u64,
    /// What the kernel uses of that.
    pub(crate) total: u64,
    /// What is taken of the kernel's.
    pub(crate) used: u64,
    /// What is taken at a time.
    pub(crate) unit: u64,
}

/// What a policy says of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays.
    Enough,
    /// It should grow and may not.
    AtMax,
    /// It is to have so many bytes, and may have so many.
    Grow { to: u64, max: u64 },
}

impl ThinGrowth {
    /// The largest size allowed.
    fn limit(&self, part: ThinPart) -> u64 {
        let limit = match part {
            ThinPart::Data => u64::MAX,
            ThinPart::Metadata => MOST_METADATA,
        };
        self.max.unwrap_or(limit).min(limit)
    }

    pub(crate) fn verdict(&self, part: ThinPart, space: &Space) -> Verdict {
        let Space {
            size,
            total,
            used,
            unit,
        } = *space;
        let (share, threshold) = (u128::from(used) * 100, u128::from(self.threshold));
        if share < threshold * u128::from(total) {
            return Verdict::Enough;
        }
        let max = self.limit(part);
        if max <= size {
            return Verdict::AtMax;
        }
        let below = at_percent(used, 100, u64::from(self.threshold)).saturating_add(unit);
        let to = size.saturating_add(self.step.of(size).max(1)).max(below);
        Verdict::Grow { to: to.min(max), max }
    }
}

/// `value * part / whole`.
fn at_percent(value: u64, part: u64, whole: u64) -> u64 {
    let share = (u128::from(value) * u128::from(part)).checked_div(u128::from(whole));
    share.map_or(u64::MAX, |share| u64::try_from(share).unwrap_or(u64::MAX))
}

fn refuse<T>(what: &'static str, given: impl ToString, why: &str) -> Result<T, Error> {
    Err(Error::InvalidArgument {
        what,
        given: given.to_string(),
        why: why.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u64 = 10;

    fn growth(threshold: u32, step: ThinStep, max: Option<u64>) -> ThinGrowth {
        ThinGrowth { threshold, step, max }
    }

    fn verdict(growth: ThinGrowth, size: u64, used: u64) -> Verdict {
        let space = Space {
            size,
            total: size,
            used,
            unit: UNIT,
        };
        growth.verdict(ThinPart::Data, &space)
    }

    #[test]
    fn it_grows_by_the_step_from_the_threshold_on() {
        let policy = growth(80, ThinStep::Bytes(200), None);
        assert_eq!(verdict(policy, 1000, 799), Verdict::Enough);
        let to = |to| Verdict::Grow { to, max: u64::MAX };
        assert_eq!(verdict(policy, 1000, 800), to(1200));
        assert_eq!(
            verdict(growth(80, ThinStep::Percent(50), None), 1000, 800),
            to(1500)
        );
        assert_eq!(
            verdict(growth(100, ThinStep::Bytes(1), None), 1000, 999),
            Verdict::Enough
        );
        assert_eq!(
            verdict(growth(100, ThinStep::Bytes(1), None), 1000, 1000),
            to(1010)
        );
    }

    #[test]
    fn once_grown_it_is_below_the_threshold_whatever_the_step() {
        for threshold in 1..=100 {
            let policy = growth(threshold, ThinStep::Bytes(1), None);
            let Verdict::Grow { to, .. } = verdict(policy, 1000, 1000) else {
                panic!("a full one grows");
            };
            assert_eq!(verdict(policy, to, 1000), Verdict::Enough, "{threshold}");
        }
    }

    #[test]
    fn it_never_passes_its_limit() {
        let policy = growth(80, ThinStep::Percent(20), Some(1100));
        let to = |to| Verdict::Grow { to, max: 1100 };
        assert_eq!(verdict(policy, 1000, 800), to(1100));
        assert_eq!(verdict(policy, 1100, 1100), Verdict::AtMax);
        assert_eq!(verdict(policy, 1100, 800), Verdict::Enough);
        let metadata = |size| {
            let space = Space {
                size,
                total: size,
                used: size,
                unit: 4096,
            };
            ThinPolicy::default().metadata.verdict(ThinPart::Metadata, &space)
        };
        assert_eq!(metadata(MOST_METADATA), Verdict::AtMax);
        let max = MOST_METADATA;
        assert_eq!(metadata(MOST_METADATA - 4096), Verdict::Grow { to: max, max });
    }

    #[test]
    fn what_the_kernel_did_not_take_yet_does_not_count_as_free() {
        let space = Space {
            size: 2000,
            total: 1000,
            used: 900,
            unit: UNIT,
        };
        let max = u64::MAX;
        assert_eq!(
            ThinPolicy::default().data.verdict(ThinPart::Data, &space),
            Verdict::Grow { to: 2400, max }
        );
    }

    #[test]
    fn extreme_sizes_do_not_overflow() {
        let policy = growth(1, ThinStep::Percent(u32::MAX), None);
        let max = u64::MAX;
        assert_eq!(verdict(policy, max - 1, max - 1), Verdict::Grow { to: max, max });
        assert_eq!(verdict(policy, 0, 0), Verdict::Grow { to: 10, max });
    }

    #[test]
    fn policies_that_cannot_be_followed_are_refused() {
        assert!(ThinPolicy::default().check().is_ok());
        for bad in [
            growth(0, ThinStep::Bytes(1), None),
            growth(101, ThinStep::Bytes(1), None),
            growth(80, ThinStep::Bytes(0), None),
            growth(80, ThinStep::Percent(0), None),
        ] {
            let policy = ThinPolicy {
                metadata: bad,
                ..ThinPolicy::default()
            };
            assert_eq!(policy.check().unwrap_err().kind(), "InvalidArgument", "{bad:?}");
        }
        assert_eq!("20%".parse::<ThinStep>().unwrap(), ThinStep::Percent(20));
        assert_eq!("4M".parse::<ThinStep>().unwrap(), ThinStep::Bytes(4 << 20));
        for bad in ["%", "x%", "-1%", "20 percent", ""] {
            assert!(bad.parse::<ThinStep>().is_err(), "{bad:?}");
        }
    }
}
