//! What a caller asks for.

mod tag_change;
mod thin;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lvm_meta::{LvName, Sectors, Tag, VgName};
use uuid::Uuid;

use crate::tags::{self, key};
use crate::{Error, Layout, Nqn, host};

pub use tag_change::TagChange;
pub use thin::{CreateClone, CreateSnapshot, CreateThinPool, Discards};

/// A pool to make.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreatePool {
    /// The VG's name.
    pub name: String,
    /// Its disks: block devices, or image files with the embedded mapper.
    pub disks: Vec<PathBuf>,
    /// Its UUID; drawn at random if `None`.
    pub uuid: Option<Uuid>,
    /// Bytes in an extent, 4 MiB if `None`: a power of two of at least 1 KiB, or a multiple of 128 KiB.
    pub extent_size: Option<u64>,
    /// Bytes of each disk's metadata area; 16 MiB on disks from 1 GiB on, LVM's 1 MiB on smaller ones, if `None`.
    pub metadata_size: Option<u64>,
    /// A thin pool to make in it.
    pub thin_pool: Option<CreateThinPool>,
    /// Wipe what the disks carry, PVs without a VG included.  A disk in use is refused all the same.
    pub force: bool,
}

impl CreatePool {
    /// A request with every choice left to the library.
    pub fn new(name: &str, disks: Vec<PathBuf>) -> Self {
        Self {
            name: name.into(),
            disks,
            uuid: None,
            extent_size: None,
            metadata_size: None,
            thin_pool: None,
            force: false,
        }
    }

    pub(crate) fn vg_name(&self) -> Result<VgName, Error> {
        let name = VgName::parse(&self.name)?;
        // The device name of a replica, VG-UUID with every dash doubled, must fit device-mapper's 127 bytes.
        crate::naming::dm_name(&self.name, &Uuid::nil().to_string())?;
        Ok(name)
    }
}

/// A pool to restore from the text of a backup.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestorePool {
    /// The VG's name, which the text must have, too.
    pub name: String,
    /// A text as LVM's backup and archive files hold it, or as a metadata area does.
    pub text: Vec<u8>,
    /// Disks that are given back the label of a PV that no disk has any more: the PV's id, with dashes or without, or
    /// its key in the text (`pv0`), and the disk.  What the extents hold is not touched.
    pub disks: Vec<(String, PathBuf)>,
    /// Restore a text with thin pools, whose own metadata may have gone on since; let go of disks on which the VG holds
    /// extents now; wipe what the disks to be labelled carry before their extents.
    pub force: bool,
}

/// A file of LVM's for the largest text is not larger.
const BACKUP_LIMIT: u64 = 1 << 30;

impl RestorePool {
    /// A request that relabels nothing and forces nothing.
    pub fn new(name: &str, text: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            text,
            disks: Vec::new(),
            force: false,
        }
    }

    /// As [`RestorePool::new`], with the text of a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadBackup`] for a file that is larger than any text, and for what is no file.
    pub fn from_file(name: &str, path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Io {
            what: "read",
            path: path.into(),
            source,
        };
        let text = match host::regular::read(path, BACKUP_LIMIT) {
            Ok(Some(text)) => text,
            Ok(None) => return Err(fail(io::Error::from_raw_os_error(libc::ENOENT))),
            Err(host::Error::Io { source, .. }) => return Err(fail(source)),
            Err(error) => {
                let (vg, why) = (name.into(), error.to_string());
                return Err(Error::BadBackup { vg, why });
            }
        };
        Ok(Self::new(name, text))
    }
}

/// What is zeroed in a new replica before anybody can read it.
///
/// The extents may have belonged to a destroyed replica: what is not zeroed can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Zeroing {
    /// Nothing.
    None,
    /// The first 8 MiB, where partition tables, file system signatures and the nexus's metadata lie.
    #[default]
    Head,
    /// All of it, by the device's own write-zeroes where it has that.
    Full,
}

impl Zeroing {
    /// Bytes that [`Zeroing::Head`] zeroes.
    pub const HEAD: u64 = 8 << 20;

    /// Bytes that are zeroed in a replica of this size.
    pub(crate) fn length(self, size: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::Head => size.min(Self::HEAD),
            Self::Full => size,
        }
    }
}

/// A replica to make.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreateReplica {
    /// Its UUID: the LV's name.
    pub uuid: Uuid,
    /// Bytes, rounded up to whole extents and stripes.
    pub size: u64,
    /// Display name; the UUID if `None`.
    pub name: Option<String>,
    /// The volume it belongs to.
    pub entity_id: Option<String>,
    /// How its extents lie.
    pub layout: Layout,
    /// The disks of the pool on which a thick one may lie; any of them if empty.
    pub disks: Vec<PathBuf>,
    /// What is zeroed first.
    pub zeroing: Zeroing,
    /// It takes space of the pool's thin pool as it is written; the layout is the thin pool's then, and what was never
    /// written reads as zeroes where the thin pool zeroes its chunks.
    pub thin: bool,
    /// Of a thin one the name of the thin pool's LV; if `None` the storage pool's own, or the only one.
    pub thin_pool: Option<String>,
    /// An array is taken to be in sync from the start: what was never written may read differently each time.
    pub nosync: bool,
}

impl CreateReplica {
    /// A linear replica whose first 8 MiB are zeroed.
    pub fn new(uuid: Uuid, size: u64) -> Self {
        Self {
            uuid,
            size,
            name: None,
            entity_id: None,
            layout: Layout::Linear,
            disks: Vec::new(),
            zeroing: Zeroing::default(),
            thin: false,
            thin_pool: None,
            nosync: false,
        }
    }

    /// The display name that it will have.
    pub(crate) fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uuid.to_string())
    }

    /// The LV's name, if the UUID is one.
    pub(crate) fn lv_name(&self) -> Result<LvName, Error> {
        thin::lv_name("replica uuid", self.uuid)
    }

    /// Refuses a place that a replica of this kind cannot have.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        match &self.thin_pool {
            Some(name) if !self.thin => Err(Error::InvalidArgument {
                what: "thin pool",
                given: name.clone(),
                why: "the replica is not thin".into(),
            }),
            _ => match self.disks.first() {
                Some(disk) if self.thin => Err(Error::InvalidArgument {
                    what: "disk",
                    given: disk.display().to_string(),
                    why: "a thin replica lies where its thin pool does".into(),
                }),
                _ => Ok(()),
            },
        }
    }

    /// Checks all that needs no pool, and gives the tags of the new LV.
    pub(crate) fn tags(&self) -> Result<Vec<Tag>, Error> {
        check_size(self.size)?;
        let mut tags = vec![
            Tag::parse(tags::OWNER)?,
            tags::property(key::NAME, checked_value("replica name", &self.display_name())?)?,
            tags::property(key::SHARE, "off")?,
        ];
        if let Some(id) = &self.entity_id {
            tags.push(tags::property(key::ENTITY_ID, checked_value("entity id", id)?)?);
        }
        Ok(tags)
    }
}

/// With whom a replica is to be shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareReplica {
    /// Where to listen for them.  By default where it was shared before, or on port 8420 of the address by which this host
    /// reaches others.
    pub listen: Option<SocketAddr>,
    /// The hosts that may connect; none means any.
    pub allowed_hosts: Vec<Nqn>,
}

/// New values of a replica's properties; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub struct SetReplica {
    /// Display name.
    pub name: Option<String>,
    /// The volume it belongs to.
    pub entity_id: Option<String>,
    /// The caller's own tags.
    pub tags: TagChange,
}

/// New values of a pool's properties.
#[derive(Clone, Debug, Default)]
pub struct SetPool {
    /// The caller's own tags.
    pub tags: TagChange,
}

/// Whether a resize may cut data off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrink {
    /// A smaller size is refused.
    Refuse,
    /// A smaller size is carried out: what is beyond it is lost.
    Allow,
}

/// Refuses sizes that no replica has.
pub(crate) fn check_size(size: u64) -> Result<(), Error> {
    let why = match size {
        0 => "a replica holds at least one byte",
        _ if size.div_ceil(Sectors::SIZE) > i64::MAX.unsigned_abs() / Sectors::SIZE => {
            "no device is that large"
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidArgument {
        what: "size",
        given: size.to_string(),
        why: why.into(),
    })
}

/// Refuses a property without a value: in a tag it could not be told from none.
pub(crate) fn checked_value<'a>(what: &'static str, value: &'a str) -> Result<&'a str, Error> {
    if value.is_empty() {
        return Err(Error::InvalidArgument {
            what,
            given: String::new(),
            why: "it is empty".into(),
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_carries_io_engines_tags() {
        let mut request = CreateReplica::new(Uuid::from_u128(7), 1);
        request.name = Some("vol-1".into());
        request.entity_id = Some("e/1".into());
        let tags: Vec<String> = request.tags().unwrap().iter().map(Tag::to_string).collect();
        assert_eq!(
            tags,
            [
                "mayastor",
                "mayastor.lv.name=vol-1",
                "mayastor.lv.share=off",
                "mayastor.lv.entity_id=e/1"
            ]
        );
    }

    #[test]
    fn bad_values_are_refused_before_anything_is_touched() {
        let good = CreateReplica::new(Uuid::from_u128(7), 1);
        let with = |change: fn(&mut CreateReplica)| {
            let mut request = good.clone();
            change(&mut request);
            request.tags().unwrap_err().kind()
        };
        assert_eq!(with(|r| r.size = 0), "InvalidArgument");
        assert_eq!(with(|r| r.name = Some(String::new())), "InvalidArgument");
        assert_eq!(with(|r| r.name = Some("a,b".into())), "InvalidName");
        assert_eq!(with(|r| r.entity_id = Some("a b".into())), "InvalidName");
        assert!(CreateReplica::new(Uuid::nil(), 1).lv_name().is_err());
    }

    #[test]
    fn a_pool_name_leaves_room_for_device_names() {
        let name = |text: &str| CreatePool::new(text, Vec::new()).vg_name();
        assert!(name(&"x".repeat(86)).is_ok());
        assert!(name(&"x".repeat(87)).is_err());
        assert!(name(&"-".repeat(2)).is_err());
    }
}
