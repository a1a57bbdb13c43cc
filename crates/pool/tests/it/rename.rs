//! A pool gets another name, and every device of it, whatever cuts that.

use lvm_dm::DeviceMapper;
use lvm_pool::{CreateReplica, CreateThinPool, Error, StoragePool};

use crate::lab::{ARMS, Lab, POOL, UNIT, request, uuid};

const NEW: &str = "pool-other";

/// A pool with a linear replica, an array and a thin replica.
fn prepared() -> Lab {
    let lab = Lab::sized(2, 256 * UNIT);
    let pool = lab.system().create_pool(&request(POOL, &lab.images)).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    let mut array = CreateReplica::new(uuid(2), 8 * UNIT);
    array.layout = "raid1:2".parse().unwrap();
    pool.create_replica(&array).unwrap();
    pool.create_thin_pool(&CreateThinPool::new(64 * UNIT)).unwrap();
    let mut thin = CreateReplica::new(uuid(3), 8 * UNIT);
    thin.thin = true;
    pool.create_replica(&thin).unwrap();
    pool.open_replica(uuid(1)).unwrap().write_at(0, b"data").unwrap();
    lab
}

/// The names of the VGs that devices carry.
fn vgs_of_devices(lab: &Lab) -> Vec<String> {
    let names = lab.fake.list().unwrap().into_iter();
    let mut vgs: Vec<String> = names
        .map(|device| device.name.as_str().replace("--", "_"))
        .map(|name| name.split('-').next().unwrap().replace('_', "-"))
        .collect();
    vgs.sort();
    vgs.dedup();
    vgs
}

fn check_whole(lab: &Lab, pool: &StoragePool, context: &str) {
    assert_eq!(vgs_of_devices(lab), [pool.name()], "{context}");
    let replicas = pool.replicas().unwrap();
    assert!(replicas.iter().all(|replica| replica.active), "{context}");
    assert_eq!(replicas.len(), 3, "{context}");
    let mut read = [0; 4];
    pool.open_replica(uuid(1)).unwrap().read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"data", "{context}");
    let reasons = lab.system().pool_info(pool.name()).unwrap().reasons;
    assert!(reasons.is_empty(), "{context}: {reasons:?}");
}

#[test]
fn a_renamed_pool_keeps_its_replicas_active_and_its_id() {
    let lab = prepared();
    let (system, old) = (lab.system(), lab.pool());
    let pool = system.rename_pool(POOL, NEW).unwrap();
    assert_eq!((pool.name(), pool.uuid()), (NEW, old.uuid()));
    check_whole(&lab, &pool, "renamed");
    assert!(matches!(old.info().map(|info| info.name), Ok(name) if name == NEW));
    let refused = old.create_replica(&CreateReplica::new(uuid(9), UNIT));
    assert!(matches!(refused, Err(Error::PoolNotFound(_))));
    assert!(matches!(system.open_pool(POOL), Err(Error::PoolNotFound(_))));
    pool.create_replica(&CreateReplica::new(uuid(9), UNIT)).unwrap();
    // Back, by its UUID.
    pool.destroy_replica(uuid(9)).unwrap();
    let pool = system.rename_pool(&pool.uuid().to_string(), POOL).unwrap();
    check_whole(&lab, &pool, "back");
    let seqno = pool.info().unwrap().seqno;
    system.rename_pool(POOL, POOL).unwrap();
    assert_eq!(pool.info().unwrap().seqno, seqno);
}

#[test]
fn a_name_that_is_taken_or_illegal_changes_nothing() {
    let lab = Lab::new(2);
    let system = lab.system();
    let pool = system.create_pool(&request(POOL, &lab.images[..1])).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    system.create_pool(&request(NEW, &lab.images[1..])).unwrap();
    let before = lab.bytes();
    let refused = |new: &str| system.rename_pool(POOL, new).unwrap_err().kind();
    assert_eq!(refused(NEW), "AlreadyExists");
    assert_eq!(refused("a b"), "InvalidName");
    assert_eq!(refused(&"x".repeat(100)), "InvalidArgument");
    assert!(lab.bytes() == before);
}

#[test]
fn a_rename_that_is_cut_or_fails_leaves_one_name_everywhere() {
    for (what, arm) in ARMS {
        for at in 1.. {
            let lab = prepared();
            let system = lab.system();
            arm(&lab, at);
            let result = system.rename_pool(POOL, NEW);
            let has_struck = result.is_err() || lab.switch.has_struck() || lab.fake.is_dead();
            drop(system);
            let system = lab.system();
            let context = format!("{what} {at}");
            let pool = system
                .open_pool(NEW)
                .or_else(|_| system.open_pool(POOL))
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(result.is_err() || pool.name() == NEW, "{context}");
            check_whole(&lab, &pool, &context);
            if !has_struck {
                assert!(at > 3, "{what}: nothing was cut");
                break;
            }
        }
    }
}

#[test]
fn a_rename_that_is_repeated_or_taken_back_after_it_failed_leaves_one_name_everywhere() {
    let (mut repeated, mut taken_back) = (0, 0);
    for (what, arm) in ARMS {
        for (is_back, at) in (1..).flat_map(|at| [(false, at), (true, at)]) {
            let lab = prepared();
            let system = lab.system();
            arm(&lab, at);
            let result = system.rename_pool(POOL, NEW);
            let has_struck = result.is_err() || lab.switch.has_struck() || lab.fake.is_dead();
            drop(system);
            let (wanted, new) = if is_back { (NEW, POOL) } else { (POOL, NEW) };
            let context = format!("{what} {at}: {result:?}, then {wanted} to {new}");
            // It opens the pool no other way than by what is asked next.
            match lab.system().rename_pool(wanted, new) {
                Ok(_) if is_back => taken_back += usize::from(result.is_err()),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), "PoolNotFound", "{context}: {error}");
                    repeated += usize::from(result.is_err() && !is_back);
                }
            }
            assert_eq!(vgs_of_devices(&lab), [new], "{context}");
            check_whole(&lab, &lab.system().open_pool(new).unwrap(), &context);
            if !has_struck {
                assert!(at > 3, "{what}: nothing was cut");
                break;
            }
        }
    }
    assert!(repeated > 0 && taken_back > 0, "{repeated} and {taken_back}");
}
