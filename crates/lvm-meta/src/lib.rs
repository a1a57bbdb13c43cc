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
mod check;
mod disk;
mod error;
mod id;
mod model;
mod name;
mod text;
mod units;

/// LVM2's configuration text as a tree: metadata and `lvm.conf` share its grammar.
pub mod config {
    pub use crate::text::{Body, Node, Section, TextError, TextErrorKind, Value, parse};
}

pub use alloc::{AllocError, AllocPolicy, AllocRequest, Layout, PvFilter, allocate};
pub use check::{Finding, check};
pub use disk::{Disk, FileDisk, MemDisk};
pub use error::{CorruptKind, Error, IoOp, Part};
pub use id::{IdError, LvId, PvId, VgId};
pub use model::{
    Area, ChangeError, Lv, LvFlags, LvStatus, NewLv, NewPv, NewVg, Opaque, Provenance, Pv, PvFlags, PvStatus,
    Refusal, Segment, SegmentKind, SegmentPlan, Striped, Tags, TextProblem, Vg, VgFlags, VgStatus,
};
pub use name::{LvName, NameError, Tag, VgName};
pub use units::{ExtentSize, Extents, Sectors};
