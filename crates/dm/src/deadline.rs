//! The end of a wait.

use std::time::{Duration, Instant};

/// Longer waits are cut to this: the clock cannot tell times that are too far away.
const LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// A time that a wait does not pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self(Instant::now() + timeout.min(LIMIT))
    }

    /// What is left; zero when the time is over.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_timeout_is_a_long_wait_and_none_is_over_at_once() {
        assert!(Deadline::after(Duration::MAX).left() > Duration::from_secs(24 * 3600));
        assert!(Deadline::after(Duration::ZERO).left().is_zero());
    }
}
