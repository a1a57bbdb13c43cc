//! What cannot be: a typed error, and every disk and device as it was.

use lvm_dm::Embedded;
use lvm_dm::testing::FakeMapper;
use lvm_pool::{Class, CreateReplica, CreateThinPool};

use super::{clone, lab, pool_request, snapshot, thin, thin_pool};
use crate::lab::{Lab, POOL, UNIT, request, uuid};
use crate::refusals::check_refused;

#[test]
fn thin_volumes_without_a_thin_pool_are_refused() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    let check = |kind, class, call: &dyn Fn(&lvm_pool::StoragePool) -> Result<(), lvm_pool::Error>| {
        check_refused(&lab, kind, class, |system| call(&system.open_pool(POOL)?));
    };
    check("NoThinPool", Class::Precondition, &|pool| {
        pool.create_replica(&thin(2, 4)).map(drop)
    });
    check("NoThinPool", Class::Precondition, &|pool| {
        pool.create_replicas(&[thin(2, 4), thin(3, 4)]).map(drop)
    });
    check("InvalidArgument", Class::InvalidArgument, &|pool| {
        pool.create_replicas(&[thin(2, 4), CreateReplica::new(uuid(3), UNIT)])
            .map(drop)
    });
    // With a size it would be a snapshot of another kind.
    check("NotThin", Class::Precondition, &|pool| {
        pool.create_snapshot(&snapshot(1, 2)).map(drop)
    });
    check("SnapshotNotFound", Class::NotFound, &|pool| {
        pool.create_clone(&clone(1, 2)).map(drop)
    });
    check("SnapshotNotFound", Class::NotFound, &|pool| {
        pool.destroy_snapshot(uuid(1))
    });
    check("NoSpace", Class::NoSpace, &|pool| {
        pool.create_thin_pool(&CreateThinPool::new(1 << 30)).map(drop)
    });
}

#[test]
fn a_kernel_without_thin_provisioning_is_told_before_anything_is_touched() {
    // Made where there is the target, and met again without it.
    let mut lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    pool.create_snapshot(&snapshot(1, 2)).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(3), UNIT)).unwrap();
    lab.fake = FakeMapper::around(Embedded::new());
    let check = |call: &dyn Fn(&lvm_pool::StoragePool) -> Result<(), lvm_pool::Error>| {
        check_refused(&lab, "NoThinTarget", Class::Precondition, |system| {
            call(&system.open_pool(POOL)?)
        });
    };
    check(&|pool| pool.create_replica(&thin(4, 4)).map(drop));
    check(&|pool| pool.create_snapshot(&snapshot(1, 4)).map(drop));
    check(&|pool| pool.create_clone(&clone(2, 4)).map(drop));
    check(&|pool| pool.activate_replica(uuid(1)).map(drop));
    check(&|pool| pool.destroy_replica(uuid(1)));
    check(&|pool| pool.destroy_snapshot(uuid(2)));
    let pool = lab.pool();
    assert_eq!(pool.snapshots(None).unwrap().len(), 1);
    pool.activate_replica(uuid(3)).unwrap();

    let mut lab = Lab::sized(1, 160 * UNIT);
    lab.fake = FakeMapper::around(Embedded::new());
    let wanted = pool_request(&lab);
    check_refused(&lab, "NoThinTarget", Class::Precondition, |system| {
        system.create_pool(&wanted)
    });
    lab.system().create_pool(&request(POOL, &lab.images)).unwrap();
    check_refused(&lab, "NoThinTarget", Class::Precondition, |system| {
        system.open_pool(POOL)?.create_thin_pool(&thin_pool())
    });
}

#[test]
fn uuids_and_names_that_are_taken_are_refused() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    pool.create_replica(&thin(2, 4)).unwrap();
    pool.create_snapshot(&snapshot(2, 3)).unwrap();
    pool.create_clone(&clone(3, 4)).unwrap();
    let check = |call: &dyn Fn(&lvm_pool::System) -> Result<(), lvm_pool::Error>| {
        check_refused(&lab, "AlreadyExists", Class::AlreadyExists, call);
    };
    for taken in 1..=4 {
        check(&|system| system.open_pool(POOL)?.create_replica(&thin(taken, 4)).map(drop));
        check(&|system| {
            let thick = CreateReplica::new(uuid(taken), UNIT);
            system.open_pool(POOL)?.create_replica(&thick).map(drop)
        });
        check(&|system| {
            let many = [thin(10, 4), thin(taken, 4)];
            system.open_pool(POOL)?.create_replicas(&many).map(drop)
        });
        check(&|system| {
            system
                .open_pool(POOL)?
                .create_snapshot(&snapshot(2, taken))
                .map(drop)
        });
        check(&|system| system.open_pool(POOL)?.create_clone(&clone(3, taken)).map(drop));
        // As these look in all pools.
        check(&|system| system.create_snapshot(&snapshot(2, taken)).map(drop));
        check(&|system| system.create_clone(&clone(3, taken)).map(drop));
    }
    let named = |n: u128, name: &str| {
        let mut request = thin(n, 4);
        request.name = Some(name.into());
        request
    };
    check(&|system| {
        let request = named(10, "clone-4");
        system.open_pool(POOL)?.create_replica(&request).map(drop)
    });
    check(&|system| {
        let request = lvm_pool::CreateClone::new(uuid(3), uuid(10), &uuid(2).to_string());
        system.open_pool(POOL)?.create_clone(&request).map(drop)
    });
    check(&|system| {
        let many = [named(10, "same"), named(11, "same")];
        system.open_pool(POOL)?.create_replicas(&many).map(drop)
    });
    // What is no replica is no source, and what is no snapshot has no clones.
    let check = |kind, call: &dyn Fn(&lvm_pool::StoragePool) -> Result<(), lvm_pool::Error>| {
        check_refused(&lab, kind, Class::NotFound, |system| {
            call(&system.open_pool(POOL)?)
        });
    };
    check("ReplicaNotFound", &|pool| {
        pool.create_snapshot(&snapshot(3, 10)).map(drop)
    });
    check("ReplicaNotFound", &|pool| {
        pool.create_snapshot(&snapshot(9, 10)).map(drop)
    });
    check("SnapshotNotFound", &|pool| {
        pool.create_clone(&clone(2, 10)).map(drop)
    });
    check("ReplicaNotFound", &|pool| pool.destroy_replica(uuid(3)));
    check("ReplicaNotFound", &|pool| {
        pool.activate_replica(uuid(3)).map(drop)
    });
    check("SnapshotNotFound", &|pool| pool.destroy_snapshot(uuid(4)));
    check_refused(&lab, "NotThin", Class::Precondition, |system| {
        system.open_pool(POOL)?.create_snapshot(&snapshot(1, 10))
    });
}

#[test]
fn a_volume_in_use_is_not_destroyed() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    pool.create_snapshot(&snapshot(1, 2)).unwrap();
    let device = pool.open_replica(uuid(1)).unwrap();
    check_refused(&lab, "Busy", Class::Busy, |system| {
        system.open_pool(POOL)?.destroy_replica(uuid(1))
    });
    check_refused(&lab, "Busy", Class::Busy, |system| system.export_pool(POOL));
    check_refused(&lab, "Busy", Class::Busy, |system| system.destroy_pool(POOL));
    // The snapshot is not: it can go, under the origin's I/O.
    pool.destroy_snapshot(uuid(2)).unwrap();
    drop(device);
    pool.destroy_replica(uuid(1)).unwrap();
}
