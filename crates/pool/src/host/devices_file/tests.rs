use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::host::testing::FakeHost;
use crate::host::{CivilTime, Devices, HeldLocks, LockMode, Locks};

const NAME: &str = "system.devices";
const PV: &str = "0123456789abcdefghijklmnopqrstuv";
const NOW: u64 = 1_795_422_905;

fn pv(text: &str) -> PvId {
    PvId::parse(text).unwrap()
}

fn host_with(text: &str) -> FakeHost {
    let host = FakeHost::new();
    host.disk("sda", "8:0", 1 << 30)
        .attribute("sda", "device/wwid", "naa.1");
    host.disk("sdb", "8:16", 1 << 30)
        .partition("sdb", "sdb1", "8:17", 1 << 20);
    host.write(&DevicesFile::path(&host.paths, NAME), text);
    host
}

fn device(host: &FakeHost, name: &str) -> BlockDevice {
    Devices::scan(&host.paths, &Default::default())
        .unwrap()
        .by_kernel_name(name)
        .unwrap()
        .clone()
}

fn locked(host: &FakeHost) -> HeldLocks {
    let mut held = Locks::new(&host.paths).hold();
    held.devices_file(NAME, LockMode::Exclusive, Duration::ZERO)
        .unwrap();
    held
}

fn read(host: &FakeHost) -> DevicesFile {
    DevicesFile::read(&host.paths, NAME).unwrap().unwrap()
}

fn write(host: &FakeHost, file: &mut DevicesFile) -> Result<()> {
    file.write(&locked(host), "lvm-native", CivilTime::from_unix(NOW), 50)
}

fn text(host: &FakeHost) -> String {
    fs::read_to_string(DevicesFile::path(&host.paths, NAME)).unwrap()
}

#[test]
fn no_file_means_that_none_is_in_use() {
    let host = FakeHost::new();
    assert!(DevicesFile::read(&host.paths, NAME).unwrap().is_none());
}

#[test]
fn the_hash_is_lvms_crc_of_the_lines_that_are_no_comments() {
    assert_eq!(crc(b""), 0xf597_a6cf);
    let body = "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/sda PVID=.\n";
    let good = format!("# x\n# HASH={}\nSYSTEMID=old\n{body}", crc(body.as_bytes()));
    assert!(!read(&host_with(&good)).was_edited());
    assert!(read(&host_with(&good.replace("naa.1", "naa.2"))).was_edited());
    assert!(!read(&host_with(&format!("# HASH=0\n{body}"))).was_edited());
    assert!(read(&host_with(body)).was_edited(), "no hash at all");
}

#[test]
fn devices_match_their_entries_by_id_and_partition() {
    let host = host_with("");
    let node = host.paths.dev.join("sdb1");
    let lines = format!(
        "VERSION=1.1.4\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/sdz PVID={PV}\n\
         IDTYPE=devname IDNAME={node} DEVNAME={node} PVID={PV} PART=1\nIDTYPE=later IDNAME=x DEVNAME=. PVID=.\n",
        node = node.display()
    );
    host.write(&DevicesFile::path(&host.paths, NAME), lines);
    let file = read(&host);
    assert_eq!(
        file.entry(&device(&host, "sda")),
        Some(&file.entries()[0]),
        "whatever its name was"
    );
    assert_eq!(file.entry(&device(&host, "sdb1")), Some(&file.entries()[1]));
    assert_eq!(file.entry(&device(&host, "sdb")), None);
    assert_eq!(file.entries()[2].id_type, DeviceIdType::Other("later".into()));

    let by_name = &file.entries()[1];
    assert!(by_name.allows_pv(pv(PV)));
    assert!(
        !by_name.allows_pv(pv("ffffffffffffffffffffffffffffffff")),
        "another disk has the name now"
    );
    assert!(
        file.entries()[0].allows_pv(pv("ffffffffffffffffffffffffffffffff")),
        "a world-wide id is enough"
    );
}

#[test]
fn an_added_device_is_written_with_a_new_version_hash_and_backup() {
    let old = "PRODUCT_UUID=abc\nFUTURE=thing\nVERSION=1.1.9999\nIDTYPE=later IDNAME=x DEVNAME=/dev/x PVID=. PART=3\n";
    let host = host_with(old);
    let mut file = read(&host);
    file.add(&device(&host, "sda"), pv(PV));
    write(&host, &mut file).unwrap();
    let body = format!(
        "PRODUCT_UUID=abc\nFUTURE=thing\nVERSION=1.1.10000\nIDTYPE=later IDNAME=x DEVNAME=/dev/x PVID=. PART=3\n\
         IDTYPE=sys_wwid IDNAME=naa.1 DEVNAME={} PVID={PV}\n",
        host.paths.dev.join("sda").display()
    );
    let pid = std::process::id();
    let expected = format!(
        "# LVM uses devices listed in this file.\n\
         # Created by LVM command lvm-native pid {pid} at Mon Nov 23 08:35:05 2026\n# HASH={}\n{body}",
        crc(body.as_bytes())
    );
    assert_eq!(text(&host), expected);
    assert!(!read(&host).was_edited());
    let dir = host.paths.lvm_system_dir.join("devices");
    assert_eq!(
        fs::read_to_string(dir.join("backup/system.devices-20261123.083505.10000")).unwrap(),
        expected
    );
    let mode = fs::metadata(dir.join(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!dir.join("system.devices_new").exists());
}

#[test]
fn adding_a_listed_device_renews_its_entry() {
    let host = host_with("VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/old PVID=.\n");
    let mut file = read(&host);
    file.add(&device(&host, "sda"), pv(PV));
    assert_eq!(file.entries().len(), 1);
    assert_eq!(file.entries()[0].pv_id.as_deref(), Some(PV));
    write(&host, &mut file).unwrap();
    let after = text(&host);
    write(&host, &mut file).unwrap();
    assert_eq!(text(&host), after, "nothing changed, nothing written");
}

#[test]
fn a_removed_pv_stays_listed_and_a_removed_device_does_not() {
    let host = host_with(&format!(
        "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/sda PVID={PV}\n"
    ));
    let mut file = read(&host);
    assert!(file.clear_pv(&device(&host, "sda")));
    assert!(!file.clear_pv(&device(&host, "sdb")));
    write(&host, &mut file).unwrap();
    assert!(text(&host).contains("PVID=.\n"));
    assert!(file.remove(&device(&host, "sda")));
    write(&host, &mut file).unwrap();
    assert!(text(&host).ends_with("VERSION=1.1.3\n"));
}

#[test]
fn writing_needs_the_lock_and_the_file_that_was_read() {
    let host = host_with("VERSION=1.1.1\n");
    let mut file = read(&host);
    file.add(&device(&host, "sda"), pv(PV));
    let none = Locks::new(&host.paths).hold();
    let err = file.write(&none, "x", CivilTime::from_unix(NOW), 50).unwrap_err();
    assert!(matches!(err, Error::NotLocked { .. }));
    let other = "VERSION=1.1.2\n";
    host.write(&DevicesFile::path(&host.paths, NAME), other);
    assert!(matches!(
        write(&host, &mut file),
        Err(Error::DevicesFileChanged { .. })
    ));
    assert_eq!(text(&host), other);
}

#[test]
fn a_file_of_a_newer_lvm_is_read_but_not_changed() {
    let host = host_with("VERSION=2.0.1\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/sda PVID=.\n");
    let mut file = read(&host);
    assert!(file.entry(&device(&host, "sda")).is_some());
    file.remove(&device(&host, "sda"));
    assert!(matches!(write(&host, &mut file), Err(Error::DevicesFile { .. })));
    assert!(text(&host).starts_with("VERSION=2.0.1"));
}

#[test]
fn an_unreadable_version_is_an_error() {
    let host = host_with("VERSION=one\n");
    assert!(matches!(
        DevicesFile::read(&host.paths, NAME),
        Err(Error::DevicesFile { line: 1, .. })
    ));
}

#[test]
fn only_the_newest_backups_are_kept() {
    let host = host_with("VERSION=1.1.1\n");
    let dir = host.paths.lvm_system_dir.join("devices/backup");
    for name in [
        "system.devices-20200101.000000.0001",
        "system.devices-20210101.000000.0002",
        "notes",
    ] {
        host.write(&dir.join(name), "");
    }
    let mut file = read(&host);
    file.add(&device(&host, "sda"), pv(PV));
    file.write(&locked(&host), "x", CivilTime::from_unix(NOW), 2)
        .unwrap();
    let expected = [
        "notes",
        "system.devices-20210101.000000.0002",
        "system.devices-20261123.083505.0002",
    ];
    assert_eq!(sysfs::names(&dir), expected);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_file_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let mut text = b"VERSION=1.1.1\nIDTYPE=devname IDNAME=".to_vec();
        text.extend(bytes);
        let _ = DevicesFile::parse("x".into(), text);
    }
}
