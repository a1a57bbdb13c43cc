//! Queues of the callers of one process: who comes first is served first.
//!
//! flock(2) knows no order: of many threads that poll it, one may wait for ever.  So the handles of one
//! [`System`](crate::System) queue before the lock, and only the first of them polls it.  A queue is no lock of its own:
//! other processes, and other systems of this process, compete by flock as before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::LockMode;

/// A queue for each of any number of things.
#[derive(Debug)]
pub(crate) struct Queues<K: Ord> {
    lines: Mutex<Lines<K>>,
    moved: Condvar,
}

#[derive(Debug)]
struct Lines<K> {
    /// Those who wait, and before them those whose turn it is.  A line without a place is removed.
    of: BTreeMap<K, VecDeque<Ticket>>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    mode: LockMode,
}

/// A turn; the next one's comes when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Ord> {
    queues: Arc<Queues<K>>,
    key: K,
    number: u64,
}

impl<K: Ord> Default for Queues<K> {
    fn default() -> Self {
        Self {
            lines: Mutex::new(Lines {
                of: BTreeMap::new(),
                next: 0,
            }),
            moved: Condvar::new(),
        }
    }
}

impl<K: Ord + Clone> Queues<K> {
    /// Waits for its turn until `timeout` after `began`; `None` when it did not come.  Those who share a turn have it
    /// together, unless one who wants it alone waits between them.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: &K,
        mode: LockMode,
        began: Instant,
        timeout: Duration,
    ) -> Option<Place<K>> {
        let mut lines = self.lock();
        let number = lines.next;
        lines.next += 1;
        let ticket = Ticket { number, mode };
        lines.of.entry(key.clone()).or_default().push_back(ticket);
        // Who leaves, for whatever reason, leaves its place to the next one.
        let place = Place {
            queues: self.clone(),
            key: key.clone(),
            number,
        };
        while !lines.has_turn(key, number) {
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                drop(lines);
                return None;
            }
            let woken = self.moved.wait_timeout(lines, left);
            lines = woken.map_or_else(|poisoned| poisoned.into_inner().0, |(lines, _)| lines);
        }
        drop(lines);
        Some(place)
    }
}

impl<K: Ord> Queues<K> {
    fn lock(&self) -> MutexGuard<'_, Lines<K>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord> Lines<K> {
    fn has_turn(&self, key: &K, number: u64) -> bool {
        let Some(line) = self.of.get(key) else {
            return false;
        };
        let Some(at) = line.iter().position(|ticket| ticket.number == number) else {
            return false;
        };
        at == 0
            || line
                .iter()
                .take(at + 1)
                .all(|ticket| ticket.mode == LockMode::Shared)
    }
}

impl<K: Ord> Drop for Place<K> {
    fn drop(&mut self) {
        let mut lines = self.queues.lock();
        if let Some(line) = lines.of.get_mut(&self.key) {
            line.retain(|ticket| ticket.number != self.number);
            if line.is_empty() {
                lines.of.remove(&self.key);
            }
        }
        drop(lines);
        self.queues.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn enter(queues: &Arc<Queues<u8>>, mode: LockMode, timeout: Duration) -> Option<Place<u8>> {
        queues.enter(&0, mode, Instant::now(), timeout)
    }

    fn wait_for_length(queues: &Queues<u8>, length: usize) {
        while queues.lock().of.get(&0).map_or(0, VecDeque::len) != length {
            thread::yield_now();
        }
    }

    /// What came in the order in which it came, when those of `modes` asked in this order while one had the turn.
    fn served(modes: &[LockMode], while_waiting: impl FnOnce(&Arc<Queues<u8>>)) -> Vec<usize> {
        let queues = Arc::new(Queues::default());
        let order = Mutex::new(Vec::new());
        let first = enter(&queues, LockMode::Exclusive, LONG).unwrap();
        thread::scope(|scope| {
            for (number, mode) in modes.iter().enumerate() {
                let (queues, order) = (&queues, &order);
                scope.spawn(move || {
                    let place = enter(queues, *mode, LONG).unwrap();
                    order.lock().unwrap().push(number);
                    drop(place);
                });
                wait_for_length(queues, number + 2);
            }
            while_waiting(&queues);
            drop(first);
        });
        assert!(queues.lock().of.is_empty(), "nothing stays of a queue");
        order.into_inner().unwrap()
    }

    #[test]
    fn who_comes_first_is_served_first() {
        let order = served(&[LockMode::Exclusive; 16], |_| {});
        assert_eq!(order, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn who_gives_up_leaves_the_queue_as_it_was() {
        let order = served(&[LockMode::Exclusive; 4], |queues| {
            for mode in [LockMode::Exclusive, LockMode::Shared] {
                assert!(enter(queues, mode, Duration::ZERO).is_none());
                assert!(enter(queues, mode, Duration::from_millis(2)).is_none());
            }
            wait_for_length(queues, 5);
        });
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn those_who_share_have_their_turn_together_and_pass_nobody() {
        let queues = Arc::new(Queues::default());
        let readers = [(); 2].map(|()| enter(&queues, LockMode::Shared, Duration::ZERO).unwrap());
        assert!(enter(&queues, LockMode::Exclusive, Duration::ZERO).is_none());
        thread::scope(|scope| {
            let writer = scope.spawn(|| drop(enter(&queues, LockMode::Exclusive, LONG).unwrap()));
            wait_for_length(&queues, 3);
            assert!(enter(&queues, LockMode::Shared, Duration::ZERO).is_none());
            // Another queue is another matter.
            assert!(
                queues
                    .enter(&1, LockMode::Exclusive, Instant::now(), Duration::ZERO)
                    .is_some()
            );
            drop(readers);
            writer.join().unwrap();
        });
        assert!(enter(&queues, LockMode::Exclusive, Duration::ZERO).is_some());
    }

    #[test]
    fn a_caller_that_panics_leaves_the_queue() {
        let queues = Arc::new(Queues::default());
        let panicked = thread::scope(|scope| {
            let caller = scope.spawn(|| {
                let _place = enter(&queues, LockMode::Exclusive, LONG).unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            caller.join().is_err()
        });
        assert!(panicked && enter(&queues, LockMode::Exclusive, Duration::ZERO).is_some());
    }
}
