//! A call of the mapper or an operation of a disk fails once, at every place: all is as before, or done.

use lvm_dm::testing::{Call, Fault};
use lvm_pool::Error;

use super::scene::{ACTIVE, OPERATIONS, Operation, TAKEN, Volumes, check_sound, reopen, restore, scene};
use super::scene::{GROWN, grow, growing, pool_sizes, wanted_sizes};
use super::scene::{volumes, volumes_around};
use super::view::{check_at_rest, check_with_leaks, is_anything_suspended, kernel_ids};
use super::{check_content, lab, snapshot, tell, thin, thin_pool};
use crate::lab::{Cut, Lab, POOL, UNIT, request, uuid};

const THIN_POOL: &str = "mayastor-thinpool";
const ERRNOS: [i32; 5] = [libc::EIO, libc::ENOSPC, libc::EINVAL, libc::ENOMEM, libc::EEXIST];

/// Runs an operation in which something fails, and looks at what it left.
fn check_fault(
    lab: &Lab,
    operation: &Operation,
    [old, new]: &[Volumes; 2],
    arm: &dyn Fn(),
    context: &str,
) -> bool {
    let system = lab.system();
    let pool = system.open_pool(POOL).unwrap();
    let faults = lab.fake.fault_count();
    arm();
    let result = (operation.run)(&system, &pool);
    let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
    let context = format!("{}, {context}: {result:?}", operation.name);
    if operation.takes_snapshot {
        assert!(!is_anything_suspended(lab), "{context}: the origin stands still");
    }
    drop((pool, system));
    let pool = reopen(lab);
    let found = volumes(&pool);
    match &result {
        Ok(()) => assert_eq!(found, *new, "{context}"),
        // What was not taken is undone when the pool is opened.
        Err(Error::AfterCommit(_)) if operation.takes_snapshot => {
            assert!(found == *old || found == *new, "{context}: {found:?}");
        }
        Err(Error::AfterCommit(_)) => assert_eq!(found, *new, "{context}"),
        Err(error) => {
            assert_eq!(found, *old, "{context}");
            assert!(error.errno() > 0, "{context}");
        }
    }
    check_sound(lab, &pool, &context);
    restore(lab);
    struck
}

#[test]
fn a_kernel_call_that_fails_is_undone_or_made_good() {
    for operation in OPERATIONS {
        let lab = scene(1);
        let around = volumes_around(&lab, operation);
        let mut at = 1;
        let call = |at: usize| {
            lab.fake
                .fault_at_call(at, Fault::Refuse(ERRNOS[at % ERRNOS.len()]))
        };
        while check_fault(
            &lab,
            operation,
            &around,
            &|| call(at),
            &format!("call {at} is refused"),
        ) {
            at += 1;
        }
        let mut at = 1;
        let change = |at| lab.fake.fault_at_change(at, Fault::LoseAnswer(libc::ENOMEM));
        while check_fault(
            &lab,
            operation,
            &around,
            &|| change(at),
            &format!("change {at} is not told"),
        ) {
            at += 1;
        }
    }
}

#[test]
fn a_kernel_call_that_fails_while_a_thin_pool_is_made_leaves_none() {
    for fault in [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::ENOMEM)] {
        let lab = Lab::sized(1, 160 * UNIT);
        lab.system().create_pool(&request(POOL, &lab.images)).unwrap();
        let mut at = 1;
        loop {
            let pool = lab.pool();
            lab.fake.fault_at_call(at, fault);
            let faults = lab.fake.fault_count();
            let result = pool.create_thin_pool(&thin_pool());
            let context = format!("call {at}, {fault:?}: {result:?}");
            let pool = lab.pool();
            assert_eq!(
                pool.info().unwrap().thin_pool.is_some(),
                result.is_ok(),
                "{context}"
            );
            check_at_rest(&lab, &context);
            if lab.fake.fault_count() == faults {
                break;
            }
            if result.is_ok() {
                // It was a question after the commit.
                break;
            }
            at += 1;
        }
        assert!(at > 10, "{at}");
    }
}

#[test]
fn a_kernel_call_that_fails_while_a_pool_is_imported_is_made_good_by_a_repeated_call() {
    let lab = scene(1);
    for fault in [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::ENOMEM)] {
        let mut at = 1;
        loop {
            lab.system().export_pool(POOL).unwrap();
            let system = lab.system();
            let faults = lab.fake.fault_count();
            lab.fake.fault_at_call(at, fault);
            let result = system.import_pool(POOL, &lab.images, None).map(drop);
            let context = format!("call {at}, {fault:?}: {result:?}");
            let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
            assert!(
                pool.replicas().unwrap().iter().all(|replica| replica.active),
                "{context}"
            );
            check_sound(&lab, &pool, &context);
            restore(&lab);
            if lab.fake.fault_count() == faults {
                break;
            }
            at += 1;
        }
        assert!(at > 5, "{at}");
    }
}

#[test]
fn a_disk_operation_that_fails_leaves_the_old_or_the_new_volumes() {
    let names = ["create", "snapshot", "destroy a snapshot"];
    for operation in OPERATIONS
        .iter()
        .filter(|operation| names.contains(&operation.name))
    {
        let lab = scene(2);
        let around = volumes_around(&lab, operation);
        let mut at = 1;
        let arm = |at| lab.arm(Cut::Fault { at });
        while check_fault(
            &lab,
            operation,
            &around,
            &|| arm(at),
            &format!("disk operation {at}"),
        ) {
            at += 1;
        }
        assert!(at > 20, "{at}");
    }
}

#[test]
fn an_origin_goes_on_when_its_resume_fails_once() {
    let lab = scene(1);
    for fault in [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::ENOMEM)] {
        let pool = lab.pool();
        let mut left = 1;
        lab.fake.fault_when(fault, move |call| {
            let is_it = left > 0 && matches!(call, Call::Resume { .. });
            left -= u32::from(is_it);
            is_it
        });
        pool.create_snapshot(&snapshot(ACTIVE, TAKEN)).unwrap();
        lab.fake.heal();
        assert!(!is_anything_suspended(&lab));
        restore(&lab);
    }
}

#[test]
fn a_kernel_call_that_fails_while_a_thin_pool_grows_is_undone_or_made_good() {
    for (part, fault) in GROWN.into_iter().flat_map(|part| {
        [Fault::Refuse(libc::ENOMEM), Fault::LoseAnswer(libc::ENOMEM)].map(|fault| (part, fault))
    }) {
        let mut at = 1;
        loop {
            let lab = growing();
            let pool = lab.pool();
            let old = pool_sizes(&lab, &pool);
            let new = wanted_sizes(old, part);
            let faults = lab.fake.fault_count();
            lab.fake.fault_at_call(at, fault);
            let result = grow(&pool, part);
            let struck = lab.fake.fault_count() > faults;
            lab.fake.heal();
            let context = format!("{part:?}, call {at}, {fault:?}: {result:?}");
            // The handle itself mends what it left.
            pool.activate_replica(uuid(1)).unwrap();
            check_at_rest(&lab, &context);
            assert!(!is_anything_suspended(&lab), "{context}");
            let wanted = match &result {
                Ok(()) | Err(Error::AfterCommit(_)) => new,
                Err(_) => old,
            };
            assert_eq!(pool_sizes(&lab, &pool), wanted, "{context}");
            grow(&pool, part).unwrap();
            assert_eq!(pool_sizes(&lab, &pool), new, "{context}");
            check_content(&pool, 1, &[Some(7)], &context);
            if !struck {
                break;
            }
            at += 1;
        }
        assert!(at > 15, "{at}");
    }
}

#[test]
fn a_kernel_that_refuses_every_message_costs_nothing() {
    let lab = scene(1);
    let pool = lab.pool();
    let old = volumes(&pool);
    for errno in ERRNOS {
        lab.fake
            .fault_when(Fault::Refuse(errno), |call| matches!(call, Call::Message { .. }));
        let error = pool.create_replica(&thin(10, 4)).unwrap_err();
        assert_eq!(error.errno(), errno);
        let error = pool.create_snapshot(&snapshot(ACTIVE, TAKEN)).unwrap_err();
        assert_eq!(error.errno(), errno);
        lab.fake.heal();
        assert_eq!(volumes(&pool), old);
        check_sound(&lab, &pool, "refused");
        restore(&lab);
    }
}

#[test]
fn a_device_that_only_the_kernel_has_is_left_alone_and_its_number_not_used() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    super::fill(&pool, 1, 0, 7);
    // The next number, and one among those of a request for many.
    for leak in [2, 5] {
        tell(&lab, &format!("create_snap {leak} 1"));
    }
    pool.create_replicas(&[thin(2, 4), thin(3, 4)]).unwrap();
    assert_eq!(kernel_ids(&lab, THIN_POOL), [1, 2, 5, 6, 7].into());
    check_content(&pool, 2, &[None], "not the snapshot that was there");
    check_with_leaks(&lab, &[2, 5], "created");
    tell(&lab, "create_thin 8");
    pool.create_snapshot(&snapshot(1, 10)).unwrap();
    tell(&lab, "create_thin 10");
    pool.create_clone(&super::clone(10, 11)).unwrap();
    check_with_leaks(&lab, &[2, 5, 8, 10], "snapshot and clone");
    check_content(&pool, 11, &[Some(7)], "clone");
    for n in [1, 2, 3, 11] {
        pool.destroy_replica(uuid(n)).unwrap();
    }
    pool.destroy_snapshot(uuid(10)).unwrap();
    check_with_leaks(&lab, &[2, 5, 8, 10], "destroyed");
}

#[test]
fn what_the_kernel_does_not_let_go_of_at_once_is_deleted_later() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    tell(&lab, "create_thin 3");
    let deletes = |call: &Call| matches!(call, Call::Message { text, .. } if text.starts_with("delete"));
    lab.fake.fault_when(Fault::Refuse(libc::EBUSY), deletes);
    // The first of them is made, the second cannot be, and the first not be taken back.
    let many = [thin(2, 4), thin(3, 4)];
    assert_eq!(pool.create_replicas(&many).unwrap_err().errno(), libc::EBUSY);
    assert_eq!(volumes(&pool).len(), 1);
    assert_eq!(pool.create_replica(&thin(2, 4)).unwrap_err().errno(), libc::EBUSY);
    lab.fake.heal();
    pool.create_replicas(&many).unwrap();
    check_with_leaks(&lab, &[3], "made");
}

#[test]
fn death_on_a_number_that_is_taken_does_not_cost_the_device_that_has_it() {
    for is_snapshot in [false, true] {
        let lab = lab(1);
        let pool = lab.pool();
        pool.create_replica(&thin(1, 4)).unwrap();
        tell(&lab, "create_snap 2 1");
        // It is of an earlier transaction than what comes next.
        pool.create_replica(&thin(50, 4)).unwrap();
        pool.destroy_replica(uuid(50)).unwrap();
        let died = |call: &Call| matches!(call, Call::Message { text, .. } if text.starts_with("create"));
        lab.fake.fault_when(Fault::Die, died);
        match is_snapshot {
            true => drop(pool.create_snapshot(&snapshot(1, 3)).unwrap_err()),
            false => drop(pool.create_replica(&thin(3, 4)).unwrap_err()),
        }
        assert!(lab.fake.is_dead());
        let pool = lab.pool();
        assert_eq!(volumes(&pool).len(), 1, "nobody can make it now");
        check_with_leaks(&lab, &[2], "reopened");
        pool.create_replica(&thin(3, 4)).unwrap();
        check_with_leaks(&lab, &[2], "made");
    }
}
