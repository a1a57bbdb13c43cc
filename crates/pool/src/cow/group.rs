//! An origin and its snapshots.
//!
//! | device | uuid's word | table |
//! | --- | --- | --- |
//! | `VG-ORIGIN-real` | `real` | the origin's segments, or the array that it is |
//! | `VG-ORIGIN` | | `snapshot-origin` on it |
//! | `VG-SNAPSHOT-cow` | `cow` | the store's segments |
//! | `VG-SNAPSHOT` | | `snapshot` of the real origin on the store |
//!
//! In the metadata the store is an LV with the snapshot's name, and a third LV, `snapshotN`, ties it to the origin: it is as
//! long as the origin was when the snapshot was taken.  Reference: LVM2 `lib/metadata/snapshot_manip.c`,
//! `lib/activate/dev_manager.c`.

use lvm_dm::{DmUuid, UdevFlags};
use lvm_meta::detail::{Detail, Snapshot};
use lvm_meta::{Lv, LvName, Vg};

use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::table_on::{TableOn, TargetOn};
use crate::{Error, naming};

/// What LVM's names of the LVs that tie begin with.
const LINK: &str = "snapshot";

/// An origin with all its snapshots, which LVM makes, stops and takes away together.
#[derive(Clone, Debug)]
pub(crate) struct Group<'a> {
    pub(super) vg: &'a Vg,
    pub(crate) origin: &'a Lv,
    pub(crate) members: Vec<Member<'a>>,
}

/// One snapshot of an origin.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    /// What ties the store to the origin.
    pub(crate) link: &'a Lv,
    /// The LV that is named as the snapshot.
    pub(crate) store: &'a Lv,
    pub(crate) detail: Snapshot,
}

impl<'a> Group<'a> {
    /// The group that an LV is of, as its origin or as a snapshot's store.
    pub(crate) fn of(vg: &'a Vg, lv: &Lv) -> Option<Self> {
        Self::of_origin(vg, lv).or_else(|| {
            let mut links = vg.users_of(lv.name()).filter_map(link);
            let of_store = links.find(|detail| *detail.store == *lv.name())?;
            Self::of_origin(vg, vg.lv(&of_store.origin)?)
        })
    }

    /// The group of an origin.
    pub(crate) fn of_origin(vg: &'a Vg, lv: &Lv) -> Option<Self> {
        let member = |user: &'a Lv| {
            let detail = link(user).filter(|detail| *detail.origin == *lv.name())?;
            Some(Member {
                link: user,
                store: vg.lv(&detail.store)?,
                detail,
            })
        };
        let members: Vec<Member<'a>> = vg.users_of(lv.name()).filter_map(member).collect();
        let origin = vg.lv(lv.name()).filter(|_| !members.is_empty())?;
        Some(Self { vg, origin, members })
    }

    /// The groups of a VG.
    pub(crate) fn all(vg: &'a Vg) -> impl Iterator<Item = Self> {
        // An origin has several links; the first of them tells of it.
        let first = |lv: &'a Lv| {
            let group = Self::of_origin(vg, vg.lv(&link(lv)?.origin)?)?;
            let is_first = group
                .members
                .first()
                .is_some_and(|member| member.link.name() == lv.name());
            is_first.then_some(group)
        };
        vg.lvs().filter_map(first)
    }

    /// The snapshot of a name.
    pub(crate) fn member(&self, store: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.store.name() == store)
    }

    /// What must not be done to an origin of snapshots.
    pub(crate) fn refuse(&self, what: &'static str) -> Error {
        let names = self.members.iter().map(|member| member.store.name().to_string());
        Error::HasSnapshots {
            replica: self.origin.name().into(),
            what,
            snapshots: names.collect(),
        }
    }

    /// Refuses a group that this crate does not map: one that merges, one without an origin of its own, and one over
    /// anything but PVs and arrays.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::MissingDisk`].
    pub(crate) fn check(&self, open: &OpenVg) -> Result<(), Error> {
        self.check_links()?;
        let mut stores = self.members.iter();
        stores.try_for_each(|member| open.table_of_part(member.store).map(drop))?;
        match self.array() {
            Some(array) => array.check(),
            None => open.table_of_part(self.origin).map(drop),
        }
    }

    /// As [`Group::check`], whatever origin and stores lie on.
    pub(crate) fn check_links(&self) -> Result<(), Error> {
        let refuse = |what: &str| {
            let what = format!("mapping {:?}, {what},", self.origin.name());
            Err(Error::Unsupported(what))
        };
        if self.members.iter().any(|member| member.detail.is_merging) {
            return refuse("into which a snapshot is being merged");
        }
        if !self.origin.is_visible() {
            return refuse("which is no origin that users see");
        }
        let stores = self.members.iter().map(|member| (member.store, 1));
        for (lv, links) in stores.chain([(self.origin, self.members.len())]) {
            if self.vg.users_of(lv.name()).count() != links {
                return refuse("on which others than its snapshots stand");
            }
        }
        Ok(())
    }

    /// The array that the origin may be.
    pub(super) fn array(&self) -> Option<Array<'a>> {
        Array::of(self.vg, self.origin)
    }

    /// The uuid of the device that the origin's users see.
    pub(crate) fn uuid(&self) -> DmUuid {
        naming::dm_uuid(&self.vg.id(), &self.origin.id())
    }

    /// The device with the origin's data.
    pub(crate) fn real(&self) -> Result<Layer, Error> {
        Layer::of(self.vg, self.origin, "real", "real")
    }

    /// The table of the device that the origin's users see.
    pub(crate) fn origin_table(&self) -> Result<TableOn, Error> {
        Ok(TableOn {
            length: sectors(self.vg, self.origin),
            target: TargetOn::Origin {
                real: self.real()?.uuid,
            },
        })
    }

    /// The table of a snapshot's device.
    pub(crate) fn table(&self, member: &Member<'_>) -> Result<TableOn, Error> {
        Ok(TableOn {
            length: sectors(self.vg, member.link),
            target: TargetOn::Snapshot {
                real: self.real()?.uuid,
                store: member.cow(self.vg)?.uuid,
                chunk: member.detail.chunk_size.get(),
            },
        })
    }
}

impl Member<'_> {
    /// The uuid of the device that the snapshot's users see.
    pub(crate) fn uuid(&self, vg: &Vg) -> DmUuid {
        naming::dm_uuid(&vg.id(), &self.store.id())
    }

    /// The device with the store.
    pub(crate) fn cow(&self, vg: &Vg) -> Result<Layer, Error> {
        Ok(Layer::of(vg, self.store, "cow", "cow")?.flagged(UdevFlags::LOW_PRIORITY))
    }
}

/// What an LV ties together, if it is there for that.
fn link(lv: &Lv) -> Option<Snapshot> {
    // The type's name first: most LVs are none, and reading the fields costs.
    match lv.segments() {
        [segment] if segment.type_name() == LINK => match lv.detail()? {
            Detail::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        },
        _ => None,
    }
}

/// The name that LVM would give to the next LV that ties: the number after the highest.
pub(crate) fn next_link_name(vg: &Vg) -> Result<LvName, Error> {
    let number = |lv: &Lv| lv.name().strip_prefix(LINK)?.parse::<u32>().ok();
    let next = vg
        .lvs()
        .filter_map(number)
        .max()
        .map_or(0, |highest| highest.saturating_add(1));
    Ok(LvName::parse(&format!("{LINK}{next}"))?)
}

fn sectors(vg: &Vg, lv: &Lv) -> u64 {
    vg.extent_size().to_sectors(lv.extent_count()).get()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What LVM itself wrote: an origin with two snapshots.
    const TEXT: &[u8] = include_bytes!("../../../lvm-meta/tests/data/lvm2-2.03.16/snapshot/vgcfgbackup.txt");

    fn vg() -> Vg {
        Vg::parse(TEXT).unwrap()
    }

    #[test]
    fn origin_and_snapshots_are_found_from_each_of_them() {
        let vg = vg();
        for name in ["origin", "cow1", "cow2"] {
            let group = Group::of(&vg, vg.lv(name).unwrap()).unwrap();
            assert_eq!(group.origin.name(), "origin", "{name}");
            let names: Vec<&str> = group.members.iter().map(|member| member.store.name()).collect();
            assert_eq!(names, ["cow1", "cow2"], "{name}");
        }
        assert!(Group::of(&vg, vg.lv("snapshot0").unwrap()).is_none());
        assert!(Group::of_origin(&vg, vg.lv("cow1").unwrap()).is_none());
        assert_eq!(Group::all(&vg).count(), 1);
    }

    #[test]
    fn devices_are_named_and_mapped_as_lvm_does() {
        let vg = vg();
        let group = Group::of(&vg, vg.lv("origin").unwrap()).unwrap();
        let member = group.member("cow2").unwrap();
        let (real, cow) = (group.real().unwrap(), member.cow(&vg).unwrap());
        assert_eq!(real.name.as_str(), format!("{}-origin-real", vg.name()));
        assert_eq!(cow.name.as_str(), format!("{}-cow2-cow", vg.name()));
        assert_eq!(real.uuid.as_str(), format!("{}-real", group.uuid()));
        assert_eq!(cow.uuid.as_str(), format!("{}-cow", member.uuid(&vg)));
        let table = group.table(member).unwrap();
        let target = TargetOn::Snapshot {
            real: real.uuid.clone(),
            store: cow.uuid,
            chunk: 32,
        };
        assert_eq!(
            table,
            TableOn {
                length: 32768,
                target
            }
        );
        let target = TargetOn::Origin { real: real.uuid };
        assert_eq!(
            group.origin_table().unwrap(),
            TableOn {
                length: 32768,
                target
            }
        );
    }

    #[test]
    fn the_next_link_has_the_number_after_the_highest() {
        assert_eq!(next_link_name(&vg()).unwrap().as_str(), "snapshot2");
    }
}
