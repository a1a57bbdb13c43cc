//! From scanned disks to VGs: which copy of each VG's text counts, which disk is which PV, and what is wrong where.
//!
//! Of one VG the highest sequence number wins, as in LVM.  Of copies with that number that differ the one on the first disk is taken, as
//! LVM does; but LVM goes on writing then, and here the VG is not to be changed until a repair settles it.

mod copies;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::scan::PvScan;
use crate::{DiskArea, Error, PvId, Sectors, Vg, VgId};

/// All VGs and free PVs of a set of disks.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Assembly {
    /// The VGs, in the order in which their first disk was given.
    pub vgs: Vec<FoundVg>,
    /// PVs that no VG has.
    pub orphans: Vec<FoundPv>,
}

/// A VG as its disks hold it.
#[derive(Debug)]
pub struct FoundVg {
    /// Its name, as the newest text that can be read has it.
    pub name: String,
    /// Its id, unless no text of it can be read.
    pub id: Option<VgId>,
    /// The newest text, parsed; or why no copy can be.
    pub vg: Result<Vg, Error>,
    /// The newest text as it is on disk, the closing NUL included.
    pub text: Arc<Vec<u8>>,
    /// Its PVs; of a VG that cannot be read, the disks that hold its text.
    pub pvs: Vec<FoundPv>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Why the VG must not be changed although its text could be read.
    pub ambiguous: Option<Ambiguity>,
    /// The disks that hold any text of it, of whatever age.
    holders: HashSet<usize>,
}

/// Why nobody can tell which metadata is right, or which disk is whose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ambiguity {
    /// Copies with this sequence number, the newest, differ.
    CopiesDiffer(u32),
    /// A copy with a good checksum, which may be the newest, cannot be read: why.
    UnreadableCopy(String),
    /// A PV is listed by more than one VG.
    PvInTwoVgs(PvId),
    /// A PV is on more than one device.
    PvOnTwoDevices(PvId),
    /// Other VGs have the same id: copies of its disks that were changed since.
    IdOfTwoVgs {
        /// The id.
        id: VgId,
        /// The names of the others, as far as a message has room.
        others: Vec<String>,
    },
    /// A metadata area is among the extents of its PV.
    Extents(String),
}

impl Ambiguity {
    /// Is it settled when the copy that is read is written to all areas?
    pub fn is_in_copies(&self) -> bool {
        matches!(self, Self::CopiesDiffer(_) | Self::UnreadableCopy(_))
    }

    /// Is it settled when the PVs are fitted to their disks, as far as nothing is in the wrong place?
    pub fn is_in_layout(&self) -> bool {
        matches!(self, Self::Extents(_))
    }
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CopiesDiffer(seqno) => {
                write!(
                    f,
                    "copies of the metadata with the sequence number {seqno} differ"
                )
            }
            Self::UnreadableCopy(what) | Self::Extents(what) => f.write_str(what),
            Self::PvInTwoVgs(id) => write!(f, "PV {id} is claimed by more than one volume group"),
            Self::PvOnTwoDevices(id) => write!(f, "PV {id} is on more than one device"),
            Self::IdOfTwoVgs { id, others } => write!(
                f,
                "the id {id} is also that of the volume group {}: one is a copy of the other",
                others.join(", ")
            ),
        }
    }
}

/// A PV of a VG, or of none.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FoundPv {
    /// Its id.
    pub id: PvId,
    /// The disk that carries it, by the number it was given; `None` for a missing PV.
    pub disk: Option<usize>,
    /// What was read from that disk.
    pub scan: Option<PvScan>,
}

/// A device that is smaller than its PV: it shrank, or the metadata never was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// The PV.
    pub pv: PvId,
    /// The disk that carries it, by its number.
    pub disk: Option<usize>,
    /// The bytes that its extents need.
    pub needed: u64,
    /// The bytes of the device.
    pub size: u64,
}

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pv, needed, size, .. } = self;
        write!(f, "PV {pv} needs {needed} bytes; its device has {size}")
    }
}

/// What is wrong with one copy or disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Problem {
    /// Does it endanger the VG?
    pub severity: Severity,
    /// The disk and the structure on it.
    pub place: Place,
    /// What is wrong.
    pub what: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Severity {
    /// The next write mends it, or it is harmless.
    Warning,
    /// A copy or a disk is lost.
    Error,
}

/// Where a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Place {
    /// The disk's number, unless it is missing.
    pub disk: Option<usize>,
    /// Byte on the disk.
    pub at: u64,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// How a metadata area's copy compares with the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum CopyState {
    /// It holds the newest text.
    Current,
    /// It holds an older one.
    Old,
    /// It is out of use.
    Ignored,
    /// It cannot be trusted.
    Bad,
    /// It holds none.
    Empty,
}

/// Puts scanned disks together.  Each disk comes with a number of the caller's.
pub fn assemble(scans: Vec<(usize, PvScan)>) -> Assembly {
    let mut assembly = Assembly {
        vgs: copies::group(&scans),
        orphans: Vec::new(),
    };
    for (disk, scan) in scans {
        assembly.add_disk(disk, scan);
    }
    for vg in &mut assembly.vgs {
        vg.report_missing();
        vg.report_extents();
    }
    assembly
}

impl Assembly {
    /// Gives a disk to the VG that lists its PV, else to the orphans.
    fn add_disk(&mut self, disk: usize, scan: PvScan) {
        let id = scan.header.id;
        let lists = |vg: &FoundVg| vg.pvs.iter().any(|pv| pv.id == id);
        let claims: Vec<usize> = (0..self.vgs.len())
            .filter(|at| self.vgs.get(*at).is_some_and(lists))
            .collect();
        // The VG whose text the disk itself holds has the better claim.
        let own = claims
            .iter()
            .copied()
            .find(|at| self.vgs.get(*at).is_some_and(|vg| vg.holders.contains(&disk)));
        let Some(owner) = own.or(claims.first().copied()) else {
            self.add_unlisted(disk, scan);
            return;
        };
        if claims.len() > 1 {
            for at in &claims {
                if let Some(vg) = self.vgs.get_mut(*at) {
                    vg.doubt(
                        Ambiguity::PvInTwoVgs(id),
                        Place {
                            disk: Some(disk),
                            at: 0,
                        },
                    );
                }
            }
        }
        let Some(vg) = self.vgs.get_mut(owner) else { return };
        vg.report_copies(disk, &scan);
        let Some(pv) = vg.pvs.iter_mut().find(|pv| pv.id == id) else {
            return;
        };
        if pv.disk.is_some() {
            vg.doubt(
                Ambiguity::PvOnTwoDevices(id),
                Place {
                    disk: Some(disk),
                    at: 0,
                },
            );
            return;
        }
        (pv.disk, pv.scan) = (Some(disk), Some(scan));
    }

    /// A disk that no readable text lists: it may belong to a VG whose text cannot be read.
    fn add_unlisted(&mut self, disk: usize, scan: PvScan) {
        let owner = self
            .vgs
            .iter()
            .position(|vg| vg.vg.is_err() && vg.holders.contains(&disk));
        if owner.is_none() {
            self.outdated(disk, &scan);
        }
        let owner = owner.and_then(|at| self.vgs.get_mut(at));
        let pvs = owner.map_or(&mut self.orphans, |vg| &mut vg.pvs);
        pvs.push(FoundPv {
            id: scan.header.id,
            disk: Some(disk),
            scan: Some(scan),
        });
    }

    /// A disk that holds a VG's text although the newest text does not list it.
    fn outdated(&mut self, disk: usize, scan: &PvScan) {
        for vg in &mut self.vgs {
            if vg.holders.contains(&disk) {
                let what = format!(
                    "PV {} holds old metadata of the volume group, which does not list it",
                    scan.header.id
                );
                vg.problems.push(Problem {
                    severity: Severity::Warning,
                    place: Place {
                        disk: Some(disk),
                        at: 0,
                    },
                    what,
                });
            }
        }
    }
}

/// Are two texts the same?  One that is shared need not be compared.
fn is_same(text: &Arc<Vec<u8>>, other: &Arc<Vec<u8>>) -> bool {
    Arc::ptr_eq(text, other) || text == other
}

impl FoundVg {
    fn new(vg: Vg, text: Arc<Vec<u8>>) -> Self {
        let pvs = vg
            .pvs()
            .iter()
            .map(|pv| FoundPv {
                id: pv.id(),
                disk: None,
                scan: None,
            })
            .collect();
        let (name, id) = (vg.name().to_string(), Some(vg.id()));
        Self {
            name,
            id,
            vg: Ok(vg),
            text,
            pvs,
            problems: Vec::new(),
            ambiguous: None,
            holders: HashSet::new(),
        }
    }

    fn unreadable(name: String, error: Error, text: Arc<Vec<u8>>, problem: Problem) -> Self {
        Self {
            name,
            id: None,
            vg: Err(error),
            text,
            pvs: Vec::new(),
            problems: vec![problem],
            ambiguous: None,
            holders: HashSet::new(),
        }
    }

    /// Notes that disks hold a text of it.
    fn hold(&mut self, places: &[Place]) {
        self.holders.extend(places.iter().filter_map(|place| place.disk));
    }

    /// The first disk that holds a text of it.
    fn first_place(&self) -> Place {
        Place {
            disk: self.holders.iter().min().copied(),
            at: 0,
        }
    }

    /// Notes what forbids changes.  What a repair cannot settle counts before what it can.
    fn doubt(&mut self, ambiguity: Ambiguity, place: Place) {
        self.problems.push(Problem {
            severity: Severity::Error,
            place,
            what: ambiguity.to_string(),
        });
        if self.ambiguous.as_ref().is_none_or(Ambiguity::is_in_copies) {
            self.ambiguous = Some(ambiguity);
        }
    }

    /// The sequence number of the newest text.
    pub fn seqno(&self) -> Option<u32> {
        self.vg.as_ref().ok().map(Vg::seqno)
    }

    /// How an area's copy compares with the newest, with the sequence number of a readable copy.
    pub fn copy_state(&self, mda: &crate::MdaScan) -> (CopyState, Option<u32>) {
        let Ok(header) = &mda.header else {
            return (CopyState::Bad, None);
        };
        match &mda.text {
            _ if header.is_ignored() => (CopyState::Ignored, None),
            None => (CopyState::Empty, None),
            Some(Ok(text)) if is_same(text, &self.text) => (CopyState::Current, self.seqno()),
            Some(Ok(text)) => match Vg::parse(text) {
                Ok(vg) if Some(vg.seqno()) < self.seqno() => (CopyState::Old, Some(vg.seqno())),
                Ok(vg) => (CopyState::Bad, Some(vg.seqno())),
                Err(_) => (CopyState::Bad, None),
            },
            Some(Err(_)) => (CopyState::Bad, None),
        }
    }

    /// What is wrong with the copies on one disk.
    fn report_copies(&mut self, disk: usize, scan: &PvScan) {
        for mda in &scan.mdas {
            let place = Place {
                disk: Some(disk),
                at: mda.area.offset,
            };
            let error = match (&mda.header, &mda.text) {
                (Err(error), _) | (_, Some(Err(error))) => Some(error.to_string()),
                _ => None,
            };
            let (severity, what) = match (error, self.copy_state(mda)) {
                (Some(error), _) => (Severity::Error, error),
                (None, (CopyState::Old, seqno)) => {
                    let seqno = seqno.unwrap_or(0);
                    (
                        Severity::Warning,
                        format!("an old copy of the metadata, sequence number {seqno}"),
                    )
                }
                (None, (CopyState::Empty, _)) => {
                    (Severity::Warning, "a metadata area without metadata".into())
                }
                _ => continue,
            };
            self.problems.push(Problem {
                severity,
                place,
                what,
            });
        }
        if !scan.header.is_used() {
            let place = Place {
                disk: Some(disk),
                at: scan.label_sector.saturating_mul(512),
            };
            let what = "the label does not say that the PV belongs to a volume group".into();
            self.problems.push(Problem {
                severity: Severity::Warning,
                place,
                what,
            });
        }
    }

    fn report_missing(&mut self) {
        for pv in self.pvs.iter().filter(|pv| pv.disk.is_none()) {
            let what = format!("PV {} is missing", pv.id);
            self.problems.push(Problem {
                severity: Severity::Error,
                place: Place { disk: None, at: 0 },
                what,
            });
        }
    }

    /// The devices that are smaller than what the extents of their PVs need.
    pub fn too_small(&self) -> Vec<TooSmall> {
        let Ok(vg) = &self.vg else { return Vec::new() };
        let mut all = Vec::new();
        for found in &self.pvs {
            let (Some(pv), Some(scan)) = (vg.pv(found.id), &found.scan) else {
                continue;
            };
            let (_, needed) = extent_bytes(vg, pv);
            if needed > scan.device_size {
                all.push(TooSmall {
                    pv: found.id,
                    disk: found.disk,
                    needed,
                    size: scan.device_size,
                });
            }
        }
        all
    }

    /// What must not be written to because the extents of a PV are not where only they may be, and devices that are not as
    /// large as they were.
    fn report_extents(&mut self) {
        for disk in self.too_small() {
            self.problems.push(Problem {
                severity: Severity::Error,
                place: Place {
                    disk: disk.disk,
                    at: 0,
                },
                what: disk.to_string(),
            });
        }
        let Ok(vg) = &self.vg else { return };
        let (mut doubts, mut shrunk) = (Vec::new(), Vec::new());
        for found in &self.pvs {
            let (Some(pv), Some(scan)) = (vg.pv(found.id), &found.scan) else {
                continue;
            };
            let (start, end) = extent_bytes(vg, pv);
            let extents = DiskArea {
                offset: start,
                size: end.saturating_sub(start),
            };
            let place = Place {
                disk: found.disk,
                at: 0,
            };
            let noted = pv.dev_size().to_bytes().unwrap_or(u64::MAX);
            if scan.mdas.iter().any(|mda| mda.area.overlaps(&extents)) {
                let what = format!("PV {} has a metadata area among its extents", found.id);
                doubts.push((Ambiguity::Extents(what), place));
            } else if noted > scan.device_size && end <= scan.device_size {
                let what = format!(
                    "PV {} had a device of {noted} bytes; it has {} now",
                    found.id, scan.device_size
                );
                shrunk.push(Problem {
                    severity: Severity::Warning,
                    place,
                    what,
                });
            }
        }
        self.problems.append(&mut shrunk);
        for (ambiguity, place) in doubts {
            self.doubt(ambiguity, place);
        }
    }
}

/// The bytes of a device in which the extents of a PV are.
fn extent_bytes(vg: &Vg, pv: &crate::Pv) -> (u64, u64) {
    let sectors = vg.extent_size().to_sectors(pv.pe_count());
    let end = sectors.checked_add(pv.pe_start()).and_then(Sectors::to_bytes);
    let start = pv.pe_start().to_bytes();
    (start.unwrap_or(u64::MAX), end.unwrap_or(u64::MAX))
}
