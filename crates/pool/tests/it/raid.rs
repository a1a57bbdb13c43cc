//! Arrays on disks and devices together.

use std::time::Duration;

use lvm_dm::{DeviceId, DeviceMapper, OpenMode};
use lvm_pool::{CreateReplica, Error, ImageState, Shrink, State, StoragePool, System};

use crate::lab::{ARMS, Lab, POOL, UNIT, uuid};

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
        Err(Error::MissingDisk { .. })
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
type Prepare = fn() -> (Lab, Vec<u8>);
const OPERATIONS: &[(&str, Prepare, Run)] = &[
    ("grow", prepared, |system| {
        let pool = system.open_pool(POOL)?;
        pool.resize_replica(uuid(1), 24 * UNIT, Shrink::Refuse).map(drop)
    }),
    ("deactivate", prepared, |system| {
        system.open_pool(POOL)?.deactivate_replica(uuid(1)).map(drop)
    }),
    ("destroy", prepared, |system| {
        system.open_pool(POOL)?.destroy_replica(uuid(1))
    }),
    ("create", prepared, |system| {
        system
            .open_pool(POOL)?
            .create_replica(&request(2, 8 * UNIT, "raid1:3"))
            .map(drop)
    }),
    ("add a copy", prepared, |system| convert(system, "raid1:3")),
    ("drop the copies", prepared, |system| convert(system, "linear")),
    ("drop a copy", prepared_with_three, |system| {
        convert(system, "raid1:2")
    }),
    ("make copies", prepared_linear, |system| {
        convert(system, "raid1:3")
    }),
];

fn convert(system: &System, layout: &str) -> Result<(), Error> {
    let pool = system.open_pool(POOL)?;
    pool.convert_replica(uuid(1), layout.parse().unwrap()).map(drop)
}

fn prepared_with_three() -> (Lab, Vec<u8>) {
    let (lab, data) = prepared();
    convert(&lab.system(), "raid1:3").unwrap();
    (lab, data)
}

fn prepared_linear() -> (Lab, Vec<u8>) {
    let (lab, data) = prepared();
    convert(&lab.system(), "linear").unwrap();
    (lab, data)
}

/// What a replica is: its size and layout.
type Shape = (uuid::Uuid, u64, String);

fn shapes(pool: &StoragePool) -> Vec<Shape> {
    let replicas = pool.replicas().unwrap().into_iter();
    replicas
        .map(|replica| (replica.uuid, replica.size, replica.layout))
        .collect()
}

/// Runs an operation that is cut or fails where `arm` says; true as long as that place is reached.
fn check_cut(
    (name, prepare, run): &(&str, Prepare, Run),
    new: &[Shape],
    arm: &dyn Fn(&Lab),
    context: &str,
) -> bool {
    let (lab, data) = prepare();
    let old = shapes(&lab.pool());
    let system = lab.system();
    let faults = lab.fake.fault_count();
    arm(&lab);
    let result = run(&system);
    let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
    drop(system);
    let context = format!("{name}, {context}: {result:?}");
    let pool = lab.pool();
    let found = shapes(&pool);
    assert!(found == old || found == new, "{context}: {found:?}");
    assert!(result.is_err() || found == new, "{context}: {found:?}");
    lab.check_devices(&pool.replicas().unwrap(), &context);
    if found.iter().any(|(found, ..)| *found == uuid(1)) {
        check_data(&pool, &data, &context);
        check_whole(&lab, &pool, &context);
    }
    pool.create_replica(&request(9, 4 * UNIT, "raid1:2"))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    lab.check_devices(&pool.replicas().unwrap(), &context);
    struck
}

/// No image is marked to be filled, and the copies that there are are in sync.
fn check_whole(lab: &Lab, pool: &StoragePool, context: &str) {
    let text = lab.metadata();
    assert!(!text.contains("REBUILD"), "{context}: {text}");
    if let Some(array) = pool.replica(uuid(1)).unwrap().array {
        let is_online = |image: &ImageState| *image == ImageState::Online;
        assert!(array.images.iter().all(is_online), "{context}: {array:?}");
    }
}

#[test]
fn death_and_failure_at_every_step_leave_the_old_or_the_new_array() {
    for operation in OPERATIONS {
        let (lab, _) = operation.1();
        (operation.2)(&lab.system()).unwrap();
        let new = shapes(&lab.pool());
        for (kind, arm) in ARMS {
            let mut at = 1;
            while check_cut(operation, &new, &|lab| arm(lab, at), &format!("{kind} {at}")) {
                at += 1;
            }
        }
    }
}

#[test]
fn copies_come_and_go_under_a_replica_that_serves() {
    let (lab, data) = prepared();
    let pool = lab.pool();
    let device = pool.open_replica(uuid(1)).unwrap();
    for (layout, images) in [
        ("raid1:3", 3),
        ("raid1:3", 3),
        ("raid1:2", 2),
        ("linear", 0),
        ("raid1:2", 2),
    ] {
        let before = pool.info().unwrap().seqno;
        let info = pool.convert_replica(uuid(1), layout.parse().unwrap()).unwrap();
        assert_eq!((&*info.layout, info.size), (layout, 8 * UNIT));
        let found = info.array.map_or(0, |array| array.images.len());
        assert_eq!(found, images, "{layout}");
        let mut read = vec![0; data.len()];
        device.read_at(UNIT, &mut read).unwrap();
        assert!(read == data, "{layout}");
        lab.check_devices(&pool.replicas().unwrap(), layout);
        check_whole(&lab, &pool, layout);
        let again = pool.info().unwrap().seqno;
        pool.convert_replica(uuid(1), layout.parse().unwrap()).unwrap();
        assert_eq!(
            pool.info().unwrap().seqno,
            again,
            "{layout}: nothing to do costs no commit"
        );
        assert!(again >= before);
    }
}

#[test]
fn what_cannot_be_converted_or_repaired_is_refused_and_changes_no_disk() {
    let (lab, _) = prepared();
    let pool = lab.pool();
    pool.create_replica(&request(2, UNIT, "striped:2")).unwrap();
    let before = lab.bytes();
    let convert = |n, layout: &str| {
        let layout = layout.parse().unwrap();
        pool.convert_replica(uuid(n), layout).unwrap_err().kind()
    };
    assert_eq!(convert(1, "raid5:2"), "Unsupported");
    assert_eq!(convert(1, "striped:2"), "Unsupported");
    assert_eq!(convert(1, "raid1:4"), "NoSpace");
    assert_eq!(convert(2, "raid1:2"), "Unsupported");
    assert_eq!(convert(7, "raid1:2"), "ReplicaNotFound");
    let repair = |n| pool.repair_replica(uuid(n)).unwrap_err().kind();
    assert_eq!(repair(1), "NothingToRepair");
    assert_eq!(repair(2), "NotArray");
    pool.deactivate_replica(uuid(1)).unwrap();
    assert_eq!(convert(1, "raid1:3"), "NotActive");
    assert_eq!(repair(1), "NotActive");
    assert!(lab.bytes() == before);
}

fn take_away(lab: &Lab, disk: usize) {
    std::fs::rename(&lab.images[disk], lab.images[disk].with_extension("away")).unwrap();
}

#[test]
fn the_image_on_a_missing_disk_is_replaced_under_a_replica_that_serves() {
    let (lab, data) = prepared();
    let device = lab.pool().open_replica(uuid(1)).unwrap();
    take_away(&lab, 0);
    let pool = lab.pool();
    assert_eq!(pool.replica(uuid(1)).unwrap().state, State::Degraded);
    let info = pool.repair_replica(uuid(1)).unwrap();
    assert_eq!(info.state, State::Online);
    assert_eq!(info.array.unwrap().images, [ImageState::Online; 2]);
    let mut read = vec![0; data.len()];
    device.read_at(UNIT, &mut read).unwrap();
    assert!(read == data);
    drop(device);
    let text = lab.metadata();
    assert!(text.contains("flags = [\"MISSING\"]"), "{text}");
    check_whole(&lab, &pool, "repaired");
    lab.check_devices(&pool.replicas().unwrap(), "repaired");
    assert_eq!(
        pool.repair_replica(uuid(1)).unwrap_err().kind(),
        "NothingToRepair"
    );
    // The second disk that is lost takes more than can be: nothing is changed.
    let before = pool.info().unwrap().seqno;
    take_away(&lab, 1);
    let pool = lab.pool();
    assert_eq!(pool.repair_replica(uuid(1)).unwrap_err().kind(), "NoSpace");
    take_away(&lab, 2);
    let found = lab.system().pools().unwrap();
    assert!(found.is_empty(), "{found:?}");
    std::fs::rename(lab.images[2].with_extension("away"), &lab.images[2]).unwrap();
    assert_eq!(lab.pool().info().unwrap().seqno, before);
}

#[test]
fn death_and_failure_at_every_step_of_a_repair_are_gone_on_from() {
    for (kind, arm) in ARMS {
        for at in 1.. {
            let (lab, data) = prepared();
            take_away(&lab, 0);
            let pool = lab.pool();
            let faults = lab.fake.fault_count();
            arm(&lab, at);
            let result = pool.repair_replica(uuid(1));
            let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
            drop(pool);
            let context = format!("{kind} {at}: {result:?}");
            let pool = lab.pool();
            match pool.repair_replica(uuid(1)) {
                Ok(_) | Err(Error::NothingToRepair(_)) => {}
                Err(error) => panic!("{context}: {error}"),
            }
            check_data(&pool, &data, &context);
            check_whole(&lab, &pool, &context);
            lab.check_devices(&pool.replicas().unwrap(), &context);
            if !struck {
                break;
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

#[test]
fn what_lay_on_a_missing_disk_alone_is_destroyed_though_it_is_active() {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(2), 4 * UNIT))
        .unwrap();
    take_away(&lab, 0);
    let pool = lab.pool();
    assert_eq!(pool.info().unwrap().state, State::Degraded);
    pool.destroy_replica(uuid(2)).unwrap();
    lab.check_devices(&[], "destroyed");
    assert_eq!(pool.info().unwrap().used, 0);
}

#[test]
fn an_array_that_lost_all_images_is_not_repaired_and_nothing_changes() {
    let (lab, _) = prepared();
    take_away(&lab, 0);
    take_away(&lab, 1);
    let pool = lab.pool();
    let before = std::fs::read(&lab.images[2]).unwrap();
    let lost = pool.repair_replica(uuid(1)).unwrap_err();
    assert_eq!((lost.kind(), lost.errno()), ("ArrayLost", libc::EIO));
    assert_eq!(pool.replica(uuid(1)).unwrap().state, State::Faulted);
    assert!(std::fs::read(&lab.images[2]).unwrap() == before);
}
