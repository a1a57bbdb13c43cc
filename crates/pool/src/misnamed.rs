//! Devices of a VG that carry the name of another one: the VG was renamed, and the devices were not yet.

use lvm_dm::{DeviceEntry, DmName, UdevFlags};
use lvm_meta::{Lv, LvId};

use crate::apply::{Link, Step};
use crate::layer::HIDDEN;
use crate::open_vg::OpenVg;
use crate::{Error, naming};

/// Returns `true` if a device of the VG carries the name of another VG.
pub(crate) fn is_any(open: &OpenVg, devices: &[DeviceEntry]) -> bool {
    of_other_name(open, devices).next().is_some()
}

/// The steps that give the VG's devices its name, at whatever depth of an LV they are.
///
/// # Errors
/// [`Error::Exists`] if another device has such a name.
pub(crate) fn steps(open: &OpenVg, devices: &[DeviceEntry]) -> Result<Vec<Step>, Error> {
    of_other_name(open, devices)
        .map(|(device, old_vg)| step(open, devices, device, &old_vg))
        .collect()
}

fn step(open: &OpenVg, devices: &[DeviceEntry], device: &DeviceEntry, old_vg: &str) -> Result<Step, Error> {
    let (from, vg) = (&device.name, open.vg.name());
    let to = naming::moved_to_vg(from, old_vg, vg)?;
    if devices.iter().any(|other| other.name == to) {
        return Err(Error::Exists {
            what: "device",
            id: to.to_string(),
        });
    }
    let visible = lv_of(open, device).filter(|lv| open.vg.is_visible(lv));
    let link = |vg: &str, lv: String, device: &DmName| {
        let (vg, device) = (vg.into(), device.clone());
        Some(Link { vg, lv, device })
    };
    let links = visible.map(|lv| {
        let new = link(vg, lv.name().into(), &to);
        let old = link(old_vg, naming::lv_of_device(from, old_vg), from);
        Box::new([new, old])
    });
    Ok(Step::Rename {
        from: from.clone(),
        to,
        flags: match links {
            Some(_) => UdevFlags::empty(),
            None => HIDDEN,
        },
        links,
    })
}

/// The VG's devices with the name of another VG, and that name.
fn of_other_name<'a>(
    open: &OpenVg,
    devices: &'a [DeviceEntry],
) -> impl Iterator<Item = (&'a DeviceEntry, String)> {
    let prefix = format!("LVM-{}", open.vg.id().as_str());
    let name = open.vg.name().to_string();
    devices.iter().filter_map(move |device| {
        let is_ours = device.uuid.as_ref()?.as_str().starts_with(&prefix);
        let vg = naming::vg_of_device(&device.name).filter(|vg| is_ours && *vg != name)?;
        Some((device, vg))
    })
}

/// The LV whose device it is; `None` for layers.
fn lv_of<'a>(open: &'a OpenVg, device: &DeviceEntry) -> Option<&'a Lv> {
    let ids = naming::ids_of_device(device.uuid.as_ref()?.as_str().as_bytes())?;
    let lv = std::str::from_utf8(ids.get(32..)?).ok()?;
    open.vg.lv_by_id(LvId::parse(lv).ok()?)
}
