//! `poolctl pool ...`

use std::path::PathBuf;

use lvm_native::pool::{
    BehindEnd, CreatePool, CreateThinPool, Error, PoolInfo, RestorePool, RestoredPool, SavedMetadata,
    SetPool, System, TendedPool, parse_size, parse_uuid,
};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::args::PoolCommand;
use crate::progress;
use crate::thin;

/// What a list shows to people.
const COLUMNS: &[&str] = &["name", "state", "capacity", "used", "committed", "disks", "uuid"];

const BACKUP_COLUMNS: &[&str] = &["seqno", "created", "description", "path", "problem"];

pub(crate) fn run(system: &System, command: &PoolCommand) -> Result<Answer, Error> {
    let info = match command {
        PoolCommand::Create {
            name,
            disks,
            uuid,
            extent_size,
            metadata_size,
            thin_pool,
            thin_layout,
            force,
        } => {
            let mut request = CreatePool::new(name, disks.clone());
            request.uuid = uuid.as_deref().map(parse_uuid).transpose()?;
            request.extent_size = extent_size.as_deref().map(parse_size).transpose()?;
            request.metadata_size = metadata_size.as_deref().map(parse_size).transpose()?;
            let thin_pool = thin_pool.as_deref().map(parse_size).transpose()?;
            let layout = thin_layout.parse()?;
            request.thin_pool = thin_pool.map(|size| {
                let mut request = CreateThinPool::new(size);
                request.layout = layout;
                request
            });
            request.force = *force;
            system.create_pool(&request)?.info()?
        }
        PoolCommand::Import {
            name,
            disks,
            new_ids,
            uuid,
        } => {
            let uuid = uuid.as_deref().map(parse_uuid).transpose()?;
            match new_ids {
                true => system.import_pool_with_new_ids(name, disks, uuid)?,
                false => system.import_pool(name, disks, uuid)?,
            }
            .info()?
        }
        PoolCommand::List => {
            return Answer::listed(system.pools()?, COLUMNS, to_json);
        }
        PoolCommand::Show { pool } => system.pool_info(pool)?,
        PoolCommand::Rename { pool, name } => system.rename_pool(pool, name)?.info()?,
        PoolCommand::Set { pool, tags } => {
            let tags = tags.change();
            system.open_pool(pool)?.set_properties(&SetPool { tags })?
        }
        PoolCommand::Grow { pool } => return Ok(Answer::One(tended(&system.open_pool(pool)?.grow()?))),
        PoolCommand::Repair { pool } => return Ok(Answer::One(tended(&system.open_pool(pool)?.repair()?))),
        PoolCommand::Restore {
            name,
            file,
            disks,
            force,
        } => {
            let mut request = RestorePool::from_file(name, file)?;
            request.disks = disks.clone();
            request.force = *force;
            return Ok(Answer::One(restored(&system.restore_pool(&request)?)));
        }
        PoolCommand::Backups { name } => {
            let files = system.saved_metadata(name)?;
            return Ok(Answer::Many(files.iter().map(saved).collect(), BACKUP_COLUMNS));
        }
        PoolCommand::Export { pool } => {
            system.export_pool(pool)?;
            return Ok(Answer::Done);
        }
        PoolCommand::Destroy { pool } => {
            system.destroy_pool(pool)?;
            return Ok(Answer::Done);
        }
        PoolCommand::AddDisk { pool, disks, force } => system.open_pool(pool)?.add_disks(disks, *force)?,
        PoolCommand::RemoveDisk { pool, disk } => {
            let pool = system.open_pool(pool)?;
            progress::moving(|tell| pool.evacuate_disk(disk, tell))?
        }
        PoolCommand::ShrinkDisk {
            pool,
            disk,
            size,
            move_extents,
        } => {
            let (pool, size) = (system.open_pool(pool)?, parse_size(size)?);
            let behind = match move_extents {
                true => BehindEnd::Move,
                false => BehindEnd::Refuse,
            };
            progress::moving(|tell| pool.shrink_disk(disk, size, behind, tell))?
        }
        PoolCommand::ReplaceDisk {
            pool,
            old,
            new,
            force,
        } => {
            let pool = system.open_pool(pool)?;
            progress::moving(|tell| pool.replace_disk(old, new, *force, tell))?
        }
    };
    Ok(Answer::One(to_json(&info)))
}

/// The pool, and what was done to its disks.
fn restored(done: &RestoredPool) -> Value {
    let mut object = to_json(&done.pool);
    object["restored"] = json!({
        "written": paths(&done.written),
        "relabelled": paths(&done.relabelled),
        "left": paths(&done.left),
    });
    object
}

/// The pool, and what was put right.
fn tended(tended: &TendedPool) -> Value {
    let mut object = to_json(&tended.pool);
    object["done"] = json!(tended.done);
    object
}

fn saved(file: &SavedMetadata) -> Value {
    json!({
        "path": file.path.to_string_lossy(),
        "vg_id": file.vg_id.map(|id| id.to_string()),
        "seqno": file.seqno,
        "created": file.created,
        "description": file.description,
        "problem": file.problem,
    })
}

fn paths(disks: &[PathBuf]) -> Vec<std::borrow::Cow<'_, str>> {
    disks.iter().map(|disk| disk.to_string_lossy()).collect()
}

fn to_json(pool: &PoolInfo) -> Value {
    json!({
        "name": pool.name,
        "uuid": pool.uuid.to_string(),
        "vg_id": pool.vg_id.to_string(),
        "state": pool.state.as_str(),
        "reasons": pool.reasons,
        "disks": paths(&pool.disks),
        "capacity": pool.capacity,
        "used": pool.used,
        "committed": pool.committed,
        "disk_capacity": pool.disk_capacity,
        "extent_size": pool.extent_size,
        "seqno": pool.seqno,
        "metadata": {"size": pool.metadata_size, "used": pool.metadata_used},
        "tags": pool.tags,
        "thin_pool": pool.thin_pool.as_ref().map(thin::to_json),
        "thin_pools": pool.thin_pools.iter().map(thin::to_json).collect::<Vec<_>>(),
        "foreign_lvs": pool.foreign_lvs,
    })
}
