//! Laying the array of a published volume anew, while replicas may be lost.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use lvm_dm::{DeviceNumber, RaidHealth};
use uuid::Uuid;

use super::fence::check_ours;
use super::members::Members;
use super::record::{Places, places};
use super::rules::Found;
use super::stack::Stack;
use crate::Error;
use crate::system::Inner;

/// How long a change of the array may take before it is looked whether it waits for a replica that is lost.
const MAY_TAKE: Duration = Duration::from_millis(200);

/// Lays the array on other devices, see [`Stack::relay`].  That waits for what is under way, so that a replica may have to be let go
/// of meanwhile.
pub(super) fn relay(
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
    if let Some(now) = Members::read(inner, &stack, Some(&members.record)) {
        *members = now;
    }
    let now = members.record.now;
    let kernel = stack.places(RaidHealth::InSync) & !dropped;
    let in_sync = now.in_sync & kernel & !lost;
    if in_sync == 0 {
        return give_back(inner, &stack, members, kernel).map(drop);
    }
    let record = members.record.with_only(in_sync, now.joining & !lost)?;
    match members.write_all(places(record.now.counted()), &record) {
        true => stack.let_go(inner, lost),
        false => Ok(()),
    }
}

/// Leads the array to replicas that are there again after all were lost.  While it held, it missed nothing that was
/// acknowledged.
pub(super) fn give_back(
    inner: &Inner,
    stack: &Stack,
    members: &mut Members,
    in_sync: Places,
) -> Result<bool, Error> {
    // While it holds nobody is let in again by the kernel, unseen: another host may be the publisher by then.
    let silent = match stack.is_holding() {
        true => in_sync & !stack.reachable(inner),
        false => 0,
    };
    members.disconnect(inner, silent);
    for place in places(in_sync) {
        members.reconnect(inner, place);
    }
    check_ours(inner, stack, members)?;
    let mut given = 0;
    for place in places(in_sync) {
        let (Some(member), Some(leg)) = (members.list.get(place), stack.legs.get(place)) else {
            continue;
        };
        if member.reached.is_some() && matches!(member.found, Found::Known { .. }) {
            leg.lead(inner, stack.size, member.backing(inner)?, leg.is_holding)?;
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
