//! The devices of a mapper that lives in this process alone: made when a VG is read, since no other process can.
//!
//! Whoever reads a VG maps it, and may have read it before a change that another caller of this process is just making:
//! a device that it made then for a replica that is gone would stay, and be in the way of the next of that name.  So devices are
//! made only while no caller of this process has the VG's lock, and from metadata that is still the committed one.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use lvm_dm::{DeviceId, DmUuid, UdevFlags};
use lvm_meta::{Lv, LvId};

use super::OpenVg;
use crate::apply::Step;
use crate::host::LockName;
use crate::raid::Degraded;
use crate::system::Inner;
use crate::{Error, activate, replica};

/// What is still to be done about the devices of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnDevices {
    /// Devices may be missing: another call had the lock.
    pub(super) is_unmapped: bool,
    /// Devices may be there of what other processes took away.
    pub(super) is_unswept: bool,
}

/// The replicas that callers of this process deactivated: reading their VG does not map them.
#[derive(Debug, Default)]
pub(crate) struct Deactivated(BTreeSet<LvId>);

impl Inner {
    /// Notes that a caller activated or deactivated a replica.
    pub(crate) fn note_active(&self, replica: LvId, is_active: bool) {
        if !self.has_own_devices() {
            return;
        }
        let mut deactivated = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        match is_active {
            true => deactivated.0.remove(&replica),
            false => deactivated.0.insert(replica),
        };
    }
}

impl OpenVg {
    /// Makes the devices that the metadata has and that are missing, unless another call of this process has the VG's
    /// lock: that one knows what is mapped, and the next look tries again.
    pub(crate) fn map_own(&mut self, inner: &Inner) {
        if !self.own.is_unmapped {
            return;
        }
        // Who reads waits for who maps, which takes no time.
        let deactivated = inner.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(_turn) = inner.locks.try_turn(&LockName::Vg(self.vg.name().into())) else {
            return;
        };
        if self.mdas.unchanged().unwrap_or(false) {
            self.map_now(inner, &deactivated);
        } else {
            self.stale = true;
        }
    }

    /// As [`OpenVg::map_own`], after taking away what no LV has any more.  The caller holds the VG's lock, and the
    /// metadata is the committed one.
    pub(super) fn sweep_own(&mut self, inner: &Inner) {
        if self.own.is_unswept {
            self.own.is_unswept = false;
            for uuid in self.outdated(inner).unwrap_or_default() {
                let remove = Step::Remove {
                    uuid,
                    flags: UdevFlags::empty(),
                    link: None,
                };
                // What is in use stays.
                let _ = inner.kernel().apply(None, &[remove, Step::Settle]);
            }
            self.own.is_unmapped = true;
        }
        if self.own.is_unmapped {
            let deactivated = inner.mapping.lock().unwrap_or_else(PoisonError::into_inner);
            self.map_now(inner, &deactivated);
        }
    }

    fn map_now(&mut self, inner: &Inner, deactivated: &Deactivated) {
        self.own.is_unmapped = false;
        if let Err(error) = self.make_missing(inner, deactivated) {
            // The VG is there all the same.
            self.problems
                .push(format!("not all devices could be made: {error}"));
        }
    }

    fn make_missing(&self, inner: &Inner, deactivated: &Deactivated) -> Result<(), Error> {
        let mut steps = Vec::new();
        let is_wanted = |lv: &&Lv| replica::replica_of(lv).is_some() && !deactivated.0.contains(&lv.id());
        for lv in self.vg.lvs().filter(is_wanted) {
            if self.kernel_device(inner, lv)?.is_none()
                && let Ok(activate) = activate::prepare(inner, self, lv, Degraded::Refuse)
                    .and_then(|()| activate::activate(inner, self, lv, Degraded::Refuse))
            {
                steps.extend(activate);
            }
        }
        inner.kernel().apply(None, &steps)
    }

    /// The unused devices of the VG that no LV has, or that map other extents than their LV has; what lies on others first.
    fn outdated(&self, inner: &Inner) -> Result<Vec<DmUuid>, Error> {
        let prefix = format!("LVM-{}", self.vg.id().as_str());
        let mut outdated = Vec::new();
        for uuid in inner
            .mapper
            .list()
            .map_err(Error::Dm)?
            .into_iter()
            .filter_map(|entry| entry.uuid)
        {
            let Some(id) = uuid
                .as_str()
                .strip_prefix(&prefix)
                .and_then(|rest| rest.get(..32))
            else {
                continue;
            };
            let lv = lvm_meta::LvId::parse(id).ok().and_then(|id| self.vg.lv_by_id(id));
            let is_outdated = match lv {
                None => true,
                Some(lv) => {
                    let now = inner.mapper.table(DeviceId::Uuid(&uuid), false);
                    // Of layers and arrays this crate's other parts know better.
                    let wanted = self.table(inner, lv);
                    uuid.as_str().len() == prefix.len() + 32
                        && matches!((now, wanted), (Ok(now), Ok(wanted)) if now != wanted)
                }
            };
            let device = inner.mapper.info(DeviceId::Uuid(&uuid)).map_err(Error::Dm)?;
            if is_outdated && device.is_some_and(|device| device.open_count == 0 || lv.is_none()) {
                outdated.push(uuid);
            }
        }
        // The uuids of layers are longer.
        outdated.sort_by_key(|uuid| uuid.as_str().len());
        Ok(outdated)
    }
}
