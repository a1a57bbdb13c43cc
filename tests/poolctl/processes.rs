//! Several processes at once, locks, and processes that are killed.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::host::{Host, inspect, succeeded};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

#[test]
fn processes_that_change_one_pool_at_once_lose_nothing() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1", "--extent-size", "64K"]);
    let uuid = |worker: u32, number: u32| format!("aaaaaaaa-0000-4000-8000-{worker:06}{number:06}");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let host = &host;
            scope.spawn(move || {
                for number in 0..8 {
                    let uuid = uuid(worker, number);
                    host.ok(&["replica", "create", "p", &uuid, "64K"]);
                    host.ok(&["replica", "resize", &uuid, "192K"]);
                    if number % 2 == 1 {
                        host.ok(&["replica", "destroy", &uuid]);
                    }
                }
            });
        }
        scope.spawn(|| {
            // Readers take no lock and never see half a change.
            for _ in 0..20 {
                let pool = host.ok(&["pool", "show", "p"]);
                assert_eq!(pool["state"], "online");
                host.ok(&["replica", "list", "p"]);
            }
        });
    });
    let list = host.ok(&["replica", "list", "p"]);
    let mut found: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|replica| replica["uuid"].as_str().unwrap().into())
        .collect();
    found.sort();
    let expected: Vec<String> = (0..4)
        .flat_map(|worker| [0, 2, 4, 6].map(|number| uuid(worker, number)))
        .collect();
    assert_eq!(found, expected);
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|replica| replica["size"] == 192 << 10)
    );
    // One commit for the pool, each create, each resize and each destroy: no one's was lost.
    assert_eq!(host.seqno("p"), 1 + 4 * (8 + 8 + 4));
    assert_eq!(inspect(&host, &["--check"]).status.code(), Some(0));
}

#[test]
fn of_two_processes_that_take_one_disk_one_wins() {
    let host = Host::new(&[64]);
    let both = ["p", "q"].map(|pool| host.start(&["pool", "create", pool, "disk0"]));
    let won = both.map(|child| child.wait_with_output().unwrap().status.code().unwrap());
    assert!(won == [0, 1] || won == [1, 0], "{won:?}");
    assert_eq!(host.ok(&["pool", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn of_processes_that_create_one_pool_all_succeed() {
    let host = Host::new(&[64]);
    let args = ["pool", "create", "p", "disk0"];
    let all = [(); 4].map(|()| host.start(&args));
    let uuids = all.map(|child| succeeded(child.wait_with_output().unwrap(), &args)["uuid"].clone());
    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "{uuids:?}");
    assert_eq!(host.seqno("p"), 1);
}

#[test]
fn a_lock_held_past_the_deadline_is_told_with_its_holder() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    let lock = File::create(host.path("lock/V_p")).unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let me = std::process::id().to_string();
    for args in [
        &["--timeout", "0.2", "replica", "create", "p", B, "4M"][..],
        &["--timeout", "0", "replica", "destroy", A],
        &["--timeout", "0.2", "replica", "resize", A, "8M"],
        &["--timeout", "0.2", "replica", "set", A, "--name", "x"],
        &["--timeout", "0.2", "pool", "export", "p"],
        &["--timeout", "0.2", "pool", "destroy", "p"],
        &["--timeout", "0.2", "pool", "import", "p", "disk0"],
        &["--timeout", "0.2", "pool", "create", "p", "disk0"],
    ] {
        let told = host.refused(args, "LockTimeout", "EBUSY");
        assert!(told.contains(&me), "{told}");
    }
    // Readers take no lock.
    for args in [
        &["pool", "list"][..],
        &["pool", "show", "p"],
        &["replica", "list"],
        &["replica", "show", A],
    ] {
        host.unchanged(args);
    }
    assert_eq!(host.read(A, 0, 4), [0; 4]);
    drop(lock);
    host.ok(&["replica", "destroy", A]);
}

#[test]
fn a_killed_process_leaves_the_old_pool_or_the_new_one() {
    let host = Host::new(&[64]);
    host.ok(&["pool", "create", "p", "disk0", "--extent-size", "16K"]);
    let (mut known, mut whole, mut cut) = (0, 0, 0);
    // Killed later and later, until it was done before that several times.
    for delay in (0..2000).step_by(2) {
        let program = crate::common::example("poolctl");
        let mut command = std::process::Command::new(program);
        host.arguments(&mut command, &["replica", "create-many", "p", "40", "16K"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();

        let list = host.ok(&["replica", "list", "p"]);
        let count = list.as_array().unwrap().len();
        assert!(
            count == known || count == known + 40,
            "{known} replicas became {count}"
        );
        if count == known {
            cut += 1
        } else {
            whole += 1
        }
        known = count;
        assert_eq!(inspect(&host, &["--check"]).status.code(), Some(0));
        // The pool is as good as new: the next change works.
        host.ok(&["replica", "create", "p", A, "16K"]);
        host.ok(&["replica", "destroy", A]);
        if whole >= 4 {
            break;
        }
    }
    assert!(whole >= 4 && cut > 0, "{whole} whole, {cut} cut");
}

#[test]
fn a_killed_creation_or_removal_of_a_pool_is_repeated_with_success() {
    let host = Host::new(&[64, 64]);
    for round in 0..12u64 {
        for args in [
            &["pool", "create", "p", "disk0", "disk1"][..],
            &["pool", "destroy", "p"],
        ] {
            let mut command = std::process::Command::new(crate::common::example("poolctl"));
            host.arguments(&mut command, args);
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(round));
            child.kill().unwrap();
            child.wait().unwrap();
            let again = host.run(args);
            let answer: Value = serde_json::from_slice(&again.stdout).unwrap();
            let done = again.status.code() == Some(0)
                || (args[1] == "destroy" && answer["error"]["errno"] == "ENOENT");
            assert!(done, "{args:?} killed after {round} ms, then {answer}");
        }
        assert_eq!(host.ok(&["pool", "list"]).as_array().unwrap().len(), 0);
    }
}
