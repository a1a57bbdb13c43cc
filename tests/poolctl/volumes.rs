//! Volumes: exact fields, and what is refused without a change.

use serde_json::json;

use crate::host::{Host, MIB};

const V: &str = "ffffffff-0000-4000-8000-000000000001";
const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

#[test]
fn a_volume_that_is_made_has_exactly_these_fields() {
    let host = Host::with_pool();
    let dir = tempfile::tempdir().unwrap();
    let uri = |uuid: &str| {
        let path = dir.path().join(uuid);
        std::fs::File::create(&path).unwrap().set_len(16 * MIB).unwrap();
        format!("bdev:///{}?uuid={uuid}", path.display())
    };
    let (a, b) = (uri(A), uri(B));
    let made = host.ok(&["volume", "create", V, "8M", "--replica", &a, "--replica", &b]);
    let replica = |uri: &str, uuid: &str| json!({"uri": uri, "uuid": uuid, "state": "online", "sync": null});
    assert_eq!(
        made,
        json!({
            "uuid": V,
            "size": 8 * MIB,
            "device": null,
            "state": "online",
            "epoch": 1,
            "replicas": [replica(&a, A), replica(&b, B)],
        })
    );
    let create = ["volume", "create", V, "8M", "--replica", &a, "--replica", &b];
    host.refused(&create, "AlreadyExists", "EEXIST");
    host.refused(
        &["volume", "create", V, "8M", "--replica", &a, "--replica", &a],
        "InvalidArgument",
        "EINVAL",
    );
    host.refused(
        &["volume", "create", B, "8M", "--replica", &a],
        "ReplicaMismatch",
        "EINVAL",
    );
    host.refused(
        &["volume", "create", V, "0", "--replica", &a],
        "InvalidArgument",
        "EINVAL",
    );
    host.refused(
        &["volume", "create", V, "8M", "--replica", "nvmf://node/x"],
        "InvalidArgument",
        "EINVAL",
    );
    host.refused(
        &["volume", "publish", V, "--replica", &a],
        "NeedsDegraded",
        "EBUSY",
    );
    for command in ["status", "heal"] {
        host.refused(&["volume", command, V], "NotPublished", "ENOENT");
    }
    host.ok(&["volume", "unpublish", V]);
}
