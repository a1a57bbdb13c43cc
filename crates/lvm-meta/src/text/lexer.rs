//! The lexer: hands out items of a section and the scalars of a value, borrowed from the text.
//!
//! What a token is depends on where it stands, as in LVM's own lexer: behind `=`, `[` and `,` comes a value,
//! elsewhere a key.

use std::borrow::Cow;

use super::error::{TextError, TextErrorKind as Kind};
use super::plain::Plain;

/// LVM reads a `creation_time` that overflows as this one; old tools wrote such times.
const OVERFLOWN_TIME: i64 = 1_527_120_000;

/// A position in a text.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// First byte of the item that `item` gave last.
    item_at: usize,
}

/// One thing in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// `key =`; its value must be read next.
    Assign(Cow<'a, str>),
    /// `key {`; its items follow, up to the matching `Close`.
    Open(Cow<'a, str>),
    /// `}`.
    Close,
    /// The end of the text.
    End,
}

/// One value that is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Int(i64),
    /// As written: digits with one dot.
    Float(&'a str),
    Str(Cow<'a, str>),
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn ends_word(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'#' | b'=' | b'{' | b'}')
}

impl<'a> Lexer<'a> {
    /// Starts at the front of a text without NUL.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            item_at: 0,
        }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The next byte to read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The first byte of the last item: where errors about it point.
    pub(crate) fn item_at(&self) -> usize {
        self.item_at
    }

    /// A reader of what comes that expects it as LVM prints it.
    pub(crate) fn plain(&self) -> Plain<'a> {
        Plain::new(self.text.get(self.at..).unwrap_or_default())
    }

    /// Goes on behind what such a reader read.
    pub(crate) fn skip_to(&mut self, plain: &Plain<'a>) {
        self.at = self.text.len().saturating_sub(plain.rest().len());
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bump(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Moves to the first byte that `stop` takes, or to the end, and gives what it passed.
    fn take_until(&mut self, stop: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.iter().position(|byte| stop(*byte)).unwrap_or(rest.len());
        let from = self.at;
        self.at = from.saturating_add(len);
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            if is_blank(byte) {
                self.bump();
            } else if byte == b'#' {
                self.take_until(|byte| byte == b'\n');
            } else {
                return;
            }
        }
    }

    /// The next item of a section.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, TextError> {
        self.skip_blank();
        self.item_at = self.at;
        let key = match self.peek() {
            None => return Ok(Item::End),
            Some(b'}') => {
                self.bump();
                return Ok(Item::Close);
            }
            Some(b'"') => self.quoted()?,
            Some(b'\'') => Cow::Borrowed(self.raw_quoted()?),
            Some(_) => Cow::Borrowed(self.take_until(ends_word)),
        };
        // A key is a path: one of slashes alone names nothing.
        if key.bytes().all(|byte| byte == b'/') {
            return Err(Kind::MissingKey.at(self.item_at));
        }
        self.skip_blank();
        let item = match self.peek() {
            Some(b'=') => Item::Assign(key),
            Some(b'{') => Item::Open(key),
            Some(_) => return Err(Kind::MissingEquals.at(self.at)),
            None => return Err(Kind::UnexpectedEnd.at(self.at)),
        };
        self.bump();
        Ok(item)
    }

    /// Reads the value behind [`Item::Assign`] and hands its scalars over; true when it was a list.
    pub(crate) fn value<E: From<TextError>>(
        &mut self,
        key: &str,
        mut each: impl FnMut(Scalar<'a>) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.skip_blank();
        if self.peek() != Some(b'[') {
            each(self.scalar(key)?)?;
            return Ok(false);
        }
        self.bump();
        let mut may_take_any = true;
        loop {
            self.skip_blank();
            match self.peek() {
                Some(b']') => {
                    self.bump();
                    return Ok(true);
                }
                None => return Err(Kind::UnexpectedEnd.at(self.at).into()),
                Some(b'[') => return Err(Kind::NestedList.at(self.at).into()),
                // LVM needs no comma in front of a string, but lexes anything else there as a key.
                Some(b'"' | b'\'') => each(self.scalar(key)?)?,
                Some(_) if may_take_any => each(self.scalar(key)?)?,
                Some(_) => return Err(Kind::MissingComma.at(self.at).into()),
            }
            self.skip_blank();
            may_take_any = self.peek() == Some(b',');
            if may_take_any {
                self.bump();
            }
        }
    }

    fn scalar(&mut self, key: &str) -> Result<Scalar<'a>, TextError> {
        match self.peek() {
            Some(b'"') => self.quoted().map(Scalar::Str),
            Some(b'\'') => self.raw_quoted().map(|text| Scalar::Str(Cow::Borrowed(text))),
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') => self.number(key),
            Some(b',' | b']') | None => Err(Kind::MissingValue.at(self.at)),
            Some(_) => {
                let word = self.take_until(ends_word);
                if word.is_empty() {
                    return Err(Kind::MissingValue.at(self.at));
                }
                Ok(Scalar::Str(Cow::Borrowed(word)))
            }
        }
    }

    /// A string in double quotes: a backslash hides a quote or a backslash behind it, and nothing else.
    fn quoted(&mut self) -> Result<Cow<'a, str>, TextError> {
        let open = self.at;
        self.bump();
        let plain = self.take_until(|byte| matches!(byte, b'"' | b'\\'));
        if self.peek() == Some(b'"') {
            self.bump();
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.peek() {
                None => return Err(Kind::UnterminatedString.at(open)),
                Some(b'"') => {
                    self.bump();
                    return Ok(Cow::Owned(text));
                }
                Some(_) => {
                    self.bump();
                    match self.peek() {
                        Some(hidden @ (b'"' | b'\\')) => {
                            text.push(char::from(hidden));
                            self.bump();
                        }
                        _ => text.push('\\'),
                    }
                }
            }
            text.push_str(self.take_until(|byte| matches!(byte, b'"' | b'\\')));
        }
    }

    /// A string in single quotes: no escapes.
    fn raw_quoted(&mut self) -> Result<&'a str, TextError> {
        let open = self.at;
        self.bump();
        let text = self.take_until(|byte| byte == b'\'');
        if self.peek().is_none() {
            return Err(Kind::UnterminatedString.at(open));
        }
        self.bump();
        Ok(text)
    }

    fn number(&mut self, key: &str) -> Result<Scalar<'a>, TextError> {
        let from = self.at;
        let word = self.take_until(|byte| is_blank(byte) || matches!(byte, b'#' | b',' | b']' | b'}'));
        let bad = || Kind::BadNumber { key: key.into() }.at(from);
        let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
        let has_only = |text: &str, dots| {
            text.bytes().all(|b| b.is_ascii_digit() || (dots && b == b'.')) && !text.is_empty()
        };
        if let Some((_, fraction)) = digits.split_once('.') {
            let good = has_only(digits, true) && !fraction.contains('.') && digits.len() > 1;
            return if good { Ok(Scalar::Float(word)) } else { Err(bad()) };
        }
        if !has_only(digits, false) {
            return Err(bad());
        }
        // Base 0 of C: a leading zero makes it octal.
        let (radix, digits) = match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => (8, octal),
            _ => (10, digits),
        };
        if radix == 8 && digits.bytes().any(|b| matches!(b, b'8' | b'9')) {
            return Err(bad());
        }
        let size = u64::from_str_radix(digits, radix).ok();
        let value = if word.starts_with('-') {
            size.and_then(|size| 0i64.checked_sub_unsigned(size))
        } else {
            size.and_then(|size| i64::try_from(size).ok())
        };
        match value {
            Some(value) => Ok(Scalar::Int(value)),
            None if key == "creation_time" => Ok(Scalar::Int(OVERFLOWN_TIME)),
            None => Err(Kind::NumberTooLarge { key: key.into() }.at(from)),
        }
    }

    /// Passes over a value.
    pub(crate) fn skip_value(&mut self, key: &str) -> Result<(), TextError> {
        self.value(key, |_| Ok::<(), TextError>(())).map(|_| ())
    }

    /// Passes over the rest of a section whose `{` was read, its `}` included; `depth` is its own.
    pub(crate) fn skip_section(&mut self, depth: usize) -> Result<(), TextError> {
        let mut open = 1usize;
        while open > 0 {
            match self.item()? {
                Item::Assign(key) => self.skip_value(&key)?,
                Item::Open(_) => {
                    open = open.saturating_add(1);
                    if open.saturating_add(depth) > super::parse::DEPTH_LIMIT.saturating_add(1) {
                        return Err(Kind::TooDeep.at(self.item_at));
                    }
                }
                Item::Close => open = open.saturating_sub(1),
                Item::End => return Err(Kind::UnexpectedEnd.at(self.at)),
            }
        }
        Ok(())
    }
}
