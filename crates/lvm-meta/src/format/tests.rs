//! What is encoded decodes to the same, and what real LVM wrote encodes to its own bytes.

use proptest::prelude::*;

use super::*;
use crate::PvId;
use crate::bytes::{SECTOR, Sector};

fn area() -> impl Strategy<Value = DiskArea> {
    (1u64.., any::<u64>()).prop_map(|(offset, size)| DiskArea { offset, size })
}

fn header() -> impl Strategy<Value = PvHeader> {
    let areas = |most| prop::collection::vec(area(), 0..=most);
    let extension = prop_oneof![Just((0, 0)), (1u32..4, any::<u32>())];
    (
        any::<[u8; 32]>(),
        any::<u64>(),
        areas(2),
        areas(2),
        extension,
        areas(1),
    )
        .prop_map(
            |(
                id,
                device_size,
                data_areas,
                metadata_areas,
                (extension_version, extension_flags),
                bootloader,
            )| PvHeader {
                id: PvId::from_random(id),
                device_size,
                data_areas,
                metadata_areas,
                extension_version,
                extension_flags,
                bootloader_areas: if extension_version > 0 {
                    bootloader
                } else {
                    Vec::new()
                },
            },
        )
}

fn slot() -> impl Strategy<Value = RawLocation> {
    (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(offset, size, checksum, flags)| {
        RawLocation {
            offset,
            size,
            checksum,
            flags,
        }
    })
}

proptest! {
    #[test]
    fn a_label_decodes_to_what_was_encoded(header in header(), sector in 0usize..4, header_at in 32usize..100) {
        let sector = LabelSector::all().nth(sector).unwrap();
        let label = Label { sector, header_at, header };
        let bytes = label.encode().unwrap();
        prop_assert_eq!(&Label::decode(&bytes, sector).unwrap(), &label);
        prop_assert_eq!(label.encode_over(bytes).unwrap(), bytes);
    }

    #[test]
    fn a_header_decodes_to_what_was_encoded(
        start in 0u64..1 << 50, size in 1024u64..1 << 50, committed in slot(), precommitted in slot(), rest: [u8; 16]
    ) {
        let mut header = MdaHeader::empty(start, size);
        (header.committed, header.precommitted) = (committed, precommitted);
        let mut bytes = header.encode();
        prop_assert_eq!(&MdaHeader::decode(&bytes, start).unwrap(), &header);
        // Bytes that the format reserves come back, too.
        bytes[300..316].copy_from_slice(&rest);
        let sum = crate::crc::crc(&[&bytes[4..]]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        prop_assert_eq!(MdaHeader::decode(&bytes, start).unwrap().encode(), bytes);
    }

    #[test]
    fn any_bytes_decode_without_harm(mut bytes in prop::collection::vec(any::<u8>(), SECTOR), is_valid: bool) {
        if is_valid {
            bytes[..8].copy_from_slice(b"LABELONE");
            bytes[8..16].copy_from_slice(&1u64.to_le_bytes());
            bytes[22..24].fill(0);
            bytes[24..32].copy_from_slice(b"LVM2 001");
            let sum = crate::crc::crc(&[&bytes[20..]]);
            bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        }
        let sector: Sector = bytes.try_into().unwrap();
        if let Ok(label) = Label::decode(&sector, LabelSector::DEFAULT) {
            prop_assert_eq!(Label::decode(&label.encode_over(sector).unwrap(), LabelSector::DEFAULT).unwrap(), label);
        }
        let _ = MdaHeader::decode(&sector, 4096);
    }
}

fn fresh(areas: Vec<DiskArea>, used: bool) -> Sector {
    let id = PvId::parse("niIJPG-s8SE-wkW9-8P4F-MbVT-f5yY-bna5Mb").unwrap();
    let mut header = PvHeader::new(id, 64 << 20, 1 << 20, areas);
    header.set_used(used);
    Label::new(LabelSector::DEFAULT, header).encode().unwrap()
}

#[test]
fn checksums_are_those_that_lvm_wrote_for_the_same_pv() {
    let area = DiskArea {
        offset: 4096,
        size: 1_044_480,
    };
    let sum = |bytes: Sector, at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(sum(fresh(vec![area], true), 16), 0x4ed9_adb5);
    assert_eq!(sum(fresh(vec![area], false), 16), 0x4f90_585b);
    let mut header = MdaHeader::empty(4096, 1_044_480);
    assert_eq!(sum(header.encode(), 0), 0xdb8e_d616);
    header.committed.flags = 1;
    assert_eq!(sum(header.encode(), 0), 0x4524_581e);
    assert_eq!(
        sum(MdaHeader::empty(66_060_288, 1_048_576).encode(), 0),
        0x0064_6c97
    );
}

#[test]
fn the_extension_lies_behind_the_lists() {
    let area = DiskArea {
        offset: 4096,
        size: 1_044_480,
    };
    for (count, at) in [(0, 120), (1, 136), (2, 152)] {
        let bytes = fresh(vec![area; count], true);
        assert_eq!(&bytes[at..at + 8], &[2, 0, 0, 0, 1, 0, 0, 0]);
    }
}

#[test]
fn a_header_with_more_areas_than_its_sector_holds_is_refused() {
    let area = DiskArea {
        offset: 4096,
        size: 1_044_480,
    };
    let header = PvHeader::new(PvId::from_random([0; 32]), 64 << 20, 1 << 20, vec![area; 30]);
    let refused = Label::new(LabelSector::DEFAULT, header).encode();
    assert!(matches!(refused, Err(crate::Error::TooManyAreas)));
}
