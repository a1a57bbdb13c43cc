//! Waiting with a deadline for what the kernel may hold for long.
//!
//! What a target of NVMe-oF does not answer the kernel waits for without a deadline of the caller's, and nothing interrupts it.  So
//! it is done by a thread of its own, which is left behind when the deadline passes: the one exception from this library's rule
//! to make no threads that outlive a call.  There is a limit to those left behind.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Threads that may be left behind at one time.
const MOST_LEFT: usize = 8;

/// Counts the threads that a system left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    left: Arc<AtomicUsize>,
}

enum Work<T> {
    UnderWay,
    Done(T),
    GivenUp,
}

type Shared<T> = Arc<(Mutex<Work<T>>, Condvar)>;

impl Patience {
    /// Does `work`, and waits for it until then.  What comes of it later is given to `late`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::WouldBlock`] when too much that was begun earlier is still under way.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        until: Instant,
        work: impl FnOnce() -> T + Send + 'static,
        late: impl FnOnce(T) + Send + 'static,
    ) -> io::Result<T> {
        if self.left.load(Ordering::Acquire) >= MOST_LEFT {
            let why = "the kernel has not ended what was begun earlier with targets that do not answer";
            return Err(io::Error::new(ErrorKind::WouldBlock, why));
        }
        let shared: Shared<T> = Arc::new((Mutex::new(Work::UnderWay), Condvar::new()));
        let (theirs, left) = (Arc::clone(&shared), Arc::clone(&self.left));
        thread::Builder::new().spawn(move || {
            let done = work();
            if let Some(done) = hand_over(&theirs, done) {
                late(done);
                left.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        let (state, has_ended) = &*shared;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let time = until.saturating_duration_since(Instant::now());
            match std::mem::replace(&mut *state, Work::UnderWay) {
                Work::Done(done) => return Ok(done),
                _ if time.is_zero() => {
                    *state = Work::GivenUp;
                    self.left.fetch_add(1, Ordering::AcqRel);
                    let why = "the kernel got no answer from the target in time";
                    return Err(io::Error::new(ErrorKind::TimedOut, why));
                }
                _ => {}
            }
            state = has_ended
                .wait_timeout(state, time)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

/// Gives it to the one who waits; back if there is none.
fn hand_over<T>(shared: &Shared<T>, done: T) -> Option<T> {
    let (state, has_ended) = &**shared;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, Work::GivenUp) {
        return Some(done);
    }
    *state = Work::Done(done);
    has_ended.notify_one();
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn what_ends_in_time_is_given_and_what_does_not_is_left_behind() {
        let patience = Patience::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(patience.wait(far, || 7, |_| ()).unwrap(), 7);

        let (go_on, stopped) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let work = move || stopped.recv().is_err();
        let error = patience.wait(soon(), work, move |was_ended| tell.send(was_ended).unwrap());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(go_on);
        assert_eq!(told.recv(), Ok(true), "what came late");
    }

    #[test]
    fn threads_left_behind_have_a_limit_and_are_forgotten_when_they_end() {
        let patience = Patience::default();
        let mut held = Vec::new();
        for _ in 0..MOST_LEFT {
            let (go_on, stopped) = mpsc::channel::<()>();
            held.push(go_on);
            let now = Instant::now();
            let given_up = patience.wait(now, move || stopped.recv().is_err(), |_| ());
            assert_eq!(given_up.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        let far = Instant::now() + Duration::from_secs(60);
        let refused = patience.wait(far, || (), |()| ()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        held.clear();
        while patience.left.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
        assert!(patience.wait(far, || (), |()| ()).is_ok());
    }
}
