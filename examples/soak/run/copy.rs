//! A copy of all disks is imported under new ids by another host, has the same data, and is destroyed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lvm_native::pool::{ReplicaInfo, StoragePool};
use uuid::Uuid;

use super::check::check_stamps;
use super::world::World;
use super::{Outcome, told};

const COPY: &str = "soak-copy";

pub(crate) fn import(world: &mut World) -> Outcome<()> {
    if world.place.is_kernel() {
        return Ok(());
    }
    world.note("import a copy under new ids, and destroy it".into());
    let disks = copied(&world.disks())?;
    // Both sets are in scope, as on one host.
    let both: Vec<PathBuf> = world.disks().into_iter().chain(disks.clone()).collect();
    let host = world.place.other_host(&both)?;
    let new = world.new_uuid();
    let imported = host.import_pool_with_new_ids(COPY, &disks, Some(new));
    // It is the pool of the new name, too, when that host can not activate all of it.
    let is_any_thin = !world.model.uuids(|replica| replica.thin).is_empty();
    let may: &[&str] = if is_any_thin { &["NoThinTarget"] } else { &[] };
    let pool = world.judge(imported, may)?;
    let found = host.pool_info(COPY).map_err(told)?;
    if found.uuid != new {
        return Err(format!("the copy's uuid is {}, and should be {new}", found.uuid));
    }
    compare(world, &host.pool_replicas(COPY).map_err(told)?, pool.as_ref())?;
    drop(pool);
    host.destroy_pool(COPY).map_err(told)?;
    let left = host.pools().map_err(told)?;
    if left.iter().any(|pool| pool.name == COPY) {
        return Err("the copy is listed after it was destroyed".into());
    }
    for disk in disks {
        std::fs::remove_file(&disk).map_err(|error| format!("{}: {error}", disk.display()))?;
    }
    Ok(())
}

fn copied(disks: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let copies = disks.iter().map(|disk| {
        let copy = disk.with_extension("copy");
        let done = std::fs::copy(disk, &copy);
        done.map_err(|error| format!("{}: {error}", copy.display()))?;
        Ok(copy)
    });
    copies.collect()
}

/// Compares the copy with the model, with all data where everything could be activated.
fn compare(world: &World, replicas: &[ReplicaInfo], pool: Option<&StoragePool>) -> Outcome<()> {
    let old = |info: &ReplicaInfo| {
        info.copied_from
            .as_deref()
            .and_then(|old| Uuid::parse_str(old).ok())
    };
    let found: BTreeMap<_, _> = replicas.iter().map(|info| (old(info), info)).collect();
    if found.len() != world.model.replicas.len() {
        let found: Vec<_> = found.keys().collect();
        return Err(format!("the copy has copies of {found:?}"));
    }
    for (uuid, replica) in &world.model.replicas {
        let info = found
            .get(&Some(*uuid))
            .ok_or_else(|| format!("the copy has no copy of {uuid}"))?;
        // A name that is the UUID is that of the copy.
        let name = match replica.name == uuid.to_string() {
            true => info.uuid.to_string(),
            false => replica.name.clone(),
        };
        let like = (&info.name, info.size, &info.layout, info.thin, info.shared);
        if like != (&name, replica.size, &replica.layout, replica.thin, false) {
            return Err(format!("a copy differs from its replica: {info:?}, {replica:?}"));
        }
        let Some(pool) = pool else { continue };
        let device = pool.open_replica(info.uuid).map_err(told)?;
        let read = |at, found: &mut [u8]| device.read_at(at, found).map_err(told);
        check_stamps(&format!("the copy of {uuid}"), &replica.data, read)?;
    }
    Ok(())
}
