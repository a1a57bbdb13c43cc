//! The process dies at every step of every operation; the next one finds the old state or the new one and goes on.

use lvm_dm::testing::Fault;
use lvm_pool::{CreateReplica, ReplicaInfo, SetReplica, Shrink, StoragePool, System, Zeroing};

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
];

fn create(system: &System, zeroing: Zeroing) -> Result<(), lvm_pool::Error> {
    let mut request = CreateReplica::new(uuid(2), 12 * UNIT);
    request.zeroing = zeroing;
    system.open_pool(POOL)?.create_replica(&request).map(drop)
}

fn resize(system: &System, size: u64) -> Result<(), lvm_pool::Error> {
    system
        .open_pool(POOL)?
        .resize_replica(uuid(1), size, Shrink::Allow)
        .map(drop)
}

/// A pool on two disks with one replica that holds data.
fn prepared() -> (Lab, Vec<u8>) {
    let lab = Lab::with_pool(2);
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
        Err(_) => system.import_pool(POOL, &lab.images, None).unwrap(),
    }
}

/// The properties that a cut may not leave half way.
type State = Vec<(uuid::Uuid, u64, Option<String>)>;

fn state(replicas: &[ReplicaInfo]) -> State {
    replicas
        .iter()
        .map(|replica| (replica.uuid, replica.size, replica.entity_id.clone()))
        .collect()
}

/// The states before and after an operation that nothing cuts.
fn states(operation: &Operation) -> [State; 2] {
    let (lab, _) = prepared();
    let old = state(&lab.pool().replicas().unwrap());
    (operation.run)(&lab.system()).unwrap();
    [old, state(&reopen(&lab).replicas().unwrap())]
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
    let replicas = pool.replicas().unwrap();
    let found = state(&replicas);
    assert!(
        found == *old || found == *new,
        "{context}: {found:?} is neither old nor new"
    );
    assert!(
        result.is_err() || found == *new,
        "{context}: what was reported done is lost"
    );
    lab.check_devices(&replicas, &context);
    let reasons = lab.system().pool_info(POOL).unwrap().reasons;
    assert!(reasons.is_empty(), "{context}: {reasons:?}");
    if let Some(replica) = replicas.iter().find(|replica| replica.uuid == uuid(1)) {
        pool.activate_replica(uuid(1)).unwrap();
        let mut read = vec![0; data.len()];
        pool.open_replica(uuid(1))
            .unwrap()
            .read_at(UNIT, &mut read)
            .unwrap();
        assert!(
            read == data,
            "{context}: data of a replica of {} bytes changed",
            replica.size
        );
    }
    // The next writer goes on.
    pool.create_replica(&CreateReplica::new(uuid(99), 4 * UNIT))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    lab.check_devices(&pool.replicas().unwrap(), &context);
    struck
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
