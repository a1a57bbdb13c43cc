//! What a snapshot is: an LV of ours, named by a UUID, with the tags of a snapshot; and what it tells about itself.

use std::collections::HashMap;

use lvm_meta::Lv;
use uuid::Uuid;

use crate::cow::Group;
use crate::info::{SnapshotInfo, SnapshotKind};
use crate::open_vg::OpenVg;
use crate::replica::{self, ActiveDevices, View};
use crate::system::Inner;
use crate::tags::{LvTags, SnapshotTags};
use crate::{Error, identity, thin};

/// The UUID and tags of the snapshot that an LV is; `None` for LVs that are none.
pub(crate) fn snapshot_of(lv: &Lv) -> Option<(Uuid, SnapshotTags<'_>)> {
    let uuid = identity::replica_uuid(lv.name())?;
    let tags = LvTags::read(lv.tags());
    Some((uuid, tags.snapshot.filter(|_| tags.owned && !tags.creating)?))
}

/// The LV of a snapshot.
///
/// # Errors
/// [`Error::SnapshotNotFound`].
pub(crate) fn find(open: &OpenVg, uuid: Uuid) -> Result<&Lv, Error> {
    replica::named(open, uuid)
        .filter(|lv| snapshot_of(lv).is_some())
        .ok_or_else(|| Error::SnapshotNotFound(uuid.to_string()))
}

/// Lists the snapshots of an open VG, of one replica if it is named.
pub(crate) fn list(
    inner: &Inner,
    open: &OpenVg,
    devices: &ActiveDevices,
    source: Option<Uuid>,
) -> Vec<SnapshotInfo> {
    let view = View::new(inner, open, devices);
    let clones = count_clones(open);
    let all = open.vg.lvs().filter_map(|lv| {
        let (uuid, tags) = snapshot_of(lv)?;
        let parent = tags.parent_id.and_then(identity::replica_uuid);
        (source.is_none() || source == parent).then(|| describe(open, &view, &clones, lv, uuid, &tags))
    });
    all.collect()
}

/// The properties of a snapshot.
///
/// # Errors
/// [`Error::SnapshotNotFound`].
pub(crate) fn info(inner: &Inner, open: &OpenVg, uuid: Uuid) -> Result<SnapshotInfo, Error> {
    let lv = find(open, uuid)?;
    let (uuid, tags) = snapshot_of(lv).ok_or_else(|| Error::SnapshotNotFound(uuid.to_string()))?;
    let devices = ActiveDevices::only(inner, open, lv);
    let view = View::of_one(inner, open, &devices, lv);
    Ok(describe(open, &view, &count_clones(open), lv, uuid, &tags))
}

/// How many replicas are clones of each snapshot.
fn count_clones(open: &OpenVg) -> HashMap<Uuid, usize> {
    let mut clones = HashMap::new();
    // Most LVs are none, and all of their tags are more to read.
    for lv in open.vg.lvs().filter(|lv| LvTags::may_be_clone(lv.tags())) {
        if let Some(source) = LvTags::read(lv.tags())
            .snapshot_uuid
            .and_then(identity::replica_uuid)
            && replica::replica_of(lv).is_some()
        {
            *clones.entry(source).or_default() += 1;
        }
    }
    clones
}

fn describe(
    open: &OpenVg,
    view: &View<'_>,
    clones: &HashMap<Uuid, usize>,
    lv: &Lv,
    uuid: Uuid,
    tags: &SnapshotTags<'_>,
) -> SnapshotInfo {
    let text = |value: Option<&str>| value.unwrap_or_default().to_string();
    let (kind, fill, size) = match thin::thin(lv) {
        Some(_) => (SnapshotKind::Thin, None, view.size(lv)),
        None => {
            let group = Group::of(&open.vg, lv);
            let member = group.as_ref().and_then(|group| group.member(lv.name()));
            let fill = member.map(|member| view.fill(member));
            // The LV is the store; what ties it to the origin is as long as that was.
            let shown = member.map_or(lv, |member| member.link);
            (SnapshotKind::Cow, fill, view.size(shown))
        }
    };
    // A store that nothing ties to an origin is no snapshot any more.
    let serves = kind == SnapshotKind::Thin || fill.is_some_and(|fill| !fill.is_lost);
    SnapshotInfo {
        uuid,
        name: text(tags.name),
        source_uuid: text(tags.parent_id),
        entity_id: text(tags.entity_id),
        txn_id: text(tags.txn_id),
        create_time: text(tags.create_time),
        size,
        allocated: fill
            .and_then(|fill| fill.used)
            .unwrap_or_else(|| view.allocated(lv)),
        num_clones: clones.get(&uuid).copied().unwrap_or(0),
        valid: tags.is_whole() && serves,
        kind,
        store_size: fill.map(|fill| fill.size),
        store_used: fill.and_then(|fill| fill.used),
        pool: open.vg.name().into(),
        pool_uuid: view.pool_uuid,
    }
}
