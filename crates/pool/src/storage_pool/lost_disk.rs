//! Taking a disk that is lost out of a pool: the images on it are made anew on other disks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lvm_dm::{RaidHealth, RaidStatus};
use lvm_meta::{PvFilter, PvId};

use super::StoragePool;
use super::evacuate::{MoveProgress, REPORT, ROUNDS, STANDSTILL};
use super::lost_plan::{self, LostPlan, Room};
use crate::apply::Step;
use crate::error::DiskProblem;
use crate::info::PoolInfo;
use crate::open_vg::OpenVg;
use crate::raid::mend::mend_all;
use crate::raid::{Array, Degraded, areas};
use crate::thin::{PoolLv, stack};
use crate::{Error, evacuate, replica};

/// Between two looks at what is filled.
const PAUSE: Duration = Duration::from_millis(200);

impl StoragePool {
    /// Puts the arrays right that have images on a missing PV, on `to` alone if it is given, removes the PV, and waits until the
    /// new images are filled.
    ///
    /// A call that was cut is continued by the next one.
    ///
    /// # Errors
    /// [`Error::DiskStays`] with all that is in the way: nothing was changed.  [`Error::Partly`] when something fails on the
    /// way, or others took the room that was planned with; as [`StoragePool::repair_replica`].
    pub(super) fn take_lost_disk_out(
        &self,
        path: &Path,
        pv: PvId,
        to: Option<PvId>,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<PoolInfo, Error> {
        let plan = {
            let open = self.fresh()?;
            let vg = open.vg.clone();
            self.plan_lost(&open, path, pv, Room { vg, on: to })?
        };
        let mut done = Vec::new();
        let taken = self.make_anew(path, pv, to, &plan, &mut done, tell);
        taken.map_err(|error| error.after(done))?;
        self.info()
    }

    /// Does what was planned for a lost disk, noting what is done.
    fn make_anew(
        &self,
        path: &Path,
        pv: PvId,
        to: Option<PvId>,
        plan: &LostPlan,
        done: &mut Vec<String>,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        {
            let _lock = inner.lock_vg(self.name())?;
            evacuate::steps::take_back(inner, &mut *self.repairable()?)?;
        }
        for name in &plan.arrays {
            let mut rounds = ROUNDS;
            loop {
                rounds -= 1;
                match self.repair_lost(name, to) {
                    // Somebody else did.
                    Err(Error::NothingToRepair(_)) => break,
                    // Other images are filled, or were taken back just now: that comes first.
                    Err(Error::ArrayState { .. }) if rounds > 0 => {
                        self.wait_for_sync(path, std::slice::from_ref(name), tell)?;
                    }
                    repaired => {
                        repaired?;
                        done.push(format!("{name} has a new image"));
                        break;
                    }
                }
            }
        }
        {
            let _locks = inner.lock_global(self.name())?;
            let mut open = self.repairable()?;
            for name in &plan.unused {
                self.drop_unused(&mut open, name)?;
            }
            check_holds_nothing(&open, path, pv)?;
            let _hints = inner.invalidate_hints()?;
            open.change(inner, "remove missing disk", |change| {
                if change.open().vg.pv(pv).is_some() {
                    change.repair(|vg| vg.remove_pv(pv).map(drop))?;
                    change.step(Step::Commit);
                }
                Ok(())
            })?;
            // Of a move that was taken back, what was on the lost disk was on its device until now.
            let devices = inner.mapper.list().map_err(Error::Dm)?;
            evacuate::mend::sweep(inner, &mut open, &devices)?;
            // What the last look found of the PV is no longer so.
            open.forget();
        }
        done.push("the disk is no longer the pool's".into());
        self.wait_for_sync(path, &plan.arrays, tell)
    }

    /// Plans what becomes of all that a lost PV held.
    ///
    /// # Errors
    /// [`Error::DiskStays`] with all that is in the way, and as [`lost_plan::plan`].
    pub(super) fn plan_lost(
        &self,
        open: &OpenVg,
        path: &Path,
        pv: PvId,
        room: Room,
    ) -> Result<LostPlan, Error> {
        self.check_ours(open)?;
        lost_plan::plan(&self.inner, open, room, pv)?.map_err(|in_the_way| Error::DiskStays {
            disk: path.into(),
            pool: self.name().into(),
            in_the_way,
        })
    }

    /// Removes an LV that was never used: the spare of thin pools, or one whose creation was cut.
    fn drop_unused(&self, open: &mut OpenVg, name: &str) -> Result<(), Error> {
        if open.vg.lv(name).is_none() {
            return Ok(());
        }
        let description = format!("remove {name}, which was never used");
        open.change(&self.inner, &description, |change| {
            self.plan_removal(change, name)
        })
    }

    /// Maps an array without the images on missing disks, if it is not mapped, and puts it right.
    fn repair_lost(&self, name: &str, to: Option<PvId>) -> Result<(), Error> {
        let inner = &*self.inner;
        // The kernel fills its images.
        let uuid = self.fresh()?.vg.lv(name).and_then(replica::replica_of);
        if let Some(uuid) = uuid {
            self.activate_replica_degraded(uuid)?;
        }
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.repairable()?;
        if let Some(pool) = PoolLv::on(&open.vg, name) {
            stack::ensure_active(inner, &open, &pool, Degraded::Allow)?;
        }
        mend_all(inner, &mut open)?;
        let on: Vec<PvId> = to.into_iter().collect();
        let pvs = match to {
            Some(_) => PvFilter::Ids(&on),
            None => PvFilter::All,
        };
        self.repair_array(&mut open, name, pvs)
    }

    /// Replaces the images on a PV that is there by ones on another, where they failed: nothing can be copied from them.
    pub(super) fn repair_arrays_on(&self, from: PvId, to: PvId) -> Result<(), Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        let has_failed = |array: &Array<'_>| {
            let status = array.status(inner);
            let mut legs = array.legs.iter().enumerate();
            legs.any(|(at, leg)| {
                let health = status.as_ref().and_then(|status| status.images.get(at));
                health == Some(&RaidHealth::Dead)
                    && leg
                        .parts()
                        .any(|part| areas(&open.vg, part).any(|pv| pv == Some(from)))
            })
        };
        let failed = Array::all(&open.vg).filter(has_failed);
        let names: Vec<String> = failed.map(|array| array.lv.name().to_string()).collect();
        let mut names = names.iter();
        names.try_for_each(|name| self.repair_array(&mut open, name, PvFilter::Ids(&[to])))
    }

    /// Waits until the images of arrays are filled, telling how far that is.
    ///
    /// # Errors
    /// [`Error::MoveFailed`] when nothing is filled for two minutes.
    fn wait_for_sync(
        &self,
        path: &Path,
        arrays: &[String],
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<(), Error> {
        let (mut last, mut since, mut told) = (0, Instant::now(), Instant::now());
        loop {
            let progress = {
                let open = self.fresh()?;
                let found = arrays.iter().filter_map(|name| Array::named(&open.vg, name));
                let found: Vec<Array<'_>> = found.collect();
                let is_lost = |array: &&Array<'_>| !array.survives(&array.holding(&self.inner, &open));
                if let Some(lost) = found.iter().find(is_lost) {
                    return Err(Error::ArrayLost(lost.lv.name().into()));
                }
                let status: Vec<RaidStatus> = found
                    .iter()
                    .filter_map(|array| array.status(&self.inner))
                    .collect();
                let bytes =
                    |sectors: fn(&RaidStatus) -> u64| status.iter().map(sectors).fold(0, u64::saturating_add);
                let is_filled = |status: &RaidStatus| !status.images.contains(&RaidHealth::Behind);
                if status.iter().all(is_filled) {
                    return Ok(());
                }
                MoveProgress {
                    moved: bytes(RaidStatus::in_sync).saturating_mul(512),
                    total: bytes(|status| status.all).saturating_mul(512),
                }
            };
            if progress.moved != last {
                (last, since) = (progress.moved, Instant::now());
            } else if since.elapsed() > STANDSTILL {
                return Err(Error::MoveFailed {
                    disk: path.display().to_string(),
                    why: "the kernel fills no image".into(),
                });
            }
            if told.elapsed() > REPORT {
                tell(progress);
                told = Instant::now();
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn check_holds_nothing(open: &OpenVg, path: &Path, pv: PvId) -> Result<(), Error> {
    match open.vg.pv_used(pv).get() {
        0 => Ok(()),
        used => Err(Error::Disk {
            disk: path.into(),
            why: DiskProblem::Used(used),
        }),
    }
}

/// The missing PV that a caller names by its id, or by the path where it was last.
pub(super) fn missing(open: &OpenVg, named: &Path) -> Option<PvId> {
    let is_it = |pv: &&lvm_meta::Pv| {
        let plain = |text: &str| text.replace('-', "");
        let id = pv.id().to_string();
        let by_id = named.to_str().is_some_and(|named| plain(named) == plain(&id));
        by_id || pv.device_hint().map(PathBuf::from).as_deref() == Some(named)
    };
    let gone = open.vg.pvs().iter().filter(|pv| open.device(pv.id()).is_none());
    let mut found = gone.filter(is_it);
    let pv = found.next()?.id();
    found.next().is_none().then_some(pv)
}
