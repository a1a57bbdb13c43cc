//! Operations that are run while the system fails them: what comes before each, and how its result is told from another.

use std::fs;

use lvm_native::meta::{FileDisk, scan};
use serde_json::{Value, json};

use crate::host::{Host, MIB, copy};

pub(crate) const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// A call of `poolctl`, or one of [`COPY`] and [`SAVE`].
pub(crate) type Call = &'static [&'static str];

/// An operation: what it does, what comes before it, and itself.
pub(crate) type Operation = (&'static str, &'static [Call], Call);

pub(crate) const OPERATIONS: [Operation; 29] = [
    ("make a pool", &[], CREATE_POOL),
    ("list", &[CREATE_POOL, CREATE], &["replica", "list"]),
    ("show", &[CREATE_POOL, CREATE], &["pool", "show", "p"]),
    ("create", &[CREATE_POOL], CREATE),
    ("create copies", &[CREATE_POOL, ADD], CREATE_COPIES),
    ("resize", &[CREATE_POOL, CREATE], &["replica", "resize", A, "2M"]),
    (
        "resize copies",
        &[CREATE_POOL, ADD, CREATE_COPIES],
        &["replica", "resize", A, "2M"],
    ),
    (
        "convert to copies",
        &[CREATE_POOL, ADD, CREATE],
        &["replica", "convert", A, "--layout", "raid1:2"],
    ),
    (
        "convert from copies",
        &[CREATE_POOL, ADD, CREATE_COPIES],
        &["replica", "convert", A, "--layout", "linear"],
    ),
    ("destroy", &[CREATE_POOL, CREATE], &["replica", "destroy", A]),
    (
        "deactivate",
        &[CREATE_POOL, CREATE],
        &["replica", "deactivate", A],
    ),
    (
        "tag a replica",
        &[CREATE_POOL, CREATE],
        &["replica", "set", A, "--add-tag", "mine"],
    ),
    (
        "move",
        &[CREATE_POOL, ADD, CREATE],
        &["replica", "move", A, "--disk", "disk1"],
    ),
    (
        "add a disk",
        &[CREATE_POOL, CREATE],
        &["pool", "add-disk", "p", "disk1"],
    ),
    (
        "remove a disk",
        &[CREATE_POOL, ADD, CREATE],
        &["pool", "remove-disk", "p", "disk1"],
    ),
    (
        "remove a disk in use",
        &[CREATE_POOL, ADD, CREATE],
        &["pool", "remove-disk", "p", "disk0"],
    ),
    (
        "replace a disk",
        &[CREATE_POOL, CREATE],
        &["pool", "replace-disk", "p", "disk0", "disk1"],
    ),
    (
        "use less of a disk",
        &[CREATE_POOL, CREATE],
        &["pool", "shrink-disk", "p", "disk0", "15M"],
    ),
    ("rename", &[CREATE_POOL, CREATE], &["pool", "rename", "p", "q"]),
    (
        "tag a pool",
        &[CREATE_POOL],
        &["pool", "set", "p", "--add-tag", "mine"],
    ),
    ("grow", &[CREATE_POOL, CREATE], &["pool", "grow", "p"]),
    ("repair", &[CREATE_POOL, CREATE], &["pool", "repair", "p"]),
    ("backups", &[CREATE_POOL, CREATE], &["pool", "backups", "p"]),
    (
        "restore",
        &[CREATE_POOL, SAVE, CREATE],
        &["pool", "restore", "p", "backup"],
    ),
    ("export", &[CREATE_POOL, CREATE], EXPORT),
    (
        "import",
        &[CREATE_POOL, CREATE, EXPORT],
        &["pool", "import", "p", "disk0"],
    ),
    (
        "import a copy",
        &[CREATE_POOL, CREATE, COPY],
        &["pool", "import", "q", "disk1", "--new-ids"],
    ),
    (
        "adopt",
        &[CREATE_POOL, CREATE, EXPORT],
        &[
            "adopt",
            "apply",
            "p/aaaaaaaa-0000-4000-8000-000000000001",
            "--uuid",
            A,
        ],
    ),
    (
        "destroy the pool",
        &[CREATE_POOL, CREATE],
        &["pool", "destroy", "p"],
    ),
];
const ADD: Call = &["pool", "add-disk", "p", "disk1"];
pub(crate) const CREATE_POOL: Call = &["pool", "create", "p", "disk0", "--extent-size", "64K"];
pub(crate) const CREATE: Call = &["replica", "create", "p", A, "1M"];
const CREATE_COPIES: Call = &["replica", "create", "p", A, "1M", "--layout", "raid1:2"];
const EXPORT: Call = &["pool", "export", "p"];
/// Makes the second disk a copy of the first.
const COPY: Call = &["copy"];
/// Saves the pool's metadata in the file `backup`.
const SAVE: Call = &["save"];

/// A host on which all is done that comes before the operation.
pub(crate) fn prepared((_, before, _): &Operation) -> Host {
    let mut host = Host::new(&[]);
    for (number, image) in ["disk0", "disk1"].iter().enumerate() {
        host.add_image(image, (16 + number as u64) * MIB);
    }
    for call in *before {
        match *call {
            COPY => copy(host.path("disk0"), host.path("disk1")),
            SAVE => save(&host),
            args => drop(host.ok(args)),
        }
    }
    host
}

fn save(host: &Host) {
    let disk = FileDisk::new(fs::File::open(host.path("disk0")).unwrap());
    let read = scan(&disk).unwrap().unwrap();
    let text = read.mdas[0].text.as_ref().unwrap().as_ref().unwrap();
    fs::write(host.path("backup"), text.as_slice()).unwrap();
}

/// What is to be the old one or the new one.
pub(crate) fn state(host: &Host) -> Value {
    let pools = host.ok(&["pool", "list"]);
    let replicas = host.ok(&["replica", "list"]);
    let of = |list: &Value, keys: &[&str]| -> Vec<Value> {
        let list = list.as_array().unwrap().iter();
        let value = |one: &Value, key: &str| match (key, one[key].as_str()) {
            // Drawn at random.
            ("uuid" | "name", Some(text)) if text.len() == A.len() && text != A => "another".into(),
            _ => one[key].clone(),
        };
        list.map(|one| keys.iter().map(|key| value(one, key)).collect())
            .collect()
    };
    json!([
        of(&pools, &["name", "disks", "used", "tags"]),
        of(&replicas, &["uuid", "name", "pool", "size", "layout", "tags"])
    ])
}
