//! `mirror LOG #LOG_ARGS ... #IMAGES (DEVICE OFFSET)... [#FEATURES ...]`

use super::Words;
use crate::{DeviceNumber, StatusLine};

/// Copies on several devices with a log of what is in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where the log is.
    pub log: MirrorLog,
    /// Sectors that one bit of the log stands for.
    pub region_size: u64,
    /// The copies are in sync from the start.
    pub nosync: bool,
    /// Device and first sector of each copy.
    pub images: Vec<(DeviceNumber, u64)>,
    /// Words such as `handle_errors`.
    pub features: Vec<String>,
}

/// Where a mirror keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorLog {
    /// In memory.
    Core,
    /// On a device.
    Disk(DeviceNumber),
}

/// What the kernel says of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorStatus {
    /// Regions that are the same on all copies.
    pub in_sync: u64,
    /// All regions.
    pub regions: u64,
    /// A letter for each copy: `A` while nothing failed there, `D`, `F`, `S`, `R` or `U` for what did.
    pub health: String,
}

impl MirrorStatus {
    /// Reads the status of a mirror; `None` for another target or in other words.
    pub fn parse(line: &StatusLine) -> Option<Self> {
        if line.kind != "mirror" {
            return None;
        }
        let mut words = Words(line.status.split_ascii_whitespace());
        for _ in 0..words.number::<usize>()?.min(128) {
            words.word()?;
        }
        let (in_sync, regions) = words.fraction()?;
        let health = match words.word()? {
            "1" => words.word()?.into(),
            _ => return None,
        };
        Some(Self {
            in_sync,
            regions,
            health,
        })
    }

    /// Did nothing fail, and are all regions the same?
    pub fn is_in_sync(&self) -> bool {
        self.is_healthy() && self.in_sync == self.regions
    }

    /// Returns `true` if nothing failed on the first copy, from which the others are made.
    pub fn is_first_healthy(&self) -> bool {
        self.health.starts_with('A')
    }

    /// Did nothing fail?
    pub fn is_healthy(&self) -> bool {
        self.health.bytes().all(|letter| letter == b'A')
    }
}

impl MirrorLog {
    /// The log's device, if it is on one.
    pub fn device(self) -> Option<DeviceNumber> {
        match self {
            Self::Core => None,
            Self::Disk(device) => Some(device),
        }
    }
}

impl Mirror {
    pub(super) fn params(&self) -> String {
        let extra = usize::from(self.nosync);
        let mut params = match self.log {
            MirrorLog::Core => format!("core {} {}", extra + 1, self.region_size),
            MirrorLog::Disk(device) => format!("disk {} {device} {}", extra + 2, self.region_size),
        };
        if self.nosync {
            params += " nosync";
        }
        params += &format!(" {}", self.images.len());
        for (device, offset) in &self.images {
            params += &format!(" {device} {offset}");
        }
        if !self.features.is_empty() {
            params += &format!(" {} {}", self.features.len(), self.features.join(" "));
        }
        params
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        let kind = words.word()?;
        let mut args = words.number::<usize>()?;
        let log = match kind {
            "core" => MirrorLog::Core,
            "disk" => {
                args = args.checked_sub(1)?;
                MirrorLog::Disk(words.device()?)
            }
            _ => return None,
        };
        let region_size = words.number()?;
        let nosync = match args {
            1 => false,
            2 if words.word()? == "nosync" => true,
            _ => return None,
        };
        let mut images = Vec::new();
        for _ in 0..words.number::<usize>()? {
            images.push(words.area()?);
        }
        let mut features = Vec::new();
        if let Some(count) = words.word() {
            for _ in 0..count.parse::<usize>().ok()? {
                features.push(words.word()?.to_string());
            }
        }
        Some(Self {
            log,
            region_size,
            nosync,
            images,
            features,
        })
    }
}
