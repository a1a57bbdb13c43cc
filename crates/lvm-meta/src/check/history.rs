//! The records of removed thin LVs.
//!
//! A record that no live LV descends from is no finding: LVM drops it with its next write.

use std::collections::HashSet;

use super::context::Context;
use super::finding::Findings;
use crate::LvId;
use crate::text::{self, Section};

/// What marks the name of a removed LV among origins.
const REMOVED: char = '-';

/// The name of the LV that was removed: that of its record, unless the record has another.
fn name<'a>(key: &'a str, record: &'a Section) -> &'a str {
    record.find("name").and_then(text::Value::as_str).unwrap_or(key)
}

/// No two removed LVs have one name, nor a removed and a live one.
pub(super) fn names(context: &Context<'_>, findings: &mut Findings) {
    let mut seen = HashSet::new();
    for (key, record) in context.history.sections() {
        let name = name(key, record);
        if context.vg.lv(name).is_some() {
            findings.vg(format!("LV {name:?} is there and among the removed LVs"));
        }
        if !seen.insert(name) {
            findings.vg(format!("LV {name:?} is twice among the removed LVs"));
        }
    }
}

/// Each removed LV has an id of its own.
pub(super) fn ids(context: &Context<'_>, findings: &mut Findings) {
    let mut seen = HashSet::new();
    for (key, record) in context.history.sections() {
        let id = record.find("id").and_then(text::Value::as_str).map(LvId::parse);
        let Some(Ok(id)) = id else {
            findings.vg(format!("removed LV {key:?} has no id"));
            continue;
        };
        if !seen.insert(id) {
            findings.vg(format!("removed LV {key:?} has the id of another"));
        }
    }
}

/// The origins of removed LVs are there, or removed LVs; those that descend from them are there.
pub(super) fn links(context: &Context<'_>, findings: &mut Findings) {
    let removed: HashSet<&str> = context
        .history
        .sections()
        .map(|(key, record)| name(key, record))
        .collect();
    for (key, record) in context.history.sections() {
        let origin = record.find("origin");
        let is_there = |origin: &str| match origin.strip_prefix(REMOVED) {
            Some(name) => removed.contains(name),
            None => context.vg.lv(origin).is_some(),
        };
        if origin.is_some_and(|origin| !origin.as_str().is_some_and(is_there)) {
            findings.vg(format!("the origin of removed LV {key:?} is not there"));
        }
        let Some(descendants) = record.find("descendants") else {
            continue;
        };
        let is_there = |value: &text::Value| value.as_str().is_some_and(|name| context.vg.lv(name).is_some());
        if descendants.items().is_empty() || !descendants.items().iter().all(is_there) {
            findings.vg(format!(
                "an LV that descends from removed LV {key:?} is not there"
            ));
        }
    }
}
