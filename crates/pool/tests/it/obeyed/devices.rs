//! What the metadata say of an LV's device: its minor number, how far it reads ahead.

use lvm_dm::{DeviceMapper, DmName, DmUuid, ReadAhead};
use lvm_pool::{Class, CreateReplica, Layout, Shrink};

use super::{replaced, rewrite, with_fields};
use crate::lab::{Lab, POOL, UNIT, uuid};

const EXTENT: u64 = 4 * UNIT;

/// A lab with an inactive replica.
fn inactive() -> Lab {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), EXTENT)).unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    lab
}

fn number(lab: &Lab) -> lvm_dm::DeviceNumber {
    let name = format!("pool--1-{}", uuid(1).to_string().replace('-', "--"));
    let devices = lab.fake.list().unwrap();
    let device = devices.iter().find(|device| device.name.as_str() == name);
    device.unwrap().number
}

#[test]
fn a_replica_with_a_fixed_minor_number_has_it_or_stays_inactive() {
    let lab = inactive();
    rewrite(&lab, &[0, 1], |text| {
        let text = with_fields(&text, uuid(1), "major = 253\nminor = 300\n");
        replaced(
            &text,
            "status = [\"READ\", \"WRITE\", \"VISIBLE\"]",
            "status = [\"READ\", \"WRITE\", \"FIXED_MINOR\", \"VISIBLE\"]",
        )
    });
    let pool = lab.pool();
    for _ in 0..2 {
        pool.activate_replica(uuid(1)).unwrap();
        assert_eq!(number(&lab).minor, 300);
        pool.resize_replica(uuid(1), 2 * EXTENT, Shrink::Allow).unwrap();
        assert_eq!(number(&lab).minor, 300);
        pool.deactivate_replica(uuid(1)).unwrap();
    }
    let other = (DmName::new("other").unwrap(), DmUuid::new("OTHER-1").unwrap());
    lab.fake.inner().create_at(&other.0, &other.1, 300).unwrap();
    let error = pool.activate_replica(uuid(1)).unwrap_err();
    assert_eq!(
        (error.kind(), error.class(), error.errno()),
        ("MinorTaken", Class::Busy, libc::EBUSY)
    );
    assert!(
        error.to_string().contains("300, which device other has"),
        "{error}"
    );
    // It stands in nobody's way.
    let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
    assert!(!pool.replica(uuid(1)).unwrap().active);
}

#[test]
fn a_device_reads_ahead_as_far_as_its_metadata_say() {
    for (fields, expected) in [
        ("", ReadAhead::AsBelow),
        ("read_ahead = 512\n", ReadAhead::Exactly(512)),
        ("read_ahead = -1\n", ReadAhead::Exactly(0)),
    ] {
        let lab = inactive();
        rewrite(&lab, &[0, 1], |text| with_fields(&text, uuid(1), fields));
        let pool = lab.pool();
        pool.activate_replica(uuid(1)).unwrap();
        assert_eq!(lab.fake.read_ahead(number(&lab)), Some(expected), "{fields}");
        pool.resize_replica(uuid(1), 2 * EXTENT, Shrink::Refuse).unwrap();
        assert_eq!(lab.fake.read_ahead(number(&lab)), Some(expected), "{fields}");
    }
}

#[test]
fn a_striped_device_reads_two_whole_stripes_ahead() {
    let lab = Lab::with_pool(2);
    let mut request = CreateReplica::new(uuid(1), 2 * EXTENT);
    request.layout = Layout::Striped {
        stripes: 2,
        stripe_size: lvm_meta::Sectors::new(UNIT / 512),
    };
    lab.pool().create_replica(&request).unwrap();
    let sectors = u32::try_from(2 * 2 * UNIT / 512).unwrap();
    assert_eq!(
        lab.fake.read_ahead(number(&lab)),
        Some(ReadAhead::AtLeast(sectors))
    );
}
