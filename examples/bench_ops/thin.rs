//! Thin replicas, snapshots and clones, in a pool that is held open.

use lvm_native::pool::{CreateClone, CreateReplica, CreateSnapshot, Error, StoragePool, System};
use uuid::Uuid;

use crate::Times;

const SIZE: u64 = 64 << 20;

/// Makes thin replicas until there are `replicas`, all in one transaction, and snapshots of one of them until it has
/// `snapshots`; then does each operation `rounds` times.
pub(crate) fn run(pool: &str, replicas: usize, snapshots: usize, rounds: usize) -> Result<Times, Error> {
    let mut times = Times::default();
    let pool = System::kernel().build()?.open_pool(pool)?;
    fill(&pool, replicas, &mut times)?;
    let replicas = pool.replicas()?;
    let source = replicas
        .iter()
        .find(|replica| replica.thin && replica.snapshot_uuid.is_none());
    let source = source.map(|replica| replica.uuid).ok_or_else(|| no_thin(&pool))?;
    for _ in pool.snapshots(Some(source))?.len()..snapshots {
        snapshot(&pool, source, "one-more-snapshot", &mut times)?;
    }
    for _ in 0..rounds {
        let taken = snapshot(&pool, source, "snapshot", &mut times)?;
        let clone = CreateClone::new(taken, Uuid::new_v4(), &Uuid::new_v4().to_string());
        times.lap("clone", || pool.create_clone(&clone))?;
        times.lap("destroy-clone", || pool.destroy_replica(clone.uuid))?;
        times.lap("destroy-snapshot", || pool.destroy_snapshot(taken))?;
        let thin = thin(Uuid::new_v4());
        times.lap("thin-create", || pool.create_replica(&thin))?;
        times.lap("thin-list", || pool.replicas())?;
        times.lap("snapshot-list", || pool.snapshots(None))?;
        times.lap("thin-destroy", || pool.destroy_replica(thin.uuid))?;
    }
    Ok(times)
}

/// A chain of clones of snapshots of clones, each of the last; gives the last one's UUID.
pub(crate) fn chain(pool: &str, length: usize) -> Result<Times, Error> {
    let mut times = Times::default();
    let pool = System::kernel().build()?.open_pool(pool)?;
    let replicas = pool.replicas()?;
    let first = replicas.iter().find(|replica| replica.thin);
    let mut last = first.map(|replica| replica.uuid).ok_or_else(|| no_thin(&pool))?;
    for _ in 0..length {
        let taken = snapshot(&pool, last, "chain-snapshot", &mut times)?;
        let clone = CreateClone::new(taken, Uuid::new_v4(), &Uuid::new_v4().to_string());
        times.lap("chain-clone", || pool.create_clone(&clone))?;
        pool.destroy_snapshot(taken)?;
        pool.deactivate_replica(last)?;
        last = clone.uuid;
    }
    Ok(times)
}

fn no_thin(pool: &StoragePool) -> Error {
    Error::NoThinPool {
        pool: pool.name().into(),
    }
}

fn fill(pool: &StoragePool, replicas: usize, times: &mut Times) -> Result<(), Error> {
    let missing = replicas.saturating_sub(pool.replicas()?.len());
    let requests: Vec<_> = (0..missing).map(|_| thin(Uuid::new_v4())).collect();
    if requests.is_empty() {
        return Ok(());
    }
    times
        .lap("thin-many", || pool.create_replicas(&requests))
        .map(drop)
}

fn thin(uuid: Uuid) -> CreateReplica {
    let mut request = CreateReplica::new(uuid, SIZE);
    request.thin = true;
    request
}

fn snapshot(
    pool: &StoragePool,
    source: Uuid,
    operation: &'static str,
    times: &mut Times,
) -> Result<Uuid, Error> {
    let uuid = Uuid::new_v4();
    let request = CreateSnapshot::new(source, uuid, &format!("{uuid}/1"), "volume", "1");
    let taken = times.lap(operation, || pool.create_snapshot(&request))?;
    times.add("stall", taken.stall);
    Ok(uuid)
}
