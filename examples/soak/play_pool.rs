//! Operations on the pool as a whole and its disks, and those of LVM's own tools.

use lvm_native::pool::BehindEnd;

use super::model::{Data, MIB};
use super::play::some;
use super::world::{Outcome, POOL, World, run, told};

pub(crate) fn export(world: &mut World) -> Outcome<()> {
    world.note("export and import".into());
    world.close();
    world.system().export_pool(POOL).map_err(told)?;
    if world.system().open_pool(POOL).is_ok() {
        return Err("an exported pool was opened".into());
    }
    let disks: Vec<_> = world
        .model
        .used
        .iter()
        .map(|number| world.disk(*number))
        .collect();
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
    let number = world.random.pick(&world.model.used.clone()).unwrap_or(0);
    world.note(format!("empty and remove disk {number}"));
    let path = world.disk(number);
    let emptied = world.pool()?.evacuate_disk(&path, &mut |_| ());
    if world.judge(emptied, &["NoSpace", "Busy"])?.is_some() {
        world.model.used.retain(|used| *used != number);
        world.model.free.push(number);
    }
    Ok(())
}

pub(crate) fn replace(world: &mut World) -> Outcome<()> {
    let old = world.random.pick(&world.model.used.clone());
    let (Some(old), Some(new)) = (old, world.model.free.last().copied()) else {
        return Ok(());
    };
    world.note(format!("replace disk {old} by {new}"));
    let (from, to) = (world.disk(old), world.disk(new));
    let done = world.pool()?.replace_disk(&from, &to, true, &mut |_| ());
    if world.judge(done, &["NoSpace", "Busy"])?.is_some() {
        world.model.used.retain(|used| *used != old);
        world.model.used.push(new);
        world.model.free.pop();
        world.model.free.push(old);
    }
    Ok(())
}

/// What changes nothing.
pub(crate) fn idle(world: &mut World) -> Outcome<()> {
    world.note("grow and repair".into());
    if world.place.kernel {
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
    let number = world.random.pick(&world.model.used.clone()).unwrap_or(0);
    let size = (24 + 8 * world.random.below(4) as u64) * MIB;
    world.note(format!("use {size} bytes of disk {number}"));
    let path = world.disk(number);
    let done = world
        .pool()?
        .shrink_disk(&path, size, BehindEnd::Move, &mut |_| ());
    if world.judge(done, &["NoSpace", "Busy"])?.is_some() {
        world.pool()?.grow().map_err(told)?;
    }
    Ok(())
}

/// Moves a replica to a disk.
pub(crate) fn move_one(world: &mut World) -> Outcome<()> {
    let all = world.model.uuids(|replica| !replica.thin);
    let number = world.random.pick(&world.model.used.clone()).unwrap_or(0);
    let Some(uuid) = world.random.pick(&all) else {
        return Ok(());
    };
    world.note(format!("move {uuid} to disk {number}"));
    let to = [world.disk(number)];
    let moved = world.pool()?.move_replica(uuid, None, &to, &mut |_| ());
    world.judge(moved, &["NoSpace", "Busy"])?;
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

/// LVM's own tools change the pool.
pub(crate) fn tools(world: &mut World) -> Outcome<()> {
    if !world.place.kernel {
        return Ok(());
    }
    let foreign = world.model.foreign.last().cloned();
    match (world.random.below(6), foreign, some(world)) {
        (0, _, Some(uuid)) => {
            world.note(format!("lvchange --addtag {uuid}"));
            let tag = format!("soak{}", world.random.below(5));
            run("lvchange", &["--addtag", &tag, &format!("{POOL}/{uuid}")])?;
        }
        (1, None, _) => {
            let name = format!("tools{}", world.random.below(1000));
            world.note(format!("lvcreate {name}"));
            if run("lvcreate", &["-y", "-Wn", "-l1", "-n", &name, POOL]).is_ok() {
                world.model.foreign.push(name);
            }
        }
        (2, Some(name), _) => {
            world.note(format!("lvextend {name}"));
            let _ = run("lvextend", &["-l+1", &format!("{POOL}/{name}")]);
        }
        (3, Some(name), _) => {
            world.note(format!("lvremove {name}"));
            run("lvremove", &["-f", &format!("{POOL}/{name}")])?;
            world.model.foreign.pop();
        }
        (4, Some(name), _) => {
            let uuid = world.new_uuid();
            world.note(format!("adopt {name} as {uuid}"));
            let info = world.system().adopt(POOL, &name, uuid).map_err(told)?;
            world.learn(&info, Data::new());
            world.model.foreign.pop();
        }
        _ => {
            world.note("vgchange --addtag, pvresize".into());
            run(
                "vgchange",
                &["--addtag", &format!("soak{}", world.random.below(5)), POOL],
            )?;
            let number = world.random.pick(&world.model.used.clone()).unwrap_or(0);
            run("pvresize", &[&*world.disk(number).to_string_lossy()])?;
        }
    }
    Ok(())
}
