//! What the kernel keeps at the start of the metadata of an array's image.
//!
//! | byte | size | field                    | value                                                    |
//! | ---: | ---: | ------------------------ | -------------------------------------------------------- |
//! |    0 |    4 | `magic`                  | `DmRd` from the lowest byte up                           |
//! |    4 |    4 | `compat_features`        |                                                          |
//! |    8 |    4 | `num_devices`            | images of the array                                      |
//! |   12 |    4 | `array_position`         | which of them this one is                                |
//! |   16 |    8 | `events`                 | counts what the array noted                              |
//! |   24 |    8 | `failed_devices`         | a bit for each of the first 64 images                    |
//! |   32 |    8 | `disk_recovery_offset`   | sectors that the image was filled up to; all bits set: whole |
//!
//! All integers are little-endian.  Reference: Linux `drivers/md/dm-raid.c`.

/// The superblock of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RaidSuperblock {
    /// How many images the array has.
    pub images: u32,
    /// Which of them this one is.
    pub position: u32,
    /// Goes up with each change of the array's state: what is lower than another image's was not there then.
    pub events: u64,
    /// A bit for each of the first 64 images that failed.
    pub failed: u64,
    /// Has the image all data, as far as it was ever in sync?
    pub is_recovered: bool,
}

impl RaidSuperblock {
    const MAGIC: u32 = u32::from_le_bytes(*b"DmRd");

    /// Reads the beginning of an image's metadata; `None` if the kernel noted nothing there.  Never panics.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        if word(0)? != Self::MAGIC {
            return None;
        }
        Some(Self {
            images: word(8)?,
            position: word(12)?,
            events: long(16)?,
            failed: long(24)?,
            is_recovered: long(32)? == u64::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_its_place_and_state_once_the_kernel_noted_it() {
        let mut bytes = [0; 64];
        assert_eq!(RaidSuperblock::parse(&bytes), None);
        bytes[..4].copy_from_slice(b"DmRd");
        bytes[8..16].copy_from_slice(&[3, 0, 0, 0, 1, 0, 0, 0]);
        bytes[16] = 7;
        bytes[24] = 2;
        let found = |is_recovered| RaidSuperblock {
            images: 3,
            position: 1,
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
