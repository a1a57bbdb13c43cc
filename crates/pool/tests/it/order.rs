//! The order in which the kernel and the metadata are changed.

use lvm_pool::{CreateReplica, SetReplica, Shrink, Zeroing};

use crate::lab::{Io, Lab, POOL, UNIT, uuid};

/// The calls that change something, without the data that is read and written.
fn changes(lab: &Lab) -> Vec<String> {
    let changes = lab.fake.changes();
    let names = changes.iter().map(|call| call.command().to_string());
    names
        .filter(|name| !["cookie", "finish", "open"].contains(&name.as_str()))
        .collect()
}

fn request(n: u128, zeroing: Zeroing) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(n), 8 * UNIT);
    request.zeroing = zeroing;
    request
}

#[test]
fn a_replica_is_zeroed_before_it_exists() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    lab.fake.forget_calls();
    pool.create_replica(&request(1, Zeroing::Head)).unwrap();
    assert_eq!(changes(&lab), ["create", "load", "resume", "zero", "sync"]);
    assert_eq!(pool.info().unwrap().seqno, 2, "one commit");
}

#[test]
fn a_resize_loads_before_it_suspends_and_resumes_after_the_commit() {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    pool.create_replica(&request(1, Zeroing::None)).unwrap();
    lab.fake.forget_calls();
    pool.resize_replica(uuid(1), 16 * UNIT, Shrink::Refuse).unwrap();
    assert_eq!(changes(&lab), ["load", "suspend", "resume"]);
    assert_eq!(pool.info().unwrap().seqno, 3);
}

#[test]
fn many_replicas_take_one_commit_and_one_wait() {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    let requests: Vec<_> = (0..10).map(|n| request(n, Zeroing::None)).collect();
    lab.fake.forget_calls();
    let made = pool.create_replicas(&requests).unwrap();
    assert_eq!(made.len(), 10);
    assert!(
        made.iter()
            .all(|replica| replica.active && replica.size == 8 * UNIT)
    );
    assert_eq!(pool.info().unwrap().seqno, 2);
    let calls = lab.fake.calls();
    let count = |name: &str| calls.iter().filter(|call| call.command() == name).count();
    assert_eq!(
        [
            count("create"),
            count("load"),
            count("resume"),
            count("cookie"),
            count("finish")
        ],
        [10, 10, 10, 1, 1]
    );
}

#[test]
fn what_is_set_already_costs_no_commit_and_no_kernel_call() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    let before = pool.create_replica(&request(1, Zeroing::None)).unwrap();
    let seqno = pool.info().unwrap().seqno;
    lab.fake.forget_calls();
    let same = SetReplica {
        name: Some(before.name.clone()),
        ..SetReplica::default()
    };
    assert_eq!(pool.set_replica(uuid(1), &same).unwrap(), before);
    assert_eq!(
        pool.resize_replica(uuid(1), 5 * UNIT, Shrink::Refuse).unwrap(),
        before,
        "the same extents"
    );
    assert_eq!(pool.activate_replica(uuid(1)).unwrap(), before);
    assert_eq!(changes(&lab), [""; 0]);
    assert_eq!(pool.info().unwrap().seqno, seqno);
}

#[test]
fn export_takes_the_devices_away_and_import_brings_them_back() {
    let lab = Lab::with_pool(1);
    let system = lab.system();
    let pool = system.open_pool(POOL).unwrap();
    pool.create_replica(&request(1, Zeroing::None)).unwrap();
    pool.create_replica(&request(2, Zeroing::None)).unwrap();
    lab.fake.forget_calls();
    system.export_pool(POOL).unwrap();
    assert_eq!(changes(&lab), ["remove", "remove"]);
    assert!(system.pools().unwrap().is_empty());
    assert_eq!(
        pool.replicas().unwrap().len(),
        2,
        "an exported pool can still be looked at"
    );
    assert_eq!(
        pool.create_replica(&request(3, Zeroing::None))
            .unwrap_err()
            .kind(),
        "PoolNotFound"
    );
    system.export_pool(POOL).unwrap();
    let pool = system.import_pool(POOL, &lab.images, None).unwrap();
    assert!(pool.replicas().unwrap().iter().all(|replica| replica.active));
    lab.check_devices(&pool.replicas().unwrap(), "imported");
}

#[test]
fn activating_many_takes_three_calls_for_each_and_one_wait_for_all() {
    let lab = Lab::with_pool(2);
    let system = lab.system();
    let pool = system.open_pool(POOL).unwrap();
    let requests: Vec<_> = (0..10).map(|n| request(n, Zeroing::None)).collect();
    let made = pool.create_replicas(&requests).unwrap();
    let count = |name: &str| {
        let calls = lab.fake.calls();
        calls.iter().filter(|call| call.command() == name).count()
    };
    // All of them, after a start of the host; and the half, beside those that are active.
    for active in [0, 5] {
        system.export_pool(POOL).unwrap();
        if active > 0 {
            let pool = system.import_pool(POOL, &lab.images, None).unwrap();
            for replica in &made[active..] {
                pool.deactivate_replica(replica.uuid).unwrap();
            }
        }
        lab.fake.forget_calls();
        let pool = system.import_pool(POOL, &lab.images, None).unwrap();
        let each = 10 - active;
        assert_eq!([count("create"), count("load"), count("resume")], [each; 3]);
        assert_eq!([count("cookie"), count("finish")], [1, 1]);
        // What is asked beside: for a list, twice, and about each device that is there, whether it was left half made.
        assert_eq!([count("list"), count("info")], [2, active]);
        assert_eq!(pool.replicas().unwrap(), made);
    }
}

#[test]
fn a_question_on_unchanged_metadata_reads_one_header_and_asks_for_one_device() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    pool.create_replica(&request(1, Zeroing::None)).unwrap();
    let reads = lab.switch.reads();
    lab.fake.forget_calls();
    pool.replica(uuid(1)).unwrap();
    assert_eq!(lab.switch.reads() - reads, 1);
    assert_eq!(
        lab.fake
            .calls()
            .iter()
            .map(|call| call.command())
            .collect::<Vec<_>>(),
        ["info"]
    );
}

/// Byte of the one metadata area's header on each disk.
const HEADER: u64 = 4096;

#[test]
fn a_change_writes_the_text_once_an_area_and_reads_nothing_but_headers() {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    pool.create_replica(&request(1, Zeroing::None)).unwrap();
    for change in ["create", "set", "resize"] {
        lab.fake.forget_calls();
        lab.switch.take_log();
        match change {
            "create" => drop(pool.create_replica(&request(2, Zeroing::None)).unwrap()),
            "set" => {
                let entity_id = Some("volume".into());
                let new = SetReplica {
                    entity_id,
                    ..SetReplica::default()
                };
                drop(pool.set_replica(uuid(2), &new).unwrap());
            }
            _ => drop(pool.resize_replica(uuid(2), 16 * UNIT, Shrink::Refuse).unwrap()),
        }
        let log = lab.switch.take_log();
        let text = usize::try_from(pool.info().unwrap().metadata_used).unwrap();
        let is_text = |io: &Io| matches!(io, Io::Write { at, len } if *at > HEADER && *len == text.next_multiple_of(512));
        let (read, write) = (
            Io::Read { at: HEADER, len: 512 },
            Io::Write { at: HEADER, len: 512 },
        );
        // Once under the lock, and once right before the first write.
        assert_eq!(log[..4], [read; 4], "{change}");
        assert!(log[4..6].iter().all(is_text), "{change}: {log:?}");
        let steps = [
            Io::Sync,
            Io::Sync,
            write,
            write,
            Io::Sync,
            Io::Sync,
            write,
            write,
            Io::Sync,
            Io::Sync,
        ];
        assert_eq!(log[6..], steps, "{change}");
        let kernel: &[&str] = match change {
            "create" => &["create", "load", "resume"],
            "set" => &["info"],
            _ => &["info", "load", "suspend", "resume"],
        };
        let calls = lab.fake.calls();
        let calls = calls.iter().map(|call| call.command());
        // Those that are ioctls.
        let calls: Vec<_> = calls
            .filter(|call| !["cookie", "finish"].contains(call))
            .collect();
        assert_eq!(calls, kernel, "{change}");
    }
}

#[test]
fn a_list_of_unchanged_metadata_reads_one_header_an_area_and_asks_the_mapper_once() {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    let requests: Vec<_> = (0..10).map(|n| request(n, Zeroing::None)).collect();
    pool.create_replicas(&requests).unwrap();
    lab.fake.forget_calls();
    lab.switch.take_log();
    assert!(pool.replicas().unwrap().iter().all(|replica| replica.active));
    assert_eq!(lab.switch.take_log(), [Io::Read { at: HEADER, len: 512 }; 2]);
    assert_eq!(lab.fake.calls().len(), 1);
}
