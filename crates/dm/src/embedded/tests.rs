use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::Target;

/// Sectors of each image.
const SECTORS: u64 = 256;

/// A mapper over two images of zeroes.
struct Rig {
    mapper: Embedded,
    _dir: tempfile::TempDir,
    paths: [PathBuf; 2],
    images: [DeviceNumber; 2],
}

impl Rig {
    fn new() -> Self {
        Self::over(Embedded::new())
    }

    fn over(mapper: Embedded) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        let images = paths.clone().map(|path| {
            fs::write(&path, vec![0; 512 * SECTORS as usize]).unwrap();
            mapper.backing(&path).unwrap()
        });
        Self {
            mapper,
            _dir: dir,
            paths,
            images,
        }
    }

    fn table(&self, text: &str) -> Table {
        let [a, b] = self.images.map(|image| image.to_string());
        text.replace('A', &a).replace('B', &b).parse().unwrap()
    }

    fn device(&self, name: &str, table: &Table) -> DeviceNumber {
        let (name, uuid) = (DmName::new(name).unwrap(), DmUuid::new(name).unwrap());
        let number = self.mapper.create(&name, &uuid).unwrap().number;
        self.map(number, table).unwrap();
        number
    }

    fn map(&self, number: DeviceNumber, table: &Table) -> Result<DeviceInfo, Error> {
        let id = DeviceId::Number(number);
        self.mapper.load(id, table, false)?;
        self.mapper.resume(id, UdevFlags::empty(), &mut Cookie::none())
    }

    fn open(&self, number: DeviceNumber) -> Box<dyn BlockIo> {
        self.mapper
            .open(DeviceId::Number(number), OpenMode::ReadWrite)
            .unwrap()
    }

    fn status(&self, number: DeviceNumber) -> String {
        self.mapper
            .status(DeviceId::Number(number), true)
            .unwrap()
            .remove(0)
            .status
    }

    fn contents(&self, image: usize) -> Vec<u8> {
        fs::read(&self.paths[image]).unwrap()
    }
}

fn read(io: &dyn BlockIo, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; length];
    io.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn targets_that_it_does_not_do_are_refused_by_name() {
    let rig = Rig::new();
    let number = rig.device("d", &rig.table("0 8 zero"));
    for (table, name) in [
        ("0 8 thin-pool A B 128 0 0", "thin-pool"),
        ("0 8 cache A B A 64 1 writeback smq 0", "cache"),
        ("0 8 raid raid5_ls 3 128 region_size 1024 2 - A - B", "raid5_ls"),
    ] {
        let error = rig.map(number, &rig.table(table)).unwrap_err();
        assert_eq!(error.errno(), libc::EOPNOTSUPP);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_device_cannot_lie_on_itself_by_any_way() {
    let rig = Rig::new();
    let below = rig.device("below", &rig.table("0 8 linear A 0"));
    let above = rig.device("above", &format!("0 8 linear {below} 0").parse().unwrap());
    for number in [above, below] {
        let table = format!("0 8 linear {number} 0").parse().unwrap();
        let error = rig.map(below, &table).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{error}");
    }
}

#[test]
fn a_table_whose_image_shrank_since_the_load_is_dropped_by_the_resume() {
    let rig = Rig::new();
    let number = rig.device("d", &rig.table("0 8 linear A 0"));
    let id = DeviceId::Number(number);
    rig.mapper
        .load(id, &rig.table("0 8 linear B 200"), false)
        .unwrap();
    File::options()
        .write(true)
        .open(&rig.paths[1])
        .unwrap()
        .set_len(512)
        .unwrap();
    let resume = || rig.mapper.resume(id, UdevFlags::empty(), &mut Cookie::none());
    assert_eq!(resume().unwrap_err().errno(), libc::EINVAL);
    let info = rig.mapper.info(id).unwrap().unwrap();
    assert!(info.suspended && info.live_table && !info.inactive_table);
    resume().unwrap();
    assert_eq!(rig.mapper.table(id, false).unwrap(), rig.table("0 8 linear A 0"));
}

#[test]
fn stripes_on_mapped_devices_hold_what_stripes_on_images_hold() {
    let rig = Rig::new();
    let [a, b] = ["A", "B"].map(|image| rig.device(image, &rig.table(&format!("0 128 linear {image} 0"))));
    let stacked = format!("0 256 striped 2 8 {a} 0 {b} 0").parse().unwrap();
    let stacked = rig.open(rig.device("stacked", &stacked));
    let flat = rig.open(rig.device("flat", &rig.table("0 256 striped 2 8 A 0 B 0")));
    let bytes: Vec<u8> = (0..100_000u32).map(|number| number.to_le_bytes()[1]).collect();
    stacked.write_at(777, &bytes).unwrap();
    let mut read = vec![0; bytes.len()];
    flat.read_at(777, &mut read).unwrap();
    assert_eq!(read, bytes);
    read.fill(0);
    stacked.read_at(777, &mut read).unwrap();
    assert_eq!(read, bytes);
}

#[test]
fn a_write_past_the_end_of_a_device_writes_what_fits() {
    let rig = Rig::new();
    let io = rig.open(rig.device("d", &rig.table("0 8 linear A 0")));
    let error = io.write_at(8 * 512 - 1, &[7, 7]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(rig.contents(0)[8 * 512 - 1..][..2], [7, 0]);
}

#[test]
fn an_image_that_failed_is_not_used_by_the_next_table_either() {
    let rig = Rig::new();
    let leg = rig.device("leg", &rig.table("0 64 linear A 0"));
    let array = rig.device(
        "array",
        &rig.table(&format!(
            "0 32 raid raid1 4 0 nosync region_size 32 2 - {leg} - B"
        )),
    );
    let io = rig.open(array);
    io.write_at(0, &[1; 4096]).unwrap();
    rig.map(leg, &rig.table("0 64 error")).unwrap();
    io.write_at(0, &[2; 4096]).unwrap();
    io.sync().unwrap();
    assert_eq!(rig.status(array), "raid1 2 DA 32/32 idle 0 0 -");
    // It works again, with what it had.
    rig.map(leg, &rig.table("0 64 linear A 0")).unwrap();
    let larger = format!("0 64 raid raid1 3 0 region_size 32 2 - {leg} - B");
    rig.map(array, &rig.table(&larger)).unwrap();
    assert_eq!(read(&*io, 4096), [2; 4096]);
    assert_eq!(rig.status(array), "raid1 2 DA 64/64 idle 0 0 -");
    // With both failed nothing is left.
    rig.map(leg, &rig.table("0 64 error")).unwrap();
    let only = format!("0 64 raid raid1 3 0 region_size 32 2 - {leg} - -");
    rig.map(array, &rig.table(&only)).unwrap();
    assert_eq!(
        io.read_at(0, &mut [0]).unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    assert_eq!(io.write_at(0, &[0]).unwrap_err().raw_os_error(), Some(libc::EIO));
}

#[test]
fn an_image_that_is_to_be_rebuilt_is_copied_before_the_resume_returns() {
    let rig = Rig::new();
    let io = rig.open(rig.device("a", &rig.table("0 64 linear A 0")));
    io.write_at(5000, &[9; 10_000]).unwrap();
    let table = rig.table("0 64 raid raid1 5 0 rebuild 1 region_size 32 2 - A - B");
    rig.device("array", &table);
    assert_eq!(rig.contents(1), rig.contents(0));
    assert_eq!(rig.contents(1)[5000..15_000], [9; 10_000]);
    let all = rig.table("0 64 raid raid1 7 0 rebuild 0 rebuild 1 region_size 32 2 - A - B");
    let number = rig.device("none", &rig.table("0 8 zero"));
    assert_eq!(rig.map(number, &all).unwrap_err().errno(), libc::EINVAL);
}

#[test]
fn a_raid1_tells_where_its_images_differ_until_they_are_made_equal() {
    let rig = Rig::new();
    let table = rig.table("0 256 raid raid1 3 0 region_size 32 2 - A - B");
    let array = rig.device("array", &table);
    let message = |text| {
        let id = DeviceId::Number(array);
        let events = || rig.mapper.info(id).unwrap().unwrap().event_nr;
        let before = events();
        rig.mapper.message(id, 0, text).unwrap();
        assert!(events() > before, "{text} is an event");
        rig.status(array)
    };
    assert_eq!(message("check"), "raid1 2 AA 256/256 idle 0 0 -");
    let mut differs = rig.contents(1);
    differs[200 * 512] = 1;
    fs::write(&rig.paths[1], differs).unwrap();
    assert_eq!(message("check"), "raid1 2 AA 256/256 idle 128 0 -");
    assert_eq!(message("repair"), "raid1 2 AA 256/256 idle 0 0 -");
    assert_eq!(message("check"), "raid1 2 AA 256/256 idle 0 0 -");
    assert_eq!(rig.contents(0), rig.contents(1));
    let unknown = rig.mapper.message(DeviceId::Number(array), 0, "reshape");
    assert!(unknown.is_err());
}

#[test]
fn a_failing_mirror_image_fails_no_write_and_no_sync() {
    let rig = Rig::new();
    let leg = rig.device("leg", &rig.table("0 64 linear B 0"));
    let table = format!("0 64 mirror disk 3 A 1024 nosync 2 A 64 {leg} 0 1 handle_errors");
    let mirror = rig.device("mirror", &rig.table(&table));
    let [a, _] = rig.images;
    assert_eq!(rig.status(mirror), format!("2 {a} {leg} 1/1 1 AA 3 disk {a} A"));
    rig.map(leg, &rig.table("0 64 error")).unwrap();
    let io = rig.open(mirror);
    io.write_at(0, &[3; 512]).unwrap();
    io.sync().unwrap();
    assert_eq!(read(&*io, 512), [3; 512]);
    assert!(rig.status(mirror).contains(" AD "));
}

#[test]
fn a_cache_holds_what_is_written_until_the_cleaner_brought_it_back() {
    let rig = Rig::over(Embedded::with_thin_pools());
    let [cache, metadata] = ["0 128 linear B 0", "0 128 linear B 128"].map(|text| rig.table(text));
    let (cache, metadata) = (rig.device("cache", &cache), rig.device("metadata", &metadata));
    let table = |rest: &str| rig.table(&format!("0 192 cache {metadata} {cache} A 64 1 {rest} 0"));
    let device = rig.device("d", &table("writeback smq"));
    let io = rig.open(device);
    // The last of three blocks has no place in the cache.
    let data: Vec<u8> = (0..192 * 512).map(|at| (at % 253) as u8).collect();
    io.write_at(0, &data).unwrap();
    assert_eq!(read(&*io, data.len()), data);
    assert!(rig.contents(0)[..128 * 512].iter().all(|byte| *byte == 0));
    let dirty = |status: String| {
        let (kind, start, length) = ("cache".into(), 0, 192);
        match crate::CacheStatus::parse(&StatusLine {
            start,
            length,
            kind,
            status,
        }) {
            Some(crate::CacheStatus::Serving(usage)) => usage.dirty,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(dirty(rig.status(device)), 2);
    rig.map(device, &table("writethrough smq")).unwrap();
    io.write_at(64 * 512, &[7; 512]).unwrap();
    assert_eq!(dirty(rig.status(device)), 2);
    rig.map(device, &table("writethrough cleaner")).unwrap();
    assert_eq!(dirty(rig.status(device)), 0);
    let mut whole = data;
    whole[64 * 512..65 * 512].fill(7);
    assert_eq!(read(&*io, whole.len()), whole);
    assert!(rig.contents(0)[..whole.len()] == whole);
}

#[test]
fn an_image_has_one_number_under_all_its_names() {
    let rig = Rig::new();
    let link = rig.paths[0].with_file_name("link");
    fs::hard_link(&rig.paths[0], &link).unwrap();
    assert_eq!(rig.mapper.backing(&link).unwrap(), rig.images[0]);
    assert_ne!(rig.images[0], rig.images[1]);
    for bad in ["/nonexistent", "/"] {
        assert!(rig.mapper.backing(bad.as_ref()).is_err(), "{bad}");
    }
}

/// A line of a random table: what, of which image, from where.
#[derive(Clone, Debug)]
enum Line {
    Zero(u64),
    Linear(u64, usize, u64),
    /// Chunks of that many sectors, that many rows, stripes of image and first sector.
    Striped(u64, u64, Vec<(usize, u64)>),
}

fn any_line() -> impl Strategy<Value = Line> {
    let area = (0usize..2, 0u64..64);
    prop_oneof![
        (1u64..20).prop_map(Line::Zero),
        (1u64..40, area.clone()).prop_map(|(length, (image, start))| Line::Linear(length, image, start)),
        (1u64..9, 1u64..5, prop::collection::vec(area, 1..4))
            .prop_map(|(chunk, rows, stripes)| Line::Striped(chunk, rows, stripes)),
    ]
}

/// For each sector of the device, which sector of which image it is: one at a time, as one would explain it.
fn sectors_of(line: &Line) -> Vec<Option<(usize, u64)>> {
    match line {
        Line::Zero(length) => vec![None; *length as usize],
        Line::Linear(length, image, start) => (0..*length).map(|at| Some((*image, start + at))).collect(),
        Line::Striped(chunk, rows, stripes) => {
            let mut sectors = Vec::new();
            for row in 0..*rows {
                for (image, start) in stripes {
                    for at in 0..*chunk {
                        sectors.push(Some((*image, start + row * chunk + at)));
                    }
                }
            }
            sectors
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_tables_read_and_write_as_a_naive_model_does(
        lines in prop::collection::vec(any_line(), 1..6),
        writes in prop::collection::vec((any::<prop::sample::Index>(), 1usize..9000, any::<u8>()), 1..12),
        stacked: bool,
    ) {
        let rig = Rig::new();
        let (mut map, mut table) = (Vec::new(), Vec::new());
        for line in &lines {
            let start = map.len() as u64;
            map.extend(sectors_of(line));
            let target = match line {
                Line::Zero(_) => Target::Zero,
                Line::Linear(_, image, offset) => {
                    Target::Linear { device: rig.images[*image], offset: *offset }
                }
                Line::Striped(chunk, _, stripes) => {
                    let stripes = stripes.iter().map(|(image, start)| (rig.images[*image], *start)).collect();
                    Target::Striped { chunk: *chunk, stripes }
                }
            };
            table.push(crate::TargetLine { start, length: map.len() as u64 - start, target });
        }
        let mut number = rig.device("d", &Table::new(table));
        if stacked {
            number = rig.device("above", &format!("0 {} linear {number} 0", map.len()).parse().unwrap());
        }
        let io = rig.open(number);
        let size = map.len() * 512;
        prop_assert_eq!(io.size().unwrap(), size as u64);
        let mut model = [vec![0u8; 512 * SECTORS as usize], vec![0u8; 512 * SECTORS as usize]];
        for (at, length, seed) in writes {
            let at = at.index(size);
            let data: Vec<u8> = (0..length.min(size - at)).map(|index| seed.wrapping_add(index as u8)).collect();
            io.write_at(at as u64, &data).unwrap();
            for (index, byte) in data.iter().enumerate() {
                let place = at + index;
                if let Some((image, sector)) = map[place / 512] {
                    model[image][sector as usize * 512 + place % 512] = *byte;
                }
            }
            let mut found = vec![0xee; data.len()];
            io.read_at(at as u64, &mut found).unwrap();
            let expected: Vec<u8> = (at..at + data.len())
                .map(|place| map[place / 512].map_or(0, |(image, sector)| {
                    model[image][sector as usize * 512 + place % 512]
                }))
                .collect();
            prop_assert_eq!(found, expected);
        }
        io.sync().unwrap();
        prop_assert!(rig.contents(0) == model[0] && rig.contents(1) == model[1]);
        prop_assert!(io.read_at(size as u64, &mut [0]).is_err());
    }
}
