//! What can be wrong with a VG's text beyond its grammar, and with a change to a VG.

use crate::text::{TextError, TextErrorKind};
use crate::{Extents, IdError, LvId, NameError, PvId, Refusal};

/// Why a text is not the metadata of a VG.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextProblem {
    /// It breaks the grammar.
    #[error("{0}")]
    Grammar(TextErrorKind),
    /// `contents` or `version` is missing or not the one we read, or `format` is another.
    #[error("{key} is {found}, expected {expected}")]
    Format {
        /// The key.
        key: &'static str,
        /// What stands there.
        found: String,
        /// What must.
        expected: &'static str,
    },
    /// It is not one key, bracket or blank a line, as LVM writes it.
    #[error("it is not laid out as LVM writes it: {0}")]
    Layout(&'static str),
    /// No section at top level.
    #[error("no volume group")]
    NoVg,
    /// A key or section that must be there is not.
    #[error("{section} lacks {key}")]
    Missing {
        /// Name of the section.
        section: String,
        /// The key.
        key: &'static str,
    },
    /// A value of the wrong type.
    #[error("{key} must be {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// A whole number, a string, ...
        expected: &'static str,
    },
    /// A number that the field cannot hold.
    #[error("{key} is {found}, legal are {min} to {max}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The number.
        found: i64,
        /// The smallest legal one.
        min: u64,
        /// The largest legal one.
        max: u64,
    },
    /// An illegal id.
    #[error("{0}")]
    Id(IdError),
    /// An illegal name of a VG or LV.
    #[error("{0}")]
    Name(NameError),
    /// A name, key or id that is there twice.
    #[error("{what} {name:?} is there twice")]
    Duplicate {
        /// `PV key`, `PV id`, `LV name`, `LV id`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A section that must hold something holds nothing.
    #[error("{section} is empty")]
    Empty {
        /// Its name.
        section: String,
    },
    /// Only one of two keys that go together.
    #[error("{section} has only one of {first} and {second}")]
    Half {
        /// Name of the section.
        section: String,
        /// One key.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// `segment_count` is not the number of segments.
    #[error("LV {lv:?} has {found} segments, segment_count says {stated}")]
    SegmentCount {
        /// The LV.
        lv: String,
        /// As stored.
        stated: u32,
        /// As counted.
        found: usize,
    },
    /// A gap or an overlap between segments of an LV, or one that does not start at 0.
    #[error("LV {lv:?} has a segment at extent {found}, expected {expected}")]
    SegmentGap {
        /// The LV.
        lv: String,
        /// Where the segment starts.
        found: u32,
        /// Where the one before it ends.
        expected: u32,
    },
    /// More extents than 32 bits count.
    #[error("LV {lv:?} has more than 4294967295 extents")]
    TooManyExtents {
        /// The LV.
        lv: String,
    },
    /// The areas do not fit `stripe_count`, or the extents do not divide by it.
    #[error("segment of {extents} with {stripe_count} stripes has {areas} areas")]
    Stripes {
        /// The segment's length.
        extents: Extents,
        /// As stored.
        stripe_count: u32,
        /// As counted.
        areas: usize,
    },
    /// Extents past the end of a PV.
    #[error("extents {start} to {end} lie outside PV {pv} of {pe_count}")]
    OutsidePv {
        /// The PV.
        pv: PvId,
        /// First extent.
        start: u32,
        /// Behind the last extent.
        end: u64,
        /// The PV's length.
        pe_count: Extents,
    },
    /// An extent that two segments claim.
    #[error("extent {at} of PV {pv} belongs to two segments")]
    Overlap {
        /// The PV.
        pv: PvId,
        /// The extent.
        at: u32,
    },
    /// A reference to an LV or PV that is not there.
    #[error("LV {lv:?} refers to {name:?}, which is not there")]
    Dangling {
        /// The LV.
        lv: String,
        /// What it refers to.
        name: String,
    },
    /// LVs that stand on each other in a circle.
    #[error("LV {lv:?} stands on itself")]
    Cycle {
        /// One of them.
        lv: String,
    },
}

/// A problem at a byte of a text: what importing gives up with.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) problem: TextProblem,
}

impl From<TextError> for Fault {
    fn from(error: TextError) -> Self {
        TextProblem::Grammar(error.kind).at(error.at)
    }
}

impl TextProblem {
    pub(crate) fn at(self, at: usize) -> Fault {
        Fault { at, problem: self }
    }
}

/// Why a VG does not take a change.  The VG is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The VG must not be changed at all.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No LV of this name.
    #[error("no LV {0:?} in the VG")]
    NoSuchLv(String),
    /// No PV of this id.
    #[error("no PV {0} in the VG")]
    NoSuchPv(PvId),
    /// The name is taken.
    #[error("LV {0:?} exists")]
    LvExists(String),
    /// The id is taken.
    #[error("an LV with id {0} exists")]
    LvIdExists(LvId),
    /// The PV is in the VG.
    #[error("PV {0} is in the VG")]
    PvExists(PvId),
    /// VG and LV name are too long together for device-mapper.
    #[error("LV name {0:?} and the VG's name are longer than 124 bytes together")]
    NamesTooLong(String),
    /// Another LV stands on this one or refers to it.
    #[error("LV {lv:?} is used by LV {by:?}")]
    LvInUse {
        /// The LV.
        lv: String,
        /// One of its users.
        by: String,
    },
    /// The LV takes part in a `pvmove`, or is locked otherwise.
    #[error("LV {0:?} is locked")]
    LvLocked(String),
    /// The change needs linear or striped segments.
    #[error("LV {lv:?} has a segment of type {segment_type:?}, which cannot be resized here")]
    NotResizable {
        /// The LV.
        lv: String,
        /// The type in its way.
        segment_type: String,
    },
    /// A segment without extents, with a number of areas that does not fit, or a broken body.
    #[error("malformed segment: {0}")]
    BadSegment(&'static str),
    /// An LV has at least one segment, and at most 2^32 - 1 extents.
    #[error("LV {lv:?} would have {extents} extents, legal are 1 to 4294967295")]
    BadSize {
        /// The LV.
        lv: String,
        /// Extents asked for.
        extents: u64,
    },
    /// The new size does not fit whole stripes.
    #[error("{extents} cut a stripe of {stripe_count} extents")]
    CutsStripe {
        /// Size asked for.
        extents: Extents,
        /// Stripes of the segment that would be cut.
        stripe_count: u32,
    },
    /// Extents that are not free.
    #[error("{count} from {start} of PV {pv} are not all free")]
    NotFree {
        /// The PV.
        pv: PvId,
        /// First extent.
        start: u32,
        /// How many.
        count: Extents,
    },
    /// The LV would stand on itself.
    #[error("LV {0:?} would stand on itself")]
    Cycle(String),
    /// The PV holds extents of LVs.
    #[error("PV {pv} holds {used} in use")]
    PvInUse {
        /// The PV.
        pv: PvId,
        /// Extents in use.
        used: Extents,
    },
    /// Extents past the PV's new end are in use.
    #[error("PV {pv} cannot shrink to {pe_count}: extents behind that are in use")]
    PvTooSmall {
        /// The PV.
        pv: PvId,
        /// The size asked for.
        pe_count: Extents,
    },
    /// A VG has at least one PV.
    #[error("PV {0} is the last one of the VG")]
    LastPv(PvId),
    /// Segments kept as text name PVs by their place, so no PV may leave its place.
    #[error("PV {0} cannot leave while a pvmove or mirror is in the VG")]
    PvKeysInUse(PvId),
    /// The PV's extents do not fit its device.
    #[error("PV {0} of its size cannot hold that many extents")]
    PvGeometry(PvId),
    /// The VG's own limit on its LVs or PVs.
    #[error("the VG allows {limit} {what} only")]
    Limit {
        /// `LVs` or `PVs`.
        what: &'static str,
        /// How many.
        limit: u32,
    },
    /// The sequence number has reached its end.
    #[error("the sequence number has reached 4294967295")]
    SeqnoEnd,
    /// A tag that LVM would refuse to write.
    #[error(transparent)]
    Name(#[from] NameError),
}
