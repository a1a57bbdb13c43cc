//! Which LVs of a VG are others than at the last look.

use std::sync::Arc;

use super::{Lv, Vg};

/// The LVs of a VG as they were at the last look, each with a note.
///
/// An LV lies behind an `Arc`, and nothing changes it there while a second one holds it: every change puts another LV
/// in its place.  So the same `Arc` is the same LV, whatever was done meanwhile, and nobody has to say what he changed.
#[derive(Clone, Debug)]
pub struct LvWatch<T = ()> {
    lvs: Vec<(Arc<Lv>, T)>,
}

impl<T> Default for LvWatch<T> {
    fn default() -> Self {
        Self { lvs: Vec::new() }
    }
}

/// What is new since the last look, and what is no more; an LV that was changed is both.
#[derive(Clone, Debug, Default)]
pub struct LvChanges<'a> {
    /// LVs that are not there any more as they were.
    pub went: Vec<Arc<Lv>>,
    /// LVs that were not there as they are.
    pub came: Vec<&'a Lv>,
}

impl LvWatch {
    /// Looks again.  To the first look all LVs are new.
    ///
    /// An LV that did not change costs the comparison of two addresses.
    pub fn look<'a>(&mut self, vg: &'a Vg) -> LvChanges<'a> {
        let mut came = Vec::new();
        let went = self.walk(vg, |lv, _, before| {
            if before.is_none() {
                came.push(&**lv);
            }
        });
        let went = went.into_iter().map(|(lv, ())| lv).collect();
        LvChanges { went, came }
    }
}

impl<T> LvWatch<T> {
    /// Calls `each` with every LV of the VG, in order, whether others refer to it, and its note if it is as it was at the
    /// last look; takes the new note.  Gives the LVs that are not there any more as they were, with their notes.
    pub(crate) fn walk<'a>(
        &mut self,
        vg: &'a Vg,
        mut each: impl FnMut(&'a Arc<Lv>, bool, Option<T>) -> T,
    ) -> Vec<(Arc<Lv>, T)> {
        let mut now = Vec::with_capacity(vg.lv_count());
        let mut went = Vec::new();
        let mut before = std::mem::take(&mut self.lvs).into_iter();
        for (lv, has_users) in vg.lvs.entries() {
            // LVs keep their order, and new ones come last: what does not match was changed here, or is gone.
            let mut same = None;
            for (old, note) in before.by_ref() {
                if Arc::ptr_eq(&old, lv) {
                    same = Some((old, note));
                    break;
                }
                let is_changed = old.id == lv.id;
                went.push((old, note));
                if is_changed {
                    break;
                }
            }
            let (held, note) = match same {
                Some((held, note)) => (held, Some(note)),
                None => (lv.clone(), None),
            };
            now.push((held, each(lv, has_users, note)));
        }
        went.extend(before);
        self.lvs = now;
        went
    }

    /// The note of the LV in a place of the last look.
    pub(crate) fn note_mut(&mut self, place: usize) -> Option<&mut T> {
        self.lvs.get_mut(place).map(|(_, note)| note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ExtentSize, Extents, LvFlags, LvId, LvName, LvStatus, NewLv, NewVg, SegmentPlan, VgId, VgName,
    };

    fn empty() -> Vg {
        Vg::new(NewVg {
            name: VgName::parse("vg0").unwrap(),
            id: VgId::from_uuid_bytes([9; 16]),
            extent_size: ExtentSize::DEFAULT,
            tags: Vec::new(),
            system_id: None,
        })
    }

    fn add(vg: &mut Vg, number: u8) {
        let (name, id) = (
            LvName::parse(&format!("lv{number}")).unwrap(),
            LvId::from_uuid_bytes([number; 16]),
        );
        let segments = vec![SegmentPlan::zero(Extents::new(1))];
        vg.add_lv(NewLv::new(name, id, segments)).unwrap();
    }

    #[track_caller]
    fn check_look(watch: &mut LvWatch, vg: &Vg, went: &[&str], came: &[&str]) {
        let changes = watch.look(vg);
        let found: Vec<&str> = changes.went.iter().map(|lv| lv.name()).collect();
        assert_eq!(found, went);
        let found: Vec<&str> = changes.came.iter().map(|lv| lv.name()).collect();
        assert_eq!(found, came);
    }

    #[test]
    fn a_look_tells_what_every_change_did_since_the_last() {
        let mut vg = empty();
        let mut watch = LvWatch::default();
        (0..4).for_each(|number| add(&mut vg, number));
        check_look(&mut watch, &vg, &[], &["lv0", "lv1", "lv2", "lv3"]);
        check_look(&mut watch, &vg, &[], &[]);
        vg.set_lv_tags("lv1", &["a"]).unwrap();
        vg.remove_lv("lv2").unwrap();
        add(&mut vg, 5);
        check_look(&mut watch, &vg, &["lv1", "lv2"], &["lv1", "lv5"]);
        let segments = vec![SegmentPlan::zero(Extents::new(2))];
        vg.extend_lv("lv0", segments).unwrap();
        vg.set_lv_status("lv1", LvStatus::HIDDEN, LvFlags::empty())
            .unwrap();
        vg.rename_lv("lv3", LvName::parse("other").unwrap()).unwrap();
        check_look(&mut watch, &vg, &["lv0", "lv1", "lv3"], &["lv0", "lv1", "other"]);
        let text = vg.print_raw(&crate::Provenance::default());
        let anew = Vg::parse(&text).unwrap();
        // The hidden one comes last in a text.
        check_look(
            &mut watch,
            &anew,
            &["lv0", "lv1", "other", "lv5"],
            &["lv0", "other", "lv5", "lv1"],
        );
    }

    #[test]
    fn an_lv_that_was_removed_and_made_again_is_another() {
        let mut vg = empty();
        add(&mut vg, 0);
        add(&mut vg, 1);
        let mut watch = LvWatch::default();
        watch.look(&vg);
        vg.remove_lv("lv0").unwrap();
        add(&mut vg, 0);
        check_look(&mut watch, &vg, &["lv0"], &["lv0"]);
        assert_eq!(watch.look(&vg).came.len(), 0);
    }
}
