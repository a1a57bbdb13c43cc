//! Writes the devices file by LVM's protocol: under its lock, against the version that was read, by rename.

use std::fs;
use std::io;
use std::path::Path;

use super::{DevicesFile, Hash, MAJOR, Version, crc, folder};
use crate::host::folder::{Links, make as make_folder};
use crate::host::{CivilTime, Error, HeldLocks, LockMode, LockName, Result, durable_file, sysfs};

/// The file that LVM keeps copies of.
const SYSTEM_FILE: &str = "system.devices";

impl DevicesFile {
    /// Writes the changes; durable when this returns.  Nothing is written when nothing changed.
    ///
    /// `program` names the writer in the file's comment.  Of `system.devices` at most `backups` older copies are kept
    /// in `devices/backup`; the copy is made first, so an error leaves the file as it was.
    ///
    /// # Errors
    /// [`Error::NotLocked`] unless `held` has the file's lock exclusively, [`Error::DevicesFileChanged`] when
    /// it is not as it was read, [`Error::DevicesFile`] when a newer LVM wrote it or it is not UTF-8, [`Error::Io`] for the rest.
    pub fn write(&mut self, held: &HeldLocks, program: &str, now: CivilTime, backups: u32) -> Result<()> {
        let name = self
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let lock = LockName::DevicesFile(name.clone());
        if held.mode(&lock) != Some(LockMode::Exclusive) {
            return Err(Error::NotLocked { lock });
        }
        if sysfs::optional_file(&self.path)?.as_ref() != Some(&self.read) {
            return Err(Error::DevicesFileChanged {
                path: self.path.clone(),
            });
        }
        if Self::parse(self.path.clone(), self.read.clone())?.entries == self.entries {
            return Ok(());
        }
        if !self.utf8 {
            let why = "it is not UTF-8";
            return Err(Error::DevicesFile {
                path: self.path.clone(),
                line: 0,
                why,
            });
        }
        let old = self.version.unwrap_or(Version {
            major: MAJOR,
            count: 0,
        });
        if old.major > MAJOR {
            let why = "a newer version of LVM wrote it";
            return Err(Error::DevicesFile {
                path: self.path.clone(),
                line: 0,
                why,
            });
        }
        let version = Version {
            major: MAJOR,
            count: old.count.wrapping_add(1),
        };
        let text = self.whole_text(version, program, now);
        if name == SYSTEM_FILE && backups > 0 {
            back_up(&folder(&self.path).join("backup"), &text, version, now, backups)?;
        }
        durable_file::replace(&self.path, "_new", &text)?;
        self.version = Some(version);
        self.read = text.into_bytes();
        if self.hash == Hash::Differs {
            self.hash = Hash::Matches;
        }
        Ok(())
    }

    fn whole_text(&self, version: Version, program: &str, now: CivilTime) -> String {
        let body = self.body(version);
        let hash = if self.hash == Hash::Ignored {
            0
        } else {
            crc(body.as_bytes())
        };
        let program: String = program.chars().filter(|c| !c.is_control()).take(64).collect();
        let pid = std::process::id();
        format!(
            "# LVM uses devices listed in this file.\n\
             # Created by LVM command {program} pid {pid} at {now}\n\
             # HASH={hash}\n{body}"
        )
    }
}

/// Keeps a copy of what is about to be written, as LVM does, and drops the oldest.
fn back_up(dir: &Path, text: &str, version: Version, now: CivilTime, keep: u32) -> Result<()> {
    make_folder(dir, Links::Trusted)?;
    let copy = dir.join(format!("{SYSTEM_FILE}-{}.{:04}", now.compact(), version.count));
    match durable_file::create(&copy, text) {
        // The same version within the same second: an earlier try that failed after its copy.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    // The names hold the time first, so their order is that of time.
    let mut copies: Vec<String> = sysfs::names(dir)
        .into_iter()
        .filter(|name| name.strip_prefix(SYSTEM_FILE).is_some_and(is_stamp))
        .collect();
    copies.sort();
    let excess = copies
        .len()
        .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    for name in copies.iter().take(excess) {
        let old = dir.join(name);
        fs::remove_file(&old).map_err(Error::io("remove", &old))?;
    }
    durable_file::sync_folder(dir)
}

/// Whether `-20261123.083505.0017` is how a copy's name goes on.
fn is_stamp(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('-') else {
        return false;
    };
    let parts: Vec<&str> = rest.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(digits)
}
