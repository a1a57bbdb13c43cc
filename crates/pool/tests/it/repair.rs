//! What hurts the copies of a pool's metadata is mended, and nothing else is touched.

use std::fs;
use std::os::unix::fs::FileExt;

use lvm_pool::CreateReplica;

use uuid::Uuid;

use crate::lab::{Cut, Lab, POOL, UNIT, lvm_checksum, request, uuid};

/// First byte of the metadata area's header on each disk.
const MDA: u64 = 4096;

fn prepared() -> Lab {
    let lab = Lab::with_pool(3);
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    lab
}

/// Changes one byte of a disk.
fn hurt(lab: &Lab, disk: usize, at: u64) {
    let image = fs::File::options()
        .read(true)
        .write(true)
        .open(&lab.images[disk])
        .unwrap();
    let mut byte = [0];
    image.read_exact_at(&mut byte, at).unwrap();
    image.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
}

fn reasons(lab: &Lab) -> Vec<String> {
    lab.system().pool_info(POOL).unwrap().reasons
}

#[test]
fn a_pool_with_nothing_wrong_is_left_as_it_is() {
    let lab = prepared();
    let before = lab.bytes();
    assert!(lab.pool().repair().unwrap().pool.reasons.is_empty());
    assert!(lab.bytes() == before);
}

#[test]
fn areas_with_a_broken_header_or_text_are_written_anew() {
    for at in [MDA + 5, MDA + 40, MDA + 512 + 2560 + 10] {
        for disks in [&[1][..], &[0, 2]] {
            let lab = prepared();
            disks.iter().for_each(|disk| hurt(&lab, *disk, at));
            let reasons_before = reasons(&lab);
            for (disk, image) in lab.images.iter().enumerate() {
                let is_blamed = reasons_before
                    .iter()
                    .any(|why| why.starts_with(&*image.to_string_lossy()));
                assert_eq!(is_blamed, disks.contains(&disk), "{at}: {reasons_before:?}");
            }
            let info = lab.pool().repair().unwrap().pool;
            assert!(info.reasons.is_empty(), "{at}: {:?}", info.reasons);
            assert!(reasons(&lab).is_empty());
            assert_eq!(lab.pool().replicas().unwrap().len(), 1);
            // Each disk alone has it all.
            for image in &lab.images {
                let head = fs::read(image).unwrap();
                let text = String::from_utf8_lossy(&head);
                assert!(text.contains(&uuid(1).to_string()));
            }
        }
    }
}

#[test]
fn a_disk_that_left_the_pool_is_a_free_one_again() {
    let lab = prepared();
    let before = lab.bytes();
    lab.pool().remove_disk(&lab.images[2]).unwrap();
    // It comes back as it was, as a disk does that was away meanwhile.
    fs::write(&lab.images[2], &before[2]).unwrap();
    assert!(!reasons(&lab).is_empty());
    let others = lab.bytes();
    assert!(lab.pool().repair().unwrap().pool.reasons.is_empty());
    assert!(lab.bytes()[..2] != others[..2]);
    let free = lab.system().create_pool(&request("other", &lab.images[2..]));
    assert_eq!(free.unwrap().info().unwrap().disks.len(), 1);
}

/// Leaves two histories of one age: these disks hold one, the others the other.
fn make_differ(lab: &Lab, held_by_one: &[usize]) {
    let before = lab.bytes();
    let create = |n| {
        lab.pool()
            .create_replica(&CreateReplica::new(uuid(n), UNIT))
            .unwrap()
    };
    create(2);
    lab.pool().deactivate_replica(uuid(2)).unwrap();
    let one = lab.bytes();
    for (image, bytes) in lab.images.iter().zip(&before) {
        fs::write(image, bytes).unwrap();
    }
    create(3);
    lab.pool().deactivate_replica(uuid(3)).unwrap();
    for disk in held_by_one {
        fs::write(&lab.images[*disk], &one[*disk]).unwrap();
    }
}

fn replicas(lab: &Lab) -> Vec<Uuid> {
    let mut replicas: Vec<_> = lab.pool().replicas().unwrap().iter().map(|it| it.uuid).collect();
    replicas.sort();
    replicas
}

#[test]
fn copies_of_one_age_that_differ_become_what_the_first_disk_holds() {
    for (held_by_one, kept) in [(&[0, 2][..], 2), (&[1, 2], 3), (&[2], 3)] {
        let lab = prepared();
        make_differ(&lab, held_by_one);
        let before = lab.bytes();
        let refused = lab.pool().create_replica(&CreateReplica::new(uuid(4), UNIT));
        assert_eq!(refused.unwrap_err().kind(), "DuplicatePv");
        assert!(lab.bytes() == before);
        let info = lab.pool().repair().unwrap().pool;
        assert!(info.reasons.is_empty(), "{:?}", info.reasons);
        assert_eq!(replicas(&lab), [uuid(1), uuid(kept)]);
        lab.pool()
            .create_replica(&CreateReplica::new(uuid(4), UNIT))
            .unwrap();
    }
}

#[test]
fn a_repair_that_is_refused_leaves_differing_copies_as_they_are() {
    let lab = prepared();
    make_differ(&lab, &[0]);
    fs::rename(&lab.images[2], lab.images[2].with_extension("away")).unwrap();
    let system = lab.system();
    let pool = system.open_pool(POOL).unwrap();
    let before = [0, 1].map(|disk| fs::read(&lab.images[disk]).unwrap());
    for _ in 0..2 {
        assert_eq!(pool.repair().unwrap_err().kind(), "MissingPv");
        let refused = pool.create_replica(&CreateReplica::new(uuid(4), UNIT));
        assert_eq!(refused.unwrap_err().kind(), "DuplicatePv");
    }
    assert!([0, 1].map(|disk| fs::read(&lab.images[disk]).unwrap()) == before);
}

/// What a pool of three disks can suffer.
type Damage = fn(&Lab);
const DAMAGES: [(&str, Damage); 3] = [
    ("a header and a text", |lab| {
        hurt(lab, 0, MDA + 5);
        hurt(lab, 2, MDA + 512 + 2560 + 10);
    }),
    ("a disk that left", |lab| {
        let before = lab.bytes();
        lab.pool().remove_disk(&lab.images[2]).unwrap();
        fs::write(&lab.images[2], &before[2]).unwrap();
    }),
    ("copies that differ", |lab| make_differ(lab, &[0, 2])),
];

#[test]
fn death_at_any_write_of_a_repair_and_any_fault_is_made_good_by_the_next() {
    for (name, damage) in DAMAGES {
        let cuts: [fn(usize) -> Cut; 2] = [|at| Cut::Death { at }, |at| Cut::Fault { at }];
        for cut in cuts {
            for at in 1.. {
                let lab = prepared();
                damage(&lab);
                let kept = replicas(&lab);
                let pool = lab.pool();
                lab.arm(cut(at));
                let result = pool.repair();
                let struck = lab.switch.has_struck();
                let context = format!("{name}, {at}: {result:?}");
                assert_eq!(replicas(&lab), kept, "{context}");
                let info = lab.pool().repair();
                let info = info.unwrap_or_else(|error| panic!("{context}: {error}")).pool;
                assert!(info.reasons.is_empty(), "{context}: {:?}", info.reasons);
                assert_eq!(replicas(&lab), kept, "{context}");
                if !struck {
                    result.unwrap();
                    assert!(at > 8, "{context}");
                    break;
                }
            }
        }
    }
}

#[test]
fn an_area_that_the_label_names_among_the_extents_is_not_written() {
    let lab = prepared();
    let (label, extents) = (512_u64, 1_u64 << 20);
    let image = fs::File::options()
        .read(true)
        .write(true)
        .open(&lab.images[1])
        .unwrap();
    let mut sector = [0; 512];
    image.read_exact_at(&mut sector, label).unwrap();
    // The list of areas holds nothing but 8-byte numbers.
    let mut numbers = sector.chunks_exact(8);
    let at = 8 * numbers.position(|number| number == MDA.to_le_bytes()).unwrap();
    sector[at..at + 8].copy_from_slice(&extents.to_le_bytes());
    let sum = lvm_checksum(&sector[20..]);
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
    image.write_all_at(&sector, label).unwrap();
    let before = fs::read(&lab.images[1]).unwrap();
    assert!(!reasons(&lab).is_empty());
    let _ = lab.pool().repair();
    assert!(fs::read(&lab.images[1]).unwrap()[extents as usize..] == before[extents as usize..]);
}
