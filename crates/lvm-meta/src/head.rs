//! What a text tells of itself without being understood: whose it is, how new, and why it was written.

use std::borrow::Cow;

use crate::text::{self, Item, Lexer, Scalar, TextError};
use crate::{CorruptKind, Error, Part, TextProblem, VgId};

/// The head of a metadata text, of a disk or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextHead {
    /// The VG's name.
    pub name: String,
    /// The VG's id, if it is one.
    pub id: Option<VgId>,
    /// The sequence number, if it is one.
    pub seqno: Option<u32>,
    /// Why it was written.
    pub description: Option<String>,
    /// When it was written, in seconds since 1970.
    pub creation_time: Option<u64>,
}

impl TextHead {
    /// Reads the head of a text whose grammar is right, whatever the VG in it is like.  Keeps nothing else of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a text that is none, or without a section for the VG.
    pub fn read(text: &[u8]) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(text::without_nul(text));
        let mut head = Self::default();
        let found = head.file(&mut Lexer::new(&text));
        let problem = match found {
            Ok(true) => return Ok(head),
            Ok(false) => (0, TextProblem::NoVg),
            Err(error) => (error.at, TextProblem::Grammar(error.kind)),
        };
        Err(Error::Corrupt {
            part: Part::Text,
            at: u64::try_from(problem.0).unwrap_or(u64::MAX),
            kind: CorruptKind::Text(problem.1),
        })
    }

    /// Reads the top level; was there a section?  The first one is the VG's.
    fn file(&mut self, lexer: &mut Lexer<'_>) -> Result<bool, TextError> {
        let mut has_vg = false;
        loop {
            match lexer.item()? {
                Item::Open(name) if !has_vg => {
                    has_vg = true;
                    self.name = name.into_owned();
                    self.vg(lexer)?;
                }
                Item::Open(_) => lexer.skip_section(1)?,
                Item::Assign(key) => match (first(lexer, &key)?, &*key) {
                    (Some(Scalar::Str(text)), "description") => {
                        keep(&mut self.description, text.into_owned())
                    }
                    (Some(Scalar::Int(time)), "creation_time") => {
                        self.creation_time = self.creation_time.or(u64::try_from(time).ok());
                    }
                    _ => {}
                },
                Item::Close => return Err(text::TextErrorKind::UnexpectedBrace.at(lexer.item_at())),
                Item::End => return Ok(has_vg),
            }
        }
    }

    fn vg(&mut self, lexer: &mut Lexer<'_>) -> Result<(), TextError> {
        loop {
            match lexer.item()? {
                Item::Open(_) => lexer.skip_section(2)?,
                Item::Assign(key) => match (first(lexer, &key)?, &*key) {
                    (Some(Scalar::Str(id)), "id") => self.id = self.id.or(VgId::parse(&id).ok()),
                    (Some(Scalar::Int(seqno)), "seqno") => {
                        self.seqno = self.seqno.or(u32::try_from(seqno).ok());
                    }
                    _ => {}
                },
                Item::Close => return Ok(()),
                Item::End => return Err(text::TextErrorKind::UnexpectedEnd.at(lexer.at())),
            }
        }
    }

    /// Is it a text of this VG: by its id, or by its name where it tells no id?
    pub fn is_of(&self, name: &str, id: &VgId) -> bool {
        self.id.map_or(self.name == name, |own| own == *id)
    }
}

/// Reads a value and gives its first scalar.
fn first<'a>(lexer: &mut Lexer<'a>, key: &Cow<'a, str>) -> Result<Option<Scalar<'a>>, TextError> {
    let mut found = None;
    lexer.value(key, |scalar| {
        keep(&mut found, scalar);
        Ok::<(), TextError>(())
    })?;
    Ok(found)
}

/// Of two equal keys the first one counts.
fn keep<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdef-abcd-abcd-abcd-abcd-abcd-abcdef";

    #[test]
    fn both_forms_of_a_text_tell_whose_they_are() {
        let vg = format!("p {{\nid = \"{ID}\"\nseqno = 7\nwhat_is_this = [ 1 ]\n}}\n");
        let header = "description = \"why\"\ncreation_time = 5 # then\n";
        for text in [format!("{vg}{header}\0"), format!("{header}{vg}")] {
            let head = TextHead::read(text.as_bytes()).unwrap();
            assert_eq!((head.name.as_str(), head.seqno), ("p", Some(7)));
            assert_eq!(
                (head.description.as_deref(), head.creation_time),
                (Some("why"), Some(5))
            );
            let (id, other) = (VgId::parse(ID).unwrap(), VgId::from_uuid_bytes([1; 16]));
            assert!(head.is_of("renamed", &id) && !head.is_of("p", &other));
        }
    }

    #[test]
    fn a_text_without_an_id_is_known_by_its_name() {
        let head = TextHead::read(b"p {\nid = 5\nseqno = -1\n}").unwrap();
        assert_eq!((head.id, head.seqno), (None, None));
        let any = VgId::from_uuid_bytes([1; 16]);
        assert!(head.is_of("p", &any) && !head.is_of("q", &any));
        for text in [&b""[..], b"a = 1", b"p {", b"\xff{"] {
            assert!(TextHead::read(text).is_err(), "{text:?}");
        }
    }
}
