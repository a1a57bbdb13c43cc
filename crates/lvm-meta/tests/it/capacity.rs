//! How many replicas the metadata areas of a pool hold: the numbers in `docs/format.md`.

use lvm_meta::{
    AllocRequest, ExtentSize, Extents, LvId, LvName, MakePv, MdaSet, MemDisk, NewLv, NewPv, NewVg, Sectors,
    Tag, Vg, VgId, VgName, allocate, make_pv,
};

use crate::support::{provenance, pv_id};

/// A UUID as text: 36 characters.
fn uuid(number: u32) -> String {
    format!("{number:08x}-7a3f-4a34-9c56-1f0d2f9be001")
}

/// A pool of one large disk with this many thick replicas, each with the tags that Mayastor gives it.
fn pool(replicas: u32) -> Vg {
    let mut vg = Vg::new(NewVg {
        name: VgName::parse("pool").unwrap(),
        id: VgId::from_uuid_bytes([0xab; 16]),
        extent_size: ExtentSize::DEFAULT,
        tags: vec![Tag::parse("mayastor").unwrap()],
        system_id: None,
    });
    vg.add_pv(NewPv {
        id: pv_id(1),
        device_hint: "/dev/disk/by-id/nvme-eui.0025385471b0e1c5".into(),
        dev_size: Sectors::new(1 << 40),
        pe_start: Sectors::new(34_816),
        pe_count: Extents::new(100_000_000),
        device_id: None,
    })
    .unwrap();
    for number in 0..replicas {
        let tags = [
            "mayastor".to_owned(),
            format!("mayastor.lv.name={}", uuid(number)),
            "mayastor.lv.share=nvmf".to_owned(),
            format!("mayastor.lv.entity_id={}", uuid(number)),
        ];
        let mut id = [0x5a; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let segments = allocate(&vg, &AllocRequest::new(Extents::new(256))).unwrap();
        let new = NewLv::new(
            LvName::parse(&uuid(number)).unwrap(),
            LvId::from_uuid_bytes(id),
            segments,
        );
        let tags = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
        vg.add_lv(NewLv {
            tags,
            creation: Some((1_795_404_063, "mayastor-io-engine-0".into())),
            ..new
        })
        .unwrap();
    }
    vg
}

/// Insists that an area takes the text of this many replicas and not of one more.
#[track_caller]
fn check_most(make: MakePv, capacity: u64, replicas: u32) {
    let layout = make.layout().unwrap();
    let disk: std::sync::Arc<dyn lvm_meta::Disk> = std::sync::Arc::new(MemDisk::new(vec![0; 32 << 20]));
    make_pv(&*disk, pv_id(1), &layout).unwrap();
    let mut set = MdaSet::new();
    set.open(&disk, &layout.metadata_areas).unwrap();
    assert_eq!(set.capacity(), capacity);
    let lengths = [replicas, replicas + 1].map(|count| pool(count).print_raw(&provenance()).len());
    let fits = lengths.map(|length| u64::try_from(length).unwrap() <= capacity);
    assert_eq!(fits, [true, false], "{lengths:?}");
    assert!(set.write(&pool(replicas).print_raw(&provenance())).is_ok());
}

#[test]
fn the_areas_of_small_and_large_disks_hold_as_many_replicas_as_the_documentation_says() {
    let make = || MakePv::new(32 << 20, ExtentSize::new(128).unwrap());
    check_most(make(), 521_472, 1042);
    check_most(make().mda_size(16 << 20), 8_910_080, 17_791);
    let document = include_str!("../../../../docs/format.md");
    for stated in ["| 521 472 | 1 042 |", "| 8 910 080 | 17 791 |"] {
        assert!(document.contains(stated), "{stated}");
    }
}
