//! Taking LVs over as replicas.

use lvm_meta::VgName;
use uuid::Uuid;

use crate::adopt::{self, AdoptionPlan};
use crate::gap;
use crate::info::ReplicaInfo;
use crate::open_vg::OpenVg;
use crate::system::System;
use crate::{Error, StoragePool, replica, snapshot, storage_pool};

impl System {
    /// Tells what [`System::adopt`] would do, and why it would not.  Nothing is changed, and nobody is waited for.
    ///
    /// # Errors
    /// [`Error::LvNotFound`]; [`Error::AmbiguousName`]; [`Error::Unseen`] when the VG was not found and not everything in
    /// scope could be looked at.
    pub fn plan_adoption(&self, vg: &str, lv: &str, uuid: Uuid) -> Result<AdoptionPlan, Error> {
        let (mut open, mut plan) = self.look_to_adopt(vg, lv, uuid)?;
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
        let (open, plan) = self.look_to_adopt(vg, lv, uuid)?;
        if let Some(refusal) = plan.refusal {
            return Err(refusal);
        }
        let pool = StoragePool::new(self.inner.clone(), open);
        pool.recover_locked()?;
        let description = format!("adopt {vg}/{lv} as replica {uuid}");
        pool.fresh()?.change(inner, &description, |change| {
            adopt::carry_out(inner, change, lv, uuid)
        })?;
        pool.replica(uuid)
    }

    /// The VG of an LV, and what is to be done.
    fn look_to_adopt(&self, vg: &str, lv: &str, uuid: Uuid) -> Result<(OpenVg, AdoptionPlan), Error> {
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
        let mut plan = adopt::plan(&self.inner, &open, lv, uuid)?;
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
        Ok((open, plan))
    }
}
