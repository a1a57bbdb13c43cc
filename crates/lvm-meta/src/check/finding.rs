//! What a rule tells.

use std::fmt;

use crate::{Lv, Pv, Segment};

/// A rule that a VG breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// A short name of the rule.
    pub rule: &'static str,
    /// `VG`, a PV's key or an LV's name.
    pub place: String,
    /// The LV's extent at which the segment starts, where it is one that is wrong.
    pub segment: Option<u32>,
    /// The first extent of the LV or PV that is wrong, where it is known.
    pub extent: Option<u32>,
    /// What is wrong.
    pub what: String,
}

impl Finding {
    /// Tells where it is: the place, the segment and the extent, as far as they are known.
    pub fn location(&self) -> String {
        let mut location = self.place.clone();
        for (what, extent) in [("segment at extent", self.segment), ("extent", self.extent)] {
            if let Some(extent) = extent {
                location.push_str(&format!(", {what} {extent}"));
            }
        }
        location
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.location(), self.what, self.rule)
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    /// The rule that looks now.
    pub(super) rule: &'static str,
    pub(super) found: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, place: &str, segment: Option<u32>, extent: Option<u32>, what: String) {
        self.found.push(Finding {
            rule: self.rule,
            place: place.to_owned(),
            segment,
            extent,
            what,
        });
    }

    pub(super) fn vg(&mut self, what: impl Into<String>) {
        self.add("VG", None, None, what.into());
    }

    pub(super) fn pv(&mut self, pv: &Pv, what: impl Into<String>) {
        self.add(pv.key(), None, None, what.into());
    }

    pub(super) fn pv_extent(&mut self, pv: &Pv, extent: u32, what: impl Into<String>) {
        self.add(pv.key(), None, Some(extent), what.into());
    }

    pub(super) fn lv(&mut self, lv: &Lv, what: impl Into<String>) {
        self.add(lv.name(), None, None, what.into());
    }

    pub(super) fn segment(&mut self, lv: &Lv, segment: &Segment, what: impl Into<String>) {
        self.add(lv.name(), Some(segment.start()), None, what.into());
    }

    pub(super) fn extent(&mut self, lv: &Lv, segment: &Segment, extent: u32, what: impl Into<String>) {
        self.add(lv.name(), Some(segment.start()), Some(extent), what.into());
    }
}
