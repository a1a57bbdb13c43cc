//! The first sector of a snapshot's store, by which a snapshot is known while no device shows it.
//!
//! | byte | size | field   | value                                     |
//! | ---: | ---: | ------- | ----------------------------------------- |
//! |    0 |    4 | `magic` | `SnAp` from the lowest byte up; 0 if new  |
//! |    4 |    4 | `valid` | 0 once the store was full, or failed      |
//!
//! All integers are little-endian.  Reference: Linux `drivers/md/dm-snap-persistent.c`.

/// What a store says of its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotStore {
    /// No device showed it yet.
    New,
    /// The snapshot serves.
    Valid,
    /// The store was full, or failed: the snapshot is lost.
    Invalid,
    /// These are no bytes of a store.
    Unknown,
}

impl SnapshotStore {
    const MAGIC: u32 = u32::from_le_bytes(*b"SnAp");

    /// Reads the beginning of a store.  Never panics.
    pub fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        match (word(0), word(4)) {
            (Some(0), Some(_)) => Self::New,
            (Some(Self::MAGIC), Some(0)) => Self::Invalid,
            (Some(Self::MAGIC), Some(_)) => Self::Valid,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_tells_whether_its_snapshot_is_lost() {
        let cases: [(&[u8], SnapshotStore); 6] = [
            (&[0; 8], SnapshotStore::New),
            (b"SnAp\x01\0\0\0", SnapshotStore::Valid),
            (b"SnAp\0\0\0\0", SnapshotStore::Invalid),
            (b"pAnS\x01\0\0\0", SnapshotStore::Unknown),
            (b"SnAp\x01", SnapshotStore::Unknown),
            (b"", SnapshotStore::Unknown),
        ];
        for (bytes, want) in cases {
            assert_eq!(SnapshotStore::parse(bytes), want, "{bytes:?}");
        }
    }
}
