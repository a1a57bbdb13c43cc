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
