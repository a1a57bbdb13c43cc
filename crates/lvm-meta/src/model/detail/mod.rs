//! The fields of the segment types that are kept as text: read when they are asked for, and printed for new segments.
//!
//! The text stays what counts: unknown keys survive, and what was read comes back in its own bytes.  A detail is what
//! LVM would read from it.  Reference: the `text_import` and `text_export` of each of LVM2's segment types, in `lib/`.

mod cache;
mod fields;
mod integrity;
mod mirror;
mod raid;
#[cfg(feature = "serde")]
mod serial;
mod snapshot;
mod thin;
mod vdo;

pub use cache::{Cache, CachePool, CacheSettings, CacheVolume, Writecache};
pub use fields::{DetailError, DetailProblem};
pub use integrity::Integrity;
pub use mirror::{Mirror, MirrorArea};
pub use raid::{Raid, RaidLayout, RaidLeg};
pub use snapshot::Snapshot;
pub use thin::{Thin, ThinMessage, ThinPool};
pub use vdo::{Vdo, VdoPool};

use super::opaque::split_type;
use crate::text::Section;
use fields::Fields;

/// What a segment of a type other than striped, error and zero is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Detail {
    /// Copies kept by the kernel's mirror target; also the pieces of a `pvmove`.
    Mirror(Mirror),
    /// RAID of any level, by the kernel's RAID target.
    Raid(Raid),
    /// What ties a copy-on-write snapshot to its origin.
    Snapshot(Snapshot),
    /// A pool of thin LVs.
    ThinPool(ThinPool),
    /// A thin LV.
    Thin(Thin),
    /// Data and metadata of a cache.
    CachePool(CachePool),
    /// A cached LV.
    Cache(Cache),
    /// An LV with a cache for its writes.
    Writecache(Writecache),
    /// A RAID image with checksums.
    Integrity(Integrity),
    /// A pool of deduplicated and compressed LVs.
    VdoPool(VdoPool),
    /// An LV in such a pool.
    Vdo(Vdo),
}

impl Detail {
    /// Reads the fields of a type; `None` for a type that is not known.
    pub(super) fn read(type_name: &str, section: &Section) -> Result<Option<Self>, DetailError> {
        let (base, _, is_known) = split_type(type_name);
        let fields = Fields::new(type_name, section);
        if !is_known {
            return Ok(None);
        }
        Ok(Some(match base {
            "mirror" => Self::Mirror(Mirror::read(&fields)?),
            "snapshot" => Self::Snapshot(Snapshot::read(&fields)?),
            "thin-pool" => Self::ThinPool(ThinPool::read(&fields, section)?),
            "thin" => Self::Thin(Thin::read(&fields)?),
            "cache-pool" => Self::CachePool(CachePool::read(&fields)?),
            "cache" => Self::Cache(Cache::read(&fields)?),
            "writecache" => Self::Writecache(Writecache::read(&fields)?),
            "integrity" => Self::Integrity(Integrity::read(&fields)?),
            "vdo-pool" => Self::VdoPool(VdoPool::read(&fields)?),
            "vdo" => Self::Vdo(Vdo::read(&fields)?),
            other => match RaidLayout::parse(other) {
                Some(layout) => Self::Raid(Raid::read(layout, &fields)?),
                None => return Ok(None),
            },
        }))
    }

    /// Prints the fields as LVM does on a disk, without the newline of the last line.
    pub fn print(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Mirror(detail) => detail.print(&mut out),
            Self::Raid(detail) => detail.print(&mut out),
            Self::Snapshot(detail) => detail.print(&mut out),
            Self::ThinPool(detail) => detail.print(&mut out),
            Self::Thin(detail) => detail.print(&mut out),
            Self::CachePool(detail) => detail.print(&mut out),
            Self::Cache(detail) => detail.print(&mut out),
            Self::Writecache(detail) => detail.print(&mut out),
            Self::Integrity(detail) => detail.print(&mut out),
            Self::VdoPool(detail) => detail.print(&mut out),
            Self::Vdo(detail) => detail.print(&mut out),
        }
        out.truncate(out.trim_end_matches('\n').len());
        out
    }
}

#[cfg(test)]
mod tests;
