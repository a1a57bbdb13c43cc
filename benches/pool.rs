//! What each operation of a pool held open costs, by the number of its replicas: `cargo bench --bench pool`.
//!
//! The embedded mapper over one image file takes the kernel out of the numbers; what is left is the library and the
//! syncs of the file system that `TMPDIR` lies on.  `TMPDIR=/dev/shm` leaves the library alone.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark fails by panicking; criterion's macros make undocumented functions"
)]

use std::fs::File;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lvm_native::pool::{CreatePool, CreateReplica, SetReplica, Shrink, StoragePool, System, Zeroing};
use tempfile::TempDir;
use uuid::Uuid;

const EXTENT: u64 = 64 << 10;

/// A pool with this many replicas of one extent.
struct Filled {
    pool: StoragePool,
    /// One of the replicas, in the middle of the text.
    uuid: Uuid,
    _folder: TempDir,
}

impl Filled {
    fn new(replicas: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        File::create(&image).unwrap().set_len(4 << 30).unwrap();
        let system = System::embedded()
            .lock_dir(folder.path().join("lock"))
            .devices(vec![image.clone()]);
        let mut request = CreatePool::new("bench", vec![image]);
        request.extent_size = Some(EXTENT);
        let pool = system.build().unwrap().create_pool(&request).unwrap();
        let requests: Vec<_> = (0..replicas).map(|_| replica(Uuid::new_v4())).collect();
        pool.create_replicas(&requests).unwrap();
        Self {
            pool,
            uuid: requests[replicas / 2].uuid,
            _folder: folder,
        }
    }
}

fn replica(uuid: Uuid) -> CreateReplica {
    let mut request = CreateReplica::new(uuid, EXTENT);
    request.zeroing = Zeroing::None;
    request
}

/// Times `rounds` runs of `operation`; what `after` puts right does not count.
fn timed<T>(rounds: u64, mut operation: impl FnMut(u64) -> T, mut after: impl FnMut(T)) -> Duration {
    let mut total = Duration::ZERO;
    for round in 0..rounds {
        let start = Instant::now();
        let made = black_box(operation(round));
        total += start.elapsed();
        after(made);
    }
    total
}

fn pool(criterion: &mut Criterion) {
    for replicas in [10, 1_000, 10_000] {
        let Filled { pool, uuid, _folder } = &Filled::new(replicas);
        let mut group = criterion.benchmark_group("pool");
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(3))
            .warm_up_time(Duration::from_millis(300));
        let mut bench = |name: &str, run: &mut dyn FnMut(u64) -> Duration| {
            group.bench_function(BenchmarkId::new(name, replicas), |bencher| {
                bencher.iter_custom(&mut *run)
            });
        };
        bench("create", &mut |rounds| {
            let create = |_| pool.create_replica(&replica(Uuid::new_v4())).unwrap();
            timed(rounds, create, |made| pool.destroy_replica(made.uuid).unwrap())
        });
        bench("resize", &mut |rounds| {
            let grow = |_| pool.resize_replica(*uuid, 2 * EXTENT, Shrink::Refuse).unwrap();
            timed(rounds, grow, |_| {
                drop(pool.resize_replica(*uuid, EXTENT, Shrink::Allow).unwrap())
            })
        });
        bench("set", &mut |rounds| {
            let set = |_| {
                let entity_id = Some(Uuid::new_v4().to_string());
                pool.set_replica(
                    *uuid,
                    &SetReplica {
                        entity_id,
                        ..SetReplica::default()
                    },
                )
                .unwrap()
            };
            timed(rounds, set, drop)
        });
        bench("list", &mut |rounds| {
            timed(rounds, |_| pool.replicas().unwrap(), drop)
        });
        bench("find", &mut |rounds| {
            timed(rounds, |_| pool.replica(*uuid).unwrap(), drop)
        });
        group.finish();
    }
}

criterion_group!(benches, pool);
criterion_main!(benches);
