//! Adoption: exact fields, and what changes nothing.

use serde_json::json;

use crate::host::{Host, MIB};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

#[test]
fn a_plan_has_exactly_these_fields_and_changes_nothing() {
    let host = Host::with_pool();
    host.ok(&["replica", "create", "p", A, "8M", "--name", "pvc-1"]);
    host.ok(&["pool", "export", "p"]);
    let lv = format!("p/{A}");
    let plan = json!({
        "vg": "p",
        "lv": A,
        "uuid": A,
        "size": 8 * MIB,
        "layout": "linear",
        "active": true,
        "open": false,
        "steps": ["mark the volume group p as a pool"],
        "refusal": null,
    });
    let found = host.unchanged(&["adopt", "plan", &lv, "--uuid", A]);
    assert_eq!(found, plan);
    // By the name that it was adopted by, too.
    let found = host.unchanged(&["adopt", "plan", "p/pvc-1", "--uuid", A]);
    assert_eq!(found, plan);
    // What has no cache is adopted as without the word.
    let found = host.unchanged(&["adopt", "plan", &lv, "--uuid", A, "--uncache"]);
    assert_eq!(found, plan);
    let other = host.unchanged(&["adopt", "plan", &lv, "--uuid", B]);
    assert!(other["refusal"].as_str().unwrap().contains(A), "{other}");
    assert_eq!(other["steps"], json!([]));

    let adopted = host.ok(&["adopt", "apply", "p/pvc-1", "--uuid", A]);
    assert_eq!((&adopted["uuid"], &adopted["name"]), (&json!(A), &json!("pvc-1")));
    assert_eq!(host.unchanged(&["replica", "show", A]), adopted);
    assert_eq!(
        host.unchanged(&["adopt", "apply", &lv, "--uuid", A]),
        adopted,
        "again costs no commit"
    );
    assert_eq!(
        host.unchanged(&["adopt", "apply", &lv, "--uuid", A, "--uncache"]),
        adopted,
    );
}
