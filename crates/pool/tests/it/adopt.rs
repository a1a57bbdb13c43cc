//! LVs of others that become replicas, on disks and devices together.

use std::time::Duration;

use lvm_dm::{DeviceId, DeviceMapper, DmName, UdevFlags};
use lvm_meta::{LvName, LvStatus};
use lvm_pool::{Class, CreateReplica, Error, ReplicaDevice, System};

use crate::lab::{ARMS, Lab, POOL, UNIT, uuid};
use crate::refusals::check_refused;
use crate::thin::view::{edit, edit_text, vg};

const THEIRS: &str = "pvc-1";

fn create(lab: &Lab, n: u128, layout: &str) {
    let mut request = CreateReplica::new(uuid(n), 8 * UNIT);
    request.layout = layout.parse().unwrap();
    lab.pool().create_replica(&request).unwrap();
}

/// A VG that is no pool, with an LV of somebody else that is mapped, open, and holds data.
fn prepared(layout: &str) -> (Lab, ReplicaDevice, Vec<u8>) {
    let lab = Lab::with_pool(3);
    create(&lab, 1, layout);
    let data: Vec<u8> = (0..UNIT).map(|at| (at % 251) as u8).collect();
    let device = lab.pool().open_replica(uuid(1)).unwrap();
    device.write_at(UNIT, &data).unwrap();
    device.sync().unwrap();
    give_away(&lab);
    edit(&lab, |vg| {
        vg.set_tags(&["them"]).unwrap();
    });
    (lab, device, data)
}

/// Makes a replica an LV of somebody else, with its devices.
fn give_away(lab: &Lab) {
    let name = uuid(1).to_string();
    edit(lab, |vg| {
        vg.rename_lv_with_parts(&name, LvName::parse(THEIRS).unwrap())
            .unwrap();
        vg.set_lv_tags(THEIRS, &["theirs"]).unwrap();
    });
    let dashes = |text: &str| text.replace('-', "--");
    for device in lab.fake.list().unwrap() {
        let new = device.name.as_str().replace(&dashes(&name), &dashes(THEIRS));
        if new != device.name.as_str() {
            let mut cookie = lab.fake.cookie().unwrap();
            let new = DmName::new(&new).unwrap();
            lab.fake
                .rename(&device.name, &new, UdevFlags::empty(), &mut cookie)
                .unwrap();
            lab.fake.finish(cookie, Duration::from_secs(1)).unwrap();
        }
    }
}

fn adopt(system: &System) -> Result<(), Error> {
    system.adopt(POOL, THEIRS, uuid(1)).map(drop)
}

#[track_caller]
fn check_data(device: &ReplicaDevice, data: &[u8], context: &str) {
    let mut read = vec![0; data.len()];
    device.read_at(UNIT, &mut read).unwrap();
    assert!(read == data, "{context}: the data changed");
}

/// Layouts, and how many images they have.
const LAYOUTS: [(&str, usize); 3] = [("linear", 0), ("striped:2", 0), ("raid1:2", 2)];

#[test]
fn an_lv_of_others_becomes_a_replica_while_it_is_open() {
    for (layout, images) in LAYOUTS {
        let (lab, device, data) = prepared(layout);
        let (bytes, before) = (lab.bytes(), vg(&lab));
        let id = before.lv(THEIRS).unwrap().id();
        let plan = lab.system().plan_adoption(POOL, THEIRS, uuid(1)).unwrap();
        assert!(plan.refusal.is_none(), "{:?}", plan.refusal);
        assert_eq!((&*plan.vg, &*plan.lv, plan.size), (POOL, THEIRS, 8 * UNIT));
        assert!(plan.active && plan.open && plan.layout.starts_with(layout));
        let told: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        let name = uuid(1).to_string();
        assert_eq!(told[0], format!("mark the volume group {POOL} as a pool"));
        assert_eq!(told[1], format!("rename the logical volume {THEIRS} to {name}"));
        let tags = format!("tag it theirs, mayastor, mayastor.lv.name={THEIRS}, mayastor.lv.share=off");
        assert!(told.contains(&tags), "{told:?}");
        // Each name in the metadata and of a device, the mark and the tags.
        assert_eq!(told.len(), 2 + 2 * (1 + 2 * images), "{told:?}");
        assert!(lab.bytes() == bytes, "a plan changes nothing");

        let found = lab.system().adopt(POOL, THEIRS, uuid(1)).unwrap();
        assert_eq!((&*found.name, found.uuid, found.active), (THEIRS, uuid(1), true));
        let after = vg(&lab);
        assert_eq!(after.seqno(), before.seqno() + 1, "{layout}: one commit");
        assert_eq!(after.lv(&name).unwrap().id(), id);
        assert!(after.tags().contains("them") && after.tags().contains("mayastor"));
        check_data(&device, &data, layout);
        let pool = lab.pool();
        assert_eq!(pool.info().unwrap().foreign_lvs, [""; 0]);
        lab.check_devices(&pool.replicas().unwrap(), layout);

        for name in [THEIRS, &name] {
            let plan = lab.system().plan_adoption(POOL, name, uuid(1)).unwrap();
            assert!(plan.steps.is_empty() && plan.refusal.is_none());
            let again = lab.system().adopt(POOL, name, uuid(1)).unwrap();
            assert_eq!(again, found);
        }
        assert_eq!(vg(&lab).seqno(), after.seqno(), "{layout}: again costs no commit");
        drop(device);
        pool.deactivate_replica(uuid(1)).unwrap();
        lab.check_devices(&[], layout);
        pool.activate_replica(uuid(1)).unwrap();
        check_data(&pool.open_replica(uuid(1)).unwrap(), &data, layout);
    }
}

#[test]
fn an_lv_without_a_device_stays_so() {
    let (lab, device, data) = prepared("raid1:2");
    drop(device);
    // An array goes before its images.
    while let Some(device) = lab.fake.list().unwrap().iter().find(|device| {
        let info = lab.fake.info(DeviceId::Name(&device.name)).unwrap();
        info.unwrap().open_count == 0
    }) {
        let mut cookie = lab.fake.cookie().unwrap();
        let id = DeviceId::Name(&device.name);
        lab.fake
            .remove(id, false, UdevFlags::empty(), &mut cookie)
            .unwrap();
        lab.fake.finish(cookie, Duration::from_secs(1)).unwrap();
    }
    let plan = lab.system().plan_adoption(POOL, THEIRS, uuid(1)).unwrap();
    assert!(!plan.active && !plan.open);
    assert!(!lab.system().adopt(POOL, THEIRS, uuid(1)).unwrap().active);
    lab.check_devices(&[], "adopted");
    let pool = lab.pool();
    pool.activate_replica(uuid(1)).unwrap();
    check_data(&pool.open_replica(uuid(1)).unwrap(), &data, "activated");
}

#[test]
fn what_cannot_be_adopted_is_refused_and_changes_nothing() {
    let refused = |lab: &Lab, lv: &str, n, kind, class| {
        check_refused(lab, kind, class, |system| system.adopt(POOL, lv, uuid(n)));
        let plan = lab.system().plan_adoption(POOL, lv, uuid(n));
        match plan {
            Ok(plan) => {
                assert_eq!(plan.refusal.unwrap().kind(), kind, "{lv}");
                assert!(plan.steps.is_empty());
            }
            Err(error) => assert_eq!((error.kind(), "LvNotFound"), (kind, kind)),
        }
    };
    let (lab, _device, _) = prepared("raid1:2");
    refused(&lab, "nothing", 1, "LvNotFound", Class::NotFound);
    check_refused(&lab, "LvNotFound", Class::NotFound, |system| {
        system.adopt("elsewhere", THEIRS, uuid(1))
    });
    check_refused(&lab, "InvalidName", Class::InvalidArgument, |system| {
        system.adopt("a b", THEIRS, uuid(1))
    });
    for part in ["pvc-1_rimage_0", "pvc-1_rmeta_1"] {
        refused(&lab, part, 1, "Unsupported", Class::Unsupported);
    }
    for (from, to, kind, class) in [
        (
            "\"RESIZEABLE\"",
            "\"EXPORTED\", \"RESIZEABLE\"",
            "Exported",
            Class::Precondition,
        ),
        ("\"VISIBLE\"]", "\"VISIBLE\", \"LOCKED\"]", "Busy", Class::Busy),
    ] {
        let (lab, _device, _) = prepared("raid1:2");
        edit_text(&lab, &[(from, to)]);
        refused(&lab, THEIRS, 1, kind, class);
    }
    edit(&lab, |vg| {
        let lv = vg.lv(THEIRS).unwrap();
        let (status, flags) = (lv.status(), lv.flags());
        vg.set_lv_status(THEIRS, status.difference(LvStatus::VISIBLE), flags)
            .unwrap();
    });
    refused(&lab, THEIRS, 1, "Unsupported", Class::Unsupported);

    let lab = Lab::with_pool(3);
    create(&lab, 1, "linear");
    refused(
        &lab,
        &uuid(1).to_string(),
        2,
        "AlreadyExists",
        Class::AlreadyExists,
    );
    give_away(&lab);
    create(&lab, 2, "linear");
    refused(&lab, THEIRS, 2, "AlreadyExists", Class::AlreadyExists);
    let mut named = CreateReplica::new(uuid(3), UNIT);
    named.name = Some(THEIRS.into());
    lab.pool().create_replica(&named).unwrap();
    refused(&lab, THEIRS, 1, "AlreadyExists", Class::AlreadyExists);
    std::fs::rename(&lab.images[2], lab.images[2].with_extension("away")).unwrap();
    let plan = lab.system().plan_adoption(POOL, THEIRS, uuid(4)).unwrap();
    let error = lab.system().adopt(POOL, THEIRS, uuid(4)).unwrap_err();
    assert_eq!(
        (plan.refusal.unwrap().kind(), error.kind()),
        ("MissingPv", "MissingPv")
    );
}

#[test]
fn death_and_failure_at_every_step_leave_their_lv_or_the_replica() {
    for layout in ["linear", "raid1:2"] {
        for (kind, arm) in ARMS {
            for at in 1.. {
                let (lab, device, data) = prepared(layout);
                let before = vg(&lab);
                let system = lab.system();
                let faults = lab.fake.fault_count();
                arm(&lab, at);
                let result = adopt(&system);
                let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
                drop(system);
                let context = format!("{layout}, {kind} {at}: {result:?}");
                let is_done = match lab.system().open_pool(POOL) {
                    Ok(pool) => {
                        lab.check_devices(&pool.replicas().unwrap(), &context);
                        true
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), "PoolNotFound", "{context}: {error}");
                        let name = vg(&lab).lv(THEIRS).map(|lv| lv.id());
                        assert_eq!(name, before.lv(THEIRS).map(|lv| lv.id()), "{context}");
                        false
                    }
                };
                assert!(is_done || result.is_err(), "{context}");
                adopt(&lab.system()).unwrap_or_else(|error| panic!("{context}: {error}"));
                let pool = lab.pool();
                lab.check_devices(&pool.replicas().unwrap(), &context);
                check_data(&device, &data, &context);
                if !struck {
                    break;
                }
            }
        }
    }
}
