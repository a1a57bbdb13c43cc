//! What pools and thin devices say, in the kernel's words.

use super::pool::Pool;
use crate::embedded::State;
use crate::embedded::map::Map;
use crate::thin_metadata::with_reserve;
use crate::{StatusLine, Target, ThinPoolMode};

/// Blocks of metadata below which the kernel raises an event, at most; it says so in the status.
const THRESHOLD: u64 = 1024;

impl State {
    /// Fills in the status of thin lines; unless `noflush` says otherwise, a pool commits first.
    pub(in crate::embedded) fn describe_thin(&self, map: &Map, lines: &mut [StatusLine], noflush: bool) {
        let of_table = map.table.lines().iter().zip(&map.pools);
        for ((line, handle), said) in of_table.zip(lines) {
            let Some(handle) = handle else { continue };
            let mut pool = handle.lock();
            said.status = match &line.target {
                _ if pool.mode == ThinPoolMode::Failed => "Fail".into(),
                Target::Thin(target) => thin_status(&pool, target.id),
                Target::ThinPool(target) => {
                    if !noflush {
                        // A failure shows in the mode.
                        let _ = self.commit(&mut pool);
                    }
                    let blocks = self.length(target.metadata).unwrap_or(0) / 8;
                    pool_status(&pool, blocks)
                }
                _ => continue,
            };
        }
    }
}

fn thin_status(pool: &Pool, id: u32) -> String {
    let Some(thin) = pool.thins.get(&id) else {
        return "-".into();
    };
    let mapped = thin.device.mapped * pool.chunk;
    match thin.blocks.last_key_value() {
        Some((highest, _)) => format!("{mapped} {}", (highest + 1) * pool.chunk - 1),
        None => format!("{mapped} -"),
    }
}

fn pool_status(pool: &Pool, device_blocks: u64) -> String {
    let used = with_reserve(pool.metadata_allocated(), pool.metadata_blocks);
    let held = pool.held.as_ref();
    let held = held.map_or_else(|| "-".into(), |held| held.block.to_string());
    let mode = match pool.mode {
        ThinPoolMode::Write => "rw",
        ThinPoolMode::OutOfDataSpace => "out_of_data_space",
        ThinPoolMode::ReadOnly => "ro",
        ThinPoolMode::Failed => return "Fail".into(),
    };
    let space = if pool.features.error_if_no_space {
        "error_if_no_space"
    } else {
        "queue_if_no_space"
    };
    format!(
        "{} {used}/{} {}/{} {held} {mode} {} {space} - {} ",
        pool.transaction_id,
        pool.metadata_blocks,
        pool.data_used(),
        pool.data_blocks,
        pool.features.discards(),
        THRESHOLD.min(device_blocks / 4),
    )
}
