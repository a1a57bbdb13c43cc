//! The report for programs.  All sizes are bytes, all ids strings.

use lvm_native::meta::{FoundPv, FoundVg, Lv, Segment, Tags, Vg};
use lvm_native::pool::pool_uuid;
use serde_json::{Value, json};

use crate::check::Problem;
use crate::devices::Devices;
use crate::failure::Failure;
use crate::segment::{self, Target};
use crate::{ShownVg, mda, without_nul};

/// An array of the VGs, with one without a name for the free PVs and for what is wrong with single paths.  Where no path can
/// be shown the answer is the error, as that of every program that fails.
pub(crate) fn report(
    devices: &Devices,
    vgs: &[ShownVg],
    orphan_problems: &[Problem],
    with_text: bool,
) -> Value {
    let mut shown: Vec<Value> = vgs.iter().map(|vg| of_vg(devices, vg, with_text)).collect();
    let of_paths: Vec<Value> = match devices.is_nothing_shown() {
        true => Vec::new(),
        false => devices.failures.iter().map(failure_as_problem).collect(),
    };
    if !devices.assembly.orphans.is_empty() || !of_paths.is_empty() {
        let mut entry = orphans(devices, orphan_problems, with_text);
        if let Some(problems) = entry["problems"].as_array_mut() {
            problems.extend(of_paths);
        }
        shown.push(entry);
    }
    match devices.failures.first().filter(|_| devices.is_nothing_shown()) {
        None => Value::Array(shown),
        Some(first) => {
            let errors: Vec<Value> = devices.failures.iter().map(of_failure).collect();
            json!({"error": of_failure(first), "errors": errors, "vgs": shown})
        }
    }
}

fn of_failure(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind,
        "errno": failure.errno_name(),
        "message": failure.message,
        "path": failure.path.to_string_lossy(),
        "byte": failure.byte,
    })
}

fn failure_as_problem(failure: &Failure) -> Value {
    let place = match failure.byte {
        Some(byte) => format!("{} byte {byte}", failure.path.display()),
        None => failure.path.display().to_string(),
    };
    json!({
        "severity": "error",
        "where": place,
        "what": failure.message,
        "path": failure.path.to_string_lossy(),
        "byte": failure.byte,
        "kind": failure.kind,
        "errno": failure.errno_name(),
    })
}

fn of_vg(devices: &Devices, shown: &ShownVg, with_text: bool) -> Value {
    let ShownVg {
        found,
        vg,
        problems,
        refusal,
    } = shown;
    let mut json = json!({
        "name": vg.name(),
        "id": vg.id().to_string(),
        "uuid": pool_uuid(&vg.id()).to_string(),
        "seqno": vg.seqno(),
        "extent_size": vg.extent_size().bytes(),
        "extent_count": vg.extent_count(),
        "free_extents": vg.free_extents(),
        "status": shown.status(),
        "flags": vg.flags().words().collect::<Vec<_>>(),
        "tags": of_tags(vg.tags()),
        "system_id": vg.system_id(),
        "lock_type": vg.lock_type(),
        "allocation_policy": vg.allocation_policy(),
        "writable": refusal.is_none(),
        "refusal": refusal,
        "pvs": found.pvs.iter().map(|pv| of_pv(devices, Some((found, vg)), pv)).collect::<Vec<_>>(),
        "lvs": vg.lvs().map(|lv| of_lv(vg, lv)).collect::<Vec<_>>(),
        "problems": problems.iter().map(of_problem).collect::<Vec<_>>(),
    });
    if with_text {
        json["text"] = json!(String::from_utf8_lossy(without_nul(&found.text)));
    }
    json
}

fn orphans(devices: &Devices, problems: &[Problem], with_text: bool) -> Value {
    let mut json = json!({
        "name": null,
        "id": null,
        "uuid": null,
        "seqno": null,
        "extent_size": null,
        "extent_count": 0,
        "free_extents": 0,
        "status": [],
        "flags": [],
        "tags": [],
        "system_id": null,
        "lock_type": null,
        "allocation_policy": null,
        "writable": false,
        "refusal": "the PVs are in no volume group",
        "pvs": devices.assembly.orphans.iter().map(|pv| of_pv(devices, None, pv)).collect::<Vec<_>>(),
        "lvs": [],
        "problems": problems.iter().map(of_problem).collect::<Vec<_>>(),
    });
    if with_text {
        json["text"] = Value::Null;
    }
    json
}

fn of_pv(devices: &Devices, vg: Option<(&FoundVg, &Vg)>, found: &FoundPv) -> Value {
    let pv = vg.and_then(|(_, vg)| vg.pv(found.id));
    let scan = found.scan.as_ref();
    let mdas = scan
        .map(|scan| &*scan.mdas)
        .unwrap_or_default()
        .iter()
        .map(|area| {
            let state = mda::state(vg.map(|(found, _)| found), area);
            json!({
                "offset": area.area.offset,
                "size": area.header.as_ref().map_or(area.area.size, |header| header.size),
                "state": state.word,
                "seqno": state.seqno,
                "problem": state.problem,
            })
        });
    // In a VG its text counts; the label says the same of a PV that is in none.
    let label_start = || {
        scan.and_then(|scan| scan.header.data_areas.first())
            .map(|area| area.offset)
    };
    json!({
        "id": found.id.to_string(),
        "name": pv.map(|pv| pv.key()),
        "path": devices.path(found.disk).map(|path| path.to_string_lossy()),
        "device_hint": pv.and_then(|pv| pv.device_hint()),
        "missing": found.disk.is_none() || pv.is_some_and(|pv| pv.is_missing()),
        "dev_size": match pv {
            Some(pv) => pv.dev_size().to_bytes(),
            None => scan.map(|scan| scan.header.device_size),
        },
        "device_size": scan.map(|scan| scan.device_size),
        "pe_start": match pv {
            Some(pv) => pv.pe_start().to_bytes(),
            None => label_start(),
        },
        "pe_count": pv.map_or(0, |pv| pv.pe_count().get()),
        "pe_used": pv.map_or(0, |pv| pv.used().get()),
        "status": pv.map(|pv| pv.status().words().collect::<Vec<_>>()).unwrap_or_default(),
        "flags": pv.filter(|pv| pv.is_missing()).map(|_| ["MISSING"].as_slice()).unwrap_or_default(),
        "tags": pv.map(|pv| of_tags(pv.tags())).unwrap_or_default(),
        "mdas": mdas.collect::<Vec<_>>(),
    })
}

fn of_lv(vg: &Vg, lv: &Lv) -> Value {
    json!({
        "name": lv.name(),
        "id": lv.id().to_string(),
        "visible": vg.is_visible(lv),
        "status": lv.status().words().collect::<Vec<_>>(),
        "flags": lv.flags().words().collect::<Vec<_>>(),
        "tags": of_tags(lv.tag_list()),
        "size": vg.extent_size().to_bytes(lv.extent_count()),
        "creation_time": lv.creation().map(|(time, _)| time),
        "creation_host": lv.creation().map(|(_, host)| host),
        "refusal": lv.refusal().map(|refusal| refusal.to_string()),
        "segments": lv.segments().iter().map(|segment| of_segment(vg, segment)).collect::<Vec<_>>(),
    })
}

fn of_segment(vg: &Vg, segment: &Segment) -> Value {
    let areas: Vec<Value> = segment::areas(vg, segment)
        .into_iter()
        .map(|area| match area.target {
            Target::Pv(key, id) => json!({"pv": key, "pv_id": id, "start_extent": area.start}),
            Target::Lv(name) => json!({"lv": name, "start_extent": area.start}),
        })
        .collect();
    // What every segment has comes last: no field of a type may hide it.
    let mut json = Value::Object(segment::fields(segment));
    json["start_extent"] = json!(segment.start());
    json["extent_count"] = json!(segment.extent_count().get());
    json["type"] = json!(segment::type_name(segment));
    json["type_flags"] = json!(segment::type_words(segment));
    json["stripes"] = json!(areas.len());
    json["areas"] = json!(areas);
    json
}

fn of_problem(problem: &Problem) -> Value {
    json!({
        "severity": problem.severity(),
        "where": problem.place,
        "what": problem.what,
        "path": problem.path.as_ref().map(|path| path.to_string_lossy()),
        "byte": problem.byte,
    })
}

fn of_tags(tags: &Tags) -> Vec<&str> {
    tags.iter().collect()
}
