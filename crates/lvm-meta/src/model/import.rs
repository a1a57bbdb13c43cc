//! Text to VG: the section of the VG.
//!
//! LVs are read straight from the lexer into the model: a text holds few PVs but may hold 100 000 LVs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::batch::Batch;
use super::error::{Fault, TextProblem};
use super::extents::{ExtentMap, Overlap, UsedRuns};
use super::flags::WRITE_LOCKED;
use super::import_value::wrong_type;
use super::lvs::Lvs;
use super::vg::{History, PvIndex};
use super::{Pv, Refusal, Tags, Vg, VgFlags, VgStatus, WordOrder};
use crate::text::{self, Item, Lexer, NODE_LIMIT, Node};
use crate::{CorruptKind, Error, ExtentSize, Part, VgId, VgName};

/// What `contents` must say.
pub(super) const CONTENTS: &str = "Text Format Volume Group";
/// The longest name that a reader looks for at the start of a text.
const NAME_LIMIT: usize = 127;
/// Largest number in a 32-bit field.
pub(super) const U32: i64 = 0xffff_ffff;

/// The state of reading one text.
pub(super) struct Import<'a> {
    pub(super) lexer: Lexer<'a>,
    /// Nodes that may still be made for what is kept as a tree.
    pub(super) nodes: usize,
    pub(super) pvs: Vec<Pv>,
    pub(super) pv_keys: HashMap<Box<str>, usize>,
    /// Their keys are `pv0`, `pv1` and so on, as LVM writes them.
    pub(super) pvs_are_numbered: bool,
    pub(super) pv_ids: PvIndex,
    /// Runs of extents in use, for each PV.
    pub(super) used: Vec<UsedRuns>,
    /// As [`Import::used`], of the LV that is read.
    pub(super) runs: Vec<(usize, u32, u32)>,
    /// An LV was read that may name others, or hold what we do not know.
    pub(super) has_odd_lv: bool,
    /// LVs that were read last.
    pub(super) batch: Batch,
    /// The host that made the last LV: most often the same for all.
    pub(super) host: Option<Arc<Box<str>>>,
    pub(super) blocked: Option<Refusal>,
}

impl Vg {
    /// Parses a VG's metadata text: from a disk, its NUL included, or from a backup file.
    ///
    /// Applies every rule that LVM applies when it reads a text, and refuses besides: numbers that do not fit
    /// their field, illegal and duplicate names and ids, extents with two owners, and LVs that stand on
    /// themselves.  Never panics; memory is bounded by the input.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with [`Part::Text`] and the byte in the text.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let bytes = text::without_nul(text);
        let mut blocked = None;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => text::hide(bytes).map_or_else(
                || {
                    blocked = Some(Refusal::NotText);
                    String::from_utf8_lossy(bytes)
                },
                Cow::Owned,
            ),
        };
        let has_raw_bytes = matches!(text, Cow::Owned(_)) && blocked.is_none();
        let mut import = Import {
            lexer: Lexer::new(&text),
            nodes: NODE_LIMIT,
            pvs: Vec::new(),
            pv_keys: HashMap::new(),
            pvs_are_numbered: true,
            pv_ids: PvIndex::default(),
            used: Vec::new(),
            runs: Vec::new(),
            has_odd_lv: false,
            batch: Batch::default(),
            host: None,
            blocked,
        };
        let read = import.file().map(|mut vg| {
            vg.has_raw_bytes = has_raw_bytes;
            vg
        });
        read.map_err(|fault| {
            let before = text.get(..fault.at).filter(|_| has_raw_bytes);
            let at = before.map_or(fault.at, |before| text::unhide(before).len());
            Error::Corrupt {
                part: Part::Text,
                at: u64::try_from(at).unwrap_or(u64::MAX),
                kind: CorruptKind::Text(fault.problem),
            }
        })
    }

    /// Reads the VG's name at the start of a text from a disk, without parsing the rest.
    ///
    /// # Errors
    /// [`Error::Name`] when no legal name of at most 127 bytes stands there.
    pub fn peek_name(text: &[u8]) -> Result<String, Error> {
        let head = text.get(..NAME_LIMIT).unwrap_or(text);
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(*byte, b'{' | 0 | 0x0b);
        let name = head.split(ends).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        Ok(VgName::parse(&name)?.as_str().to_owned())
    }
}

/// Fills a slot that is still empty: of two equal keys the first one counts.
pub(super) fn keep_first<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

/// The value of a key that must be there.
pub(super) fn required<T>(slot: Option<T>, section: &str, key: &'static str, at: usize) -> Result<T, Fault> {
    slot.ok_or_else(|| {
        let section = section.to_owned();
        TextProblem::Missing { section, key }.at(at)
    })
}

/// The keys of a VG's section.
#[derive(Default)]
struct Head {
    id: Option<VgId>,
    seqno: Option<u32>,
    status: Option<VgStatus>,
    flags: Option<VgFlags>,
    unknown_status: Vec<Box<str>>,
    unknown_flags: Vec<Box<str>>,
    came_status: WordOrder,
    came_flags: WordOrder,
    write_locked: bool,
    tags: Option<Tags>,
    system_id: Option<Box<str>>,
    lock_type: Option<Box<str>>,
    lock_args: Option<Box<str>>,
    pr: Option<Vec<Box<str>>>,
    extent_size: Option<ExtentSize>,
    max_lv: Option<u32>,
    max_pv: Option<u32>,
    allocation_policy: Option<Box<str>>,
    profile: Option<Box<str>>,
    metadata_copies: Option<u32>,
    extras: Vec<Node>,
    has_pvs: bool,
    lvs: Option<Lvs>,
    history: Option<History>,
}

impl<'a> Import<'a> {
    pub(super) fn block(&mut self, reason: Refusal) {
        keep_first(&mut self.blocked, reason);
    }

    /// The whole text: the VG, and the header block before or behind it.
    fn file(&mut self) -> Result<Vg, Fault> {
        let mut contents = None;
        let mut version = None;
        let mut vg = None;
        loop {
            let item = self.lexer.item()?;
            let at = self.lexer.item_at();
            match item {
                Item::Assign(key) if key == "contents" => keep_first(&mut contents, self.string(&key)?),
                Item::Assign(key) if key == "version" => {
                    keep_first(&mut version, self.int(&key, 0, i64::MAX)?)
                }
                Item::Assign(key) => self.lexer.skip_value(&key)?,
                // Of two VGs in one text the first one counts.
                Item::Open(_) if vg.is_some() => self.lexer.skip_section(1)?,
                Item::Open(name) => {
                    VgName::parse(&name).map_err(|error| TextProblem::Name(error).at(at))?;
                    vg = Some(self.vg(&name)?);
                }
                Item::Close => return Err(TextProblem::Grammar(text::TextErrorKind::UnexpectedBrace).at(at)),
                Item::End => break,
            }
        }
        let format = |key, found: Option<String>, expected| {
            let found = found.unwrap_or_else(|| "missing".to_owned());
            TextProblem::Format { key, found, expected }.at(0)
        };
        if contents.as_deref() != Some(CONTENTS) {
            return Err(format("contents", contents.map(Cow::into_owned), CONTENTS));
        }
        if version != Some(1) {
            return Err(format("version", version.map(|version| version.to_string()), "1"));
        }
        vg.ok_or_else(|| TextProblem::NoVg.at(0))
    }

    fn vg(&mut self, name: &str) -> Result<Vg, Fault> {
        let at = self.lexer.item_at();
        let mut head = Head::default();
        // LVs name PVs by their keys, so they are read after the PVs wherever they stand.
        let mut postponed = None;
        loop {
            match self.lexer.item()? {
                Item::Assign(key) => self.vg_key(key, &mut head)?,
                Item::Open(key) => match key.as_ref() {
                    "physical_volumes" if !head.has_pvs => {
                        head.has_pvs = true;
                        self.pvs()?;
                    }
                    "logical_volumes" if head.lvs.is_none() && postponed.is_none() => {
                        if head.has_pvs {
                            head.lvs = Some(self.lvs()?);
                        } else {
                            postponed = Some(self.lexer.clone());
                            self.lexer.skip_section(2)?;
                        }
                    }
                    "historical_logical_volumes" if head.history.is_none() => {
                        head.history = Some(self.history()?)
                    }
                    "physical_volumes" | "logical_volumes" | "historical_logical_volumes" => {
                        self.lexer.skip_section(2)?;
                    }
                    _ => self.extra(&Item::Open(key), 2, &mut head.extras)?,
                },
                Item::Close => break,
                Item::End => return Err(self.unexpected_end()),
            }
        }
        if !head.has_pvs {
            return required(None, name, "physical_volumes", at);
        }
        if let Some(lexer) = postponed {
            let behind = std::mem::replace(&mut self.lexer, lexer);
            head.lvs = Some(self.lvs()?);
            self.lexer = behind;
        }
        self.finish(name, head, at)
    }

    fn vg_key(&mut self, key: Cow<'a, str>, head: &mut Head) -> Result<(), Fault> {
        let at = self.lexer.item_at();
        match key.as_ref() {
            "id" => {
                let id = VgId::parse(&self.string(&key)?).map_err(|error| TextProblem::Id(error).at(at))?;
                keep_first(&mut head.id, id);
            }
            "seqno" => keep_first(&mut head.seqno, self.int32(&key, 0)?),
            "format" => {
                let found = self.string(&key)?;
                if found != "lvm2" && found != "text" {
                    let found = found.into_owned();
                    let expected = "lvm2";
                    return Err(TextProblem::Format {
                        key: "format",
                        found,
                        expected,
                    }
                    .at(at));
                }
            }
            "status" => {
                let mut status = VgStatus::empty();
                let mut unknown = Vec::new();
                let came = self.words(&key, &mut unknown, |word| {
                    // As LVM, which once wrote this, and reads over it.
                    word == "PARTIAL" || VgStatus::from_name(word).map(|bit| status |= bit).is_some()
                })?;
                if head.status.is_none() {
                    head.came_status = WordOrder::of(&came, status.words(), &unknown);
                    head.status = Some(status);
                    head.unknown_status = unknown;
                }
            }
            "flags" => {
                let mut flags = VgFlags::empty();
                let mut unknown = Vec::new();
                let mut write_locked = false;
                let came = self.words(&key, &mut unknown, |word| {
                    write_locked |= word == WRITE_LOCKED;
                    word == WRITE_LOCKED || VgFlags::from_name(word).map(|bit| flags |= bit).is_some()
                })?;
                if head.flags.is_none() {
                    let locked = write_locked.then_some(WRITE_LOCKED).into_iter();
                    head.came_flags = WordOrder::of(&came, locked.chain(flags.words()), &unknown);
                    head.flags = Some(flags);
                    head.unknown_flags = unknown;
                    head.write_locked = write_locked;
                }
            }
            "tags" => keep_first(&mut head.tags, self.tags(&key)?),
            "system_id" => keep_first(&mut head.system_id, self.string(&key)?.into()),
            "lock_type" => keep_first(&mut head.lock_type, self.string(&key)?.into()),
            "lock_args" => keep_first(&mut head.lock_args, self.string(&key)?.into()),
            "pr" => {
                let mut words = Vec::new();
                self.strings(&key, |word| words.push(word.into()))?;
                keep_first(&mut head.pr, words);
            }
            "extent_size" => {
                let size = ExtentSize::new(self.int32(&key, 1)?);
                keep_first(&mut head.extent_size, size.unwrap_or(ExtentSize::DEFAULT));
            }
            "max_lv" => keep_first(&mut head.max_lv, self.int32(&key, 0)?),
            "max_pv" => keep_first(&mut head.max_pv, self.int32(&key, 0)?),
            "allocation_policy" => keep_first(&mut head.allocation_policy, self.string(&key)?.into()),
            "profile" => keep_first(&mut head.profile, self.string(&key)?.into()),
            "metadata_copies" => keep_first(&mut head.metadata_copies, self.int32(&key, 0)?),
            "physical_volumes" | "logical_volumes" | "historical_logical_volumes" => {
                return Err(wrong_type(&key, "a section", at));
            }
            _ => return self.extra(&Item::Assign(key), 2, &mut head.extras),
        }
        Ok(())
    }

    fn finish(&mut self, name: &str, head: Head, at: usize) -> Result<Vg, Fault> {
        let mut lvs = head.lvs.unwrap_or_default();
        if self.has_odd_lv {
            lvs.link_all()
                .map_err(|(lv, name)| TextProblem::Dangling { lv, name }.at(at))?;
            if let Some(lv) = lvs.cycle() {
                return Err(TextProblem::Cycle { lv }.at(at));
            }
        }
        for (pv, used) in self.pvs.iter_mut().zip(std::mem::take(&mut self.used)) {
            let map = ExtentMap::new(pv.pe_count.get(), used);
            let overlap = |Overlap { at: extent }| {
                TextProblem::Overlap {
                    pv: pv.id,
                    at: extent,
                }
                .at(at)
            };
            pv.map = map.map_err(overlap)?;
        }
        if self.has_odd_lv && self.blocked.is_none() {
            self.blocked = lvs.iter().find_map(super::Lv::refusal);
        }
        self.number_pvs(&lvs);
        let pvs = std::mem::take(&mut self.pvs);
        let mut status = required(head.status, name, "status", at)?;
        status.set(
            VgStatus::WRITE,
            status.contains(VgStatus::WRITE) || head.write_locked,
        );
        Ok(Vg {
            name: name.into(),
            id: required(head.id, name, "id", at)?,
            seqno: required(head.seqno, name, "seqno", at)?,
            status,
            flags: head.flags.unwrap_or_default(),
            unknown_status: head.unknown_status,
            unknown_flags: head.unknown_flags,
            came_status: head.came_status,
            came_flags: head.came_flags,
            tags: head.tags.unwrap_or_default(),
            system_id: head.system_id.filter(|id| !id.is_empty()),
            lock_type: head.lock_type,
            lock_args: head.lock_args,
            pr: head.pr.unwrap_or_default(),
            extent_size: required(head.extent_size, name, "extent_size", at)?,
            max_lv: required(head.max_lv, name, "max_lv", at)?,
            max_pv: required(head.max_pv, name, "max_pv", at)?,
            allocation_policy: head.allocation_policy,
            profile: head.profile,
            metadata_copies: head.metadata_copies.unwrap_or_default(),
            extras: head.extras,
            pv_index: std::mem::take(&mut self.pv_ids),
            pvs,
            lvs,
            history: head.history,
            has_raw_bytes: false,
            blocked: self.blocked.take(),
        })
    }

    /// Gives the PVs the keys that LVM would write; what is kept as text must not name others.
    fn number_pvs(&mut self, lvs: &Lvs) {
        let mut has_moved = false;
        for (at, pv) in self.pvs.iter_mut().enumerate() {
            let key = format!("pv{at}");
            has_moved |= *pv.key != *key;
            pv.key = key.into();
        }
        let holds_keys = |lv: &&super::Lv| {
            lv.segments().iter().any(|segment| match segment.kind() {
                super::SegmentKind::Other(other) => !other.pv_areas().is_empty(),
                _ => false,
            })
        };
        if has_moved && let Some(lv) = lvs.iter().find(holds_keys) {
            let lv = lv.name().to_owned();
            self.block(Refusal::UnusualPvKeys { lv });
        }
    }
}
