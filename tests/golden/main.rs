//! What `inspect` says about PVs that the real LVM2 wrote, and about what no LVM would write.
//!
//! The expected files in `expected/` are rewritten by `UPDATE_GOLDEN=1 cargo test --test golden`; the diff is for review.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../common/mod.rs"]
mod common;
mod cross_check;
mod fixtures;
mod hostile;
mod image;

use std::fs;
use std::path::Path;

use fixtures::{FOLDERS, Fixture};

#[track_caller]
fn check_golden(folder: &str, extension: &str, found: &[u8]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/expected");
    let path = dir.join(format!("{folder}.{extension}"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (found, expected) = (String::from_utf8_lossy(found), String::from_utf8_lossy(&expected));
    let differing = found
        .lines()
        .zip(expected.lines())
        .find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{folder}.{extension}: found and expected differ first in {differing:?}"
    );
}

#[test]
fn people_are_told_what_lvm_wrote() {
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let output = fixture.inspect(&[], &fixture.names);
        assert_eq!(
            (output.status.code(), &*output.stderr),
            (Some(0), &b""[..]),
            "{folder}"
        );
        check_golden(folder, "txt", &output.stdout);
    }
}

#[test]
fn programs_are_told_what_lvm_wrote() {
    for folder in FOLDERS {
        let json = Fixture::new(folder).json();
        check_golden(folder, "json", format!("{json:#}\n").as_bytes());
    }
}

#[test]
fn the_text_is_the_one_on_disk_byte_for_byte() {
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let output = fixture.inspect(&["--text"], &fixture.names);
        assert_eq!(output.status.code(), Some(0), "{folder}");
        check_golden(folder, "text", &output.stdout);
        let image = image::Image::read(&fixture.path("ram0"));
        assert_eq!(image.text(), [&*output.stdout, b"\0"].concat(), "{folder}");
    }
}

#[test]
fn the_text_goes_into_json_on_request() {
    let fixture = Fixture::new("thin");
    let text = fixture.inspect(&["--text"], &fixture.names).stdout;
    let json = fixture.inspect(&["--json", "--text"], &fixture.names).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json[0]["text"].as_str().unwrap().as_bytes(), text);
}

#[test]
fn a_sound_vg_passes_the_check_and_a_lost_area_fails_it() {
    let sound = Fixture::new("thin");
    assert_eq!(sound.inspect(&["--check"], &sound.names).status.code(), Some(0));
    // The fixture holds the first mebibyte of each PV, so the second area at the end of the device is lost.
    let lossy = Fixture::new("two-mdas");
    assert_eq!(lossy.inspect(&[], &lossy.names).status.code(), Some(0));
    assert_eq!(lossy.inspect(&["--check"], &lossy.names).status.code(), Some(1));
}

#[test]
fn a_picture_has_each_extent_once_and_names_each_lv() {
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let output = fixture.inspect(&["--svg", "out.svg"], &fixture.names);
        assert_eq!(output.status.code(), Some(0), "{folder}");
        let svg = fs::read(fixture.path("out.svg")).unwrap();
        check_golden(folder, "svg", &svg);
        // What is pointed at tells extents: together they are those that are not free.
        let json = fixture.json();
        let drawn: u64 = String::from_utf8(svg)
            .unwrap()
            .split("<title>")
            .skip(1)
            .map(|title| {
                let said = title.split("</title>").next().unwrap();
                let (_, range) = said.rsplit_once(": extents ").unwrap();
                let (first, rest) = range.split_once(" to ").unwrap();
                let last = rest.split_once(',').unwrap().0;
                1 + last.parse::<u64>().unwrap() - first.parse::<u64>().unwrap()
            })
            .sum();
        let used = json[0]["extent_count"].as_u64().unwrap() - json[0]["free_extents"].as_u64().unwrap();
        assert_eq!(drawn, used, "{folder}");
    }
}

#[test]
fn a_picture_is_never_drawn_over_a_pv() {
    let fixture = Fixture::new("thin");
    let before = image::Image::read(&fixture.path("ram0")).bytes;
    for file in ["ram0", "./ram0", "/dev/null", "no/folder"] {
        let output = fixture.inspect(&["--svg", file], &fixture.names);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(
            String::from_utf8_lossy(&output.stderr).starts_with("error: "),
            "{file}"
        );
    }
    assert!(image::Image::read(&fixture.path("ram0")).bytes == before);
}

#[test]
fn an_image_is_the_same_after_inspect() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new("thin");
    let state = || {
        let of = |name: &String| {
            let path = fixture.path(name);
            let metadata = fs::metadata(&path).unwrap();
            let time = (
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            );
            // Beyond the head the images are holes: a write there would take blocks.
            (
                image::Image::read(&path).bytes,
                metadata.len(),
                metadata.blocks(),
                time,
            )
        };
        fixture.names.iter().map(of).collect::<Vec<_>>()
    };
    let before = state();
    for options in [&["--json"][..], &["--text"], &["--check"], &[]] {
        fixture.inspect(options, &fixture.names);
    }
    assert!(state() == before);
}
