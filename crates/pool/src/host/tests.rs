//! The layer against this machine's own kernel, on loop devices.

use std::path::{Path, PathBuf};
use std::process::Command;

use lvm_meta::Disk;

use super::*;

mod lvm;

/// A loop device with blocks of 4096 bytes, detached when dropped.
struct Loop {
    node: PathBuf,
    _image: tempfile::NamedTempFile,
}

impl Loop {
    fn new(size: u64) -> Self {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(size).unwrap();
        let node = run(
            "losetup",
            &[
                "--find",
                "--show",
                "--sector-size",
                "4096",
                image.path().to_str().unwrap(),
            ],
        );
        Self {
            node: node.into(),
            _image: image,
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["--detach", self.node.to_str().unwrap()]);
    }
}

fn run(tool: &str, args: &[&str]) -> String {
    let output = Command::new(tool).args(args).output().unwrap();
    assert!(output.status.success(), "{tool}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn claim(node: &Path, on_signature: OnSignature) -> Result<ClaimedDisk> {
    let paths = Paths::default();
    let devices = Devices::scan(&paths, &Default::default()).unwrap();
    let device = devices.by_path(node).unwrap();
    claim_disk(&paths, &devices, &DeviceRules::default(), device, on_signature)
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_device_with_large_blocks_is_found_claimed_and_written_in_any_length() {
    let device = Loop::new(64 << 20);
    let claimed = claim(&device.node, OnSignature::Refuse).unwrap();
    let disk = claimed.disk;
    assert_eq!(
        (disk.device().logical_block_size(), disk.size().unwrap()),
        (4096, 64 << 20)
    );
    disk.write_at(512, b"LABELONE").unwrap();
    disk.write_at((64 << 20) - 3, b"end").unwrap();
    disk.sync().unwrap();
    let again = open_disk(&Paths::default(), &device.node, OpenMode::ReadOnly).unwrap();
    let mut read = [0; 8];
    again.read_at(512, &mut read).unwrap();
    assert_eq!(&read, b"LABELONE");
    assert!(again.read_at((64 << 20) - 3, &mut read).is_err(), "past the end");

    // Ours alone until it is dropped.
    let err = claim(&device.node, OnSignature::Refuse).unwrap_err();
    assert!(
        matches!(&err, Error::InUse { reasons, .. } if reasons == &[InUse::Claimed]),
        "{err}"
    );
    drop(disk);
    claim(&device.node, OnSignature::Refuse).unwrap();
    let stats = IoStats::read(&Paths::default(), again_number(&device.node)).unwrap();
    assert!(stats.written.operations > 0 && stats.read.bytes > 0);
}

fn again_number(node: &Path) -> DeviceNumber {
    Devices::scan(&Paths::default(), &Default::default())
        .unwrap()
        .by_path(node)
        .unwrap()
        .number
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_device_that_ends_within_a_sector_is_named() {
    let device = Loop::new((64 << 20) + 512);
    let error = claim(&device.node, OnSignature::Refuse).unwrap_err();
    let Error::PartialSector { path, size, sector } = &error else {
        panic!("{error}")
    };
    assert_eq!((&**path, *size, *sector), (&*device.node, (64 << 20) + 512, 4096));
}

#[test]
#[ignore = "needs root, loop devices and mkfs.ext4"]
fn a_file_system_is_refused_while_mounted_and_erased_only_on_demand() {
    let device = Loop::new(64 << 20);
    let node = device.node.to_str().unwrap();
    run("mkfs.ext4", &["-q", "-F", node]);
    let dir = tempfile::tempdir().unwrap();
    run("mount", &[node, dir.path().to_str().unwrap()]);
    let err = claim(&device.node, OnSignature::Erase).unwrap_err();
    run("umount", &[dir.path().to_str().unwrap()]);
    let Error::InUse { reasons, .. } = &err else {
        panic!("{err}")
    };
    assert!(
        reasons
            .iter()
            .any(|reason| matches!(reason, InUse::Mounted { on, .. } if on == dir.path())),
        "{err}"
    );

    assert!(claim(&device.node, OnSignature::Refuse).is_err());
    let claimed = claim(&device.node, OnSignature::Erase).unwrap();
    assert_eq!(
        claimed.erased.iter().map(|found| found.kind).collect::<Vec<_>>(),
        [SignatureKind::Ext]
    );
    drop(claimed);
    claim(&device.node, OnSignature::Refuse).unwrap();
    let blkid = Command::new("blkid").args(["-p", node]).output().unwrap();
    assert_eq!(blkid.stdout, b"", "another prober finds nothing either");
}

#[test]
#[ignore = "needs root, loop devices and mkswap"]
fn swap_in_use_is_refused() {
    let device = Loop::new(16 << 20);
    let node = device.node.to_str().unwrap();
    run("mkswap", &["-q", node]);
    run("swapon", &[node]);
    let err = claim(&device.node, OnSignature::Erase).unwrap_err();
    run("swapoff", &[node]);
    assert!(
        matches!(&err, Error::InUse { reasons, .. } if matches!(reasons[0], InUse::Swap { .. })),
        "{err}"
    );
}

#[test]
#[ignore = "needs the flock tool"]
fn another_process_is_named_as_the_holder_of_a_lock() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use std::time::Duration;

    let host = testing::FakeHost::new();
    let paths = Paths {
        proc: "/proc".into(),
        ..host.paths.clone()
    };
    std::fs::create_dir_all(&paths.locking_dir).unwrap();
    let file = paths.locking_dir.join("V_vg0");
    // The shell that flock runs says when the lock is held, and holds it until its input ends.
    let mut holder = Command::new("flock")
        .args([file.to_str().unwrap(), "sh", "-c", "echo held; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let mut held = Locks::new(&paths).hold();
    let err = held
        .vg("vg0", LockMode::Exclusive, Duration::from_millis(20))
        .unwrap_err();
    let Error::LockTimeout {
        holder: Some(found), ..
    } = &err
    else {
        panic!("{err}")
    };
    assert_eq!(
        (found.pid, found.command.as_deref()),
        (holder.id(), Some("flock")),
        "{err}"
    );
    drop(holder.stdin.take());
    held.vg("vg0", LockMode::Exclusive, Duration::from_secs(60))
        .unwrap();
    holder.wait().unwrap();
}
