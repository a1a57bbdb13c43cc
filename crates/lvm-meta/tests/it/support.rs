//! Small PVs and VGs in memory, and reading and writing them as a user of the crate does.

use std::sync::Arc;

use lvm_meta::{
    AllocRequest, Assembly, Disk, Error, ExtentSize, Extents, FoundVg, LvId, LvName, MakePv, MdaSet, NewLv,
    NewPv, NewVg, Provenance, PvId, PvLayout, Tag, Vg, VgId, VgName, allocate, assemble, make_pv, scan,
    set_pv_used,
};

/// Bytes of each disk.
pub(crate) const DISK_SIZE: usize = 2 << 20;
/// Sectors of an extent: 64 KiB.
pub(crate) const EXTENT: u32 = 128;

pub(crate) fn pv_id(number: u8) -> PvId {
    PvId::from_uuid_bytes([number; 16])
}

/// A PV with this many metadata areas of 60 KiB or a little more.
pub(crate) fn layout(mda_count: u8) -> PvLayout {
    let size = u64::try_from(DISK_SIZE).unwrap();
    let make = MakePv::new(size, ExtentSize::new(EXTENT).unwrap())
        .alignment(64 << 10)
        .mda_size(60 << 10);
    make.mda_count(mda_count).layout().unwrap()
}

/// Blank disks.
pub(crate) fn blank(count: usize) -> Vec<Vec<u8>> {
    vec![vec![0; DISK_SIZE]; count]
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        description: "Write from a test.".into(),
        creation_host: "node1".into(),
        host_uname: "Linux node1 6.1.0 #1 SMP x86_64".into(),
        creation_time: 1_795_404_063,
        creation_ctime: "Mon Nov 23 03:21:03 2026".into(),
        tool_version: "LVM2 version 2.03.16(2) (2022-05-18)".into(),
        system_id: None,
    }
}

/// A VG without PVs.
pub(crate) fn new_vg(name: &str) -> Vg {
    Vg::new(NewVg {
        name: VgName::parse(name).unwrap(),
        id: VgId::from_uuid_bytes([0xab; 16]),
        extent_size: ExtentSize::new(EXTENT).unwrap(),
        tags: vec![Tag::parse("mayastor").unwrap()],
        system_id: None,
    })
}

pub(crate) fn add_pv(vg: &mut Vg, number: u8, layout: &PvLayout) {
    vg.add_pv(NewPv {
        id: pv_id(number),
        device_hint: format!("/dev/sd{number}"),
        dev_size: lvm_meta::Sectors::from_bytes_floor(layout.device_size),
        pe_start: layout.pe_start,
        pe_count: layout.pe_count,
        device_id: None,
    })
    .unwrap();
}

/// Adds an LV that any free extents will do for.
pub(crate) fn add_lv(vg: &mut Vg, number: u16, extents: u32) {
    let segments = allocate(vg, &AllocRequest::new(Extents::new(extents))).unwrap();
    let mut id = [0xcd; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let name = LvName::parse(&format!("lv{number}")).unwrap();
    vg.add_lv(NewLv::new(name, LvId::from_uuid_bytes(id), segments))
        .unwrap();
}

/// The VG of the next commit: a change and the next sequence number.
pub(crate) fn changed(vg: &Vg, change: impl FnOnce(&mut Vg)) -> Vg {
    let mut vg = vg.clone();
    change(&mut vg);
    vg.bump_seqno().unwrap();
    vg
}

/// Everything that disks say.
pub(crate) fn read(disks: &[Arc<dyn Disk>]) -> Assembly {
    let scans = disks
        .iter()
        .enumerate()
        .filter_map(|(number, disk)| Some((number, scan(&**disk).unwrap()?)));
    assemble(scans.collect())
}

/// The one VG on disks, if there is one.
pub(crate) fn read_vg(disks: &[Arc<dyn Disk>]) -> Option<FoundVg> {
    let mut vgs = read(disks).vgs;
    assert!(vgs.len() < 2, "{} VGs", vgs.len());
    vgs.pop()
}

/// The metadata areas of a VG that was read.
pub(crate) fn open(disks: &[Arc<dyn Disk>], found: &FoundVg) -> MdaSet {
    let mut set = MdaSet::new();
    for pv in &found.pvs {
        let (Some(disk), Some(scan)) = (pv.disk, &pv.scan) else {
            continue;
        };
        let usable = scan
            .mdas
            .iter()
            .filter_map(|mda| mda.header.as_ref().ok())
            .filter(|mda| !mda.is_ignored());
        usable.for_each(|header| set.add(&disks[disk], header.clone()));
    }
    set
}

/// Commits a VG to the areas of a set.
pub(crate) fn commit(set: &mut MdaSet, vg: &Vg) -> Result<(), Error> {
    set.write(&vg.print_raw(&provenance()))?.precommit()?.commit()
}

/// Makes PVs with these numbers of metadata areas, and a VG of them all; gives the VG as committed.
pub(crate) fn create(disks: &[Arc<dyn Disk>], mda_counts: &[u8]) -> Result<Vg, Error> {
    let mut vg = new_vg("vg0");
    let mut set = MdaSet::new();
    for ((number, disk), mda_count) in (0u8..).zip(disks).zip(mda_counts) {
        let layout = layout(*mda_count);
        make_pv(&**disk, pv_id(number), &layout)?;
        set.open(disk, &layout.metadata_areas)?;
        add_pv(&mut vg, number, &layout);
    }
    vg.bump_seqno()?;
    commit(&mut set, &vg)?;
    disks.iter().try_for_each(|disk| set_pv_used(&**disk, true))?;
    Ok(vg)
}
