//! Any texts into any ring, byte by byte: the ring's own arithmetic is not asked.

use proptest::prelude::*;

use super::*;
use crate::MemDisk;

/// Where the area starts.
const START: u64 = 4096;
/// What stands behind the area.
const BEHIND: u64 = 2048;

/// A text whose bytes differ from those of another one almost everywhere.
fn text(number: u8, length: u64) -> Vec<u8> {
    (0..length)
        .map(|at| number.wrapping_mul(31).wrapping_add(at as u8) | 1)
        .collect()
}

/// Puts a text where another writer may have put it, and gives its bytes on the disk: the first piece, then the second.
fn place(bytes: &mut [u8], size: u64, offset: u64, text: &[u8]) -> RawLocation {
    for (at, byte) in text.iter().enumerate() {
        let at = offset + at as u64;
        let at = if at < size { at } else { at - size + 512 };
        bytes[(START + at) as usize] = *byte;
    }
    RawLocation {
        offset,
        size: length(text),
        checksum: crc(&[text]),
        flags: 0,
    }
}

/// What another writer left: the place in the ring and the length, both taken modulo what there is.
type Left = Option<(u64, u64)>;

/// A ring with what is left in it, and the header that names that.
fn ring(size: u64, left: Left) -> (Vec<u8>, MdaHeader) {
    let mut bytes = vec![0xee; (START + size + BEHIND) as usize];
    let mut header = MdaHeader::empty(START, size);
    if let Some((offset, length)) = left {
        let room = size - 512;
        header.committed = place(&mut bytes, size, 512 + offset % room, &text(0, 1 + length % room));
    }
    bytes[START as usize..][..512].copy_from_slice(&header.encode());
    (bytes, header)
}

/// What the header on the disk names.
fn committed(disk: &dyn Disk, size: u64) -> Option<Vec<u8>> {
    let area = DiskArea { offset: START, size };
    let header = read_header(disk, area, START + size + BEHIND).unwrap();
    assert!(header.precommitted.is_empty());
    (!header.committed.is_empty()).then(|| read_text(disk, &header, &header.committed).unwrap().to_vec())
}

proptest! {
    #[test]
    fn any_texts_in_any_ring_are_read_back_and_never_touch_the_committed_one(
        size in 1024u64..12_000,
        left in prop::option::of((any::<u64>(), any::<u64>())),
        steps in prop::collection::vec((1u64..7_000, any::<bool>()), 1..30),
    ) {
        let (bytes, header) = ring(size, left);
        let capacity = (size - 512) / 2 - 512.min((size - 512) / 2);
        let mem = Arc::new(MemDisk::new(bytes));
        let disk: Arc<dyn Disk> = mem.clone();
        let mut set = MdaSet::new();
        set.add(&disk, header);
        let mut expected = committed(&*disk, size);
        // Once there is a text of our own, only its length can stop the next one.
        let mut is_own = left.is_none();
        for (number, (length, commits)) in (1u8..).zip(steps) {
            let before = mem.bytes();
            let new = text(number, length);
            match set.write(&new) {
                Err(Error::TextTooLarge { capacity: told, .. }) => {
                    prop_assert_eq!(told, capacity);
                    prop_assert!(length > capacity || !is_own, "{} of {}", length, capacity);
                    prop_assert_eq!(mem.bytes(), before);
                    continue;
                }
                Err(error) => panic!("{error}"),
                Ok(written) => {
                    prop_assert!(length <= capacity);
                    // Nothing but the ring was written to, and a reader sees what it saw.
                    let after = mem.bytes();
                    let (first, end) = ((START + 512) as usize, (START + size) as usize);
                    prop_assert_eq!(&after[..first], &before[..first]);
                    prop_assert_eq!(&after[end..], &before[end..]);
                    prop_assert_eq!(committed(&*disk, size), expected.clone());
                    if commits {
                        written.precommit().unwrap().commit().unwrap();
                        prop_assert_eq!(committed(&*disk, size), Some(new.clone()));
                        expected = Some(new);
                        is_own = true;
                    }
                }
            }
        }
    }
}
