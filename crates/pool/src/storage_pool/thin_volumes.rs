//! What thin replicas, snapshots and clones have in common: a device in the thin pool each.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use lvm_dm::{DmUuid, ThinPoolMode, ThinPoolStatus, UdevFlags};
use lvm_meta::detail::{Detail, Thin, ThinMessage};
use lvm_meta::{Extents, NewLv};

use super::StoragePool;
use crate::apply::Step;
use crate::open_vg::{Change, OpenVg};
use crate::raid::{Degraded, First};
use crate::system::Inner;
use crate::thin::{self, PoolLv, protocol, stack, usage};
use crate::{Error, activate, naming};

/// Most devices of a pool that the kernel numbers.
const DEVICE_LIMIT: u32 = 1 << 24;

/// A thin LV to add.
pub(super) struct NewThin {
    pub(super) lv: NewLv,
    pub(super) extents: Extents,
    /// The thin LV that it begins as.
    pub(super) origin: Option<String>,
}

impl StoragePool {
    /// Runs one change of a pool's thin devices under the VG's lock: `place` tells which pool, and the device that stands
    /// still meanwhile, `plan` names what is added, `finish` what follows.  Gives the answer of `finish`, and how long the
    /// device stood still.
    ///
    /// A device that the kernel has and no LV names is left alone: numbers above it are taken.  Then both closures run
    /// once more.
    pub(super) fn add_thin<R>(
        &self,
        description: &str,
        place: impl FnOnce(&OpenVg) -> Result<(String, Option<DmUuid>), Error>,
        mut plan: impl FnMut(&mut Change<'_>) -> Result<Vec<NewThin>, Error>,
        mut finish: impl FnMut(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<(R, Duration), Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        // What is refused is refused before the kernel is asked for anything.
        let (pool, origin) = place(&open)?;
        stack::check_target(inner)?;
        let status = protocol::ready(inner, &mut open, &pool)?;
        check_room(&open, &pool, &status)?;
        let mut add_beside = |open: &mut OpenVg, others: &HashSet<u32>| {
            let add_all = |change: &mut Change<'_>| {
                let new = plan(change)?;
                let mut ids = DeviceIds::of(change, &pool, others)?;
                new.into_iter()
                    .map(|new| add(change, &pool, &mut ids, new))
                    .collect()
            };
            protocol::transact(
                inner,
                open,
                &pool,
                description,
                origin.as_ref(),
                add_all,
                &mut finish,
            )
        };
        match add_beside(&mut open, &HashSet::new()) {
            Err(error) if protocol::is_taken(&error) => {
                // Of a request for many some may have been made, and not be deleted yet.
                protocol::settle(inner, &mut open, &pool)?;
                let others = protocol::devices(inner, &open, &pool);
                add_beside(&mut open, &others)
            }
            done => done,
        }
    }

    /// Removes a thin LV and its device.  The caller holds the VG's lock.
    pub(super) fn remove_thin(&self, open: &mut OpenVg, name: &str, description: &str) -> Result<(), Error> {
        let inner = &*self.inner;
        let lv = open
            .vg
            .lv(name)
            .ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
        let thin = thin::thin(lv).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
        if open.check_writable(inner).is_err() {
            return self.remove_lost_thin(open, name, description);
        }
        // What is in use is refused before the kernel is asked for anything.
        let removal = match open.kernel_device(inner, lv)? {
            Some(device) => Some(activate::deactivate(inner, open, lv, &device)?),
            None => None,
        };
        protocol::ready(inner, open, &thin.pool)?;
        let done = protocol::transact(
            inner,
            open,
            &thin.pool,
            description,
            None,
            |change| {
                if let Some(removal) = removal {
                    removal.into_iter().for_each(|step| change.step(step));
                    change.step(Step::Settle);
                }
                protocol::remove_lv(change, name)?;
                Ok(vec![ThinMessage::Delete(thin.device_id)])
            },
            |_| Ok(()),
        );
        done.map(drop)
    }

    /// Removes a thin LV whose pool is lost with a disk, and the pool with the last one: no kernel has them any more.
    fn remove_lost_thin(&self, open: &mut OpenVg, name: &str, description: &str) -> Result<(), Error> {
        let inner = &*self.inner;
        let lv = open.vg.lv(name);
        let lv = lv.ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
        let thin = thin::thin(lv).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
        let pool = PoolLv::of(&open.vg, &thin)?;
        if !stack::is_lost(inner, open, &pool)? {
            open.check_writable(inner)?;
        }
        let is_last = pool.thins(&open.vg).count() == 1;
        let [data, metadata] = pool.parts(&open.vg)?.map(|part| part.name().to_string());
        let pool_name = pool.lv.name().to_string();
        let mut steps = match open.kernel_device(inner, lv)? {
            Some(device) => activate::deactivate(inner, open, lv, &device)?,
            None => Vec::new(),
        };
        if is_last {
            steps.extend(stack::Layers::of(open, &pool)?.deactivate(inner)?);
        }
        open.change(inner, description, |change| {
            steps.into_iter().for_each(|step| change.step(step));
            change.step(Step::Settle);
            change.despite_missing(|change| protocol::remove_lv(change, name))?;
            if is_last {
                change.repair(|vg| vg.remove_lv(&pool_name).map(drop))?;
                change.remove_lv(&metadata)?;
                change.remove_lv(&data)?;
            }
            change.step(Step::Commit);
            Ok(())
        })
    }
}

/// The steps that make a new thin LV's device, after the kernel knows it in its pool.
pub(super) fn activate_new(inner: &Inner, change: &mut Change<'_>, name: &str) -> Result<(), Error> {
    let open = change.open();
    let lv = open
        .vg
        .lv(name)
        .ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let steps = activate::activate(inner, open, lv, Degraded::Refuse)?;
    steps.into_iter().for_each(|step| change.step(step));
    Ok(())
}

/// As [`activate_new`] of several, with zeroes of this length at the beginning of each where the pool does not zero.
pub(super) fn activate_zeroed(
    inner: &Inner,
    change: &mut Change<'_>,
    name: &str,
    length: u64,
) -> Result<(), Error> {
    let open = change.open();
    let lv = open
        .vg
        .lv(name)
        .ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let thin = thin::thin(lv).ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    if length == 0 || PoolLv::of(&open.vg, &thin)?.detail.zero_new_blocks {
        return activate_new(inner, change, name);
    }
    let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
    let create = activate::create(inner, open, lv, First::Yes)?;
    let resume = activate::resume(open, lv, UdevFlags::NOSCAN)?;
    create
        .into_iter()
        .chain([resume, Step::Settle, Step::Zero { uuid, length }])
        .for_each(|step| change.step(step));
    Ok(())
}

/// The name of the thin pool of that name, or of the one that is meant where none is named.
///
/// # Errors
/// As [`PoolLv::chosen`].
pub(super) fn pool_name(open: &OpenVg, name: Option<&str>) -> Result<String, Error> {
    PoolLv::chosen(&open.vg, name).map(|pool| pool.lv.name().to_string())
}

/// Refuses new devices while what is left is wanted for writes and deletions.
///
/// # Errors
/// [`Error::ThinPoolFull`].
fn check_room(open: &OpenVg, pool: &str, status: &ThinPoolStatus) -> Result<(), Error> {
    let full = |what, used: u64, size: u64, unit: u64| {
        Err(Error::ThinPoolFull {
            pool: open.vg.name().into(),
            what,
            used: used.saturating_mul(unit),
            size: size.saturating_mul(unit),
        })
    };
    if usage::is_short_of_metadata(status.metadata_used, status.metadata_blocks) {
        return full(
            "metadata space",
            status.metadata_used,
            status.metadata_blocks,
            usage::METADATA_BLOCK,
        );
    }
    if status.mode == ThinPoolMode::OutOfDataSpace {
        let chunk = PoolLv::named(&open.vg, pool).map_or(0, |pool| pool.chunk());
        return full("data space", status.data_used, status.data_blocks, chunk);
    }
    Ok(())
}

/// Adds a thin LV to the metadata, and says what the kernel is to be told.
fn add(change: &mut Change<'_>, pool: &str, ids: &mut DeviceIds, new: NewThin) -> Result<ThinMessage, Error> {
    let vg = &change.open().vg;
    naming::dm_name(vg.name(), new.lv.name.as_str())?;
    if vg.lv(new.lv.name.as_str()).is_some() {
        return Err(Error::Exists {
            what: "logical volume",
            id: new.lv.name.to_string(),
        });
    }
    let detail = Thin {
        pool: pool.into(),
        transaction_id: ids.transaction_id,
        device_id: ids.draw()?,
        external_origin: None,
        origin: new.origin.map(Into::into),
        merge: None,
    };
    let name = new.lv.name.to_string();
    change
        .edit()
        .add_detailed(new.lv, new.extents, "thin", &Detail::Thin(detail))
        .map_err(Error::Meta)?;
    Ok(ThinMessage::Create(name.into()))
}

/// Hands out the numbers of new devices: as LVM the one above the highest, and when there is none the gaps.
struct DeviceIds {
    transaction_id: u64,
    next: u32,
    taken: BTreeSet<u32>,
}

impl DeviceIds {
    /// Beside those of the metadata's LVs, `others` are taken.
    fn of(change: &mut Change<'_>, pool: &str, others: &HashSet<u32>) -> Result<Self, Error> {
        let (index, vg) = change.thin_index();
        let found = PoolLv::named(vg, pool).ok_or_else(|| Error::NoThinPool {
            pool: vg.name().into(),
        })?;
        let mut taken: BTreeSet<u32> = index.ids(vg, pool).collect();
        taken.extend(others);
        Ok(Self {
            transaction_id: found.detail.transaction_id,
            next: taken.last().map_or(1, |highest| highest.saturating_add(1)),
            taken,
        })
    }

    fn draw(&mut self) -> Result<u32, Error> {
        if self.next >= DEVICE_LIMIT {
            let gap = (1..DEVICE_LIMIT).find(|id| !self.taken.contains(id));
            self.next = gap.ok_or_else(|| Error::Unsupported("more than 16 777 215 thin volumes".into()))?;
        }
        let drawn = self.next;
        self.taken.insert(drawn);
        self.next = drawn.saturating_add(1);
        // Behind a gap there may be one that is taken.
        while self.taken.contains(&self.next) {
            self.next = self.next.saturating_add(1);
        }
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up_and_then_fill_the_gaps() {
        let mut ids = DeviceIds {
            transaction_id: 0,
            next: DEVICE_LIMIT - 1,
            taken: [1, 3, DEVICE_LIMIT - 2].into(),
        };
        let drawn: Vec<u32> = (0..4).map(|_| ids.draw().unwrap()).collect();
        assert_eq!(drawn, [DEVICE_LIMIT - 1, 2, 4, 5]);
    }
}
