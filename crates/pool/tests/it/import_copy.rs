//! A copied set of disks becomes a pool of its own beside the original, whatever cuts that.

use std::fs;
use std::path::PathBuf;

use lvm_pool::{CreateReplica, Error, StoragePool};
use uuid::Uuid;

use crate::lab::{ARMS, Lab, POOL, UNIT, request, uuid};

const COPY: &str = "pool-copy";
const ID: Uuid = Uuid::from_u128(0xc0c0_c0c0_c0c0_40c0_80c0_c0c0_c0c0_c0c0);

/// A pool on the first two of four images, with a linear replica and an array, and copies on the others.
fn prepared() -> Lab {
    let lab = Lab::new(4);
    let pool = lab
        .system()
        .create_pool(&request(POOL, &lab.images[..2]))
        .unwrap();
    pool.create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    let mut array = CreateReplica::new(uuid(2), 8 * UNIT);
    array.layout = "raid1:2".parse().unwrap();
    array.name = Some("db".into());
    pool.create_replica(&array).unwrap();
    let device = pool.open_replica(uuid(1)).unwrap();
    device.write_at(0, b"data").unwrap();
    device.sync().unwrap();
    for at in 0..2 {
        fs::copy(&lab.images[at], &lab.images[at + 2]).unwrap();
    }
    lab
}

fn copies(lab: &Lab) -> &[PathBuf] {
    &lab.images[2..]
}

/// Both pools are whole, and each replica is known by an id of its own.
fn check_apart(lab: &Lab, copy: &StoragePool, context: &str) {
    let system = lab.system();
    let (original, found) = (system.open_pool(POOL).unwrap(), copy.info().unwrap());
    assert_eq!((&*found.name, found.uuid), (COPY, ID), "{context}");
    assert_eq!(found.disks, copies(lab), "{context}");
    for name in [POOL, COPY] {
        let info = system.pool_info(name).unwrap();
        assert!(info.reasons.is_empty(), "{context}: {:?}", info.reasons);
    }
    let old: Vec<Uuid> = original
        .replicas()
        .unwrap()
        .iter()
        .map(|replica| replica.uuid)
        .collect();
    let new = copy.replicas().unwrap();
    assert_eq!(old, [uuid(1), uuid(2)], "{context}");
    for (old, new) in old.iter().zip(&new) {
        assert_ne!(*old, new.uuid, "{context}");
        assert_eq!(new.copied_from, Some(old.to_string()), "{context}");
        assert!(new.active, "{context}");
    }
    assert_eq!(
        (&new[0].name, &*new[1].name),
        (&new[0].uuid.to_string(), "db"),
        "{context}"
    );
    let mut read = [0; 4];
    copy.open_replica(new[0].uuid)
        .unwrap()
        .read_at(0, &mut read)
        .unwrap();
    assert_eq!(&read, b"data", "{context}");
    let metadata = lab.metadata();
    assert!(!metadata.contains("mayastor.vg.new_ids"), "{context}: {metadata}");
}

#[test]
fn copied_disks_become_a_pool_of_its_own_beside_the_original() {
    let lab = prepared();
    let before = lab.bytes();
    let system = lab.system();
    let copy = system
        .import_pool_with_new_ids(COPY, copies(&lab), Some(ID))
        .unwrap();
    check_apart(&lab, &copy, "imported");
    assert!(lab.bytes()[..2] == before[..2], "the original was changed");
    let seqno = copy.info().unwrap().seqno;
    let again = system.import_pool_with_new_ids(COPY, copies(&lab), None).unwrap();
    assert_eq!((again.uuid(), again.info().unwrap().seqno), (ID, seqno));
    // The two go on apart.
    copy.create_replica(&CreateReplica::new(uuid(9), UNIT)).unwrap();
    system.open_pool(POOL).unwrap().destroy_replica(uuid(1)).unwrap();
    assert_eq!(copy.replicas().unwrap().len(), 3);
}

#[test]
fn a_copy_that_is_not_whole_or_a_name_that_is_taken_changes_nothing() {
    let lab = prepared();
    let before = lab.bytes();
    let system = lab.system();
    let import = |name: &str, disks: &[PathBuf], id| {
        let refused = system.import_pool_with_new_ids(name, disks, id);
        assert!(lab.bytes() == before);
        refused.unwrap_err()
    };
    assert!(matches!(
        import(COPY, &copies(&lab)[..1], None),
        Error::DisksMismatch { .. }
    ));
    assert!(matches!(import(POOL, copies(&lab), None), Error::Exists { .. }));
    let original = Uuid::parse_str(&system.pools().unwrap()[0].uuid.to_string()).unwrap();
    assert!(matches!(
        import(COPY, copies(&lab), Some(original)),
        Error::Exists { .. }
    ));
    let twice = [copies(&lab)[0].clone(), copies(&lab)[0].clone()];
    assert!(matches!(import(COPY, &twice, None), Error::Disk { .. }));
}

#[test]
fn an_import_of_a_copy_that_is_cut_or_fails_is_finished_by_the_next() {
    for (what, arm) in ARMS {
        for at in 1.. {
            let lab = prepared();
            let originals = lab.bytes()[..2].to_vec();
            let system = lab.system();
            arm(&lab, at);
            let result = system.import_pool_with_new_ids(COPY, copies(&lab), Some(ID));
            let has_struck = result.is_err() || lab.switch.has_struck() || lab.fake.is_dead();
            drop(system);
            let context = format!("{what} {at}");
            let system = lab.system();
            let copy = system
                .import_pool_with_new_ids(COPY, copies(&lab), Some(ID))
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            check_apart(&lab, &copy, &context);
            assert!(
                lab.bytes()[..2] == originals[..],
                "{context}: the original was changed"
            );
            if !has_struck {
                assert!(at > 3, "{what}: nothing was cut");
                break;
            }
        }
    }
}
