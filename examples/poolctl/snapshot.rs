//! `poolctl snapshot ...` and `poolctl clone ...`

use lvm_native::pool::{CreateClone, CreateSnapshot, Error, SnapshotInfo, System, parse_size, parse_uuid};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::args::{CloneCommand, SnapshotCommand};
use crate::replica;

/// What a list shows to people.
const COLUMNS: &[&str] = &[
    "uuid",
    "name",
    "source_uuid",
    "size",
    "allocated",
    "num_clones",
    "kind",
    "valid",
    "create_time",
];

pub(crate) fn run(system: &System, command: &SnapshotCommand) -> Result<Answer, Error> {
    Ok(match command {
        SnapshotCommand::Create {
            replica,
            uuid,
            name,
            txn,
            entity_id,
            size,
        } => {
            let (source, uuid) = (parse_uuid(replica)?, parse_uuid(uuid)?);
            let mut request = CreateSnapshot::new(source, uuid, name, entity_id, txn);
            request.size = size.as_deref().map(parse_size).transpose()?;
            let taken = system.create_snapshot(&request)?;
            let mut object = to_json(&taken.info);
            object["stall_us"] = json!(u64::try_from(taken.stall.as_micros()).unwrap_or(u64::MAX));
            Answer::One(object)
        }
        SnapshotCommand::List { replica } => {
            let source = replica.as_deref().map(parse_uuid).transpose()?;
            Answer::listed(system.snapshots(source)?, COLUMNS, to_json)?
        }
        SnapshotCommand::Show { uuid } => Answer::One(to_json(&system.snapshot_info(parse_uuid(uuid)?)?)),
        SnapshotCommand::Resize { uuid, size } => {
            let (uuid, size) = (parse_uuid(uuid)?, parse_size(size)?);
            Answer::One(to_json(
                &system.pool_of_snapshot(uuid)?.extend_snapshot(uuid, size)?,
            ))
        }
        SnapshotCommand::Destroy { uuid } => {
            let uuid = parse_uuid(uuid)?;
            system.pool_of_snapshot(uuid)?.destroy_snapshot(uuid)?;
            Answer::Done
        }
    })
}

pub(crate) fn run_clone(system: &System, command: &CloneCommand) -> Result<Answer, Error> {
    Ok(match command {
        CloneCommand::Create {
            snapshot,
            uuid,
            name,
            entity_id,
        } => {
            let mut request = CreateClone::new(parse_uuid(snapshot)?, parse_uuid(uuid)?, name);
            request.entity_id = entity_id.clone();
            Answer::One(replica::to_json(&system.create_clone(&request)?))
        }
        CloneCommand::List { snapshot } => {
            let snapshot = snapshot.as_deref().map(parse_uuid).transpose()?;
            Answer::listed(system.clones(snapshot)?, replica::COLUMNS, replica::to_json)?
        }
    })
}

fn to_json(snapshot: &SnapshotInfo) -> Value {
    json!({
        "uuid": snapshot.uuid.to_string(),
        "name": snapshot.name,
        "source_uuid": snapshot.source_uuid,
        "entity_id": snapshot.entity_id,
        "txn_id": snapshot.txn_id,
        "create_time": snapshot.create_time,
        "size": snapshot.size,
        "allocated": snapshot.allocated,
        "num_clones": snapshot.num_clones,
        // Nothing keeps a snapshot from being destroyed, so none waits for its clones to go.
        "discarded": false,
        "valid": snapshot.valid,
        "kind": snapshot.kind.as_str(),
        "store_size": snapshot.store_size,
        "store_used": snapshot.store_used,
        "pool": snapshot.pool,
        "pool_uuid": snapshot.pool_uuid.to_string(),
    })
}
