//! Thin pools and thin LVs.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::fields::{
    DetailError, DetailProblem, Fields, U64, put_flag, put_number, put_optional, put_optional_text, put_text,
};
use crate::Sectors;
use crate::text::Section;

/// What the kernel takes for a pool's chunk, in sectors: 64 KiB to 1 GiB.
const CHUNKS: RangeInclusive<u64> = 128..=2_097_152;
/// What may become of discards.
const DISCARDS: [&str; 3] = ["passdown", "nopassdown", "ignore"];
/// What the kernel takes for a device's number.
pub(super) const DEVICES: RangeInclusive<u64> = 0..=16_777_215;

/// A pool of thin LVs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinPool {
    /// The LV with the pool's metadata.
    pub metadata: Arc<str>,
    /// The LV with the data of all thin LVs.
    pub data: Arc<str>,
    /// The number of the last change; while messages are pending, one more than the kernel's.
    pub transaction_id: u64,
    /// How much is mapped at a time: 64 KiB to 1 GiB.
    pub chunk_size: Sectors,
    /// What becomes of discards: `passdown`, `nopassdown`, `ignore`.
    pub discards: Option<Arc<str>>,
    /// A chunk is zeroed before its first use.
    pub zero_new_blocks: bool,
    /// Whether the metadata is cut to what older kernels use; LVM writes `Some` with the type's word `+CROP_METADATA`.
    pub crop_metadata: Option<bool>,
    /// What the kernel has still to be told.
    pub messages: Vec<ThinMessage>,
}

/// One message to a thin pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ThinMessage {
    /// Make the device of this thin LV.
    Create(#[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serial::lv_name"))] Arc<str>),
    /// Delete the device of this number.
    Delete(#[cfg_attr(feature = "serde", serde(deserialize_with = "super::serial::device_id"))] u32),
}

/// A thin LV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thin {
    /// Its pool.
    pub pool: Arc<str>,
    /// The pool's transaction just before its creation.
    pub transaction_id: u64,
    /// Its number in the pool, below 2^24; unique only as far as the writers saw to it.
    pub device_id: u32,
    /// The LV outside the pool that holds what was never written here.
    pub external_origin: Option<Arc<str>>,
    /// The thin LV of which it is a snapshot.
    pub origin: Option<Arc<str>>,
    /// The thin LV that it is merging into.
    pub merge: Option<Arc<str>>,
}

impl ThinPool {
    pub(super) fn read(fields: &Fields<'_>, section: &Section) -> Result<Self, DetailError> {
        let chunk_size = fields.sectors("chunk_size", CHUNKS)?;
        if !chunk_size.get().is_multiple_of(128) {
            let problem = DetailProblem::WrongType("a multiple of 64 KiB");
            return Err(fields.error("chunk_size", problem));
        }
        let crop_metadata = fields
            .optional_number("crop_metadata", 0..=1)?
            .map(|crop| crop == 1);
        let metadata = fields.text("metadata")?;
        if !metadata.contains("_tmeta") {
            return Err(fields.error("metadata", DetailProblem::WrongType("the name of a metadata LV")));
        }
        let messages = section
            .sections()
            .map(|(_, message)| read_message(fields, message));
        let messages: Vec<ThinMessage> = messages.collect::<Result<_, _>>()?;
        let mut told = HashSet::new();
        if !messages.iter().all(|message| told.insert(message)) {
            return Err(fields.error("create", DetailProblem::Mismatch("another message")));
        }
        Ok(Self {
            metadata,
            data: fields.text("pool")?,
            transaction_id: fields.number("transaction_id", U64)?,
            chunk_size,
            discards: fields.optional_word("discards", &DISCARDS, "passdown, nopassdown or ignore")?,
            zero_new_blocks: fields.flag("zero_new_blocks")?,
            crop_metadata,
            messages,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "metadata", &self.metadata);
        put_text(out, "pool", &self.data);
        put_number(out, "transaction_id", self.transaction_id);
        put_number(out, "chunk_size", self.chunk_size.get());
        put_optional_text(out, "discards", self.discards.as_deref());
        put_flag(out, "zero_new_blocks", self.zero_new_blocks);
        put_optional(out, "crop_metadata", self.crop_metadata.map(u64::from));
        for (number, message) in (1..).zip(&self.messages) {
            out.push_str(if number == 1 { "\n" } else { "" });
            out.push_str(&format!("message{number} {{\n"));
            match message {
                ThinMessage::Create(lv) => put_text(out, "create", lv),
                ThinMessage::Delete(device) => put_number(out, "delete", u64::from(*device)),
            }
            out.push_str("}\n");
        }
    }
}

fn read_message(fields: &Fields<'_>, section: &Section) -> Result<ThinMessage, DetailError> {
    let message = Fields::new("thin-pool", section);
    let create = message.optional_text("create")?;
    let delete = message.optional_number("delete", DEVICES)?;
    match (create, delete.and_then(|device| u32::try_from(device).ok())) {
        (Some(lv), None) => Ok(ThinMessage::Create(lv)),
        (None, Some(device)) => Ok(ThinMessage::Delete(device)),
        _ => Err(fields.error(
            "create",
            DetailProblem::Mismatch("delete, of which a message has one"),
        )),
    }
}

impl Thin {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let device_id = fields.number("device_id", DEVICES)?;
        Ok(Self {
            pool: fields.text("thin_pool")?,
            transaction_id: fields.number("transaction_id", U64)?,
            device_id: u32::try_from(device_id).unwrap_or(u32::MAX),
            external_origin: fields.optional_text("external_origin")?,
            origin: fields.optional_text("origin")?,
            merge: fields.optional_text("merge")?,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_text(out, "thin_pool", &self.pool);
        put_number(out, "transaction_id", self.transaction_id);
        put_number(out, "device_id", u64::from(self.device_id));
        put_optional_text(out, "external_origin", self.external_origin.as_deref());
        put_optional_text(out, "origin", self.origin.as_deref());
        put_optional_text(out, "merge", self.merge.as_deref());
    }
}
