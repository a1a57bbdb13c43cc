//! Answers about replicas while another caller changes them: each as it was before the change, or as it is after it.
//!
//! Readers take no lock.  So they may meet a replica whose device is gone and whose LV is not yet, or a thin one whose LV
//! is committed and whose device is not yet made.  Whoever sees a replica without a device looks again while a commit was
//! made since, or the VG's lock is held, for a bounded time: a replica that was deactivated looks the same.

use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::info::ReplicaInfo;
use crate::open_vg::OpenVg;
use crate::system::Inner;

/// Longest time for which a reader looks again.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// What a look found, and whether it is being changed.
pub(crate) struct Look<T> {
    pub(crate) found: T,
    pub(crate) beside: Beside,
}

/// What goes on beside a look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing, or nothing that shows.
    Nothing,
    /// A commit was made since the metadata were read.
    Committed,
    /// The VG's lock is held.
    UnderWay,
}

impl Beside {
    /// Returns what another caller does to a VG whose replicas were just read.
    pub(crate) fn of(inner: &Inner, open: &OpenVg, told: &[ReplicaInfo]) -> Self {
        if inner.has_own_devices() || told.iter().all(|replica| replica.active) {
            return Self::Nothing;
        }
        if inner.locks.is_held(open.vg.name()) {
            return Self::UnderWay;
        }
        // After the lock: a caller that had it a moment ago has committed.  An area that cannot be read is found by the next look.
        match open.mdas.unchanged() {
            Ok(false) => Self::Committed,
            _ => Self::Nothing,
        }
    }

    /// The two as one.
    pub(crate) fn and(self, other: Self) -> Self {
        match self {
            Self::Nothing => other,
            _ => self,
        }
    }
}

/// Looks, and looks again while what was found is being changed, no longer than a bounded time.
///
/// # Errors
/// `look`'s.
pub(crate) fn steadily<T>(
    inner: &Inner,
    mut look: impl FnMut() -> Result<Look<T>, Error>,
) -> Result<T, Error> {
    let end = Instant::now() + LIMIT.min(inner.timeout);
    loop {
        let Look { found, beside } = look()?;
        if beside == Beside::Nothing || Instant::now() >= end {
            return Ok(found);
        }
        if beside == Beside::UnderWay {
            thread::sleep(PAUSE);
        }
    }
}
