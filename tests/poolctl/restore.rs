//! Restoring a pool from a file, and what is left when that is refused.

use std::fs;

use lvm_native::meta::{FileDisk, scan};
use serde_json::json;

use crate::host::{Host, MIB};

const REPLICA: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const LATER: &str = "aaaaaaaa-0000-4000-8000-000000000002";

/// A pool on two of three disks with one replica, its text in the file `backup`, and one replica more since.
fn host() -> Host {
    let host = Host::new(&[64, 64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    host.ok(&["replica", "create", "p", REPLICA, "100M"]);
    let disk = FileDisk::new(fs::File::open(host.path("disk0")).unwrap());
    let read = scan(&disk).unwrap().unwrap();
    let text = read.mdas[0].text.as_ref().unwrap().as_ref().unwrap();
    fs::write(host.path("backup"), text.as_slice()).unwrap();
    host.ok(&["replica", "create", "p", LATER, "4M"]);
    host
}

#[test]
fn a_pool_is_restored_from_a_file() {
    let host = host();
    let seqno = host.ok(&["pool", "show", "p"])["seqno"].as_u64().unwrap();
    let pool = host.ok(&["pool", "restore", "p", "backup"]);
    assert_eq!(
        (&pool["seqno"], &pool["used"], &pool["reasons"]),
        (&json!(seqno + 1), &json!(100 * MIB), &json!([]))
    );
    let disks = json!(["disk0", "disk1"].map(|disk| host.name(disk)));
    assert_eq!(
        pool["restored"],
        json!({"written": disks, "relabelled": [], "left": []})
    );
    host.refused(&["replica", "show", LATER], "ReplicaNotFound", "ENOENT");
    assert_eq!(host.ok(&["replica", "show", REPLICA])["size"], 100 * MIB);
}

#[test]
fn disks_that_lost_all_are_given_by_name() {
    let host = host();
    let blank = vec![0; 1 << 20];
    host.write_image("disk0", 0, &blank);
    host.write_image("disk1", 0, &blank);
    host.refused(&["pool", "restore", "p", "backup"], "MissingPv", "EBUSY");
    let given = ["disk0", "disk1"].map(|disk| host.name(disk));
    let (first, second) = (format!("pv0={}", given[0]), format!("pv1={}", given[1]));
    let restore = ["pool", "restore", "p", "backup", "--disk", &first];
    let told = host.refused(&restore, "MissingPv", "EBUSY");
    assert!(told.contains("PV ") && told.contains("is missing"), "{told}");
    let pool = host.ok(&[&restore[..], &["--disk", &second]].concat());
    assert_eq!(pool["restored"]["relabelled"], json!(given));
    assert_eq!(host.ok(&["replica", "show", REPLICA])["size"], 100 * MIB);
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let host = host();
    host.refused(&["pool", "restore", "q", "backup"], "InvalidArgument", "EINVAL");
    host.refused(&["pool", "restore", "p", "nowhere"], "Io", "ENOENT");
    fs::write(host.path("broken"), "p {").unwrap();
    host.refused(&["pool", "restore", "p", "broken"], "BadBackup", "EILSEQ");
    let given = format!("pv9={}", host.name("disk2"));
    host.refused(
        &["pool", "restore", "p", "backup", "--disk", &given],
        "InvalidArgument",
        "EINVAL",
    );
    // Image files are not of the host whose backups these would be.
    assert_eq!(host.unchanged(&["pool", "backups", "p"]), json!([]));
}
