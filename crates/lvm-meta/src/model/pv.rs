//! A physical volume as its VG's text describes it.

use super::{ExtentMap, PvFlags, PvStatus, Tags, WordOrder};
use crate::text::Node;
use crate::{Extents, PvId, Sectors};

/// A physical volume of a VG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pv {
    pub(super) key: Box<str>,
    pub(super) id: PvId,
    pub(super) device: Option<Box<str>>,
    pub(super) device_id: Option<(Box<str>, Box<str>)>,
    pub(super) status: PvStatus,
    pub(super) flags: PvFlags,
    pub(super) unknown_status: Vec<Box<str>>,
    pub(super) unknown_flags: Vec<Box<str>>,
    /// The order in which the words of `status` and `flags` came, where it was not LVM's.
    pub(super) came_status: WordOrder,
    pub(super) came_flags: WordOrder,
    pub(super) tags: Tags,
    pub(super) dev_size: Option<Sectors>,
    pub(super) pe_start: Sectors,
    pub(super) pe_count: Extents,
    pub(super) bootloader: Option<(Sectors, Sectors)>,
    pub(super) extras: Vec<Node>,
    pub(super) map: ExtentMap,
}

impl Pv {
    /// The key of its section: `pv0`, `pv1`, ... in the order of the VG.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The id, which its label holds, too.
    pub fn id(&self) -> PvId {
        self.id
    }

    /// The path its device had when the VG was written last: a hint, no more.
    pub fn device_hint(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Type and name of the device's id in LVM's devices file, if one is stored.
    pub fn device_id(&self) -> Option<(&str, &str)> {
        self.device_id.as_ref().map(|(kind, name)| (&**kind, &**name))
    }

    /// The words of `status`.
    pub fn status(&self) -> PvStatus {
        self.status
    }

    /// Tells whether its device was missing when the VG was written last.
    pub fn is_missing(&self) -> bool {
        self.flags.contains(PvFlags::MISSING)
    }

    /// Tells whether new extents may be taken from it.
    pub fn is_allocatable(&self) -> bool {
        self.status.contains(PvStatus::ALLOCATABLE)
    }

    /// The size of its device in sectors; 0 when an old text does not say.
    pub fn dev_size(&self) -> Sectors {
        self.dev_size.unwrap_or_default()
    }

    /// The first sector of extent 0.
    pub fn pe_start(&self) -> Sectors {
        self.pe_start
    }

    /// The number of its extents.
    pub fn pe_count(&self) -> Extents {
        self.pe_count
    }

    /// Extents in use by LVs.
    pub fn used(&self) -> Extents {
        Extents::new(self.pe_count.get().saturating_sub(self.map.free_count()))
    }

    /// Extents in no LV, allocatable or not.
    pub fn free(&self) -> Extents {
        Extents::new(self.map.free_count())
    }

    /// Runs of free extents as (first extent, length), by their first extent.
    pub fn free_runs(&self) -> impl DoubleEndedIterator<Item = (u32, Extents)> {
        self.map
            .runs()
            .map(|(start, length)| (start, Extents::new(length)))
    }

    /// The free extents in one run from an extent on; 0 when that extent is in use.
    pub fn free_from(&self, start: u32) -> Extents {
        Extents::new(self.map.free_from(start))
    }

    /// The tags.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Start and size of the bootloader area, if there is one.
    pub fn bootloader_area(&self) -> Option<(Sectors, Sectors)> {
        self.bootloader
    }
}
