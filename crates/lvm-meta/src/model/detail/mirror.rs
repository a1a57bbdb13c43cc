//! Legacy mirrors and the pieces of a `pvmove`.

use std::sync::Arc;

use super::fields::{
    DetailError, DetailProblem, Fields, U32, put_list, put_number, put_optional, put_optional_text, quoted,
};
use crate::Sectors;

/// Most areas that LVM takes in a segment.
const IMAGE_LIMIT: u64 = 128;

/// Copies by the kernel's mirror target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Extents that were moved; `Some` exactly for a piece of a `pvmove`.
    pub extents_moved: Option<u64>,
    /// The LV that logs which regions are in sync; `None` keeps that in memory.
    pub log: Option<Arc<str>>,
    /// How much is synchronised at a time.
    pub region_size: Option<Sectors>,
    /// The copies.
    pub images: Vec<MirrorArea>,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MirrorArea {
    /// An LV's name or a PV's key.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serial::lv_name"))]
    pub name: Arc<str>,
    /// Its first extent.
    #[cfg_attr(feature = "serde", serde(rename = "start_extent"))]
    pub start: u32,
}

impl Mirror {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let wrong = || {
            fields.error(
                "mirrors",
                DetailProblem::WrongType("pairs of a name and an extent"),
            )
        };
        let mut images = Vec::new();
        for pair in fields.list("mirrors")?.chunks(2) {
            let [name, start] = pair else { return Err(wrong()) };
            let start = start.as_int().and_then(|start| u32::try_from(start).ok());
            let (Some(name), Some(start)) = (name.as_str().map(Arc::from), start) else {
                return Err(wrong());
            };
            images.push(MirrorArea { name, start });
        }
        if Some(fields.number("mirror_count", 1..=IMAGE_LIMIT)?) != u64::try_from(images.len()).ok() {
            return Err(fields.error("mirror_count", DetailProblem::Mismatch("its images")));
        }
        Ok(Self {
            extents_moved: fields.optional_number("extents_moved", U32)?,
            log: fields.optional_text("mirror_log")?,
            region_size: fields.optional_power("region_size")?,
            images,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_number(
            out,
            "mirror_count",
            u64::try_from(self.images.len()).unwrap_or(u64::MAX),
        );
        put_optional(out, "extents_moved", self.extents_moved);
        put_optional_text(out, "mirror_log", self.log.as_deref());
        put_optional(out, "region_size", self.region_size.map(Sectors::get));
        let area = |area: &MirrorArea| format!("{}, {}", quoted(&area.name), area.start);
        put_list(out, "mirrors", self.images.iter().map(area));
    }
}
