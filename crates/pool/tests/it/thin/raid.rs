//! Thin pools whose data and metadata are arrays.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use lvm_dm::{DeviceId, DeviceMapper, DmName};
use lvm_meta::detail::Detail;
use lvm_meta::{Area, SegmentKind};
use lvm_pool::{CreateThinPool, Error, ImageState, State, ThinAction, ThinPolicy};

use super::cuts::{at_each_place, check_cuts_in, check_making};
use super::scene::{GROWN, OPERATIONS, grow, growing_as, pool_sizes, reboot, scene_as, wanted_sizes};
use super::view::{check_at_rest, is_anything_suspended, vg};
use super::{CHUNK, CHUNKS, check_content, fill, lab_as, pool_request, thin, thin_pool};
use crate::lab::{ARMS, Lab, POOL, UNIT, forced, request, uuid};

const COPIES: &str = "raid1:2";

fn copies() -> CreateThinPool {
    let mut request = thin_pool();
    request.layout = COPIES.parse().unwrap();
    request
}

/// The byte of a disk at which an LV on one disk begins, and the disk's number.
fn place(lab: &Lab, lv: &str) -> (usize, u64) {
    let vg = vg(lab);
    let SegmentKind::Striped(striped) = vg.lv(lv).unwrap().segments()[0].kind() else {
        panic!("{lv}");
    };
    let [Area::Pv { pv, start }] = striped.areas() else {
        panic!("{lv}");
    };
    let disk = vg.pvs().iter().position(|of_vg| of_vg.id() == *pv).unwrap();
    let first = vg.pvs()[disk].pe_start().get() * 512;
    (disk, first + u64::from(*start) * vg.extent_size().bytes())
}

fn write(lab: &Lab, lv: &str, at: u64, bytes: &[u8]) {
    let (disk, start) = place(lab, lv);
    let file = File::options().write(true).open(&lab.images[disk]).unwrap();
    file.write_all_at(bytes, start + at).unwrap();
}

#[test]
fn a_thin_pool_of_copies_has_lvms_names_and_serves() {
    let lab = lab_as(3, COPIES);
    let pool = lab.pool();
    let told = pool.info().unwrap().thin_pool.unwrap();
    assert_eq!((told.layout.as_str(), told.health), (COPIES, State::Online));
    assert_eq!(told.array.unwrap().images, [ImageState::Unknown; 4]);
    pool.create_replica(&thin(1, 8)).unwrap();
    fill(&pool, 1, 0, 7);
    let info = pool.replica(uuid(1)).unwrap();
    assert_eq!(info.state, State::Online);
    let array = info.array.unwrap();
    assert_eq!(array.images, [ImageState::Online; 4]);
    assert_eq!(array.sync(), Some(1.0));
    let vg = vg(&lab);
    for (part, word) in [("tdata", "tdata"), ("tmeta", "tmeta")] {
        let lv = vg.lv(&format!("mayastor-thinpool_{part}")).unwrap();
        let Some(Detail::Raid(raid)) = lv.detail() else {
            panic!("{part}");
        };
        assert_eq!(raid.legs.len(), 2);
        for leg in &raid.legs {
            for lv in [&leg.image, leg.meta.as_ref().unwrap()] {
                let name = format!("pool--1-{}", lv.replace('-', "--"));
                let id = vg.lv(lv).unwrap().id();
                let info = lab
                    .fake
                    .info(DeviceId::Name(&DmName::new(&name).unwrap()))
                    .unwrap();
                let uuid = info.unwrap().uuid.unwrap().to_string();
                assert_eq!(uuid, format!("LVM-{}{}", vg.id().as_str(), id.as_str()));
            }
        }
        let name = format!("pool--1-mayastor--thinpool_{part}");
        let info = lab
            .fake
            .info(DeviceId::Name(&DmName::new(&name).unwrap()))
            .unwrap();
        let uuid = info.unwrap().uuid.unwrap().to_string();
        assert!(uuid.ends_with(&format!("{}-{word}", lv.id().as_str())), "{uuid}");
    }
    pool.deactivate_replica(uuid(1)).unwrap();
    lab.system().export_pool(POOL).unwrap();
    assert_eq!(lab.fake.list().unwrap(), []);
    lab.system().import_pool(POOL, &lab.images, None).unwrap();
    check_content(&lab.pool(), 1, &[Some(7)], "imported");
    check_at_rest(&lab, "imported");
    lab.system().destroy_pool(POOL).unwrap();
    assert_eq!(lab.fake.list().unwrap(), []);
}

#[test]
fn metadata_lie_where_the_data_do() {
    let lab = lab_as(6, "raid1:3");
    let vg = vg(&lab);
    let disks = |part: &str, kind: &str| {
        let lv = |at| format!("mayastor-thinpool_{part}_{kind}_{at}");
        let mut disks: Vec<usize> = (0..3).map(|at| place(&lab, &lv(at)).0).collect();
        disks.sort_unstable();
        disks
    };
    assert_eq!(disks("tdata", "rimage"), disks("tmeta", "rimage"));
    assert_eq!(disks("tdata", "rmeta"), disks("tmeta", "rimage"));
    assert_eq!(lvm_meta::check(&vg), []);
}

#[test]
fn layouts_that_are_not_to_be_had_are_refused_and_change_no_disk() {
    let lab = Lab::sized(3, 160 * UNIT);
    let system = lab.system();
    let before = lab.bytes();
    let refused = |layout: &str| {
        let mut request = pool_request(&lab);
        request.thin_pool.as_mut().unwrap().layout = layout.parse().unwrap();
        system.create_pool(&request).unwrap_err().kind()
    };
    for layout in ["striped:2", "raid0:2", "raid5:2", "raid6:3"] {
        assert_eq!(refused(layout), "InvalidArgument", "{layout}");
    }
    assert_eq!(refused("raid1:4"), "NoSpace");
    // The mapper of the test has no more than copies.
    assert_eq!(refused("raid10:2"), "Unsupported");
    assert!(lab.bytes() == before);
    system.create_pool(&request(POOL, &lab.images)).unwrap();
    let pool = lab.pool();
    let before = lab.bytes();
    let mut many = copies();
    many.layout = "raid1:4".parse().unwrap();
    assert_eq!(pool.create_thin_pool(&many).unwrap_err().kind(), "NoSpace");
    many = copies();
    many.data_size = 150 * UNIT;
    assert_eq!(pool.create_thin_pool(&many).unwrap_err().kind(), "NoSpace");
    assert!(lab.bytes() == before);
}

#[test]
fn a_repeated_request_is_success_for_the_same_layout_and_for_none() {
    let lab = lab_as(3, COPIES);
    let pool = lab.pool();
    let before = lab.bytes();
    pool.create_thin_pool(&copies()).unwrap();
    pool.create_thin_pool(&thin_pool()).unwrap();
    let mut other = copies();
    other.layout = "raid1:3".parse().unwrap();
    assert_eq!(
        pool.create_thin_pool(&other).unwrap_err().kind(),
        "InvalidArgument"
    );
    assert!(lab.bytes() == before);
    let linear = lab_as(3, "linear");
    assert_eq!(
        linear.pool().create_thin_pool(&copies()).unwrap_err().kind(),
        "InvalidArgument"
    );
}

#[test]
fn a_pool_without_a_disk_comes_only_when_asked_for() {
    let lab = lab_as(3, COPIES);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 8)).unwrap();
    fill(&pool, 1, 0, 7);
    lab.system().export_pool(POOL).unwrap();
    lab.system().import_pool(POOL, &lab.images, None).unwrap();
    reboot(&lab);
    let lose = |disk: usize| {
        std::fs::rename(&lab.images[disk], lab.images[disk].with_extension("away")).unwrap();
    };
    let copy = |at| place(&lab, &format!("mayastor-thinpool_tdata_rimage_{at}")).0;
    let (first, second) = (copy(0), copy(1));
    lose(first);
    let pool = lab.pool();
    let info = pool.info().unwrap();
    assert_eq!(info.state, State::Degraded);
    let degraded = format!("the replica {} is degraded", uuid(1));
    let lies = "the thin pool \"mayastor-thinpool\" lies on a degraded array".to_string();
    assert!(
        info.reasons.contains(&degraded) && info.reasons.contains(&lies),
        "{:?}",
        info.reasons
    );
    assert_eq!(info.thin_pool.unwrap().health, State::Degraded);
    assert!(matches!(
        pool.activate_replica(uuid(1)),
        Err(Error::MissingDisk { .. })
    ));
    assert_eq!(lab.fake.list().unwrap(), []);
    let found = pool.activate_replica_degraded(uuid(1)).unwrap();
    assert_eq!((found.state, found.active), (State::Degraded, true));
    let images = found.array.unwrap().images;
    let missing = images.iter().filter(|image| **image == ImageState::Missing);
    assert_eq!((images.len(), missing.count()), (4, 2));
    let mut read = vec![0; CHUNK as usize];
    let device = pool.open_replica(uuid(1)).unwrap();
    device.read_at(0, &mut read).unwrap();
    assert!(read.iter().all(|byte| *byte == 7));
    device.write_at(CHUNK, &[8; CHUNK as usize]).unwrap();
    drop(device);
    pool.deactivate_replica(uuid(1)).unwrap();
    // The second copy of the data is not to be done without.
    reboot(&lab);
    lose(second);
    let pool = lab.pool();
    assert_eq!(pool.replica(uuid(1)).unwrap().state, State::Faulted);
    assert!(matches!(
        pool.activate_replica_degraded(uuid(1)),
        Err(Error::MissingDisk { .. })
    ));
    assert_eq!(lab.fake.list().unwrap(), []);
}

#[test]
fn metadata_of_an_inactive_pool_are_read_from_the_copy_that_is_up_to_date() {
    let lab = lab_as(3, COPIES);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 8)).unwrap();
    fill(&pool, 1, 0, 7);
    fill(&pool, 1, 1, 7);
    reboot(&lab);
    let notes = |events: u8, failed: u8, recovered: u8| {
        let mut bytes = vec![0; 48];
        bytes[..4].copy_from_slice(b"DmRd");
        (bytes[16], bytes[24]) = (events, failed);
        bytes[32..40].fill(recovered);
        bytes
    };
    let note = |notes: [Vec<u8>; 2]| {
        for (at, bytes) in notes.iter().enumerate() {
            write(&lab, &format!("mayastor-thinpool_tmeta_rmeta_{at}"), 0, bytes);
        }
    };
    let used = || lab.system().pool_info(POOL).unwrap().thin_pool.unwrap().data_used;
    assert_eq!(used(), 2 * CHUNK);
    write(&lab, "mayastor-thinpool_tmeta_rimage_0", 0, &[0x55; 4096]);
    // Nobody noted anything, so the first is as good as any.
    let all = CHUNKS * CHUNK;
    assert_eq!(used(), all);
    let good = || notes(9, 0, 0xff);
    for (first, is_read) in [
        (notes(8, 0, 0xff), false),
        (notes(9, 0, 0), false),
        (vec![0; 48], false),
        (good(), true),
    ] {
        note([first.clone(), good()]);
        assert_eq!(used(), if is_read { all } else { 2 * CHUNK }, "{first:?}");
    }
    note([good(), notes(9, 1, 0xff)]);
    note([notes(9, 1, 0xff), notes(9, 1, 0xff)]);
    assert_eq!(used(), 2 * CHUNK);
    note([notes(9, 3, 0xff), notes(9, 3, 0xff)]);
    assert_eq!(used(), all, "nobody can tell");
}

#[test]
fn the_monitor_takes_what_the_disks_have_left_for_each_copy() {
    let lab = lab_as(2, COPIES);
    let pool = lab.pool();
    pool.create_replica(&thin(1, CHUNKS)).unwrap();
    for chunk in 0..CHUNKS - 2 {
        fill(&pool, 1, chunk, 7);
    }
    let mut policy = ThinPolicy::default();
    policy.data.step = lvm_pool::ThinStep::Bytes(1 << 30);
    let mut actions = Vec::new();
    let mut monitor = pool.monitor_thin_pool(policy).unwrap();
    monitor.check(&mut |action| actions.push(action.clone())).unwrap();
    let info = pool.info().unwrap();
    assert!(
        matches!(&actions[..], [ThinAction::Extended { from, to, .. }] if *from == CHUNKS * CHUNK && *to == info.thin_pool.as_ref().unwrap().data_size),
        "{actions:?}"
    );
    assert_eq!(
        info.capacity - info.used,
        info.thin_pool.unwrap().data_size - (CHUNKS - 2) * CHUNK
    );
    check_at_rest(&lab, "grown");
}

#[test]
fn both_parts_grow_under_a_pool_that_is_active_or_not() {
    for is_active in [true, false] {
        let lab = growing_as(3, COPIES);
        let pool = lab.pool();
        let old = pool_sizes(&lab, &pool);
        if !is_active {
            reboot(&lab);
        }
        let pool = lab.pool();
        for part in GROWN {
            grow(&pool, part).unwrap();
        }
        check_content(&pool, 1, &[Some(7)], "grown");
        let new = GROWN.iter().fold(old, |sizes, part| wanted_sizes(sizes, *part));
        assert_eq!(pool_sizes(&lab, &pool), new);
        check_at_rest(&lab, "grown");
    }
}

#[test]
fn death_while_a_thin_pool_of_copies_is_made_leaves_none_or_one() {
    check_making(3, &copies());
}

#[test]
fn death_and_failure_while_a_thin_pool_of_copies_grows_leave_the_old_size_or_the_new() {
    for part in GROWN {
        for (kind, arm) in ARMS {
            for at in 1.. {
                let lab = growing_as(3, COPIES);
                let pool = lab.pool();
                let old = pool_sizes(&lab, &pool);
                let faults = lab.fake.fault_count();
                arm(&lab, at);
                let result = grow(&pool, part);
                let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
                let context = format!("{part:?}, {kind} {at}: {result:?}");
                drop(pool);
                let pool = lab.pool();
                check_at_rest(&lab, &context);
                assert!(!is_anything_suspended(&lab), "{context}");
                let (found, new) = (pool_sizes(&lab, &pool), wanted_sizes(old, part));
                assert!(
                    found == new || found == old && result.is_err(),
                    "{context}: {found:?}"
                );
                grow(&pool, part).unwrap();
                assert_eq!(pool_sizes(&lab, &pool), new, "{context}");
                check_content(&pool, 1, &[Some(7)], &context);
                if !struck {
                    assert!(at > 5, "{context}");
                    break;
                }
            }
        }
    }
}

#[test]
fn death_while_the_devices_of_a_thin_pool_of_copies_come_and_go_is_mended() {
    for at in [0, OPERATIONS.len() - 1] {
        check_cuts_in(&OPERATIONS[at], &scene_as(3, COPIES));
    }
    let lab = scene_as(3, COPIES);
    at_each_place(5, |place| {
        lab.system().export_pool(POOL).unwrap();
        assert_eq!(lab.fake.list().unwrap(), []);
        let system = lab.system();
        place.arm(&lab);
        let done = system.import_pool(POOL, &lab.images, None).is_ok();
        let context = format!("death at {place:?}");
        let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
        assert!(
            pool.replicas().unwrap().iter().all(|replica| replica.active),
            "{context}"
        );
        check_at_rest(&lab, &context);
        done
    });
}

#[test]
fn death_while_a_thin_pool_of_copies_is_destroyed_leaves_one_that_a_repeated_call_removes() {
    at_each_place(3, |place| {
        let lab = lab_as(3, COPIES);
        lab.pool().create_replica(&thin(1, 4)).unwrap();
        let system = lab.system();
        place.arm(&lab);
        let done = system.destroy_pool(POOL).is_ok();
        let system = lab.system();
        match system.destroy_pool(POOL) {
            Ok(()) => assert!(!done),
            Err(error) => assert_eq!(error.kind(), "PoolNotFound", "{place:?}"),
        }
        assert_eq!(lab.fake.list().unwrap(), [], "{place:?}");
        // Nothing of the old thin pool is taken for the new one's.
        let mut again = forced(POOL, &lab.images);
        again.thin_pool = Some(copies());
        let pool = system.create_pool(&again).unwrap();
        pool.create_replica(&thin(1, 4)).unwrap();
        check_content(&pool, 1, &[None], "new");
        done
    });
}

#[test]
fn a_disk_that_is_lost_is_taken_out_of_a_pool_of_copies() {
    for is_active in [true, false] {
        let lab = lab_as(3, COPIES);
        let pool = lab.pool();
        pool.create_replica(&thin(1, 8)).unwrap();
        fill(&pool, 1, 0, 7);
        let lost = &lab.images[place(&lab, "mayastor-thinpool_tmeta_rimage_0").0];
        if !is_active {
            pool.deactivate_replica(uuid(1)).unwrap();
            reboot(&lab);
        }
        std::fs::rename(lost, lost.with_extension("away")).unwrap();
        let pool = lab.pool();
        pool.remove_disk(lost).unwrap();
        let pool = lab.pool();
        let info = pool.info().unwrap();
        assert_eq!((info.state, info.disks.len()), (State::Online, 2));
        assert_eq!(info.reasons, [""; 0]);
        assert!(!is_anything_suspended(&lab));
        check_content(&pool, 1, &[Some(7)], "without the disk");
        pool.create_replica(&thin(2, 8)).unwrap();
    }
}

#[test]
fn what_happens_to_the_arrays_of_a_pool_is_told_of_its_thin_replicas() {
    let lab = lab_as(3, COPIES);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 8)).unwrap();
    pool.create_replica(&thin(2, 8)).unwrap();
    let mut monitor = pool.watch_arrays().unwrap();
    assert_eq!(monitor.wait(Duration::from_millis(20)).unwrap(), []);
    let array = DmName::new("pool--1-mayastor--thinpool_tdata").unwrap();
    let mapper = lab.fake.inner();
    mapper.message(DeviceId::Name(&array), 0, "check").unwrap();
    let told = monitor.wait(Duration::from_millis(20)).unwrap();
    let told: Vec<_> = told.iter().map(|replica| (replica.uuid, replica.state)).collect();
    assert_eq!(told, [(uuid(1), State::Online), (uuid(2), State::Online)]);
    assert_eq!(monitor.wait(Duration::from_millis(20)).unwrap(), []);
}
