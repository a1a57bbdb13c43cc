//! One replica of a volume, as it is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvm_dm::{DeviceNumber, RaidSuperblock};
use lvm_meta::Disk;
use uuid::Uuid;

use super::error::VolumeError;
use super::geometry::{self, DATA_START, META_SIZE, META_START};
use super::initiator::Target;
use super::record::{self, Record, Slots};
use super::rules::Found;
use crate::host::{OpenMode, open_disk};
use crate::nvmf::{Location, ReplicaUri};
use crate::system::Inner;
use crate::{Error, nvmf};

/// A target that takes longer to say whether it lets a host in is taken for silent.
const ANSWERS: Duration = Duration::from_secs(5);
/// Who does not want to wait for locks still has to for targets.
const LEAST: Duration = Duration::from_secs(1);

/// What a replica's slots hold, and what the kernel noted of its image.
type Told = (Slots, Option<RaidSuperblock>);

/// Until when targets are waited for.
pub(super) struct Deadline {
    /// Until when each has to say whether it lets this host in.
    answers: Instant,
    /// Until when all is done.
    until: Instant,
}

impl Deadline {
    /// The time of one call begins.
    pub(super) fn begin(inner: &Inner) -> Self {
        let (now, time) = (Instant::now(), inner.timeout.max(LEAST));
        Self {
            answers: now + ANSWERS.min(time / 2),
            until: now + time,
        }
    }

    /// Until when a target has to say whether it lets a host in.
    pub(super) fn answers(&self) -> Instant {
        self.answers
    }
}

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
        let deadline = Deadline::begin(inner);
        let probed = probe(inner, &uri, &deadline);
        Self::connect_probed(inner, uri, probed, &deadline)
    }

    /// As [`Self::connect`], of a replica whose target was asked already.
    pub(super) fn connect_probed(
        inner: &Inner,
        uri: ReplicaUri,
        probed: Result<(), Error>,
        deadline: &Deadline,
    ) -> Self {
        let was_known = is_known(inner, &uri);
        let path = probed.and_then(|()| connect(inner, &uri, deadline));
        let found = Self::read(inner, uri, path, deadline.until);
        Self {
            is_new: !was_known,
            ..found.confirmed(inner)
        }
    }

    /// What was opened is the replica if that name still leads to it.
    fn confirmed(self, inner: &Inner) -> Self {
        let (Some(reached), Location::Nvmf { nqn, .. }) = (&self.reached, &self.uri.location) else {
            return self;
        };
        let now = match inner.initiator() {
            Ok(initiator) => initiator.disk(nqn, self.uri.uuid),
            Err(error) => Err(error.to_string()),
        };
        let why = match now {
            Ok(Some(path)) if path == reached.path => return self,
            Ok(_) => "its disk went away".into(),
            Err(why) => why,
        };
        let uri = self.uri.to_string();
        let error = VolumeError::Unreachable { uri, why }.into();
        Self::read(inner, self.uri, Err(error), Instant::now())
    }

    /// Reads what a replica tells that is at `path` now.
    pub(super) fn at(inner: &Inner, uri: ReplicaUri, path: Result<PathBuf, Error>) -> Self {
        Self::read(inner, uri, path, Deadline::begin(inner).until)
    }

    fn read(inner: &Inner, uri: ReplicaUri, path: Result<PathBuf, Error>, until: Instant) -> Self {
        let own = uri.uuid;
        let read = path.and_then(|path| {
            let (disk, told) = open(inner, &uri, &path, until)?;
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
        let (own, record) = (self.uri.uuid, self.record_for(record));
        self.with_disk(|disk| record::write(disk, own, &record))
    }

    fn record_for(&self, record: &Record) -> Record {
        let own = self.uri.uuid;
        match &self.found {
            Found::Known {
                record: known,
                superblock,
            } => record.for_replica(own, Some(known), superblock.as_ref()),
            _ => record.for_replica(own, None, None),
        }
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

    /// Makes it one of a new volume's: nothing where the kernel keeps its part, and the record.  Durable when this returns.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`].
    pub(super) fn prepare(&self, inner: &Inner, record: &Record, deadline: &Deadline) -> Result<(), Error> {
        let (own, record) = (self.uri.uuid, self.record_for(record));
        let work = move |disk: &dyn Disk| {
            zero_metadata(disk)?;
            record::write(disk, own, &record)
        };
        match (&self.uri.location, &self.reached) {
            (Location::Nvmf { .. }, Some(reached)) => {
                let disk = Arc::clone(&reached.disk);
                let done = inner.patience.wait(deadline.until, move || work(&*disk), drop);
                self.with_disk(|_| done?)
            }
            _ => self.with_disk(work),
        }
    }

    /// Zeroes where the kernel keeps its part.  Durable when this returns.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`].
    pub(super) fn zero_metadata(&self) -> Result<(), Error> {
        self.with_disk(zero_metadata)
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

/// Asks the target of a replica whether it lets this host in, if it is on another node and not connected.
///
/// # Errors
/// [`VolumeError::Unreachable`], [`VolumeError::NoInitiator`].
pub(super) fn probe(inner: &Inner, uri: &ReplicaUri, deadline: &Deadline) -> Result<(), Error> {
    match target(uri) {
        Some(target) => inner
            .initiator()?
            .probe(&uri.to_string(), target, deadline.answers),
        None => Ok(()),
    }
}

/// The path of a replica's disk, connected now if it is not.
fn connect(inner: &Inner, uri: &ReplicaUri, deadline: &Deadline) -> Result<PathBuf, Error> {
    match (&uri.location, target(uri)) {
        (Location::Local { device }, _) => Ok(device.clone()),
        (_, Some(target)) => {
            let initiator = inner.initiator()?;
            initiator.connect(&uri.to_string(), target, uri.uuid, deadline.until)
        }
        _ => Ok(PathBuf::new()),
    }
}

fn target(uri: &ReplicaUri) -> Option<Target<'_>> {
    match &uri.location {
        Location::Nvmf { address, nqn, host } => Some(Target {
            address: *address,
            nqn,
            host: host.as_ref(),
        }),
        Location::Local { .. } => None,
    }
}

/// The path of a replica's disk, if it is there without connecting.
pub(super) fn present(inner: &Inner, uri: &ReplicaUri) -> Option<PathBuf> {
    match &uri.location {
        Location::Nvmf { nqn, .. } => inner.initiator().ok()?.disk(nqn, uri.uuid).ok()?,
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

/// Opens a replica's disk, and reads what it tells.
fn open(
    inner: &Inner,
    uri: &ReplicaUri,
    path: &Path,
    until: Instant,
) -> Result<(Arc<dyn Disk>, Told), Error> {
    let own = uri.uuid;
    let (paths, wrap, at) = (inner.paths.clone(), inner.wrapper(), path.to_owned());
    let work = move || {
        let disk: Arc<dyn Disk> = open_disk(&paths, &at, OpenMode::ReadWrite)
            .map_err(Error::Host)?
            .into();
        let disk = match wrap {
            Some(wrap) => wrap(&at, disk),
            None => disk,
        };
        let told = tell(&*disk, own).map_err(failed("read", &at))?;
        Ok((disk, told))
    };
    match &uri.location {
        // What is on this node answers, or fails, in the kernel's own time.
        Location::Local { .. } => work(),
        Location::Nvmf { .. } => inner
            .patience
            .wait(until, work, drop)
            .map_err(failed("read", path))?,
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

/// What a replica's slots hold, and what the kernel noted of its image.
fn tell(disk: &dyn Disk, own: Uuid) -> std::io::Result<Told> {
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

fn zero_metadata(disk: &dyn Disk) -> std::io::Result<()> {
    let zeroes = vec![0; 1 << 20];
    for at in (META_START..META_START + META_SIZE).step_by(zeroes.len()) {
        disk.write_at(at, &zeroes)?;
    }
    disk.sync()
}
