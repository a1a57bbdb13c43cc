//! Changes to the VG itself, and what changes to LVs are made of.  Each takes effect as a whole or not at all.

use std::sync::Arc;

use super::{Area, ChangeError, Lv, LvFlags, LvStatus, Segment, SegmentKind, SegmentPlan, Striped, Tags, Vg};
use crate::{Error, Extents, LvId, LvName, Tag, VgName};

/// What a new LV is made of.
#[derive(Clone, Debug)]
pub struct NewLv {
    /// Its name.
    pub name: LvName,
    /// Its id.
    pub id: LvId,
    /// Its status; [`LvStatus::USER`] for one that users see.
    pub status: LvStatus,
    /// Its flags.
    pub flags: LvFlags,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its segments, from extent 0 on.
    pub segments: Vec<SegmentPlan>,
    /// When, in seconds since 1970, and on which host it is made.
    pub creation: Option<(u64, String)>,
}

impl LvStatus {
    /// The status of a new LV that users see: readable, writable, visible.
    pub const USER: Self = Self::READ.union(Self::WRITE).union(Self::VISIBLE);
    /// The status of a new part of another LV: readable, writable, hidden.
    pub const HIDDEN: Self = Self::READ.union(Self::WRITE);
}

impl NewLv {
    /// An LV that users see, without tags and creation time.
    pub fn new(name: LvName, id: LvId, segments: Vec<SegmentPlan>) -> Self {
        Self {
            name,
            id,
            status: LvStatus::USER,
            flags: LvFlags::empty(),
            tags: Vec::new(),
            segments,
            creation: None,
        }
    }
}

/// Tags that LVM would write; tags of any origin are checked.
pub(super) fn legal_tags<T: AsRef<str>>(tags: &[T]) -> Result<Tags, ChangeError> {
    for tag in tags {
        Tag::parse(tag.as_ref())?;
    }
    Ok(Tags::from_texts(tags.iter().map(AsRef::as_ref)))
}

impl Vg {
    /// Refuses changes to a VG that must be left alone.
    pub(super) fn changeable(&self) -> Result<(), ChangeError> {
        self.refusal().map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// Counts the sequence number up, once for each commit.
    ///
    /// # Errors
    /// [`ChangeError::SeqnoEnd`] after 2^32 - 1.
    pub fn bump_seqno(&mut self) -> Result<(), Error> {
        self.seqno = self.seqno.checked_add(1).ok_or(ChangeError::SeqnoEnd)?;
        Ok(())
    }

    /// Counts the sequence number up, and above another one: of two copies of a VG the higher number wins.
    ///
    /// # Errors
    /// [`ChangeError::SeqnoEnd`] after 2^32 - 1.
    pub fn outrank(&mut self, other: u32) -> Result<(), Error> {
        self.seqno = self
            .seqno
            .max(other)
            .checked_add(1)
            .ok_or(ChangeError::SeqnoEnd)?;
        Ok(())
    }

    /// Sets the tags; false when they were these before.
    ///
    /// # Errors
    /// [`ChangeError::Name`] for a tag that LVM would refuse, and [`ChangeError::Refused`].
    pub fn set_tags<T: AsRef<str>>(&mut self, tags: &[T]) -> Result<bool, Error> {
        self.changeable()?;
        let tags = legal_tags(tags)?;
        let has_changed = tags != self.tags;
        self.tags = tags;
        Ok(has_changed)
    }

    /// Gives the VG another name; `false` when it had this one before.
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub fn set_name(&mut self, name: &VgName) -> Result<bool, Error> {
        self.changeable()?;
        let has_changed = *self.name != *name.as_str();
        self.name = name.as_str().into();
        Ok(has_changed)
    }

    /// Makes segments of plans, the first at the LV's extent `start`, and joins neighbours as LVM does.
    pub(super) fn plan_segments(
        &self,
        name: &str,
        start: u32,
        plans: Vec<SegmentPlan>,
    ) -> Result<Vec<Segment>, ChangeError> {
        let mut segments: Vec<Segment> = Vec::with_capacity(plans.len());
        let mut next = start;
        for SegmentPlan { extents, kind } in plans {
            if extents == Extents::ZERO {
                return Err(ChangeError::BadSegment("no extents"));
            }
            if let SegmentKind::Striped(striped) = &kind {
                self.check_areas(striped, extents)?;
            }
            let segment = Segment::new(next, extents, kind);
            next = u32::try_from(segment.end()).map_err(|_| ChangeError::BadSize {
                lv: name.to_owned(),
                extents: segment.end(),
            })?;
            push_joined(&mut segments, segment);
        }
        Ok(segments)
    }

    fn check_areas(&self, striped: &Striped, extents: Extents) -> Result<(), ChangeError> {
        if !extents.get().is_multiple_of(striped.stripe_count()) {
            return Err(ChangeError::BadSegment("the extents do not fill whole stripes"));
        }
        if !striped.is_linear() && striped.stripe_size().get() == 0 {
            return Err(ChangeError::BadSegment("no stripe size"));
        }
        for area in striped.areas() {
            if let Area::Lv { name, .. } = area
                && self.pvs.iter().any(|pv| *pv.key == **name)
            {
                return Err(ChangeError::BadSegment(
                    "an LV with the key of a PV cannot hold an area",
                ));
            }
        }
        Ok(())
    }

    /// Takes the PV extents of segments, all or none.
    pub(super) fn take_extents(&mut self, segments: &[Segment]) -> Result<(), ChangeError> {
        let mut runs = Vec::new();
        for segment in segments {
            segment.each_pv_run(|pv, start, length| runs.push((pv, start, length)));
        }
        for (at, &(id, start, length)) in runs.iter().enumerate() {
            let pv = self.pv_index.get(&id).and_then(|index| self.pvs.get_mut(*index));
            let problem = match pv {
                None => ChangeError::NoSuchPv(id),
                Some(pv) => {
                    if pv.map.take(start, length) {
                        continue;
                    }
                    let count = Extents::new(length);
                    ChangeError::NotFree { pv: id, start, count }
                }
            };
            for &(id, start, length) in runs.iter().take(at) {
                self.give_run(id, start, length);
            }
            return Err(problem);
        }
        Ok(())
    }

    pub(super) fn give_run(&mut self, id: crate::PvId, start: u32, length: u32) {
        if let Some(pv) = self.pv_index.get(&id).and_then(|index| self.pvs.get_mut(*index)) {
            pv.map.give(start, length);
        }
    }

    /// Gives back the PV extents of segments.
    pub(super) fn give_extents(&mut self, segments: &[Segment]) {
        for segment in segments {
            segment.each_pv_run(|id, start, length| self.give_run(id, start, length));
        }
    }

    /// Refuses an LV whose segments name LVs that are not there, or itself.
    pub(super) fn check_references(&self, lv: &Lv) -> Result<(), ChangeError> {
        if let Some(name) = self.lvs.missing(lv) {
            return Err(ChangeError::NoSuchLv(name));
        }
        if self.lvs.reaches(lv, lv.name()) {
            return Err(ChangeError::Cycle(lv.name().to_owned()));
        }
        Ok(())
    }
}

/// Appends a segment, as a part of the last one if it continues that on the same areas.
pub(super) fn push_joined(segments: &mut Vec<Segment>, next: Segment) {
    if let Some(last) = segments.last_mut()
        && last.rare == next.rare
        && last.is_plain()
        && continues(last, &next)
        && let Some(extents) = last.extents.checked_add(next.extents)
    {
        last.extents = extents;
        return;
    }
    segments.push(next);
}

fn continues(last: &Segment, next: &Segment) -> bool {
    let (last_striped, next_striped) = match (&last.kind, &next.kind) {
        (SegmentKind::Striped(last), SegmentKind::Striped(next)) => (last, next),
        (SegmentKind::Error, SegmentKind::Error) | (SegmentKind::Zero, SegmentKind::Zero) => return true,
        _ => return false,
    };
    let length = last_striped.area_extents(last.extents).get();
    let pairs = last_striped.areas().iter().zip(next_striped.areas());
    last_striped.stripe_count() == next_striped.stripe_count()
        && last_striped.stripe_size() == next_striped.stripe_size()
        && pairs.into_iter().all(|pair| match pair {
            (
                Area::Pv { pv, start },
                Area::Pv {
                    pv: next_pv,
                    start: next,
                },
            ) => pv == next_pv && start.checked_add(length) == Some(*next),
            _ => false,
        })
}

impl NewLv {
    pub(super) fn into_lv(self, segments: Vec<Segment>, tags: Tags) -> Lv {
        let extents = segments.last().map_or(0, Segment::end);
        Lv {
            name: self.name.as_str().into(),
            id: self.id,
            status: self.status,
            flags: self.flags,
            tags,
            creation: self.creation.map(|(time, host)| (time, Arc::new(host.into()))),
            extents: Extents::new(u32::try_from(extents).unwrap_or(u32::MAX)),
            segments: segments.into(),
            rare: None,
        }
    }
}
