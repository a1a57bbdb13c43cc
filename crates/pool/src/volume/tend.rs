//! Looking after a published volume: what failed is noted, what came back is taken in, what is in line again counts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::{EventSource, RaidHealth};
use uuid::Uuid;

use super::error::VolumeError;
use super::member::{self, Member};
use super::publish::{backing, found};
use super::record::{Places, Record};
use super::rules::{Fate, Found, judge};
use super::stack::Stack;
use super::status::{self, Members};
use super::{VolumeInfo, volume_lock};
use crate::info::State;
use crate::system::Inner;
use crate::{Error, System};

/// How often is looked whether all targets answer: that is no event of device-mapper's.
const GLANCE: Duration = Duration::from_millis(200);
/// How often a volume is looked at that lacks a replica: it may be there again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a replica is left alone after it was taken in.
const TRY_AGAIN: Duration = Duration::from_secs(10);
const SYNC_LOOK: Duration = Duration::from_millis(100);

/// How far replicas are brought in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealProgress {
    /// Bytes of the volume that are in sync.
    pub done: u64,
    /// Bytes of the volume.
    pub total: u64,
}

/// Looks after a published volume in a long-lived process.
///
/// When a target does not answer any more, the kernel lets I/O wait for some seconds.  In these the monitor notes on the other
/// replicas that they go on without it, and only then lets the kernel go on: so no write is acknowledged that a replica misses
/// which could be taken for whole later.  Without a monitor the kernel goes on by itself, when the seconds are over.
///
/// It has no thread.  Between events of the kernel's it sleeps; five times a second it looks in sysfs whether all targets answer, and
/// each second, while a replica is missing, whether it is there again.
pub struct VolumeMonitor {
    system: System,
    volume: Uuid,
    events: Box<dyn EventSource>,
    last: Option<VolumeInfo>,
    /// What the replicas in use lie on.
    paths: Vec<PathBuf>,
    attempts: Attempts,
}

/// When replicas were last taken in: one that fails again at once, such as one whose pool is full, is left alone for a while.
struct Attempts {
    last: HashMap<Uuid, Instant>,
    pause: Duration,
}

impl Attempts {
    fn with_pause(pause: Duration) -> Self {
        let last = HashMap::new();
        Self { last, pause }
    }

    fn is_too_early(&self, replica: Uuid) -> bool {
        let last = self.last.get(&replica);
        last.is_some_and(|last| last.elapsed() < self.pause)
    }
}

impl std::fmt::Debug for VolumeMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolumeMonitor")
            .field("volume", &self.volume)
            .finish_non_exhaustive()
    }
}

/// What one look found and did.
struct Tended {
    info: VolumeInfo,
    /// What the replicas in use lie on.
    paths: Vec<PathBuf>,
    /// Replicas are being brought in line.
    is_syncing: bool,
    /// Something was noted or taken in.
    has_acted: bool,
}

impl System {
    /// Does for a published volume what can be done now, and waits until the replicas that can be reached are in line:
    /// failures are noted, replicas that are there again are taken in, with what the bitmap says where it can tell, wholly
    /// otherwise.
    ///
    /// A replica that may hold acknowledged writes of its own is left as it is, unless `discard` names it: then these are
    /// lost, and it is filled.  Replicas that cannot be reached are no error: the answer tells.
    ///
    /// # Errors
    /// [`VolumeError::NotPublished`]; [`VolumeError::Superseded`] when another host serves the volume: here it then fails all
    /// I/O; [`Error::Dm`].
    pub fn heal_volume(
        &self,
        volume: Uuid,
        discard: &[Uuid],
        progress: &mut dyn FnMut(HealProgress),
    ) -> Result<VolumeInfo, Error> {
        let inner = &*self.inner;
        let (mut moved, mut before) = (Instant::now(), None);
        // Each once.
        let mut attempts = Attempts::with_pause(Duration::MAX);
        loop {
            let tended = {
                let _lock = volume_lock(inner, volume)?;
                tend(inner, volume, discard, &mut attempts)?
            };
            let now = HealProgress {
                done: tended.info.synced(),
                total: tended.info.size,
            };
            if before != Some(now) || tended.has_acted {
                (moved, before) = (Instant::now(), Some(now));
                progress(now);
            }
            let is_over = !tended.is_syncing && !tended.has_acted;
            if is_over || moved.elapsed() > inner.timeout {
                return Ok(tended.info);
            }
            thread::sleep(SYNC_LOOK);
        }
    }

    /// Begins to look after a volume that is published here; [`VolumeMonitor::wait`] does it.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub fn watch_volume(&self, volume: Uuid) -> Result<VolumeMonitor, Error> {
        Ok(VolumeMonitor {
            system: self.clone(),
            volume,
            events: self.inner.mapper.events().map_err(Error::Dm)?,
            last: None,
            paths: Vec::new(),
            attempts: Attempts::with_pause(TRY_AGAIN),
        })
    }
}

impl VolumeMonitor {
    /// Looks after the volume until it is another than at the last call, and tells it, the first time at once; `None` when
    /// the time is over, which is also how to end it from outside: wait in pieces.
    ///
    /// # Errors
    /// As [`System::heal_volume`]; the monitor may be used again.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<VolumeInfo>, Error> {
        let end = Instant::now() + timeout;
        loop {
            let tended = {
                let _lock = volume_lock(&self.system.inner, self.volume)?;
                tend(&self.system.inner, self.volume, &[], &mut self.attempts)?
            };
            self.paths = tended.paths;
            if self.last.as_ref() != Some(&tended.info) {
                self.last = Some(tended.info.clone());
                return Ok(Some(tended.info));
            }
            let next = match tended.info.state {
                State::Online => end,
                _ if tended.is_syncing => end.min(Instant::now() + SYNC_LOOK),
                _ => end.min(Instant::now() + LOOK_AGAIN),
            };
            self.sleep(next)?;
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    /// Sleeps until something happens, or it is time.
    fn sleep(&mut self, end: Instant) -> Result<(), Error> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let is_event = self.events.wait(left.min(GLANCE)).map_err(Error::Dm)?;
            let all_answer = self
                .paths
                .iter()
                .all(|path| member::answers(&self.system.inner, path));
            if is_event || !all_answer || Instant::now() >= end {
                return Ok(());
            }
        }
    }
}

/// Looks once, and does what can be done without waiting.  The caller holds the volume's lock.
fn tend(inner: &Inner, volume: Uuid, discard: &[Uuid], attempts: &mut Attempts) -> Result<Tended, Error> {
    let stack = Stack::find(inner, volume)?.ok_or(VolumeError::NotPublished(volume))?;
    let members = status::members(inner, &stack);
    let Some(mut members) = members else {
        return Ok(Tended {
            info: status::told(inner, &stack, None),
            paths: Vec::new(),
            is_syncing: false,
            has_acted: false,
        });
    };
    let mut has_acted = note(inner, &stack, &mut members)?;
    has_acted |= take_in(inner, &stack, &mut members, discard, attempts)?;
    let stack = Stack::find(inner, volume)?.ok_or(VolumeError::NotPublished(volume))?;
    let used = in_use(inner, &stack);
    Ok(Tended {
        info: status::told(inner, &stack, Some(&members)),
        paths: places(used)
            .filter_map(|place| stack.path(inner, place))
            .collect(),
        is_syncing: stack.places(RaidHealth::Behind) & used != 0,
        has_acted,
    })
}

/// The places that the kernel has in use, and whose targets answer.
fn in_use(inner: &Inner, stack: &Stack) -> Places {
    let used = stack.places(RaidHealth::InSync) | stack.places(RaidHealth::Behind);
    used & stack.answering(inner)
}

/// Stops serving here when another host wrote its publication to a replica that is in use here.
fn check_ours(inner: &Inner, stack: &Stack, members: &Members, used: Places) -> Result<(), Error> {
    for (place, member) in members.list.iter().enumerate() {
        let Found::Known { record, .. } = &member.found else {
            continue;
        };
        if used & 1 << place == 0 || record.publication == stack.publication {
            continue;
        }
        stack.shut(inner)?;
        return Err(VolumeError::Superseded {
            volume: stack.volume,
            publisher: record
                .publisher
                .as_ref()
                .map_or("nobody".into(), ToString::to_string),
        }
        .into());
    }
    Ok(())
}

/// Notes which replicas are in sync, if that is not what the record says, and lets the kernel go on without those that do not
/// answer.
fn note(inner: &Inner, stack: &Stack, members: &mut Members) -> Result<bool, Error> {
    let used = in_use(inner, stack);
    check_ours(inner, stack, members, used)?;
    let now = members.record.now;
    let kernel = stack.places(RaidHealth::InSync) & used;
    // In line is who the kernel's own superblock says is.
    let is_noted = |place: usize| match members.list.get(place).map(|member| &member.found) {
        Some(Found::Known { superblock, .. }) => superblock.is_none_or(|found| found.is_recovered),
        _ => false,
    };
    let early = places(kernel & !now.in_sync).filter(|place| !is_noted(*place));
    let early = early.fold(0, |all, place| all | 1 << place);
    let in_sync = kernel & !early;
    let joining = (stack.places(RaidHealth::Behind) | early) & used;
    if in_sync == 0 || (in_sync, joining) == (now.in_sync, now.joining) {
        return Ok(false);
    }
    let record = members
        .record
        .next(in_sync, joining, members.record.filling, Uuid::new_v4());
    if !write_all(members, places(record.now.counted()), &record) {
        return Ok(false);
    }
    let lost = (0..stack.legs.len()).fold(0, |all, place| all | 1 << place) & !stack.answering(inner);
    for member in places(lost & now.counted()).filter_map(|place| members.list.get(place)) {
        member::disconnect(inner, &member.uri);
    }
    // The kernel may not have met it, and is to know that it is gone: only then does it tell what it misses from now on.
    let held = stack.places(RaidHealth::InSync) | stack.places(RaidHealth::Behind);
    if lost & held != 0 {
        stack.relay(inner, &record, &[], lost & held)?;
    }
    Ok(true)
}

/// Gives the kernel the replicas that it does not have and that are there.
fn take_in(
    inner: &Inner,
    stack: &Stack,
    members: &mut Members,
    discard: &[Uuid],
    attempts: &mut Attempts,
) -> Result<bool, Error> {
    let used = in_use(inner, stack);
    let (mut joining, mut filling) = (0, 0);
    for place in (0..stack.legs.len()).filter(|place| used & 1 << place == 0) {
        let Some(member) = members.list.get_mut(place) else {
            continue;
        };
        let uuid = member.uri.uuid;
        if attempts.is_too_early(uuid) {
            continue;
        }
        if member.reached.is_none() && !member::is_known(inner, &member.uri) {
            *member = Member::connect(inner, member.uri.clone());
        }
        if member.reached.is_none() {
            continue;
        }
        match fate(inner, members, stack, place) {
            Fate::CatchUp => {}
            Fate::Rebuild => filling |= 1 << place,
            Fate::Diverged if discard.contains(&uuid) => filling |= 1 << place,
            _ => continue,
        }
        joining |= 1 << place;
        attempts.last.insert(uuid, Instant::now());
    }
    // One that cannot be written stays out.
    for place in places(filling) {
        let zeroed = members.list.get(place).map(Member::zero_metadata);
        if !matches!(zeroed, Some(Ok(()))) {
            joining &= !(1 << place);
        }
    }
    let now = members.record.now;
    // All that count must know before one of these can come to have what others lack: those themselves first.
    for place in places(joining) {
        let record = joined(&members.record, joining, filling);
        let written = members.list.get_mut(place).map(|member| write(member, &record));
        if !matches!(written, Some(Ok(()))) {
            joining &= !(1 << place);
        }
    }
    if joining == 0 {
        return Ok(false);
    }
    let record = joined(&members.record, joining, filling);
    if !write_all(
        members,
        places(joining).chain(places(now.counted() & used)),
        &record,
    ) {
        return Ok(false);
    }
    let images = places(joining).map(|place| {
        let member = members
            .list
            .get(place)
            .ok_or(VolumeError::NotPublished(stack.volume))?;
        Ok((place, backing(inner, member)?, filling & 1 << place != 0))
    });
    let images = images.collect::<Result<Vec<_>, Error>>()?;
    stack.relay(inner, &record, &images, 0)?;
    Ok(true)
}

/// The record with which these begin to join.
fn joined(record: &Record, joining: Places, filling: Places) -> Record {
    let now = record.now;
    let filling = record.filling | filling & joining;
    record.next(now.in_sync, now.joining | joining, filling, Uuid::new_v4())
}

/// What a replica is worth beside those that the kernel has.
pub(super) fn fate(inner: &Inner, members: &Members, stack: &Stack, place: usize) -> Fate {
    let used = in_use(inner, stack);
    let asked = found(&members.list).into_iter().enumerate();
    let asked: Vec<_> = asked
        .filter(|(other, _)| *other == place || used & 1 << other != 0)
        .map(|(_, found)| found)
        .collect();
    match judge(&asked, true) {
        Ok(verdict) if verdict.head.publication == stack.publication => {
            verdict.fates.get(place).copied().unwrap_or(Fate::Absent)
        }
        _ => Fate::Diverged,
    }
}

/// Writes a record to all of these; `false` when one does not take it: it is on its way out then, and the next look tells more.
/// Once it is on one of them, what comes next comes after it.
fn write_all(members: &mut Members, all: impl Iterator<Item = usize>, record: &Record) -> bool {
    for place in all {
        if let Some(member) = members.list.get_mut(place) {
            if write(member, record).is_err() {
                return false;
            }
            members.record = record.clone();
        }
    }
    true
}

fn write(member: &mut Member, record: &Record) -> Result<(), Error> {
    member.write(record)?;
    let own = member.uri.uuid;
    if let Found::Known {
        record: known,
        superblock,
    } = &mut member.found
    {
        **known = record.for_replica(own, Some(known), superblock.as_ref());
    }
    Ok(())
}

fn places(all: Places) -> impl Iterator<Item = usize> {
    (0..Places::BITS as usize).filter(move |place| all & 1 << place != 0)
}
