use super::*;
use crate::{Target, TargetLine};
use std::fs::File;

const MIB: u64 = 1 << 20;

fn uuid(text: &str) -> DmUuid {
    DmUuid::new(text).unwrap()
}

fn image(dir: &tempfile::TempDir, size: u64) -> std::path::PathBuf {
    let path = dir.path().join("disk");
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

/// What a pool does to have an LV: every kind of call that changes something.
fn make_device(mapper: &dyn DeviceMapper, disk: &Path) -> Result<(), Error> {
    let device = mapper.backing(disk)?;
    let (name, id) = (DmName::new("vg-lv")?, uuid("LVM-1"));
    let target = Target::Linear { device, offset: 8 };
    let table = Table::new(vec![TargetLine {
        start: 0,
        length: 16,
        target,
    }]);
    let mut cookie = mapper.cookie()?;
    mapper.create(&name, &id)?;
    mapper.load(DeviceId::Uuid(&id), &table, false)?;
    mapper.resume(DeviceId::Uuid(&id), UdevFlags::NOSCAN, &mut cookie)?;
    mapper.finish(cookie, Duration::ZERO)?;
    let io = mapper.open(DeviceId::Uuid(&id), OpenMode::ReadWrite)?;
    let failed = |source| Error::Io {
        what: "zero",
        path: disk.into(),
        source,
    };
    io.zero(0, 4096).map_err(failed)?;
    io.sync().map_err(failed)
}

#[test]
fn the_log_names_devices_and_orders_changes() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeMapper::new();
    make_device(&fake, &image(&dir, MIB)).unwrap();
    let words: Vec<String> = fake.changes().iter().map(Call::to_string).collect();
    assert_eq!(
        words,
        [
            "create vg-lv",
            "load vg-lv",
            "resume vg-lv",
            "finish",
            "zero vg-lv",
            "sync vg-lv"
        ]
    );
    let flags = UdevFlags::NOSCAN;
    let device = "vg-lv".to_string();
    assert!(fake.calls().contains(&Call::Resume { device, flags }));
    fake.forget_calls();
    assert_eq!(fake.calls(), []);
}

#[test]
fn every_single_call_can_be_made_to_fail() {
    let mut nth = 0;
    loop {
        nth += 1;
        let dir = tempfile::tempdir().unwrap();
        let fake = FakeMapper::new();
        fake.fault_at_call(nth, Fault::Refuse(libc::ENOMEM));
        let result = make_device(&fake, &image(&dir, MIB));
        if fake.fault_count() == 0 {
            result.unwrap();
            break;
        }
        assert_eq!(result.unwrap_err().errno(), libc::ENOMEM, "call {nth}");
        assert_eq!(
            fake.calls().len(),
            nth,
            "nothing comes after the call that failed"
        );
    }
    assert_eq!(nth, 9 + 1);
}

#[test]
fn a_refused_call_has_no_effect_and_a_lost_answer_has() {
    for (fault, devices) in [(Fault::Refuse(libc::EIO), 0), (Fault::LoseAnswer(libc::EIO), 1)] {
        let fake = FakeMapper::new();
        fake.fault_when(fault, |call| matches!(call, Call::Create { .. }));
        let name = DmName::new("a").unwrap();
        assert_eq!(
            fake.create(&name, &uuid("a")).unwrap_err().errno(),
            libc::EIO,
            "{fault:?}"
        );
        assert_eq!(fake.list().unwrap().len(), devices, "{fault:?}");
    }
}

#[test]
fn devices_survive_the_death_of_the_process_that_made_them() {
    let dir = tempfile::tempdir().unwrap();
    let disk = image(&dir, MIB);
    for nth in 1..=6 {
        let host = FakeMapper::new();
        let process = host.clone();
        process.fault_at_change(nth, Fault::Die);
        make_device(&process, &disk).unwrap_err();
        assert!(host.is_dead());
        assert!(
            process.list().is_err(),
            "the dead see nothing, so that they cannot undo anything"
        );
        drop(process);
        host.heal();
        let info = host.info(DeviceId::Uuid(&uuid("LVM-1"))).unwrap();
        assert_eq!(info.is_some(), nth > 1, "cut before change {nth}");
        if let Some(info) = info {
            assert_eq!(
                (info.inactive_table, info.live_table),
                (nth == 3, nth > 3),
                "before {nth}"
            );
            assert_eq!(info.open_count, 0, "the dead keep nothing open");
        }
    }
}

#[test]
fn a_device_that_another_process_holds_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeMapper::new();
    make_device(&fake, &image(&dir, MIB)).unwrap();
    let id = uuid("LVM-1");
    let held = fake
        .inner()
        .open(DeviceId::Uuid(&id), OpenMode::ReadOnly)
        .unwrap();
    let mut cookie = fake.cookie().unwrap();
    let mut remove = || fake.remove(DeviceId::Uuid(&id), false, UdevFlags::empty(), &mut cookie);
    assert_eq!(remove().unwrap_err().errno(), libc::EBUSY);
    drop(held);
    remove().unwrap();
    assert_eq!(fake.list().unwrap(), []);
}

#[test]
fn a_disk_that_grew_takes_a_larger_table() {
    let dir = tempfile::tempdir().unwrap();
    let disk = image(&dir, MIB);
    let fake = FakeMapper::new();
    make_device(&fake, &disk).unwrap();
    let device = fake.backing(&disk).unwrap();
    let id = uuid("LVM-1");
    let target = Target::Linear { device, offset: 0 };
    let table = Table::new(vec![TargetLine {
        start: 0,
        length: 4096,
        target,
    }]);
    assert_eq!(
        fake.load(DeviceId::Uuid(&id), &table, false).unwrap_err().errno(),
        libc::EINVAL
    );
    File::options()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(2 * MIB)
        .unwrap();
    fake.load(DeviceId::Uuid(&id), &table, false).unwrap();
}
