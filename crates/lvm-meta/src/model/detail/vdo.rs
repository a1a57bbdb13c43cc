//! Deduplicated and compressed LVs.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::fields::{DetailError, DetailProblem, Fields, U32, put_flag, put_number, put_text};
use crate::{Extents, Sectors};

/// A pool of deduplicated and compressed LVs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VdoPool {
    /// The LV with the data.
    pub data: Arc<str>,
    /// What the pool keeps for itself at its begin.
    pub header_size: Sectors,
    /// The size that the pool shows.
    pub virtual_extents: Extents,
    /// Data is compressed.
    pub use_compression: bool,
    /// Equal data is kept once.
    pub use_deduplication: bool,
    /// Reads of the pool's metadata are hinted to the kernel.
    pub use_metadata_hints: bool,
    /// The index is sparse.
    pub use_sparse_index: bool,
    /// The kernel's settings, all of [`VdoPool::SETTINGS`] in their order.
    pub settings: Vec<u64>,
    /// `sync`, `async`, `async-unsafe`; `None` leaves it to the kernel.
    pub write_policy: Option<Arc<str>>,
}

/// An LV in such a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vdo {
    /// Its pool.
    pub pool: Arc<str>,
    /// Where in the pool it begins.
    pub offset: Extents,
}

/// When a write is done.
const POLICIES: [&str; 4] = ["sync", "async", "async-unsafe", "auto"];
/// The sparse index is told of behind so many settings.
const BEFORE_SPARSE: usize = 3;

impl VdoPool {
    /// The keys of the settings and what LVM takes for each, in the order of the text.
    pub const SETTINGS: [(&str, RangeInclusive<u64>); 13] = [
        ("minimum_io_size", 512..=4096),
        ("block_map_cache_size_mb", 128..=16_777_215),
        ("block_map_era_length", 1..=16_380),
        ("index_memory_size_mb", 256..=1 << 30),
        ("max_discard", 1..=1_048_575),
        ("slab_size_mb", 128..=32_768),
        ("ack_threads", 0..=100),
        ("bio_threads", 1..=100),
        ("bio_rotation", 1..=1024),
        ("cpu_threads", 1..=100),
        ("hash_zone_threads", 0..=100),
        ("logical_threads", 0..=60),
        ("physical_threads", 0..=16),
    ];

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let settings = Self::SETTINGS
            .into_iter()
            .map(|(key, range)| fields.number(key, range));
        let settings: Vec<u64> = settings.collect::<Result<_, _>>()?;
        if !matches!(settings.first(), Some(512 | 4096)) {
            let problem = DetailProblem::WrongType("512 or 4096");
            return Err(fields.error("minimum_io_size", problem));
        }
        // The last three are for one thing: none of them, or each.
        let threads = settings.iter().rev().take(3);
        let used = threads.filter(|threads| **threads > 0).count();
        if !matches!(used, 0 | 3) {
            let problem = DetailProblem::Mismatch("logical_threads and physical_threads");
            return Err(fields.error("hash_zone_threads", problem));
        }
        Ok(Self {
            data: fields.text("data")?,
            header_size: fields.sectors("header_size", U32)?,
            virtual_extents: extents(fields, "virtual_extents")?,
            use_compression: fields.flag("use_compression")?,
            use_deduplication: fields.flag("use_deduplication")?,
            use_metadata_hints: fields.flag("use_metadata_hints")?,
            use_sparse_index: fields.flag("use_sparse_index")?,
            settings,
            write_policy: fields.optional_word(
                "write_policy",
                &POLICIES,
                "sync, async, async-unsafe or auto",
            )?,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "data", &self.data);
        put_number(out, "header_size", self.header_size.get());
        put_number(out, "virtual_extents", u64::from(self.virtual_extents.get()));
        out.push('\n');
        put_flag(out, "use_compression", self.use_compression);
        put_flag(out, "use_deduplication", self.use_deduplication);
        put_flag(out, "use_metadata_hints", self.use_metadata_hints);
        for (at, ((key, _), number)) in Self::SETTINGS.iter().zip(&self.settings).enumerate() {
            if at == BEFORE_SPARSE {
                put_flag(out, "use_sparse_index", self.use_sparse_index);
            }
            put_number(out, key, *number);
        }
        if let Some(policy) = &self.write_policy {
            // The one word that LVM writes bare.
            out.push_str("write_policy = ");
            out.push_str(policy);
            out.push('\n');
        }
    }
}

impl Vdo {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        Ok(Self {
            pool: fields.text("vdo_pool")?,
            offset: extents(fields, "vdo_offset")?,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "vdo_pool", &self.pool);
        put_number(out, "vdo_offset", u64::from(self.offset.get()));
    }
}

fn extents(fields: &Fields<'_>, key: &'static str) -> Result<Extents, DetailError> {
    let number = fields.number(key, U32)?;
    Ok(Extents::new(u32::try_from(number).unwrap_or(u32::MAX)))
}
