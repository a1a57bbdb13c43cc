//! One publisher at a time: whether the last one is cut off from the replicas, and whether another came after this one.

use uuid::Uuid;

use super::error::VolumeError;
use super::member::{Deadline, Member};
use super::members::Members;
use super::record::{Record, places};
use super::rules::Found;
use super::stack::Stack;
use crate::Error;
use crate::nvmf::{Location, Nqn, ReplicaUri};
use crate::system::Inner;

/// Refuses a volume that another host published and could go on writing to.
///
/// # Errors
/// [`VolumeError::NotFenced`].
pub(super) fn check_fenced(inner: &Inner, head: &Record, members: &[Member]) -> Result<(), Error> {
    let Some(publisher) = head.publisher.as_ref().filter(|_| head.is_open) else {
        return Ok(());
    };
    let own = inner.host_nqn()?;
    for member in members.iter().filter(|member| member.reached.is_some()) {
        let replica = member.uri.uuid;
        // It may have connected under the name that the URI had then.
        let then = head.members.iter().find(|known| known.uuid == replica);
        let then = then.and_then(|known| known.uri.parse::<ReplicaUri>().ok());
        let then = match then.map(|uri| uri.location) {
            Some(Location::Nvmf { host: Some(host), .. }) => host,
            _ => publisher.clone(),
        };
        let is_admitted = match &member.uri.location {
            Location::Nvmf { host, .. } if then == *host.as_ref().unwrap_or(&own) => false,
            Location::Nvmf { address, nqn, .. } => {
                let until = Deadline::begin(inner).answers();
                !inner.initiator()?.is_refused(*address, nqn, &then, until)
            }
            Location::Local { .. } => then != own && is_shared_with(inner, replica, &then)?,
        };
        if is_admitted {
            return Err(VolumeError::NotFenced {
                volume: head.volume,
                publisher: publisher.to_string(),
                uri: member.uri.to_string(),
            }
            .into());
        }
    }
    Ok(())
}

/// Does this host's own target let a host in to a replica of this host?
fn is_shared_with(inner: &Inner, replica: Uuid, host: &Nqn) -> Result<bool, Error> {
    let served = match &inner.share {
        Some(share) => share.served(Some(replica))?,
        None => Vec::new(),
    };
    Ok(served.iter().any(|served| {
        let hosts = &served.allowed_hosts;
        served.listen.is_some() && (hosts.is_empty() || hosts.iter().any(|found| found == host.as_str()))
    }))
}

/// Stops serving here when another host wrote its publication to a replica that is in use here.  What waits for a replica goes
/// on waiting: the array would call done what one replica took, and that is not in the volume any more.
pub(super) fn check_ours(inner: &Inner, stack: &Stack, members: &Members) -> Result<(), Error> {
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
