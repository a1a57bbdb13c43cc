//! `raid TYPE #PARAMS CHUNK [PARAMS...] #DEVICES (META|- DATA|-)...`

use super::Words;
use crate::DeviceNumber;

/// An array of md's personalities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raid {
    /// `raid1`, `raid5_ls` and so on.
    pub level: String,
    /// Sectors of one stripe; 0 for raid1.
    pub chunk: u64,
    /// The words behind the chunk, such as `region_size 4096`.
    pub params: Vec<String>,
    /// The images, in their order.
    pub images: Vec<RaidImage>,
}

/// One image of an array: a pair of devices, either of which may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaidImage {
    /// Superblock and bitmap.
    pub meta: Option<DeviceNumber>,
    /// Data.
    pub data: Option<DeviceNumber>,
}

impl Raid {
    pub(super) fn params(&self) -> String {
        let mut params = format!("{} {} {}", self.level, self.params.len() + 1, self.chunk);
        for word in &self.params {
            params += &format!(" {word}");
        }
        params += &format!(" {}", self.images.len());
        let name = |device: Option<DeviceNumber>| device.map_or("-".into(), |device| device.to_string());
        for image in &self.images {
            params += &format!(" {} {}", name(image.meta), name(image.data));
        }
        params
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        let level = words.word()?.to_string();
        let count = words.number::<usize>()?.checked_sub(1)?;
        let chunk = words.number()?;
        let mut params = Vec::new();
        for _ in 0..count {
            params.push(words.word()?.to_string());
        }
        let device = |word: &str| match word {
            "-" => Some(None),
            word => DeviceNumber::parse(word).map(Some),
        };
        let mut images = Vec::new();
        for _ in 0..words.number::<usize>()? {
            images.push(RaidImage {
                meta: device(words.word()?)?,
                data: device(words.word()?)?,
            });
        }
        Some(Self {
            level,
            chunk,
            params,
            images,
        })
    }
}
