//! `cache METADATA CACHE ORIGIN BLOCK #FEATURES FEATURES... POLICY #ARGS ARGS...`, and what it says.
//!
//! Reference: Linux `Documentation/admin-guide/device-mapper/cache.rst`, `drivers/md/dm-cache-target.c`.

use super::Words;
use crate::{DeviceNumber, StatusLine};

/// A device with a cache in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The device with the cache's metadata.
    pub metadata: DeviceNumber,
    /// The device with the cached blocks.
    pub cache: DeviceNumber,
    /// The device that is cached.
    pub origin: DeviceNumber,
    /// Sectors of a block.
    pub block_size: u64,
    /// Words such as `metadata2`, and one of `writethrough`, `writeback` and `passthrough`; without one it is `writeback`.
    pub features: Vec<String>,
    /// What decides which blocks are cached, such as `smq`.
    pub policy: String,
    /// Keys and values of the policy and of the target itself, such as `migration_threshold 2048`.
    pub policy_args: Vec<String>,
}

impl Cache {
    /// The policy that writes back what is dirty and caches nothing more.
    pub const CLEANER: &'static str = "cleaner";
    /// The feature by which a write is on the origin when it is answered.
    pub const WRITETHROUGH: &'static str = "writethrough";
    /// The features that say how writes go.
    pub const MODES: [&'static str; 3] = [Self::WRITETHROUGH, "writeback", "passthrough"];

    /// The same cache while it is written back: no write makes a block dirty any more, and dirty ones become clean.
    #[must_use]
    pub fn cleaning(&self) -> Self {
        let mut features = self.features.clone();
        features.retain(|word| !Self::MODES.contains(&word.as_str()));
        features.push(Self::WRITETHROUGH.into());
        Self {
            features,
            policy: Self::CLEANER.into(),
            policy_args: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns `true` if writes may make blocks dirty.
    pub fn is_writeback(&self) -> bool {
        makes_dirty(&self.features)
    }

    pub(super) fn params(&self) -> String {
        let Self {
            metadata,
            cache,
            origin,
            block_size,
            features,
            policy,
            policy_args,
        } = self;
        let mut words = vec![format!(
            "{metadata} {cache} {origin} {block_size} {}",
            features.len()
        )];
        words.extend(features.iter().cloned());
        words.push(format!("{policy} {}", policy_args.len()));
        words.extend(policy_args.iter().cloned());
        words.join(" ")
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata: words.device()?,
            cache: words.device()?,
            origin: words.device()?,
            block_size: words.number()?,
            features: words.counted()?,
            policy: words.word()?.into(),
            policy_args: words.counted()?,
        })
    }
}

fn makes_dirty(features: &[String]) -> bool {
    let keeps_clean = |word: &String| word == Cache::WRITETHROUGH || word == "passthrough";
    !features.iter().any(keeps_clean)
}

/// What the kernel says of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheStatus {
    /// It serves.
    Serving(CacheUsage),
    /// Its metadata failed: nothing is served any more.
    Failed,
    /// Not known now.
    Unknown,
}

/// How a cache that serves is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    /// Blocks of the metadata in use, and all.
    pub metadata: (u64, u64),
    /// Sectors of a cached block.
    pub block_size: u64,
    /// Blocks that are cached, and all.
    pub blocks: (u64, u64),
    /// Blocks whose content the origin does not have.
    pub dirty: u64,
    /// The features of the table.
    pub features: Vec<String>,
    /// The policy.
    pub policy: String,
    /// The metadata cannot be written any more.
    pub is_read_only: bool,
    /// The metadata has to be checked before the cache can be written again.
    pub needs_check: bool,
}

impl CacheUsage {
    /// Returns `true` if nothing is dirty, and no write can make it so.
    pub fn is_clean(&self) -> bool {
        self.dirty == 0 && !self.is_writeback()
    }

    /// Returns `true` if writes may make blocks dirty.
    pub fn is_writeback(&self) -> bool {
        makes_dirty(&self.features)
    }
}

impl CacheStatus {
    /// Reads a status line; `None` for another target or in other words.
    pub fn parse(line: &StatusLine) -> Option<Self> {
        if line.kind != "cache" {
            return None;
        }
        match line.status.trim() {
            "Fail" => return Some(Self::Failed),
            "Error" => return Some(Self::Unknown),
            _ => {}
        }
        let mut words = Words(line.status.split_ascii_whitespace());
        let _: u64 = words.number()?;
        let metadata = words.fraction()?;
        let block_size = words.number()?;
        let blocks = words.fraction()?;
        // Hits and misses of reads and writes, demotions, promotions.
        for _ in 0..6 {
            let _: u64 = words.number()?;
        }
        let dirty = words.number()?;
        let features = words.counted()?;
        let _core_args: Vec<String> = words.counted()?;
        let policy = words.word()?.into();
        let _policy_args: Vec<String> = words.counted()?;
        let is_read_only = match words.word()? {
            "ro" => true,
            "rw" => false,
            _ => return None,
        };
        Some(Self::Serving(CacheUsage {
            metadata,
            block_size,
            blocks,
            dirty,
            features,
            policy,
            is_read_only,
            // Kernels before 4.3 do not say.
            needs_check: words.word() == Some("needs_check"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: &str) -> Option<CacheStatus> {
        CacheStatus::parse(&StatusLine {
            start: 0,
            length: 8,
            kind: "cache".into(),
            status: status.into(),
        })
    }

    #[test]
    fn a_cache_tells_what_is_dirty_and_how_it_works() {
        let said = "8 72/2048 128 640/1024 10 2 30 4 0 640 12 2 metadata2 writeback 2 migration_threshold 2048 smq 0 rw - ";
        let Some(CacheStatus::Serving(usage)) = status(said) else {
            panic!("{said}")
        };
        assert_eq!(
            (usage.metadata, usage.block_size, usage.blocks),
            ((72, 2048), 128, (640, 1024))
        );
        assert_eq!((usage.dirty, &*usage.policy), (12, "smq"));
        assert!(usage.is_writeback() && !usage.is_clean());
        assert!(!usage.is_read_only && !usage.needs_check);
    }

    #[test]
    fn a_cache_is_clean_when_nothing_is_dirty_and_nothing_can_become_so() {
        for (dirty, features, is_clean) in [
            (0, "1 writethrough", true),
            (0, "2 metadata2 passthrough", true),
            (0, "1 writeback", false),
            (0, "0", false),
            (1, "1 writethrough", false),
        ] {
            let said = format!("8 1/2 64 0/9 0 0 0 0 0 0 {dirty} {features} 0 cleaner 0 ro needs_check");
            let Some(CacheStatus::Serving(usage)) = status(&said) else {
                panic!("{said}")
            };
            assert_eq!(usage.is_clean(), is_clean, "{said}");
            assert!(usage.is_read_only && usage.needs_check, "{said}");
        }
    }

    #[test]
    fn a_cache_that_failed_says_so_and_half_a_status_says_nothing() {
        assert_eq!(status("Fail"), Some(CacheStatus::Failed));
        assert_eq!(status("Error"), Some(CacheStatus::Unknown));
        let whole = "8 72/2048 128 640/1024 10 2 30 4 0 640 12 1 writeback 0 smq 0 rw";
        assert!(status(whole).is_some());
        for (at, _) in whole.match_indices(' ') {
            assert_eq!(status(&whole[..at]), None, "{}", &whole[..at]);
        }
        for bad in [
            "",
            "8 72/2048 128 640/1024 10 2 30 4 0 640 12 99999999999 writeback",
        ] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_back_keeps_its_devices_and_its_format() {
        let device = |minor| DeviceNumber { major: 253, minor };
        let cache = Cache {
            metadata: device(1),
            cache: device(2),
            origin: device(3),
            block_size: 128,
            features: vec!["metadata2".into(), "writeback".into()],
            policy: "smq".into(),
            policy_args: vec!["migration_threshold".into(), "4096".into()],
        };
        assert!(cache.is_writeback() && !cache.cleaning().is_writeback());
        assert_eq!(
            cache.cleaning().params(),
            "253:1 253:2 253:3 128 2 metadata2 writethrough cleaner 0"
        );
    }
}
