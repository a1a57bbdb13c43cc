//! Another name for an LV, wherever the VG's metadata have it.
//!
//! Segments kept as text name the LVs below them in fields of their own.  Those of arrays, thin LVs and classic snapshots are
//! printed again with the new name if nothing else of the text is lost by it; any other stays, and keeps the names that it has.

use std::sync::Arc;

use super::detail::Detail;
use super::{ChangeError, LvRole, Opaque, SegmentKind, SegmentPlan, Vg};
use crate::{Error, Extents, LvName};

impl Vg {
    /// Gives an LV another name, and the images of an array theirs after it, as LVM does; as a whole or not at all.
    ///
    /// # Errors
    /// As [`Vg::rename_lv`], of any of them.
    pub fn rename_lv_with_parts(&mut self, from: &str, to: LvName) -> Result<(), Error> {
        let parts = self.renamed_parts(from, to.as_str());
        self.whole(|vg| {
            vg.rename_lv(from, to)?;
            parts
                .iter()
                .try_for_each(|(part, to)| vg.rename_lv(part, LvName::parse(to)?))
        })
    }

    /// The images of an array of a name, each with what it is called when the array is called `to`.
    ///
    /// Only those that are named after the array are among them; other LVs have none.
    pub fn renamed_parts(&self, name: &str, to: &str) -> Vec<(String, String)> {
        let mut parts = Vec::new();
        if let Some(lv) = self.lv(name) {
            lv.each_lv(|below, _| parts.push(below.to_string()));
        }
        let is_image = |part: &str| {
            let role = self.lv(part).map(|lv| self.role(lv));
            matches!(role, Some(LvRole::RaidImage { of, .. } | LvRole::RaidMeta { of, .. }) if of == name)
        };
        parts.retain(|part| is_image(part));
        let new = |part: String| {
            let rest = part.strip_prefix(name)?.strip_prefix('_')?;
            let to = format!("{to}_{rest}");
            Some((part, to))
        };
        parts.into_iter().filter_map(new).collect()
    }

    /// Refuses an LV that the records of removed LVs name.
    pub(super) fn check_not_in_history(&self, name: &str) -> Result<(), ChangeError> {
        let history = self.history.as_ref();
        match history.is_some_and(|history| history.names.contains(name)) {
            true => Err(ChangeError::LvInUse {
                lv: name.to_owned(),
                by: "historical_logical_volumes".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

impl Opaque {
    /// The segment with another name for an LV that it refers to; `None` if it cannot be told whether all else stays.
    pub(super) fn renamed(&self, from: &str, to: &Arc<str>) -> Option<Self> {
        let print = |detail: &Detail| {
            let plan = SegmentPlan::of_detail(Extents::new(1), self.type_name(), detail).ok()?;
            match plan.kind {
                SegmentKind::Other(opaque) => Some(opaque),
                _ => None,
            }
        };
        let mut detail = self.detail().ok()??;
        // A field that is not known would be lost.
        print(&detail).filter(|same| same.section() == self.section())?;
        detail.rename(from, to);
        let is_named = |opaque: &Self| {
            let mut names = opaque.stands_on().iter().chain(opaque.mentions());
            names.any(|name| **name == *from)
        };
        print(&detail).filter(|new| !is_named(new))
    }
}

impl Detail {
    /// Gives an LV another name in the fields of arrays, thin LVs and snapshots.
    fn rename(&mut self, from: &str, to: &Arc<str>) {
        let change = |name: &mut Arc<str>| {
            if **name == *from {
                *name = to.clone();
            }
        };
        match self {
            Self::Raid(raid) => {
                for leg in &mut raid.legs {
                    leg.meta.iter_mut().chain([&mut leg.image]).for_each(change);
                }
            }
            Self::Thin(thin) => {
                let others = [&mut thin.external_origin, &mut thin.origin, &mut thin.merge];
                let others = others.into_iter().flatten();
                others.chain([&mut thin.pool]).for_each(change);
            }
            Self::Snapshot(snapshot) => {
                [&mut snapshot.origin, &mut snapshot.store]
                    .into_iter()
                    .for_each(change);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> LvName {
        LvName::parse(name).unwrap()
    }

    #[test]
    fn an_array_is_renamed_with_its_images_and_back_without_a_trace() {
        let text = include_bytes!("../../tests/data/lvm2-2.03.16/raid5/vgcfgbackup.txt");
        let before = Vg::parse(text).unwrap();
        let array = before
            .lvs()
            .find(|lv| matches!(lv.detail(), Some(Detail::Raid(_))))
            .unwrap();
        let old = array.name().to_string();
        let mut vg = before.clone();
        vg.rename_lv_with_parts(&old, name("new")).unwrap();
        assert_eq!(vg.lv("new").unwrap().id(), array.id());
        let Some(Detail::Raid(raid)) = vg.lv("new").unwrap().detail() else {
            panic!("no array any more")
        };
        for (at, leg) in raid.legs.iter().enumerate() {
            assert_eq!(*leg.image, *format!("new_rimage_{at}"));
            assert_eq!(leg.meta.as_deref(), Some(&*format!("new_rmeta_{at}")));
            assert_eq!(vg.users_of(&leg.image).count(), 1);
        }
        assert!(vg.lvs().all(|lv| !lv.name().starts_with(&old)));
        vg.rename_lv_with_parts("new", name(&old)).unwrap();
        assert_eq!(vg, before);
    }

    #[test]
    fn classic_snapshots_follow_the_names_of_their_origin_and_store() {
        let text = include_bytes!("../../tests/data/lvm2-2.03.16/snapshot/vgcfgbackup.txt");
        let before = Vg::parse(text).unwrap();
        let link = before.lvs().find_map(|lv| match lv.detail() {
            Some(Detail::Snapshot(snapshot)) => Some(snapshot),
            _ => None,
        });
        let (origin, store) = link.map(|link| (link.origin, link.store)).unwrap();
        let mut vg = before.clone();
        vg.rename_lv(&origin, name("o")).unwrap();
        vg.rename_lv(&store, name("s")).unwrap();
        assert!(vg.lvs().any(|lv| matches!(
            lv.detail(),
            Some(Detail::Snapshot(link)) if *link.origin == *"o" && *link.store == *"s"
        )));
        vg.rename_lv("o", name(&origin)).unwrap();
        vg.rename_lv("s", name(&store)).unwrap();
        assert_eq!(vg, before);
    }

    #[test]
    fn nothing_is_renamed_when_an_image_s_name_is_taken() {
        let text = include_bytes!("../../tests/data/lvm2-2.03.16/raid5/vgcfgbackup.txt");
        let mut vg = Vg::parse(text).unwrap();
        let arrays = vg.lvs().filter(|lv| matches!(lv.detail(), Some(Detail::Raid(_))));
        let array = arrays.map(|lv| lv.name().to_string()).next().unwrap();
        let one = crate::NewLv::new(
            name("new_rimage_1"),
            crate::LvId::from_random([7; 32]),
            vec![SegmentPlan::error(Extents::new(1))],
        );
        vg.add_lv(one).unwrap();
        let before = vg.clone();
        vg.rename_lv_with_parts(&array, name("new")).unwrap_err();
        assert_eq!(vg, before);
    }

    #[test]
    fn thin_snapshots_follow_the_name_of_their_origin() {
        let text = include_bytes!("../../tests/data/lvm2-2.03.16/thin/vgcfgbackup.txt");
        let before = Vg::parse(text).unwrap();
        let origin = before.lvs().find_map(|lv| match lv.detail() {
            Some(Detail::Thin(thin)) => thin.origin,
            _ => None,
        });
        let origin = origin.unwrap();
        let mut vg = before.clone();
        vg.rename_lv_with_parts(&origin, name("new")).unwrap();
        let of_new = vg.users_of("new").filter(
            |lv| matches!(lv.detail(), Some(Detail::Thin(thin)) if thin.origin.as_deref() == Some("new")),
        );
        assert!(of_new.count() > 0);
        assert!(vg.lv(&origin).is_none());
        vg.rename_lv_with_parts("new", name(&origin)).unwrap();
        assert_eq!(vg, before);
    }

    #[test]
    fn text_with_a_field_that_is_not_known_keeps_its_names() {
        let body = "thin_pool = \"p\"\ntransaction_id = 1\ndevice_id = 1\norigin = \"a\"";
        let rename = |body: &str| {
            let thin = Opaque::parse("thin", body).unwrap().unwrap();
            thin.renamed("a", &"b".into())
        };
        assert!(rename(body).unwrap().body().contains("origin = \"b\""));
        assert!(rename(&format!("{body}\nfuture = 1")).is_none());
    }
}
