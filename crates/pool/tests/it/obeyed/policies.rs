//! Allocation policies of the VG and of its LVs.

use lvm_pool::{Class, CreateReplica, Shrink};
use uuid::Uuid;

use super::{rewrite, with_fields, with_vg_fields};
use crate::lab::{Lab, UNIT, uuid};
use crate::refusals::check_refused;

const EXTENT: u64 = 4 * UNIT;

fn create(lab: &Lab, n: u128, extents: u64) {
    let request = CreateReplica::new(uuid(n), extents * EXTENT);
    lab.pool().create_replica(&request).unwrap();
}

fn grow(lab: &Lab, n: u128, extents: u64) {
    let grown = lab
        .pool()
        .resize_replica(uuid(n), extents * EXTENT, Shrink::Refuse);
    assert_eq!(grown.unwrap().size, extents * EXTENT);
}

#[track_caller]
fn no_place(lab: &Lab, n: u128, extents: u64) {
    check_refused(lab, "NoSpace", Class::NoSpace, |system| {
        let pool = system.open_pool(crate::lab::POOL)?;
        pool.resize_replica(uuid(n), extents * EXTENT, Shrink::Refuse)
    });
}

/// How many segments a replica has.
fn segments(lab: &Lab, replica: Uuid) -> usize {
    let vg = lvm_meta::Vg::parse(lab.metadata().as_bytes()).unwrap();
    vg.lv(&replica.to_string()).unwrap().segments().len()
}

#[test]
fn a_replica_grows_as_its_policy_or_else_the_vgs_allows() {
    let lab = Lab::with_pool(2);
    // The first, the third and the fourth lie on one disk, in this order.
    create(&lab, 1, 2);
    create(&lab, 4, 3);
    create(&lab, 2, 1);
    create(&lab, 3, 1);
    rewrite(&lab, &[0, 1], |text| {
        with_vg_fields(&text, "allocation_policy = \"contiguous\"\n")
    });
    no_place(&lab, 1, 3);
    lab.pool().destroy_replica(uuid(2)).unwrap();
    grow(&lab, 1, 3);
    no_place(&lab, 1, 4);
    assert_eq!(segments(&lab, uuid(1)), 1);
    rewrite(&lab, &[0, 1], |text| {
        with_fields(&text, uuid(1), "allocation_policy = \"cling\"\n")
    });
    grow(&lab, 1, 4);
    assert_eq!(segments(&lab, uuid(1)), 2);
    // All that is free on its disk, and one more.
    let free = lvm_meta::Vg::parse(lab.metadata().as_bytes()).unwrap().pvs()[0].free();
    no_place(&lab, 1, 5 + u64::from(free.get()));
    grow(&lab, 1, 4 + u64::from(free.get()));
}

#[test]
fn a_new_replica_obeys_the_policy_of_the_vg() {
    let lab = Lab::with_pool(2);
    let free = lab.pool().info().unwrap().capacity / EXTENT;
    for (policy, extents) in [("contiguous", free / 2), ("cling", free / 2), ("normal", free)] {
        rewrite(&lab, &[0, 1], |text| {
            let text = text.replace("allocation_policy = \"contiguous\"\n", "");
            let text = text.replace("allocation_policy = \"cling\"\n", "");
            with_vg_fields(&text, &format!("allocation_policy = \"{policy}\"\n"))
        });
        check_refused(&lab, "NoSpace", Class::NoSpace, |system| {
            let pool = system.open_pool(crate::lab::POOL)?;
            pool.create_replica(&CreateReplica::new(uuid(9), (extents + 1) * EXTENT))
        });
        create(&lab, 9, extents);
        lab.pool().destroy_replica(uuid(9)).unwrap();
    }
}

#[test]
fn a_contiguous_replica_moves_as_one_run_or_not_at_all() {
    let lab = Lab::with_pool(3);
    create(&lab, 1, 6);
    rewrite(&lab, &[0, 1, 2], |text| {
        with_fields(&text, uuid(1), "allocation_policy = \"contiguous\"\n")
    });
    // What is free elsewhere is enough, in runs that are too short.
    let vg = lvm_meta::Vg::parse(lab.metadata().as_bytes()).unwrap();
    let free = u64::from(vg.pvs()[1].free().get());
    create(&lab, 2, free - 4);
    create(&lab, 3, free - 4);
    let vg = lvm_meta::Vg::parse(lab.metadata().as_bytes()).unwrap();
    assert_eq!(vg.pvs()[1].free().get() + vg.pvs()[2].free().get(), 8);
    check_refused(&lab, "NoSpace", Class::NoSpace, |system| {
        system.open_pool(crate::lab::POOL)?.remove_disk(&lab.images[0])
    });
    lab.pool().destroy_replica(uuid(3)).unwrap();
    lab.pool().remove_disk(&lab.images[0]).unwrap();
    assert_eq!(segments(&lab, uuid(1)), 1);
}
