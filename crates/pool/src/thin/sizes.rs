//! How large the chunks and the metadata of a thin pool are made.
//!
//! The rule is LVM's, with room for snapshots: 64 bytes of metadata for each chunk, chunks of 64 KiB that double until
//! that is at most 128 MiB, and between 2 MiB and what the kernel uses.  Reference: LVM2 `lib/metadata/thin_manip.c`.

use lvm_meta::Sectors;

use crate::request::CreateThinPool;
use crate::{Error, Layout, RaidLevel};

/// Bytes of metadata for each chunk.
const FOR_A_CHUNK: u64 = 64;
/// Bytes of metadata for each snapshot: the blocks of the trees in which it differs at once.
const FOR_A_SNAPSHOT: u64 = 4 * 4096;
/// Metadata that is comfortable: above it the chunks grow instead.
const COMFORTABLE: u64 = 128 << 20;
const LEAST_METADATA: u64 = 2 << 20;
/// What the kernel uses of a metadata device: 255 bitmaps of 16 320 blocks of 4 KiB, less the bitmaps' own.
pub(crate) const MOST_METADATA: u64 = 255 * ((1 << 14) - 64) * 4096;
pub(crate) const LEAST_CHUNK: u64 = 64 << 10;
const MOST_CHUNK: u64 = 1 << 30;

/// What a thin pool is made of, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) chunk: u64,
    pub(crate) data: u64,
    pub(crate) metadata: u64,
}

impl Sizes {
    /// The sizes for a request, before they are rounded up to extents.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub(crate) fn of(request: &CreateThinPool) -> Result<Self, Error> {
        let refuse = |what, given: u64, why: &str| {
            Err(Error::InvalidArgument {
                what,
                given: given.to_string(),
                why: why.into(),
            })
        };
        let is_made = match request.layout {
            Layout::Raid { level, .. } => matches!(level, RaidLevel::Raid1 | RaidLevel::Raid10),
            layout => layout == Layout::Linear,
        };
        if !is_made {
            return Err(Error::InvalidArgument {
                what: "thin pool layout",
                given: request.layout.to_string(),
                why: "a thin pool is linear, raid1 or raid10".into(),
            });
        }
        let most_data = request
            .max_data_size
            .unwrap_or(request.data_size)
            .max(request.data_size);
        if let Some(max) = request.max_data_size.filter(|max| *max < request.data_size) {
            return refuse("largest data size", max, "it is below the data size");
        }
        crate::request::check_size(request.data_size)?;
        crate::request::check_size(most_data)?;
        let mut chunk = LEAST_CHUNK;
        while most_data.div_ceil(chunk).saturating_mul(FOR_A_CHUNK) > COMFORTABLE && chunk < MOST_CHUNK {
            chunk *= 2;
        }
        let chunk = request.chunk_size.unwrap_or(chunk);
        if !(LEAST_CHUNK..=MOST_CHUNK).contains(&chunk) || !chunk.is_multiple_of(LEAST_CHUNK) {
            return refuse(
                "chunk size",
                chunk,
                "it is a multiple of 64 KiB, of 1 GiB at most",
            );
        }
        let for_snapshots = u64::from(request.max_snapshots).saturating_mul(FOR_A_SNAPSHOT);
        let wanted = most_data
            .div_ceil(chunk)
            .saturating_mul(FOR_A_CHUNK)
            .saturating_add(for_snapshots);
        let metadata = request
            .metadata_size
            .unwrap_or_else(|| wanted.clamp(LEAST_METADATA, MOST_METADATA));
        if !(LEAST_METADATA..=MOST_METADATA).contains(&metadata) {
            return refuse("thin metadata size", metadata, "it is 2 MiB to 15.8 GiB");
        }
        Ok(Self {
            chunk,
            data: request.data_size,
            metadata,
        })
    }

    /// The chunk in sectors.
    pub(crate) fn chunk_sectors(&self) -> Sectors {
        Sectors::new(self.chunk / Sectors::SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(data: u64, change: fn(&mut CreateThinPool)) -> Result<Sizes, Error> {
        let mut request = CreateThinPool::new(data);
        change(&mut request);
        Sizes::of(&request)
    }

    #[test]
    fn metadata_fits_the_chunks_and_snapshots_that_may_come() {
        let of = |data| sizes(data, |request| request.max_snapshots = 0).unwrap();
        assert_eq!((of(64 << 20).chunk, of(64 << 20).metadata), (64 << 10, 2 << 20));
        assert_eq!((of(64 << 30).chunk, of(64 << 30).metadata), (64 << 10, 64 << 20));
        // 1 TiB at 64 KiB would be 1 GiB.
        assert_eq!((of(1 << 40).chunk, of(1 << 40).metadata), (512 << 10, 128 << 20));
        let grown = sizes(64 << 20, |request| {
            request.max_data_size = Some(64 << 30);
            request.max_snapshots = 1000;
        });
        assert_eq!(grown.unwrap().metadata, (64 << 20) + 1000 * 16_384);
        let largest = sizes(1 << 60, |_| {}).unwrap();
        assert!(largest.chunk <= MOST_CHUNK && largest.metadata <= MOST_METADATA);
    }

    #[test]
    fn sizes_that_the_kernel_refuses_are_refused_first() {
        assert!(sizes(0, |_| {}).is_err());
        assert!(sizes(u64::MAX, |_| {}).is_err());
        for chunk in [0, 4096, 65_537, (64 << 10) + 512, 2 << 30] {
            let mut request = CreateThinPool::new(1 << 30);
            request.chunk_size = Some(chunk);
            assert_eq!(
                Sizes::of(&request).unwrap_err().kind(),
                "InvalidArgument",
                "{chunk}"
            );
        }
        assert!(sizes(1 << 30, |request| request.chunk_size = Some(192 << 10)).is_ok());
        assert!(sizes(1 << 30, |request| request.max_data_size = Some(1 << 20)).is_err());
        assert!(sizes(1 << 30, |request| request.metadata_size = Some(1 << 20)).is_err());
        assert!(sizes(1 << 30, |request| request.metadata_size = Some(16 << 30)).is_err());
    }
}
