//! A VG that is not resizeable, and limits on its LVs and PVs.

use lvm_pool::{Class, CreateReplica, Error, Layout, RaidLevel, Shrink, StoragePool};

use super::{replaced, rewrite};
use crate::lab::{Lab, POOL, UNIT, request, uuid};
use crate::refusals::check_refused;

const EXTENT: u64 = 4 * UNIT;

#[test]
fn a_vg_that_is_not_resizeable_keeps_its_disks_and_takes_all_other_changes() {
    let lab = Lab::new(3);
    lab.system()
        .create_pool(&request(POOL, &lab.images[..2]))
        .unwrap();
    let status = "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]";
    rewrite(&lab, &[0, 1], |text| {
        replaced(&text, status, "status = [\"READ\", \"WRITE\"]")
    });
    let refused = |call: &dyn Fn(&StoragePool) -> Result<(), Error>| {
        check_refused(&lab, "NotResizeable", Class::Precondition, |system| {
            call(&system.open_pool(POOL)?)
        });
    };
    let new = &lab.images[2];
    refused(&|pool| pool.add_disks(std::slice::from_ref(new), false).map(drop));
    refused(&|pool| pool.remove_disk(&lab.images[1]).map(drop));
    refused(&|pool| {
        pool.replace_disk(&lab.images[0], new, false, &mut |_| {})
            .map(drop)
    });
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), EXTENT)).unwrap();
    pool.resize_replica(uuid(1), 2 * EXTENT, Shrink::Refuse).unwrap();
    // What would be moved first is not.
    refused(&|pool| pool.remove_disk(&lab.images[0]).map(drop));
    pool.grow().unwrap();
    pool.destroy_replica(uuid(1)).unwrap();
}

#[test]
fn a_limit_on_lvs_counts_those_that_users_see() {
    let lab = Lab::with_pool(2);
    rewrite(&lab, &[0, 1], |text| {
        replaced(&text, "max_lv = 0\n", "max_lv = 2\n")
    });
    let mut array = CreateReplica::new(uuid(1), EXTENT);
    array.layout = Layout::Raid {
        level: RaidLevel::Raid1,
        count: 2,
        stripe_size: lvm_meta::Sectors::new(0),
    };
    lab.pool().create_replica(&array).unwrap();
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(2), EXTENT))
        .unwrap();
    check_refused(&lab, "NoSpace", Class::NoSpace, |system| {
        system
            .open_pool(POOL)?
            .create_replica(&CreateReplica::new(uuid(3), EXTENT))
    });
}

#[test]
fn a_limit_on_pvs_is_kept() {
    let lab = Lab::new(2);
    lab.system()
        .create_pool(&request(POOL, &lab.images[..1]))
        .unwrap();
    rewrite(&lab, &[0], |text| replaced(&text, "max_pv = 0\n", "max_pv = 1\n"));
    check_refused(&lab, "NoSpace", Class::NoSpace, |system| {
        system.open_pool(POOL)?.add_disks(&lab.images[1..], false)
    });
}
