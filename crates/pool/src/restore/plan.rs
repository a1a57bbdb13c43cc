//! What a restore will do, once every check has passed.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use lvm_meta::{Disk, DiskArea, FoundVg, MdaScan, Pv, PvId, PvScan, TextHead, Vg};

use crate::block_sizes::block_size;
use crate::error::{DiskProblem, Refusal};
use crate::new_disk::NewDisk;
use crate::new_disks::NewDisks;
use crate::scan::{Scan, ScannedDisk};
use crate::system::Inner;
use crate::{Error, host, naming};

use super::wanted::{Wanted, check_allowed};

/// A disk whose label is there.
pub(crate) struct Member<'a> {
    pv: PvId,
    pub(crate) disk: &'a ScannedDisk,
    pub(crate) read: &'a PvScan,
    /// The bytes of the PV's extents.
    pub(crate) extents: Range<u64>,
}

/// All that a restore will do.
pub(crate) struct Plan<'a> {
    pub(crate) inner: &'a Inner,
    /// The VG with its new sequence number.
    pub(crate) vg: Vg,
    /// The disks that have their labels.
    pub(crate) members: Vec<Member<'a>>,
    /// The disks that get theirs back.
    pub(crate) new: NewDisks<'a>,
    /// Disks of the VG as it is, or once was, that the text does not list.
    pub(crate) leaving: Vec<&'a ScannedDisk>,
    /// The VG's text as it is, if one can be read.
    pub(crate) current: Option<Arc<Vec<u8>>>,
}

impl<'a> Wanted<'a> {
    /// Checks what is on the disks and in the kernel.  The caller holds the locks.
    ///
    /// # Errors
    /// [`Error::ActiveLvs`], [`Error::Exists`], [`Error::Refused`], [`Error::NeedsForce`], [`Error::Disk`],
    /// [`Error::MetadataFull`].
    pub(crate) fn check(self, inner: &'a Inner, scan: &'a Scan) -> Result<Plan<'a>, Error> {
        check_inactive(inner, &self.vg)?;
        let current = self.current(inner, scan)?;
        let (mut members, mut new, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for pv in self.vg.pvs() {
            let given = self.given.iter().find(|(id, _)| *id == pv.id());
            match (self.member(scan, pv)?, given) {
                (Some(member), given) => {
                    let is_it = |path| host::same_device(&member.disk.path, path).unwrap_or(false);
                    if let Some((_, path)) = given.filter(|(_, path)| !is_it(path)) {
                        let why = format!("cannot be PV {}, which is {:?}", pv.id(), member.disk.path);
                        return Err(Error::Disk {
                            disk: path.to_path_buf(),
                            why: DiskProblem::OtherPv(why),
                        });
                    }
                    members.push(member);
                }
                (None, Some((_, path))) => {
                    let force = self.request.force;
                    new.push(NewDisk::relabel(inner, scan, path, (&self.vg, pv), force)?);
                }
                (None, None) => missing.push(format!("PV {} is missing", pv.id())),
            }
        }
        if !missing.is_empty() {
            return Err(self.refused(Refusal::Metadata {
                kind: "MissingPv",
                text: missing.join(", "),
            }));
        }
        let leaving = self.leaving(scan, current)?;
        let beside: Vec<_> = members
            .iter()
            .map(|member| block_size(&member.disk.path, &*member.disk.disk))
            .collect();
        let new = NewDisks::relabel(inner, new, &beside, self.vg.extent_size())?;
        let mut plan = Plan {
            inner,
            vg: self.vg,
            members,
            new,
            leaving,
            current: current.map(|found| found.text.clone()),
        };
        plan.outrank(scan)?;
        plan.note_devices()?;
        Ok(plan)
    }

    /// The VG as it is on the disks, if there is one that may be changed.
    fn current(&self, inner: &Inner, scan: &'a Scan) -> Result<Option<&'a FoundVg>, Error> {
        let found = &scan.assembly.vgs;
        let is_other = |other: &&FoundVg| {
            (other.name == self.vg.name() || other.id == Some(self.vg.id())) && !self.is_it(other)
        };
        if let Some(other) = found.iter().find(is_other) {
            return Err(Error::Exists {
                what: "another volume group of this name or id",
                id: other.name.clone(),
            });
        }
        let current = found.iter().find(|found| self.is_it(found));
        if let Some(Ok(vg)) = current.map(|found| &found.vg) {
            // What is wrong with its disks and its segments is for the restore to mend.
            let refusal = vg.refusal().filter(|refusal| {
                use lvm_meta::Refusal as R;
                let is_mended = matches!(
                    refusal,
                    R::MissingPv(_) | R::UnknownSegmentType { .. } | R::NotText | R::UnusualPvKeys { .. }
                );
                !is_mended
            });
            check_allowed(inner, vg, refusal.as_ref())?;
        }
        Ok(current)
    }

    /// The disk with a PV's label, after looking that it is the VG's to write; `None` when there is none.
    fn member(&self, scan: &'a Scan, pv: &Pv) -> Result<Option<Member<'a>>, Error> {
        let mut labels = scan.labels.iter().filter(|(_, id)| *id == pv.id());
        let Some((index, _)) = labels.next() else {
            return Ok(None);
        };
        if labels.next().is_some() {
            let what = format!("PV {} is on more than one device", pv.id());
            return Err(self.refused(Refusal::Ambiguous(what)));
        }
        let mut pvs = found_pvs(scan);
        let read = pvs.find(|(_, found)| found.disk == Some(*index));
        let (Some(disk), Some(read)) = (
            scan.disks.get(*index),
            read.and_then(|(_, found)| found.scan.as_ref()),
        ) else {
            return Ok(None);
        };
        let refuse = |why| Error::Disk {
            disk: disk.path.clone(),
            why,
        };
        if let Some(other) = self.other_owner(scan, pv.id(), read) {
            return Err(refuse(DiskProblem::InVg(other)));
        }
        let start = pv.pe_start().to_bytes().unwrap_or(u64::MAX);
        let length = self.vg.extent_size().to_bytes(pv.pe_count()).unwrap_or(u64::MAX);
        let extents = start..start.saturating_add(length);
        if extents.end > read.device_size {
            return Err(refuse(DiskProblem::TooSmall {
                size: read.device_size,
                needed: extents.end,
            }));
        }
        let data = DiskArea {
            offset: start,
            size: length,
        };
        if read.mdas.iter().any(|mda| mda.area.overlaps(&data)) {
            let why = format!("has a metadata area where the file has extents of PV {}", pv.id());
            return Err(refuse(DiskProblem::OtherPv(why)));
        }
        Ok(Some(Member {
            pv: pv.id(),
            disk,
            read,
            extents,
        }))
    }

    /// Another VG that lists the PV or whose text is on its disk.
    fn other_owner(&self, scan: &Scan, pv: PvId, read: &PvScan) -> Option<String> {
        let lists = |found: &&FoundVg| !self.is_it(found) && found.pvs.iter().any(|other| other.id == pv);
        let listing = scan.assembly.vgs.iter().find(lists);
        listing.map(|found| found.name.clone()).or_else(|| {
            let heads = texts(read).filter_map(head);
            heads
                .filter(|head| !head.is_of(self.vg.name(), &self.vg.id()))
                .map(|head| head.name)
                .next()
        })
    }

    /// The disks that the VG lists or whose areas hold a text of it, and that the new text does not list.
    fn leaving(&self, scan: &'a Scan, current: Option<&FoundVg>) -> Result<Vec<&'a ScannedDisk>, Error> {
        let mut leaving = Vec::new();
        for (owner, found) in found_pvs(scan) {
            let (Some(disk), Some(read)) = (found.disk.and_then(|at| scan.disks.get(at)), &found.scan) else {
                continue;
            };
            let is_listed = owner.is_some_and(|owner| self.is_it(owner));
            let holds_text = texts(read)
                .filter_map(head)
                .any(|head| head.is_of(self.vg.name(), &self.vg.id()));
            let is_free = owner.is_none_or(|owner| self.is_it(owner));
            if self.vg.pv(found.id).is_some() || !is_free || !(is_listed || holds_text) {
                continue;
            }
            let used = current
                .and_then(|current| current.vg.as_ref().ok())
                .map_or(0, |vg| vg.pv_used(found.id).get());
            if used > 0 && !self.request.force {
                return Err(Error::NeedsForce {
                    vg: self.vg.name().into(),
                    what: format!("{:?} leaves with {used} used extents", disk.path),
                });
            }
            leaving.push(disk);
        }
        Ok(leaving)
    }
}

impl Plan<'_> {
    /// Counts the sequence number above that of every copy on any disk, so that none of them ever wins.
    fn outrank(&mut self, scan: &Scan) -> Result<(), Error> {
        let mut highest = 0;
        for (disk, _) in &scan.labels {
            let Some(disk) = scan.disks.get(*disk) else {
                continue;
            };
            highest = highest.max(self.highest_on(&*disk.disk)?);
        }
        self.vg.outrank(highest).map_err(Error::Meta)
    }

    fn highest_on(&self, disk: &dyn Disk) -> Result<u32, Error> {
        lvm_meta::highest_seqno(disk, self.vg.name(), &self.vg.id())
            .map(Option::unwrap_or_default)
            .map_err(Error::Meta)
    }

    /// Puts the present paths of the disks into the text.
    fn note_devices(&mut self) -> Result<(), Error> {
        let hint = |path: &Path| path.to_string_lossy().into_owned();
        for member in &self.members {
            self.vg
                .set_pv_device_hint(member.pv, &hint(&member.disk.path))
                .map_err(Error::Meta)?;
        }
        for disk in self.new.disks() {
            self.vg
                .set_pv_device_hint(disk.id, &hint(&disk.path))
                .map_err(Error::Meta)?;
            if let Some((kind, name)) = disk.device_id(self.inner) {
                self.vg
                    .set_pv_device_id(disk.id, Some((&kind, &name)))
                    .map_err(Error::Meta)?;
            }
        }
        Ok(())
    }

    /// The largest text that fits every area that will be written.
    ///
    /// # Errors
    /// [`Error::Refused`] when none will be.
    pub(crate) fn capacity(&self) -> Result<u64, Error> {
        let mut capacities = Vec::new();
        for member in &self.members {
            for mda in &member.read.mdas {
                capacities.extend(member.capacity_of(mda)?);
            }
        }
        let areas = self.new.disks().iter().flat_map(NewDisk::areas);
        capacities.extend(areas.map(DiskArea::text_capacity));
        capacities.into_iter().min().ok_or_else(|| Error::Refused {
            vg: self.vg.name().into(),
            why: Refusal::Metadata {
                kind: "Unsupported",
                text: "none of its disks has a metadata area in use".into(),
            },
        })
    }

    /// Does no disk that had its label hold the new text or one as new?  A disk that cannot be read may.
    pub(crate) fn is_nowhere(&self) -> bool {
        let is_older = |member: &Member<'_>| {
            self.highest_on(&*member.disk.disk)
                .is_ok_and(|seqno| seqno < self.vg.seqno())
        };
        self.members.iter().all(is_older)
    }
}

impl Member<'_> {
    /// The largest text that fits an area, if it will be written.
    fn capacity_of(&self, mda: &MdaScan) -> Result<Option<u64>, Error> {
        let extents = self.extents.clone();
        if lvm_meta::is_blankable(&*self.disk.disk, mda.area, extents).map_err(Error::Meta)? {
            return Ok(Some(mda.area.text_capacity()));
        }
        let header = mda.header.as_ref().ok().filter(|header| !header.is_ignored());
        Ok(header.map(|header| {
            let area = DiskArea {
                offset: header.start,
                size: header.size,
            };
            area.text_capacity()
        }))
    }
}

/// Every PV of a scan with the VG that it was given to.
fn found_pvs(scan: &Scan) -> impl Iterator<Item = (Option<&FoundVg>, &lvm_meta::FoundPv)> {
    let of_vgs = scan
        .assembly
        .vgs
        .iter()
        .flat_map(|vg| vg.pvs.iter().map(move |pv| (Some(vg), pv)));
    of_vgs.chain(scan.assembly.orphans.iter().map(|pv| (None, pv)))
}

/// The texts in a disk's areas that are whole.
fn texts(read: &PvScan) -> impl Iterator<Item = &[u8]> {
    read.mdas
        .iter()
        .filter_map(|mda| Some(mda.text.as_ref()?.as_ref().ok()?.as_slice()))
}

/// What a text tells of itself; of one with a broken grammar the name.
fn head(text: &[u8]) -> Option<TextHead> {
    TextHead::read(text).ok().or_else(|| {
        let mut head = TextHead::default();
        head.name = Vg::peek_name(text).ok()?;
        Some(head)
    })
}

/// Refuses while a device of the VG is there: by its id, and by its name where that is all that the kernel tells.
fn check_inactive(inner: &Inner, vg: &Vg) -> Result<(), Error> {
    let prefix = format!("LVM-{}", vg.id().as_str());
    let devices = inner.mapper.list().map_err(Error::Dm)?;
    let is_of_vg = |device: &&lvm_dm::DeviceEntry| {
        let uuid = device.uuid.as_ref().map(lvm_dm::DmUuid::as_str);
        let is_named = || naming::vg_of_device(&device.name).as_deref() == Some(vg.name());
        uuid.is_some_and(|uuid| uuid.starts_with(&prefix))
            || (uuid.is_none_or(|uuid| uuid.starts_with("LVM-")) && is_named())
    };
    let active: Vec<String> = devices
        .iter()
        .filter(is_of_vg)
        .map(|device| device.name.as_str().to_owned())
        .collect();
    if active.is_empty() {
        return Ok(());
    }
    Err(Error::ActiveLvs {
        vg: vg.name().into(),
        devices: active,
    })
}
