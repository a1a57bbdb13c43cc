//! Copy-on-write snapshots of the old kind.

use std::sync::Arc;

use super::fields::{DetailError, DetailProblem, Fields, put_number, put_text};
use crate::Sectors;

/// What ties a snapshot's store to its origin, in an LV of its own that users do not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How much is copied at a time.
    pub chunk_size: Sectors,
    /// The LV of which this is a snapshot.
    pub origin: Arc<str>,
    /// The LV that keeps what differs.
    pub store: Arc<str>,
    /// It is being merged into its origin.
    pub is_merging: bool,
}

impl Snapshot {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, DetailError> {
        let (cow, merging) = (
            fields.optional_text("cow_store")?,
            fields.optional_text("merging_store")?,
        );
        let is_merging = merging.is_some();
        let store = match (cow, merging) {
            (Some(_), Some(_)) => {
                return Err(fields.error("cow_store", DetailProblem::Mismatch("merging_store")));
            }
            (cow, merging) => cow.or(merging),
        };
        let origin = fields.text("origin")?;
        let store = store.ok_or_else(|| fields.error("cow_store", DetailProblem::Missing))?;
        if store == origin {
            return Err(fields.error("cow_store", DetailProblem::Mismatch("origin")));
        }
        Ok(Self {
            chunk_size: fields.sectors("chunk_size", 1..=u64::from(u32::MAX))?,
            origin,
            store,
            is_merging,
        })
    }

    pub(super) fn print(&self, out: &mut String) {
        put_number(out, "chunk_size", self.chunk_size.get());
        put_text(out, "origin", &self.origin);
        let key = if self.is_merging {
            "merging_store"
        } else {
            "cow_store"
        };
        put_text(out, key, &self.store);
    }
}
