//! The thin LVs of a VG, found by their pools and by their origins.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lvm_meta::{Lv, LvWatch, Vg};

/// Which device numbers a pool's LVs have, and which snapshots name an origin; only what changed since the last question
/// is looked at.
#[derive(Default)]
pub(crate) struct ThinIndex {
    lvs: LvWatch,
    /// By pool, how many LVs have each number: one, unless another writer made a mistake.
    ids: HashMap<String, BTreeMap<u32, usize>>,
    /// By origin.
    heirs: HashMap<String, BTreeSet<String>>,
}

impl ThinIndex {
    /// The device numbers that the LVs of a pool have.
    pub(crate) fn ids(&mut self, vg: &Vg, pool: &str) -> impl DoubleEndedIterator<Item = u32> {
        self.look(vg);
        self.ids.get(pool).into_iter().flat_map(BTreeMap::keys).copied()
    }

    /// The names of the thin LVs that name this one as their origin.
    pub(crate) fn heirs(&mut self, vg: &Vg, origin: &str) -> Vec<String> {
        self.look(vg);
        self.heirs.get(origin).into_iter().flatten().cloned().collect()
    }

    fn look(&mut self, vg: &Vg) {
        let changes = self.lvs.look(vg);
        changes.went.iter().for_each(|lv| self.forget(lv));
        changes.came.into_iter().for_each(|lv| self.note(lv));
    }

    fn note(&mut self, lv: &Lv) {
        let Some(thin) = super::thin(lv) else { return };
        let ids = self.ids.entry(thin.pool.to_string()).or_default();
        *ids.entry(thin.device_id).or_default() += 1;
        if let Some(origin) = &thin.origin {
            let heirs = self.heirs.entry(origin.to_string()).or_default();
            heirs.insert(lv.name().to_string());
        }
    }

    fn forget(&mut self, lv: &Lv) {
        let Some(thin) = super::thin(lv) else { return };
        if let Some(ids) = self.ids.get_mut(&*thin.pool)
            && let Some(count) = ids.get_mut(&thin.device_id)
        {
            *count -= 1;
            if *count == 0 {
                ids.remove(&thin.device_id);
            }
        }
        if let Some(origin) = &thin.origin
            && let Some(heirs) = self.heirs.get_mut(&**origin)
        {
            heirs.remove(lv.name());
            if heirs.is_empty() {
                self.heirs.remove(&**origin);
            }
        }
    }
}
