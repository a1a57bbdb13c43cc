//! A copied VG under new ids: the metadata of a pool whose disks were cloned, as one of its own beside the original.
//!
//! Every new id follows from the new pool's UUID and the old id, so that a call that was cut is finished by the next one.

use lvm_meta::{Lv, LvName, PvId, Tag, Vg, VgId, VgName};
use uuid::Uuid;

use crate::tags::{self, LvTags, key, snap};
use crate::{Error, identity};

/// The id that a PV gets in the pool of a UUID.
pub(crate) fn new_pv_id(pool: &Uuid, old: PvId) -> PvId {
    PvId::from_uuid_bytes(*Uuid::new_v5(pool, old.as_bytes()).as_bytes())
}

/// The UUID that a replica or snapshot gets in the pool of a UUID.
fn new_uuid(pool: &Uuid, old: Uuid) -> Uuid {
    Uuid::new_v5(pool, old.as_bytes())
}

/// The VG with a new name and new ids; marked as one whose disks may still have the old ids, and no pool until then.
///
/// Replicas and snapshots get new UUIDs, and note the old ones in a tag; none of them is shared.
///
/// # Errors
/// [`Error::Meta`] for an LV that must not be renamed, such as one that is being moved.
pub(crate) fn renewed(vg: &Vg, name: &VgName, pool: &Uuid) -> Result<Vg, Error> {
    let id = VgId::from_uuid_bytes(*pool.as_bytes());
    let mut new = vg.with_ids(id, |pv| new_pv_id(pool, pv)).map_err(Error::Meta)?;
    new.set_name(name).map_err(Error::Meta)?;
    let others = vg.tags().iter().filter(|tag| *tag != tags::OWNER);
    let from = tags::property(tags::COPIED_VG, &identity::pool_uuid(&vg.id()).to_string())?;
    let mut vg_tags = tags::replace(others, tags::COPIED_VG, vec![from])?;
    vg_tags.push(Tag::parse(tags::NEW_IDS)?);
    new.set_tags(&vg_tags).map_err(Error::Meta)?;
    for lv in vg.lvs() {
        let Some(old) = of_engine(lv) else { continue };
        let uuid = new_uuid(pool, old);
        let lv_name = LvName::parse(&uuid.to_string())?;
        new.rename_lv_with_parts(lv.name(), lv_name)
            .map_err(Error::Meta)?;
        let lv_tags = renewed_tags(lv, old, uuid, pool)?;
        new.set_lv_tags(&uuid.to_string(), &lv_tags)
            .map_err(Error::Meta)?;
    }
    Ok(new)
}

/// The UUID of an LV that is a replica or a snapshot, finished or not.
fn of_engine(lv: &Lv) -> Option<Uuid> {
    let tags = LvTags::read(lv.tags());
    identity::replica_uuid(lv.name()).filter(|_| tags.owned || tags.creating)
}

fn renewed_tags(lv: &Lv, old: Uuid, uuid: Uuid, pool: &Uuid) -> Result<Vec<Tag>, Error> {
    let mut all: Vec<String> = lv.tags().map(Into::into).collect();
    for tag in &mut all {
        let Some((key, value)) = tag.split_once('=') else {
            continue;
        };
        let renewed = identity::replica_uuid(value).map(|old| new_uuid(pool, old).to_string());
        match (key, renewed) {
            (snap::PARENT_ID | key::SNAPSHOT_UUID, Some(new)) => *tag = format!("{key}={new}"),
            // A display name that was none of its own.
            (key::NAME, _) if identity::replica_uuid(value) == Some(old) => *tag = format!("{key}={uuid}"),
            (key::SHARE, _) => *tag = format!("{key}=off"),
            _ => {}
        }
    }
    let from = tags::property(key::COPIED_FROM, &old.to_string())?;
    let all = all.iter().map(String::as_str);
    Ok(tags::replace(all, key::COPIED_FROM, vec![from])?)
}
