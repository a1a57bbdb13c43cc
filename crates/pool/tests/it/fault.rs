//! A disk or the kernel fails once, at every place; nothing is lost, and after a failed write the handle stops.

use lvm_dm::DeviceMapper;
use lvm_dm::testing::Fault;
use lvm_pool::{CreateReplica, CreateSnapshot, CreateThinPool, Error, Shrink, StoragePool, System, Zeroing};

use crate::lab::{ARMS, Cut, Lab, POOL, UNIT, request as pool_request, uuid};

type Run = fn(&StoragePool) -> Result<(), Error>;

const OPERATIONS: &[(&str, Run)] = &[
    ("create", |pool| {
        pool.create_replica(&CreateReplica::new(uuid(2), 12 * UNIT))
            .map(drop)
    }),
    ("create zeroed", |pool| {
        let mut request = CreateReplica::new(uuid(2), 12 * UNIT);
        request.zeroing = Zeroing::Full;
        pool.create_replica(&request).map(drop)
    }),
    ("resize", |pool| {
        pool.resize_replica(uuid(1), 24 * UNIT, Shrink::Refuse).map(drop)
    }),
    ("destroy", |pool| pool.destroy_replica(uuid(1))),
];

fn prepared() -> Lab {
    let lab = Lab::with_pool(2);
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    lab
}

fn sizes(pool: &StoragePool) -> Vec<u64> {
    pool.replicas()
        .unwrap()
        .iter()
        .map(|replica| replica.size)
        .collect()
}

#[test]
fn a_disk_operation_that_fails_leaves_the_old_or_the_new_pool_and_nothing_stopped() {
    for (name, run) in OPERATIONS {
        let new = {
            let lab = prepared();
            let pool = lab.pool();
            run(&pool).unwrap();
            sizes(&pool)
        };
        let mut at = 1;
        loop {
            let lab = prepared();
            let pool = lab.pool();
            let old = sizes(&pool);
            lab.arm(Cut::Fault { at });
            let result = run(&pool);
            if !lab.switch.has_struck() {
                result.unwrap();
                break;
            }
            let context = format!("{name}, disk operation {at}: {result:?}");
            let again = pool.create_replica(&CreateReplica::new(uuid(50), 4 * UNIT));
            if let Err(error) = &again {
                assert_eq!(error.kind(), "Reopen", "{context}: {error}");
            }
            let pool = lab.pool();
            let mut found = sizes(&pool);
            if again.is_ok() {
                found.pop();
            }
            assert!(found == old || found == new, "{context}: {found:?}");
            assert!(result.is_err() || found == new, "{context}");
            lab.check_devices(&pool.replicas().unwrap(), &context);
            pool.create_replica(&CreateReplica::new(uuid(51), 4 * UNIT))
                .unwrap();
            at += 1;
        }
        assert!(at > 10, "{name}: {at}");
    }
}

#[test]
fn a_handle_that_saw_a_failed_write_changes_nothing_more_until_it_is_reopened() {
    let lab = prepared();
    let pool = lab.pool();
    // A commit reads each of the two headers twice, under the lock and before it writes; the fifth operation writes.
    lab.arm(Cut::Fault { at: 5 });
    let error = pool
        .resize_replica(uuid(1), 24 * UNIT, Shrink::Refuse)
        .unwrap_err();
    assert_eq!((error.kind(), error.errno()), ("Io", libc::EIO));
    let before = lab.bytes();
    for _ in 0..2 {
        let error = pool.destroy_replica(uuid(1)).unwrap_err();
        assert_eq!(error.kind(), "Reopen");
    }
    assert!(lab.bytes() == before);
    assert_eq!(sizes(&pool), [8 * UNIT], "it still answers");
    lab.pool().destroy_replica(uuid(1)).unwrap();
}

#[test]
fn a_kernel_call_that_fails_before_the_commit_is_undone() {
    for (name, run) in OPERATIONS {
        for fault in [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::ENOMEM)] {
            let mut at = 1;
            loop {
                let lab = prepared();
                let pool = lab.pool();
                let old = sizes(&pool);
                lab.fake.fault_at_change(at, fault);
                let result = run(&pool);
                if lab.fake.fault_count() == 0 {
                    result.unwrap();
                    break;
                }
                lab.fake.heal();
                let context = format!("{name}, kernel change {at} with {fault:?}: {result:?}");
                // What could not be undone at once, opening the pool mends.
                let pool = lab.pool();
                let found = sizes(&pool);
                match &result {
                    Ok(()) => assert_ne!(found, old, "{context}"),
                    Err(Error::AfterCommit(_)) => assert_ne!(found, old, "{context}"),
                    Err(_) => assert_eq!(found, old, "{context}"),
                }
                lab.check_devices(&pool.replicas().unwrap(), &context);
                run(&pool).map_or_else(
                    |error| {
                        assert!(
                            matches!(error.kind(), "AlreadyExists" | "ReplicaNotFound"),
                            "{context}: {error}"
                        )
                    },
                    drop,
                );
                at += 1;
            }
            assert!(at > 1, "{name}");
        }
    }
}

#[test]
fn an_activation_of_many_that_fails_is_undone_or_goes_on_and_the_next_one_does_it_all() {
    for is_pool in [true, false] {
        for fault in [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::ENOMEM)] {
            let mut at = 1;
            loop {
                let lab = Lab::with_pool(2);
                let system = lab.system();
                let pool = system.open_pool(POOL).unwrap();
                let requests: Vec<_> = (1..4).map(|n| CreateReplica::new(uuid(n), 4 * UNIT)).collect();
                let made = pool.create_replicas(&requests).unwrap();
                if is_pool {
                    for replica in &made {
                        pool.deactivate_replica(replica.uuid).unwrap();
                    }
                } else {
                    system.export_pool(POOL).unwrap();
                }
                assert!(lab.fake.list().unwrap().is_empty());
                lab.fake.fault_at_change(at, fault);
                let result = system.import_pool(POOL, &lab.images, None);
                let struck = lab.fake.fault_count() > 0;
                lab.fake.heal();
                let context = format!("{is_pool}, kernel change {at} with {fault:?}: {result:?}");
                let devices = lab.fake.list().unwrap().len();
                match (&result, fault) {
                    (Ok(_), _) => assert_eq!(devices, made.len(), "{context}"),
                    // Before a commit all is undone; after one the others are activated all the same.
                    (Err(Error::AfterCommit(_)), _) => assert!(devices + 1 >= made.len(), "{context}"),
                    (Err(_), Fault::Refuse(_)) => assert_eq!(devices, 0, "{context}"),
                    // A device whose creation was not told of is found by the next look.
                    (Err(_), _) => assert!(devices <= 1, "{context}"),
                }
                let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
                assert_eq!(pool.replicas().unwrap(), made, "{context}");
                lab.check_devices(&made, &context);
                if !struck {
                    break;
                }
                at += 1;
            }
            assert!(at > 9, "three calls for each: {at}");
        }
    }
}

#[test]
fn a_pool_that_cannot_be_made_leaves_every_disk_as_it_was() {
    let mut at = 1;
    loop {
        let lab = Lab::new(2);
        let before = lab.bytes();
        let system = lab.system();
        lab.arm(Cut::Fault { at });
        let result = system.create_pool(&pool_request(POOL, &lab.images));
        if !lab.switch.has_struck() {
            result.unwrap();
            break;
        }
        if let Err(error) = &result {
            assert!(
                lab.system().pools().unwrap().is_empty(),
                "disk operation {at}: {error}"
            );
            assert!(lab.bytes() == before, "disk operation {at}");
        }
        at += 1;
    }
    assert!(at > 10, "{at}");
}

#[test]
fn a_creation_that_is_repeated_by_a_new_process_finds_its_devices_whole() {
    let make = |system: &System| {
        // Its device is mapped behind the commit.
        let mut request = CreateReplica::new(uuid(2), 4 * UNIT);
        request.zeroing = Zeroing::None;
        system.create_replica(POOL, &request, &mut |_| {})
    };
    let (mut at, mut repeated) = (1, 0);
    loop {
        let lab = prepared();
        let system = lab.system();
        lab.fake.fault_at_change(at, Fault::Refuse(libc::ENOMEM));
        let result = make(&system);
        if lab.fake.fault_count() == 0 {
            result.unwrap();
            break;
        }
        let context = format!("kernel change {at}: {result:?}");
        // It opens the pool no other way than by what was asked again.
        let system = lab.system();
        if let Err(error) = make(&system) {
            assert_eq!(error.kind(), "AlreadyExists", "{context}");
            repeated += 1;
        }
        let replicas = system.pool_replicas(POOL).unwrap();
        assert!(
            replicas.iter().all(|replica| replica.active),
            "{context}: {replicas:?}"
        );
        lab.check_devices(&replicas, &context);
        at += 1;
    }
    assert!(repeated > 0, "none of {at} failed behind the commit");
}

#[test]
fn a_destruction_that_is_repeated_by_a_new_process_leaves_nothing_to_finish() {
    type Destroy = fn(&System) -> Result<(), Error>;
    let destructions: [(&str, bool, Destroy); 3] = [
        ("replica", false, |system| {
            system.pool_of_replica(uuid(1))?.destroy_replica(uuid(1))
        }),
        ("thin replica", true, |system| {
            system.pool_of_replica(uuid(1))?.destroy_replica(uuid(1))
        }),
        ("thin snapshot", true, |system| {
            system.pool_of_snapshot(uuid(2))?.destroy_snapshot(uuid(2))
        }),
    ];
    let mut gone = 0;
    for (name, thin, destroy) in destructions {
        for (what, arm) in ARMS {
            for at in 1.. {
                let lab = with_snapshot(thin, name.contains("snapshot"));
                let system = lab.system();
                arm(&lab, at);
                let result = destroy(&system);
                let has_struck = result.is_err() || lab.switch.has_struck() || lab.fake.is_dead();
                drop(system);
                let context = format!("{name}, {what} {at}: {result:?}");
                // It opens the pool no other way than by what is asked again.
                if let Err(error) = destroy(&lab.system()) {
                    let kinds = ["ReplicaNotFound", "SnapshotNotFound"];
                    assert!(kinds.contains(&error.kind()), "{context}: {error}");
                    gone += usize::from(result.is_err());
                }
                let left = (lab.metadata(), devices(&lab));
                lab.system().open_pool(POOL).unwrap();
                assert_eq!(left, (lab.metadata(), devices(&lab)), "{context}");
                if !has_struck {
                    assert!(at > 1, "{name}, {what}: nothing was cut");
                    break;
                }
            }
        }
    }
    assert!(gone > 0, "no destruction failed behind its commit");
}

/// A pool with a replica, and a snapshot of a thin one if wanted.
fn with_snapshot(thin: bool, snapshot: bool) -> Lab {
    let lab = Lab::sized(1, 256 * UNIT);
    let pool = lab
        .system()
        .create_pool(&pool_request(POOL, &lab.images))
        .unwrap();
    if thin {
        pool.create_thin_pool(&CreateThinPool::new(64 * UNIT)).unwrap();
    }
    let mut request = CreateReplica::new(uuid(1), 8 * UNIT);
    request.thin = thin;
    pool.create_replica(&request).unwrap();
    if snapshot {
        pool.create_snapshot(&CreateSnapshot::new(uuid(1), uuid(2), "snapshot", "volume", "1"))
            .unwrap();
    }
    lab
}

/// The devices with their tables and states.
fn devices(lab: &Lab) -> Vec<String> {
    let describe = |device: &lvm_dm::DeviceEntry| {
        let id = lvm_dm::DeviceId::Name(&device.name);
        let info = lab.fake.info(id).unwrap().unwrap();
        let table = lab.fake.table(id, false).unwrap();
        let state = (info.suspended, info.live_table, info.inactive_table);
        format!("{} {state:?} {table}", device.name)
    };
    let mut found: Vec<String> = lab.fake.list().unwrap().iter().map(describe).collect();
    found.sort();
    found
}
