//! A logical volume.

use std::sync::Arc;

use super::part::Part;
use super::{LvFlags, LvStatus, Refusal, Segment, SegmentKind, Tags, WordOrder};
use crate::text::Node;
use crate::{Extents, LvId};

/// A logical volume: a name, an id, and segments that map its extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lv {
    pub(super) name: Part<str>,
    pub(super) id: LvId,
    pub(super) status: LvStatus,
    pub(super) flags: LvFlags,
    pub(super) tags: Tags,
    pub(super) creation: Option<Creation>,
    pub(super) segments: Part<[Segment]>,
    pub(super) extents: Extents,
    pub(super) rare: Option<Box<LvRare>>,
}

/// When and where an LV was made.  Most were made on one host, so its name is shared.
pub(super) type Creation = (u64, Arc<Box<str>>);

/// What few LVs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LvRare {
    pub(super) lock_args: Option<Box<str>>,
    pub(super) allocation_policy: Option<Box<str>>,
    pub(super) profile: Option<Box<str>>,
    pub(super) read_ahead: Option<i64>,
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
    pub(super) unknown_status: Vec<Box<str>>,
    pub(super) unknown_flags: Vec<Box<str>>,
    /// The order in which the words of `status` and `flags` came, where it was not LVM's.
    pub(super) came_status: WordOrder,
    pub(super) came_flags: WordOrder,
    pub(super) extras: Vec<Node>,
}

impl Lv {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id, unique in the VG.
    pub fn id(&self) -> LvId {
        self.id
    }

    /// The words of `status`.  `WRITE` is set whether or not it is stored as `WRITE_LOCKED`.
    pub fn status(&self) -> LvStatus {
        self.status
    }

    /// The words of `flags`.
    pub fn flags(&self) -> LvFlags {
        self.flags
    }

    /// Tells whether it is for users rather than a part of another LV, by its `VISIBLE` status alone; see
    /// [`Vg::is_visible`](crate::Vg::is_visible) for snapshots.
    pub fn is_visible(&self) -> bool {
        self.status.contains(LvStatus::VISIBLE)
    }

    /// Tells whether LVM shows it as long as no other LV refers to it: a snapshot's link it never does.
    pub(super) fn is_visible_alone(&self) -> bool {
        let is_link = |segment: &Segment| segment.type_name() == "snapshot";
        self.is_visible() && !self.segments.iter().any(is_link)
    }

    /// Tells whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.status.contains(LvStatus::WRITE)
    }

    /// Tells whether it takes part in a `pvmove`.
    pub fn is_locked(&self) -> bool {
        self.status.intersects(LvStatus::LOCKED | LvStatus::PVMOVE)
    }

    /// The tags, in order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter()
    }

    /// The tags as a list of their own.
    pub fn tag_list(&self) -> &Tags {
        &self.tags
    }

    /// The segments in the order of the LV's extents, without gaps.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The size in extents of the VG.
    pub fn extent_count(&self) -> Extents {
        self.extents
    }

    /// When, in seconds since 1970, and on which host it was made.
    pub fn creation(&self) -> Option<(u64, &str)> {
        self.creation.as_ref().map(|(time, host)| (*time, &***host))
    }

    /// The device numbers it asks for; `None` where it asks for none.
    pub fn device_numbers(&self) -> (Option<u32>, Option<u32>) {
        let number = |stored: Option<i64>| stored.and_then(|number| u32::try_from(number).ok());
        self.rare
            .as_ref()
            .map_or((None, None), |rare| (number(rare.major), number(rare.minor)))
    }

    /// Tells whether the text has a minor number, legal or not.
    pub(crate) fn has_minor(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.minor.is_some())
    }

    /// What the lock manager of a shared VG needs to know of this LV.
    pub(crate) fn lock_args(&self) -> Option<&str> {
        self.rare.as_ref()?.lock_args.as_deref()
    }

    /// Read-ahead in sectors as stored: `None` for automatic, -1 for none.
    pub fn read_ahead(&self) -> Option<i64> {
        self.rare.as_ref()?.read_ahead
    }

    /// The word of its allocation policy, if it does not follow the VG's.
    pub fn allocation_policy(&self) -> Option<&str> {
        self.rare.as_ref()?.allocation_policy.as_deref()
    }

    /// Tells why this LV must be neither changed nor activated: it holds what we do not know.
    pub fn refusal(&self) -> Option<Refusal> {
        if let Some(word) = self.rare.as_ref().and_then(|rare| rare.unknown_status.first()) {
            return Some(Refusal::UnknownStatus {
                owner: self.name().to_owned(),
                word: word.to_string(),
            });
        }
        self.segments.iter().find_map(|segment| match segment.kind() {
            SegmentKind::Other(other) if !other.is_known() => Some(Refusal::UnknownSegmentType {
                lv: self.name().to_owned(),
                segment_type: other.type_name().to_owned(),
            }),
            _ => None,
        })
    }

    /// Tells whether there is nothing special about it: shown to users, readable and maybe writable, with no other words and
    /// fields, and nothing but stripes on PVs.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.status.difference(LvStatus::USER).is_empty()
            && self.is_visible()
            && self.flags.is_empty()
            && self.rare.is_none()
            && self.segments.iter().all(Segment::is_ordinary)
    }

    /// Calls `each` with every LV that this one names; true for those that it stands on.
    pub(super) fn each_lv(&self, mut each: impl FnMut(&Arc<str>, bool)) {
        for segment in &*self.segments {
            segment.each_lv(&mut each);
        }
    }
}
