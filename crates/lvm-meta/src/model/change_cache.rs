//! An LV whose cache is taken off, and removed: LVM's `lvconvert --uncache`.
//!
//! What LVM commits in three steps is one here.  Reference: LVM2 `lib/metadata/cache_manip.c`, `lib/metadata/lv_manip.c`.

use std::sync::Arc;

use super::change_legs::{parts, plan_of};
use super::detail::Detail;
use super::{ChangeError, Lv, LvRole, SegmentPlan, Vg};
use crate::{Error, LvName};

/// What a cached LV stands on.
struct Parts {
    origin: Arc<str>,
    /// A cache pool, or an LV that holds all of the cache.
    cache: Arc<str>,
    is_pool: bool,
}

impl Vg {
    /// Gives an LV that is cached, of the type `cache` or `writecache`, what lies behind its cache, and removes the cache: its name,
    /// id, tags and flags stay.
    ///
    /// Images of an array behind the cache are named after the LV.  The last pool takes the spare for the repair of pools
    /// with it; LVM keeps the spare while an LV is cached by a single LV, which needs none.  That no block of the cache is dirty is the caller's to know.
    ///
    /// # Errors
    /// [`ChangeError::NotResizable`] for an LV that is not cached; [`ChangeError::LvInUse`] for a cache or an origin that
    /// others stand on, too; [`ChangeError::BadSegment`] for an origin of another size; and as [`Vg::remove_lv`].
    pub fn remove_cache(&mut self, name: &str) -> Result<(), Error> {
        self.whole(|vg| vg.remove_cache_of(name))
    }

    fn remove_cache_of(&mut self, name: &str) -> Result<(), Error> {
        let cache = self.cache_of(name)?;
        let extents = self.changeable_lv(name)?.extent_count();
        let origin = self.changeable_lv(&cache.origin)?;
        if origin.extent_count() != extents {
            return Err(ChangeError::BadSegment("an origin of another size than the cached LV").into());
        }
        let plans: Vec<SegmentPlan> = origin.segments.iter().map(plan_of).collect();
        // Nothing names the origin and the cache while they go.
        self.replace_segments(name, vec![SegmentPlan::error(extents)])?;
        self.remove_lv(&cache.origin)?;
        self.replace_segments(name, plans)?;
        for (from, to) in self.parts_named_after(name, &cache.origin) {
            self.rename_lv(&from, LvName::parse(&to)?)?;
        }
        self.remove_with_parts(&cache.cache)?;
        match cache.is_pool {
            true => self.remove_unneeded_spare(),
            false => Ok(()),
        }
    }

    fn cache_of(&self, name: &str) -> Result<Parts, ChangeError> {
        match self.changeable_lv(name)?.detail() {
            Some(Detail::Cache(cache)) => Ok(Parts {
                origin: cache.origin,
                cache: cache.pool,
                is_pool: cache.volume.is_none(),
            }),
            Some(Detail::Writecache(cache)) => Ok(Parts {
                origin: cache.origin,
                cache: cache.cache,
                is_pool: false,
            }),
            _ => Err(self.not_resizable(name)),
        }
    }

    /// The images of an array that are named after another LV, each with its name after the array.
    fn parts_named_after(&self, name: &str, other: &str) -> Vec<(String, String)> {
        let Some(Detail::Raid(raid)) = self.lv(name).and_then(Lv::detail) else {
            return Vec::new();
        };
        let renamed = |part: String| {
            let rest = part.strip_prefix(other)?.strip_prefix('_')?;
            let to = format!("{name}_{rest}");
            Some((part, to))
        };
        parts(&raid).into_iter().filter_map(renamed).collect()
    }

    /// Removes an LV and those that it stands on.
    fn remove_with_parts(&mut self, name: &str) -> Result<(), Error> {
        let mut due: Vec<Arc<str>> = vec![name.into()];
        while let Some(next) = due.pop() {
            if let Some(lv) = self.lv(&next) {
                lv.each_lv(|part, is_below| due.extend(is_below.then(|| part.clone())));
            }
            // Each is there once, so this ends.
            self.remove_lv(&next)?;
        }
        Ok(())
    }

    fn remove_unneeded_spare(&mut self) -> Result<(), Error> {
        let is_pool = |lv: &Lv| matches!(lv.detail(), Some(Detail::ThinPool(_) | Detail::CachePool(_)));
        if self.lvs().any(is_pool) {
            return Ok(());
        }
        let spares = self.lvs().filter(|lv| self.role(lv) == LvRole::PoolSpare);
        let spares: Vec<String> = spares.map(|lv| lv.name().to_owned()).collect();
        spares
            .iter()
            .try_for_each(|spare| self.remove_lv(spare).map(drop))
    }
}
