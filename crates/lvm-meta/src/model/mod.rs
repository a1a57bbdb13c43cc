//! The volume group as its metadata text describes it, and every change that we make to one.

mod batch;
mod change;
mod change_cache;
mod change_detail;
mod change_legs;
mod change_lv;
mod change_move;
mod change_pv;
mod change_raid;
pub(crate) mod detail;
mod error;
mod export;
mod extents;
mod flags;
#[cfg(test)]
mod forced;
mod import;
mod import_lv;
mod import_plain;
mod import_pv;
mod import_segment;
mod import_value;
mod index;
mod last_print;
mod lv;
mod lvs;
mod new_ids;
mod opaque;
mod part;
mod plan;
mod pv;
mod refusal;
mod rename;
mod role;
mod segment;
#[cfg(feature = "serde")]
mod serial;
mod tags;
mod vg;
mod watch;
mod word_order;

pub use change::NewLv;
pub use change_legs::LegSlot;
pub use change_move::Moving;
pub use change_pv::NewPv;
pub use change_raid::NewLeg;
#[cfg(feature = "serde")]
pub(crate) use detail::RaidLayout;
pub use error::{ChangeError, TextProblem};
pub use export::Provenance;
pub(crate) use extents::ExtentMap;
pub use flags::{LvFlags, LvStatus, PvFlags, PvStatus, VgFlags, VgStatus};
pub use last_print::LastPrint;
pub use lv::Lv;
pub use opaque::Opaque;
pub use plan::SegmentPlan;
pub use pv::Pv;
pub use refusal::Refusal;
pub use role::LvRole;
pub use segment::{Area, Segment, SegmentKind, Striped};
pub use tags::Tags;
pub use vg::{NewVg, Vg};
pub use watch::{LvChanges, LvWatch};
use word_order::WordOrder;
