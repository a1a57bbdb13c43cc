//! What the LVs of an open VG are mapped to: their tables, the kernel's devices of them, their links.

use std::io;

use lvm_dm::{DeviceId, DeviceInfo, DeviceNumber};
use lvm_meta::Lv;
use lvm_meta::detail::Thin;

use super::OpenVg;
use crate::apply::Link;
use crate::cow::Group;
use crate::raid::Array;
use crate::system::Inner;
use crate::thin::{self, PoolLv, stack};
use crate::{Error, evacuate, naming, table};

impl OpenVg {
    /// The device-mapper table of an LV.
    ///
    /// # Errors
    /// As [`table::table`], and [`Error::Unsupported`] for an LV on which others stand, such as a snapshot's origin,
    /// which is mapped in layers: see [`Group`].
    pub(crate) fn table(&self, inner: &Inner, lv: &Lv) -> Result<lvm_dm::Table, Error> {
        self.table_with(lv, &|thin| {
            stack::pool_number(inner, self, &PoolLv::of(&self.vg, thin)?)
        })
    }

    /// Refuses an LV that this crate does not map.
    ///
    /// # Errors
    /// As [`OpenVg::table`], whether the devices below are there or not.
    pub(crate) fn check_mappable(&self, lv: &Lv) -> Result<(), Error> {
        if let Some(group) = Group::of(&self.vg, lv) {
            return group.check(self);
        }
        if let Some(array) = Array::of(&self.vg, lv) {
            return array.check();
        }
        let any = DeviceNumber { major: 0, minor: 0 };
        match self.table_with(lv, &|_| Ok(any)) {
            Ok(_) | Err(Error::MissingDisk { .. } | Error::NotActive(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The table of a part of another LV, which lies on PVs, or is being moved from one to another.
    pub(crate) fn table_of_part(&self, part: &Lv) -> Result<lvm_dm::Table, Error> {
        self.table_of_part_on(part, &|name| self.below(name))
    }

    /// As [`OpenVg::table_of_part`]; `below` knows the device of what moves it.
    pub(crate) fn table_of_part_on(
        &self,
        part: &Lv,
        below: &dyn Fn(&str) -> Result<DeviceNumber, Error>,
    ) -> Result<lvm_dm::Table, Error> {
        table::table(&self.vg, part, &|pv| self.device(pv), below, &|_| {
            Err(Error::Unsupported("a part of an LV in a thin pool".into()))
        })
    }

    /// The first block of a part of an LV, past the kernel's devices; `None` if it cannot be read.
    pub(crate) fn read_first(&self, part: &Lv) -> Option<[u8; 4096]> {
        let table = self.table_of_part(part).ok()?;
        let mut block = [0; 4096];
        self.read_mapped(&table, 0, &mut block).ok()?;
        Some(block)
    }

    /// Reads what a table of linear lines over PVs maps from `sector` on, past the kernel's devices.
    ///
    /// # Errors
    /// For what lies past the end, in more than one line, on anything else, and on a disk that is not there.
    pub(crate) fn read_mapped(&self, table: &lvm_dm::Table, sector: u64, bytes: &mut [u8]) -> io::Result<()> {
        let beyond = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let line = table
            .lines()
            .iter()
            .find(|line| sector >= line.start && sector - line.start < line.length);
        let line = line.ok_or_else(beyond)?;
        let lvm_dm::Target::Linear { device, offset } = &line.target else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let disk = self.disks.iter().find(|disk| disk.number == *device);
        let disk = disk.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        let at = (sector - line.start)
            .checked_add(*offset)
            .and_then(|sector| sector.checked_mul(lvm_meta::Sectors::SIZE));
        disk.disk.read_at(at.ok_or_else(beyond)?, bytes)
    }

    /// The device of the hidden LV that moves others.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any other LV, [`Error::NotActive`].
    fn below(&self, name: &str) -> Result<DeviceNumber, Error> {
        let hidden = self.vg.lv(name).filter(|lv| evacuate::is_hidden(lv));
        let hidden = hidden.ok_or_else(|| Error::Unsupported(format!("mapping an LV on {name:?}")))?;
        let uuid = evacuate::layer(&self.vg, hidden)?.uuid;
        let info = self.mapper.info(DeviceId::Uuid(&uuid)).map_err(Error::Dm)?;
        info.map(|info| info.number)
            .ok_or_else(|| Error::NotActive(name.into()))
    }

    fn table_with(
        &self,
        lv: &Lv,
        thin_pool: &dyn Fn(&Thin) -> Result<DeviceNumber, Error>,
    ) -> Result<lvm_dm::Table, Error> {
        // A thin snapshot names its origin, and has nothing to do with its device.
        let is_below = |user: &&Lv| {
            thin::thin(user).is_none_or(|thin| thin.external_origin.as_deref() == Some(lv.name()))
        };
        if let Some(user) = self.vg.users_of(lv.name()).find(is_below) {
            let what = format!("mapping {:?}, on which {:?} stands,", lv.name(), user.name());
            return Err(Error::Unsupported(what));
        }
        let below = |name: &str| self.below(name);
        table::table(&self.vg, lv, &|pv| self.device(pv), &below, thin_pool)
    }

    /// The kernel's device of an LV.
    pub(crate) fn kernel_device(&self, inner: &Inner, lv: &Lv) -> Result<Option<DeviceInfo>, Error> {
        let uuid = naming::dm_uuid(&self.vg.id(), &lv.id());
        inner.mapper.info(DeviceId::Uuid(&uuid)).map_err(Error::Dm)
    }

    /// The link of an LV's device.
    pub(crate) fn link(&self, lv: &Lv) -> Result<Link, Error> {
        let device = naming::dm_name(self.vg.name(), lv.name())?;
        Ok(Link {
            vg: self.vg.name().into(),
            lv: lv.name().into(),
            device,
        })
    }
}
