//! The cost of what every change of a pool does with its metadata, at 10, 1 000 and 10 000 replicas.
//!
//! The disk is memory, so that nothing but the code is measured.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lvm_native::meta::{
    AllocRequest, Disk, ExtentSize, Extents, LvId, LvName, MakePv, MdaSet, MemDisk, NewLv, NewPv, NewVg,
    Provenance, PvId, Tag, Vg, VgId, VgName, allocate, check, make_pv,
};

const SIZES: [u32; 3] = [10, 1_000, 10_000];

/// A pool of one disk with replicas of a gibibyte, tagged as Mayastor tags them.
fn pool(replicas: u32) -> Vg {
    let extent_size = ExtentSize::DEFAULT;
    let layout = MakePv::new(1 << 46, extent_size)
        .mda_size(16 << 20)
        .layout()
        .expect("it fits");
    let (name, id) = (
        VgName::parse("pool").expect("legal"),
        VgId::from_uuid_bytes([0xab; 16]),
    );
    let mut vg = Vg::new(NewVg {
        name,
        id,
        extent_size,
        tags: Vec::new(),
        system_id: None,
    });
    vg.add_pv(NewPv {
        id: PvId::from_uuid_bytes([1; 16]),
        device_hint: "/dev/sda".into(),
        dev_size: lvm_native::meta::Sectors::from_bytes_floor(layout.device_size),
        pe_start: layout.pe_start,
        pe_count: layout.pe_count,
        device_id: None,
    })
    .expect("a new PV");
    (0..replicas).for_each(|number| add(&mut vg, number));
    vg
}

fn add(vg: &mut Vg, number: u32) {
    let uuid = format!("{number:08x}-7a3f-4a34-9c56-1f0d2f9be001");
    let tags = [
        "mayastor".into(),
        format!("mayastor.lv.name={uuid}"),
        "mayastor.lv.share=nvmf".into(),
    ];
    let mut id = [0x5a; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let segments = allocate(vg, &AllocRequest::new(Extents::new(256))).expect("there is room");
    let new = NewLv::new(
        LvName::parse(&uuid).expect("legal"),
        LvId::from_uuid_bytes(id),
        segments,
    );
    let tags = tags.iter().map(|tag| Tag::parse(tag).expect("legal")).collect();
    let creation = Some((1_795_404_063, "mayastor-io-engine-0".into()));
    vg.add_lv(NewLv {
        tags,
        creation,
        ..new
    })
    .expect("free");
}

/// An area of 17 MiB on a disk in memory.
fn area() -> MdaSet {
    let layout = MakePv::new(32 << 20, ExtentSize::DEFAULT)
        .mda_size(16 << 20)
        .layout()
        .expect("it fits");
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new(vec![0; 32 << 20]));
    make_pv(&*disk, PvId::from_uuid_bytes([1; 16]), &layout).expect("memory does not fail");
    let mut set = MdaSet::new();
    set.open(&disk, &layout.metadata_areas).expect("it was just made");
    set
}

fn metadata(criterion: &mut Criterion) {
    for replicas in SIZES {
        let vg = pool(replicas);
        let text = vg.print_raw(&Provenance::default());
        let mut group = criterion.benchmark_group("metadata");
        group.sample_size(20);
        group.throughput(Throughput::Elements(replicas.into()));
        group.bench_function(BenchmarkId::new("parse", replicas), |bench| {
            bench.iter(|| Vg::parse(black_box(&text)).expect("we printed it"));
        });
        group.bench_function(BenchmarkId::new("print", replicas), |bench| {
            bench.iter(|| black_box(&vg).print_raw(&Provenance::default()));
        });
        group.bench_function(BenchmarkId::new("check", replicas), |bench| {
            bench.iter(|| check(black_box(&vg)))
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("allocate", replicas), |bench| {
            bench.iter(|| allocate(black_box(&vg), &AllocRequest::new(Extents::new(256))));
        });
        group.bench_function(BenchmarkId::new("add and remove one", replicas), |bench| {
            let mut vg = vg.clone();
            let name = format!("{:08x}-7a3f-4a34-9c56-1f0d2f9be001", u32::MAX);
            bench.iter(|| {
                add(&mut vg, u32::MAX);
                vg.remove_lv(&name).expect("it was just made")
            });
        });
        group.bench_function(BenchmarkId::new("commit one change", replicas), |bench| {
            let (mut vg, mut set) = (vg.clone(), area());
            bench.iter(|| {
                vg.bump_seqno().expect("far from the end");
                let text = vg.print_raw(&Provenance::default());
                let written = set.write(&text).expect("it fits");
                written
                    .precommit()
                    .expect("memory does not fail")
                    .commit()
                    .expect("memory does not fail");
            });
        });
        group.finish();
    }
}

criterion_group!(benches, metadata);
criterion_main!(benches);
