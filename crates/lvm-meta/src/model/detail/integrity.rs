//! Checksums below RAID images.

use std::sync::Arc;

use super::fields::{
    DetailError, DetailProblem, Fields, U32, U64, put_number, put_optional, put_optional_text, put_text,
};
use crate::Sectors;

/// The longest mode that LVM takes, in bytes.
const MODE_LIMIT: usize = 7;

/// An LV whose blocks carry checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// The LV with the data.
    pub origin: Arc<str>,
    /// How much of it is data.
    pub data_sectors: Sectors,
    /// `J`: with a journal; `B`: with a bitmap.
    pub mode: Arc<str>,
    /// Bytes of a checksum.
    pub tag_size: u64,
    /// Bytes under one checksum.
    pub block_size: u64,
    /// The checksum, such as `crc32c`.
    pub internal_hash: Arc<str>,
    /// The LV with the checksums, if they are not among the data.
    pub meta: Option<Arc<str>>,
    /// The kernel's settings by their keys; those of [`Integrity::SETTINGS`] that the text has.
    pub settings: Vec<(&'static str, u64)>,
}

impl Integrity {
    /// The keys of the settings, in the order of the text.
    pub const SETTINGS: [&str; 9] = [
        "recalculate",
        "journal_sectors",
        "interleave_sectors",
        "buffer_sectors",
        "journal_watermark",
        "commit_time",
        "bitmap_flush_interval",
        "sectors_per_bit",
        "allow_discards",
    ];

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let mut settings = Vec::new();
        for key in Self::SETTINGS {
            let range = if key == "sectors_per_bit" { U64 } else { U32 };
            if let Some(number) = fields.optional_number(key, range)? {
                settings.push((key, number));
            }
        }
        let mode = fields.text("mode")?;
        if mode.len() > MODE_LIMIT {
            return Err(fields.error("mode", DetailProblem::WrongType("a word of at most 7 letters")));
        }
        Ok(Self {
            origin: fields.text("origin")?,
            data_sectors: fields.sectors("data_sectors", U64)?,
            mode,
            tag_size: fields.number("tag_size", U32)?,
            block_size: fields.number("block_size", U32)?,
            internal_hash: fields.text("internal_hash")?,
            meta: fields.optional_text("meta_dev")?,
            settings,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "origin", &self.origin);
        put_number(out, "data_sectors", self.data_sectors.get());
        put_text(out, "mode", &self.mode);
        put_number(out, "tag_size", self.tag_size);
        put_number(out, "block_size", self.block_size);
        put_text(out, "internal_hash", &self.internal_hash);
        put_optional_text(out, "meta_dev", self.meta.as_deref());
        for (key, number) in &self.settings {
            put_optional(out, key, Some(*number));
        }
    }
}
