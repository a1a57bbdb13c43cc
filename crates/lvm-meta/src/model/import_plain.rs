//! Text to VG: LVs that stand as LVM prints them, which are all but a few.
//!
//! A short cut, and no second set of rules: an LV with anything that is not expected, or not allowed, is left to the
//! general reader ([`Import::lv`](super::import_lv)), which reads the same place from its first byte and tells what is
//! wrong.  Both give the same LV for the same text.

use std::ops::Range;

use super::batch::ReadLv;
use super::flags::WRITE_LOCKED;
use super::import::Import;
use super::{Area, LvFlags, LvStatus, Segment, SegmentKind, Striped};
use crate::text::Plain;
use crate::{Extents, LvId, LvName};

/// Tags of one LV that are compared each with each.
const TAGS_LIMIT: usize = 8;

impl<'a> Import<'a> {
    /// The next LV, if there is one and it stands as LVM prints it; else nothing is read.
    pub(super) fn plain_lv(&mut self) -> Option<ReadLv> {
        let (text, segments) = (self.batch.text.len(), self.batch.segments.len());
        let mut plain = self.lexer.plain();
        self.runs.clear();
        let Some(lv) = self.expect_lv(&mut plain) else {
            self.batch.text.truncate(text);
            self.batch.segments.truncate(segments);
            return None;
        };
        for (pv, start, length) in self.runs.drain(..) {
            if let Some(used) = self.used.get_mut(pv) {
                used.add(start, length);
            }
        }
        self.lexer.skip_to(&plain);
        Some(lv)
    }

    fn expect_lv(&mut self, plain: &mut Plain<'a>) -> Option<ReadLv> {
        plain.literal("\n\n")?;
        let at = self.lexer.text().len().saturating_sub(plain.rest().len());
        let name = plain.until(b' ')?;
        LvName::check(name).ok()?;
        plain.literal("{\nid = \"")?;
        let id = LvId::parse(plain.until(b'"')?).ok()?;
        plain.literal("\n")?;
        let (status, flags) = words(plain)?;
        let name = self.batch.push_text(name);
        let tags = self.expect_tags(plain)?;
        let mut creation = None;
        if plain.has("creation_time = ") {
            let time = plain.number()?;
            plain.literal("\ncreation_host = \"")?;
            creation = Some((time, self.host(plain.string()?)));
            plain.literal("\n")?;
        }
        plain.literal("segment_count = ")?;
        let count = usize::try_from(plain.number()?).ok()?;
        plain.literal("\n\n")?;
        let first = self.batch.segments.len();
        let mut end = 0u32;
        while !plain.has("}") {
            let segment = self.expect_segment(plain, end)?;
            end = end.checked_add(segment.extent_count().get())?;
            self.batch.segments.push(segment);
        }
        let segments = first..self.batch.segments.len();
        (segments.len() == count && count > 0).then_some(ReadLv {
            at,
            name,
            tags,
            segments,
            id,
            status,
            flags,
            creation,
            extents: Extents::new(end),
            rare: None,
        })
    }

    /// Tags that come once.
    fn expect_tags(&mut self, plain: &mut Plain<'a>) -> Option<Option<Range<usize>>> {
        if !plain.has("tags = [\"") {
            return Some(None);
        }
        let from = self.batch.text.len();
        let mut seen = [""; TAGS_LIMIT];
        for at in 0..TAGS_LIMIT {
            let tag = plain.string()?;
            if seen.get(..at)?.contains(&tag) {
                return None;
            }
            *seen.get_mut(at)? = tag;
            if at > 0 {
                self.batch.text.push('\0');
            }
            self.batch.text.push_str(tag);
            if plain.has("]\n") {
                return Some(Some(from..self.batch.text.len()));
            }
            plain.literal(", \"")?;
        }
        None
    }

    /// A linear or striped segment on PVs from an extent of its LV on.
    fn expect_segment(&mut self, plain: &mut Plain<'a>, start: u32) -> Option<Segment> {
        plain.literal("segment")?;
        plain.number()?;
        plain.literal(" {\nstart_extent = ")?;
        let found = plain.short()?;
        plain.literal("\nextent_count = ")?;
        let extents = plain.short().filter(|extents| *extents > 0)?;
        plain.literal("\n\ntype = \"striped\"\nstripe_count = ")?;
        let striped = if plain.has("1\n\nstripes = [\n") {
            let area = self.expect_area(plain, extents)?;
            plain.literal("\n]\n}\n")?;
            Striped::linear(area)
        } else {
            self.expect_stripes(plain, extents)?
        };
        let kind = SegmentKind::Striped(striped);
        (found == start).then(|| Segment::new(start, Extents::new(extents), kind))
    }

    fn expect_stripes(&mut self, plain: &mut Plain<'a>, extents: u32) -> Option<Striped> {
        let count = usize::try_from(plain.short()?).ok()?;
        if !(2..=Striped::AREA_LIMIT).contains(&count) {
            return None;
        }
        plain.literal("\nstripe_size = ")?;
        let size = plain.short()?;
        plain.literal("\n\nstripes = [\n")?;
        let stripes = u32::try_from(count).ok()?;
        let length = extents
            .checked_div(stripes)
            .filter(|_| extents.is_multiple_of(stripes))?;
        let mut areas = Vec::with_capacity(count);
        areas.push(self.expect_area(plain, length)?);
        while plain.has(",\n") && areas.len() < count {
            areas.push(self.expect_area(plain, length)?);
        }
        plain.literal("\n]\n}\n")?;
        (areas.len() == count).then(|| Striped::from_areas(size, areas))?
    }

    /// An area inside a PV whose key says which it is.
    fn expect_area(&mut self, plain: &mut Plain<'a>, length: u32) -> Option<Area> {
        if !self.pvs_are_numbered {
            return None;
        }
        plain.literal("\"pv")?;
        let number = usize::try_from(plain.number()?).ok()?;
        plain.literal("\", ")?;
        let start = plain.short()?;
        let pv = self.pvs.get(number)?;
        if start.checked_add(length)? > pv.pe_count.get() {
            return None;
        }
        self.runs.push((number, start, length));
        Some(Area::Pv { pv: pv.id, start })
    }
}

/// `status` and `flags`, if all of their words are known and in LVM's order.
fn words(plain: &mut Plain<'_>) -> Option<(LvStatus, LvFlags)> {
    if plain.has("status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\n") {
        return Some((LvStatus::USER, LvFlags::empty()));
    }
    let (mut status, mut flags) = (LvStatus::empty(), LvFlags::empty());
    plain.literal("status = [")?;
    each_word(plain, |word| {
        let bit = LvStatus::from_name(word)?;
        let is_next = bit.bits() > status.bits();
        status |= bit;
        is_next.then_some(())
    })?;
    let mut is_locked = false;
    plain.literal("flags = [")?;
    each_word(plain, |word| {
        match word {
            WRITE_LOCKED if flags.is_empty() && !is_locked => is_locked = true,
            _ => {
                let bit = LvFlags::from_name(word).filter(|bit| bit.bits() > flags.bits())?;
                flags |= bit;
            }
        }
        Some(())
    })?;
    status.set(LvStatus::WRITE, status.contains(LvStatus::WRITE) || is_locked);
    Some((status, flags))
}

/// The strings of a list whose bracket was read.
fn each_word(plain: &mut Plain<'_>, mut take: impl FnMut(&str) -> Option<()>) -> Option<()> {
    if plain.has("]\n") {
        return Some(());
    }
    loop {
        plain.literal("\"")?;
        take(plain.string()?)?;
        if plain.has("]\n") {
            return Some(());
        }
        plain.literal(", ")?;
    }
}
