//! The checks before a VG is restored from a text.  Writes nothing.
//!
//! More careful than `vgcfgrestore`, which asks of the disks only that they are there: it counts on from the file's own
//! sequence number, so that a copy on a disk that the file does not list wins, and it takes PVs away from other VGs.

mod plan;
mod wanted;

pub(crate) use plan::Plan;
pub(crate) use wanted::Wanted;
