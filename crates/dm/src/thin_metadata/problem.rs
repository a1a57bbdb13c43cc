//! What can be wrong with a block.

/// Why a block of a thin pool's metadata is refused: what it says, and what it must say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThinMetadataProblem {
    /// The bytes are not those that were written.
    #[error("its checksum is {computed:#010x}, it says {stored:#010x}")]
    Checksum {
        /// What the block says.
        stored: u32,
        /// What its bytes have.
        computed: u32,
    },
    /// The block was written for another place.
    #[error("it says that it is block {stored}")]
    Position {
        /// What the block says.
        stored: u64,
    },
    /// No superblock of a thin pool.
    #[error("its magic number is {stored}, not 27022010")]
    Magic {
        /// What the block says.
        stored: u64,
    },
    /// A version that this crate does not know.
    #[error("its version is {stored}, not 1 or 2")]
    Version {
        /// What the block says.
        stored: u32,
    },
    /// Features without which the metadata cannot be read.
    #[error("it needs the unknown features {flags:#x}")]
    Features {
        /// The unknown ones.
        flags: u32,
    },
    /// A number that the kernel does not write.
    #[error("its {field} is {stored}, not {expected}")]
    Value {
        /// Which number.
        field: &'static str,
        /// What the block says.
        stored: u64,
        /// What it may say, for people.
        expected: &'static str,
    },
    /// More of something is in use than there is.
    #[error("{used} of {blocks} blocks of {what} are in use")]
    Space {
        /// `data` or `metadata`.
        what: &'static str,
        /// Blocks in use.
        used: u64,
        /// Blocks in all.
        blocks: u64,
    },
    /// It names a block that is not there.
    #[error("it names block {child} of {blocks}")]
    Outside {
        /// The block that it names.
        child: u64,
        /// Blocks in all.
        blocks: u64,
    },
    /// More entries than fit.
    #[error("it has {entries} entries in {limit} places")]
    Entries {
        /// Entries that it says to have.
        entries: u32,
        /// Places that it says to have, or that fit.
        limit: u32,
    },
    /// A key that is not above the one before it, or not in the range that the nodes above give it.
    #[error("its key {key} is not in {from}..{end}")]
    Order {
        /// The key.
        key: u64,
        /// The lowest that it may be.
        from: u64,
        /// The lowest that is too high.
        end: u64,
    },
    /// Nodes below nodes without end.
    #[error("it is more than {limit} nodes below the root")]
    Depth {
        /// Most nodes between a leaf and the root.
        limit: u32,
    },
    /// The kernel went on writing: what was read is of several transactions.  Try again later.
    #[error("it changed during each of {tries} tries to read what it names")]
    Changing {
        /// How often it was tried.
        tries: u32,
    },
}

impl ThinMetadataProblem {
    pub(crate) fn errno(&self) -> i32 {
        match self {
            Self::Changing { .. } => libc::EAGAIN,
            Self::Version { .. } | Self::Features { .. } => libc::EOPNOTSUPP,
            _ => libc::EILSEQ,
        }
    }
}
