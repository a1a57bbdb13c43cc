//! What a cut move left in the kernel, and putting it right; stopping a copy of which a disk failed.
//!
//! The LVs that are moved are mended as others are, once the device is there that they lie on.

use lvm_dm::{DeviceEntry, DmUuid, SuspendFlags};

use super::{Hidden, NAME, Stopped, check_target, steps};
use crate::apply::Step;
use crate::layer::{self, HIDDEN, Layer, is_cut};
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::{Error, naming};

/// Is there anything for [`ensure_active`] and [`sweep`] to do?
pub(crate) fn is_needed(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<bool, Error> {
    let is_cut = match Hidden::of(&open.vg) {
        Ok(Some(hidden)) if hidden.pieces.is_empty() => true,
        // Devices of such a mapper are made when they are needed.
        _ if inner.has_own_devices() => false,
        Ok(Some(hidden)) => {
            let info = hidden.layer(&open.vg)?.info(inner)?;
            info.is_none_or(|info| is_cut(&info)) && check_target(inner).is_ok()
        }
        _ => false,
    };
    let is_cut = is_cut || has_failed_copy(inner, open)?;
    Ok(is_cut || !orphans(inner, open, devices)?.is_empty())
}

/// Returns `true` if [`stop_failed_copy`] has something to do.
pub(crate) fn has_failed_copy(inner: &Inner, open: &OpenVg) -> Result<bool, Error> {
    match Hidden::of(&open.vg) {
        Ok(Some(hidden)) if !inner.has_own_devices() => hidden.has_failed(inner, open),
        _ => Ok(false),
    }
}

/// Maps the hidden LV of a move of ours as the metadata says, if it is not mapped.  The caller holds the VG's lock.
///
/// A host without mirrors is left alone: nothing can be moved there, and what is half moved not be mapped.
pub(crate) fn ensure_active(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    let Ok(Some(hidden)) = Hidden::of(&open.vg) else {
        return Ok(());
    };
    if hidden.pieces.is_empty() || check_target(inner).is_err() {
        return Ok(());
    }
    let layer = hidden.layer(&open.vg)?;
    let steps: Vec<Step> = match layer.info(inner)? {
        None => layer.activate(hidden.table(open)?).into(),
        Some(info) if is_cut(&info) => vec![layer.load(hidden.table(open)?), layer.resume()],
        Some(_) if hidden.current().is_some() && hidden.status(inner, open)?.is_none() => {
            return match hidden.stopped(inner, open)? {
                // A move that is repeated begins again.
                Some(_) => Ok(()),
                // Another piece is copied than the one that is to be: nothing may be concluded from that.
                None => copy_again(inner, open),
            };
        }
        Some(_) => return Ok(()),
    };
    inner.kernel().apply(None, &steps)
}

/// Maps the hidden LV of a move of ours again, so that the kernel copies its current piece from the beginning.  The caller
/// holds the VG's lock.
fn copy_again(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    let Ok(Some(hidden)) = Hidden::of(&open.vg) else {
        return Ok(());
    };
    let layer = hidden.layer(&open.vg)?;
    let steps = [
        layer.load(hidden.table(open)?),
        suspend_held(&layer),
        layer.resume(),
    ];
    inner.kernel().apply(None, &steps)
}

/// Stops the copying of a move of ours of which a disk failed, as [`stop_copy`] does.
pub(crate) fn stop_failed_copy(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    match has_failed_copy(inner, open)? {
        true => stop_copy(inner, open),
        false => Ok(()),
    }
}

/// Maps the source in place of the mirror of a move of ours.  The caller holds the VG's lock.
///
/// The kernel holds the writes that a disk refused until then, and what waits for them waits as long.
pub(crate) fn stop_copy(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    let Ok(Some(hidden)) = Hidden::of(&open.vg) else {
        return Ok(());
    };
    if inner.has_own_devices() {
        return Ok(());
    }
    let Some(table) = hidden.table_stopped(inner, open)? else {
        return Ok(());
    };
    let layer = hidden.layer(&open.vg)?;
    let steps = [layer.load(table), suspend_held(&layer), layer.resume()];
    inner.kernel().apply(None, &steps)
}

/// Copies a piece whose copying was stopped from the beginning, unless what was written meanwhile may not be at its source.
pub(crate) fn copy_stopped(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    match Hidden::of(&open.vg) {
        Ok(Some(hidden)) if hidden.stopped(inner, open)? == Some(Stopped::AtSource) => {
            copy_again(inner, open)
        }
        _ => Ok(()),
    }
}

/// Suspends the device of a hidden LV; writes that its mirror holds are sent again after the resume.
pub(super) fn suspend_held(layer: &Layer) -> Step {
    Step::Suspend {
        uuid: layer.uuid.clone(),
        flags: SuspendFlags::SKIP_LOCKFS | SuspendFlags::NOFLUSH,
    }
}

/// Takes away the devices of moves that never began, and what is left of one that ended; `devices` are those that were there
/// a moment ago.  The caller holds the VG's lock.
pub(crate) fn sweep(inner: &Inner, open: &mut OpenVg, devices: &[DeviceEntry]) -> Result<(), Error> {
    let orphans = orphans(inner, open, devices)?.into_iter();
    let remove: Vec<Step> = orphans
        .map(|uuid| Step::Remove {
            uuid,
            flags: HIDDEN,
            link: None,
        })
        .collect();
    inner.kernel().apply(None, &remove)?;
    match Hidden::of(&open.vg) {
        Ok(Some(hidden)) if hidden.pieces.is_empty() => steps::clean(inner, open),
        _ => Ok(()),
    }
}

/// The devices of hidden LVs that the metadata does not have, and that no program has open.
fn orphans(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<Vec<DmUuid>, Error> {
    if inner.has_own_devices() {
        return Ok(Vec::new());
    }
    let name = naming::dm_name(open.vg.name(), NAME)?;
    layer::unused(inner, devices, |entry, uuid| {
        layer::word_without_lv(&open.vg, uuid) == Some("") && entry.name.as_str().starts_with(name.as_str())
    })
}
