//! LVM2 on-disk metadata in safe Rust: labels, metadata areas, text, the VG model, allocation and commit.
//!
//! Nothing here opens a device by name, asks the time, draws a random number, or knows device-mapper: all of
//! that is passed in.  Bytes from a disk never panic, never loop or allocate without bound.
//!
//! # Feature `serde`
//!
//! `Serialize` for the model ([`Vg`] and all in it, [`detail`]), for what disks hold ([`Assembly`], [`PvScan`],
//! [`Problem`]), for [`Finding`], [`LvRole`] and [`CopyState`].  It borrows, and takes time in proportion to the VG.
//!
//! - The names are stable; new ones may be added.  They are the keys of the metadata text wherever it has one
//!   (`extent_size`, `pe_start`, `segments` with `start_extent`, `thin_pool`, `device_id`), snake case otherwise.
//!   `tests/data/serde` shows each of them.
//! - Every name is always there, with `null` for what is not.
//! - [`Sectors`] and [`ExtentSize`] are numbers of 512-byte sectors, [`Extents`] are numbers; ids are strings in LVM's
//!   spelling with dashes; `status` and `flags` are lists of LVM's words, those that nobody knows last.
//! - `detail` is what a segment of another type says, told apart by `kind`, and `text` its lines as on disk, unknown
//!   ones included.  Keys that a known section should not have are under `unknown`.
//! - `refusal`, `error`, `what` and their like are messages for people, and not stable.
//!
//! `Deserialize` for what stands alone and can be checked on the way in: ids, names, tags, sizes, words of status and
//! flags, [`AllocPolicy`], [`Provenance`], [`NewVg`], [`NewPv`], [`config::Section`], and the types of [`detail`], which
//! must come back from the text that they print.  Anything else is refused, unknown names of fields, too.  A [`Vg`] is
//! not deserialised: its text is the one form that loses nothing, and the one on which [`Vg::parse`] checks the rules.
#![warn(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
#![cfg_attr(test, allow(clippy::as_conversions, clippy::arithmetic_side_effects))]

mod alloc;
mod assemble;
mod backup;
mod bytes;
mod check;
mod crc;
mod disk;
mod error;
mod fit;
mod format;
mod hash;
mod head;
mod id;
mod mda_set;
mod model;
mod name;
mod pv;
mod raw_text;
mod restore;
mod scan;
#[cfg(feature = "serde")]
mod serial;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod units;

/// The fields of the segment types beside linear, striped, error and zero: see [`Opaque::detail`].
pub mod detail {
    pub use crate::model::detail::{
        Cache, CachePool, CacheSettings, CacheVolume, Detail, DetailError, DetailProblem, Integrity, Mirror,
        MirrorArea, Raid, RaidLayout, RaidLeg, Snapshot, Thin, ThinMessage, ThinPool, Vdo, VdoPool,
        Writecache,
    };
}

/// LVM2's configuration text as a tree: metadata and `lvm.conf` share its grammar.
pub mod config {
    pub use crate::text::{Body, Node, Section, TextError, TextErrorKind, Value, parse};
}

pub use alloc::{
    AllocError, AllocPolicy, AllocRequest, Layout, LegPlan, LegsRequest, MoveError, MovePiece, MoveRequest,
    PvFilter, allocate, allocate_legs, plan_move,
};
pub use assemble::{
    Ambiguity, Assembly, CopyState, FoundPv, FoundVg, Place, Problem, Severity, TooSmall, assemble,
};
pub use backup::backup_text;
pub use check::{Finding, LastCheck, check, warnings};
pub use disk::{Disk, FileDisk, MemDisk};
pub use error::{CorruptKind, Error, IoOp, Part};
pub use fit::{AreaMove, PvFit, fit_pv, move_area};
pub use format::{DiskArea, MakePv, MdaHeader, PvHeader, PvLayout, RawLocation};
pub use head::TextHead;
pub use id::{IdError, LvId, PvId, VgId};
pub use mda_set::{MdaSet, Precommitted, Written};
pub use model::{
    Area, ChangeError, LastPrint, LegSlot, Lv, LvChanges, LvFlags, LvRole, LvStatus, LvWatch, Moving, NewLeg,
    NewLv, NewPv, NewVg, Opaque, Provenance, Pv, PvFlags, PvStatus, Refusal, Segment, SegmentKind,
    SegmentPlan, Striped, Tags, TextProblem, Vg, VgFlags, VgStatus,
};
pub use name::{LvName, NameError, Tag, VgName};
pub use pv::{
    blank_area, erase_pv, is_blankable, make_pv, orphan_pv, read_label, set_pv_id, set_pv_size, set_pv_used,
};
pub use raw_text::RawText;
pub use restore::highest_seqno;
pub use scan::{MdaScan, PvScan, scan};
pub use units::{ExtentSize, Extents, Sectors};
