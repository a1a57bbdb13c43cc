//! The order of the steps, planned on a pool of image files: the embedded mapper does not carry them out.

use std::fs::File;
use std::time::Duration;

use lvm_meta::detail::{Detail, Snapshot};
use lvm_meta::{AllocRequest, Extents, LvId, LvName, LvStatus, NewLv};
use uuid::Uuid;

use super::{Group, sizes};
use crate::apply::Step;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::{CreatePool, CreateReplica, CreateSnapshot, Error, Shrink, StoragePool, System, snapshot};

const REPLICA: Uuid = Uuid::from_u128(1);

/// A pool with a replica of 8 MiB, which is two extents.
fn lab() -> (tempfile::TempDir, StoragePool) {
    lab_with(1, "linear")
}

fn lab_with(disks: usize, layout: &str) -> (tempfile::TempDir, StoragePool) {
    let folder = tempfile::tempdir().unwrap();
    let image = |number| folder.path().join(format!("disk{number}.img"));
    let images: Vec<_> = (0..disks).map(image).collect();
    for image in &images {
        File::create(image).unwrap().set_len(64 << 20).unwrap();
    }
    let system = System::embedded()
        .devices(images.clone())
        .lock_dir(folder.path().join("lock"))
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let pool = system.create_pool(&CreatePool::new("p", images)).unwrap();
    let mut request = CreateReplica::new(REPLICA, 8 << 20);
    request.layout = layout.parse().unwrap();
    pool.create_replica(&request).unwrap();
    (folder, pool)
}

/// Adds a snapshot to the parsed metadata.
fn add(open: &mut OpenVg, name: Uuid) {
    let request = CreateSnapshot::new(REPLICA, name, "n", "e", "1");
    let new = |name, id| NewLv::new(name, LvId::from_random([id; 32]), Vec::new());
    let (store, link) = (
        request.lv_name().unwrap(),
        super::next_link_name(&open.vg).unwrap(),
    );
    let id = u8::try_from(open.vg.lv_count()).unwrap();
    let store = NewLv {
        segments: lvm_meta::allocate(&open.vg, &AllocRequest::new(Extents::new(1))).unwrap(),
        status: LvStatus::READ,
        tags: request.tags().unwrap(),
        ..new(store, id)
    };
    open.vg.add_lv(store).unwrap();
    let detail = Detail::Snapshot(Snapshot {
        chunk_size: sizes::CHUNK,
        origin: REPLICA.to_string().into(),
        store: name.to_string().into(),
        is_merging: false,
    });
    let link: NewLv = new(LvName::parse(link.as_str()).unwrap(), id + 100);
    open.vg
        .add_detailed(link, Extents::new(2), "snapshot", &detail)
        .unwrap();
}

/// The steps in words: what is done, and to which device.
fn words(group: &Group<'_>, steps: &[Step]) -> Vec<String> {
    let device = |uuid: &lvm_dm::DmUuid| {
        let mut names = vec![
            (group.uuid(), "origin".to_string()),
            (group.real().unwrap().uuid, "real".into()),
        ];
        for (number, member) in group.members.iter().enumerate() {
            names.push((member.uuid(group.vg), format!("snapshot {number}")));
            names.push((member.cow(group.vg).unwrap().uuid, format!("store {number}")));
        }
        names.into_iter().find(|(own, _)| own == uuid).unwrap().1
    };
    let word = |step: &Step| match step {
        Step::Create { uuid, .. } | Step::CreateOn { uuid, .. } => format!("create {}", device(uuid)),
        Step::Load { uuid, .. } => format!("load plain {}", device(uuid)),
        Step::LoadOn { uuid, .. } => format!("load {}", device(uuid)),
        Step::Replace { uuid, .. } => format!("replace {}", device(uuid)),
        Step::Clear { uuid } => format!("clear {}", device(uuid)),
        Step::Suspend { uuid, .. } => format!("suspend {}", device(uuid)),
        Step::Resume { uuid, .. } => format!("resume {}", device(uuid)),
        Step::Remove { uuid, .. } => format!("remove {}", device(uuid)),
        Step::Commit => "commit".into(),
        Step::Settle => "settle".into(),
        Step::Zero { .. } => "zero".into(),
        Step::LoadOver { .. }
        | Step::InSync { .. }
        | Step::WrittenBack { .. }
        | Step::Rename { .. }
        | Step::Unshare { .. }
        | Step::Resized { .. } => panic!("{step:?}"),
    };
    steps.iter().map(word).collect()
}

#[test]
fn the_first_snapshot_takes_the_data_below_while_the_origin_stands_still() {
    let (_folder, pool) = lab();
    let mut open = pool.fresh().unwrap();
    add(&mut open, Uuid::from_u128(2));
    let group = Group::all(&open.vg).next().unwrap();
    group.check(&open).unwrap();
    let steps = group.take(&pool.inner, &open, &group.members[0]).unwrap();
    assert_eq!(
        words(&group, &steps),
        [
            "create store 0",
            "resume store 0",
            "create real",
            "create snapshot 0",
            "load origin",
            "settle",
            "suspend origin",
            "commit",
            "resume real",
            "resume snapshot 0",
            "resume origin",
            "settle",
        ]
    );
    let steps = group.release(&pool.inner, &open, &group.members[0]).unwrap();
    assert_eq!(
        words(&group, &steps),
        [
            "load plain origin",
            "suspend origin",
            "commit",
            "resume origin",
            "remove real",
            "settle",
        ],
        "what has no device is not removed"
    );
}

#[test]
fn two_devices_never_write_the_notes_of_an_array() {
    let (_folder, pool) = lab_with(2, "raid1:2");
    let mut open = pool.fresh().unwrap();
    let array = Array::of(&open.vg, open.vg.lv(&REPLICA.to_string()).unwrap());
    let before = array.unwrap().device().unwrap().uuid;
    add(&mut open, Uuid::from_u128(2));
    let group = Group::all(&open.vg).next().unwrap();
    group.check(&open).unwrap();
    let array = group.array().unwrap();
    array.check().unwrap();
    assert_eq!(before, group.uuid());
    assert_eq!(array.device().unwrap().uuid, group.real().unwrap().uuid);
    let steps = group.take(&pool.inner, &open, &group.members[0]).unwrap();
    assert_eq!(
        words(&group, &steps),
        [
            "create store 0",
            "resume store 0",
            "create real",
            "create snapshot 0",
            "load origin",
            "settle",
            "suspend origin",
            "commit",
            "resume real",
            "resume snapshot 0",
            "resume origin",
            "settle",
        ]
    );
    let steps = group.release(&pool.inner, &open, &group.members[0]).unwrap();
    assert_eq!(
        words(&group, &steps),
        [
            "load origin",
            "suspend origin",
            "suspend real",
            "commit",
            "resume origin",
            "remove real",
            "settle",
        ]
    );
}

#[test]
fn a_second_snapshot_leaves_the_origin_s_table_alone() {
    let (_folder, pool) = lab();
    let mut open = pool.fresh().unwrap();
    add(&mut open, Uuid::from_u128(2));
    add(&mut open, Uuid::from_u128(3));
    let group = Group::all(&open.vg).next().unwrap();
    let steps = group.take(&pool.inner, &open, &group.members[1]).unwrap();
    assert_eq!(
        words(&group, &steps),
        [
            "create store 1",
            "resume store 1",
            "create snapshot 1",
            "settle",
            "suspend origin",
            "commit",
            "resume snapshot 1",
            "resume origin",
            "settle",
        ]
    );
    let steps = group.release(&pool.inner, &open, &group.members[1]).unwrap();
    assert_eq!(
        words(&group, &steps),
        ["suspend origin", "commit", "resume origin", "settle"]
    );
}

#[test]
fn an_origin_is_neither_destroyed_nor_resized_under_its_snapshots() {
    let (_folder, pool) = lab();
    pool.fresh()
        .unwrap()
        .change(&pool.inner, "", |change| {
            add(change.open_mut(), Uuid::from_u128(2));
            change.step(Step::Commit);
            Ok(())
        })
        .unwrap();
    let refusals = [
        pool.destroy_replica(REPLICA).unwrap_err(),
        pool.resize_replica(REPLICA, 4 << 20, Shrink::Allow).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.kind(), "HasSnapshots", "{error}");
    }
    let info = snapshot::info(&pool.inner, &pool.fresh().unwrap(), Uuid::from_u128(2)).unwrap();
    assert_eq!(
        (info.kind.as_str(), info.store_used, info.valid),
        ("cow", None, true)
    );
    assert_eq!((info.size, info.store_size), (8 << 20, Some(4 << 20)));
}

#[test]
fn a_mapper_without_the_target_takes_no_snapshot() {
    let (_folder, pool) = lab();
    let mut request = CreateSnapshot::new(REPLICA, Uuid::from_u128(2), "n", "e", "1");
    let without = pool.create_snapshot(&request).unwrap_err();
    assert!(matches!(without, Error::NotThin { .. }), "{without}");
    request.size = Some(4 << 20);
    let refused = pool.create_snapshot(&request).unwrap_err();
    assert!(matches!(refused, Error::NoSnapshotTarget), "{refused}");
    assert_eq!(
        (refused.kind(), refused.errno()),
        ("NoSnapshotTarget", libc::ENOTSUP)
    );
}
