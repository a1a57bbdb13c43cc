//! A disk dies for good while something that takes long is under way: operation x disk that dies x moment.
//!
//! For each there is a way out by the operations that the messages name, and what is not on the dead disk alone is whole.

use lvm_dm::{DeviceId, DeviceMapper, UdevFlags};
use lvm_meta::{Area, FileDisk, Lv, PvId, SegmentKind, Vg};
use lvm_pool::{CreateReplica, CreateThinPool, Error, Layout, Shrink, State, StoragePool, Zeroing};

use crate::lab::{Lab, POOL, UNIT, request as pool_request, uuid};

const LINEAR: u128 = 1;
const STRIPED: u128 = 2;
const OTHER: u128 = 3;
const THIN: u128 = 4;
const ARRAY: u128 = 5;
const CREATED: u128 = 8;
const SPARE: usize = 3;

/// A pool on three of four disks: what is made first is on the first two.
fn scene() -> Lab {
    let lab = Lab::sized(SPARE + 1, 128 * UNIT);
    let disks = &lab.images[..2];
    let pool = lab.system().create_pool(&pool_request(POOL, disks)).unwrap();
    let make = |n, units: u64, layout: &str| {
        let mut request = CreateReplica::new(uuid(n), units * UNIT);
        request.layout = layout.parse().unwrap();
        pool.create_replica(&request).unwrap();
    };
    make(STRIPED, 16, "striped:2");
    make(LINEAR, 20, "linear");
    make(ARRAY, 8, "raid1:2");
    pool.create_thin_pool(&CreateThinPool::new(16 * UNIT)).unwrap();
    let mut thin = CreateReplica::new(uuid(THIN), 16 * UNIT);
    thin.thin = true;
    pool.create_replica(&thin).unwrap();
    pool.add_disks(&lab.images[2..SPARE], false).unwrap();
    make(OTHER, 8, "linear");
    for n in [LINEAR, STRIPED, OTHER, THIN, ARRAY] {
        let device = pool.open_replica(uuid(n)).unwrap();
        device.write_at(0, &content(n)).unwrap();
        device.sync().unwrap();
    }
    lab
}

fn content(n: u128) -> Vec<u8> {
    let n = usize::try_from(n).unwrap();
    let length = usize::try_from(8 * UNIT).unwrap();
    (0..length)
        .map(|at| ((at / 512 * 31 + n * 7) % 251) as u8)
        .collect()
}

type Run = fn(&Lab, &StoragePool) -> Result<(), Error>;

/// What takes long, and what of the content it may change.
const OPERATIONS: &[(&str, Run)] = &[
    ("remove-disk", |lab, pool| {
        pool.remove_disk(&lab.images[0]).map(drop)
    }),
    ("replace-disk", |lab, pool| {
        let (old, new) = (&lab.images[0], &lab.images[SPARE]);
        pool.replace_disk(old, new, false, &mut |_| {}).map(drop)
    }),
    ("convert to copies", |_, pool| {
        pool.convert_replica(uuid(OTHER), "raid1:2".parse()?).map(drop)
    }),
    ("convert to linear", |_, pool| {
        pool.convert_replica(uuid(ARRAY), Layout::Linear).map(drop)
    }),
    ("grow an array", |_, pool| {
        pool.resize_replica(uuid(ARRAY), 24 * UNIT, Shrink::Refuse)
            .map(drop)
    }),
    ("create, all zeroed", |_, pool| {
        let mut request = CreateReplica::new(uuid(CREATED), 12 * UNIT);
        request.zeroing = Zeroing::Full;
        pool.create_replica(&request).map(drop)
    }),
    ("scrub", |_, pool| {
        pool.scrub_replica(uuid(ARRAY), true, &mut |_| {}).map(drop)
    }),
];

/// The VG as it is on the disks that are there.
fn metadata(lab: &Lab) -> Vg {
    let read = |(at, image): (usize, &std::path::PathBuf)| {
        let disk = FileDisk::new(std::fs::File::open(image).ok()?);
        Some((at, lvm_meta::scan(&disk).ok()??))
    };
    let scans = lab.images.iter().enumerate().filter_map(read).collect();
    let mut found = lvm_meta::assemble(scans)
        .vgs
        .into_iter()
        .filter_map(|vg| vg.vg.ok());
    found.find(|vg| vg.name() == POOL).unwrap()
}

/// Does all of an LV without copies lie on disks that are there?
fn is_whole(vg: &Vg, lv: &Lv, dead: PvId) -> bool {
    let is_fine = |area: &Area| match area {
        Area::Pv { pv, .. } => *pv != dead,
        Area::Lv { name, start } => {
            let below = vg.lv(name).unwrap();
            match below.moving() {
                Some(pieces) => {
                    let piece = pieces.iter().find(|piece| piece.start == *start).unwrap();
                    let place = if piece.is_done() { piece.to } else { piece.from };
                    place.0 != dead
                }
                None => is_whole(vg, below, dead),
            }
        }
    };
    lv.segments().iter().all(|segment| match segment.kind() {
        SegmentKind::Striped(striped) => striped.areas().iter().all(is_fine),
        _ => true,
    })
}

/// The replicas that lose nothing with a PV: an array keeps what one whole image has that is not to be filled.
fn whole(vg: &Vg, dead: PvId) -> Vec<u128> {
    let name = |n| uuid(n).to_string();
    let has_all = |n: &u128| {
        let Some(lv) = vg.lv(&name(*n)) else { return false };
        let image = |at: usize| vg.lv(&format!("{}_rimage_{at}", lv.name()));
        let images: Vec<&Lv> = (0..4).filter_map(image).collect();
        let thin = ["lvol1_tdata", "lvol1_tmeta"];
        match *n {
            THIN => vg
                .lvs()
                .filter(|lv| {
                    thin.contains(&lv.name())
                        || lv.name().ends_with("_tdata")
                        || lv.name().ends_with("_tmeta")
                })
                .all(|lv| is_whole(vg, lv, dead)),
            _ if images.is_empty() => is_whole(vg, lv, dead),
            _ => images.iter().any(|image| {
                is_whole(vg, image, dead) && !image.status().contains(lvm_meta::LvStatus::REBUILD)
            }),
        }
    };
    [LINEAR, STRIPED, OTHER, THIN, ARRAY]
        .into_iter()
        .filter(has_all)
        .collect()
}

/// The host starts again: no device is left.
fn restart(lab: &Lab) {
    lab.fake.heal();
    for _ in 0..16 {
        for device in lab.fake.list().unwrap() {
            let mut cookie = lab.fake.cookie().unwrap();
            let _ = lab.fake.remove(
                DeviceId::Name(&device.name),
                false,
                UdevFlags::empty(),
                &mut cookie,
            );
        }
    }
    assert!(lab.fake.list().unwrap().is_empty());
}

/// Does what the messages say until the dead disk is out of the pool; gives the replicas that were given up.
fn way_out(lab: &Lab, dead: usize, context: &str) -> Vec<u128> {
    let mut lost = Vec::new();
    for _ in 0..16 {
        let pool = lab.pool();
        let error = match pool.remove_disk(&lab.images[dead]) {
            Ok(_) => return lost,
            Err(error) if error.kind() == "InvalidDisk" => return lost,
            Err(error) => error,
        };
        let Error::DiskStays { in_the_way, .. } = &error else {
            panic!("{context}: no way out of {error} ({})", error.kind());
        };
        for obstacle in in_the_way {
            let said = format!("{context}: {obstacle}");
            let named = (1..9).find(|n| obstacle.what.contains(&uuid(*n).to_string()));
            let n = match named {
                Some(n) => n,
                None if obstacle.what.contains("thin pool") => THIN,
                None => panic!("{said}"),
            };
            let words = obstacle.help.split("convert it to ").nth(1);
            if let Some(layout) = words.and_then(|rest| rest.split(',').next()) {
                let layout = layout.parse().unwrap();
                pool.convert_replica(uuid(n), layout)
                    .unwrap_or_else(|error| panic!("{said}, then {error}"));
                continue;
            }
            assert!(obstacle.help.contains("destroy"), "{said}");
            pool.destroy_replica(uuid(n))
                .unwrap_or_else(|error| panic!("{said}, then {error}"));
            lost.push(n);
        }
    }
    panic!("{context}: the way out has no end");
}

/// One cell of the table; true as long as the moment is reached.
fn check((name, run): &(&str, Run), dead: usize, at: usize, starts_again: bool) -> bool {
    let lab = scene();
    let pool = lab.pool();
    let pv = metadata(&lab).pvs().iter().map(lvm_meta::Pv::id).nth(dead);
    lab.switch.doom(&lab.images[dead], at);
    let result = run(&lab, &pool);
    let struck = lab.switch.has_died();
    let context = format!("{name}, disk {dead} dies at {at}, {starts_again}: {result:?}");
    drop(pool);
    std::fs::rename(&lab.images[dead], lab.images[dead].with_extension("away")).unwrap();
    lab.switch.doom(&lab.images[dead], usize::MAX);
    if starts_again {
        restart(&lab);
    }
    let vg = metadata(&lab);
    let pv = if dead == SPARE {
        vg.pvs().get(SPARE).map(lvm_meta::Pv::id)
    } else {
        pv
    };
    let Some(pv) = pv.filter(|pv| vg.pv(*pv).is_some()) else {
        // It had left already, or had not come yet.
        return struck;
    };
    let kept = whole(&vg, pv);
    let lost = way_out(&lab, dead, &context);
    for n in &kept {
        assert!(!lost.contains(n), "{context}: replica {n} was whole and is lost");
    }
    let pool = lab.pool();
    // A disk that left may carry its label still.
    pool.repair().unwrap_or_else(|error| panic!("{context}: {error}"));
    let info = pool.info().unwrap();
    assert_eq!(
        (info.state, &*info.reasons),
        (State::Online, &[] as &[String]),
        "{context}"
    );
    for n in kept {
        pool.activate_replica(uuid(n))
            .unwrap_or_else(|error| panic!("{context}: {n}: {error}"));
        let mut read = vec![0; content(n).len()];
        pool.open_replica(uuid(n)).unwrap().read_at(0, &mut read).unwrap();
        assert!(read == content(n), "{context}: replica {n} changed");
    }
    pool.create_replica(&CreateReplica::new(uuid(9), 4 * UNIT))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    for device in lab.fake.list().unwrap() {
        let info = lab.fake.info(DeviceId::Name(&device.name)).unwrap().unwrap();
        assert!(
            !info.suspended && info.live_table && !info.inactive_table,
            "{context}: {info:?}"
        );
    }
    struck
}

/// Where in an operation disks die: each change of the first ones, then every few of them.
fn moments() -> impl Iterator<Item = usize> {
    (1..8).chain((8..).step_by(5))
}

fn check_all(name: &str) {
    let operation = OPERATIONS.iter().find(|(known, _)| *known == name).unwrap();
    for dead in 0..=SPARE {
        for at in moments() {
            // In turns the host goes on, and starts again.
            if !check(operation, dead, at, at % 2 == 0) {
                break;
            }
        }
    }
}

#[test]
fn a_disk_that_dies_while_one_is_emptied_is_no_dead_end() {
    check_all("remove-disk");
}

#[test]
fn a_disk_that_dies_while_one_is_replaced_is_no_dead_end() {
    check_all("replace-disk");
}

#[test]
fn a_disk_that_dies_while_copies_are_made_or_dropped_is_no_dead_end() {
    check_all("convert to copies");
    check_all("convert to linear");
}

#[test]
fn a_disk_that_dies_while_an_array_grows_or_is_compared_is_no_dead_end() {
    check_all("grow an array");
    check_all("scrub");
}

#[test]
fn a_disk_that_dies_while_a_replica_is_zeroed_is_no_dead_end() {
    check_all("create, all zeroed");
}
