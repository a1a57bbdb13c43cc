//! Finding VGs: reads every disk in scope once, and never writes.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvm_dm::DmUuid;
use lvm_meta::{Assembly, Disk, FoundPv, FoundVg, PvId, Vg, VgId};

use crate::disk::LazyDisk;
use crate::host::{self, DeviceRules, Devices, LeaveOut, SignatureKind};
use crate::new_disk::Label;
use crate::system::Inner;
use crate::{Error, naming};

/// Which disks are looked at.
pub(crate) enum Scope {
    /// Those that LVM would look at on this host.
    Host,
    /// These and no others.
    Only(Vec<PathBuf>),
}

/// A disk that was looked at.
pub(crate) struct ScannedDisk {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
}

/// All that was found.
pub(crate) struct Scan {
    pub(crate) disks: Vec<ScannedDisk>,
    pub(crate) assembly: Assembly,
    /// The PV on each disk with a label that counts, by the disk's number.
    pub(crate) labels: Vec<(usize, PvId)>,
    /// Disks that LVM would not use as they are, although they carry a free PV.
    excluded: Vec<usize>,
}

impl Inner {
    /// Looks at every disk in scope.
    ///
    /// A disk that cannot be opened or read is left out: what it held shows as missing.
    ///
    /// # Errors
    /// [`Error::Host`] when the devices cannot be enumerated, or none may be opened.
    pub(crate) fn scan(&self) -> Result<Scan, Error> {
        self.scan_also(&[])
    }

    /// The host's block devices, and the rules by which LVM uses or skips them.
    pub(crate) fn devices(&self, leave_out: &LeaveOut) -> Result<(Devices, DeviceRules), Error> {
        let rules = self.config.device_rules(&self.paths).map_err(Error::Host)?;
        let mut devices = Devices::scan(&self.paths, leave_out).map_err(Error::Host)?;
        if rules.need_aliases() {
            devices.find_aliases(&self.paths.dev, leave_out);
        }
        Ok((devices, rules))
    }

    /// The LVs, if they are not to be searched for PVs: one call to the kernel names them all.
    fn lvs_to_leave_out(&self) -> LeaveOut {
        let mut leave_out = LeaveOut::default();
        if self.config.devices.scan_lvs {
            return leave_out;
        }
        // A kernel that does not tell the uuids in its list leaves nothing out; then sysfs does.
        for device in self.mapper.list().unwrap_or_default() {
            let is_lv = |uuid: DmUuid| uuid.as_str().starts_with("LVM-");
            if device.uuid.is_some_and(is_lv) {
                let name = device.name.as_str();
                leave_out
                    .kernel_names
                    .insert(format!("dm-{}", device.number.minor));
                leave_out.folders.extend(naming::vg_of_device(&device.name));
                leave_out.dm_names.insert(name.to_owned());
            }
        }
        leave_out
    }

    /// As [`Inner::scan`], with `more` disks in scope.
    pub(crate) fn scan_also(&self, more: &[PathBuf]) -> Result<Scan, Error> {
        let host = match self.images {
            true => None,
            false => Some(self.devices(&self.lvs_to_leave_out())?),
        };
        let mut paths: Vec<PathBuf> = match (&self.scope, &host) {
            (Scope::Host, Some((devices, rules))) => rules
                .candidates(devices)
                .into_iter()
                .map(|device| device.preferred_name().to_path_buf())
                .collect(),
            _ => Vec::new(),
        };
        let named = match &self.scope {
            Scope::Only(paths) => &paths[..],
            Scope::Host => &[],
        };
        // One disk under two names is no duplicate.
        for path in named.iter().chain(more) {
            if !paths
                .iter()
                .any(|known| host::same_device(known, path).unwrap_or(false))
            {
                paths.push(path.clone());
            }
        }
        let (mut disks, mut scans, mut excluded, mut denied) = (Vec::new(), Vec::new(), Vec::new(), None);
        for path in paths {
            let device = host.as_ref().and_then(|(devices, _)| devices.by_path(&path));
            let opened = match device {
                Some(device) => LazyDisk::on(device),
                None => LazyDisk::open(&self.paths, &path),
            };
            let disk = match opened {
                Ok(disk) => disk,
                Err(error) => {
                    let is_denied = matches!(&error, host::Error::Io { source, .. } if is_permission(source));
                    denied = denied.or(is_denied.then_some(error));
                    continue;
                }
            };
            let disk = self.wrap(&path, Arc::new(disk));
            if let Ok(Some(pv)) = lvm_meta::scan(&*disk) {
                if host
                    .as_ref()
                    .is_none_or(|host| is_usable(host, &path, &*disk, &pv))
                {
                    scans.push((disks.len(), pv));
                } else if is_free(&pv) {
                    excluded.push(disks.len());
                }
            }
            disks.push(ScannedDisk { path, disk });
        }
        // Without the right to look at any disk, "there is nothing" would be a lie.
        if let Some(error) = denied.filter(|_| disks.is_empty()) {
            return Err(Error::Host(error));
        }
        Ok(Scan {
            labels: scans.iter().map(|(disk, pv)| (*disk, pv.header.id)).collect(),
            assembly: lvm_meta::assemble(scans),
            disks,
            excluded,
        })
    }
}

fn is_permission(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// What on a disk, beside a label, makes LVM leave it alone.
const FORBIDDING: [SignatureKind; 6] = [
    SignatureKind::Mbr,
    SignatureKind::Gpt,
    SignatureKind::Md,
    SignatureKind::DdfRaid,
    SignatureKind::IntelRaid,
    SignatureKind::Lvm1,
];

/// Is a disk with a label one that LVM would use: not excluded, no leg of an array, listed for this PV?
fn is_usable(
    (devices, rules): &(Devices, DeviceRules),
    path: &Path,
    disk: &dyn Disk,
    pv: &lvm_meta::PvScan,
) -> bool {
    let Some(device) = devices.by_path(path) else {
        // An LV, which is left out of the devices, or an image file, which is not LVM's business.
        let is_block = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
        return !is_block;
    };
    let listed = rules.devices_file.as_ref().and_then(|file| file.entry(device));
    rules.skip(devices, device).is_none()
        && listed.is_none_or(|entry| entry.allows_pv(pv.header.id))
        && host::find_kinds(disk, &FORBIDDING).is_ok_and(|found| rules.skip_content(device, &found).is_none())
}

/// Is it a PV of no VG?  A text in an area whose VG does not list the PV is one that is not here, or cannot be read.
fn is_free(pv: &lvm_meta::PvScan) -> bool {
    !pv.header.is_used() && pv.mdas.iter().all(|mda| mda.text.is_none())
}

impl Scan {
    /// Takes out the VG of this id.
    pub(crate) fn take_vg(&mut self, id: &VgId) -> Option<FoundVg> {
        let at = self.assembly.vgs.iter().position(|vg| vg.id == Some(*id))?;
        Some(self.assembly.vgs.remove(at))
    }

    /// The disk of a path, under whatever name it was looked at.
    pub(crate) fn disk_at(&self, path: &Path) -> Option<&ScannedDisk> {
        self.disks
            .iter()
            .find(|disk| host::same_device(&disk.path, path).unwrap_or(false))
    }

    /// What the label of a disk says; `None` for a disk without one.
    pub(crate) fn label_on(&self, path: &Path) -> Option<Label> {
        let is_it = |disk: Option<usize>| {
            let disk = disk.and_then(|index| self.disks.get(index));
            disk.is_some_and(|disk| host::same_device(&disk.path, path).unwrap_or(false))
        };
        for vg in &self.assembly.vgs {
            if vg.pvs.iter().any(|pv| is_it(pv.disk)) {
                return Some(Label::OfVg(vg.name.clone()));
            }
        }
        if self.excluded.iter().any(|disk| is_it(Some(*disk))) {
            return Some(Label::Free);
        }
        let orphan = self.assembly.orphans.iter().find(|pv| is_it(pv.disk))?;
        Some(match is_free(orphan.scan.as_ref()?) {
            true => Label::Free,
            false => Label::OfUnknownVg,
        })
    }

    /// The disks that left this VG and still carry its label.
    pub(crate) fn left_behind(&self, vg: &Vg) -> impl Iterator<Item = &ScannedDisk> {
        let is_older = move |pv: &FoundPv, text: &[u8]| {
            Vg::parse(text)
                .is_ok_and(|old| old.id() == vg.id() && old.seqno() < vg.seqno() && old.pv(pv.id).is_some())
        };
        let was_member = move |pv: &&FoundPv| {
            let texts = pv.scan.iter().flat_map(|scan| &scan.mdas);
            texts
                .filter_map(|mda| mda.text.as_ref()?.as_ref().ok())
                .any(|text| is_older(pv, text))
        };
        self.assembly
            .orphans
            .iter()
            .filter(was_member)
            .filter_map(|pv| self.disks.get(pv.disk?))
    }
}
