//! What the kernel keeps at the start of the metadata of an array's image.
//!
//! | byte | size | field             | value                                        |
//! | ---: | ---: | ----------------- | -------------------------------------------- |
//! |    0 |    4 | `magic`           | `DmRd` from the lowest byte up               |
//! |    4 |    4 | `compat_features` |                                              |
//! |    8 |    4 | `num_devices`     | images of the array                          |
//! |   12 |    4 | `array_position`  | which of them this one is                    |
//! |   16 |    8 | `events`          | counts what the array noted                  |
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
}

impl RaidSuperblock {
    const MAGIC: u32 = u32::from_le_bytes(*b"DmRd");

    /// Reads the beginning of an image's metadata; `None` if the kernel noted nothing there.  Never panics.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        if word(0)? != Self::MAGIC {
            return None;
        }
        Some(Self {
            images: word(8)?,
            position: word(12)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tell_the_place_of_their_image_once_the_kernel_noted_it() {
        let mut bytes = [0; 512];
        assert_eq!(RaidSuperblock::parse(&bytes), None);
        bytes[..4].copy_from_slice(b"DmRd");
        bytes[8..16].copy_from_slice(&[3, 0, 0, 0, 1, 0, 0, 0]);
        let (images, position) = (3, 1);
        assert_eq!(
            RaidSuperblock::parse(&bytes),
            Some(RaidSuperblock { images, position })
        );
        assert_eq!(RaidSuperblock::parse(&bytes[..15]), None);
        assert_eq!(RaidSuperblock::parse(b""), None);
    }
}
