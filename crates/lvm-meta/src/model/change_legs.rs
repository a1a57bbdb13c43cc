//! Arrays whose legs change: others in place of failed ones, more, fewer, none.
//!
//! Each change is one of the text, without the states that LVM commits in between: a leg has its name by its place at once,
//! and what is to be filled from the others is marked `REBUILD` until the kernel has noted it.
//! Reference: LVM2 `lib/metadata/raid_manip.c`.

use super::change::NewLv;
use super::change_raid::{NewLeg, array_extents};
use super::detail::{Detail, Raid, RaidLayout, RaidLeg};
use super::{ChangeError, Lv, LvFlags, LvStatus, PvFlags, SegmentKind, SegmentPlan, Vg};
use crate::{Error, LvName, PvId};

/// What stands at a place of an array.
#[derive(Clone, Debug)]
pub enum LegSlot {
    /// A leg that the array has, by its present place.
    Kept(usize),
    /// A leg without data, to be filled from the others.
    New(NewLeg),
}

impl Vg {
    /// Lets `change` do what is allowed though PVs are missing, such as giving up what they hold; it does not see which are.
    pub fn repairing<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let is_missing = |pv: &super::Pv| pv.is_missing().then_some(pv.id());
        let missing: Vec<PvId> = self.pvs.iter().filter_map(is_missing).collect();
        self.mark_missing(&missing, false);
        let result = change(self);
        self.mark_missing(&missing, true);
        result
    }

    /// Notes which PVs are missing, or are back; false when they were noted so before.
    pub fn mark_missing(&mut self, pvs: &[PvId], is_missing: bool) -> bool {
        let mut has_changed = false;
        for pv in self.pvs.iter_mut().filter(|pv| pvs.contains(&pv.id)) {
            has_changed |= pv.is_missing() != is_missing;
            pv.flags.set(PvFlags::MISSING, is_missing);
        }
        has_changed
    }

    /// Gives an array these legs, in this order.  Kept legs take the names of their new places, new ones are marked
    /// `REBUILD`, and legs that are not kept are gone.
    ///
    /// # Errors
    /// [`ChangeError::NotResizable`] for an LV that is no array; [`ChangeError::BadSegment`] for a place that it does not have,
    /// legs of other sizes, another number of legs than its level allows, and none that is kept; and as [`Vg::add_lv`].
    pub fn set_legs(&mut self, name: &str, legs: Vec<LegSlot>) -> Result<(), Error> {
        self.whole(|vg| vg.set_legs_of(name, legs))
    }

    /// Makes an LV on PVs alone an array of level 1: its extents are those of the first leg, for which `first` brings
    /// metadata and ids alone; `more` are its copies.
    ///
    /// # Errors
    /// [`ChangeError::NotResizable`] for an LV of any other type, and as [`Vg::set_legs`].
    pub fn add_copies(
        &mut self,
        name: &str,
        raid: &Raid,
        first: NewLeg,
        more: Vec<NewLeg>,
    ) -> Result<(), Error> {
        self.whole(|vg| vg.mirror(name, raid, first, more))
    }

    /// Makes an array of level 1 a plain LV with the extents of one of its legs.
    ///
    /// # Errors
    /// [`ChangeError::NotResizable`] for any other LV, [`ChangeError::BadSegment`] for a leg that it does not have.
    pub fn keep_copy(&mut self, name: &str, leg: usize) -> Result<(), Error> {
        self.whole(|vg| {
            let raid = vg.array(name)?;
            let kept = raid.legs.get(leg).ok_or(NO_LEG)?.image.clone();
            if raid.layout != RaidLayout::Raid1 {
                return Err(vg.not_resizable(name).into());
            }
            let plans: Vec<SegmentPlan> = vg.existing(&kept)?.segments.iter().map(plan_of).collect();
            let held = vg.existing(name)?.extents;
            vg.replace_segments(name, vec![SegmentPlan::error(held)])?;
            for part in parts(&raid) {
                vg.remove_lv(&part)?;
            }
            let lv = vg.existing(name)?;
            let (status, flags) = (lv.status.difference(LvStatus::NOTSYNCED), lv.flags);
            vg.replace_segments(name, plans)?;
            vg.set_lv_status(name, status, flags).map(drop)
        })
    }

    /// Takes `REBUILD` off the images of an array; false when none had it.
    ///
    /// # Errors
    /// [`ChangeError::NotResizable`] for an LV that is no array; [`ChangeError::Refused`].
    pub fn end_rebuild(&mut self, name: &str) -> Result<bool, Error> {
        let mut has_changed = false;
        for leg in self.array(name)?.legs {
            let image = self.existing(&leg.image)?;
            let status = image.status.difference(LvStatus::REBUILD);
            let flags = image.flags;
            has_changed |= self.set_lv_status(&leg.image, status, flags)?;
        }
        Ok(has_changed)
    }

    /// Makes a change of several steps one that takes effect as a whole or not at all.
    pub(super) fn whole(&mut self, change: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.changeable()?;
        // The LVs are shared with the copy.
        let before = self.clone();
        let result = change(self);
        if result.is_err() {
            *self = before;
        }
        result
    }

    fn set_legs_of(&mut self, name: &str, slots: Vec<LegSlot>) -> Result<(), Error> {
        let mut raid = self.array(name)?;
        let old = std::mem::take(&mut raid.legs);
        let (extents, type_name) = {
            let lv = self.existing(name)?;
            let type_name = lv.segments.first().map_or("", |segment| segment.type_name());
            (lv.extents, type_name.to_owned())
        };
        if raid.layout != RaidLayout::Raid1 && slots.len() != old.len() {
            return Err(ChangeError::BadSegment("another number of images than the array has").into());
        }
        // Nothing names its parts while they are moved about.
        self.replace_segments(name, vec![SegmentPlan::error(extents)])?;
        let is_kept = |at: usize| {
            slots
                .iter()
                .any(|slot| matches!(slot, LegSlot::Kept(kept) if *kept == at))
        };
        let mut has_data = false;
        for (_, leg) in old.iter().enumerate().filter(|(at, _)| !is_kept(*at)) {
            for part in [Some(&leg.image), leg.meta.as_ref()].into_iter().flatten() {
                self.remove_lv(part)?;
            }
        }
        for (at, slot) in slots.into_iter().enumerate() {
            let leg = match slot {
                LegSlot::Kept(kept) => {
                    has_data = true;
                    let leg = old.get(kept).ok_or(NO_LEG)?;
                    let named = leg_names(name, at, leg.meta.is_some());
                    self.give_name(&leg.image, &named.image)?;
                    if let (Some(from), Some(to)) = (&leg.meta, &named.meta) {
                        self.give_name(from, to)?;
                    }
                    named
                }
                LegSlot::New(new) => self.add_leg(name, at, new, LvStatus::REBUILD)?,
            };
            raid.legs.push(leg);
        }
        if !has_data {
            return Err(ChangeError::BadSegment("no image is kept").into());
        }
        let plan = SegmentPlan::of_detail(extents, &type_name, &Detail::Raid(raid))?;
        self.replace_segments(name, vec![plan])?;
        self.check_lengths(name)
    }

    fn mirror(&mut self, name: &str, raid: &Raid, first: NewLeg, more: Vec<NewLeg>) -> Result<(), Error> {
        let lv = self.changeable_lv(name)?;
        let is_linear = |segment: &super::Segment| matches!(&segment.kind, SegmentKind::Striped(striped) if striped.stripe_count() == 1);
        if raid.layout != RaidLayout::Raid1 || !lv.segments.iter().all(is_linear) {
            return Err(self.not_resizable(name).into());
        }
        let (extents, plans) = (lv.extents, lv.segments.iter().map(plan_of).collect());
        self.replace_segments(name, vec![SegmentPlan::error(extents)])?;
        let mut raid = raid.clone();
        let first = NewLeg {
            plan: crate::LegPlan {
                image: plans,
                ..first.plan
            },
            ..first
        };
        raid.legs = vec![self.add_leg(name, 0, first, LvStatus::empty())?];
        for (at, leg) in more.into_iter().enumerate() {
            let leg = self.add_leg(name, at.saturating_add(1), leg, LvStatus::REBUILD)?;
            raid.legs.push(leg);
        }
        let plan = SegmentPlan::of_detail(extents, raid.layout.as_str(), &Detail::Raid(raid))?;
        self.replace_segments(name, vec![plan])?;
        self.check_lengths(name)
    }

    /// Adds the LVs of a leg; `more` is what its image is marked with.
    fn add_leg(&mut self, array: &str, at: usize, new: NewLeg, more: LvStatus) -> Result<RaidLeg, Error> {
        let creation = self.existing(array)?.creation.clone();
        let creation = creation.map(|(time, host)| (time, host.to_string()));
        let leg = leg_names(array, at, !new.plan.meta.is_empty());
        let image = (Some(&leg.image), new.image, new.plan.image, more);
        let meta = (leg.meta.as_ref(), new.meta, new.plan.meta, LvStatus::empty());
        for (part, id, segments, status) in [image, meta] {
            let Some(part) = part else { continue };
            self.add_lv(NewLv {
                status: LvStatus::HIDDEN | status,
                flags: LvFlags::empty(),
                creation: creation.clone(),
                ..NewLv::new(LvName::parse(part)?, id, segments)
            })?;
        }
        Ok(leg)
    }

    fn give_name(&mut self, from: &str, to: &str) -> Result<(), Error> {
        match from == to {
            true => Ok(()),
            false => self.rename_lv(from, LvName::parse(to)?),
        }
    }

    /// The images have to be as long as the array makes them.
    fn check_lengths(&self, name: &str) -> Result<(), Error> {
        let raid = self.array(name)?;
        let plan = |leg: &RaidLeg| -> Result<crate::LegPlan, ChangeError> {
            Ok(crate::LegPlan {
                meta: Vec::new(),
                image: self.existing(&leg.image)?.segments.iter().map(plan_of).collect(),
            })
        };
        let plans = raid.legs.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        match array_extents(&raid, plans.iter())? == self.existing(name)?.extents {
            true => Ok(()),
            false => Err(ChangeError::BadSegment("images of another size than the array").into()),
        }
    }

    /// An array of which nothing is being moved.
    fn array(&self, name: &str) -> Result<Raid, ChangeError> {
        let Some(Detail::Raid(raid)) = self.changeable_lv(name)?.detail() else {
            return Err(self.not_resizable(name));
        };
        for part in parts(&raid) {
            self.changeable_lv(&part)?;
        }
        Ok(raid)
    }

    fn existing(&self, name: &str) -> Result<&Lv, ChangeError> {
        self.lv(name)
            .ok_or_else(|| ChangeError::NoSuchLv(name.to_owned()))
    }
}

const NO_LEG: ChangeError = ChangeError::BadSegment("an image that the array does not have");

pub(super) fn plan_of(segment: &super::Segment) -> SegmentPlan {
    SegmentPlan {
        extents: segment.extents,
        kind: segment.kind.clone(),
    }
}

pub(super) fn parts(raid: &Raid) -> Vec<String> {
    let of_leg = |leg: &RaidLeg| {
        [
            Some(leg.image.to_string()),
            leg.meta.as_ref().map(ToString::to_string),
        ]
    };
    raid.legs.iter().flat_map(of_leg).flatten().collect()
}

/// The names of the LVs of a leg by its place.
pub(super) fn leg_names(array: &str, at: usize, has_meta: bool) -> RaidLeg {
    RaidLeg {
        meta: has_meta.then(|| format!("{array}_rmeta_{at}").into()),
        image: format!("{array}_rimage_{at}").into(),
    }
}
