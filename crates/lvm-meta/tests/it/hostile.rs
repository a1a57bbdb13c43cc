//! Disks and texts that somebody made to hurt: typed errors, no panic, no endless loop, no memory without bound.

use std::sync::Arc;

use lvm_meta::detail::Detail;
use lvm_meta::{
    CorruptKind, Disk, DiskArea, Error, MdaSet, MemDisk, Opaque, Part, TextProblem, Vg, assemble, check,
    make_pv, scan,
};

use crate::fixtures;
use crate::support::{DISK_SIZE, blank, create, layout, provenance, pv_id};
use crate::texts::{linear, part, shown, vg};

/// LVM's checksum.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new_with_initial(0x0a68_5930);
    sum.update(bytes);
    (!sum.finalize()).to_le_bytes()
}

/// A disk with one area, as made, and its bytes for changing.
fn image() -> Vec<u8> {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new(blank(1).remove(0)));
    create(std::slice::from_ref(&disk), &[1]).unwrap();
    let mut bytes = vec![0; DISK_SIZE];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Changes the label's sector and makes its checksum good again.
fn with_label(change: impl FnOnce(&mut [u8])) -> MemDisk {
    let mut bytes = image();
    let label = &mut bytes[512..1024];
    change(label);
    let sum = crc(&label[20..]);
    label[16..20].copy_from_slice(&sum);
    MemDisk::new(bytes)
}

/// Changes the area's header and makes its checksum good again.
fn with_header(change: impl FnOnce(&mut [u8])) -> MemDisk {
    let mut bytes = image();
    let header = &mut bytes[4096..4608];
    change(header);
    let sum = crc(&header[4..]);
    header[..4].copy_from_slice(&sum);
    MemDisk::new(bytes)
}

fn put(at: usize, value: u64) -> impl FnOnce(&mut [u8]) {
    move |bytes| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes())
}

#[track_caller]
fn check_label(disk: &MemDisk, part: Part) -> CorruptKind {
    match scan(disk) {
        Err(Error::Corrupt {
            part: found, kind, ..
        }) if found == part => kind,
        other => panic!("{other:?}"),
    }
}

/// The error of the first area's header or of its text.
#[track_caller]
fn area_error(disk: &MemDisk) -> Error {
    let mda = scan(disk).unwrap().unwrap().mdas.remove(0);
    match (mda.header, mda.text) {
        (Err(error), _) | (_, Some(Err(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_area(disk: &MemDisk, field: &str) {
    match area_error(disk) {
        Error::Corrupt {
            kind: CorruptKind::Field { field: found, .. },
            ..
        } => assert_eq!(found, field),
        other => panic!("{other}"),
    }
}

#[test]
fn labels_that_lie_are_refused_by_name() {
    assert!(matches!(
        check_label(&with_label(put(8, 2)), Part::Label),
        CorruptKind::Field { field: "sector", .. }
    ));
    assert!(matches!(
        check_label(&with_label(put(24, 7)), Part::Label),
        CorruptKind::Magic
    ));
    for offset in [0u32, 31, 512, u32::MAX] {
        let disk = with_label(|label| label[20..24].copy_from_slice(&offset.to_le_bytes()));
        assert!(
            matches!(
                check_label(&disk, Part::Label),
                CorruptKind::Field { field: "offset", .. }
            ),
            "{offset}"
        );
    }
    let near_end = with_label(|label| label[20..24].copy_from_slice(&480u32.to_le_bytes()));
    assert_eq!(check_label(&near_end, Part::PvHeader), CorruptKind::PastEnd);
    assert_eq!(
        check_label(&with_label(|label| label[40] = b'*'), Part::PvHeader),
        CorruptKind::Id
    );
    assert_eq!(
        check_label(&with_label(|label| label[72..].fill(1)), Part::PvHeader),
        CorruptKind::PastEnd
    );
    let mut wrong_sum = image();
    wrong_sum[600] ^= 1;
    assert!(matches!(
        check_label(&MemDisk::new(wrong_sum), Part::Label),
        CorruptKind::Checksum { .. }
    ));
}

#[test]
fn a_label_is_found_in_each_of_the_first_four_sectors_and_rewritten_where_it_is() {
    for sector in 0..5u64 {
        let mut bytes = image();
        let mut label = bytes[512..1024].to_vec();
        bytes[512..1024].fill(0);
        label[8] = u8::try_from(sector).unwrap();
        let at = usize::try_from(sector).unwrap() * 512;
        bytes[at..at + 512].copy_from_slice(&label);
        let disk = MemDisk::new(bytes);
        if sector == 4 {
            assert!(scan(&disk).unwrap().is_none());
            continue;
        }
        assert_eq!(scan(&disk).unwrap().unwrap().label_sector, sector);
        lvm_meta::set_pv_used(&disk, false).unwrap();
        let found = scan(&disk).unwrap().unwrap();
        assert_eq!((found.label_sector, found.header.is_used()), (sector, false));
    }
    // The first good one wins, a broken one before it does not hide it.
    let mut bytes = image();
    bytes.copy_within(512..1024, 0);
    assert_eq!(scan(&MemDisk::new(bytes)).unwrap().unwrap().label_sector, 1);
}

#[test]
fn areas_that_lie_about_their_place_are_refused_by_name() {
    // The area's offset and size stand at 104 and 112 of the label's sector.
    check_area(&with_label(put(104, 512)), "area start");
    check_area(&with_label(put(104, 4097)), "area start");
    check_area(&with_label(put(104, u64::MAX - 511)), "area start");
    check_area(
        &with_label(put(104, u64::try_from(DISK_SIZE).unwrap())),
        "area start",
    );
    check_area(&with_label(put(112, 4096)), "area size");
    check_area(&with_header(put(24, 8192)), "start");
    check_area(&with_header(put(32, 0)), "size");
    check_area(&with_header(put(32, u64::MAX)), "size");
    check_area(&with_header(put(32, 1 << 40)), "area size");
    check_area(&with_header(|header| header[20] = 2), "version");
    let past = with_label(put(112, 1 << 40)).bytes();
    let mut past = past;
    past[4096 + 32..4096 + 40].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let sum = crc(&past[4100..4608]);
    past[4096..4100].copy_from_slice(&sum);
    check_area(&MemDisk::new(past), "area end");
    // The same area twice.
    let twice = with_label(|label| {
        let area: Vec<u8> = label[104..120].to_vec();
        label[120..136].copy_from_slice(&area);
        label[136..].fill(0);
    });
    let mdas = scan(&twice).unwrap().unwrap().mdas;
    assert!(mdas[0].header.is_ok() && mdas[1].header.is_err());
}

#[test]
fn texts_that_lie_outside_their_ring_are_refused_by_name() {
    for offset in [1, 511, 61440, u64::MAX] {
        check_area(&with_header(put(40, offset)), "text offset");
    }
    for size in [0, 60929, u64::from(u32::MAX), u64::MAX] {
        check_area(&with_header(put(48, size)), "text size");
    }
    let error = area_error(&with_header(put(48, 100)));
    assert!(
        matches!(
            error,
            Error::Corrupt {
                part: Part::Text,
                kind: CorruptKind::Checksum { .. },
                ..
            }
        ),
        "{error}"
    );
}

/// A device that is larger than what is kept of it; the rest is made up of one byte.
struct Vast {
    head: MemDisk,
    size: u64,
    rest: u8,
}

impl Disk for Vast {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> std::io::Result<()> {
        assert!(buf.len() < 1 << 20, "{} bytes are read", buf.len());
        if self.head.read_at(at, buf).is_err() {
            buf.fill(self.rest);
        }
        Ok(())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> std::io::Result<()> {
        panic!("reading writes nothing");
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn size(&self) -> std::io::Result<u64> {
        Ok(self.size)
    }
}

#[test]
fn a_text_of_gigabytes_is_refused_before_it_is_read() {
    let mut bytes = with_label(put(112, 1 << 50)).bytes();
    bytes[4096 + 32..4096 + 40].copy_from_slice(&(1u64 << 50).to_le_bytes());
    bytes[4096 + 48..4096 + 56].copy_from_slice(&(600u64 << 20).to_le_bytes());
    let sum = crc(&bytes[4100..4608]);
    bytes[4096..4100].copy_from_slice(&sum);
    let vast = Vast {
        head: MemDisk::new(bytes),
        size: 1 << 60,
        rest: b'a',
    };
    let mdas = scan(&vast).unwrap().unwrap().mdas;
    assert!(
        matches!(
            mdas[0].text,
            Some(Err(Error::TextTooLarge {
                length: 629_145_600,
                ..
            }))
        ),
        "{:?}",
        mdas[0]
    );
}

#[test]
fn as_many_areas_as_a_label_holds_are_read_without_harm() {
    let full = with_label(|label| {
        for at in (104..480).step_by(16) {
            put(at, 4096)(label);
            put(at + 8, 61440)(label);
        }
        label[480..].fill(0);
    });
    let mdas = scan(&full).unwrap().unwrap().mdas;
    assert_eq!(mdas.iter().filter(|mda| mda.header.is_ok()).count(), 1);
    assert_eq!(mdas.len(), 24);
}

#[test]
fn writing_by_a_header_never_leaves_the_area() {
    let disk: Arc<dyn Disk> = Arc::new(with_header(put(32, 1 << 20)));
    let area = DiskArea {
        offset: 4096,
        size: 61440,
    };
    let refused = MdaSet::new().open(&disk, &[area]).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Corrupt {
                part: Part::MdaHeader,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn real_disks_with_any_bit_flipped_or_cut_anywhere_never_panic() {
    let heads = fixtures::heads();
    let mut read = 0;
    assert!(heads.len() > 30);
    // Structures first, then texts more and more sparsely.
    let places = (512..1024).chain(4096..4608).chain((4608..20_000).step_by(131));
    for (number, head) in heads.iter().enumerate().step_by(7) {
        for at in places.clone().step_by(3).map(|at| at + number % 3) {
            let mut bytes = head.clone();
            bytes[at] ^= 1 << (at % 8);
            read += usize::from(look(bytes));
        }
        for end in (0..20_000).step_by(509) {
            look(head[..end].to_vec());
        }
    }
    assert!(read > 100, "{read} of the disks were read");
}

/// Everything that a reader does with a disk; true when a VG was read.
fn look(bytes: Vec<u8>) -> bool {
    let disk = Vast {
        head: MemDisk::new(bytes),
        size: 256 << 20,
        rest: 0,
    };
    let Ok(Some(pv)) = scan(&disk) else { return false };
    let found = assemble(vec![(0, pv)]);
    for found in &found.vgs {
        for mda in found
            .pvs
            .iter()
            .filter_map(|pv| pv.scan.as_ref())
            .flat_map(|scan| &scan.mdas)
        {
            let _ = found.copy_state(mda);
        }
        if let Ok(vg) = &found.vg {
            drop((check(vg), vg.print_raw(&provenance())));
        }
    }
    found.vgs.iter().any(|found| found.vg.is_ok())
}

#[track_caller]
fn problem(text: &str) -> TextProblem {
    match Vg::parse(text.as_bytes()) {
        Err(Error::Corrupt {
            kind: CorruptKind::Text(problem),
            ..
        }) => problem,
        Ok(_) => panic!("it is read"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn deep_nesting_is_refused_wherever_it_is() {
    let text = vg(&[shown("data", 8, &linear(0, 0))]);
    let deep = format!("{}{}", "a {\n".repeat(100_000), "}\n".repeat(100_000));
    for at in ["max_lv", "pe_count", "segment_count", "stripe_count", "contents"] {
        let problem = problem(&text.replacen(at, &format!("{deep}{at}"), 1));
        assert!(matches!(problem, TextProblem::Grammar(_)), "{at}: {problem}");
    }
    let opaque = vg(&[shown("data", 8, &format!("type = \"future\"\n{deep}"))]);
    assert!(matches!(problem(&opaque), TextProblem::Grammar(_)));
}

#[test]
fn counts_that_promise_much_reserve_little() {
    let text = vg(&[shown("data", 8, &linear(0, 0))]);
    let many = text.replacen("segment_count = 1", "segment_count = 4294967295", 1);
    assert!(matches!(
        problem(&many),
        TextProblem::SegmentCount {
            stated: u32::MAX,
            found: 1,
            ..
        }
    ));
    let wide = text.replacen("stripe_count = 1", "stripe_count = 4294967295", 1);
    assert!(matches!(problem(&wide), TextProblem::OutOfRange { .. }));
    let areas = text.replacen("\"pv0\", 0", &"\"pv0\", 0,".repeat(100_000), 1);
    assert!(matches!(problem(&areas), TextProblem::WrongType { .. }));
    let sum = vg(&[shown("a", u32::MAX, "type = \"zero\"")]);
    let sum = sum
        .replacen("segment_count = 1", "segment_count = 2", 1)
        .replacen(
            "segment1 {",
            "segment2 {\nstart_extent = 4294967295\nextent_count = 1\ntype = \"zero\"\n}\nsegment1 {",
            1,
        );
    assert!(matches!(problem(&sum), TextProblem::TooManyExtents { .. }));
    let nodes = text.replacen("max_lv", &format!("x = [{}]\nmax_lv", "1,".repeat(1_000_001)), 1);
    assert!(matches!(problem(&nodes), TextProblem::Grammar(_)));
}

#[test]
fn lists_of_what_must_come_once_take_time_by_their_length_alone() {
    // Compared each with each, these would take minutes.
    let count = 200_000;
    let words: String = (0..count).map(|word| format!(", \"W{word}\"")).collect();
    let text = vg(&[shown("data", 8, &linear(0, 0)).flags("\"X\"")]);
    let many = text.replacen("\"X\"", &format!("\"X\"{words}"), 1);
    let read = Vg::parse(many.as_bytes()).unwrap();
    assert_eq!(Vg::parse(&read.print_raw(&provenance())).unwrap(), read);
    let messages: String = (0..count)
        .map(|device| format!("m {{\ndelete = {device}\n}}\n"))
        .collect();
    let pool = "metadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 1\nchunk_size = 128\n";
    let pool = Opaque::parse("thin-pool", &format!("{pool}{messages}"))
        .unwrap()
        .unwrap();
    let Some(Detail::ThinPool(pool)) = pool.detail().unwrap() else {
        panic!("a thin pool");
    };
    assert_eq!(pool.messages.len(), count);
}

#[test]
fn lvs_in_a_circle_are_refused_however_long_it_is() {
    let on = |name: &str| format!("type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"{name}\", 0\n]");
    for length in [1, 2, 3, 20_000] {
        let lvs: Vec<_> = (0..length)
            .map(|n| part_on(&format!("l{n}"), &on(&format!("l{}", (n + 1) % length))))
            .collect();
        assert!(
            matches!(problem(&vg(&lvs)), TextProblem::Cycle { .. }),
            "{length}"
        );
    }
    let pool =
        "type = \"thin-pool\"\nmetadata = \"m_tmeta\"\npool = \"p\"\ntransaction_id = 0\nchunk_size = 128";
    let circle = vg(&[shown("p", 8, pool), part("m_tmeta", 0, 0, 1)]);
    assert!(matches!(problem(&circle), TextProblem::Cycle { .. }));
    // A chain as long is none.
    let mut chain: Vec<_> = (0..20_000)
        .map(|n| part_on(&format!("l{n}"), &on(&format!("l{}", n + 1))))
        .collect();
    chain.push(part("l20000", 0, 0, 8));
    assert!(Vg::parse(vg(&chain).as_bytes()).is_ok());
}

fn part_on(name: &str, body: &str) -> crate::texts::LvText {
    crate::texts::hidden(name, 8, body)
}

#[test]
fn a_printed_vg_is_never_much_longer_than_what_it_was_read_from() {
    let text = vg(&[shown("data", 8, &linear(0, 0))]).replacen(
        "max_lv",
        &format!("x = [{}]\nmax_lv", "\"\",".repeat(9_999)),
        1,
    );
    let printed = Vg::parse(text.as_bytes()).unwrap().print_raw(&provenance());
    assert!(
        printed.len() < 2 * text.len(),
        "{} of {}",
        printed.len(),
        text.len()
    );
}

#[test]
fn a_disk_too_small_for_a_label_is_an_error_of_the_device() {
    for size in [0, 511, 2047] {
        assert!(
            matches!(scan(&MemDisk::new(vec![0; size])), Err(Error::Io { .. })),
            "{size}"
        );
    }
    let small = MemDisk::new(vec![0; 8192]);
    assert!(matches!(
        make_pv(&small, pv_id(1), &layout(2)),
        Err(Error::Io { .. })
    ));
    assert!(scan(&small).unwrap().is_none());
}
