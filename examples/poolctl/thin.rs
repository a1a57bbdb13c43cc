//! `poolctl thin ...`

use lvm_native::pool::{CreateThinPool, Discards, Error, System, ThinPoolInfo, parse_size};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::args::{DiscardWord, ThinCommand};
use crate::replica::health_json;
use crate::thin_monitor;

pub(crate) fn run(system: &System, command: &ThinCommand, json: bool) -> Result<Answer, Error> {
    let (info, name) = match command {
        ThinCommand::Create {
            pool,
            size,
            max,
            snapshots,
            chunk_size,
            metadata_size,
            no_zeroing,
            discards,
            error_if_no_space,
            layout,
        } => {
            let mut request = CreateThinPool::new(parse_size(size)?);
            request.max_data_size = max.as_deref().map(parse_size).transpose()?;
            request.max_snapshots = snapshots.unwrap_or(request.max_snapshots);
            request.chunk_size = chunk_size.as_deref().map(parse_size).transpose()?;
            request.metadata_size = metadata_size.as_deref().map(parse_size).transpose()?;
            request.zeroing = !no_zeroing;
            request.discards = match discards {
                DiscardWord::Passdown => Discards::Passdown,
                DiscardWord::Nopassdown => Discards::NoPassdown,
                DiscardWord::Ignore => Discards::Ignore,
            };
            request.error_if_no_space = *error_if_no_space;
            request.layout = layout.parse()?;
            (system.open_pool(pool)?.create_thin_pool(&request)?, None)
        }
        ThinCommand::Status { pool, which } => (system.pool_info(pool)?, which.name.as_deref()),
        ThinCommand::Extend {
            pool,
            data,
            metadata,
            which,
        } => {
            let size = |text: &Option<String>| text.as_deref().map(parse_size).transpose();
            let (data, metadata) = (size(data)?, size(metadata)?);
            let pool = system.open_pool(pool)?;
            let name = which.name.as_deref();
            let info = match name {
                Some(name) => pool.extend_thin_pool_named(name, data, metadata)?,
                None => pool.extend_thin_pool(data, metadata)?,
            };
            (info, name)
        }
        ThinCommand::Monitor {
            pool,
            which,
            policy,
            once,
        } => {
            let name = which.name.as_deref();
            thin_monitor::run(&system.open_pool(pool)?, name, policy, *once, json)?;
            (system.pool_info(pool)?, name)
        }
    };
    Ok(Answer::One(to_json(info.find_thin_pool(name)?)))
}

pub(crate) fn to_json(thin: &ThinPoolInfo) -> Value {
    json!({
        "name": thin.name,
        "chunk_size": thin.chunk_size,
        "data_size": thin.data_size,
        "data_used": thin.data_used,
        "metadata_size": thin.metadata_size,
        "metadata_used": thin.metadata_used,
        "transaction_id": thin.transaction_id,
        "state": thin.state,
        "layout": thin.layout,
        "health": health_json(thin.health, thin.array.as_ref()),
    })
}
