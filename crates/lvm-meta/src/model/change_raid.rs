//! Arrays: an LV that users see, and for each leg two hidden ones, named and ordered as LVM does.

use super::change::NewLv;
use super::change_legs::leg_names;
use super::detail::{Detail, Raid};
use super::{ChangeError, LvFlags, LvStatus, SegmentPlan, Vg};
use crate::alloc::LegPlan;
use crate::{Error, Extents, LvId, LvName};

/// A leg of an array to be.
#[derive(Clone, Debug)]
pub struct NewLeg {
    /// Its extents; no metadata for an array without.
    pub plan: LegPlan,
    /// The id of the LV of its data.
    pub image: LvId,
    /// The id of the LV of its metadata.
    pub meta: LvId,
}

impl Vg {
    /// Adds an array with its legs behind the other LVs; `new` brings everything but the segments, and `raid` everything
    /// but the legs.  It is as long as the data of its legs makes it.
    ///
    /// # Errors
    /// As [`Vg::add_lv`]; [`ChangeError::BadSegment`] for legs of different sizes, and too few of them.
    pub fn add_raid(&mut self, new: NewLv, raid: &Raid, legs: Vec<NewLeg>) -> Result<(), Error> {
        let name = new.name.as_str().to_owned();
        let mut raid = raid.clone();
        let names = |(at, leg): (usize, &NewLeg)| leg_names(&name, at, !leg.plan.meta.is_empty());
        raid.legs = legs.iter().enumerate().map(names).collect();
        let extents = array_extents(&raid, legs.iter().map(|leg| &leg.plan))?;
        let creation = new.creation.clone();
        let mut parts = Vec::new();
        for (leg, names) in legs.into_iter().zip(&raid.legs) {
            parts.push((names.image.clone(), leg.image, leg.plan.image));
            if let Some(meta) = &names.meta {
                parts.push((meta.clone(), leg.meta, leg.plan.meta));
            }
        }
        // LVM lists an array before its parts, so it has the place before they are there.
        let held = vec![SegmentPlan::error(extents)];
        self.add_lv(NewLv {
            segments: held,
            ..new
        })?;
        let mut added = vec![name.clone()];
        let result = parts.into_iter().try_for_each(|(part, id, segments)| {
            let lv = NewLv {
                status: LvStatus::HIDDEN,
                flags: LvFlags::empty(),
                creation: creation.clone(),
                ..NewLv::new(LvName::parse(&part)?, id, segments)
            };
            self.add_lv(lv)?;
            added.push(part.to_string());
            Ok(())
        });
        let result = result.and_then(|()| {
            let plan = SegmentPlan::of_detail(extents, raid.layout.as_str(), &Detail::Raid(raid))?;
            self.replace_segments(&name, vec![plan])
        });
        if result.is_err() {
            for part in added.iter().rev() {
                // Nobody stands on them, so there is nothing that could go wrong.
                let _ = self.remove_lv(part);
            }
        }
        result
    }

    /// Makes the images of an array longer, and it as long as they make it.
    ///
    /// # Errors
    /// As [`Vg::extend_lv`]; [`ChangeError::NotResizable`] for an LV that is no array, and
    /// [`ChangeError::BadSegment`] for images of different sizes.
    pub fn extend_raid(&mut self, name: &str, legs: Vec<LegPlan>) -> Result<(), Error> {
        let lv = self
            .lv(name)
            .ok_or_else(|| ChangeError::NoSuchLv(name.to_owned()))?;
        let Some(Detail::Raid(raid)) = lv.detail() else {
            return Err(self.not_resizable(name).into());
        };
        if legs.len() != raid.legs.len() {
            return Err(ChangeError::BadSegment("not as many legs as the array has").into());
        }
        let more = array_extents(&raid, legs.iter())?;
        let extents = lv.extent_count().checked_add(more);
        let extents = extents.ok_or(ChangeError::BadSegment("more than 4294967295 extents"))?;
        let mut done: Vec<(&str, Extents)> = Vec::new();
        let mut result = Ok(());
        for (leg, plan) in raid.legs.iter().zip(legs) {
            let before = self.lv(&leg.image).map_or(Extents::ZERO, |lv| lv.extent_count());
            result = self.extend_lv(&leg.image, plan.image);
            if result.is_err() {
                break;
            }
            done.push((&*leg.image, before));
        }
        let result = result.and_then(|()| self.set_detail(name, extents, &Detail::Raid(raid.clone())));
        if result.is_err() {
            for (image, before) in done {
                // They were that long a moment ago.
                let _ = self.reduce_lv(image, before);
            }
        }
        result
    }
}

/// The extents of an array of these legs.
pub(super) fn array_extents<'a>(
    raid: &Raid,
    mut legs: impl Iterator<Item = &'a LegPlan>,
) -> Result<Extents, ChangeError> {
    let bad = |why| Err(ChangeError::BadSegment(why));
    let length = |plan: &LegPlan| {
        let lengths = plan
            .image
            .iter()
            .map(|segment| u64::from(segment.extents().get()));
        lengths.sum::<u64>()
    };
    let first = legs.next().map(length).unwrap_or_default();
    if legs.any(|leg| length(leg) != first) {
        return bad("images of different sizes");
    }
    let data = u64::try_from(raid.data_images()).unwrap_or(u64::MAX);
    match first
        .checked_mul(data)
        .and_then(|extents| u32::try_from(extents).ok())
    {
        Some(0) => bad("an array without data"),
        Some(extents) => Ok(Extents::new(extents)),
        None => bad("more than 4294967295 extents"),
    }
}
