//! Pools: exact numbers, names, and what repeated calls do.

use serde_json::{Value, json};

use crate::host::{Host, MIB};

const UUID: &str = "0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be001";
const VG_ID: &str = "0c3e7a-4e7a-3f4a-349c-561f-0d2f-9be001";
const REPLICA: &str = "aaaaaaaa-0000-4000-8000-000000000001";

#[test]
fn a_pool_on_64_mib_has_62914560_bytes() {
    let host = Host::new(&[64]);
    let made = host.ok(&["pool", "create", "pool-1", "disk0", "--uuid", UUID]);
    let used = made["metadata"]["used"].as_u64().unwrap();
    assert!((500..2000).contains(&used), "{used}");
    let expected = json!({
        "name": "pool-1",
        "uuid": UUID,
        "vg_id": VG_ID,
        "state": "online",
        "reasons": [],
        "disks": [host.name("disk0")],
        "capacity": 62_914_560,
        "used": 0,
        "committed": 0,
        "disk_capacity": 67_108_864,
        "extent_size": 4_194_304,
        "seqno": 1,
        "metadata": {"size": 521_472, "used": used},
        "tags": [],
        "thin_pool": null,
        "thin_pools": [],
        "foreign_lvs": [],
    });
    assert_eq!(made, expected);
    assert_eq!(host.unchanged(&["pool", "show", "pool-1"]), expected);
    assert_eq!(host.unchanged(&["pool", "list"]), json!([expected]));
}

#[test]
fn a_pool_gets_another_name_with_its_replicas() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", REPLICA, "9M"]);
    let renamed = host.ok(&["pool", "rename", "p", "q-1"]);
    assert_eq!((&renamed["name"], &renamed["seqno"]), (&json!("q-1"), &json!(3)));
    assert_eq!(host.unchanged(&["pool", "rename", "q-1", "q-1"]), renamed);
    assert_eq!(host.unchanged(&["replica", "show", REPLICA])["pool"], "q-1");
    host.refused(&["pool", "show", "p"], "PoolNotFound", "ENOENT");
}

#[test]
fn callers_have_tags_of_their_own_on_pools_and_replicas() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", REPLICA, "9M"]);
    let pool = host.ok(&["pool", "set", "p", "--add-tag", "rack=7", "--add-tag", "ssd"]);
    assert_eq!(pool["tags"], json!(["rack=7", "ssd"]));
    let same = host.unchanged(&["pool", "set", "p", "--add-tag", "ssd", "--remove-tag", "hdd"]);
    assert_eq!(same["tags"], json!(["rack=7", "ssd"]));
    let set = ["replica", "set", REPLICA, "--add-tag", "gold", "--name", "db"];
    let replica = host.ok(&set);
    assert_eq!(
        (&replica["tags"], &replica["name"]),
        (&json!(["gold"]), &json!("db"))
    );
    let replica = host.ok(&["replica", "set", REPLICA, "--remove-tag", "gold"]);
    assert_eq!((&replica["tags"], &replica["name"]), (&json!([]), &json!("db")));
    for tag in ["mayastor", "mayastor.lv.share=nvmf"] {
        host.refused(
            &["replica", "set", REPLICA, "--add-tag", tag],
            "InvalidArgument",
            "EINVAL",
        );
        host.refused(
            &["pool", "set", "p", "--remove-tag", tag],
            "InvalidArgument",
            "EINVAL",
        );
    }
    host.refused(&["pool", "set", "p", "--add-tag", "a b"], "InvalidName", "EINVAL");
}

#[test]
fn used_and_committed_count_the_replicas() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", REPLICA, "9M"]);
    let pool = host.ok(&["pool", "show", "p"]);
    let numbers = ["capacity", "used", "committed", "seqno"].map(|field| pool[field].as_u64().unwrap());
    assert_eq!(numbers, [60 * MIB, 12 * MIB, 12 * MIB, 2]);
}

#[test]
fn several_disks_and_chosen_sizes_add_up() {
    let host = Host::new(&[64, 100, 64]);
    let pool = host.ok(&[
        "pool",
        "create",
        "p",
        "disk0",
        "disk1",
        "disk2",
        "--extent-size",
        "1M",
    ]);
    let numbers = ["capacity", "disk_capacity", "extent_size"].map(|field| pool[field].as_u64().unwrap());
    assert_eq!(numbers, [(63 + 99 + 63) * MIB, 228 * MIB, MIB]);
    assert_eq!(
        pool["disks"],
        json!(["disk0", "disk1", "disk2"].map(|disk| host.name(disk)))
    );

    let host = Host::new(&[64]);
    let pool = host.ok(&["pool", "create", "p", "disk0", "--metadata-size", "8MiB"]);
    // The area starts behind 4 KiB and grows to the next mebibyte; the largest text is half of it.
    assert_eq!(
        (&pool["capacity"], &pool["metadata"]["size"]),
        (&json!(52 * MIB), &json!((8 * MIB + MIB - 4096 - 512) / 2 - 512))
    );
}

#[test]
fn a_pool_is_found_by_its_name_and_every_spelling_of_its_id() {
    let host = Host::new(&[64]);
    let made = host.ok(&["pool", "create", "p", "disk0", "--uuid", &UUID.to_uppercase()]);
    assert_eq!(made["uuid"], UUID);
    let undashed = UUID.replace('-', "");
    for spelling in [
        "p",
        UUID,
        &UUID.to_uppercase(),
        &undashed,
        VG_ID,
        &format!("{{{UUID}}}"),
        &format!("urn:uuid:{UUID}"),
    ] {
        assert_eq!(host.ok(&["pool", "show", spelling]), made, "{spelling}");
        assert_eq!(host.ok(&["replica", "list", spelling]), json!([]), "{spelling}");
    }
}

#[test]
fn creating_a_pool_again_changes_nothing() {
    let host = Host::new(&[64, 64]);
    let made = host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    std::os::unix::fs::symlink(host.path("disk1"), host.path("alias")).unwrap();
    let uuid = made["uuid"].as_str().unwrap();
    for again in [
        &["pool", "create", "p", "disk0", "disk1"][..],
        &["pool", "create", "p", "disk1", "disk0"],
        &["pool", "create", "p", "disk0", "alias"],
        &["pool", "create", "p", "disk0", "disk1", "--uuid", uuid],
        &["pool", "create", "p", "disk0", "disk1", "--extent-size", "4M"],
        &["pool", "create", "p", "disk0", "disk1", "--force"],
    ] {
        assert_eq!(host.unchanged(again), made, "{again:?}");
    }
}

#[test]
fn a_pool_that_exists_otherwise_is_refused() {
    let host = Host::new(&[64, 64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    for other in [
        &["disk0"][..],
        &["disk0", "disk1", "disk2"],
        &["disk2"],
        &["disk0", "disk2"],
    ] {
        let args = [&["pool", "create", "p"], other].concat();
        host.refused(&args, "DisksMismatch", "EINVAL");
        host.refused(&[&args[..], &["--force"]].concat(), "DisksMismatch", "EINVAL");
    }
    host.refused(
        &["pool", "create", "p", "disk0", "disk1", "--uuid", UUID],
        "UuidMismatch",
        "EINVAL",
    );
    host.refused(
        &["pool", "create", "p", "disk0", "disk1", "--extent-size", "8M"],
        "InvalidArgument",
        "EINVAL",
    );
}

#[test]
fn a_uuid_that_a_pool_has_is_refused() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "--uuid", UUID]);
    host.refused(
        &["pool", "create", "q", "disk1", "--uuid", UUID],
        "AlreadyExists",
        "EEXIST",
    );
}

#[test]
fn an_exported_pool_is_gone_until_it_is_imported() {
    let host = Host::with_pool();
    let before = host.ok(&["pool", "show", "p"]);
    let uuid = before["uuid"].as_str().unwrap().to_owned();
    host.ok(&["replica", "create", "p", REPLICA, "4M"]);
    host.write(REPLICA, 100, b"kept");
    host.ok(&["pool", "export", "p"]);
    for list in ["pool", "replica"] {
        assert_eq!(host.ok(&[list, "list"]), json!([]));
    }
    for gone in [
        &["pool", "show", "p"][..],
        &["pool", "grow", "p"],
        &["replica", "create", "p", UUID, "4M"],
        &["replica", "list", "p"],
    ] {
        host.refused(gone, "PoolNotFound", "ENOENT");
    }
    host.refused(&["replica", "show", REPLICA], "ReplicaNotFound", "ENOENT");
    host.unchanged(&["pool", "export", "p"]);

    let imported = host.ok(&["pool", "import", "p", "disk0"]);
    assert_eq!((&imported["uuid"], &imported["seqno"]), (&json!(uuid), &json!(4)));
    assert_eq!(host.unchanged(&["pool", "import", "p", "disk0"]), imported);
    assert_eq!(host.read(REPLICA, 100, 4), b"kept");
    // Creating what is there but exported takes it over, too: the disks are the same.
    host.ok(&["pool", "export", &uuid]);
    assert_eq!(host.ok(&["pool", "create", "p", "disk0"])["seqno"], 6);
}

#[test]
fn an_import_wants_the_disks_of_the_pool() {
    let host = Host::new(&[64, 64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    host.ok(&["pool", "export", "p"]);
    host.refused(&["pool", "import", "p", "disk0"], "DisksMismatch", "EINVAL");
    host.refused(
        &["pool", "import", "p", "disk0", "disk2"],
        "DisksMismatch",
        "EINVAL",
    );
    host.refused(
        &["pool", "import", "nobody", "disk0", "disk1"],
        "PoolNotFound",
        "ENOENT",
    );
    host.ok(&["pool", "import", "p", "disk1", "disk0"]);
}

#[test]
fn a_destroyed_pool_leaves_blank_disks() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    host.ok(&["replica", "create", "p", REPLICA, "64M"]);
    assert_eq!(host.ok(&["pool", "destroy", "p"]), json!({}));
    assert_eq!(host.ok(&["pool", "list"]), json!([]));
    host.refused(&["pool", "destroy", "p"], "PoolNotFound", "ENOENT");
    let seen = crate::host::inspect(&host, &["--json"]);
    let json: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(
        (&json["error"]["kind"], json["errors"].as_array().unwrap().len()),
        (&json!("NotAPv"), 2)
    );
    host.ok(&["pool", "create", "q", "disk1"]);
}

#[test]
fn a_pool_with_lvs_of_others_is_not_destroyed() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", REPLICA, "4M"]);
    host.ok(&["replica", "create", "p", UUID, "4M"]);
    host.rewrite("p", |text| text.replace(UUID, "somebodys"));
    assert_eq!(
        host.ok(&["pool", "show", "p"])["foreign_lvs"],
        json!(["somebodys"])
    );
    let told = host.refused(&["pool", "destroy", "p"], "ForeignLvs", "EBUSY");
    assert!(told.contains("somebodys"), "{told}");
    assert_eq!(host.ok(&["replica", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn unknown_pools_are_not_found() {
    let host = Host::with_pool();
    for unknown in ["q", "P", "", UUID, VG_ID, "p p", "../p"] {
        for command in ["show", "grow", "export", "destroy"] {
            host.refused(&["pool", command, unknown], "PoolNotFound", "ENOENT");
        }
        host.refused(&["replica", "list", unknown], "PoolNotFound", "ENOENT");
        host.refused(
            &["replica", "create", unknown, REPLICA, "4M"],
            "PoolNotFound",
            "ENOENT",
        );
        host.refused(
            &["replica", "create-many", unknown, "3", "4M"],
            "PoolNotFound",
            "ENOENT",
        );
    }
}
