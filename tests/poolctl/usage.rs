//! The command line itself: wrong usage, output for people, progress, pipes.

use std::process::{Command, Output, Stdio};

use crate::common;
use crate::host::{Host, MIB};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";

fn poolctl(args: &[&str]) -> Output {
    Command::new(common::example("poolctl"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn wrong_usage_is_exit_2_and_nothing_on_standard_output() {
    for args in [
        &[][..],
        &["bogus"],
        &["pool"],
        &["pool", "bogus"],
        &["pool", "create"],
        &["pool", "create", "p"],
        &["pool", "import", "p"],
        &["pool", "show"],
        &["pool", "show", "p", "q"],
        &["pool", "add-disk", "p"],
        &["pool", "remove-disk", "p"],
        &["pool", "restore", "p"],
        &["pool", "restore", "p", "file", "--disk", "/dev/sda"],
        &["pool", "backups"],
        &["pool", "list", "--bogus"],
        &["replica", "create", "p", A],
        &["replica", "create", "p", A, "4M", "--zero", "half"],
        &["replica", "create-many", "p", "x", "4M"],
        &["replica", "create-many", "p", "-1", "4M"],
        &["replica", "resize", A],
        &["replica", "read", A, "0"],
        &["--mapper", "bogus", "pool", "list"],
        &["--timeout", "x", "pool", "list"],
        &["--timeout=-1", "pool", "list"],
        &["--device"],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = poolctl(&[json, args].concat());
            assert_eq!(
                (output.status.code(), &*output.stdout),
                (Some(2), &b""[..]),
                "{args:?}"
            );
            assert!(!output.stderr.is_empty());
        }
    }
    for args in [&["--help"][..], &["--version"], &["pool", "create", "--help"]] {
        assert_eq!(poolctl(args).status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn people_get_words_and_errors_on_standard_error() {
    let host = Host::with_pool();
    let disk = host.name("disk0");
    let lock = host.name("lock");
    let run = |args: &[&str]| {
        poolctl(
            &[
                &["--mapper", "embedded", "--device", &disk, "--lock-dir", &lock],
                args,
            ]
            .concat(),
        )
    };
    let output = run(&["pool", "show", "p"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines()
            .any(|line| line.starts_with("capacity ") && line.ends_with(" 60 MiB")),
        "{text}"
    );
    let output = run(&["pool", "list"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(
        rows[0].starts_with("NAME ") && rows[1].starts_with("p "),
        "{table}"
    );
    let output = run(&["pool", "show", "q"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), &*output.stdout, &*told),
        (Some(1), &b""[..], "error: no pool \"q\"\n")
    );
    // No progress in a pipe.
    let output = run(&["replica", "create", "p", A, "40M", "--zero", "full"]);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[test]
fn options_may_stand_before_and_behind_the_command() {
    let host = Host::with_pool();
    let (disk, lock) = (host.name("disk0"), host.name("lock"));
    let output = poolctl(&[
        "pool",
        "show",
        "p",
        "--mapper=embedded",
        "--device",
        &disk,
        "--lock-dir",
        &lock,
        "--json",
    ]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["capacity"], 60 * MIB);
}

#[test]
fn a_reader_that_stops_is_no_error() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "40M"]);
    for args in [&["replica", "read", A, "0", "40M"][..], &["pool", "list"]] {
        let mut child = host.start(args);
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), &*output.stderr),
            (Some(0), &b""[..]),
            "{args:?}"
        );
    }
}
