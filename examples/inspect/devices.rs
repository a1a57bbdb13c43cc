//! Opening and scanning the given paths, and putting what they hold together.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lvm_native::meta::{Assembly, Disk, FoundPv, FoundVg, MdaScan, PvScan, assemble, scan};
use lvm_native::pool::host::{Error as HostError, OpenMode, Paths, open_disk};
use nix::errno::Errno;

use crate::failure::{Failure, byte_in_text};

/// Bytes of sectors 0 to 3, one of which holds a PV's label.
const LABEL_BYTES: u64 = 2048;

/// What the given paths hold.
pub(crate) struct Devices {
    /// The paths, by the numbers that the assembly knows them by.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) assembly: Assembly,
    /// What cannot be trusted.
    pub(crate) failures: Vec<Failure>,
}

impl Devices {
    /// Reads all paths.  One that fails stops no other.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
        let mut failures = Vec::new();
        let mut scans = Vec::new();
        let mut seen = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            match read(path, &mut seen) {
                Ok(Some(pv)) => scans.push((number, pv)),
                Ok(None) => {}
                Err(failure) => failures.push(failure),
            }
        }
        let assembly = assemble(scans);
        let mut devices = Self {
            paths: paths.to_vec(),
            assembly,
            failures: Vec::new(),
        };
        failures.extend(
            devices
                .assembly
                .vgs
                .iter()
                .filter_map(|vg| devices.unreadable(vg)),
        );
        failures.extend(
            devices
                .assembly
                .orphans
                .iter()
                .filter_map(|pv| devices.untrusted(pv)),
        );
        devices.failures = failures;
        devices
    }

    /// Is there something wrong with each single path?
    pub(crate) fn is_nothing_shown(&self) -> bool {
        let has_failed = |path: &PathBuf| self.failures.iter().any(|failure| failure.path == *path);
        !self.failures.is_empty() && self.paths.iter().all(has_failed)
    }

    /// The path of a PV's disk.
    pub(crate) fn path(&self, disk: Option<usize>) -> Option<&Path> {
        self.paths.get(disk?).map(PathBuf::as_path)
    }

    /// A VG of which no copy can be parsed: where the text that was tried breaks which rule.
    fn unreadable(&self, vg: &FoundVg) -> Option<Failure> {
        let error = vg.vg.as_ref().err()?;
        let place = vg.problems.first()?.place;
        let path = self.path(place.disk)?;
        let pvs = self
            .assembly
            .vgs
            .iter()
            .flat_map(|vg| &vg.pvs)
            .chain(&self.assembly.orphans);
        let mut mdas = pvs
            .filter(|pv| pv.disk == place.disk)
            .filter_map(|pv| pv.scan.as_ref())
            .flat_map(|scan| &scan.mdas);
        let mda = mdas.find(|mda| mda.area.offset == place.at);
        let byte = mda
            .zip(byte_in_text(error))
            .and_then(|(mda, at)| byte_on_disk(mda, at))
            .unwrap_or(place.at);
        Some(Failure::corrupt(
            path,
            byte,
            &format!("{error} (byte {byte} of the device)"),
        ))
    }

    /// A PV that no VG lists and none of whose areas in use is sound.
    fn untrusted(&self, pv: &FoundPv) -> Option<Failure> {
        let scan = pv.scan.as_ref()?;
        let in_use = scan
            .mdas
            .iter()
            .filter(|mda| mda.header.as_ref().map_or(true, |header| !header.is_ignored()));
        let errors: Option<Vec<_>> = in_use
            .map(|mda| Some((mda.area.offset, mda_error(mda)?)))
            .collect();
        let (at, error) = errors?.into_iter().next()?;
        Some(Failure::meta(self.path(pv.disk)?, at, error))
    }
}

/// What is wrong with an area's header or the checksum of its text.
pub(crate) fn mda_error(mda: &MdaScan) -> Option<&lvm_native::meta::Error> {
    match (&mda.header, &mda.text) {
        (Err(error), _) | (_, Some(Err(error))) => Some(error),
        _ => None,
    }
}

/// Where byte `at` of an area's committed text is on the device.
fn byte_on_disk(mda: &MdaScan, at: u64) -> Option<u64> {
    let header = mda.header.as_ref().ok()?;
    let offset = header.committed.offset.checked_add(at)?;
    // A text that passes the end of its area goes on behind the header's sector.
    let offset = if offset < header.size {
        offset
    } else {
        offset.checked_sub(header.size)?.checked_add(512)?
    };
    header.start.checked_add(offset)
}

/// Scans one path; `None` if it is another name of one that was read already.
fn read(path: &Path, seen: &mut Vec<(bool, u64, u64)>) -> Result<Option<PvScan>, Failure> {
    let failed = |what, source: std::io::Error| Failure::io(path, what, None, &source);
    let metadata = fs::metadata(path).map_err(|source| failed("cannot look at it", source))?;
    // Before it is opened: opening a pipe waits for a writer, opening a tape winds it.
    check_type(path, &metadata)?;
    let identity = match metadata.file_type().is_block_device() {
        true => (true, metadata.rdev(), 0),
        false => (false, metadata.dev(), metadata.ino()),
    };
    if seen.contains(&identity) {
        return Ok(None);
    }
    // A device past the page cache, which may be older than what LVM wrote past it.
    let disk = open_disk(&Paths::default(), path, OpenMode::ReadOnly).map_err(|error| match error {
        HostError::Io { source, .. } => failed("cannot open it", source),
        HostError::Suspended { .. } => Failure::unusable(path, Errno::EBUSY, "its I/O is suspended"),
        other => Failure::unusable(path, Errno::EIO, &other.to_string()),
    })?;
    seen.push(identity);
    let size = disk
        .size()
        .map_err(|source| failed("cannot tell its size", source))?;
    if size < LABEL_BYTES {
        return Err(Failure::no_pv(
            path,
            &format!("no PV label in sectors 0 to 3 at byte 0: it has {size} bytes"),
        ));
    }
    match scan(&disk) {
        Ok(Some(pv)) => Ok(Some(pv)),
        Ok(None) => Err(Failure::no_pv(
            path,
            &format!("no PV label at byte 0 to {LABEL_BYTES}"),
        )),
        Err(error) => Err(Failure::meta(path, 0, &error)),
    }
}

fn check_type(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    let errno = if kind.is_dir() {
        Errno::EISDIR
    } else {
        Errno::ENOTBLK
    };
    Err(Failure::unusable(
        path,
        errno,
        "neither a block device nor an image file",
    ))
}
