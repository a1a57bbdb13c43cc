//! LVM's devices file: the list of the only devices that LVM may use, where it is in use.
//!
//! ```text
//! # LVM uses devices listed in this file.
//! # Created by LVM command vgcreate pid 1234 at Mon Nov 23 03:00:00 2026
//! # HASH=1234567890
//! PRODUCT_UUID=...
//! VERSION=1.1.17
//! IDTYPE=sys_wwid IDNAME=naa.600140... DEVNAME=/dev/sda PVID=AbC... PART=1
//! ```
//!
//! The hash is LVM's CRC of the lines that are no comments; 0 is never checked.  The version's third number counts
//! the writes.  A value that is absent is `.`.  Reference: LVM2 `lib/device/device_id.c`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lvm_meta::PvId;

use super::device_id::DeviceIds;
use super::{BlockDevice, DeviceIdType, Error, Paths, Result, sysfs};

mod write;

/// The format's version that is read and written.
const MAJOR: u32 = 1;
/// The minor version that is written.
const MINOR: u32 = 1;

/// One device that LVM may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// By which kind of id it is known.
    pub id_type: DeviceIdType,
    /// The id; `None` for an entry whose device got lost.
    pub id: Option<String>,
    /// The name that it had last.
    pub device_name: Option<String>,
    /// The PV that was on it last, as its 32 characters.
    pub pv_id: Option<String>,
    /// The partition, or 0 for a whole device.
    pub partition: u32,
}

/// The devices file as it was read, and changes to it that are not yet written.
#[derive(Clone, Debug)]
pub struct DevicesFile {
    path: PathBuf,
    /// The bytes that were read: writing over others would undo somebody's change.
    read: Vec<u8>,
    /// Whether every line was UTF-8, so that writing it again keeps it.
    utf8: bool,
    /// Lines that are neither comment, version nor entry, kept as they are.
    host_lines: Vec<String>,
    version: Option<Version>,
    entries: Vec<DeviceEntry>,
    hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    major: u32,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// `HASH=0`: never checked, and stays so.
    Ignored,
    Matches,
    /// Edited by hand, or by a tool that does not know it.
    Differs,
}

impl DevicesFile {
    /// Where the devices file called `name` is.
    pub fn path(paths: &Paths, name: &str) -> PathBuf {
        paths.lvm_system_dir.join("devices").join(name)
    }

    /// Reads the devices file called `name`, `system.devices` by default; `None` when there is none, which means
    /// that none is in use.
    ///
    /// To change it, hold its lock exclusively from before this until after [`DevicesFile::write`].
    ///
    /// # Errors
    /// [`Error::Io`] when it is there but cannot be read, [`Error::DevicesFile`] when its version is unreadable.
    /// Entries that cannot be understood are kept and match no device.
    pub fn read(paths: &Paths, name: &str) -> Result<Option<Self>> {
        let path = Self::path(paths, name);
        match sysfs::optional_file(&path)? {
            Some(bytes) => Self::parse(path, bytes).map(Some),
            None => Ok(None),
        }
    }

    fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Self> {
        let mut stored = None;
        let mut hashed = Vec::new();
        let (mut host_lines, mut entries, mut version) = (Vec::new(), Vec::new(), None);
        for (number, raw) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let text = String::from_utf8_lossy(raw);
            let line = text.trim_end_matches('\n');
            if let Some(hash) = line.strip_prefix("# HASH=") {
                stored = hash.trim().parse::<u32>().ok();
            }
            // Old versions of LVM wrote a line with their system id, and left it out of the hash.
            if line.starts_with('#') || line.starts_with("SYSTEMID") {
                continue;
            }
            hashed.extend_from_slice(raw);
            if let Some(text) = line.strip_prefix("VERSION=") {
                let why = "its version is not three numbers";
                let error = || Error::DevicesFile {
                    path: path.clone(),
                    line: number + 1,
                    why,
                };
                version = Some(Version::parse(text).ok_or_else(error)?);
            } else if let Some(entry) = DeviceEntry::parse(line) {
                entries.push(entry);
            } else if !line.trim().is_empty() {
                host_lines.push(line.to_owned());
            }
        }
        let hash = match stored {
            Some(0) => Hash::Ignored,
            Some(stored) if stored == crc(&hashed) => Hash::Matches,
            _ => Hash::Differs,
        };
        let utf8 = std::str::from_utf8(&bytes).is_ok();
        Ok(Self {
            path,
            utf8,
            read: bytes,
            host_lines,
            version,
            entries,
            hash,
        })
    }

    /// The entries in order.
    pub fn entries(&self) -> &[DeviceEntry] {
        &self.entries
    }

    /// Whether its hash is not that of its lines: LVM then checks all entries and writes it anew.
    pub fn was_edited(&self) -> bool {
        self.hash == Hash::Differs
    }

    /// The entry of this device, or `None` when LVM may not use it.
    ///
    /// A name may be another disk's since the last boot: where the entry's id is a
    /// [`DevName`](DeviceIdType::DevName) and its PV is known, a device with another PV is not the one that was listed;
    /// ask [`DeviceEntry::allows_pv`] once the PV is known.
    pub fn entry(&self, device: &BlockDevice) -> Option<&DeviceEntry> {
        let ids = device.ids();
        self.entries.iter().find(|entry| entry.is_for(&ids))
    }

    /// Adds the device with its most stable id, or renews its entry.  In memory only, until [`DevicesFile::write`].
    pub fn add(&mut self, device: &BlockDevice, pv_id: PvId) {
        let (id_type, id) = device.preferred_id();
        let pv_id = pv_id_text(pv_id);
        let same_pv = |entry: &DeviceEntry| entry.pv_id.as_deref() == Some(&pv_id) && entry.id.is_none();
        let ids = device.ids();
        let old = self.entries.iter().position(|entry| entry.is_for(&ids));
        if let Some(at) = old.or_else(|| self.entries.iter().position(same_pv)) {
            self.entries.remove(at);
        }
        self.entries.push(DeviceEntry {
            id_type,
            id: Some(id),
            device_name: device.preferred_name().to_str().map(str::to_owned),
            pv_id: Some(pv_id),
            partition: device.partition_number(),
        });
    }

    /// Notes that the device holds no PV any more, as LVM's `pvremove` does; it stays listed.  In memory only.
    /// False when it is not listed.
    pub fn clear_pv(&mut self, device: &BlockDevice) -> bool {
        let ids = device.ids();
        let entry = self.entries.iter_mut().find(|entry| entry.is_for(&ids));
        entry.map(|entry| entry.pv_id = None).is_some()
    }

    /// Takes the device off the list.  In memory only.  False when it is not listed.
    pub fn remove(&mut self, device: &BlockDevice) -> bool {
        let (ids, before) = (device.ids(), self.entries.len());
        self.entries.retain(|entry| !entry.is_for(&ids));
        self.entries.len() < before
    }

    /// Lists what was listed in `before`.  In memory only.
    pub fn restore(&mut self, before: &Self) {
        self.entries.clone_from(&before.entries);
    }

    /// The lines that the hash is of.
    fn body(&self, version: Version) -> String {
        let mut text = String::new();
        for line in &self.host_lines {
            text.push_str(line);
            text.push('\n');
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "VERSION={MAJOR}.{MINOR}.{}", version.count);
        for entry in &self.entries {
            entry.print(&mut text);
        }
        text
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().splitn(3, '.').map(|number| number.parse().ok());
        let (major, _minor) = (numbers.next()??, numbers.next()??);
        Some(Self {
            major,
            count: numbers.next()??,
        })
    }
}

impl DeviceEntry {
    fn parse(line: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut words = line.split_ascii_whitespace();
            words
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let known = |value: Option<String>| value.filter(|text| !text.is_empty() && !text.starts_with('.'));
        Some(Self {
            id_type: DeviceIdType::parse(&value("IDTYPE")?),
            id: known(Some(value("IDNAME")?)),
            device_name: known(value("DEVNAME")),
            pv_id: known(value("PVID")).map(|id| id.chars().take(32).collect()),
            partition: value("PART").and_then(|number| number.parse().ok()).unwrap_or(0),
        })
    }

    fn print(&self, text: &mut String) {
        let shown = |value: &Option<String>| value.as_deref().unwrap_or(".").to_owned();
        let name = self
            .device_name
            .as_deref()
            .filter(|name| name.starts_with('/'))
            .unwrap_or(".");
        let (id, pv_id) = (shown(&self.id), shown(&self.pv_id));
        let _ = write!(
            text,
            "IDTYPE={} IDNAME={id} DEVNAME={name} PVID={pv_id}",
            self.id_type
        );
        if self.partition > 0 {
            let _ = write!(text, " PART={}", self.partition);
        }
        text.push('\n');
    }

    /// Whether this is the entry of the device, as far as its id tells.
    fn is_for(&self, ids: &DeviceIds<'_>) -> bool {
        let same_part = self.partition == ids.device().partition_number();
        same_part && self.id.as_ref().is_some_and(|id| ids.contain(&self.id_type, id))
    }

    /// Whether a device that matched by its id and holds this PV is the one that was listed.
    pub fn allows_pv(&self, pv_id: PvId) -> bool {
        self.id_type != DeviceIdType::DevName
            || self
                .pv_id
                .as_ref()
                .is_none_or(|listed| *listed == pv_id_text(pv_id))
    }
}

/// The 32 characters without dashes.
fn pv_id_text(id: PvId) -> String {
    id.to_string().replace('-', "")
}

/// LVM's CRC-32: the usual polynomial with a start value of its own, and not inverted at the end.
fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    hasher.update(bytes);
    !hasher.finalize()
}

/// The folder of `path`.
fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
mod tests;
