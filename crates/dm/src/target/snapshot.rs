//! `snapshot ORIGIN STORE P|PO|N CHUNK [#FEATURES FEATURES...]` and `snapshot-origin ORIGIN`, and what they say.
//!
//! Reference: Linux `Documentation/admin-guide/device-mapper/snapshot.rst`, `drivers/md/dm-snap.c`.

use super::Words;
use crate::{DeviceNumber, StatusLine};

/// A copy-on-write snapshot of the old kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The device with the origin's data.
    pub origin: DeviceNumber,
    /// The device that keeps what differs.
    pub store: DeviceNumber,
    /// `P` for a store that outlives the device; also `PO` and `N`.
    pub persistence: String,
    /// Sectors copied at a time.
    pub chunk: u64,
    /// Words such as `discard_zeroes_cow`.
    pub features: Vec<String>,
}

impl Snapshot {
    pub(super) fn params(&self) -> String {
        let Self {
            origin,
            store,
            persistence,
            chunk,
            features,
        } = self;
        let mut params = format!("{origin} {store} {persistence} {chunk}");
        if !features.is_empty() {
            params += &format!(" {} {}", features.len(), features.join(" "));
        }
        params
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        let mut snapshot = Self {
            origin: words.device()?,
            store: words.device()?,
            persistence: words
                .word()
                .filter(|word| matches!(*word, "P" | "PO" | "N"))?
                .to_string(),
            chunk: words.number()?,
            features: Vec::new(),
        };
        if let Some(count) = words.word() {
            let count: usize = count.parse().ok().filter(|count| *count > 0)?;
            for _ in 0..count {
                snapshot.features.push(words.word()?.to_string());
            }
        }
        Some(snapshot)
    }
}

/// What a snapshot says of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotStatus {
    /// It serves.
    Valid {
        /// Sectors of the store in use.
        used: u64,
        /// Sectors of the store in all.
        total: u64,
        /// Of those in use, the ones that say where the others belong.
        metadata: u64,
    },
    /// The store was full, or failed: the snapshot is lost.
    Invalid,
    /// The store is full.
    Overflow,
    /// A merge failed.
    MergeFailed,
    /// Not known now.
    Unknown,
}

impl SnapshotStatus {
    /// Reads a status line; `None` for what no snapshot says.
    pub fn parse(line: &StatusLine) -> Option<Self> {
        if !matches!(line.kind.as_str(), "snapshot" | "snapshot-merge") {
            return None;
        }
        Some(match line.status.trim() {
            "Invalid" => Self::Invalid,
            "Overflow" => Self::Overflow,
            "Merge failed" => Self::MergeFailed,
            "Unknown" => Self::Unknown,
            status => {
                let mut words = Words(status.split_ascii_whitespace());
                let (used, total) = words.fraction()?;
                Self::Valid {
                    used,
                    total,
                    metadata: words.number()?,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_tells_how_full_it_is_or_that_it_is_lost() {
        let status = |status: &str| {
            SnapshotStatus::parse(&StatusLine {
                start: 0,
                length: 8,
                kind: "snapshot".into(),
                status: status.into(),
            })
        };
        let valid = SnapshotStatus::Valid {
            used: 16,
            total: 8192,
            metadata: 16,
        };
        assert_eq!(status("16/8192 16"), Some(valid));
        assert_eq!(status("Invalid"), Some(SnapshotStatus::Invalid));
        assert_eq!(status("Overflow"), Some(SnapshotStatus::Overflow));
        assert_eq!(status("Merge failed"), Some(SnapshotStatus::MergeFailed));
        assert_eq!(status("Unknown"), Some(SnapshotStatus::Unknown));
        for bad in ["", "16", "16/8192", "16/x 3"] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }
}
