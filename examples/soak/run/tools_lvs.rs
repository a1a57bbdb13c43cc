//! LVs that the tools make in the pool, use, and give away to be adopted.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::check::check_stamps;
use super::model::{Foreign, MIB, SLOT};
use super::place::run;
use super::random::block;
use super::tools::{lv, may_run};
use super::world::{POOL, World};
use super::{Outcome, told};

/// Skips the tools' questions.
pub(crate) const FORCE: &str = "--force";
/// Most LVs of the tools.
const MOST: usize = 4;

/// One of a kind, by its place.
pub(crate) fn some(world: &mut World, is_wanted: impl Fn(&Foreign) -> bool) -> Option<usize> {
    let all: Vec<usize> = (0..world.model.foreign.len()).collect();
    let wanted = all
        .into_iter()
        .filter(|at| world.model.foreign.get(*at).is_some_and(&is_wanted));
    let wanted: Vec<usize> = wanted.collect();
    world.random.pick(&wanted)
}

pub(crate) fn name_of(world: &World, at: usize) -> String {
    let found = world.model.foreign.get(at);
    found.map(|foreign| foreign.name.clone()).unwrap_or_default()
}

pub(crate) fn create(world: &mut World) -> Outcome<()> {
    if world.model.foreign.len() >= MOST {
        return remove(world);
    }
    let name = format!("tools{}", world.new_uuid().as_u128() as u32);
    let thin = world.pool()?.info().map_err(told)?.thin_pool;
    let size = format!("{}m", 2 + 2 * world.random.below(4));
    let plain = ["-y", "-Wn", "-n", &name];
    let target = thin.map(|thin| lv(&thin.name)).unwrap_or_default();
    let more: Vec<&str> = match world.random.below(5) {
        0 => vec!["--type", "raid1", "-m1", "-L", &size, POOL],
        1 => vec!["-i2", "-L", &size, POOL],
        2 if world.model.has_thin_pool => vec!["-V", &size, "--thinpool", &target],
        _ => vec!["-L", &size, POOL],
    };
    world.note(format!("lvcreate {name} {more:?}"));
    let args: Vec<&str> = plain.into_iter().chain(more).collect();
    if may_run(world, "lvcreate", &args) {
        let extents = size.trim_end_matches('m').parse().unwrap_or(0);
        world.learn_foreign(name, extents);
        return write_to(world, world.model.foreign.len() - 1);
    }
    Ok(())
}

pub(crate) fn write(world: &mut World) -> Outcome<()> {
    some(world, |_| true).map_or(Ok(()), |at| write_to(world, at))
}

/// Stamps blocks of the first extent.
pub(crate) fn write_to(world: &mut World, at: usize) -> Outcome<()> {
    let name = name_of(world, at);
    world.note(format!("write to {name}"));
    let wrong = |error| format!("{name}: {error}");
    let device = open(&name)?;
    for _ in 0..3 {
        let slot = world.random.next() % (MIB / SLOT);
        let stamp = world.random.next() | 1;
        device.write_all_at(&block(stamp), slot * SLOT).map_err(wrong)?;
        if let Some(foreign) = world.model.foreign.get_mut(at) {
            foreign.data.insert(slot, stamp);
        }
    }
    device.sync_all().map_err(wrong)
}

fn open(name: &str) -> Outcome<File> {
    run("lvchange", &["-ay", "-K", &lv(name)])?;
    let path = format!("/dev/{POOL}/{name}");
    let opened = File::options().read(true).write(true).open(&path);
    opened.map_err(|error| format!("{path}: {error}"))
}

/// Compares what is stamped with what an LV of the tools holds.
pub(crate) fn check_all(world: &World) -> Outcome<()> {
    for foreign in &world.model.foreign {
        let device = open(&foreign.name)?;
        let wrong = |error| format!("{}: {error}", foreign.name);
        let read = |at, found: &mut [u8]| device.read_exact_at(found, at).map_err(wrong);
        check_stamps(&format!("LV {}", foreign.name), &foreign.data, read)?;
    }
    Ok(())
}

pub(crate) fn extend(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |foreign| !foreign.is_cached) else {
        return Ok(());
    };
    let name = name_of(world, at);
    world.note(format!("lvextend {name}"));
    if may_run(world, "lvextend", &["-L+2m", &lv(&name)])
        && let Some(foreign) = world.model.foreign.get_mut(at)
    {
        foreign.extents += 2;
    }
    Ok(())
}

/// Never by the first extent, which has data.
pub(crate) fn reduce(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |foreign| !foreign.is_cached && foreign.extents > 3) else {
        return Ok(());
    };
    let name = name_of(world, at);
    world.note(format!("lvreduce {name}"));
    let mut args = vec!["-y", FORCE, "-L-2m"];
    // Newer ones look for a file system, of which there is none.
    if run("lvreduce", &["--help"])?.contains("--fs ") {
        args.extend(["--fs", "ignore"]);
    }
    let lv = lv(&name);
    args.push(&lv);
    if may_run(world, "lvreduce", &args)
        && let Some(foreign) = world.model.foreign.get_mut(at)
    {
        foreign.extents -= 2;
    }
    Ok(())
}

pub(crate) fn rename(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |_| true) else {
        return Ok(());
    };
    let (old, new) = (
        name_of(world, at),
        format!("renamed{}", world.new_uuid().as_u128() as u32),
    );
    world.note(format!("lvrename {old} {new}"));
    run("lvrename", &[POOL, &old, &new])?;
    if let Some(foreign) = world.model.foreign.get_mut(at) {
        foreign.name = new;
    }
    Ok(())
}

/// `pvmove` of one LV off a disk.
pub(crate) fn relocate(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |foreign| !foreign.is_cached) else {
        return Ok(());
    };
    let name = name_of(world, at);
    // Such as `/dev/vda(12)`; of an array and of a thin LV these are no disks, and it is refused.
    let devices = run("lvs", &["--noheadings", "-o", "devices", &lv(&name)])?;
    let disk = devices.trim().split('(').next().unwrap_or_default();
    world.note(format!("pvmove -n {name} {disk}"));
    may_run(world, "pvmove", &["-i", "1", "-n", &name, disk]);
    check_all(world)
}

pub(crate) fn switch(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |_| true) else {
        return Ok(());
    };
    let name = name_of(world, at);
    let way = world.random.pick(&["-an", "-ay"]).unwrap_or("-ay");
    world.note(format!("lvchange {way} {name}"));
    run("lvchange", &[way, "-K", &lv(&name)]).map(drop)
}

pub(crate) fn remove(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |_| true) else {
        return Ok(());
    };
    let name = name_of(world, at);
    world.note(format!("lvremove {name}"));
    run("lvremove", &["-f", &lv(&name)])?;
    world.model.foreign.remove(at);
    Ok(())
}

/// An LV that has no cache becomes a replica, with its data.
pub(crate) fn adopt(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |foreign| !foreign.is_cached) else {
        return Ok(());
    };
    let (name, uuid) = (name_of(world, at), world.new_uuid());
    world.note(format!("adopt {name} as {uuid}"));
    let info = world.system().adopt(POOL, &name, uuid).map_err(told)?;
    let foreign = world.model.foreign.remove(at);
    world.learn(&info, foreign.data);
    world.check_data(uuid)
}
