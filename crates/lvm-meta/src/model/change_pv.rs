//! Changes to PVs.  Each takes effect as a whole or not at all.

use super::extents::UsedRuns;
use super::{ChangeError, ExtentMap, Pv, PvFlags, PvStatus, SegmentKind, Tags, Vg};
use crate::{Error, ExtentSize, Extents, PvId, Sectors};

/// What a new PV of a VG is made of.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct NewPv {
    /// Its id.
    pub id: PvId,
    /// The path of its device.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "device", deserialize_with = "crate::serial::line")
    )]
    pub device_hint: String,
    /// The size of its device.
    pub dev_size: Sectors,
    /// The first sector of extent 0.
    pub pe_start: Sectors,
    /// The number of its extents.
    pub pe_count: Extents,
    /// Type and name of the device's id in LVM's devices file.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "crate::serial::optional_lines")
    )]
    pub device_id: Option<(String, String)>,
}

/// Tells whether extents fit a device.
fn fits(extent_size: ExtentSize, dev_size: Sectors, pe_start: Sectors, pe_count: Extents) -> bool {
    let end = pe_start.checked_add(extent_size.to_sectors(pe_count));
    // Numbers that LVM's reader takes for negative ones are none.
    end.is_some_and(|end| end <= dev_size) && i64::try_from(dev_size.get()).is_ok()
}

impl Vg {
    fn changeable_pv(&mut self, id: PvId) -> Result<&mut Pv, ChangeError> {
        self.changeable()?;
        let index = self.pv_index.get(&id).copied();
        index
            .and_then(|index| self.pvs.get_mut(index))
            .ok_or(ChangeError::NoSuchPv(id))
    }

    /// Adds a PV behind the others.
    ///
    /// # Errors
    /// [`ChangeError::PvExists`], [`ChangeError::PvGeometry`], [`ChangeError::Limit`], [`ChangeError::Refused`].
    pub fn add_pv(&mut self, new: NewPv) -> Result<(), Error> {
        self.changeable()?;
        if self.pv(new.id).is_some() {
            return Err(ChangeError::PvExists(new.id).into());
        }
        let count = self.pvs.len();
        if self.max_pv != 0 && usize::try_from(self.max_pv).is_ok_and(|limit| count >= limit) {
            let (what, limit) = ("PVs", self.max_pv);
            return Err(ChangeError::Limit { what, limit }.into());
        }
        if !fits(self.extent_size, new.dev_size, new.pe_start, new.pe_count) {
            return Err(ChangeError::PvGeometry(new.id).into());
        }
        self.pv_index.insert(new.id, count);
        self.pvs.push(Pv {
            key: format!("pv{count}").into(),
            id: new.id,
            device: Some(new.device_hint)
                .filter(|path| !path.is_empty())
                .map(Into::into),
            device_id: new.device_id.map(|(kind, name)| (kind.into(), name.into())),
            status: PvStatus::ALLOCATABLE,
            flags: PvFlags::empty(),
            unknown_status: Vec::new(),
            unknown_flags: Vec::new(),
            came_status: super::WordOrder::default(),
            came_flags: super::WordOrder::default(),
            tags: Tags::default(),
            dev_size: Some(new.dev_size),
            pe_start: new.pe_start,
            pe_count: new.pe_count,
            bootloader: None,
            extras: Vec::new(),
            map: ExtentMap::new(new.pe_count.get(), UsedRuns::default()).unwrap_or_default(),
        });
        Ok(())
    }

    /// Removes a PV that holds no extent of an LV.  The keys of those behind it count down.
    ///
    /// # Errors
    /// [`ChangeError::PvInUse`], [`ChangeError::LastPv`], [`ChangeError::PvKeysInUse`],
    /// [`ChangeError::NoSuchPv`], [`ChangeError::Refused`].
    pub fn remove_pv(&mut self, id: PvId) -> Result<(), Error> {
        let used = self.changeable_pv(id)?.used();
        if used != Extents::ZERO {
            return Err(ChangeError::PvInUse { pv: id, used }.into());
        }
        if self.pvs.len() == 1 {
            return Err(ChangeError::LastPv(id).into());
        }
        let names_keys = |segment: &super::Segment| match segment.kind() {
            SegmentKind::Other(other) => !other.pv_areas().is_empty(),
            _ => false,
        };
        if self.lvs().any(|lv| lv.segments().iter().any(names_keys)) {
            return Err(ChangeError::PvKeysInUse(id).into());
        }
        self.pvs.retain(|pv| pv.id != id);
        self.pv_index.clear();
        for (index, pv) in self.pvs.iter_mut().enumerate() {
            pv.key = format!("pv{index}").into();
            self.pv_index.insert(pv.id, index);
        }
        Ok(())
    }

    /// Changes the sizes of a PV and its device; false when they were these before.
    ///
    /// # Errors
    /// [`ChangeError::PvTooSmall`] when extents behind the new end are in use, [`ChangeError::PvGeometry`],
    /// [`ChangeError::NoSuchPv`], [`ChangeError::Refused`].
    pub fn resize_pv(&mut self, id: PvId, dev_size: Sectors, pe_count: Extents) -> Result<bool, Error> {
        let extent_size = self.extent_size;
        let pv = self.changeable_pv(id)?;
        if (pv.dev_size, pv.pe_count) == (Some(dev_size), pe_count) {
            return Ok(false);
        }
        if !fits(extent_size, dev_size, pv.pe_start, pe_count) {
            return Err(ChangeError::PvGeometry(id).into());
        }
        if !pv.map.resize(pv.pe_count.get(), pe_count.get()) {
            return Err(ChangeError::PvTooSmall { pv: id, pe_count }.into());
        }
        pv.dev_size = Some(dev_size);
        pv.pe_count = pe_count;
        Ok(true)
    }

    /// Stores the path of a PV's device; false when it was this before.
    ///
    /// # Errors
    /// [`ChangeError::NoSuchPv`], [`ChangeError::Refused`].
    pub fn set_pv_device_hint(&mut self, id: PvId, path: &str) -> Result<bool, Error> {
        let pv = self.changeable_pv(id)?;
        let hint = Some(path).filter(|path| !path.is_empty());
        let has_changed = pv.device_hint() != hint;
        pv.device = hint.map(Box::from);
        Ok(has_changed)
    }

    /// Stores type and name of a device's id in LVM's devices file; false when they were these before.
    ///
    /// # Errors
    /// [`ChangeError::NoSuchPv`], [`ChangeError::Refused`].
    pub fn set_pv_device_id(&mut self, id: PvId, device_id: Option<(&str, &str)>) -> Result<bool, Error> {
        let pv = self.changeable_pv(id)?;
        let has_changed = pv.device_id() != device_id;
        pv.device_id = device_id.map(|(kind, name)| (kind.into(), name.into()));
        Ok(has_changed)
    }
}
