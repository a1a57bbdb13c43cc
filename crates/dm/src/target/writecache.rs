//! `writecache MODE ORIGIN CACHE BLOCK #OPTIONS OPTIONS...`, and what it says.
//!
//! Reference: Linux `Documentation/admin-guide/device-mapper/writecache.rst`, `drivers/md/dm-writecache.c`.

use super::Words;
use crate::{DeviceNumber, StatusLine, TargetVersion};

/// A device with a cache for its writes in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writecache {
    /// What the cache is: `s`, an SSD, or `p`, persistent memory.
    pub mode: String,
    /// The device that is cached.
    pub origin: DeviceNumber,
    /// The device with the written blocks and with the cache's metadata.
    pub cache: DeviceNumber,
    /// Bytes of a block.
    pub block_size: u64,
    /// Words such as `cleaner`, and keys with their values, such as `high_watermark 50`.
    pub options: Vec<String>,
}

impl Writecache {
    /// The kernel's name of the target.
    pub const TARGET: &'static str = "writecache";
    /// A cache on an SSD.
    pub const SSD: &'static str = "s";
    /// The option by which no block is cached any more, and those that are cached are written back; and the message that
    /// begins with it, again if it stands still.
    pub const CLEANER: &'static str = "cleaner";
    /// The message that writes all back, and is answered when that is done; not taken by a suspended device.
    pub const FLUSH: &'static str = "flush";
    /// The message by which all is written back when the device is suspended next.
    pub const FLUSH_ON_SUSPEND: &'static str = "flush_on_suspend";

    /// Returns `true` if a target of this version has the option [`Writecache::CLEANER`].
    pub fn has_cleaner(target: &TargetVersion) -> bool {
        let version = target.version;
        target.name == Self::TARGET && (version.major, version.minor) >= (1, 2)
    }

    /// The same cache while it is written back.
    #[must_use]
    pub fn cleaning(&self) -> Self {
        let mut cleaning = self.clone();
        if !self.is_cleaning() {
            cleaning.options.push(Self::CLEANER.into());
        }
        cleaning
    }

    /// Returns `true` if it has the option [`Writecache::CLEANER`].
    pub fn is_cleaning(&self) -> bool {
        // No option has a value of that name: all others are numbers.
        self.options.iter().any(|word| word == Self::CLEANER)
    }

    pub(super) fn params(&self) -> String {
        let Self {
            mode,
            origin,
            cache,
            block_size,
            options,
        } = self;
        let mut words = vec![format!("{mode} {origin} {cache} {block_size} {}", options.len())];
        words.extend(options.iter().cloned());
        words.join(" ")
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            mode: words.word()?.into(),
            origin: words.device()?,
            cache: words.device()?,
            block_size: words.number()?,
            options: words.counted()?,
        })
    }
}

/// What the kernel says of a cache for writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WritecacheStatus {
    /// The error that it met, or 0: after one it serves nothing any more.
    pub error: i64,
    /// Its blocks.
    pub blocks: u64,
    /// Blocks that hold nothing: the origin has the content of each block that is cached nowhere.
    pub free: u64,
    /// Blocks that are being written back.
    pub writing: u64,
}

impl WritecacheStatus {
    /// Reads a status line; `None` for another target or in other words.
    pub fn parse(line: &StatusLine) -> Option<Self> {
        if line.kind != Writecache::TARGET {
            return None;
        }
        // Kernels since 5.15 tell counts of reads and writes behind these.
        let mut words = Words(line.status.split_ascii_whitespace());
        let status = Self {
            error: words.number()?,
            blocks: words.number()?,
            free: words.number()?,
            writing: words.number()?,
        };
        (status.free <= status.blocks).then_some(status)
    }

    /// Blocks whose content the origin may not have.
    pub fn held(&self) -> u64 {
        self.blocks.saturating_sub(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    fn status(status: &str) -> Option<WritecacheStatus> {
        WritecacheStatus::parse(&StatusLine {
            start: 0,
            length: 8,
            kind: "writecache".into(),
            status: status.into(),
        })
    }

    #[test]
    fn a_cache_of_writes_tells_what_it_holds() {
        for more in ["", " 12 3 40 5 6 7 8 9 10 11"] {
            let said = status(&format!("0 8032 6000 16{more}")).unwrap();
            assert_eq!(
                (said.error, said.blocks, said.free, said.writing),
                (0, 8032, 6000, 16)
            );
            assert_eq!(said.held(), 2032);
        }
        assert_eq!(status("-5 8032 8032 0").map(|said| said.error), Some(-5));
    }

    #[test]
    fn half_a_status_and_one_that_cannot_be_say_nothing() {
        for bad in [
            "",
            "0",
            "0 8032",
            "0 8032 6000",
            "0 10 11 0",
            "x 10 10 0",
            "0 -1 10 0",
            "Error",
        ] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_cleaner_is_one_option_more() {
        let device = |minor| DeviceNumber { major: 253, minor };
        let cache = Writecache {
            mode: Writecache::SSD.into(),
            origin: device(2),
            cache: device(1),
            block_size: 4096,
            options: vec!["high_watermark".into(), "60".into()],
        };
        assert!(!cache.is_cleaning());
        let cleaning = cache.cleaning();
        assert_eq!(
            cleaning.params(),
            "s 253:2 253:1 4096 3 high_watermark 60 cleaner"
        );
        assert!(cleaning.is_cleaning() && cleaning.cleaning() == cleaning);
    }

    #[test]
    fn the_cleaner_came_with_the_second_version() {
        let target = |name: &str, major, minor| TargetVersion {
            name: name.into(),
            version: Version {
                major,
                minor,
                patch: 0,
            },
        };
        assert!(!Writecache::has_cleaner(&target("writecache", 1, 1)));
        assert!(Writecache::has_cleaner(&target("writecache", 1, 2)));
        assert!(Writecache::has_cleaner(&target("writecache", 2, 0)));
        assert!(!Writecache::has_cleaner(&target("cache", 2, 2)));
    }
}
