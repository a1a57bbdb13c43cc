//! Where a replica lies, and where it goes: the disks that the caller names.

use lvm_dm::testing::Fault;
use lvm_dm::{DeviceId, DeviceMapper};
use lvm_meta::{PvId, SegmentKind};
use lvm_pool::{Class, CreateReplica, CreateThinPool, Error, Layout, ReplicaInfo, StoragePool};

use crate::lab::{Cut, Lab, POOL, UNIT, uuid};
use crate::refusals::check_refused;
use crate::thin::view::vg;

/// The disks that LVs whose names begin so lie on, by their places among the lab's.
fn disks_of(lab: &Lab, prefix: &str) -> Vec<usize> {
    let vg = vg(lab);
    let mut pvs: Vec<PvId> = Vec::new();
    for lv in vg.lvs().filter(|lv| lv.name().starts_with(prefix)) {
        for segment in lv.segments() {
            if let SegmentKind::Striped(striped) = segment.kind() {
                pvs.extend(striped.areas().iter().filter_map(|area| match area {
                    lvm_meta::Area::Pv { pv, .. } => Some(*pv),
                    lvm_meta::Area::Lv { .. } => None,
                }));
            }
        }
    }
    let mut disks: Vec<usize> = pvs.iter().map(|pv| place(lab, *pv)).collect();
    disks.sort_unstable();
    disks.dedup();
    disks
}

/// The place of a PV among the lab's disks: a PV's label begins with its id.
fn place(lab: &Lab, pv: PvId) -> usize {
    let is_it = |image: &std::path::PathBuf| {
        let bytes = std::fs::read(image).unwrap();
        let id: String = pv.to_string().chars().filter(|c| *c != '-').collect();
        bytes[512..1024].windows(32).any(|at| at == id.as_bytes())
    };
    lab.images.iter().position(is_it).unwrap()
}

fn on(lab: &Lab, n: u128, units: u64, layout: &str, disks: &[usize]) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(n), units * UNIT);
    request.layout = layout.parse().unwrap();
    request.disks = disks.iter().map(|disk| lab.images[*disk].clone()).collect();
    request
}

#[test]
fn a_replica_lies_on_the_disks_that_were_named() {
    let lab = Lab::with_pool(4);
    let pool = lab.pool();
    let cases: [(&str, &[usize]); 5] = [
        ("linear", &[2]),
        ("linear", &[3, 3]),
        ("striped:2:4K", &[3, 1]),
        ("raid1:2", &[0, 3]),
        ("raid1:3", &[1, 2, 3]),
    ];
    for (n, (layout, disks)) in (1..).zip(cases) {
        pool.create_replica(&on(&lab, n, 4, layout, disks)).unwrap();
        let mut wanted = disks.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        assert_eq!(
            disks_of(&lab, &uuid(n).to_string()),
            wanted,
            "{layout} on {disks:?}"
        );
    }
    let many = [on(&lab, 11, 2, "linear", &[1]), on(&lab, 12, 2, "linear", &[3])];
    pool.create_replicas(&many).unwrap();
    assert_eq!(disks_of(&lab, &uuid(11).to_string()), [1]);
    assert_eq!(disks_of(&lab, &uuid(12).to_string()), [3]);
}

#[test]
fn a_disk_without_room_or_of_no_pool_is_refused_by_name() {
    let lab = Lab::sized(4, 64 * UNIT);
    let system = lab.system();
    system
        .create_pool(&crate::lab::request(POOL, &lab.images[..3]))
        .unwrap();
    let free = system.pool_info(POOL).unwrap().capacity / 3;
    let units = free / UNIT + 1;
    for (layout, disks) in [("linear", &[1][..]), ("raid1:2", &[0, 2]), ("raid1:2", &[1])] {
        let wanted = on(&lab, 1, units, layout, disks);
        check_refused(&lab, "NoSpace", Class::NoSpace, |system| {
            system.open_pool(POOL)?.create_replica(&wanted)
        });
        let error = lab.pool().create_replica(&wanted).unwrap_err().to_string();
        for disk in 0..3 {
            let name = lab.images[disk].display().to_string();
            assert_eq!(error.contains(&name), disks.contains(&disk), "{error}");
        }
        assert!(error.contains(" free on "), "{error}");
    }
    for (disk, kind, class) in [
        (lab.images[3].clone(), "InvalidDisk", Class::InvalidArgument),
        ("/nowhere/disk".into(), "DiskNotFound", Class::NotFound),
    ] {
        let mut wanted = on(&lab, 1, 1, "linear", &[0]);
        wanted.disks.push(disk);
        check_refused(&lab, kind, class, |system| {
            system.open_pool(POOL)?.create_replica(&wanted)
        });
        check_refused(&lab, kind, class, |system| {
            system
                .open_pool(POOL)?
                .create_replicas(std::slice::from_ref(&wanted))
        });
    }
    lab.pool()
        .create_thin_pool(&CreateThinPool::new(16 * UNIT))
        .unwrap();
    let mut thin = on(&lab, 1, 1, "linear", &[0]);
    thin.thin = true;
    thin.layout = Layout::Linear;
    check_refused(&lab, "InvalidArgument", Class::InvalidArgument, |system| {
        system.open_pool(POOL)?.create_replica(&thin)
    });
}

/// A pool on four disks with a replica of each kind on the first two, and one beside them that stays there.
fn scene() -> Lab {
    let lab = Lab::sized(4, 64 * UNIT);
    let request = crate::lab::request(POOL, &lab.images);
    let pool = lab.system().create_pool(&request).unwrap();
    pool.create_replica(&on(&lab, 9, 2, "linear", &[0])).unwrap();
    for (n, layout) in (1..).zip(["linear", "striped:2:4K", "raid1:2"]) {
        pool.create_replica(&on(&lab, n, 8, layout, &[0, 1])).unwrap();
    }
    // One that is not active.
    pool.create_replica(&on(&lab, 4, 4, "linear", &[1])).unwrap();
    for n in [1, 2, 3, 4, 9] {
        fill(&pool, n);
    }
    pool.deactivate_replica(uuid(4)).unwrap();
    lab
}

fn content(n: u128) -> Vec<u8> {
    let byte = |at: usize| ((at / 512 * 31 + usize::try_from(n).unwrap() * 7) % 251) as u8;
    (0..usize::try_from(2 * UNIT).unwrap()).map(byte).collect()
}

fn fill(pool: &StoragePool, n: u128) {
    let device = pool.open_replica(uuid(n)).unwrap();
    device.write_at(0, &content(n)).unwrap();
    device.sync().unwrap();
}

#[track_caller]
fn check_all(lab: &Lab, pool: &StoragePool, context: &str) {
    for n in [1, 2, 3, 4, 9] {
        let was_active = pool.replica(uuid(n)).unwrap().active;
        pool.activate_replica(uuid(n)).unwrap();
        let mut read = vec![0; content(n).len()];
        pool.open_replica(uuid(n)).unwrap().read_at(0, &mut read).unwrap();
        assert!(read == content(n), "{context}: replica {n} changed");
        if !was_active {
            pool.deactivate_replica(uuid(n)).unwrap();
        }
    }
    for device in lab.fake.list().unwrap() {
        let info = lab.fake.info(DeviceId::Name(&device.name)).unwrap().unwrap();
        assert!(
            !info.suspended && info.live_table && !info.inactive_table,
            "{context}: {info:?}"
        );
    }
    assert_eq!(lvm_meta::check(&vg(lab)), [], "{context}");
}

fn go(
    lab: &Lab,
    pool: &StoragePool,
    n: u128,
    from: Option<usize>,
    to: &[usize],
) -> Result<ReplicaInfo, Error> {
    let to: Vec<_> = to.iter().map(|disk| lab.images[*disk].clone()).collect();
    let from = from.map(|disk| &*lab.images[disk]);
    pool.move_replica(uuid(n), from, &to, &mut |_| {})
}

#[test]
fn a_replica_is_moved_to_the_disks_that_were_named_and_nothing_else_is() {
    let lab = scene();
    let pool = lab.pool();
    for (n, to) in [(1, &[2][..]), (2, &[3, 2]), (3, &[2, 3]), (4, &[3])] {
        let opened = pool
            .replica(uuid(n))
            .unwrap()
            .active
            .then(|| pool.open_replica(uuid(n)).unwrap());
        let before = pool.replica(uuid(n)).unwrap();
        assert_eq!(go(&lab, &pool, n, None, to).unwrap(), before);
        drop(opened);
        let mut wanted = to.to_vec();
        wanted.sort_unstable();
        assert_eq!(disks_of(&lab, &uuid(n).to_string()), wanted, "replica {n}");
        assert_eq!(disks_of(&lab, &uuid(9).to_string()), [0]);
        check_all(&lab, &pool, &format!("moved {n}"));
        // Again is success without a commit.
        let seqno = vg(&lab).seqno();
        go(&lab, &pool, n, None, to).unwrap();
        assert_eq!(vg(&lab).seqno(), seqno);
    }
    // One image alone leaves its disk, for any other.
    go(&lab, &pool, 3, Some(2), &[]).unwrap();
    let disks = disks_of(&lab, &uuid(3).to_string());
    assert!(
        disks.len() == 2 && disks.contains(&3) && !disks.contains(&2),
        "{disks:?}"
    );
    go(&lab, &pool, 3, Some(2), &[1]).unwrap();
    assert_eq!(
        disks_of(&lab, &uuid(3).to_string()),
        disks,
        "it has nothing there"
    );
    check_all(&lab, &pool, "image");
}

#[test]
fn a_move_that_cannot_be_is_refused_before_anything_moves() {
    let lab = scene();
    lab.pool()
        .create_thin_pool(&CreateThinPool::new(8 * UNIT))
        .unwrap();
    let mut thin = CreateReplica::new(uuid(5), 8 * UNIT);
    thin.thin = true;
    lab.pool().create_replica(&thin).unwrap();
    lab.pool()
        .create_replica(&on(&lab, 6, 40, "linear", &[3]))
        .unwrap();
    let check = |kind: &str, class, n, from, to: &[usize]| {
        check_refused(&lab, kind, class, |system| {
            go(&lab, &system.open_pool(POOL)?, n, from, to)
        });
    };
    // The images of an array and the stripes of a replica need a disk each.
    check("NoSpace", Class::NoSpace, 3, None, &[2]);
    check("NoSpace", Class::NoSpace, 2, None, &[2]);
    check("NoSpace", Class::NoSpace, 3, Some(0), &[1]);
    check("NoSpace", Class::NoSpace, 6, None, &[0]);
    check("InvalidDisk", Class::InvalidArgument, 1, Some(0), &[2, 0]);
    check("Unsupported", Class::Unsupported, 5, None, &[2]);
    check("InvalidArgument", Class::InvalidArgument, 1, None, &[]);
    check("ReplicaNotFound", Class::NotFound, 77, None, &[2]);
    check_refused(&lab, "DiskNotFound", Class::NotFound, |system| {
        let nowhere = ["/nowhere/disk".into()];
        system
            .open_pool(POOL)?
            .move_replica(uuid(1), None, &nowhere, &mut |_| {})
    });
}

/// Runs a move of two commits' worth of disks until death strikes where `arm` says; then the same call does the rest.
fn check_cut(n: u128, arm: &dyn Fn(&Lab), context: &str) -> bool {
    let lab = scene();
    let pool = lab.pool();
    arm(&lab);
    let result = go(&lab, &pool, n, None, &[2, 3]);
    let struck = lab.switch.has_struck() || lab.fake.is_dead();
    assert!(struck || result.is_ok(), "{context}: {result:?}");
    drop(pool);
    let pool = lab.pool();
    check_all(&lab, &pool, context);
    pool.create_replica(&CreateReplica::new(uuid(8), UNIT))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    go(&lab, &pool, n, None, &[2, 3]).unwrap_or_else(|error| panic!("{context}, then {error}"));
    assert_eq!(disks_of(&lab, &uuid(n).to_string()), [2, 3], "{context}");
    assert_eq!(disks_of(&lab, &uuid(9).to_string()), [0], "{context}");
    check_all(&lab, &pool, context);
    let is_left = |device: &lvm_dm::DeviceEntry| device.name.as_str().contains("pvmove");
    assert!(!lab.fake.list().unwrap().iter().any(is_left), "{context}");
    struck
}

#[test]
fn death_at_any_step_of_a_move_is_made_good_by_a_repeated_call() {
    for n in [2, 3] {
        let mut at = 1;
        while check_cut(
            n,
            &|lab| lab.arm(Cut::Death { at }),
            &format!("{n}: disk change {at}"),
        ) {
            at += 1;
        }
        assert!(at > 30, "{at}");
        let mut at = 1;
        let arm = |lab: &Lab, at| lab.fake.fault_at_change(at, Fault::Die);
        while check_cut(n, &|lab| arm(lab, at), &format!("{n}: kernel change {at}")) {
            at += 1;
        }
        assert!(at > 20, "{at}");
    }
}

#[test]
fn a_move_of_one_replica_and_that_of_a_disk_do_not_mix() {
    let lab = scene();
    let pool = lab.pool();
    let mut loads = 0;
    lab.fake.fault_when(Fault::Die, move |call| {
        // To begin the hidden LV and the replica are loaded, to end the replica.
        loads += usize::from(matches!(call, lvm_dm::testing::Call::Load { .. }));
        loads > 2
    });
    go(&lab, &pool, 2, None, &[2, 3]).unwrap_err();
    drop(pool);
    let pool = lab.pool();
    assert!(vg(&lab).lvs().any(|lv| lv.moving().is_some()));
    let refused = go(&lab, &pool, 1, None, &[2]).unwrap_err();
    assert_eq!(refused.kind(), "MoveUnderWay", "{refused}");
    let refused = pool.remove_disk(&lab.images[1]).unwrap_err();
    assert_eq!(refused.kind(), "MoveUnderWay", "{refused}");
    // The disk that the replica leaves may be emptied whole.
    pool.remove_disk(&lab.images[0]).unwrap();
    go(&lab, &pool, 2, None, &[2, 3]).unwrap();
    assert_eq!(disks_of(&lab, &uuid(2).to_string()), [2, 3]);
}
