//! Replicas: exact fields, sizes, data, and what repeated calls do.

use serde_json::{Value, json};

use crate::host::{Host, MIB};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

#[test]
fn a_replica_has_exactly_these_fields() {
    let host = Host::with_pool();
    let pool_uuid = host.ok(&["pool", "show", "p"])["uuid"].clone();
    let made = host.ok(&[
        "replica",
        "create",
        "p",
        A,
        "10M",
        "--name",
        "vol-1",
        "--entity-id",
        "e/1+2:3",
    ]);
    let expected = json!({
        "uuid": A,
        "name": "vol-1",
        "pool": "p",
        "pool_uuid": pool_uuid,
        "entity_id": "e/1+2:3",
        "size": 12 * MIB,
        "committed": 12 * MIB,
        "allocated": 12 * MIB,
        "thin": false,
        "thin_pool": null,
        "read_only": false,
        "layout": "linear",
        "active": true,
        "device": null,
        "is_clone": false,
        "snapshot_uuid": null,
        "share": {"protocol": "off", "uri": null, "allowed_hosts": []},
        "health": {"state": "online", "images": [], "sync": null, "action": null, "mismatches": null},
        "copied_from": null,
        "tags": [],
    });
    assert_eq!(made, expected);
    assert_eq!(host.unchanged(&["replica", "show", A]), expected);
    assert_eq!(host.unchanged(&["replica", "list"]), json!([expected]));
    assert_eq!(host.unchanged(&["replica", "list", "p"]), json!([expected]));
    let plain = host.ok(&["replica", "create", "p", B, "1"]);
    assert_eq!(
        (&plain["name"], &plain["entity_id"], &plain["size"]),
        (&json!(B), &Value::Null, &json!(4 * MIB))
    );
}

#[test]
fn a_replica_is_found_in_every_spelling_of_its_uuid() {
    let host = Host::with_pool();
    let made = host.ok(&["replica", "create", "p", &A.to_uppercase(), "4M"]);
    assert_eq!(made["uuid"], A);
    for spelling in [
        A,
        &A.to_uppercase(),
        &A.replace('-', ""),
        &format!("{{{A}}}"),
        &format!("urn:uuid:{A}"),
    ] {
        assert_eq!(host.ok(&["replica", "show", spelling]), made, "{spelling}");
    }
}

#[test]
fn sizes_are_numbers_with_binary_units_rounded_up_to_extents() {
    let host = Host::new(&[64]);
    host.ok(&["pool", "create", "p", "disk0", "--extent-size", "1M"]);
    let cases = [
        ("1", MIB),
        ("1048576", MIB),
        ("1048577", 2 * MIB),
        ("1025K", 2 * MIB),
        ("1025KiB", 2 * MIB),
        ("3M", 3 * MIB),
        ("3m", 3 * MIB),
        ("3MiB", 3 * MIB),
        ("3mib", 3 * MIB),
    ];
    for (at, (text, bytes)) in cases.into_iter().enumerate() {
        let uuid = format!("aaaaaaaa-0000-4000-8000-{at:012}");
        assert_eq!(
            host.ok(&["replica", "create", "p", &uuid, text])["size"],
            bytes,
            "{text}"
        );
    }
}

#[test]
fn stripes_lie_on_their_disks_and_round_up_together() {
    let host = Host::new(&[64, 64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1", "disk2"]);
    let made = host.ok(&["replica", "create", "p", A, "13M", "--layout", "striped:3:128K"]);
    assert_eq!(
        (&made["layout"], &made["size"]),
        (&json!("striped:3:128K"), &json!(24 * MIB))
    );
    let made = host.ok(&["replica", "create", "p", B, "4M", "--layout", "striped:2"]);
    assert_eq!(
        (&made["layout"], &made["size"]),
        (&json!("striped:2:64K"), &json!(8 * MIB))
    );
    let data: Vec<u8> = (0..MIB).map(|at| (at / 251) as u8).collect();
    host.write(A, 1000, &data);
    assert_eq!(host.read(A, 1000, MIB), data);
    let grown = host.ok(&["replica", "resize", A, "25M"]);
    assert_eq!(
        (&grown["layout"], &grown["size"]),
        (&json!("striped:3:128K"), &json!(36 * MIB))
    );
    assert_eq!(host.read(A, 1000, MIB), data);
}

#[test]
fn a_replica_that_exists_is_refused() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0"]);
    host.ok(&["pool", "create", "q", "disk1"]);
    host.ok(&["replica", "create", "p", A, "4M", "--name", "vol"]);
    host.refused(&["replica", "create", "p", A, "4M"], "AlreadyExists", "EEXIST");
    host.refused(
        &["replica", "create", "p", &A.to_uppercase(), "8M", "--name", "x"],
        "AlreadyExists",
        "EEXIST",
    );
    host.refused(
        &["replica", "create", "p", B, "4M", "--name", "vol"],
        "AlreadyExists",
        "EEXIST",
    );
    // One UUID names one replica, in whatever pool.
    host.refused(&["replica", "create", "q", A, "4M"], "AlreadyExists", "EEXIST");
    host.ok(&["replica", "create", "q", B, "4M", "--name", "vol"]);
}

#[test]
fn many_replicas_are_one_commit() {
    let host = Host::new(&[64]);
    host.ok(&["pool", "create", "p", "disk0", "--extent-size", "64K"]);
    let made = host.ok(&["replica", "create-many", "p", "300", "100K"]);
    assert_eq!(host.seqno("p"), 2);
    let made = made.as_array().unwrap();
    let uuids: std::collections::HashSet<&str> = made
        .iter()
        .map(|replica| replica["uuid"].as_str().unwrap())
        .collect();
    assert_eq!((made.len(), uuids.len()), (300, 300));
    assert!(
        made.iter()
            .all(|replica| replica["size"] == 128 << 10 && replica["active"] == true)
    );
    assert_eq!(host.ok(&["replica", "list", "p"]), json!(made));
    host.refused(
        &["replica", "create-many", "p", "300", "128K"],
        "NoSpace",
        "ENOSPC",
    );
    assert_eq!(
        host.unchanged(&["replica", "create-many", "p", "0", "1M"]),
        json!([])
    );
}

#[test]
fn properties_that_are_set_already_cost_no_commit() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    let set = host.ok(&["replica", "set", A, "--name", "new", "--entity-id", "e=1"]);
    assert_eq!((&set["name"], &set["entity_id"]), (&json!("new"), &json!("e=1")));
    assert_eq!(host.seqno("p"), 3);
    for again in [
        &["replica", "set", A, "--name", "new"][..],
        &["replica", "set", A, "--entity-id", "e=1"],
        &["replica", "set", A, "--name", "new", "--entity-id", "e=1"],
        &["replica", "set", A],
    ] {
        assert_eq!(host.unchanged(again), set, "{again:?}");
    }
    assert_eq!(
        host.ok(&["replica", "set", A, "--entity-id", "e2"])["name"],
        "new"
    );
    host.ok(&["replica", "create", "p", B, "4M"]);
    host.refused(&["replica", "set", B, "--name", "new"], "AlreadyExists", "EEXIST");
}

#[test]
fn a_replica_is_resized_only_to_another_size() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "8M"]);
    for same in ["8M", "5M", "8388608", "4194305"] {
        for options in [&[][..], &["--allow-shrink"]] {
            let args = [&["replica", "resize", A, same], options].concat();
            assert_eq!(host.unchanged(&args)["size"], 8 * MIB, "{args:?}");
        }
    }
    assert_eq!(host.seqno("p"), 2);
    assert_eq!(host.ok(&["replica", "resize", A, "17M"])["size"], 20 * MIB);
    host.refused(&["replica", "resize", A, "16M"], "ShrinkRefused", "EINVAL");
    assert_eq!(
        host.ok(&["replica", "resize", A, "16M", "--allow-shrink"])["size"],
        16 * MIB
    );
    assert_eq!(host.seqno("p"), 4);
    assert_eq!(host.ok(&["pool", "show", "p"])["used"], 16 * MIB);
}

#[test]
fn data_survives_growth_over_two_disks_and_an_import() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    host.ok(&["replica", "create", "p", A, "20M"]);
    host.ok(&["replica", "create", "p", B, "4M"]);
    let data: Vec<u8> = (0..3 * MIB)
        .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 11) as u8)
        .collect();
    host.write(A, 17 * MIB - 5, &data);
    host.ok(&["replica", "resize", A, "100M"]);
    assert_eq!(host.read(A, 17 * MIB - 5, 3 * MIB), data);
    let tail = 100 * MIB - 7;
    host.write(A, tail, b"the end");
    host.ok(&["pool", "export", "p"]);
    host.ok(&["pool", "import", "p", "disk1", "disk0"]);
    assert_eq!(host.read(A, 17 * MIB - 5, 3 * MIB), data);
    assert_eq!(host.read(A, tail, 7), b"the end");
    assert!(host.read(B, 0, 4 * MIB).iter().all(|byte| *byte == 0));
    host.refused(
        &["replica", "read", A, &tail.to_string(), "8"],
        "InvalidArgument",
        "EINVAL",
    );
    host.refused(&["replica", "read", A, "101M", "0"], "InvalidArgument", "EINVAL");
    assert_eq!(host.read(A, 100 * MIB, 0), b"");
}

#[test]
fn a_write_past_the_end_is_refused() {
    use std::io::Write;
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    let args = ["replica", "write", A, "4194300"];
    let mut child = host
        .command(&args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"12345").unwrap();
    let output = child.wait_with_output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &json["error"]["errno"]),
        (Some(1), &json!("EINVAL"))
    );
    assert_eq!(host.read(A, 4_194_300, 4), [0; 4]);
}

#[test]
fn zeroing_decides_what_a_new_replica_shows_of_the_old_one() {
    for (zeroing, first, last) in [("none", 0xee, 0xee), ("head", 0, 0xee), ("full", 0, 0)] {
        let host = Host::with_pool();
        host.ok(&["replica", "create", "p", A, "12M"]);
        host.write(A, 0, &vec![0xee; 12 << 20]);
        host.ok(&["replica", "destroy", A]);
        host.ok(&["replica", "create", "p", B, "12M", "--zero", zeroing]);
        let data = host.read(B, 0, 12 * MIB);
        assert!(data[..8 << 20].iter().all(|byte| *byte == first), "{zeroing}");
        assert!(data[8 << 20..].iter().all(|byte| *byte == last), "{zeroing}");
    }
}

#[test]
fn activation_is_no_commit() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    assert_eq!(host.unchanged(&["replica", "activate", A])["active"], true);
    assert_eq!(host.unchanged(&["replica", "deactivate", A])["active"], false);
    // The embedded mapper's devices live as long as the process: the next one has them again.
    assert_eq!(host.unchanged(&["replica", "show", A])["active"], true);
}

#[test]
fn a_destroyed_replica_is_gone_and_its_space_is_free() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "60M"]);
    host.refused(&["replica", "create", "p", B, "4M"], "NoSpace", "ENOSPC");
    assert_eq!(host.ok(&["replica", "destroy", A]), json!({}));
    host.refused(&["replica", "destroy", A], "ReplicaNotFound", "ENOENT");
    host.ok(&["replica", "create", "p", B, "60M"]);
}

#[test]
fn unknown_replicas_are_not_found() {
    let host = Host::with_pool();
    for args in [
        &["replica", "show", A][..],
        &["replica", "resize", A, "8M"],
        &["replica", "destroy", A],
        &["replica", "set", A, "--name", "x"],
        &["replica", "activate", A],
        &["replica", "deactivate", A],
        &["replica", "read", A, "0", "1"],
        &["replica", "write", A, "0"],
        &["replica", "stats", A],
    ] {
        host.refused(args, "ReplicaNotFound", "ENOENT");
    }
}

#[test]
fn lvs_of_others_are_no_replicas() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    // A UUID for a name does not make a replica: the tag does.
    host.rewrite("p", |text| {
        text.replacen("\"mayastor\", \"mayastor.lv", "\"theirs\", \"mayastor.lv", 1)
    });
    host.refused(&["replica", "destroy", A], "ReplicaNotFound", "ENOENT");
    assert_eq!(host.ok(&["replica", "list"]), json!([]));
    host.refused(&["replica", "create", "p", A, "4M"], "AlreadyExists", "EEXIST");
}

#[test]
fn counting_io_is_refused_by_name_where_nothing_counts() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    host.refused(&["replica", "stats", A], "Unsupported", "ENOTSUP");
}

#[test]
fn an_array_is_scrubbed_and_other_replicas_are_not() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    let made = host.ok(&["replica", "create", "p", A, "8M", "--layout", "raid1:2"]);
    let scrubbed = host.ok(&["replica", "scrub", A]);
    let mut expected = made;
    expected["mismatches"] = json!(0);
    assert_eq!(scrubbed, expected);
    // Below the array, where its second image is.
    host.write_image("disk1", 9 * MIB, b"other");
    assert_eq!(host.ok(&["replica", "scrub", A])["mismatches"], 128);
    assert_eq!(host.ok(&["replica", "scrub", A, "--repair"])["mismatches"], 0);
    assert_eq!(host.ok(&["replica", "scrub", A])["mismatches"], 0);
    host.ok(&["replica", "create", "p", B, "4M"]);
    host.refused(&["replica", "scrub", B], "NotArray", "ENOTSUP");
}

#[test]
fn who_watches_arrays_ends_when_the_time_is_over() {
    let host = Host::with_pool();
    for args in [&["replica", "events", "p"][..], &["replica", "events"]] {
        let args = [args, &["--timeout", "0.1"]].concat();
        let output = host.command(&args).output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
    host.refused(&["replica", "events", "q", "--once"], "PoolNotFound", "ENOENT");
}
