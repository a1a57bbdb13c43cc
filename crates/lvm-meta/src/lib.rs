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

mod disk;
mod error;
mod id;
mod name;
mod units;

pub use disk::{Disk, FileDisk, MemDisk};
pub use error::{CorruptKind, Error, IoOp, Part};
pub use id::{IdError, LvId, PvId, VgId};
pub use name::{LvName, NameError, Tag, VgName};
pub use units::{ExtentSize, Extents, Sectors};
