//! What is told of a volume.

use lvm_dm::RaidHealth;

use super::member::Member;
use super::members::{Members, in_places};
use super::record::Record;
use super::rules::Fate;
use super::stack::Stack;
use super::{ReplicaState, VolumeInfo, VolumeReplica};
use crate::Error;
use crate::info::State;
use crate::system::Inner;

/// What is told of a volume that is published here.
///
/// # Errors
/// [`Error::Dm`].
pub(super) fn of_stack(inner: &Inner, stack: &Stack) -> Result<VolumeInfo, Error> {
    let members = Members::read(inner, stack, None);
    Ok(told(inner, stack, members.as_ref()))
}

/// As [`of_stack`], of members that were read already.
pub(super) fn told(inner: &Inner, stack: &Stack, members: Option<&Members>) -> VolumeInfo {
    let name = format!("volume-{}", stack.volume);
    let nodes = inner.mapper.node_mode() != lvm_dm::NodeMode::None;
    let device = nodes.then(|| inner.paths.dev.join("mapper").join(name));
    let sync = stack.status.in_sync() as f64 / stack.status.all.max(1) as f64;
    let count = stack.legs.len();
    // In the moment in which it is laid anew, the kernel calls none of an array in sync.
    let counted = match stack.places(RaidHealth::InSync) {
        0 => members.map_or(0, |members| members.record.now.in_sync) & stack.places(RaidHealth::Behind),
        in_sync => in_sync,
    };
    let replicas: Vec<VolumeReplica> = (0..count)
        .map(|place| {
            let health = match counted & 1 << place {
                0 => stack.status.images.get(place).copied(),
                _ => Some(RaidHealth::InSync),
            };
            let member = members.and_then(|members| members.list.get(place));
            let is_there = member.is_some_and(|member| member.reached.is_some());
            let is_used = is_there && stack.legs.get(place).is_some_and(|leg| leg.is_passing);
            let state = match health {
                Some(RaidHealth::InSync) if is_used => ReplicaState::Online,
                Some(RaidHealth::Behind) if is_used => ReplicaState::Syncing,
                _ if is_there
                    && members.is_some_and(|members| members.fate(inner, stack, place) == Fate::Diverged) =>
                {
                    ReplicaState::Diverged
                }
                _ if is_there => ReplicaState::Stale,
                _ => ReplicaState::Absent,
            };
            VolumeReplica {
                uuid: match (member, stack.legs.get(place)) {
                    (Some(member), _) => Some(member.uri.uuid),
                    (None, leg) => leg.and_then(|leg| leg.replica),
                },
                uri: member.map(|member| member.uri.to_string()),
                sync: match state {
                    ReplicaState::Online => Some(1.0),
                    ReplicaState::Syncing => Some(sync),
                    _ => None,
                },
                state,
            }
        })
        .collect();
    let online = replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Online)
        .count();
    VolumeInfo {
        uuid: stack.volume,
        size: stack.size,
        device,
        state: match (members, online) {
            // Nothing that the array stands on can be read.
            (None, _) | (_, 0) => State::Faulted,
            (_, online) if online == count => State::Online,
            _ => State::Degraded,
        },
        epoch: members.map_or(0, |members| members.record.now.number),
        replicas,
    }
}

/// What is told of a volume that is not published here.
pub(super) fn of_record(record: &Record, members: &[Member]) -> VolumeInfo {
    let replicas = in_places(record, members).into_iter().flatten();
    VolumeInfo {
        uuid: record.volume,
        size: record.size,
        device: None,
        state: State::Online,
        epoch: record.now.number,
        replicas: replicas
            .map(|member| VolumeReplica {
                uuid: Some(member.uri.uuid),
                uri: Some(member.uri.to_string()),
                state: ReplicaState::Online,
                sync: None,
            })
            .collect(),
    }
}
