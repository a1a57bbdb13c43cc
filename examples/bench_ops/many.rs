//! Thousands of replicas at once.

use std::path::PathBuf;
use std::sync::Arc;

use lvm_native::pool::{CreateReplica, Error, System};
use uuid::Uuid;

use crate::Times;
use crate::timed::{Spent, Timed};

/// Makes `lvs` replicas of one extent in one commit, and tells how much of the time the kernel's devices took.
pub(crate) fn create(pool: &str, lvs: usize) -> Result<Times, Error> {
    let (system, mapper) = system()?;
    let pool = system.open_pool(pool)?;
    let requests: Vec<_> = (0..lvs).map(|_| CreateReplica::new(Uuid::new_v4(), 1)).collect();
    let mut times = Times::default();
    mapper.take();
    times.lap("many", || pool.create_replicas(&requests))?;
    let Spent { calls, nodes } = mapper.take();
    times.add("many-calls", calls);
    times.add("many-nodes", nodes);
    Ok(times)
}

/// Imports a pool, which activates its replicas.
pub(crate) fn activate(pool: &str, disks: &[PathBuf], mark: bool) -> Result<Times, Error> {
    let (system, mapper) = system()?;
    let mut times = Times {
        mark,
        ..Times::default()
    };
    times.lap("activate", || system.import_pool(pool, disks, None))?;
    let Spent { calls, nodes } = mapper.take();
    times.add("activate-calls", calls);
    times.add("activate-nodes", nodes);
    Ok(times)
}

fn system() -> Result<(System, Arc<Timed>), Error> {
    let mapper = Arc::new(Timed::default());
    Ok((System::kernel().mapper(mapper.clone()).build()?, mapper))
}
