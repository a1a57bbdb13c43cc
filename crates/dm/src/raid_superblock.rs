//! What the kernel notes on disk of an image of an array.

/// What begins the metadata of an image: `struct dm_raid_superblock` of the kernel's `drivers/md/dm-raid.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaidSuperblock {
    /// Goes up with each change of the array's state: what is lower than another image's was not there then.
    pub events: u64,
    /// A bit for each of the first 64 images that failed.
    pub failed: u64,
    /// Has the image all data, as far as it was ever in sync?
    pub is_recovered: bool,
}

impl RaidSuperblock {
    /// Bytes that are read for it: the kernel writes a block.
    pub const SIZE: usize = 4096;

    const MAGIC: u32 = 0x6452_6d44;

    /// Reads the beginning of an image's metadata; `None` for what the kernel never wrote.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let magic = bytes.first_chunk().copied().map(u32::from_le_bytes)?;
        let word = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk().copied()?;
            Some(u64::from_le_bytes(bytes))
        };
        (magic == Self::MAGIC).then_some(())?;
        Some(Self {
            events: word(16)?,
            failed: word(24)?,
            is_recovered: word(32)? == u64::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_events_failures_and_whether_it_is_recovered() {
        let mut bytes = [0; 64];
        assert_eq!(RaidSuperblock::parse(&bytes), None);
        bytes[..4].copy_from_slice(b"DmRd");
        bytes[16] = 7;
        bytes[24] = 2;
        let found = |is_recovered| RaidSuperblock {
            events: 7,
            failed: 2,
            is_recovered,
        };
        assert_eq!(RaidSuperblock::parse(&bytes), Some(found(false)));
        bytes[32..40].fill(0xff);
        assert_eq!(RaidSuperblock::parse(&bytes), Some(found(true)));
        for end in 0..40 {
            assert_eq!(RaidSuperblock::parse(&bytes[..end]), None, "{end}");
        }
    }
}
