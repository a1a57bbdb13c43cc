//! Settings of `lvm.conf` and flags of LVs that say how something is activated or made.

use std::fs;

use lvm_dm::{DeviceId, DeviceMapper, DmName};
use lvm_pool::{CreateReplica, System};

use super::{replaced, rewrite};
use crate::lab::{Lab, POOL, UNIT, uuid};

const EXTENT: u64 = 4 * UNIT;

/// A system that obeys these settings.
fn obeying(lab: &Lab, settings: &str) -> System {
    let folder = lab.folder.path().join("etc");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lvm.conf"), settings).unwrap();
    lab.system_with(|builder| builder.config_dir(folder))
}

fn is_read_only(lab: &Lab, n: u128) -> bool {
    let name = format!("pool--1-{}", uuid(n).to_string().replace('-', "--"));
    let info = lab.fake.info(DeviceId::Name(&DmName::new(&name).unwrap()));
    info.unwrap().unwrap().read_only
}

#[test]
fn listed_replicas_are_activated_for_reading_only() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    for n in [1, 2] {
        pool.create_replica(&CreateReplica::new(uuid(n), EXTENT)).unwrap();
        pool.deactivate_replica(uuid(n)).unwrap();
    }
    let list = format!(
        "activation {{ read_only_volume_list = [ \"{POOL}/{}\" ] }}\n",
        uuid(1)
    );
    let pool = obeying(&lab, &list).open_pool(POOL).unwrap();
    for n in [1, 2] {
        pool.activate_replica(uuid(n)).unwrap();
    }
    assert!(is_read_only(&lab, 1) && !is_read_only(&lab, 2));
    pool.resize_replica(uuid(1), 2 * EXTENT, lvm_pool::Shrink::Refuse)
        .unwrap();
    assert!(is_read_only(&lab, 1));
}

#[test]
fn extents_are_as_large_as_the_host_says_unless_the_caller_does() {
    let lab = Lab::sized(1, 256 * UNIT);
    let system = obeying(&lab, "allocation { physical_extent_size = 512 }\n");
    let mut request = lvm_pool::CreatePool::new(POOL, lab.images.clone());
    let pool = system.create_pool(&request).unwrap();
    assert_eq!(pool.info().unwrap().extent_size, 512 << 10);
    system.destroy_pool(POOL).unwrap();
    request.extent_size = Some(EXTENT);
    let pool = system.create_pool(&request).unwrap();
    assert_eq!(pool.info().unwrap().extent_size, EXTENT);
}

#[test]
fn an_import_leaves_what_is_activated_by_name_alone() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    for n in [1, 2] {
        pool.create_replica(&CreateReplica::new(uuid(n), EXTENT)).unwrap();
        pool.deactivate_replica(uuid(n)).unwrap();
    }
    rewrite(&lab, &[0], |text| {
        let (before, after) = text.split_once(&format!("\n{} {{\n", uuid(1))).unwrap();
        let (own, rest) = after.split_once("segment_count").unwrap();
        let own = replaced(own, "flags = []", "flags = [\"ACTIVATION_SKIP\"]");
        format!("{before}\n{} {{\n{own}segment_count{rest}", uuid(1))
    });
    let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
    assert!(!pool.replica(uuid(1)).unwrap().active && pool.replica(uuid(2)).unwrap().active);
    pool.activate_replica(uuid(1)).unwrap();
    assert!(pool.replica(uuid(1)).unwrap().active);
}

#[test]
fn a_host_that_may_not_write_metadata_or_activate_does_not() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), EXTENT)).unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    let before = lab.bytes();
    let pool = obeying(&lab, "global { metadata_read_only = 1 }\n")
        .open_pool(POOL)
        .unwrap();
    let error = pool
        .create_replica(&CreateReplica::new(uuid(2), EXTENT))
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        ("ReadOnly", libc::EROFS),
        "{error}"
    );
    let pool = obeying(&lab, "activation { volume_list = [ \"other\" ] }\n")
        .open_pool(POOL)
        .unwrap();
    let error = pool.activate_replica(uuid(1)).unwrap_err();
    assert_eq!(error.kind(), "NotActivated", "{error}");
    assert!(lab.bytes() == before, "a disk changed");
}
