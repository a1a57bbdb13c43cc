//! Changes to LVs.  Each takes effect as a whole or not at all, and costs the same in a VG of any size.

use std::sync::Arc;

use super::change::{NewLv, legal_tags, push_joined};
use super::lvs::Taken;
use super::{ChangeError, Lv, LvFlags, LvStatus, Segment, SegmentKind, SegmentPlan, Tags, Vg};
use crate::{Error, Extents, LvName};

/// Longest names of VG and LV together: device-mapper's 127 bytes less what LVM keeps for itself.
const NAMES_LIMIT: usize = 124;

impl Vg {
    /// An LV that may be changed.
    pub(super) fn changeable_lv(&self, name: &str) -> Result<&Lv, ChangeError> {
        self.changeable()?;
        let lv = self
            .lv(name)
            .ok_or_else(|| ChangeError::NoSuchLv(name.to_owned()))?;
        if lv.is_locked() {
            return Err(ChangeError::LvLocked(name.to_owned()));
        }
        Ok(lv)
    }

    fn check_new_name(&self, name: &LvName) -> Result<(), ChangeError> {
        let name = name.as_str();
        if self.lv(name).is_some() {
            return Err(ChangeError::LvExists(name.to_owned()));
        }
        if self.name().len().saturating_add(name.len()) > NAMES_LIMIT {
            return Err(ChangeError::NamesTooLong(name.to_owned()));
        }
        Ok(())
    }

    /// Refuses an LV that others or the records of removed LVs name.
    pub(super) fn check_unused(&self, name: &str) -> Result<(), ChangeError> {
        match self.lvs.user_of(name) {
            Some(user) => Err(ChangeError::LvInUse {
                lv: name.to_owned(),
                by: user.name().to_owned(),
            }),
            None => self.check_not_in_history(name),
        }
    }

    /// Adds an LV behind the others.
    ///
    /// # Errors
    /// [`Error::Change`]: a name or id that is taken, extents that are not free, references to what is not
    /// there, a malformed segment, a VG that must be left alone.
    pub fn add_lv(&mut self, new: NewLv) -> Result<(), Error> {
        self.changeable()?;
        self.check_new_name(&new.name)?;
        if self.lv_by_id(new.id).is_some() {
            return Err(ChangeError::LvIdExists(new.id).into());
        }
        // As LVM, which counts neither the parts of LVs nor the links of snapshots.
        let counts = self.max_lv != 0 && new.status.contains(LvStatus::VISIBLE);
        let visible = || self.lvs().filter(|lv| self.is_visible(lv)).count();
        if counts && usize::try_from(self.max_lv).is_ok_and(|limit| visible() >= limit) {
            let (what, limit) = ("LVs", self.max_lv);
            return Err(ChangeError::Limit { what, limit }.into());
        }
        let mut new = new;
        let plans = std::mem::take(&mut new.segments);
        let segments = self.plan_segments(new.name.as_str(), 0, plans)?;
        if segments.is_empty() {
            let lv = new.name.as_str().to_owned();
            return Err(ChangeError::BadSize { lv, extents: 0 }.into());
        }
        let tags = Tags::new(&new.tags);
        let lv = new.into_lv(segments, tags);
        self.check_references(&lv)?;
        self.take_extents(&lv.segments)?;
        let (name, id) = (lv.name().to_owned(), lv.id());
        // Both keys were looked up above.
        self.lvs.add(lv).map_err(|taken| match taken {
            Taken::Name => ChangeError::LvExists(name),
            Taken::Id => ChangeError::LvIdExists(id),
        })?;
        Ok(())
    }

    /// Removes an LV that no other one names, and gives it back.
    ///
    /// # Errors
    /// [`ChangeError::LvInUse`], [`ChangeError::LvLocked`], [`ChangeError::NoSuchLv`], [`ChangeError::Refused`].
    pub fn remove_lv(&mut self, name: &str) -> Result<Lv, Error> {
        self.changeable_lv(name)?;
        self.check_unused(name)?;
        let lv = self
            .lvs
            .remove(name)
            .ok_or_else(|| ChangeError::NoSuchLv(name.to_owned()))?;
        self.give_extents(&lv.segments);
        Ok(Arc::unwrap_or_clone(lv))
    }

    /// Removes all LVs, those that others stand on, too.
    ///
    /// # Errors
    /// [`ChangeError::LvLocked`], [`ChangeError::Refused`].
    pub fn remove_all_lvs(&mut self) -> Result<(), Error> {
        self.changeable()?;
        if let Some(lv) = self.lvs().find(|lv| lv.is_locked()) {
            return Err(ChangeError::LvLocked(lv.name().to_owned()).into());
        }
        let gone = std::mem::take(&mut self.lvs);
        gone.iter().for_each(|lv| self.give_extents(&lv.segments));
        Ok(())
    }

    /// The refusal of a change that the type of an LV does not know.
    pub(super) fn not_resizable(&self, name: &str) -> ChangeError {
        let segment = self.lv(name).and_then(|lv| lv.segments.first());
        ChangeError::NotResizable {
            lv: name.to_owned(),
            segment_type: segment.map_or("", |segment| segment.type_name()).to_owned(),
        }
    }

    /// Appends segments to an LV; one that continues the last joins it.
    ///
    /// # Errors
    /// As [`Vg::add_lv`], and [`ChangeError::NotResizable`] for an LV kept as text.
    pub fn extend_lv(&mut self, name: &str, segments: Vec<SegmentPlan>) -> Result<(), Error> {
        let lv = self.changeable_lv(name)?;
        if let Some(segment_type) = unresizable(&lv.segments) {
            let lv = name.to_owned();
            return Err(ChangeError::NotResizable { lv, segment_type }.into());
        }
        let added = self.plan_segments(name, lv.extents.get(), segments)?;
        let mut grown = lv.clone();
        let mut segments = grown.segments.to_vec();
        for segment in added.iter().cloned() {
            push_joined(&mut segments, segment);
        }
        grown.segments = segments.into();
        grown.extents = length(&grown.segments);
        self.check_references(&grown)?;
        self.take_extents(&added)?;
        self.lvs.replace(grown);
        Ok(())
    }

    /// Cuts an LV to its first `to` extents.
    ///
    /// # Errors
    /// [`ChangeError::BadSize`] for 0 or more than it has, [`ChangeError::CutsStripe`],
    /// [`ChangeError::NotResizable`] when a segment kept as text would be cut, [`ChangeError::LvLocked`],
    /// [`ChangeError::NoSuchLv`], [`ChangeError::Refused`].
    pub fn reduce_lv(&mut self, name: &str, to: Extents) -> Result<(), Error> {
        let lv = self.changeable_lv(name)?;
        if to == Extents::ZERO || to > lv.extents {
            let extents = u64::from(to.get());
            let lv = name.to_owned();
            return Err(ChangeError::BadSize { lv, extents }.into());
        }
        let is_behind = |segment: &&Segment| segment.end() > u64::from(to.get());
        let cut: Vec<_> = lv.segments.iter().filter(is_behind).cloned().collect();
        if let Some(segment_type) = unresizable(&cut) {
            let lv = name.to_owned();
            return Err(ChangeError::NotResizable { lv, segment_type }.into());
        }
        let mut kept = lv.clone();
        let mut segments = kept.segments.to_vec();
        segments.retain(|segment| segment.start < to.get());
        if let Some(last) = segments.last_mut() {
            last.extents = Extents::new(to.get().saturating_sub(last.start));
            if let SegmentKind::Striped(striped) = &last.kind
                && !last.extents.get().is_multiple_of(striped.stripe_count())
            {
                let stripe_count = striped.stripe_count();
                return Err(ChangeError::CutsStripe {
                    extents: to,
                    stripe_count,
                }
                .into());
            }
        }
        kept.segments = segments.into();
        kept.extents = to;
        // What stays of the cut segments was theirs a moment ago, so taking it again cannot fail.
        self.give_extents(&cut);
        let from = lv_start(&cut);
        let rest: Vec<_> = kept
            .segments
            .iter()
            .filter(|own| own.start >= from)
            .cloned()
            .collect();
        self.take_extents(&rest)?;
        self.lvs.replace(kept);
        Ok(())
    }

    /// Gives an LV other segments in place of its own; those may share extents with the old ones.
    ///
    /// # Errors
    /// As [`Vg::add_lv`].
    pub fn replace_segments(&mut self, name: &str, segments: Vec<SegmentPlan>) -> Result<(), Error> {
        let old = self.changeable_lv(name)?.clone();
        let segments = self.plan_segments(name, 0, segments)?;
        let mut new = old.clone();
        new.extents = length(&segments);
        if new.extents == Extents::ZERO {
            let lv = name.to_owned();
            return Err(ChangeError::BadSize { lv, extents: 0 }.into());
        }
        new.segments = segments.into();
        self.check_references(&new)?;
        self.give_extents(&old.segments);
        if let Err(problem) = self.take_extents(&new.segments) {
            self.take_extents(&old.segments)?;
            return Err(problem.into());
        }
        self.lvs.replace(new);
        Ok(())
    }

    /// Gives an LV another name, in the segments of LVs that stand on it, too; [`Vg::rename_lv_with_parts`] renames the images
    /// of an array with it.
    ///
    /// # Errors
    /// [`ChangeError::LvInUse`] when a segment kept as text names it that is none of an array, a thin LV or a snapshot, or the records of
    /// removed LVs do, [`ChangeError::LvExists`],
    /// [`ChangeError::NamesTooLong`], [`ChangeError::LvLocked`], [`ChangeError::NoSuchLv`],
    /// [`ChangeError::Refused`].
    pub fn rename_lv(&mut self, from: &str, to: LvName) -> Result<(), Error> {
        self.changeable_lv(from)?;
        self.check_new_name(&to)?;
        let to: Arc<str> = to.as_str().into();
        let is_fixed = |segment: &Segment| match &segment.kind {
            SegmentKind::Other(other) => other.renamed(from, &to).is_none(),
            _ => false,
        };
        let is_fixed = |user: &&Lv| user.segments.iter().any(is_fixed);
        if let Some(user) = self.lvs.users_of(from).find(is_fixed) {
            let (lv, by) = (from.to_owned(), user.name().to_owned());
            return Err(ChangeError::LvInUse { lv, by }.into());
        }
        self.check_not_in_history(from)?;
        if self.lvs.user_of(from).is_some() && self.pvs.iter().any(|pv| *pv.key == *to) {
            return Err(ChangeError::BadSegment("an LV with the key of a PV cannot hold an area").into());
        }
        self.lvs.rename(from, &to);
        Ok(())
    }

    /// Sets an LV's tags; false when they were these before.
    ///
    /// # Errors
    /// [`ChangeError::Name`] for a tag that LVM would refuse, [`ChangeError::LvLocked`],
    /// [`ChangeError::NoSuchLv`], [`ChangeError::Refused`].
    pub fn set_lv_tags<T: AsRef<str>>(&mut self, name: &str, tags: &[T]) -> Result<bool, Error> {
        let lv = self.changeable_lv(name)?;
        let tags = legal_tags(tags)?;
        if lv.tags == tags {
            return Ok(false);
        }
        let lv = Lv { tags, ..lv.clone() };
        self.lvs.replace(lv);
        Ok(true)
    }

    /// Sets an LV's status and flags; false when they were these before.
    ///
    /// # Errors
    /// [`ChangeError::LvLocked`], [`ChangeError::NoSuchLv`], [`ChangeError::Refused`].
    pub fn set_lv_status(&mut self, name: &str, status: LvStatus, flags: LvFlags) -> Result<bool, Error> {
        let lv = self.changeable_lv(name)?;
        if (lv.status, lv.flags) == (status, flags) {
            return Ok(false);
        }
        let lv = Lv {
            status,
            flags,
            ..lv.clone()
        };
        self.lvs.replace(lv);
        Ok(true)
    }
}

fn unresizable(segments: &[Segment]) -> Option<String> {
    let fixed = segments.iter().find(|segment| !segment.is_plain())?;
    Some(fixed.type_name().to_owned())
}

fn length(segments: &[Segment]) -> Extents {
    let end = segments.last().map_or(0, Segment::end);
    Extents::new(u32::try_from(end).unwrap_or(u32::MAX))
}

fn lv_start(segments: &[Segment]) -> u32 {
    segments.first().map_or(u32::MAX, Segment::start)
}
