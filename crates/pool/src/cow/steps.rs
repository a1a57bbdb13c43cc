//! The steps that make the devices of a group, change them, and take them away.
//!
//! The kernel copies what is overwritten only for snapshots that it shows, and what it did not copy is lost to them: so the
//! origin can be written only while all its snapshots are there.  It is the last to come and the first to go, and stands
//! still while one comes or goes.

use lvm_dm::{NodeMode, SuspendFlags, UdevFlags};
use lvm_meta::Lv;

use super::check_target;
use super::group::{Group, Member};
use crate::apply::Step;
use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::raid::{Degraded, First};
use crate::system::Inner;
use crate::{Error, activate, naming};

/// udev looks into a snapshot after its origin, so that links by content are the origin's.
const NOT_YET: UdevFlags = UdevFlags::NOSCAN
    .union(UdevFlags::DISABLE_DISK_RULES)
    .union(UdevFlags::DISABLE_OTHER_RULES)
    .union(UdevFlags::LOW_PRIORITY);

impl Group<'_> {
    /// The steps that make all devices of the group that are not there.
    ///
    /// # Errors
    /// [`Error::NoSnapshotTarget`], and as [`Group::check`].
    pub(crate) fn activate(
        &self,
        inner: &Inner,
        open: &OpenVg,
        degraded: Degraded,
    ) -> Result<Vec<Step>, Error> {
        self.check(open)?;
        check_target(inner)?;
        let mut steps = Vec::new();
        let real = self.real()?;
        if !is_live(inner, &real)? {
            steps.extend(self.create_real(inner, open, degraded)?);
            steps.push(real.resume());
        }
        let has_udev = inner.mapper.node_mode() == NodeMode::Udev;
        let first = if has_udev {
            NOT_YET
        } else {
            UdevFlags::LOW_PRIORITY
        };
        for member in &self.members {
            let cow = member.cow(self.vg)?;
            if !is_live(inner, &cow)? {
                steps.extend(cow.activate(open.table_of_part(member.store)?));
            }
            steps.push(self.create(open, member)?);
            steps.push(self.resume(open, member, first)?);
        }
        steps.push(Step::CreateOn {
            name: naming::dm_name(self.vg.name(), self.origin.name())?,
            uuid: self.uuid(),
            table: self.origin_table()?,
            read_only: !open.is_writable(self.origin),
            minor: activate::fixed_minor(self.origin),
        });
        steps.push(activate::resume(open, self.origin, UdevFlags::empty())?);
        if has_udev {
            steps.push(Step::Settle);
            for member in &self.members {
                steps.push(Step::Suspend {
                    uuid: member.uuid(self.vg),
                    flags: SuspendFlags::SKIP_LOCKFS,
                });
                steps.push(self.resume(open, member, UdevFlags::LOW_PRIORITY)?);
            }
        }
        Ok(steps)
    }

    /// The steps that take away all devices of the group that are there.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody has the origin or a snapshot open, and as [`Group::check`].
    pub(crate) fn deactivate(&self, inner: &Inner, open: &OpenVg) -> Result<Vec<Step>, Error> {
        self.check(open)?;
        let mut steps = Vec::new();
        let seen = self.members.iter().map(|member| member.store);
        for lv in [self.origin].into_iter().chain(seen) {
            if let Some(device) = open.kernel_device(inner, lv)? {
                steps.extend(activate::unshare(inner, open, lv, &device)?);
                steps.push(self.remove(open, lv)?);
            }
        }
        for member in &self.members {
            let cow = member.cow(self.vg)?;
            if cow.info(inner)?.is_some() {
                steps.push(cow.remove());
            }
        }
        let real = self.real()?;
        if real.info(inner)?.is_some() {
            steps.push(real.remove());
        }
        if let Some(array) = self.array() {
            steps.extend(array.remove_parts(inner)?);
        }
        Ok(steps)
    }

    /// The steps that add a snapshot, whose header is zeroed already, to an origin that is active; the commit is among them.
    pub(crate) fn take(&self, inner: &Inner, open: &OpenVg, member: &Member<'_>) -> Result<Vec<Step>, Error> {
        let is_first = self.members.len() == 1;
        let (real, cow) = (self.real()?, member.cow(self.vg)?);
        // The kernel reads the store when the snapshot's table is loaded, so that one is there before.
        let mut steps: Vec<Step> = cow.activate(open.table_of_part(member.store)?).into();
        if is_first {
            steps.extend(self.create_real(inner, open, Degraded::Refuse)?);
        }
        steps.push(self.create(open, member)?);
        if is_first {
            steps.push(self.load_origin(open)?);
        }
        // udevd is done with the store before anybody has to wait.
        steps.push(Step::Settle);
        // The file system is frozen, so that what it holds is whole in the snapshot.
        steps.push(Step::Suspend {
            uuid: self.uuid(),
            flags: SuspendFlags::empty(),
        });
        steps.push(Step::Commit);
        if is_first {
            steps.push(real.resume());
        }
        steps.push(self.resume(open, member, UdevFlags::LOW_PRIORITY)?);
        steps.push(activate::resume(open, self.origin, UdevFlags::empty())?);
        steps.push(Step::Settle);
        Ok(steps)
    }

    /// The steps that take a snapshot off an origin that is active; the commit is among them.
    ///
    /// The snapshot's device goes while the origin stands still: nothing is copied to a store that is nobody's.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody has the snapshot open, and as [`Group::check`].
    pub(crate) fn release(
        &self,
        inner: &Inner,
        open: &OpenVg,
        member: &Member<'_>,
    ) -> Result<Vec<Step>, Error> {
        self.check(open)?;
        let mut steps = Vec::new();
        let is_last = self.members.len() == 1;
        let array = self.array();
        let stop = |uuid| Step::Suspend {
            uuid,
            flags: SuspendFlags::SKIP_LOCKFS,
        };
        if is_last {
            steps.push(match &array {
                Some(array) => array.load_at(self.uuid(), open)?,
                None => Step::Load {
                    uuid: self.uuid(),
                    table: open.table_of_part(self.origin)?,
                    read_only: !open.is_writable(self.origin),
                },
            });
        }
        let device = open.kernel_device(inner, member.store)?;
        if let Some(device) = &device {
            activate::check_unused(inner, member.store, device)?;
        }
        steps.push(stop(self.uuid()));
        if is_last && array.is_some() {
            // Two devices must not write the notes of one array: the old one stops before the new one begins, and what reads
            // from it before that.
            if device.is_some() {
                steps.push(stop(member.uuid(self.vg)));
            }
            steps.push(stop(self.real()?.uuid));
        }
        steps.push(Step::Commit);
        if device.is_some() {
            steps.push(self.remove(open, member.store)?);
        }
        steps.push(activate::resume(open, self.origin, UdevFlags::empty())?);
        let cow = member.cow(self.vg)?;
        if cow.info(inner)?.is_some() {
            steps.push(cow.remove());
        }
        if is_last {
            steps.push(self.real()?.remove());
        }
        steps.push(Step::Settle);
        Ok(steps)
    }

    /// Makes the device with the origin's data, and those of its images, and loads its table; not yet mapped.
    fn create_real(&self, inner: &Inner, open: &OpenVg, degraded: Degraded) -> Result<Vec<Step>, Error> {
        match self.array() {
            Some(array) => array.create(inner, open, First::No, degraded),
            None => Ok(vec![self.real()?.create(open.table_of_part(self.origin)?)]),
        }
    }

    /// Makes a snapshot's device and loads its table; not yet mapped.
    pub(super) fn create(&self, open: &OpenVg, member: &Member<'_>) -> Result<Step, Error> {
        Ok(Step::CreateOn {
            name: naming::dm_name(self.vg.name(), member.store.name())?,
            uuid: member.uuid(self.vg),
            table: self.table(member)?,
            read_only: !open.is_writable(member.store),
            minor: activate::fixed_minor(member.store),
        })
    }

    /// Stages the table of the device that the origin's users see.
    pub(super) fn load_origin(&self, open: &OpenVg) -> Result<Step, Error> {
        Ok(Step::LoadOn {
            uuid: self.uuid(),
            table: self.origin_table()?,
            read_only: !open.is_writable(self.origin),
        })
    }

    /// Maps what is staged for a snapshot.
    pub(super) fn resume(&self, open: &OpenVg, member: &Member<'_>, flags: UdevFlags) -> Result<Step, Error> {
        activate::resume(open, member.store, flags)
    }

    fn remove(&self, open: &OpenVg, lv: &Lv) -> Result<Step, Error> {
        Ok(Step::Remove {
            uuid: naming::dm_uuid(&self.vg.id(), &lv.id()),
            flags: UdevFlags::empty(),
            link: Some(open.link(lv)?),
        })
    }
}

fn is_live(inner: &Inner, layer: &Layer) -> Result<bool, Error> {
    Ok(layer.info(inner)?.is_some_and(|info| info.live_table))
}

impl Member<'_> {
    /// The steps around a commit that make the store larger, or nothing but the commit while it is not active.
    pub(crate) fn grow(&self, inner: &Inner, open: &OpenVg) -> Result<Vec<Step>, Error> {
        let cow = self.cow(&open.vg)?;
        if cow.info(inner)?.is_none() {
            return Ok(vec![Step::Commit]);
        }
        let suspend = Step::Suspend {
            uuid: cow.uuid.clone(),
            flags: SuspendFlags::SKIP_LOCKFS,
        };
        let load = cow.load(open.table_of_part(self.store)?);
        Ok(vec![load, suspend, Step::Commit, cow.resume(), Step::Settle])
    }
}
