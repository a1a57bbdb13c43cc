//! What the disks and the mapper say, looked at without the library under test.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use lvm_dm::{DeviceId, DeviceMapper, ThinMetadata, ThinPoolStatus};
use lvm_meta::detail::{Detail, ThinPool};
use lvm_meta::{Area, FileDisk, LvId, Provenance, SegmentKind, Vg};

use crate::lab::Lab;
use crate::restore;

/// Bytes of a block of the kernel's metadata.
const BLOCK: u64 = 4096;

/// The committed metadata.
pub(crate) fn vg(lab: &Lab) -> Vg {
    let scan = |(at, image)| {
        let disk = FileDisk::new(File::open(image).unwrap());
        Some((at, lvm_meta::scan(&disk).unwrap()?))
    };
    let scans = lab.images.iter().enumerate().filter_map(scan).collect();
    let found = lvm_meta::assemble(scans).vgs.pop().unwrap();
    found.vg.unwrap()
}

/// Commits a change of the metadata, as another writer would.
pub(crate) fn edit(lab: &Lab, change: impl FnOnce(&mut Vg)) {
    let mut vg = vg(lab);
    change(&mut vg);
    vg.bump_seqno().unwrap();
    assert_eq!(lvm_meta::check(&vg), []);
    let disks: Vec<usize> = (0..lab.images.len()).collect();
    restore::commit(lab, &disks, &vg.print_raw(&Provenance::default()));
}

/// Commits the text with names replaced, as another writer would.
pub(crate) fn edit_text(lab: &Lab, names: &[(&str, &str)]) {
    let mut vg = vg(lab);
    vg.bump_seqno().unwrap();
    let text = String::from_utf8(vg.print_raw(&Provenance::default())).unwrap();
    let text = names.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in {text}");
        text.replace(old, new)
    });
    let disks: Vec<usize> = (0..lab.images.len()).collect();
    restore::commit(lab, &disks, text.as_bytes());
    assert_eq!(lvm_meta::check(&self::vg(lab)), []);
}

/// The fields of a thin pool.
pub(super) fn pool_of(vg: &Vg, name: &str) -> ThinPool {
    match vg.lv(name).and_then(|lv| lv.detail()) {
        Some(Detail::ThinPool(pool)) => pool,
        other => panic!("{name} is {other:?}"),
    }
}

/// Changes the fields of a thin pool.
pub(super) fn edit_pool(vg: &mut Vg, name: &str, change: impl FnOnce(&mut ThinPool)) {
    let mut pool = pool_of(vg, name);
    change(&mut pool);
    let extents = vg.lv(name).unwrap().extent_count();
    vg.set_detail(name, extents, &Detail::ThinPool(pool)).unwrap();
}

/// The numbers of a pool's devices that the metadata have.
pub(super) fn device_ids(vg: &Vg, pool: &str) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    for lv in vg.lvs() {
        if let Some(Detail::Thin(thin)) = lv.detail()
            && *thin.pool == *pool
        {
            assert!(ids.insert(thin.device_id), "{} is twice", thin.device_id);
        }
    }
    ids
}

/// What the kernel committed of a pool; `None` before it first saw it.
pub(super) fn kernel(lab: &Lab, vg: &Vg, pool: &ThinPool) -> Option<ThinMetadata> {
    let mut lv = vg.lv(&pool.metadata).unwrap();
    if let Some(Detail::Raid(raid)) = lv.detail() {
        // Copies, of which the test's mapper makes none worse than another.
        lv = vg.lv(&raid.legs[0].image).unwrap();
    }
    let extent = vg.extent_size().bytes();
    ThinMetadata::read(&mut |block, bytes| {
        let at = block * BLOCK;
        let index = u32::try_from(at / extent).unwrap();
        let mut segments = lv.segments().iter();
        let segment = segments.find(|segment| {
            (segment.start()..segment.start() + segment.extent_count().get()).contains(&index)
        });
        let segment = segment.ok_or(io::ErrorKind::UnexpectedEof)?;
        let SegmentKind::Striped(striped) = segment.kind() else {
            panic!("{} is {}", lv.name(), segment.type_name());
        };
        let [Area::Pv { pv, start }] = striped.areas() else {
            panic!("{} is striped", lv.name());
        };
        let disk = vg.pvs().iter().position(|of_vg| of_vg.id() == *pv).unwrap();
        let first = vg.pvs()[disk].pe_start().get() * 512;
        let on_disk = first + u64::from(start + index - segment.start()) * extent + at % extent;
        File::open(&lab.images[disk])?.read_exact_at(bytes, on_disk)
    })
    .unwrap()
}

/// The numbers of all devices of the kernel's pools.
pub(super) fn kernel_ids(lab: &Lab, pool: &str) -> BTreeSet<u32> {
    let vg = vg(lab);
    let found = kernel(lab, &vg, &pool_of(&vg, pool));
    found.map_or_else(BTreeSet::new, |found| found.devices.into_keys().collect())
}

/// Is a device stopped?
pub(super) fn is_anything_suspended(lab: &Lab) -> bool {
    let mapper = lab.fake.inner();
    let devices = mapper.list().unwrap();
    let mut infos = devices
        .iter()
        .map(|device| mapper.info(DeviceId::Name(&device.name)).unwrap().unwrap());
    infos.any(|info| info.suspended)
}

/// What every moment of rest shows: both metadata agree, nothing is pending, stopped, staged, or without an LV.
#[track_caller]
pub(super) fn check_at_rest(lab: &Lab, context: &str) {
    check_with_leaks(lab, &[], context);
}

/// As [`check_at_rest`], with devices that only the kernel has.
#[track_caller]
pub(super) fn check_with_leaks(lab: &Lab, leaks: &[u32], context: &str) {
    let vg = vg(lab);
    assert_eq!(lvm_meta::check(&vg), [], "{context}");
    for lv in vg.lvs() {
        let Some(Detail::ThinPool(pool)) = lv.detail() else {
            continue;
        };
        assert_eq!(pool.messages, [], "{context}");
        let mut ids = device_ids(&vg, lv.name());
        ids.extend(leaks);
        match kernel(lab, &vg, &pool) {
            None => assert!(ids.is_empty() && pool.transaction_id == 0, "{context}"),
            Some(kernel) => {
                assert_eq!(kernel.transaction_id, pool.transaction_id, "{context}");
                let of_kernel: BTreeSet<u32> = kernel.devices.into_keys().collect();
                assert_eq!(of_kernel, ids, "{context}");
            }
        }
    }
    check_devices(lab, &vg, context);
}

#[track_caller]
fn check_devices(lab: &Lab, vg: &Vg, context: &str) {
    let mapper = lab.fake.inner();
    for device in mapper.list().unwrap() {
        let info = mapper.info(DeviceId::Name(&device.name)).unwrap().unwrap();
        assert!(
            !info.suspended && info.live_table && !info.inactive_table,
            "{context}: {info:?}"
        );
        let uuid = device.uuid.unwrap();
        let lv = LvId::parse(&uuid.as_str()[36..68]).ok();
        let lv = lv.and_then(|id| vg.lv_by_id(id));
        let lv = lv.unwrap_or_else(|| panic!("{context}: a device without an LV: {info:?}"));
        let table = mapper.table(DeviceId::Name(&device.name), false).unwrap();
        let size = vg.extent_size().to_bytes(lv.extent_count()).unwrap();
        assert_eq!(table.length() * 512, size, "{context}: {table}");
        if info.name.as_str().ends_with("-tpool") {
            let status = mapper.status(DeviceId::Name(&device.name), false).unwrap();
            let status = ThinPoolStatus::parse(&status[0]).unwrap();
            let Some(Detail::ThinPool(pool)) = lv.detail() else {
                panic!("{context}: {info:?} of {}", lv.name());
            };
            assert_eq!(status.transaction_id, pool.transaction_id, "{context}");
        }
    }
}
