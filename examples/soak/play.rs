//! The operations, drawn by the seed.

use lvm_native::pool::{
    CreateClone, CreateReplica, CreateSnapshot, CreateThinPool, Layout, SetReplica, Shrink,
};
use uuid::Uuid;

use super::model::{Data, MIB, Snapshot};
use super::play_pool::{disks, export, idle, move_one, narrow, rename, replace, tools};
use super::world::{Outcome, World, mirror, told};

/// One random operation.
type Operation = fn(&mut World) -> Outcome<()>;

/// How often everything is compared, in operations.
const CHECK_ALL_EACH: usize = 25;
/// Most replicas.
const MOST: usize = 14;

/// Draws and does operations until `goes_on` says no; how many were done, or what is wrong.
pub(crate) fn play(world: &mut World, mut goes_on: impl FnMut(usize) -> bool) -> Outcome<usize> {
    let mut step = 0;
    while goes_on(step) {
        step += 1;
        let done = one(world, step).and_then(|()| match step % CHECK_ALL_EACH {
            0 => world.check_all(),
            _ => world.check().map(drop),
        });
        done.map_err(|why| format!("step {step}: {why}\nthe last operations:\n{}", world.last()))?;
    }
    world
        .check_all()
        .map_err(|why| format!("at the end: {why}\nthe last operations:\n{}", world.last()))?;
    Ok(step)
}

fn one(world: &mut World, step: usize) -> Outcome<()> {
    let operations: &[(usize, Operation)] = &[
        (10, create),
        (4, create_many),
        (6, create_again),
        (9, destroy),
        (9, resize),
        (6, set),
        (20, write),
        (10, read),
        (5, switch),
        (5, convert),
        (4, thin_pool),
        (8, create_thin),
        (8, snapshot),
        (6, clone),
        (6, destroy_snapshot),
        (3, restart),
        (2, export),
        (4, disks),
        (2, replace),
        (2, narrow),
        (3, move_one),
        (2, rename),
        (3, thick_snapshot),
        (3, idle),
        (6, tools),
    ];
    let all: usize = operations.iter().map(|(weight, _)| weight).sum();
    let mut drawn = world.random.below(all);
    world.note(format!("{step}:"));
    for (weight, operation) in operations {
        if drawn < *weight {
            return operation(world);
        }
        drawn -= weight;
    }
    Ok(())
}

pub(crate) fn some(world: &mut World) -> Option<Uuid> {
    let all = world.model.uuids(|_| true);
    world.random.pick(&all)
}

/// Has the pool room for so much that a refusal is wrong?
fn check_room(world: &World, size: u64) -> Outcome<()> {
    let info = world.pool()?.info().map_err(told)?;
    let free = info.capacity.saturating_sub(info.used);
    match size.next_multiple_of(MIB) <= free {
        true => Err(format!("NoSpace for {size} bytes, of {free} that are free")),
        false => Ok(()),
    }
}

fn create(world: &mut World) -> Outcome<()> {
    if world.model.replicas.len() >= MOST {
        return destroy(world);
    }
    let mut request = CreateReplica::new(world.new_uuid(), world.size());
    request.layout = world.layout();
    request.entity_id = world
        .random
        .pick(&[None, Some("volume-1")])
        .flatten()
        .map(Into::into);
    world.note(format!(
        "create {} {} {:?}",
        request.uuid, request.size, request.layout
    ));
    let made = world.pool()?.create_replica(&request);
    let Some(info) = world.judge(made, &["NoSpace"])? else {
        return match request.layout {
            Layout::Linear => check_room(world, request.size),
            _ => Ok(()),
        };
    };
    if info.size < request.size || info.size >= request.size + 2 * MIB {
        return Err(format!("{} bytes were made of {}", info.size, request.size));
    }
    // A new replica begins with zeroes.
    world.learn(&info, Data::from([(0, 0)]));
    write_to(world, info.uuid)
}

fn create_many(world: &mut World) -> Outcome<()> {
    if world.model.replicas.len() + 3 > MOST {
        return destroy(world);
    }
    let requests: Vec<CreateReplica> = (0..3)
        .map(|_| CreateReplica::new(world.new_uuid(), world.size()))
        .collect();
    world.note(format!("create {} at once", requests.len()));
    let made = world.pool()?.create_replicas(&requests);
    for info in world.judge(made, &["NoSpace"])?.unwrap_or_default() {
        // Nothing of these is zeroed.
        world.learn(&info, Data::new());
    }
    Ok(())
}

/// What must be refused, without a commit.
fn create_again(world: &mut World) -> Outcome<()> {
    let before = world.pool()?.info().map_err(told)?.seqno;
    let refused = match (some(world), world.random.below(3)) {
        (Some(uuid), 0) => {
            world.note(format!("create {uuid} again"));
            let made = world
                .pool()?
                .create_replica(&CreateReplica::new(uuid, MIB))
                .map(drop);
            world.judge(made, &["AlreadyExists"])?.is_none()
        }
        (_, 1) => {
            world.note("create what is too large".into());
            let request = CreateReplica::new(world.new_uuid(), 1 << 50);
            let made = world.pool()?.create_replica(&request).map(drop);
            world.judge(made, &["NoSpace"])?.is_none()
        }
        _ => {
            let uuid = world.new_uuid();
            world.note(format!("destroy {uuid}, which is not there"));
            let gone = world.pool()?.destroy_replica(uuid);
            world.judge(gone, &["ReplicaNotFound"])?.is_none()
        }
    };
    let after = world.pool()?.info().map_err(told)?.seqno;
    match refused && before == after {
        true => Ok(()),
        false => Err(format!("refused: {refused}, from {before} to {after}")),
    }
}

fn destroy(world: &mut World) -> Outcome<()> {
    let Some(uuid) = some(world) else { return Ok(()) };
    world.note(format!("destroy {uuid}"));
    world.check_data(uuid)?;
    let gone = world.pool()?.destroy_replica(uuid);
    if world.judge(gone, &[])?.is_some() {
        world.model.replicas.remove(&uuid);
    }
    Ok(())
}

fn resize(world: &mut World) -> Outcome<()> {
    let Some(uuid) = some(world) else { return Ok(()) };
    let Some(before) = world.model.replicas.get(&uuid).cloned() else {
        return Ok(());
    };
    let size = world.size();
    let shrink = world
        .random
        .pick(&[Shrink::Refuse, Shrink::Allow])
        .unwrap_or(Shrink::Refuse);
    world.note(format!("resize {uuid} from {} to {size} {shrink:?}", before.size));
    let done = world.pool()?.resize_replica(uuid, size, shrink);
    let is_array = before.layout.starts_with("raid");
    let unsupported = if is_array && size < before.size {
        "Unsupported"
    } else {
        "NoSpace"
    };
    let may = ["NoSpace", "ShrinkRefused", "NotActive", "ArrayState", unsupported];
    let Some(info) = world.judge(done, &may)? else {
        return Ok(());
    };
    if info.size < size {
        return Err(format!("resized to {} in place of {size}", info.size));
    }
    if let Some(replica) = world.model.replicas.get_mut(&uuid) {
        replica.resized(info.size);
        replica.active = info.active;
    }
    world.check_data(uuid)
}

fn set(world: &mut World) -> Outcome<()> {
    let Some(uuid) = some(world) else { return Ok(()) };
    let name = format!("name-{}", world.random.below(1000));
    let taken = world.model.replicas.values().any(|replica| replica.name == name);
    world.note(format!("name {uuid} {name}"));
    let mut new = SetReplica::default();
    new.name = Some(name.clone());
    new.entity_id = Some(format!("entity-{}", world.random.below(9)));
    new.tags.add = vec![format!("tag-{}", world.random.below(3))];
    new.tags.remove = vec![format!("tag-{}", 3 + world.random.below(3))];
    let done = world.pool()?.set_replica(uuid, &new);
    let may: &[&str] = if taken { &["AlreadyExists"] } else { &[] };
    if let Some(info) = world.judge(done, may)?
        && let Some(replica) = world.model.replicas.get_mut(&uuid)
    {
        replica.name = name;
        replica.entity = info.entity_id;
    }
    Ok(())
}

fn write(world: &mut World) -> Outcome<()> {
    some(world).map_or(Ok(()), |uuid| write_to(world, uuid))
}

fn write_to(world: &mut World, uuid: Uuid) -> Outcome<()> {
    world.note(format!("write {uuid}"));
    world.write(uuid)
}

fn read(world: &mut World) -> Outcome<()> {
    some(world).map_or(Ok(()), |uuid| world.check_data(uuid))
}

fn switch(world: &mut World) -> Outcome<()> {
    let Some(uuid) = some(world) else { return Ok(()) };
    let is_active = world
        .model
        .replicas
        .get(&uuid)
        .is_some_and(|replica| replica.active);
    world.note(format!("activate or deactivate {uuid}, active: {is_active}"));
    let done = match is_active {
        true => world.pool()?.deactivate_replica(uuid),
        false => world.pool()?.activate_replica(uuid),
    };
    if let (Some(info), Some(replica)) = (world.judge(done, &[])?, world.model.replicas.get_mut(&uuid)) {
        replica.active = info.active;
    }
    Ok(())
}

fn convert(world: &mut World) -> Outcome<()> {
    let all = world
        .model
        .uuids(|replica| replica.active && !replica.thin && !replica.layout.starts_with("striped"));
    let Some(uuid) = world.random.pick(&all) else {
        return Ok(());
    };
    let layout = world.random.pick(&[Layout::Linear, mirror()]).unwrap_or_default();
    world.note(format!("convert {uuid} to {layout:?}"));
    let done = world.pool()?.convert_replica(uuid, layout);
    // An array that is being filled does not lose the image that is whole.
    if let Some(info) = world.judge(done, &["NoSpace", "ArrayState", "Busy"])?
        && let Some(replica) = world.model.replicas.get_mut(&uuid)
    {
        replica.layout = info.layout;
    }
    world.check_data(uuid)
}

fn thin_pool(world: &mut World) -> Outcome<()> {
    if world.model.has_thin_pool {
        world.note("extend the thin pool".into());
        let info = world.pool()?.info().map_err(told)?;
        let size = info.thin_pool.map_or(0, |thin| thin.data_size) + 2 * MIB;
        let done = world.pool()?.extend_thin_pool(Some(size), None);
        return world.judge(done, &["NoSpace"]).map(drop);
    }
    world.note("make a thin pool".into());
    let done = world.pool()?.create_thin_pool(&CreateThinPool::new(16 * MIB));
    world.model.has_thin_pool = world.judge(done, &["NoSpace", "NoThinTarget"])?.is_some();
    Ok(())
}

fn create_thin(world: &mut World) -> Outcome<()> {
    if !world.model.has_thin_pool || world.model.replicas.len() >= MOST {
        return Ok(());
    }
    let mut request = CreateReplica::new(world.new_uuid(), world.size());
    request.thin = true;
    world.note(format!("create thin {}", request.uuid));
    let made = world.pool()?.create_replica(&request);
    if let Some(info) = world.judge(made, &["NoSpace"])? {
        world.learn(&info, Data::from([(0, 0)]));
        write_to(world, info.uuid)?;
    }
    Ok(())
}

fn snapshot(world: &mut World) -> Outcome<()> {
    let all = world.model.uuids(|replica| replica.thin && replica.active);
    let (Some(source), true) = (world.random.pick(&all), world.model.snapshots.len() < 8) else {
        return Ok(());
    };
    let uuid = world.new_uuid();
    let name = format!("snapshot-{}", uuid.as_u128() as u16);
    world.note(format!("snapshot {uuid} of {source}"));
    let request = CreateSnapshot::new(source, uuid, &name, "entity", "txn");
    let taken = world.pool()?.create_snapshot(&request);
    if world.judge(taken, &["NoSpace"])?.is_some()
        && let Some(replica) = world.model.replicas.get(&source).cloned()
    {
        let snapshot = Snapshot {
            source,
            name,
            size: replica.size,
            data: replica.data,
        };
        world.model.snapshots.insert(uuid, snapshot);
    }
    Ok(())
}

fn clone(world: &mut World) -> Outcome<()> {
    let all: Vec<Uuid> = world.model.snapshots.keys().copied().collect();
    let (Some(snapshot), true) = (world.random.pick(&all), world.model.replicas.len() < MOST) else {
        return Ok(());
    };
    let uuid = world.new_uuid();
    world.note(format!("clone {uuid} of {snapshot}"));
    let request = CreateClone::new(snapshot, uuid, &format!("clone-{}", uuid.as_u128() as u16));
    let made = world.pool()?.create_clone(&request);
    if let Some(info) = world.judge(made, &["NoSpace"])? {
        let data = world
            .model
            .snapshots
            .get(&snapshot)
            .map(|found| found.data.clone());
        world.learn(&info, data.unwrap_or_default());
        world.check_data(uuid)?;
    }
    Ok(())
}

/// A snapshot of a thick replica that is written to, and destroyed.
fn thick_snapshot(world: &mut World) -> Outcome<()> {
    let all = world.model.uuids(|replica| !replica.thin && replica.active);
    let (Some(source), true) = (world.random.pick(&all), world.place.kernel) else {
        return Ok(());
    };
    let uuid = world.new_uuid();
    world.note(format!("snapshot {uuid} of thick {source}"));
    let mut request = CreateSnapshot::new(source, uuid, "thick", "entity", "txn");
    // Room for all that can be overwritten.
    request.size = Some(64 * MIB);
    let taken = world.pool()?.create_snapshot(&request);
    if world.judge(taken, &["NoSpace", "ArrayState"])?.is_some() {
        write_to(world, source)?;
        world.check_data(source)?;
        world.pool()?.destroy_snapshot(uuid).map_err(told)?;
        world.check_data(source)?;
    }
    Ok(())
}

fn destroy_snapshot(world: &mut World) -> Outcome<()> {
    let all: Vec<Uuid> = world.model.snapshots.keys().copied().collect();
    let Some(uuid) = world.random.pick(&all) else {
        return Ok(());
    };
    world.note(format!("destroy snapshot {uuid}"));
    let gone = world.pool()?.destroy_snapshot(uuid);
    if world.judge(gone, &[])?.is_some() {
        world.model.snapshots.remove(&uuid);
    }
    Ok(())
}

fn restart(world: &mut World) -> Outcome<()> {
    world.note("another process".into());
    world.restart()?;
    world.check_all()
}
