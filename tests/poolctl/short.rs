//! Operations while every read and write is short or interrupted: they end as without.
//!
//! `tests/short` is the library that makes them so, by `LD_PRELOAD`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::host::{self, Host, MIB, copy, succeeded};
use crate::operations::{A, CREATE, CREATE_POOL, OPERATIONS, prepared, state};
use crate::syscalls::counts_with;

/// The library, built now: cargo builds none for a test.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(build)
}

fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // The test is target/PROFILE/deps/NAME-HASH.
    let target = test.ancestors().nth(3).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--package", "short-transfers"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    target.join("debug/libshort_transfers.so")
}

fn run(host: &Host, args: &[&str]) -> Output {
    host.command(args).env("LD_PRELOAD", library()).output().unwrap()
}

#[test]
fn the_library_makes_transfers_short() {
    let host = Host::new(&[16]);
    host.ok(CREATE_POOL);
    host.ok(CREATE);
    let preload = format!("LD_PRELOAD={}", library().display());
    let list = ["pool", "list"];
    let [plain, short] = [&[][..], &["-E", &preload]].map(|options| counts_with(&host, options, &list));
    assert!(
        short["pread64"] > 10 * plain["pread64"],
        "{short:?} and {plain:?}"
    );
    let resize = ["replica", "resize", A, "2M"];
    let short = counts_with(&host, &["-E", &preload], &resize);
    let plain = counts_with(&host, &[], &["replica", "resize", A, "3M"]);
    assert!(
        short["pwrite64"] > 2 * plain["pwrite64"],
        "{short:?} and {plain:?}"
    );
    assert!(short["write"] > 2 * plain["write"], "{short:?} and {plain:?}");
}

/// In how many VGs nothing is wrong.  A blank disk beside them is an error of its own.
fn sound(host: &Host) -> usize {
    let told = String::from_utf8(host::inspect(host, &["--check"]).stdout).unwrap();
    told.matches("no problems").count()
}

#[test]
fn every_operation_ends_the_same_when_each_transfer_is_short_or_interrupted() {
    for operation in OPERATIONS {
        let (what, _, args) = operation;
        let host = prepared(&operation);
        let images = ["disk0", "disk1"].map(|image| (host.path(image), host.path(&format!("{image}.old"))));
        images.iter().for_each(|(image, saved)| copy(image, saved));
        host.ok(args);
        let (new, as_told) = (state(&host), sound(&host));
        images.iter().for_each(|(image, saved)| copy(saved, image));
        succeeded(run(&host, args), args);
        assert_eq!(state(&host), new, "{what}");
        assert_eq!(sound(&host), as_told, "{what}");
    }
}

#[test]
fn data_and_what_inspect_shows_are_whole_when_each_transfer_is_short_or_interrupted() {
    let host = Host::new(&[16]);
    host.ok(CREATE_POOL);
    host.ok(CREATE);
    let bytes: Vec<u8> = (0..MIB as u32 / 4).flat_map(u32::to_le_bytes).collect();
    let mut child = host
        .command(&["replica", "write", A, "0"])
        .env("LD_PRELOAD", library())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(host.read(A, 0, MIB) == bytes, "what was written");
    let read = run(&host, &["replica", "read", A, "0", "1M"]);
    assert!(read.status.success() && read.stdout == bytes, "what was read");
    let plain = host::inspect(&host, &["--json"]);
    let short = host::inspect_command(&host, &["--json"])
        .env("LD_PRELOAD", library())
        .output()
        .unwrap();
    assert!(
        plain.status.success() && plain == short,
        "{short:?}, not {plain:?}"
    );
}
