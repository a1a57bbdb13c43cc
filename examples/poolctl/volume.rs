//! `poolctl volume ...`

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use lvm_native::pool::{
    Error, ReplicaUri, System, VolumeError, VolumeInfo, parse_size, parse_uuid, printable,
};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::args::{Args, VolumeCommand};
use crate::progress;

pub(crate) fn run(system: &System, command: &VolumeCommand, args: &Args) -> Result<Answer, Error> {
    let info = match command {
        VolumeCommand::Create { uuid, size, replicas } => {
            let (uuid, size) = (parse_uuid(uuid)?, parse_size(size)?);
            system.create_volume(uuid, size, &uris(replicas)?)?
        }
        VolumeCommand::Publish {
            uuid,
            replicas,
            degraded,
        } => system.publish_volume(parse_uuid(uuid)?, &uris(replicas)?, *degraded)?,
        VolumeCommand::Status { uuid } => system.volume(parse_uuid(uuid)?)?,
        VolumeCommand::Heal { uuid, discard } => {
            let uuid = parse_uuid(uuid)?;
            let discard = discard.iter().map(|text| parse_uuid(text));
            let discard = discard.collect::<Result<Vec<_>, Error>>()?;
            let bar = progress::bar(0, "bringing in line", true);
            let healed = system.heal_volume(uuid, &discard, &mut |progress| {
                bar.set_length(progress.total);
                bar.set_position(progress.done);
            });
            bar.finish_and_clear();
            healed?
        }
        VolumeCommand::Monitor { uuid } => {
            monitor(system, parse_uuid(uuid)?, args)?;
            return Ok(Answer::Copied);
        }
        VolumeCommand::Unpublish { uuid, abandon } => {
            let uuid = parse_uuid(uuid)?;
            if *abandon {
                system.abandon_volume(uuid)?;
            }
            system.unpublish_volume(uuid)?;
            return Ok(Answer::Done);
        }
    };
    Ok(Answer::One(to_json(&info)))
}

fn uris(texts: &[String]) -> Result<Vec<ReplicaUri>, Error> {
    texts.iter().map(|text| text.parse()).collect()
}

/// Looks after a volume, a line for each change, until the time is over that was given; for ever otherwise.
fn monitor(system: &System, uuid: uuid::Uuid, args: &Args) -> Result<(), Error> {
    let end = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut monitor = system.watch_volume(uuid)?;
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let piece = Duration::from_secs(60);
        let looked = match monitor.wait(left.unwrap_or(piece).min(piece)) {
            Err(error @ Error::Volume(VolumeError::NotPublished(_) | VolumeError::Superseded { .. })) => {
                return Err(error);
            }
            // What fails now may do later.
            Err(error) => {
                let _ = writeln!(io::stderr(), "error: {}", printable(&crate::message(&error)));
                thread::sleep(Duration::from_secs(1));
                None
            }
            Ok(looked) => looked,
        };
        if let Some(info) = looked {
            let line = match args.json {
                true => format!("{}\n", to_json(&info)),
                false => Answer::Many(vec![to_json(&info)], &["uuid", "state", "epoch", "replicas"]).text(),
            };
            // Nobody reads on.
            if io::stdout()
                .write_all(line.as_bytes())
                .and_then(|()| io::stdout().flush())
                .is_err()
            {
                return Ok(());
            }
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
    }
}

fn to_json(volume: &VolumeInfo) -> Value {
    let replicas = volume.replicas.iter().map(|replica| {
        json!({
            "uri": replica.uri,
            "uuid": replica.uuid.map(|uuid| uuid.to_string()),
            "state": replica.state.as_str(),
            "sync": replica.sync,
        })
    });
    json!({
        "uuid": volume.uuid.to_string(),
        "size": volume.size,
        "device": volume.device.as_ref().map(|path| path.to_string_lossy()),
        "state": volume.state.as_str(),
        "epoch": volume.epoch,
        "replicas": replicas.collect::<Vec<_>>(),
    })
}
