//! Taking LVs over as replicas.

use lvm_meta::VgName;
use uuid::Uuid;

use crate::adopt::{self, AdoptionPlan, AdoptionStep};
use crate::cached::{self, Stack};
use crate::info::ReplicaInfo;
use crate::open_vg::{Change, OpenVg};
use crate::system::System;
use crate::{Error, MoveProgress, StoragePool, gap, replica, snapshot, storage_pool};

impl System {
    /// Tells what [`System::adopt`] would do, and why it would not.  Nothing is changed, and nobody is waited for.
    ///
    /// # Errors
    /// [`Error::LvNotFound`]; [`Error::AmbiguousName`]; [`Error::Unseen`] when the VG was not found and not everything in
    /// scope could be looked at.
    pub fn plan_adoption(&self, vg: &str, lv: &str, uuid: Uuid) -> Result<AdoptionPlan, Error> {
        let (mut open, others) = self.vg_to_adopt(vg, lv)?;
        let mut plan = self.plan_in(&open, &others, lv, uuid)?;
        if plan.refusal.is_none() && !plan.steps.is_empty() {
            let rehearsed = open.rehearse(&self.inner, |change| {
                adopt::carry_out(&self.inner, change, lv, uuid)
            });
            if let Err(refusal) = rehearsed {
                plan.steps.clear();
                plan.refusal = Some(refusal);
            }
        }
        Ok(plan)
    }

    /// Tells what [`System::adopt_uncached`] would do, and why it would not, as [`System::plan_adoption`] does.
    ///
    /// # Errors
    /// As [`System::plan_adoption`].
    pub fn plan_uncached_adoption(&self, vg: &str, lv: &str, uuid: Uuid) -> Result<AdoptionPlan, Error> {
        let inner = &*self.inner;
        let (mut open, others) = self.vg_to_adopt(vg, lv)?;
        let found = adopt::find(&open, lv, uuid)?;
        let Some(stack) = Stack::of(&open.vg, found) else {
            return self.plan_adoption(vg, lv, uuid);
        };
        let (name, cache) = (found.name().to_string(), stack.pool.name().to_string());
        let layout = replica::layout(found);
        let looked = open
            .check_writable(inner)
            .and_then(|()| cached::look(inner, &open, &name));
        let mut plan = adopt::plan(inner, &open, lv, uuid)?;
        let rehearse = |change: &mut Change<'_>| {
            change.edit().remove_cache(&name).map_err(Error::Meta)?;
            let plan = self.plan_in(change.open(), &others, lv, uuid)?;
            match plan.refusal {
                Some(refusal) => Err(refusal),
                None => adopt::carry_out(inner, change, lv, uuid).map(|()| plan.steps),
            }
        };
        match looked.and_then(|_| open.rehearse(inner, rehearse)) {
            Ok(steps) => {
                let first = AdoptionStep::TakeCacheOff { lv: name, cache };
                plan.steps = [first].into_iter().chain(steps).collect();
                plan.refusal = None;
            }
            Err(refusal) => {
                plan.steps.clear();
                plan.refusal = Some(refusal);
            }
        }
        plan.layout = layout;
        Ok(plan)
    }

    /// As [`System::adopt`], for an LV that may be cached by dm-cache: what the cache holds is written back, and the cache
    /// is removed first, as `lvconvert --uncache` does, in place and while the LV is used.  Durable when this returns.
    ///
    /// `tell` is told about once a second how much is written back.  The VG's lock is taken for the steps alone.  A call that
    /// was cut or failed leaves the LV cached, though maybe without write-back, or without a cache, and is continued by the
    /// next one; `lvchange --refresh` maps the cache again as it was.
    ///
    /// # Errors
    /// As [`System::adopt`], before anything is changed; [`Error::NoCacheTarget`]; [`Error::CacheState`] for a cache that
    /// failed, is read-only or has to be checked, and when nothing is written back for two minutes; [`Error::Unsupported`]
    /// for caches of types that are not taken off.
    pub fn adopt_uncached(
        &self,
        vg: &str,
        lv: &str,
        uuid: Uuid,
        tell: &mut dyn FnMut(MoveProgress),
    ) -> Result<ReplicaInfo, Error> {
        VgName::parse(vg)?;
        let plan = self.plan_uncached_adoption(vg, lv, uuid)?;
        if let Some(refusal) = plan.refusal {
            return Err(refusal);
        }
        let (open, _) = self.vg_to_adopt(vg, lv)?;
        let name = adopt::find(&open, lv, uuid)?.name().to_string();
        let mut done = Vec::new();
        if cached::is_cached(adopt::find(&open, lv, uuid)?) {
            StoragePool::new(self.inner.clone(), open).take_cache_off(&name, tell)?;
            done.push(format!("the cache of {name} was taken off"));
        }
        self.adopt(vg, lv, uuid).map_err(|error| error.after(done))
    }

    /// Takes an LV over as a replica, under I/O if it is in use: its VG becomes a pool if it is none, the LV is named by `uuid`
    /// and is the replica of its old name, and its devices and links follow.  Its data, its id and what it is made of stay.
    /// Durable when this returns; an LV that is that replica is success without a commit.
    ///
    /// What is taken over is a linear or striped LV, an array or a thin LV; an inactive one stays inactive.
    ///
    /// # Errors
    /// [`Error::LvNotFound`]; [`Error::Exists`] for a uuid or name that is taken, and an LV that is another replica;
    /// [`Error::HasSnapshots`] for an origin of classic snapshots; [`Error::Unsupported`] for other types of LVs, snapshots,
    /// and parts of LVs; [`Error::Meta`] for one that is being moved; [`Error::Refused`] for a VG that must not be changed.
    pub fn adopt(&self, vg: &str, lv: &str, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        VgName::parse(vg)?;
        let _lock = inner.lock_vg(vg)?;
        let (open, others) = self.vg_to_adopt(vg, lv)?;
        let plan = self.plan_in(&open, &others, lv, uuid)?;
        if let Some(refusal) = plan.refusal {
            return Err(refusal);
        }
        let pool = StoragePool::new(self.inner.clone(), open);
        pool.recover_locked()?;
        let description = format!("adopt {vg}/{lv} as replica {uuid}");
        pool.fresh()?.change(inner, &description, |change| {
            adopt::carry_out(inner, change, lv, uuid)
        })?;
        pool.changed(uuid)
    }

    /// The VG of an LV, and the others.
    fn vg_to_adopt(&self, vg: &str, lv: &str) -> Result<(OpenVg, Vec<OpenVg>), Error> {
        let (all, gaps) = self.open_all(self.inner.scan()?)?;
        let (mut named, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|open| open.vg.name() == vg);
        let count = named.len();
        let its = gap::of_vg(&gaps, vg);
        let not_found = || {
            let gaps = if its.is_empty() { &gaps } else { &its };
            gap::unless_unseen(Error::LvNotFound(format!("{vg}/{lv}")), gaps)
        };
        let open = named.pop().ok_or_else(not_found)?;
        if count > 1 {
            let name = vg.into();
            return Err(Error::AmbiguousName { name, count });
        }
        Ok((open, others))
    }

    /// What is to be done.
    fn plan_in(&self, open: &OpenVg, others: &[OpenVg], lv: &str, uuid: Uuid) -> Result<AdoptionPlan, Error> {
        let mut plan = adopt::plan(&self.inner, open, lv, uuid)?;
        let is_taken =
            |open: &OpenVg| replica::find(open, uuid).is_ok() || snapshot::find(open, uuid).is_ok();
        let mut pools = others.iter().filter(|open| storage_pool::is_pool(open));
        if plan.refusal.is_none() && pools.any(is_taken) {
            plan.steps.clear();
            plan.refusal = Some(Error::Exists {
                what: "replica",
                id: uuid.to_string(),
            });
        }
        Ok(plan)
    }
}
