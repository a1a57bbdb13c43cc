//! The seeds and old finds of the fuzz targets, through the targets' own functions.

use std::path::PathBuf;

#[expect(unreachable_pub, reason = "the fuzz targets are its users")]
#[path = "../../../../fuzz/src/metadata.rs"]
mod metadata;
#[expect(unreachable_pub, reason = "the fuzz targets are its users")]
#[path = "../../../../fuzz/src/vg_ops.rs"]
mod vg_ops;

/// Runs a target on each file of its corpus.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 1, "{}", folder.display());
    for file in files {
        // The name is shown with a panic only.
        println!("{}", file.display());
        run(&std::fs::read(file).unwrap());
    }
}

#[test]
fn label() {
    replay("label", metadata::label);
}

#[test]
fn mda_header() {
    replay("mda_header", metadata::mda_header);
}

#[test]
fn text() {
    replay("text", metadata::text);
}

#[test]
fn round_trip() {
    replay("round_trip", metadata::round_trip);
}

#[test]
fn vg_ops() {
    replay("vg_ops", vg_ops::vg_ops);
}
