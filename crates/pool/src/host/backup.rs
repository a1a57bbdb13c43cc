//! LVM's files of a VG's metadata: the backup of what it is, and the archive of what it was.
//!
//! `vgcfgrestore` restores from either.  The tools write the archive before a command's first change and the backup
//! after its last; a second writer must too, or an administrator restores what is no longer true.
//! Reference: LVM2 `lib/format_text/archiver.c`, `archive.c`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::config::BackupConfig;
use super::folder::{self, Links};
use super::random;
use super::{Error, Result, durable_file, sysfs};

/// Ends the name of a file that is being written: no VG's name holds a tilde.
const NEW: &str = "~new";

/// The kept metadata of a host's VGs, as `backup` in `lvm.conf` asks for.
#[derive(Clone, Debug)]
pub struct MetadataBackups {
    config: BackupConfig,
}

/// An archive file, by its name `VG_00042-1234567.vg`.
struct Archive {
    number: u32,
    name: String,
}

impl MetadataBackups {
    /// Keeps what the configuration asks for; `None` when it asks for nothing.
    pub fn new(config: &BackupConfig) -> Option<Self> {
        (config.archive || config.backup).then(|| Self {
            config: config.clone(),
        })
    }

    /// Whether [`MetadataBackups::archive`] keeps anything.
    pub fn has_archive(&self) -> bool {
        self.config.archive
    }

    /// Whether [`MetadataBackups::backup`] keeps anything.
    pub fn has_backup(&self) -> bool {
        self.config.backup
    }

    /// Adds a text to the VG's archive and drops the oldest that are due: above `retain_min` in number and older than
    /// `retain_days`.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn archive(&self, vg: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let older = self.add(vg, text)?;
        self.expire(&older)
    }

    /// Adds a text to the VG's archive and drops none.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn archive_beside(&self, vg: &str, text: impl AsRef<[u8]>) -> Result<()> {
        self.add(vg, text).map(drop)
    }

    /// Adds a text and gives those that were there before, by number.
    fn add(&self, vg: &str, text: impl AsRef<[u8]>) -> Result<Vec<Archive>> {
        let dir = &self.config.archive_dir;
        folder::make(dir, Links::Trusted)?;
        let archives = archives(dir, vg);
        let number = archives.last().map_or(0, |last| last.number.saturating_add(1));
        // As in the tools' names: two hosts that share the folder may draw the same number.
        let chance = random().map_err(Error::io("draw random bytes for", dir))?;
        let chance = u32::from_ne_bytes(chance) >> 1;
        durable_file::replace(&dir.join(format!("{vg}_{number:05}-{chance}.vg")), NEW, text)?;
        Ok(archives)
    }

    /// `older` are those from before the newest, by number.
    fn expire(&self, older: &[Archive]) -> Result<()> {
        let days = Duration::from_secs(u64::from(self.config.retain_days) * 86_400);
        let limit = SystemTime::now().checked_sub(days);
        let keep = usize::try_from(self.config.retain_min).unwrap_or(usize::MAX);
        let excess = older.len().saturating_add(1).saturating_sub(keep);
        for archive in older.iter().take(excess) {
            let path = self.config.archive_dir.join(&archive.name);
            let written = fs::metadata(&path).and_then(|meta| meta.modified());
            if written.is_ok_and(|written| limit.is_none_or(|limit| written > limit)) {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a text the VG's backup.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`]; the backup is the old one then.
    pub fn backup(&self, vg: &str, text: impl AsRef<[u8]>) -> Result<()> {
        folder::make(&self.config.backup_dir, Links::Trusted)?;
        durable_file::replace(&self.config.backup_dir.join(vg), NEW, text)
    }

    /// The files of a VG that are there: its archive by number, then its backup.
    pub fn files(config: &BackupConfig, vg: &str) -> Vec<PathBuf> {
        let archives = archives(&config.archive_dir, vg).into_iter();
        let mut files: Vec<PathBuf> = archives
            .map(|archive| config.archive_dir.join(archive.name))
            .collect();
        files.extend(Some(config.backup_dir.join(vg)).filter(|backup| backup.is_file()));
        files
    }

    /// Removes the backup of a VG that is no more; its archive stays.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(&self, vg: &str) -> Result<()> {
        let path = self.config.backup_dir.join(vg);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// The archives of a VG, by number.
fn archives(dir: &Path, vg: &str) -> Vec<Archive> {
    let of_vg = |name: String| {
        let rest = name.strip_prefix(vg)?.strip_prefix('_')?.strip_suffix(".vg")?;
        let (number, chance) = rest.split_once('-')?;
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = number
            .parse()
            .ok()
            .filter(|_| are_digits(number) && are_digits(chance))?;
        Some(Archive { number, name })
    };
    let mut archives: Vec<Archive> = sysfs::names(dir).into_iter().filter_map(of_vg).collect();
    archives.sort_by_key(|archive| archive.number);
    archives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(dir: &Path, retain_min: u32, retain_days: u32) -> MetadataBackups {
        let config = BackupConfig {
            backup: true,
            backup_dir: dir.join("backup"),
            archive: true,
            archive_dir: dir.join("archive"),
            retain_min,
            retain_days,
        };
        MetadataBackups::new(&config).unwrap()
    }

    fn texts(dir: &Path, vg: &str) -> Vec<String> {
        let dir = dir.join("archive");
        let read = |archive: Archive| fs::read_to_string(dir.join(archive.name)).unwrap();
        archives(&dir, vg).into_iter().map(read).collect()
    }

    #[test]
    fn archives_are_numbered_on_beside_those_of_the_tools_and_of_other_vgs() {
        let dir = tempfile::tempdir().unwrap();
        let backups = kept(dir.path(), 10, 30);
        backups.archive("vg", "a").unwrap();
        for other in [
            "vg_00041-77.vg",
            "vg_x_00090-1.vg",
            "vg_00091-1",
            "vg_-1.vg",
            "vg_00092-.vg",
        ] {
            fs::write(dir.path().join("archive").join(other), "theirs").unwrap();
        }
        backups.archive("vg", "b").unwrap();
        assert_eq!(texts(dir.path(), "vg"), ["a", "theirs", "b"]);
        let last = archives(&dir.path().join("archive"), "vg").pop().unwrap();
        assert!(last.name.starts_with("vg_00042-"), "{}", last.name);
    }

    #[test]
    fn archives_go_when_they_are_old_and_more_than_the_least() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["a", "b", "c", "d"] {
            kept(dir.path(), 2, 30).archive("vg", text).unwrap();
        }
        assert_eq!(texts(dir.path(), "vg"), ["a", "b", "c", "d"], "none is old");
        kept(dir.path(), 2, 0).archive("vg", "e").unwrap();
        assert_eq!(texts(dir.path(), "vg"), ["d", "e"]);
        kept(dir.path(), 2, 0).archive_beside("vg", "f").unwrap();
        assert_eq!(texts(dir.path(), "vg"), ["d", "e", "f"]);
    }

    #[test]
    fn a_backup_is_replaced_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let backups = kept(dir.path(), 10, 30);
        for text in ["a", "b"] {
            backups.backup("vg", text).unwrap();
            assert_eq!(fs::read_to_string(dir.path().join("backup/vg")).unwrap(), text);
        }
        // Another VG may have the name of whatever file comes in between.
        for other in ["vg_new", "vg.new", ".vg"] {
            backups.backup(other, "theirs").unwrap();
        }
        backups.backup("vg", "c").unwrap();
        for other in ["vg_new", "vg.new", ".vg"] {
            let path = dir.path().join("backup").join(other);
            assert_eq!(fs::read_to_string(path).unwrap(), "theirs");
        }
        backups.forget("vg").unwrap();
        backups.forget("vg").unwrap();
        assert!(!dir.path().join("backup/vg").exists());
    }
}
