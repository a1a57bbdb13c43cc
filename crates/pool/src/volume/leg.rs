//! The mapped devices of one replica of a published volume.
//!
//! | device | name | uuid |
//! | --- | --- | --- |
//! | the way to the replica | `volume-VOLUME-PLACE-path` | `LVMN-VOLUME-REPLICA-path` |
//! | on it, what the array has of it | `volume-VOLUME-PLACE-meta`, `-data` | `LVMN-VOLUME-REPLICA-meta`, `-data` |
//!
//! In uuids UUIDs stand without dashes.
//!
//! The way is a multipath device with one path.  While it *holds*, I/O that the replica does not take waits in it: the array
//! learns of the failure when somebody lets go, and not before.  Reference: Linux `drivers/md/dm-mpath.c`, `queue_if_no_path`.

use lvm_dm::{
    DeviceId, DeviceNumber, DmName, DmUuid, Multipath, MultipathStatus, RaidImage, SuspendFlags, Table,
    Target, UdevFlags,
};
use uuid::Uuid;

use super::geometry::{DATA_START, META_SIZE, META_START, SECTOR};
use super::record::Record;
use crate::Error;
use crate::apply::Step;
use crate::layer::HIDDEN;
use crate::system::Inner;

/// What of a replica a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    Meta,
    Data,
}

impl Part {
    /// As they lie on each other, the lowest first.
    const ALL: [Self; 3] = [Self::Path, Self::Meta, Self::Data];

    fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Meta => "meta",
            Self::Data => "data",
        }
    }

    fn table(self, size: u64, below: DeviceNumber) -> Table {
        let (start, length) = match self {
            Self::Path => return path_table(size, below, false),
            Self::Meta => (META_START, META_SIZE),
            Self::Data => (DATA_START, size),
        };
        let offset = start / SECTOR;
        let device = below;
        Table::one(length / SECTOR, Target::Linear { device, offset })
    }
}

/// An image of the array.
#[derive(Clone, Debug, Default)]
pub(super) struct Leg {
    /// The replica, if the image has devices.
    pub(super) replica: Option<Uuid>,
    /// What these lie on.
    pub(super) backing: Option<DeviceNumber>,
    /// I/O that the replica does not take waits.
    pub(super) is_holding: bool,
    /// Nothing that the replica did not take waits, or failed, since its way was laid.
    pub(super) is_passing: bool,
    /// Somebody died while he laid it anew.
    pub(super) is_suspended: bool,
    path: Option<DmUuid>,
}

impl Leg {
    /// What the kernel has of an image.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn find(inner: &Inner, volume: Uuid, image: &RaidImage) -> Result<Self, Error> {
        let mapper = &*inner.mapper;
        let Some(data) = image.data else {
            return Ok(Self::default());
        };
        let data = mapper.info(DeviceId::Number(data)).map_err(Error::Dm)?;
        let Some(replica) = data.and_then(|info| replica_of(volume, &info.uuid?)) else {
            return Ok(Self::default());
        };
        let path = uuid(volume, replica, Part::Path)?;
        let id = DeviceId::Uuid(&path);
        let table = mapper.table(id, false).map_err(Error::Dm)?;
        let lines = mapper.status(id, true).map_err(Error::Dm)?;
        let info = mapper.info(id).map_err(Error::Dm)?;
        let status = lines
            .first()
            .and_then(|line| MultipathStatus::parse(&line.status));
        let multipath = table.lines().first().and_then(|line| match &line.target {
            Target::Multipath(multipath) => Some(multipath),
            _ => None,
        });
        Ok(Self {
            replica: Some(replica),
            backing: multipath.and_then(|multipath| multipath.paths.first().copied()),
            is_holding: multipath.is_some_and(Multipath::is_holding),
            is_passing: status.is_some_and(|status| status.usable > 0),
            is_suspended: info.is_some_and(|info| info.suspended),
            path: Some(path),
        })
    }

    /// From now on I/O that the replica does not take waits, or fails, also what waits already.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn hold(&self, inner: &Inner, is_to_hold: bool) -> Result<(), Error> {
        let text = match is_to_hold {
            true => Multipath::HOLD,
            false => Multipath::LET_GO,
        };
        match &self.path {
            Some(path) => {
                let id = DeviceId::Uuid(path);
                inner.mapper.message(id, 0, text).map(drop).map_err(Error::Dm)
            }
            None => Ok(()),
        }
    }

    /// Leads the way to a device, anew also if that is where it leads: what waits goes there.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn lead(
        &self,
        inner: &Inner,
        size: u64,
        backing: DeviceNumber,
        is_to_hold: bool,
    ) -> Result<(), Error> {
        match &self.path {
            Some(path) => {
                let table = path_table(size, backing, is_to_hold);
                inner.kernel().apply(None, &replace(path.clone(), table, HIDDEN))
            }
            None => Ok(()),
        }
    }

    /// Lets the way go on that somebody stopped and died.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn resume(&self, inner: &Inner) -> Result<(), Error> {
        match &self.path {
            Some(path) if self.is_suspended => inner.kernel().apply(None, &resume(path.clone(), HIDDEN)),
            _ => Ok(()),
        }
    }
}

/// Makes the devices of a replica that lies on `backing`.  They do not hold.
///
/// # Errors
/// [`Error::Dm`].
pub(super) fn make(inner: &Inner, record: &Record, place: usize, backing: DeviceNumber) -> Result<(), Error> {
    let mut below = backing;
    for part in Part::ALL {
        let uuid = part_uuid(record, place, part)?;
        let name = format!("volume-{}-{place}-{}", record.volume, part.word());
        let steps = [
            Step::Create {
                name: DmName::new(&name).map_err(Error::Dm)?,
                uuid: uuid.clone(),
                table: part.table(record.size, below),
                read_only: false,
                minor: None,
            },
            Step::Resume {
                uuid: uuid.clone(),
                flags: HIDDEN,
                link: None,
                read_ahead: None,
            },
            Step::Settle,
        ];
        inner.kernel().apply(None, &steps)?;
        if part == Part::Path {
            below = number(inner, &uuid)?.unwrap_or(backing);
        }
    }
    Ok(())
}

/// Takes away the devices of a replica that no array uses: what was cut left them.
///
/// # Errors
/// [`Error::Dm`].
pub(super) fn remove(inner: &Inner, record: &Record, place: usize) -> Result<(), Error> {
    let mut steps = Vec::new();
    for part in Part::ALL.into_iter().rev() {
        let uuid = part_uuid(record, place, part)?;
        if number(inner, &uuid)?.is_some() {
            steps.push(Step::Remove {
                uuid,
                flags: HIDDEN,
                link: None,
            });
        }
    }
    steps.push(Step::Settle);
    inner.kernel().apply(None, &steps)
}

/// What the array is to have of a replica.
///
/// # Errors
/// [`Error::Dm`].
pub(super) fn image(inner: &Inner, record: &Record, place: usize) -> Result<RaidImage, Error> {
    Ok(RaidImage {
        meta: number(inner, &part_uuid(record, place, Part::Meta)?)?,
        data: number(inner, &part_uuid(record, place, Part::Data)?)?,
    })
}

/// The replica whose data a device of a volume has.
pub(super) fn replica_of(volume: Uuid, uuid: &DmUuid) -> Option<Uuid> {
    let rest = uuid
        .as_str()
        .strip_prefix(&format!("LVMN-{}-", volume.simple()))?;
    Uuid::parse_str(rest.strip_suffix("-data")?).ok()
}

/// Is it the lowest of a replica's devices?
pub(super) fn is_path(uuid: &DmUuid) -> bool {
    uuid.as_str().ends_with("-path")
}

/// Stops a device, keeping what waits for its new table, and maps that.
pub(super) fn replace(uuid: DmUuid, table: Table, flags: UdevFlags) -> Vec<Step> {
    let mut steps = vec![
        Step::Suspend {
            uuid: uuid.clone(),
            flags: SuspendFlags::SKIP_LOCKFS | SuspendFlags::NOFLUSH,
        },
        Step::Load {
            uuid: uuid.clone(),
            table,
            read_only: false,
        },
    ];
    steps.extend(resume(uuid, flags));
    steps
}

/// Lets a device go on that is stopped.
pub(super) fn resume(uuid: DmUuid, flags: UdevFlags) -> [Step; 2] {
    [
        Step::Resume {
            uuid,
            flags,
            link: None,
            read_ahead: None,
        },
        Step::Settle,
    ]
}

fn path_table(size: u64, backing: DeviceNumber, is_to_hold: bool) -> Table {
    let hold = is_to_hold.then_some(Multipath::HOLD);
    let words = hold.into_iter().chain(["queue_mode", "bio"]);
    let multipath = Multipath {
        features: words.map(Into::into).collect(),
        paths: vec![backing],
    };
    Table::one((DATA_START + size) / SECTOR, Target::Multipath(multipath))
}

fn number(inner: &Inner, uuid: &DmUuid) -> Result<Option<DeviceNumber>, Error> {
    let info = inner.mapper.info(DeviceId::Uuid(uuid)).map_err(Error::Dm)?;
    Ok(info.map(|info| info.number))
}

fn part_uuid(record: &Record, place: usize, part: Part) -> Result<DmUuid, Error> {
    let member = record.members.get(place);
    let replica = member.map_or(Uuid::nil(), |member| member.uuid);
    uuid(record.volume, replica, part)
}

fn uuid(volume: Uuid, replica: Uuid, part: Part) -> Result<DmUuid, Error> {
    let text = format!("LVMN-{}-{}-{}", volume.simple(), replica.simple(), part.word());
    DmUuid::new(&text).map_err(Error::Dm)
}
