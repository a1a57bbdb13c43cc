//! The steps that make the devices of an array, grow them, and take them away.
//!
//! The parts come before the array and go after it.  What the kernel finds in the metadata of an image decides what becomes
//! of its data, so that of a new array is zeroed before the array is there, and before any text names it.

use std::cmp::Ordering;

use lvm_dm::{DmUuid, SuspendFlags};
use lvm_meta::detail::RaidLayout;
use lvm_meta::{Lv, LvStatus, Sectors};

use super::{Array, check_target};
use crate::apply::Step;
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::table_on::{TableOn, TargetOn};
use crate::{Error, activate, naming};

/// May an array be mapped without some of its images?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Degraded {
    Refuse,
    /// As long as all data is there.
    Allow,
}

/// Is it mapped for the first time?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Yes,
    No,
}

impl Array<'_> {
    /// The steps that make the devices of the parts that are not there, and the array's own, not yet mapped.
    ///
    /// # Errors
    /// [`Error::NoRaidTarget`], [`Error::MissingDisk`], and as [`Array::check`].
    pub(crate) fn create(
        &self,
        inner: &Inner,
        open: &OpenVg,
        first: First,
        degraded: Degraded,
    ) -> Result<Vec<Step>, Error> {
        self.check()?;
        check_target(inner, self.detail.layout)?;
        let present = self.allowed(open, degraded)?;
        let (mut makes, mut zeroes, mut images) = (Vec::new(), Vec::new(), Vec::new());
        for (leg, _) in self.legs.iter().zip(&present).filter(|(_, present)| **present) {
            for part in leg.parts() {
                let layer = self.layer(part)?;
                let is_meta = leg.is_meta(part);
                let steps = match layer.info(inner)?.is_some_and(|info| info.live_table) {
                    true => None,
                    false => Some(layer.activate(open.table_of_part(part)?)),
                };
                match is_meta {
                    true => makes.extend(steps.into_iter().flatten()),
                    false => images.extend(steps.into_iter().flatten()),
                }
                if is_meta && first == First::Yes {
                    zeroes.push(self.zero_meta(part)?);
                }
            }
        }
        if !zeroes.is_empty() {
            makes.push(Step::Settle);
            makes.extend(zeroes);
        }
        makes.extend(images);
        let device = self.device()?;
        // Only what users see has a number of its own.
        let is_seen = device.uuid == naming::dm_uuid(&self.vg.id(), &self.lv.id());
        makes.push(Step::CreateOn {
            name: device.name,
            uuid: device.uuid,
            table: self.table(first, &present)?,
            read_only: !open.is_writable(self.lv),
            minor: activate::fixed_minor(self.lv).filter(|_| is_seen),
        });
        Ok(makes)
    }

    /// Makes the metadata of a new image such that the kernel takes it for one.
    pub(super) fn zero_meta(&self, meta: &Lv) -> Result<Step, Error> {
        Ok(Step::Zero {
            uuid: self.layer(meta)?.uuid,
            length: self.noted(meta),
        })
    }

    /// Bytes of the metadata of an image in which the kernel notes something.
    fn noted(&self, meta: &Lv) -> u64 {
        let size = self.vg.extent_size().to_bytes(meta.extent_count());
        self.cleared().min(size.unwrap_or(u64::MAX))
    }

    /// Which images are there, if the others are not needed.
    fn allowed(&self, open: &OpenVg, degraded: Degraded) -> Result<Vec<bool>, Error> {
        let present = self.present(open);
        let lost = present.iter().position(|present| !present);
        let Some(leg) = lost.and_then(|at| self.legs.get(at)) else {
            return Ok(present);
        };
        if degraded == Degraded::Allow && self.survives(&present) {
            return Ok(present);
        }
        let mut pvs = leg.parts().flat_map(|part| super::areas(self.vg, part)).flatten();
        let pv = pvs.find(|pv| open.device(*pv).is_none());
        Err(Error::MissingDisk {
            replica: self.lv.name().into(),
            pv: pv.map(|pv| pv.to_string()).unwrap_or_default(),
        })
    }

    /// The table of the array.
    fn table(&self, first: First, present: &[bool]) -> Result<TableOn, Error> {
        let image = |(leg, present): (&super::Leg<'_>, &bool)| {
            let uuid = |part: &Lv| self.layer(part).map(|layer| layer.uuid);
            match present {
                true => Ok(Some((leg.meta.map(uuid).transpose()?, uuid(leg.image)?))),
                false => Ok(None),
            }
        };
        let images = self.legs.iter().zip(present).map(image);
        Ok(TableOn {
            length: self.vg.extent_size().to_sectors(self.lv.extent_count()).get(),
            target: TargetOn::Raid {
                level: kernel_word(self.detail.layout).into(),
                chunk: self.detail.stripe_size.map_or(0, Sectors::get),
                params: self.params(first),
                images: images.collect::<Result<_, Error>>()?,
            },
        })
    }

    /// The words behind the chunk, in LVM's order.
    fn params(&self, first: First) -> Vec<String> {
        let mut params = Vec::new();
        let mut put = |key: &str, value: Option<u64>| {
            if let Some(value) = value {
                params.extend([key.to_string(), value.to_string()]);
            }
        };
        let with = |status: LvStatus| {
            let legs = (0_u64..).zip(&self.legs);
            legs.filter(move |(_, leg)| leg.image.status().contains(status))
        };
        let detail = &self.detail;
        for (at, _) in with(LvStatus::REBUILD) {
            put("rebuild", Some(at));
        }
        put(
            "min_recovery_rate",
            detail.min_recovery_rate.filter(|rate| *rate > 0),
        );
        put(
            "max_recovery_rate",
            detail.max_recovery_rate.filter(|rate| *rate > 0),
        );
        for (at, _) in with(LvStatus::WRITEMOSTLY) {
            put("write_mostly", Some(at));
        }
        put("max_write_behind", detail.write_behind.filter(|count| *count > 0));
        put("region_size", detail.region_size.map(Sectors::get));
        if matches!(detail.layout, RaidLayout::Raid10 | RaidLayout::Raid10Near) {
            put("raid10_copies", Some(detail.copies()));
        }
        // What the kernel notes in the metadata of the images counts from then on.
        if first == First::Yes && self.lv.status().contains(LvStatus::NOTSYNCED) {
            params.insert(0, "nosync".into());
        }
        params
    }

    /// The steps that take away those of the parts' devices that are there; the array's own is gone by then.
    pub(crate) fn remove_parts(&self, inner: &Inner) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for part in self.parts() {
            let layer = self.layer(part)?;
            if layer.info(inner)?.is_some() {
                steps.push(layer.remove());
            }
        }
        Ok(steps)
    }

    /// Stages the table of the metadata.
    pub(super) fn load(&self, open: &OpenVg) -> Result<Step, Error> {
        self.load_at(self.device()?.uuid, open)
    }

    /// Stages the table of the metadata for a device that takes the place of the array's own.
    pub(crate) fn load_at(&self, uuid: DmUuid, open: &OpenVg) -> Result<Step, Error> {
        Ok(Step::LoadOn {
            uuid,
            table: self.table_on(open)?,
            read_only: !open.is_writable(self.lv),
        })
    }

    /// The table of the metadata, over the images that are there.
    pub(crate) fn table_on(&self, open: &OpenVg) -> Result<TableOn, Error> {
        self.table(First::No, &self.present(open))
    }

    /// The steps around a commit that make an array larger which is active; its parts come first, as the kernel looks how
    /// long they are when the array's table is loaded.
    pub(crate) fn grow(&self, inner: &Inner, open: &OpenVg) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for leg in &self.legs {
            let layer = self.layer(leg.image)?;
            let (table, old) = (open.table_of_part(leg.image)?, layer.table(inner)?);
            steps.push(layer.replace(table, old));
        }
        steps.push(self.load(open)?);
        // What udevd is told of the parts is waited for while nobody stands still.
        steps.push(Step::Settle);
        steps.push(Step::Suspend {
            uuid: self.device()?.uuid,
            flags: SuspendFlags::SKIP_LOCKFS,
        });
        steps.push(Step::Commit);
        steps.push(self.resume(open)?);
        steps.push(Step::Settle);
        Ok(steps)
    }

    /// The steps that give an array which is active, and its images, the tables of the metadata under who stands on it.
    ///
    /// An image is never shorter than the array has it: those that become longer come first, those that become shorter
    /// last.
    pub(crate) fn replace(&self, inner: &Inner, open: &OpenVg) -> Result<Vec<Step>, Error> {
        let mut present = self.present(open);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (leg, present) in self.legs.iter().zip(&mut present) {
            let layer = self.layer(leg.image)?;
            // One whose disk came back is no part of it before it is activated anew.
            *present &= layer.info(inner)?.is_some();
            if !*present {
                continue;
            }
            let (table, old) = (open.table_of_part(leg.image)?, layer.table(inner)?);
            let steps = match table.length().cmp(&old.length()) {
                Ordering::Equal => continue,
                Ordering::Greater => &mut before,
                Ordering::Less => &mut after,
            };
            steps.push(layer.replace(table, old));
        }
        let device = self.device()?;
        if device.info(inner)?.is_some_and(|info| info.inactive_table) {
            // One array has one table at a time: a staged one goes first.
            let uuid = device.uuid.clone();
            before.push(Step::Clear { uuid });
        }
        let table = self.table(First::No, &present)?.table(&*inner.mapper)?;
        before.push(device.replace(table, device.table(inner)?));
        before.extend(after);
        Ok(before)
    }

    /// The steps that bring the images of an array to be to where it may be mapped: what the kernel keeps of them is
    /// zeroed, and of the metadata of a thin pool all.  No device stays.
    pub(crate) fn zero_new(&self, open: &OpenVg) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for leg in &self.legs {
            if let Some(meta) = leg.meta {
                steps.extend(activate::zero_new(open, meta, self.noted(meta))?);
            }
            if self.pool_part() == Some("tmeta") {
                let size = open.vg.extent_size().to_bytes(leg.image.extent_count());
                steps.extend(activate::zero_new(open, leg.image, size.unwrap_or(u64::MAX))?);
            }
        }
        Ok(steps)
    }
}

/// The kernel's word for level and layout.
pub(super) fn kernel_word(layout: RaidLayout) -> &'static str {
    match layout {
        RaidLayout::Raid0Meta => "raid0",
        RaidLayout::Raid5 => "raid5_ls",
        RaidLayout::Raid6 => "raid6_zr",
        RaidLayout::Raid10Near => "raid10",
        other => other.as_str(),
    }
}
