//! The bitmap of the regions of an array in which writes may be under way, as the kernel keeps it in the metadata of each image.
//!
//! | byte | size | field | value |
//! | ---: | ---: | --- | --- |
//! | 0 | 4 | `magic` | `bitm` |
//! | 4 | 4 | `version` | 4 |
//! | 24 | 8 | `events` | as the superblock's, or one more |
//! | 48 | 4 | `state` | 2: it is out of date |
//! | 52 | 4 | `chunksize` | bytes that a bit stands for |
//! | 256 | | | the bits, the lowest of each byte first |
//!
//! All integers are little-endian.  It begins 4096 bytes into the metadata.  Reference: Linux `drivers/md/md-bitmap.h`, and
//! `drivers/md/dm-raid.c` for its place.
//!
//! A bit is set before anything is written to its region, and cleared some time after the write was done on all images.

/// The bitmap of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaidBitmap<'a> {
    /// What the array had noted when the bitmap was last brought up to date: see [`RaidSuperblock`](crate::RaidSuperblock).
    pub events: u64,
    /// Bytes of a region.
    pub region: u32,
    bits: &'a [u8],
}

impl<'a> RaidBitmap<'a> {
    /// Its first byte in the metadata of an image.
    pub const START: u64 = 4096;
    const HEADER: usize = 256;
    const MAGIC: u32 = u32::from_le_bytes(*b"bitm");
    const VERSION: u32 = 4;
    const STALE: u32 = 2;

    /// The bytes of a bitmap of so many regions.
    pub fn size(regions: u64) -> u64 {
        regions.div_ceil(8).saturating_add(Self::HEADER as u64)
    }

    /// Reads a bitmap of so many regions; `None` if there is none, one that is out of date, or of another version.  Never panics.
    pub fn parse(bytes: &'a [u8], regions: u64) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let events = u64::from_le_bytes(*bytes.get(24..)?.first_chunk()?);
        let is_one = word(0)? == Self::MAGIC && word(4)? == Self::VERSION && word(48)? & Self::STALE == 0;
        let end = usize::try_from(Self::size(regions)).ok()?;
        let bits = bytes.get(Self::HEADER..end)?;
        is_one.then_some(Self {
            events,
            region: word(52)?,
            bits,
        })
    }

    /// May a write have been under way in this region?
    pub fn is_dirty(&self, region: u64) -> bool {
        let byte = usize::try_from(region / 8).ok().and_then(|at| self.bits.get(at));
        byte.is_some_and(|byte| byte & 1 << (region % 8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..4].copy_from_slice(b"bitm");
        bytes[4] = 4;
        bytes[24] = 9;
        bytes[52..56].copy_from_slice(&(512_u32 << 10).to_le_bytes());
        bytes[256] = 0b101;
        bytes[257] = 0b1000_0000;
        bytes
    }

    #[test]
    fn the_regions_are_told_in_which_writes_were_under_way() {
        let bytes = bitmap();
        let found = RaidBitmap::parse(&bytes, 17).unwrap();
        assert_eq!((found.events, found.region), (9, 512 << 10));
        let dirty: Vec<u64> = (0..1000).filter(|region| found.is_dirty(*region)).collect();
        assert_eq!(dirty, [0, 2, 15]);
    }

    #[test]
    fn what_is_no_bitmap_or_out_of_date_tells_nothing() {
        for (at, byte) in [(0, b'x'), (4, 3), (48, 2)] {
            let mut bytes = bitmap();
            bytes[at] = byte;
            assert_eq!(RaidBitmap::parse(&bytes, 17), None, "{at}");
        }
        let bytes = bitmap();
        for end in 0..259 {
            assert_eq!(RaidBitmap::parse(&bytes[..end], 17), None, "{end}");
        }
        assert_eq!(RaidBitmap::parse(&bytes, u64::MAX), None);
    }
}
