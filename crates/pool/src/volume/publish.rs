//! Serving a volume, and ending that.

use lvm_dm::RaidHealth;
use uuid::Uuid;

use super::error::VolumeError;
use super::even::make_even;
use super::fence::{check_fenced, check_ours};
use super::member::{self, Deadline, Member};
use super::members::{Members, check_set, connect_all, disconnect_new, found, in_places, named};
use super::record::{self, Places, Record, places};
use super::rules::{Fate, Found, Refused, Verdict, judge};
use super::stack::{self, Stack};
use super::{VolumeInfo, status, volume_lock};
use crate::activate::{once_closed, once_unused};
use crate::nvmf::{Nqn, ReplicaUri};
use crate::system::Inner;
use crate::{Error, System, identity};

impl System {
    /// Serves a volume on this host: its device is there when this returns.  Success if it is published here already; then
    /// connections that are gone are made again.
    ///
    /// The replicas that can be reached are judged by their records and by what the kernel noted on them; the epoch in which
    /// those serve is durable before the device is there.  Those that fell behind are brought in line meanwhile, which
    /// [`System::heal_volume`] or a [`VolumeMonitor`](super::VolumeMonitor) brings to its end.
    ///
    /// `degraded` is the caller's word that replicas which cannot be asked have no newer writes, or that these do not count.
    ///
    /// # Errors
    /// [`VolumeError::NeedsDegraded`], [`VolumeError::SplitBrain`], [`VolumeError::NoneInSync`], [`VolumeError::NotFound`];
    /// [`VolumeError::NotFenced`] when the host that published it could still write; [`VolumeError::Superseded`] when it is
    /// published here, and another host took it over; [`Error::Dm`].
    pub fn publish_volume(
        &self,
        volume: Uuid,
        replicas: &[ReplicaUri],
        degraded: bool,
    ) -> Result<VolumeInfo, Error> {
        let inner = &*self.inner;
        let _lock = volume_lock(inner, volume)?;
        check_set(replicas)?;
        if let Some(stack) = Stack::find(inner, volume)? {
            stack.resume(inner)?;
            let members = Members::read(inner, &stack, None);
            if let Some(members) = &members {
                check_ours(inner, &stack, members)?;
            }
            let published = status::told(inner, &stack, members.as_ref());
            let is_part =
                |uri: &ReplicaUri| published.replicas.iter().any(|part| part.uuid == Some(uri.uuid));
            if !replicas.iter().all(is_part) {
                return Err(VolumeError::Exists(volume).into());
            }
            // What the kernel gave up, and nothing that is there remembers.
            for uri in replicas.iter().filter(|uri| !member::is_known(inner, uri)) {
                Member::connect(inner, uri.clone());
            }
            return Ok(published);
        }
        // Of a publication that was cut.
        stack::remove(inner, volume)?;
        let members = connect_all(inner, replicas, &Deadline::begin(inner));
        let published = publish(inner, volume, members.as_slice(), degraded);
        if published.is_err() {
            disconnect_new(inner, &members);
        }
        published?;
        match Stack::find(inner, volume)? {
            Some(stack) => status::of_stack(inner, &stack),
            None => Err(VolumeError::NotPublished(volume).into()),
        }
    }

    /// Lets I/O of a volume fail that waits for replicas which are lost, as it does after a
    /// [`VolumeMonitor`](super::VolumeMonitor) looked after it: whoever waits can end, and the volume be unpublished.  End
    /// the monitor first.  Returns when nobody has the device open, or after the [timeout](crate::SystemBuilder::timeout).
    ///
    /// A write that waits may be called done by this though it is on one replica only, which another host need not take for the
    /// one that counts: so it is for a host that was cut off, whose users are to end.
    ///
    /// # Errors
    /// [`VolumeError::NotPublished`], [`Error::Dm`].
    pub fn abandon_volume(&self, volume: Uuid) -> Result<(), Error> {
        // Without the lock: who has it may wait himself.
        let inner = &*self.inner;
        let stack = Stack::find(inner, volume)?.ok_or(VolumeError::NotPublished(volume))?;
        stack.let_go(inner, Places::MAX)?;
        once_closed(inner, &stack.array, 0, inner.timeout).map(drop)
    }

    /// Ends serving a volume on this host: the device is gone, and the replicas that were in sync know that they are, when
    /// this returns.  Success if it is not published here.
    ///
    /// # Errors
    /// [`VolumeError::Busy`] while the device is open; [`Error::Dm`].
    pub fn unpublish_volume(&self, volume: Uuid) -> Result<(), Error> {
        let inner = &*self.inner;
        let _lock = volume_lock(inner, volume)?;
        let replicas = stack::replicas(inner, volume)?;
        let found = Stack::find(inner, volume)?;
        let Some(stack) = found else {
            stack::remove(inner, volume)?;
            disconnect_replicas(inner, &replicas);
            return Ok(());
        };
        stack.resume(inner)?;
        let open_count = once_unused(inner, &stack.array, 0)?.open_count;
        if open_count > 0 {
            return Err(VolumeError::Busy { volume, open_count }.into());
        }
        let members = Members::read(inner, &stack, None);
        let in_sync = stack.places(RaidHealth::InSync);
        // Nobody waits for an answer any more; the array does not wait for a replica that is lost.
        stack.let_go(inner, Places::MAX)?;
        stack::remove(inner, volume)?;
        if let Some(members) = &members {
            close(inner, &stack, &members.record, members, in_sync);
            let all = members.list.iter();
            all.for_each(|member| member::disconnect(inner, &member.uri));
        }
        disconnect_replicas(inner, &replicas);
        Ok(())
    }
}

/// Tells the replicas that are in sync that nobody writes any more.  One that cannot be told counts as one that may have
/// been written: that is found out when the volume is next published.
fn close(inner: &Inner, stack: &Stack, record: &Record, members: &Members, in_sync: Places) {
    // The kernel may have lost one at the last moment: what it noted at its end counts.
    let again: Vec<Member> = members
        .list
        .iter()
        .map(|member| {
            let path = member.reached.as_ref().map(|reached| reached.path.clone());
            let path = path.ok_or(VolumeError::NotPublished(stack.volume).into());
            Member::at(inner, member.uri.clone(), path)
        })
        .collect();
    let Ok(verdict) = judge(&found(&again), true) else {
        return;
    };
    let in_sync = verdict.places(Fate::InSync) & in_sync;
    if in_sync == 0 || verdict.head.publication != stack.publication || record.volume != stack.volume {
        return;
    }
    let Ok(id) = identity::new_uuid() else { return };
    let mut closed = verdict.head.next(in_sync, 0, 0, id);
    closed.is_open = false;
    for (place, member) in again.iter().enumerate() {
        if in_sync & 1 << place != 0 {
            let _ = member.write(&closed);
        }
    }
}

fn publish(inner: &Inner, volume: Uuid, members: &[Member], degraded: bool) -> Result<(), Error> {
    let verdict = judge(&found(members), degraded).map_err(|refused| refusal(volume, refused, members))?;
    let head = &verdict.head;
    if head.volume != volume {
        let replica = members.first().map_or(Uuid::nil(), |member| member.uri.uuid);
        let why = format!("holds volume {}", head.volume);
        return Err(VolumeError::Replica { replica, why }.into());
    }
    let by_place = in_places(head, members);
    // One whose record is damaged is left out; whose is not has something to say.
    let is_damaged = |place: &usize| match by_place.get(*place).copied().flatten() {
        Some(member) => matches!(member.found, Found::Damaged),
        None => false,
    };
    let damaged = (0..by_place.len())
        .filter(is_damaged)
        .fold(0, |all, place| all | 1 << place);
    let sides = verdict.places(Fate::Diverged) & !damaged;
    if sides != 0 {
        let both = sides | verdict.places(Fate::InSync);
        let replicas = named(head, both);
        return Err(VolumeError::SplitBrain { volume, replicas }.into());
    }
    for member in by_place
        .iter()
        .flatten()
        .filter(|member| member.reached.is_some())
    {
        member.check_size(head.size)?;
    }
    check_fenced(inner, head, members)?;
    let unlike = even_out(&verdict, &by_place)?;
    let (record, filling) = opened(inner, &verdict, members, unlike)?;
    let behind = record.now.joining;
    for (place, member) in by_place.iter().enumerate() {
        if let (Some(member), true) = (member, filling & 1 << place != 0) {
            member.zero_metadata()?;
        }
    }
    for places in [behind, record.now.in_sync] {
        for (place, member) in by_place.iter().enumerate() {
            if let (Some(member), true) = (member, places & 1 << place != 0) {
                member.write(&record)?;
            }
        }
    }
    let backings = by_place.iter().enumerate().map(|(place, member)| {
        let member = member.filter(|_| record.now.counted() & 1 << place != 0);
        member.map(|member| member.backing(inner)).transpose()
    });
    let backings = backings.collect::<Result<Vec<_>, Error>>()?;
    stack::assemble(inner, &record, &backings, filling)
}

/// Makes those that are in sync the same, if their publisher died; gives those that are to be filled as nothing tells where
/// they differ.
fn even_out(verdict: &Verdict, by_place: &[Option<&Member>]) -> Result<Places, Error> {
    let mut in_sync = places(verdict.places(Fate::InSync))
        .filter_map(|place| Some((place, by_place.get(place).copied().flatten()?)));
    let Some((_, source)) = in_sync.next().filter(|_| verdict.head.is_open) else {
        return Ok(0);
    };
    let (at, others): (Vec<usize>, Vec<&Member>) = in_sync.unzip();
    match others.is_empty() || make_even(&verdict.head, source, &others)? {
        true => Ok(0),
        false => Ok(at.iter().fold(0, |all, place| all | 1 << place)),
    }
}

/// The record with which serving begins, and those that are filled from the start, among them `unlike`.
fn opened(
    inner: &Inner,
    verdict: &Verdict,
    members: &[Member],
    unlike: Places,
) -> Result<(Record, Places), Error> {
    // What a kernel that was cut off, or died, had yet to note in its bitmap nobody knows.
    let behind = verdict.places(Fate::CatchUp);
    let unsure = if verdict.head.is_open { behind } else { 0 };
    let filling = verdict.places(Fate::Rebuild) | unsure | unlike;
    let in_sync = verdict.places(Fate::InSync) & !unlike;
    let joining = behind | filling;
    let mut record = verdict
        .head
        .next(in_sync, joining, filling, identity::new_uuid()?);
    if verdict.head.is_open {
        record.taken_over = record.now.number;
    }
    record.is_open = true;
    record.publisher = Some(inner.host_nqn()?);
    record.publication = identity::new_uuid()?;
    for member in members {
        let uri = record::check_uri(&member.uri)?;
        if let Some(place) = record.place_of(member.uri.uuid) {
            record
                .members
                .get_mut(place)
                .into_iter()
                .for_each(|found| found.uri = uri.clone());
        }
    }
    Ok((record, filling))
}

/// The rules' refusal in this crate's words.
fn refusal(volume: Uuid, refused: Refused, members: &[Member]) -> Error {
    let why = members
        .iter()
        .filter_map(|member| member.problem.clone())
        .collect();
    let error = match refused {
        Refused::NoRecord => VolumeError::NotFound { volume, why },
        Refused::OtherVolume(replica) => VolumeError::Replica {
            replica,
            why: "is none of this volume's, or of another set of its replicas".into(),
        },
        Refused::SplitBrain(replicas) => VolumeError::SplitBrain { volume, replicas },
        Refused::MayBeNewer(may_be_newer) => VolumeError::NeedsDegraded {
            volume,
            may_be_newer,
            why,
        },
        Refused::NoneInSync => VolumeError::NoneInSync { volume, why },
    };
    error.into()
}

/// Ends the connections to replicas of which no more is known.
fn disconnect_replicas(inner: &Inner, replicas: &[Uuid]) {
    if let Ok(initiator) = inner.initiator() {
        replicas
            .iter()
            .for_each(|replica| initiator.disconnect(&Nqn::of_replica(*replica)));
    }
}
