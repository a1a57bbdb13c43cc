//! LVs that have a cache as the tools give them one, in the metadata and mapped.

use std::time::Duration;

use lvm_dm::{BlockIo, DeviceId, DeviceMapper, DmName, DmUuid, OpenMode, Table, UdevFlags};
use lvm_meta::detail::{
    Cache, CachePool, CacheSettings, CacheVolume, Detail, Raid, RaidLayout, RaidLeg, Writecache,
};
use lvm_meta::{
    AllocRequest, Extents, Lv, LvFlags, LvId, LvName, LvStatus, NewLv, Sectors, SegmentPlan, Vg, allocate,
};
use lvm_pool::CreateReplica;

use crate::lab::{Lab, UNIT, uuid};
use crate::thin::view::{edit, vg};

pub(super) const THEIRS: &str = "pvc-1";
/// Bytes that are cached at a time, in sectors.
pub(super) const CHUNK: u64 = 64;
/// Bytes of a block of a cache of writes.
pub(super) const BLOCK: u64 = 4096;

/// What an LV is cached by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Pool,
    Volume,
    /// A cache of writes alone.
    Writes,
}

impl Form {
    pub(super) fn origin(self) -> &'static str {
        match self {
            Self::Pool | Self::Volume => "pvc-1_corig",
            Self::Writes => "pvc-1_wcorig",
        }
    }

    pub(super) fn cache(self) -> &'static str {
        match self {
            Self::Pool => "fast_cpool",
            Self::Volume | Self::Writes => "fast_cvol",
        }
    }
}

pub(super) fn hidden(vg: &mut Vg, name: &str, id: u8, segments: Vec<SegmentPlan>, flags: LvFlags) {
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

pub(super) fn space(vg: &Vg, extents: u32) -> Vec<SegmentPlan> {
    allocate(vg, &AllocRequest::new(Extents::new(extents))).unwrap()
}

/// Makes a part of a cache, an array of two images if that is asked for.
pub(super) fn part(vg: &mut Vg, name: &str, id: u8, extents: u32, flags: LvFlags, is_array: bool) {
    let plans = space(vg, extents);
    if !is_array {
        return hidden(vg, name, id, plans, flags);
    }
    let mut legs = Vec::new();
    for at in 0..2 {
        let [image, meta] = ["rimage", "rmeta"].map(|word| format!("{name}_{word}_{at}"));
        let plans = space(vg, extents);
        hidden(vg, &image, 10 + 8 * id + at, plans, LvFlags::empty());
        let plans = space(vg, 1);
        hidden(vg, &meta, 14 + 8 * id + at, plans, LvFlags::empty());
        legs.push(RaidLeg {
            meta: Some(meta.as_str().into()),
            image: image.as_str().into(),
        });
    }
    let raid = Detail::Raid(Raid {
        layout: RaidLayout::Raid1,
        legs,
        data_copies: None,
        region_size: Some(Sectors::new(4096)),
        stripe_size: None,
        write_behind: None,
        min_recovery_rate: None,
        max_recovery_rate: None,
        data_offset: None,
    });
    let plan = SegmentPlan::of_detail(Extents::new(extents), "raid1", &raid).unwrap();
    hidden(vg, name, id, vec![plan], flags);
}

/// Gives an LV a cache in the metadata, as the tools do: what it was is the origin.
pub(super) fn give_cache(vg: &mut Vg, name: &str, form: Form, mode: &str, has_arrays: bool) {
    let extents = vg.lv(name).unwrap().extent_count();
    let origin = form.origin();
    vg.rename_lv_with_parts(name, LvName::parse(origin).unwrap())
        .unwrap();
    let flags = vg.lv(origin).unwrap().flags();
    vg.set_lv_status(origin, LvStatus::HIDDEN, flags).unwrap();
    let settings = CacheSettings {
        metadata_format: Some(2),
        chunk_size: Some(Sectors::new(CHUNK)),
        mode: Some(mode.into()),
        policy: Some("smq".into()),
        policy_settings: None,
    };
    let (type_name, volume) = match form {
        Form::Pool => {
            let (data, metadata) = ("fast_cpool_cdata", "fast_cpool_cmeta");
            part(vg, data, 1, 2, LvFlags::empty(), has_arrays);
            part(vg, metadata, 2, 1, LvFlags::empty(), has_arrays);
            let detail = Detail::CachePool(CachePool {
                data: data.into(),
                metadata: metadata.into(),
                settings,
            });
            let word = "cache-pool+METADATA_FORMAT";
            let plan = SegmentPlan::of_detail(Extents::new(2), word, &detail).unwrap();
            hidden(vg, "fast_cpool", 3, vec![plan], LvFlags::empty());
            ("cache", None)
        }
        Form::Volume => {
            part(vg, "fast_cvol", 3, 3, LvFlags::CACHE_VOL, has_arrays);
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
            ("cache+CACHE_USES_CACHEVOL", Some(volume))
        }
        Form::Writes => {
            part(vg, "fast_cvol", 3, 3, LvFlags::CACHE_VOL, has_arrays);
            ("writecache", None)
        }
    };
    let detail = match form {
        Form::Writes => Detail::Writecache(Writecache {
            cache: form.cache().into(),
            origin: origin.into(),
            block_size: BLOCK,
            settings: vec![("high_watermark", 60)],
            other_setting: None,
        }),
        _ => Detail::Cache(Cache {
            pool: form.cache().into(),
            origin: origin.into(),
            cleaner: None,
            volume,
        }),
    };
    let new = NewLv::new(
        LvName::parse(name).unwrap(),
        LvId::from_random([9; 32]),
        Vec::new(),
    );
    vg.add_detailed(new, extents, type_name, &detail).unwrap();
}

/// Makes a device as the tools do.
pub(super) fn map(lab: &Lab, name: &str, uuid: &str, table: &str) -> String {
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
pub(super) fn map_lv(lab: &Lab, vg: &Vg, lv: &Lv, word: &str) -> String {
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
pub(super) fn map_cached(lab: &Lab, form: Form, mode: &str) {
    let vg = vg(lab);
    let lv = |name: &str| vg.lv(name).unwrap();
    let below = match form {
        Form::Writes => vec![map_lv(lab, &vg, lv("fast_cvol"), "-cvol")],
        Form::Pool => vec![
            map_part(lab, &vg, "fast_cpool_cmeta", "-cmeta"),
            map_part(lab, &vg, "fast_cpool_cdata", "-cdata"),
        ],
        Form::Volume => {
            let whole = map_part(lab, &vg, "fast_cvol", "-cvol");
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
            vec![slice("cmeta", 0, extent), slice("cdata", extent, 2 * extent)]
        }
    };
    let origin = lv(form.origin());
    let length = vg.extent_size().to_sectors(origin.extent_count()).get();
    let real = map_part(lab, &vg, form.origin(), "-real");
    let below = below.join(" ");
    let table = match form {
        Form::Writes => format!("0 {length} writecache s {real} {below} {BLOCK} 2 high_watermark 60"),
        _ => format!("0 {length} cache {below} {real} {CHUNK} 2 metadata2 {mode} smq 0"),
    };
    let id = format!("LVM-{}{}", vg.id().as_str(), lv(THEIRS).id().as_str());
    map(lab, "pool--1-pvc--1", &id, &table);
}

/// Maps a part of a cached LV, on disks or an array; gives the number of its device.
pub(super) fn map_part(lab: &Lab, vg: &Vg, name: &str, word: &str) -> String {
    let lv = |name: &str| vg.lv(name).unwrap();
    let part = lv(name);
    match part.detail() {
        Some(Detail::Raid(raid)) => {
            let mut images = String::new();
            for leg in &raid.legs {
                let meta = map_lv(lab, vg, lv(leg.meta.as_ref().unwrap()), "");
                images += &format!(" {meta} {}", map_lv(lab, vg, lv(&leg.image), ""));
            }
            let length = vg.extent_size().to_sectors(part.extent_count()).get();
            let table = format!("0 {length} raid raid1 3 0 region_size 4096 2{images}");
            let device = format!("pool--1-{}", name.replace('-', "--"));
            let uuid = format!("LVM-{}{}{word}", vg.id().as_str(), part.id().as_str());
            map(lab, &device, &uuid, &table)
        }
        _ => map_lv(lab, vg, part, word),
    }
}

pub(super) fn unmap_all(lab: &Lab) {
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

pub(super) fn data() -> Vec<u8> {
    (0..5 * UNIT).map(|at| (at % 251) as u8).collect()
}

/// A VG with a cached LV that is mapped, and holds data that the cache alone may have.
pub(super) struct Scene {
    pub(super) lab: Lab,
    /// Extents that were free without the cache.
    pub(super) free: u64,
    pub(super) id: LvId,
}

impl Scene {
    pub(super) fn new(form: Form, layout: &str, mode: &str) -> Self {
        Self::over(form, layout, mode, false)
    }

    /// One whose cache consists of arrays, if that is asked for.
    pub(super) fn over(form: Form, layout: &str, mode: &str, has_arrays: bool) -> Self {
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
        edit(&lab, |vg| give_cache(vg, THEIRS, form, mode, has_arrays));
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
    pub(super) fn open(&self) -> Box<dyn BlockIo> {
        let id = format!("LVM-{}{}", vg(&self.lab).id().as_str(), self.id.as_str());
        let id = DmUuid::new(&id).unwrap();
        let mapper = self.lab.fake.inner();
        mapper.open(DeviceId::Uuid(&id), OpenMode::ReadWrite).unwrap()
    }

    #[track_caller]
    pub(super) fn check_adopted(&self, context: &str) {
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
