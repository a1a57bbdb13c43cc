//! VGs that no text and no change makes, for tests of the rules that guard against our own mistakes.

use super::{Segment, SegmentKind, Vg};
use crate::Extents;

impl Vg {
    /// Gives an LV segments of these first extents, lengths and kinds, without a look at them.
    pub(crate) fn force_segments(&mut self, lv: &str, segments: Vec<(u32, u32, SegmentKind)>) {
        let mut lv = self.lv(lv).unwrap().clone();
        lv.segments = segments
            .into_iter()
            .map(|(start, extents, kind)| Segment::new(start, Extents::new(extents), kind))
            .collect::<Vec<_>>()
            .into();
        lv.extents = Extents::new(lv.segments.iter().map(|segment| segment.extents.get()).sum());
        self.lvs.replace(lv);
    }

    /// Has the LVs that are the same in another VG in common with it, as if this one were made by changing that one.
    pub(crate) fn share_lvs(&mut self, other: &Vg) {
        self.lvs.share(&other.lvs);
    }
}
