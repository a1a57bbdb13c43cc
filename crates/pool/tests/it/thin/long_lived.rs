//! A handle that stays open meets what others left half made, and what its own failures left, and mends it.

use lvm_dm::testing::{Call, Fault};
use lvm_pool::{Error, SetReplica, Shrink, StoragePool};

use super::scene::{ACTIVE, INACTIVE, THICK, check_sound, reboot, restore, scene};
use super::view::is_anything_suspended;
use super::{check_content, snapshot, thin};
use crate::lab::{POOL, UNIT, uuid};

type Ask = fn(&StoragePool) -> Result<(), Error>;

/// What a handle is asked first.
const FIRST: [(&str, Ask); 4] = [
    ("activate", |pool| pool.activate_replica(uuid(INACTIVE)).map(drop)),
    ("create", |pool| pool.create_replica(&thin(10, 4)).map(drop)),
    ("snapshot", |pool| {
        pool.create_snapshot(&snapshot(INACTIVE, 20)).map(drop)
    }),
    ("destroy", |pool| pool.destroy_replica(uuid(INACTIVE))),
];

#[test]
fn an_activation_that_another_process_began_is_finished_by_who_comes_next() {
    let lab = scene(1);
    for (name, run) in FIRST {
        let mut at = 1;
        loop {
            let pool = lab.pool();
            reboot(&lab);
            let other = lab.system().open_pool(POOL).unwrap();
            lab.fake.fault_at_change(at, Fault::Die);
            let done = other.activate_replica(uuid(INACTIVE)).is_ok();
            lab.fake.heal();
            drop(other);
            let context = format!("{name} after death at change {at}");
            run(&pool).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            if name != "destroy" {
                let replica = pool.activate_replica(uuid(INACTIVE)).unwrap();
                assert!(replica.active, "{context}");
                check_content(&pool, INACTIVE, &[Some(5)], &context);
            }
            assert!(!is_anything_suspended(&lab), "{context}");
            restore(&lab);
            if done {
                break;
            }
            at += 1;
        }
        assert!(at > 6, "{name}: {at}");
    }
}

#[test]
fn a_thick_replica_that_another_process_began_to_activate_is_activated() {
    let lab = scene(1);
    for at in 1.. {
        let pool = lab.pool();
        reboot(&lab);
        let other = lab.system().open_pool(POOL).unwrap();
        lab.fake.fault_at_change(at, Fault::Die);
        let done = other.activate_replica(uuid(THICK)).is_ok();
        lab.fake.heal();
        assert!(pool.activate_replica(uuid(THICK)).unwrap().active, "{at}");
        check_content(&pool, THICK, &[Some(1), Some(1)], "thick");
        restore(&lab);
        if done {
            assert!(at > 2, "{at}");
            break;
        }
    }
}

#[test]
fn a_replica_that_its_resize_left_stopped_goes_on_with_the_next_change_or_activation() {
    let lab = scene(1);
    let next: [Ask; 4] = [
        |pool| pool.activate_replica(uuid(ACTIVE)).map(drop),
        |pool| {
            let name = SetReplica {
                name: Some("other".into()),
                ..SetReplica::default()
            };
            pool.set_replica(uuid(THICK), &name).map(drop)
        },
        |pool| pool.create_replica(&thin(10, 4)).map(drop),
        |pool| pool.extend_thin_pool(Some(65 * UNIT), None).map(drop),
    ];
    for next in next {
        let pool = lab.pool();
        lab.fake.fault_when(Fault::Refuse(libc::ENOMEM), |call| {
            matches!(call, Call::Resume { .. })
        });
        let error = pool.resize_replica(uuid(ACTIVE), 24 * UNIT, Shrink::Refuse);
        assert!(matches!(error, Err(Error::AfterCommit(_))), "{error:?}");
        assert!(is_anything_suspended(&lab));
        lab.fake.heal();
        next(&pool).unwrap();
        assert!(!is_anything_suspended(&lab));
        check_content(&pool, ACTIVE, &[Some(0x22), Some(2)], "resized");
        check_sound(&lab, &pool, "resized");
        restore(&lab);
    }
}

#[test]
fn what_cannot_be_mended_yet_does_not_keep_others_from_being_changed() {
    let lab = scene(1);
    let pool = lab.pool();
    let is_it = |call: &Call| {
        let name = uuid(ACTIVE).to_string().replace('-', "--");
        matches!(call, Call::Resume { device, .. } if device.ends_with(&name))
    };
    lab.fake.fault_when(Fault::Refuse(libc::ENOMEM), is_it);
    pool.resize_replica(uuid(ACTIVE), 24 * UNIT, Shrink::Refuse)
        .unwrap_err();
    pool.create_replica(&thin(10, 4)).unwrap();
    pool.destroy_replica(uuid(10)).unwrap();
    assert!(is_anything_suspended(&lab));
    lab.fake.heal();
    pool.create_replica(&thin(10, 4)).unwrap();
    assert!(!is_anything_suspended(&lab));
    check_sound(&lab, &pool, "mended at last");
}
