//! Where things lie in a replica that carries a volume.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 to 1 MiB | left to the nexus, whose partition table takes the first 17 KiB; at 512 and 768 KiB the two slots of the volume's record |
//! | 1 to 5 MiB | what dm-raid keeps of this image: the nexus' metadata partition |
//! | 5 MiB to the volume's end | user data, where the nexus has it |
//! | the last 33 blocks and more | left free: the nexus' second partition table |
//!
//! Reference: io-engine's `bdev/nexus` (data at 5 MiB; a GPT of 32 blocks and a header at the end).

use crate::Error;

/// The two slots of the record.
pub(super) const SLOTS: [u64; 2] = [512 << 10, 768 << 10];
/// Where dm-raid's metadata lies.
pub(super) const META_START: u64 = 1 << 20;
/// Its size.
pub(super) const META_SIZE: u64 = 4 << 20;
/// Where user data begins.
pub(super) const DATA_START: u64 = META_START + META_SIZE;
/// Blocks that stay free at the end.
const TAIL_BLOCKS: u64 = 33;
/// The largest logical block that a replica may have.
const LARGEST_BLOCK: u64 = 4096;
/// Volumes are whole pages.
const UNIT: u64 = 4096;
/// The bytes that a bit of the bitmap stands for, in volumes of up to a tebibyte.
const SMALLEST_REGION: u64 = 512 << 10;
/// A bitmap has 2^21 bits at most.  Reference: Linux `drivers/md/dm-raid.c`, `validate_region_size`.
const REGIONS: u64 = 1 << 21;

pub(super) const SECTOR: u64 = 512;

/// The size of a volume that was asked for with `size` bytes.
///
/// # Errors
/// [`Error::InvalidArgument`] for nothing, and for what no replica can hold.
pub(super) fn volume_size(size: u64) -> Result<u64, Error> {
    let whole = size.checked_next_multiple_of(UNIT).filter(|whole| *whole > 0);
    whole
        .filter(|whole| *whole <= 1 << 60)
        .ok_or_else(|| Error::InvalidArgument {
            what: "volume size",
            given: size.to_string(),
            why: "it must be more than nothing and at most an exbibyte".into(),
        })
}

/// The bytes that a replica needs for a volume.
pub(super) fn replica_size(volume: u64) -> u64 {
    volume
        .saturating_add(DATA_START)
        .saturating_add(TAIL_BLOCKS * LARGEST_BLOCK)
}

/// The bytes that a bit of the bitmap stands for.
pub(super) fn region_size(volume: u64) -> u64 {
    let least = volume.div_ceil(REGIONS).max(1);
    least
        .checked_next_power_of_two()
        .unwrap_or(1 << 40)
        .max(SMALLEST_REGION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_stands_for_half_a_mebibyte_until_there_would_be_too_many() {
        assert_eq!(region_size(1 << 30), 512 << 10);
        assert_eq!(region_size(1 << 40), 512 << 10);
        assert_eq!(region_size((1 << 40) + 4096), 1 << 20);
        assert_eq!(region_size(1 << 60), 1 << 39);
    }

    #[test]
    fn the_slots_lie_before_the_arrays_metadata_and_behind_a_partition_table() {
        assert!(SLOTS[0] >= 64 << 10 && SLOTS[1] + super::super::record::SLOT_SIZE as u64 <= META_START);
        assert!(SLOTS[0] + super::super::record::SLOT_SIZE as u64 <= SLOTS[1]);
    }

    #[test]
    fn sizes_are_whole_pages() {
        assert_eq!(volume_size(1).unwrap(), 4096);
        assert_eq!(volume_size(8192).unwrap(), 8192);
        assert!(volume_size(0).is_err() && volume_size(u64::MAX).is_err());
    }
}
