//! A pool's disks: growing, adding, removing, and disks that must not be taken.

use serde_json::{Value, json};

use crate::host::{Host, MIB, copy, inspect};

const REPLICA: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// What `grow` and `repair` answer: the pool, and what was done.
fn tended(mut answer: Value) -> (Value, Value) {
    let done = answer.as_object_mut().and_then(|fields| fields.remove("done"));
    (answer, done.expect("what was done"))
}

/// The size of the first disk's device in sectors, as the metadata says.
fn stated_size(host: &Host) -> u64 {
    let text = inspect(host, &["--text"]).stdout;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.split_once("dev_size = ").expect("a size");
    rest.split('\n').next().unwrap().parse().unwrap()
}

/// Makes the text say another size of the first disk's device.
fn state_size(host: &Host, size: Option<u64>) {
    host.rewrite("p", |text| {
        let line = format!("dev_size = {}\n", 64 * MIB / 512);
        assert!(text.contains(&line), "{text}");
        let new = size.map_or_else(String::new, |size| format!("dev_size = {size}\n"));
        text.replacen(&line, &new, 1)
    });
}

/// Sizes that the text may have besides the device's own: what `pvresize` leaves, far too small, too large, none.
const OTHER_SIZES: [Option<u64>; 5] = [
    Some(60 * MIB / 512),
    Some(1),
    Some(64 * MIB / 512 + 1),
    Some(1 << 40),
    None,
];

#[test]
fn what_the_text_says_of_a_device_blocks_no_change() {
    for size in OTHER_SIZES {
        let host = Host::with_pool();
        state_size(&host, size);
        let checked = inspect(&host, &["--json", "--check"]);
        assert!(checked.status.success(), "{size:?}");
        host.ok(&["replica", "create", "p", REPLICA, "60M"]);
        host.refused(&["replica", "resize", REPLICA, "61M"], "NoSpace", "ENOSPC");
        host.ok(&["replica", "destroy", REPLICA]);
    }
}

#[test]
fn grow_and_repair_put_right_what_the_text_says_of_a_device() {
    for command in ["grow", "repair"] {
        for size in OTHER_SIZES {
            let host = Host::with_pool();
            let before = host.ok(&["pool", "show", "p"]);
            state_size(&host, size);
            let shown = inspect(&host, &["--json", "--check"]).stdout;
            let (mut pool, done) = tended(host.ok(&["pool", command, "p"]));
            assert_eq!(done.as_array().map(Vec::len), Some(1), "{size:?}: {done}");
            assert_eq!(stated_size(&host), 64 * MIB / 512, "{size:?}");
            let (again, done) = tended(host.unchanged(&["pool", command, "p"]));
            assert_eq!((&again, done), (&pool, json!([])), "{size:?}");
            for field in ["seqno", "metadata"] {
                pool[field] = before[field].clone();
            }
            assert_eq!(pool, before, "{size:?}");
            let told = String::from_utf8_lossy(&shown).contains("warning");
            assert_eq!(
                told,
                size.is_some(),
                "{size:?}: a size that is not there is no wrong one"
            );
        }
    }
}

#[test]
fn a_pv_that_was_made_smaller_than_its_device_grows_to_it() {
    let host = Host::with_pool();
    state_size(&host, Some(40 * MIB / 512));
    host.rewrite("p", |text| text.replacen("pe_count = 15\n", "pe_count = 10\n", 1));
    assert_eq!(host.ok(&["pool", "show", "p"])["capacity"], json!(40 * MIB));
    host.ok(&["replica", "create", "p", REPLICA, "40M"]);
    let (repaired, _) = tended(host.ok(&["pool", "repair", "p"]));
    assert_eq!(repaired["capacity"], json!(40 * MIB), "a repair takes no space");
    let (grown, done) = tended(host.ok(&["pool", "grow", "p"]));
    assert_eq!(grown["capacity"], json!(60 * MIB), "{done}");
    assert_eq!(stated_size(&host), 64 * MIB / 512);
}

#[test]
fn a_pool_grows_with_its_disks_in_one_commit() {
    let host = Host::new(&[64, 64]);
    let before = host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    let (pool, done) = tended(host.unchanged(&["pool", "grow", "p"]));
    assert_eq!((pool, done), (before, json!([])), "nothing to do");
    host.resize_image("disk0", 129 * MIB);
    host.resize_image("disk1", 100 * MIB);
    let shown = host.ok(&["pool", "show", "p"]);
    assert_eq!(
        (&shown["capacity"], &shown["disk_capacity"]),
        (&json!(120 * MIB), &json!(229 * MIB))
    );
    let (grown, done) = tended(host.ok(&["pool", "grow", "p"]));
    assert_eq!(done.as_array().map(Vec::len), Some(2), "{done}");
    assert_eq!(
        (&grown["capacity"], &grown["seqno"]),
        (&json!((128 + 96) * MIB), &json!(2))
    );
    let again = tended(host.unchanged(&["pool", "grow", "p"]));
    assert_eq!(again, (grown, json!([])));
    host.ok(&["replica", "create", "p", REPLICA, "224M"]);
    host.refused(&["replica", "resize", REPLICA, "225M"], "NoSpace", "ENOSPC");
}

#[test]
fn less_than_an_extent_more_is_no_commit() {
    let host = Host::with_pool();
    host.resize_image("disk0", 64 * MIB + 512 * 1024);
    assert_eq!(host.ok(&["pool", "grow", "p"])["seqno"], 1);
}

#[test]
fn disks_come_and_go() {
    let host = Host::new(&[64, 64, 64]);
    host.ok(&["pool", "create", "p", "disk0"]);
    let pool = host.ok(&["pool", "add-disk", "p", "disk1", "disk2"]);
    assert_eq!(
        (&pool["capacity"], &pool["seqno"]),
        (&json!(180 * MIB), &json!(2))
    );
    assert_eq!(
        pool["disks"],
        json!(["disk0", "disk1", "disk2"].map(|disk| host.name(disk)))
    );
    let pool = host.ok(&["pool", "remove-disk", "p", "disk1"]);
    assert_eq!(
        (&pool["capacity"], &pool["seqno"]),
        (&json!(120 * MIB), &json!(3))
    );
    // It is blank again.
    host.ok(&["pool", "create", "q", "disk1"]);
    host.refused(&["pool", "remove-disk", "p", "disk1"], "InvalidDisk", "EINVAL");

    host.ok(&["replica", "create", "p", REPLICA, "100M"]);
    for disk in ["disk0", "disk2"] {
        host.refused(&["pool", "remove-disk", "p", disk], "NoSpace", "ENOSPC");
    }
    host.refused(&["pool", "remove-disk", "q", "disk1"], "DiskNotEmpty", "EBUSY");
}

#[test]
fn a_disk_that_is_in_a_pool_is_not_taken() {
    let mut host = Host::new(&[64, 64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    for taken in ["disk0", "disk1"] {
        for force in [&[][..], &["--force"]] {
            host.refused(
                &[&["pool", "create", "q", taken][..], force].concat(),
                "DiskInUse",
                "EBUSY",
            );
            host.refused(
                &[&["pool", "create", "q", "disk2", taken][..], force].concat(),
                "DiskInUse",
                "EBUSY",
            );
            host.refused(
                &[&["pool", "add-disk", "p", taken][..], force].concat(),
                "DiskInUse",
                "EBUSY",
            );
        }
    }
    // Its label alone tells, while its pool's other disk is away.
    host.images = vec!["disk1".into()];
    host.refused(&["pool", "create", "q", "disk1"], "DiskInUse", "EBUSY");
    // An exported pool's disks are still its own.
    host.images = vec!["disk0".into(), "disk1".into()];
    host.ok(&["pool", "export", "p"]);
    host.refused(&["pool", "create", "q", "disk1", "--force"], "DiskInUse", "EBUSY");
}

/// Bytes and where they are put.
type Piece<'a> = (u64, &'a [u8]);

#[test]
fn a_disk_that_carries_something_is_taken_only_by_force() {
    let mbr_entry: [u8; 16] = [0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0];
    let md_magic = 0xa92b_4efcu32.to_le_bytes();
    let cases: [(&str, &[Piece]); 6] = [
        ("ext4", &[(1024 + 56, &[0x53, 0xef])]),
        ("mbr", &[(446, &mbr_entry), (510, &[0x55, 0xaa])]),
        ("gpt", &[(512, b"EFI PART\0\0\x01\0\x5c\0\0\0")]),
        ("xfs", &[(0, b"XFSB")]),
        ("md", &[(4096, &md_magic)]),
        ("luks", &[(0, b"LUKS\xba\xbe\0\x02")]),
    ];
    for (name, pieces) in cases {
        let host = Host::new(&[64, 64]);
        for (at, bytes) in pieces {
            host.write_image("disk0", *at, bytes);
        }
        let told = host.refused(&["pool", "create", "p", "disk1", "disk0"], "DiskInUse", "EBUSY");
        assert!(told.contains(&host.name("disk0")), "{name}: {told}");
        host.ok(&["pool", "create", "p", "disk1"]);
        host.refused(&["pool", "add-disk", "p", "disk0"], "DiskInUse", "EBUSY");
        host.ok(&["pool", "add-disk", "p", "disk0", "--force"]);
        host.ok(&["pool", "destroy", "p"]);
        host.ok(&["pool", "create", "q", "disk0", "disk1"]);
    }
}

#[test]
fn disks_that_cannot_hold_a_pv_are_refused() {
    let mut host = Host::new(&[64, 1]);
    host.add_image("sixteen", 16 * MIB);
    host.add_image("empty", 0);
    std::fs::create_dir(host.path("folder")).unwrap();
    host.refused(
        &["pool", "create", "p", "disk0", "disk1"],
        "DiskTooSmall",
        "EINVAL",
    );
    host.refused(&["pool", "create", "p", "empty"], "DiskTooSmall", "EINVAL");
    host.refused(
        &["pool", "create", "p", "sixteen", "--extent-size", "16M"],
        "DiskTooSmall",
        "EINVAL",
    );
    host.refused(
        &["pool", "create", "p", "disk0", "--metadata-size", "100M"],
        "DiskTooSmall",
        "EINVAL",
    );
    host.refused(
        &["pool", "create", "p", "disk0", "/nowhere/disk"],
        "DiskNotFound",
        "ENODEV",
    );
    host.refused(
        &["pool", "create", "p", "disk0", "disk0"],
        "InvalidDisk",
        "EINVAL",
    );
    host.refused(
        &["pool", "create", "p", "disk0", "/dev/zero"],
        "InvalidDisk",
        "ENOTBLK",
    );
    host.refused(
        &["pool", "create", "p", "disk0", "folder"],
        "InvalidDisk",
        "ENOTBLK",
    );
    host.ok(&["pool", "create", "p", "disk0"]);
    host.refused(&["pool", "add-disk", "p", "disk1"], "DiskTooSmall", "EINVAL");
    host.refused(
        &["pool", "add-disk", "p", "/nowhere/disk"],
        "DiskNotFound",
        "ENODEV",
    );
    host.refused(
        &["pool", "add-disk", "p", "sixteen", "sixteen"],
        "InvalidDisk",
        "EINVAL",
    );
    host.refused(
        &["pool", "remove-disk", "p", "/nowhere/disk"],
        "InvalidDisk",
        "EINVAL",
    );
}

#[test]
fn a_copied_disk_makes_the_pool_read_only() {
    let mut host = Host::with_pool();
    host.ok(&["replica", "create", "p", REPLICA, "4M"]);
    copy(host.path("disk0"), host.path("copy"));
    host.images.push("copy".into());
    let told = host.refused(&["replica", "destroy", REPLICA], "DuplicatePv", "EBUSY");
    assert!(told.contains("more than one device"), "{told}");
    assert_eq!(host.unchanged(&["pool", "list"])[0]["name"], "p");
}

#[test]
fn a_pool_gives_up_the_end_of_a_disk() {
    let host = Host::new(&[64]);
    host.ok(&["pool", "create", "p", "disk0"]);
    host.ok(&["replica", "create", "p", REPLICA, "40M"]);
    host.refused(
        &["pool", "shrink-disk", "p", "disk0", "32M"],
        "DiskNotEmpty",
        "EBUSY",
    );
    host.refused(
        &["pool", "shrink-disk", "p", "disk0", "32M", "--move"],
        "NoSpace",
        "ENOSPC",
    );
    host.refused(
        &["pool", "shrink-disk", "p", "disk0", "65M"],
        "InvalidArgument",
        "EINVAL",
    );
    let shrunk = host.ok(&["pool", "shrink-disk", "p", "disk0", "48M"]);
    assert_eq!(shrunk["capacity"], json!(44 * MIB));
    assert_eq!(
        host.unchanged(&["pool", "shrink-disk", "p", "disk0", "48M"]),
        shrunk
    );
    host.resize_image("disk0", 48 * MIB);
    host.ok(&["pool", "show", "p"]);
}
