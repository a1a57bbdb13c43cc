//! LVM's names and uuids of the devices of an LV.  Reference: LVM2 `libdm/libdm-string.c`, `lib/misc/lvm-string.c`.

use lvm_dm::{DmName, DmUuid};
use lvm_meta::{LvId, VgId};

use crate::Error;

/// The device-mapper name of an LV: `VG-LV`, each dash inside the names doubled.
///
/// # Errors
/// [`Error::InvalidArgument`] when it is longer than the kernel's 127 bytes.
pub(crate) fn dm_name(vg: &str, lv: &str) -> Result<DmName, Error> {
    let name = format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"));
    let length = name.len();
    DmName::new(&name).map_err(|_| Error::InvalidArgument {
        what: "device name",
        given: name,
        why: format!("with its dashes doubled it has {length} bytes; device-mapper takes 127"),
    })
}

/// The device-mapper name of a layer of an LV: `VG-LV-LAYER`; without a layer the LV's.
///
/// # Errors
/// As [`dm_name`].
pub(crate) fn dm_layer_name(vg: &str, lv: &str, layer: &str) -> Result<DmName, Error> {
    let name = dm_name(vg, lv)?;
    if layer.is_empty() {
        return Ok(name);
    }
    let given = format!("{name}-{layer}");
    DmName::new(&given).map_err(|_| Error::InvalidArgument {
        what: "device name",
        given,
        why: "device-mapper takes 127 bytes".into(),
    })
}

/// The device-mapper uuid of a device that users do not see: the LV's and a word for what it is.
pub(crate) fn dm_layer_uuid(vg: &VgId, lv: &LvId, layer: &str) -> DmUuid {
    DmUuid::new(&format!("LVM-{}{}-{layer}", vg.as_str(), lv.as_str()))
        .unwrap_or_else(|_| unreachable!("68 legal characters and a short word"))
}

/// The device-mapper uuid of a visible LV.
pub(crate) fn dm_uuid(vg: &VgId, lv: &LvId) -> DmUuid {
    // Both ids are 32 legal characters, so the text is always a legal uuid; see the test.
    DmUuid::new(&format!("LVM-{}{}", vg.as_str(), lv.as_str()))
        .unwrap_or_else(|_| unreachable!("68 legal characters"))
}

/// The ids of a VG and of an LV in it: what the device of a visible LV is known by.
pub(crate) type Ids = [u8; 64];

/// The ids of an LV.
pub(crate) fn ids(vg: &VgId, lv: &LvId) -> Ids {
    let mut ids = [0; 64];
    let (first, second) = ids.split_at_mut(32);
    first.copy_from_slice(vg.as_bytes());
    second.copy_from_slice(lv.as_bytes());
    ids
}

/// The ids in a device's uuid; `None` for devices that are no visible LV's.
pub(crate) fn ids_of_device(uuid: &[u8]) -> Option<Ids> {
    uuid.strip_prefix(b"LVM-")?.try_into().ok()
}

/// The VG's name in an LV's device name: up to the first dash that is not doubled.
pub(crate) fn vg_of_device(device: &DmName) -> Option<String> {
    let name = device.as_str();
    let mut dashes = name.match_indices('-').map(|(at, _)| at);
    while let Some(at) = dashes.next() {
        if name.as_bytes().get(at + 1) != Some(&b'-') {
            return name.get(..at).map(|vg| vg.replace("--", "-"));
        }
        dashes.next();
    }
    None
}

/// The name that a device of VG `from` has in VG `to`.
///
/// # Errors
/// [`Error::InvalidArgument`] when it is longer than the kernel's 127 bytes.
pub(crate) fn moved_to_vg(device: &DmName, from: &str, to: &str) -> Result<DmName, Error> {
    let prefix = |vg: &str| format!("{}-", vg.replace('-', "--"));
    let rest = device.as_str().strip_prefix(&prefix(from));
    let given = format!("{}{}", prefix(to), rest.unwrap_or(device.as_str()));
    DmName::new(&given).map_err(|_| Error::InvalidArgument {
        what: "device name",
        given,
        why: "device-mapper takes 127 bytes".into(),
    })
}

/// The LV's name in a device's name, as far as it can be told.
pub(crate) fn lv_of_device(device: &DmName, vg: &str) -> String {
    let prefix = format!("{}-", vg.replace('-', "--"));
    device
        .as_str()
        .strip_prefix(&prefix)
        .unwrap_or(device.as_str())
        .replace("--", "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_of_a_device_tells_its_vg_and_lv() {
        let (vg, lv) = (VgId::from_random([1; 32]), LvId::from_random([2; 32]));
        let uuid = dm_uuid(&vg, &lv);
        assert_eq!(ids_of_device(uuid.as_str().as_bytes()), Some(ids(&vg, &lv)));
        for other in [format!("{uuid}-tpool"), uuid.as_str().replace("LVM", "CRYPT")] {
            assert_eq!(ids_of_device(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn names_of_devices_tell_their_vg_and_lv() {
        for (vg, lv) in [("vg", "lv"), ("a-b", "c"), ("a", "b-c"), ("a-", "b")] {
            let device = dm_name(vg, lv).unwrap();
            assert_eq!(vg_of_device(&device).as_deref(), Some(vg), "{device}");
            assert_eq!(lv_of_device(&device, vg), lv);
            assert_eq!(
                moved_to_vg(&device, vg, "x-y").unwrap(),
                dm_name("x-y", lv).unwrap()
            );
        }
        assert_eq!(vg_of_device(&DmName::new("a--b").unwrap()), None);
    }
}
