//! A loss of power or a failing disk at every moment of every change leaves the old VG or the new one.

use std::sync::Arc;

use lvm_meta::testing::{CrashDisks, CrashPoint, Faults};
use lvm_meta::{
    Disk, Error, MdaSet, MemDisk, Vg, blank_area, erase_pv, make_pv, orphan_pv, scan, set_pv_used,
};

use crate::support::{add_lv, add_pv, blank, changed, commit, create, layout, open, pv_id, read, read_vg};

/// Disks with a VG of PVs with these numbers of metadata areas, and that VG.
fn with_vg(mda_counts: &[u8]) -> (CrashDisks, Vg) {
    let crash = CrashDisks::new(blank(mda_counts.len()));
    let vg = create(&crash.disks(), mda_counts).unwrap();
    (CrashDisks::new(crash.durable_images()), vg)
}

/// Insists that disks hold one of two VGs, and that a next writer can go on from there.
#[track_caller]
fn check_old_or_new(point: &CrashPoint, disks: &[Arc<dyn Disk>], old: &Vg, new: &Vg) {
    let found = read_vg(disks).unwrap_or_else(|| panic!("{point}: no VG"));
    assert_eq!(found.ambiguous, None, "{point}");
    let vg = found
        .vg
        .as_ref()
        .unwrap_or_else(|error| panic!("{point}: {error}"));
    assert!(vg == old || vg == new, "{point}: sequence number {}", vg.seqno());
    let next = changed(vg, |vg| vg.set_tags(&["next"]).map(|_| ()).unwrap());
    commit(&mut open(disks, &found), &next).unwrap_or_else(|error| panic!("{point}: {error}"));
    let found = read_vg(disks).unwrap();
    assert_eq!(found.vg.unwrap(), next, "{point}");
    assert_eq!(found.ambiguous, None, "{point}");
}

/// Commits several changes in a row, the ring's end among them, with a crash at each moment of each.
fn check_commits(mda_counts: &[u8]) {
    let (mut crash, mut old) = with_vg(mda_counts);
    for number in 0..if mda_counts.len() > 1 { 3 } else { 12 } {
        let disks = crash.disks();
        let new = changed(&old, |vg| {
            if vg.lv_count() == 0 {
                (0..15).for_each(|number| add_lv(vg, number, 1));
            } else {
                vg.set_tags(&[format!("change{number}")]).map(|_| ()).unwrap();
            }
        });
        commit(&mut open(&disks, &read_vg(&disks).unwrap()), &new).unwrap();
        crash.each_crash(|point, disks| check_old_or_new(point, &disks, &old, &new));
        let durable = crash.durable_images();
        assert_eq!(durable, crash.images(), "a commit that returned is durable");
        (crash, old) = (CrashDisks::new(durable), new);
    }
    assert_eq!(read_vg(&crash.disks()).unwrap().vg.unwrap(), old);
}

#[test]
fn a_commit_to_one_area_cut_anywhere_leaves_the_old_or_the_new_vg() {
    check_commits(&[1]);
}

#[test]
fn a_commit_to_two_areas_of_one_pv_cut_anywhere_leaves_the_old_or_the_new_vg() {
    check_commits(&[2]);
}

#[test]
fn a_commit_to_six_areas_on_four_pvs_cut_anywhere_leaves_the_old_or_the_new_vg() {
    check_commits(&[2, 2, 0, 2]);
}

#[test]
fn a_text_precommitted_and_left_is_no_ones_until_the_next_commit_clears_it() {
    let (crash, old) = with_vg(&[2, 1]);
    let disks = crash.disks();
    let lost = changed(&old, |vg| add_lv(vg, 1, 3));
    let text = lost.print_raw(&crate::support::provenance());
    drop(
        open(&disks, &read_vg(&disks).unwrap())
            .write(&text)
            .unwrap()
            .precommit()
            .unwrap(),
    );
    let found = read_vg(&disks).unwrap();
    assert_eq!(found.vg.as_ref().unwrap(), &old);
    let precommitted = |disks: &[Arc<dyn Disk>]| -> Vec<u64> {
        let mdas = disks.iter().flat_map(|disk| scan(&**disk).unwrap().unwrap().mdas);
        mdas.map(|mda| mda.header.unwrap().precommitted.size).collect()
    };
    assert_eq!(precommitted(&disks), [u64::try_from(text.len()).unwrap(); 3]);
    commit(&mut open(&disks, &found), &changed(&old, |vg| add_lv(vg, 2, 1))).unwrap();
    assert_eq!(precommitted(&disks), [0; 3]);
    assert_eq!(read_vg(&disks).unwrap().vg.unwrap().lv_count(), 1);
}

/// The bytes that slot 1 of each area names.
fn precommitted_texts(disks: &[Arc<dyn Disk>]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for disk in disks {
        for mda in scan(&**disk).unwrap().unwrap().mdas {
            let header = mda.header.unwrap();
            let slot = header.precommitted;
            if slot.size > 0 {
                let mut text = vec![0; usize::try_from(slot.size).unwrap()];
                let first = usize::try_from(header.size - slot.offset)
                    .unwrap()
                    .min(text.len());
                disk.read_at(header.start + slot.offset, &mut text[..first])
                    .unwrap();
                disk.read_at(header.start + 512, &mut text[first..]).unwrap();
                texts.push(text);
            }
        }
    }
    texts
}

#[test]
fn what_a_header_names_was_durable_before_it() {
    let (crash, old) = with_vg(&[1, 2]);
    let disks = crash.disks();
    let new = changed(&old, |vg| (0..15).for_each(|number| add_lv(vg, number, 1)));
    commit(&mut open(&disks, &read_vg(&disks).unwrap()), &new).unwrap();
    let text = new.print_raw(&crate::support::provenance());
    let mut named = 0;
    crash.each_crash(|point, disks| {
        for found in precommitted_texts(&disks) {
            assert!(found == text, "{point}");
            named += 1;
        }
    });
    assert!(named > 20, "{named}");
}

#[test]
fn a_revert_cut_anywhere_leaves_the_old_vg() {
    let (crash, old) = with_vg(&[2, 1]);
    let disks = crash.disks();
    let new = changed(&old, |vg| add_lv(vg, 1, 3));
    let mut set = open(&disks, &read_vg(&disks).unwrap());
    set.write(&new.print_raw(&crate::support::provenance()))
        .unwrap()
        .precommit()
        .unwrap()
        .revert()
        .unwrap();
    crash.each_crash(|point, disks| check_old_or_new(point, &disks, &old, &old));
    commit(&mut set, &new).unwrap();
    assert_eq!(read_vg(&disks).unwrap().vg.unwrap(), new);
}

#[test]
fn making_a_pv_cut_anywhere_leaves_no_pv_or_the_pv() {
    let crash = CrashDisks::new(blank(1));
    make_pv(&*crash.disks()[0], pv_id(1), &layout(2)).unwrap();
    let mut seen = [0, 0];
    crash.each_crash(|point, disks| {
        match scan(&*disks[0]).unwrap_or_else(|error| panic!("{point}: {error}")) {
            None => seen[0] += 1,
            Some(pv) => {
                assert_eq!(pv.header.id, pv_id(1), "{point}");
                assert!(
                    pv.mdas
                        .iter()
                        .all(|mda| mda.header.as_ref().is_ok_and(|mda| mda.committed.is_empty())),
                    "{point}"
                );
                seen[1] += 1;
            }
        }
    });
    assert!(seen[0] > 5 && seen[1] > 0, "{seen:?}");
    assert_eq!(crash.durable_images(), crash.images());
}

#[test]
fn making_a_pv_of_an_old_one_cut_anywhere_leaves_the_old_one_whole_or_none_or_the_new_one() {
    for mda_count in [1, 2] {
        let (crash, old) = with_vg(&[mda_count]);
        make_pv(&*crash.disks()[0], pv_id(7), &layout(1)).unwrap();
        crash.each_crash(|point, disks| match scan(&*disks[0]).unwrap() {
            Some(pv) if pv.header.id == pv_id(0) => {
                let found = read_vg(&disks).unwrap_or_else(|| panic!("{point}: a label without its VG"));
                assert_eq!(found.vg.unwrap(), old, "{point}");
            }
            Some(pv) => assert_eq!(pv.header.id, pv_id(7), "{point}"),
            None => {}
        });
    }
}

#[test]
fn creating_a_vg_cut_anywhere_leaves_no_vg_or_the_vg() {
    let blank_pvs = CrashDisks::new(blank(3));
    for (number, disk) in (0u8..).zip(blank_pvs.disks()) {
        make_pv(&*disk, pv_id(number), &layout(1)).unwrap();
    }
    let crash = CrashDisks::new(blank_pvs.durable_images());
    let mut vg = crate::support::new_vg("vg0");
    let mut set = MdaSet::new();
    for (number, disk) in (0u8..).zip(&crash.disks()) {
        set.open(disk, &layout(1).metadata_areas).unwrap();
        add_pv(&mut vg, number, &layout(1));
    }
    vg.bump_seqno().unwrap();
    commit(&mut set, &vg).unwrap();
    crash
        .disks()
        .iter()
        .for_each(|disk| set_pv_used(&**disk, true).unwrap());
    crash.each_crash(|point, disks| {
        let found = read(&disks);
        match found.vgs.first() {
            None => assert_eq!(found.orphans.len(), 3, "{point}"),
            Some(_) => check_old_or_new(point, &disks, &vg, &vg),
        }
    });
}

#[test]
fn adding_a_pv_cut_anywhere_leaves_the_old_or_the_new_vg() {
    let (first, old) = with_vg(&[1, 0]);
    let mut images = first.durable_images();
    images.extend(blank(1));
    let crash = CrashDisks::new(images);
    let disks = crash.disks();
    let mut set = open(&disks, &read_vg(&disks).unwrap());
    make_pv(&*disks[2], pv_id(2), &layout(2)).unwrap();
    set.open(&disks[2], &layout(2).metadata_areas).unwrap();
    let new = changed(&old, |vg| add_pv(vg, 2, &layout(2)));
    commit(&mut set, &new).unwrap();
    set_pv_used(&*disks[2], true).unwrap();
    crash.each_crash(|point, disks| check_old_or_new(point, &disks, &old, &new));
}

fn check_removal(take_off: fn(&dyn Disk) -> Result<(), Error>) {
    let (crash, old) = with_vg(&[1, 2]);
    let disks = crash.disks();
    let mut set = open(&disks, &read_vg(&disks).unwrap());
    let new = changed(&old, |vg| vg.remove_pv(pv_id(1)).unwrap());
    set.remove(&disks[1]);
    commit(&mut set, &new).unwrap();
    take_off(&*disks[1]).unwrap();
    crash.each_crash(|point, disks| check_old_or_new(point, &disks, &old, &new));
    assert_eq!(crash.durable_images(), crash.images());
}

#[test]
fn removing_a_pv_and_erasing_it_cut_anywhere_leaves_the_old_or_the_new_vg() {
    check_removal(erase_pv);
}

#[test]
fn removing_a_pv_and_making_it_an_orphan_cut_anywhere_leaves_the_old_or_the_new_vg() {
    check_removal(orphan_pv);
}

#[test]
fn mending_a_broken_area_cut_anywhere_leaves_the_vg_of_the_other() {
    let (crash, old) = with_vg(&[1, 1]);
    crash.disks()[0].write_at(4096, &[0xff; 512]).unwrap();
    let crash = CrashDisks::new(crash.images());
    let disks = crash.disks();
    let area = layout(1).metadata_areas[0];
    assert!(blank_area(&*disks[0], area, 0..0).unwrap());
    let new = changed(&old, |_| ());
    commit(&mut open(&disks, &read_vg(&disks).unwrap()), &new).unwrap();
    crash.each_crash(|point, disks| check_old_or_new(point, &disks, &old, &new));
    assert_eq!(read_vg(&crash.disks()).unwrap().problems, []);
}

#[test]
fn erasing_a_pv_cut_anywhere_leaves_the_vg_or_none() {
    let (crash, old) = with_vg(&[2]);
    erase_pv(&*crash.disks()[0]).unwrap();
    crash.each_crash(|point, disks| match scan(&*disks[0]).unwrap() {
        Some(_) => check_old_or_new(point, &disks, &old, &old),
        None => assert!(read_vg(&disks).is_none(), "{point}"),
    });
    let gone: Arc<dyn Disk> = Arc::new(MemDisk::new(crash.durable_images().remove(0)));
    assert!(scan(&*gone).unwrap().is_none());
    // What is there of the old areas must not come back with a new PV.
    make_pv(&*gone, pv_id(9), &layout(2)).unwrap();
    assert!(read_vg(&[gone]).is_none());
}

#[test]
fn the_disks_of_a_vg_become_orphans_one_by_one_and_the_vg_goes_with_the_last() {
    let (crash, old) = with_vg(&[1, 2]);
    crash.disks().iter().for_each(|disk| orphan_pv(&**disk).unwrap());
    crash.each_crash(|point, disks| {
        let found = read(&disks);
        match found.vgs.first() {
            // Its text still lists both, so a next try finds both.
            Some(vg) => {
                assert_eq!(vg.vg.as_ref().unwrap(), &old, "{point}");
                assert!(vg.pvs.iter().all(|pv| pv.scan.is_some()), "{point}");
            }
            None => assert_eq!(found.orphans.len(), 2, "{point}"),
        }
    });
    let found = read(&crash.disks());
    assert!(found.vgs.is_empty());
    for orphan in found.orphans {
        let scan = orphan.scan.unwrap();
        assert!(!scan.header.is_used());
        assert!(
            scan.mdas
                .iter()
                .all(|mda| mda.header.as_ref().unwrap().committed.size == 0)
        );
    }
}

#[test]
fn a_fault_at_any_operation_of_a_commit_stops_the_handle_and_reopening_goes_on() {
    let (crash, old) = with_vg(&[2, 1]);
    let images = crash.durable_images();
    let new = changed(&old, |vg| add_lv(vg, 1, 3));
    for number in 0.. {
        let bare: Vec<Arc<dyn Disk>> = images
            .iter()
            .map(|image| -> Arc<dyn Disk> { Arc::new(MemDisk::new(image.clone())) })
            .collect();
        let found = read_vg(&bare).unwrap();
        let faults = Faults::at(number);
        let disks: Vec<_> = bare.iter().map(|disk| faults.wrap(disk.clone())).collect();
        let mut set = open(&disks, &found);
        let result = commit(&mut set, &new);
        if !faults.has_struck() {
            assert!(number > 15, "{number} operations");
            result.unwrap();
            return;
        }
        let error = result.unwrap_err();
        let Error::Io { op, .. } = error else {
            panic!("operation {number}: {error}")
        };
        let again = commit(&mut set, &new);
        if op == lvm_meta::IoOp::Read {
            // Nothing was written, so the same handle may try again.
            again.unwrap();
        } else {
            assert!(
                matches!(again, Err(Error::Poisoned)),
                "operation {number}: {again:?}"
            );
        }
        let found = read_vg(&bare).unwrap();
        let vg = found.vg.as_ref().unwrap();
        assert!(*vg == old || *vg == new, "operation {number}");
        assert_eq!(found.ambiguous, None, "operation {number}");
        let next = changed(vg, |vg| add_lv(vg, 2, 1));
        commit(&mut open(&bare, &found), &next).unwrap();
        assert_eq!(read_vg(&bare).unwrap().vg.unwrap(), next, "operation {number}");
    }
}

#[test]
fn a_pv_that_disappears_before_any_operation_of_a_commit_leaves_the_old_or_the_new_vg() {
    let (crash, old) = with_vg(&[2, 1]);
    let images = crash.durable_images();
    let new = changed(&old, |vg| add_lv(vg, 1, 3));
    let copy = |image: &Vec<u8>| -> Arc<dyn Disk> { Arc::new(MemDisk::new(image.clone())) };
    for lost in 0..2 {
        for number in 0.. {
            let bare: Vec<Arc<dyn Disk>> = images.iter().map(copy).collect();
            let faults = Faults::gone_at(number);
            let mut disks = bare.clone();
            disks[lost] = faults.wrap(bare[lost].clone());
            let mut set = open(&disks, &read_vg(&bare).unwrap());
            let result = commit(&mut set, &new);
            if !faults.has_struck() {
                assert!(number > 6, "{number} operations");
                result.unwrap();
                break;
            }
            let context = format!("PV {lost} gone at its operation {number}: {result:?}");
            assert!(result.is_err(), "{context}");
            // Without it, the VG is what the other PV says, and misses one.
            let alone = read_vg(&bare[1 - lost..2 - lost]).unwrap();
            let vg = alone.vg.as_ref().unwrap();
            assert!(*vg == old || *vg == new, "{context}");
            assert_eq!(
                alone.pvs.iter().filter(|pv| pv.disk.is_none()).count(),
                1,
                "{context}"
            );
            // With it back, a next writer goes on from what is read.
            let found = read_vg(&bare).unwrap();
            let vg = found.vg.as_ref().unwrap();
            assert!(
                (*vg == old || *vg == new) && found.ambiguous.is_none(),
                "{context}"
            );
            let next = changed(vg, |vg| add_lv(vg, 2, 1));
            commit(&mut open(&bare, &found), &next).unwrap();
            let mended = read_vg(&bare).unwrap();
            assert_eq!((mended.vg.unwrap(), mended.problems), (next, vec![]), "{context}");
        }
    }
}

#[test]
fn a_failed_revert_stops_the_handle_and_leaves_the_old_vg() {
    let (crash, old) = with_vg(&[1, 1]);
    let disks = crash.disks();
    let found = read_vg(&disks).unwrap();
    let counted = Faults::never();
    let count = |faults: &Arc<Faults>, images: Vec<Vec<u8>>| {
        let bare: Vec<Arc<dyn Disk>> = images
            .into_iter()
            .map(|image| -> Arc<dyn Disk> { Arc::new(MemDisk::new(image)) })
            .collect();
        let disks: Vec<_> = bare.iter().map(|disk| faults.wrap(disk.clone())).collect();
        (bare, open(&disks, &found))
    };
    let new = changed(&old, |vg| add_lv(vg, 1, 3));
    let text = new.print_raw(&crate::support::provenance());
    let (_, mut set) = count(&counted, crash.images());
    let precommitted = set.write(&text).unwrap().precommit().unwrap();
    let before = counted.count();
    precommitted.revert().unwrap();
    for number in before..counted.count() {
        let (bare, mut set) = count(&Faults::at(number), crash.images());
        assert!(set.write(&text).unwrap().precommit().unwrap().revert().is_err());
        assert!(matches!(set.write(&text).map(|_| ()), Err(Error::Poisoned)));
        assert_eq!(read_vg(&bare).unwrap().vg.unwrap(), old);
    }
}

#[test]
fn a_fault_at_any_operation_on_a_pv_is_told_and_trying_again_works() {
    type Work = fn(&dyn Disk) -> Result<(), Error>;
    let (crash, _) = with_vg(&[2]);
    let works: [Work; 4] = [
        |disk| make_pv(disk, pv_id(3), &layout(2)),
        |disk| set_pv_used(disk, false),
        orphan_pv,
        erase_pv,
    ];
    for work in works {
        for number in 0.. {
            let bare: Arc<dyn Disk> = Arc::new(MemDisk::new(crash.images().remove(0)));
            let faults = Faults::at(number);
            let result = work(&*faults.wrap(bare.clone()));
            if !faults.has_struck() {
                result.unwrap();
                break;
            }
            assert!(
                matches!(result, Err(Error::Io { .. })),
                "operation {number}: {result:?}"
            );
            work(&*bare).unwrap();
        }
    }
}

#[test]
fn of_two_writers_the_second_finds_a_conflict_and_writes_nothing() {
    let (crash, old) = with_vg(&[2, 1]);
    let disks = crash.disks();
    let found = read_vg(&disks).unwrap();
    let (mut first, mut second) = (open(&disks, &found), open(&disks, &found));
    assert!(second.unchanged().unwrap());
    commit(&mut first, &changed(&old, |vg| add_lv(vg, 1, 1))).unwrap();
    assert!(first.unchanged().unwrap() && !second.unchanged().unwrap());
    let before = crash.images();
    let late = commit(&mut second, &changed(&old, |vg| add_lv(vg, 2, 1)));
    assert!(matches!(late, Err(Error::Conflict)), "{late:?}");
    assert_eq!(crash.images(), before);
}

#[test]
fn a_text_that_does_not_fit_every_area_is_written_to_none() {
    let (crash, old) = with_vg(&[1, 2]);
    let disks = crash.disks();
    let mut set = open(&disks, &read_vg(&disks).unwrap());
    let tags: Vec<String> = (0..40)
        .map(|number| format!("{number}{}", "x".repeat(1000)))
        .collect();
    let large = changed(&old, |vg| vg.set_tags(&tags).map(|_| ()).unwrap());
    let before = crash.images();
    let result = commit(&mut set, &large);
    // (61440 - 512) / 2 - 512
    let expected = matches!(result, Err(Error::TextTooLarge { capacity: 29_952, .. }));
    assert!(expected && set.capacity() == 29_952, "{result:?}");
    assert_eq!(crash.images(), before);
    let none = MdaSet::new().write(b"vg0 {}\0").map(|_| ());
    assert!(matches!(none, Err(Error::NoMetadataArea)));
}
