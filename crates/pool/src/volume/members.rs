//! The replicas of a volume, together.

use std::path::Path;
use std::thread;

use uuid::Uuid;

use super::error::VolumeError;
use super::member::{self, Deadline, Member};
use super::record::{MOST_MEMBERS, Places, Record, places};
use super::rules::{Fate, Found, beside};
use super::stack::Stack;
use crate::Error;
use crate::nvmf::{Location, ReplicaUri};
use crate::system::Inner;

/// The replicas of a published volume as they are found now, by their places, and the newest record.
pub(super) struct Members {
    pub(super) record: Record,
    pub(super) list: Vec<Member>,
}

impl Members {
    /// Reads the replicas of a published volume, without connecting to any; `None` when none of them can be read, and nothing is
    /// remembered of it.
    pub(super) fn read(inner: &Inner, stack: &Stack, remembered: Option<&Record>) -> Option<Self> {
        // The record names all, and each of those that the array has knows it.
        let told = || {
            (0..stack.legs.len()).find_map(|place| {
                let replica = stack.legs.get(place)?.replica?;
                let path = stack.path(inner, place).map(|path| (path, None));
                let claim = || inner.initiator().ok()?.claim(replica);
                let (path, shown_by) = path
                    .or_else(|| claim().map(|(path, nqn)| (path, Some(nqn))))
                    .filter(|(path, _)| member::answers(inner, path))?;
                let uri = local(replica, &path);
                match Member::at(inner, uri, Ok(path)).found {
                    Found::Known { record, .. } if record.volume == stack.volume => {
                        // Any target can claim to be any replica.
                        let is_its = shown_by.is_none_or(|nqn| is_shown_by(&record, replica, &nqn));
                        is_its.then_some(*record)
                    }
                    _ => None,
                }
            })
        };
        let record = told().or_else(|| remembered.cloned())?;
        let list: Vec<Member> = record
            .members
            .iter()
            .enumerate()
            .map(|(place, known)| {
                let uri: ReplicaUri = match known.uri.parse() {
                    Ok(uri) => uri,
                    Err(_) => local(known.uuid, Path::new("/nonexistent")),
                };
                let path = stack
                    .path(inner, place)
                    .or_else(|| member::present(inner, &uri))
                    // Whoever asks one that does not answer waits.
                    .filter(|path| member::answers(inner, path))
                    .ok_or_else(|| {
                        VolumeError::Unreachable {
                            uri: known.uri.clone(),
                            why: "it is not there, or does not answer".into(),
                        }
                        .into()
                    });
                Member::at(inner, uri, path)
            })
            .collect();
        // The newest of this publication: others are of replicas that are not in use.
        let read = list.iter().filter_map(|member| match &member.found {
            Found::Known { record, .. } => Some(&**record),
            _ => None,
        });
        let record = remembered
            .into_iter()
            .chain(read)
            .filter(|record| record.publication == stack.publication)
            .max_by_key(|record| record.now.number)
            .cloned()
            .unwrap_or(record);
        Some(Self { record, list })
    }

    /// What a replica is worth beside those that the kernel has.
    pub(super) fn fate(&self, inner: &Inner, stack: &Stack, place: usize) -> Fate {
        let used = stack.in_use(inner);
        let asked = found(&self.list).into_iter().enumerate();
        let asked: Vec<_> = asked
            .filter(|(other, _)| *other == place || used & 1 << other != 0)
            .map(|(_, found)| found)
            .collect();
        let own = self.list.get(place).map_or(Uuid::nil(), |member| member.uri.uuid);
        beside(&asked, own, stack.publication)
    }

    /// Have all that count this record?
    pub(super) fn have_all(&self, record: &Record) -> bool {
        let each = places(record.now.counted()).map(|place| self.list.get(place));
        each.map(|member| member.map(|member| &member.found))
            .all(|found| matches!(found, Some(Found::Known { record: on, .. }) if on.now.id == record.now.id))
    }

    /// Writes a record to all of these; `false` when one does not take it: it is on its way out then, and the next look tells more.
    /// Once it is on one of them, what comes next comes after it; so it does once it may be.
    pub(super) fn write_all(&mut self, all: impl Iterator<Item = usize>, record: &Record) -> bool {
        for place in all {
            if let Some(member) = self.list.get_mut(place) {
                self.record = record.clone();
                if member.note(record).is_err() {
                    return false;
                }
            }
        }
        true
    }

    /// Ends the connections to these.
    pub(super) fn disconnect(&self, inner: &Inner, all: Places) {
        let members = places(all).filter_map(|place| self.list.get(place));
        members.for_each(|member| member::disconnect(inner, &member.uri));
    }

    /// Connects to a replica that is not there, unless the kernel does that by itself.
    pub(super) fn reconnect(&mut self, inner: &Inner, place: usize) {
        let member = self.list.get_mut(place);
        let gone = member.filter(|member| member.reached.is_none() && !member::is_known(inner, &member.uri));
        if let Some(member) = gone {
            *member = Member::connect(inner, member.uri.clone());
        }
    }
}

/// A URI for what is read by its path alone.
fn local(uuid: Uuid, path: &Path) -> ReplicaUri {
    ReplicaUri {
        uuid,
        location: Location::Local { device: path.into() },
    }
}

/// Returns `true` if a record says that this subsystem shows the replica.
fn is_shown_by(record: &Record, replica: Uuid, subsystem: &str) -> bool {
    let known = record.members.iter().find(|member| member.uuid == replica);
    let uri = known.and_then(|known| known.uri.parse::<ReplicaUri>().ok());
    matches!(uri, Some(ReplicaUri { location: Location::Nvmf { nqn, .. }, .. }) if nqn.as_str() == subsystem)
}

/// Is it a set that a volume can have?
///
/// # Errors
/// [`Error::InvalidArgument`].
pub(super) fn check_set(replicas: &[ReplicaUri]) -> Result<(), Error> {
    let refuse = |why: String| Error::InvalidArgument {
        what: "set of replicas",
        given: replicas.len().to_string(),
        why,
    };
    if !(1..=MOST_MEMBERS).contains(&replicas.len()) {
        return Err(refuse(format!("a volume has 1 to {MOST_MEMBERS} replicas")));
    }
    for (at, uri) in replicas.iter().enumerate() {
        let same = |other: &&ReplicaUri| other.uuid == uri.uuid || other.location == uri.location;
        if replicas.iter().skip(at + 1).any(|other| same(&other)) {
            return Err(refuse(format!("replica {} is named twice", uri.uuid)));
        }
    }
    Ok(())
}

/// Connects to all of these.  All targets are asked at once, so that those which are silent take their time together; then one after
/// the other is connected: the kernel makes one connection at a time.  Reference: Linux `drivers/nvme/host/fabrics.c`,
/// `nvmf_dev_write`.
pub(super) fn connect_all(inner: &Inner, replicas: &[ReplicaUri], deadline: &Deadline) -> Vec<Member> {
    let probed: Vec<_> = thread::scope(|scope| {
        let each = replicas.iter();
        let asked: Vec<_> = each
            .map(|uri| scope.spawn(|| member::probe(inner, uri, deadline)))
            .collect();
        asked.into_iter().map(|asked| asked.join()).collect()
    });
    let each = replicas.iter().cloned().zip(probed);
    each.map(|(uri, probed)| {
        let failed = || VolumeError::Unreachable {
            uri: uri.to_string(),
            why: "the question to its target failed".into(),
        };
        let probed = probed.unwrap_or_else(|_| Err(failed().into()));
        Member::connect_probed(inner, uri, probed, deadline)
    })
    .collect()
}

/// Ends the connections that were not there before: others may be in use.
pub(super) fn disconnect_new(inner: &Inner, members: &[Member]) {
    for member in members.iter().filter(|member| member.is_new) {
        member::disconnect(inner, &member.uri);
    }
}

/// What the rules are asked about.
pub(super) fn found(members: &[Member]) -> Vec<(Uuid, Found)> {
    let each = members.iter();
    each.map(|member| (member.uri.uuid, member.found.clone()))
        .collect()
}

/// The replicas by their places in the record.
pub(super) fn in_places<'a>(record: &Record, members: &'a [Member]) -> Vec<Option<&'a Member>> {
    let each = record.members.iter();
    each.map(|wanted| members.iter().find(|member| member.uri.uuid == wanted.uuid))
        .collect()
}

/// The replicas at these places.
pub(super) fn named(record: &Record, places: Places) -> Vec<Uuid> {
    let each = record.members.iter().enumerate();
    each.filter(|(place, _)| places & 1 << place != 0)
        .map(|(_, member)| member.uuid)
        .collect()
}
