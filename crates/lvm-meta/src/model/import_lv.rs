//! Text to VG: the sections of LVs.

use std::borrow::Cow;
use std::sync::Arc;

use super::batch::ReadLv;
use super::error::{Fault, TextProblem};
use super::flags::WRITE_LOCKED;
use super::import::{Import, keep_first, required};
use super::import_value::wrong_type;
use super::lv::LvRare;
use super::lvs::Lvs;
use super::{LvFlags, LvStatus, Segment, Tags, WordOrder};
use crate::text::Item;
use crate::{Extents, LvId, LvName};

/// Segments for which room is made before they are seen.
const SEGMENT_GUESS_LIMIT: usize = 16;

/// The keys of an LV's section.
#[derive(Default)]
struct Draft {
    id: Option<LvId>,
    status: Option<LvStatus>,
    flags: Option<LvFlags>,
    /// Flags that stand in `status`.
    status_flags: LvFlags,
    write_locked: bool,
    tags: Option<Tags>,
    creation_time: Option<u64>,
    creation_host: Option<Arc<Box<str>>>,
    segment_count: Option<u32>,
    segments: Vec<Segment>,
    rare: Option<Box<LvRare>>,
}

impl Draft {
    fn rare(&mut self) -> &mut LvRare {
        self.rare.get_or_insert_default()
    }
}

impl<'a> Import<'a> {
    pub(super) fn lvs(&mut self) -> Result<Lvs, Fault> {
        let mut lvs = Lvs::default();
        // An LV takes some 250 bytes of text at least.
        let rest = self.lexer.text().len().saturating_sub(self.lexer.at());
        lvs.reserve(rest / 400);
        let read = self.each_lv(&mut lvs);
        // What is wrong with an LV that was read counts before what is wrong behind it.
        self.batch.flush(&mut lvs)?;
        read.map(|()| lvs)
    }

    fn each_lv(&mut self, lvs: &mut Lvs) -> Result<(), Fault> {
        loop {
            let lv = match self.plain_lv() {
                Some(lv) => lv,
                None => {
                    let item = self.lexer.item()?;
                    let at = self.lexer.item_at();
                    match item {
                        Item::Open(name) => {
                            LvName::check(&name).map_err(|error| TextProblem::Name(error).at(at))?;
                            self.has_odd_lv = true;
                            self.lv(&name)?
                        }
                        Item::Assign(key) => return Err(wrong_type(&key, "a section", at)),
                        Item::Close => return Ok(()),
                        Item::End => return Err(self.unexpected_end()),
                    }
                }
            };
            if self.batch.push(lv) {
                self.batch.flush(lvs)?;
            }
        }
    }

    fn lv(&mut self, name: &str) -> Result<ReadLv, Fault> {
        let at = self.lexer.item_at();
        let mut draft = Draft::default();
        loop {
            match self.lexer.item()? {
                Item::Assign(key) => self.lv_key(key, &mut draft)?,
                // Whatever its name, a section in an LV is a segment.
                Item::Open(_) => {
                    if draft.segments.capacity() == 0 {
                        let stated =
                            usize::try_from(draft.segment_count.unwrap_or_default()).unwrap_or_default();
                        draft.segments.reserve_exact(stated.min(SEGMENT_GUESS_LIMIT));
                    }
                    let segment = self.segment()?;
                    draft.segments.push(segment);
                }
                Item::Close => break,
                Item::End => return Err(self.unexpected_end()),
            }
        }
        let creation = match (draft.creation_time, draft.creation_host) {
            (Some(time), Some(host)) => Some((time, host)),
            (None, None) => None,
            _ => {
                let (first, second) = ("creation_time", "creation_host");
                let section = name.to_owned();
                return Err(TextProblem::Half {
                    section,
                    first,
                    second,
                }
                .at(at));
            }
        };
        let stated = required(draft.segment_count, name, "segment_count", at)?;
        let found = draft.segments.len();
        if usize::try_from(stated) != Ok(found) {
            let lv = name.to_owned();
            return Err(TextProblem::SegmentCount { lv, stated, found }.at(at));
        }
        if draft.segments.is_empty() && !name.starts_with("pvmove") {
            let section = name.to_owned();
            return Err(TextProblem::Empty { section }.at(at));
        }
        let extents = join_segments(name, &mut draft.segments).map_err(|problem| problem.at(at))?;
        let mut status = required(draft.status, name, "status", at)?;
        status.set(
            LvStatus::WRITE,
            status.contains(LvStatus::WRITE) || draft.write_locked,
        );
        let id = required(draft.id, name, "id", at)?;
        let tags = draft.tags.unwrap_or_default();
        Ok(ReadLv {
            at,
            name: self.batch.push_text(name),
            tags: tags.joined().map(|tags| self.batch.push_text(tags)),
            segments: self.batch.push_segments(draft.segments),
            id,
            status,
            flags: draft.flags.unwrap_or_default() | draft.status_flags,
            creation,
            extents,
            rare: draft.rare,
        })
    }

    fn lv_key(&mut self, key: Cow<'a, str>, draft: &mut Draft) -> Result<(), Fault> {
        let at = self.lexer.item_at();
        match key.as_ref() {
            "id" => {
                let id = LvId::parse(&self.string(&key)?).map_err(|error| TextProblem::Id(error).at(at))?;
                keep_first(&mut draft.id, id);
            }
            "status" => {
                let (mut status, mut flags) = (LvStatus::empty(), LvFlags::empty());
                let mut unknown = Vec::new();
                let came = self.words(&key, &mut unknown, |word| {
                    // LVM 2.03.03 wrote this one flag here.
                    if word == "CACHE_VOL" {
                        flags |= LvFlags::CACHE_VOL;
                        return true;
                    }
                    LvStatus::from_name(word).map(|bit| status |= bit).is_some()
                })?;
                if draft.status.is_none() {
                    let came = WordOrder::of(&came, status.words(), &unknown);
                    if came.is_odd() {
                        draft.rare().came_status = came;
                    }
                    draft.status = Some(status);
                    draft.status_flags = flags;
                    if !unknown.is_empty() {
                        draft.rare().unknown_status = unknown;
                    }
                }
            }
            "flags" => {
                let (mut flags, mut is_locked) = (LvFlags::empty(), false);
                let mut unknown = Vec::new();
                let came = self.words(&key, &mut unknown, |word| {
                    is_locked |= word == WRITE_LOCKED;
                    word == WRITE_LOCKED || LvFlags::from_name(word).map(|bit| flags |= bit).is_some()
                })?;
                if draft.flags.is_none() {
                    let locked = is_locked.then_some(WRITE_LOCKED).into_iter();
                    let came = WordOrder::of(&came, locked.chain(flags.words()), &unknown);
                    if came.is_odd() {
                        draft.rare().came_flags = came;
                    }
                    draft.flags = Some(flags);
                    draft.write_locked = is_locked;
                    if !unknown.is_empty() {
                        draft.rare().unknown_flags = unknown;
                    }
                }
            }
            "tags" => keep_first(&mut draft.tags, self.tags(&key)?),
            "creation_time" => keep_first(&mut draft.creation_time, self.int64(&key)?),
            "creation_host" => {
                let host = self.string(&key)?;
                keep_first(&mut draft.creation_host, self.host(&host));
            }
            "segment_count" => keep_first(&mut draft.segment_count, self.int32(&key, 0)?),
            _ => return self.rare_lv_key(key, draft.rare()),
        }
        Ok(())
    }

    /// The name of a host, shared with the LV before if it is the same.
    pub(super) fn host(&mut self, name: &str) -> Arc<Box<str>> {
        match &self.host {
            Some(last) if ***last == *name => last.clone(),
            _ => self.host.insert(Arc::new(name.into())).clone(),
        }
    }

    fn rare_lv_key(&mut self, key: Cow<'a, str>, rare: &mut LvRare) -> Result<(), Fault> {
        let least = i64::from(i32::MIN);
        match key.as_ref() {
            "lock_args" => keep_first(&mut rare.lock_args, self.string(&key)?.into()),
            "allocation_policy" => keep_first(&mut rare.allocation_policy, self.string(&key)?.into()),
            "profile" => keep_first(&mut rare.profile, self.string(&key)?.into()),
            "read_ahead" => keep_first(&mut rare.read_ahead, self.int(&key, -1, super::import::U32)?),
            "major" => keep_first(&mut rare.major, self.int(&key, least, i64::from(i32::MAX))?),
            "minor" => keep_first(&mut rare.minor, self.int(&key, least, i64::from(i32::MAX))?),
            _ => return self.extra(&Item::Assign(key), 4, &mut rare.extras),
        }
        Ok(())
    }
}

/// Sorts segments, insists that they follow each other from 0 on, and gives the LV's length.
fn join_segments(name: &str, segments: &mut [Segment]) -> Result<Extents, TextProblem> {
    segments.sort_by_key(Segment::start);
    let mut next = 0u32;
    for segment in segments {
        if segment.start() != next {
            return Err(TextProblem::SegmentGap {
                lv: name.to_owned(),
                found: segment.start(),
                expected: next,
            });
        }
        next =
            u32::try_from(segment.end()).map_err(|_| TextProblem::TooManyExtents { lv: name.to_owned() })?;
    }
    Ok(Extents::new(next))
}
