//! A list of replicas allocates its answer, and a few buffers however long it is.

use std::fs::File;

use lvm_native::pool::{CreatePool, CreateReplica, ReplicaInfo, System, Zeroing};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REPLICAS: u128 = 1000;
const EXTENT: u64 = 64 << 10;

fn allocations<T>(make: impl FnOnce() -> T) -> (T, u64) {
    let before = dhat::HeapStats::get().total_blocks;
    let made = make();
    (made, dhat::HeapStats::get().total_blocks - before)
}

#[test]
fn a_list_allocates_no_more_than_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk");
    File::create(&image).unwrap().set_len(1 << 30).unwrap();
    let system = System::embedded()
        .lock_dir(folder.path().join("lock"))
        .devices(vec![image.clone()]);
    let mut request = CreatePool::new("pool", vec![image]);
    request.extent_size = Some(EXTENT);
    let pool = system.build().unwrap().create_pool(&request).unwrap();
    let replica = |number| {
        let mut request = CreateReplica::new(Uuid::from_u128(number), EXTENT);
        request.zeroing = Zeroing::None;
        request.name = Some(format!("replica-{number}"));
        request
    };
    let requests: Vec<_> = (1..=REPLICAS).map(replica).collect();
    pool.create_replicas(&requests).unwrap();

    let _profiler = dhat::Profiler::builder().testing().build();
    let (answer, listing) = allocations(|| pool.replicas().unwrap());
    assert!(answer.len() as u128 == REPLICAS && answer.iter().all(|replica| replica.active));
    let (copy, copying) = allocations(|| answer.clone());
    let _: Vec<ReplicaInfo> = copy;
    assert!(
        listing <= copying + 40,
        "{listing} allocations for an answer of {copying}"
    );
}
