//! Which of a VG's copies counts, and what is told of the others.

use std::sync::Arc;

use lvm_meta::testing::CrashDisks;
use lvm_meta::{
    Ambiguity, CopyState, Disk, Error, FoundVg, MdaSet, Severity, Vg, erase_pv, make_pv, scan, set_pv_used,
};

use crate::support::{
    DISK_SIZE, add_lv, add_pv, blank, changed, commit, create, layout, new_vg, open, provenance, pv_id, read,
    read_vg,
};

fn disks_with_vg(mda_counts: &[u8]) -> (Vec<Arc<dyn Disk>>, Vg) {
    let disks = CrashDisks::new(blank(mda_counts.len())).disks();
    let vg = create(&disks, mda_counts).unwrap();
    (disks, vg)
}

/// Commits to the areas of one disk only, as a broken tool might.
fn commit_to(disk: &Arc<dyn Disk>, vg: &Vg) {
    let mut set = MdaSet::new();
    set.open(disk, &scan(&**disk).unwrap().unwrap().header.metadata_areas)
        .unwrap();
    commit(&mut set, vg).unwrap();
}

fn states(found: &FoundVg) -> Vec<(CopyState, Option<u32>)> {
    let scans = found.pvs.iter().filter_map(|pv| pv.scan.as_ref());
    scans
        .flat_map(|scan| &scan.mdas)
        .map(|mda| found.copy_state(mda))
        .collect()
}

fn flip(disk: &Arc<dyn Disk>, at: u64) {
    let mut byte = [0];
    disk.read_at(at, &mut byte).unwrap();
    disk.write_at(at, &[byte[0] ^ 1]).unwrap();
}

#[test]
fn the_copy_with_the_highest_sequence_number_counts_and_the_next_commit_mends_the_others() {
    let (disks, old) = disks_with_vg(&[1, 1, 0]);
    let new = changed(&old, |vg| add_lv(vg, 1, 2));
    commit_to(&disks[1], &new);
    let found = read_vg(&disks).unwrap();
    assert_eq!(found.vg.as_ref().unwrap(), &new);
    assert_eq!(
        states(&found),
        [(CopyState::Old, Some(1)), (CopyState::Current, Some(2))]
    );
    assert_eq!(found.ambiguous, None);
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    assert_eq!(found.problems[0].severity, Severity::Warning);
    commit(&mut open(&disks, &found), &changed(&new, |_| ())).unwrap();
    let found = read_vg(&disks).unwrap();
    assert_eq!(states(&found), [(CopyState::Current, Some(3)); 2]);
    assert_eq!(found.problems, []);
}

#[test]
fn differing_copies_with_one_sequence_number_are_nobodys_to_choose_from() {
    let (disks, old) = disks_with_vg(&[1, 1, 1]);
    let (one, other) = (
        changed(&old, |vg| add_lv(vg, 1, 2)),
        changed(&old, |vg| add_lv(vg, 2, 3)),
    );
    commit_to(&disks[0], &one);
    commit_to(&disks[1], &other);
    commit_to(&disks[2], &other);
    let found = read_vg(&disks).unwrap();
    assert_eq!(found.ambiguous, Some(Ambiguity::CopiesDiffer(2)));
    assert_eq!(found.vg.as_ref().unwrap(), &one, "LVM takes the first, too");
    assert_eq!(
        states(&found),
        [
            (CopyState::Current, Some(2)),
            (CopyState::Bad, Some(2)),
            (CopyState::Bad, Some(2))
        ]
    );
    // A later generation settles it.
    commit_to(&disks[0], &changed(&one, |_| ()));
    let found = read_vg(&disks).unwrap();
    assert_eq!((&found.ambiguous, found.seqno()), (&None, Some(3)));
}

#[test]
fn a_copy_with_a_wrong_checksum_is_bad_and_the_next_commit_mends_it() {
    let (disks, vg) = disks_with_vg(&[2]);
    flip(&disks[0], 4096 + 512 + 100);
    let found = read_vg(&disks).unwrap();
    assert_eq!(
        states(&found),
        [(CopyState::Bad, None), (CopyState::Current, Some(1))]
    );
    assert_eq!(
        (found.vg.as_ref().unwrap(), found.problems[0].severity),
        (&vg, Severity::Error)
    );
    assert!(
        found.problems[0]
            .what
            .starts_with("corrupt metadata text at byte 4608: checksum"),
        "{}",
        found.problems[0]
    );
    commit(&mut open(&disks, &found), &changed(&vg, |_| ())).unwrap();
    assert_eq!(
        states(&read_vg(&disks).unwrap()),
        [(CopyState::Current, Some(2)); 2]
    );
}

#[test]
fn an_area_with_a_broken_header_is_left_alone() {
    let (disks, vg) = disks_with_vg(&[1, 2]);
    flip(&disks[1], 4096 + 50);
    let mut before = vec![0; 60 << 10];
    disks[1].read_at(4096, &mut before).unwrap();
    let found = read_vg(&disks).unwrap();
    assert_eq!(
        states(&found),
        [
            (CopyState::Current, Some(1)),
            (CopyState::Bad, None),
            (CopyState::Current, Some(1))
        ]
    );
    commit(&mut open(&disks, &found), &changed(&vg, |_| ())).unwrap();
    let mut after = vec![0; 60 << 10];
    disks[1].read_at(4096, &mut after).unwrap();
    assert!(before == after);
}

#[test]
fn a_good_checksum_over_what_cannot_be_read_stops_changes() {
    let (disks, _) = disks_with_vg(&[1, 1]);
    let mut set = MdaSet::new();
    set.open(&disks[1], &layout(1).metadata_areas).unwrap();
    set.write(b"vg0 {\nfrom = \"a newer LVM\"\n}\n\0")
        .unwrap()
        .precommit()
        .unwrap()
        .commit()
        .unwrap();
    let found = read_vg(&disks).unwrap();
    assert!(found.vg.is_ok() && matches!(found.ambiguous, Some(Ambiguity::UnreadableCopy(_))));
    assert_eq!(
        states(&found),
        [(CopyState::Current, Some(1)), (CopyState::Bad, None)]
    );
    // Where no copy can be read, the disks are still the VG's.
    let found = read(&disks[1..]);
    assert_eq!((found.vgs.len(), found.orphans.len()), (1, 0));
    assert!(matches!(found.vgs[0].vg, Err(Error::Corrupt { .. })));
    assert_eq!((found.vgs[0].name.as_str(), found.vgs[0].pvs.len()), ("vg0", 1));
}

#[test]
fn ignored_areas_are_neither_read_nor_written_and_stay_so() {
    let (disks, vg) = disks_with_vg(&[1, 1]);
    set_ignored(&disks[1]);
    let found = read_vg(&disks).unwrap();
    assert_eq!(
        states(&found),
        [(CopyState::Current, Some(1)), (CopyState::Ignored, None)]
    );
    assert_eq!(found.problems, []);
    let image = |disk: &Arc<dyn Disk>| {
        let mut bytes = vec![0; DISK_SIZE];
        disk.read_at(0, &mut bytes).unwrap();
        bytes
    };
    let before = image(&disks[1]);
    let mut set = open(&disks, &found);
    set.open(&disks[1], &layout(1).metadata_areas).unwrap();
    commit(&mut set, &changed(&vg, |_| ())).unwrap();
    assert!(image(&disks[1]) == before);
    lvm_meta::orphan_pv(&*disks[1]).unwrap();
    let header = scan(&*disks[1]).unwrap().unwrap().mdas.remove(0).header.unwrap();
    assert!(header.is_ignored() && header.committed.size == 0);
}

/// Sets bit 0 of slot 0's flags and the header's checksum.
pub(crate) fn set_ignored(disk: &Arc<dyn Disk>) {
    let mut sector = [0; 512];
    disk.read_at(4096, &mut sector).unwrap();
    sector[60] |= 1;
    let mut sum = crc32fast::Hasher::new_with_initial(0x0a68_5930);
    sum.update(&sector[4..]);
    sector[..4].copy_from_slice(&(!sum.finalize()).to_le_bytes());
    disk.write_at(4096, &sector).unwrap();
}

#[test]
fn missing_pvs_and_pvs_without_areas_are_known_by_the_text_of_others() {
    let (disks, _) = disks_with_vg(&[1, 0, 1]);
    let found = read_vg(&disks[..2]).unwrap();
    assert_eq!(
        found.pvs.iter().map(|pv| pv.disk).collect::<Vec<_>>(),
        [Some(0), Some(1), None]
    );
    let missing: Vec<_> = found
        .problems
        .iter()
        .filter(|problem| problem.what.ends_with("is missing"))
        .collect();
    assert_eq!(
        (missing.len(), missing[0].severity, missing[0].place.disk),
        (1, Severity::Error, None)
    );
    // Alone, a PV without an area belongs to nobody that is known, but says that it is in use.
    let alone = read(&disks[1..2]);
    assert_eq!((alone.vgs.len(), alone.orphans.len()), (0, 1));
    assert!(alone.orphans[0].scan.as_ref().unwrap().header.is_used());
}

#[test]
fn a_pv_on_two_devices_or_in_two_vgs_stops_changes() {
    let (mut disks, _) = disks_with_vg(&[1, 1]);
    disks.push(disks[1].clone());
    let found = read_vg(&disks).unwrap();
    assert!(matches!(found.ambiguous, Some(Ambiguity::PvOnTwoDevices(_))));

    let (disks, _) = disks_with_vg(&[1]);
    let thief = CrashDisks::new(blank(1)).disks().remove(0);
    make_pv(&*thief, pv_id(5), &layout(1)).unwrap();
    let mut vg = Vg::parse(
        String::from_utf8(new_vg("vg1").print_raw(&provenance()))
            .unwrap()
            .replace("ababab", "bababa")
            .as_bytes(),
    )
    .unwrap();
    add_pv(&mut vg, 5, &layout(1));
    add_pv(&mut vg, 0, &layout(1));
    vg.bump_seqno().unwrap();
    commit_to(&thief, &vg);
    let found = read(&[disks[0].clone(), thief]);
    assert_eq!(
        found.vgs.iter().map(|vg| vg.name.as_str()).collect::<Vec<_>>(),
        ["vg0", "vg1"]
    );
    assert!(
        found
            .vgs
            .iter()
            .all(|vg| matches!(vg.ambiguous, Some(Ambiguity::PvInTwoVgs(_))))
    );
    assert_eq!(
        found.vgs[0].pvs[0].disk,
        Some(0),
        "the VG whose text the disk holds has the better claim"
    );
    assert_eq!(found.vgs[1].pvs[1].disk, None);
}

#[test]
fn a_pv_that_left_is_told_of_and_not_taken_in() {
    let (disks, old) = disks_with_vg(&[1, 1]);
    let new = changed(&old, |vg| vg.remove_pv(pv_id(1)).unwrap());
    commit_to(&disks[0], &new);
    let found = read(&disks);
    assert_eq!((found.vgs[0].pvs.len(), found.orphans.len()), (1, 1));
    let warned = found.vgs[0]
        .problems
        .iter()
        .any(|problem| problem.what.contains("holds old metadata"));
    assert!(warned, "{:?}", found.vgs[0].problems);
    erase_pv(&*disks[1]).unwrap();
    assert_eq!(read_vg(&disks).unwrap().problems, []);
}

#[test]
fn a_label_that_does_not_say_used_is_told_of() {
    let (disks, _) = disks_with_vg(&[1]);
    set_pv_used(&*disks[0], false).unwrap();
    let found = read_vg(&disks).unwrap();
    assert_eq!((found.problems.len(), found.problems[0].place.at), (1, 512));
}

#[test]
fn extents_past_the_device_or_over_an_area_are_told_of() {
    for (more, expected) in [(1, "needs"), (0, "metadata area among its extents")] {
        let disks = CrashDisks::new(blank(1)).disks();
        let mut layout = layout(if more > 0 { 1 } else { 2 });
        make_pv(&*disks[0], pv_id(0), &layout).unwrap();
        layout.pe_count = crate::support::layout(1)
            .pe_count
            .checked_add(lvm_meta::Extents::new(more))
            .unwrap();
        layout.device_size += 1 << 20;
        let mut vg = new_vg("vg0");
        add_pv(&mut vg, 0, &layout);
        vg.bump_seqno().unwrap();
        commit_to(&disks[0], &vg);
        set_pv_used(&*disks[0], true).unwrap();
        let found = read_vg(&disks).unwrap();
        let is_told = found
            .problems
            .iter()
            .any(|problem| problem.what.contains(expected));
        assert!(is_told, "{:?}", found.problems);
        assert_eq!(found.too_small().len(), usize::try_from(more).unwrap());
        assert_eq!(
            matches!(found.ambiguous, Some(Ambiguity::Extents(_))),
            more == 0,
            "{:?}",
            found.ambiguous
        );
    }
}

#[test]
fn what_a_newer_lvm_put_behind_the_pv_header_stays() {
    let (disks, _) = disks_with_vg(&[1]);
    let mut sector = [0; 512];
    disks[0].read_at(512, &mut sector).unwrap();
    // The extension lies behind one metadata area at 136; version 3 might have more behind its bootloader areas.
    assert_eq!(sector[136], 2);
    sector[136] = 3;
    sector[140] = 0b101;
    sector[160..168].copy_from_slice(b"tomorrow");
    let mut sum = crc32fast::Hasher::new_with_initial(0x0a68_5930);
    sum.update(&sector[20..]);
    sector[16..20].copy_from_slice(&(!sum.finalize()).to_le_bytes());
    disks[0].write_at(512, &sector).unwrap();
    set_pv_used(&*disks[0], false).unwrap();
    let mut after = [0; 512];
    disks[0].read_at(512, &mut after).unwrap();
    assert_eq!(
        (after[136], after[140], &after[160..168]),
        (3, 0b100, &b"tomorrow"[..])
    );
    set_pv_used(&*disks[0], true).unwrap();
    disks[0].read_at(512, &mut after).unwrap();
    assert_eq!(after, sector);
}

/// A VG of this name on one disk, with the id of all others here.
fn vg_on(disk: &Arc<dyn Disk>, name: &str, pv: u8, seqno: u32) -> Vg {
    make_pv(&**disk, pv_id(pv), &layout(1)).unwrap();
    let mut vg = new_vg(name);
    add_pv(&mut vg, pv, &layout(1));
    while vg.seqno() < seqno {
        vg.bump_seqno().unwrap();
    }
    commit_to(disk, &vg);
    set_pv_used(&**disk, true).unwrap();
    vg
}

fn names(assembly: &lvm_meta::Assembly) -> Vec<&str> {
    assembly.vgs.iter().map(|found| found.name.as_str()).collect()
}

#[test]
fn a_copied_disk_that_was_renamed_hides_no_vg_and_neither_is_to_be_changed() {
    for (first, second) in [(2, 7), (7, 2), (3, 3)] {
        // The same PV on both, and another one as after pvchange --uuid.
        for pv in [0, 1] {
            let disks = CrashDisks::new(blank(2)).disks();
            vg_on(&disks[0], "vg0", 0, first);
            vg_on(&disks[1], "copy", pv, second);
            let found = read(&disks);
            assert_eq!(
                names(&found),
                ["vg0", "copy"],
                "seqno {first} and {second}, PV {pv}"
            );
            assert_eq!(found.orphans.len(), 0);
            for (at, vg) in found.vgs.iter().enumerate() {
                let is_told = matches!(vg.ambiguous, Some(Ambiguity::IdOfTwoVgs { .. }));
                assert!(is_told, "{:?}", vg.ambiguous);
                assert!(
                    vg.problems
                        .iter()
                        .any(|problem| problem.severity == Severity::Error)
                );
                assert_eq!(vg.pvs[0].disk, Some(at), "each has its own disk");
            }
        }
    }
}

#[test]
fn two_whole_vgs_of_one_id_and_name_without_a_common_pv_are_two() {
    let disks = CrashDisks::new(blank(2)).disks();
    vg_on(&disks[0], "vg0", 0, 2);
    vg_on(&disks[1], "vg0", 1, 5);
    let found = read(&disks);
    assert_eq!(names(&found), ["vg0", "vg0"]);
    assert!(found.vgs.iter().all(|vg| vg.ambiguous.is_some()));
}

#[test]
fn a_rename_that_did_not_reach_all_disks_is_one_vg() {
    let (disks, old) = disks_with_vg(&[1, 1]);
    let text = String::from_utf8(old.print_raw(&provenance())).unwrap();
    let mut new = Vg::parse(text.replacen("vg0", "renamed", 1).as_bytes()).unwrap();
    new.bump_seqno().unwrap();
    commit_to(&disks[1], &new);
    let found = read_vg(&disks).unwrap();
    assert_eq!((found.name.as_str(), &found.ambiguous), ("renamed", &None));
    assert_eq!(
        states(&found),
        [(CopyState::Old, Some(1)), (CopyState::Current, Some(2))]
    );
    // Nor are two when the disk with the old name is no longer the VG's.
    let new = changed(&new, |vg| vg.remove_pv(pv_id(0)).unwrap());
    commit_to(&disks[1], &new);
    let found = read(&disks);
    assert_eq!((names(&found), found.orphans.len()), (vec!["renamed"], 1));
    assert_eq!(found.vgs[0].ambiguous, None);
    assert!(found.vgs[0].problems[0].what.contains("holds old metadata"));
}

#[test]
fn two_vgs_of_one_name_are_told_of_and_may_be_changed() {
    let (mut disks, _) = disks_with_vg(&[1]);
    let other = CrashDisks::new(blank(1)).disks().remove(0);
    make_pv(&*other, pv_id(9), &layout(1)).unwrap();
    let text = String::from_utf8(new_vg("vg0").print_raw(&provenance())).unwrap();
    let mut vg = Vg::parse(text.replace("ababab", "bababa").as_bytes()).unwrap();
    add_pv(&mut vg, 9, &layout(1));
    vg.bump_seqno().unwrap();
    commit_to(&other, &vg);
    set_pv_used(&*other, true).unwrap();
    disks.push(other);
    let found = read(&disks);
    assert_eq!(names(&found), ["vg0", "vg0"]);
    for (vg, other) in found.vgs.iter().zip(found.vgs.iter().rev()) {
        assert_eq!(vg.ambiguous, None);
        let [problem] = &vg.problems[..] else {
            panic!("{:?}", vg.problems)
        };
        assert_eq!(problem.severity, Severity::Warning);
        assert!(
            problem.what.contains(&other.id.unwrap().to_string()),
            "{}",
            problem.what
        );
    }
}

#[test]
fn a_label_that_wipefs_erased_is_none() {
    let (disks, _) = disks_with_vg(&[1]);
    disks[0].write_at(512 + 24, &[0; 8]).unwrap();
    assert!(scan(&*disks[0]).unwrap().is_none());
    // A damaged one is reported.
    let (disks, _) = disks_with_vg(&[1]);
    flip(&disks[0], 512 + 24);
    assert!(matches!(scan(&*disks[0]), Err(Error::Corrupt { at: 528, .. })));
}
