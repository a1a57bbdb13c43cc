//! LVs of others that have a cache lose it and become replicas, on disks and devices together.

use std::time::Duration;

use lvm_dm::testing::Call;
use lvm_dm::{BlockIo, DeviceId, DeviceMapper, DmName, DmUuid, OpenMode, Table, UdevFlags};
use lvm_meta::detail::{Cache, CachePool, CacheSettings, CacheVolume, Detail};
use lvm_meta::{
    AllocRequest, Extents, Lv, LvFlags, LvId, LvName, LvStatus, NewLv, Sectors, SegmentPlan, Vg, allocate,
};
use lvm_pool::{Class, CreateReplica, Error, System};

use crate::lab::{ARMS, Lab, POOL, UNIT, uuid};
use crate::refusals::check_refused;
use crate::thin::view::{edit, vg};

const THEIRS: &str = "pvc-1";
const ORIGIN: &str = "pvc-1_corig";
/// Bytes that are cached at a time, in sectors.
const CHUNK: u64 = 64;

/// What an LV is cached by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Pool,
    Volume,
}

fn hidden(vg: &mut Vg, name: &str, id: u8, segments: Vec<SegmentPlan>, flags: LvFlags) {
    let new = NewLv {
        status: LvStatus::HIDDEN,
        flags,
        ..NewLv::new(
            LvName::parse(name).unwrap(),
            LvId::from_random([id; 32]),
            segments,
        )
    };
    vg.add_lv(new).unwrap();
}

fn space(vg: &Vg, extents: u32) -> Vec<SegmentPlan> {
    allocate(vg, &AllocRequest::new(Extents::new(extents))).unwrap()
}

/// Gives an LV a cache in the metadata, as the tools do: what it was is the origin.
fn give_cache(vg: &mut Vg, form: Form, mode: &str) {
    let extents = vg.lv(THEIRS).unwrap().extent_count();
    vg.rename_lv_with_parts(THEIRS, LvName::parse(ORIGIN).unwrap())
        .unwrap();
    let flags = vg.lv(ORIGIN).unwrap().flags();
    vg.set_lv_status(ORIGIN, LvStatus::HIDDEN, flags).unwrap();
    let settings = CacheSettings {
        metadata_format: Some(2),
        chunk_size: Some(Sectors::new(CHUNK)),
        mode: Some(mode.into()),
        policy: Some("smq".into()),
        policy_settings: None,
    };
    let (pool, type_name, volume) = match form {
        Form::Pool => {
            let (data, metadata) = ("fast_cpool_cdata", "fast_cpool_cmeta");
            let plans = space(vg, 2);
            hidden(vg, data, 1, plans, LvFlags::empty());
            let plans = space(vg, 1);
            hidden(vg, metadata, 2, plans, LvFlags::empty());
            let detail = Detail::CachePool(CachePool {
                data: data.into(),
                metadata: metadata.into(),
                settings,
            });
            let word = "cache-pool+METADATA_FORMAT";
            let plan = SegmentPlan::of_detail(Extents::new(2), word, &detail).unwrap();
            hidden(vg, "fast_cpool", 3, vec![plan], LvFlags::empty());
            ("fast_cpool", "cache", None)
        }
        Form::Volume => {
            let plans = space(vg, 3);
            hidden(vg, "fast_cvol", 3, plans, LvFlags::CACHE_VOL);
            let extent = u64::from(vg.extent_size().sectors());
            let volume = CacheVolume {
                settings,
                metadata_start: Sectors::new(0),
                metadata_len: Sectors::new(extent),
                data_start: Sectors::new(extent),
                data_len: Sectors::new(2 * extent),
                metadata_id: None,
                data_id: None,
            };
            ("fast_cvol", "cache+CACHE_USES_CACHEVOL", Some(volume))
        }
    };
    let detail = Detail::Cache(Cache {
        pool: pool.into(),
        origin: ORIGIN.into(),
        cleaner: None,
        volume,
    });
    let new = NewLv::new(
        LvName::parse(THEIRS).unwrap(),
        LvId::from_random([9; 32]),
        Vec::new(),
    );
    vg.add_detailed(new, extents, type_name, &detail).unwrap();
}

/// Makes a device as the tools do.
fn map(lab: &Lab, name: &str, uuid: &str, table: &str) -> String {
    let (name, uuid) = (DmName::new(name).unwrap(), DmUuid::new(uuid).unwrap());
    let mapper = lab.fake.inner();
    let number = mapper.create(&name, &uuid).unwrap().number;
    let id = DeviceId::Name(&name);
    mapper.load(id, &table.parse::<Table>().unwrap(), false).unwrap();
    let mut cookie = mapper.cookie().unwrap();
    mapper.resume(id, UdevFlags::empty(), &mut cookie).unwrap();
    mapper.finish(cookie, Duration::from_secs(1)).unwrap();
    number.to_string()
}

/// Maps an LV on disks, with a word behind its id; gives the number of its device.
fn map_lv(lab: &Lab, vg: &Vg, lv: &Lv, word: &str) -> String {
    let sectors = |extents: u32| vg.extent_size().to_sectors(Extents::new(extents)).get();
    let mut lines = Vec::new();
    for segment in lv.segments() {
        let lvm_meta::SegmentKind::Striped(striped) = segment.kind() else {
            panic!("{} is {}", lv.name(), segment.type_name());
        };
        let area = |area: &lvm_meta::Area| {
            let lvm_meta::Area::Pv { pv, start } = area else {
                panic!("{} lies on an LV", lv.name());
            };
            let at = vg.pvs().iter().position(|of_vg| of_vg.id() == *pv).unwrap();
            let number = lab.fake.inner().backing(&lab.images[at]).unwrap();
            format!("{number} {}", vg.pvs()[at].pe_start().get() + sectors(*start))
        };
        let areas: Vec<String> = striped.areas().iter().map(area).collect();
        let target = match areas.as_slice() {
            [area] => format!("linear {area}"),
            areas => format!(
                "striped {} {} {}",
                areas.len(),
                striped.stripe_size().get(),
                areas.join(" ")
            ),
        };
        let (start, length) = (sectors(segment.start()), sectors(segment.extent_count().get()));
        lines.push(format!("{start} {length} {target}"));
    }
    let name = format!("pool--1-{}", lv.name().replace('-', "--"));
    let uuid = format!("LVM-{}{}{word}", vg.id().as_str(), lv.id().as_str());
    map(lab, &name, &uuid, &lines.join("\n"))
}

/// Maps a cached LV with all below it.
fn map_cached(lab: &Lab, form: Form, mode: &str) {
    let vg = vg(lab);
    let lv = |name: &str| vg.lv(name).unwrap();
    let (metadata, data) = match form {
        Form::Pool => (
            map_lv(lab, &vg, lv("fast_cpool_cmeta"), "-cmeta"),
            map_lv(lab, &vg, lv("fast_cpool_cdata"), "-cdata"),
        ),
        Form::Volume => {
            let whole = map_lv(lab, &vg, lv("fast_cvol"), "-cvol");
            let extent = u64::from(vg.extent_size().sectors());
            let slice = |word: &str, start: u64, length: u64| {
                let id = lv("fast_cvol").id();
                map(
                    lab,
                    &format!("pool--1-fast_cvol-{word}"),
                    &format!("LVM-{}{}-{word}", vg.id().as_str(), id.as_str()),
                    &format!("0 {length} linear {whole} {start}"),
                )
            };
            (slice("cmeta", 0, extent), slice("cdata", extent, 2 * extent))
        }
    };
    let origin = lv(ORIGIN);
    let length = vg.extent_size().to_sectors(origin.extent_count()).get();
    let ids = |lv: &Lv| format!("LVM-{}{}", vg.id().as_str(), lv.id().as_str());
    let real = match origin.detail() {
        Some(Detail::Raid(raid)) => {
            let mut images = String::new();
            for leg in &raid.legs {
                let meta = map_lv(lab, &vg, lv(leg.meta.as_ref().unwrap()), "");
                images += &format!(" {meta} {}", map_lv(lab, &vg, lv(&leg.image), ""));
            }
            let table = format!("0 {length} raid raid1 3 0 region_size 4096 2{images}");
            map(
                lab,
                "pool--1-pvc--1_corig",
                &format!("{}-real", ids(origin)),
                &table,
            )
        }
        _ => map_lv(lab, &vg, origin, "-real"),
    };
    let table = format!("0 {length} cache {metadata} {data} {real} {CHUNK} 2 metadata2 {mode} smq 0");
    map(lab, "pool--1-pvc--1", &ids(lv(THEIRS)), &table);
}

fn unmap_all(lab: &Lab) {
    let mapper = lab.fake.inner();
    while let Some(device) = mapper.list().unwrap().into_iter().find(|device| {
        let info = mapper.info(DeviceId::Name(&device.name)).unwrap();
        info.unwrap().open_count == 0
    }) {
        let mut cookie = mapper.cookie().unwrap();
        let id = DeviceId::Name(&device.name);
        mapper.remove(id, false, UdevFlags::empty(), &mut cookie).unwrap();
        mapper.finish(cookie, Duration::from_secs(1)).unwrap();
    }
}

fn data() -> Vec<u8> {
    (0..5 * UNIT).map(|at| (at % 251) as u8).collect()
}

/// A VG with a cached LV that is mapped, and holds data that the cache alone may have.
struct Scene {
    lab: Lab,
    /// Extents that were free without the cache.
    free: u64,
    id: LvId,
}

impl Scene {
    fn new(form: Form, layout: &str, mode: &str) -> Self {
        let lab = Lab::with_pool(3);
        let mut request = CreateReplica::new(uuid(1), 8 * UNIT);
        request.layout = layout.parse().unwrap();
        lab.pool().create_replica(&request).unwrap();
        unmap_all(&lab);
        let name = uuid(1).to_string();
        edit(&lab, |vg| {
            vg.rename_lv_with_parts(&name, LvName::parse(THEIRS).unwrap())
                .unwrap();
            vg.set_lv_tags::<&str>(THEIRS, &[]).unwrap();
            vg.set_tags(&["them"]).unwrap();
        });
        let free = vg(&lab).free_extents();
        edit(&lab, |vg| give_cache(vg, form, mode));
        map_cached(&lab, form, mode);
        let scene = Self {
            id: vg(&lab).lv(THEIRS).unwrap().id(),
            lab,
            free,
        };
        let device = scene.open();
        device.write_at(UNIT, &data()).unwrap();
        device.sync().unwrap();
        scene
    }

    /// The LV's device, as somebody else has it open.
    fn open(&self) -> Box<dyn BlockIo> {
        let id = format!("LVM-{}{}", vg(&self.lab).id().as_str(), self.id.as_str());
        let id = DmUuid::new(&id).unwrap();
        let mapper = self.lab.fake.inner();
        mapper.open(DeviceId::Uuid(&id), OpenMode::ReadWrite).unwrap()
    }

    #[track_caller]
    fn check_adopted(&self, context: &str) {
        let after = vg(&self.lab);
        let lv = after.lv(&uuid(1).to_string());
        assert_eq!(lv.map(Lv::id), Some(self.id), "{context}");
        assert_eq!(after.free_extents(), self.free, "{context}");
        assert_eq!(lvm_meta::check(&after), [], "{context}");
        let is_left = |lv: &&Lv| lv.name().contains("fast") || lv.name().contains("corig");
        assert_eq!(after.lvs().find(is_left).map(Lv::name), None, "{context}");
        let pool = self.lab.pool();
        self.lab.check_devices(&pool.replicas().unwrap(), context);
    }
}

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

const FORMS: [Form; 2] = [Form::Pool, Form::Volume];

#[test]
fn a_cache_is_written_back_and_taken_off_while_the_lv_is_open() {
    for form in FORMS {
        for layout in ["linear", "striped:2", "raid1:2"] {
            for mode in ["writeback", "writethrough", "passthrough"] {
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
                    plan.active && plan.open && plan.layout.starts_with("cache"),
                    "{context}"
                );
                let told: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
                let cache = if form == Form::Pool {
                    "fast_cpool"
                } else {
                    "fast_cvol"
                };
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
                assert_eq!(last.is_some(), mode == "writeback", "{context}");
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
    for part in [ORIGIN, "fast_cpool", "fast_cpool_cdata"] {
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
    for (form, layout, is_active) in [
        (Form::Pool, "linear", true),
        (Form::Volume, "raid1:2", true),
        (Form::Volume, "linear", false),
        (Form::Pool, "raid1:2", false),
    ] {
        for (kind, arm) in ARMS {
            for at in 1.. {
                let scene = Scene::new(form, layout, "writeback");
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
                let context = format!("{form:?}, {layout}, {kind} {at}: {result:?}");
                adopt(&lab.system()).unwrap_or_else(|error| panic!("{context}: {error:?}"));
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
