//! A disk in use leaves its pool: what it holds is moved, whatever dies or fails meanwhile.

use lvm_dm::testing::Fault;
use lvm_dm::{DeviceId, DeviceMapper};
use lvm_meta::Sectors;
use lvm_pool::{CreateReplica, CreateThinPool, Error, Layout, Shrink, State, StoragePool};

use crate::lab::{Cut, Lab, POOL, UNIT, request as pool_request, uuid};

const LINEAR: u128 = 1;
const STRIPED: u128 = 2;
const INACTIVE: u128 = 3;
const THIN: u128 = 4;
const ARRAY: u128 = 5;
const ALL: [u128; 5] = [LINEAR, STRIPED, INACTIVE, THIN, ARRAY];
/// Disks of the pool, and one that it does not have.
const DISKS: usize = 3;

fn thin(n: u128, units: u64) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(n), units * UNIT);
    request.thin = true;
    request
}

/// A pool on three of four disks with replicas of all kinds, all of it on the first two, and what they hold.
fn scene() -> Lab {
    let lab = Lab::sized(DISKS + 1, 128 * UNIT);
    let pool = lab
        .system()
        .create_pool(&pool_request(POOL, &lab.images[..2]))
        .unwrap();
    let mut striped = CreateReplica::new(uuid(STRIPED), 24 * UNIT);
    striped.layout = Layout::Striped {
        stripes: 2,
        stripe_size: Sectors::new(8),
    };
    pool.create_replica(&striped).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(LINEAR), 20 * UNIT))
        .unwrap();
    pool.create_replica(&CreateReplica::new(uuid(INACTIVE), 8 * UNIT))
        .unwrap();
    let mut array = CreateReplica::new(uuid(ARRAY), 8 * UNIT);
    array.layout = "raid1:2".parse().unwrap();
    pool.create_replica(&array).unwrap();
    pool.create_thin_pool(&CreateThinPool::new(24 * UNIT)).unwrap();
    pool.create_replica(&thin(THIN, 24)).unwrap();
    for n in ALL {
        fill(&pool, n);
    }
    pool.deactivate_replica(uuid(INACTIVE)).unwrap();
    pool.add_disks(&lab.images[2..DISKS], false).unwrap();
    lab
}

fn content(n: u128) -> Vec<u8> {
    let n = usize::try_from(n).unwrap();
    let mut content = vec![0; usize::try_from(8 * UNIT).unwrap()];
    for (sector, bytes) in content.chunks_mut(512).enumerate() {
        bytes.fill(((sector * 31 + n * 7) % 251) as u8);
    }
    content
}

fn fill(pool: &StoragePool, n: u128) {
    let device = pool.open_replica(uuid(n)).unwrap();
    device.write_at(0, &content(n)).unwrap();
    device.sync().unwrap();
}

#[track_caller]
fn check_content(pool: &StoragePool, context: &str) {
    for n in ALL {
        pool.activate_replica(uuid(n))
            .unwrap_or_else(|error| panic!("{context}: {n}: {error}"));
        let mut read = vec![0; content(n).len()];
        pool.open_replica(uuid(n)).unwrap().read_at(0, &mut read).unwrap();
        assert!(read == content(n), "{context}: replica {n} changed");
    }
    pool.deactivate_replica(uuid(INACTIVE)).unwrap();
    let array = pool.replica(uuid(ARRAY)).unwrap();
    assert_eq!(array.state, State::Online, "{context}: {array:?}");
    // Its two images hold the same.
    let scrubbed = pool.scrub_replica(uuid(ARRAY), false, &mut |_| {}).unwrap();
    assert_eq!(scrubbed.mismatches, 0, "{context}");
}

/// Nothing is stopped, staged or without a table.
#[track_caller]
fn check_at_rest(lab: &Lab, context: &str) {
    for device in lab.fake.list().unwrap() {
        let info = lab.fake.info(DeviceId::Name(&device.name)).unwrap().unwrap();
        assert!(
            !info.suspended && info.live_table && !info.inactive_table,
            "{context}: {info:?}"
        );
    }
}

/// Nothing is left of a move.
#[track_caller]
fn check_moved(lab: &Lab, disk: usize, context: &str) {
    let pool = lab.pool();
    let info = pool.info().unwrap();
    assert!(
        !info.disks.contains(&lab.images[disk]),
        "{context}: {:?}",
        info.disks
    );
    assert!(info.reasons.is_empty(), "{context}: {:?}", info.reasons);
    check_content(&pool, context);
    check_at_rest(lab, context);
    let is_left = |device: &lvm_dm::DeviceEntry| device.name.as_str().contains("pvmove");
    assert!(!lab.fake.list().unwrap().iter().any(is_left), "{context}");
    for replica in pool.replicas().unwrap() {
        pool.resize_replica(replica.uuid, replica.size, Shrink::Refuse)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    // It is blank.
    let other = lab
        .system()
        .create_pool(&pool_request("other", &lab.images[disk..=disk]));
    other.unwrap_or_else(|error| panic!("{context}: {error}"));
}

#[test]
fn all_that_a_disk_holds_goes_to_the_others() {
    for disk in 0..2 {
        let lab = scene();
        let pool = lab.pool();
        let before = pool.info().unwrap();
        let opened = pool.open_replica(uuid(LINEAR)).unwrap();
        let after = pool.remove_disk(&lab.images[disk]).unwrap();
        assert_eq!(after.used, before.used);
        assert_eq!(after.disks.len(), DISKS - 1);
        // Who has a replica open notices nothing.
        let mut read = vec![0; content(LINEAR).len()];
        opened.read_at(0, &mut read).unwrap();
        assert!(read == content(LINEAR));
        drop(opened);
        check_moved(&lab, disk, &format!("disk {disk}"));
    }
}

#[test]
fn a_disk_is_replaced_by_one_that_gets_all_of_it() {
    let lab = scene();
    let pool = lab.pool();
    let before = pool.info().unwrap();
    let after = pool
        .replace_disk(&lab.images[0], &lab.images[DISKS], false, &mut |_| {})
        .unwrap();
    assert_eq!((after.used, after.disks.len()), (before.used, DISKS));
    assert!(after.disks.contains(&lab.images[DISKS]));
    // Nothing went to the disk that was free before.
    pool.remove_disk(&lab.images[2]).unwrap();
    check_moved(&lab, 0, "replaced");
}

#[test]
fn images_of_an_array_never_come_to_lie_on_one_disk() {
    let lab = Lab::sized(DISKS, 128 * UNIT);
    let system = lab.system();
    let pool = system.create_pool(&pool_request(POOL, &lab.images[..2])).unwrap();
    let mut array = CreateReplica::new(uuid(ARRAY), 8 * UNIT);
    array.layout = "raid1:2".parse().unwrap();
    pool.create_replica(&array).unwrap();
    let before = lab.bytes();
    // There is room on the other disk, beside the other image.
    let refused = pool.remove_disk(&lab.images[0]).unwrap_err();
    assert_eq!(refused.kind(), "NoSpace", "{refused}");
    assert!(lab.bytes() == before);
    pool.add_disks(&lab.images[2..], false).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(LINEAR), 40 * UNIT))
        .unwrap();
    pool.remove_disk(&lab.images[0]).unwrap();
    std::fs::rename(&lab.images[2], lab.images[2].with_extension("away")).unwrap();
    let state = lab.pool().replica(uuid(ARRAY)).unwrap().state;
    assert_eq!(state, State::Degraded);
}

#[test]
fn a_thin_pool_on_an_array_serves_while_its_images_are_moved() {
    let lab = Lab::sized(DISKS, 128 * UNIT);
    let system = lab.system();
    let pool = system.create_pool(&pool_request(POOL, &lab.images[..2])).unwrap();
    let mut request = CreateThinPool::new(24 * UNIT);
    request.layout = "raid1:2".parse().unwrap();
    pool.create_thin_pool(&request).unwrap();
    pool.create_replica(&thin(THIN, 24)).unwrap();
    fill(&pool, THIN);
    pool.add_disks(&lab.images[2..], false).unwrap();
    pool.remove_disk(&lab.images[0]).unwrap();
    let check = |pool: &StoragePool| {
        let mut read = vec![0; content(THIN).len()];
        pool.open_replica(uuid(THIN))
            .unwrap()
            .read_at(0, &mut read)
            .unwrap();
        assert!(read == content(THIN));
        assert_eq!(pool.info().unwrap().state, State::Online);
    };
    check(&pool);
    let pool = lab.pool();
    check(&pool);
    check_at_rest(&lab, "moved");
}

#[test]
fn what_finds_no_room_is_refused_before_anything_changes() {
    let lab = scene();
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(9), 180 * UNIT))
        .unwrap();
    let before = lab.bytes();
    let refused = pool.remove_disk(&lab.images[0]).unwrap_err();
    assert_eq!(refused.kind(), "NoSpace", "{refused}");
    assert!(lab.bytes() == before);
    let refused = pool.replace_disk(&lab.images[0], &lab.images[0], false, &mut |_| {});
    assert_eq!(refused.unwrap_err().kind(), "InvalidDisk");
    assert!(lab.bytes() == before);
    check_at_rest(&lab, "refused");
}

/// Runs until death strikes where `arm` says, looks at what the next process finds, and lets that go on.
fn check_cut(run: Run, arm: &dyn Fn(&Lab), context: &str) -> bool {
    let lab = scene();
    let pool = lab.pool();
    arm(&lab);
    let result = run(&lab, &pool);
    let struck = lab.switch.has_struck() || lab.fake.is_dead();
    assert!(struck || result.is_ok(), "{context}: {result:?}");
    drop(pool);
    let pool = lab.pool();
    check_content(&pool, context);
    check_at_rest(&lab, context);
    // Others may be changed meanwhile.
    pool.create_replica(&CreateReplica::new(uuid(9), 4 * UNIT))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    pool.destroy_replica(uuid(9)).unwrap();
    match run(&lab, &pool) {
        Err(error) if error.kind() == "InvalidDisk" => {}
        other => other.unwrap_or_else(|error| panic!("{context}, then {error}")),
    }
    check_moved(&lab, 0, context);
    struck
}

type Run = fn(&Lab, &StoragePool) -> Result<(), Error>;
const REMOVE: Run = |lab, pool| pool.remove_disk(&lab.images[0]).map(drop);
const REPLACE: Run = |lab, pool| {
    pool.replace_disk(&lab.images[0], &lab.images[DISKS], false, &mut |_| {})
        .map(drop)
};

#[test]
fn death_before_any_write_to_a_disk_is_made_good_by_a_repeated_call() {
    let mut at = 1;
    while check_cut(
        REMOVE,
        &|lab| lab.arm(Cut::Death { at }),
        &format!("disk change {at}"),
    ) {
        at += 1;
    }
    assert!(at > 30, "{at}");
}

#[test]
fn death_before_any_call_to_the_kernel_is_made_good_by_a_repeated_call() {
    let mut at = 1;
    let arm = |lab: &Lab, at| lab.fake.fault_at_change(at, Fault::Die);
    while check_cut(REMOVE, &|lab| arm(lab, at), &format!("kernel change {at}")) {
        at += 1;
    }
    assert!(at > 20, "{at}");
}

#[test]
fn death_while_a_disk_is_replaced_is_made_good_by_a_repeated_call() {
    let mut at = 1;
    while check_cut(
        REPLACE,
        &|lab| lab.arm(Cut::Death { at }),
        &format!("disk change {at}"),
    ) {
        at += 1;
    }
    assert!(at > 40, "{at}");
}

#[test]
fn a_call_to_the_kernel_that_fails_leaves_nothing_stopped_and_no_data_behind() {
    for fault in [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::EINTR)] {
        for at in 1.. {
            let lab = scene();
            let pool = lab.pool();
            lab.fake.fault_at_change(at, fault);
            let result = pool.remove_disk(&lab.images[0]);
            let struck = lab.fake.fault_count() > 0;
            let context = format!("{fault:?} at kernel change {at}: {result:?}");
            drop(pool);
            let pool = lab.pool();
            check_content(&pool, &context);
            check_at_rest(&lab, &context);
            match pool.remove_disk(&lab.images[0]) {
                Err(error) if error.kind() == "InvalidDisk" => {}
                other => drop(other.unwrap_or_else(|error| panic!("{context}, then {error}"))),
            }
            check_moved(&lab, 0, &context);
            if !struck {
                break;
            }
        }
    }
}

/// A pool whose move is under way: the process died when the first piece was to be finished.
fn midway() -> Lab {
    let lab = scene();
    let pool = lab.pool();
    let mut loads = 0;
    lab.fake.fault_when(Fault::Die, move |call| {
        let is_load = matches!(call, lvm_dm::testing::Call::Load { device, .. } if device.contains("pvmove"));
        loads += usize::from(is_load);
        loads > 1
    });
    pool.remove_disk(&lab.images[0]).unwrap_err();
    assert!(lab.fake.is_dead());
    lab
}

#[test]
fn what_is_moved_is_locked_and_other_disks_wait_meanwhile() {
    let lab = midway();
    let pool = lab.pool();
    let before = lab.bytes();
    let refused = [
        pool.resize_replica(uuid(LINEAR), 24 * UNIT, Shrink::Refuse)
            .map(drop),
        pool.destroy_replica(uuid(LINEAR)),
        pool.destroy_replica(uuid(STRIPED)),
        pool.resize_replica(uuid(ARRAY), 12 * UNIT, Shrink::Refuse)
            .map(drop),
        pool.destroy_replica(uuid(ARRAY)),
        pool.convert_replica(uuid(ARRAY), Layout::Linear).map(drop),
        pool.convert_replica(uuid(ARRAY), "raid1:3".parse().unwrap())
            .map(drop),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), "Busy");
    }
    let other = pool.remove_disk(&lab.images[1]).unwrap_err();
    assert_eq!(other.kind(), "MoveUnderWay", "{other}");
    assert!(other.to_string().contains("disk-0"), "{other}");
    assert!(lab.bytes() == before);
    pool.remove_disk(&lab.images[0]).unwrap();
    check_moved(&lab, 0, "midway");
}

#[test]
fn a_host_that_started_anew_maps_what_is_half_moved() {
    let lab = midway();
    // The kernel's devices are gone with the host's power.
    lab.fake.heal();
    let mut left = usize::MAX;
    loop {
        let devices = lab.fake.list().unwrap();
        if devices.is_empty() {
            break;
        }
        assert!(devices.len() < left, "{devices:?}");
        left = devices.len();
        for device in devices {
            let mut cookie = lab.fake.cookie().unwrap();
            let id = DeviceId::Name(&device.name);
            let _ = lab
                .fake
                .remove(id, false, lvm_dm::UdevFlags::empty(), &mut cookie);
        }
    }
    let pool = lab.pool();
    check_content(&pool, "after the start");
    let total = std::cell::Cell::new(0);
    pool.evacuate_disk(&lab.images[0], &mut |progress| total.set(progress.total))
        .unwrap();
    check_moved(&lab, 0, "after the start");
}
