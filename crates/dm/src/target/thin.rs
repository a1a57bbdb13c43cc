//! `thin-pool META DATA CHUNK LOW_WATER #FEATURES [FEATURES...]` and `thin POOL ID [ORIGIN]`, and what they say.
//!
//! Reference: Linux `Documentation/admin-guide/device-mapper/thin-provisioning.rst`, `drivers/md/dm-thin.c`.

use std::fmt;

use super::Words;
use crate::{DeviceNumber, StatusLine};

/// Blocks shared by thin devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinPool {
    /// Where the mappings are kept.
    pub metadata: DeviceNumber,
    /// Where the blocks are.
    pub data: DeviceNumber,
    /// Sectors of a block.
    pub chunk: u64,
    /// An event comes when so many blocks or fewer are free.
    pub low_water: u64,
    /// Words such as `skip_block_zeroing`.
    pub features: Vec<String>,
}

/// A device of a thin pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thin {
    /// The pool's device.
    pub pool: DeviceNumber,
    /// Its number in the pool.
    pub id: u32,
    /// The device that serves what was never written.
    pub origin: Option<DeviceNumber>,
}

impl ThinPool {
    pub(super) fn params(&self) -> String {
        let Self {
            metadata,
            data,
            chunk,
            low_water,
            features,
        } = self;
        let mut params = format!("{metadata} {data} {chunk} {low_water} {}", features.len());
        for feature in features {
            params.push(' ');
            params += feature;
        }
        params
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        let mut pool = Self {
            metadata: words.device()?,
            data: words.device()?,
            chunk: words.number()?,
            low_water: words.number()?,
            features: Vec::new(),
        };
        for _ in 0..words.number::<usize>()? {
            pool.features.push(words.word()?.to_string());
        }
        Some(pool)
    }
}

impl Thin {
    pub(super) fn params(&self) -> String {
        let origin = self.origin.map(|origin| format!(" {origin}"));
        format!("{} {}{}", self.pool, self.id, origin.unwrap_or_default())
    }

    pub(super) fn parse(words: &mut Words<'_>) -> Option<Self> {
        let (pool, id) = (words.device()?, words.number()?);
        let origin = match words.word() {
            Some(word) => Some(DeviceNumber::parse(word)?),
            None => None,
        };
        Some(Self { pool, id, origin })
    }
}

/// How a thin pool serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinPoolMode {
    /// Reads, writes, new blocks.
    Write,
    /// Writes that need a new block wait or fail.
    OutOfDataSpace,
    /// Nothing changes any more, for want of metadata or after an error.
    ReadOnly,
    /// All I/O fails.
    Failed,
}

impl fmt::Display for ThinPoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "read-write",
            Self::OutOfDataSpace => "out of data space",
            Self::ReadOnly => "read-only",
            Self::Failed => "failed",
        })
    }
}

/// What a thin pool says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinPoolStatus {
    /// The transaction id in its metadata.
    pub transaction_id: u64,
    /// Blocks of 4 KiB of metadata in use.
    pub metadata_used: u64,
    /// Blocks of 4 KiB of metadata in all.
    pub metadata_blocks: u64,
    /// Blocks of data in use.
    pub data_used: u64,
    /// Blocks of data in all.
    pub data_blocks: u64,
    /// How it serves.
    pub mode: ThinPoolMode,
    /// Writes without space fail at once and do not wait.
    pub error_if_no_space: bool,
    /// Its metadata wants a check before it may be written again.
    pub needs_check: bool,
}

impl ThinPoolStatus {
    /// The status of a pool that failed: it tells no numbers.
    const FAILED: Self = Self {
        transaction_id: 0,
        metadata_used: 0,
        metadata_blocks: 0,
        data_used: 0,
        data_blocks: 0,
        mode: ThinPoolMode::Failed,
        error_if_no_space: false,
        needs_check: true,
    };

    /// Reads a status line; `None` for what no thin pool says.
    pub fn parse(line: &StatusLine) -> Option<Self> {
        if line.kind != "thin-pool" {
            return None;
        }
        let mut words = Words(line.status.split_ascii_whitespace());
        if matches!(line.status.trim(), "Fail" | "Error") {
            return Some(Self::FAILED);
        }
        let transaction_id = words.number()?;
        let (metadata_used, metadata_blocks) = words.fraction()?;
        let (data_used, data_blocks) = words.fraction()?;
        let mut status = Self {
            transaction_id,
            metadata_used,
            metadata_blocks,
            data_used,
            data_blocks,
            mode: ThinPoolMode::Write,
            error_if_no_space: false,
            needs_check: false,
        };
        // The root of a kept snapshot of the metadata.  Of what follows, each kernel adds words.
        words.word()?;
        while let Some(word) = words.word() {
            match word {
                "ro" => status.mode = ThinPoolMode::ReadOnly,
                "out_of_data_space" => status.mode = ThinPoolMode::OutOfDataSpace,
                "error_if_no_space" => status.error_if_no_space = true,
                "needs_check" => status.needs_check = true,
                _ => {}
            }
        }
        Some(status)
    }
}

/// What a thin device says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinStatus {
    /// Sectors of the blocks that it has, shared ones included.
    pub mapped: u64,
}

impl ThinStatus {
    /// Reads a status line; `None` for what no thin device says, and while its pool has failed.
    pub fn parse(line: &StatusLine) -> Option<Self> {
        let mut words = Words(line.status.split_ascii_whitespace());
        (line.kind == "thin")
            .then(|| words.number().map(|mapped| Self { mapped }))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, status: &str) -> StatusLine {
        StatusLine {
            start: 0,
            length: 8,
            kind: kind.into(),
            status: status.into(),
        }
    }

    #[test]
    fn the_states_of_pools_of_old_and_new_kernels_are_read() {
        let good = ThinPoolStatus {
            transaction_id: 3,
            metadata_used: 12,
            metadata_blocks: 1024,
            data_used: 5,
            data_blocks: 160,
            mode: ThinPoolMode::Write,
            error_if_no_space: false,
            needs_check: false,
        };
        for (status, expected) in [
            (
                "3 12/1024 5/160 - rw discard_passdown queue_if_no_space - 1024",
                good,
            ),
            ("3 12/1024 5/160 -", good),
            (
                "3 12/1024 5/160 77 out_of_data_space no_discard_passdown error_if_no_space -",
                ThinPoolStatus {
                    mode: ThinPoolMode::OutOfDataSpace,
                    error_if_no_space: true,
                    ..good
                },
            ),
            (
                "3 12/1024 5/160 - ro discard_passdown queue_if_no_space needs_check 256",
                ThinPoolStatus {
                    mode: ThinPoolMode::ReadOnly,
                    needs_check: true,
                    ..good
                },
            ),
            ("Fail", ThinPoolStatus::FAILED),
            ("Error", ThinPoolStatus::FAILED),
        ] {
            assert_eq!(
                ThinPoolStatus::parse(&line("thin-pool", status)),
                Some(expected),
                "{status}"
            );
        }
        for status in [
            "",
            "3",
            "3 12 5/160 -",
            "x 12/1024 5/160 -",
            "3 12/1024 5/160",
            "3 12/1024 -1/160 -",
        ] {
            assert_eq!(
                ThinPoolStatus::parse(&line("thin-pool", status)),
                None,
                "{status}"
            );
        }
        assert_eq!(ThinPoolStatus::parse(&line("thin", "3 12/1024 5/160 - rw")), None);
    }

    #[test]
    fn a_thin_device_tells_its_sectors_unless_its_pool_failed() {
        let mapped = |status| ThinStatus::parse(&line("thin", status)).map(|status| status.mapped);
        assert_eq!(mapped("1024 2047"), Some(1024));
        assert_eq!(mapped("0 -"), Some(0));
        for failed in ["Fail", "Error", "-", ""] {
            assert_eq!(mapped(failed), None);
        }
    }
}
