use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use lvm_meta::MemDisk;
use proptest::prelude::*;

const SIZE: usize = 3 << 20;

fn found(bytes: Vec<u8>) -> Vec<(SignatureKind, u64)> {
    let disk = MemDisk::new(bytes);
    find_signatures(&disk)
        .unwrap()
        .into_iter()
        .map(|found| (found.kind, found.offset))
        .collect()
}

fn disk_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; SIZE];
    disk[at..at + bytes.len()].copy_from_slice(bytes);
    disk
}

#[test]
fn an_empty_disk_holds_nothing_whatever_its_size() {
    for size in [0, 1, 511, 512, 4096, 65536, 100_000, SIZE] {
        assert_eq!(found(vec![0; size]), [], "{size}");
    }
}

/// A large disk that keeps only the bytes that are not zero.
#[derive(Default)]
struct Sparse(Mutex<BTreeMap<u64, u8>>);

const SPARSE_SIZE: u64 = 70 << 20;

impl Disk for Sparse {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> std::io::Result<()> {
        buf.fill(0);
        for (place, byte) in self.0.lock().unwrap().range(at..at + buf.len() as u64) {
            buf[(place - at) as usize] = *byte;
        }
        Ok(())
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        kept.extend((at..).zip(bytes.iter().copied()));
        kept.retain(|_, byte| *byte != 0);
        Ok(())
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn size(&self) -> std::io::Result<u64> {
        Ok(SPARSE_SIZE)
    }
}

#[test]
fn each_magic_of_the_table_is_found_at_its_place_and_alone_erased() {
    for magic in MAGICS {
        let disk = Sparse::default();
        let at = magic.place(SPARSE_SIZE).unwrap();
        disk.write_at(at, magic.bytes).unwrap();
        // What the closer checks look at, which erasing leaves alone.
        let (extra_at, extra): (u64, &[u8]) = match magic.kind {
            SignatureKind::Mbr => (0x1be, &[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]),
            SignatureKind::LvmPv => (at + 24, b"LVM2 001"),
            SignatureKind::Nilfs2 => (0x400, &[2]),
            _ => (0, &[]),
        };
        disk.write_at(extra_at, extra).unwrap();
        let expected = FoundSignature {
            kind: magic.kind,
            offset: at,
            length: magic.bytes.len(),
        };
        let found = find_signatures(&disk).unwrap();
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
        assert!(!erase_signatures(&disk, |_| true).unwrap().is_empty());
        assert_eq!(find_signatures(&disk).unwrap(), []);
        disk.write_at(extra_at, &vec![0; extra.len()]).unwrap();
        assert!(disk.0.lock().unwrap().is_empty(), "{:?}", magic.kind);
    }
}

#[test]
fn raid_superblocks_at_the_end_are_found_on_disks_of_odd_size() {
    let size = SIZE + 5 * 512;
    for (name, at) in [("0.90", SIZE - 65536), ("1.0", (size / 512 - 16) / 8 * 8 * 512)] {
        let mut bytes = vec![0; size];
        bytes[at..at + 4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        assert_eq!(found(bytes), [(SignatureKind::Md, at as u64)], "{name}");
    }
}

#[test]
fn zfs_labels_at_both_ends_are_found_in_either_byte_order() {
    let magic = 0x00ba_b10c_u64;
    let near_end = SIZE - (256 << 10) + (128 << 10) + 7 * 1024;
    let mut bytes = disk_with((128 << 10) + 1024, &magic.to_le_bytes());
    bytes[near_end..near_end + 8].copy_from_slice(&magic.to_be_bytes());
    let zfs = SignatureKind::ZfsMember;
    assert_eq!(found(bytes), [(zfs, (128 << 10) + 1024), (zfs, near_end as u64)]);
}

#[test]
fn boot_code_without_partitions_is_no_partition_table() {
    let mut bytes = disk_with(0x1fe, &[0x55, 0xaa]);
    assert_eq!(found(bytes.clone()), [], "no entry is used");
    bytes[0x1be + 4] = 0x83;
    bytes[0x1be + 12] = 1;
    assert_eq!(found(bytes.clone()), [(SignatureKind::Mbr, 0x1fe)]);
    bytes[0x1ce] = 0x12;
    assert_eq!(found(bytes), [], "a boot flag is neither 0 nor 0x80");
}

#[test]
fn a_protective_mbr_and_both_gpt_headers_are_found() {
    let mut bytes = disk_with(512, b"EFI PART");
    bytes[SIZE - 512..SIZE - 504].copy_from_slice(b"EFI PART");
    bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bytes[0x1be + 4] = 0xee;
    bytes[0x1be + 12..0x1be + 16].fill(0xff);
    let gpt = SignatureKind::Gpt;
    assert_eq!(
        found(bytes),
        [
            (SignatureKind::Mbr, 0x1fe),
            (gpt, 512),
            (gpt, (SIZE - 512) as u64)
        ]
    );
}

#[test]
fn two_bytes_alone_are_no_ext_file_system() {
    let mut bytes = disk_with(0x438, &[0x53, 0xef]);
    assert_eq!(found(bytes.clone()), [(SignatureKind::Ext, 0x438)]);
    bytes[0x418] = 99;
    assert_eq!(found(bytes), []);
}

#[test]
fn erasing_leaves_what_was_not_chosen() {
    let mut bytes = disk_with(0, b"XFSB");
    bytes[512..520].copy_from_slice(b"LABELONE");
    bytes[536..544].copy_from_slice(b"LVM2 001");
    let disk = MemDisk::new(bytes);
    let erased = erase_signatures(&disk, |found| found.kind != SignatureKind::LvmPv).unwrap();
    assert_eq!(
        erased.iter().map(|found| found.kind).collect::<Vec<_>>(),
        [SignatureKind::Xfs]
    );
    assert_eq!(find_signatures(&disk).unwrap().len(), 1);
}

/// A disk that takes writes and forgets them.
struct Stuck(MemDisk);

impl Disk for Stuck {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(at, buf)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }
}

#[test]
fn a_disk_that_keeps_its_signature_is_an_error_and_not_a_loop() {
    let disk = Stuck(MemDisk::new(disk_with(0, b"XFSB")));
    assert!(matches!(
        erase_signatures(&disk, |_| true),
        Err(Error::Stubborn { .. })
    ));
}

#[test]
#[ignore = "needs mkfs.ext4 and mkswap"]
fn what_real_tools_make_is_found_and_erased() {
    let dir = tempfile::tempdir().unwrap();
    for (tool, args, expected) in [
        ("mkfs.ext4", ["-q", "-F"], SignatureKind::Ext),
        ("mkswap", ["-q", "-f"], SignatureKind::Swap),
    ] {
        let image = dir.path().join(tool);
        let file = std::fs::File::create_new(&image).unwrap();
        file.set_len(64 << 20).unwrap();
        let output = std::process::Command::new(tool)
            .args(args)
            .arg(&image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{tool}: {output:?}");
        let disk = lvm_meta::FileDisk::new(
            std::fs::File::options()
                .read(true)
                .write(true)
                .open(&image)
                .unwrap(),
        );
        let found = find_signatures(&disk).unwrap();
        assert!(
            found.iter().any(|found| found.kind == expected),
            "{tool}: {found:?}"
        );
        erase_signatures(&disk, |_| true).unwrap();
        assert_eq!(find_signatures(&disk).unwrap(), [], "{tool}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_searched_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..5000), size in 0..200_000_usize) {
        let mut disk = vec![0; size];
        let len = bytes.len().min(size);
        disk[..len].copy_from_slice(&bytes[..len]);
        found(disk);
    }
}
