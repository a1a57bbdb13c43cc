//! Text to VG: the values behind keys.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Tags;
use super::error::{Fault, TextProblem};
use super::import::{Import, U32};
use crate::text::{self, Item, Node, Scalar};

impl<'a> Import<'a> {
    /// A number between `min` and `max`.
    pub(super) fn int(&mut self, key: &str, min: i64, max: i64) -> Result<i64, Fault> {
        let at = self.lexer.item_at();
        let mut found = None;
        self.lexer.value(key, |scalar| {
            match scalar {
                Scalar::Int(number) if found.is_none() => found = Some(number),
                _ => return Err(wrong_type(key, "a whole number", at)),
            }
            Ok(())
        })?;
        let found = found.ok_or_else(|| wrong_type(key, "a whole number", at))?;
        if (min..=max).contains(&found) {
            return Ok(found);
        }
        let limit = |bound| u64::try_from(bound).unwrap_or_default();
        Err(TextProblem::OutOfRange {
            key: key.to_owned(),
            found,
            min: limit(min),
            max: limit(max),
        }
        .at(at))
    }

    /// A number of a 32-bit field.
    pub(super) fn int32(&mut self, key: &str, min: u32) -> Result<u32, Fault> {
        let number = self.int(key, i64::from(min), U32)?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// A number of a 64-bit field.
    pub(super) fn int64(&mut self, key: &str) -> Result<u64, Fault> {
        Ok(self.int(key, 0, i64::MAX)?.unsigned_abs())
    }

    pub(super) fn string(&mut self, key: &str) -> Result<Cow<'a, str>, Fault> {
        let at = self.lexer.item_at();
        let mut found = None;
        self.lexer.value(key, |scalar| {
            match scalar {
                Scalar::Str(text) if found.is_none() => found = Some(text),
                _ => return Err(wrong_type(key, "a string", at)),
            }
            Ok(())
        })?;
        found.ok_or_else(|| wrong_type(key, "a string", at))
    }

    /// Hands over the strings of a list.
    pub(super) fn strings(&mut self, key: &str, mut each: impl FnMut(Cow<'a, str>)) -> Result<(), Fault> {
        let at = self.lexer.item_at();
        self.lexer.value(key, |scalar| match scalar {
            Scalar::Str(text) => {
                each(text);
                Ok(())
            }
            _ => Err(wrong_type(key, "a list of strings", at)),
        })?;
        Ok(())
    }

    pub(super) fn tags(&mut self, key: &str) -> Result<Tags, Fault> {
        let mut texts = Vec::new();
        self.strings(key, |text| texts.push(text))?;
        Ok(Tags::from_texts(texts.iter().map(AsRef::as_ref)))
    }

    /// Reads the words of `status` or `flags`; those that `take` leaves are kept as unknown.  Gives all, as they came.
    pub(super) fn words(
        &mut self,
        key: &str,
        unknown: &mut Vec<Box<str>>,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<Vec<Cow<'a, str>>, Fault> {
        let mut seen = HashSet::new();
        let mut came = Vec::new();
        self.strings(key, |word| {
            if !take(&word) && seen.insert(word.clone()) {
                unknown.push(word.as_ref().into());
            }
            came.push(word);
        })?;
        Ok(came)
    }

    /// Keeps what stands behind a key that we do not know, to write it back.
    pub(super) fn extra(
        &mut self,
        item: &Item<'a>,
        depth: usize,
        extras: &mut Vec<Node>,
    ) -> Result<(), Fault> {
        let (Item::Assign(key) | Item::Open(key)) = item else {
            return Ok(());
        };
        let at = self.lexer.item_at();
        if key.contains('/') {
            return Err(TextProblem::Grammar(text::TextErrorKind::PathInKey).at(at));
        }
        let body = text::parse_body(&mut self.lexer, item, depth, &mut self.nodes)?;
        extras.push(Node::new(key, body));
        Ok(())
    }

    pub(super) fn unexpected_end(&self) -> Fault {
        TextProblem::Grammar(text::TextErrorKind::UnexpectedEnd).at(self.lexer.at())
    }
}

pub(super) fn wrong_type(key: &str, expected: &'static str, at: usize) -> Fault {
    let key = key.to_owned();
    TextProblem::WrongType { key, expected }.at(at)
}
