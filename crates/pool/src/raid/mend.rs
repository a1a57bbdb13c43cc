//! What a cut change left of arrays: devices stopped or half made, images longer than the metadata say, and parts that
//! nothing needs any more.

use lvm_dm::{DeviceEntry, DmUuid};

use super::{Array, check_target, swap};
use crate::Error;
use crate::apply::Step;
use crate::layer::{self, HIDDEN, is_cut};
use crate::open_vg::OpenVg;
use crate::system::Inner;

/// Is there anything for [`mend`] and [`sweep`] to do?
pub(crate) fn is_needed(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<bool, Error> {
    if inner.has_own_devices() {
        return Ok(false);
    }
    for array in Array::all(&open.vg) {
        if !steps(inner, open, &array)?.is_empty() || !renames(inner, &array)?.is_empty() {
            return Ok(true);
        }
        if array.is_marked() && array.has_noted(inner, open) {
            return Ok(true);
        }
    }
    Ok(!orphans(inner, open, devices)?.is_empty())
}

/// All of it, also while disks of the VG are missing.  The caller holds the VG's lock.
pub(crate) fn mend_all(inner: &Inner, open: &mut OpenVg) -> Result<(), Error> {
    mend(inner, open)?;
    sweep(inner, open, &inner.mapper.list().map_err(Error::Dm)?)
}

/// Finishes the devices of arrays that are active, and takes away the parts of those that are not.  The caller holds the VG's
/// lock.
pub(crate) fn mend(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    if inner.has_own_devices() {
        return Ok(());
    }
    for array in Array::all(&open.vg) {
        inner.kernel().apply(None, &steps(inner, open, &array)?)?;
    }
    Ok(())
}

/// Takes away the devices of parts whose LVs are gone or never were, gives those that stay the names of their places, and
/// takes off the marks of images that the kernel fills; `before` are the devices that were there a moment ago.  The caller
/// holds the VG's lock.
pub(crate) fn sweep(inner: &Inner, open: &mut OpenVg, before: &[DeviceEntry]) -> Result<(), Error> {
    if inner.has_own_devices() {
        return Ok(());
    }
    let mut steps = Vec::new();
    if !orphans(inner, open, before)?.is_empty() {
        let devices = inner.mapper.list().map_err(Error::Dm)?;
        let remove = |uuid| Step::Remove {
            uuid,
            flags: HIDDEN,
            link: None,
        };
        steps.extend(orphans(inner, open, &devices)?.into_iter().map(remove));
    }
    for array in Array::all(&open.vg) {
        steps.extend(renames(inner, &array)?);
    }
    inner.kernel().apply(None, &steps)?;
    let marked = Array::all(&open.vg).filter(Array::is_marked);
    let marked: Vec<String> = marked.map(|array| array.lv.name().to_string()).collect();
    let mut marked = marked.iter();
    marked.try_for_each(|name| swap::end_rebuild(inner, open, name))
}

/// The steps that give the devices of an array's parts, in their order, the names of their places.
fn renames(inner: &Inner, array: &Array<'_>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for part in array.parts() {
        let layer = array.layer(part)?;
        let info = layer.info(inner)?;
        steps.extend(info.and_then(|info| layer.renamed_from(&info.name)));
    }
    Ok(steps)
}

/// What is to be done about one array.
pub(crate) fn steps(inner: &Inner, open: &OpenVg, array: &Array<'_>) -> Result<Vec<Step>, Error> {
    // What this crate does not map is LVM's to mend.
    if array.check().is_err() || check_target(inner, array.detail.layout).is_err() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    let device = array.device()?;
    let Some(top) = device.info(inner)? else {
        // An activation or deactivation that was cut; what is in use stays.
        for part in array.parts() {
            let layer = array.layer(part)?;
            if layer.info(inner)?.is_some_and(|info| info.open_count == 0) {
                steps.push(layer.remove());
            }
        }
        return Ok(steps);
    };
    let size = open.vg.extent_size().to_sectors(array.lv.extent_count());
    if top.live_table && device.table(inner)?.length() > size.get() {
        // The kernel is ahead of the metadata, as after a restore of older ones: its images are in use as they are.
        return Ok(steps);
    }
    let present = inner.nodes.present(open.vg.name());
    // Those of a disk that is missing stay as they are.
    let there = array.legs.iter().zip(array.present(open));
    let there = there.filter(|(_, present)| *present);
    for part in there.flat_map(|(leg, _)| leg.parts()) {
        let layer = array.layer(part)?;
        let Some(info) = layer.info(inner)? else {
            continue;
        };
        let wanted = match open.table_of_part(part) {
            // What moves it is not there: on a host without mirrors it stays as it is.
            Err(Error::NotActive(_)) => continue,
            wanted => wanted?,
        };
        let is_long = || layer.table(inner).map(|table| table.length() != wanted.length());
        if info.suspended || !info.live_table || is_long()? {
            // A growth that was cut before its commit.  The array never used more than the metadata say.
            steps.extend([layer.load(wanted), layer.resume()]);
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
    let uuid = device.uuid;
    if top.suspended || !top.live_table {
        // One array has one table at a time: a staged one goes first.
        if top.inactive_table {
            steps.insert(0, Step::Clear { uuid });
        }
        steps.push(array.load(open)?);
        steps.push(array.resume(open)?);
    } else if is_cut(&top) {
        steps.insert(0, Step::Clear { uuid });
    }
    if !steps.is_empty() {
        steps.push(Step::Settle);
    }
    Ok(steps)
}

/// The devices of parts that no LV has, and nobody uses.
fn orphans(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<Vec<DmUuid>, Error> {
    layer::unused(inner, devices, |entry, uuid| is_orphan(open, entry, uuid))
}

fn is_orphan(open: &OpenVg, entry: &DeviceEntry, uuid: &DmUuid) -> bool {
    let name = entry.name.as_str();
    layer::word_without_lv(&open.vg, uuid) == Some("")
        && (name.contains("_rimage_") || name.contains("_rmeta_"))
}
