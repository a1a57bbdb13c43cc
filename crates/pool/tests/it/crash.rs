//! The process dies at every step of every operation; the next one finds the old state or the new one and goes on.

use std::fs::File;

use lvm_dm::testing::Fault;
use lvm_pool::{CreateReplica, SetReplica, Shrink, StoragePool, System, Zeroing};

use crate::lab::{Cut, Lab, POOL, UNIT, forced, request as pool_request, uuid};

/// What a process may do when death strikes, after `prepare` made the pool ready for it.
struct Operation {
    name: &'static str,
    run: fn(&System) -> Result<(), lvm_pool::Error>,
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create, head zeroed",
        run: |system| create(system, Zeroing::Head),
    },
    Operation {
        name: "create, nothing zeroed",
        run: |system| create(system, Zeroing::None),
    },
    Operation {
        name: "create, all zeroed",
        run: |system| create(system, Zeroing::Full),
    },
    Operation {
        name: "create many",
        run: |system| {
            let requests: Vec<_> = (10..14).map(|n| CreateReplica::new(uuid(n), UNIT)).collect();
            system.open_pool(POOL)?.create_replicas(&requests).map(drop)
        },
    },
    Operation {
        name: "create an array, head zeroed",
        run: |system| create_array(system, Zeroing::Head),
    },
    Operation {
        name: "create an array, all zeroed",
        run: |system| create_array(system, Zeroing::Full),
    },
    Operation {
        name: "grow a replica",
        run: |system| resize(system, 40 * UNIT),
    },
    Operation {
        name: "shrink a replica",
        run: |system| resize(system, 4 * UNIT),
    },
    Operation {
        name: "set a property",
        run: |system| {
            let new = SetReplica {
                entity_id: Some("entity-1".into()),
                ..SetReplica::default()
            };
            system.open_pool(POOL)?.set_replica(uuid(1), &new).map(drop)
        },
    },
    Operation {
        name: "deactivate",
        run: |system| system.open_pool(POOL)?.deactivate_replica(uuid(1)).map(drop),
    },
    Operation {
        name: "destroy a replica",
        run: |system| system.open_pool(POOL)?.destroy_replica(uuid(1)),
    },
    Operation {
        name: "export",
        run: |system| system.export_pool(POOL),
    },
    Operation {
        name: "grow the pool",
        run: |system| {
            let pool = system.open_pool(POOL)?;
            for disk in pool.info()?.disks {
                let image = File::options().write(true).open(&disk).unwrap();
                image.set_len(80 * UNIT).unwrap();
            }
            pool.grow().map(drop)
        },
    },
];

/// A disk that joins the pool, and one that leaves it.
const ADD: usize = 2;
const REMOVE: usize = 1;
const DISK_OPERATIONS: &[(&str, usize, DiskOperation)] = &[
    ("add a disk", 3, |lab, system| {
        system
            .open_pool(POOL)?
            .add_disks(&lab.images[ADD..], false)
            .map(drop)
    }),
    ("remove a disk", 1, |lab, system| {
        system.open_pool(POOL)?.remove_disk(&lab.images[REMOVE]).map(drop)
    }),
];
type DiskOperation = fn(&Lab, &System) -> Result<(), lvm_pool::Error>;

fn create(system: &System, zeroing: Zeroing) -> Result<(), lvm_pool::Error> {
    let mut request = CreateReplica::new(uuid(2), 12 * UNIT);
    request.zeroing = zeroing;
    system.open_pool(POOL)?.create_replica(&request).map(drop)
}

fn create_array(system: &System, zeroing: Zeroing) -> Result<(), lvm_pool::Error> {
    let mut request = CreateReplica::new(uuid(2), 12 * UNIT);
    request.zeroing = zeroing;
    request.layout = "raid1:2".parse()?;
    system.open_pool(POOL)?.create_replica(&request).map(drop)
}

fn resize(system: &System, size: u64) -> Result<(), lvm_pool::Error> {
    system
        .open_pool(POOL)?
        .resize_replica(uuid(1), size, Shrink::Allow)
        .map(drop)
}

/// A pool on two of three disks with one replica that holds data, all of it on the first.
fn prepared() -> (Lab, Vec<u8>) {
    let lab = Lab::new(3);
    let request = pool_request(POOL, &lab.images[..ADD]);
    lab.system().create_pool(&request).unwrap();
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), 20 * UNIT))
        .unwrap();
    let data: Vec<u8> = (0..UNIT).map(|at| (at % 251) as u8).collect();
    let device = pool.open_replica(uuid(1)).unwrap();
    device.write_at(UNIT, &data).unwrap();
    device.sync().unwrap();
    (lab, data)
}

/// The pool as the next process finds it; what was exported is imported first.
fn reopen(lab: &Lab) -> StoragePool {
    let system = lab.system();
    match system.open_pool(POOL) {
        Ok(pool) => pool,
        Err(_) => system.import_pool(POOL, &lab.images[..ADD], None).unwrap(),
    }
}

/// The properties that a cut may not leave half way.
type State = (u64, Vec<(uuid::Uuid, u64, Option<String>)>);

fn state(pool: &StoragePool) -> State {
    let replicas = pool.replicas().unwrap().into_iter();
    let replicas = replicas.map(|replica| (replica.uuid, replica.size, replica.entity_id));
    (pool.info().unwrap().capacity, replicas.collect())
}

/// The states before and after an operation that nothing cuts.
fn states(operation: &Operation) -> [State; 2] {
    let (lab, _) = prepared();
    let old = state(&lab.pool());
    (operation.run)(&lab.system()).unwrap();
    [old, state(&reopen(&lab))]
}

/// Runs an operation that death cuts where `arm` says, and looks at what the next process finds.
fn check_cut(operation: &Operation, [old, new]: &[State; 2], arm: &dyn Fn(&Lab), context: &str) -> bool {
    let (lab, data) = prepared();
    let system = lab.system();
    arm(&lab);
    let result = (operation.run)(&system);
    let struck = lab.switch.has_struck() || lab.fake.is_dead();
    drop(system);
    let context = format!("{}, death at {context}", operation.name);
    let pool = reopen(&lab);
    let (replicas, found) = (pool.replicas().unwrap(), state(&pool));
    assert!(
        found == *old || found == *new,
        "{context}: {found:?} is neither old nor new"
    );
    assert!(
        result.is_err() || found == *new,
        "{context}: what was reported done is lost"
    );
    lab.check_devices(&replicas, &context);
    check_sound(&lab, &context);
    if replicas.iter().any(|replica| replica.uuid == uuid(1)) {
        check_data(&pool, &data, &context);
    }
    // The next writer goes on.
    pool.create_replica(&CreateReplica::new(uuid(99), 4 * UNIT))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    lab.check_devices(&pool.replicas().unwrap(), &context);
    struck
}

/// Nothing is left for another to mend.
fn check_sound(lab: &Lab, context: &str) {
    let reasons = lab.system().pool_info(POOL).unwrap().reasons;
    assert!(reasons.is_empty(), "{context}: {reasons:?}");
}

fn check_data(pool: &StoragePool, data: &[u8], context: &str) {
    pool.activate_replica(uuid(1)).unwrap();
    let mut read = vec![0; data.len()];
    let device = pool.open_replica(uuid(1)).unwrap();
    device.read_at(UNIT, &mut read).unwrap();
    assert!(read == data, "{context}: the data changed");
}

#[test]
fn death_before_any_write_to_a_disk_leaves_the_old_or_the_new_pool() {
    for operation in OPERATIONS {
        let states = states(operation);
        let mut at = 1;
        while check_cut(
            operation,
            &states,
            &|lab| lab.arm(Cut::Death { at }),
            &format!("disk change {at}"),
        ) {
            at += 1;
        }
        assert!(
            at > 1 || operation.name == "deactivate",
            "{} writes nothing",
            operation.name
        );
    }
}

#[test]
fn death_before_any_call_to_the_kernel_leaves_the_old_or_the_new_pool() {
    for operation in OPERATIONS {
        let states = states(operation);
        let mut at = 1;
        let arm = |lab: &Lab, at| lab.fake.fault_at_change(at, Fault::Die);
        while check_cut(
            operation,
            &states,
            &|lab| arm(lab, at),
            &format!("kernel change {at}"),
        ) {
            at += 1;
        }
    }
}

#[test]
fn death_while_a_pool_is_made_leaves_disks_that_a_repeated_call_takes() {
    let mut at = 1;
    loop {
        let lab = Lab::new(2);
        let system = lab.system();
        lab.arm(Cut::Death { at });
        let request = pool_request(POOL, &lab.images);
        let done = system.create_pool(&request).is_ok();
        assert!(done || lab.switch.has_struck());
        let system = lab.system();
        let pool = system.create_pool(&request).or_else(|_| {
            // Labels without a VG that lists them may belong to one whose other disks are away: that takes a word.
            system.create_pool(&forced(POOL, &lab.images))
        });
        let pool = pool.unwrap_or_else(|error| panic!("disk change {at}: {error}"));
        assert_eq!(pool.info().unwrap().disks.len(), 2, "disk change {at}");
        check_sound(&lab, &format!("disk change {at}"));
        pool.create_replica(&CreateReplica::new(uuid(1), 80 * UNIT))
            .unwrap();
        if done {
            break;
        }
        at += 1;
    }
    assert!(at > 8, "{at}");
}

#[test]
fn death_while_a_disk_joins_or_leaves_a_pool_is_made_good_by_a_repeated_call() {
    for (name, disks, run) in DISK_OPERATIONS {
        let mut at = 1;
        loop {
            let (lab, data) = prepared();
            let system = lab.system();
            lab.arm(Cut::Death { at });
            let done = run(&lab, &system).is_ok();
            let context = format!("{name}, disk change {at}");
            let pool = lab.pool();
            check_data(&pool, &data, &context);
            let in_pool = pool.info().unwrap().disks.len();
            assert!(in_pool == 2 || in_pool == *disks, "{context}");
            if let Err(error) = run(&lab, &lab.system()) {
                // All but the last word was done: there is nothing left to take in or to take out.
                assert_eq!(in_pool, *disks, "{context}: {error}");
            }
            check_sound(&lab, &context);
            let pool = lab.pool();
            assert_eq!(pool.info().unwrap().disks.len(), *disks, "{context}");
            check_data(&pool, &data, &context);
            let free: Vec<_> = lab.images.iter().skip(*disks).cloned().collect();
            if !free.is_empty() {
                let other = lab.system().create_pool(&pool_request("other", &free));
                other.unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            if done {
                break;
            }
            at += 1;
        }
        assert!(at > 8, "{name}: {at}");
    }
}

#[test]
fn a_disk_that_fails_while_one_joins_or_leaves_costs_the_pool_nothing() {
    for (name, disks, run) in DISK_OPERATIONS {
        let mut at = 1;
        loop {
            let (lab, data) = prepared();
            let before = lab.bytes();
            let system = lab.system();
            lab.arm(Cut::Fault { at });
            let result = run(&lab, &system);
            let struck = lab.switch.has_struck();
            let context = format!("{name}, disk operation {at}: {result:?}");
            let pool = lab.pool();
            check_data(&pool, &data, &context);
            let in_pool = pool.info().unwrap().disks.len();
            assert!(in_pool == 2 || in_pool == *disks, "{context}");
            if in_pool == 2 && result.is_err() {
                assert!(lab.bytes()[ADD] == before[ADD], "{context}: the new disk changed");
            }
            let again = run(&lab, &lab.system());
            assert!(again.is_ok() || in_pool == *disks, "{context}, then {again:?}");
            check_sound(&lab, &context);
            if !struck {
                result.unwrap();
                break;
            }
            at += 1;
        }
        assert!(at > 8, "{name}: {at}");
    }
}

#[test]
fn death_while_a_pool_is_destroyed_leaves_one_that_a_repeated_call_removes() {
    let mut at = 1;
    loop {
        let (lab, _) = prepared();
        let system = lab.system();
        lab.arm(Cut::Death { at });
        let done = system.destroy_pool(POOL).is_ok();
        let system = lab.system();
        match system.destroy_pool(POOL) {
            Ok(()) => assert!(!done),
            Err(error) => assert_eq!(error.kind(), "PoolNotFound", "disk change {at}"),
        }
        assert!(system.pools().unwrap().is_empty());
        lab.check_devices(&[], &format!("disk change {at}"));
        let pool = system.create_pool(&forced("other", &lab.images));
        assert_eq!(pool.unwrap().info().unwrap().used, 0);
        if done {
            break;
        }
        at += 1;
    }
    assert!(at > 6, "{at}");
}
