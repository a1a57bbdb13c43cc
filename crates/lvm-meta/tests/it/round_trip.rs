//! Texts of the real LVM2 come back byte for byte.

use lvm_meta::{Provenance, Vg, check};

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
