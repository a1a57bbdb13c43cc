//! Keeps LVM's backup and archive of a VG beside the commits, where that is asked for.

use lvm_meta::{MdaSet, Provenance};

use crate::Error;
use crate::host::{self, CivilTime, MetadataBackups};
use crate::system::Inner;

impl Inner {
    /// Archives the text that a VG's areas commit to; before the first write of a change, under the VG's lock.
    pub(crate) fn archive(&self, vg: &str, mdas: &MdaSet, description: &str) -> Result<(), Error> {
        let Some(backups) = self.backups.as_ref().filter(|backups| backups.has_archive()) else {
            return Ok(());
        };
        let Some(raw) = mdas.committed_text().map_err(Error::Meta)? else {
            return Ok(());
        };
        quietly_read_only(backups.archive(vg, &self.text_before(&raw, description)?))
    }

    /// As [`Inner::archive`], of a text at hand, and drops no older one: a pool may be about to be restored from that.
    ///
    /// A text that cannot be laid out as a file, because it cannot be read, is kept as it is.
    pub(crate) fn archive_beside(&self, vg: &str, raw: &[u8], description: &str) -> Result<(), Error> {
        let Some(backups) = self.backups.as_ref().filter(|backups| backups.has_archive()) else {
            return Ok(());
        };
        let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
        let as_it_is = |_| raw.get(..end).unwrap_or(raw).to_vec();
        let text = self.text_before(raw, description).unwrap_or_else(as_it_is);
        quietly_read_only(backups.archive_beside(vg, &text))
    }

    fn text_before(&self, raw: &[u8], description: &str) -> Result<Vec<u8>, Error> {
        let why = format!("Created *before* executing '{description}'");
        file_text(raw, &self.provenance(&why))
    }

    /// Makes a committed text the VG's backup; under the VG's lock.
    pub(crate) fn backup(&self, vg: &str, raw: &[u8], description: &str) -> Result<(), Error> {
        let Some(backups) = self.backups.as_ref().filter(|backups| backups.has_backup()) else {
            return Ok(());
        };
        let why = format!("Created *after* executing '{description}'");
        let text = file_text(raw, &self.provenance(&why))?;
        quietly_read_only(backups.backup(vg, &text))
    }

    /// Removes the backup of a VG that is no more.
    pub(crate) fn forget_backup(&self, vg: &str) -> Result<(), Error> {
        let forget = |backups: &MetadataBackups| quietly_read_only(backups.forget(vg));
        self.backups.as_ref().map_or(Ok(()), forget)
    }
}

fn file_text(raw: &[u8], provenance: &Provenance) -> Result<Vec<u8>, Error> {
    let time = |seconds| CivilTime::from_unix(seconds).stamp();
    lvm_meta::backup_text(raw, provenance, &time).map_err(Error::Meta)
}

/// As the tools: a host that keeps its configuration read-only keeps no backups.
fn quietly_read_only(result: Result<(), host::Error>) -> Result<(), Error> {
    match result {
        Err(host::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            Ok(())
        }
        other => other.map_err(Error::Host),
    }
}
