//! Moving extents from PV to PV while they are in use, in LVM's own form.
//!
//! A hidden LV, `pvmove0`, has a mirror of two images for each piece: where it is and where it goes.  The LVs whose
//! extents move stand on it, piece by piece, and are locked.  The pieces are copied one after the other, and
//! `extents_moved` tells which are done.  At the end the LVs have the new places, and the hidden LV nothing.
//! Reference: LVM2 `tools/pvmove.c`, `lib/metadata/lv_manip.c`, `lib/mirror/mirrored.c`.

use std::collections::HashMap;
use std::sync::Arc;

use super::change::{NewLv, push_joined};
use super::detail::{Detail, Mirror, MirrorArea};
use super::opaque::{Opaque, References};
use super::{Area, ChangeError, Lv, LvStatus, Refusal, Segment, SegmentKind, SegmentPlan, Striped, Vg};
use crate::alloc::MovePiece;
use crate::{Error, Extents, PvId, Sectors};

/// One piece of a move that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The extent of the hidden LV at which it starts.
    pub start: u32,
    /// Its length.
    pub extents: Extents,
    /// Where it is: PV and first extent.
    pub from: (PvId, u32),
    /// Where it goes.
    pub to: (PvId, u32),
    /// How much is known to be there; less than all counts as nothing when the copying begins anew.
    pub moved: Extents,
    /// What is copied at a time.
    pub region: Sectors,
}

impl Moving {
    /// Is all of it there?
    pub fn is_done(&self) -> bool {
        self.moved == self.extents
    }
}

impl Lv {
    /// The pieces of the hidden LV of a move; `None` for other LVs, for one that has no pieces any more, and for one
    /// that moves whole LVs at once.
    pub fn moving(&self) -> Option<Vec<Moving>> {
        if !self.status().contains(LvStatus::PVMOVE) {
            return None;
        }
        self.segments().iter().map(Segment::moving).collect()
    }
}

impl Segment {
    fn moving(&self) -> Option<Moving> {
        let SegmentKind::Other(opaque) = &self.kind else {
            return None;
        };
        let [from, to] = opaque.pv_areas() else {
            return None;
        };
        match opaque.detail().ok()?? {
            Detail::Mirror(Mirror {
                extents_moved: Some(moved),
                region_size: Some(region),
                log: None,
                ..
            }) => Some(Moving {
                start: self.start,
                extents: self.extents,
                from: *from,
                to: *to,
                moved: Extents::new(u32::try_from(moved).ok()?),
                region,
            }),
            _ => None,
        }
    }
}

impl Vg {
    /// Puts pieces of LVs on a hidden LV that moves them; `new` brings its name, id and tags, `region` is what the
    /// kernel copies at a time.
    ///
    /// # Errors
    /// [`Error::Change`]: as [`Vg::add_lv`], [`ChangeError::LvLocked`], and [`ChangeError::BadSegment`] for pieces that are
    /// not the LVs' own.
    pub fn begin_move(&mut self, new: NewLv, region: Sectors, pieces: &[MovePiece]) -> Result<(), Error> {
        self.changeable()?;
        let hidden: Arc<str> = new.name.as_str().into();
        let mut plans = Vec::with_capacity(pieces.len());
        let mut by_lv: HashMap<&str, Vec<(u32, &MovePiece)>> = HashMap::new();
        let mut start = 0u32;
        for piece in pieces {
            plans.push(SegmentPlan {
                extents: piece.extents,
                kind: SegmentKind::Other(self.moving_pair(piece.from, piece.to, Extents::ZERO, region)?),
            });
            by_lv.entry(&piece.lv).or_default().push((start, piece));
            start = start
                .checked_add(piece.extents.get())
                .ok_or(ChangeError::BadSegment("more extents than an LV can have"))?;
        }
        let mut changed = Vec::with_capacity(by_lv.len());
        for (name, pieces) in by_lv {
            changed.push(on_hidden(self.changeable_lv(name)?, &hidden, &pieces)?);
        }
        for piece in pieces {
            self.give_run(piece.from.0, piece.from.1, piece.extents.get());
        }
        let new = NewLv {
            segments: plans,
            status: LvStatus::HIDDEN | LvStatus::PVMOVE | LvStatus::LOCKED,
            ..new
        };
        if let Err(error) = self.add_lv(new) {
            for piece in pieces {
                let (pv, start) = piece.from;
                let kind = SegmentKind::Striped(Striped::linear(Area::Pv { pv, start }));
                self.take_extents(&[Segment::new(0, piece.extents, kind)])?;
            }
            return Err(error);
        }
        for lv in changed {
            self.lvs.replace(lv);
        }
        Ok(())
    }

    /// Notes that the piece of a hidden LV that starts at `start` is moved.
    ///
    /// # Errors
    /// [`ChangeError::NoSuchLv`], [`ChangeError::BadSegment`], [`ChangeError::Refused`].
    pub fn finish_piece(&mut self, hidden: &str, start: u32) -> Result<(), Error> {
        let mut lv = self.hidden(hidden)?.clone();
        let mut segments = lv.segments.to_vec();
        let segment = segments.iter_mut().find(|segment| segment.start == start);
        let (segment, piece) = segment
            .and_then(|segment| segment.moving().map(|piece| (segment, piece)))
            .ok_or(ChangeError::BadSegment("no piece of a move"))?;
        let pair = self.moving_pair(piece.from, piece.to, piece.extents, piece.region)?;
        segment.kind = SegmentKind::Other(pair);
        lv.segments = segments.into();
        self.lvs.replace(lv);
        Ok(())
    }

    /// Gives the LVs on a hidden LV their new places, whatever is noted of the pieces, and unlocks them.  The hidden LV
    /// holds nothing then.
    ///
    /// # Errors
    /// [`ChangeError::NoSuchLv`], [`ChangeError::Refused`]; [`ChangeError::BadSegment`] when LVs stand on it in another way
    /// than piece by piece.
    pub fn end_move(&mut self, hidden: &str) -> Result<(), Error> {
        self.leave_hidden(hidden, |_| true)
    }

    /// Takes a move back, as `pvmove --abort` does: the LVs on a hidden LV have the new places of the pieces that are moved
    /// and the old ones of the others, and are unlocked.  The hidden LV holds nothing then.  `also_moved` is a piece that is
    /// at its new place, too, though that is not noted, by its first extent.
    ///
    /// # Errors
    /// As [`Vg::end_move`].
    pub fn take_move_back(&mut self, hidden: &str, also_moved: Option<u32>) -> Result<(), Error> {
        self.leave_hidden(hidden, |piece| piece.is_done() || also_moved == Some(piece.start))
    }

    fn leave_hidden(&mut self, hidden: &str, is_moved: impl Fn(&Moving) -> bool) -> Result<(), Error> {
        let mut lv = self.hidden(hidden)?.clone();
        let pieces = lv
            .moving()
            .ok_or(ChangeError::BadSegment("no pieces of a move"))?;
        let mut names: Vec<String> = self.users_of(hidden).map(|user| user.name().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        let users = names.iter().filter_map(|name| self.lv(name));
        let changed = users.map(|user| off_hidden(user, hidden, &pieces, &is_moved));
        let changed = changed.collect::<Result<Vec<_>, _>>()?;
        for user in changed {
            self.lvs.replace(user);
        }
        for piece in &pieces {
            let left = if is_moved(piece) { piece.from } else { piece.to };
            self.give_run(left.0, left.1, piece.extents.get());
        }
        lv.segments = vec![Segment::new(0, lv.extents, SegmentKind::Error)].into();
        self.lvs.replace(lv);
        Ok(())
    }

    /// Removes a hidden LV on which nothing stands any more.
    ///
    /// # Errors
    /// [`ChangeError::NoSuchLv`], [`ChangeError::LvInUse`], [`ChangeError::Refused`].
    pub fn remove_move(&mut self, hidden: &str) -> Result<(), Error> {
        self.hidden(hidden)?;
        self.check_unused(hidden)?;
        if let Some(lv) = self.lvs.remove(hidden) {
            self.give_extents(&lv.segments);
        }
        Ok(())
    }

    fn hidden(&self, name: &str) -> Result<&Lv, ChangeError> {
        self.changeable()?;
        let lv = self.lv(name);
        lv.filter(|lv| lv.status().contains(LvStatus::PVMOVE))
            .ok_or_else(|| ChangeError::NoSuchLv(name.to_owned()))
    }

    /// The two images of a piece.
    fn moving_pair(
        &self,
        from: (PvId, u32),
        to: (PvId, u32),
        moved: Extents,
        region: Sectors,
    ) -> Result<Opaque, ChangeError> {
        let image = |(id, start): (PvId, u32)| -> Result<MirrorArea, ChangeError> {
            let index = self.pvs.iter().position(|pv| pv.id == id);
            let key = index.map(|index| format!("pv{index}"));
            let key = key.ok_or(ChangeError::NoSuchPv(id))?;
            // Kept as text, keys are those that the next text numbers the PVs by.
            match self.pvs.iter().any(|pv| pv.id == id && *pv.key == *key) {
                true => Ok(MirrorArea {
                    name: key.into(),
                    start,
                }),
                false => Err(Refusal::UnusualPvKeys { lv: "pvmove".into() }.into()),
            }
        };
        let mirror = Detail::Mirror(Mirror {
            extents_moved: Some(u64::from(moved.get())),
            log: None,
            region_size: Some(region),
            images: vec![image(from)?, image(to)?],
        });
        Ok(Opaque::new(
            "mirror",
            &mirror.print(),
            References::default(),
            vec![from, to],
        ))
    }
}

/// An LV with pieces of it on a hidden one, each as a segment of its own: LVM joins none of them.  What is in no piece stays.
fn on_hidden(lv: &Lv, hidden: &Arc<str>, pieces: &[(u32, &MovePiece)]) -> Result<Lv, ChangeError> {
    let bad = || ChangeError::BadSegment("a piece that is not the LV's");
    let mut segments = Vec::with_capacity(lv.segments.len());
    let mut used = 0usize;
    for segment in lv.segments() {
        let own: Vec<_> = pieces
            .iter()
            .filter(|(_, piece)| piece.segment_start == segment.start)
            .collect();
        if own.is_empty() {
            segments.push(segment.clone());
            continue;
        }
        let SegmentKind::Striped(striped) = &segment.kind else {
            return Err(bad());
        };
        let stripes = striped.stripe_count();
        let total = striped.area_extents(segment.extents).get();
        // The part from one extent of an area to another, with the area that moves on the hidden LV.
        let part = |from: u32, to: u32, moves: Option<(usize, u32)>| {
            let areas = striped.areas().iter().enumerate().map(|(at, area)| match area {
                _ if moves.is_some_and(|(moving, _)| moving == at) => Area::Lv {
                    name: hidden.clone(),
                    start: moves.map_or(0, |(_, start)| start),
                },
                Area::Pv { pv, start } => Area::Pv {
                    pv: *pv,
                    start: start.saturating_add(from),
                },
                Area::Lv { name, start } => Area::Lv {
                    name: name.clone(),
                    start: start.saturating_add(from),
                },
            });
            let kind = Striped::new(striped.stripe_size(), areas.collect())?;
            Some(Segment {
                start: segment.start.saturating_add(from.saturating_mul(stripes)),
                extents: Extents::new(to.checked_sub(from)?.checked_mul(stripes)?),
                kind: SegmentKind::Striped(kind),
                rare: segment.rare.clone(),
            })
        };
        let mut next = 0u32;
        for (start, piece) in own {
            used = used.saturating_add(1);
            let is_there = |at: u32| matches!(striped.areas().get(piece.area), Some(Area::Pv { pv, start }) if (*pv, start.saturating_add(at)) == piece.from);
            let end = piece.offset.checked_add(piece.extents.get()).ok_or_else(bad)?;
            if piece.offset < next || end > total || !is_there(piece.offset) {
                return Err(bad());
            }
            if piece.offset > next {
                segments.push(part(next, piece.offset, None).ok_or_else(bad)?);
            }
            segments.push(part(piece.offset, end, Some((piece.area, *start))).ok_or_else(bad)?);
            next = end;
        }
        if next < total {
            segments.push(part(next, total, None).ok_or_else(bad)?);
        }
    }
    if used != pieces.len() {
        return Err(bad());
    }
    Ok(Lv {
        status: lv.status | LvStatus::LOCKED,
        segments: segments.into(),
        ..lv.clone()
    })
}

/// An LV with the new places of the pieces that are moved, and the old ones of the others.
fn off_hidden(
    lv: &Lv,
    hidden: &str,
    pieces: &[Moving],
    is_moved: &dyn Fn(&Moving) -> bool,
) -> Result<Lv, ChangeError> {
    let bad = || ChangeError::BadSegment("an LV that does not stand on a move piece by piece");
    let mut segments = Vec::with_capacity(lv.segments.len());
    for segment in lv.segments() {
        let mut segment = segment.clone();
        if let SegmentKind::Striped(striped) = &segment.kind {
            let length = striped.area_extents(segment.extents);
            let place = |area: &Area| match area {
                Area::Lv { name, start } if **name == *hidden => {
                    let mut own = pieces.iter();
                    let own = own.find(|piece| piece.start == *start && piece.extents == length);
                    own.map(|piece| {
                        let (pv, start) = if is_moved(piece) { piece.to } else { piece.from };
                        Area::Pv { pv, start }
                    })
                }
                area => Some(area.clone()),
            };
            let areas = striped.areas().iter().map(place).collect::<Option<Vec<_>>>();
            let striped = areas.and_then(|areas| Striped::new(striped.stripe_size(), areas));
            segment.kind = SegmentKind::Striped(striped.ok_or_else(bad)?);
        }
        push_joined(&mut segments, segment);
    }
    Ok(Lv {
        status: lv.status.difference(LvStatus::LOCKED),
        segments: segments.into(),
        ..lv.clone()
    })
}
