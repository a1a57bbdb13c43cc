//! Caches of all kinds: pools, cached LVs, and caches for writes alone.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::fields::{
    DetailError, DetailProblem, Fields, U32, U64, put_number, put_optional, put_optional_text, put_settings,
    put_text,
};
use crate::text::Section;
use crate::{LvId, Sectors};

/// What the kernel takes for a cache's chunk, in sectors: 32 KiB to 1 GiB.
const CHUNKS: RangeInclusive<u64> = 64..=2_097_152;
/// How writes may go.
const MODES: [&str; 3] = ["writethrough", "writeback", "passthrough"];
/// Keys of the settings that a cache over a pool leaves to the pool.
const OF_THE_POOL: [&str; 4] = ["metadata_format", "cache_mode", "policy", "policy_settings"];

/// How a cache works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Version of the kernel's format, 1 or 2; 2 goes with the type's word `+METADATA_FORMAT` of a pool.
    pub metadata_format: Option<u64>,
    /// How much is cached at a time.
    pub chunk_size: Option<Sectors>,
    /// `writethrough`, `writeback`, `passthrough`.
    pub mode: Option<Arc<str>>,
    /// The kernel's policy, such as `smq`.
    pub policy: Option<Arc<str>>,
    /// Its settings.
    pub policy_settings: Option<Section>,
}

/// Data and metadata of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePool {
    /// The LV with the cached data.
    pub data: Arc<str>,
    /// The LV with the cache's metadata.
    pub metadata: Arc<str>,
    /// How it works.
    pub settings: CacheSettings,
}

/// A cached LV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The cache pool, or the LV that holds both parts of the cache.
    pub pool: Arc<str>,
    /// The LV that is cached.
    pub origin: Arc<str>,
    /// Its dirty blocks are being written back.
    pub cleaner: Option<u64>,
    /// Where the parts of the cache lie in an LV that holds both.
    pub volume: Option<CacheVolume>,
}

/// One LV for data and metadata of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheVolume {
    /// How the cache works.
    pub settings: CacheSettings,
    /// First sector of the metadata.
    pub metadata_start: Sectors,
    /// Length of the metadata.
    pub metadata_len: Sectors,
    /// First sector of the data.
    pub data_start: Sectors,
    /// Length of the data.
    pub data_len: Sectors,
    /// The id of the metadata's device in older texts.
    pub metadata_id: Option<Arc<str>>,
    /// The id of the data's device in older texts.
    pub data_id: Option<Arc<str>>,
}

impl CacheSettings {
    fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let chunk_size = fields.optional_sectors("chunk_size", CHUNKS)?;
        if chunk_size.is_some_and(|size| !size.get().is_multiple_of(64)) {
            return Err(fields.error("chunk_size", DetailProblem::WrongType("a multiple of 32 KiB")));
        }
        let policy = fields.optional_text("policy")?;
        let policy_settings = fields.subsection("policy_settings").cloned();
        if policy_settings.is_some() && policy.is_none() {
            return Err(fields.error("policy", DetailProblem::Missing));
        }
        Ok(Self {
            metadata_format: fields.optional_number("metadata_format", 1..=2)?,
            chunk_size,
            mode: fields.optional_word("cache_mode", &MODES, "writethrough, writeback or passthrough")?,
            policy,
            policy_settings,
        })
    }

    /// As [`CacheSettings::read`], for an LV that holds all of a cache.
    fn read_of_volume(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let settings = Self::read(fields)?;
        if settings.metadata_format == Some(1) {
            return Err(fields.error("metadata_format", DetailProblem::WrongType("2")));
        }
        if settings.chunk_size.is_none() {
            return Err(fields.error("chunk_size", DetailProblem::Missing));
        }
        Ok(settings)
    }

    fn print(&self, out: &mut String) {
        put_optional(out, "metadata_format", self.metadata_format);
        put_optional(out, "chunk_size", self.chunk_size.map(Sectors::get));
        put_optional_text(out, "cache_mode", self.mode.as_deref());
        put_optional_text(out, "policy", self.policy.as_deref());
        if let Some(settings) = &self.policy_settings {
            put_settings(out, "policy_settings", settings, 0);
        }
    }
}

fn optional_id(fields: &Fields<'_>, key: &'static str) -> Result<Option<Arc<str>>, DetailError> {
    let id = fields.optional_text(key)?;
    match id.as_ref().is_none_or(|id| LvId::parse(id).is_ok()) {
        true => Ok(id),
        false => Err(fields.error(key, DetailProblem::WrongType("an id"))),
    }
}

impl CachePool {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let metadata = fields.text("metadata")?;
        if !metadata.contains("_cmeta") {
            return Err(fields.error("metadata", DetailProblem::WrongType("the name of a metadata LV")));
        }
        let settings = CacheSettings::read(fields)?;
        if settings.chunk_size.is_none() {
            return Err(fields.error("chunk_size", DetailProblem::Missing));
        }
        // LVM takes format 2 without the word, too.
        if fields.has_word("METADATA_FORMAT") && settings.metadata_format != Some(2) {
            return Err(fields.error("metadata_format", DetailProblem::Mismatch("the type's word")));
        }
        Ok(Self {
            data: fields.text("data")?,
            metadata,
            settings,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "data", &self.data);
        put_text(out, "metadata", &self.metadata);
        self.settings.print(out);
    }
}

impl Cache {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let volume = match fields.optional_sectors("metadata_start", U64)? {
            // LVM 2.03.03 to 2.03.05 wrote the key without the word.
            None if fields.has_word("CACHE_USES_CACHEVOL") => {
                return Err(fields.error("metadata_start", DetailProblem::Missing));
            }
            None => {
                for key in OF_THE_POOL {
                    fields.none(key, "a cache pool, which has its own")?;
                }
                None
            }
            Some(metadata_start) => Some(CacheVolume {
                settings: CacheSettings::read_of_volume(fields)?,
                metadata_start,
                metadata_len: fields.sectors("metadata_len", U64)?,
                data_start: fields.sectors("data_start", U64)?,
                data_len: fields.sectors("data_len", U64)?,
                metadata_id: optional_id(fields, "metadata_id")?,
                data_id: optional_id(fields, "data_id")?,
            }),
        };
        Ok(Self {
            pool: fields.text("cache_pool")?,
            origin: fields.text("origin")?,
            cleaner: fields.optional_number("cleaner", U32)?,
            volume,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "cache_pool", &self.pool);
        put_text(out, "origin", &self.origin);
        put_optional(out, "cleaner", self.cleaner);
        if let Some(volume) = &self.volume {
            volume.settings.print(out);
            put_number(out, "metadata_start", volume.metadata_start.get());
            put_number(out, "metadata_len", volume.metadata_len.get());
            put_number(out, "data_start", volume.data_start.get());
            put_number(out, "data_len", volume.data_len.get());
            put_optional_text(out, "metadata_id", volume.metadata_id.as_deref());
            put_optional_text(out, "data_id", volume.data_id.as_deref());
        }
    }
}

/// So many of a write cache's settings, the first ones, have 64 bits; the others have 32.
const WIDE_SETTINGS: usize = 5;

/// An LV with a cache for its writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writecache {
    /// The LV that takes the writes.
    pub cache: Arc<str>,
    /// The LV behind it.
    pub origin: Arc<str>,
    /// Bytes that are cached at a time: 512 or 4096.
    pub block_size: u64,
    /// The kernel's settings by their keys; those of [`Writecache::SETTINGS`] that the text has.
    pub settings: Vec<(&'static str, u64)>,
    /// A setting that LVM does not know: its key and value.
    pub other_setting: Option<(Arc<str>, Arc<str>)>,
}

impl Writecache {
    /// The keys of the settings, in the order of the text.
    pub const SETTINGS: [&str; 11] = [
        "high_watermark",
        "low_watermark",
        "writeback_jobs",
        "autocommit_blocks",
        "autocommit_time",
        "fua",
        "nofua",
        "cleaner",
        "max_age",
        "metadata_only",
        "pause_writeback",
    ];

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let mut settings = Vec::new();
        for (at, key) in Self::SETTINGS.into_iter().enumerate() {
            let range = if at < WIDE_SETTINGS { U64 } else { U32 };
            if let Some(number) = fields.optional_number(key, range)? {
                settings.push((key, number));
            }
        }
        let block_size = fields.number("writecache_block_size", 512..=4096)?;
        if !matches!(block_size, 512 | 4096) {
            return Err(fields.error("writecache_block_size", DetailProblem::WrongType("512 or 4096")));
        }
        let key = fields.optional_text("writecache_setting_key")?;
        Ok(Self {
            cache: fields.text("writecache")?,
            origin: fields.text("origin")?,
            block_size,
            settings,
            other_setting: match key {
                Some(key) => Some((key, fields.text("writecache_setting_val")?)),
                None => None,
            },
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "writecache", &self.cache);
        put_text(out, "origin", &self.origin);
        put_number(out, "writecache_block_size", self.block_size);
        for (key, number) in &self.settings {
            put_number(out, key, *number);
        }
        if let Some((key, value)) = &self.other_setting {
            put_text(out, "writecache_setting_key", key);
            put_text(out, "writecache_setting_val", value);
        }
    }
}
