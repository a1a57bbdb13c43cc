//! Text to VG: the sections of segments.

use std::ops::Range;
use std::sync::Arc;

use super::error::{Fault, TextProblem};
use super::import::{Import, keep_first, required};
use super::import_value::wrong_type;
use super::opaque::{References, disk_form, split_type};
use super::segment::SegmentRare;
use super::{Area, Opaque, Segment, SegmentKind, Striped, Tags};
use crate::Extents;
use crate::text::{self, Item, Lexer, Node, Scalar};

/// The nesting of a segment's section: VG, LVs, LV, segment.
const DEPTH: usize = 4;

/// How a type's own keys are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Striped,
    Error,
    Zero,
    /// Kept as text.
    Text,
}

/// The keys of a segment's section.
struct Draft {
    start: Option<u32>,
    extents: Option<u32>,
    type_name: Option<(Box<str>, Reading)>,
    tags: Option<Tags>,
    reshape_count: Option<u32>,
    stripe_count: Option<u32>,
    stripe_size: Option<u32>,
    areas: Option<Vec<Area>>,
    extras: Vec<Node>,
    references: References,
    /// Parts of the text that hold the type's own keys: from the end of the item before to the end of the own.
    body: Vec<(usize, Range<usize>)>,
}

fn reading(type_name: &str) -> Reading {
    match split_type(type_name) {
        ("striped" | "linear", _, true) => Reading::Striped,
        ("error", _, true) => Reading::Error,
        ("zero", _, true) => Reading::Zero,
        _ => Reading::Text,
    }
}

impl<'a> Import<'a> {
    /// One segment, whose `{` was read.
    pub(super) fn segment(&mut self) -> Result<Segment, Fault> {
        let at = self.lexer.item_at();
        let front = self.lexer.clone();
        let mut draft = Draft {
            start: None,
            extents: None,
            type_name: None,
            tags: None,
            reshape_count: None,
            stripe_count: None,
            stripe_size: None,
            areas: None,
            extras: Vec::new(),
            references: References::default(),
            body: Vec::new(),
        };
        loop {
            let behind_last = self.lexer.at();
            let item = self.lexer.item()?;
            match &item {
                Item::Assign(key) => match key.as_ref() {
                    "start_extent" => keep_first(&mut draft.start, self.int32(key, 0)?),
                    "extent_count" => keep_first(&mut draft.extents, self.int32(key, 1)?),
                    "type" => {
                        let name = self.string(key)?;
                        keep_first(&mut draft.type_name, (name.as_ref().into(), reading(&name)));
                    }
                    "tags" => keep_first(&mut draft.tags, self.tags(key)?),
                    "reshape_count" => keep_first(&mut draft.reshape_count, self.int32(key, 0)?),
                    _ => self.own_item(&item, &mut draft, &front, behind_last)?,
                },
                Item::Open(_) => self.own_item(&item, &mut draft, &front, behind_last)?,
                Item::Close => break,
                Item::End => return Err(self.unexpected_end()),
            }
        }
        self.finish_segment(draft, at)
    }

    /// A key or section that belongs to the segment's type.
    fn own_item(
        &mut self,
        item: &Item<'a>,
        draft: &mut Draft,
        front: &Lexer<'a>,
        behind_last: usize,
    ) -> Result<(), Fault> {
        let reading = match &draft.type_name {
            Some((_, reading)) => *reading,
            None => {
                let type_name = find_type(front.clone())?;
                let reading = reading(&type_name);
                draft.type_name = Some((type_name, reading));
                reading
            }
        };
        match (reading, item) {
            (Reading::Striped, Item::Assign(key)) => match key.as_ref() {
                "stripe_count" => {
                    let limit = i64::try_from(Striped::AREA_LIMIT).unwrap_or(i64::MAX);
                    let count = self.int(key, 1, limit)?;
                    keep_first(&mut draft.stripe_count, u32::try_from(count).unwrap_or(1));
                    Ok(())
                }
                "stripe_size" => {
                    keep_first(&mut draft.stripe_size, self.int32(key, 0)?);
                    Ok(())
                }
                "stripes" => {
                    let areas = self.areas(key)?;
                    keep_first(&mut draft.areas, areas);
                    Ok(())
                }
                _ => self.extra(item, DEPTH, &mut draft.extras),
            },
            (Reading::Text, Item::Assign(key) | Item::Open(key)) => {
                let from = self.lexer.item_at();
                let body = text::parse_body(&mut self.lexer, item, DEPTH, &mut self.nodes)?;
                draft.body.push((behind_last, from..self.lexer.at()));
                if let Some((type_name, _)) = &draft.type_name {
                    draft.references.add(type_name, &Node::new(key, body));
                }
                Ok(())
            }
            _ => self.extra(item, DEPTH, &mut draft.extras),
        }
    }

    /// The pairs of a `stripes` list: PV keys come before LV names.
    fn areas(&mut self, key: &str) -> Result<Vec<Area>, Fault> {
        let at = self.lexer.item_at();
        let mut areas = Vec::with_capacity(1);
        let mut name = None;
        let (pv_keys, pvs) = (&self.pv_keys, &self.pvs);
        let wrong = || wrong_type(key, "pairs of a PV or LV and its first extent, 128 at most", at);
        self.lexer.value(key, |scalar| {
            match (name.take(), scalar) {
                (None, Scalar::Str(text)) => name = Some(text),
                (Some(text), Scalar::Int(start)) if areas.len() < Striped::AREA_LIMIT => {
                    let start = u32::try_from(start).map_err(|_| {
                        let (key, found, min, max) = (key.to_owned(), start, 0, u64::from(u32::MAX));
                        TextProblem::OutOfRange { key, found, min, max }.at(at)
                    })?;
                    let pv = pv_keys.get(text.as_ref()).and_then(|index| pvs.get(*index));
                    areas.push(match pv {
                        Some(pv) => Area::Pv { pv: pv.id, start },
                        None => Area::Lv {
                            name: text.as_ref().into(),
                            start,
                        },
                    });
                }
                _ => return Err(wrong()),
            }
            Ok(())
        })?;
        if name.is_some() || areas.is_empty() {
            return Err(wrong());
        }
        Ok(areas)
    }

    fn finish_segment(&mut self, draft: Draft, at: usize) -> Result<Segment, Fault> {
        let start = required(draft.start, "segment", "start_extent", at)?;
        let extents = Extents::new(required(draft.extents, "segment", "extent_count", at)?);
        let (type_name, reading) = required(draft.type_name, "segment", "type", at)?;
        let (_, suffix, _) = split_type(&type_name);
        let mut suffix: Box<str> = suffix.into();
        let kind = match reading {
            Reading::Error => SegmentKind::Error,
            Reading::Zero => SegmentKind::Zero,
            Reading::Striped => {
                let stripe_count = required(draft.stripe_count, "segment", "stripe_count", at)?;
                let areas = required(draft.areas, "segment", "stripes", at)?;
                let stripe_size = match (stripe_count, draft.stripe_size) {
                    (1, _) => 0,
                    (_, stored) => required(stored, "segment", "stripe_size", at)?,
                };
                let found = areas.len();
                let fits =
                    usize::try_from(stripe_count) == Ok(found) && extents.get().is_multiple_of(stripe_count);
                let striped = Striped::from_areas(stripe_size, areas).filter(|_| fits);
                SegmentKind::Striped(striped.ok_or_else(|| {
                    let areas = found;
                    TextProblem::Stripes {
                        extents,
                        stripe_count,
                        areas,
                    }
                    .at(at)
                })?)
            }
            Reading::Text => {
                suffix = Box::default();
                let body = body_text(self.lexer.text(), &draft.body);
                let mut references = draft.references;
                let pv_areas = self.mirror_areas(&mut references, at)?;
                SegmentKind::Other(Opaque::new(&type_name, &body, references, pv_areas))
            }
        };
        let mut segment = Segment::new(start, extents, kind);
        let rare = SegmentRare {
            tags: draft.tags.unwrap_or_default(),
            reshape_count: draft.reshape_count.unwrap_or_default(),
            suffix,
            extras: draft.extras,
        };
        if rare != SegmentRare::default() {
            segment.rare = Some(Box::new(rare));
        }
        self.claim(&segment, at)?;
        Ok(segment)
    }

    /// Splits a mirror's areas into those on PVs and the LVs that it stands on.
    fn mirror_areas(&self, references: &mut References, at: usize) -> Result<Vec<(crate::PvId, u32)>, Fault> {
        if references.is_odd {
            return Err(wrong_type(
                "mirrors",
                "pairs of a PV or LV and its first extent",
                at,
            ));
        }
        let mut pv_areas = Vec::new();
        for (name, start) in std::mem::take(&mut references.areas) {
            match self.pv_keys.get(&name).and_then(|index| self.pvs.get(*index)) {
                Some(pv) => {
                    let start = u32::try_from(start).map_err(|_| {
                        let (key, found, min, max) = ("mirrors".to_owned(), start, 0, u64::from(u32::MAX));
                        TextProblem::OutOfRange { key, found, min, max }.at(at)
                    })?;
                    pv_areas.push((pv.id, start));
                }
                None => references.stands_on.push(Arc::from(name)),
            }
        }
        Ok(pv_areas)
    }

    /// Notes the PV extents of a segment as in use.
    fn claim(&mut self, segment: &Segment, at: usize) -> Result<(), Fault> {
        let mut outside = None;
        let (ids, pvs, used) = (&self.pv_ids, &self.pvs, &mut self.used);
        segment.each_pv_run(|id, start, length| {
            let Some(&index) = ids.get(&id) else { return };
            let (Some(pv), Some(used)) = (pvs.get(index), used.get_mut(index)) else {
                return;
            };
            let end = u64::from(start).saturating_add(u64::from(length));
            if end > u64::from(pv.pe_count.get()) {
                let (pv, pe_count) = (pv.id, pv.pe_count);
                outside = Some(TextProblem::OutsidePv {
                    pv,
                    start,
                    end,
                    pe_count,
                });
            }
            used.add(start, length);
        });
        outside.map_or(Ok(()), |problem| Err(problem.at(at)))
    }
}

/// Looks ahead for a segment's type, whose key comes first in all texts that LVM writes.
fn find_type(mut lexer: Lexer<'_>) -> Result<Box<str>, Fault> {
    let at = lexer.item_at();
    loop {
        match lexer.item()? {
            Item::Assign(key) if key == "type" => {
                let mut name: Option<Box<str>> = None;
                lexer.value(&key, |scalar| {
                    if let Scalar::Str(text) = scalar {
                        keep_first(&mut name, text.as_ref().into());
                    }
                    Ok::<(), Fault>(())
                })?;
                return name.ok_or_else(|| wrong_type("type", "a string", at));
            }
            Item::Assign(key) => lexer.skip_value(&key)?,
            Item::Open(_) => lexer.skip_section(DEPTH)?,
            Item::Close | Item::End => return required(None, "segment", "type", at),
        }
    }
}

/// Joins the parts of a text that belong to a segment's type, as LVM wrote them.
fn body_text(text: &str, parts: &[(usize, Range<usize>)]) -> String {
    let mut body = String::new();
    let mut last_end = None;
    for (behind_last, part) in parts {
        let gap = text.get(*behind_last..part.start).unwrap_or_default();
        if last_end == Some(*behind_last) {
            body.push_str(gap);
        } else {
            if last_end.is_some() {
                body.push('\n');
            }
            // What is left of the line before, a comment maybe, is not the type's own.
            body.push_str(gap.split_once('\n').map_or("", |(_, own)| own));
        }
        body.push_str(text.get(part.clone()).unwrap_or_default());
        last_end = Some(part.end);
    }
    disk_form(body)
}
