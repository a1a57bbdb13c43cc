//! A host whose pool has volumes of all kinds, and what is done to them.

use std::time::Duration;

use lvm_dm::{DeviceId, DeviceMapper, DmName, ThinPoolStatus, UdevFlags};
use lvm_pool::{CreateReplica, Error, Shrink, StoragePool, System};

use super::view::{check_at_rest, is_anything_suspended};
use super::{CHUNK, CHUNKS, Content, TPOOL, check_content, clone, fill, lab_as, snapshot, thin};
use crate::lab::{Lab, POOL, UNIT, uuid};

/// A thick replica.
pub(super) const THICK: u128 = 1;
/// A thin one that is active and was changed since its snapshot.
pub(super) const ACTIVE: u128 = 2;
pub(super) const SNAPSHOT: u128 = 3;
/// An active clone of the snapshot.
pub(super) const CLONE: u128 = 4;
/// A thin one that is not active.
pub(super) const INACTIVE: u128 = 5;

/// The replicas, their chunks and what they hold.
const REPLICAS: [(u128, u64, &Content); 4] = [
    (THICK, 4, &[Some(1), Some(1)]),
    (ACTIVE, 12, &[Some(0x22), Some(2)]),
    (CLONE, 12, &[Some(2), Some(0x44)]),
    (INACTIVE, 8, &[Some(5)]),
];

/// Something that is done to the pool.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) run: fn(&System, &StoragePool) -> Result<(), Error>,
    /// Makes a snapshot, which is undone when it was not taken.
    pub(super) takes_snapshot: bool,
}

const fn operation(name: &'static str, run: fn(&System, &StoragePool) -> Result<(), Error>) -> Operation {
    Operation {
        name,
        run,
        takes_snapshot: false,
    }
}

/// The number of a snapshot that is taken.
pub(super) const TAKEN: u128 = 20;

pub(super) const OPERATIONS: &[Operation] = &[
    operation("create", |_, pool| pool.create_replica(&thin(10, 8)).map(drop)),
    operation("create many", |_, pool| {
        pool.create_replicas(&[thin(10, 4), thin(11, 4), thin(12, 4)])
            .map(drop)
    }),
    operation("grow", |_, pool| {
        pool.resize_replica(uuid(ACTIVE), 24 * UNIT, Shrink::Refuse)
            .map(drop)
    }),
    operation("shrink an inactive one", |_, pool| {
        pool.resize_replica(uuid(INACTIVE), 4 * UNIT, Shrink::Allow)
            .map(drop)
    }),
    Operation {
        takes_snapshot: true,
        ..operation("snapshot", |_, pool| {
            pool.create_snapshot(&snapshot(ACTIVE, TAKEN)).map(drop)
        })
    },
    Operation {
        takes_snapshot: true,
        ..operation("snapshot of an inactive one", |_, pool| {
            pool.create_snapshot(&snapshot(INACTIVE, TAKEN)).map(drop)
        })
    },
    operation("clone", |_, pool| {
        pool.create_clone(&clone(SNAPSHOT, 10)).map(drop)
    }),
    operation("destroy an origin", |_, pool| pool.destroy_replica(uuid(ACTIVE))),
    operation("destroy an inactive one", |_, pool| {
        pool.destroy_replica(uuid(INACTIVE))
    }),
    operation("destroy a snapshot", |_, pool| {
        pool.destroy_snapshot(uuid(SNAPSHOT))
    }),
    operation("export", |system, _| system.export_pool(POOL)),
];

/// A host with all of it.
pub(super) fn scene(disks: usize) -> Lab {
    scene_as(disks, "linear")
}

/// As [`scene`], with a thin pool of some layout.
pub(super) fn scene_as(disks: usize, layout: &str) -> Lab {
    let lab = lab_as(disks, layout);
    restore(&lab);
    lab
}

/// Brings the pool back to what the operations begin with.
pub(super) fn restore(lab: &Lab) {
    let pool = reopen(lab);
    let is_ours = |id| {
        let mut wanted = REPLICAS.iter().map(|(n, ..)| *n).chain([SNAPSHOT]);
        wanted.any(|n| uuid(n) == id)
    };
    for replica in pool.replicas().unwrap() {
        if !is_ours(replica.uuid) {
            pool.destroy_replica(replica.uuid).unwrap();
        }
    }
    for snapshot in pool.snapshots(None).unwrap() {
        if !is_ours(snapshot.uuid) {
            pool.destroy_snapshot(snapshot.uuid).unwrap();
        }
    }
    for (n, chunks, content) in REPLICAS {
        if pool.replica(uuid(n)).is_err() {
            if n == CLONE && pool.snapshot(uuid(SNAPSHOT)).is_err() {
                pool.create_snapshot(&snapshot(ACTIVE, SNAPSHOT)).unwrap();
            }
            let made = match n {
                THICK => pool.create_replica(&CreateReplica::new(uuid(n), chunks * UNIT)),
                CLONE => pool.create_clone(&clone(SNAPSHOT, n)),
                _ => pool.create_replica(&thin(n, chunks)),
            };
            assert_eq!(made.unwrap().size, chunks * UNIT);
            for (chunk, byte) in (0..).zip(content) {
                fill(&pool, n, chunk, byte.unwrap());
            }
        }
        pool.resize_replica(uuid(n), chunks * UNIT, Shrink::Allow)
            .unwrap();
    }
    if pool.snapshot(uuid(SNAPSHOT)).is_err() {
        pool.create_snapshot(&snapshot(ACTIVE, SNAPSHOT)).unwrap();
    }
    for n in [ACTIVE, CLONE] {
        pool.activate_replica(uuid(n)).unwrap();
    }
    pool.deactivate_replica(uuid(INACTIVE)).unwrap();
}

/// The host starts anew: no device is there.
pub(super) fn reboot(lab: &Lab) {
    let mapper = lab.fake.inner();
    let mut cookie = mapper.cookie().unwrap();
    for _ in 0..100 {
        // From the top down: what is in use is refused.
        for device in mapper.list().unwrap() {
            let id = DeviceId::Name(&device.name);
            let _ = mapper.resume(id, UdevFlags::empty(), &mut cookie);
            let _ = mapper.remove(id, false, UdevFlags::empty(), &mut cookie);
        }
    }
    mapper.finish(cookie, Duration::ZERO).unwrap();
    assert!(mapper.list().unwrap().is_empty());
}

/// The pool as the next process finds it; what was exported is imported first.
pub(super) fn reopen(lab: &Lab) -> StoragePool {
    let system = lab.system();
    match system.open_pool(POOL) {
        Ok(pool) => pool,
        Err(_) => system.import_pool(POOL, &lab.images, None).unwrap(),
    }
}

/// All volumes by their numbers and sizes.
pub(super) type Volumes = Vec<(uuid::Uuid, u64)>;

pub(super) fn volumes(pool: &StoragePool) -> Volumes {
    let replicas = pool.replicas().unwrap().into_iter();
    let snapshots = pool.snapshots(None).unwrap().into_iter();
    let mut all: Volumes = replicas
        .map(|replica| (replica.uuid, replica.size))
        .chain(snapshots.map(|snapshot| (snapshot.uuid, snapshot.size)))
        .collect();
    all.sort();
    all
}

/// The volumes before and after an operation that nothing hurts; the pool is as before then.
pub(super) fn volumes_around(lab: &Lab, operation: &Operation) -> [Volumes; 2] {
    let pool = reopen(lab);
    let old = volumes(&pool);
    (operation.run)(&lab.system(), &pool).unwrap();
    let new = volumes(&reopen(lab));
    check_at_rest(lab, operation.name);
    restore(lab);
    [old, new]
}

/// Both metadata agree, the volumes that are there hold what they held, and the next change works.
#[track_caller]
pub(super) fn check_sound(lab: &Lab, pool: &StoragePool, context: &str) {
    check_at_rest(lab, context);
    let reasons = lab.system().pool_info(POOL).unwrap().reasons;
    assert_eq!(reasons, [""; 0], "{context}");
    let there = volumes(pool);
    for (n, _, content) in REPLICAS {
        if there.iter().any(|(id, _)| *id == uuid(n)) {
            check_content(pool, n, content, context);
        }
    }
    let made = pool.create_replica(&thin(99, 4));
    made.unwrap_or_else(|error| panic!("{context}: {error:?}"));
    assert!(!is_anything_suspended(lab), "{context}");
}

/// What of a thin pool is made larger, its data or its metadata: both at once are one after the other.
pub(super) const GROWN: [[bool; 2]; 2] = [[true, false], [false, true]];

/// A host with a thin pool and a replica with data.
pub(super) fn growing() -> Lab {
    growing_as(1, "linear")
}

/// As [`growing`], with a thin pool of some layout.
pub(super) fn growing_as(disks: usize, layout: &str) -> Lab {
    let lab = lab_as(disks, layout);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    fill(&pool, 1, 0, 7);
    lab
}

/// Makes the thin pool of [`growing`] larger.
pub(super) fn grow(pool: &StoragePool, [data, metadata]: [bool; 2]) -> Result<(), Error> {
    let data = data.then_some((CHUNKS + 16) * CHUNK);
    let metadata = metadata.then_some(3 << 20);
    pool.extend_thin_pool(data, metadata).map(drop)
}

/// The sizes after [`grow`].
pub(super) fn wanted_sizes([data, metadata]: [u64; 2], [grown_data, grown_metadata]: [bool; 2]) -> [u64; 2] {
    [
        if grown_data { (CHUNKS + 16) * CHUNK } else { data },
        if grown_metadata { 3 << 20 } else { metadata },
    ]
}

/// Bytes of data and of metadata of the thin pool, of which LVM's metadata and the kernel say the same.
#[track_caller]
pub(super) fn pool_sizes(lab: &Lab, pool: &StoragePool) -> [u64; 2] {
    let info = pool.info().unwrap().thin_pool.unwrap();
    let name = DmName::new(TPOOL).unwrap();
    let lines = lab.fake.inner().status(DeviceId::Name(&name), true).unwrap();
    let status = ThinPoolStatus::parse(&lines[0]).unwrap();
    let sizes = [info.data_size, info.metadata_size];
    assert_eq!([status.data_blocks * CHUNK, status.metadata_blocks * 4096], sizes);
    sizes
}
