//! What is wrong with a text, and where.

/// Why a text is not LVM2 configuration text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct TextError {
    /// Byte in the text.
    pub at: usize,
    /// What is wrong there.
    pub kind: TextErrorKind,
}

/// One way to break the grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextErrorKind {
    /// A string without its closing quote.
    #[error("unterminated string")]
    UnterminatedString,
    /// The text ends inside a section or a list.
    #[error("the text ends too early")]
    UnexpectedEnd,
    /// A `}` that closes nothing.
    #[error("a brace that closes nothing")]
    UnexpectedBrace,
    /// Neither `=` nor `{` behind a key.
    #[error("no = or {{ behind a key")]
    MissingEquals,
    /// Nothing that can be a key.
    #[error("no key")]
    MissingKey,
    /// A key with `/`, which LVM takes for a path.
    #[error("a key with a slash")]
    PathInKey,
    /// Nothing that can be a value.
    #[error("no value")]
    MissingValue,
    /// Something between two elements of a list that is no comma.
    #[error("no comma in a list")]
    MissingComma,
    /// A list in a list.
    #[error("a list in a list")]
    NestedList,
    /// A number followed by something else, without a digit, or with an octal 8 or 9.
    #[error("malformed number behind {key}")]
    BadNumber {
        /// The key.
        key: String,
    },
    /// A number outside 64 bits with sign.
    #[error("number outside 64 bits behind {key}")]
    NumberTooLarge {
        /// The key.
        key: String,
    },
    /// Sections nested deeper than the limit.
    #[error("more than 32 nested sections")]
    TooDeep,
    /// More nodes than the limit.
    #[error("more than 1000000 nodes")]
    TooManyNodes,
}

impl TextErrorKind {
    /// This kind at a byte.
    pub(crate) fn at(self, at: usize) -> TextError {
        TextError { at, kind: self }
    }
}
