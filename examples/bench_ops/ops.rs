//! One replica more, in a pool that is held open; and opening and printing it.

use lvm_native::meta::{Disk, Provenance, assemble, scan};
use lvm_native::pool::{CreateReplica, Error, SetReplica, Shrink, StoragePool, System, Zeroing};
use uuid::Uuid;

use crate::Times;

/// Fills the pool up to `lvs` replicas of one extent, and does each operation `rounds` times.
pub(crate) fn run(pool: &str, lvs: usize, rounds: usize, mark: bool) -> Result<Times, Error> {
    let system = System::kernel().build()?;
    let mut times = Times {
        mark,
        ..Times::default()
    };
    let open = times.lap("open", || system.open_pool(pool))?;
    fill(&open, lvs)?;
    for _ in 0..rounds.max(1) {
        round(&open, Zeroing::Head, &mut times)?;
        let mut request = CreateReplica::new(Uuid::new_v4(), 1);
        request.zeroing = Zeroing::None;
        times.lap("create-unzeroed", || open.create_replica(&request))?;
        open.destroy_replica(request.uuid)?;
    }
    // Opened and printed as often as is worth their time.
    for _ in 0..rounds.min(3) {
        times.lap("open", || system.open_pool(pool))?;
    }
    let disk = open.info()?.disks.remove(0);
    let file = std::fs::File::open(&disk).map_err(|source| Error::Io {
        what: "open",
        path: disk,
        source,
    })?;
    print(&lvm_native::meta::FileDisk::new(file), rounds, &mut times)?;
    Ok(times)
}

/// Makes replicas until there are `lvs`, all in one commit.
fn fill(pool: &StoragePool, lvs: usize) -> Result<(), Error> {
    let missing = lvs.saturating_sub(pool.replicas()?.len());
    let requests: Vec<_> = (0..missing)
        .map(|_| CreateReplica::new(Uuid::new_v4(), 1))
        .collect();
    if requests.is_empty() {
        Ok(())
    } else {
        pool.create_replicas(&requests).map(drop)
    }
}

/// Does each operation once.
pub(crate) fn round(pool: &StoragePool, zeroing: Zeroing, times: &mut Times) -> Result<(), Error> {
    let (uuid, extent) = (Uuid::new_v4(), pool.info()?.extent_size);
    let entity = SetReplica {
        entity_id: Some(Uuid::new_v4().to_string()),
        ..SetReplica::default()
    };
    let mut create = CreateReplica::new(uuid, extent);
    create.zeroing = zeroing;
    times.lap("create", || pool.create_replica(&create))?;
    times.lap("set-tag", || pool.set_replica(uuid, &entity))?;
    times.lap("resize", || pool.resize_replica(uuid, 2 * extent, Shrink::Refuse))?;
    times.lap("list", || pool.replicas())?;
    times.lap("destroy", || pool.destroy_replica(uuid))
}

/// Prints the metadata on a disk anew, all of it.
pub(crate) fn print(disk: &dyn Disk, rounds: usize, times: &mut Times) -> Result<(), Error> {
    let found = scan(disk).map_err(Error::Meta)?;
    let mut vgs = assemble(found.into_iter().map(|scan| (0, scan)).collect()).vgs;
    let vg = vgs.remove(0).vg.map_err(Error::Meta)?;
    for _ in 0..rounds {
        times.lap("print", || Ok(vg.print_raw(&Provenance::default())))?;
    }
    Ok(())
}
