//! `poolctl replica events`: a line for each change of an array's health.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lvm_native::pool::{Error, ReplicaInfo, System};
use serde_json::{Value, json};

use crate::args::Args;
use crate::lines::Out;
use crate::replica::health_json;

/// Longest wait at once.
const WAIT: Duration = Duration::from_secs(3600);

/// Watches the arrays of a pool, or of all; until the time is over, or nobody reads on or no pool is left.
pub(crate) fn run(system: &System, pool: Option<&str>, once: bool, args: &Args) -> Result<(), Error> {
    let begun = Instant::now();
    let mut out = Out::new(args.json);
    let (mut monitor, replicas) = match pool {
        Some(pool) => (
            system.open_pool(pool)?.watch_arrays()?,
            system.pool_replicas(pool)?,
        ),
        None => (system.watch_arrays()?, system.replicas()?.into_iter().collect()),
    };
    let mut told: HashMap<_, _> = replicas
        .iter()
        .map(|replica| (replica.uuid, health(replica)))
        .collect();
    loop {
        let left = args
            .timeout
            .map(|timeout| timeout.saturating_sub(begun.elapsed()));
        for replica in monitor.wait(left.unwrap_or(WAIT))? {
            let health = health(&replica);
            if told
                .insert(replica.uuid, health.clone())
                .is_some_and(|before| before == health)
            {
                continue;
            }
            out.line(&line(&replica, args.json));
            if once {
                return out.result();
            }
        }
        if out.has_failed() || left.is_some_and(|left| left.is_zero()) {
            return out.result();
        }
    }
}

/// What a change of is told: all but how far the kernel is.
fn health(replica: &ReplicaInfo) -> Value {
    let mut health = health_json(replica.state, replica.array.as_ref());
    health["sync"] = Value::Null;
    json!([replica.active, health])
}

fn line(replica: &ReplicaInfo, json: bool) -> Value {
    let health = health_json(replica.state, replica.array.as_ref());
    let mut line = json!({
        "uuid": replica.uuid.to_string(),
        "pool": replica.pool,
        "active": replica.active,
    });
    match (json, health) {
        (false, Value::Object(fields)) => {
            for (name, value) in fields {
                let images = |value: &Value| Some(value["state"].as_str()?.to_string());
                line[name] = match &value {
                    Value::Array(of) => of.iter().filter_map(images).collect::<Vec<_>>().join(",").into(),
                    Value::Null => "-".into(),
                    _ => value,
                };
            }
        }
        (_, health) => line["health"] = health,
    }
    line
}
