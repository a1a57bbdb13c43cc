//! What changes and questions of thin volumes ask of the disks and of the kernel.

use lvm_dm::testing::Call;
use lvm_pool::StoragePool;

use super::{clone, fill, lab, snapshot, thin};
use crate::lab::{Io, Lab, uuid};

/// What one call cost: commits, syncs of disks, and what the kernel was asked for.
#[derive(Debug, PartialEq)]
struct Cost {
    commits: u32,
    syncs: usize,
    calls: Vec<String>,
}

fn cost(lab: &Lab, pool: &StoragePool, run: impl FnOnce(&StoragePool)) -> Cost {
    let before = pool.info().unwrap().seqno;
    lab.fake.forget_calls();
    lab.switch.take_log();
    run(pool);
    let calls = lab.fake.calls();
    let log = lab.switch.take_log();
    Cost {
        commits: pool.info().unwrap().seqno - before,
        syncs: log.iter().filter(|io| **io == Io::Sync).count(),
        calls: calls
            .iter()
            .filter(|call| !matches!(call, Call::Cookie | Call::Finish { .. }))
            .map(|call| match call {
                Call::Message { text, .. } => text.split(' ').next().unwrap_or_default().to_string(),
                call => call.command().to_string(),
            })
            .collect(),
    }
}

/// A pool on one disk with an active replica and an inactive one.
fn prepared() -> (Lab, StoragePool) {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    pool.create_replica(&thin(2, 4)).unwrap();
    pool.deactivate_replica(uuid(2)).unwrap();
    (lab, pool)
}

/// Syncs of a commit on one disk: text, precommit, commit.
const SYNCS: usize = 3;

#[test]
fn a_snapshot_stops_its_origin_for_one_message() {
    let (lab, pool) = prepared();
    let found = cost(&lab, &pool, |pool| {
        pool.create_snapshot(&snapshot(1, 10)).unwrap();
    });
    let at = found.calls.iter().position(|call| call == "suspend").unwrap();
    assert_eq!(
        found.calls[at..at + 4],
        ["suspend", "create_snap", "resume", "set_transaction_id"]
    );
    assert_eq!((found.commits, found.syncs), (2, 2 * SYNCS));
    let once = |name: &str| found.calls.iter().filter(|call| *call == name).count();
    assert_eq!([once("suspend"), once("load"), once("create")], [1, 0, 0]);
    assert_eq!(found.calls.len(), 9, "{found:?}");

    let found = cost(&lab, &pool, |pool| {
        pool.create_snapshot(&snapshot(2, 11)).unwrap();
    });
    assert!(!found.calls.iter().any(|call| call == "suspend"), "{found:?}");
    assert_eq!((found.commits, found.syncs), (2, 2 * SYNCS));
}

#[test]
fn thin_volumes_come_and_go_in_two_commits_however_many_they_are() {
    let (lab, pool) = prepared();
    pool.create_snapshot(&snapshot(1, 10)).unwrap();
    let steps = |found: &Cost| -> Vec<String> {
        let questions = ["info", "targets", "status"];
        let mut calls = found.calls.clone();
        calls.retain(|call| !questions.contains(&call.as_str()));
        calls
    };
    let asked = |found: &Cost| found.calls.len() - steps(found).len();
    let found = cost(&lab, &pool, |pool| {
        drop(pool.create_replica(&thin(20, 4)).unwrap())
    });
    let made = ["create_thin", "set_transaction_id", "create", "load", "resume"];
    assert_eq!(steps(&found), made);
    assert_eq!((found.commits, found.syncs), (2, 2 * SYNCS));
    let of_one = asked(&found);

    let found = cost(&lab, &pool, |pool| {
        drop(pool.create_clone(&clone(10, 21)).unwrap())
    });
    let made = ["create_snap", "set_transaction_id", "create", "load", "resume"];
    assert_eq!(steps(&found), made);
    assert_eq!((found.commits, found.syncs), (2, 2 * SYNCS));

    let requests: Vec<_> = (30..50).map(|n| thin(n, 4)).collect();
    let found = cost(&lab, &pool, |pool| drop(pool.create_replicas(&requests).unwrap()));
    assert_eq!((found.commits, found.syncs), (2, 2 * SYNCS));
    assert_eq!(
        steps(&found).iter().filter(|call| *call == "create_thin").count(),
        20
    );
    assert_eq!(
        found
            .calls
            .iter()
            .filter(|call| *call == "set_transaction_id")
            .count(),
        1
    );
    // Each is asked for its pool's number before, and for its blocks after.
    assert!(
        asked(&found) <= of_one + 19 * 2 + 1,
        "{}, {of_one}",
        asked(&found)
    );

    let found = cost(&lab, &pool, |pool| pool.destroy_replica(uuid(20)).unwrap());
    assert_eq!(steps(&found), ["remove", "delete", "set_transaction_id"]);
    assert_eq!((found.commits, found.syncs), (2, 2 * SYNCS));
    let found = cost(&lab, &pool, |pool| pool.destroy_snapshot(uuid(10)).unwrap());
    assert_eq!(steps(&found), ["delete", "set_transaction_id"]);
}

#[test]
fn a_list_asks_the_pool_and_each_active_volume_and_reads_the_kernels_metadata_once_for_all_others() {
    let (lab, pool) = prepared();
    let requests: Vec<_> = (30..40).map(|n| thin(n, 4)).collect();
    pool.create_replicas(&requests).unwrap();
    for n in 30..36 {
        fill(&pool, n, 0, 1);
        pool.deactivate_replica(uuid(n)).unwrap();
    }
    pool.create_snapshot(&snapshot(1, 10)).unwrap();
    // What is looked at below is committed by now: the pool commits with each message.
    let (mut reads, mut wanted) = (Vec::new(), Vec::new());
    for active in [5, 4] {
        lab.fake.forget_calls();
        lab.switch.take_log();
        assert_eq!(
            pool.replicas()
                .unwrap()
                .iter()
                .filter(|replica| replica.active)
                .count(),
            active
        );
        let calls = lab.fake.calls();
        let count = |name: &str| calls.iter().filter(|call| call.command() == name).count();
        // The pool is asked once, for the health of all.
        assert_eq!(
            [count("list"), count("status"), calls.len()],
            [1, active + 1, active + 2]
        );
        let log = lab.switch.take_log();
        // The text's header, and once more since some are inactive; the kernel's superblock before and after, and the tree's
        // blocks.
        let blocks = log
            .iter()
            .filter(|io| matches!(io, Io::Read { len: 4096, .. }))
            .count();
        assert_eq!(blocks + 2, log.len(), "{log:?}");
        reads.push(blocks);
        wanted.push(3);
        pool.deactivate_replica(uuid(1)).unwrap();
    }
    assert_eq!(reads, wanted);
}
