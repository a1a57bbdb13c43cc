//! `poolctl replica ...`

use std::io::{self, IsTerminal, Read, Write};
use std::net::SocketAddr;

use lvm_native::pool::{
    ArrayInfo, CreateReplica, Error, IoStats, Nqn, ReplicaDevice, ReplicaInfo, SetReplica, ShareReplica,
    Shrink, State, System, Zeroing, parse_size, parse_uuid,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::args::{Args, ReplicaCommand, Zero};
use crate::{progress, replica_events};

/// What a list shows to people.
pub(crate) const COLUMNS: &[&str] = &["uuid", "name", "pool", "size", "layout", "active", "device"];

pub(crate) fn run(system: &System, command: &ReplicaCommand, args: &Args) -> Result<Answer, Error> {
    let info = match command {
        ReplicaCommand::Create {
            pool,
            uuid,
            size,
            name,
            entity_id,
            thin,
            thin_pool,
            layout,
            disks,
            zero,
            nosync,
        } => {
            let mut request = CreateReplica::new(parse_uuid(uuid)?, parse_size(size)?);
            request.name = name.clone();
            request.entity_id = entity_id.clone();
            request.thin = *thin;
            request.thin_pool = thin_pool.clone();
            request.layout = layout.parse()?;
            request.disks = disks.clone();
            request.nosync = *nosync;
            request.zeroing = match zero {
                Zero::None => Zeroing::None,
                Zero::Head => Zeroing::Head,
                Zero::Full => Zeroing::Full,
            };
            let bar = progress::bar(request.size, "zeroing", true);
            let info = system.create_replica(pool, &request, &mut |done| bar.set_position(done))?;
            bar.finish_and_clear();
            info
        }
        ReplicaCommand::CreateMany {
            pool,
            count,
            size,
            thin,
            thin_pool,
        } => {
            let size = parse_size(size)?;
            let request = |_| {
                let mut request = CreateReplica::new(Uuid::new_v4(), size);
                request.thin = *thin;
                request.thin_pool = thin_pool.clone();
                request
            };
            let requests: Vec<_> = (0..*count).map(request).collect();
            let bar = progress::bar(u64::from(*count), "creating", false);
            let made = system
                .open_pool(pool)?
                .create_replicas_with(&requests, &mut |done| bar.set_position(done))?;
            bar.finish_and_clear();
            return Ok(Answer::Many(made.iter().map(to_json).collect(), COLUMNS));
        }
        ReplicaCommand::List { pool } => {
            return match pool {
                Some(pool) => {
                    let replicas = system.pool_replicas(pool)?;
                    Ok(Answer::Many(replicas.iter().map(to_json).collect(), COLUMNS))
                }
                None => Answer::listed(system.replicas()?, COLUMNS, to_json),
            };
        }
        ReplicaCommand::Show { uuid } => system.replica_info(parse_uuid(uuid)?)?,
        ReplicaCommand::Resize {
            uuid,
            size,
            allow_shrink,
        } => {
            let (uuid, size) = (parse_uuid(uuid)?, parse_size(size)?);
            let shrink = if *allow_shrink {
                Shrink::Allow
            } else {
                Shrink::Refuse
            };
            system.pool_of_replica(uuid)?.resize_replica(uuid, size, shrink)?
        }
        ReplicaCommand::Move { uuid, disks, from } => {
            let uuid = parse_uuid(uuid)?;
            let pool = system.pool_of_replica(uuid)?;
            progress::moving(|tell| pool.move_replica(uuid, from.as_deref(), disks, tell))?
        }
        ReplicaCommand::Destroy { uuid } => {
            let uuid = parse_uuid(uuid)?;
            system.pool_of_replica(uuid)?.destroy_replica(uuid)?;
            return Ok(Answer::Done);
        }
        ReplicaCommand::Set {
            uuid,
            entity_id,
            name,
            tags,
        } => {
            let uuid = parse_uuid(uuid)?;
            let change = SetReplica {
                name: name.clone(),
                entity_id: entity_id.clone(),
                tags: tags.change(),
            };
            system.pool_of_replica(uuid)?.set_replica(uuid, &change)?
        }
        ReplicaCommand::Activate { uuid, degraded } => {
            let uuid = parse_uuid(uuid)?;
            let pool = system.pool_of_replica(uuid)?;
            match degraded {
                true => pool.activate_replica_degraded(uuid)?,
                false => pool.activate_replica(uuid)?,
            }
        }
        ReplicaCommand::Convert { uuid, layout } => {
            let (uuid, layout) = (parse_uuid(uuid)?, layout.parse()?);
            system.pool_of_replica(uuid)?.convert_replica(uuid, layout)?
        }
        ReplicaCommand::Repair { uuid } => {
            let uuid = parse_uuid(uuid)?;
            system.pool_of_replica(uuid)?.repair_replica(uuid)?
        }
        ReplicaCommand::Deactivate { uuid } => {
            let uuid = parse_uuid(uuid)?;
            system.pool_of_replica(uuid)?.deactivate_replica(uuid)?
        }
        ReplicaCommand::Share {
            uuid,
            listen,
            allowed_hosts,
        } => {
            let uuid = parse_uuid(uuid)?;
            let hosts = allowed_hosts.iter().map(|host| Nqn::parse(host));
            let request = ShareReplica {
                listen: listen.as_deref().map(parse_listen).transpose()?,
                allowed_hosts: hosts.collect::<Result<_, _>>()?,
            };
            system.pool_of_replica(uuid)?.share_replica(uuid, &request)?
        }
        ReplicaCommand::Unshare { uuid } => {
            let uuid = parse_uuid(uuid)?;
            system.pool_of_replica(uuid)?.unshare_replica(uuid)?
        }
        ReplicaCommand::Read { uuid, offset, length } => {
            let (uuid, offset, length) = (parse_uuid(uuid)?, parse_size(offset)?, parse_size(length)?);
            copy_out(&system.pool_of_replica(uuid)?.open_replica(uuid)?, offset, length)?;
            return Ok(Answer::Copied);
        }
        ReplicaCommand::Write { uuid, offset } => {
            let (uuid, offset) = (parse_uuid(uuid)?, parse_size(offset)?);
            copy_in(&system.pool_of_replica(uuid)?.open_replica(uuid)?, offset)?;
            return Ok(Answer::Copied);
        }
        ReplicaCommand::Stats { uuid } => {
            let uuid = parse_uuid(uuid)?;
            return Ok(Answer::One(stats_json(
                &system.pool_of_replica(uuid)?.replica_stats(uuid)?,
            )));
        }
        ReplicaCommand::Scrub { uuid, repair } => {
            let uuid = parse_uuid(uuid)?;
            let bar = progress::bar(0, "comparing", true);
            let scrubbed = system
                .pool_of_replica(uuid)?
                .scrub_replica(uuid, *repair, &mut |progress| {
                    bar.set_length(progress.total);
                    bar.set_position(progress.done);
                });
            bar.finish_and_clear();
            let scrubbed = scrubbed?;
            let mut object = to_json(&scrubbed.replica);
            object["mismatches"] = scrubbed.mismatches.into();
            return Ok(Answer::One(object));
        }
        ReplicaCommand::Events { pool, once } => {
            replica_events::run(system, pool.as_deref(), *once, args)?;
            return Ok(Answer::Copied);
        }
    };
    Ok(Answer::One(to_json(&info)))
}

fn parse_listen(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| Error::InvalidArgument {
        what: "listen address",
        given: text.chars().take(140).collect(),
        why: "it is no numeric address, a colon and a port".into(),
    })
}

/// Bytes copied at once.
const PIECE: usize = 1 << 20;

fn copy_out(device: &ReplicaDevice, mut at: u64, mut left: u64) -> Result<(), Error> {
    device.check_range(at, left)?;
    let mut buffer = vec![0; PIECE];
    let mut out = io::stdout().lock();
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        device.read_at(at, &mut buffer[..piece])?;
        match out.write_all(&buffer[..piece]) {
            // The reader has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.map_err(|source| stdio("write", source))?,
        }
        at += piece as u64;
        left -= piece as u64;
    }
    out.flush().map_err(|source| stdio("write", source))
}

fn copy_in(device: &ReplicaDevice, mut at: u64) -> Result<(), Error> {
    if io::stdin().is_terminal() {
        let _ = writeln!(io::stderr(), "reading the data from standard input");
    }
    let mut buffer = vec![0; PIECE];
    let mut input = io::stdin().lock();
    loop {
        let mut filled = 0;
        while filled < PIECE {
            match input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(stdio("read", source)),
            }
        }
        if filled == 0 {
            return device.sync();
        }
        device.check_range(at, filled as u64)?;
        device.write_at(at, &buffer[..filled])?;
        at += filled as u64;
    }
}

fn stdio(what: &'static str, source: io::Error) -> Error {
    Error::Io {
        what,
        path: "standard input or output".into(),
        source,
    }
}

pub(crate) fn to_json(replica: &ReplicaInfo) -> Value {
    json!({
        "uuid": replica.uuid.to_string(),
        "name": replica.name,
        "pool": replica.pool,
        "pool_uuid": replica.pool_uuid.to_string(),
        "entity_id": replica.entity_id,
        "size": replica.size,
        "committed": replica.committed,
        "allocated": replica.allocated,
        "thin": replica.thin,
        "thin_pool": replica.thin_pool,
        "read_only": replica.read_only,
        "layout": replica.layout,
        "active": replica.active,
        "device": replica.device.as_ref().map(|path| path.to_string_lossy()),
        "is_clone": replica.snapshot_uuid.is_some(),
        "snapshot_uuid": replica.snapshot_uuid,
        "share": {"protocol": replica.share_protocol(), "uri": replica.share_uri.as_ref().map(ToString::to_string), "allowed_hosts": replica.allowed_hosts},
        "health": health_json(replica.state, replica.array.as_ref()),
        "copied_from": replica.copied_from,
        "tags": replica.tags,
    })
}

/// What is told of a state, and of the images on which it rests.
pub(crate) fn health_json(state: State, array: Option<&ArrayInfo>) -> Value {
    let images = array.map_or(&[][..], |array| &array.images);
    let images: Vec<Value> = images
        .iter()
        .map(|image| json!({"state": image.as_str()}))
        .collect();
    json!({
        "state": state.as_str(),
        "images": images,
        "sync": array.and_then(ArrayInfo::sync),
        "action": array.and_then(|array| array.action.as_deref()),
        "mismatches": array.and_then(|array| array.mismatches),
    })
}

fn stats_json(stats: &IoStats) -> Value {
    json!({
        "reads": stats.read.operations,
        "read_bytes": stats.read.bytes,
        "read_ms": stats.read.ms,
        "writes": stats.written.operations,
        "write_bytes": stats.written.bytes,
        "write_ms": stats.written.ms,
        "discards": stats.discarded.operations,
        "discard_bytes": stats.discarded.bytes,
        "discard_ms": stats.discarded.ms,
        "flushes": stats.flushes,
        "flush_ms": stats.flush_ms,
        "in_flight": stats.in_flight,
        "busy_ms": stats.busy_ms,
    })
}
