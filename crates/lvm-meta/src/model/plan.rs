//! A segment to be: what allocation gives and a change takes.

use super::{Area, Opaque, SegmentKind, Striped};
use crate::{Extents, PvId, Sectors};

/// A segment that is in no LV yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlan {
    pub(super) extents: Extents,
    pub(super) kind: SegmentKind,
}

impl SegmentPlan {
    /// A run of a PV's extents.
    pub fn linear(pv: PvId, start: u32, extents: Extents) -> Self {
        let kind = SegmentKind::Striped(Striped::linear(Area::Pv { pv, start }));
        Self { extents, kind }
    }

    /// A striped segment; `extents` are those of the LV, a multiple of the number of areas.
    ///
    /// `None` for no area or more than [`Striped::AREA_LIMIT`], or a stripe size past 32 bits.
    pub fn striped(extents: Extents, stripe_size: Sectors, areas: Vec<Area>) -> Option<Self> {
        let kind = SegmentKind::Striped(Striped::new(stripe_size, areas)?);
        Some(Self { extents, kind })
    }

    /// A segment that fails every read and write.
    pub fn error(extents: Extents) -> Self {
        let kind = SegmentKind::Error;
        Self { extents, kind }
    }

    /// A segment of zeros.
    pub fn zero(extents: Extents) -> Self {
        let kind = SegmentKind::Zero;
        Self { extents, kind }
    }

    /// A segment of another type, kept as text.
    pub fn other(extents: Extents, other: Opaque) -> Self {
        let kind = SegmentKind::Other(other);
        Self { extents, kind }
    }

    /// The LV's extents in it.
    pub fn extents(&self) -> Extents {
        self.extents
    }

    /// What the extents map to.
    pub fn kind(&self) -> &SegmentKind {
        &self.kind
    }
}
