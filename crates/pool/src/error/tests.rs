//! What all messages keep: nothing commands a terminal, and nothing shows Rust's own form of lists and options.

use std::path::{Path, PathBuf};

use super::*;

/// Text of other people's metadata, of a file's name, of an answer from the network.
const HOSTILE: &str = "x\u{1b}[2J\n\u{9b}y";

fn text() -> String {
    HOSTILE.into()
}

fn disk(why: DiskProblem) -> Error {
    Error::Disk {
        disk: text().into(),
        why,
    }
}

fn refused(why: Refusal) -> Error {
    Error::Refused { vg: text(), why }
}

fn of_disks() -> Vec<Error> {
    let obstacle = Obstacle {
        what: text(),
        why: text(),
        help: text(),
        lacks_space: true,
    };
    vec![
        Error::DisksMismatch {
            pool: text(),
            disks: 2,
            missing: vec![text(), text()],
            others: vec![text().into(), "b".into()],
        },
        Error::DiskStays {
            disk: text().into(),
            pool: text(),
            in_the_way: vec![obstacle.clone(), obstacle],
        },
        Error::MoveUnderWay {
            pool: text(),
            lv: text(),
            disk: Some(text()),
        },
        Error::MoveUnderWay {
            pool: text(),
            lv: text(),
            disk: None,
        },
        Error::MoveFailed {
            disk: text(),
            why: text(),
        },
        Error::MissingDisk {
            replica: text(),
            pv: "id".into(),
        },
        disk(DiskProblem::InVg(text())),
        disk(DiskProblem::InUse(vec![text(), text()])),
        disk(DiskProblem::TooSmall { size: 1, needed: 2 }),
        disk(DiskProblem::NotInPool(text())),
        disk(DiskProblem::OtherPv(text())),
        disk(DiskProblem::Excluded(text())),
        refused(Refusal::Foreign {
            owner: text(),
            ours: None,
        }),
        refused(Refusal::Foreign {
            owner: text(),
            ours: Some(text()),
        }),
        refused(Refusal::Metadata {
            kind: "Unsupported",
            text: text(),
        }),
        refused(Refusal::Ambiguous(text())),
        refused(Refusal::NotActivated(text())),
        refused(Refusal::ReadOnlyDisk(text().into())),
    ]
}

fn of_others() -> Vec<Error> {
    vec![
        Error::PoolNotFound(text()),
        Error::ReplicaNotFound(text()),
        Error::LvNotFound(text()),
        Error::AmbiguousName {
            name: text(),
            count: 2,
        },
        Error::Exists {
            what: "pool",
            id: text(),
        },
        Error::InvalidArgument {
            what: "size",
            given: text(),
            why: text(),
        },
        Error::NoSpace {
            pool: text(),
            needed: 1,
            free: 0,
            detail: text(),
        },
        Error::Partly {
            done: vec![text(), text()],
            source: Box::new(Error::NoMirrorTarget),
        },
        Error::Busy {
            replica: text(),
            device: text(),
            open_count: 1,
        },
        Error::ForeignLvs {
            pool: text(),
            lvs: vec![text(), text()],
        },
        Error::BadBackup {
            vg: text(),
            why: text(),
        },
        Error::ActiveLvs {
            vg: text(),
            devices: vec![text(); 22],
        },
        Error::NeedsForce {
            vg: text(),
            what: text(),
        },
        Error::HasSnapshots {
            replica: text(),
            what: "destroyed",
            snapshots: vec![text(), text()],
        },
        Error::ArrayState {
            replica: text(),
            state: text(),
        },
        Error::ScrubFailed {
            replica: text(),
            why: text(),
        },
        Error::ShareFailed {
            what: text(),
            source: std::io::ErrorKind::Other.into(),
        },
        Error::Unsupported(text()),
        Error::ArrayLost(text()),
        Error::SnapshotLost(text()),
        Error::Io {
            what: "open",
            path: text().into(),
            source: std::io::ErrorKind::Other.into(),
        },
    ]
}

#[test]
fn no_message_commands_a_terminal_or_shows_a_list_as_rust_does() {
    for error in of_disks().into_iter().chain(of_others()) {
        let shown = error.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        for form in ["None", "Some(", "[\"", "{ "] {
            assert!(!shown.contains(form), "{shown}");
        }
    }
}

#[test]
fn many_devices_are_told_by_the_first_and_their_number() {
    let devices = (0..22).map(|n| format!("p-{n}")).collect();
    let error = Error::ActiveLvs {
        vg: "p".into(),
        devices,
    };
    assert!(
        error.to_string().ends_with("p-0, p-1, p-2, p-3 and 18 more"),
        "{error}"
    );
}

/// What is shown by Rust's `{:?}` in the messages of errors are names, paths and other text, never lists or options.
const QUOTED: [&str; 22] = [
    "0",
    "bad",
    "by",
    "device",
    "disk",
    "given",
    "id",
    "kind",
    "lv",
    "name",
    "other",
    "owner",
    "params",
    "path",
    "pattern",
    "pool",
    "replica",
    "segment_type",
    "text",
    "type_name",
    "vg",
    "word",
];

#[test]
fn messages_quote_names_and_paths_alone() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<PathBuf> = ["lvm-meta/src", "dm/src", "pool/src"]
        .map(|folder| crates.join(folder))
        .into();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            for attribute in source.split("#[error(").skip(1) {
                let text = attribute.split(")]").next().unwrap_or_default();
                let mut parts: Vec<&str> = text.split(":?}").collect();
                parts.pop();
                for before in parts {
                    let field = before.rsplit('{').next().unwrap_or_default();
                    assert!(
                        QUOTED.contains(&field),
                        "{}: {{{field}:?}} in {text}",
                        path.display()
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 50, "{seen}");
}
