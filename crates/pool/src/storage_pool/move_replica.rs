//! Moving one replica to other disks of its pool.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lvm_meta::{LvId, PvId};
use uuid::Uuid;

use super::StoragePool;
use super::chosen_disks::{self, ChosenDisks};
use super::evacuate::{MoveProgress, REPORT, STANDSTILL};
use crate::error::DiskProblem;
use crate::evacuate::chosen::Chosen;
use crate::evacuate::{Hidden, check_target, mend, steps};
use crate::info::ReplicaInfo;
use crate::open_vg::OpenVg;
use crate::{Error, replica, thin};

/// Which replica is moved, and where.
struct Wanted<'a> {
    uuid: Uuid,
    from: Option<&'a Path>,
    to: &'a [PathBuf],
}

/// What a look at the pool found.
enum Found {
    /// All is where it should be.
    Done,
    /// Something is to be done under the VG's lock.
    Due,
    /// The kernel copies.
    Copying(LvId, MoveProgress),
}

impl StoragePool {
    /// Moves what a replica has on a disk, or on all but those of `to`, to the disks of `to`, or to any others if there are
    /// none, while it is used; as `pvmove -n LV FROM TO` for each disk that it leaves.  Durable when this returns; a replica
    /// that is there already is success without a commit.
    ///
    /// `tell` is told about once a second how far the copying from one disk is.  The images of an array never come to lie on
    /// one disk.  Snapshots of a thick replica keep their stores where they are.  A call that was cut is continued by the
    /// next one, and by [`StoragePool::evacuate_disk`] of the disk that is left.
    ///
    /// # Errors
    /// [`Error::Disk`] for a disk that is not the pool's; [`Error::NoSpace`]; [`Error::Unsupported`] for a replica that cannot
    /// be moved, a thin one among them, which lies where its thin pool does; [`Error::NoMirrorTarget`];
    /// [`Error::MoveUnderWay`] while something else is moved: nothing was changed.  [`Error::MoveFailed`] as for
    /// [`StoragePool::evacuate_disk`]; what was moved stays so.
    pub fn move_replica(
        &self,
        uuid: Uuid,
        from: Option<&Path>,
        to: &[PathBuf],
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<ReplicaInfo, Error> {
        if to.is_empty() && from.is_none() {
            return Err(Error::InvalidArgument {
                what: "disks",
                given: String::new(),
                why: "neither is named where the replica goes, nor what it leaves".into(),
            });
        }
        let wanted = Wanted { uuid, from, to };
        let is_meant = |open: &OpenVg, hidden: &Hidden<'_>| {
            let chosen = wanted.chosen(open);
            chosen.is_ok_and(|chosen| chosen.is_moved_by(&open.vg, hidden))
        };
        let begun = self.copy_again(is_meant);
        let moved = begun.and_then(|()| self.follow_replica(&wanted, tell));
        if moved.is_err() {
            self.stop_failed_copy();
        }
        moved?;
        self.changed(uuid)
    }

    fn follow_replica(&self, wanted: &Wanted<'_>, tell: &mut dyn FnMut(MoveProgress)) -> Result<(), Error> {
        let inner = &*self.inner;
        // Before the first look, so that nothing falls between the two.
        let mut events = None;
        let mut seen = None;
        let mut last = (None, Instant::now());
        loop {
            let found = {
                let open = self.fresh()?;
                self.check_changeable(&open)?;
                self.look_at_move(&open, wanted, seen)?
            };
            match found {
                Found::Done => return Ok(()),
                Found::Due => {
                    self.go_on_with_move(wanted, seen)?;
                    seen = None;
                }
                Found::Copying(id, progress) => {
                    seen = Some(id);
                    if last.0 != Some(progress) {
                        last = (Some(progress), Instant::now());
                        tell(progress);
                    } else if last.1.elapsed() > STANDSTILL {
                        return Err(failed(wanted.uuid, "nothing is copied any more"));
                    }
                    match &mut events {
                        None => events = Some(inner.mapper.events().map_err(Error::Dm)?),
                        Some(events) => drop(events.wait(REPORT).map_err(Error::Dm)?),
                    }
                }
            }
        }
    }

    /// Takes the next step of a move under the VG's lock, if it is still to be taken.
    fn go_on_with_move(&self, wanted: &Wanted<'_>, seen: Option<LvId>) -> Result<(), Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        mend::ensure_active(inner, &open)?;
        // Whoever had the lock may have done it.
        let Found::Due = self.look_at_move(&open, wanted, seen)? else {
            return Ok(());
        };
        match Hidden::of(&open.vg)? {
            Some(hidden) if hidden.pieces.is_empty() => steps::clean(inner, &mut open),
            Some(_) => steps::advance(inner, &mut open),
            None => {
                check_target(inner)?;
                let disks = ChosenDisks::of(&open, wanted.to)?;
                let pieces = wanted.chosen(&open)?.plan(&open);
                let Some(pieces) = pieces.map_err(|error| disks.tell(&open.vg, error))? else {
                    return Ok(());
                };
                let description = format!("move replica {}", wanted.uuid);
                steps::begin(inner, &mut open, &pieces, &description)
            }
        }
    }

    fn look_at_move(&self, open: &OpenVg, wanted: &Wanted<'_>, seen: Option<LvId>) -> Result<Found, Error> {
        let chosen = wanted.chosen(open)?;
        let Some(hidden) = Hidden::of(&open.vg)? else {
            return match chosen.sources(&open.vg).is_empty() {
                true => Ok(Found::Done),
                false if seen.is_some() => Err(failed(wanted.uuid, "the move was aborted")),
                false => Ok(Found::Due),
            };
        };
        if !chosen.is_moved_by(&open.vg, &hidden) {
            return Err(Error::MoveUnderWay {
                pool: open.vg.name().into(),
                lv: hidden.lv.name().into(),
                disk: hidden.from().map(|pv| disk_of(open, pv)),
            });
        }
        let (Some(piece), Some(status)) = (hidden.current(), hidden.status(&self.inner, open)?) else {
            if hidden.stopped(&self.inner, open)?.is_some() {
                return Err(failed(wanted.uuid, "a disk that it is moved from or to failed"));
            }
            // All is copied, or the device is not there.
            return Ok(Found::Due);
        };
        if !status.is_healthy() {
            let health = &status.health;
            return Err(failed(
                wanted.uuid,
                &format!("the kernel says {health:?} of the two disks"),
            ));
        }
        if status.is_in_sync() {
            return Ok(Found::Due);
        }
        let bytes = |extents| open.vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX);
        let done = hidden.pieces.iter().filter(|piece| piece.is_done());
        let part =
            u128::from(bytes(piece.extents)) * u128::from(status.in_sync) / u128::from(status.regions.max(1));
        let progress = MoveProgress {
            moved: done.fold(u64::try_from(part).unwrap_or(u64::MAX), |sum, piece| {
                sum.saturating_add(bytes(piece.extents))
            }),
            total: bytes(hidden.lv.extent_count()),
        };
        Ok(Found::Copying(hidden.lv.id(), progress))
    }
}

impl Wanted<'_> {
    /// The LVs and PVs that the request means.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`], [`Error::Disk`], [`Error::Unsupported`].
    fn chosen<'a>(&self, open: &'a OpenVg) -> Result<Chosen<'a>, Error> {
        let lv = replica::find(open, self.uuid)?;
        if thin::thin(lv).is_some() {
            let what = format!(
                "moving the thin replica {}, which lies where its thin pool does,",
                self.uuid
            );
            return Err(Error::Unsupported(what));
        }
        let from = self.from.map(|path| chosen_disks::pv(open, path)).transpose()?;
        let mut to = Vec::with_capacity(self.to.len());
        for path in self.to {
            let pv = chosen_disks::pv(open, path)?;
            if from == Some(pv) {
                return Err(Error::Disk {
                    disk: path.clone(),
                    why: DiskProblem::GivenTwice,
                });
            }
            to.push(pv);
        }
        Ok(Chosen::new(&open.vg, lv, from, to))
    }
}

/// The path of a disk, or the id of its PV.
fn disk_of(open: &OpenVg, pv: PvId) -> String {
    let disk = open.disks.iter().find(|disk| disk.pv == pv);
    disk.map_or_else(|| pv.to_string(), |disk| disk.path.display().to_string())
}

fn failed(uuid: Uuid, why: &str) -> Error {
    Error::MoveFailed {
        disk: format!("replica {uuid}"),
        why: why.into(),
    }
}
