//! One look after a published volume: what failed is noted, what came back is taken in, what is in line again counts.
//!
//! While the replicas' devices *hold* (see [`leg`](super::leg)), the array waits for what is done here: a loss is noted first, then let go.

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::RaidHealth;
use uuid::Uuid;

use super::VolumeInfo;
use super::error::VolumeError;
use super::fence::check_ours;
use super::member::Member;
use super::members::Members;
use super::record::{Places, Record, places};
use super::relay::{give_back, relay};
use super::rules::{Fate, Found};
use super::stack::Stack;
use super::status;
use crate::system::Inner;
use crate::{Error, identity};

/// How long replicas that all failed are left alone before they are tried again.
const LEAVE_ALONE: Duration = Duration::from_secs(1);
/// How long it may take until what was let go of failed, and the kernel knows.
const MEETS_WITHIN: Duration = Duration::from_millis(300);

/// What is remembered from look to look.
pub(super) struct Memory {
    /// When replicas were last taken in: one that fails again at once, such as one whose pool is full, is left alone for a while.
    taken_in: HashMap<Uuid, Instant>,
    pause: Duration,
    /// What was last written to a replica, or begun to be: it may not be there to be read.
    record: Option<Record>,
    /// When replicas that all had failed were last tried again.
    tried: Option<Instant>,
}

impl Memory {
    /// Remembers nothing yet; who was taken in is left alone so long.
    pub(super) fn with_pause(pause: Duration) -> Self {
        Self {
            taken_in: HashMap::new(),
            pause,
            record: None,
            tried: None,
        }
    }

    fn is_too_early(&self, replica: Uuid) -> bool {
        let last = self.taken_in.get(&replica);
        last.is_some_and(|last| last.elapsed() < self.pause)
    }
}

/// What one look found and did.
pub(super) struct Seen {
    pub(super) info: VolumeInfo,
    /// What the replicas in use lie on.
    pub(super) paths: Vec<PathBuf>,
    /// Replicas are being brought in line.
    pub(super) is_syncing: bool,
    /// Something was noted or taken in.
    pub(super) has_acted: bool,
}

/// Looks once, and does what can be done without waiting.  The caller holds the volume's lock.
///
/// # Errors
/// [`VolumeError::NotPublished`], [`VolumeError::Superseded`], [`Error::Dm`].
pub(super) fn look(
    inner: &Inner,
    volume: Uuid,
    discard: &[Uuid],
    memory: &mut Memory,
    is_to_hold: bool,
) -> Result<Seen, Error> {
    let mut stack = Stack::find(inner, volume)?.ok_or(VolumeError::NotPublished(volume))?;
    stack.resume(inner)?;
    if is_to_hold {
        // Before anything is read: that may wait.
        stack.hold(inner)?;
    }
    let remembered = memory.record.as_ref();
    let Some(mut members) = Members::read(inner, &stack, remembered) else {
        return Ok(Seen {
            info: status::told(inner, &stack, None),
            paths: Vec::new(),
            is_syncing: false,
            has_acted: false,
        });
    };
    check_ours(inner, &stack, &members)?;
    let done = act(inner, &stack, &mut members, discard, memory);
    memory.record = Some(members.record.clone());
    let has_acted = done?;
    let stack = Stack::find(inner, volume)?.ok_or(VolumeError::NotPublished(volume))?;
    let used = stack.in_use(inner);
    Ok(Seen {
        info: status::told(inner, &stack, Some(&members)),
        paths: places(used)
            .filter_map(|place| stack.path(inner, place))
            .collect(),
        is_syncing: stack.places(RaidHealth::Behind) & used != 0,
        has_acted,
    })
}

fn act(
    inner: &Inner,
    stack: &Stack,
    members: &mut Members,
    discard: &[Uuid],
    memory: &mut Memory,
) -> Result<bool, Error> {
    let in_sync = stack.places(RaidHealth::InSync);
    if in_sync & stack.in_use(inner) == 0 {
        if memory.tried.is_some_and(|last| last.elapsed() < LEAVE_ALONE) {
            return Ok(false);
        }
        memory.tried = Some(Instant::now());
        return give_back(inner, stack, members, in_sync);
    }
    // What was noted changes what there is.
    Ok(note(inner, stack, members)? || take_in(inner, stack, members, discard, memory)?)
}

/// Notes which replicas are in sync, if that is not what the record says, and then lets the array go on without those that are
/// lost.
fn note(inner: &Inner, stack: &Stack, members: &mut Members) -> Result<bool, Error> {
    let used = stack.in_use(inner);
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
    if in_sync == 0 {
        return Ok(false);
    }
    let record = members.record.with_only(in_sync, joining)?;
    // Somebody may have been cut while he wrote it.
    let is_news = !members.have_all(&record);
    if is_news && !members.write_all(places(record.now.counted()), &record) {
        return Ok(false);
    }
    let lost = stack.used() & !used;
    stack.let_go(inner, lost)?;
    members.disconnect(inner, (lost | now.counted()) & !stack.reachable(inner));
    // What waited tells the kernel that it is gone.  If nothing did, it is told: only then does it note what is missed from now on.
    if lost != 0 && !is_met(inner, stack.volume, lost)? {
        relay(inner, stack, members, &[], lost)?;
    }
    Ok(is_news || lost != 0)
}

/// Does the kernel learn by itself that these are lost?
fn is_met(inner: &Inner, volume: Uuid, lost: Places) -> Result<bool, Error> {
    let end = Instant::now() + MEETS_WITHIN;
    loop {
        let stack = Stack::find(inner, volume)?;
        if stack.is_some_and(|stack| stack.used() & lost == 0) {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(MEETS_WITHIN / 10);
    }
}

/// Gives the kernel the replicas that it does not have and that are there.
fn take_in(
    inner: &Inner,
    stack: &Stack,
    members: &mut Members,
    discard: &[Uuid],
    memory: &mut Memory,
) -> Result<bool, Error> {
    let used = stack.in_use(inner);
    let (mut joining, mut filling) = (0, 0);
    for place in (0..stack.legs.len()).filter(|place| used & 1 << place == 0) {
        let uuid = match members.list.get(place) {
            Some(member) if !memory.is_too_early(member.uri.uuid) => member.uri.uuid,
            _ => continue,
        };
        members.reconnect(inner, place);
        if members
            .list
            .get(place)
            .is_none_or(|member| member.reached.is_none())
        {
            continue;
        }
        match members.fate(inner, stack, place) {
            Fate::CatchUp => {}
            Fate::Rebuild => filling |= 1 << place,
            Fate::Diverged if discard.contains(&uuid) => filling |= 1 << place,
            _ => continue,
        }
        joining |= 1 << place;
        memory.taken_in.insert(uuid, Instant::now());
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
        let record = joined(&members.record, joining, filling)?;
        let written = members.list.get_mut(place).map(|member| member.note(&record));
        if !matches!(written, Some(Ok(()))) {
            joining &= !(1 << place);
        }
    }
    if joining == 0 {
        return Ok(false);
    }
    let record = joined(&members.record, joining, filling)?;
    let all = places(joining).chain(places(now.counted() & used));
    if !members.write_all(all, &record) {
        return Ok(false);
    }
    let images = places(joining).map(|place| {
        let member = members.list.get(place);
        let member = member.ok_or(VolumeError::NotPublished(stack.volume))?;
        Ok((place, member.backing(inner)?, filling & 1 << place != 0))
    });
    let images = images.collect::<Result<Vec<_>, Error>>()?;
    relay(inner, stack, members, &images, 0)?;
    Ok(true)
}

/// The record with which these begin to join.
fn joined(record: &Record, joining: Places, filling: Places) -> Result<Record, Error> {
    let now = record.now;
    let filling = record.filling | filling & joining;
    Ok(record.next(now.in_sync, now.joining | joining, filling, identity::new_uuid()?))
}
