//! Telling which backups of a VG's metadata this host keeps.

use std::path::PathBuf;

use lvm_meta::{TextHead, VgId, VgName};

use crate::host::MetadataBackups;
use crate::{Error, RestorePool, System};

/// A file from which a pool may be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedMetadata {
    /// The file.
    pub path: PathBuf,
    /// The id of the VG in it; a VG of the same name may have been another.
    pub vg_id: Option<VgId>,
    /// The metadata's sequence number.
    pub seqno: Option<u32>,
    /// When it was written, in seconds since 1970.
    pub created: Option<u64>,
    /// Why it was written.
    pub description: Option<String>,
    /// Why it is of no use.
    pub problem: Option<String>,
}

impl System {
    /// Lists the archive of a VG's metadata, the oldest first, and its backup, as `vgcfgrestore --list` does.
    ///
    /// These are the files that [`keep_backups`](crate::SystemBuilder::keep_backups) and the LVM tools write, whether
    /// this system writes them or not; none of image files.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn saved_metadata(&self, name: &str) -> Result<Vec<SavedMetadata>, Error> {
        VgName::parse(name)?;
        if self.inner.images {
            return Ok(Vec::new());
        }
        let files = MetadataBackups::files(&self.inner.config.backup, name);
        Ok(files.into_iter().map(|path| describe(name, path)).collect())
    }
}

fn describe(name: &str, path: PathBuf) -> SavedMetadata {
    let head = RestorePool::from_file(name, &path).and_then(|request| {
        let head = TextHead::read(&request.text).map_err(Error::Meta)?;
        match head.name == name {
            true => Ok(head),
            false => Err(Error::BadBackup {
                vg: name.into(),
                why: format!("it is of volume group {:?}", head.name),
            }),
        }
    });
    let (head, problem) = match head {
        Ok(head) => (head, None),
        Err(Error::Meta(error)) => (TextHead::default(), Some(error.to_string())),
        Err(error) => (TextHead::default(), Some(error.to_string())),
    };
    SavedMetadata {
        path,
        vg_id: head.id,
        seqno: head.seqno,
        created: head.creation_time,
        description: head.description,
        problem,
    }
}
