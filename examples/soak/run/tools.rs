//! LVM's own tools change the pool, its replicas and its disks.

use super::model::{Data, Foreign};
use super::place::{run, text};
use super::tools_lvs::{self, FORCE};
use super::world::{POOL, World};
use super::{Outcome, tools_cache};

/// One command of the tools, or a few.
type Commands = fn(&mut World) -> Outcome<()>;

const COMMANDS: &[(usize, Commands)] = &[
    (3, tag_replica),
    (3, switch_replica),
    (2, tag_pool),
    (2, resize_pv),
    (2, close_pv),
    (1, back_up_and_restore),
    (6, tools_lvs::create),
    (3, tools_lvs::write),
    (3, tools_lvs::extend),
    (3, tools_lvs::reduce),
    (3, tools_lvs::rename),
    (3, tools_lvs::relocate),
    (3, tools_lvs::switch),
    (3, tools_lvs::remove),
    (4, tools_lvs::adopt),
    (3, tools_cache::cache),
    (3, tools_cache::adopt),
];

pub(crate) fn tools(world: &mut World) -> Outcome<()> {
    if !world.place.is_kernel() {
        return Ok(());
    }
    world.weighted(COMMANDS)
}

/// An LV of the pool, as the tools name it.
pub(crate) fn lv(name: &str) -> String {
    format!("{POOL}/{name}")
}

/// Runs a tool that may refuse: there may be no room, or nothing to do.
pub(crate) fn may_run(world: &mut World, tool: &str, args: &[&str]) -> bool {
    let done = run(tool, args);
    if let Err(why) = &done {
        let line: Vec<&str> = why.lines().collect();
        world.note(format!("    refused: {}", line.join(" | ")));
    }
    done.is_ok()
}

fn tag_replica(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|_| true) else {
        return Ok(());
    };
    let tag = format!("soak{}", world.random.below(5));
    let has = world
        .model
        .replicas
        .get(&uuid)
        .is_some_and(|replica| replica.tags.contains(&tag));
    let way = if has { "--deltag" } else { "--addtag" };
    world.note(format!("lvchange {way} {tag} {uuid}"));
    run("lvchange", &[way, &tag, &lv(&uuid.to_string())])?;
    if let Some(replica) = world.model.replicas.get_mut(&uuid) {
        match has {
            true => replica.tags.remove(&tag),
            false => replica.tags.insert(tag),
        };
    }
    Ok(())
}

/// One that is not shared, which would be in use.
fn switch_replica(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|replica| replica.shared.is_none()) else {
        return Ok(());
    };
    let replica = world.model.replicas.get(&uuid);
    let is_active = replica.is_some_and(|replica| replica.active);
    let way = if is_active { "-an" } else { "-ay" };
    world.note(format!("lvchange {way} {uuid}"));
    run("lvchange", &[way, "-K", &lv(&uuid.to_string())])?;
    if let Some(replica) = world.model.replicas.get_mut(&uuid) {
        replica.active = !is_active;
    }
    world.check_data(uuid)
}

fn tag_pool(world: &mut World) -> Outcome<()> {
    let tag = format!("soak{}", world.random.below(5));
    let has = world.model.tags.contains(&tag);
    let way = if has { "--deltag" } else { "--addtag" };
    world.note(format!("vgchange {way} {tag}"));
    run("vgchange", &[way, &tag, POOL])?;
    match has {
        true => world.model.tags.remove(&tag),
        false => world.model.tags.insert(tag),
    };
    Ok(())
}

fn resize_pv(world: &mut World) -> Outcome<()> {
    let number = world.some_disk();
    world.note(format!("pvresize {number}"));
    run("pvresize", &[&text(&world.disk(number))]).map(drop)
}

/// No extents are to be taken on a disk, or may be again.
fn close_pv(world: &mut World) -> Outcome<()> {
    let closed = world.model.closed.first().copied();
    let number = closed.unwrap_or_else(|| world.some_disk());
    let way = if closed.is_some() { "y" } else { "n" };
    world.note(format!("pvchange -x {way} {number}"));
    run("pvchange", &["-x", way, &text(&world.disk(number))])?;
    match closed {
        Some(number) => world.model.closed.remove(&number),
        None => world.model.closed.insert(number),
    };
    Ok(())
}

/// The text that is there is written once more, by the tools.
fn back_up_and_restore(world: &mut World) -> Outcome<()> {
    world.note("vgcfgbackup, vgchange -an, vgcfgrestore".into());
    let file = text(&std::env::temp_dir().join("soak-tools"));
    run("vgcfgbackup", &["-f", &file, POOL])?;
    world.stop()?;
    // There may be a thin pool.
    run("vgcfgrestore", &[FORCE, "-y", "-f", &file, POOL])?;
    world.reopen()
}

impl World {
    /// Adds an LV of the tools that was made.
    pub(crate) fn learn_foreign(&mut self, name: String, extents: u64) {
        self.model.foreign.push(Foreign {
            name,
            extents,
            is_cached: false,
            data: Data::new(),
        });
    }
}
