//! Bytes of a disk: the label, metadata areas, and texts.

use std::sync::Arc;

use lvm_meta::{
    Disk, ExtentSize, MakePv, MdaSet, MemDisk, Opaque, Provenance, PvId, SegmentKind, TextHead, Vg, assemble,
    backup_text, check, config, make_pv, scan, set_pv_used,
};

/// LVM's checksum.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new_with_initial(0x0a68_5930);
    sum.update(bytes);
    (!sum.finalize()).to_le_bytes()
}

/// What is written over a label is what was read, but for the change.
pub fn label(bytes: &[u8]) {
    let mut image = vec![0; 64 << 10];
    let given = &bytes[..bytes.len().min(512)];
    image[512..512 + given.len()].copy_from_slice(given);
    image[512..520].copy_from_slice(b"LABELONE");
    image[520..528].copy_from_slice(&1u64.to_le_bytes());
    image[536..544].copy_from_slice(b"LVM2 001");
    let sum = crc(&image[532..1024]);
    image[528..532].copy_from_slice(&sum);
    let disk = MemDisk::new(image);
    let Ok(Some(first)) = scan(&disk) else { return };
    if set_pv_used(&disk, !first.header.is_used()).is_err() {
        return;
    }
    let second = scan(&disk)
        .expect("a label that we wrote")
        .expect("a label that we wrote");
    assert_eq!(second.header.id, first.header.id);
    assert_eq!(second.header.metadata_areas, first.header.metadata_areas);
    assert_ne!(second.header.is_used(), first.header.is_used());
    lvm_meta::erase_pv(&disk).expect("a disk in memory");
    assert!(scan(&disk).expect("a disk without a label").is_none());
}

/// First byte of the area, and behind its last one.
const AREA: std::ops::Range<usize> = 4096..65_536;

/// Whatever stands in an area, a commit to it writes nowhere else and is read back, or is refused.
pub fn mda_header(bytes: &[u8]) {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new(vec![0xaa; 2 << 20]));
    let make = MakePv::new(2 << 20, ExtentSize::new(128).expect("not zero"))
        .alignment(64 << 10)
        .mda_size(60 << 10);
    make_pv(
        &*disk,
        PvId::from_uuid_bytes([1; 16]),
        &make.layout().expect("it fits"),
    )
    .expect("a disk in memory");
    let mut area = vec![0; AREA.len()];
    disk.read_at(4096, &mut area).expect("it is there");
    // 56 bytes of sizes and slots, then the ring.
    let (head, ring) = bytes.split_at(bytes.len().min(64));
    let head = &head[..head.len().min(64)];
    area[24..24 + head.len()].copy_from_slice(head);
    let length = ring.len().min(area.len() - 512);
    area[512..512 + length].copy_from_slice(&ring[..length]);
    let number = |area: &[u8], at: usize| u64::from_le_bytes(area[at..at + 8].try_into().expect("8 bytes"));
    let (offset, size) = (number(&area, 40) as usize, number(&area, 48) as usize);
    if let Some(text) = offset.checked_add(size).and_then(|end| area.get(offset..end)) {
        let sum = crc(text);
        area[56..60].copy_from_slice(&sum);
    }
    let sum = crc(&area[4..512]);
    area[..4].copy_from_slice(&sum);
    disk.write_at(4096, &area).expect("it is there");
    let before = image(&disk);
    let Ok(Some(pv)) = scan(&*disk) else {
        panic!("the label is good")
    };
    let areas = pv.header.metadata_areas.clone();
    let found = assemble(vec![(0, pv)]);
    for vg in found.vgs.iter().filter_map(|found| found.vg.as_ref().ok()) {
        print_and_check(vg);
    }
    let mut set = MdaSet::new();
    if set.open(&disk, &areas).is_err() {
        return;
    }
    let text = b"vg0 {\n}\n\0".repeat(1 + bytes.len() % 100);
    let Ok(written) = set.write(&text) else { return };
    written
        .precommit()
        .expect("a disk in memory")
        .commit()
        .expect("a disk in memory");
    let after = image(&disk);
    assert!(before[..AREA.start] == after[..AREA.start] && before[AREA.end..] == after[AREA.end..]);
    let mdas = scan(&*disk).expect("a good label").expect("a good label").mdas;
    assert!(matches!(&mdas[0].text, Some(Ok(found)) if **found == *text));
}

fn image(disk: &Arc<dyn Disk>) -> Vec<u8> {
    let mut bytes = vec![0; 2 << 20];
    disk.read_at(0, &mut bytes).expect("it is there");
    bytes
}

fn print_and_check(vg: &Vg) -> Vec<u8> {
    let _ = check(vg);
    for lv in vg.lvs() {
        let _ = vg.role(lv);
        for segment in lv.segments() {
            if let SegmentKind::Other(other) = segment.kind()
                && let Ok(Some(detail)) = other.detail()
            {
                // What is printed for a segment that we make is read as what it was made of.
                let again = Opaque::parse(other.type_name(), &detail.print());
                if let Some(again) = again.expect("our own text") {
                    assert_eq!(again.detail(), Ok(Some(detail)));
                }
            }
        }
    }
    vg.print_raw(&Provenance::default())
}

/// Reading never panics and takes no more than the text is worth.
pub fn text(bytes: &[u8]) {
    let _ = config::parse(bytes);
    let _ = Vg::peek_name(bytes);
    let head = TextHead::read(bytes);
    if let Ok(vg) = Vg::parse(bytes) {
        let head = head.expect("what can be understood can be skimmed");
        assert_eq!((head.name.as_str(), head.id), (vg.name(), Some(vg.id())));
        assert_eq!(head.seqno, Some(vg.seqno()));
        print_and_check(&vg);
    }
}

/// What is read is printed, and read from that again the same.
pub fn round_trip(bytes: &[u8]) {
    if let Ok(tree) = config::parse(bytes) {
        assert_eq!(config::parse(tree.to_string().as_bytes()), Ok(tree));
    }
    // A whole text is rare; the rest of one around any bytes is not.
    let framed = [FRONT, bytes, BACK].concat();
    for text in [bytes, &framed] {
        let Ok(vg) = Vg::parse(text) else { continue };
        let printed = print_and_check(&vg);
        let again = Vg::parse(&printed)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&printed)));
        assert!(
            print_and_check(&again) == printed,
            "{}",
            String::from_utf8_lossy(&printed)
        );
        // Texts that LVM would not lay out so may come back with other blanks, but with nothing else.
        let file = backup_text(&printed, &Provenance::default(), &|seconds| seconds.to_string());
        let file = file.expect("any text that is read has a backup");
        assert!(Vg::parse(&file).is_ok(), "{}", String::from_utf8_lossy(&file));
        let section = |text: &[u8]| {
            let tree = match config::parse(text) {
                // A tree makes a section of each part of a key that is a path; of what it cannot know a VG keeps the text.
                Err(error) if error.kind == config::TextErrorKind::TooDeep => return None,
                tree => tree.expect("it was read before"),
            };
            let vg = tree.sections().next();
            vg.map(|(name, vg)| (name.to_owned(), vg.clone()))
        };
        assert_eq!(section(&file), section(&printed));
        assert_eq!(
            (again.lv_count(), again.pvs().len()),
            (vg.lv_count(), vg.pvs().len())
        );
    }
}

const FRONT: &[u8] = br#"vg0 { id = "000000-0000-0000-0000-0000-0000-000001" seqno = 1 status = ["READ", "WRITE"] extent_size = 8
max_lv = 0 max_pv = 0 physical_volumes { pv0 { id = "000000-0000-0000-0000-0000-0000-000002" status = ["ALLOCATABLE"]
pe_start = 8 pe_count = 100 } } logical_volumes { a { id = "000000-0000-0000-0000-0000-0000-000003" status = ["READ"]
segment_count = 1 s { start_extent = 0 extent_count = 9 "#;
const BACK: &[u8] = b"\n} } } }\ncontents = \"Text Format Volume Group\"\nversion = 1\n\0";
