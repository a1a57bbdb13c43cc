//! Emptying a disk, replacing one.

use std::path::Path;
use std::time::{Duration, Instant};

use lvm_meta::{Extents, LvId, PvId};

use super::fit_disks::lvs_behind;
use super::lost_plan::Room;
use super::{StoragePool, last_area, lost_disk};
use crate::block_sizes::block_size;
use crate::error::DiskProblem;
use crate::evacuate::{Hidden, check_target, is_stuck, mend, plan, steps};
use crate::info::PoolInfo;
use crate::new_disks::{NewDisks, NewDisksRequest};
use crate::open_vg::OpenVg;
use crate::{Error, gap, host};

/// How far a move is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoveProgress {
    /// What is at its new place.
    pub moved: u64,
    /// All that is moved.
    pub total: u64,
}

/// Longest wait between two reports of progress; the end of a piece is an event of the kernel's.
pub(super) const REPORT: Duration = Duration::from_secs(1);
/// Longest time without progress.
pub(super) const STANDSTILL: Duration = Duration::from_secs(120);

/// How often a disk is emptied on which others put something meanwhile.
pub(super) const ROUNDS: u32 = 8;

/// What a look at the pool found.
enum Found {
    /// Nothing is on the disk.
    Empty,
    /// Something is to be done under the VG's lock.
    Due(Option<LvId>),
    /// The kernel copies.
    Copying(LvId, MoveProgress),
}

impl StoragePool {
    /// Moves what a disk holds to the others, while it is used, and removes the disk.  Durable when this returns.
    ///
    /// As [`StoragePool::remove_disk`]; `tell` is told how far it is about once a second.  The VG's lock is taken for the
    /// steps alone, so that other replicas can be changed meanwhile; those that are moved cannot.  A call that was cut is
    /// continued by the next one: no piece is copied twice.  The real `pvmove` continues it, too, and `pvmove --abort`
    /// undoes it.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Unsupported`] for LVs that cannot be moved, [`Error::NoMirrorTarget`],
    /// [`Error::MoveUnderWay`]: nothing was changed.  [`Error::MoveFailed`] when a disk fails under the copying, nothing is
    /// copied for two minutes, or somebody aborts the move; what was moved stays so.
    pub fn evacuate_disk(&self, path: &Path, tell: &mut dyn FnMut(MoveProgress)) -> Result<PoolInfo, Error> {
        // Before anything moves.
        self.fresh()?.check_resizeable()?;
        self.look_at_named(path)?;
        match self.lost(path)? {
            Some(lost) => self.take_lost_disk_out(path, lost, None, tell),
            None => self.empty_and_take_out(path, None, tell),
        }
    }

    /// Takes a disk that a command names into scope, so that one which is there is not taken for a lost one.
    fn look_at_named(&self, path: &Path) -> Result<(), Error> {
        if gap::check_named(path, self.inner.images).is_err() {
            // An id, or the path of a disk that is gone.
            return Ok(());
        }
        let is_known = pv(&*self.fresh()?, path).is_some();
        if !is_known && !self.inner.widen(&[path.into()]).is_empty() {
            self.lock()?.forget();
        }
        Ok(())
    }

    /// The missing PV that a path or an id names; `None` for a disk that is there.
    fn lost(&self, path: &Path) -> Result<Option<PvId>, Error> {
        let open = self.fresh()?;
        Ok(match pv(&open, path) {
            Some(_) => None,
            None => lost_disk::missing(&open, path),
        })
    }

    /// Adds a disk, moves what another one holds to it as far as it has room, and removes that: all as
    /// [`StoragePool::add_disks`] and [`StoragePool::evacuate_disk`] do.
    ///
    /// A call that was cut is continued by the next one.
    ///
    /// # Errors
    /// As those; what finds no room is refused before the new disk is taken.  [`Error::Partly`] when something fails later:
    /// the new disk stays the pool's, and the call may be repeated.
    pub fn replace_disk(
        &self,
        old: &Path,
        new: &Path,
        force: bool,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<PoolInfo, Error> {
        if host::same_device(old, new).unwrap_or(false) {
            return Err(Error::Disk {
                disk: new.into(),
                why: DiskProblem::GivenTwice,
            });
        }
        self.fresh()?.check_resizeable()?;
        self.look_at_named(old)?;
        let pv_of = |path: &Path| -> Result<Option<PvId>, Error> { Ok(pv(&*self.fresh()?, path)) };
        if let Some(lost) = self.lost(old)? {
            let room = self.room_with(new, force)?;
            self.plan_lost(&*self.fresh()?, old, lost, room)?;
            return self.with_new(new, force, |to| self.take_lost_disk_out(old, lost, to, tell));
        }
        if let Some(from) = pv_of(old)? {
            if pv_of(new)?.is_some() {
                last_area::successor(&*self.fresh()?, from)?;
            }
            // What cannot be moved at all is refused before the new disk is taken.
            let open = self.fresh()?;
            self.check_changeable(&open)?;
            if Hidden::of(&open.vg)?.is_none() && open.vg.pv_used(from).get() > 0 {
                check_target(&self.inner)?;
                drop(open);
                let room = self.room_with(new, force)?;
                let open = self.fresh()?;
                plan::plan_in(&open, &room.vg, from, Extents::ZERO, room.on)?;
            }
        }
        // Without the old one there is nothing left to replace, but to finish taking it out.
        if pv_of(old)?.is_none() {
            let to = pv_of(new)?;
            return self.empty_and_take_out(old, to, tell);
        }
        self.with_new(new, force, |to| {
            if let (Some(from), Some(to)) = (pv_of(old)?, to) {
                self.repair_arrays_on(from, to)?;
            }
            self.empty_and_take_out(old, to, tell)
        })
    }

    /// The VG with a disk that is to join it, if that is not the pool's already.  Nothing is written.
    ///
    /// # Errors
    /// [`Error::Disk`] for a disk that may not be taken.
    fn room_with(&self, new: &Path, force: bool) -> Result<Room, Error> {
        let open = self.fresh()?;
        self.check_ours(&open)?;
        let (mut vg, on) = (open.vg.clone(), pv(&open, new));
        if on.is_some() {
            return Ok(Room { vg, on });
        }
        let metadata_size = open.mdas.area_size();
        let own = open.disks.iter().map(|disk| block_size(&disk.path, &*disk.disk));
        let beside: Vec<_> = own.collect();
        drop(open);
        let paths = [new.to_path_buf()];
        let request = NewDisksRequest {
            paths: &paths,
            extent_size: vg.extent_size(),
            metadata_size,
            force,
            beside: &beside,
        };
        let scan = self.inner.scan_also(&paths)?;
        let disks = NewDisks::check(&self.inner, &scan, &request)?;
        vg.repairing(|vg| disks.add_to(vg))?;
        let on = disks.disks().first().map(|disk| disk.id);
        Ok(Room { vg, on })
    }

    /// Adds a disk if it is not the pool's, for what is to go there; without room for that it leaves again.
    fn with_new(
        &self,
        new: &Path,
        force: bool,
        replace: impl FnOnce(Option<PvId>) -> Result<PoolInfo, Error>,
    ) -> Result<PoolInfo, Error> {
        let is_added = pv(&*self.fresh()?, new).is_none();
        if is_added {
            self.add_disks(&[new.into()], force)?;
        }
        let to = pv(&*self.fresh()?, new);
        let replaced = replace(to);
        match replaced {
            // Somebody took the room in between.
            Err(error @ (Error::NoSpace { .. } | Error::DiskStays { .. })) if is_added => {
                self.take_disk_out(new)?;
                Err(error)
            }
            Err(error) if is_added => Err(error.after(vec![format!("{} joined the pool", new.display())])),
            replaced => replaced,
        }
    }

    fn empty_and_take_out(
        &self,
        path: &Path,
        first: Option<PvId>,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<PoolInfo, Error> {
        let mut rounds = ROUNDS;
        let mut is_moved = false;
        loop {
            is_moved |= self.empty_disk(path, Extents::ZERO, first, tell)?;
            rounds -= 1;
            match self.take_disk_out(path) {
                // Somebody put something on it in between.
                Err(Error::Disk {
                    why: DiskProblem::Used(_),
                    ..
                }) if rounds > 0 => {}
                Err(error) if is_moved => {
                    return Err(error.after(vec![format!("what {} held was moved", path.display())]));
                }
                result => return result,
            }
        }
    }

    /// Moves what a disk holds behind its first `keep` extents until it holds nothing there.  Returns `true` if this call
    /// changed anything for that.
    ///
    /// # Errors
    /// [`Error::Partly`] when something fails behind the commit with which this call began the move; but
    /// [`Error::MoveFailed`], which says that what was moved stays.
    pub(super) fn empty_disk(
        &self,
        path: &Path,
        keep: Extents,
        first: Option<PvId>,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<bool, Error> {
        let mut is_begun = false;
        let moved = self
            .copy_again(|open, hidden| hidden.from() == pv(open, path))
            .and_then(|()| self.follow_move(path, keep, first, &mut is_begun, tell));
        if moved.is_err() {
            self.stop_failed_copy();
        }
        moved.map(|()| is_begun).map_err(|error| match error {
            failed @ Error::MoveFailed { .. } => failed,
            other if is_begun => other.after(vec![format!(
                "the move of what {} holds was begun",
                path.display()
            )]),
            other => other,
        })
    }

    /// Stops the copying if a disk of it failed or is missing; the error that led here is the one to report.
    pub(super) fn stop_failed_copy(&self) {
        let inner = &*self.inner;
        let stop = || -> Result<(), Error> {
            let _lock = inner.lock_vg(self.name())?;
            let open = self.fresh()?;
            match is_stuck(&open) {
                true => mend::stop_copy(inner, &open),
                false => mend::stop_failed_copy(inner, &open),
            }
        };
        let _ = stop();
    }

    /// Has the kernel begin again with a piece whose copying was stopped, or is to be, as a disk failed: that may be over.
    pub(super) fn copy_again(&self, is_meant: impl Fn(&OpenVg, &Hidden<'_>) -> bool) -> Result<(), Error> {
        let inner = &*self.inner;
        let is_due = |open: &OpenVg| -> Result<bool, Error> {
            Ok(match Hidden::of(&open.vg) {
                Ok(Some(hidden)) if is_meant(open, &hidden) => {
                    hidden.stopped(inner, open)?.is_some() || hidden.has_failed(inner, open)?
                }
                _ => false,
            })
        };
        let is_due_now = {
            let open = self.fresh()?;
            open.check_writable(inner).is_ok() && is_due(&open)?
        };
        if is_due_now {
            let _lock = inner.lock_vg(self.name())?;
            let open = self.changeable()?;
            if is_due(&open)? {
                mend::stop_failed_copy(inner, &open)?;
                mend::copy_stopped(inner, &open)?;
            }
        }
        Ok(())
    }

    fn follow_move(
        &self,
        path: &Path,
        keep: Extents,
        first: Option<PvId>,
        is_begun: &mut bool,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        // Before the first look, so that nothing falls between the two.
        let mut events = None;
        let mut seen = None;
        let mut last = (None, Instant::now());
        loop {
            let found = {
                let open = self.fresh()?;
                self.check_changeable(&open)?;
                self.look(&open, path, keep, seen)?
            };
            match found {
                Found::Empty => return Ok(()),
                Found::Due(_) => {
                    let _lock = inner.lock_vg(self.name())?;
                    let mut open = self.changeable()?;
                    mend::ensure_active(inner, &open)?;
                    // Whoever had the lock may have done it.
                    match self.look(&open, path, keep, seen)? {
                        Found::Empty => return Ok(()),
                        Found::Copying(..) => {}
                        Found::Due(Some(_)) => {
                            let advanced = steps::advance(inner, &mut open);
                            advanced.map_err(|error| of_disk(path, error))?;
                            seen = None;
                        }
                        Found::Due(None) => {
                            let Some(from) = pv(&open, path) else {
                                return Ok(());
                            };
                            check_target(inner)?;
                            if keep == Extents::ZERO {
                                // Before anything is moved for a disk that could not leave.
                                last_area::successor(&open, from)?;
                            }
                            let pieces = plan::plan(&open, from, keep, first)?;
                            let description = format!("move what is on {}", path.display());
                            let begun = steps::begin(inner, &mut open, &pieces, &description);
                            *is_begun |= matches!(begun, Ok(_) | Err(Error::AfterCommit(_)));
                            begun?;
                        }
                    }
                }
                Found::Copying(id, progress) => {
                    seen = Some(id);
                    if last.0 != Some(progress) {
                        last = (Some(progress), Instant::now());
                        tell(progress);
                    } else if last.1.elapsed() > STANDSTILL {
                        return Err(failed(path, "nothing is copied any more"));
                    }
                    match &mut events {
                        None => events = Some(inner.mapper.events().map_err(Error::Dm)?),
                        Some(events) => drop(events.wait(REPORT).map_err(Error::Dm)?),
                    }
                }
            }
        }
    }

    /// What is to be done; `seen` is the move that was copying at the last look.
    fn look(&self, open: &OpenVg, path: &Path, keep: Extents, seen: Option<LvId>) -> Result<Found, Error> {
        let Some(from) = pv(open, path) else {
            return Ok(Found::Empty);
        };
        let Some(hidden) = Hidden::of(&open.vg)? else {
            if lvs_behind(&open.vg, from, keep).is_empty() {
                return Ok(Found::Empty);
            }
            if seen.is_some() {
                return Err(failed(path, "the move was aborted"));
            }
            if open.vg.pvs().len() == 1 && keep == Extents::ZERO {
                return Err(Error::Disk {
                    disk: path.into(),
                    why: DiskProblem::Last,
                });
            }
            return Ok(Found::Due(None));
        };
        if let Some(other) = hidden.from().filter(|other| *other != from) {
            let disk = open.disks.iter().find(|disk| disk.pv == other);
            return Err(Error::MoveUnderWay {
                pool: open.vg.name().into(),
                lv: hidden.lv.name().into(),
                disk: Some(disk.map_or_else(|| other.to_string(), |disk| disk.path.display().to_string())),
            });
        }
        let id = hidden.lv.id();
        let (Some(piece), Some(status)) = (hidden.current(), hidden.status(&self.inner, open)?) else {
            if hidden.stopped(&self.inner, open)?.is_some() {
                return Err(given_up(path, open, None));
            }
            // All is copied, or the device is not there.
            return Ok(Found::Due(Some(id)));
        };
        if !status.is_healthy() {
            let at_fault = if status.is_first_healthy() {
                piece.to.0
            } else {
                piece.from.0
            };
            return Err(given_up(path, open, Some(at_fault)));
        }
        if status.is_in_sync() {
            return Ok(Found::Due(Some(id)));
        }
        let bytes = |extents| open.vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX);
        let done = hidden.pieces.iter().filter(|piece| piece.is_done());
        let part =
            u128::from(bytes(piece.extents)) * u128::from(status.in_sync) / u128::from(status.regions.max(1));
        Ok(Found::Copying(
            id,
            MoveProgress {
                moved: done.fold(u64::try_from(part).unwrap_or(u64::MAX), |sum, piece| {
                    sum.saturating_add(bytes(piece.extents))
                }),
                total: bytes(hidden.lv.extent_count()),
            },
        ))
    }
}

/// The PV of a disk of the pool.
pub(super) fn pv(open: &OpenVg, path: &Path) -> Option<PvId> {
    let mut disks = open.disks.iter();
    let disk = disks.find(|disk| host::same_device(&disk.path, path).unwrap_or(false));
    disk.map(|disk| disk.pv)
}

/// An error of a move by the name of the disk that it empties.
fn of_disk(path: &Path, error: Error) -> Error {
    match error {
        Error::MoveFailed { why, .. } => failed(path, &why),
        other => other,
    }
}

/// The error of a move that the kernel gave up as a disk failed.
fn given_up(path: &Path, open: &OpenVg, at_fault: Option<PvId>) -> Error {
    let name = |pv: PvId| {
        let disk = open.disks.iter().find(|disk| disk.pv == pv);
        disk.map_or_else(|| pv.to_string(), |disk| disk.path.display().to_string())
    };
    let disk = at_fault.map_or_else(|| "a disk".into(), |pv| format!("disk {}", name(pv)));
    failed(
        path,
        &format!(
            "{disk} failed; repeat the call if it works again, or detach it and remove it from the pool: \
             what is moved stays so, and the rest stays where it is"
        ),
    )
}

fn failed(path: &Path, why: &str) -> Error {
    Error::MoveFailed {
        disk: path.display().to_string(),
        why: why.into(),
    }
}
