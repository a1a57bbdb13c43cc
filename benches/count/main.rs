//! The hot operations, once each, for `cargo xtask count`: each is a function that callgrind counts the instructions of.
//!
//! Nothing here is random, so that two runs count the same.
#![allow(clippy::unwrap_used, reason = "it fails by panicking")]

mod hot;
mod mapper;

use std::fs::File;
use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use lvm_native::meta::FileDisk;
use lvm_native::pool::{
    CreateClone, CreatePool, CreateReplica, CreateSnapshot, CreateThinPool, SetReplica, StoragePool, System,
    Zeroing,
};
use tempfile::TempDir;
use uuid::Uuid;

const EXTENT: u64 = 64 << 10;

/// A pool with replicas of one extent, numbered from 0.
struct Filled {
    system: System,
    pool: StoragePool,
    folder: TempDir,
}

impl Filled {
    fn new(replicas: u128) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        File::create(&image).unwrap().set_len(4 << 30).unwrap();
        let system = System::embedded()
            .mapper(Arc::new(mapper::Memory::default()))
            .lock_dir(folder.path().join("lock"))
            .devices(vec![image.clone()]);
        let mut request = CreatePool::new("bench", vec![image]);
        request.extent_size = Some(EXTENT);
        let system = system.build().unwrap();
        let pool = system.create_pool(&request).unwrap();
        let requests: Vec<_> = (0..replicas).map(replica).collect();
        pool.create_replicas(&requests).unwrap();
        // The first change alone prints and checks everything.
        pool.create_replica(&replica(replicas)).unwrap();
        Self { system, pool, folder }
    }

    fn disk(&self) -> FileDisk {
        FileDisk::new(File::open(self.folder.path().join("disk")).unwrap())
    }
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x6f3a_0000_7a3f_4a34_9c56_0000_0000_0000 | number)
}

fn replica(number: u128) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(number), EXTENT);
    request.zeroing = Zeroing::None;
    request
}

fn main() {
    let small = Filled::new(1000);
    let vg = hot::open_1000(&small.disk());
    black_box(hot::print_1000(&vg));
    assert_eq!(hot::check_1000(&vg), 0);

    let large = Filled::new(10_000);
    let pool = &large.pool;
    let text = vec![b'x'; usize::try_from(pool.info().unwrap().metadata_used).unwrap()];
    black_box(hot::copy_and_checksum(&text, &mut text.clone()));
    hot::create_in_10000(pool, &replica(20_000));
    hot::set_in_10000(
        pool,
        uuid(5000),
        &SetReplica {
            entity_id: Some(uuid(0).to_string()),
            ..SetReplica::default()
        },
    );
    hot::resize_in_10000(pool, uuid(5000));
    hot::find_in_10000(pool, uuid(5000));
    assert_eq!(hot::list_10000(pool), 10_002);
    hot::destroy_in_10000(pool, uuid(5000));
    let opened = large.system.open_pool("bench").unwrap();
    hot::create_first_in_10000(&opened, &replica(20_001));

    thin_among_1000();
}

/// A replica, a snapshot and a clone come and go beside 1 000 thin replicas, of one of which there are 1 000 snapshots.
fn thin_among_1000() {
    let many = Filled::new(0);
    let pool = &many.pool;
    let mut request = CreateThinPool::new(1 << 30);
    request.metadata_size = Some(64 << 20);
    pool.create_thin_pool(&request).unwrap();
    let thin = |number| {
        let mut request = replica(number);
        request.thin = true;
        request
    };
    let requests: Vec<_> = (1000..2000).map(thin).collect();
    pool.create_replicas(&requests).unwrap();
    for number in 3000..4000 {
        pool.create_snapshot(&snapshot(number)).unwrap();
    }
    hot::thin_create_in_1000(pool, &thin(5000));
    hot::snapshot_in_1000(pool, &snapshot(5001));
    hot::clone_in_1000(pool, &CreateClone::new(uuid(5001), uuid(5002), "clone"));
    hot::thin_destroy_in_1000(pool, uuid(5000));
    hot::snapshot_destroy_in_1000(pool, uuid(3500));
}

fn snapshot(number: u128) -> CreateSnapshot {
    let mut request = CreateSnapshot::new(uuid(1500), uuid(number), &number.to_string(), "volume", "txn");
    request.create_time = Some(SystemTime::UNIX_EPOCH);
    request
}
