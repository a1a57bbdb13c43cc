//! The mapped devices of a published volume: for each replica one for dm-raid's metadata and one for data, and an array of
//! these.
//!
//! | device | name | uuid |
//! | --- | --- | --- |
//! | what users open | `volume-VOLUME` | `LVMN-VOLUME-PUBLICATION` |
//! | a replica's parts | `volume-VOLUME-PLACE-meta`, `-data` | `LVMN-VOLUME-REPLICA-meta`, `-data` |
//!
//! In uuids UUIDs stand without dashes.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::{
    DeviceId, DeviceInfo, DeviceNumber, DmName, DmUuid, Raid, RaidHealth, RaidImage, RaidStatus,
    SuspendFlags, Table, Target, UdevFlags,
};
use uuid::Uuid;

use super::geometry::{DATA_START, META_SIZE, META_START, SECTOR};
use super::member;
use super::record::{Places, Record};
use crate::Error;
use crate::apply::Step;
use crate::layer::HIDDEN;
use crate::system::Inner;

/// How long the kernel lets pass before it clears bits of its bitmap, in milliseconds: what a replica that fails afterwards
/// must be given is as much less.
const BITMAP_DELAY: &str = "1000";

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What part of a replica a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Meta,
    Data,
}

impl Part {
    const BOTH: [Self; 2] = [Self::Meta, Self::Data];

    fn word(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Data => "data",
        }
    }

    /// First byte in the replica, and bytes.
    fn extent(self, volume_size: u64) -> (u64, u64) {
        match self {
            Self::Meta => (META_START, META_SIZE),
            Self::Data => (DATA_START, volume_size),
        }
    }
}

/// The devices of a volume, as the kernel has them.
pub(super) struct Stack {
    pub(super) volume: Uuid,
    pub(super) publication: Uuid,
    pub(super) array: DeviceInfo,
    raid: Raid,
    pub(super) status: RaidStatus,
    /// Bytes.
    pub(super) size: u64,
    /// By the places of the array's images.
    pub(super) legs: Vec<Leg>,
}

/// An image of the array.
#[derive(Clone, Debug, Default)]
pub(super) struct Leg {
    /// The replica, if the image has devices.
    pub(super) replica: Option<Uuid>,
    /// What its devices lie on.
    pub(super) backing: Option<DeviceNumber>,
}

impl Stack {
    /// The devices of a volume; `None` when its array is not there, or not mapped.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn find(inner: &Inner, volume: Uuid) -> Result<Option<Self>, Error> {
        let mapper = &*inner.mapper;
        let name = array_name(volume)?;
        let array = mapper.info(DeviceId::Name(&name)).map_err(Error::Dm)?;
        let Some(array) = array.filter(|array| array.live_table) else {
            return Ok(None);
        };
        let Some(publication) = publication_of(volume, array.uuid.as_ref()) else {
            return Ok(None);
        };
        let id = DeviceId::Number(array.number);
        let table = mapper.table(id, false).map_err(Error::Dm)?;
        let lines = mapper.status(id, true).map_err(Error::Dm)?;
        let status = lines.first().and_then(|line| RaidStatus::parse(&line.status));
        let line = table.lines().first();
        let raid = line.and_then(|line| match &line.target {
            Target::Raid(raid) => Some((raid.clone(), line.length)),
            _ => None,
        });
        let (Some((raid, sectors)), Some(status)) = (raid, status) else {
            return Ok(None);
        };
        let mut legs = Vec::with_capacity(raid.images.len());
        for image in &raid.images {
            legs.push(leg(inner, volume, image)?);
        }
        Ok(Some(Self {
            volume,
            publication,
            array,
            raid,
            status,
            size: sectors.saturating_mul(SECTOR),
            legs,
        }))
    }

    /// How often the array is open, when it was given this long to be closed.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn open_count(&self, inner: &Inner, limit: Duration) -> Result<u32, Error> {
        let end = Instant::now() + limit;
        loop {
            let id = DeviceId::Number(self.array.number);
            let info = inner.mapper.info(id).map_err(Error::Dm)?;
            let open_count = info.map_or(0, |info| info.open_count);
            if open_count == 0 || Instant::now() > end {
                return Ok(open_count);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// The places whose image the kernel has in this state.
    pub(super) fn places(&self, health: RaidHealth) -> Places {
        let images = self.status.images.iter().take(self.raid.images.len()).enumerate();
        images
            .filter(|(_, found)| **found == health)
            .fold(0, |all, (place, _)| all | 1 << place)
    }

    /// The path of what an image lies on, if that is still there.
    pub(super) fn path(&self, inner: &Inner, place: usize) -> Option<PathBuf> {
        let backing = self.legs.get(place)?.backing?;
        inner.mapper.backing_path(backing)
    }

    /// The places whose image lies on what answers.
    pub(super) fn answering(&self, inner: &Inner) -> Places {
        (0..self.legs.len())
            .filter(|place| {
                self.path(inner, *place)
                    .is_some_and(|path| member::answers(inner, &path))
            })
            .fold(0, |all, place| all | 1 << place)
    }

    /// Lays the array on other devices, or on the same ones anew: `images` by places, what each lies on and whether it is to be
    /// filled from the start; without those that are `dropped`; the rest as they are.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn relay(
        &self,
        inner: &Inner,
        record: &Record,
        images: &[(usize, DeviceNumber, bool)],
        dropped: Places,
    ) -> Result<(), Error> {
        for (place, backing, _) in images {
            self.lay_leg(inner, record, *place, *backing)?;
        }
        let filling = images
            .iter()
            .filter(|(.., is_filled)| *is_filled)
            .fold(0, |all: Places, (place, ..)| all | 1 << place);
        let mut wanted = vec![false; record.members.len()];
        for (place, leg) in self.legs.iter().enumerate() {
            let is_kept = leg.replica.is_some() && dropped & 1 << place == 0;
            wanted
                .get_mut(place)
                .into_iter()
                .for_each(|wanted| *wanted = is_kept);
        }
        for (place, ..) in images {
            wanted
                .get_mut(*place)
                .into_iter()
                .for_each(|wanted| *wanted = true);
        }
        let table = array_table(inner, record, &wanted, filling)?;
        let uuid = array_uuid(self.volume, self.publication)?;
        inner
            .kernel()
            .apply(None, &replace(uuid, table, UdevFlags::empty()))
    }

    /// Lays the parts of one replica on a device; makes them if they are not there.
    fn lay_leg(
        &self,
        inner: &Inner,
        record: &Record,
        place: usize,
        backing: DeviceNumber,
    ) -> Result<(), Error> {
        if self.legs.get(place).is_some_and(|leg| leg.replica.is_none()) {
            remove_leg(inner, record, place)?;
            return make_leg(inner, record, place, backing);
        }
        if self
            .legs
            .get(place)
            .is_some_and(|leg| leg.backing == Some(backing))
        {
            return Ok(());
        }
        let mut steps = Vec::new();
        for part in Part::BOTH {
            let uuid = part_uuid(record, place, part)?;
            steps.extend(replace(uuid, part_table(part, record.size, backing), HIDDEN));
        }
        inner.kernel().apply(None, &steps)
    }

    /// Makes all I/O fail from now on: somebody else serves the volume.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn shut(&self, inner: &Inner) -> Result<(), Error> {
        let table = Table::one(self.size / SECTOR, Target::Error);
        let uuid = array_uuid(self.volume, self.publication)?;
        inner
            .kernel()
            .apply(None, &replace(uuid, table, UdevFlags::empty()))
    }
}

/// Stops a device, keeping what waits for its new table, and maps that.
fn replace(uuid: DmUuid, table: Table, flags: UdevFlags) -> [Step; 4] {
    [
        Step::Suspend {
            uuid: uuid.clone(),
            flags: SuspendFlags::SKIP_LOCKFS | SuspendFlags::NOFLUSH,
        },
        Step::Load {
            uuid: uuid.clone(),
            table,
            read_only: false,
        },
        Step::Resume {
            uuid,
            flags,
            link: None,
        },
        Step::Settle,
    ]
}

/// Makes the parts of replicas on these devices, by places, and the array on those; the others are missing.  Of `filling`
/// nothing counts.
///
/// # Errors
/// [`Error::Dm`]; nothing is left then.
pub(super) fn assemble(
    inner: &Inner,
    record: &Record,
    backings: &[Option<DeviceNumber>],
    filling: Places,
) -> Result<(), Error> {
    let made = try_assemble(inner, record, backings, filling);
    if made.is_err() {
        let _ = remove(inner, record.volume);
    }
    made
}

fn try_assemble(
    inner: &Inner,
    record: &Record,
    backings: &[Option<DeviceNumber>],
    filling: Places,
) -> Result<(), Error> {
    for (place, backing) in backings.iter().enumerate() {
        if let Some(backing) = backing {
            make_leg(inner, record, place, *backing)?;
        }
    }
    let wanted: Vec<bool> = backings.iter().map(Option::is_some).collect();
    let uuid = array_uuid(record.volume, record.publication)?;
    let steps = [
        Step::Create {
            name: array_name(record.volume)?,
            uuid: uuid.clone(),
            table: array_table(inner, record, &wanted, filling)?,
            read_only: false,
        },
        Step::Resume {
            uuid,
            flags: UdevFlags::empty(),
            link: None,
        },
        Step::Settle,
    ];
    inner.kernel().apply(None, &steps)
}

/// The devices of a volume, whatever stands of them.
fn devices(inner: &Inner, volume: Uuid) -> Result<Vec<(DmUuid, DmName)>, Error> {
    let prefix = format!("LVMN-{}-", volume.simple());
    let entries = inner.mapper.list().map_err(Error::Dm)?.into_iter();
    Ok(entries
        .filter_map(|entry| Some((entry.uuid?, entry.name)))
        .filter(|(uuid, _)| uuid.as_str().starts_with(&prefix))
        .collect())
}

/// The replicas that have devices of a volume.
///
/// # Errors
/// [`Error::Dm`].
pub(super) fn replicas(inner: &Inner, volume: Uuid) -> Result<Vec<Uuid>, Error> {
    let devices = devices(inner, volume)?;
    let replica = |(uuid, _): &(DmUuid, DmName)| replica_of(volume, uuid);
    Ok(devices.iter().filter_map(replica).collect())
}

/// The replica whose data a device has.
fn replica_of(volume: Uuid, uuid: &DmUuid) -> Option<Uuid> {
    let rest = uuid
        .as_str()
        .strip_prefix(&format!("LVMN-{}-", volume.simple()))?;
    Uuid::parse_str(rest.strip_suffix("-data")?).ok()
}

/// Takes away all devices of a volume, the array first; those of a publication that was cut, too.
///
/// # Errors
/// [`Error::Dm`], also for a device that is open.
pub(super) fn remove(inner: &Inner, volume: Uuid) -> Result<(), Error> {
    let array = array_name(volume)?;
    let mut ours = devices(inner, volume)?;
    ours.sort_by_key(|(_, name)| *name != array);
    let steps: Vec<Step> = ours
        .into_iter()
        .map(|(uuid, name)| Step::Remove {
            uuid,
            flags: if name == array { UdevFlags::empty() } else { HIDDEN },
            link: None,
        })
        .chain([Step::Settle])
        .collect();
    inner.kernel().apply(None, &steps)
}

fn make_leg(inner: &Inner, record: &Record, place: usize, backing: DeviceNumber) -> Result<(), Error> {
    let mut steps = Vec::new();
    for part in Part::BOTH {
        let uuid = part_uuid(record, place, part)?;
        let name = format!("volume-{}-{place}-{}", record.volume, part.word());
        steps.push(Step::Create {
            name: DmName::new(&name).map_err(Error::Dm)?,
            uuid: uuid.clone(),
            table: part_table(part, record.size, backing),
            read_only: false,
        });
        steps.push(Step::Resume {
            uuid,
            flags: HIDDEN,
            link: None,
        });
    }
    steps.push(Step::Settle);
    inner.kernel().apply(None, &steps)
}

/// Takes away the parts of a replica that no array uses: what was cut left them.
fn remove_leg(inner: &Inner, record: &Record, place: usize) -> Result<(), Error> {
    let mut steps = Vec::new();
    for part in Part::BOTH {
        let uuid = part_uuid(record, place, part)?;
        if inner
            .mapper
            .info(DeviceId::Uuid(&uuid))
            .map_err(Error::Dm)?
            .is_some()
        {
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

fn part_table(part: Part, size: u64, device: DeviceNumber) -> Table {
    let (start, length) = part.extent(size);
    let offset = start / SECTOR;
    Table::one(length / SECTOR, Target::Linear { device, offset })
}

/// The array over the parts of the replicas at the places that are wanted.
fn array_table(inner: &Inner, record: &Record, wanted: &[bool], filling: Places) -> Result<Table, Error> {
    let mut images = Vec::with_capacity(wanted.len());
    let mut params = Vec::new();
    for (place, is_wanted) in wanted.iter().enumerate() {
        let device = |part| -> Result<Option<DeviceNumber>, Error> {
            let uuid = part_uuid(record, place, part)?;
            let info = inner.mapper.info(DeviceId::Uuid(&uuid)).map_err(Error::Dm)?;
            Ok(info.filter(|_| *is_wanted).map(|info| info.number))
        };
        images.push(RaidImage {
            meta: device(Part::Meta)?,
            data: device(Part::Data)?,
        });
        if filling & 1 << place != 0 {
            params.extend(["rebuild".to_string(), place.to_string()]);
        }
    }
    params.extend(["daemon_sleep".into(), BITMAP_DELAY.into()]);
    params.extend(["region_size".into(), (record.region / SECTOR).to_string()]);
    let raid = Raid {
        level: "raid1".into(),
        chunk: 0,
        params,
        images,
    };
    Ok(Table::one(record.size / SECTOR, Target::Raid(raid)))
}

/// The replica and the device of an image.
fn leg(inner: &Inner, volume: Uuid, image: &RaidImage) -> Result<Leg, Error> {
    let Some(data) = image.data else {
        return Ok(Leg::default());
    };
    let mapper = &*inner.mapper;
    let info = mapper.info(DeviceId::Number(data)).map_err(Error::Dm)?;
    let replica = info.and_then(|info| replica_of(volume, &info.uuid?));
    let table = mapper.table(DeviceId::Number(data), false).map_err(Error::Dm)?;
    let backing = table.lines().first().and_then(|line| match line.target {
        Target::Linear { device, .. } => Some(device),
        _ => None,
    });
    Ok(Leg { replica, backing })
}

pub(super) fn array_name(volume: Uuid) -> Result<DmName, Error> {
    DmName::new(&format!("volume-{volume}")).map_err(Error::Dm)
}

fn array_uuid(volume: Uuid, publication: Uuid) -> Result<DmUuid, Error> {
    DmUuid::new(&format!("LVMN-{}-{}", volume.simple(), publication.simple())).map_err(Error::Dm)
}

fn publication_of(volume: Uuid, uuid: Option<&DmUuid>) -> Option<Uuid> {
    let prefix = format!("LVMN-{}-", volume.simple());
    Uuid::parse_str(uuid?.as_str().strip_prefix(&prefix)?).ok()
}

fn part_uuid(record: &Record, place: usize, part: Part) -> Result<DmUuid, Error> {
    let replica = record
        .members
        .get(place)
        .map_or(Uuid::nil(), |member| member.uuid);
    let text = format!(
        "LVMN-{}-{}-{}",
        record.volume.simple(),
        replica.simple(),
        part.word()
    );
    DmUuid::new(&text).map_err(Error::Dm)
}
