//! The layer beside the real LVM tools, on the same files and devices.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use lvm_meta::PvId;

use super::Loop;
use crate::host::*;

/// An LVM system folder and locking folder of its own, which both sides use.
struct Lvm {
    _dir: tempfile::TempDir,
    paths: Paths,
}

impl Lvm {
    /// `config` goes into `lvm.conf` behind the locking folder.
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            lvm_system_dir: dir.path().join("etc"),
            locking_dir: dir.path().join("lock"),
            ..Paths::default()
        };
        fs::create_dir_all(paths.lvm_system_dir.join("devices")).unwrap();
        let lock = format!(
            "global {{ use_aio = 0 locking_dir = \"{}\" }}\n",
            paths.locking_dir.display()
        );
        fs::write(paths.lvm_system_dir.join("lvm.conf"), lock + config).unwrap();
        Self { _dir: dir, paths }
    }

    fn try_run(&self, args: &[&str]) -> Output {
        Command::new("lvm")
            .args(args)
            .env("LVM_SYSTEM_DIR", &self.paths.lvm_system_dir)
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .env("LC_ALL", "C")
            .output()
            .unwrap()
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.try_run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    fn config(&self) -> Config {
        Config::read(&self.paths, "node1").unwrap()
    }

    fn devices_file(&self) -> DevicesFile {
        DevicesFile::read(&self.paths, "system.devices").unwrap().unwrap()
    }
}

fn device(node: &std::path::Path) -> BlockDevice {
    Devices::scan(&Paths::default(), &Default::default())
        .unwrap()
        .by_path(node)
        .unwrap()
        .clone()
}

#[test]
#[ignore = "needs root, loop devices and lvm"]
fn both_sides_read_and_write_one_devices_file() {
    let lvm = Lvm::new("devices { use_devicesfile = 1 }");
    let (a, b) = (Loop::new(64 << 20), Loop::new(64 << 20));
    let path = DevicesFile::path(&lvm.paths, "system.devices");
    fs::write(&path, "").unwrap();
    lvm.run(&["pvcreate", "-y", a.node.to_str().unwrap()]);
    // LVM 2.03.16 writes no hash yet.
    let hashes = fs::read_to_string(&path).unwrap().contains("# HASH=");
    let mut file = lvm.devices_file();
    assert_eq!(file.was_edited(), !hashes, "the hash is the same");
    assert_eq!(file.entry(&device(&a.node)), file.entries().first());
    assert_eq!(file.entry(&device(&b.node)), None);

    let mut held = lvm.config().locks(&lvm.paths).hold();
    held.devices_file("system.devices", LockMode::Exclusive, Duration::ZERO)
        .unwrap();
    let id = PvId::parse("0123456789abcdefghijklmnopqrstuv").unwrap();
    file.add(&device(&b.node), id);
    file.write(&held, "lvm-native", CivilTime::now(), 50).unwrap();
    drop(held);
    let written = fs::read_to_string(&path).unwrap();
    let shown = lvm.run(&["lvmdevices"]);
    for node in [&a.node, &b.node] {
        assert!(shown.contains(&format!("DEVNAME={}", node.display())), "{shown}");
    }
    lvm.run(&["pvs"]);
    // LVM writes the file anew when it does not agree with the hash, or to note that the disk holds no such PV.
    let kept = fs::read_to_string(&path).unwrap();
    let hash = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("# HASH"))
            .map(str::to_owned)
    };
    assert!(
        !hashes || hash(&kept) == hash(&written) || kept.contains("PVID=.\n"),
        "{written}\n{kept}"
    );

    lvm.run(&["lvmdevices", "--deldev", b.node.to_str().unwrap()]);
    let file = lvm.devices_file();
    assert_eq!(file.was_edited(), !hashes);
    assert_eq!(file.entry(&device(&b.node)), None);
}

#[test]
#[ignore = "needs root, loop devices and lvm"]
fn locks_keep_the_tools_out_and_are_kept_out_by_them() {
    let lvm = Lvm::new("");
    let disk = Loop::new(64 << 20);
    let node = disk.node.to_str().unwrap();
    let locks = lvm.config().locks(&lvm.paths);
    let at_once = ["--config", "global/wait_for_locks=0"];
    let mut held = locks.hold();
    held.global(LockMode::Exclusive, Duration::ZERO).unwrap();
    assert!(
        !lvm.try_run(&["pvcreate", "-y", node, at_once[0], at_once[1]])
            .status
            .success()
    );
    drop(held);
    lvm.run(&["pvcreate", "-y", node]);
    lvm.run(&["vgcreate", "hosttest", node]);

    let mut held = locks.hold();
    held.vg("hosttest", LockMode::Exclusive, Duration::ZERO).unwrap();
    let change = ["vgchange", "--addtag", "x", "hosttest", at_once[0], at_once[1]];
    assert!(!lvm.try_run(&change).status.success());
    drop(held);
    lvm.run(&change);

    // Many changes on both sides at once: each sees the lock file unlinked by the other again and again.
    std::thread::scope(|scope| {
        let tools = scope.spawn(|| {
            for n in 0..10 {
                lvm.run(&["vgchange", "--addtag", &format!("t{n}"), "hosttest"]);
            }
        });
        while !tools.is_finished() {
            let mut held = locks.hold();
            held.vg("hosttest", LockMode::Exclusive, Duration::from_secs(60))
                .unwrap();
        }
        tools.join().unwrap();
    });
}

#[test]
#[ignore = "needs root, loop devices and lvm"]
fn filters_choose_the_devices_that_the_tools_choose() {
    let disks: Vec<Loop> = (0..3).map(|_| Loop::new(64 << 20)).collect();
    let lvm = Lvm::new("");
    for disk in &disks {
        lvm.run(&["pvcreate", "-y", disk.node.to_str().unwrap()]);
    }
    let name = disks[0].node.to_str().unwrap();
    let last = name.chars().next_back().unwrap();
    for filter in [
        format!("\"a|^{name}$|\", \"r|.*|\""),
        format!("\"r|{name}|\""),
        format!("\"r|{name}.|\""),
        format!("\"r|loop[^{last}]|\""),
        format!("\"r|loop[{last}-{last}].|\""),
        "\"r|/dev/loop[0-9]+$|\"".to_owned(),
        "\"r|loop{1}|\"".to_owned(),
        "\"r|l(o|x)+p|\"".to_owned(),
        format!("\"r/(a|b{last})?$/\", \"a/never/\""),
        format!("\"a(loop{last})\", \"r{{loop}}\""),
        format!("\"r|loop[9-0]|\", \"a|{name}|\""),
        "\"r|loop\\\\d|\"".to_owned(),
    ] {
        fs::write(
            lvm.paths.lvm_system_dir.join("lvm.conf"),
            format!(
                "global {{ use_aio = 0 locking_dir = \"{}\" }}\ndevices {{ use_devicesfile = 0 filter = [ {filter} ] }}",
                lvm.paths.locking_dir.display()
            ),
        )
        .unwrap();
        let output = lvm.try_run(&["pvs", "--noheadings", "-o", "pv_name"]);
        let theirs: BTreeSet<String> = String::from_utf8(output.stdout)
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let config = lvm.config();
        let rules = config.device_rules(&lvm.paths).unwrap();
        let mut devices = Devices::scan(&lvm.paths, &Default::default()).unwrap();
        devices.find_aliases(&lvm.paths.dev, &Default::default());
        let ours: BTreeSet<String> = disks
            .iter()
            .filter(|disk| {
                rules
                    .skip(&devices, devices.by_path(&disk.node).unwrap())
                    .is_none()
            })
            .map(|disk| disk.node.to_str().unwrap().to_owned())
            .collect();
        let nodes: BTreeSet<String> = disks
            .iter()
            .map(|disk| disk.node.to_str().unwrap().to_owned())
            .collect();
        let theirs: BTreeSet<String> = theirs.intersection(&nodes).cloned().collect();
        assert_eq!(ours, theirs, "{filter}");
    }
}

#[test]
#[ignore = "needs lvm"]
fn our_defaults_are_those_of_the_tools() {
    let lvm = Lvm::new("");
    let file = lvm.paths.lvm_system_dir.join("lvm.conf");
    let defaults = String::from_utf8(lvm.try_run(&["lvmconfig", "--type", "default"]).stdout).unwrap();
    // Defaults are shown as comments.
    let defaults = defaults.replace("\t# ", "\t");
    assert!(defaults.contains("\tissue_discards=0"), "{defaults}");
    fs::remove_file(&file).unwrap();
    let mut ours = lvm.config();
    fs::write(&file, defaults).unwrap();
    let theirs = lvm.config();
    // What is unset here and named there, or differs between builds.
    ours.global.locking_dir.clone_from(&theirs.global.locking_dir);
    ours.devices.use_devicesfile = theirs.devices.use_devicesfile;
    ours.devices.filter = theirs.devices.filter.clone();
    ours.devices.global_filter = theirs.devices.global_filter.clone();
    ours.allocation.thin_pool_chunk_size = theirs.allocation.thin_pool_chunk_size;
    ours.backup.backup_dir.clone_from(&theirs.backup.backup_dir);
    ours.backup.archive_dir.clone_from(&theirs.backup.archive_dir);
    assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
    assert!(
        theirs.devices.filter.accepts(&["/dev/sda"]) && theirs.devices.global_filter.accepts(&["/dev/sda"])
    );
}
