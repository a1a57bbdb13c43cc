//! Bad input and VGs that must not be changed: a typed error, and no byte of any disk changed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use serde_json::{Value, json};

use crate::common;
use crate::host::{Host, copy, inspect};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

#[test]
fn pool_names_that_lvm_would_refuse_are_refused() {
    let host = Host::new(&[64]);
    let (long, longer) = ("x".repeat(127), "x".repeat(128));
    for bad in [
        "", ".", "..", "a b", "a/b", "a,b", "a:b", "\u{e4}", "a\n", "contents", "version", &longer,
    ] {
        host.refused(&["pool", "create", bad, "disk0"], "InvalidName", "EINVAL");
    }
    host.refused(&["pool", "create", "--", "-x", "disk0"], "InvalidName", "EINVAL");
    // Device-mapper's names are no longer than this with a replica's UUID behind it.
    host.refused(&["pool", "create", &long, "disk0"], "InvalidArgument", "EINVAL");
    for good in ["x+._-", "+", "a.", "1"] {
        host.ok(&["pool", "create", good, "disk0"]);
        host.ok(&["pool", "destroy", good]);
    }
}

#[test]
fn pool_arguments_outside_what_is_possible_are_refused() {
    let host = Host::new(&[64]);
    for bad in ["0", "1", "513", "3K", "200K", "5T", "-1", "x", ""] {
        let args = ["pool", "create", "p", "disk0", &format!("--extent-size={bad}")];
        host.refused(&args, "InvalidArgument", "EINVAL");
    }
    for bad in ["0", "512", "8T", "x"] {
        let args = ["pool", "create", "p", "disk0", &format!("--metadata-size={bad}")];
        host.refused(&args, "InvalidArgument", "EINVAL");
    }
    for bad in [
        "",
        "x",
        "00000000-0000-0000-0000-000000000000",
        "RtVEoe-BgB0-Loqc-qtE3-0IUU-DUDN-Tn3dMd",
    ] {
        host.refused(
            &["pool", "create", "p", "disk0", "--uuid", bad],
            "InvalidArgument",
            "EINVAL",
        );
    }
}

#[test]
fn replica_arguments_outside_what_is_possible_are_refused() {
    let host = Host::new(&[64, 64]);
    host.ok(&["pool", "create", "p", "disk0", "disk1"]);
    for bad in [
        "0",
        "-1",
        "1.5M",
        "4 M",
        "4MB",
        "x",
        "",
        "99999999999999999999",
        "9000000T",
        "0x10",
        "4M ",
    ] {
        host.refused(
            &["replica", "create", "p", A, "--", bad],
            "InvalidArgument",
            "EINVAL",
        );
        host.refused(
            &["replica", "create-many", "p", "2", "--", bad],
            "InvalidArgument",
            "EINVAL",
        );
    }
    for beyond in ["121M", "1T", "8000000T"] {
        host.refused(&["replica", "create", "p", A, beyond], "NoSpace", "ENOSPC");
        host.refused(&["replica", "create-many", "p", "2", beyond], "NoSpace", "ENOSPC");
    }
    for bad in [
        "",
        "x",
        "aaaaaaaa-0000-4000-8000-00000000000g",
        "00000000-0000-0000-0000-000000000000",
        "lvol0",
        "../x",
    ] {
        host.refused(
            &["replica", "create", "p", bad, "4M"],
            "InvalidArgument",
            "EINVAL",
        );
        for command in ["show", "destroy", "activate", "deactivate", "stats"] {
            host.refused(&["replica", command, bad], "InvalidArgument", "EINVAL");
        }
    }
    for bad in [
        "",
        "line",
        "striped",
        "striped:1",
        "striped:0",
        "striped:129",
        "striped:2:3K",
        "striped:2:100K",
        "striped:2:8M",
        "linear:2",
        "raid1",
        "raid1:1",
        "raid1:65",
        "raid1:2:64K",
        "raid0:65",
        "raid5:1",
        "raid5:64",
        "raid5:2:3K",
        "raid5:2:96K",
        "raid6:2",
        "raid10:33",
        "raid9:2",
    ] {
        host.refused(
            &["replica", "create", "p", A, "4M", "--layout", bad],
            "InvalidArgument",
            "EINVAL",
        );
    }
    for wide in ["striped:3", "raid1:3", "raid5:2", "raid10:2"] {
        host.refused(
            &["replica", "create", "p", A, "4M", "--layout", wide],
            "NoSpace",
            "ENOSPC",
        );
    }
    // The mapper in user space has no more than copies.
    host.refused(
        &["replica", "create", "p", A, "4M", "--layout", "raid0:2"],
        "Unsupported",
        "ENOTSUP",
    );
}

#[test]
fn names_and_entity_ids_hold_what_lvm_takes_in_tags() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", B, "4M"]);
    let long = "x".repeat(1025);
    for bad in ["a b", "a,b", "a@b", "a\"b", "\u{e4}", "a\nb", "a(b)", "*", &long] {
        for option in ["--name", "--entity-id"] {
            host.refused(
                &["replica", "create", "p", A, "4M", option, bad],
                "InvalidName",
                "EINVAL",
            );
            host.refused(&["replica", "set", B, option, bad], "InvalidName", "EINVAL");
        }
    }
    for option in ["--name", "--entity-id"] {
        host.refused(
            &["replica", "create", "p", A, "4M", option, ""],
            "InvalidArgument",
            "EINVAL",
        );
        host.refused(&["replica", "set", B, option, ""], "InvalidArgument", "EINVAL");
    }
    for good in ["a.b_c-d+e/f=g!h:i&j#k", "=", "-x"] {
        let set = host.ok(&["replica", "set", B, &format!("--name={good}")]);
        assert_eq!(set["name"], good);
    }
}

#[test]
fn bad_resizes_are_refused() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "8M"]);
    for bad in ["0", "x", "-1", "1.5M"] {
        host.refused(
            &["replica", "resize", A, "--allow-shrink", "--", bad],
            "InvalidArgument",
            "EINVAL",
        );
    }
    for beyond in ["61M", "1T", "8000000T"] {
        host.refused(&["replica", "resize", A, beyond], "NoSpace", "ENOSPC");
    }
    host.refused(&["replica", "resize", A, "4M"], "ShrinkRefused", "EINVAL");
}

#[test]
fn metadata_that_would_not_fit_is_refused() {
    let host = Host::new(&[64]);
    host.ok(&["pool", "create", "p", "disk0", "--extent-size", "4K"]);
    let told = host.refused(
        &["replica", "create-many", "p", "5000", "4K"],
        "MetadataFull",
        "ENOSPC",
    );
    assert!(told.contains("521472"), "{told}");
    host.ok(&["replica", "create-many", "p", "500", "4K"]);
}

/// No change is made to a VG in this state, and everything can still be read.
#[track_caller]
fn check_read_only(host: &Host, kind: &str, errno: &str) -> String {
    host.refused(&["pool", "add-disk", "p", "spare"], kind, errno);
    host.refused(&["replica", "destroy", A], kind, errno);
    check_hardly_changed(host, kind, errno)
}

/// As [`check_read_only`], but for what puts right that a disk is missing.
#[track_caller]
fn check_hardly_changed(host: &Host, kind: &str, errno: &str) -> String {
    let reasons = &host.unchanged(&["pool", "show", "p"])["reasons"];
    assert!(reasons.to_string().contains("changes are refused"), "{reasons}");
    assert_eq!(host.unchanged(&["pool", "list"])[0]["name"], "p");
    assert_eq!(host.unchanged(&["replica", "list"])[0]["uuid"], A);
    assert_eq!(host.unchanged(&["replica", "show", A])["size"], 4 << 20);
    for args in [
        &["pool", "grow", "p"][..],
        &["pool", "export", "p"],
        &["pool", "destroy", "p"],
        &["pool", "remove-disk", "p", "disk0"],
        &["replica", "create", "p", B, "4M"],
        &["replica", "create", "p", B, "4M", "--zero", "none"],
        &["replica", "create-many", "p", "2", "4M"],
        &["replica", "resize", A, "8M"],
    ] {
        host.refused(args, kind, errno);
    }
    host.refused(&["replica", "set", A, "--name", "x"], kind, errno)
}

fn with_replica(disks: &[u64]) -> Host {
    let mut host = Host::new(disks);
    let mut create = vec!["pool".to_owned(), "create".into(), "p".into()];
    create.extend(host.images.clone());
    host.ok(&create.iter().map(String::as_str).collect::<Vec<_>>());
    host.ok(&["replica", "create", "p", A, "4M"]);
    host.add_image("spare", 64 << 20);
    host
}

#[test]
fn an_exported_vg_is_only_read() {
    let host = with_replica(&[64]);
    host.rewrite("p", |text| {
        text.replacen(
            "status = [\"RESIZEABLE\"",
            "status = [\"EXPORTED\", \"RESIZEABLE\"",
            1,
        )
    });
    check_read_only(&host, "Exported", "EBUSY");
    host.refused(&["pool", "import", "p", "disk0"], "Exported", "EBUSY");
    host.refused(&["pool", "create", "p", "disk0"], "Exported", "EBUSY");
}

#[test]
fn a_vg_of_another_host_is_only_read() {
    let host = with_replica(&[64]);
    host.rewrite("p", |text| {
        // As LVM writes it: with an owner, WRITE is stored where older tools do not look.
        let text = text.replacen(
            "\"READ\", \"WRITE\"]\nflags = []",
            "\"READ\"]\nflags = [\"WRITE_LOCKED\"]",
            1,
        );
        let text = text.replacen("extent_size =", "system_id = \"elsewhere\"\nextent_size =", 1);
        text.replacen(
            "\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []",
            "\"READ\", \"VISIBLE\"]\nflags = [\"WRITE_LOCKED\"]",
            1,
        )
    });
    let told = check_read_only(&host, "Foreign", "EPERM");
    assert!(told.contains("elsewhere"), "{told}");
    host.refused(&["pool", "import", "p", "disk0"], "Foreign", "EPERM");
}

#[test]
fn what_is_no_host_or_address_is_shared_with_nobody() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    for bad in [
        "",
        "worker-1",
        "nqn.2019-05.io.openebs",
        "nqn.2019-05.io.openebs:a,nqn.2019-05.io.openebs:b",
        "nqn.2019-05.io.openebs:a b",
    ] {
        host.refused(
            &["replica", "share", A, &format!("--allow-host={bad}")],
            "InvalidArgument",
            "EINVAL",
        );
    }
    for bad in [
        "",
        "here",
        "localhost:8420",
        "127.0.0.1",
        "127.0.0.1:99999",
        "::1:8420",
    ] {
        host.refused(
            &["replica", "share", A, &format!("--listen={bad}")],
            "InvalidArgument",
            "EINVAL",
        );
    }
    for command in ["share", "unshare"] {
        host.refused(&["replica", command, "x"], "InvalidArgument", "EINVAL");
        host.refused(&["replica", command, B], "ReplicaNotFound", "ENOENT");
    }
    // Image files have no device that a target could serve.
    host.refused(&["replica", "share", A], "Unsupported", "ENOTSUP");
    host.unchanged(&["replica", "unshare", A]);
}

#[test]
fn tags_that_ask_for_sharing_are_shown_and_taken_off_where_nothing_is_shared() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "4M"]);
    host.rewrite("p", |text| {
        let tag = "mayastor.lv.share=nvmf\", \"mayastor.lv.allowed_hosts=nqn.2019-05.io.openebs:a";
        text.replacen("mayastor.lv.share=off", tag, 1)
    });
    let share = json!({"protocol": "nvmf", "uri": null, "allowed_hosts": ["nqn.2019-05.io.openebs:a"]});
    assert_eq!(host.ok(&["replica", "show", A])["share"], share);
    assert_eq!(host.ok(&["pool", "show", "p"])["reasons"], json!([]));
    let off = json!({"protocol": "off", "uri": null, "allowed_hosts": []});
    assert_eq!(host.ok(&["replica", "unshare", A])["share"], off);
}

#[test]
fn a_shared_vg_is_only_read() {
    let host = with_replica(&[64]);
    host.rewrite("p", |text| {
        text.replacen("extent_size =", "lock_type = \"sanlock\"\nextent_size =", 1)
    });
    check_read_only(&host, "Shared", "EBUSY");
}

#[test]
fn a_read_only_vg_is_only_read() {
    let host = with_replica(&[64]);
    host.rewrite("p", |text| text.replacen("\"READ\", \"WRITE\"]", "\"READ\"]", 1));
    check_read_only(&host, "ReadOnly", "EROFS");
}

#[test]
fn a_vg_with_a_status_that_nobody_knows_is_only_read() {
    let host = with_replica(&[64]);
    host.rewrite("p", |text| {
        text.replacen(
            "status = [\"RESIZEABLE\"",
            "status = [\"FUTURE\", \"RESIZEABLE\"",
            1,
        )
    });
    check_read_only(&host, "Unsupported", "EBUSY");
}

#[test]
fn a_vg_without_one_of_its_disks_is_only_read_and_repaired() {
    let mut host = with_replica(&[64, 64]);
    let disk1 = host.name("disk1");
    host.images.retain(|image| image != "disk1");
    check_hardly_changed(&host, "MissingPv", "EBUSY");
    let pool = host.ok(&["pool", "show", "p"]);
    assert_eq!(
        (&pool["state"], &pool["capacity"]),
        (&json!("degraded"), &json!(120 << 20))
    );
    assert_eq!(pool["disks"], json!([host.name("disk0"), disk1]));
    assert_eq!(host.ok(&["replica", "show", A])["health"]["state"], "online");
    host.ok(&["pool", "add-disk", "p", "spare"]);
    host.ok(&["replica", "destroy", A]);
    host.refused(&["replica", "create", "p", B, "4M"], "MissingPv", "EBUSY");
    // It is back, and all is well.
    host.images.push("disk1".into());
    host.ok(&["replica", "create", "p", B, "4M"]);
    let pool = host.ok(&["pool", "show", "p"]);
    assert_eq!((&pool["state"], &pool["reasons"]), (&json!("online"), &json!([])));
}

#[test]
fn a_replica_on_a_missing_disk_is_faulted() {
    let mut host = with_replica(&[64, 64]);
    host.ok(&["replica", "create", "p", B, "100M"]);
    host.images.retain(|image| image != "disk1");
    let replica = host.ok(&["replica", "show", B]);
    assert_eq!(
        (&replica["health"]["state"], &replica["active"]),
        (&json!("faulted"), &json!(false))
    );
    host.refused(&["replica", "read", B, "0", "1"], "NotActive", "EBUSY");
}

#[test]
fn copies_of_one_age_that_differ_make_a_vg_read_only() {
    let mut host = with_replica(&[64, 64]);
    copy(host.path("disk1"), host.path("kept"));
    host.ok(&["replica", "set", A, "--name", "x"]);
    let lost = host.path("disk0");
    copy(&lost, host.path("newer"));
    // Another history of the other disk, as old as this one.
    copy(host.path("kept"), host.path("disk1"));
    host.images = vec!["disk1".into()];
    host.rewrite("p", |text| {
        text.replacen("mayastor.lv.share=off", "mayastor.lv.share=nvmf", 1)
    });
    host.images = vec!["disk0".into(), "disk1".into(), "spare".into()];
    let seen: Value = serde_json::from_slice(&inspect(&host, &["--json", "--check"]).stdout).unwrap();
    assert!(seen.to_string().contains("differ"), "{seen}");
    check_read_only(&host, "DuplicatePv", "EBUSY");
}

#[test]
fn a_disk_that_may_not_be_written_is_refused() {
    let host = Host::new(&[64]);
    std::fs::set_permissions(host.path("disk0"), PermissionsExt::from_mode(0o444)).unwrap();
    std::fs::set_permissions(host.dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    // Root may write whatever the mode is; another user needs the program where it may be read.
    let program = host.path("poolctl");
    copy(common::example("poolctl"), &program);
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(&program);
    if nix::unistd::Uid::effective().is_root() {
        command.uid(65534).gid(65534);
    }
    host.arguments(&mut command, &["pool", "create", "p", "disk0"]);
    let output = command.output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (&json["error"]["kind"], &json["error"]["errno"]),
        (&json!("PermissionDenied"), &json!("EACCES"))
    );
}

#[test]
fn a_link_planted_at_the_default_lock_folder_is_not_followed() {
    let host = Host::with_pool();
    let temporary = host.path("temporary");
    let folder = temporary.join(format!("lvm-native-{}", nix::unistd::getuid()));
    let victim = host.path("victim");
    for dir in [&temporary, &victim] {
        std::fs::create_dir(dir).unwrap();
    }
    std::os::unix::fs::symlink(&victim, &folder).unwrap();
    let create = |uuid| {
        let mut command = std::process::Command::new(common::example("poolctl"));
        command
            .args(["--json", "--mapper", "embedded", "--device", &host.name("disk0")])
            .args(["replica", "create", "p", uuid, "4M"])
            .env("TMPDIR", &temporary);
        let output = command.output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), told)
    };
    let (code, told) = create(A);
    assert_eq!(
        (code, &told["error"]["kind"], &told["error"]["errno"]),
        (Some(1), &json!("UnsafeFolder"), &json!("EACCES")),
        "{told}"
    );
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
    std::fs::remove_file(&folder).unwrap();
    assert_eq!(create(A).0, Some(0));
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&folder, Some(12_345), None).unwrap();
        assert_eq!(create(B).1["error"]["kind"], "UnsafeFolder");
    }
}

#[test]
fn what_is_no_file_is_no_backup_and_is_not_waited_for() {
    let host = Host::with_pool();
    let fifo = host.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for file in [fifo.to_str().unwrap(), "/dev/zero", "/"] {
        let told = host.refused(&["pool", "restore", "p", file], "BadBackup", "EILSEQ");
        assert!(told.contains("not a file"), "{told}");
    }
}
