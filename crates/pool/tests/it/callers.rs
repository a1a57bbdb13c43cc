//! Many callers at once on one pool: what was answered is done, and whoever asks sees the pool before a change or after it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lvm_dm::{DeviceMapper, Embedded};
use lvm_pool::{CreatePool, CreateReplica, Error, StoragePool, System};
use uuid::Uuid;

use crate::lab::{POOL, uuid};

const CALLERS: u32 = 12;
const ROUNDS: u32 = 6;
const SIZE: u64 = 64 << 10;

struct Host {
    folder: tempfile::TempDir,
    images: Vec<PathBuf>,
}

impl Host {
    fn with_pool() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<PathBuf> = (0..2).map(|n| folder.path().join(format!("disk{n}"))).collect();
        for image in &images {
            std::fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        }
        let host = Self { folder, images };
        let mut request = CreatePool::new(POOL, host.images.clone());
        request.extent_size = Some(SIZE);
        host.system().0.create_pool(&request).unwrap();
        host
    }

    /// What another process is: devices and a queue of its own.
    fn system(&self) -> (System, Arc<Embedded>) {
        let mapper = Arc::new(Embedded::new());
        let system = System::embedded()
            .devices(self.images.clone())
            .lock_dir(self.folder.path().join("lock"))
            .mapper(mapper.clone())
            .timeout(Duration::from_secs(120))
            .build();
        (system.unwrap(), mapper)
    }
}

/// Makes and destroys one replica again and again, each time as a caller of a server does: by its UUID alone.
fn make_and_destroy(system: &System, uuid: Uuid) {
    for _ in 0..ROUNDS {
        let request = CreateReplica::new(uuid, SIZE);
        let made = system.create_replica(POOL, &request, &mut |_| {}).unwrap();
        assert_eq!(made.uuid, uuid);
        assert_eq!(system.replica_info(uuid).unwrap().size, SIZE);
        let pool = system.pool_of_replica(uuid).unwrap();
        pool.open_replica(uuid).unwrap().write_at(0, &[7; 512]).unwrap();
        pool.destroy_replica(uuid).unwrap();
        assert!(matches!(
            system.replica_info(uuid),
            Err(Error::ReplicaNotFound(_))
        ));
    }
}

#[test]
fn what_one_caller_was_answered_holds_whatever_others_do() {
    let host = Host::with_pool();
    let (system, mapper) = host.system();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // The pool is there all the time.
                    assert_eq!(system.pool_info(POOL).unwrap().name, POOL);
                    system.replicas().unwrap();
                }
            })
        });
        let writers: Vec<_> = (1..=CALLERS)
            .map(|caller| {
                let system = &system;
                scope.spawn(move || make_and_destroy(system, uuid(caller.into())))
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        for ended in ended.into_iter().chain(readers.map(|reader| reader.join())) {
            ended.unwrap();
        }
    });
    assert!(system.replicas().unwrap().is_empty());
    assert!(mapper.list().unwrap().is_empty(), "no device stays");
}

#[test]
fn a_replica_that_another_process_destroyed_is_in_nobodys_way() {
    let host = Host::with_pool();
    let (ours, mapper) = host.system();
    let (theirs, _) = host.system();
    let pool = ours.open_pool(POOL).unwrap();
    for round in 0..3 {
        pool.create_replica(&CreateReplica::new(uuid(1), SIZE)).unwrap();
        theirs
            .pool_of_replica(uuid(1))
            .unwrap()
            .destroy_replica(uuid(1))
            .unwrap();
        if round == 1 {
            // It lies elsewhere now, under the same id.
            let other = theirs.open_pool(POOL).unwrap();
            other.create_replica(&CreateReplica::new(uuid(2), SIZE)).unwrap();
            other.create_replica(&CreateReplica::new(uuid(1), SIZE)).unwrap();
            pool.set_replica(uuid(1), &Default::default()).unwrap();
            let theirs = other.open_replica(uuid(1)).unwrap();
            theirs.write_at(0, &[9; 512]).unwrap();
            let mut read = [0; 512];
            pool.open_replica(uuid(1)).unwrap().read_at(0, &mut read).unwrap();
            assert_eq!(read, [9; 512]);
            pool.destroy_replica(uuid(1)).unwrap();
            pool.destroy_replica(uuid(2)).unwrap();
        }
    }
    pool.create_replica(&CreateReplica::new(uuid(1), SIZE)).unwrap();
    pool.destroy_replica(uuid(1)).unwrap();
    assert!(mapper.list().unwrap().is_empty());
}

/// Of a mapper in this process: of the kernel's nothing is made when a pool is read.
#[test]
fn a_deactivated_replica_stays_so_when_its_pool_is_read_again() {
    let host = Host::with_pool();
    let (system, _) = host.system();
    let pool = system.open_pool(POOL).unwrap();
    for n in 1..=2 {
        pool.create_replica(&CreateReplica::new(uuid(n), SIZE)).unwrap();
    }
    pool.deactivate_replica(uuid(1)).unwrap();
    let active = |pool: &StoragePool| [1, 2].map(|n| pool.replica(uuid(n)).unwrap().active);
    // Another process changes the pool, and a new handle is opened.
    let other = host.system().0;
    other
        .open_pool(POOL)
        .unwrap()
        .create_replica(&CreateReplica::new(uuid(3), SIZE))
        .unwrap();
    assert_eq!(active(&pool), [false, true]);
    assert_eq!(active(&system.open_pool(POOL).unwrap()), [false, true]);
    assert!(pool.replica(uuid(3)).unwrap().active);
    pool.activate_replica(uuid(1)).unwrap();
    assert_eq!(active(&pool), [true, true]);
}
