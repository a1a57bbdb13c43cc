//! Lists show all that can be read, whatever else is broken, locked or in use.

use std::fs;

use serde_json::{Value, json};

use crate::host::Host;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|object| object["name"].as_str().unwrap())
        .collect()
}

/// Two pools with a replica each.
fn two_pools() -> Host {
    let host = Host::new(&[64, 64]);
    for (pool, disk, uuid) in [("p", "disk0", A), ("q", "disk1", B)] {
        host.ok(&["pool", "create", pool, disk]);
        host.ok(&["replica", "create", pool, uuid, "4M", "--name", pool]);
    }
    host
}

#[test]
fn nothing_is_an_empty_list() {
    let mut host = Host::new(&[64]);
    for images in [vec![], vec!["disk0".to_owned()]] {
        host.images = images;
        for list in ["pool", "replica"] {
            assert_eq!(host.unchanged(&[list, "list"]), json!([]));
        }
    }
}

#[test]
fn lists_hold_all_pools_and_their_replicas() {
    let host = two_pools();
    for list in ["pool", "replica"] {
        assert_eq!(names(&host.unchanged(&[list, "list"])), ["p", "q"]);
    }
    assert_eq!(names(&host.unchanged(&["replica", "list", "q"])), ["q"]);
}

#[test]
fn a_broken_image_hides_no_other_pool() {
    for (what, at, bytes) in [
        ("label", 512 + 40, &[1u8, 2, 3][..]),
        ("area", 4096 + 100, &[1]),
        ("text", 4096 + 512 + 3, &[7]),
    ] {
        let host = two_pools();
        // The newest text is behind the first one; all of the ring is broken.
        for at in (at..1 << 20).step_by(if what == "text" { 512 } else { 1 << 20 }) {
            host.write_image("disk0", at, bytes);
        }
        for list in ["pool", "replica"] {
            let output = host.run(&[list, "list"]);
            let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (output.status.code(), names(&shown)),
                (Some(0), vec!["q"]),
                "{what}"
            );
            let told: Value = serde_json::from_slice(&output.stderr).unwrap();
            let warning = &told["warning"];
            assert_eq!(
                (&warning["kind"], &warning["path"]),
                (&json!("Corrupt"), &json!(host.name("disk0")))
            );
            assert!(
                warning["message"].as_str().unwrap().contains("at byte"),
                "{warning}"
            );
        }
        host.ok(&["replica", "set", B, "--name", "still"]);
        let p = || {
            [
                &["pool", "show", "p"][..],
                &["pool", "destroy", "p"],
                &["pool", "import", "p", "disk0"],
            ]
        };
        for command in p()
            .into_iter()
            .chain([&["replica", "destroy", A][..], &["replica", "show", A]])
        {
            let told = host.refused(command, "Corrupt", "EILSEQ");
            assert!(told.contains("at byte") && told.contains("disk0"), "{told}");
        }
        let told = host.refused(&["pool", "create", "p", "disk0"], "DiskInUse", "EBUSY");
        assert!(told.contains("at byte"), "{told}");
    }
}

#[test]
fn what_is_no_image_hides_no_pool() {
    let mut host = two_pools();
    host.add_image("empty", 0);
    host.add_image("noise", 0);
    fs::write(
        host.path("noise"),
        (0..100_000u32)
            .map(|at| (at.wrapping_mul(at) >> 7) as u8)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    fs::create_dir(host.path("folder")).unwrap();
    nix::unistd::mkfifo(
        &host.path("pipe"),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    host.images
        .extend(["folder".into(), "pipe".into(), "missing".into()]);
    for list in ["pool", "replica"] {
        let output = host.run(&[list, "list"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), names(&shown)), (Some(0), vec!["p", "q"]));
        let told = String::from_utf8(output.stderr).unwrap();
        let kinds: Vec<Value> = told
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["warning"]["kind"].clone())
            .collect();
        assert_eq!(kinds, ["InvalidDisk", "InvalidDisk", "DiskNotFound"], "{told}");
    }
    // What is not there may have been on one of these.  The harness would wait for a writer of the pipe.
    host.images.retain(|image| image != "pipe");
    host.refused(&["pool", "show", "other"], "InvalidDisk", "ENOTBLK");
    host.images.drain(..2);
    host.refused(&["pool", "list"], "InvalidDisk", "ENOTBLK");
    host.images = vec!["missing".into()];
    host.refused(&["pool", "list"], "DiskNotFound", "ENODEV");
}

#[test]
fn a_full_descriptor_table_makes_nothing_absent() {
    let host = two_pools();
    let before = host.ok(&["pool", "list"]);
    for command in [
        &["pool", "list"][..],
        &["replica", "list"],
        &["replica", "show", A],
        &["pool", "show", "q"],
    ] {
        for limit in 3..24 {
            let run = host.command(command);
            let mut limited = std::process::Command::new("sh");
            limited.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]);
            let output = limited
                .arg(run.get_program())
                .args(run.get_args())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() {
                assert!(text.len() > 10, "{command:?} with {limit}: {text}");
            } else {
                assert!(!text.contains("ENOENT"), "{command:?} with {limit}: {text}");
            }
        }
    }
    assert_eq!(host.ok(&["pool", "list"]), before);
}

#[test]
fn a_command_scans_the_disks_that_it_names() {
    let mut host = Host::new(&[64, 64, 64]);
    host.images = vec!["disk0".into()];
    let made = host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    assert_eq!(made["state"], "online");
    host.images = vec!["disk0".into(), "disk1".into()];
    let grown = host.ok(&["pool", "add-disk", "p", "disk2"]);
    assert_eq!(
        (&grown["state"], &grown["reasons"]),
        (&json!("online"), &json!([]))
    );
    let shrunk = host.ok(&["pool", "remove-disk", "p", "disk2"]);
    assert_eq!(
        (&shrunk["state"], &shrunk["reasons"]),
        (&json!("online"), &json!([]))
    );
    host.images = vec!["disk0".into()];
    let told = host.refused(&["pool", "create", "p", "disk0"], "DisksMismatch", "EINVAL");
    assert!(told.contains("has 2 disks") && told.contains("disk1"), "{told}");
    let told = host.refused(
        &["pool", "create", "p", "disk0", "nowhere"],
        "DiskNotFound",
        "ENODEV",
    );
    assert!(told.contains("nowhere"), "{told}");
}

#[test]
fn one_disk_named_twice_is_one_disk() {
    let mut host = two_pools();
    std::os::unix::fs::symlink(host.path("disk0"), host.path("alias")).unwrap();
    host.images.extend(["disk0".into(), "alias".into()]);
    assert_eq!(names(&host.ok(&["pool", "list"])), ["p", "q"]);
    host.ok(&["replica", "set", A, "--name", "new"]);
}

#[test]
fn pools_of_one_name_are_told_apart_by_their_ids() {
    let mut host = Host::new(&[64, 64]);
    let mut uuids = Vec::new();
    for disk in ["disk0", "disk1"] {
        host.images = vec![disk.into()];
        uuids.push(
            host.ok(&["pool", "create", "twin", disk])["uuid"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    host.images = vec!["disk0".into(), "disk1".into()];
    assert_eq!(names(&host.ok(&["pool", "list"])), ["twin", "twin"]);
    host.refused(&["pool", "show", "twin"], "AmbiguousName", "EINVAL");
    host.refused(&["pool", "destroy", "twin"], "AmbiguousName", "EINVAL");
    host.refused(&["replica", "create", "twin", A, "4M"], "AmbiguousName", "EINVAL");
    for uuid in &uuids {
        assert_eq!(host.ok(&["pool", "show", uuid])["uuid"], **uuid);
    }
    host.ok(&["replica", "create", &uuids[1], A, "4M"]);
    assert_eq!(host.ok(&["replica", "show", A])["pool_uuid"], *uuids[1]);
    host.ok(&["pool", "destroy", &uuids[0]]);
    host.ok(&["pool", "show", "twin"]);
}

#[test]
fn a_segment_type_that_nobody_knows_touches_no_other_replica() {
    let host = two_pools();
    host.rewrite("p", |text| {
        text.replacen("type = \"striped\"", "type = \"future\"", 1)
    });
    assert_eq!(names(&host.unchanged(&["replica", "list"])), ["p", "q"]);
    let replica = host.unchanged(&["replica", "show", A]);
    assert_eq!(
        (&replica["layout"], &replica["active"]),
        (&json!("future"), &json!(false))
    );
    host.ok(&["replica", "set", B, "--name", "still"]);
}
