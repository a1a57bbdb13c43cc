//! LVM2 on-disk metadata in safe Rust: labels, metadata areas, text, the VG model, allocation and commit.
//!
//! Nothing here opens a device by name, asks the time, draws a random number, or knows device-mapper: all of
//! that is passed in.  Bytes from a disk never panic, never loop or allocate without bound.
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
mod format;
mod head;
mod id;
mod mda_set;
mod model;
mod name;
mod pv;
mod restore;
mod scan;
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

pub use alloc::{AllocError, AllocPolicy, AllocRequest, Layout, PvFilter, allocate};
pub use assemble::{Assembly, CopyState, FoundPv, FoundVg, Place, Problem, Severity, assemble};
pub use backup::backup_text;
pub use check::{Finding, check};
pub use disk::{Disk, FileDisk, MemDisk};
pub use error::{CorruptKind, Error, IoOp, Part};
pub use format::{DiskArea, MakePv, MdaHeader, PvHeader, PvLayout, RawLocation};
pub use head::TextHead;
pub use id::{IdError, LvId, PvId, VgId};
pub use mda_set::{MdaSet, Precommitted, Written};
pub use model::{
    Area, ChangeError, Lv, LvFlags, LvRole, LvStatus, NewLv, NewPv, NewVg, Opaque, Provenance, Pv, PvFlags,
    PvStatus, Refusal, Segment, SegmentKind, SegmentPlan, Striped, Tags, TextProblem, Vg, VgFlags, VgStatus,
};
pub use name::{LvName, NameError, Tag, VgName};
pub use pv::{blank_area, erase_pv, is_blankable, make_pv, orphan_pv, set_pv_size, set_pv_used};
pub use restore::highest_seqno;
pub use scan::{MdaScan, PvScan, scan};
pub use units::{ExtentSize, Extents, Sectors};
