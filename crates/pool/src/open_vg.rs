//! A VG held open: its disks, its parsed metadata, and the one way to change it.
//!
//! Unchanged metadata costs one header read per metadata area.  A change takes LVM's lock, looks once more, works on
//! the parsed VG in place, and commits; when it fails half way, the parsed VG is read anew before its next use.

mod change;
mod mapping;
mod own_devices;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lvm_dm::{DeviceMapper, DeviceNumber};
use lvm_meta::{
    Ambiguity, Disk, DiskArea, FoundVg, LastCheck, LastPrint, Lv, MdaSet, Problem, PvId, TooSmall, Vg,
};

use crate::apply::{NewText, Step};
use crate::display_names::DisplayNames;
use crate::error::Refusal;
use crate::gap::{self, Gap};
use crate::host::VolumeList;
use crate::recover::recover_open;
use crate::scan::Scan;
use crate::system::Inner;
use crate::thin::index::ThinIndex;
use crate::{Error, share};

pub(crate) use change::Change;
pub(crate) use own_devices::Deactivated;
use own_devices::OwnDevices;

/// What helps when a PV does not fit its disk.
const GROW: &str = "growing the pool fits it to the disk, if those extents are free";

/// One disk of an open VG.
#[derive(Clone)]
pub(crate) struct VgDisk {
    pub(crate) pv: PvId,
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) number: DeviceNumber,
    /// The metadata areas that its label names, if one of them is behind the first extent: that one moves when the disk is
    /// resized, by us or by LVM.
    pub(crate) end_areas: Option<Vec<DiskArea>>,
    /// Its label says that it is a VG's.
    pub(crate) is_marked: bool,
}

/// A VG as it was read, with what is needed to write it.
pub(crate) struct OpenVg {
    pub(crate) vg: Vg,
    pub(crate) mdas: MdaSet,
    pub(crate) disks: Vec<VgDisk>,
    /// What is wrong with copies and disks and where, for people.
    pub(crate) problems: Vec<String>,
    /// What could not be looked at, if disks are missing.
    pub(crate) unseen: Vec<Gap>,
    /// Why the last backup of the metadata could not be kept.
    pub(crate) backup_problem: Option<String>,
    /// Nobody can tell which metadata is right, or which disk is whose.
    pub(crate) ambiguous: Option<Ambiguity>,
    /// The disks that are smaller than their PVs.
    pub(crate) too_small: Vec<TooSmall>,
    /// What was printed and checked last: what did not change since is neither printed nor checked again.
    printed: LastPrint,
    checked: LastCheck,
    display_names: DisplayNames,
    thin_index: ThinIndex,
    /// `read_only_volume_list` of lvm.conf.
    read_only: Option<VolumeList>,
    /// Knows the devices of LVs on which others lie.
    mapper: Arc<dyn DeviceMapper>,
    own: OwnDevices,
    /// The parsed metadata may not be what is on disk: a change failed half way, or was made meanwhile.
    stale: bool,
    /// A write or sync failed: this handle changes nothing more.
    poisoned: bool,
    /// A step of the kernel failed, or devices were met that a change of somebody else left half made: they are mended
    /// before the next change.
    cut: bool,
}

impl OpenVg {
    /// Takes over what a scan found.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when no copy of the metadata is good.
    pub(crate) fn new(inner: &Inner, scan: &Scan, found: FoundVg) -> Result<Self, Error> {
        let too_small = found.too_small();
        let vg = match found.vg {
            Ok(vg) => vg,
            Err(ref source) => return Err(unreadable(scan, &found, source)),
        };
        let (mut disks, mut mdas) = (Vec::new(), MdaSet::new());
        for pv in found.pvs {
            let (Some(disk), Some(read)) = (pv.disk.and_then(|index| scan.disks.get(index)), pv.scan) else {
                continue;
            };
            let number = inner.mapper.backing(&disk.path).map_err(Error::Dm)?;
            let is_marked = read.header.is_used();
            let start = vg.pv(pv.id).and_then(|pv| pv.pe_start().to_bytes());
            let is_behind = |area: &DiskArea| start.is_none_or(|start| area.offset >= start);
            let areas = read.header.metadata_areas;
            let end_areas = areas.iter().any(is_behind).then_some(areas);
            // As LVM: areas out of use are left alone, and so are broken ones, which only a repair rewrites.
            for header in read
                .mdas
                .into_iter()
                .filter_map(|mda| mda.header.ok())
                .filter(|mda| !mda.is_ignored())
            {
                mdas.add(&disk.disk, header);
            }
            disks.push(VgDisk {
                pv: pv.id,
                path: disk.path.clone(),
                disk: disk.disk.clone(),
                number,
                end_areas,
                is_marked,
            });
        }
        let where_and_what = |problem: &Problem| {
            let disk = problem.place.disk.and_then(|index| scan.disks.get(index));
            disk.map_or_else(
                || problem.to_string(),
                |disk| format!("{}, byte {}: {problem}", disk.path.display(), problem.place.at),
            )
        };
        let mut problems: Vec<String> = found.problems.iter().map(where_and_what).collect();
        // A disk that could not be read may be one that is missed.
        let unseen = match disks.len() < vg.pvs().len() {
            true => scan.gaps.clone(),
            false => Vec::new(),
        };
        problems.extend(unseen.iter().map(Gap::to_string));
        let mut open = Self {
            vg,
            mdas,
            disks,
            problems,
            unseen,
            backup_problem: None,
            ambiguous: found.ambiguous,
            too_small,
            printed: LastPrint::default(),
            checked: LastCheck::default(),
            display_names: DisplayNames::default(),
            thin_index: ThinIndex::default(),
            read_only: inner.config.activation.read_only_volume_list.clone(),
            mapper: inner.mapper.clone(),
            own: OwnDevices::default(),
            stale: false,
            poisoned: false,
            cut: false,
        };
        if inner.has_own_devices() {
            (open.own.is_unmapped, open.own.is_unswept) = (true, true);
            open.map_own(inner);
        }
        Ok(open)
    }

    /// Makes the next look read everything anew.
    pub(crate) fn forget(&mut self) {
        self.stale = true;
    }

    /// Makes the next change mend devices that are half made.
    pub(crate) fn note_cut(&mut self) {
        self.cut = true;
    }

    /// Mends what is known to be half made, as opening the pool does.  The caller holds the VG's lock.
    ///
    /// What cannot be mended now is left for the next change: it must not stand in the way of what is sound.
    ///
    /// # Errors
    /// As [`OpenVg::refresh`].
    pub(crate) fn mend_cut(&mut self, inner: &Inner) -> Result<(), Error> {
        if !self.cut {
            return Ok(());
        }
        let mended = recover_open(inner, self);
        self.cut = mended.is_err();
        self.refresh(inner)?;
        share::follow(inner, self);
        Ok(())
    }

    /// The PVs that were missing at the last change and are back.
    pub(crate) fn returned(&self) -> Vec<PvId> {
        let is_back = |pv: &&lvm_meta::Pv| pv.is_missing() && self.device(pv.id()).is_some();
        let pvs = self.vg.pvs().iter().filter(is_back);
        pvs.map(lvm_meta::Pv::id).collect()
    }

    /// Takes the mark off PVs that were missing at the last change and are back, as `vgextend --restoremissing` does.  The
    /// caller holds the VG's lock.
    ///
    /// Nothing was written meanwhile to what lies on them alone, and what is old in images of arrays the kernel knows.
    ///
    /// # Errors
    /// As [`OpenVg::change`].
    pub(crate) fn take_back(&mut self, inner: &Inner) -> Result<(), Error> {
        let back = self.returned();
        if back.is_empty() {
            return Ok(());
        }
        self.change(inner, "take back disks that were missing", |change| {
            change.edit().mark_missing(&back, false);
            change.step(Step::Commit);
            Ok(())
        })
        // It only prepares what was asked for, which is not begun yet.
        .map_err(Error::before_the_change)
    }

    /// Are the areas that move with the end of their disks where they were?  The header at the old place may be a good one.
    fn areas_stayed(&self) -> bool {
        let stayed = |disk: &VgDisk| match &disk.end_areas {
            Some(areas) => lvm_meta::read_label(&*disk.disk)
                .is_ok_and(|label| label.is_some_and(|label| label.metadata_areas == *areas)),
            None => true,
        };
        self.disks.iter().all(stayed)
    }

    /// Brings the parsed VG up to date with the disks.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] when the VG is gone, [`Error::Unseen`] when it may be where nobody can look now.
    pub(crate) fn refresh(&mut self, inner: &Inner) -> Result<(), Error> {
        // An area that cannot be read any more is for the scan to find.
        if !self.stale && self.mdas.unchanged().unwrap_or(false) && self.areas_stayed() {
            self.map_own(inner);
            if !self.stale {
                return Ok(());
            }
        }
        let (id, name) = (self.vg.id(), self.vg.name().to_string());
        let mut scan = inner.scan()?;
        let Some(found) = scan.take_vg(&id, &name) else {
            return Err(gap::unless_unseen(Error::PoolNotFound(name), &scan.gaps));
        };
        let (poisoned, cut, seqno) = (self.poisoned, self.cut, self.vg.seqno());
        let backup_problem = self.backup_problem.take();
        *self = Self::new(inner, &scan, found)?;
        (self.poisoned, self.cut) = (poisoned, cut);
        // It is of the last commit of this handle.
        self.backup_problem = backup_problem.filter(|_| self.vg.seqno() == seqno);
        Ok(())
    }

    /// May an LV's device be written?  Its metadata and `read_only_volume_list` of lvm.conf say so.
    pub(crate) fn is_writable(&self, lv: &Lv) -> bool {
        let is_listed = self.read_only.as_ref().is_some_and(|list| {
            let (vg_tags, lv_tags): (Vec<_>, Vec<_>) = (self.vg.tags().iter().collect(), lv.tags().collect());
            list.names(self.vg.name(), lv.name(), &vg_tags, &lv_tags)
        });
        lv.is_writable() && !is_listed
    }

    /// The block device of a PV, if it is there.
    pub(crate) fn device(&self, pv: PvId) -> Option<DeviceNumber> {
        self.disks
            .iter()
            .find(|disk| disk.pv == pv)
            .map(|disk| disk.number)
    }

    /// Refuses a VG that we must not change.
    pub(crate) fn check_writable(&self, inner: &Inner) -> Result<(), Error> {
        self.check_complete(inner)?;
        match self.too_small.first() {
            Some(disk) => Err(self.refused(Refusal::DeviceTooSmall(format!("{disk}: {GROW}")))),
            None => Ok(()),
        }
    }

    /// As [`OpenVg::check_writable`], though disks may be smaller than their PVs.
    pub(crate) fn check_complete(&self, inner: &Inner) -> Result<(), Error> {
        self.check_ours(inner)?;
        let is_missing = |pv: &&lvm_meta::Pv| pv.is_missing() || self.device(pv.id()).is_none();
        self.vg.pvs().iter().find(is_missing).map_or(Ok(()), |pv| {
            let last = pv.device_hint().map_or_else(String::new, |path| format!(", last seen as {path},"));
            let text = format!(
                "PV {}{last} is missing: bring its disk back, or take it out of the pool (remove-disk or replace-disk)",
                pv.id()
            );
            let kind = "MissingPv";
            Err(self.refused(Refusal::Metadata { kind, text }))
        })
    }

    /// As [`OpenVg::check_writable`], for what changes devices and no metadata, or puts right what missing disks took away:
    /// disks may be missing.
    pub(crate) fn check_ours(&self, inner: &Inner) -> Result<(), Error> {
        let refusal = self.vg.refusal();
        let refusal = refusal.filter(|refusal| !matches!(refusal, lvm_meta::Refusal::MissingPv(_)));
        let why = if let Some(Ambiguity::Extents(what)) = &self.ambiguous {
            Refusal::AreaAmongExtents(format!("{what}: {GROW}"))
        } else if let Some(what) = &self.ambiguous {
            Refusal::Ambiguous(what.to_string())
        } else if let Some(refusal) = refusal {
            Refusal::of_metadata(&refusal)
        } else if let Some(refusal) = inner.host_refusal(&self.vg) {
            refusal
        } else {
            return Ok(());
        };
        Err(self.refused(why))
    }

    /// Refuses a VG to which no disk may be added and from which none may be removed, as `vgextend` and `vgreduce` do.
    pub(crate) fn check_resizeable(&self) -> Result<(), Error> {
        match self.vg.status().contains(lvm_meta::VgStatus::RESIZEABLE) {
            true => Ok(()),
            false => Err(self.refused(Refusal::NotResizeable)),
        }
    }

    /// Refuses an LV whose node below `/dev` something else has, before anything is made.
    pub(crate) fn check_node_free(&self, inner: &Inner, lv: &str) -> Result<(), Error> {
        match inner.nodes.in_the_way(self.vg.name(), lv) {
            Some(path) => Err(self.refused(Refusal::NodesTaken(path))),
            None => Ok(()),
        }
    }

    fn refused(&self, why: Refusal) -> Error {
        Error::Refused {
            vg: self.vg.name().into(),
            why,
        }
    }

    /// Says in the label of each disk that its PV is a VG's, where that is missing.  Durable when this returns.
    pub(crate) fn mark_disks(&mut self) -> Result<(), Error> {
        for disk in self.disks.iter_mut().filter(|disk| !disk.is_marked) {
            lvm_meta::set_pv_used(&*disk.disk, true).map_err(Error::Meta)?;
            disk.is_marked = true;
            // The last look found that it was not.
            self.stale = true;
        }
        Ok(())
    }

    /// Writes the sizes of devices that the metadata says into their labels, where those say others.  Durable when this returns.
    ///
    /// In a VG its text counts, not the label: the label may follow the commit, and that of an earlier call too.
    pub(crate) fn note_sizes(&self) -> Result<(), Error> {
        for disk in &self.disks {
            // Old texts have none.
            if let Some(pv) = self
                .vg
                .pv(disk.pv)
                .filter(|pv| pv.dev_size() != lvm_meta::Sectors::default())
            {
                lvm_meta::set_pv_size(&*disk.disk, pv.dev_size()).map_err(Error::Meta)?;
            }
        }
        Ok(())
    }

    /// Lets `plan` change the parsed VG and name the kernel's steps, then makes both real in one commit.
    ///
    /// The caller holds the VG's lock.  Nothing is written when `plan` changes nothing; durable when this returns.
    ///
    /// # Errors
    /// `plan`'s own, [`Error::MetadataFull`], or the failure of a step; before the commit all is as it was.  After a
    /// failed write or sync of metadata this handle changes nothing more: only opening the pool again tells what is
    /// on the disks.
    pub(crate) fn change<R>(
        &mut self,
        inner: &Inner,
        description: &str,
        plan: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.change_timed(inner, description, plan)
            .map(|(answer, _)| answer)
    }

    /// Does all of a change that can be refused, and nothing of what changes anything: for a plan that is told and not carried
    /// out.  The VG is read anew before its next use.
    ///
    /// # Errors
    /// As [`OpenVg::change`].
    pub(crate) fn rehearse<R>(
        &mut self,
        inner: &Inner,
        plan: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.stale = true;
        let mut change = Change {
            open: self,
            steps: Vec::new(),
            edited: false,
        };
        let answer = plan(&mut change)?;
        if !change.edited {
            return Ok(answer);
        }
        self.vg.bump_seqno().map_err(Error::Meta)?;
        let vg = || self.vg.name().to_string();
        if let Some(finding) = self.checked.check(&self.vg).into_iter().next() {
            return Err(Error::Unsound { vg: vg(), finding });
        }
        let needed = self.vg.print_raw(&inner.provenance("")).len() as u64;
        let capacity = self.mdas.capacity();
        if needed > capacity {
            return Err(Error::MetadataFull {
                pool: vg(),
                needed,
                capacity,
            });
        }
        match self
            .disks
            .iter()
            .find(|disk| crate::host::is_read_only(&disk.path))
        {
            Some(disk) => Err(self.refused(Refusal::ReadOnlyDisk(disk.path.clone()))),
            None => Ok(answer),
        }
    }

    /// As [`OpenVg::change`], telling how long I/O stood still at most.
    pub(crate) fn change_timed<R>(
        &mut self,
        inner: &Inner,
        description: &str,
        plan: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
    ) -> Result<(R, Duration), Error> {
        if self.poisoned {
            return Err(Error::Meta(lvm_meta::Error::Poisoned));
        }
        self.sweep_own(inner);
        let name_before = self.vg.name().to_owned();
        let mut change = Change {
            open: self,
            steps: Vec::new(),
            edited: false,
        };
        let result = plan(&mut change);
        let Change { steps, edited, .. } = change;
        // From here on the parsed VG is ahead of the disks until the commit is done.
        self.stale = edited;
        let answer = result?;
        if !edited {
            let applied = inner.kernel().apply_timed(None, &steps);
            self.cut |= applied.is_err();
            return applied.map(|stall| (answer, stall));
        }
        self.vg.bump_seqno().map_err(Error::Meta)?;
        if let Some(finding) = self.checked.check(&self.vg).into_iter().next() {
            return Err(Error::Unsound {
                vg: self.vg.name().into(),
                finding,
            });
        }
        let text = self.printed.print_raw(&self.vg, &inner.provenance(description));
        let (needed, capacity) = (text.bytes().len() as u64, self.mdas.capacity());
        if needed > capacity {
            return Err(Error::MetadataFull {
                pool: self.vg.name().into(),
                needed,
                capacity,
            });
        }
        let archived = inner.archive(&name_before, &self.mdas, description);
        let result = inner.kernel().apply_timed(
            Some(NewText {
                mdas: &mut self.mdas,
                text,
            }),
            &steps,
        );
        self.stale = !matches!(result, Ok(_) | Err(Error::AfterCommit(_)));
        self.cut |= result.is_err();
        // The change stands or falls by itself; that an administrator could not go back is told with the pool's health.
        let kept = match self.stale {
            true => archived,
            false => archived.and(inner.backup(self.vg.name(), text.bytes(), description)),
        };
        self.backup_problem = kept
            .err()
            .map(|error| format!("no backup of the metadata was kept: {error}"));
        self.poisoned = self.mdas.is_poisoned();
        // What was wrong before the commit may not be so after it: the next question looks.
        self.stale |= !self.problems.is_empty();
        result.map(|stall| (answer, stall))
    }
}

/// Why no copy of a VG's metadata can be used, and where the one that was tried is.
fn unreadable(scan: &Scan, found: &FoundVg, source: &lvm_meta::Error) -> Error {
    let place = found.problems.first().map(|problem| problem.place);
    let disk = place.and_then(|place| scan.disks.get(place.disk?));
    let is_it = |pv: &&lvm_meta::FoundPv| place.is_some_and(|place| place.disk == pv.disk);
    let pvs = found.pvs.iter().chain(&scan.assembly.orphans);
    let mut areas = pvs
        .filter(is_it)
        .filter_map(|pv| pv.scan.as_ref())
        .flat_map(|read| &read.mdas);
    let start = place.map_or(0, |place| place.at);
    let area = areas.find(|mda| mda.area.offset == start);
    let byte = match source {
        lvm_meta::Error::Corrupt {
            part: lvm_meta::Part::Text,
            at,
            ..
        } => area.and_then(|area| area.text_byte(*at)),
        _ => None,
    };
    Error::Unreadable {
        vg: found.name.clone(),
        disk: disk.map(|disk| disk.path.clone()).unwrap_or_default(),
        byte: byte.unwrap_or(start),
        source: Box::new(gap::copy_of(source)),
    }
}
