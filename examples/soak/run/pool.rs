//! Operations on the pool as a whole and its disks.

use lvm_native::pool::{BehindEnd, SetPool};

use super::model::MIB;
use super::world::{POOL, World};
use super::{Outcome, told};

/// What a change of disks may answer: there is no room for what must move, or an array is being filled.
const MAY: &[&str] = &["NoSpace", "Busy"];

/// As [`MAY`] of all that is on a disk: caches of the tools are not moved.
fn may(world: &World) -> &'static [&'static str] {
    match world.model.foreign.iter().any(|foreign| foreign.is_cached) {
        true => &["NoSpace", "Busy", "Unsupported"],
        false => MAY,
    }
}

pub(crate) fn export(world: &mut World) -> Outcome<()> {
    world.note("export and import".into());
    world.close();
    world.system().export_pool(POOL).map_err(told)?;
    if world.system().open_pool(POOL).is_ok() {
        return Err("an exported pool was opened".into());
    }
    let disks = world.disks();
    let pool = world.system().import_pool(POOL, &disks, None).map_err(told)?;
    world.opened(pool)
}

pub(crate) fn disks(world: &mut World) -> Outcome<()> {
    if let Some(number) = world.model.free.pop() {
        world.note(format!("add disk {number}"));
        let done = world.pool()?.add_disks(&[world.disk(number)], true);
        world.judge(done, &[])?;
        world.model.used.push(number);
        return Ok(());
    }
    let number = world.some_disk();
    world.note(format!("empty and remove disk {number}"));
    let path = world.disk(number);
    let emptied = world.pool()?.evacuate_disk(&path, &mut |_| ());
    if world.judge(emptied, may(world))?.is_some() {
        world.model.used.retain(|used| *used != number);
        world.model.closed.remove(&number);
        world.model.free.push(number);
    }
    Ok(())
}

pub(crate) fn replace(world: &mut World) -> Outcome<()> {
    let old = world.some_disk();
    let Some(new) = world.model.free.last().copied() else {
        return Ok(());
    };
    world.note(format!("replace disk {old} by {new}"));
    let (from, to) = (world.disk(old), world.disk(new));
    let done = world.pool()?.replace_disk(&from, &to, true, &mut |_| ());
    if world.judge(done, may(world))?.is_some() {
        world.model.used.retain(|used| *used != old);
        world.model.closed.remove(&old);
        world.model.used.push(new);
        world.model.free.pop();
        world.model.free.push(old);
    }
    Ok(())
}

/// The pool is destroyed with all that is in it, and another is made on the same disks, at times with a thin pool.
pub(crate) fn begin_again(world: &mut World) -> Outcome<()> {
    if !world.random.once_in(3) {
        return idle(world);
    }
    world.note("destroy the pool, and make another".into());
    world.close();
    let gone = world.system().destroy_pool(POOL);
    let may: &[&str] = match world.model.foreign.is_empty() {
        true => &[],
        false => &["ForeignLvs"],
    };
    if world.judge(gone, may)?.is_none() {
        return world.reopen();
    }
    if world.system().open_pool(POOL).is_ok() {
        return Err("a pool was opened after it was destroyed".into());
    }
    world.create()
}

/// What changes nothing.
pub(crate) fn idle(world: &mut World) -> Outcome<()> {
    world.note("grow and repair".into());
    if world.place.is_kernel() {
        // What the tools' `pvresize` noted is put right.
        world.pool()?.grow().map_err(told)?;
    }
    let before = world.pool()?.info().map_err(told)?;
    world.pool()?.grow().map_err(told)?;
    world.pool()?.repair().map_err(told)?;
    let after = world.pool()?.info().map_err(told)?;
    match before.seqno == after.seqno {
        true => Ok(()),
        false => Err(format!("a commit with nothing to do: {before:?}, {after:?}")),
    }
}

/// Uses less of a disk, and all of it again.
pub(crate) fn narrow(world: &mut World) -> Outcome<()> {
    let number = world.some_disk();
    let size = (24 + 8 * world.random.below(4) as u64) * MIB;
    world.note(format!("use {size} bytes of disk {number}"));
    let before = world.pool()?.info().map_err(told)?.capacity;
    let path = world.disk(number);
    let done = world
        .pool()?
        .shrink_disk(&path, size, BehindEnd::Move, &mut |_| ());
    if let Some(narrow) = world.judge(done, may(world))? {
        let after = world.pool()?.grow().map_err(told)?.pool.capacity;
        if narrow.capacity >= before || after != before {
            let all = [before, narrow.capacity, after];
            return Err(format!("the capacity was {all:?} before, meanwhile and after"));
        }
    }
    Ok(())
}

/// Moves a replica to a disk.
pub(crate) fn move_one(world: &mut World) -> Outcome<()> {
    let number = world.some_disk();
    let Some(uuid) = world.some(|replica| !replica.thin) else {
        return Ok(());
    };
    world.note(format!("move {uuid} to disk {number}"));
    let to = [world.disk(number)];
    let moved = world.pool()?.move_replica(uuid, None, &to, &mut |_| ());
    world.judge(moved, MAY)?;
    world.check_data(uuid)
}

pub(crate) fn rename(world: &mut World) -> Outcome<()> {
    const OTHER: &str = "soak-renamed";
    world.note("rename the pool, and back".into());
    world.close();
    drop(world.system().rename_pool(POOL, OTHER).map_err(told)?);
    if world.system().open_pool(POOL).is_ok() {
        return Err("a pool was opened by its old name".into());
    }
    let pool = world.system().rename_pool(OTHER, POOL).map_err(told)?;
    world.opened(pool)
}

/// Tags of the pool.
pub(crate) fn tag(world: &mut World) -> Outcome<()> {
    let mut new = SetPool::default();
    new.tags.add = vec![format!("rack-{}", world.random.below(3))];
    new.tags.remove = vec![format!("rack-{}", 3 + world.random.below(2))];
    world.note(format!("tags of the pool: {:?}", new.tags));
    world.pool()?.set_properties(&new).map_err(told)?;
    world.model.tags.retain(|tag| !new.tags.remove.contains(tag));
    world.model.tags.extend(new.tags.add);
    Ok(())
}
