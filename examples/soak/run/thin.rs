//! Thin pools, thin replicas, snapshots of both kinds, and clones.

use lvm_native::pool::{
    CreateClone, CreateReplica, CreateSnapshot, CreateThinPool, ThinGrowth, ThinPolicy, ThinStep,
};
use uuid::Uuid;

use super::model::{Data, MIB, Snapshot};
use super::replicas::{MOST, write_to};
use super::world::{World, has_thin_pools, mirror};
use super::{Outcome, told};

/// Most snapshots.
const MOST_SNAPSHOTS: usize = 8;

pub(crate) fn pool(world: &mut World) -> Outcome<()> {
    if world.model.has_thin_pool {
        return grow(world);
    }
    if !world.random.once_in(2) {
        // A copy of the disks, for one, can do more while there is none.
        return Ok(());
    }
    let request = wanted(world);
    world.note(format!("make a thin pool, {:?}", request.layout));
    let done = world.pool()?.create_thin_pool(&request);
    let may: &[&str] = match has_thin_pools(&world.place) {
        true => &["NoSpace"],
        false => &["NoSpace", "NoThinTarget"],
    };
    world.model.has_thin_pool = world.judge(done, may)?.is_some();
    Ok(())
}

/// What a thin pool is to be.
pub(crate) fn wanted(world: &mut World) -> CreateThinPool {
    let mut request = CreateThinPool::new(16 * MIB);
    if world.random.once_in(2) {
        request.layout = mirror();
    }
    request
}

/// By hand, or as a monitor does it.
fn grow(world: &mut World) -> Outcome<()> {
    let before = world.pool()?.info().map_err(told)?.thin_pool;
    let before = before.ok_or("the thin pool is gone")?;
    if world.random.once_in(2) {
        let size = before.data_size + 2 * MIB;
        world.note(format!("extend the thin pool to {size}"));
        let done = world.pool()?.extend_thin_pool(Some(size), None);
        if let Some(info) = world.judge(done, &["NoSpace"])?
            && info.thin_pool.is_none_or(|after| after.data_size != size)
        {
            return Err("the thin pool has another size than was asked for".into());
        }
        return Ok(());
    }
    let mut policy = ThinPolicy::default();
    policy.data = ThinGrowth::new(40, ThinStep::Bytes(MIB));
    policy.data.max = Some(64 * MIB);
    world.note("monitor the thin pool".into());
    let monitor = world.pool()?.monitor_thin_pool(policy);
    let mut told_of = Vec::new();
    if let Some(mut monitor) = world.judge(monitor, &[])? {
        let checked = monitor.check(&mut |action| told_of.push(format!("    {action:?}")));
        checked.map_err(told)?;
    }
    told_of.into_iter().for_each(|action| world.note(action));
    Ok(())
}

pub(crate) fn create(world: &mut World) -> Outcome<()> {
    if !world.model.has_thin_pool || world.model.replicas.len() >= MOST {
        return Ok(());
    }
    let mut request = CreateReplica::new(world.new_uuid(), world.size());
    request.thin = true;
    world.note(format!("create thin {} {}", request.uuid, request.size));
    let made = world.pool()?.create_replica(&request);
    if let Some(info) = world.judge(made, &["NoSpace"])? {
        world.learn(&info, Data::from([(0, 0)]));
        write_to(world, info.uuid)?;
    }
    Ok(())
}

pub(crate) fn snapshot(world: &mut World) -> Outcome<()> {
    let source = world.some(|replica| replica.thin);
    let (Some(source), true) = (source, world.model.snapshots.len() < MOST_SNAPSHOTS) else {
        return Ok(());
    };
    let uuid = world.new_uuid();
    let name = format!("snapshot-{}", uuid.as_u128() as u32);
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
    // What is written now the snapshot does not have.
    write_to(world, source)
}

fn some_snapshot(world: &mut World) -> Option<Uuid> {
    let all: Vec<Uuid> = world.model.snapshots.keys().copied().collect();
    world.random.choose(&all)
}

pub(crate) fn clone(world: &mut World) -> Outcome<()> {
    let snapshot = some_snapshot(world);
    let (Some(snapshot), true) = (snapshot, world.model.replicas.len() < MOST) else {
        return Ok(());
    };
    let uuid = world.new_uuid();
    world.note(format!("clone {uuid} of {snapshot}"));
    let request = CreateClone::new(snapshot, uuid, &format!("clone-{}", uuid.as_u128() as u32));
    let made = world.pool()?.create_clone(&request);
    if let Some(info) = world.judge(made, &["NoSpace"])? {
        let source = world.model.snapshots.get(&snapshot);
        let data = source.map(|found| found.data.clone());
        world.learn(&info, data.unwrap_or_default());
        world.check_data(uuid)?;
    }
    Ok(())
}

pub(crate) fn destroy_snapshot(world: &mut World) -> Outcome<()> {
    let Some(uuid) = some_snapshot(world) else {
        return Ok(());
    };
    world.note(format!("destroy snapshot {uuid}"));
    let gone = world.pool()?.destroy_snapshot(uuid);
    if world.judge(gone, &[])?.is_some() {
        world.model.snapshots.remove(&uuid);
    }
    Ok(())
}

/// A snapshot of a thick replica that is written to, and destroyed.
pub(crate) fn thick_snapshot(world: &mut World) -> Outcome<()> {
    let source = world.some(|replica| !replica.thin && replica.active);
    let (Some(source), true) = (source, world.place.is_kernel()) else {
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
