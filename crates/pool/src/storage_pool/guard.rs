//! Who may use the VG that a handle keeps open: one caller after the other, as they came, and none waits without end.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::Error;
use crate::host::{LockMode, Place, Queues};
use crate::open_vg::OpenVg;
use crate::system::Inner;

/// An open VG that the clones of a handle share.
pub(super) struct SharedVg {
    open: Mutex<OpenVg>,
    turns: Arc<Queues<()>>,
}

impl SharedVg {
    pub(super) fn new(open: OpenVg) -> Self {
        Self {
            open: Mutex::new(open),
            turns: Arc::default(),
        }
    }

    /// Waits for its turn, no longer than the system waits for a lock.
    ///
    /// # Errors
    /// [`Error::Host`] with a lock's timeout.
    pub(super) fn lock(&self, inner: &Inner, vg: &str) -> Result<OpenGuard<'_>, Error> {
        let began = Instant::now();
        let turn = self.turns.enter(&(), LockMode::Exclusive, began, inner.timeout);
        let turn = turn.ok_or_else(|| Error::Host(inner.locks.kept_here(vg, began.elapsed())))?;
        Ok(OpenGuard {
            // Who has the turn finds it free.  A panic of another thread cannot leave it half changed for us: a change
            // marks it stale first.
            open: self.open.lock().unwrap_or_else(PoisonError::into_inner),
            _turn: turn,
        })
    }
}

/// The open VG, for one caller.
pub(crate) struct OpenGuard<'a> {
    // Free before the next one's turn comes.
    open: MutexGuard<'a, OpenVg>,
    _turn: Place<()>,
}

impl Deref for OpenGuard<'_> {
    type Target = OpenVg;

    fn deref(&self) -> &OpenVg {
        &self.open
    }
}

impl DerefMut for OpenGuard<'_> {
    fn deref_mut(&mut self) -> &mut OpenVg {
        &mut self.open
    }
}
