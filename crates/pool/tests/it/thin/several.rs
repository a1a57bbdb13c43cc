//! Thin pools of any name, one or several in a VG: each is listed, grown, watched and used by its own name.

use lvm_dm::{DeviceId, DeviceMapper, DmName, ThinPoolStatus};
use lvm_pool::{Class, CreateThinPool, StoragePool, ThinAction, ThinPolicy};

use super::view::{check_at_rest, edit_text, vg};
use super::{CHUNK, check_content, clone, fill, pool_request, snapshot, thin};
use crate::lab::{Lab, POOL, UNIT, uuid};
use crate::refusals::check_refused;

const OURS: &str = "mayastor-thinpool";
const SIZE: u64 = 32 * CHUNK;

/// A host whose VG has these thin pools, none of our name; in the first lies replica 1, in the second replica 2, and so on,
/// each with one chunk of its number.
fn lab_of(names: &[&str]) -> Lab {
    let lab = Lab::sized(2, 160 * UNIT);
    let mut request = pool_request(&lab);
    request.thin_pool = None;
    lab.system().create_pool(&request).unwrap();
    for (n, name) in (1..).zip(names) {
        let pool = lab.pool();
        let mut request = CreateThinPool::new(SIZE);
        request.error_if_no_space = true;
        pool.create_thin_pool(&request).unwrap();
        let mut replica = thin(n, 8);
        replica.thin_pool = Some(OURS.into());
        pool.create_replica(&replica).unwrap();
        fill(&pool, n, 0, u8::try_from(n).unwrap());
        lab.system().export_pool(POOL).unwrap();
        edit_text(&lab, &[(OURS, name)]);
        lab.system().import_pool(POOL, &lab.images, None).unwrap();
    }
    lab
}

fn in_pool(n: u128, name: &str) -> lvm_pool::CreateReplica {
    let mut request = thin(n, 8);
    request.thin_pool = Some(name.into());
    request
}

fn pool_of(pool: &StoragePool, n: u128) -> Option<String> {
    pool.replica(uuid(n)).unwrap().thin_pool
}

#[test]
fn the_only_thin_pool_is_used_by_any_name() {
    for name in ["data", "LXDThinPool", "vg1_thin_pool"] {
        let lab = lab_of(&[name]);
        let pool = lab.pool();
        let info = pool.info().unwrap();
        let told = info.thin_pool.clone().unwrap();
        assert_eq!((&*told.name, told.data_size, told.data_used), (name, SIZE, CHUNK));
        assert_eq!(info.thin_pools, [told]);
        assert_eq!(info.foreign_lvs, [name]);
        assert_eq!(pool.replica(uuid(1)).unwrap().allocated, CHUNK);
        pool.create_replica(&thin(2, 8)).unwrap();
        assert_eq!(pool_of(&pool, 2).as_deref(), Some(name));
        pool.create_snapshot(&snapshot(1, 3)).unwrap();
        fill(&pool, 1, 0, 9);
        pool.create_clone(&clone(3, 4)).unwrap();
        check_content(&pool, 4, &[Some(1), None], name);
        let grown = pool.extend_thin_pool(Some(2 * SIZE), None).unwrap();
        assert_eq!(grown.thin_pool.unwrap().data_size, 2 * SIZE);
        check_at_rest(&lab, name);
        // Our own beside it, which is meant from then on.
        pool.create_thin_pool(&CreateThinPool::new(SIZE)).unwrap();
        let info = pool.info().unwrap();
        assert_eq!(info.thin_pool.unwrap().name, OURS);
        assert_eq!(info.thin_pools.len(), 2);
        pool.create_replica(&thin(5, 8)).unwrap();
        assert_eq!(pool_of(&pool, 5).as_deref(), Some(OURS));
        check_at_rest(&lab, name);
        check_refused(&lab, "ForeignLvs", Class::Precondition, |system| {
            system.destroy_pool(POOL)
        });
    }
}

#[test]
fn each_of_several_thin_pools_is_used_by_its_name() {
    let names = ["data", "fast"];
    let lab = lab_of(&names);
    let pool = lab.pool();
    let info = pool.info().unwrap();
    assert_eq!(info.thin_pool, None, "none of them is the pool's own");
    let told: Vec<_> = info.thin_pools.iter().map(|pool| &*pool.name).collect();
    assert_eq!(told, names);
    assert!(
        info.thin_pools
            .iter()
            .all(|pool| pool.data_used == CHUNK && pool.state == "online")
    );
    let metadata: u64 = info.thin_pools.iter().map(|pool| pool.metadata_size).sum();
    assert_eq!(
        info.used,
        metadata + 2 * SIZE,
        "what is free in them is their owners'"
    );

    // Where none is named, none is guessed.
    let refused = |kind, class, call: &dyn Fn(&StoragePool) -> Result<(), lvm_pool::Error>| {
        check_refused(&lab, kind, class, |system| call(&system.open_pool(POOL)?));
    };
    let many = |call| refused("ManyThinPools", Class::InvalidArgument, call);
    many(&|pool| pool.create_replica(&thin(9, 8)).map(drop));
    many(&|pool| pool.create_replicas(&[thin(9, 8)]).map(drop));
    many(&|pool| pool.extend_thin_pool(Some(2 * SIZE), None).map(drop));
    many(&|pool| pool.monitor_thin_pool(ThinPolicy::default()).map(drop));
    refused("LvNotFound", Class::NotFound, &|pool| {
        pool.create_replica(&in_pool(9, "nothing")).map(drop)
    });
    refused("LvNotFound", Class::NotFound, &|pool| {
        pool.extend_thin_pool_named("nothing", Some(2 * SIZE), None)
            .map(drop)
    });
    let invalid = |call| refused("InvalidArgument", Class::InvalidArgument, call);
    invalid(&|pool| pool.create_replica(&in_pool(9, "data_tdata")).map(drop));
    invalid(&|pool| {
        pool.create_replicas(&[in_pool(9, "data"), in_pool(10, "fast")])
            .map(drop)
    });
    invalid(&|pool| {
        let mut thick = in_pool(9, "data");
        thick.thin = false;
        pool.create_replica(&thick).map(drop)
    });

    // What comes from a replica lies where that does.
    for (n, name) in (1..).zip(names) {
        pool.create_replica(&in_pool(10 + n, name)).unwrap();
        pool.create_snapshot(&snapshot(n, 20 + n)).unwrap();
        fill(&pool, n, 0, 9);
        pool.create_clone(&clone(20 + n, 30 + n)).unwrap();
        check_content(&pool, 30 + n, &[Some(u8::try_from(n).unwrap()), None], name);
        for made in [n, 10 + n, 30 + n] {
            assert_eq!(pool_of(&pool, made).as_deref(), Some(name), "{made}");
        }
        assert_eq!(pool.replica(uuid(n)).unwrap().allocated, CHUNK);
        assert_eq!(pool.snapshot(uuid(20 + n)).unwrap().allocated, CHUNK);
    }
    check_at_rest(&lab, "used");

    // Inactive ones are told of by their own metadata.
    lab.system().export_pool(POOL).unwrap();
    assert!(lab.fake.inner().list().unwrap().is_empty());
    let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
    for n in [1, 2] {
        pool.deactivate_replica(uuid(n)).unwrap();
        assert_eq!(pool.replica(uuid(n)).unwrap().allocated, CHUNK, "{n}");
    }
    let info = pool.extend_thin_pool_named("fast", Some(2 * SIZE), None).unwrap();
    let sizes: Vec<u64> = info.thin_pools.iter().map(|pool| pool.data_size).collect();
    assert_eq!(sizes, [SIZE, 2 * SIZE]);
    check_at_rest(&lab, "grown");
    for n in [1, 2, 11, 12, 31, 32] {
        pool.destroy_replica(uuid(n)).unwrap();
    }
    for n in [21, 22] {
        pool.destroy_snapshot(uuid(n)).unwrap();
    }
    let info = pool.info().unwrap();
    assert!(info.thin_pools.iter().all(|pool| pool.data_used == 0));
    check_at_rest(&lab, "empty");
}

#[test]
fn a_monitor_looks_after_the_thin_pool_that_was_named() {
    let lab = lab_of(&["data", "fast"]);
    let pool = lab.pool();
    pool.create_replica(&in_pool(3, "fast")).unwrap();
    let mut large = in_pool(4, "fast");
    large.size = SIZE;
    pool.create_replica(&large).unwrap();
    (0..27).for_each(|chunk| fill(&pool, 4, chunk, 1));
    let mut actions = Vec::new();
    for name in ["data", "fast"] {
        let mut monitor = pool.monitor_thin_pool_named(name, ThinPolicy::default()).unwrap();
        monitor
            .check(&mut |action| actions.push((name, action.clone())))
            .unwrap();
    }
    assert!(
        matches!(&actions[..], [("fast", ThinAction::Extended { from, .. })] if *from == SIZE),
        "{actions:?}"
    );
    let name = DmName::new("pool--1-data-tpool").unwrap();
    let status = lab.fake.inner().status(DeviceId::Name(&name), true).unwrap();
    assert_eq!(
        ThinPoolStatus::parse(&status[0]).unwrap().data_blocks,
        SIZE / CHUNK
    );
    check_at_rest(&lab, "watched");
}

#[test]
fn a_thin_pool_that_cannot_go_on_harms_its_own_volumes_alone() {
    let lab = lab_of(&["data", "fast"]);
    super::view::edit(&lab, |vg| {
        super::view::edit_pool(vg, "data", |pool| {
            pool.transaction_id += 5;
            pool.messages = vec![lvm_meta::detail::ThinMessage::Delete(9)];
        });
    });
    let pool = lab.pool();
    let reasons = pool.info().unwrap().reasons;
    assert!(
        reasons.iter().all(|reason| reason.contains("\"data\"")),
        "{reasons:?}"
    );
    // Of another moment, and not finished.
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    check_refused(&lab, "ThinPoolMismatch", Class::Precondition, |system| {
        system.open_pool(POOL)?.create_snapshot(&snapshot(1, 3))
    });
    pool.create_snapshot(&snapshot(2, 4)).unwrap();
    pool.create_replica(&in_pool(5, "fast")).unwrap();
    assert_eq!(super::view::device_ids(&vg(&lab), "fast"), [1, 2, 3].into());
}
