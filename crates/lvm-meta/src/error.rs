//! The crate's error: what is wrong, where, and what was expected.

use std::io;

use crate::{ChangeError, IdError, NameError, TextProblem};

/// Why an operation on LVM metadata failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes break the format.
    #[error("corrupt {part} at byte {at}: {kind}")]
    Corrupt {
        /// The structure.
        part: Part,
        /// Byte on the device (or in the text, for [`Part::Text`]).
        at: u64,
        /// What is wrong with it.
        kind: CorruptKind,
    },
    /// The device failed.
    #[error("cannot {op} {len} bytes at byte {at}")]
    Io {
        /// What was tried.
        op: IoOp,
        /// First byte.
        at: u64,
        /// Length in bytes; 0 for a sync.
        len: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A write or sync failed before: this handle writes no more.  Open the VG again.
    #[error("an earlier write or sync of this handle failed; open the VG again")]
    Poisoned,
    /// The disk carries no label.
    #[error("the disk carries no PV label")]
    NotAPv,
    /// A label's sector cannot hold so many areas.
    #[error("the PV header does not fit its sector")]
    TooManyAreas,
    /// No area is in use, so nothing can be written.
    #[error("the volume group has no metadata area in use")]
    NoMetadataArea,
    /// Somebody else committed in between.  Read again and decide anew.
    #[error("the metadata on disk is not what was read")]
    Conflict,
    /// A text that does not fit.  Nothing was written.
    #[error("the metadata text of {length} bytes does not fit: an area holds {capacity}")]
    TextTooLarge {
        /// Bytes of the text.
        length: u64,
        /// Bytes that fit.
        capacity: u64,
    },
    /// A device without room for a PV of this shape.
    #[error("a device of {size} bytes is too small: {needed} are needed")]
    DeviceTooSmall {
        /// Bytes of the device.
        size: u64,
        /// The least.
        needed: u64,
    },
    /// A shape that no PV has.
    #[error("{what} of {given} is refused: {rule}")]
    Geometry {
        /// Which number.
        what: &'static str,
        /// Its value.
        given: u64,
        /// The rule.
        rule: &'static str,
    },
    /// A VG does not take a change; it is as it was.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// An illegal name or tag.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An illegal id.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// The structure that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The label sector.
    Label,
    /// The PV header behind the label.
    PvHeader,
    /// A metadata area's header.
    MdaHeader,
    /// A VG's text.
    Text,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Label => "label",
            Self::PvHeader => "PV header",
            Self::MdaHeader => "metadata area header",
            Self::Text => "metadata text",
        })
    }
}

/// One way in which bytes break the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorruptKind {
    /// A checksum does not match its bytes.
    #[error("checksum is {computed:#010x}, stored is {stored:#010x}")]
    Checksum {
        /// On disk.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A text that is not the metadata of a VG.
    #[error("{0}")]
    Text(TextProblem),
    /// Another structure, or none.
    #[error("not the expected magic bytes")]
    Magic,
    /// A field outside what it can be.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it should be, or its bound.
        expected: u64,
    },
    /// A list or structure that passes the end of its sector.
    #[error("it passes the end of its sector")]
    PastEnd,
    /// An id with an illegal character.
    #[error("the id holds an illegal character")]
    Id,
}

/// A device operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoOp {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making written data durable.
    Sync,
}

impl std::fmt::Display for IoOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
        })
    }
}
