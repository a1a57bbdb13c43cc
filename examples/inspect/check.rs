//! What is wrong with a VG or with free PVs, by the rules of LVM.

use std::path::{Path, PathBuf};

use lvm_native::meta::{self, FoundPv, FoundVg, PvScan, Sectors, Severity, Vg};

use crate::devices::{Devices, mda_error};

/// Something wrong.
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    /// The device, where one is to blame.
    pub(crate) path: Option<PathBuf>,
    /// Byte on the device.
    pub(crate) byte: Option<u64>,
    /// Device and byte; or the VG, PV or LV, with the segment and the extent, where it is one.
    pub(crate) place: String,
    pub(crate) what: String,
}

impl Problem {
    fn at(severity: Severity, path: Option<&Path>, byte: Option<u64>, what: String) -> Self {
        let place = match (path, byte) {
            (Some(path), Some(byte)) => format!("{} byte {byte}", path.display()),
            (Some(path), None) => path.display().to_string(),
            (None, _) => "VG".into(),
        };
        Self {
            severity,
            path: path.map(Path::to_path_buf),
            byte,
            place,
            what,
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `error` or `warning`.
    pub(crate) fn severity(&self) -> &'static str {
        if self.is_error() { "error" } else { "warning" }
    }
}

/// All that is wrong with a VG that can be read.
pub(crate) fn vg_problems(devices: &Devices, found: &FoundVg, vg: &Vg) -> Vec<Problem> {
    let mut problems: Vec<Problem> = found
        .problems
        .iter()
        .map(|problem| {
            let path = devices.path(problem.place.disk);
            let byte = path.and((problem.place.at > 0).then_some(problem.place.at));
            Problem::at(problem.severity, path, byte, problem.what.clone())
        })
        .collect();
    let by_rules = [
        (Severity::Error, meta::check(vg)),
        (Severity::Warning, meta::warnings(vg)),
    ];
    for (severity, findings) in by_rules {
        problems.extend(findings.into_iter().map(|finding| Problem {
            place: finding.location(),
            ..Problem::at(
                severity,
                None,
                None,
                format!("{} ({})", finding.what, finding.rule),
            )
        }));
    }
    for pv in &found.pvs {
        if vg.pv(pv.id).is_some_and(|pv| pv.is_missing()) {
            let what = format!("PV {} is marked missing", pv.id);
            problems.push(Problem::at(Severity::Error, devices.path(pv.disk), None, what));
        }
        let (Some(path), Some(scan)) = (devices.path(pv.disk), &pv.scan) else {
            continue;
        };
        area_problems(extents_of(vg, pv), path, scan, &mut problems);
    }
    problems
}

/// All that is wrong with the PVs of no VG.
pub(crate) fn orphan_problems(devices: &Devices) -> Vec<Problem> {
    let mut problems = Vec::new();
    let orphans = &devices.assembly.orphans;
    for (at, pv) in orphans.iter().enumerate() {
        let twin = orphans.iter().take(at).find(|other| other.id == pv.id);
        if let Some(first) = twin.and_then(|twin| devices.path(twin.disk)) {
            let what = format!(
                "PV {} is on more than one device: on {}, too",
                pv.id,
                first.display()
            );
            problems.push(Problem::at(Severity::Error, devices.path(pv.disk), None, what));
        }
    }
    for pv in orphans {
        let (Some(path), Some(scan)) = (devices.path(pv.disk), &pv.scan) else {
            continue;
        };
        let broken = scan.mdas.iter().filter_map(|mda| Some((mda, mda_error(mda)?)));
        problems.extend(broken.map(|(mda, error)| {
            Problem::at(
                Severity::Error,
                Some(path),
                Some(mda.area.offset),
                error.to_string(),
            )
        }));
        if scan.header.is_used() {
            let what = "the label says that the PV belongs to a volume group; no text lists it".into();
            let label = scan.label_sector * Sectors::SIZE;
            problems.push(Problem::at(Severity::Warning, Some(path), Some(label), what));
        }
        area_problems(None, path, scan, &mut problems);
    }
    problems
}

/// First byte of a PV's extents and the byte behind them.
fn extents_of(vg: &Vg, pv: &FoundPv) -> Option<(u64, u64)> {
    let pv = vg.pv(pv.id)?;
    let end = vg
        .extent_size()
        .to_sectors(pv.pe_count())
        .checked_add(pv.pe_start())?;
    Some((pv.pe_start().to_bytes()?, end.to_bytes()?))
}

/// Metadata areas that lie on something else, whose sizes disagree, or that a cut change left a mark in.
fn area_problems(extents: Option<(u64, u64)>, path: &Path, scan: &PvScan, problems: &mut Vec<Problem>) {
    // The header of an area says how large it is; the label's word is next best.
    let end = |mda: &meta::MdaScan| {
        let size = mda.header.as_ref().map_or(mda.area.size, |header| header.size);
        mda.area.offset.saturating_add(size)
    };
    for (number, mda) in scan.mdas.iter().enumerate() {
        let mut tell = |severity, what: String| {
            problems.push(Problem::at(severity, Some(path), Some(mda.area.offset), what));
        };
        let overlaps = |start: u64, stop: u64| mda.area.offset < stop && start < end(mda);
        if extents.is_some_and(|(start, stop)| overlaps(start, stop)) {
            tell(Severity::Error, "the metadata area lies on extents".into());
        }
        for other in &scan.mdas[..number] {
            if overlaps(other.area.offset, end(other)) {
                tell(
                    Severity::Error,
                    format!("the metadata area lies on the one at byte {}", other.area.offset),
                );
            }
        }
        let Ok(header) = &mda.header else { continue };
        if header.size != mda.area.size {
            let what = format!(
                "the area's header says {} bytes, the label {}",
                header.size, mda.area.size
            );
            tell(Severity::Warning, what);
        }
        if !header.precommitted.is_empty() {
            tell(
                Severity::Warning,
                "a change was cut before its commit; the next one clears its mark".into(),
            );
        }
    }
}
