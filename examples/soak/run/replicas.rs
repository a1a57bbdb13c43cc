//! Operations on replicas.

use lvm_native::pool::{CreateReplica, Layout, SetReplica, Shrink};
use uuid::Uuid;

use super::model::{Data, MIB};
use super::world::{World, mirror};
use super::{Outcome, told};

/// Most replicas.
pub(crate) const MOST: usize = 14;

/// Has the pool room for so much that a refusal is wrong?
fn check_room(world: &World, size: u64) -> Outcome<()> {
    let info = world.pool()?.info().map_err(told)?;
    let free = info.capacity.saturating_sub(info.used);
    match size.next_multiple_of(MIB) <= free && world.model.closed.is_empty() && !world.model.has_thin_pool {
        true => Err(format!("NoSpace for {size} bytes, of {free} that are free")),
        false => Ok(()),
    }
}

pub(crate) fn create(world: &mut World) -> Outcome<()> {
    if world.model.replicas.len() >= MOST {
        return destroy(world);
    }
    let mut request = CreateReplica::new(world.new_uuid(), world.size());
    request.layout = world.layout();
    let entity = world.random.pick(&[None, Some("volume-1")]);
    request.entity_id = entity.flatten().map(Into::into);
    if world.random.once_in(4) && request.layout == Layout::Linear {
        let number = world.some_disk();
        request.disks = vec![world.disk(number)];
    }
    world.note(format!(
        "create {} {} {:?} {:?}",
        request.uuid, request.size, request.layout, request.disks
    ));
    let made = world.pool()?.create_replica(&request);
    let Some(info) = world.judge(made, &["NoSpace"])? else {
        return match request.layout == Layout::Linear && request.disks.is_empty() {
            true => check_room(world, request.size),
            false => Ok(()),
        };
    };
    if info.size < request.size || info.size >= request.size + 2 * MIB {
        return Err(format!("{} bytes were made of {}", info.size, request.size));
    }
    // A new replica begins with zeroes.
    world.learn(&info, Data::from([(0, 0)]));
    write_to(world, info.uuid)
}

pub(crate) fn create_many(world: &mut World) -> Outcome<()> {
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
pub(crate) fn create_again(world: &mut World) -> Outcome<()> {
    let before = world.pool()?.info().map_err(told)?.seqno;
    let refused = match (world.some(|_| true), world.random.below(3)) {
        (Some(uuid), 0) => {
            world.note(format!("create {uuid} again"));
            let request = CreateReplica::new(uuid, MIB);
            let made = world.pool()?.create_replica(&request);
            world.judge(made, &["AlreadyExists"])?.is_none()
        }
        (_, 1) => {
            world.note("create what is too large".into());
            let request = CreateReplica::new(world.new_uuid(), 1 << 50);
            let made = world.pool()?.create_replica(&request);
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

pub(crate) fn destroy(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|_| true) else {
        return Ok(());
    };
    world.note(format!("destroy {uuid}"));
    world.check_data(uuid)?;
    let gone = world.pool()?.destroy_replica(uuid);
    if world.judge(gone, &[])?.is_some() {
        world.model.replicas.remove(&uuid);
    }
    Ok(())
}

pub(crate) fn resize(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|_| true) else {
        return Ok(());
    };
    let Some(before) = world.model.replicas.get(&uuid).cloned() else {
        return Ok(());
    };
    let size = world.size();
    let shrink = world.random.pick(&[Shrink::Refuse, Shrink::Allow]);
    let shrink = shrink.unwrap_or(Shrink::Refuse);
    world.note(format!("resize {uuid} from {} to {size} {shrink:?}", before.size));
    let done = world.pool()?.resize_replica(uuid, size, shrink);
    let is_array = before.layout.starts_with("raid");
    let unsupported = match is_array && size < before.size {
        true => "Unsupported",
        false => "NoSpace",
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

pub(crate) fn set(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|_| true) else {
        return Ok(());
    };
    let name = format!("name-{}", world.random.below(1000));
    let taken = world.model.replicas.values().any(|replica| replica.name == name);
    let (add, remove) = (world.random.below(3), 3 + world.random.below(3));
    world.note(format!("name {uuid} {name}, add tag-{add}, remove tag-{remove}"));
    let mut new = SetReplica::default();
    new.name = Some(name.clone());
    new.entity_id = Some(format!("entity-{}", world.random.below(9)));
    new.tags.add = vec![format!("tag-{add}")];
    new.tags.remove = vec![format!("tag-{remove}")];
    let done = world.pool()?.set_replica(uuid, &new);
    let may: &[&str] = if taken { &["AlreadyExists"] } else { &[] };
    if world.judge(done, may)?.is_some()
        && let Some(replica) = world.model.replicas.get_mut(&uuid)
    {
        (replica.name, replica.entity) = (name, new.entity_id);
        replica.tags.retain(|tag| !new.tags.remove.contains(tag));
        replica.tags.extend(new.tags.add);
    }
    Ok(())
}

pub(crate) fn write(world: &mut World) -> Outcome<()> {
    let some = world.some(|_| true);
    some.map_or(Ok(()), |uuid| write_to(world, uuid))
}

pub(crate) fn write_to(world: &mut World, uuid: Uuid) -> Outcome<()> {
    world.note(format!("write {uuid}"));
    world.write(uuid)
}

pub(crate) fn read(world: &mut World) -> Outcome<()> {
    let some = world.some(|_| true);
    some.map_or(Ok(()), |uuid| world.check_data(uuid))
}

pub(crate) fn switch(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|_| true) else {
        return Ok(());
    };
    let replica = world.model.replicas.get(&uuid);
    let is_active = replica.is_some_and(|replica| replica.active);
    world.note(format!("activate or deactivate {uuid}, active: {is_active}"));
    let done = match is_active {
        true => world.pool()?.deactivate_replica(uuid),
        false => world.pool()?.activate_replica(uuid),
    };
    if let (Some(info), Some(replica)) = (world.judge(done, &[])?, world.model.replicas.get_mut(&uuid)) {
        replica.active = info.active;
    }
    world.check_data(uuid)
}

pub(crate) fn convert(world: &mut World) -> Outcome<()> {
    let is_convertible = |layout: &str| layout == "linear" || layout.starts_with("raid1:");
    let uuid = world.some(|replica| replica.active && !replica.thin && is_convertible(&replica.layout));
    let Some(uuid) = uuid else {
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

/// The images of an array are compared, and are equal.
pub(crate) fn scrub(world: &mut World) -> Outcome<()> {
    let uuid = world.some(|replica| replica.active && replica.layout.starts_with("raid1:"));
    let Some(uuid) = uuid else {
        return Ok(());
    };
    // What nobody wrote may differ: a repair makes it equal.
    for repair in [true, false] {
        world.note(format!("scrub {uuid}, repair: {repair}"));
        world.filled()?;
        let done = world.pool()?.scrub_replica(uuid, repair, &mut |_| ());
        if let Some(scrubbed) = world.judge(done, &["ArrayState", "Busy"])?
            && scrubbed.mismatches != 0
        {
            return Err(format!("{} sectors differ after a repair", scrubbed.mismatches));
        }
    }
    world.check_data(uuid)
}
