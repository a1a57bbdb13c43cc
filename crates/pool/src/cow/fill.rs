//! How full a snapshot's store is, and whether the snapshot still serves.

use lvm_dm::{DeviceId, SnapshotStatus, SnapshotStore, Target};

use super::Member;
use crate::open_vg::OpenVg;
use crate::system::Inner;

/// What is known of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Bytes of the store.
    pub(crate) size: u64,
    /// Bytes of it in use; only the kernel counts them, while the snapshot is active and serves.
    pub(crate) used: Option<u64>,
    /// The store was full, or failed: what the snapshot holds is not what the origin was.
    pub(crate) is_lost: bool,
}

/// Asks the snapshot's device, or reads the store's beginning while there is none.
pub(crate) fn fill(inner: &Inner, open: &OpenVg, member: &Member<'_>, is_active: bool) -> Fill {
    let extents = member.store.extent_count();
    let size = open.vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX);
    let told = || {
        let uuid = member.uuid(&open.vg);
        let lines = inner.mapper.status(DeviceId::Uuid(&uuid), true).ok()?;
        lines.first().and_then(SnapshotStatus::parse)
    };
    let (used, is_lost) = match is_active.then(told).flatten() {
        Some(SnapshotStatus::Valid { used, .. }) => (used.checked_mul(512), false),
        Some(SnapshotStatus::Overflow) => (Some(size), true),
        Some(SnapshotStatus::Invalid | SnapshotStatus::MergeFailed) => (None, true),
        _ => (None, is_marked_lost(open, member)),
    };
    Fill { size, used, is_lost }
}

/// Does the store itself say that its snapshot is lost?  One that cannot be read says nothing.
fn is_marked_lost(open: &OpenVg, member: &Member<'_>) -> bool {
    let read = || {
        let table = open.table_of_part(member.store).ok()?;
        let (device, sector) = match &table.lines().first()?.target {
            Target::Linear { device, offset } => (*device, *offset),
            Target::Striped { stripes, .. } => *stripes.first()?,
            _ => return None,
        };
        let disk = open.disks.iter().find(|disk| disk.number == device)?;
        // As much as a block of any disk.
        let mut bytes = [0; 4096];
        disk.disk.read_at(sector.checked_mul(512)?, &mut bytes).ok()?;
        Some(SnapshotStore::parse(&bytes))
    };
    matches!(read(), Some(SnapshotStore::Invalid | SnapshotStore::Unknown))
}
