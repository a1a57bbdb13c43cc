//! LVs of others that have a cache lose it and become replicas, on disks and devices together.

mod scene;

use std::time::Duration;

use lvm_dm::testing::{Call, Fault};
use lvm_dm::{BlockIo, DeviceId, DeviceMapper, DmName, Table, UdevFlags};
use lvm_meta::detail::Detail;
use lvm_meta::{LvId, LvName, NewLv, SegmentPlan};
use lvm_pool::{Class, CreateReplica, CreateThinPool, Error, System};

use crate::lab::{ARMS, Lab, POOL, UNIT, uuid};
use crate::refusals::check_refused;
use crate::thin::view::{edit, vg};
use scene::{Form, Scene, THEIRS, data, give_cache, space, unmap_all};

fn adopt(system: &System) -> Result<(), Error> {
    system
        .adopt_uncached(POOL, THEIRS, uuid(1), &mut |_| {})
        .map(drop)
}

#[track_caller]
fn check_data(device: &dyn BlockIo, context: &str) {
    let mut read = vec![0; data().len()];
    device.read_at(UNIT, &mut read).unwrap();
    assert!(read == data(), "{context}: the data changed");
}

const MODES: [&str; 3] = ["writeback", "writethrough", "passthrough"];

const FORMS: [Form; 3] = [Form::Pool, Form::Volume, Form::Writes];

#[test]
fn a_cache_is_written_back_and_taken_off_while_the_lv_is_open() {
    for form in FORMS {
        for layout in ["linear", "striped:2", "raid1:2"] {
            for mode in MODES.iter().take(if form == Form::Writes { 1 } else { 3 }) {
                let context = format!("{form:?}, {layout}, {mode}");
                let scene = Scene::new(form, layout, mode);
                let device = scene.open();
                let lab = &scene.lab;
                let (bytes, before) = (lab.bytes(), vg(lab).seqno());
                let plan = lab
                    .system()
                    .plan_uncached_adoption(POOL, THEIRS, uuid(1))
                    .unwrap();
                assert!(plan.refusal.is_none(), "{context}: {:?}", plan.refusal);
                assert!(
                    plan.active && plan.open && plan.layout.contains("cache"),
                    "{context}"
                );
                let told: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
                let cache = form.cache();
                assert_eq!(told[0], format!("write back and take off the cache {cache}"));
                assert_eq!(told[1], format!("mark the volume group {POOL} as a pool"));
                assert!(lab.bytes() == bytes, "{context}: a plan changes nothing");

                let mut last = None;
                let adopted = lab
                    .system()
                    .adopt_uncached(POOL, THEIRS, uuid(1), &mut |progress| last = Some(progress))
                    .unwrap();
                assert_eq!((&*adopted.name, adopted.active), (THEIRS, true), "{context}");
                // The cleaner was waited for where something was dirty.
                let is_dirty = *mode == "writeback" || form == Form::Writes;
                assert_eq!(last.is_some(), is_dirty, "{context}");
                assert_eq!(vg(lab).seqno(), before + 2, "{context}: two commits");
                check_data(&*device, &context);
                scene.check_adopted(&context);
                adopt(&lab.system()).unwrap();
                assert_eq!(vg(lab).seqno(), before + 2, "{context}: again costs no commit");
            }
        }
    }
}

#[test]
fn what_was_written_back_is_durable_and_nothing_is_dirty_before_the_commit() {
    let scene = Scene::new(Form::Pool, "raid1:2", "writeback");
    let lab = &scene.lab;
    let system = lab.system();
    lab.fake.forget_calls();
    adopt(&system).unwrap();
    let (top, origin) = ("pool--1-pvc--1", "pool--1-pvc--1_corig");
    let words: Vec<String> = lab
        .fake
        .calls()
        .iter()
        .filter_map(|call| match call {
            Call::Load { device, table, .. } if device == top => {
                let kind = table.lines()[0].target.kind();
                Some(format!("load {kind}"))
            }
            Call::Sync { device } if device == top => Some("sync".into()),
            Call::Suspend { device, .. } if device == top => Some("suspend".into()),
            Call::Suspend { device, .. } if device == origin => Some("suspend the origin".into()),
            Call::Resume { device, .. } if device == top => Some("resume".into()),
            Call::Remove { device, .. } if device == origin => Some("remove the origin".into()),
            Call::Status { device, .. } if device == top => Some("look".into()),
            _ => None,
        })
        .collect();
    let last = words.iter().rposition(|word| word == "sync").unwrap();
    assert_eq!(
        words[last..],
        [
            "sync",
            "load raid",
            "suspend",
            "look",
            "suspend the origin",
            "resume",
            "remove the origin"
        ]
    );
    let before: Vec<&String> = words[..last].iter().filter(|word| *word != "look").collect();
    assert_eq!(before, ["load cache", "suspend", "resume"]);
}

#[test]
fn one_without_a_device_is_written_back_and_stays_so() {
    for form in FORMS {
        for layout in ["linear", "raid1:2"] {
            let context = format!("{form:?}, {layout}");
            let scene = Scene::new(form, layout, "writeback");
            unmap_all(&scene.lab);
            let system = scene.lab.system();
            let plan = system.plan_uncached_adoption(POOL, THEIRS, uuid(1)).unwrap();
            assert!(plan.refusal.is_none() && !plan.active, "{context}");
            let adopted = system.adopt_uncached(POOL, THEIRS, uuid(1), &mut |_| {}).unwrap();
            assert!(!adopted.active, "{context}");
            scene.check_adopted(&context);
            scene.lab.pool().activate_replica(uuid(1)).unwrap();
            check_data(&*scene.open(), &context);
        }
    }
}

#[test]
fn what_cannot_be_written_back_is_refused_and_changes_nothing() {
    let scene = Scene::new(Form::Pool, "linear", "writeback");
    let lab = &scene.lab;
    let plain = lab.system().plan_adoption(POOL, THEIRS, uuid(1)).unwrap();
    assert!(plain.refusal.unwrap().to_string().contains("--uncache"));
    check_refused(lab, "Unsupported", Class::Unsupported, |system| {
        system.adopt(POOL, THEIRS, uuid(1))
    });
    for part in [Form::Pool.origin(), "fast_cpool", "fast_cpool_cdata"] {
        check_refused(lab, "Unsupported", Class::Unsupported, |system| {
            system.adopt_uncached(POOL, part, uuid(1), &mut |_| {})
        });
    }
    // The metadata of the cache fail.
    let mapper = lab.fake.inner();
    let metadata = DmName::new("pool--1-fast_cpool_cmeta").unwrap();
    let whole = mapper.table(DeviceId::Name(&metadata), false).unwrap();
    let remap = |table: &Table| {
        let id = DeviceId::Name(&metadata);
        mapper.load(id, table, false).unwrap();
        let mut cookie = mapper.cookie().unwrap();
        mapper.resume(id, UdevFlags::empty(), &mut cookie).unwrap();
        mapper.finish(cookie, Duration::from_secs(1)).unwrap();
    };
    remap(&format!("0 {} error", whole.length()).parse().unwrap());
    check_refused(lab, "CacheState", Class::Precondition, |system| {
        system.adopt_uncached(POOL, THEIRS, uuid(1), &mut |_| {})
    });
    let plan = lab
        .system()
        .plan_uncached_adoption(POOL, THEIRS, uuid(1))
        .unwrap();
    assert_eq!(plan.refusal.unwrap().kind(), "CacheState");
    assert!(plan.steps.is_empty());
    remap(&whole);
    let path = &lab.images[2];
    std::fs::rename(path, path.with_extension("away")).unwrap();
    let plan = lab
        .system()
        .plan_uncached_adoption(POOL, THEIRS, uuid(1))
        .unwrap();
    let error = adopt(&lab.system()).unwrap_err();
    assert_eq!(
        (plan.refusal.unwrap().kind(), error.kind()),
        ("MissingPv", "MissingPv")
    );
    std::fs::rename(path.with_extension("away"), path).unwrap();
    adopt(&lab.system()).unwrap();
    scene.check_adopted("at last");
    check_data(&*scene.open(), "at last");
}

#[test]
fn death_and_failure_at_every_step_lose_no_block_and_the_next_call_goes_on() {
    for (form, layout, has_arrays, is_active) in [
        (Form::Pool, "linear", false, true),
        (Form::Volume, "raid1:2", false, true),
        (Form::Pool, "raid1:2", false, false),
        (Form::Writes, "raid1:2", false, true),
        (Form::Writes, "linear", false, false),
        (Form::Pool, "linear", true, true),
        (Form::Volume, "linear", true, false),
    ] {
        for (kind, arm) in ARMS {
            for at in 1.. {
                let scene = Scene::over(form, layout, "writeback", has_arrays);
                let lab = &scene.lab;
                let device = is_active.then(|| scene.open());
                if !is_active {
                    unmap_all(lab);
                }
                let system = lab.system();
                let faults = lab.fake.fault_count();
                arm(lab, at);
                let result = adopt(&system);
                let struck = lab.switch.has_struck() || lab.fake.fault_count() > faults;
                drop(system);
                let context = format!("{form:?}, {layout}, {has_arrays}, {kind} {at}: {result:?}");
                let adopted = lab.system().adopt_uncached(POOL, THEIRS, uuid(1), &mut |_| {});
                let adopted = adopted.unwrap_or_else(|error| panic!("{context}: {error:?}"));
                assert_eq!(adopted.active, is_active, "{context}");
                match device {
                    Some(device) => check_data(&*device, &context),
                    None => {
                        lab.pool().activate_replica(uuid(1)).unwrap();
                        check_data(&*scene.open(), &context);
                    }
                }
                scene.check_adopted(&context);
                if !struck {
                    break;
                }
            }
        }
    }
}

#[test]
fn what_a_cut_call_made_active_is_inactive_when_the_pool_is_opened() {
    let mut seen = 0;
    for form in FORMS {
        for at in 1.. {
            let scene = Scene::new(form, "linear", "writeback");
            let lab = &scene.lab;
            edit(lab, |vg| assert!(vg.set_tags(&["mayastor"]).unwrap()));
            unmap_all(lab);
            let system = lab.system();
            let faults = lab.fake.fault_count();
            lab.fake.fault_at_change(at, Fault::Die);
            let result = adopt(&system);
            drop(system);
            let has_struck = lab.fake.fault_count() > faults;
            let devices = || lab.fake.inner().list().unwrap().len();
            let context = format!("{form:?}, {at}: {result:?}");
            seen += u32::from(devices() > 2);
            lab.pool();
            assert_eq!(devices(), 0, "{context}");
            assert_eq!(lvm_meta::check(&vg(lab)), [], "{context}");
            if !has_struck {
                break;
            }
        }
    }
    assert!(seen > 20, "{seen} cuts with devices");
}

#[test]
fn a_pool_that_is_opened_while_a_call_goes_on_leaves_its_devices_alone() {
    let scene = Scene::new(Form::Volume, "linear", "writeback");
    let lab = &scene.lab;
    edit(lab, |vg| assert!(vg.set_tags(&["mayastor"]).unwrap()));
    unmap_all(lab);
    let mut looked = 0;
    let mut tell = |_| {
        looked += 1;
        lab.pool();
        let devices = lab.fake.inner().list().unwrap();
        assert!(
            devices
                .iter()
                .any(|device| device.name.as_str() == "pool--1-pvc--1")
        );
    };
    let adopted = lab
        .system()
        .adopt_uncached(POOL, THEIRS, uuid(1), &mut tell)
        .unwrap();
    assert!(!adopted.active && looked > 0, "{looked} looks");
    assert_eq!(lab.fake.inner().list().unwrap().len(), 0);
    scene.check_adopted("at last");
}

#[test]
fn a_cache_of_arrays_is_taken_off_in_use_and_inactive() {
    for form in [Form::Pool, Form::Volume] {
        for is_active in [true, false] {
            let context = format!("{form:?}, {is_active}");
            let scene = Scene::over(form, "raid1:2", "writeback", true);
            if !is_active {
                unmap_all(&scene.lab);
            }
            let device = is_active.then(|| scene.open());
            let system = scene.lab.system();
            let adopted = system.adopt_uncached(POOL, THEIRS, uuid(1), &mut |_| {}).unwrap();
            assert_eq!(adopted.active, is_active, "{context}");
            scene.check_adopted(&context);
            if device.is_none() {
                scene.lab.pool().activate_replica(uuid(1)).unwrap();
            }
            check_data(&*device.unwrap_or_else(|| scene.open()), &context);
        }
    }
}

#[test]
fn a_cache_of_writes_is_flushed_while_the_lv_is_stopped() {
    let scene = Scene::new(Form::Writes, "linear", "");
    let lab = &scene.lab;
    let system = lab.system();
    lab.fake.forget_calls();
    adopt(&system).unwrap();
    let top = "pool--1-pvc--1";
    let words: Vec<String> = lab
        .fake
        .calls()
        .iter()
        .filter_map(|call| match call {
            Call::Load { device, table, .. } if device == top => Some(table.lines()[0].target.params()),
            Call::Message { device, text, .. } if device == top && text != "cleaner" => Some(text.clone()),
            Call::Sync { device } => Some(format!("sync {device}")),
            Call::Suspend { device, .. } if device == top => Some("suspend".into()),
            Call::Resume { device, .. } if device == top => Some("resume".into()),
            _ => None,
        })
        .collect();
    assert!(
        words[0].ends_with(" 4096 3 high_watermark 60 cleaner"),
        "{words:?}"
    );
    assert_eq!(words[1..3], ["suspend", "resume"]);
    let rest = words.iter().position(|word| word == "flush_on_suspend").unwrap();
    assert_eq!(words[rest + 1], "flush");
    assert_eq!(words[rest + 2], format!("sync {top}"));
    assert_eq!(words[rest + 3], format!("sync {top}_wcorig"));
    assert_eq!(words[rest + 5..], ["suspend", "resume"], "{words:?}");
}

#[test]
fn a_thin_lv_over_a_cache_is_refused_with_what_takes_that_off() {
    let lab = Lab::with_pool(3);
    let pool = lab.pool();
    pool.create_thin_pool(&CreateThinPool::new(8 * UNIT)).unwrap();
    let mut request = CreateReplica::new(uuid(1), 4 * UNIT);
    request.thin = true;
    pool.create_replica(&request).unwrap();
    let thin_pool = vg(&lab);
    let thin_pool = thin_pool
        .lvs()
        .find_map(|lv| match lv.detail() {
            Some(Detail::ThinPool(detail)) => Some((lv.name().to_string(), lv.extent_count(), detail)),
            _ => None,
        })
        .unwrap();
    let (name, extents, detail) = thin_pool;
    edit(&lab, |vg| {
        vg.rename_lv(&uuid(1).to_string(), LvName::parse(THEIRS).unwrap())
            .unwrap();
        vg.set_lv_tags::<&str>(THEIRS, &[]).unwrap();
        // What is cached for a moment is the data's space in another place: which one is all the same here.
        let plans = space(vg, extents.get());
        let id = LvId::from_random([8; 32]);
        vg.add_lv(NewLv::new(LvName::parse("moment").unwrap(), id, plans))
            .unwrap();
        give_cache(vg, "moment", Form::Pool, "writeback", false);
        let cache = vg.lv("moment").unwrap().detail().unwrap();
        vg.remove_lv("moment").unwrap();
        let plan = SegmentPlan::of_detail(extents, "cache", &cache).unwrap();
        vg.replace_segments(&detail.data, vec![plan]).unwrap();
    });
    assert_eq!(lvm_meta::check(&vg(&lab)), []);
    let plan = lab
        .system()
        .plan_uncached_adoption(POOL, THEIRS, uuid(2))
        .unwrap();
    let refusal = plan.refusal.unwrap();
    assert_eq!(refusal.kind(), "Unsupported");
    let help = format!("lvconvert --uncache {POOL}/{name}");
    assert!(refusal.to_string().contains(&help), "{refusal}");
    check_refused(&lab, "Unsupported", Class::Unsupported, |system| {
        system.adopt_uncached(POOL, THEIRS, uuid(2), &mut |_| {})
    });
}
