//! The handle of a pool: a VG held open, its replicas, and what can be done to them.

mod array_monitor;
mod chosen_disks;
mod convert;
mod cow_snapshots;
mod create_replica;
mod disk_sizes;
mod disks;
mod evacuate;
mod fit_disks;
mod grow_thin_pool;
mod guard;
mod last_area;
mod lost_disk;
mod lost_plan;
mod move_replica;
mod raid_replicas;
mod repair;
mod replicas;
mod resize_replica;
mod scrub_replica;
mod share_replica;
mod shrink_disk;
mod snapshots;
mod thin_monitor;
mod thin_pool;
mod thin_replicas;
mod thin_volumes;
mod uncache;

use std::sync::Arc;

use lvm_meta::VgId;
use uuid::Uuid;

use crate::apply::Step;
use crate::beside::{Beside, Look, steadily};
use crate::evacuate::{is_stuck, steps::take_back};
use crate::gap::Gap;
use crate::info::{PoolInfo, ReplicaInfo, State, ThinPoolInfo};
use crate::open_vg::{Change, OpenVg};
use crate::replica::{self, ActiveDevices, View};
use crate::request::SetPool;
use crate::scan::Scope;
use crate::system::{Inner, missing_pv};
use crate::tags::{self, LvTags};
use crate::thin::usages::Usages;
use crate::thin::{PoolLv, usage};
use crate::{Class, Error, identity, share, snapshot, thin};

use guard::{OpenGuard, SharedVg};

pub use array_monitor::ArrayMonitor;
pub use evacuate::MoveProgress;
pub use replicas::ReplicaDevice;
pub(crate) use resize_replica::no_space;
pub use scrub_replica::{ScrubProgress, ScrubbedReplica};
pub use shrink_disk::BehindEnd;
pub use snapshots::TakenSnapshot;
pub use thin_monitor::{OtherMonitor, ThinAction, ThinMonitor};
pub(crate) use thin_pool::check_thin_pool_fits;

/// A pool held open.
///
/// Cheap to ask again and again: as long as nobody changed the metadata, a question costs one header read per
/// metadata area.  Any number of threads may share a handle; changes wait for each other, in the order in which they came,
/// and for other processes and the LVM tools, on LVM's own locks.  No wait is longer than the system's timeout.
#[derive(Clone)]
pub struct StoragePool {
    pub(crate) inner: Arc<Inner>,
    open: Arc<SharedVg>,
    id: VgId,
    name: Arc<str>,
}

impl std::fmt::Debug for StoragePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoragePool")
            .field("name", &self.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl StoragePool {
    pub(crate) fn new(inner: Arc<Inner>, open: OpenVg) -> Self {
        let (id, name) = (open.vg.id(), Arc::from(open.vg.name()));
        Self {
            inner,
            open: Arc::new(SharedVg::new(open)),
            id,
            name,
        }
    }

    /// The VG's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pool's UUID.
    pub fn uuid(&self) -> Uuid {
        identity::pool_uuid(&self.id)
    }

    /// Reads the pool's properties, as they are on disk now.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] when the VG is gone, [`Error::Unreadable`] when no copy of its metadata is good.
    pub fn info(&self) -> Result<PoolInfo, Error> {
        Ok(info(&self.inner, &*self.fresh()?))
    }

    /// Lists the replicas, as they are on disk now, in the order of the metadata.
    ///
    /// # Errors
    /// As [`StoragePool::info`].
    pub fn replicas(&self) -> Result<Vec<ReplicaInfo>, Error> {
        let inner = &*self.inner;
        steadily(inner, || {
            let open = self.fresh()?;
            let found = replica::list(inner, &open, &ActiveDevices::list(inner));
            let beside = Beside::of(inner, &open, &found);
            Ok(Look { found, beside })
        })
    }

    /// Reads the properties of one replica.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`], and as [`StoragePool::info`].
    pub fn replica(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        steadily(&self.inner, || {
            let open = self.fresh()?;
            let found = self.describe(&open, uuid)?;
            let beside = Beside::of(&self.inner, &open, std::slice::from_ref(&found));
            Ok(Look { found, beside })
        })
    }

    /// Sets properties in one commit; without a commit when all are set already.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::InvalidArgument`] for tags that are not the caller's to set; [`Error::Refused`].
    pub fn set_properties(&self, new: &SetPool) -> Result<PoolInfo, Error> {
        new.tags.check()?;
        self.change("set properties of the pool", |change| {
            let before: Vec<String> = change.open().vg.tags().iter().map(Into::into).collect();
            let after = new.tags.apply(before.clone());
            if after != before {
                change.edit().set_tags(&after).map_err(Error::Meta)?;
                change.step(Step::Commit);
            }
            Ok(())
        })?;
        self.info()
    }

    /// The open VG with the metadata as it is on disk now.
    pub(crate) fn fresh(&self) -> Result<OpenGuard<'_>, Error> {
        let mut open = self.lock()?;
        open.refresh(&self.inner)?;
        Ok(open)
    }

    fn lock(&self) -> Result<OpenGuard<'_>, Error> {
        self.open.lock(&self.inner, &self.name)
    }

    /// A replica as the answer to a change of it: the caller may hold the VG's lock, which [`StoragePool::replica`] waits for.
    ///
    /// # Errors
    /// As [`StoragePool::replica`].
    pub(crate) fn changed(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        self.describe(&*self.fresh()?, uuid)
    }

    fn describe(&self, open: &OpenVg, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let lv = replica::find(open, uuid)?;
        let active = ActiveDevices::only(&self.inner, open, lv);
        Ok(replica::info(&self.inner, open, lv, uuid, &active))
    }

    /// Runs one change under the VG's lock, on the metadata as it is then.
    pub(crate) fn change<R>(
        &self,
        description: &str,
        plan: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let _lock = self.inner.lock_vg(&self.name)?;
        self.changeable()?.change(&self.inner, description, plan)
    }

    /// As [`StoragePool::change`], with what the replica is afterwards: what was committed is not read again.
    ///
    /// `plan` tells whether the replica's device is mapped when all is done, if it knows; otherwise the mapper is asked.
    pub(crate) fn change_replica(
        &self,
        description: &str,
        uuid: Uuid,
        plan: impl FnOnce(&mut Change<'_>) -> Result<Option<bool>, Error>,
    ) -> Result<ReplicaInfo, Error> {
        self.change_and_tell(description, uuid, true, plan)
    }

    /// As [`StoragePool::change_replica`], for a plan that changes no metadata: disks may be missing.
    pub(crate) fn change_devices(
        &self,
        uuid: Uuid,
        plan: impl FnOnce(&mut Change<'_>) -> Result<Option<bool>, Error>,
    ) -> Result<ReplicaInfo, Error> {
        self.change_and_tell("", uuid, false, plan)
    }

    fn change_and_tell(
        &self,
        description: &str,
        uuid: Uuid,
        needs_all_disks: bool,
        plan: impl FnOnce(&mut Change<'_>) -> Result<Option<bool>, Error>,
    ) -> Result<ReplicaInfo, Error> {
        let lock = self.inner.lock_vg(&self.name)?;
        let mut open = if needs_all_disks {
            self.changeable()?
        } else {
            let open = self.fresh()?;
            self.check_ours(&open)?;
            open
        };
        let is_active = open.change(&self.inner, description, plan)?;
        drop(lock);
        let Some(is_active) = is_active else {
            return self.describe(&open, uuid);
        };
        let lv = replica::find(&open, uuid)?;
        let devices = ActiveDevices::known(&open, lv, is_active);
        Ok(replica::info(&self.inner, &open, lv, uuid, &devices))
    }

    /// The open VG, if it may be changed, with what an earlier change left half made mended.  The caller holds its lock.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::PoolNotFound`] when somebody exported or renamed it.
    fn changeable(&self) -> Result<OpenGuard<'_>, Error> {
        let mut open = self.fresh()?;
        self.check_ours(&open)?;
        open.take_back(&self.inner)?;
        open.check_writable(&self.inner)?;
        open.mend_cut(&self.inner)?;
        Ok(open)
    }

    /// As [`StoragePool::changeable`], though disks may be smaller than their PVs, or have a metadata area among extents: to
    /// fit the PVs to them.
    fn fittable(&self) -> Result<OpenGuard<'_>, Error> {
        let mut open = self.fresh()?;
        // Copies that differ are a doubt of their own.
        if open.mdas.agrees() && open.ambiguous.take_if(|doubt| doubt.is_in_layout()).is_some() {
            // For this call only: the next look finds what is on the disks.
            open.forget();
        }
        self.check_ours(&open)?;
        open.take_back(&self.inner)?;
        open.check_complete(&self.inner)?;
        open.mend_cut(&self.inner)?;
        Ok(open)
    }

    /// As [`StoragePool::changeable`], though disks may be missing: for devices, and for what LVM allows without them, too.
    fn repairable(&self) -> Result<OpenGuard<'_>, Error> {
        let mut open = self.fresh()?;
        self.check_ours(&open)?;
        check_is_lost(&open)?;
        open.take_back(&self.inner)?;
        if open.check_writable(&self.inner).is_ok() {
            open.mend_cut(&self.inner)?;
        } else if is_stuck(&open) {
            // Its LVs are locked, and their move cannot end.
            take_back(&self.inner, &mut open).map_err(Error::before_the_change)?;
        }
        Ok(open)
    }

    fn check_changeable(&self, open: &OpenVg) -> Result<(), Error> {
        open.check_writable(&self.inner)?;
        self.check_ours(open)
    }

    fn check_ours(&self, open: &OpenVg) -> Result<(), Error> {
        open.check_ours(&self.inner)?;
        // The lock is on the name that this handle knows.
        if is_pool(open) && open.vg.name() == self.name() {
            Ok(())
        } else {
            Err(Error::PoolNotFound(self.name.to_string()))
        }
    }
}

/// Refuses to go on without disks that are missing while one may be a disk that this process may not open.
///
/// # Errors
/// [`Error::Unseen`].
fn check_is_lost(open: &OpenVg) -> Result<(), Error> {
    let is_denied = |gap: &&Gap| !gap.is_excluded && gap.error.class() == Class::Permission;
    let denied: Vec<Gap> = open.unseen.iter().filter(is_denied).cloned().collect();
    match denied.is_empty() {
        true => Ok(()),
        false => Err(Error::Unseen {
            what: format!("not all disks of pool {:?} are there", open.vg.name()),
            gaps: denied,
        }),
    }
}

/// Does the VG carry the mark of a pool?
pub(crate) fn is_pool(open: &OpenVg) -> bool {
    open.vg.tags().contains(tags::OWNER)
}

/// The visible LVs that are not replicas, nor on their way to become one, nor snapshots, nor our thin pool.
pub(crate) fn foreign_lvs(open: &OpenVg) -> Vec<String> {
    let foreign = |lv: &&lvm_meta::Lv| {
        open.vg.is_visible(lv)
            && lv.name() != thin::POOL_NAME
            && replica::replica_of(lv).is_none()
            && snapshot::snapshot_of(lv).is_none()
            && !LvTags::read(lv.tags()).creating
    };
    open.vg
        .lvs()
        .filter(foreign)
        .map(|lv| lv.name().to_string())
        .collect()
}

/// The properties of a pool.
pub(crate) fn info(inner: &Inner, open: &OpenVg) -> PoolInfo {
    let vg = &open.vg;
    let extent_size = vg.extent_size().bytes();
    let mut reasons = open.problems.clone();
    reasons.extend(open.backup_problem.clone());
    let missing = vg
        .pvs()
        .iter()
        .filter(|pv| pv.is_missing() || open.device(pv.id()).is_none())
        .count();
    let disks_state = match missing {
        0 => State::Online,
        n if n == vg.pvs().len() => State::Faulted,
        _ => State::Degraded,
    };
    if missing > 0 {
        let gone = vg.pvs().iter().filter(|pv| open.device(pv.id()).is_none());
        let gone: Vec<String> = gone.map(missing_pv).collect();
        let mut reason = format!("{missing} of {} disks are missing", vg.pvs().len());
        if matches!(inner.scope, Scope::Only(_)) && !gone.is_empty() {
            reason += &format!(", or not among the disks that were named: {}", gone.join(", "));
        }
        reasons.push(reason);
    }
    if let Err(Error::Refused { why, .. }) = open.check_writable(inner) {
        reasons.push(format!("changes are refused: {why}"));
    }
    let disks = vg.pvs().iter().map(|pv| {
        let found = open.disks.iter().find(|disk| disk.pv == pv.id());
        found.map_or_else(
            || pv.device_hint().unwrap_or_default().into(),
            |disk| disk.path.clone(),
        )
    });
    let devices = ActiveDevices::list_if(inner, open);
    let view = View::new(inner, open, &devices);
    let committed = vg.lvs().map(|lv| {
        if replica::replica_of(lv).is_some() {
            view.size(lv)
        } else if snapshot::snapshot_of(lv).is_some() {
            view.allocated(lv)
        } else {
            0
        }
    });
    let (arrays_state, of_arrays) = view.harmed(missing > 0);
    reasons.extend(of_arrays);
    reasons.extend(share::unserved(inner, open, &devices));
    let (thin_pools, thin_state) = thin_pools(inner, open, &mut reasons);
    let meant = PoolLv::of_vg(vg);
    let thin_pool = thin_pools
        .iter()
        .find(|pool| meant.as_ref().is_some_and(|meant| *pool.name == *meant.lv.name()));
    // Of its own thin pool's data only what is in use is gone; those of other names are all their owners'.
    let own = PoolLv::own(vg).map(|pool| pool.lv.name());
    let unused = thin_pools
        .iter()
        .filter(|pool| own == Some(&*pool.name))
        .map(|pool| pool.data_size.saturating_sub(pool.data_used))
        .fold(0, u64::saturating_add);
    PoolInfo {
        name: vg.name().into(),
        uuid: identity::pool_uuid(&vg.id()),
        vg_id: vg.id(),
        state: disks_state.max(thin_state).max(arrays_state),
        reasons,
        disks: disks.collect(),
        capacity: vg.extent_count().saturating_mul(extent_size),
        used: vg
            .extent_count()
            .saturating_sub(vg.free_extents())
            .saturating_mul(extent_size)
            .saturating_sub(unused),
        committed: committed.fold(0, u64::saturating_add),
        disk_capacity: open.disks.iter().filter_map(|disk| disk.disk.size().ok()).sum(),
        extent_size,
        seqno: vg.seqno(),
        metadata_size: open.mdas.capacity(),
        metadata_used: open.mdas.used(),
        thin_pool: thin_pool.cloned(),
        thin_pools,
        tags: vg
            .tags()
            .iter()
            .filter(|tag| !tags::is_reserved(tag))
            .map(Into::into)
            .collect(),
        foreign_lvs: foreign_lvs(open),
    }
}

/// The properties of all thin pools, and whether they serve; what is wrong with them is added to `reasons`.
fn thin_pools(inner: &Inner, open: &OpenVg, reasons: &mut Vec<String>) -> (Vec<ThinPoolInfo>, State) {
    let mut pools = Vec::new();
    let mut worst = State::Online;
    let mut faulted = Vec::new();
    // Of the pools alone.
    let usages = Usages::new(inner, open, 0..=0);
    for of_pool in usages.each() {
        let name = of_pool.pool.lv.name();
        if let Some(pool) = of_pool.pool_info() {
            let state = pool.health;
            if usage::health(pool.state) != State::Online {
                reasons.push(format!("the thin pool {name:?} is {}", pool.state));
            } else if usage::is_short_of_metadata(
                pool.metadata_used / usage::METADATA_BLOCK,
                pool.metadata_size / usage::METADATA_BLOCK,
            ) {
                reasons.push(format!(
                    "the thin pool {name:?} is short of metadata: nothing can be added to it"
                ));
            }
            if let Some((state, _)) = of_pool.arrays().filter(|(state, _)| *state != State::Online) {
                let what = match state {
                    State::Degraded => "lies on a degraded array",
                    _ => "is lost: it lacks data",
                };
                reasons.push(format!("the thin pool {name:?} {what}"));
            }
            match state {
                State::Faulted => faulted.push(name),
                state => worst = worst.max(state),
            }
            pools.push(pool);
        }
        if let Some(kernel) = of_pool.other_moment() {
            let metadata = of_pool.pool.detail.transaction_id;
            reasons.push(format!(
                "the thin pool {name:?} has transaction {kernel} in the kernel, {metadata} in the metadata: \
                 its volumes are not changed"
            ));
        }
        if of_pool.is_unfinished() {
            reasons.push(format!("a change of the thin pool {name:?} is not finished"));
        }
    }
    if !faulted.is_empty() {
        // Other replicas are served whatever becomes of these; without any it counts whether new ones would be.
        let is_served = |lv: &lvm_meta::Lv| thin::thin(lv).is_none_or(|thin| !faulted.contains(&&*thin.pool));
        let mut replicas = open
            .vg
            .lvs()
            .filter(|lv| replica::replica_of(lv).is_some())
            .peekable();
        let serves = match replicas.peek() {
            Some(_) => replicas.any(is_served),
            None => PoolLv::of_vg(&open.vg).is_none_or(|meant| !faulted.contains(&meant.lv.name())),
        };
        worst = worst.max(if serves { State::Degraded } else { State::Faulted });
    }
    (pools, worst)
}
