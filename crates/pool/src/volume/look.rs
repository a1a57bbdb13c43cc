//! One look after a published volume: what failed is noted, what came back is taken in, what is in line again counts.
//!
//! While the replicas' devices *hold* (see [`leg`](super::leg)), the array waits for what is done here: a loss is noted first, then let go.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::{DeviceNumber, RaidHealth};
use uuid::Uuid;

use super::VolumeInfo;
use super::error::VolumeError;
use super::member::{self, Member};
use super::publish::{backing, found};
use super::record::{Places, Record, places};
use super::rules::{Fate, Found, beside};
use super::stack::Stack;
use super::status::{self, Members};
use crate::Error;
use crate::system::Inner;

/// How long replicas that all failed are left alone before they are tried again.
const LEAVE_ALONE: Duration = Duration::from_secs(1);
/// How long a change of the array may take before it is looked whether it waits for a replica that is lost.
const MAY_TAKE: Duration = Duration::from_millis(200);
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
    let Some(mut members) = status::members(inner, &stack, remembered) else {
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
    let used = in_use(inner, &stack);
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
    if in_sync & in_use(inner, stack) == 0 {
        if memory.tried.is_some_and(|last| last.elapsed() < LEAVE_ALONE) {
            return Ok(false);
        }
        memory.tried = Some(Instant::now());
        return give_back(inner, stack, members, in_sync);
    }
    // What was noted changes what there is.
    Ok(note(inner, stack, members)? || take_in(inner, stack, members, discard, memory)?)
}

/// The places that the kernel counts on, and whose replicas answer.
fn in_use(inner: &Inner, stack: &Stack) -> Places {
    stack.used() & stack.answering(inner)
}

/// Stops serving here when another host wrote its publication to a replica that is in use here.  What waits for a replica goes
/// on waiting: the array would call done what one replica took, and that is not in the volume any more.
fn check_ours(inner: &Inner, stack: &Stack, members: &Members) -> Result<(), Error> {
    for place in places(stack.used()) {
        let found = members.list.get(place).map(|member| &member.found);
        let Some(Found::Known { record, .. }) = found else {
            continue;
        };
        if record.publication == stack.publication {
            continue;
        }
        let is_waiting = stack.is_holding() && stack.used() & !stack.answering(inner) != 0;
        if !is_waiting {
            stack.shut(inner)?;
        }
        let publisher = record.publisher.as_ref();
        return Err(VolumeError::Superseded {
            volume: stack.volume,
            publisher: publisher.map_or("nobody".into(), ToString::to_string),
        }
        .into());
    }
    Ok(())
}

/// Notes which replicas are in sync, if that is not what the record says, and then lets the array go on without those that are
/// lost.
fn note(inner: &Inner, stack: &Stack, members: &mut Members) -> Result<bool, Error> {
    let used = in_use(inner, stack);
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
    let record = with_only(&members.record, in_sync, joining);
    // Somebody may have been cut while he wrote it.
    let is_news = !is_on_all(members, &record);
    if is_news && !write_all(members, places(record.now.counted()), &record) {
        return Ok(false);
    }
    let lost = stack.used() & !used;
    stack.let_go(inner, lost)?;
    disconnect(inner, members, (lost | now.counted()) & !stack.reachable(inner));
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

/// The record in which these are in sync, and these are joining: the one that there is if they are.
fn with_only(record: &Record, in_sync: Places, joining: Places) -> Record {
    match (record.now.in_sync, record.now.joining) == (in_sync, joining) {
        true => record.clone(),
        false => record.next(in_sync, joining, record.filling, Uuid::new_v4()),
    }
}

fn is_on_all(members: &Members, record: &Record) -> bool {
    let each = places(record.now.counted()).map(|place| members.list.get(place));
    each.map(|member| member.map(|member| &member.found))
        .all(|found| matches!(found, Some(Found::Known { record: on, .. }) if on.now.id == record.now.id))
}

/// Leads the array to replicas that are there again after all were lost.  While it held, it missed nothing that was
/// acknowledged.
fn give_back(inner: &Inner, stack: &Stack, members: &mut Members, in_sync: Places) -> Result<bool, Error> {
    // While it holds nobody is let in again by the kernel, unseen: another host may be the publisher by then.
    let silent = match stack.is_holding() {
        true => in_sync & !stack.reachable(inner),
        false => 0,
    };
    disconnect(inner, members, silent);
    for place in places(in_sync) {
        reconnect(inner, members, place);
    }
    check_ours(inner, stack, members)?;
    let mut given = 0;
    for place in places(in_sync) {
        let (Some(member), Some(leg)) = (members.list.get(place), stack.legs.get(place)) else {
            continue;
        };
        if member.reached.is_some() && matches!(member.found, Found::Known { .. }) {
            leg.lead(inner, stack.size, backing(inner, member)?, leg.is_holding)?;
            given |= 1 << place;
        }
    }
    if given == 0 {
        return Ok(false);
    }
    if !stack.is_holding() {
        // The kernel gave up on all, and takes no writes before it is told anew what there is.
        relay(
            inner,
            stack,
            members,
            &[],
            stack.used() & !given | stack.places(RaidHealth::Dead),
        )?;
    }
    Ok(true)
}

fn disconnect(inner: &Inner, members: &Members, all: Places) {
    let members = places(all).filter_map(|place| members.list.get(place));
    members.for_each(|member| member::disconnect(inner, &member.uri));
}

/// Connects to a replica that is not there, unless the kernel does that by itself.
fn reconnect(inner: &Inner, members: &mut Members, place: usize) {
    let member = members.list.get_mut(place);
    let gone = member.filter(|member| member.reached.is_none() && !member::is_known(inner, &member.uri));
    if let Some(member) = gone {
        *member = Member::connect(inner, member.uri.clone());
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
    let used = in_use(inner, stack);
    let (mut joining, mut filling) = (0, 0);
    for place in (0..stack.legs.len()).filter(|place| used & 1 << place == 0) {
        let uuid = match members.list.get(place) {
            Some(member) if !memory.is_too_early(member.uri.uuid) => member.uri.uuid,
            _ => continue,
        };
        reconnect(inner, members, place);
        if members
            .list
            .get(place)
            .is_none_or(|member| member.reached.is_none())
        {
            continue;
        }
        match fate(inner, members, stack, place) {
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
    let all = places(joining).chain(places(now.counted() & used));
    if !write_all(members, all, &record) {
        return Ok(false);
    }
    let images = places(joining).map(|place| {
        let member = members.list.get(place);
        let member = member.ok_or(VolumeError::NotPublished(stack.volume))?;
        Ok((place, backing(inner, member)?, filling & 1 << place != 0))
    });
    let images = images.collect::<Result<Vec<_>, Error>>()?;
    relay(inner, stack, members, &images, 0)?;
    Ok(true)
}

/// The record with which these begin to join.
fn joined(record: &Record, joining: Places, filling: Places) -> Record {
    let now = record.now;
    let filling = record.filling | filling & joining;
    record.next(now.in_sync, now.joining | joining, filling, Uuid::new_v4())
}

/// Lays the array on other devices, see [`Stack::relay`].  That waits for what is under way, so that a replica may have to be let go
/// of meanwhile.
fn relay(
    inner: &Inner,
    stack: &Stack,
    members: &mut Members,
    images: &[(usize, DeviceNumber, bool)],
    dropped: Places,
) -> Result<(), Error> {
    let record = members.record.clone();
    if !stack.is_holding() {
        return stack.relay(inner, &record, images, dropped);
    }
    let (laid, is_laid) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_laid.recv_timeout(MAY_TAKE) == Err(RecvTimeoutError::Timeout) {
                let _ = keep_going(inner, stack.volume, dropped, members);
            }
        });
        let done = stack.relay(inner, &record, images, dropped);
        drop(laid);
        done
    })?;
    let laid = Stack::find(inner, stack.volume)?;
    laid.map_or(Ok(()), |mut laid| laid.hold(inner))
}

/// While the array is being laid anew: notes which replicas are lost, and lets go of them; leads back to them if all were.
fn keep_going(inner: &Inner, volume: Uuid, dropped: Places, members: &mut Members) -> Result<(), Error> {
    let Some(stack) = Stack::find(inner, volume)? else {
        return Ok(());
    };
    let lost = stack.used() & !dropped & !stack.answering(inner);
    if lost == 0 {
        return Ok(());
    }
    if let Some(now) = status::members(inner, &stack, Some(&members.record)) {
        *members = now;
    }
    let now = members.record.now;
    let kernel = stack.places(RaidHealth::InSync) & !dropped;
    let in_sync = now.in_sync & kernel & !lost;
    if in_sync == 0 {
        return give_back(inner, &stack, members, kernel).map(drop);
    }
    let record = with_only(&members.record, in_sync, now.joining & !lost);
    match write_all(members, places(record.now.counted()), &record) {
        true => stack.let_go(inner, lost),
        false => Ok(()),
    }
}

/// What a replica is worth beside those that the kernel has.
pub(super) fn fate(inner: &Inner, members: &Members, stack: &Stack, place: usize) -> Fate {
    let used = in_use(inner, stack);
    let asked = found(&members.list).into_iter().enumerate();
    let asked: Vec<_> = asked
        .filter(|(other, _)| *other == place || used & 1 << other != 0)
        .map(|(_, found)| found)
        .collect();
    let own = members
        .list
        .get(place)
        .map_or(Uuid::nil(), |member| member.uri.uuid);
    beside(&asked, own, stack.publication)
}

/// Writes a record to all of these; `false` when one does not take it: it is on its way out then, and the next look tells more.
/// Once it is on one of them, what comes next comes after it; so it does once it may be.
fn write_all(members: &mut Members, all: impl Iterator<Item = usize>, record: &Record) -> bool {
    for place in all {
        if let Some(member) = members.list.get_mut(place) {
            members.record = record.clone();
            if write(member, record).is_err() {
                return false;
            }
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
