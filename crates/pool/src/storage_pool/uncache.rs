//! Taking the cache off an LV, whatever uses it meanwhile.

use std::time::Instant;

use super::StoragePool;
use super::evacuate::{MoveProgress, REPORT, ROUNDS, STANDSTILL};
use crate::Error;
use crate::cached::owner::Owner;
use crate::cached::steps::{self, Use};
use crate::cached::{self, DIRTY, Due, Found, Stack};
use crate::open_vg::OpenVg;

impl StoragePool {
    /// Writes the cache of an LV back and takes it off; success without a commit for an LV without one.  The VG need not be
    /// a pool.  Durable when this returns.
    ///
    /// The VG's lock is taken for the steps alone.  A call that was cut is continued by the next one.  An LV that is not
    /// active is so afterwards, too, whatever this returns.
    ///
    /// # Errors
    /// As [`cached::look`], before anything is changed; [`Error::CacheState`] when nothing is written back for two minutes:
    /// the cache stays, mapped without write-back.
    pub(crate) fn take_cache_off(&self, lv: &str, tell: &mut dyn FnMut(MoveProgress)) -> Result<(), Error> {
        let mut owner = None;
        let done = self.go_on_to_uncache(lv, tell, &mut owner);
        if owner.take().is_some() {
            // Nothing holds the device any more that tells whose the LV is: as after a cut, it goes, and what is left with it.
            let left = self.recover();
            done.and(left)
        } else {
            done
        }
    }

    fn go_on_to_uncache(
        &self,
        lv: &str,
        tell: &mut dyn FnMut(MoveProgress),
        owner: &mut Option<Owner>,
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        // Before the first look, so that nothing falls between the two.
        let mut events = None;
        let mut last = (None, Instant::now());
        let (mut rounds, mut total) = (ROUNDS, 0);
        loop {
            let found = {
                let open = self.fresh()?;
                open.check_writable(inner)?;
                let found = cached::look(inner, &open, lv)?;
                if let Found::Cleaning(_) = found {
                    cached::urge(inner, &open, lv)?;
                }
                found
            };
            match found {
                Found::Free => return Ok(()),
                Found::Due(due) => {
                    rounds = rounds.checked_sub(1).ok_or_else(|| stuck(lv))?;
                    match self.step_to_uncache(lv, due, owner) {
                        // A write came in between, before the cache took none any more.
                        Err(Error::CacheState { state, .. }) if state == DIRTY => {}
                        done => done?,
                    }
                }
                Found::Cleaning(left) => {
                    let progress = cached::progress(left, &mut total);
                    if last.0 != Some(progress) {
                        last = (Some(progress), Instant::now());
                        tell(progress);
                    } else if last.1.elapsed() > STANDSTILL {
                        return Err(stuck(lv));
                    }
                    match &mut events {
                        None => events = Some(inner.mapper.events().map_err(Error::Dm)?),
                        Some(events) => drop(events.wait(REPORT).map_err(Error::Dm)?),
                    }
                }
            }
        }
    }

    /// Does what is due, unless whoever had the lock before did it.
    fn step_to_uncache(&self, lv: &str, due: Due, owner: &mut Option<Owner>) -> Result<(), Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        self.recover_locked()?;
        let mut open = self.fresh()?;
        open.check_writable(inner)?;
        if cached::look(inner, &open, lv)? != Found::Due(due) {
            return Ok(());
        }
        let stack = |open: &OpenVg, act: &mut dyn FnMut(&Stack<'_>) -> Result<(), Error>| {
            let stack = open.vg.lv(lv).and_then(|lv| Stack::of(&open.vg, lv));
            stack.map_or(Ok(()), |stack| act(&stack))
        };
        match due {
            // What is left of a cut change after that, nobody knows how to mend.
            Due::Mend => Err(Error::CacheState {
                lv: lv.into(),
                state: "suspended".into(),
            }),
            Due::Activate => stack(&open, &mut |stack| {
                *owner = Some(stack.own(inner)?);
                stack.activate(inner, &open)
            }),
            Due::Clean => stack(&open, &mut |stack| steps::clean(inner, &open, stack)),
            Due::TakeOff => {
                let used = owner.as_ref().map_or(Use::Shared, |_| Use::Private);
                steps::take_off(inner, &mut open, lv, used)
            }
        }
    }
}

fn stuck(lv: &str) -> Error {
    Error::CacheState {
        lv: lv.into(),
        state: "written back no more".into(),
    }
}
