//! Metadata areas behind the extents, the only one in use on a disk that leaves, and disks that change their size.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use lvm_meta::{ExtentSize, FileDisk, MakePv, MdaSet, Vg, make_pv, set_pv_used};
use lvm_pool::{BehindEnd, Class, CreateReplica, Error, PoolInfo, StoragePool};

use crate::lab::{Cut, Lab, POOL, UNIT, lvm_checksum, request, uuid};

const SIZE: u64 = 64 * UNIT;
const END_AREA: u64 = 4 * UNIT;

fn disk(path: &Path) -> std::sync::Arc<dyn lvm_meta::Disk> {
    std::sync::Arc::new(FileDisk::new(
        File::options().read(true).write(true).open(path).unwrap(),
    ))
}

fn set_size(path: &Path, size: u64) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size)
        .unwrap();
}

/// Gives a disk of the pool another label: with an area behind the extents, where the disk becomes that much larger, and
/// the first one or not.
fn give_areas(lab: &Lab, at: usize, keeps_first: bool) {
    let path = &lab.images[at];
    let label = lvm_meta::read_label(&*disk(path)).unwrap().unwrap();
    let text = lab.metadata();
    set_size(path, SIZE + END_AREA);
    let mut layout = MakePv::new(SIZE + END_AREA, ExtentSize::new(512).unwrap())
        .mda_count(2)
        .mda_size(END_AREA)
        .alignment(UNIT)
        .layout()
        .unwrap();
    let first = layout.metadata_areas.remove(0);
    if keeps_first {
        layout.metadata_areas.insert(0, first);
    }
    make_pv(&*disk(path), label.id, &layout).unwrap();
    commit(path, &text);
    set_pv_used(&*disk(path), true).unwrap();
}

/// Commits a text to all areas of a disk.
fn commit(path: &Path, text: &str) {
    let label = lvm_meta::read_label(&*disk(path)).unwrap().unwrap();
    let mut set = MdaSet::new();
    set.open(&disk(path), &label.metadata_areas).unwrap();
    set.write(text.as_bytes())
        .unwrap()
        .precommit()
        .unwrap()
        .commit()
        .unwrap();
}

/// Takes all areas off a disk of the pool.
fn take_areas(lab: &Lab, at: usize) {
    let path = &lab.images[at];
    let label = lvm_meta::read_label(&*disk(path)).unwrap().unwrap();
    let layout = MakePv::new(SIZE, ExtentSize::new(512).unwrap())
        .mda_count(0)
        .layout()
        .unwrap();
    make_pv(&*disk(path), label.id, &layout).unwrap();
    set_pv_used(&*disk(path), true).unwrap();
}

/// Puts the area of a disk out of use.
fn ignore_area(lab: &Lab, at: usize) {
    let image = File::options()
        .read(true)
        .write(true)
        .open(&lab.images[at])
        .unwrap();
    let mut sector = [0; 512];
    image.read_exact_at(&mut sector, 4096).unwrap();
    sector[60] |= 1;
    let sum = lvm_checksum(&sector[4..]).to_le_bytes();
    sector[..4].copy_from_slice(&sum);
    image.write_all_at(&sector, 4096).unwrap();
}

fn is_ignored(lab: &Lab, at: usize) -> bool {
    let read = lvm_meta::scan(&*disk(&lab.images[at])).unwrap().unwrap();
    read.mdas[0].header.as_ref().unwrap().is_ignored()
}

/// Insists that no extent of the pool is where a metadata area is, and that all is well.
#[track_caller]
fn check_sound(lab: &Lab, info: &PoolInfo, context: &str) {
    assert_eq!(info.reasons, Vec::<String>::new(), "{context}");
    let vg = Vg::parse(lab.metadata().as_bytes()).unwrap();
    for image in &lab.images {
        let Some(read) = lvm_meta::scan(&*disk(image)).unwrap() else {
            continue;
        };
        let pv = vg.pv(read.header.id).unwrap();
        let start = pv.pe_start().to_bytes().unwrap();
        let end = start + vg.extent_size().to_bytes(pv.pe_count()).unwrap();
        assert!(end <= fs::metadata(image).unwrap().len(), "{context}");
        for area in &read.header.metadata_areas {
            assert!(
                area.offset + area.size <= start || area.offset >= end,
                "{context}: {area:?}"
            );
        }
    }
}

fn content() -> Vec<u8> {
    (0..8 * UNIT).map(|at| (at / 512 % 251) as u8).collect()
}

fn with_replica(lab: &Lab) {
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    let device = pool.open_replica(uuid(1)).unwrap();
    device.write_at(0, &content()).unwrap();
    device.sync().unwrap();
}

#[track_caller]
fn check_replica(lab: &Lab, context: &str) {
    let pool = lab.pool();
    pool.activate_replica(uuid(1)).unwrap();
    let mut read = vec![0; content().len()];
    pool.open_replica(uuid(1)).unwrap().read_at(0, &mut read).unwrap();
    assert!(read == content(), "{context}: the data changed");
}

/// A pool with an area behind the extents of its first disk.
fn with_end_area(disks: usize, keeps_first: bool) -> Lab {
    let lab = Lab::with_pool(disks);
    give_areas(&lab, 0, keeps_first);
    with_replica(&lab);
    lab
}

#[test]
fn a_pool_grows_past_an_area_behind_the_extents_and_every_handle_follows() {
    for (disks, keeps_first) in [(1, true), (1, false), (2, false)] {
        let context = format!("{disks} disks, first area kept: {keeps_first}");
        let lab = with_end_area(disks, keeps_first);
        let before = lab.pool().info().unwrap().capacity;
        let other = lab.pool();
        set_size(&lab.images[0], SIZE + END_AREA + 16 * UNIT);
        let info = lab.pool().grow().unwrap().pool;
        assert_eq!(info.capacity, before + 16 * UNIT, "{context}");
        check_sound(&lab, &info, &context);
        // One that was opened before the area moved.
        other
            .create_replica(&CreateReplica::new(uuid(2), info.capacity - 8 * UNIT))
            .unwrap();
        assert!(lab.pool().replica(uuid(2)).is_ok(), "{context}");
        check_sound(&lab, &lab.pool().info().unwrap(), &context);
        check_replica(&lab, &context);
        let bytes = lab.bytes();
        lab.pool().grow().unwrap();
        assert!(lab.bytes() == bytes, "{context}");
    }
}

#[test]
fn growth_and_shrinking_with_an_area_behind_the_extents_die_anywhere_and_are_repeated() {
    for keeps_first in [true, false] {
        for (name, size) in [("grow", SIZE + END_AREA + 16 * UNIT), ("shrink", 40 * UNIT)] {
            let mut at = 0;
            loop {
                at += 1;
                let context = format!("{name}, first area kept: {keeps_first}, death at {at}");
                let lab = with_end_area(1, keeps_first);
                if name == "grow" {
                    set_size(&lab.images[0], size);
                }
                let run = |pool: &StoragePool| match name {
                    "grow" => pool.grow().map(|tended| tended.pool),
                    _ => pool.shrink_disk(&lab.images[0], size, BehindEnd::Refuse, &mut |_| {}),
                };
                let pool = lab.pool();
                lab.arm(Cut::Death { at });
                let result = run(&pool);
                let has_struck = lab.switch.has_struck();
                drop(pool);
                if !has_struck {
                    result.unwrap();
                    assert!(at > 8, "{context}");
                    break;
                }
                check_replica(&lab, &context);
                let info = run(&lab.pool()).unwrap_or_else(|error| panic!("{context}: {error}"));
                let extents = (size - END_AREA - 16 * UNIT) / (4 * UNIT);
                assert_eq!(info.capacity, extents * 4 * UNIT, "{context}");
                check_sound(&lab, &info, &context);
                check_replica(&lab, &context);
            }
        }
    }
}

#[test]
fn the_only_area_in_use_has_a_successor_when_its_disk_leaves() {
    let lab = Lab::with_pool(3);
    take_areas(&lab, 1);
    ignore_area(&lab, 2);
    with_replica(&lab);
    assert!(is_ignored(&lab, 2));
    let info = lab.pool().remove_disk(&lab.images[0]).unwrap();
    assert!(!is_ignored(&lab, 2));
    assert_eq!((info.disks.len(), &info.reasons), (2, &Vec::new()));
    check_replica(&lab, "successor");
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(2), 4 * UNIT))
        .unwrap();
}

#[test]
fn a_disk_with_the_only_area_is_refused_before_anything_moves() {
    let lab = Lab::with_pool(2);
    take_areas(&lab, 1);
    with_replica(&lab);
    let bytes = lab.bytes();
    for refused in [
        lab.pool().remove_disk(&lab.images[0]),
        lab.pool()
            .replace_disk(&lab.images[0], &lab.images[1], false, &mut |_| {}),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(
            (error.kind(), error.class()),
            ("OnlyMetadataArea", Class::Precondition),
            "{error}"
        );
    }
    assert!(lab.bytes() == bytes);
    // The other one may leave.
    lab.pool().remove_disk(&lab.images[1]).unwrap();
}

#[test]
fn a_disk_that_shrank_is_told_and_followed_as_far_as_it_is_free() {
    let lab = Lab::with_pool(1);
    with_replica(&lab);
    let whole = lab.pool().info().unwrap().capacity;
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(2), whole - 8 * UNIT))
        .unwrap();
    lab.pool().deactivate_replica(uuid(2)).unwrap();
    set_size(&lab.images[0], SIZE - 8 * UNIT);
    let pool = lab.pool();
    let info = pool.info().unwrap();
    assert!(
        info.reasons.iter().any(|why| why.contains("its device has")),
        "{:?}",
        info.reasons
    );
    let refused = pool
        .create_replica(&CreateReplica::new(uuid(3), 4 * UNIT))
        .unwrap_err();
    assert_eq!(
        (refused.kind(), refused.class()),
        ("PvLargerThanDevice", Class::Precondition),
        "{refused}"
    );
    let refused = pool.grow().unwrap_err();
    assert_eq!(refused.kind(), "DiskNotEmpty", "{refused}");
    assert!(refused.to_string().contains(&uuid(2).to_string()), "{refused}");
    check_replica(&lab, "on a disk that shrank");
    lab.pool().destroy_replica(uuid(2)).unwrap();
    let info = lab.pool().grow().unwrap().pool;
    assert_eq!(info.capacity, whole - 8 * UNIT);
    check_sound(&lab, &info, "followed");
    check_replica(&lab, "followed");
}

#[test]
fn a_disk_gives_up_its_end_when_that_is_free_or_can_be_moved() {
    for disks in [1, 2] {
        let context = format!("{disks} disks");
        let lab = Lab::new(disks);
        lab.system()
            .create_pool(&request(POOL, &lab.images[..1]))
            .unwrap();
        let pool = lab.pool();
        // In front of it is room for it.
        pool.create_replica(&CreateReplica::new(uuid(3), 36 * UNIT))
            .unwrap();
        with_replica(&lab);
        let pool = lab.pool();
        pool.destroy_replica(uuid(3)).unwrap();
        if disks > 1 {
            pool.add_disks(&lab.images[1..], false).unwrap();
        }
        let shrink = |size, behind| lab.pool().shrink_disk(&lab.images[0], size, behind, &mut |_| {});
        let bytes = lab.bytes();
        for (size, kind) in [
            (40 * UNIT, "DiskNotEmpty"),
            (8 * UNIT, "InvalidArgument"),
            (SIZE + UNIT, "InvalidArgument"),
        ] {
            let refused = shrink(size, BehindEnd::Refuse).unwrap_err();
            assert_eq!(refused.kind(), kind, "{context}: {refused}");
        }
        assert!(lab.bytes() == bytes, "{context}");
        let info = shrink(40 * UNIT, BehindEnd::Move).unwrap();
        let rest = u64::try_from(disks - 1).unwrap() * 48 * UNIT;
        assert_eq!(info.capacity, 24 * UNIT + rest, "{context}");
        let bytes = lab.bytes();
        shrink(40 * UNIT, BehindEnd::Move).unwrap();
        assert!(lab.bytes() == bytes, "{context}");
        set_size(&lab.images[0], 40 * UNIT);
        check_sound(&lab, &lab.pool().info().unwrap(), &context);
        check_replica(&lab, &context);
        let refused = shrink(20 * UNIT, BehindEnd::Move);
        assert!(
            disks == 2 || matches!(refused, Err(Error::NoSpace { .. })),
            "{context}: {refused:?}"
        );
        check_replica(&lab, &context);
    }
}

#[test]
fn a_move_before_a_new_end_dies_anywhere_and_is_continued() {
    let mut at = 0;
    loop {
        at += 1;
        let context = format!("death at {at}");
        let lab = Lab::with_pool(1);
        lab.pool()
            .create_replica(&CreateReplica::new(uuid(3), 36 * UNIT))
            .unwrap();
        with_replica(&lab);
        lab.pool().destroy_replica(uuid(3)).unwrap();
        let pool = lab.pool();
        lab.arm(Cut::Death { at });
        let result = pool.shrink_disk(&lab.images[0], 40 * UNIT, BehindEnd::Move, &mut |_| {});
        let has_struck = lab.switch.has_struck();
        drop(pool);
        if !has_struck {
            result.unwrap();
            assert!(at > 10, "{context}");
            break;
        }
        let pool = lab.pool();
        let info = pool.shrink_disk(&lab.images[0], 40 * UNIT, BehindEnd::Move, &mut |_| {});
        let info = info.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(info.capacity, 24 * UNIT, "{context}");
        check_replica(&lab, &context);
    }
}

#[test]
fn extents_that_reach_into_an_area_are_refused_until_growing_gives_them_up() {
    let lab = with_end_area(1, true);
    let sound = lab.pool().info().unwrap().capacity;
    let text = lab.metadata();
    let vg = Vg::parse(text.as_bytes()).unwrap();
    let (count, beyond) = (vg.pvs()[0].pe_count().get(), vg.pvs()[0].pe_count().get() + 2);
    // As a program that does not know of areas behind the extents writes it.
    commit(
        &lab.images[0],
        &text.replace(&format!("pe_count = {count}"), &format!("pe_count = {beyond}")),
    );
    let before = lab.bytes();
    let pool = lab.pool();
    assert!(!pool.info().unwrap().reasons.is_empty());
    let request = CreateReplica::new(uuid(2), 4 * UNIT);
    let refused = pool.create_replica(&request).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.class()),
        ("AreaAmongExtents", Class::Precondition)
    );
    assert!(lab.bytes() == before, "a refusal changed a disk");
    let info = lab.pool().grow().unwrap().pool;
    assert_eq!(info.capacity, sound);
    check_sound(&lab, &info, "grown");
    lab.pool().create_replica(&request).unwrap();
    check_replica(&lab, "grown");
}
