//! Reads and prints single fields, with the bounds of each.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::Sectors;
use crate::text::{Body, Section, Value, push_key, push_quoted, push_u64, push_value};

/// Why a segment's fields cannot be what its type says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} of a segment of type {type_name:?} {problem}")]
pub struct DetailError {
    /// The type, with its `+` words.
    pub type_name: String,
    /// The key.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: DetailProblem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetailProblem {
    /// It must be there.
    #[error("is missing")]
    Missing,
    /// It is another kind of value.
    #[error("is not {0}")]
    WrongType(&'static str),
    /// It is outside its bounds.
    #[error("is {found}, outside {least} to {most}")]
    Range {
        /// Its value.
        found: i64,
        /// The least that LVM takes.
        least: u64,
        /// The most that LVM takes.
        most: u64,
    },
    /// Its value, or its number of values, does not go with the rest.
    #[error("does not go with {0}")]
    Mismatch(&'static str),
}

/// All 32-bit numbers.
pub(super) const U32: RangeInclusive<u64> = 0..=0xffff_ffff;
/// All numbers that a text can hold.
pub(super) const U64: RangeInclusive<u64> = 0..=0x7fff_ffff_ffff_ffff;

/// The fields of one segment.
pub(super) struct Fields<'a> {
    type_name: &'a str,
    section: &'a Section,
}

type Read<T> = Result<T, DetailError>;

impl<'a> Fields<'a> {
    pub(super) fn new(type_name: &'a str, section: &'a Section) -> Self {
        Self { type_name, section }
    }

    /// Tells whether the type has this word behind a `+`.
    pub(super) fn has_word(&self, word: &str) -> bool {
        self.type_name.split('+').skip(1).any(|own| own == word)
    }

    pub(super) fn error(&self, key: &'static str, problem: DetailProblem) -> DetailError {
        DetailError {
            type_name: self.type_name.into(),
            key,
            problem,
        }
    }

    fn required<T>(&self, key: &'static str, value: Option<T>) -> Read<T> {
        value.ok_or_else(|| self.error(key, DetailProblem::Missing))
    }

    pub(super) fn optional_number(&self, key: &'static str, range: RangeInclusive<u64>) -> Read<Option<u64>> {
        let Some(value) = self.section.find(key) else {
            return Ok(None);
        };
        let found = value
            .as_int()
            .ok_or_else(|| self.error(key, DetailProblem::WrongType("a whole number")))?;
        let number = u64::try_from(found).ok().filter(|number| range.contains(number));
        let (least, most) = range.into_inner();
        let outside = || self.error(key, DetailProblem::Range { found, least, most });
        number.ok_or_else(outside).map(Some)
    }

    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<u64>) -> Read<u64> {
        self.required(key, self.optional_number(key, range)?)
    }

    pub(super) fn optional_sectors(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Read<Option<Sectors>> {
        Ok(self.optional_number(key, range)?.map(Sectors::new))
    }

    pub(super) fn sectors(&self, key: &'static str, range: RangeInclusive<u64>) -> Read<Sectors> {
        self.number(key, range).map(Sectors::new)
    }

    /// A power of two of sectors; 0 is the same as nothing.
    pub(super) fn optional_power(&self, key: &'static str) -> Read<Option<Sectors>> {
        match self.optional_number(key, U32)? {
            None | Some(0) => Ok(None),
            Some(number) if number.is_power_of_two() => Ok(Some(Sectors::new(number))),
            Some(_) => Err(self.error(key, DetailProblem::WrongType("a power of two"))),
        }
    }

    /// A switch, which is on at all but 0.
    pub(super) fn flag(&self, key: &'static str) -> Read<bool> {
        Ok(self.optional_number(key, U32)?.is_some_and(|on| on != 0))
    }

    /// One of a few words, in upper or lower case.
    pub(super) fn optional_word(
        &self,
        key: &'static str,
        words: &[&str],
        expected: &'static str,
    ) -> Read<Option<Arc<str>>> {
        let found = self.optional_text(key)?;
        let is_known = |found: &Arc<str>| words.iter().any(|word| word.eq_ignore_ascii_case(found));
        match found.as_ref().is_none_or(is_known) {
            true => Ok(found),
            false => Err(self.error(key, DetailProblem::WrongType(expected))),
        }
    }

    /// Insists that a key is not there.
    pub(super) fn none(&self, key: &'static str, because: &'static str) -> Read<()> {
        match self.section.nodes().iter().any(|node| node.key() == key) {
            true => Err(self.error(key, DetailProblem::Mismatch(because))),
            false => Ok(()),
        }
    }

    pub(super) fn optional_text(&self, key: &'static str) -> Read<Option<Arc<str>>> {
        let Some(value) = self.section.find(key) else {
            return Ok(None);
        };
        let text = value.as_str().map(Arc::from);
        text.ok_or_else(|| self.error(key, DetailProblem::WrongType("a string")))
            .map(Some)
    }

    pub(super) fn text(&self, key: &'static str) -> Read<Arc<str>> {
        self.required(key, self.optional_text(key)?)
    }

    pub(super) fn list(&self, key: &'static str) -> Read<&'a [Value]> {
        self.required(key, self.section.find(key).map(Value::items))
    }

    /// A list of names.
    pub(super) fn names(&self, key: &'static str) -> Read<Vec<Arc<str>>> {
        let names = self.list(key)?.iter().map(|value| value.as_str().map(Arc::from));
        names
            .collect::<Option<_>>()
            .ok_or_else(|| self.error(key, DetailProblem::WrongType("a list of names")))
    }

    pub(super) fn subsection(&self, key: &str) -> Option<&'a Section> {
        self.section
            .sections()
            .find(|(own, _)| *own == key)
            .map(|(_, section)| section)
    }
}

pub(super) fn put_number(out: &mut String, key: &str, number: u64) {
    out.push_str(key);
    out.push_str(" = ");
    push_u64(out, number);
    out.push('\n');
}

pub(super) fn put_optional(out: &mut String, key: &str, number: Option<u64>) {
    if let Some(number) = number {
        put_number(out, key, number);
    }
}

/// A switch, which LVM writes only when it is on.
pub(super) fn put_flag(out: &mut String, key: &str, on: bool) {
    put_optional(out, key, on.then_some(1));
}

pub(super) fn put_text(out: &mut String, key: &str, text: &str) {
    out.push_str(key);
    out.push_str(" = ");
    push_quoted(out, text);
    out.push('\n');
}

pub(super) fn put_optional_text(out: &mut String, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        put_text(out, key, text);
    }
}

/// A list over several lines behind a blank one, an entry a line.
pub(super) fn put_list(out: &mut String, key: &str, entries: impl ExactSizeIterator<Item = String>) {
    let last = entries.len().saturating_sub(1);
    out.push('\n');
    out.push_str(key);
    out.push_str(" = [\n");
    for (at, entry) in entries.enumerate() {
        out.push_str(&entry);
        out.push_str(if at == last { "\n" } else { ",\n" });
    }
    out.push_str("]\n");
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_quoted(&mut out, text);
    out
}

/// A section in LVM's configuration style: `key=value`, a tab for each level.
pub(super) fn put_settings(out: &mut String, key: &str, section: &Section, level: usize) {
    let tabs = |out: &mut String, level| out.extend(std::iter::repeat_n('\t', level));
    tabs(out, level);
    push_key(out, key);
    out.push_str(" {\n");
    let inner = level.saturating_add(1);
    for node in section.nodes() {
        match node.body() {
            Body::Section(section) => put_settings(out, node.key(), section, inner),
            Body::Value(value) => {
                tabs(out, inner);
                push_key(out, node.key());
                out.push('=');
                push_value(out, value);
                out.push('\n');
            }
        }
    }
    tabs(out, level);
    out.push_str("}\n");
}
