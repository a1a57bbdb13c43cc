//! How LVM's metadata and the kernel's metadata of a thin pool change together.
//!
//! A change of the set of thin devices is two commits around the kernel's own:
//! 1. the LVs and the messages for the kernel, under a transaction id that is one higher, are committed;
//! 2. the kernel is sent the messages, and then moves from the old id to the new one if it has the old one;
//! 3. the messages are taken off and committed.
//!
//! Whoever finds messages compares the ids: equal, and they were carried out; one lower in the kernel, and they have
//! still to be, as a whole; anything else, and nobody touches the pool.  This is LVM's own protocol, so the tools finish
//! what we began and we what they did.  Reference: LVM2 `lib/metadata/thin_manip.c`, `libdm/libdm-deptree.c`.

use std::collections::HashSet;
use std::time::Duration;

use lvm_dm::{DmUuid, ThinPoolMode};
use lvm_meta::detail::{Detail, ThinMessage, ThinPool};

use super::orders::{Order, Sent, message, while_suspended};
use super::{PoolLv, stack, usage};
use crate::Error;
use crate::apply::Step;
use crate::open_vg::{Change, OpenVg};
use crate::raid::Degraded;
use crate::system::Inner;
use crate::tags::LvTags;

/// Changes the thin devices of a pool; gives `finish`'s answer and how long `origin` stood still.
///
/// `plan` changes the LVs and says what the kernel is to be told; `finish` adds to the second commit, such as the steps
/// that activate what was made.  `origin` is suspended while the kernel carries out the messages, its file system
/// frozen.  The caller holds the VG's lock and has looked that the pool can be changed: see [`ready`].
///
/// # Errors
/// When the kernel refuses, what was created is undone, and its error is given.
pub(crate) fn transact<R>(
    inner: &Inner,
    open: &mut OpenVg,
    pool: &str,
    description: &str,
    origin: Option<&DmUuid>,
    plan: impl FnOnce(&mut Change<'_>) -> Result<Vec<ThinMessage>, Error>,
    finish: impl FnOnce(&mut Change<'_>) -> Result<R, Error>,
) -> Result<(R, Duration), Error> {
    let messages = open.change(inner, description, |change| {
        let messages = plan(change)?;
        let mut detail = pool_detail(change.open(), pool)?;
        detail.transaction_id = detail.transaction_id.saturating_add(1);
        detail.messages = messages.clone();
        set_pool(change, pool, detail)?;
        change.step(Step::Commit);
        Ok(messages)
    })?;
    let stall = match send_all(inner, open, pool, origin, Sent::Never) {
        Ok(stall) => stall,
        Err((error, executed)) => {
            // The origin may stand still.
            open.note_cut();
            let done = carried_out(inner, open, pool, &messages, executed, &error);
            return Err(match take_back(inner, open, pool, &messages, &done) {
                Ok(()) => error,
                Err(_) => Error::AfterCommit(Box::new(error)),
            });
        }
    };
    let answer = open.change(inner, description, |change| {
        clear(change, pool)?;
        change.step(Step::Commit);
        finish(change)
    });
    match answer {
        Ok(answer) => Ok((answer, stall)),
        Err(error @ Error::AfterCommit(_)) => Err(error),
        Err(error) => Err(Error::AfterCommit(Box::new(error))),
    }
}

/// Makes a pool ready for a change: active, with nothing pending, in a state in which it takes messages.
///
/// # Errors
/// [`Error::ThinPoolState`], [`Error::ThinPoolMismatch`], and as [`stack::ensure_active`].
pub(crate) fn ready(inner: &Inner, open: &mut OpenVg, pool: &str) -> Result<lvm_dm::ThinPoolStatus, Error> {
    settle(inner, open, pool)?;
    let found = named(open, pool)?;
    stack::ensure_active(inner, open, &found, Degraded::Refuse)?;
    let status = live_status(inner, open, &found)?;
    if status.transaction_id != found.detail.transaction_id {
        return Err(mismatch(open, &found, status.transaction_id));
    }
    match status.mode {
        ThinPoolMode::Write | ThinPoolMode::OutOfDataSpace => Ok(status),
        mode => Err(Error::ThinPoolState {
            pool: open.vg.name().into(),
            state: usage::state(mode, status.needs_check),
        }),
    }
}

/// Finishes or undoes what somebody began with a pool and did not finish; the caller holds the VG's lock.
///
/// A snapshot of ours that the kernel did not take is undone: taken now, it would be of another moment than it says.  So
/// is a volume whose number the kernel gave to another device before: that one is not this volume's, and stays.
///
/// # Errors
/// [`Error::ThinPoolMismatch`], [`Error::ThinPoolState`], the kernel's.
pub(crate) fn settle(inner: &Inner, open: &mut OpenVg, pool: &str) -> Result<(), Error> {
    let found = named(open, pool)?;
    if found.detail.messages.is_empty() {
        return Ok(());
    }
    stack::ensure_active(inner, open, &found, Degraded::Refuse)?;
    let status = live_status(inner, open, &found)?;
    let id = found.detail.transaction_id;
    if status.transaction_id != id {
        if status.transaction_id.checked_add(1) != Some(id) {
            return Err(mismatch(open, &found, status.transaction_id));
        }
        let older = devices_before(inner, open, &found, status.transaction_id);
        let is_older = |name: &str| device_id(open, name).is_ok_and(|id| older.contains(&id));
        let stale: Vec<String> = created(&found.detail.messages)
            .filter(|name| is_snapshot_of_ours(open, name) || is_older(name))
            .map(Into::into)
            .collect();
        if !stale.is_empty() {
            open.change(inner, "undo thin volumes that were not made", |change| {
                let mut detail = pool_detail(change.open(), pool)?;
                let mut messages = Vec::with_capacity(detail.messages.len());
                for message in detail.messages {
                    match &message {
                        ThinMessage::Create(name) if stale.iter().any(|stale| *stale == **name) => {
                            let id = device_id(change.open(), name)?;
                            messages.extend((!older.contains(&id)).then_some(ThinMessage::Delete(id)));
                        }
                        _ => messages.push(message),
                    }
                }
                detail.messages = messages;
                // The messages first: they name the LVs.
                set_pool(change, pool, detail)?;
                stale.iter().try_for_each(|name| remove_lv(change, name))?;
                change.step(Step::Commit);
                Ok(())
            })?;
        }
        send_all(inner, open, pool, None, Sent::Perhaps).map_err(|(error, _)| error)?;
    }
    open.change(inner, "finish a transaction of the thin pool", |change| {
        clear(change, pool)?;
        change.step(Step::Commit);
        Ok(())
    })
}

/// Refuses an active pool of which LVM's metadata and the kernel's are of different moments, but for the one step
/// between them that messages say.  One that failed tells no moment.
///
/// # Errors
/// [`Error::ThinPoolMismatch`].
pub(crate) fn check_moment(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> Result<(), Error> {
    let status = usage::status(inner, open, pool)?;
    match status.mode == ThinPoolMode::Failed || is_of_moment(pool, status.transaction_id) {
        true => Ok(()),
        false => Err(mismatch(open, pool, status.transaction_id)),
    }
}

/// Is the kernel where LVM's metadata are, or just before what they tell it to do?
pub(crate) fn is_of_moment(pool: &PoolLv<'_>, kernel: u64) -> bool {
    let wanted = pool.detail.transaction_id;
    let is_told = !pool.detail.messages.is_empty();
    kernel == wanted || is_told && kernel.checked_add(1) == Some(wanted)
}

/// What the kernel says of a pool that can tell of what moment it is.
///
/// # Errors
/// [`Error::ThinPoolState`] for one that failed: it knows no transaction, which is no mismatch.
fn live_status(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>) -> Result<lvm_dm::ThinPoolStatus, Error> {
    let status = usage::status(inner, open, pool)?;
    match status.mode {
        ThinPoolMode::Failed => Err(Error::ThinPoolState {
            pool: open.vg.name().into(),
            state: usage::state(status.mode, status.needs_check),
        }),
        _ => Ok(status),
    }
}

/// Removes a thin LV from the metadata; its snapshots stay, and name no origin any more.
pub(crate) fn remove_lv(change: &mut Change<'_>, name: &str) -> Result<(), Error> {
    let (index, vg) = change.thin_index();
    for heir in index.heirs(vg, name) {
        let Some(lv) = change.open().vg.lv(&heir) else {
            continue;
        };
        if let Some(mut thin) = super::thin(lv) {
            let extents = lv.extent_count();
            thin.origin = None;
            change
                .edit()
                .set_detail(&heir, extents, &Detail::Thin(thin))
                .map_err(Error::Meta)?;
        }
    }
    change.edit().remove_lv(name).map_err(Error::Meta).map(drop)
}

/// The number of a thin LV's device in its pool.
pub(crate) fn device_id(open: &OpenVg, name: &str) -> Result<u32, Error> {
    let thin = open.vg.lv(name).and_then(super::thin);
    thin.map(|thin| thin.device_id)
        .ok_or_else(|| Error::ReplicaNotFound(name.into()))
}

/// The names of what a transaction that failed created in the kernel.  The message that failed may have been carried out
/// all the same, with an answer that was lost; not when it says that the number is another device's.
fn carried_out(
    inner: &Inner,
    open: &OpenVg,
    pool: &str,
    messages: &[ThinMessage],
    executed: usize,
    error: &Error,
) -> Vec<String> {
    let mut done = messages.get(..executed).unwrap_or_default().to_vec();
    if let Some(failed @ ThinMessage::Create(name)) = messages.get(executed)
        && !is_taken(error)
        && let Ok(found) = named(open, pool)
        && let Ok(id) = device_id(open, name)
        && let Ok(Some(kernel)) = usage::metadata(inner, open, &found, id..=id)
        && let Some(device) = kernel.devices.get(&id)
        && device.transaction_id == kernel.transaction_id
    {
        done.push(failed.clone());
    }
    created(&done).map(Into::into).collect()
}

/// Does the kernel refuse a number, because a device of the pool has it?
pub(crate) fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Dm(error) if error.errno() == libc::EEXIST)
}

/// The numbers of all devices that the kernel has in a pool; none that cannot be read.
pub(crate) fn devices(inner: &Inner, open: &OpenVg, pool: &str) -> HashSet<u32> {
    let metadata = named(open, pool).and_then(|found| usage::metadata(inner, open, &found, usage::ALL));
    let devices = metadata.ok().flatten().map(|metadata| metadata.devices);
    devices.unwrap_or_default().into_keys().collect()
}

/// The devices that the kernel made before a transaction, but for those that it is to delete now.
fn devices_before(inner: &Inner, open: &OpenVg, pool: &PoolLv<'_>, transaction_id: u64) -> HashSet<u32> {
    let is_kept = |id: &u32| !pool.detail.messages.contains(&ThinMessage::Delete(*id));
    let metadata = usage::metadata(inner, open, pool, usage::ALL).ok().flatten();
    let devices = metadata.map(|metadata| metadata.devices).unwrap_or_default();
    let before = devices
        .into_iter()
        .filter(|(_, device)| device.transaction_id != transaction_id);
    before.map(|(id, _)| id).filter(is_kept).collect()
}

/// Undoes what a transaction created; the kernel is told to delete what it made of it, `done`.
///
/// # Errors
/// When the metadata still have it, and messages that the next change or opening carries out.
fn take_back(
    inner: &Inner,
    open: &mut OpenVg,
    pool: &str,
    messages: &[ThinMessage],
    done: &[String],
) -> Result<(), Error> {
    if created(messages).next().is_none() {
        // What was to be deleted is not there any more for anybody: the messages stay until they can be carried out.
        return Err(Error::NotActive(pool.into()));
    }
    let undone = open.change(inner, "undo what the kernel refused", |change| {
        let mut detail = pool_detail(change.open(), pool)?;
        let deletes = done
            .iter()
            .map(|name| device_id(change.open(), name).map(ThinMessage::Delete));
        detail.messages = deletes.collect::<Result<_, _>>()?;
        if detail.messages.is_empty() {
            detail.transaction_id = detail.transaction_id.saturating_sub(1);
        }
        set_pool(change, pool, detail)?;
        created(messages).try_for_each(|name| remove_lv(change, name))?;
        change.step(Step::Commit);
        Ok(())
    });
    match undone {
        // Deletions that do not succeed now wait for the next change or opening.
        Ok(()) | Err(Error::AfterCommit(_)) => drop(settle(inner, open, pool)),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Sends the pending messages and moves the kernel to the metadata's transaction; on failure tells how many messages it
/// carried out.
fn send_all(
    inner: &Inner,
    open: &OpenVg,
    pool: &str,
    origin: Option<&DmUuid>,
    before: Sent,
) -> Result<Duration, (Error, usize)> {
    let prepared = || -> Result<_, Error> {
        let found = named(open, pool)?;
        let texts: Vec<Order> = found
            .detail
            .messages
            .iter()
            .map(|message| Order::of(inner, open, message, before))
            .collect::<Result<_, _>>()?;
        let layer = stack::Layers::of(open, &found)?.pool;
        Ok((layer.uuid, texts, found.detail.transaction_id))
    };
    let (uuid, orders, id) = prepared().map_err(|error| (error, 0))?;
    let mut executed = 0;
    let mut send = || -> Result<(), Error> {
        for order in &orders {
            order.send(inner, &uuid, before)?;
            executed += 1;
        }
        Ok(())
    };
    let (sent, stall) = match origin {
        Some(origin) => while_suspended(inner, origin, &mut send),
        None => (send(), Duration::ZERO),
    };
    let moved = sent.and_then(|()| {
        let text = format!("set_transaction_id {} {id}", id.saturating_sub(1));
        message(inner, &uuid, &text).or_else(|error| {
            // It may have moved, and the answer be lost.
            let now = named(open, pool).and_then(|found| usage::status(inner, open, &found));
            match now {
                Ok(now) if now.transaction_id == id => Ok(()),
                _ => Err(error),
            }
        })
    });
    match moved {
        Ok(()) => Ok(stall),
        Err(error) => Err((error, executed)),
    }
}

fn created(messages: &[ThinMessage]) -> impl Iterator<Item = &str> {
    messages.iter().filter_map(|message| match message {
        ThinMessage::Create(name) => Some(&**name),
        ThinMessage::Delete(_) => None,
    })
}

/// A snapshot shows one moment; a clone of one shows the same whenever it is made.
fn is_snapshot_of_ours(open: &OpenVg, name: &str) -> bool {
    let lv = open.vg.lv(name);
    lv.is_some_and(|lv| LvTags::read(lv.tags()).snapshot.is_some())
}

fn named<'a>(open: &'a OpenVg, pool: &str) -> Result<PoolLv<'a>, Error> {
    PoolLv::named(&open.vg, pool).ok_or_else(|| Error::NoThinPool {
        pool: open.vg.name().into(),
    })
}

fn pool_detail(open: &OpenVg, pool: &str) -> Result<ThinPool, Error> {
    named(open, pool).map(|found| found.detail)
}

fn set_pool(change: &mut Change<'_>, pool: &str, detail: ThinPool) -> Result<(), Error> {
    let extents = named(change.open(), pool)?.lv.extent_count();
    change
        .edit()
        .set_detail(pool, extents, &Detail::ThinPool(detail))
        .map_err(Error::Meta)
}

fn clear(change: &mut Change<'_>, pool: &str) -> Result<(), Error> {
    let mut detail = pool_detail(change.open(), pool)?;
    detail.messages.clear();
    set_pool(change, pool, detail)
}

fn mismatch(open: &OpenVg, pool: &PoolLv<'_>, kernel: u64) -> Error {
    Error::ThinPoolMismatch {
        pool: open.vg.name().into(),
        metadata: pool.detail.transaction_id,
        kernel,
    }
}
