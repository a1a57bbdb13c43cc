//! What a cut change left of groups of snapshots: devices stopped or half made, and layers that nothing needs any more.
//!
//! The origin stood still from before the commit until the snapshot was there, or was gone.  So whatever is found, no write
//! of the origin was missed by a snapshot that the metadata has, and what was begun is finished by resuming it from the
//! bottom up.

use lvm_dm::{DeviceEntry, DeviceId, DeviceInfo, DmUuid, UdevFlags};
use lvm_meta::{Lv, LvId};

use super::{Group, check_target};
use crate::apply::Step;
use crate::layer::{self, HIDDEN, is_cut as is_cut_device};
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::{Error, activate, naming, raid};

/// Is there anything for [`mend`] and [`sweep`] to do?
pub(crate) fn is_needed(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<bool, Error> {
    if inner.has_own_devices() {
        return Ok(false);
    }
    for group in Group::all(&open.vg) {
        if !steps(inner, open, &group)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(!orphans(inner, open, devices)?.is_empty())
}

/// Finishes the devices of groups that have an origin, and takes away those of groups that have none.  The caller holds the
/// VG's lock.
pub(crate) fn mend(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    if inner.has_own_devices() {
        return Ok(());
    }
    for group in Group::all(&open.vg) {
        inner.kernel().apply(None, &steps(inner, open, &group)?)?;
    }
    Ok(())
}

/// Takes away the layers of LVs that are no origins or stores any more, or never became ones; `before` are the devices that
/// were there a moment ago.  The caller holds the VG's lock.
pub(crate) fn sweep(inner: &Inner, open: &OpenVg, before: &[DeviceEntry]) -> Result<(), Error> {
    if inner.has_own_devices() || orphans(inner, open, before)?.is_empty() {
        return Ok(());
    }
    // Some of them may be gone by now.
    let devices = inner.mapper.list().map_err(Error::Dm)?;
    let steps: Vec<Step> = orphans(inner, open, &devices)?
        .into_iter()
        .map(remove_layer)
        .collect();
    inner.kernel().apply(None, &steps)
}

/// The step that takes away the store's layer of an LV that is no store any more, if it is there.
pub(crate) fn remove_cow(inner: &Inner, open: &OpenVg, lv: &Lv) -> Result<Option<Step>, Error> {
    let uuid = naming::dm_layer_uuid(&open.vg.id(), &lv.id(), "cow");
    let info = inner.mapper.info(DeviceId::Uuid(&uuid)).map_err(Error::Dm)?;
    Ok(info.map(|_| remove_layer(uuid)))
}

fn remove_layer(uuid: DmUuid) -> Step {
    Step::Remove {
        uuid,
        flags: HIDDEN,
        link: None,
    }
}

fn steps(inner: &Inner, open: &OpenVg, group: &Group<'_>) -> Result<Vec<Step>, Error> {
    // What this crate does not map is LVM's to mend.
    if group.check(open).is_err() || check_target(inner).is_err() {
        return Ok(Vec::new());
    }
    let Some(top) = open.kernel_device(inner, group.origin)? else {
        // An activation or deactivation that was cut; what is in use stays.
        return match group.deactivate(inner, open) {
            Err(Error::Busy { .. }) => Ok(Vec::new()),
            other => other,
        };
    };
    let mut steps = Vec::new();
    let present = inner.nodes.present(open.vg.name());
    let layers = group
        .members
        .iter()
        .map(|member| Ok((member.cow(&open.vg)?, member.store)))
        .collect::<Result<Vec<_>, Error>>()?;
    let array = group.array();
    if let Some(array) = &array {
        // One array has one table at a time: a staged one goes first.
        if is_stopped(&top) && top.inactive_table {
            steps.push(Step::Clear { uuid: group.uuid() });
        }
        steps.extend(raid::mend::steps(inner, open, array)?);
    }
    let real = match array {
        Some(_) => None,
        None => Some((group.real()?, group.origin)),
    };
    for (layer, lv) in real.into_iter().chain(layers) {
        let Some(info) = layer.info(inner)? else {
            continue;
        };
        if is_stopped(&info) {
            steps.extend([layer.load(open.table_of_part(lv)?), layer.resume()]);
        } else if info.inactive_table {
            steps.push(Step::Clear { uuid: layer.uuid });
        } else if present
            .as_ref()
            .is_some_and(|present| present.lacks(&info.name, None))
        {
            // Resuming what is not suspended changes nothing but that its node is made.
            steps.push(layer.resume());
        }
    }
    for member in &group.members {
        let Some(info) = open.kernel_device(inner, member.store)?.filter(is_cut_device) else {
            continue;
        };
        let uuid = member.uuid(&open.vg);
        // One store has one table at a time: a staged one goes first.  A live one that is stopped goes on as it is.
        if info.inactive_table {
            steps.push(Step::Clear { uuid: uuid.clone() });
        }
        if !info.live_table {
            steps.push(Step::LoadOn {
                uuid,
                table: group.table(member)?,
                read_only: !open.is_writable(member.store),
            });
        }
        if is_stopped(&info) {
            steps.push(group.resume(open, member, UdevFlags::LOW_PRIORITY)?);
        }
    }
    if is_stopped(&top) {
        steps.push(group.load_origin(open)?);
        steps.push(activate::resume(open, group.origin, UdevFlags::empty())?);
    } else if top.inactive_table {
        steps.push(Step::Clear { uuid: group.uuid() });
    }
    if !steps.is_empty() {
        steps.push(Step::Settle);
    }
    Ok(steps)
}

fn is_stopped(info: &DeviceInfo) -> bool {
    info.suspended || !info.live_table
}

/// The layers of snapshots and origins that no group has, and nobody uses.
fn orphans(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<Vec<DmUuid>, Error> {
    layer::unused(inner, devices, |entry, uuid| is_orphan(open, entry, uuid))
}

fn is_orphan(open: &OpenVg, entry: &DeviceEntry, uuid: &DmUuid) -> bool {
    let vg = &open.vg;
    let rest = uuid.as_str().strip_prefix("LVM-");
    let Some((id, word)) = rest
        .and_then(|rest| rest.strip_prefix(vg.id().as_str()))
        .and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    let lv = LvId::parse(id).ok().and_then(|id| vg.lv_by_id(id));
    match (word, lv) {
        ("cow", None) => true,
        ("cow", Some(lv)) => Group::of(vg, lv).is_none_or(|group| group.member(lv.name()).is_none()),
        // Arrays have such a word, too, and external origins such a name: only of an LV on which nothing stands it is sure.
        ("real", Some(lv)) => {
            let is_layer = naming::dm_layer_name(vg.name(), lv.name(), "real");
            vg.users_of(lv.name()).next().is_none() && is_layer.is_ok_and(|name| name == entry.name)
        }
        _ => false,
    }
}
