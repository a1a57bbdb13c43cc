//! Arrays on disks and devices together.

use std::time::Duration;

use lvm_dm::testing::Fault;
use lvm_dm::{DeviceId, DeviceMapper, OpenMode};
use lvm_pool::{CreateReplica, Error, ImageState, Shrink, State, StoragePool, System};

use crate::lab::{Cut, Lab, POOL, UNIT, uuid};

fn request(n: u128, size: u64, layout: &str) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(n), size);
    request.layout = layout.parse().unwrap();
    request
}

/// A pool on three disks with an array that holds data.
fn prepared() -> (Lab, Vec<u8>) {
    let lab = Lab::with_pool(3);
    let pool = lab.pool();
    pool.create_replica(&request(1, 8 * UNIT, "raid1:2")).unwrap();
    let data: Vec<u8> = (0..UNIT).map(|at| (at % 251) as u8).collect();
    let device = pool.open_replica(uuid(1)).unwrap();
    device.write_at(UNIT, &data).unwrap();
    device.sync().unwrap();
    (lab, data)
}

fn check_data(pool: &StoragePool, data: &[u8], context: &str) {
    let mut read = vec![0; data.len()];
    pool.activate_replica(uuid(1)).unwrap();
    let device = pool.open_replica(uuid(1)).unwrap();
    device.read_at(UNIT, &mut read).unwrap();
    assert!(read == data, "{context}: the data changed");
}

#[test]
fn an_array_is_told_with_its_images() {
    let (lab, data) = prepared();
    let pool = lab.pool();
    let info = pool.replica(uuid(1)).unwrap();
    assert_eq!(info.layout, "raid1:2");
    assert_eq!(
        (info.size, info.committed, info.state),
        (8 * UNIT, 8 * UNIT, State::Online)
    );
    let array = info.array.unwrap();
    assert_eq!(array.images, [ImageState::Online; 2]);
    assert_eq!(array.sync(), Some(1.0));
    assert_eq!(pool.info().unwrap().foreign_lvs, [""; 0]);
    pool.deactivate_replica(uuid(1)).unwrap();
    lab.check_devices(&[], "deactivated");
    let info = pool.replica(uuid(1)).unwrap();
    assert_eq!(info.array.unwrap().images, [ImageState::Unknown; 2]);
    check_data(&pool, &data, "activated again");
    pool.destroy_replica(uuid(1)).unwrap();
    lab.check_devices(&[], "destroyed");
    assert_eq!(pool.info().unwrap().used, 0);
}

#[test]
fn many_arrays_are_made_in_one_commit() {
    let lab = Lab::with_pool(3);
    let pool = lab.pool();
    let seqno = pool.info().unwrap().seqno;
    let requests: Vec<_> = (10..13).map(|n| request(n, 4 * UNIT, "raid1:2")).collect();
    pool.create_replicas(&requests).unwrap();
    assert_eq!(pool.info().unwrap().seqno, seqno + 1);
    lab.check_devices(&pool.replicas().unwrap(), "three arrays");
}

#[test]
fn what_has_no_room_or_is_not_to_be_had_is_refused_and_changes_no_disk() {
    let (lab, _) = prepared();
    let pool = lab.pool();
    let before = lab.bytes();
    let refused = |request: &CreateReplica| pool.create_replica(request).unwrap_err().kind();
    assert_eq!(refused(&request(2, UNIT, "raid1:4")), "NoSpace");
    assert_eq!(refused(&request(2, 60 * UNIT, "raid1:3")), "NoSpace");
    assert_eq!(refused(&request(2, UNIT, "raid5:2:512K")), "InvalidArgument");
    // The mapper of the test has no more than copies.
    assert_eq!(refused(&request(2, UNIT, "raid5:2")), "Unsupported");
    let mut nosync = request(2, UNIT, "raid6:3");
    nosync.nosync = true;
    assert_eq!(refused(&nosync), "InvalidArgument");
    nosync.layout = lvm_pool::Layout::Linear;
    assert_eq!(refused(&nosync), "InvalidArgument");
    let resize = |size, shrink| pool.resize_replica(uuid(1), size, shrink).unwrap_err().kind();
    assert_eq!(resize(4 * UNIT, Shrink::Refuse), "ShrinkRefused");
    assert_eq!(resize(4 * UNIT, Shrink::Allow), "Unsupported");
    assert_eq!(resize(100 * UNIT, Shrink::Refuse), "NoSpace");
    assert!(lab.bytes() == before);
    lab.check_devices(&pool.replicas().unwrap(), "refused");
}

#[test]
fn an_array_with_a_disk_missing_comes_only_when_asked_for() {
    let (lab, data) = prepared();
    lab.pool().deactivate_replica(uuid(1)).unwrap();
    std::fs::rename(&lab.images[0], lab.images[0].with_extension("away")).unwrap();
    let pool = lab.pool();
    let info = pool.info().unwrap();
    assert_eq!(info.state, State::Degraded);
    let line = format!("the replica {} is degraded", uuid(1));
    assert!(info.reasons.contains(&line), "{:?}", info.reasons);
    assert!(matches!(
        pool.activate_replica(uuid(1)),
        Err(Error::Refused { .. })
    ));
    let found = pool.activate_replica_degraded(uuid(1)).unwrap();
    assert_eq!(found.state, State::Degraded);
    assert_eq!(
        found.array.unwrap().images,
        [ImageState::Missing, ImageState::Online]
    );
    let mut read = vec![0; data.len()];
    pool.open_replica(uuid(1))
        .unwrap()
        .read_at(UNIT, &mut read)
        .unwrap();
    assert!(read == data);
    pool.deactivate_replica(uuid(1)).unwrap();
    lab.check_devices(&[], "deactivated");
}

type Run = fn(&System) -> Result<(), Error>;
const OPERATIONS: &[(&str, Run)] = &[
    ("grow", |system| {
        let pool = system.open_pool(POOL)?;
        pool.resize_replica(uuid(1), 24 * UNIT, Shrink::Refuse).map(drop)
    }),
    ("deactivate", |system| {
        system.open_pool(POOL)?.deactivate_replica(uuid(1)).map(drop)
    }),
    ("destroy", |system| {
        system.open_pool(POOL)?.destroy_replica(uuid(1))
    }),
    ("create", |system| {
        system
            .open_pool(POOL)?
            .create_replica(&request(2, 8 * UNIT, "raid1:3"))
            .map(drop)
    }),
];

fn sizes(pool: &StoragePool) -> Vec<(uuid::Uuid, u64)> {
    let replicas = pool.replicas().unwrap().into_iter();
    replicas.map(|replica| (replica.uuid, replica.size)).collect()
}

/// Runs an operation that is cut or fails where `arm` says; true as long as that place is reached.
fn check_cut(
    (name, run): &(&str, Run),
    new: &[(uuid::Uuid, u64)],
    arm: &dyn Fn(&Lab),
    context: &str,
) -> bool {
    let (lab, data) = prepared();
    let old = sizes(&lab.pool());
    let system = lab.system();
    let faults = lab.fake.fault_count();
    arm(&lab);
    let result = run(&system);
    let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
    drop(system);
    let context = format!("{name}, {context}: {result:?}");
    let pool = lab.pool();
    let found = sizes(&pool);
    assert!(found == old || found == new, "{context}: {found:?}");
    assert!(result.is_err() || found == new, "{context}: {found:?}");
    lab.check_devices(&pool.replicas().unwrap(), &context);
    if found.iter().any(|(found, _)| *found == uuid(1)) {
        check_data(&pool, &data, &context);
    }
    pool.create_replica(&request(9, 4 * UNIT, "raid1:2"))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    lab.check_devices(&pool.replicas().unwrap(), &context);
    struck
}

#[test]
fn death_and_failure_at_every_step_leave_the_old_or_the_new_array() {
    for operation in OPERATIONS {
        let (lab, _) = prepared();
        (operation.1)(&lab.system()).unwrap();
        let new = sizes(&lab.pool());
        type Arm = fn(&Lab, usize);
        let arms: [(&str, Arm); 4] = [
            ("death before disk change", |lab, at| lab.arm(Cut::Death { at })),
            ("failure of disk operation", |lab, at| lab.arm(Cut::Fault { at })),
            ("death before kernel change", |lab, at| {
                lab.fake.fault_at_change(at, Fault::Die)
            }),
            ("failure of kernel change", |lab, at| {
                lab.fake.fault_at_change(at, Fault::Refuse(libc::EIO));
            }),
        ];
        for (kind, arm) in arms {
            let mut at = 1;
            while check_cut(operation, &new, &|lab| arm(lab, at), &format!("{kind} {at}")) {
                at += 1;
            }
        }
    }
}

#[test]
fn a_scrub_counts_what_differs_and_a_repair_makes_it_equal() {
    let (lab, data) = prepared();
    let pool = lab.pool();
    let scrub = |repair| pool.scrub_replica(uuid(1), repair, &mut |_| {}).unwrap();
    assert_eq!(scrub(false).mismatches, 0);
    damage(&lab);
    let found = scrub(false);
    assert_eq!(found.mismatches, 128);
    assert_eq!(found.replica.array.unwrap().mismatches, Some(128));
    assert_eq!(scrub(true).mismatches, 0);
    assert_eq!(scrub(false).mismatches, 0);
    check_data(&pool, &data, "repaired");
}

/// Overwrites a sector of the second image, below its array.
fn damage(lab: &Lab) {
    let devices = lab.fake.list().unwrap();
    let image = devices
        .iter()
        .find(|device| device.name.as_str().ends_with("_rimage_1"));
    let image = DeviceId::Name(&image.unwrap().name);
    let io = lab.fake.inner().open(image, OpenMode::ReadWrite).unwrap();
    io.write_at(UNIT, &[0xee; 512]).unwrap();
}

#[test]
fn only_an_active_array_with_redundancy_that_is_whole_is_scrubbed() {
    let (lab, _) = prepared();
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(2), 4 * UNIT))
        .unwrap();
    let scrub = |n| pool.scrub_replica(uuid(n), false, &mut |_| {}).unwrap_err();
    assert_eq!((scrub(2).kind(), scrub(2).errno()), ("NotArray", libc::ENOTSUP));
    assert_eq!(scrub(3).kind(), "ReplicaNotFound");
    pool.deactivate_replica(uuid(1)).unwrap();
    assert_eq!(scrub(1).kind(), "NotActive");
    std::fs::rename(&lab.images[0], lab.images[0].with_extension("away")).unwrap();
    let pool = lab.pool();
    pool.activate_replica_degraded(uuid(1)).unwrap();
    let degraded = pool.scrub_replica(uuid(1), true, &mut |_| {}).unwrap_err();
    assert_eq!((degraded.kind(), degraded.errno()), ("ArrayState", libc::EBUSY));
}

#[test]
fn what_happens_to_an_array_is_told_until_the_time_is_over() {
    let (lab, _) = prepared();
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(2), 4 * UNIT))
        .unwrap();
    let mut monitor = pool.watch_arrays().unwrap();
    let mut told = || monitor.wait(Duration::from_millis(20)).unwrap();
    assert_eq!(told(), []);
    damage(&lab);
    pool.scrub_replica(uuid(1), false, &mut |_| {}).unwrap();
    let after = told();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].array.as_ref().unwrap().mismatches, Some(128));
    // Others are nobody's business.
    pool.resize_replica(uuid(2), 8 * UNIT, Shrink::Refuse).unwrap();
    assert_eq!(told(), []);
    pool.deactivate_replica(uuid(1)).unwrap();
    assert!(!told()[0].active);
    pool.activate_replica(uuid(1)).unwrap();
    assert!(told()[0].active);
    pool.destroy_replica(uuid(1)).unwrap();
    assert_eq!(told(), []);
    lab.system().destroy_pool(POOL).unwrap();
    let gone = monitor.wait(Duration::from_millis(20)).unwrap_err();
    assert_eq!(gone.kind(), "PoolNotFound");
}
