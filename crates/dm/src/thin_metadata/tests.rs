use std::io::Read;
use std::path::PathBuf;

use proptest::prelude::*;

use super::write;
use super::*;
use crate::{StatusLine, ThinPoolStatus, ThinStatus};

type Problem = ThinMetadataProblem;

/// Reads metadata that lie in memory; what is not there reads as the end of the device.
fn read(image: &[u8]) -> Result<Option<ThinMetadata>, Error> {
    ThinMetadata::read(&mut |at, block| {
        let found = usize::try_from(at)
            .ok()
            .and_then(|at| image.chunks_exact(BLOCK).nth(at));
        block.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    })
}

#[track_caller]
fn problem(image: &[u8]) -> (u64, Problem) {
    match read(image) {
        Err(Error::ThinMetadata { block, problem }) => (block, problem),
        other => panic!("{other:?}"),
    }
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/thin")
        .join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(data(name)).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// What the kernel wrote.
fn real() -> Vec<u8> {
    unpacked("tmeta.gz")
}

/// What the kernel said, line by line: a name, then its status.
fn statuses(name: &str) -> Vec<(String, StatusLine)> {
    let text = std::fs::read_to_string(data(name)).unwrap();
    let parse = |line: &str| {
        let (device, rest) = line.split_once(": ").unwrap();
        let words: Vec<&str> = rest.splitn(4, ' ').collect();
        let status = StatusLine {
            start: words[0].parse().unwrap(),
            length: words[1].parse().unwrap(),
            kind: words[2].into(),
            status: words[3].into(),
        };
        (device.to_string(), status)
    };
    text.lines().map(parse).collect()
}

#[test]
fn the_kernels_metadata_say_what_the_kernel_says() {
    let found = read(&real()).unwrap().unwrap();
    let said = statuses("status");
    let status = said.iter().find_map(|(_, line)| ThinPoolStatus::parse(line));
    let status = status.unwrap();
    assert_eq!(found.transaction_id, status.transaction_id);
    assert_eq!(
        (found.data_used, found.data_blocks),
        (status.data_used, status.data_blocks)
    );
    assert_eq!(
        (found.metadata_used, found.metadata_blocks),
        (status.metadata_used, status.metadata_blocks)
    );
    assert_eq!((found.chunk, found.needs_check), (128, status.needs_check));
    // `dmsetup table` has the number of each device that was active.
    let tables = statuses("table");
    let mut active = 0;
    for (name, line) in said.iter().filter(|(_, line)| line.kind == "thin") {
        let (_, table) = tables.iter().find(|(other, _)| other == name).unwrap();
        let id: u32 = table.status.split(' ').nth(1).unwrap().parse().unwrap();
        let mapped = ThinStatus::parse(line).unwrap().mapped;
        assert_eq!(found.devices[&id].mapped * found.chunk, mapped, "{name}");
        active += 1;
    }
    assert!(active >= 3, "{active}");
}

#[test]
fn one_device_is_found_by_reading_the_way_to_it() {
    let image = real();
    let all = read(&image).unwrap().unwrap();
    let last = *all.devices.keys().last().unwrap();
    for wanted in all.devices.keys().copied().chain([0, last + 1, u32::MAX]) {
        let mut reads = 0;
        let found = ThinMetadata::read_devices(wanted..=wanted, &mut |at, block| {
            reads += 1;
            let at = usize::try_from(at).unwrap() * BLOCK;
            block.copy_from_slice(&image[at..at + BLOCK]);
            Ok(())
        });
        let found = found.unwrap().unwrap();
        let expected = ThinMetadata {
            devices: all
                .devices
                .range(wanted..=wanted)
                .map(|(id, device)| (*id, *device))
                .collect(),
            ..all.clone()
        };
        assert_eq!(found, expected);
        // Before and after the tree's two levels the superblock.
        assert!(reads <= 4, "{reads} for {wanted}");
    }
}

#[test]
fn the_kernels_devices_are_those_that_thin_dump_shows() {
    let found = read(&real()).unwrap().unwrap();
    let dump = String::from_utf8(unpacked("dump.xml.gz")).unwrap();
    let mut shown = BTreeMap::new();
    for line in dump
        .lines()
        .filter(|line| line.trim_start().starts_with("<device "))
    {
        let number = |name: &str| -> u64 {
            let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        let time = |name| u32::try_from(number(name)).unwrap();
        let device = ThinDevice {
            mapped: number("mapped_blocks"),
            transaction_id: number("transaction"),
            created: time("creation_time"),
            snapshotted: time("snap_time"),
        };
        shown.insert(time("dev_id"), device);
    }
    // More than one leaf holds.
    assert!(shown.len() > 126, "{}", shown.len());
    assert_eq!(found.devices, shown);
}

fn place(devices_root: u64) -> write::Place {
    write::Place {
        devices_root,
        allocated: 50,
        ..Default::default()
    }
}

/// Metadata of so many devices with every third number, in an image.
fn made(count: u32) -> (ThinMetadata, Vec<u8>) {
    let device = |id: u32| ThinDevice {
        mapped: u64::from(id) * 7,
        transaction_id: u64::from(id) + 1,
        created: id,
        snapshotted: id / 2,
    };
    let mut metadata = ThinMetadata {
        transaction_id: 1 << 40,
        needs_check: count % 2 == 1,
        chunk: 256,
        data_blocks: 100,
        data_used: 99,
        metadata_blocks: 4000,
        metadata_used: 0,
        devices: (0..count).map(|at| (at * 3, device(at * 3))).collect(),
    };
    let mut next = 1;
    let nodes = write::tree(&metadata, &mut || {
        next += 2;
        Some(next)
    });
    let nodes = nodes.unwrap();
    let root = nodes.last().unwrap().0;
    let mut image = vec![0; (next as usize + 1) * BLOCK];
    let superblock = write::superblock(&metadata, &place(root));
    for (at, block) in nodes.iter().chain([&(0, superblock)]) {
        let start = usize::try_from(*at).unwrap() * BLOCK;
        image[start..start + BLOCK].copy_from_slice(&**block);
    }
    // A tenth is the reserve.
    metadata.metadata_used = 450;
    (metadata, image)
}

#[test]
fn trees_of_every_shape_are_read() {
    for count in [0, 1, 2, 125, 126, 127, 252, 253, 40_000] {
        let (metadata, image) = made(count);
        assert_eq!(read(&image).unwrap(), Some(metadata), "{count}");
    }
}

#[test]
fn a_superblock_of_zeroes_is_no_metadata_yet() {
    assert_eq!(read(&[0; BLOCK]).unwrap(), None);
    let error = read(&[]).unwrap_err();
    assert!(
        matches!(error, Error::ReadThinMetadata { block: 0, .. }),
        "{error}"
    );
}

/// Changes bytes of a block, and gives it the right checksum.
fn change(image: &[u8], at: u64, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let start = usize::try_from(at).unwrap() * BLOCK;
    image[start + offset..][..bytes.len()].copy_from_slice(bytes);
    let block = image[start..].first_chunk_mut().unwrap();
    write::seal(at, block);
    image
}

#[test]
fn each_broken_field_is_told_by_its_block() {
    let (_, image) = made(300);
    // Leaves in blocks 3, 5 and 7, the root in block 9.
    let root = 9;
    let [zero, one, many] = [0u64, 1, u64::MAX].map(u64::to_le_bytes);
    let mut flipped = image.clone();
    flipped[5 * BLOCK + 100] ^= 1;
    assert!(matches!(problem(&flipped), (5, Problem::Checksum { .. })));
    let value = |field, stored, expected| Problem::Value {
        field,
        stored,
        expected,
    };
    let chunk = |stored| {
        value(
            "data block's size in sectors",
            stored,
            "a multiple of 128 up to 2097152",
        )
    };
    let entries = |entries, limit| Problem::Entries { entries, limit };
    let order = |key, from, end| Problem::Order { key, from, end };
    let outside = |child| Problem::Outside { child, blocks: 4000 };
    let space = |what, used, blocks| Problem::Space { what, used, blocks };
    for (at, offset, bytes, expected) in [
        (0, 8, &one[..], (0, Problem::Position { stored: 1 })),
        (0, 32, &one, (0, Problem::Magic { stored: 1 })),
        (0, 40, &[3], (0, Problem::Version { stored: 3 })),
        (0, 40, &[0], (0, Problem::Version { stored: 0 })),
        (0, 360, &[4], (0, Problem::Features { flags: 4 })),
        (0, 336, &[0, 0], (0, chunk(0))),
        (0, 336, &[129, 0], (0, chunk(129))),
        (0, 336, &[128, 0, 32], (0, chunk(0x20_0080))),
        (
            0,
            340,
            &[9],
            (0, value("metadata block's size in sectors", 9, "8")),
        ),
        (0, 64, &one, (0, space("data", 99, 1))),
        (0, 192, &one, (0, space("metadata", 50, 1))),
        (0, 328, &zero, (0, outside(0))),
        (0, 328, &many, (0, outside(u64::MAX))),
        (root, 8, &one, (root, Problem::Position { stored: 1 })),
        (root, 4, &[0], (root, value("kind of a node", 0, "1 or 2"))),
        (root, 4, &[3], (root, value("kind of a node", 3, "1 or 2"))),
        (root, 24, &[24], (root, value("value's size", 24, "8"))),
        (3, 24, &[8], (3, value("value's size", 8, "24"))),
        (3, 20, &[128], (3, entries(126, 127))),
        (3, 20, &[0xff; 4], (3, entries(126, 127))),
        (3, 16, &[127], (3, entries(127, 126))),
        (3, 16, &[0], (3, value("number of entries", 0, "1 or more"))),
        (root, 16, &[0], (root, value("number of entries", 0, "1 or more"))),
        (root, NODE_VALUES, &many, (root, outside(u64::MAX))),
        (root, NODE_VALUES, &4000u64.to_le_bytes(), (root, outside(4000))),
        // The leaf under a key must begin at it or later, and end before the next.
        (root, 32, &one, (3, order(0, 1, 378))),
        (root, 40, &[100, 0], (3, order(102, 100, 100))),
        (root, 40, &zero, (3, order(0, 0, 0))),
        (3, 32 + 8, &zero, (3, order(0, 1, 378))),
        (
            7,
            32 + 8 * 47,
            &ID_END.to_le_bytes(),
            (7, order(ID_END, 895, ID_END)),
        ),
        // Itself, without end.
        (
            root,
            NODE_VALUES,
            &[9, 0],
            (root, Problem::Depth { limit: DEPTH_LIMIT }),
        ),
    ] {
        assert_eq!(problem(&change(&image, at, offset, bytes)), expected);
    }
}

/// Where the values of an internal node begin.
const NODE_VALUES: usize = 32 + 252 * 8;

#[test]
fn a_pool_that_changes_meanwhile_is_read_anew() {
    let images = [made(200), made(300)];
    let mut reads = 0;
    // The first image until half of it was read; its blocks are then used for others.
    let found = ThinMetadata::read(&mut |at, block| {
        reads += 1;
        let (_, image) = &images[usize::from(reads > 2)];
        block.copy_from_slice(&image[usize::try_from(at).unwrap() * BLOCK..][..BLOCK]);
        Ok(())
    });
    assert_eq!(found.unwrap().as_ref(), Some(&images[1].0));
    // Each time another transaction.
    let mut tries = 0u64;
    let error = ThinMetadata::read(&mut |at, block| {
        let mut image = images[0].1.clone();
        if at == 0 {
            tries += 1;
            image = change(&image, 0, 48, &tries.to_le_bytes());
        }
        block.copy_from_slice(&image[usize::try_from(at).unwrap() * BLOCK..][..BLOCK]);
        Ok(())
    });
    let error = error.unwrap_err();
    assert_eq!(error.errno(), libc::EAGAIN);
    assert_eq!(tries, u64::from(TRIES) + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_real_metadata_panics_or_invents_devices(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..400, any::<u64>(), 1usize..9), 1..4),
    ) {
        thread_local!(static REAL: Vec<u8> = real());
        REAL.with(|real| {
            let used: Vec<usize> = (0..real.len() / BLOCK)
                .filter(|at| real[at * BLOCK..][..BLOCK].iter().any(|byte| *byte != 0))
                .collect();
            let mut image = real.clone();
            for (at, offset, value, length) in &changes {
                let at = *at.get(&used);
                let value = if length % 2 == 0 { value % 512 } else { *value };
                image = change(&image, at as u64, *offset, &value.to_le_bytes()[..*length]);
            }
            if let Ok(Some(found)) = read(&image) {
                prop_assert!(found.devices.keys().all(|id| u64::from(*id) < ID_END));
                prop_assert!(found.data_used <= found.data_blocks);
                prop_assert!(found.metadata_used <= found.metadata_blocks);
            }
            Ok(())
        })?;
    }

    #[test]
    fn whatever_devices_are_written_are_read(
        ids in prop::collection::btree_set(0u32..1 << 24, 0..1000),
        mapped: u64,
    ) {
        let (mut metadata, _) = made(0);
        let device = ThinDevice { mapped, transaction_id: mapped, created: 1, snapshotted: 2 };
        metadata.devices = ids.into_iter().map(|id| (id, device)).collect();
        let mut next = 0;
        let nodes = write::tree(&metadata, &mut || { next += 1; Some(next) }).unwrap();
        let mut image = write::superblock(&metadata, &place(next)).to_vec();
        nodes.iter().for_each(|(_, block)| image.extend_from_slice(&**block));
        prop_assert_eq!(read(&image).unwrap(), Some(metadata));
    }
}
