//! The devices of the LVs that are moved: those that map segments, below snapshots, thin pools and arrays, too.
//!
//! An array goes on while its images and their metadata are moved below it: to the kernel their devices stay the same.

use lvm_dm::{DeviceId, DeviceNumber, DmUuid, SuspendFlags, UdevFlags};
use lvm_meta::{Lv, LvRole};

use crate::apply::Step;
use crate::cow::Group;
use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::system::Inner;
use crate::table_on::TableOver;
use crate::thin::PoolLv;
use crate::{Error, activate, naming};

/// A device that maps the segments of an LV.
#[derive(Clone, Debug)]
pub(super) struct Part {
    lv: String,
    uuid: DmUuid,
    read_only: bool,
    resume: Step,
}

impl Part {
    /// The device that maps an LV's segments, there or not; `None` for an LV that never has one.
    ///
    /// # Errors
    /// [`Error::Unsupported`], by the LV's name, for what this crate does not map.
    pub(super) fn of(open: &OpenVg, lv: &Lv) -> Result<Option<Self>, Error> {
        let vg = &open.vg;
        let hidden = |layer: &Layer| Self {
            lv: lv.name().into(),
            uuid: layer.uuid.clone(),
            read_only: false,
            resume: layer.resume(),
        };
        if let Some(group) = Group::of(vg, lv) {
            group.check(open)?;
            return match group.member(lv.name()) {
                Some(member) => Ok(Some(hidden(&member.cow(vg)?))),
                None => Ok(Some(hidden(&group.real()?))),
            };
        }
        let thin_pool = |of: &str| PoolLv::named(vg, of).is_some();
        match vg.role(lv) {
            LvRole::Public => {
                open.check_mappable(lv)?;
                Ok(Some(Self {
                    lv: lv.name().into(),
                    uuid: naming::dm_uuid(&vg.id(), &lv.id()),
                    read_only: !open.is_writable(lv),
                    resume: activate::resume(open, lv, UdevFlags::empty())?,
                }))
            }
            LvRole::PoolData { of } if thin_pool(of) => Ok(Some(hidden(&Layer::of(vg, lv, "", "tdata")?))),
            LvRole::PoolMetadata { of } if thin_pool(of) => {
                Ok(Some(hidden(&Layer::of(vg, lv, "", "tmeta")?)))
            }
            LvRole::RaidImage { of, .. } | LvRole::RaidMeta { of, .. } => {
                let array = vg.lv(of).and_then(|lv| Array::of(vg, lv));
                let array = array.ok_or_else(|| Error::Unsupported(format!("moving {:?}", lv.name())))?;
                array.check()?;
                Ok(Some(hidden(&array.layer(lv)?)))
            }
            LvRole::PoolSpare => Ok(None),
            _ => Err(Error::Unsupported(format!(
                "moving {:?}, a part of an LV of a type that is not moved here,",
                lv.name()
            ))),
        }
    }

    /// The parts of LVs that are mapped now.
    pub(super) fn mapped(inner: &Inner, open: &OpenVg, names: &[String]) -> Result<Vec<Self>, Error> {
        let mut parts = Vec::new();
        for lv in names.iter().filter_map(|name| open.vg.lv(name)) {
            let Some(part) = Self::of(open, lv)? else { continue };
            let info = inner.mapper.info(DeviceId::Uuid(&part.uuid)).map_err(Error::Dm)?;
            if info.is_some() {
                parts.push(part);
            }
        }
        Ok(parts)
    }

    /// Stages the table of the metadata; `hidden` is the device that a part on a move lies on, which may be made by the
    /// steps before.
    pub(super) fn load(&self, open: &OpenVg, hidden: &DmUuid) -> Result<Step, Error> {
        let lv = open.vg.lv(&self.lv);
        let lv = lv.ok_or_else(|| Error::NotActive(self.lv.clone()))?;
        let stand_in = |_: &str| -> Result<DeviceNumber, Error> { Ok(TableOver::STAND_IN) };
        Ok(Step::LoadOver {
            uuid: self.uuid.clone(),
            table: TableOver {
                table: open.table_of_part_on(lv, &stand_in)?,
                device: hidden.clone(),
            },
            read_only: self.read_only,
        })
    }

    /// Stops I/O, without freezing file systems: what is written goes on at the new place.
    pub(super) fn suspend(&self) -> Step {
        Step::Suspend {
            uuid: self.uuid.clone(),
            flags: SuspendFlags::SKIP_LOCKFS,
        }
    }

    /// Lets I/O go on.
    pub(super) fn resume(&self) -> Step {
        self.resume.clone()
    }
}
