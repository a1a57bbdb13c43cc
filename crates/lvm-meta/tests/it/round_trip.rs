//! Texts of the real LVM2 come back byte for byte.

use std::sync::Arc;

use lvm_meta::{
    Disk, Extents, MdaHeader, MdaSet, MemDisk, Provenance, PvLayout, PvScan, Sectors, Vg, backup_text, check,
    make_pv, scan, set_pv_used,
};

use crate::fixtures::{self, provenance};

#[track_caller]
fn check_bytes(name: &str, printed: &[u8], text: &[u8]) {
    let (printed, text) = (String::from_utf8_lossy(printed), String::from_utf8_lossy(text));
    let differing = printed
        .lines()
        .zip(text.lines())
        .position(|(ours, theirs)| ours != theirs);
    let line = differing.map(|at| (at, printed.lines().nth(at), text.lines().nth(at)));
    assert!(printed == text, "{name}: line, ours, theirs: {line:?}");
}

#[test]
fn every_text_of_every_fixture_comes_back_byte_for_byte() {
    let fixtures = fixtures::all();
    assert!(fixtures.len() > 30, "{} texts", fixtures.len());
    for fixture in &fixtures {
        let vg = Vg::parse(&fixture.text).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        check_bytes(
            &fixture.name,
            &vg.print_raw(&provenance(&fixture.text)),
            &fixture.text,
        );
        assert_eq!(Vg::peek_name(&fixture.text).unwrap(), vg.name());
        assert_eq!(vg.refusal(), None, "{}", fixture.name);
        if !vg.pvs().is_empty() {
            assert_eq!(check(&vg), [], "{}", fixture.name);
        }
    }
}

#[test]
fn backup_files_hold_the_same_vg_as_the_disk() {
    for (file, disk) in fixtures::backups() {
        let (file, disk) = (Vg::parse(&file).unwrap(), Vg::parse(&disk).unwrap());
        assert_eq!(file, disk);
        let header = Provenance::default();
        check_bytes(file.name(), &file.print_raw(&header), &disk.print_raw(&header));
    }
}

#[test]
fn backup_files_come_back_byte_for_byte() {
    let local_time = |seconds: u64| {
        let (day, clock) = (seconds / 86_400, seconds % 86_400);
        assert_eq!(day, 20_780, "all of them were made on one day");
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        format!("2026-11-23 {hour:02}:{minute:02}:{second:02} +0000")
    };
    let backups = fixtures::backups();
    assert_eq!(backups.len(), 8);
    for (file, disk) in backups {
        let printed = backup_text(&disk, &provenance(&file), &local_time).unwrap();
        check_bytes("backup", &printed, &file);
    }
}

#[test]
fn a_text_cut_anywhere_is_refused_or_the_same_vg() {
    for (_, disk) in fixtures::backups() {
        let whole = Vg::parse(&disk).unwrap();
        for end in (0..disk.len()).step_by(7) {
            if let Ok(vg) = Vg::parse(&disk[..end]) {
                assert_eq!(vg, whole, "{end}");
            }
        }
    }
}

#[test]
fn a_text_with_one_byte_changed_never_panics() {
    for (_, disk) in fixtures::backups() {
        for at in (0..disk.len()).step_by(11) {
            for byte in [0, b'"', b'{', b'}', b'9', b'[', 0xff] {
                let mut text = disk.clone();
                text[at] = byte;
                if let Ok(vg) = Vg::parse(&text) {
                    let _ = vg.print_raw(&Provenance::default());
                    let _ = check(&vg);
                }
            }
        }
    }
}

/// A device of which only the first mebibyte is kept.
struct Head {
    bytes: MemDisk,
    size: u64,
}

impl Disk for Head {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> std::io::Result<()> {
        // The second area of `two-mdas` lies at the end: there is nothing to compare it with.
        if at < 1 << 20 {
            return self.bytes.read_at(at, buf);
        }
        buf.fill(0);
        Ok(())
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.write_at(at, bytes)
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn size(&self) -> std::io::Result<u64> {
        Ok(self.size)
    }
}

/// A disk that real LVM wrote, and what it says.
fn scan_head(bytes: &[u8]) -> (Arc<Head>, PvScan) {
    let head = |size| Head {
        bytes: MemDisk::new(bytes.to_vec()),
        size,
    };
    let size = scan(&head(1 << 40)).unwrap().unwrap().header.device_size;
    let disk = Arc::new(head(size));
    let pv = scan(&*disk).unwrap().unwrap();
    (disk, pv)
}

#[test]
fn the_same_commits_on_a_fresh_disk_give_the_bytes_that_lvm_wrote() {
    let mut compared = 0;
    for bytes in fixtures::heads() {
        let (_, pv) = scan_head(&bytes);
        let ignored = pv
            .mdas
            .iter()
            .any(|mda| mda.header.as_ref().is_ok_and(MdaHeader::is_ignored));
        let areas = pv.header.metadata_areas.clone();
        if ignored || areas.iter().any(|area| area.offset > 4096) {
            continue;
        }
        let layout = PvLayout {
            device_size: pv.header.device_size,
            metadata_areas: areas.clone(),
            bootloader: None,
            pe_start: Sectors::from_bytes_floor(pv.header.data_areas[0].offset),
            pe_count: Extents::new(1),
        };
        let fresh = Arc::new(Head {
            bytes: MemDisk::new(vec![0; bytes.len()]),
            size: layout.device_size,
        });
        make_pv(&*fresh, pv.header.id, &layout).unwrap();
        set_pv_used(&*fresh, true).unwrap();
        let disk: Arc<dyn Disk> = fresh.clone();
        let mut set = MdaSet::new();
        set.open(&disk, &areas).unwrap();
        for text in fixtures::texts_of(&bytes) {
            set.write(text).unwrap().precommit().unwrap().commit().unwrap();
        }
        let differing = fresh
            .bytes
            .bytes()
            .iter()
            .zip(&bytes)
            .position(|(ours, theirs)| ours != theirs);
        assert_eq!(differing, None, "{} of {}", pv.header.id, pv.mdas.len());
        compared += 1;
    }
    assert!(compared > 40, "{compared} disks");
}

#[test]
fn labels_and_headers_that_lvm_wrote_come_back_byte_for_byte() {
    for bytes in fixtures::heads() {
        let (head, pv) = scan_head(&bytes);
        set_pv_used(&*head, false).unwrap();
        assert!(head.bytes.bytes() != bytes);
        set_pv_used(&*head, true).unwrap();
        let disk: Arc<dyn Disk> = head.clone();
        let mut set = MdaSet::new();
        set.open(
            &disk,
            &pv.header.metadata_areas[..pv.header.metadata_areas.len().min(1)],
        )
        .unwrap();
        let Some(text) = pv.mdas.iter().find_map(|mda| mda.text.as_ref()) else {
            assert!(head.bytes.bytes() == bytes);
            continue;
        };
        // What is written and reverted lies behind the last text, where nothing is; all else is as it was.
        let text = text.as_ref().unwrap();
        set.write(text.as_slice())
            .unwrap()
            .precommit()
            .unwrap()
            .revert()
            .unwrap();
        let after = head.bytes.bytes();
        let last = fixtures::texts_of(&bytes).last().unwrap().as_ptr() as usize - bytes.as_ptr() as usize;
        let end = last + fixtures::texts_of(&bytes).last().unwrap().len();
        assert!(after[..end] == bytes[..end]);
    }
}
