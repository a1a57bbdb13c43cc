//! The array of a published volume, over the devices of its replicas.
//!
//! What users open is `volume-VOLUME`, with the uuid `LVMN-VOLUME-PUBLICATION`, in which UUIDs stand without dashes.

use std::path::PathBuf;

use lvm_dm::{
    DeviceId, DeviceInfo, DeviceNumber, DmName, DmUuid, Raid, RaidHealth, RaidImage, RaidStatus, Table,
    Target, UdevFlags,
};
use uuid::Uuid;

use super::geometry::SECTOR;
use super::leg::{self, Leg, replace, resume};
use super::member;
use super::record::{Places, Record};
use crate::Error;
use crate::apply::Step;
use crate::layer::HIDDEN;
use crate::system::Inner;

/// How long the kernel lets pass before it clears bits of its bitmap, in its own ticks, which is what dm-raid takes: a second with the
/// usual 250 of these.  What a replica that fails afterwards must be given is as much less.
const BITMAP_DELAY: &str = "250";

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
            legs.push(Leg::find(inner, volume, image)?);
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

    /// The places whose target answers, as far as the kernel knows.
    pub(super) fn reachable(&self, inner: &Inner) -> Places {
        self.places_of(|place, _| {
            self.path(inner, place)
                .is_some_and(|path| member::answers(inner, &path))
        })
    }

    /// The places whose target answers, and of which nothing waits or failed.
    pub(super) fn answering(&self, inner: &Inner) -> Places {
        self.reachable(inner) & self.places_of(|_, leg| leg.is_passing)
    }

    /// The places that the kernel counts on: in sync, or to be.
    pub(super) fn used(&self) -> Places {
        self.places(RaidHealth::InSync) | self.places(RaidHealth::Behind)
    }

    /// The places that the kernel counts on, and whose replicas answer.
    pub(super) fn in_use(&self, inner: &Inner) -> Places {
        self.used() & self.answering(inner)
    }

    /// Does the array wait when it would lose a replica?
    pub(super) fn is_holding(&self) -> bool {
        self.legs.iter().any(|leg| leg.is_holding)
    }

    fn places_of(&self, is_wanted: impl Fn(usize, &Leg) -> bool) -> Places {
        let each = self.legs.iter().enumerate();
        each.filter(|(place, leg)| is_wanted(*place, leg))
            .fold(0, |all, (place, _)| all | 1 << place)
    }

    /// The array does not learn any more that a replica failed before somebody lets go.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn hold(&mut self, inner: &Inner) -> Result<(), Error> {
        for leg in self.legs.iter_mut().filter(|leg| !leg.is_holding) {
            leg.hold(inner, true)?;
            leg.is_holding = leg.replica.is_some();
        }
        Ok(())
    }

    /// Lets what waits at these places fail.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn let_go(&self, inner: &Inner, places: Places) -> Result<(), Error> {
        let legs = self.legs.iter().enumerate();
        let mut legs = legs.filter(|(place, _)| places & 1 << place != 0);
        legs.try_for_each(|(_, leg)| leg.hold(inner, false))
    }

    /// Lets what was stopped by somebody who died go on.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn resume(&self, inner: &Inner) -> Result<(), Error> {
        for leg in &self.legs {
            leg.resume(inner)?;
        }
        match self.array.suspended {
            true => {
                let uuid = array_uuid(self.volume, self.publication)?;
                inner.kernel().apply(None, &resume(uuid, UdevFlags::empty()))
            }
            false => Ok(()),
        }
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

    /// Leads to a device what the array has of a replica.  It does not hold: the array reads from it before it counts on it.
    fn lay_leg(
        &self,
        inner: &Inner,
        record: &Record,
        place: usize,
        backing: DeviceNumber,
    ) -> Result<(), Error> {
        match self.legs.get(place).filter(|leg| leg.replica.is_some()) {
            Some(leg) => leg.lead(inner, record.size, backing, false),
            None => {
                leg::remove(inner, record, place)?;
                leg::make(inner, record, place, backing)
            }
        }
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
            leg::make(inner, record, place, *backing)?;
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
            minor: None,
        },
        Step::Resume {
            uuid,
            flags: UdevFlags::empty(),
            link: None,
            read_ahead: None,
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
    let replica = |(uuid, _): &(DmUuid, DmName)| leg::replica_of(volume, uuid);
    Ok(devices.iter().filter_map(replica).collect())
}

/// Takes away all devices of a volume, the array first; those of a publication that was cut, too.
///
/// # Errors
/// [`Error::Dm`], also for a device that is open.
pub(super) fn remove(inner: &Inner, volume: Uuid) -> Result<(), Error> {
    let array = array_name(volume)?;
    let mut ours = devices(inner, volume)?;
    ours.sort_by_key(|(uuid, name)| (*name != array, leg::is_path(uuid)));
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

/// The array over the parts of the replicas at the places that are wanted.
fn array_table(inner: &Inner, record: &Record, wanted: &[bool], filling: Places) -> Result<Table, Error> {
    let mut images = Vec::with_capacity(wanted.len());
    let mut params = Vec::new();
    for (place, is_wanted) in wanted.iter().enumerate() {
        images.push(match is_wanted {
            true => leg::image(inner, record, place)?,
            false => RaidImage {
                meta: None,
                data: None,
            },
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
