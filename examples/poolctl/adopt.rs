//! `poolctl adopt ...`

use lvm_native::pool::{AdoptionPlan, Error, System, parse_uuid};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::args::AdoptCommand;
use crate::{message, progress, replica};

pub(crate) fn run(system: &System, command: &AdoptCommand) -> Result<Answer, Error> {
    match command {
        AdoptCommand::Plan { lv, uuid, uncache } => {
            let uuid = parse_uuid(uuid)?;
            let plan = match uncache {
                true => system.plan_uncached_adoption(&lv.vg, &lv.lv, uuid)?,
                false => system.plan_adoption(&lv.vg, &lv.lv, uuid)?,
            };
            Ok(Answer::One(to_json(&plan)))
        }
        AdoptCommand::Apply { lv, uuid, uncache } => {
            let uuid = parse_uuid(uuid)?;
            let info = match uncache {
                true => progress::written_back(|tell| system.adopt_uncached(&lv.vg, &lv.lv, uuid, tell))?,
                false => system.adopt(&lv.vg, &lv.lv, uuid)?,
            };
            Ok(Answer::One(replica::to_json(&info)))
        }
    }
}

fn to_json(plan: &AdoptionPlan) -> Value {
    json!({
        "vg": plan.vg,
        "lv": plan.lv,
        "uuid": plan.uuid.to_string(),
        "size": plan.size,
        "layout": plan.layout,
        "active": plan.active,
        "open": plan.open,
        "steps": plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "refusal": plan.refusal.as_ref().map(message),
    })
}
