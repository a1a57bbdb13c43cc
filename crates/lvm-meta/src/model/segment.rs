//! A segment: a run of an LV's extents and what they map to.

use std::sync::Arc;

use super::opaque::split_type;
use super::{Opaque, Tags};
use crate::text::Node;
use crate::{Extents, PvId, Sectors};

/// A run of an LV's extents that map alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub(super) start: u32,
    pub(super) extents: Extents,
    pub(super) kind: SegmentKind,
    pub(super) rare: Option<Box<SegmentRare>>,
}

/// What few segments have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentRare {
    pub(super) tags: Tags,
    pub(super) reshape_count: u32,
    /// Words behind the type, each with its `+`.
    pub(super) suffix: Box<str>,
    pub(super) extras: Vec<Node>,
}

/// What a segment's extents map to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentKind {
    /// Linear or striped over areas of PVs or LVs.
    Striped(Striped),
    /// Every read and write fails.
    Error,
    /// Reads give zeros, writes go nowhere.
    Zero,
    /// Any other type: kept as text.
    Other(Opaque),
}

/// A linear or striped mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Striped(Areas);

/// Most segments are linear: their one area needs no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Areas {
    One(Area),
    Many { stripe_size: u32, areas: Box<[Area]> },
}

/// Where one stripe of a segment lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
pub enum Area {
    /// On a PV, from its extent `start` on.
    Pv {
        /// The PV.
        #[cfg_attr(feature = "serde", serde(rename = "pv_id"))]
        pv: PvId,
        /// Its first extent.
        #[cfg_attr(feature = "serde", serde(rename = "start_extent"))]
        start: u32,
    },
    /// On another LV of the VG, from its extent `start` on.
    Lv {
        /// Name of the LV.
        #[cfg_attr(feature = "serde", serde(rename = "lv"))]
        name: Arc<str>,
        /// Its first extent.
        #[cfg_attr(feature = "serde", serde(rename = "start_extent"))]
        start: u32,
    },
}

impl Striped {
    /// Most areas of one segment.
    pub const AREA_LIMIT: usize = 128;

    /// Makes a mapping over one area or more; with one area the stripe size does not count and becomes 0.
    ///
    /// `None` for no area, or more than [`Striped::AREA_LIMIT`], or a stripe size past 32 bits.
    pub fn new(stripe_size: Sectors, areas: Vec<Area>) -> Option<Self> {
        let stripe_size = u32::try_from(stripe_size.get()).ok()?;
        Self::from_areas(stripe_size, areas)
    }

    pub(super) fn from_areas(stripe_size: u32, mut areas: Vec<Area>) -> Option<Self> {
        if areas.len() > Self::AREA_LIMIT {
            return None;
        }
        let last = areas.pop()?;
        if areas.is_empty() {
            return Some(Self::linear(last));
        }
        areas.push(last);
        let areas = areas.into();
        Some(Self(Areas::Many { stripe_size, areas }))
    }

    pub(super) fn linear(area: Area) -> Self {
        Self(Areas::One(area))
    }

    /// Sectors of one stripe on one area; 0 for a linear mapping.
    pub fn stripe_size(&self) -> Sectors {
        match &self.0 {
            Areas::One(_) => Sectors::new(0),
            Areas::Many { stripe_size, .. } => Sectors::new(u64::from(*stripe_size)),
        }
    }

    /// The areas in the order of the stripes; never empty.
    pub fn areas(&self) -> &[Area] {
        match &self.0 {
            Areas::One(area) => std::slice::from_ref(area),
            Areas::Many { areas, .. } => areas,
        }
    }

    /// The number of areas: 1 for a linear mapping.
    pub fn stripe_count(&self) -> u32 {
        u32::try_from(self.areas().len()).unwrap_or(u32::MAX)
    }

    /// Tells whether there is one area only.
    pub fn is_linear(&self) -> bool {
        matches!(self.0, Areas::One(_))
    }

    /// Extents on each area, for a segment of `extents`.
    pub fn area_extents(&self, extents: Extents) -> Extents {
        Extents::new(extents.get().checked_div(self.stripe_count()).unwrap_or_default())
    }

    pub(super) fn rename(&mut self, from: &str, to: &Arc<str>) {
        let areas = match &mut self.0 {
            Areas::One(area) => std::slice::from_mut(area),
            Areas::Many { areas, .. } => areas,
        };
        for area in areas {
            if let Area::Lv { name, .. } = area
                && **name == *from
            {
                *name = to.clone();
            }
        }
    }
}

impl SegmentKind {
    pub(super) fn type_name(&self) -> &str {
        match self {
            Self::Striped(_) => "striped",
            Self::Error => "error",
            Self::Zero => "zero",
            Self::Other(other) => other.type_name(),
        }
    }
}

impl Segment {
    pub(super) fn new(start: u32, extents: Extents, kind: SegmentKind) -> Self {
        Self {
            start,
            extents,
            kind,
            rare: None,
        }
    }

    /// The LV's extent that it starts at.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The number of the LV's extents in it.
    pub fn extent_count(&self) -> Extents {
        self.extents
    }

    /// What the extents map to.
    pub fn kind(&self) -> &SegmentKind {
        &self.kind
    }

    /// The type as LVM writes it, without the words behind `+` for types that we know.
    pub fn type_name(&self) -> &str {
        self.kind.type_name()
    }

    /// The words behind the type, such as `RESHAPE`.
    pub(crate) fn type_words(&self) -> impl Iterator<Item = &str> {
        let suffix = match &self.kind {
            SegmentKind::Other(other) => Some(split_type(other.type_name()).1),
            _ => self.rare.as_ref().map(|rare| &*rare.suffix),
        };
        suffix.into_iter().flat_map(|suffix| suffix.split('+').skip(1))
    }

    /// The type without the words behind it.
    pub(crate) fn base_type(&self) -> &str {
        match &self.kind {
            SegmentKind::Other(other) => split_type(other.type_name()).0,
            plain => plain.type_name(),
        }
    }

    /// The tags of the segment, which LVM keeps and nobody sets.
    pub fn tags(&self) -> Tags {
        self.rare
            .as_ref()
            .map(|rare| rare.tags.clone())
            .unwrap_or_default()
    }

    /// The extents that a reshape holds back; they count in [`Segment::extent_count`].
    pub fn reshape_count(&self) -> Extents {
        Extents::new(self.rare.as_ref().map_or(0, |rare| rare.reshape_count))
    }

    /// The extent of the LV behind this segment's last.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.start).saturating_add(u64::from(self.extents.get()))
    }

    /// Tells whether the segment may be cut and grown: nothing but its mapping counts.
    pub(super) fn is_plain(&self) -> bool {
        let plain_rest = self
            .rare
            .as_ref()
            .is_none_or(|rare| rare.reshape_count == 0 && rare.suffix.is_empty() && rare.extras.is_empty());
        plain_rest && !matches!(self.kind, SegmentKind::Other(_))
    }

    /// Tells whether it is stripes on PVs, and nothing besides.
    pub(super) fn is_ordinary(&self) -> bool {
        let is_on_pvs = |striped: &Striped| {
            let mut areas = striped.areas().iter();
            areas.all(|area| matches!(area, Area::Pv { .. }))
        };
        self.rare.is_none() && matches!(&self.kind, SegmentKind::Striped(striped) if is_on_pvs(striped))
    }

    /// Calls `each` with every run of PV extents that the segment holds.
    pub fn each_pv_run(&self, mut each: impl FnMut(PvId, u32, u32)) {
        match &self.kind {
            SegmentKind::Striped(striped) => {
                let length = striped.area_extents(self.extents).get();
                for area in striped.areas() {
                    if let Area::Pv { pv, start } = area {
                        each(*pv, *start, length);
                    }
                }
            }
            SegmentKind::Other(other) => {
                for (pv, start) in other.pv_areas() {
                    each(*pv, *start, self.extents.get());
                }
            }
            SegmentKind::Error | SegmentKind::Zero => {}
        }
    }

    /// Calls `each` with every LV that the segment names; true for those that it stands on.
    pub(super) fn each_lv(&self, mut each: impl FnMut(&Arc<str>, bool)) {
        match &self.kind {
            SegmentKind::Striped(striped) => {
                for area in striped.areas() {
                    if let Area::Lv { name, .. } = area {
                        each(name, true);
                    }
                }
            }
            SegmentKind::Other(other) => {
                other.stands_on().iter().for_each(|name| each(name, true));
                other.mentions().iter().for_each(|name| each(name, false));
            }
            SegmentKind::Error | SegmentKind::Zero => {}
        }
    }
}
