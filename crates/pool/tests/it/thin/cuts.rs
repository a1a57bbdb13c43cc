//! The process dies at every step; the next one finds the old volumes or the new ones, and both metadata agree.

use lvm_dm::testing::Fault;
use lvm_dm::{DeviceId, DeviceMapper, DmName, OpenMode};
use lvm_meta::detail::Detail;
use lvm_pool::{CreateThinPool, StoragePool};

use super::scene::{
    ACTIVE, OPERATIONS, Operation, TAKEN, Volumes, check_sound, reopen, restore, scene, volumes,
};
use super::scene::{GROWN, grow, growing, pool_sizes, wanted_sizes};
use super::scene::{SNAPSHOT, reboot, volumes_around};
use super::view::{check_at_rest, is_anything_suspended, kernel_ids, vg};
use super::{CHUNK, check_content, clone, lab, pool_request, snapshot, thin, thin_pool};
use crate::lab::{Cut, Lab, POOL, forced, request, uuid};

const THIN_POOL: &str = "mayastor-thinpool";
/// A chunk of the origin that is written between the death and the next process.
const LATER: u64 = 2;

/// Where death strikes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    DiskChange(usize),
    KernelChange(usize),
    /// As a change of the kernel, with the host.
    PowerCut(usize),
}

impl Place {
    pub(super) fn arm(self, lab: &Lab) {
        match self {
            Self::DiskChange(at) => lab.arm(Cut::Death { at }),
            Self::KernelChange(at) | Self::PowerCut(at) => lab.fake.fault_at_change(at, Fault::Die),
        }
    }
}

const PLACES: [fn(usize) -> Place; 2] = [Place::DiskChange, Place::KernelChange];

/// Writes to the origin as its user does, who outlives the process; not while it is stopped, when writes wait.
fn write_later(lab: &Lab, byte: u8) {
    let name = format!("pool--1-{}", uuid(ACTIVE).to_string().replace('-', "--"));
    let name = DmName::new(&name).unwrap();
    let mapper = lab.fake.inner();
    let info = mapper.info(DeviceId::Name(&name)).unwrap();
    if info.is_some_and(|info| info.live_table && !info.suspended) {
        let device = mapper.open(DeviceId::Name(&name), OpenMode::ReadWrite).unwrap();
        device.write_at(LATER * CHUNK, &[byte; CHUNK as usize]).unwrap();
    }
}

/// A snapshot that is there was taken before the process died.
fn check_taken(
    lab: &Lab,
    pool: &StoragePool,
    known: &std::collections::BTreeSet<u32>,
    later: u8,
    context: &str,
) {
    if pool.snapshot(uuid(TAKEN)).is_err() {
        return;
    }
    let lv = uuid(TAKEN).to_string();
    let Some(Detail::Thin(thin)) = vg(lab).lv(&lv).and_then(|lv| lv.detail()) else {
        panic!("{context}: {lv} is not thin");
    };
    assert!(known.contains(&thin.device_id), "{context}: it was taken later");
    pool.create_clone(&clone(TAKEN, 98)).unwrap();
    let device = pool.open_replica(uuid(98)).unwrap();
    let mut found = [0];
    device.read_at(LATER * CHUNK, &mut found).unwrap();
    assert_ne!(found, [later], "{context}: it shows what was written later");
}

/// Runs an operation that death cuts, and looks at what the next process finds.
fn check_cut(lab: &Lab, operation: &Operation, [old, new]: &[Volumes; 2], place: Place, later: u8) -> bool {
    let system = lab.system();
    let pool = system.open_pool(POOL).unwrap();
    place.arm(lab);
    let result = (operation.run)(&system, &pool);
    let struck = lab.switch.has_struck() || lab.fake.is_dead();
    drop((pool, system));
    let context = format!("{}, death at {place:?}", operation.name);
    let known = kernel_ids(lab, THIN_POOL);
    write_later(lab, later);
    if matches!(place, Place::PowerCut(_)) {
        reboot(lab);
    }
    let pool = reopen(lab);
    let found = volumes(&pool);
    assert!(found == *old || found == *new, "{context}: {found:?}");
    assert!(
        result.is_err() || found == *new,
        "{context}: what was done is lost"
    );
    check_sound(lab, &pool, &context);
    check_taken(lab, &pool, &known, later, &context);
    struck
}

/// Operations in which one disk may have the new metadata and the other not yet; it is the same for all others.
const ON_TWO_DISKS: [&str; 3] = ["create", "snapshot", "destroy an origin"];

fn check_cuts(operations: &[Operation]) {
    for operation in operations {
        let disks = 1 + usize::from(ON_TWO_DISKS.contains(&operation.name));
        check_cuts_in(operation, &scene(disks));
    }
}

/// Lets death strike an operation on a host with all volumes, at every place.
pub(super) fn check_cuts_in(operation: &Operation, lab: &Lab) {
    let around = volumes_around(lab, operation);
    let mut later = 100;
    for place in [Place::DiskChange, Place::KernelChange, Place::PowerCut] {
        let mut at = 1;
        while check_cut(lab, operation, &around, place(at), later) {
            restore(lab);
            at += 1;
            later += 1;
        }
        restore(lab);
    }
    // A commit has six changes of a disk.
    assert!(later >= 106, "{}: {later}", operation.name);
}

#[test]
fn death_before_any_change_leaves_the_old_or_the_new_replicas() {
    check_cuts(&OPERATIONS[..4]);
}

#[test]
fn death_before_any_change_leaves_the_old_or_the_new_snapshots_and_clones() {
    check_cuts(&OPERATIONS[4..7]);
}

#[test]
fn death_before_any_change_leaves_what_is_destroyed_or_nothing_of_it() {
    check_cuts(&OPERATIONS[7..]);
}

/// Runs `check` with death at each place in turn, until it tells that all was done before death came.
pub(super) fn at_each_place(least: usize, mut check: impl FnMut(Place) -> bool) {
    for place in PLACES {
        let mut at = 1;
        while !check(place(at)) {
            at += 1;
        }
        assert!(at > least, "{at}");
    }
}

#[test]
fn death_while_another_death_is_mended_is_mended() {
    type Begin = fn(&StoragePool) -> Result<(), lvm_pool::Error>;
    let begun: [(&str, usize, Begin); 4] = [
        // The first message is lost, or the move to the next transaction.
        ("create", 1, |pool| pool.create_replica(&thin(10, 8)).map(drop)),
        ("create", 2, |pool| pool.create_replica(&thin(10, 8)).map(drop)),
        // Stopped, and taken; nothing stands on it yet.
        ("snapshot", 3, |pool| {
            pool.create_snapshot(&snapshot(ACTIVE, TAKEN)).map(drop)
        }),
        ("destroy", 1, |pool| pool.destroy_snapshot(uuid(SNAPSHOT))),
    ];
    for (name, first, run) in begun {
        let lab = scene(1);
        for place in PLACES {
            let mut at = 1;
            loop {
                let pool = lab.pool();
                let old = volumes(&pool);
                Place::KernelChange(first).arm(&lab);
                run(&pool).unwrap_err();
                assert!(lab.fake.is_dead());
                let system = lab.system();
                place(at).arm(&lab);
                let opened = system.open_pool(POOL).is_ok();
                let struck = lab.switch.has_struck() || lab.fake.is_dead();
                assert!(opened || struck);
                let context = format!("{name} cut at {first}, then {:?}", place(at));
                let pool = reopen(&lab);
                let found = volumes(&pool);
                match name {
                    "snapshot" => assert_eq!(found, old, "{context}"),
                    _ => assert_ne!(found, old, "{context}"),
                }
                check_sound(&lab, &pool, &context);
                restore(&lab);
                if !struck {
                    break;
                }
                at += 1;
            }
            assert!(at > 1, "{name}: nothing is mended");
        }
    }
}

#[test]
fn death_while_a_thin_pool_is_made_leaves_none_or_one() {
    check_making(2, &thin_pool());
}

/// Making a pool on so many disks, cut at each place.
pub(super) fn check_making(disks: usize, request_of_pool: &CreateThinPool) {
    at_each_place(5, |place| {
        let lab = Lab::sized(disks, 160 * crate::lab::UNIT);
        lab.system().create_pool(&request(POOL, &lab.images)).unwrap();
        let pool = lab.pool();
        place.arm(&lab);
        let done = pool.create_thin_pool(request_of_pool).is_ok();
        let context = format!("death at {place:?}");
        let pool = lab.pool();
        check_at_rest(&lab, &context);
        assert!(!done || pool.info().unwrap().thin_pool.is_some(), "{context}");
        pool.create_thin_pool(request_of_pool).unwrap();
        pool.create_replica(&thin(1, 4)).unwrap();
        check_at_rest(&lab, &context);
        done
    });
}

#[test]
fn death_while_a_thin_pool_grows_leaves_the_old_size_or_the_new() {
    for part in GROWN {
        at_each_place(5, |place| {
            let lab = growing();
            let pool = lab.pool();
            let old = pool_sizes(&lab, &pool);
            place.arm(&lab);
            let done = grow(&pool, part).is_ok();
            let context = format!("{part:?}, death at {place:?}");
            let pool = lab.pool();
            check_at_rest(&lab, &context);
            assert!(!is_anything_suspended(&lab), "{context}");
            let found = pool_sizes(&lab, &pool);
            let new = wanted_sizes(old, part);
            assert!(found == new || found == old && !done, "{context}: {found:?}");
            grow(&pool, part).unwrap();
            assert_eq!(pool_sizes(&lab, &pool), new, "{context}");
            check_content(&pool, 1, &[Some(7)], &context);
            done
        });
    }
}

#[test]
fn death_while_a_pool_with_a_thin_pool_is_made_leaves_disks_that_a_repeated_call_takes() {
    at_each_place(5, |place| {
        let lab = Lab::sized(1, 160 * crate::lab::UNIT);
        let (system, wanted) = (lab.system(), pool_request(&lab));
        place.arm(&lab);
        let done = system.create_pool(&wanted).is_ok();
        let system = lab.system();
        let pool = system.create_pool(&wanted).or_else(|_| {
            let mut wanted = wanted.clone();
            wanted.force = true;
            system.create_pool(&wanted)
        });
        let context = format!("death at {place:?}");
        let pool = pool.unwrap_or_else(|error| panic!("{context}: {error}"));
        pool.create_replica(&thin(1, 4)).unwrap();
        check_at_rest(&lab, &context);
        done
    });
}

#[test]
fn death_while_a_pool_is_imported_leaves_one_that_a_repeated_call_imports() {
    let lab = scene(2);
    at_each_place(5, |place| {
        lab.system().export_pool(POOL).unwrap();
        assert!(lab.fake.inner().list().unwrap().is_empty());
        let system = lab.system();
        place.arm(&lab);
        let done = system.import_pool(POOL, &lab.images, None).is_ok();
        let context = format!("death at {place:?}");
        let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
        let mut replicas = pool.replicas().unwrap();
        replicas.retain(|replica| !replica.active);
        assert_eq!(replicas, [], "{context}");
        check_sound(&lab, &pool, &context);
        restore(&lab);
        done
    });
}

#[test]
fn death_while_a_pool_with_thin_volumes_is_destroyed_leaves_one_that_a_repeated_call_removes() {
    at_each_place(3, |place| {
        let lab = lab(1);
        let pool = lab.pool();
        pool.create_replica(&thin(1, 4)).unwrap();
        pool.create_snapshot(&snapshot(1, 2)).unwrap();
        let system = lab.system();
        place.arm(&lab);
        let done = system.destroy_pool(POOL).is_ok();
        let system = lab.system();
        match system.destroy_pool(POOL) {
            Ok(()) => assert!(!done),
            Err(error) => assert_eq!(error.kind(), "PoolNotFound", "{:?}", place),
        }
        assert!(lab.fake.inner().list().unwrap().is_empty(), "{:?}", place);
        // Nothing of the old thin pool is taken for the new one's.
        let mut again = forced(POOL, &lab.images);
        again.thin_pool = pool_request(&lab).thin_pool;
        let pool = system.create_pool(&again).unwrap();
        pool.create_replica(&thin(1, 4)).unwrap();
        check_content(&pool, 1, &[None], "new");
        check_at_rest(&lab, "made again");
        done
    });
}
