//! One replica of a volume, as it is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvm_dm::{DeviceNumber, RaidSuperblock};
use lvm_meta::Disk;
use uuid::Uuid;

use super::error::VolumeError;
use super::geometry::{self, DATA_START, META_SIZE, META_START};
use super::record::{self, Record, Slots};
use super::rules::Found;
use crate::host::{OpenMode, open_disk};
use crate::nvmf::{Location, ReplicaUri};
use crate::system::Inner;
use crate::{Error, nvmf};

/// A replica that can be read and written.
pub(super) struct Reached {
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
}

/// A replica, reached or not.
pub(super) struct Member {
    pub(super) uri: ReplicaUri,
    pub(super) reached: Option<Reached>,
    pub(super) found: Found,
    /// Why it is not reached, or what is wrong with its record.
    pub(super) problem: Option<String>,
    /// It was connected when it was found, and not before.
    pub(super) is_new: bool,
    /// The volume in its record, or something else where that should be.
    pub(super) holds: Option<Uuid>,
}

impl Member {
    /// Connects to a replica, if it is on another node, and reads what it tells.
    pub(super) fn connect(inner: &Inner, uri: ReplicaUri) -> Self {
        let was_known = is_known(inner, &uri);
        let path = connect(inner, &uri);
        Self {
            is_new: !was_known,
            ..Self::at(inner, uri, path)
        }
    }

    /// Reads what a replica tells that is at `path` now.
    pub(super) fn at(inner: &Inner, uri: ReplicaUri, path: Result<PathBuf, Error>) -> Self {
        let own = uri.uuid;
        let read = path.and_then(|path| {
            let disk = open(inner, &path)?;
            let told = tell(&*disk, own).map_err(|source| Error::Io {
                what: "read",
                path: path.clone(),
                source,
            })?;
            Ok((Reached { path, disk }, told))
        });
        match read {
            Ok((reached, told)) => {
                let holds = match &told {
                    (Slots::Record(record), _) => Some(record.volume),
                    (Slots::Broken(_), _) => Some(Uuid::nil()),
                    (Slots::Blank, _) => None,
                };
                let (found, problem) = match told {
                    (Slots::Record(record), superblock) => (Found::Known { record, superblock }, None),
                    (Slots::Blank, _) => (Found::Blank, Some(format!("replica {own} is blank"))),
                    (Slots::Broken(why), _) => (
                        Found::Damaged,
                        Some(format!("the record of replica {own} is damaged: {why}")),
                    ),
                };
                Self {
                    uri,
                    reached: Some(reached),
                    found,
                    problem,
                    is_new: false,
                    holds,
                }
            }
            Err(error) => Self {
                problem: Some(error.to_string()),
                uri,
                reached: None,
                found: Found::Absent,
                is_new: false,
                holds: None,
            },
        }
    }

    /// Writes the record to it.  Durable when this returns.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`].
    pub(super) fn write(&self, record: &Record) -> Result<(), Error> {
        let own = self.uri.uuid;
        let record = match &self.found {
            Found::Known {
                record: known,
                superblock,
            } => record.for_replica(own, Some(known), superblock.as_ref()),
            _ => record.for_replica(own, None, None),
        };
        self.with_disk(|disk| record::write(disk, own, &record))
    }

    /// As [`Self::write`]; what is known of it is this record from then on.
    pub(super) fn note(&mut self, record: &Record) -> Result<(), Error> {
        self.write(record)?;
        let own = self.uri.uuid;
        if let Found::Known {
            record: known,
            superblock,
        } = &mut self.found
        {
            **known = record.for_replica(own, Some(known), superblock.as_ref());
        }
        Ok(())
    }

    /// Zeroes where the kernel keeps its part.  Durable when this returns.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`].
    pub(super) fn zero_metadata(&self) -> Result<(), Error> {
        let zeroes = vec![0; 1 << 20];
        self.with_disk(|disk| {
            for at in (META_START..META_START + META_SIZE).step_by(zeroes.len()) {
                disk.write_at(at, &zeroes)?;
            }
            disk.sync()
        })
    }

    /// Reads or writes its disk.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`].
    pub(super) fn with_disk(&self, work: impl FnOnce(&dyn Disk) -> std::io::Result<()>) -> Result<(), Error> {
        let done = match &self.reached {
            Some(reached) => work(&*reached.disk).map_err(|error| error.to_string()),
            None => Err(self.problem.clone().unwrap_or_default()),
        };
        done.map_err(|why| {
            let uri = self.uri.to_string();
            VolumeError::Unreachable { uri, why }.into()
        })
    }

    /// Does it have room for a volume of `size` bytes?
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`], [`VolumeError::Replica`].
    pub(super) fn check_size(&self, size: u64) -> Result<(), Error> {
        let Some(reached) = &self.reached else {
            return Err(VolumeError::Unreachable {
                uri: self.uri.to_string(),
                why: self.problem.clone().unwrap_or_default(),
            }
            .into());
        };
        let path = reached.path.clone();
        let has = reached.disk.size().map_err(|source| Error::Io {
            what: "measure",
            path,
            source,
        })?;
        let needed = geometry::replica_size(size);
        match has >= needed {
            true => Ok(()),
            false => Err(VolumeError::Replica {
                replica: self.uri.uuid,
                why: format!(
                    "is too small: it has {has} bytes, and a volume of {size} bytes, whose data begin at {DATA_START}, needs {needed}"
                ),
            }
            .into()),
        }
    }

    /// The device number of its disk.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn backing(&self, inner: &Inner) -> Result<DeviceNumber, Error> {
        let path = self.reached.as_ref().map(|reached| &reached.path);
        let none = PathBuf::new();
        inner.mapper.backing(path.unwrap_or(&none)).map_err(Error::Dm)
    }
}

/// Is there a connection to a replica, be it live or tried again?  Local ones need none.
pub(super) fn is_known(inner: &Inner, uri: &ReplicaUri) -> bool {
    match (&uri.location, inner.initiator()) {
        (Location::Nvmf { nqn, .. }, Ok(initiator)) => initiator.knows(nqn),
        _ => true,
    }
}

/// The path of a replica's disk, connected now if it is not.
fn connect(inner: &Inner, uri: &ReplicaUri) -> Result<PathBuf, Error> {
    match &uri.location {
        Location::Nvmf { address, nqn, host } => {
            let initiator = inner.initiator()?;
            initiator.connect(&uri.to_string(), (*address, nqn, host.as_ref()), uri.uuid)
        }
        Location::Local { device } => Ok(device.clone()),
    }
}

/// The path of a replica's disk, if it is there without connecting.
pub(super) fn present(inner: &Inner, uri: &ReplicaUri) -> Option<PathBuf> {
    match &uri.location {
        Location::Nvmf { .. } => inner.initiator().ok()?.disk(uri.uuid),
        Location::Local { device } => device.exists().then(|| device.clone()),
    }
}

/// Does what a path leads to answer, as far as is known without asking?
pub(super) fn answers(inner: &Inner, path: &Path) -> bool {
    path.exists()
        && inner
            .initiator()
            .map_or(true, |initiator| initiator.answers(path))
}

/// Ends the connection to a replica.
pub(super) fn disconnect(inner: &Inner, uri: &ReplicaUri) {
    if let (nvmf::Location::Nvmf { nqn, .. }, Ok(initiator)) = (&uri.location, inner.initiator()) {
        initiator.disconnect(nqn);
    }
}

fn open(inner: &Inner, path: &Path) -> Result<Arc<dyn Disk>, Error> {
    let disk = open_disk(&inner.paths, path, OpenMode::ReadWrite).map_err(Error::Host)?;
    Ok(inner.wrap(path, disk.into()))
}

/// What a replica's slots hold, and what the kernel noted of its image.
fn tell(disk: &dyn Disk, own: Uuid) -> std::io::Result<(Slots, Option<RaidSuperblock>)> {
    let slots = record::read(disk, own)?;
    let mut bytes = vec![0; 512];
    disk.read_at(META_START, &mut bytes)?;
    let place = match &slots {
        Slots::Record(record) => record.place_of(own).map(|place| (place, record.members.len())),
        _ => None,
    };
    let is_its = |found: &RaidSuperblock| {
        let (position, images) = (found.position as usize, found.images as usize);
        place == Some((position, images))
    };
    Ok((slots, RaidSuperblock::parse(&bytes).filter(is_its)))
}
