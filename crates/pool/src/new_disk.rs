//! Taking a disk into a pool: what it must be, what is written to it, and taking that back.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvm_meta::{Disk, DiskArea, MakePv, MdaSet, NewPv, Pv, PvId, PvLayout, Sectors, Vg};

use crate::block_sizes::{BlockSize, block_size};
use crate::disk::UndoDisk;
use crate::error::DiskProblem;
use crate::gap::{self, Gap};
use crate::host::{
    self, BlockDisk, DeviceIdType, FoundSignature, InUse, LeaveOut, OnSignature, OpenMode, SignatureKind,
    Skip,
};
use crate::new_disks::NewDisksRequest;
use crate::scan::Scan;
use crate::system::Inner;
use crate::{Class, Error, identity};

/// The metadata area of a disk in a pool, where the caller names no size: the text of 10 000 tagged replicas fits.
///
/// docs/format.md has the numbers.  Smaller disks get LVM's default of a megabyte, and with it LVM's usual place for
/// the first extent.
const METADATA_SIZE: u64 = 16 << 20;
/// Disks from this size on get [`METADATA_SIZE`].
const LARGE_DISK: u64 = 1 << 30;

/// A disk on its way into a pool.
pub(crate) struct NewDisk {
    pub(crate) path: PathBuf,
    pub(crate) id: PvId,
    layout: PvLayout,
    device_id: Option<(String, String)>,
    disk: Arc<UndoDisk>,
    /// Signatures from this byte on are data.
    data_start: u64,
}

/// Makes the error of a disk.
fn refusal(path: &Path) -> impl Fn(DiskProblem) -> Error {
    move |why| Error::Disk {
        disk: path.into(),
        why,
    }
}

/// What the label of a disk says that is there and no VG's.
fn label_of_no_vg(inner: &Inner, scan: &Scan, path: &Path) -> Result<Option<Label>, Error> {
    gap::check_named(path, inner.images)?;
    let is_unread =
        |gap: &&Gap| !gap.is_excluded && !matches!(gap.error.class(), Class::Corrupt | Class::Precondition);
    if let Some(gap) = scan.gap_on(path).filter(is_unread) {
        return Err(Error::Unseen {
            what: format!("{path:?} cannot be taken"),
            gaps: vec![gap.clone()],
        });
    }
    match scan.label_on(path) {
        Some(Label::OfVg(vg)) => Err(refusal(path)(DiskProblem::InVg(vg))),
        label => Ok(label),
    }
}

/// The refusal of a disk that holds something, with what is wrong with the PV that it may be.
fn with_gap(error: Error, scan: &Scan, path: &Path) -> Error {
    match (error, scan.gap_on(path)) {
        (
            Error::Disk {
                disk,
                why: DiskProblem::InUse(mut reasons),
            },
            Some(gap),
        ) => {
            reasons.push(gap.to_string());
            let why = DiskProblem::InUse(reasons);
            Error::Disk { disk, why }
        }
        (error, _) => error,
    }
}

fn measure(path: &Path, disk: &dyn Disk) -> Result<u64, Error> {
    disk.size().map_err(|source| Error::Io {
        what: "measure",
        path: path.into(),
        source,
    })
}

impl NewDisk {
    /// Checks that a disk may be taken, plans its PV, and holds it open for nobody else.  Nothing is written.
    ///
    /// # Errors
    /// [`Error::Disk`] with every reason against it; a signature is none with `force`.
    pub(crate) fn check(
        inner: &Inner,
        scan: &Scan,
        path: &Path,
        request: &NewDisksRequest<'_>,
    ) -> Result<Self, Error> {
        let NewDisksRequest {
            extent_size,
            metadata_size,
            force,
            ..
        } = *request;
        let refuse = refusal(path);
        let label = label_of_no_vg(inner, scan, path)?;
        let forgiven = |reason: &InUse| match reason {
            // A PV of no VG is as good as blank; one that says it is in use may be one whose other disks are away.
            InUse::Signature(found) if found.kind == SignatureKind::LvmPv => {
                matches!(label, Some(Label::Free)) || (force && label.is_some())
            }
            other => force && other.can_be_forced(),
        };
        let (disk, device_id) = claim(inner, path, &forgiven).map_err(|error| with_gap(error, scan, path))?;
        let size = measure(path, &*disk)?;
        let needed = inner.config.devices.pv_min_size;
        if size < needed {
            return Err(refuse(DiskProblem::TooSmall { size, needed }));
        }
        let mut make = MakePv::new(size, extent_size).alignment(inner.config.devices.data_alignment);
        if let Some(bytes) = metadata_size.or((size >= LARGE_DISK).then_some(METADATA_SIZE)) {
            make = make.mda_size(bytes);
        }
        let layout = make.layout().map_err(|error| match error {
            lvm_meta::Error::DeviceTooSmall { needed, .. } => refuse(DiskProblem::TooSmall { size, needed }),
            other => Error::Meta(other),
        })?;
        let id = PvId::from_random(identity::random()?);
        Ok(Self {
            path: path.into(),
            id,
            layout,
            device_id,
            disk: Arc::new(UndoDisk::new(inner.wrap(path, Arc::from(disk)))),
            data_start: u64::MAX,
        })
    }

    /// Checks that a disk may be given back the lost label of a PV that a text describes, and holds it open for nobody
    /// else.  Nothing is written.
    ///
    /// # Errors
    /// [`Error::Disk`] with every reason against it.  A signature is none with `force`, nor is another PV's label that is
    /// no VG's here and none of the text; what is left of this PV's own label is never one.
    pub(crate) fn relabel(
        inner: &Inner,
        scan: &Scan,
        path: &Path,
        (vg, pv): (&Vg, &Pv),
        force: bool,
    ) -> Result<Self, Error> {
        let refuse = refusal(path);
        let label = label_of_no_vg(inner, scan, path)?;
        let found = scan.disk_at(path);
        if let Some(found) = found
            && let Ok(Some(read)) = lvm_meta::scan(&*found.disk)
        {
            if vg.pv(read.header.id).is_some() {
                return Err(refuse(DiskProblem::InVg(vg.name().into())));
            }
            if label.is_none() {
                let what = format!("it carries PV {}, which is not used", read.header.id);
                return Err(refuse(DiskProblem::Excluded(what)));
            }
        }
        let is_own = |at| found.is_some_and(|found| names_pv(&*found.disk, at, pv.id()));
        let forgiven = |reason: &InUse| match reason {
            InUse::Signature(found) if found.kind == SignatureKind::LvmPv => force || is_own(found.offset),
            other => force && other.can_be_forced(),
        };
        let (disk, device_id) = claim(inner, path, &forgiven)?;
        let size = measure(path, &*disk)?;
        let layout = PvLayout::restored(size, vg.extent_size(), pv).map_err(|error| match error {
            lvm_meta::Error::DeviceTooSmall { size, needed } => {
                refuse(DiskProblem::TooSmall { size, needed })
            }
            other => Error::Meta(other),
        })?;
        Ok(Self {
            path: path.into(),
            id: pv.id(),
            data_start: layout.pe_start.to_bytes().unwrap_or(u64::MAX),
            layout,
            device_id,
            disk: Arc::new(UndoDisk::new(inner.wrap(path, Arc::from(disk)))),
        })
    }

    /// Its block size.
    pub(crate) fn block_size(&self) -> BlockSize {
        block_size(&self.path, &*self.disk)
    }

    /// The metadata areas that it will have.
    pub(crate) fn areas(&self) -> &[DiskArea] {
        &self.layout.metadata_areas
    }

    /// Its id for the devices file, on hosts that have one: elsewhere LVM notes none.
    pub(crate) fn device_id(&self, inner: &Inner) -> Option<(String, String)> {
        self.device_id.clone().filter(|_| inner.has_devices_file())
    }

    /// Erases what is forgiven and writes the PV, not yet a member of any VG.  Durable when this returns.
    pub(crate) fn format(&self) -> Result<(), Error> {
        let is_erased =
            |found: &FoundSignature| found.kind != SignatureKind::LvmPv && found.offset < self.data_start;
        host::erase_signatures(&*self.disk, is_erased).map_err(Error::Host)?;
        lvm_meta::make_pv(&*self.disk, self.id, &self.layout).map_err(Error::Meta)
    }

    /// Adds its metadata areas to a VG's.
    pub(crate) fn join(&self, mdas: &mut MdaSet) -> Result<(), Error> {
        let disk: Arc<dyn Disk> = self.disk.clone();
        mdas.open(&disk, &self.layout.metadata_areas).map_err(Error::Meta)
    }

    /// Says in the label that the PV is a VG's.  Durable when this returns.
    pub(crate) fn mark_used(&self) -> Result<(), Error> {
        lvm_meta::set_pv_used(&*self.disk, true).map_err(Error::Meta)
    }

    /// The PV for a VG's text.
    pub(crate) fn pv(&self, inner: &Inner) -> NewPv {
        NewPv {
            id: self.id,
            device_hint: self.path.to_string_lossy().into_owned(),
            dev_size: Sectors::from_bytes_floor(self.layout.device_size),
            pe_start: self.layout.pe_start,
            pe_count: self.layout.pe_count,
            device_id: self.device_id(inner),
        }
    }

    /// Puts back what was on the disk before [`NewDisk::format`].
    pub(crate) fn undo(&self) {
        // Best effort: the error that led here is the one to report.
        let _ = self.disk.undo();
    }
}

/// Does the sector of a label name this PV?  A sector whose checksum is wrong may.
fn names_pv(disk: &dyn Disk, label_at: u64, pv: PvId) -> bool {
    // The PV's id follows the 32 bytes of the label's header.
    let mut id = [0; 32];
    let read = label_at.checked_add(32).map(|at| disk.read_at(at, &mut id));
    read.is_some_and(|read| read.is_ok()) && id == *pv.as_bytes()
}

/// What the label of a disk says of its VG.
pub(crate) enum Label {
    /// It is a PV of this VG.
    OfVg(String),
    /// It says that it is a VG's, but none that is here lists it.
    OfUnknownVg,
    /// It is a PV of no VG.
    Free,
}

/// A disk held open, with its id for the devices file.
type Claimed = (Box<dyn Disk>, Option<(String, String)>);

/// Opens a disk for nobody else, if nothing stands against it that is not forgiven.
fn claim(inner: &Inner, path: &Path, forgiven: &dyn Fn(&InUse) -> bool) -> Result<Claimed, Error> {
    let refuse = |reasons: Vec<InUse>| Error::Disk {
        disk: path.into(),
        why: problem(&reasons),
    };
    let judge = |error: host::Error| match error {
        host::Error::InUse { reasons, .. } if reasons.iter().all(forgiven) => Ok(()),
        host::Error::InUse { reasons, .. } => Err(refuse(reasons)),
        other => Err(Error::Host(other)),
    };
    let fail = |source| Error::Io {
        what: "look at",
        path: path.into(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(fail)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Error::Host(host::Error::NotADisk { path: path.into() }));
    }
    if kind.is_file() {
        let disk = host::open_disk(&inner.paths, path, OpenMode::ReadWrite).map_err(Error::Host)?;
        if let Err(error) = host::empty_disk(&*disk, path, OnSignature::Refuse) {
            judge(error)?;
        }
        return Ok((disk, None));
    }
    let (devices, rules) = inner.devices(&LeaveOut::default())?;
    let device = devices.by_path(path).ok_or_else(|| Error::Disk {
        disk: path.into(),
        why: DiskProblem::Missing,
    })?;
    let (kind, name) = device.preferred_id();
    // LVM writes no id into the metadata where all it has is the device's name.
    let device_id = (kind != DeviceIdType::DevName).then(|| (kind.as_str().to_owned(), name));
    match host::claim_disk(&inner.paths, &devices, &rules, device, OnSignature::Refuse) {
        Ok(claimed) => Ok((Box::new(claimed.disk), device_id)),
        Err(error) => {
            judge(error)?;
            let disk = BlockDisk::open(device, OpenMode::Exclusive).map_err(Error::Host)?;
            Ok((Box::new(disk), device_id))
        }
    }
}

/// What stands against a disk: a reason that is a kind of its own if it is the only one, otherwise all of them.
fn problem(reasons: &[InUse]) -> DiskProblem {
    match reasons {
        [InUse::Skipped(Skip::TooSmall { size, least })] => DiskProblem::TooSmall {
            size: *size,
            needed: *least,
        },
        [InUse::Skipped(skip @ (Skip::Filtered | Skip::Driver))] => DiskProblem::Excluded(skip.to_string()),
        many => DiskProblem::InUse(many.iter().map(ToString::to_string).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_only_too_small_or_excluded_is_not_called_in_use() {
        let small = InUse::Skipped(Skip::TooSmall { size: 1, least: 2 });
        let filtered = InUse::Skipped(Skip::Filtered);
        assert_eq!(
            problem(std::slice::from_ref(&small)),
            DiskProblem::TooSmall { size: 1, needed: 2 }
        );
        assert!(matches!(problem(&[filtered]), DiskProblem::Excluded(_)));
        assert!(
            matches!(problem(&[small, InUse::ReadOnly]), DiskProblem::InUse(reasons) if reasons.len() == 2)
        );
    }
}
