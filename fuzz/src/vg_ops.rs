//! Changes to a VG beside a model of it: who owns which extent, and what is on the disks after a loss of power.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lvm_meta::testing::CrashDisks;
use lvm_meta::{
    AllocPolicy, AllocRequest, Area, Disk, DiskArea, ExtentSize, Extents, FoundVg, LastCheck, LastPrint,
    Layout, LvId, LvName, MdaSet, NewLv, NewPv, NewVg, Provenance, PvId, PvLayout, Sectors, SegmentKind, Vg,
    VgId, VgName, allocate, assemble, check, make_pv, scan, set_pv_used,
};

/// Small, so that many changes are tried in a minute.
const DISK_SIZE: usize = 256 << 10;
const DISKS: u8 = 3;

/// 48 extents of 4 KiB between areas of 28 KiB at the start and 32 KiB at the end, or where those would be.
fn layout(mda_count: u8) -> PvLayout {
    let areas = [
        DiskArea {
            offset: 4096,
            size: 28 << 10,
        },
        DiskArea {
            offset: 224 << 10,
            size: 32 << 10,
        },
    ];
    PvLayout {
        device_size: DISK_SIZE as u64,
        metadata_areas: areas[..usize::from(mda_count)].to_vec(),
        bootloader: None,
        pe_start: Sectors::new(64),
        pe_count: Extents::new(48),
    }
}

/// Hands out the input, and zeroes behind its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, limit: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number.checked_rem(limit).unwrap_or(0)
    }
}

/// An LV by name: the extents that it holds, in its own order, and its tags.
type Model = BTreeMap<String, (Vec<(PvId, u32)>, Vec<String>)>;

/// The model of a VG as its segments have it: stripes laid out extent by extent on each area.
fn model_of(vg: &Vg) -> Model {
    let extents = |lv: &lvm_meta::Lv| {
        let mut extents = Vec::new();
        for segment in lv.segments() {
            let SegmentKind::Striped(striped) = segment.kind() else {
                panic!("{segment:?}")
            };
            for offset in 0..striped.area_extents(segment.extent_count()).get() {
                for area in striped.areas() {
                    let Area::Pv { pv, start } = area else {
                        panic!("{area:?}")
                    };
                    extents.push((*pv, start + offset));
                }
            }
        }
        extents
    };
    let tags = |lv: &lvm_meta::Lv| lv.tags().map(str::to_owned).collect();
    vg.lvs()
        .map(|lv| (lv.name().to_owned(), (extents(lv), tags(lv))))
        .collect()
}

fn read(disks: &[Arc<dyn Disk>]) -> FoundVg {
    let scans = disks
        .iter()
        .enumerate()
        .map(|(number, disk)| (number, scan(&**disk).expect("readable").expect("a label")));
    let mut found = assemble(scans.collect());
    assert_eq!((found.vgs.len(), found.orphans.len()), (1, 0));
    found.vgs.remove(0)
}

fn commit(disks: &[Arc<dyn Disk>], found: &FoundVg, vg: &Vg) -> bool {
    let mut set = MdaSet::new();
    for pv in &found.pvs {
        let (disk, scan) = (&disks[pv.disk.expect("there")], pv.scan.as_ref().expect("there"));
        scan.mdas
            .iter()
            .for_each(|mda| set.add(disk, mda.header.as_ref().expect("good").clone()));
    }
    match set.write(&vg.print_raw(&Provenance::default())) {
        Ok(written) => written
            .precommit()
            .expect("in memory")
            .commit()
            .expect("in memory"),
        Err(lvm_meta::Error::TextTooLarge { .. }) => return false,
        Err(error) => panic!("{error}"),
    }
    true
}

/// Disks with a VG of all of them, with one metadata area, two, and none.
fn create() -> Vec<Vec<u8>> {
    let crash = CrashDisks::new(vec![vec![0; DISK_SIZE]; usize::from(DISKS)]);
    let extent_size = ExtentSize::new(8).expect("not zero");
    let (name, id) = (
        VgName::parse("vg0").expect("legal"),
        VgId::from_uuid_bytes([9; 16]),
    );
    let mut vg = Vg::new(NewVg {
        name,
        id,
        extent_size,
        tags: Vec::new(),
        system_id: None,
    });
    let mut set = MdaSet::new();
    for (number, disk) in (0..DISKS).zip(&crash.disks()) {
        let layout = layout((number + 1) % 3);
        let id = PvId::from_uuid_bytes([number; 16]);
        make_pv(&**disk, id, &layout).expect("in memory");
        set.open(disk, &layout.metadata_areas).expect("good");
        vg.add_pv(NewPv {
            id,
            device_hint: String::new(),
            dev_size: Sectors::from_bytes_floor(layout.device_size),
            pe_start: layout.pe_start,
            pe_count: layout.pe_count,
            device_id: None,
        })
        .expect("a new PV");
    }
    vg.bump_seqno().expect("the first");
    let text = vg.print_raw(&Provenance::default());
    set.write(&text)
        .expect("good")
        .precommit()
        .expect("good")
        .commit()
        .expect("good");
    crash
        .disks()
        .iter()
        .for_each(|disk| set_pv_used(&**disk, true).expect("in memory"));
    crash.durable_images()
}

/// One change to the VG, and the same to the model.
fn change(
    input: &mut Input<'_>,
    vg: &mut Vg,
    last: &mut (LastPrint, LastCheck),
    model: &mut Model,
    number: u16,
) {
    let names: Vec<String> = model.keys().cloned().collect();
    let policy = [
        AllocPolicy::Normal,
        AllocPolicy::Contiguous,
        AllocPolicy::Cling,
        AllocPolicy::Anywhere,
    ][input.below(4)];
    let layout = match u32::from(input.byte() % 5) {
        0 | 1 => Layout::Linear,
        stripes => Layout::Striped {
            stripes,
            stripe_size: Sectors::new(8),
        },
    };
    let what = input.byte() % 6;
    let existing = names.get(input.below(names.len())).cloned();
    let extents = Extents::new(1 + u32::from(input.byte() % 40));
    match (what, existing) {
        (0 | 1, _) | (_, None) => {
            let request = AllocRequest {
                layout,
                policy,
                ..AllocRequest::new(extents)
            };
            let Ok(segments) = allocate(vg, &request) else {
                return;
            };
            let name = format!("lv{number}");
            let mut id = [7; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            vg.add_lv(NewLv::new(
                LvName::parse(&name).expect("legal"),
                LvId::from_uuid_bytes(id),
                segments,
            ))
            .expect("free");
            model.insert(name.clone(), model_of(vg)[&name].clone());
        }
        (2, Some(name)) => {
            let request = AllocRequest {
                layout,
                policy,
                extend: Some(&name),
                ..AllocRequest::new(extents)
            };
            let Ok(segments) = allocate(vg, &request) else {
                return;
            };
            vg.extend_lv(&name, segments).expect("free");
            let grown = model_of(vg)[&name].clone();
            // Growing moves nothing that was there, unless a striped segment was made longer.
            assert!(
                layout != Layout::Linear
                    || grown.0.starts_with(&model[&name].0)
                    || grown.0.len() > model[&name].0.len()
            );
            model.insert(name, grown);
        }
        (3, Some(name)) => {
            vg.remove_lv(&name).expect("unused");
            model.remove(&name);
        }
        (4, Some(name)) => {
            let has = vg.lv(&name).expect("there").extent_count().get();
            if vg.reduce_lv(&name, extents).is_ok() {
                assert!(extents.get() <= has);
                let cut = model_of(vg)[&name].clone();
                assert_eq!(cut.0.len(), extents.get() as usize);
                model.insert(name, cut);
            }
        }
        (_, Some(name)) => {
            let tags = vec![format!("t{number}")];
            vg.set_lv_tags(&name, &tags).expect("legal");
            model.get_mut(&name).expect("there").1 = tags;
        }
    }
    let mut owners = HashMap::new();
    for (name, (extents, _)) in &*model {
        for extent in extents {
            assert_eq!(owners.insert(*extent, name), None, "{extent:?} has two owners");
        }
    }
    let used: u64 = vg.pvs().iter().map(|pv| u64::from(pv.used().get())).sum();
    assert_eq!(used, owners.len() as u64);
    assert_eq!(check(vg), []);
    let provenance = Provenance::default();
    assert_eq!(last.1.check(vg), []);
    assert_eq!(
        last.0.print_raw(vg, &provenance).bytes(),
        vg.print_raw(&provenance)
    );
}

/// Changes, commits, and losses of power, as the input says.
pub fn vg_ops(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut images = create();
    let mut old_model = Model::new();
    let mut last = Default::default();
    for number in 0..48 {
        if input.0.is_empty() {
            return;
        }
        let crash = CrashDisks::new(images);
        let disks = crash.disks();
        let found = read(&disks);
        assert_eq!(found.ambiguous, None);
        let old = found.vg.as_ref().expect("readable").clone();
        assert_eq!(model_of(&old), old_model);
        let (mut vg, mut model) = (old.clone(), old_model.clone());
        for step in 0..1 + u16::from(input.byte() % 4) {
            change(&mut input, &mut vg, &mut last, &mut model, number * 4 + step);
        }
        assert_eq!(model_of(&vg), model);
        vg.bump_seqno().expect("far from the end");
        if !commit(&disks, &found, &vg) {
            return;
        }
        // The power goes at one moment, or not at all.
        let points = crash.crash_points();
        images = match input.byte() % 3 {
            0 => crash.durable_images(),
            _ => crash.image(&points[input.below(points.len())]),
        };
        let fresh = CrashDisks::new(images);
        let found = read(&fresh.disks()).vg.expect("readable");
        assert!(found.seqno() == old.seqno() || found.seqno() == vg.seqno());
        let is_new = found.seqno() == vg.seqno();
        old_model = if is_new { model } else { old_model };
        assert_eq!(model_of(&found), old_model);
        images = fresh.images();
    }
}
