//! VG to text, byte for byte as LVM writes it to a disk.

use super::flags::WRITE_LOCKED;
use super::import::CONTENTS;
use super::segment::SegmentRare;
use super::{Area, Lv, LvStatus, Pv, Segment, SegmentKind, Tags, Vg, VgStatus, WordOrder};
use crate::text::{self, Node, push_quoted, push_u64};

/// Who wrote a text, when and where: the block behind the VG.
///
/// Nothing reads it but people.  It must be the same for all copies of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Provenance {
    /// What was done, such as `Write from lvcreate -n data vg0.`
    pub description: String,
    /// The host's name.
    pub creation_host: String,
    /// The host in the words of `uname`, such as `Linux n1 6.1.0 #1 SMP x86_64`.
    pub host_uname: String,
    /// Seconds since 1970.
    pub creation_time: u64,
    /// The same as C's `ctime` prints it, such as `Mon Nov 23 03:21:03 2026`.
    pub creation_ctime: String,
    /// Who wrote, such as `LVM2 version 2.03.16(2) (2022-05-18)`.
    pub tool_version: String,
    /// The host's system id, if it has one.
    #[cfg_attr(feature = "serde", serde(rename = "creation_host_system_id"))]
    pub system_id: Option<String>,
}

/// Bytes of text that most LVs do not pass.
const LV_GUESS: usize = 640;

pub(super) struct Printer<'a> {
    pub(super) out: String,
    pub(super) vg: &'a Vg,
}

impl Vg {
    /// Prints the text for a disk, header block and terminating NUL included.
    ///
    /// Equal VGs and provenances give equal bytes, and those that LVM writes for the same VG.
    pub fn print_raw(&self, provenance: &Provenance) -> Vec<u8> {
        let mut printer = Printer {
            out: String::with_capacity(self.guess_length()),
            vg: self,
        };
        printer.whole(provenance, Printer::lvs);
        match self.has_raw_bytes {
            true => text::unhide(&printer.out),
            false => printer.out.into_bytes(),
        }
    }

    /// Bytes that the text has at most, most of the time.
    pub(super) fn guess_length(&self) -> usize {
        self.lv_count().saturating_mul(LV_GUESS).saturating_add(4096)
    }
}

/// A text without the characters that would end its line or the whole text.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl Printer<'_> {
    /// The whole text, its closing NUL included; `lvs` prints all LVs.
    pub(super) fn whole(&mut self, provenance: &Provenance, lvs: impl FnOnce(&mut Self)) {
        self.vg(lvs);
        provenance.print(&mut self.out);
        self.out.push('\0');
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A line `KEY = NUMBER`; `key` ends in the equals sign and its blanks, as in all of these.
    fn number(&mut self, key: &str, number: u64) {
        self.out.push_str(key);
        push_u64(&mut self.out, number);
        self.out.push('\n');
    }

    fn signed(&mut self, key: &str, number: i64) {
        self.line(&format!("{key}{number}"));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.out.push_str(key);
        push_quoted(&mut self.out, text);
        self.out.push('\n');
    }

    fn optional(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// 32 characters in their groups; faster than through `Display`.
    fn id(&mut self, id: &str) {
        self.out.push_str("id = \"");
        for range in [0..6, 6..10, 10..14, 14..18, 18..22, 22..26] {
            self.out.push_str(id.get(range).unwrap_or_default());
            self.out.push('-');
        }
        self.out.push_str(id.get(26..).unwrap_or_default());
        self.line("\"");
    }

    fn list<'a>(&mut self, key: &str, words: impl IntoIterator<Item = &'a str>) {
        self.out.push_str(key);
        self.out.push('[');
        for (at, word) in words.into_iter().enumerate() {
            self.out.push_str(if at == 0 { "" } else { ", " });
            push_quoted(&mut self.out, word);
        }
        self.line("]");
    }

    /// The words that we know, then those that we do not; all in the order in which they came, if that is kept, and then
    /// those that are new.
    fn words(
        &mut self,
        key: &str,
        known: impl Iterator<Item = &'static str>,
        unknown: &[Box<str>],
        came: Option<&WordOrder>,
    ) {
        let known = known.map(|word| -> &str { word });
        let words = known.chain(unknown.iter().map(AsRef::as_ref));
        match came.filter(|came| came.is_odd()) {
            Some(came) => {
                let mut words: Vec<&str> = words.collect();
                words.sort_by_key(|word| came.place(word));
                self.list(key, words);
            }
            None => self.list(key, words),
        }
    }

    fn tags(&mut self, tags: &Tags) {
        if !tags.is_empty() {
            self.out.push_str("tags = ");
            tags.print(&mut self.out);
            self.out.push('\n');
        }
    }

    fn extras(&mut self, extras: &[Node]) {
        for node in extras {
            node.print(&mut self.out);
        }
    }

    fn vg(&mut self, lvs: impl FnOnce(&mut Self)) {
        let vg = self.vg;
        let locked = vg.is_write_locked() && vg.status.contains(VgStatus::WRITE);
        let status = if locked {
            vg.status.difference(VgStatus::WRITE)
        } else {
            vg.status
        };
        self.out.push_str(&vg.name);
        self.line(" {");
        self.id(vg.id.as_str());
        self.number("seqno = ", u64::from(vg.seqno));
        self.line("format = \"lvm2\"");
        self.words(
            "status = ",
            status.words(),
            &vg.unknown_status,
            Some(&vg.came_status),
        );
        let locked = locked.then_some(WRITE_LOCKED).into_iter();
        self.words(
            "flags = ",
            locked.chain(vg.flags.words()),
            &vg.unknown_flags,
            Some(&vg.came_flags),
        );
        self.tags(&vg.tags);
        self.optional("system_id = ", vg.system_id());
        self.optional("lock_type = ", vg.lock_type());
        if vg.lock_type.is_some() {
            self.optional("lock_args = ", vg.lock_args.as_deref());
        }
        if !vg.pr.is_empty() {
            // The one list that LVM writes with blanks inside its brackets.
            self.out.push_str("pr = [ ");
            for (at, word) in vg.pr.iter().enumerate() {
                self.out.push_str(if at == 0 { "" } else { ", " });
                push_quoted(&mut self.out, word);
            }
            self.line(" ]");
        }
        self.number("extent_size = ", u64::from(vg.extent_size.sectors()));
        self.number("max_lv = ", u64::from(vg.max_lv));
        self.number("max_pv = ", u64::from(vg.max_pv));
        if !matches!(vg.allocation_policy(), "normal" | "inherit") {
            self.line("");
            self.text("allocation_policy = ", vg.allocation_policy());
        }
        self.optional("profile = ", vg.profile.as_deref());
        self.number("metadata_copies = ", u64::from(vg.metadata_copies));
        self.extras(&vg.extras);
        self.line("\nphysical_volumes {");
        for pv in &vg.pvs {
            self.pv(pv);
        }
        self.line("}\n");
        if vg.lv_count() > 0 {
            self.line("logical_volumes {");
            lvs(self);
            self.line("}");
        }
        self.line("");
        if let Some(history) = &vg.history {
            self.line("historical_logical_volumes {");
            self.out.push_str(&history.body);
            self.line("}");
        }
        self.line("}");
    }

    fn pv(&mut self, pv: &Pv) {
        self.out.push('\n');
        self.out.push_str(pv.key());
        self.line(" {");
        self.id(pv.id.as_str());
        self.text("device = ", pv.device_hint().unwrap_or_default());
        self.line("");
        if let Some((kind, name)) = pv.device_id() {
            self.text("device_id_type = ", kind);
            self.text("device_id = ", name);
        }
        self.words(
            "status = ",
            pv.status.words(),
            &pv.unknown_status,
            Some(&pv.came_status),
        );
        self.words(
            "flags = ",
            pv.flags.words(),
            &pv.unknown_flags,
            Some(&pv.came_flags),
        );
        self.tags(&pv.tags);
        if let Some(size) = pv.dev_size {
            self.number("dev_size = ", size.get());
        }
        self.number("pe_start = ", pv.pe_start.get());
        self.number("pe_count = ", u64::from(pv.pe_count.get()));
        if let Some((start, size)) = pv.bootloader {
            self.number("ba_start = ", start.get());
            self.number("ba_size = ", size.get());
        }
        self.extras(&pv.extras);
        self.line("}");
    }

    fn lvs(&mut self) {
        let vg = self.vg;
        let mut hidden = Vec::new();
        for lv in vg.lvs() {
            if vg.is_visible(lv) {
                self.lv(lv);
            } else {
                hidden.push(lv);
            }
        }
        for lv in hidden {
            self.lv(lv);
        }
    }

    pub(super) fn lv(&mut self, lv: &Lv) {
        let locked = self.vg.is_write_locked() && lv.status.contains(LvStatus::WRITE);
        let status = if locked {
            lv.status.difference(LvStatus::WRITE)
        } else {
            lv.status
        };
        let rare = lv.rare.as_deref();
        let unknown_status = rare
            .map(|rare| rare.unknown_status.as_slice())
            .unwrap_or_default();
        let unknown_flags = rare.map(|rare| rare.unknown_flags.as_slice()).unwrap_or_default();
        self.out.push('\n');
        self.out.push_str(&lv.name);
        self.line(" {");
        self.id(lv.id.as_str());
        let came_status = rare.map(|rare| &rare.came_status);
        self.words("status = ", status.words(), unknown_status, came_status);
        let locked = locked.then_some(WRITE_LOCKED).into_iter();
        let came_flags = rare.map(|rare| &rare.came_flags);
        self.words(
            "flags = ",
            locked.chain(lv.flags.words()),
            unknown_flags,
            came_flags,
        );
        self.tags(&lv.tags);
        if let Some((time, host)) = lv.creation().filter(|(time, _)| *time != 0) {
            self.number("creation_time = ", time);
            self.text("creation_host = ", host);
        }
        if let Some(rare) = rare {
            self.optional("lock_args = ", rare.lock_args.as_deref());
            self.optional(
                "allocation_policy = ",
                lv.allocation_policy().filter(|word| *word != "inherit"),
            );
            self.optional("profile = ", rare.profile.as_deref());
            if let Some(sectors) = rare.read_ahead.filter(|sectors| *sectors != 0) {
                self.signed("read_ahead = ", sectors);
            }
            for (key, number) in [("major = ", rare.major), ("minor = ", rare.minor)] {
                if let Some(number) = number.filter(|number| *number >= 0) {
                    self.signed(key, number);
                }
            }
            self.extras(&rare.extras);
        }
        let count = u64::try_from(lv.segments.len()).unwrap_or(u64::MAX);
        self.number("segment_count = ", count);
        self.line("");
        for (number, segment) in (1..).zip(&*lv.segments) {
            self.segment(number, segment);
        }
        self.line("}");
    }

    fn segment(&mut self, number: u64, segment: &Segment) {
        self.out.push_str("segment");
        push_u64(&mut self.out, number);
        self.line(" {");
        self.number("start_extent = ", u64::from(segment.start));
        self.number("extent_count = ", u64::from(segment.extents.get()));
        self.line("");
        let rare: Option<&SegmentRare> = segment.rare.as_deref();
        if let Some(count) = rare.map(|rare| rare.reshape_count).filter(|count| *count != 0) {
            self.number("reshape_count = ", u64::from(count));
        }
        match rare.map(|rare| &*rare.suffix).unwrap_or_default() {
            "" => self.text("type = ", segment.type_name()),
            suffix => self.text("type = ", &format!("{}{suffix}", segment.type_name())),
        }
        if let Some(rare) = rare {
            self.tags(&rare.tags);
        }
        match &segment.kind {
            SegmentKind::Striped(striped) => {
                self.number("stripe_count = ", u64::from(striped.stripe_count()));
                if !striped.is_linear() {
                    self.number("stripe_size = ", striped.stripe_size().get());
                }
                if let Some(rare) = rare {
                    self.extras(&rare.extras);
                }
                self.line("\nstripes = [");
                let last = striped.areas().len().saturating_sub(1);
                for (at, area) in striped.areas().iter().enumerate() {
                    self.area(area, at == last);
                }
                self.line("]");
            }
            SegmentKind::Error | SegmentKind::Zero => {
                if let Some(rare) = rare {
                    self.extras(&rare.extras);
                }
            }
            SegmentKind::Other(other) if other.body().is_empty() => {}
            SegmentKind::Other(other) => self.line(other.body()),
        }
        self.line("}");
    }

    fn area(&mut self, area: &Area, is_last: bool) {
        let (name, start) = match area {
            Area::Pv { pv, start } => (self.vg.pv(*pv).map(Pv::key).unwrap_or_default(), *start),
            Area::Lv { name, start } => (&**name, *start),
        };
        push_quoted(&mut self.out, name);
        self.out.push_str(", ");
        push_u64(&mut self.out, u64::from(start));
        self.line(if is_last { "" } else { "," });
    }
}

impl Provenance {
    /// Appends the header block.
    pub(crate) fn print(&self, out: &mut String) {
        let mut text = |key: &str, value: &str| {
            out.push_str(key);
            push_quoted(out, value);
            out.push('\n');
        };
        let (tool, time) = (one_line(&self.tool_version), one_line(&self.creation_ctime));
        text(&format!("# Generated by {tool}: {time}\n\ncontents = "), CONTENTS);
        text("version = 1\n\ndescription = ", &one_line(&self.description));
        out.push_str("\ncreation_host = ");
        push_quoted(out, &one_line(&self.creation_host));
        out.push_str(&format!("\t# {}\n", one_line(&self.host_uname)));
        if let Some(id) = &self.system_id {
            out.push_str("creation_host_system_id = ");
            push_quoted(out, &one_line(id));
            out.push('\n');
        }
        out.push_str(&format!("creation_time = {}\t# {time}\n\n", self.creation_time));
    }
}
