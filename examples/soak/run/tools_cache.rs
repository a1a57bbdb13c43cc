//! LVs of the tools get a cache, and lose it when they are adopted.

use super::place::run;
use super::tools::{lv, may_run};
use super::tools_lvs::{check_all, name_of, some, write_to};
use super::world::{POOL, World};
use super::{Outcome, told};

/// A cache of a cache pool, or of one LV, that writes back or through.
pub(crate) fn cache(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |foreign| !foreign.is_cached) else {
        return Ok(());
    };
    let name = name_of(world, at);
    let fast = format!("fast{}", world.new_uuid().as_u128() as u32);
    let mode = world
        .random
        .pick(&["writeback", "writethrough"])
        .unwrap_or("writeback");
    let is_pool = world.random.once_in(2);
    world.note(format!("cache {name} by {fast}, {mode}, by a pool: {is_pool}"));
    let made = match is_pool {
        true => &["-y", "--type", "cache-pool", "-n", &fast, "-L", "8m", POOL][..],
        false => &["-y", "-Wn", "-n", &fast, "-L", "16m", POOL][..],
    };
    if !may_run(world, "lvcreate", made) {
        return Ok(());
    }
    let by = if is_pool { "--cachepool" } else { "--cachevol" };
    let (fast, slow) = (lv(&fast), lv(&name));
    let args = [
        "-y",
        "--type",
        "cache",
        by,
        &fast,
        "--cachemode",
        mode,
        "--cachepolicy",
        "smq",
        &slow,
    ];
    if !may_run(world, "lvconvert", &args) {
        // A thin LV gets none.
        return run("lvremove", &["-f", &fast]).map(drop);
    }
    if let Some(foreign) = world.model.foreign.get_mut(at) {
        foreign.is_cached = true;
    }
    check_all(world)?;
    write_to(world, at)
}

/// The cache is written back and removed, and the LV becomes a replica, with its data.
pub(crate) fn adopt(world: &mut World) -> Outcome<()> {
    let Some(at) = some(world, |foreign| foreign.is_cached) else {
        return Ok(());
    };
    write_to(world, at)?;
    let (name, uuid) = (name_of(world, at), world.new_uuid());
    world.note(format!("uncache and adopt {name} as {uuid}"));
    let done = world.system().adopt_uncached(POOL, &name, uuid, &mut |_| ());
    let info = done.map_err(told)?;
    let foreign = world.model.foreign.remove(at);
    world.learn(&info, foreign.data);
    world.check_data(uuid)
}
