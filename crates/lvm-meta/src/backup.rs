//! The form of the metadata text in LVM's backup and archive files: the lines of the raw text, indented and commented,
//! behind the header block.
//!
//! A file is made of the raw text, not of a parsed VG: so every type of segment and every unknown key comes out as
//! LVM prints it, and a backup of a text that somebody else wrote is a backup of that text.  [`Vg::parse`](crate::Vg::parse)
//! reads both forms.  Reference: LVM2 `lib/format_text/export.c`.

use std::fmt::Write as _;

use crate::text::{self, Item, Lexer};
use crate::{CorruptKind, Error, Part, Provenance, TextProblem};

/// Tabs before the deepest lines.
const DEEPEST: usize = 5;
/// Tabs to the column of comments.
const COMMENT_COLUMN: usize = 6;

/// Prints a raw text (of a disk, the closing NUL included or not) as LVM's `vgcfgbackup` does, with a header of its own.
///
/// `local_time` prints seconds since 1970 as LVM does in comments, `2026-11-23 03:38:14 +0000`.  The section of a VG that is
/// not laid out in lines as LVM writes them is taken over as it is: the file reads as the same VG.
///
/// # Errors
/// [`Error::Corrupt`] when the text holds no section, or breaks the grammar.
pub fn backup_text(
    raw: &[u8],
    provenance: &Provenance,
    local_time: &dyn Fn(u64) -> String,
) -> Result<Vec<u8>, Error> {
    let raw = text::without_nul(raw);
    if let Ok(text) = std::str::from_utf8(raw) {
        return file_of(text, provenance, local_time).map(String::into_bytes);
    }
    let hidden = text::hide(raw).ok_or_else(|| layout("it is not UTF-8"))?;
    file_of(&hidden, provenance, local_time).map(|file| text::unhide(&file))
}

fn file_of(text: &str, provenance: &Provenance, local_time: &dyn Fn(u64) -> String) -> Result<String, Error> {
    laid_out(text, provenance, local_time).or_else(|error| {
        let mut out = String::with_capacity(text.len().saturating_add(1024));
        provenance.print(&mut out);
        out.push_str(vg_section(text).ok_or(error)?);
        out.push('\n');
        Ok(out)
    })
}

/// The first section of a text whose grammar is right.
fn vg_section(text: &str) -> Option<&str> {
    let mut lexer = Lexer::new(text);
    let mut found = None;
    loop {
        match lexer.item().ok()? {
            Item::Assign(key) => lexer.skip_value(&key).ok()?,
            Item::Open(_) => {
                let start = lexer.item_at();
                lexer.skip_section(1).ok()?;
                found = found.or(text.get(start..lexer.at()));
            }
            Item::Close => return None,
            Item::End => return found,
        }
    }
}

fn laid_out(
    text: &str,
    provenance: &Provenance,
    local_time: &dyn Fn(u64) -> String,
) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len().saturating_mul(3) / 2);
    provenance.print(&mut out);
    let mut printer = Printer {
        out,
        sections: Vec::new(),
        extent_size: 0,
        local_time,
    };
    let mut lines = text.lines();
    loop {
        let line = lines.next().ok_or_else(|| layout("a section does not end"))?;
        printer.line(line)?;
        match (printer.sections.is_empty(), line) {
            // Behind the VG's section stands the header, which a file has in front.
            (true, "}") => return Ok(printer.out),
            (true, _) => return Err(layout("it does not begin with a section")),
            (false, _) => {}
        }
    }
}

fn layout(what: &'static str) -> Error {
    Error::Corrupt {
        part: Part::Text,
        at: 0,
        kind: CorruptKind::Text(TextProblem::Layout(what)),
    }
}

/// What a line opens, a section or a list, if it does.
fn opened(line: &str) -> Option<&str> {
    line.strip_suffix(" {").or_else(|| line.strip_suffix(" = ["))
}

/// Is it a line as LVM writes them: a bracket alone or at the end, a key with a value, strings and lists that end in it?
///
/// Anything else could be a section that is not seen as one.
fn is_plain(line: &str) -> bool {
    let line = line.trim_start_matches('\t');
    if matches!(line, "}" | "]") {
        return true;
    }
    let line = opened(line).unwrap_or(line);
    let (mut inside, mut escaped, mut lists) = (false, false, 0_i32);
    for byte in line.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ if inside => {}
            b'{' | b'}' | b'#' | b'\'' => return false,
            b'[' => lists = lists.saturating_add(1),
            b']' if lists == 0 => return false,
            b']' => lists = lists.saturating_sub(1),
            _ => {}
        }
    }
    !inside && lists == 0
}

/// A section or list that is open.
struct Section<'a> {
    name: &'a str,
    /// The type of a segment, without its flags.
    kind: &'a str,
}

struct Printer<'a, 't> {
    out: String,
    sections: Vec<Section<'t>>,
    /// Sectors.
    extent_size: u64,
    local_time: &'a dyn Fn(u64) -> String,
}

impl<'t> Printer<'_, 't> {
    fn line(&mut self, line: &'t str) -> Result<(), Error> {
        if line.is_empty() {
            self.out.push('\n');
            return Ok(());
        }
        if !is_plain(line) {
            return Err(layout("a line holds more than one thing"));
        }
        if matches!(line.trim_start_matches('\t'), "}" | "]") {
            self.sections
                .pop()
                .ok_or_else(|| layout("a section ends that did not begin"))?;
            self.indented(line);
        } else if let Some(name) = opened(line) {
            self.indented(line);
            self.sections.push(Section { name, kind: "" });
        } else {
            let indent = self.indented(line);
            if let Some(comment) = self.comment(line) {
                self.put_comment(indent, line, &comment);
            }
        }
        self.out.push('\n');
        Ok(())
    }

    /// Appends a line behind its tabs and tells their number.
    fn indented(&mut self, line: &str) -> usize {
        // What LVM prints in configuration style, `key=value`, brings the tabs of its own levels along, also on disk.
        let own = line.bytes().take_while(|byte| *byte == b'\t').count();
        let indent = self.sections.len().saturating_sub(own).min(DEEPEST);
        self.out.extend(std::iter::repeat_n('\t', indent));
        self.out.push_str(line);
        indent
    }

    fn put_comment(&mut self, indent: usize, line: &str, comment: &str) {
        let width = line.len().saturating_add(indent.saturating_mul(8));
        let reached = width / 8;
        let tabs = COMMENT_COLUMN.saturating_sub(reached.saturating_add(1)).max(1);
        self.out.extend(std::iter::repeat_n('\t', tabs));
        self.out.push_str("# ");
        self.out.push_str(comment);
    }

    /// What LVM says of a line, by its key and the section that it stands in.
    fn comment(&mut self, line: &'t str) -> Option<String> {
        let (key, value) = line.split_once(" = ")?;
        let (depth, parent) = (
            self.sections.len(),
            self.sections
                .get(1)
                .map(|section| section.name)
                .unwrap_or_default(),
        );
        let number = || value.parse::<u64>().ok();
        let extents = |count: u64| Some(size(count.saturating_mul(self.extent_size)));
        match (depth, parent, key) {
            (1, _, "format") => Some("informational".into()),
            (1, _, "extent_size") => {
                self.extent_size = number()?;
                Some(size(self.extent_size))
            }
            (3, "physical_volumes", "device") => Some("Hint only".into()),
            (3, "physical_volumes", "dev_size" | "ba_size") => Some(size(number()?)),
            (3, "physical_volumes", "pe_count") => extents(number()?),
            (3, _, "creation_time" | "removal_time") => Some((self.local_time)(number()?)),
            (3, "logical_volumes", "read_ahead") if value == "-1" => Some("None".into()),
            (4, "logical_volumes", "type") => {
                let kind = value.trim_matches('"').split('+').next().unwrap_or_default();
                self.sections.last_mut()?.kind = kind;
                None
            }
            (4, "logical_volumes", "extent_count" | "reshape_count") => extents(number()?),
            (4, "logical_volumes", _) => match (self.sections.last()?.kind, key) {
                ("striped", "stripe_count") if value == "1" => Some("linear".into()),
                ("striped", "stripe_size") | ("thin-pool", "chunk_size") | ("vdo-pool", "header_size") => {
                    Some(size(number()?))
                }
                ("mirror", "extents_moved") | ("vdo-pool", "virtual_extents") => extents(number()?),
                ("vdo-pool", "block_map_cache_size_mb" | "index_memory_size_mb" | "slab_size_mb") => {
                    Some(size(number()?.saturating_mul(2048)))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Sectors in the largest unit that they fill more than once, with six digits as C's `%g` prints them.
fn size(sectors: u64) -> String {
    const UNITS: [&str; 6] = [
        "Kilobytes",
        "Megabytes",
        "Gigabytes",
        "Terabytes",
        "Petabytes",
        "Exabytes",
    ];
    let mut value = exact(sectors) / 2.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while value > 1024.0
        && let Some(larger) = units.next()
    {
        value /= 1024.0;
        unit = larger;
    }
    let whole_digits = value.max(1.0).log10().floor();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, "{value:.*}", digits_after_point(whole_digits));
    if text.contains('.') {
        let length = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(length);
    }
    text.push(' ');
    text.push_str(unit);
    text
}

#[expect(
    clippy::as_conversions,
    reason = "rounds to 53 bits, as C's conversion to double does"
)]
fn exact(sectors: u64) -> f64 {
    sectors as f64
}

/// Six digits in all.
fn digits_after_point(whole_digits: f64) -> usize {
    (0..=5_u8)
        .rev()
        .find(|digits| whole_digits <= f64::from(5_u8.saturating_sub(*digits)))
        .map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_c_says_them() {
        for (sectors, said) in [
            (0, "0 Kilobytes"),
            (1, "0.5 Kilobytes"),
            (2048, "1024 Kilobytes"),
            (2050, "1.00098 Megabytes"),
            (8192, "4 Megabytes"),
            (516_096, "252 Megabytes"),
            (2_097_153, "1 Gigabytes"),
            (2_000_000_000, "953.674 Gigabytes"),
            (u64::MAX, "8192 Exabytes"),
        ] {
            assert_eq!(size(sectors), said, "{sectors}");
        }
    }

    #[test]
    fn lines_are_indented_by_their_level_once() {
        let raw = "vg {\nextent_size = 8192\n\nlogical_volumes {\n\nc {\nread_ahead = -1\n\nsegment1 {\n\
                   extent_count = 3\n\ntype = \"cache-pool+METADATA_FORMAT\"\nchunk_size = 128\n\
                   policy_settings {\n\tmigration_threshold=2048\n\tdeep {\n\t\ta=1\n\t}\n}\n\n\
                   message1 {\ndelete = 9\n}\n}\n}\n}\n}\n# Generated by\0";
        let file = "vg {\n\textent_size = 8192\t\t# 4 Megabytes\n\n\tlogical_volumes {\n\n\t\tc {\n\
                    \t\t\tread_ahead = -1\t# None\n\n\t\t\tsegment1 {\n\
                    \t\t\t\textent_count = 3\t# 12 Megabytes\n\n\t\t\t\ttype = \"cache-pool+METADATA_FORMAT\"\n\
                    \t\t\t\tchunk_size = 128\n\t\t\t\tpolicy_settings {\n\t\t\t\t\tmigration_threshold=2048\n\
                    \t\t\t\t\tdeep {\n\t\t\t\t\t\ta=1\n\t\t\t\t\t}\n\t\t\t\t}\n\n\
                    \t\t\t\tmessage1 {\n\t\t\t\t\tdelete = 9\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}\n}\n";
        let text = backup_text(raw.as_bytes(), &Provenance::default(), &|_| String::new()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let body = text.split_once("creation_time = 0\t# \n\n").unwrap().1;
        assert_eq!(body, file);
    }

    #[test]
    fn what_is_not_laid_out_in_lines_is_taken_over_as_it_is() {
        for inner in [
            "id = \"a\nb\"",
            "a{\nb = 1\n}",
            "a = 1 # {",
            "a = 'b'",
            "a = [ 1,\n2 ]",
            "x= [\n1\n]",
            "x =[\n1\n]",
            "x=[1,\n2]",
            "x\n= [\n\"a\"\n]",
        ] {
            let vg = format!("vg {{\n{inner}\n}}\n");
            let made = backup_text(vg.as_bytes(), &Provenance::default(), &|_| String::new()).unwrap();
            let made = String::from_utf8(made).unwrap();
            let section = |text: &str| {
                let tree = text::parse(text.as_bytes()).unwrap();
                tree.sections().next().map(|(_, section)| section.clone())
            };
            assert_eq!(section(&made), section(&vg), "{made}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_come_out_as_they_are() {
        let raw = b"vg {\nhost = \"M\xfcnchen\"\n}\n\0";
        let made = backup_text(raw, &Provenance::default(), &|_| String::new()).unwrap();
        assert!(made.ends_with(b"vg {\n\thost = \"M\xfcnchen\"\n}\n"));
    }

    #[test]
    fn what_is_no_text_of_a_vg_is_refused() {
        for raw in [
            "",
            "vg {\n",
            "}\n",
            "a = 1\n",
            "vg {\na = 1 }\n}\n",
            "vg {\na = 1 # {\n",
        ] {
            let made = backup_text(raw.as_bytes(), &Provenance::default(), &|_| String::new());
            assert!(matches!(made, Err(Error::Corrupt { .. })), "{raw:?}");
        }
    }
}
