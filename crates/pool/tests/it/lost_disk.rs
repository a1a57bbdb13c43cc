//! A lost disk leaves its pool: all is planned before the first commit, and a refusal names what is in the way.

use lvm_pool::{CreateReplica, Error, StoragePool};

use crate::lab::{Lab, POOL, UNIT, request as pool_request, uuid};

fn array(n: u128, units: u64, layout: &str) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(n), units * UNIT);
    request.layout = layout.parse().unwrap();
    request
}

fn take_away(lab: &Lab, disk: usize) {
    std::fs::rename(&lab.images[disk], lab.images[disk].with_extension("away")).unwrap();
}

/// The bytes of the images that are there.
fn bytes(lab: &Lab) -> Vec<Option<Vec<u8>>> {
    lab.images.iter().map(|image| std::fs::read(image).ok()).collect()
}

fn content(n: u128) -> Vec<u8> {
    let n = usize::try_from(n).unwrap();
    (0..UNIT as usize)
        .map(|at| ((at / 512 * 31 + n * 7) % 251) as u8)
        .collect()
}

fn fill(pool: &StoragePool, n: u128) {
    let device = pool.open_replica(uuid(n)).unwrap();
    device.write_at(0, &content(n)).unwrap();
    device.sync().unwrap();
}

#[track_caller]
fn check_content(pool: &StoragePool, n: u128) {
    pool.activate_replica(uuid(n)).unwrap();
    let mut read = vec![0; content(n).len()];
    pool.open_replica(uuid(n)).unwrap().read_at(0, &mut read).unwrap();
    assert!(read == content(n), "replica {n} changed");
}

/// Three disks, of which the last is lost: three arrays find room on the others, and one does not.
fn scene() -> Lab {
    let lab = Lab::with_pool(3);
    let pool = lab.pool();
    for n in 1..4 {
        pool.create_replica(&array(n, 4, "raid1:2")).unwrap();
        fill(&pool, n);
    }
    pool.create_replica(&array(4, 4, "raid1:3")).unwrap();
    fill(&pool, 4);
    take_away(&lab, 2);
    lab
}

#[track_caller]
fn refused<T>(lab: &Lab, kind: &str, run: impl FnOnce(&StoragePool) -> Result<T, Error>) -> String {
    let pool = lab.pool();
    let before = bytes(lab);
    let error = run(&pool).err().unwrap();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(bytes(lab) == before, "the refusal changed a disk: {error}");
    error.to_string()
}

#[test]
fn an_array_without_room_keeps_a_lost_disk_before_any_other_is_changed() {
    let lab = scene();
    let lost = lab.images[2].clone();
    let text = refused(&lab, "NoSpace", |pool| pool.remove_disk(&lost));
    assert!(text.contains(&uuid(4).to_string()), "{text}");
    assert!(
        text.contains("raid1:3") && text.contains("convert it to raid1:2"),
        "{text}"
    );
    for n in 1..4 {
        assert!(!text.contains(&uuid(n).to_string()), "{text}");
    }
    // What the message names helps.
    let pool = lab.pool();
    let info = pool.convert_replica(uuid(4), "raid1:2".parse().unwrap()).unwrap();
    assert_eq!(info.layout, "raid1:2");
    let info = pool.remove_disk(&lost).unwrap();
    assert_eq!((info.disks.len(), &*info.reasons), (2, &[] as &[String]));
    let pool = lab.pool();
    (1..5).for_each(|n| check_content(&pool, n));
}

#[test]
fn all_that_keeps_a_lost_disk_is_named_at_once_with_what_helps() {
    let lab = Lab::with_pool(3);
    let pool = lab.pool();
    pool.create_replica(&array(1, 4, "raid1:3")).unwrap();
    for n in 2..6 {
        pool.create_replica(&CreateReplica::new(uuid(n), 12 * UNIT))
            .unwrap();
    }
    take_away(&lab, 0);
    let lost = lab.images[0].clone();
    let gone: Vec<u128> = (2..6)
        .filter(|n| {
            lab.pool().activate_replica(uuid(*n)).is_err() || {
                lab.pool().deactivate_replica(uuid(*n)).unwrap();
                lab.pool().activate_replica(uuid(*n)).is_err()
            }
        })
        .collect();
    assert!(!gone.is_empty());
    let text = refused(&lab, "DiskNotEmpty", |pool| pool.remove_disk(&lost));
    for n in gone.iter().chain(&[1]) {
        assert!(text.contains(&uuid(*n).to_string()), "{n}: {text}");
    }
    assert!(text.contains("destroy it"), "{text}");
    let pool = lab.pool();
    gone.iter().for_each(|n| pool.destroy_replica(uuid(*n)).unwrap());
    pool.convert_replica(uuid(1), "raid1:2".parse().unwrap()).unwrap();
    pool.remove_disk(&lost).unwrap();
}

#[test]
fn a_disk_that_is_too_small_for_what_a_lost_one_held_is_not_taken() {
    let lab = Lab::new(4);
    lab.system()
        .create_pool(&pool_request(POOL, &lab.images[..3]))
        .unwrap();
    let pool = lab.pool();
    pool.create_replica(&array(1, 24, "raid1:3")).unwrap();
    fill(&pool, 1);
    let small = std::fs::File::options().write(true).open(&lab.images[3]).unwrap();
    small.set_len(36 * UNIT).unwrap();
    take_away(&lab, 0);
    let (old, new) = (lab.images[0].clone(), lab.images[3].clone());
    let text = refused(&lab, "NoSpace", |pool| {
        pool.replace_disk(&old, &new, false, &mut |_| {})
    });
    assert!(text.contains(&uuid(1).to_string()), "{text}");
    small.set_len(64 * UNIT).unwrap();
    let pool = lab.pool();
    let info = pool.replace_disk(&old, &new, false, &mut |_| {}).unwrap();
    assert_eq!((info.disks.len(), &*info.reasons), (3, &[] as &[String]));
    check_content(&lab.pool(), 1);
}

#[test]
fn a_disk_that_is_too_small_for_what_a_live_one_holds_is_not_taken() {
    let lab = Lab::new(3);
    lab.system()
        .create_pool(&pool_request(POOL, &lab.images[..1]))
        .unwrap();
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), 40 * UNIT))
        .unwrap();
    let small = std::fs::File::options().write(true).open(&lab.images[1]).unwrap();
    small.set_len(36 * UNIT).unwrap();
    let (old, new) = (lab.images[0].clone(), lab.images[1].clone());
    refused(&lab, "NoSpace", |pool| {
        pool.replace_disk(&old, &new, false, &mut |_| {})
    });
}
