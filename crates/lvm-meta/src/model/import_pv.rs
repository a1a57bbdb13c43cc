//! Text to VG: the sections of PVs, and the records of removed LVs.

use super::error::{Fault, TextProblem};
use super::extents::{ExtentMap, UsedRuns};
use super::import::{Import, keep_first, required};
use super::import_value::wrong_type;
use super::vg::History;
use super::{Pv, PvFlags, PvStatus, WordOrder, opaque};
use crate::text::{self, Body, Item};
use crate::{Extents, PvId, Sectors};

impl Import<'_> {
    pub(super) fn pvs(&mut self) -> Result<(), Fault> {
        loop {
            let item = self.lexer.item()?;
            let at = self.lexer.item_at();
            match item {
                Item::Open(key) => {
                    if key.contains('/') {
                        return Err(TextProblem::Grammar(text::TextErrorKind::PathInKey).at(at));
                    }
                    let pv = self.pv(&key)?;
                    let index = self.pvs.len();
                    self.pvs_are_numbered &= *key == format!("pv{index}");
                    let duplicate = |what, name| TextProblem::Duplicate { what, name }.at(at);
                    if self.pv_ids.insert(pv.id, index).is_some() {
                        return Err(duplicate("PV id", pv.id.to_string()));
                    }
                    if self.pv_keys.insert(key.as_ref().into(), index).is_some() {
                        return Err(duplicate("PV key", key.into_owned()));
                    }
                    self.pvs.push(pv);
                    self.used.push(UsedRuns::default());
                }
                Item::Assign(key) => return Err(wrong_type(&key, "a section", at)),
                Item::Close => return Ok(()),
                Item::End => return Err(self.unexpected_end()),
            }
        }
    }

    fn pv(&mut self, key: &str) -> Result<Pv, Fault> {
        let at = self.lexer.item_at();
        let mut id = None;
        let (mut status, mut flags, mut missing) = (None, None, PvFlags::empty());
        let (mut device, mut id_type, mut id_name, mut tags) = (None, None, None, None);
        let (mut dev_size, mut pe_start, mut pe_count) = (None, None, None);
        let (mut ba_start, mut ba_size) = (None, None);
        let (mut came_status, mut came_flags) = (WordOrder::default(), WordOrder::default());
        let (mut unknown_status, mut unknown_flags, mut extras) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let item = self.lexer.item()?;
            let at = self.lexer.item_at();
            let name = match &item {
                Item::Assign(name) => name.clone(),
                Item::Open(_) => {
                    self.extra(&item, 4, &mut extras)?;
                    continue;
                }
                Item::Close => break,
                Item::End => return Err(self.unexpected_end()),
            };
            match name.as_ref() {
                "id" => {
                    let found = PvId::parse(&self.string(&name)?);
                    keep_first(&mut id, found.map_err(|error| TextProblem::Id(error).at(at))?);
                }
                "device" => {
                    let path = self.string(&name)?;
                    keep_first(
                        &mut device,
                        Some(path.as_ref()).filter(|path| !path.is_empty()).map(Box::from),
                    );
                }
                "device_id_type" => keep_first(&mut id_type, Box::from(self.string(&name)?)),
                "device_id" => keep_first(&mut id_name, Box::from(self.string(&name)?)),
                "status" => {
                    let (mut bits, mut unknown, mut marked) =
                        (PvStatus::empty(), Vec::new(), PvFlags::empty());
                    let came = self.words(&name, &mut unknown, |word| {
                        let (bit, flag) = (PvStatus::from_name(word), PvFlags::from_name(word));
                        bits |= bit.unwrap_or_default();
                        marked |= flag.unwrap_or_default();
                        bit.is_some() || flag.is_some()
                    })?;
                    if status.is_none() {
                        came_status = WordOrder::of(&came, bits.words(), &unknown);
                        (status, unknown_status, missing) = (Some(bits), unknown, marked);
                    }
                }
                "flags" => {
                    let (mut bits, mut unknown) = (PvFlags::empty(), Vec::new());
                    let came = self.words(&name, &mut unknown, |word| {
                        PvFlags::from_name(word).map(|bit| bits |= bit).is_some()
                    })?;
                    if flags.is_none() {
                        came_flags = WordOrder::of(&came, bits.words(), &unknown);
                        (flags, unknown_flags) = (Some(bits), unknown);
                    }
                }
                "tags" => keep_first(&mut tags, self.tags(&name)?),
                "dev_size" => keep_first(&mut dev_size, Sectors::new(self.int64(&name)?)),
                "pe_start" => keep_first(&mut pe_start, Sectors::new(self.int64(&name)?)),
                "pe_count" => keep_first(&mut pe_count, Extents::new(self.int32(&name, 0)?)),
                "ba_start" => keep_first(&mut ba_start, Sectors::new(self.int64(&name)?)),
                "ba_size" => keep_first(&mut ba_size, Sectors::new(self.int64(&name)?)),
                _ => self.extra(&item, 4, &mut extras)?,
            }
        }
        let zero = |size: &Option<Sectors>| size.is_none_or(|size| size.get() == 0);
        if zero(&ba_start) != zero(&ba_size) {
            let (first, second) = ("ba_start", "ba_size");
            let section = key.to_owned();
            return Err(TextProblem::Half {
                section,
                first,
                second,
            }
            .at(at));
        }
        Ok(Pv {
            key: key.into(),
            id: required(id, key, "id", at)?,
            device: device.flatten(),
            device_id: id_type.zip(id_name),
            status: required(status, key, "status", at)?,
            flags: flags.unwrap_or_default() | missing,
            unknown_status,
            unknown_flags,
            came_status,
            came_flags,
            tags: tags.unwrap_or_default(),
            dev_size,
            pe_start: required(pe_start, key, "pe_start", at)?,
            pe_count: required(pe_count, key, "pe_count", at)?,
            bootloader: ba_start.zip(ba_size).filter(|(start, _)| start.get() != 0),
            extras,
            map: ExtentMap::default(),
        })
    }

    /// Keeps the records of removed LVs as text, with the LVs that they name.
    pub(super) fn history(&mut self) -> Result<History, Fault> {
        let from = self.lexer.at();
        let mut names = std::collections::HashSet::new();
        loop {
            let item = self.lexer.item()?;
            let at = self.lexer.item_at();
            match &item {
                Item::Open(_) => {
                    let body = text::parse_body(&mut self.lexer, &item, 3, &mut self.nodes)?;
                    if let Body::Section(record) = body {
                        let values = ["origin", "descendants"].map(|key| record.find(key));
                        names.extend(
                            values
                                .iter()
                                .flatten()
                                .flat_map(|value| value.strings())
                                .map(Box::from),
                        );
                    }
                }
                Item::Assign(key) => return Err(wrong_type(key, "a section", at)),
                Item::Close => {
                    let body = self.lexer.text().get(from..at).unwrap_or_default();
                    let body = body.strip_prefix('\n').unwrap_or(body);
                    let body = opaque::disk_form(body.trim_end_matches('\t').to_owned()).into();
                    return Ok(History { body, names });
                }
                Item::End => return Err(self.unexpected_end()),
            }
        }
    }
}
