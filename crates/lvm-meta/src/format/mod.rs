//! The binary structures of a PV, from its first sector to its extents.
//!
//! ```text
//! byte 0      512         4096                          pe_start
//! |  (sector 0) | label + PV header | ... | mda header | ring of texts | extents ... | second mda (rarely) |
//! ```
//!
//! Decode and encode stand side by side; what is reserved is kept.  Sources: LVM2 `lib/label/label.h`,
//! `lib/format_text/layout.h`, `lib/format_text/format-text.c`.

mod geometry;
mod label;
mod mda_header;
mod pv_header;
mod ring;
#[cfg(test)]
mod tests;

pub(crate) use geometry::{LEAST_MDA, MDA_START};
pub use geometry::{MakePv, PvLayout};
pub(crate) use label::{Label, LabelSector};
pub use mda_header::{MdaHeader, RawLocation};
pub use pv_header::{DiskArea, PvHeader};
pub(crate) use ring::{Ring, TEXT_LIMIT, TextPlace};
