//! A device that users do not see: a part of an LV's stack, named and known as LVM's own.
//!
//! Reference: LVM2 `lib/activate/dev_manager.c`.

use lvm_dm::{
    DeviceEntry, DeviceId, DeviceInfo, DeviceNumber, DmName, DmUuid, SuspendFlags, Table, UdevFlags,
};
use lvm_meta::{Lv, LvId, Vg};

use crate::apply::Step;
use crate::system::Inner;
use crate::{Error, naming};

/// A device that users do not see.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) name: DmName,
    pub(crate) uuid: DmUuid,
    flags: UdevFlags,
}

/// udev makes no link to a hidden device and does not look into it.
pub(crate) const HIDDEN: UdevFlags = UdevFlags::DISABLE_SUBSYSTEM_RULES
    .union(UdevFlags::DISABLE_DISK_RULES)
    .union(UdevFlags::DISABLE_OTHER_RULES);

impl Layer {
    pub(crate) fn of(vg: &Vg, lv: &Lv, name_suffix: &str, uuid_suffix: &str) -> Result<Self, Error> {
        Ok(Self {
            name: naming::dm_layer_name(vg.name(), lv.name(), name_suffix)?,
            uuid: naming::dm_layer_uuid(&vg.id(), &lv.id(), uuid_suffix),
            flags: HIDDEN,
        })
    }

    /// A device with the name and uuid of a visible LV's that udev leaves alone as it does the hidden ones.
    pub(crate) fn plain(vg: &Vg, lv: &Lv) -> Result<Self, Error> {
        Ok(Self {
            name: naming::dm_name(vg.name(), lv.name())?,
            uuid: naming::dm_uuid(&vg.id(), &lv.id()),
            flags: HIDDEN,
        })
    }

    /// As it is, with a word more to udev.
    pub(crate) fn flagged(mut self, more: UdevFlags) -> Self {
        self.flags |= more;
        self
    }

    pub(crate) fn info(&self, inner: &Inner) -> Result<Option<DeviceInfo>, Error> {
        inner.mapper.info(DeviceId::Uuid(&self.uuid)).map_err(Error::Dm)
    }

    /// The number of the device, which is there.
    ///
    /// # Errors
    /// [`Error::NotActive`].
    pub(crate) fn number(&self, inner: &Inner) -> Result<DeviceNumber, Error> {
        let info = self.info(inner)?;
        info.map(|info| info.number)
            .ok_or_else(|| Error::NotActive(self.name.to_string()))
    }

    /// The table that is mapped.
    pub(crate) fn table(&self, inner: &Inner) -> Result<Table, Error> {
        inner
            .mapper
            .table(DeviceId::Uuid(&self.uuid), false)
            .map_err(Error::Dm)
    }

    /// The steps that give the device another table: what comes next is [`Layer::resume`].
    ///
    /// What waits for space is kept for the new table: finishing it first would be waiting for the space that comes.
    pub(crate) fn reload(&self, table: Table) -> [Step; 2] {
        let suspend = Step::Suspend {
            uuid: self.uuid.clone(),
            flags: SuspendFlags::SKIP_LOCKFS | SuspendFlags::NOFLUSH,
        };
        [self.load(table), suspend]
    }

    /// The step that gives the device another table, under those that stand on it.
    pub(crate) fn replace(&self, table: Table, old: Table) -> Step {
        Step::Replace {
            uuid: self.uuid.clone(),
            table,
            old,
            flags: self.flags,
        }
    }

    /// The steps that make the device.
    pub(crate) fn activate(&self, table: Table) -> [Step; 2] {
        [self.create(table), self.resume()]
    }

    /// Makes the device and loads its table; not yet mapped.
    pub(crate) fn create(&self, table: Table) -> Step {
        Step::Create {
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            table,
            read_only: false,
            minor: None,
        }
    }

    /// Stages a table.
    pub(crate) fn load(&self, table: Table) -> Step {
        Step::Load {
            uuid: self.uuid.clone(),
            table,
            read_only: false,
        }
    }

    /// Maps what is staged and lets I/O go on.
    pub(crate) fn resume(&self) -> Step {
        Step::Resume {
            uuid: self.uuid.clone(),
            flags: self.flags,
            link: None,
            read_ahead: None,
        }
    }

    /// The step that gives the device its name in place of another; none if it has it.
    pub(crate) fn renamed_from(&self, name: &DmName) -> Option<Step> {
        (*name != self.name).then(|| Step::Rename {
            from: name.clone(),
            to: self.name.clone(),
            flags: self.flags,
            links: None,
        })
    }

    pub(crate) fn rename(&self, inner: &Inner, from: &DmName) -> Result<(), Error> {
        let mapper = &*inner.mapper;
        let mut cookie = mapper.cookie().map_err(Error::Dm)?;
        let renamed = mapper.rename(from, &self.name, self.flags, &mut cookie);
        let settled = mapper.finish(cookie, inner.timeout);
        renamed.and(settled).map_err(Error::Dm)
    }

    pub(crate) fn remove(&self) -> Step {
        Step::Remove {
            uuid: self.uuid.clone(),
            flags: self.flags,
            link: None,
        }
    }
}

/// Was the device left stopped, with a table staged, or without one?
pub(crate) fn is_cut(info: &DeviceInfo) -> bool {
    info.suspended || info.inactive_table || !info.live_table
}

/// What follows the ids in the uuid of a device of a VG whose LV does not exist any more: a word such as `real`, or nothing.
pub(crate) fn word_without_lv<'u>(vg: &Vg, uuid: &'u DmUuid) -> Option<&'u str> {
    let ids = uuid
        .as_str()
        .strip_prefix("LVM-")?
        .strip_prefix(vg.id().as_str())?;
    let (id, word) = ids.split_once('-').unwrap_or((ids, ""));
    let id = LvId::parse(id).ok()?;
    vg.lv_by_id(id).is_none().then_some(word)
}

/// The devices that `is_wanted` takes and that no program has open.
pub(crate) fn unused(
    inner: &Inner,
    devices: &[DeviceEntry],
    is_wanted: impl Fn(&DeviceEntry, &DmUuid) -> bool,
) -> Result<Vec<DmUuid>, Error> {
    let mut unused = Vec::new();
    for entry in devices {
        let Some(uuid) = entry.uuid.as_ref().filter(|uuid| is_wanted(entry, uuid)) else {
            continue;
        };
        let info = inner.mapper.info(DeviceId::Uuid(uuid)).map_err(Error::Dm)?;
        if info.is_some_and(|info| info.open_count == 0) {
            unused.push(uuid.clone());
        }
    }
    Ok(unused)
}
