//! What an LV is for: told by who stands on it, not by its name.

use super::detail::Detail;
use super::{Area, Lv, LvStatus, Segment, SegmentKind, Vg};

/// What an LV is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "role", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LvRole<'a> {
    /// For users, or an origin that stays one.
    Public,
    /// Data of one leg of an array.
    RaidImage {
        /// The array.
        of: &'a str,
        /// Which leg, from 0.
        leg: usize,
    },
    /// Metadata of one leg of an array.
    RaidMeta {
        /// The array.
        of: &'a str,
        /// Which leg, from 0.
        leg: usize,
    },
    /// One copy of a mirror.
    MirrorImage {
        /// The mirror.
        of: &'a str,
        /// Which copy, from 0.
        leg: usize,
    },
    /// Where a mirror notes which regions are in sync.
    MirrorLog {
        /// The mirror.
        of: &'a str,
    },
    /// The data of a thin, cache or VDO pool.
    PoolData {
        /// The pool.
        of: &'a str,
    },
    /// The metadata of a thin or cache pool.
    PoolMetadata {
        /// The pool.
        of: &'a str,
    },
    /// Kept for the repair of any pool's metadata.
    PoolSpare,
    /// The cache of an LV: a pool, or an LV that is all of it.
    CacheOf {
        /// The cached LV.
        of: &'a str,
    },
    /// What lies behind a cache.
    CacheOrigin {
        /// The cached LV.
        of: &'a str,
    },
    /// Where a snapshot keeps what differs from its origin.
    SnapshotStore {
        /// The origin.
        origin: &'a str,
    },
    /// What ties a snapshot to its origin, and is nothing itself.
    SnapshotLink,
    /// Data below checksums.
    IntegrityOrigin {
        /// The LV with checksums.
        of: &'a str,
    },
    /// Checksums of data on another LV.
    IntegrityMeta {
        /// The LV with checksums.
        of: &'a str,
    },
    /// The zeros of which a snapshot without an origin is one.
    VirtualOrigin {
        /// The snapshot's store.
        of: &'a str,
    },
    /// A thin snapshot on its way into the LV that it was taken of.
    Merging {
        /// That LV.
        into: &'a str,
    },
    /// What a linear or striped LV lies on.
    Layer {
        /// The LV above.
        of: &'a str,
    },
    /// The hidden LV of a `pvmove`.
    PvMove,
    /// Hidden, and nobody says what for.
    Hidden,
}

impl Vg {
    /// Derives what an LV is for.
    ///
    /// A user whose own fields cannot be read tells nothing.
    pub fn role(&self, lv: &Lv) -> LvRole<'_> {
        if lv.status.contains(LvStatus::PVMOVE) {
            return LvRole::PvMove;
        }
        if lv
            .segments
            .iter()
            .any(|segment| segment.type_name() == "snapshot")
        {
            return LvRole::SnapshotLink;
        }
        let roles = self
            .users_of(lv.name())
            .flat_map(|user| user.segments.iter().map(move |segment| (user, segment)))
            .filter_map(|(user, segment)| self.role_for(lv, user, segment));
        let mut roles = roles.filter(|role| *role != LvRole::Public);
        match roles.next() {
            Some(role) => role,
            None if lv.is_visible() => LvRole::Public,
            // Nobody stands on a spare: that it is one only its name tells, to LVM too.
            None if lv.name().contains("_pmspare") => LvRole::PoolSpare,
            None => self
                .merge_target(lv)
                .map_or(LvRole::Hidden, |into| LvRole::Merging { into }),
        }
    }

    fn merge_target(&self, lv: &Lv) -> Option<&str> {
        let SegmentKind::Other(other) = lv.segments.first()?.kind() else {
            return None;
        };
        match other.detail().ok().flatten()? {
            Detail::Thin(thin) => self.lv(&thin.merge?).map(Lv::name),
            _ => None,
        }
    }

    /// What an LV is to one segment of its user.
    fn role_for<'a>(&'a self, lv: &Lv, user: &'a Lv, segment: &Segment) -> Option<LvRole<'a>> {
        let (of, is_it) = (user.name(), |own: &str| own == lv.name());
        let other = match segment.kind() {
            SegmentKind::Other(other) => other,
            SegmentKind::Striped(striped) => {
                let is_area = |area: &Area| matches!(area, Area::Lv { name, .. } if is_it(name));
                return striped
                    .areas()
                    .iter()
                    .any(is_area)
                    .then_some(LvRole::Layer { of });
            }
            _ => return None,
        };
        Some(match other.detail().ok().flatten()? {
            Detail::Raid(raid) => {
                let image = raid.legs.iter().position(|leg| is_it(&leg.image));
                let meta = || {
                    let is_meta = |meta: &std::sync::Arc<str>| is_it(meta);
                    raid.legs
                        .iter()
                        .position(|leg| leg.meta.as_ref().is_some_and(is_meta))
                };
                match image {
                    Some(leg) => LvRole::RaidImage { of, leg },
                    None => LvRole::RaidMeta { of, leg: meta()? },
                }
            }
            Detail::Mirror(mirror) => match mirror.images.iter().position(|image| is_it(&image.name)) {
                Some(leg) => LvRole::MirrorImage { of, leg },
                None => LvRole::MirrorLog { of },
            },
            Detail::ThinPool(pool) if is_it(&pool.data) => LvRole::PoolData { of },
            Detail::ThinPool(pool) if is_it(&pool.metadata) => LvRole::PoolMetadata { of },
            Detail::CachePool(pool) if is_it(&pool.data) => LvRole::PoolData { of },
            Detail::CachePool(_) => LvRole::PoolMetadata { of },
            Detail::VdoPool(_) => LvRole::PoolData { of },
            Detail::Cache(cache) if is_it(&cache.origin) => LvRole::CacheOrigin { of },
            Detail::Cache(_) => LvRole::CacheOf { of },
            Detail::Writecache(cache) if is_it(&cache.origin) => LvRole::CacheOrigin { of },
            Detail::Writecache(_) => LvRole::CacheOf { of },
            Detail::Integrity(integrity) if is_it(&integrity.origin) => LvRole::IntegrityOrigin { of },
            Detail::Integrity(_) => LvRole::IntegrityMeta { of },
            Detail::Snapshot(snapshot) if is_it(&snapshot.store) => LvRole::SnapshotStore {
                origin: self.lv(&snapshot.origin)?.name(),
            },
            Detail::Snapshot(snapshot) if !lv.is_visible() => LvRole::VirtualOrigin {
                of: self.lv(&snapshot.store)?.name(),
            },
            // Pools, origins of snapshots, and thin LVs that a message is about, stay what they are.
            Detail::Snapshot(_) | Detail::ThinPool(_) | Detail::Thin(_) | Detail::Vdo(_) => LvRole::Public,
        })
    }
}
