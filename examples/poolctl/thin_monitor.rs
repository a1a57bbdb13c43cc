//! `poolctl thin monitor`: a line for each action.

use std::thread;
use std::time::Duration;

use lvm_native::pool::{
    Class, Error, StoragePool, ThinAction, ThinGrowth, ThinMonitor, ThinPolicy, parse_size,
};
use serde_json::{Value, json};

use crate::args::PolicyArgs;
use crate::error_json;
use crate::lines::Out;

/// Between a failure and the next try: what failed may have been what woke us.
const RETRY: Duration = Duration::from_secs(5);

/// Watches the pool; for ever unless `once`, or until nobody reads on or the pool is gone.
pub(crate) fn run(
    pool: &StoragePool,
    name: Option<&str>,
    args: &PolicyArgs,
    once: bool,
    json: bool,
) -> Result<(), Error> {
    let mut out = Out::new(json);
    let policy = policy(args)?;
    let mut monitor = match name {
        Some(name) => pool.monitor_thin_pool_named(name, policy)?,
        None => pool.monitor_thin_pool(policy)?,
    };
    if let Some(other) = pool.other_thin_monitor() {
        let (pid, threshold) = (other.pid, other.threshold);
        out.line(
            &json!({"action": "other_monitor", "program": "dmeventd", "pid": pid, "threshold": threshold}),
        );
    }
    loop {
        match monitor.check(&mut |action| out.line(&to_json(action))) {
            Err(error) if once || error.class() == Class::NotFound => return Err(error),
            Err(error) => {
                let mut line = error_json(&error);
                line["action"] = "failed".into();
                out.line(&line);
                thread::sleep(RETRY);
            }
            Ok(()) if once => return out.result(),
            Ok(()) => {}
        }
        if out.has_failed() {
            return out.result();
        }
        monitor.wait(ThinMonitor::RECHECK)?;
    }
}

fn policy(args: &PolicyArgs) -> Result<ThinPolicy, Error> {
    let mut policy = ThinPolicy::default();
    let set = |growth: &mut ThinGrowth,
               threshold: Option<u32>,
               step: Option<&str>,
               max: Option<&str>|
     -> Result<(), Error> {
        growth.threshold = threshold.unwrap_or(growth.threshold);
        growth.step = step.map_or(Ok(growth.step), str::parse)?;
        growth.max = max.map(parse_size).transpose()?;
        Ok(())
    };
    set(
        &mut policy.data,
        args.threshold,
        args.step.as_deref(),
        args.max.as_deref(),
    )?;
    set(
        &mut policy.metadata,
        args.metadata_threshold,
        args.metadata_step.as_deref(),
        args.metadata_max.as_deref(),
    )?;
    Ok(policy)
}

fn to_json(action: &ThinAction) -> Value {
    match action {
        ThinAction::Extended { part, from, to } => {
            json!({"action": "extended", "what": part.as_str(), "from": from, "to": to})
        }
        ThinAction::AtMax { part, size, used } => {
            json!({"action": "at_max", "what": part.as_str(), "size": size, "used": used})
        }
        ThinAction::NoSpace {
            part,
            size,
            used,
            needed,
            free,
        } => json!({
            "action": "no_space",
            "what": part.as_str(),
            "size": size,
            "used": used,
            "needed": needed,
            "free": free,
        }),
        ThinAction::State(state) => json!({"action": "state", "state": state}),
        other => json!({"action": format!("{other:?}")}),
    }
}
