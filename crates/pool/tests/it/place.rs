//! Where a replica lies: on the disks that the caller names.

use lvm_meta::{PvId, SegmentKind};
use lvm_pool::{Class, CreateReplica, CreateThinPool, Layout};

use crate::lab::{Lab, POOL, UNIT, uuid};
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
        let told = format!(" {} free on ", free * u64::try_from(disks.len()).unwrap());
        assert!(error.contains(&told), "{error}");
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
