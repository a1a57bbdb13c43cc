//! Finding VGs: reads every disk in scope once, and never writes.

mod steady;

use std::collections::HashSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use lvm_dm::DmUuid;
use lvm_meta::{Assembly, Disk, FoundPv, FoundVg, PvId, PvScan, Vg, VgId};

use crate::disk::LazyDisk;
use crate::error::DiskProblem;
use crate::gap::{self, Gap};
use crate::host::{self, DeviceRules, Devices, Identity, LeaveOut, SignatureKind, Skip};
use crate::new_disk::Label;
use crate::system::Inner;
use crate::{Class, Error, naming};

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
    identity: Option<Identity>,
}

impl ScannedDisk {
    /// Is it the disk at a path with this identity?
    fn is(&self, identity: Option<Identity>) -> bool {
        identity.is_some() && self.identity == identity
    }
}

/// All that was found.
pub(crate) struct Scan {
    pub(crate) disks: Vec<ScannedDisk>,
    pub(crate) assembly: Assembly,
    /// The PV on each disk with a label that counts, by the disk's number.
    pub(crate) labels: Vec<(usize, PvId)>,
    /// What could not be looked at.
    pub(crate) gaps: Vec<Gap>,
    /// Disks that LVM would not use as they are, although they carry a free PV.
    excluded: Vec<usize>,
}

/// The host's devices, with LVM's rules.
type Host = (Devices, DeviceRules);

/// A scan under way.
#[derive(Default)]
struct Looks {
    disks: Vec<ScannedDisk>,
    scans: Vec<(usize, PvScan)>,
    gaps: Vec<Gap>,
    excluded: Vec<usize>,
    /// How long disks that stand still are waited for.
    patience: Option<Instant>,
}

/// How long a look waits for all disks that stand still: whoever changes a table stops a device for a moment.
const PATIENCE: Duration = Duration::from_millis(500);

impl Inner {
    /// Looks at every disk in scope.
    ///
    /// A disk that cannot be opened or read is a gap; a shortage of descriptors or memory is an error, as no disk is to
    /// blame for it.
    ///
    /// # Errors
    /// [`Error::Host`] when the devices cannot be enumerated, or none may be opened; [`Error::Meta`].
    pub(crate) fn scan(&self) -> Result<Scan, Error> {
        self.scan_also(&[])
    }

    /// The host's block devices, and the rules by which LVM uses or skips them.
    pub(crate) fn devices(&self, leave_out: &LeaveOut) -> Result<(Devices, DeviceRules), Error> {
        let rules = self.config.device_rules(&self.paths).map_err(Error::Host)?;
        host::check_descriptors(&self.paths).map_err(Error::Host)?;
        let mut devices = Devices::scan(&self.paths, leave_out).map_err(Error::Host)?;
        if rules.need_aliases() {
            devices.find_aliases(&self.paths.dev, leave_out);
        }
        // What sysfs did not tell for want of a descriptor looks like what is not there.
        host::check_descriptors(&self.paths).map_err(Error::Host)?;
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

    /// One look at every disk in scope and at `more`.
    fn scan_once(&self, more: &[PathBuf]) -> Result<Scan, Error> {
        let mut host = match self.images {
            true => None,
            false => Some(self.devices(&self.lvs_to_leave_out())?),
        };
        let mut looks = Looks::default();
        let mut paths: Vec<PathBuf> = Vec::new();
        if let (Scope::Host, Some((devices, rules))) = (&self.scope, &mut host) {
            for (path, error) in devices.take_unreadable() {
                looks.gaps.push(Gap::new(&path, Error::Host(error)));
            }
            for device in devices.iter() {
                let path = device.preferred_name();
                // One that stands still is waited for as it is looked at.
                match rules.skip_running(devices, device) {
                    None => paths.push(path.to_path_buf()),
                    Some(Skip::Unreadable { errno }) => {
                        let error = std::io::Error::from_raw_os_error(errno);
                        let error = host::Error::io("read the size of", path)(error);
                        looks.gaps.push(Gap::new(path, Error::Host(error)));
                    }
                    Some(_) => {}
                }
            }
        }
        let candidates = paths.len();
        let named = match &self.scope {
            Scope::Only(paths) => &paths[..],
            Scope::Host => &[],
        };
        // Disks of pools, which are missing once they are gone.
        let also = self.also.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let also = also.iter().filter(|path| path.exists());
        let mut more = named.iter().chain(more).chain(also).peekable();
        if more.peek().is_some() {
            let mut known: HashSet<PathBuf> = paths.iter().cloned().collect();
            let mut identities: HashSet<_> =
                paths.iter().filter_map(|path| Identity::of(path).ok()).collect();
            for path in more {
                // One disk under two names is no duplicate; a path that leads nowhere is told of.
                let is_new = known.insert(path.clone());
                if is_new && Identity::of(path).map_or(true, |disk| identities.insert(disk)) {
                    paths.push(path.clone());
                }
            }
        }
        for (at, path) in paths.into_iter().enumerate() {
            self.look_at(&mut looks, host.as_ref(), path, at >= candidates)?;
        }
        // Without the right to look at any disk, "there is nothing" would be wrong.
        let is_denied = |gap: &Gap| gap.error.class() == Class::Permission;
        if looks.disks.is_empty() && looks.gaps.iter().any(is_denied) {
            return Err(Error::Unseen {
                what: "no disk could be opened".into(),
                gaps: looks.gaps,
            });
        }
        let Looks {
            disks,
            scans,
            mut gaps,
            excluded,
            ..
        } = looks;
        let labels = scans.iter().map(|(disk, pv)| (*disk, pv.header.id)).collect();
        let assembly = lvm_meta::assemble(scans);
        for orphan in &assembly.orphans {
            if let (Some(disk), Some(pv)) = (orphan.disk.and_then(|at| disks.get(at)), &orphan.scan)
                && let Some(error) = what_it_hides(disk, pv)
            {
                gaps.push(Gap::new(&disk.path, error));
            }
        }
        let shortage = gaps.iter().position(|gap| gap::is_shortage(&gap.error));
        if let Some(error) = shortage.and_then(|at| Arc::into_inner(gaps.swap_remove(at).error)) {
            return Err(error);
        }
        Ok(Scan {
            labels,
            assembly,
            disks,
            gaps,
            excluded,
        })
    }

    /// Looks at one disk; one that the caller named must be there.
    fn look_at(
        &self,
        looks: &mut Looks,
        host: Option<&Host>,
        path: PathBuf,
        is_named: bool,
    ) -> Result<(), Error> {
        if is_named && let Err(error) = gap::check_named(&path, self.images) {
            looks.gaps.push(Gap::new(&path, error));
            return Ok(());
        }
        let device = host.and_then(|(devices, _)| devices.by_path(&path));
        if let Some(device) = device.filter(|device| device.is_suspended()) {
            let end = *looks.patience.get_or_insert_with(|| Instant::now() + PATIENCE);
            device.stays_suspended(end);
        }
        let opened = match device {
            Some(device) => LazyDisk::on(device),
            None => LazyDisk::open(&self.paths, &path),
        };
        let disk = match opened {
            Ok(disk) => self.wrap(&path, Arc::new(disk)),
            Err(error) if !is_named && gap::is_absent(&error) => return Ok(()),
            Err(error) => {
                let error = Error::Host(error);
                if gap::is_shortage(&error) {
                    return Err(error);
                }
                looks.gaps.push(Gap::new(&path, error));
                return Ok(());
            }
        };
        let found = match disk.size() {
            // No label fits.
            Ok(size) if size < LABEL_END => Ok(None),
            _ => lvm_meta::scan(&*disk).map_err(Error::Meta),
        };
        if let Err(error) = found.as_ref()
            && gap::is_shortage(error)
        {
            return found.map(drop);
        }
        // What LVM does not look at may hold whatever it likes.
        let why = match (host, &found) {
            (None, _) | (_, Ok(None)) => Ok(None),
            (Some(host), Ok(Some(pv))) => why_not(host, &path, &*disk, Some(pv)),
            (Some(host), Err(_)) => why_not(host, &path, &*disk, None),
        };
        let at = looks.disks.len();
        match (found, why) {
            (Ok(None), _) => {}
            (Ok(Some(pv)), Ok(None)) => looks.scans.push((at, pv)),
            (Ok(Some(_)), Err(error)) => looks.gaps.push(Gap::new(&path, Error::Host(error))),
            (Err(error), Ok(None) | Err(_)) => looks.gaps.push(Gap::new(&path, error)),
            (found, Ok(Some(why))) => {
                if is_named {
                    let why = DiskProblem::Excluded(why);
                    let disk = path.clone();
                    looks.gaps.push(Gap {
                        is_excluded: true,
                        ..Gap::new(&path, Error::Disk { disk, why })
                    });
                }
                if found.is_ok_and(|pv| pv.is_some_and(|pv| is_free(&pv))) {
                    looks.excluded.push(at);
                }
            }
        }
        let identity = Identity::of(&path).ok();
        looks.disks.push(ScannedDisk { path, disk, identity });
        Ok(())
    }

    /// Takes disks that a command names into scope, for good if `run` succeeds.
    ///
    /// # Errors
    /// `run`'s.
    pub(crate) fn with_disks<R>(
        &self,
        paths: &[PathBuf],
        run: impl FnOnce() -> Result<R, Error>,
    ) -> Result<R, Error> {
        let added = self.widen(paths);
        let result = run();
        if result.is_err() {
            self.narrow(&added);
        }
        result
    }

    /// Takes disks into scope; tells which were not.
    pub(crate) fn widen(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        let Scope::Only(named) = &self.scope else {
            return Vec::new();
        };
        let mut also = self.also.lock().unwrap_or_else(PoisonError::into_inner);
        let mut added = Vec::new();
        for path in paths.iter().filter(|path| !named.contains(path)) {
            if !also.contains(path) {
                also.push(path.clone());
                added.push(path.clone());
            }
        }
        added
    }

    /// Takes disks that [`Inner::widen`] added out of scope.
    pub(crate) fn narrow(&self, paths: &[PathBuf]) {
        let mut also = self.also.lock().unwrap_or_else(PoisonError::into_inner);
        also.retain(|path| !paths.contains(path));
    }
}

/// The sectors in which a label can be end here.
const LABEL_END: u64 = 2048;

/// What on a disk, beside a label, makes LVM leave it alone.
const FORBIDDING: [SignatureKind; 6] = [
    SignatureKind::Mbr,
    SignatureKind::Gpt,
    SignatureKind::Md,
    SignatureKind::DdfRaid,
    SignatureKind::IntelRaid,
    SignatureKind::Lvm1,
];

/// Why LVM would not use a disk with a label: excluded, a leg of an array, listed for another PV.
///
/// # Errors
/// [`host::Error::DiskIo`].
fn why_not(
    (devices, rules): &Host,
    path: &Path,
    disk: &dyn Disk,
    pv: Option<&PvScan>,
) -> Result<Option<String>, host::Error> {
    let Some(device) = devices.by_path(path) else {
        // An LV, which is left out of the devices, or an image file, which is not LVM's business.
        let is_block = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
        return Ok(is_block.then(|| Skip::Lv.to_string()));
    };
    if let Some(skip) = rules.skip(devices, device) {
        return Ok(Some(skip.to_string()));
    }
    let listed = rules.devices_file.as_ref().and_then(|file| file.entry(device));
    if listed.is_some_and(|entry| pv.is_some_and(|pv| !entry.allows_pv(pv.header.id))) {
        return Ok(Some("the devices file lists it for another PV".into()));
    }
    let found = host::find_kinds(disk, &FORBIDDING)?;
    Ok(rules.skip_content(device, &found).map(|skip| skip.to_string()))
}

/// Why a PV that no VG lists may be one of a VG that was not seen; `None` for a free one, and one that left a VG.
fn what_it_hides(disk: &ScannedDisk, pv: &PvScan) -> Option<Error> {
    let broken = pv.mdas.iter().find_map(|mda| match (&mda.header, &mda.text) {
        (Err(error), _) | (_, Some(Err(error))) => Some(gap::copy_of(error)),
        _ => None,
    });
    let is_known = pv.mdas.iter().any(|mda| matches!(mda.text, Some(Ok(_))));
    match broken {
        Some(error) => Some(Error::Meta(error)),
        None if pv.header.is_used() && !is_known => Some(Error::Disk {
            disk: disk.path.clone(),
            why: DiskProblem::OfUnseenVg,
        }),
        None => None,
    }
}

/// Is it a PV of no VG?  A text in an area whose VG does not list the PV is one that is not here, or cannot be read.
fn is_free(pv: &PvScan) -> bool {
    !pv.header.is_used() && pv.mdas.iter().all(|mda| mda.text.is_none())
}

impl Scan {
    /// Takes out the VG of this id; of several, the one of this name, and else one of the name that cannot be read.
    pub(crate) fn take_vg(&mut self, id: &VgId, name: &str) -> Option<FoundVg> {
        let vgs = &self.assembly.vgs;
        let is_its = |vg: &FoundVg| vg.id == Some(*id);
        let at = vgs.iter().position(|vg| is_its(vg) && vg.name == name);
        let at = at.or_else(|| vgs.iter().position(is_its));
        let at = at.or_else(|| vgs.iter().position(|vg| vg.id.is_none() && vg.name == name))?;
        Some(self.assembly.vgs.remove(at))
    }

    /// Why a disk could not be looked at.
    pub(crate) fn gap_on(&self, path: &Path) -> Option<&Gap> {
        let is_it = |gap: &&Gap| gap.disk == path || host::same_device(&gap.disk, path).unwrap_or(false);
        self.gaps.iter().find(is_it)
    }

    /// The disk of a path, under whatever name it was looked at.
    pub(crate) fn disk_at(&self, path: &Path) -> Option<&ScannedDisk> {
        let identity = Identity::of(path).ok();
        self.disks.iter().find(|disk| disk.is(identity))
    }

    /// What the label of a disk says; `None` for a disk without one.
    pub(crate) fn label_on(&self, path: &Path) -> Option<Label> {
        let identity = Identity::of(path).ok();
        let is_it = |disk: Option<usize>| {
            let disk = disk.and_then(|index| self.disks.get(index));
            disk.is_some_and(|disk| disk.is(identity))
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
