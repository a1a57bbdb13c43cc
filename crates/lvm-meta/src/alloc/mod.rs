//! Finding free extents for an LV: LVM's allocation policies as pure functions.

mod legs;
#[cfg(test)]
mod legs_tests;
mod linear;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod properties;
mod relocate;
mod space;
mod striped;
#[cfg(test)]
mod tests;

pub use legs::{LegPlan, LegsRequest, allocate_legs};
pub use relocate::{MoveError, MovePiece, MoveRequest, plan_move};
use space::Space;

use std::fmt;

use crate::{Area, Extents, Lv, PvId, Refusal, Sectors, SegmentKind, SegmentPlan, Striped, Vg};

/// How free extents may be chosen.
///
/// As LVM, each policy tries the stricter ones first: what grows under the normal policy goes behind its last extents if
/// it can, then to its own PVs, then to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum AllocPolicy {
    /// One run for each stripe; when an LV grows, right behind its last extents.
    Contiguous,
    /// One PV for each stripe; when an LV grows, those that hold its extents, stripe by stripe.
    Cling,
    /// Any runs, but never two stripes of a segment on one PV.
    Normal,
    /// Any runs; stripes may share a PV.
    Anywhere,
    /// That of the LV that grows or moves, else that of the VG.
    #[default]
    Inherit,
}

impl AllocPolicy {
    /// The policy that an LV's own word or else the VG's stands for; never [`AllocPolicy::Inherit`].
    ///
    /// A word that is not known counts as LVM counts it: an LV's as none, a VG's as the normal policy.
    pub fn of(vg: &Vg, lv: Option<&str>) -> Self {
        let own = lv.and_then(|name| vg.lv(name)).and_then(Lv::allocation_policy);
        let own = own.and_then(Self::parse);
        own.or_else(|| Self::parse(vg.allocation_policy()))
            .unwrap_or(Self::Normal)
    }

    /// LVM's word; `None` for `inherit` and what is not known.
    fn parse(word: &str) -> Option<Self> {
        match word {
            "contiguous" => Some(Self::Contiguous),
            // The second with the tags that lvm.conf lists, which it does for the first, too.
            "cling" | "cling_by_tags" => Some(Self::Cling),
            // The second is what early versions wrote.
            "normal" | "next free" => Some(Self::Normal),
            "anywhere" => Some(Self::Anywhere),
            _ => None,
        }
    }

    /// Itself, or what it inherits.
    fn resolved(self, vg: &Vg, lv: Option<&str>) -> Self {
        match self {
            Self::Inherit => Self::of(vg, lv),
            own => own,
        }
    }
}

/// LVM's word.
impl fmt::Display for AllocPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contiguous => "contiguous",
            Self::Cling => "cling",
            Self::Normal => "normal",
            Self::Anywhere => "anywhere",
            Self::Inherit => "inherit",
        })
    }
}

/// How an LV's extents are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One after the other.
    Linear,
    /// In turns over several areas.
    Striped {
        /// The number of areas, 1 to [`Striped::AREA_LIMIT`].
        stripes: u32,
        /// Sectors of one stripe on one area.
        stripe_size: Sectors,
    },
}

/// Which PVs may be used.
#[derive(Clone, Copy, Debug, Default)]
pub enum PvFilter<'a> {
    /// All.
    #[default]
    All,
    /// Those of these ids.
    Ids(&'a [PvId]),
    /// Those with one of these tags.
    Tags(&'a [&'a str]),
}

/// What is to be allocated.
#[derive(Clone, Copy, Debug)]
pub struct AllocRequest<'a> {
    /// How many extents; rounded up to whole stripes.
    pub extents: Extents,
    /// How they are spread.
    pub layout: Layout,
    /// How they may be chosen.
    pub policy: AllocPolicy,
    /// The LV that grows, if it is not a new one.
    pub extend: Option<&'a str>,
    /// Which PVs may be used.
    pub pvs: PvFilter<'a>,
    /// Most extents to take from one PV for this request.
    pub max_per_pv: Option<Extents>,
}

impl<'a> AllocRequest<'a> {
    /// A request for a new linear LV under the VG's policy on any PV.
    pub fn new(extents: Extents) -> Self {
        Self {
            extents,
            layout: Layout::Linear,
            policy: AllocPolicy::Inherit,
            extend: None,
            pvs: PvFilter::All,
            max_per_pv: None,
        }
    }
}

/// Why nothing was allocated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// Too few free extents, or none that the policy allows.
    #[error("not enough room: {needed} needed, {free} free on usable PVs, {largest} in the largest run")]
    NoSpace {
        /// Extents asked for, in whole stripes.
        needed: Extents,
        /// Free extents on the PVs that may be used.
        free: u64,
        /// The longest run of free extents there.
        largest: Extents,
    },
    /// Enough free extents, but none that a policy other than the normal one allows.
    #[error(
        "no room under the allocation policy {policy}: {needed} needed, {free} free on usable PVs, {largest} in the \
         largest run"
    )]
    Policy {
        /// The policy of the LV or of the VG.
        policy: AllocPolicy,
        /// Extents asked for, in whole stripes.
        needed: Extents,
        /// Free extents on the PVs that may be used.
        free: u64,
        /// The longest run of free extents there.
        largest: Extents,
    },
    /// More stripes than PVs that may be used.
    #[error("{stripes} stripes need as many PVs with room, found {pvs}")]
    TooFewPvs {
        /// Stripes asked for.
        stripes: u32,
        /// PVs that may be used and have a free extent.
        pvs: usize,
    },
    /// Fewer PVs have room for a whole leg of an array than it has legs.
    #[error("{legs} images of {extents} with their metadata need as many PVs with that room, found {pvs}")]
    TooFewLegs {
        /// Legs asked for.
        legs: usize,
        /// Extents of each leg, its metadata included.
        extents: Extents,
        /// PVs that may be used and have that many free.
        pvs: usize,
    },
    /// No extents, no stripes, too many stripes, or more extents than 32 bits count.
    #[error("no legal request: {0}")]
    BadRequest(&'static str),
    /// No LV of this name to grow.
    #[error("no LV {0:?} in the VG")]
    NoSuchLv(String),
    /// The VG must not be changed, and its map of free extents may be wrong.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl AllocError {
    /// Names the policy, where it and not the number of free extents is in the way.
    fn under(self, policy: AllocPolicy) -> Self {
        let is_strict = matches!(policy, AllocPolicy::Contiguous | AllocPolicy::Cling);
        match self {
            Self::NoSpace {
                needed,
                free,
                largest,
            } if is_strict && free >= u64::from(needed.get()) => Self::Policy {
                policy,
                needed,
                free,
                largest,
            },
            other => other,
        }
    }
}

/// Finds free extents for a request; gives the segments to add.
///
/// Nothing is taken: hand the segments to [`Vg::add_lv`] or [`Vg::extend_lv`].  The same VG and request give the
/// same segments.  Areas that continue the LV come first, then those on PVs that it has, then larger ones, then those on
/// earlier PVs.  Missing PVs and those that are not allocatable are never used.
///
/// # Errors
/// [`AllocError`]
pub fn allocate(vg: &Vg, request: &AllocRequest<'_>) -> Result<Vec<SegmentPlan>, AllocError> {
    if let Some(refusal) = vg.refusal() {
        return Err(refusal.into());
    }
    if request.extents == Extents::ZERO {
        return Err(AllocError::BadRequest("no extents"));
    }
    let tail = match request.extend {
        Some(name) => Some(Tail::of(vg, name)?),
        None => None,
    };
    let request = &AllocRequest {
        policy: request.policy.resolved(vg, request.extend),
        ..*request
    };
    spread(vg, request, tail.as_ref()).map_err(|error| error.under(request.policy))
}

fn spread(vg: &Vg, request: &AllocRequest<'_>, tail: Option<&Tail>) -> Result<Vec<SegmentPlan>, AllocError> {
    let mut space = Space::new(vg, request);
    match request.layout {
        Layout::Linear | Layout::Striped { stripes: 1, .. } => linear::allocate(&mut space, request, tail),
        Layout::Striped { stripes, stripe_size } => {
            let limit = u32::try_from(Striped::AREA_LIMIT).unwrap_or(u32::MAX);
            if stripes == 0 || stripes > limit {
                return Err(AllocError::BadRequest("stripes are 1 to 128"));
            }
            if stripe_size.get() == 0 {
                return Err(AllocError::BadRequest("no stripe size"));
            }
            striped::allocate(&mut space, request, tail, stripes, stripe_size)
        }
    }
}

/// Where an LV that grows ends.
struct Tail {
    /// PV and the extent behind the last one, for each area of the last segment; empty when that is not on PVs.
    ends: Vec<(PvId, u32)>,
    stripe_size: Sectors,
    /// Every PV that the LV lies on, those of its last segments first.
    pvs: Vec<PvId>,
}

impl Tail {
    fn of(vg: &Vg, name: &str) -> Result<Self, AllocError> {
        let lv = vg.lv(name).ok_or_else(|| AllocError::NoSuchLv(name.to_owned()))?;
        let mut tail = Self {
            ends: Vec::new(),
            stripe_size: Sectors::default(),
            pvs: Vec::new(),
        };
        for (at, segment) in lv.segments().iter().rev().enumerate() {
            let SegmentKind::Striped(striped) = segment.kind() else {
                continue;
            };
            let length = striped.area_extents(segment.extent_count()).get();
            for area in striped.areas() {
                let Area::Pv { pv, start } = area else { continue };
                if at == 0 {
                    tail.stripe_size = striped.stripe_size();
                    tail.ends.push((*pv, start.saturating_add(length)));
                }
                if !tail.pvs.contains(pv) {
                    tail.pvs.push(*pv);
                }
            }
        }
        Ok(tail)
    }
}
