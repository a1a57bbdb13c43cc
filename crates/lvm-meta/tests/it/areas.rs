//! Metadata areas that move with the end of their disk, and those that are put to use: cut anywhere, the VG is there.

use std::sync::Arc;

use lvm_meta::testing::CrashDisks;
use lvm_meta::{
    AreaMove, Disk, DiskArea, Error, ExtentSize, MakePv, MdaSet, Vg, fit_pv, make_pv, move_area, read_label,
    set_pv_used,
};

use crate::support::{
    DISK_SIZE, EXTENT, add_lv, add_pv, blank, changed, commit, new_vg, open, provenance, pv_id, read_vg,
};

const AREA: u64 = 60 << 10;
/// Bytes of the disks, of which the first [`DISK_SIZE`] are used.
const LARGER: usize = 5 << 19;

/// A PV on the first 2 MiB of a larger disk, and the VG on it.
fn on_part(areas: impl Fn(&mut Vec<DiskArea>)) -> (CrashDisks, Vg) {
    let crash = CrashDisks::new(vec![vec![0; LARGER]]);
    let disks = crash.disks();
    let mut layout = MakePv::new(
        u64::try_from(DISK_SIZE).unwrap(),
        ExtentSize::new(EXTENT).unwrap(),
    )
    .alignment(64 << 10)
    .mda_size(AREA)
    .mda_count(2)
    .layout()
    .unwrap();
    areas(&mut layout.metadata_areas);
    make_pv(&*disks[0], pv_id(0), &layout).unwrap();
    let mut set = MdaSet::new();
    set.open(&disks[0], &layout.metadata_areas).unwrap();
    let mut vg = new_vg("vg0");
    add_pv(&mut vg, 0, &layout);
    vg.bump_seqno().unwrap();
    commit(&mut set, &vg).unwrap();
    set_pv_used(&*disks[0], true).unwrap();
    (CrashDisks::new(crash.durable_images()), vg)
}

/// Fits the PV to its disk; what is new of the VG.
fn fit_to(disk: &dyn Disk, vg: &Vg, size: usize) -> (Vg, Option<AreaMove>) {
    let pv = &vg.pvs()[0];
    let fit = fit_pv(disk, vg.extent_size(), pv, u64::try_from(size).unwrap()).unwrap();
    let new = changed(vg, |vg| {
        assert!(vg.resize_pv(pv.id(), fit.dev_size, fit.pe_count).unwrap());
    });
    (new, fit.moved)
}

fn extents(vg: &Vg) -> std::ops::Range<u64> {
    let pv = &vg.pvs()[0];
    let start = pv.pe_start().to_bytes().unwrap();
    start..start + vg.extent_size().to_bytes(pv.pe_count()).unwrap()
}

/// Insists that the disk holds one of two VGs, whose extents are apart from every area that the label names.
#[track_caller]
fn check(point: &impl std::fmt::Display, disks: &[Arc<dyn Disk>], old: &Vg, new: &Vg) {
    let found = read_vg(disks).unwrap_or_else(|| panic!("{point}: no VG"));
    let vg = found.vg.as_ref().unwrap();
    assert!(vg == old || vg == new, "{point}");
    assert_eq!((&found.ambiguous, found.too_small().len()), (&None, 0), "{point}");
    let next = changed(vg, |vg| vg.set_tags(&["next"]).map(|_| ()).unwrap());
    commit(&mut open(disks, &found), &next).unwrap_or_else(|error| panic!("{point}: {error}"));
    assert_eq!(read_vg(disks).unwrap().vg.unwrap(), next, "{point}");
}

fn only_at_the_end(areas: &mut Vec<DiskArea>) {
    areas.remove(0);
}

#[test]
fn an_area_that_moves_before_growth_cut_anywhere_leaves_the_old_or_the_new_vg() {
    for layout in [|_: &mut Vec<DiskArea>| (), only_at_the_end] {
        let (crash, old) = on_part(layout);
        let disks = crash.disks();
        let (new, moved) = fit_to(&*disks[0], &old, LARGER);
        let moved = moved.unwrap();
        let text = old.print_raw(&provenance());
        move_area(&*disks[0], moved, extents(&old), &text).unwrap();
        let found = read_vg(&disks).unwrap();
        assert_eq!((&found.problems, found.vg.as_ref().unwrap()), (&Vec::new(), &old));
        commit(&mut open(&disks, &found), &new).unwrap();
        crash.each_crash(|point, disks| check(point, &disks, &old, &new));
        assert_eq!(new.pvs()[0].pe_count().get(), 38);
        // Nothing is left that looks like an area to who had the old place open.
        let mut sector = [1; 512];
        disks[0].read_at(moved.from.offset, &mut sector).unwrap();
        assert_eq!(sector, [0; 512]);
        // The repeated call changes nothing.
        let before = crash.images();
        move_area(&*disks[0], moved, extents(&old), &text).unwrap();
        assert_eq!(crash.images(), before);
    }
}

#[test]
fn an_area_that_moves_after_a_pv_shrank_cut_anywhere_leaves_the_old_or_the_new_vg() {
    let (crash, old) = on_part(only_at_the_end);
    let disks = crash.disks();
    let (new, moved) = fit_to(&*disks[0], &old, 1 << 20);
    commit(&mut open(&disks, &read_vg(&disks).unwrap()), &new).unwrap();
    move_area(
        &*disks[0],
        moved.unwrap(),
        extents(&new),
        &new.print_raw(&provenance()),
    )
    .unwrap();
    crash.each_crash(|point, disks| check(point, &disks, &old, &new));
    let area = read_label(&*disks[0]).unwrap().unwrap().metadata_areas[0];
    assert_eq!((area.offset, area.size), ((1 << 20) - (64 << 10), 64 << 10));
}

#[test]
fn an_area_never_moves_to_where_something_is() {
    let (crash, old) = on_part(|_| ());
    let disks = crash.disks();
    let (_, moved) = fit_to(&*disks[0], &old, LARGER);
    let moved = moved.unwrap();
    let before = crash.images();
    let to = |offset| AreaMove {
        to: DiskArea { offset, ..moved.to },
        ..moved
    };
    let text = old.print_raw(&provenance());
    for bad in [
        4096,
        extents(&old).start,
        moved.to.offset + 512,
        moved.from.offset + 512,
    ] {
        let refused = move_area(&*disks[0], to(bad), extents(&old), &text);
        assert!(matches!(refused, Err(Error::Conflict)), "{bad}: {refused:?}");
    }
    assert_eq!(crash.images(), before);
}

#[test]
fn an_area_put_to_use_cut_anywhere_leaves_the_old_or_the_new_vg() {
    let crash = CrashDisks::new(blank(2));
    let disks = crash.disks();
    let old = crate::support::create(&disks, &[1, 1]).unwrap();
    // Out of use, with the text that it had.
    crate::copies::set_ignored(&disks[1]);
    let crash = CrashDisks::new(crash.images());
    let disks = crash.disks();
    let mut found = read_vg(&disks).unwrap();
    let spare = found.pvs[1].scan.as_mut().unwrap().mdas.remove(0).header.unwrap();
    assert!(spare.is_ignored());
    let mut set = open(&disks, &found);
    assert!(!set.has_others(&disks[0]));
    let new = changed(&old, |vg| {
        add_lv(vg, 1, 1);
        vg.set_tags(&["new"]).map(|_| ()).unwrap();
    });
    set.put_to_use(&disks[1], spare);
    commit(&mut set, &new).unwrap();
    crash.each_crash(|point, disks| check(point, &disks, &old, &new));
    let found = read_vg(&disks).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!(
        open(&disks, &found).used(),
        u64::try_from(new.print_raw(&provenance()).len()).unwrap()
    );
    assert!(open(&disks, &found).has_others(&disks[0]));
    // It is an area like another from then on.
    let next = changed(&new, |vg| add_lv(vg, 2, 1));
    commit(&mut set, &next).unwrap();
    assert_eq!(read_vg(&disks).unwrap().vg.unwrap(), next);
}
