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

/// What the kernel tells of an array: `TYPE #DEVICES HEALTH DONE/ALL [ACTION MISMATCHES [DATA_OFFSET [JOURNAL]]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaidStatus {
    /// `raid1`, `raid5_ls` and so on.
    pub level: String,
    /// The health of each image; the kernel may tell of fewer than the table has.
    pub images: Vec<RaidHealth>,
    /// Sectors of each image that are in sync, of [`RaidStatus::all`].
    pub done: u64,
    /// Sectors of each image.
    pub all: u64,
    /// `idle`, `frozen`, `resync`, `recover`, `check`, `repair`, `reshape`; `None` from kernels that do not tell.
    pub action: Option<String>,
    /// Sectors that the last check found to differ, if the kernel tells.
    pub mismatches: Option<u64>,
}

/// The health of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaidHealth {
    /// In sync.
    InSync,
    /// Alive, and not in sync.
    Behind,
    /// Failed.
    Dead,
    /// Not there.
    Missing,
}

impl RaidStatus {
    /// Reads the words of a status; `None` for what is none.
    pub fn parse(status: &str) -> Option<Self> {
        let mut words = status.split_ascii_whitespace();
        let level = words.next()?.to_string();
        words.next()?.parse::<u64>().ok()?;
        let health = |letter| match letter {
            'A' => Some(RaidHealth::InSync),
            'a' => Some(RaidHealth::Behind),
            'D' => Some(RaidHealth::Dead),
            '-' => Some(RaidHealth::Missing),
            _ => None,
        };
        let images = words.next()?.chars().map(health).collect::<Option<Vec<_>>>()?;
        let (done, all) = words.next()?.split_once('/')?;
        let (done, all) = (done.parse().ok()?, all.parse().ok()?);
        let action = words.next().map(Into::into);
        let mismatches = match words.next() {
            Some(count) => Some(count.parse().ok()?),
            None => None,
        };
        (done <= all).then_some(Self {
            level,
            images,
            done,
            all,
            action,
            mismatches,
        })
    }

    /// Sectors in sync, of [`RaidStatus::all`], without the moments in which the kernel tells of all though an image is
    /// behind: before a synchronisation has begun, and after it was cut.
    pub fn in_sync(&self) -> u64 {
        let is_behind = self.images.contains(&RaidHealth::Behind);
        let is_quiet = self
            .action
            .as_deref()
            .is_none_or(|action| action == "idle" || action == "recover");
        match self.done == self.all && is_behind && is_quiet {
            true => self.done.saturating_sub(1),
            false => self.done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_health_progress_and_action() {
        let status = RaidStatus::parse("raid1 3 AaD 128/49152 recover 0 0 -").unwrap();
        let images = [RaidHealth::InSync, RaidHealth::Behind, RaidHealth::Dead];
        assert_eq!(status.images, images);
        assert_eq!((status.in_sync(), status.all), (128, 49152));
        assert_eq!(status.action.as_deref(), Some("recover"));
        assert_eq!(status.mismatches, Some(0));
        let old = RaidStatus::parse("raid5_ls 3 AA- 8/8").unwrap();
        assert_eq!((old.action, old.mismatches), (None, None));
    }

    #[test]
    fn an_image_that_is_behind_keeps_the_array_from_being_in_sync() {
        let in_sync = |text| RaidStatus::parse(text).unwrap().in_sync();
        assert_eq!(in_sync("raid1 2 Aa 64/64 idle 0 0 -"), 63);
        assert_eq!(in_sync("raid1 2 Aa 64/64 recover 0 0 -"), 63);
        assert_eq!(in_sync("raid1 2 AA 64/64 idle 0 0 -"), 64);
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for bad in [
            "",
            "raid1",
            "raid1 2",
            "raid1 x AA 1/1",
            "raid1 2 AX 1/1",
            "raid1 2 AA 1",
            "raid1 2 AA 2/1",
            "raid1 2 AA 1/1 idle x",
            "raid1 2 AA 99999999999999999999/1",
        ] {
            assert_eq!(RaidStatus::parse(bad), None, "{bad}");
        }
    }
}
