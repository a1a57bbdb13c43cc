//! The display names that the LVs of a VG have.

use std::collections::HashMap;

use lvm_meta::{Lv, LvWatch, Vg};

use crate::replica::display_name;

/// How many LVs have each display name; only what changed since the last question is looked at.
#[derive(Default)]
pub(crate) struct DisplayNames {
    lvs: LvWatch,
    counts: HashMap<String, usize>,
}

impl DisplayNames {
    /// Tells whether an LV of the VG other than `except` has a display name.
    pub(crate) fn is_taken(&mut self, vg: &Vg, name: &str, except: Option<&Lv>) -> bool {
        let changes = self.lvs.look(vg);
        for went in changes.went.iter().filter_map(|lv| display_name(lv)) {
            if let Some(count) = self.counts.get_mut(went) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(went);
                }
            }
        }
        for came in changes.came.into_iter().filter_map(display_name) {
            *self.counts.entry(came.to_string()).or_default() += 1;
        }
        let own = usize::from(except.and_then(display_name) == Some(name));
        self.counts.get(name).is_some_and(|count| *count > own)
    }
}
