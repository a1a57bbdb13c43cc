//! What no LVM wrote: `inspect` gives the reason and the byte, and never panics, hangs, or commands a terminal.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common;
use crate::fixtures::{DISK, Fixture, inspect};
use crate::image::{Image, LABEL, MDA};

/// A folder with one changed image in it.
struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("disk"), bytes).unwrap();
        Self { dir }
    }

    fn changed(change: impl FnOnce(&mut Image)) -> Self {
        let fixture = Fixture::new("linear-striped");
        let mut image = Image::read(&fixture.path("ram0"));
        change(&mut image);
        let case = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        image.write(&case.dir.path().join("disk"), DISK);
        case
    }

    /// Both outputs refuse the image for this reason, at this byte.
    #[track_caller]
    fn is_refused(&self, kind: &str, errno: &str, byte: Option<usize>, reason: &str) {
        let output = inspect(self.dir.path(), &[], &["disk"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.starts_with("error: disk: ") && told.contains(reason),
            "{told}"
        );
        assert!(byte.is_none_or(|byte| told.contains(&byte.to_string())), "{told}");

        let output = inspect(self.dir.path(), &["--json"], &["disk"]);
        assert_eq!((output.status.code(), &*output.stderr), (Some(1), &b""[..]));
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let json: Value = serde_json::from_str(&lines).unwrap();
        let error = &json["error"];
        assert_eq!(
            (&error["kind"], &error["errno"]),
            (&kind.into(), &errno.into()),
            "{lines}"
        );
        assert_eq!(error["byte"], byte.map_or(Value::Null, Value::from), "{lines}");
        assert!(error["message"].as_str().unwrap().contains(reason), "{lines}");
    }
}

#[test]
fn a_label_with_a_wrong_checksum_is_told_with_its_byte() {
    Case::changed(|image| image.bytes[LABEL + 40] ^= 1).is_refused(
        "Corrupt",
        "EILSEQ",
        Some(LABEL + 16),
        "checksum",
    );
}

#[test]
fn a_label_of_another_sector_is_told_with_its_byte() {
    let case = Case::changed(|image| {
        image.bytes[LABEL + 8] = 3;
        image.mend_label();
    });
    case.is_refused("Corrupt", "EILSEQ", Some(LABEL + 8), "sector is 3");
}

#[test]
fn a_pv_id_of_other_characters_is_told_with_its_byte() {
    let case = Case::changed(|image| {
        image.bytes[LABEL + 32] = b'/';
        image.mend_label();
    });
    case.is_refused("Corrupt", "EILSEQ", Some(LABEL + 32), "illegal character");
}

#[test]
fn a_metadata_area_with_a_wrong_checksum_is_told_with_its_byte() {
    Case::changed(|image| image.bytes[MDA + 100] ^= 1).is_refused("Corrupt", "EILSEQ", Some(MDA), "checksum");
}

#[test]
fn a_metadata_area_that_says_it_is_elsewhere_is_told_with_its_byte() {
    let case = Case::changed(|image| {
        image.bytes[MDA + 24] = 0;
        image.bytes[MDA + 25] = 0x20;
        image.mend_mda();
    });
    case.is_refused(
        "Corrupt",
        "EILSEQ",
        Some(MDA + 24),
        "start is 8192, expected 4096",
    );
}

#[test]
fn a_metadata_area_larger_than_its_place_is_told_with_its_byte() {
    let huge = (1u64 << 62).to_le_bytes();
    let beyond_the_label = |image: &mut Image| {
        image.bytes[MDA + 32..MDA + 40].copy_from_slice(&huge);
        image.mend_mda();
    };
    Case::changed(beyond_the_label).is_refused("Corrupt", "EILSEQ", Some(MDA), "area size");
    // The label's list of metadata areas follows its list of the one data area.
    let beyond_the_device = |image: &mut Image| {
        image.bytes[LABEL + 112..LABEL + 120].copy_from_slice(&huge);
        image.mend_label();
        beyond_the_label(image);
    };
    Case::changed(beyond_the_device).is_refused("Corrupt", "EILSEQ", Some(MDA), "area end");
}

#[test]
fn a_text_outside_its_area_is_told_with_its_byte() {
    for (field, at, value) in [
        ("text offset", 40, 1u64 << 40),
        ("text size", 48, u64::MAX),
        ("text size", 48, 0),
    ] {
        let case = Case::changed(|image| {
            image.bytes[MDA + at..MDA + at + 8].copy_from_slice(&value.to_le_bytes());
            image.mend_mda();
        });
        case.is_refused("Corrupt", "EILSEQ", Some(MDA + at), field);
    }
}

#[test]
fn a_text_with_a_wrong_checksum_is_told_with_its_byte() {
    let mut at = 0;
    let case = Case::changed(|image| {
        at = image.text_at();
        image.bytes[at + 50] ^= 1;
    });
    case.is_refused("Corrupt", "EILSEQ", Some(at), "metadata text");
}

#[test]
fn impossible_values_are_told_with_their_byte_on_the_device() {
    for (old, new, reason) in [
        ("pe_count = 63", "pe_count = -1", "pe_count"),
        ("extent_size = 8192", "extent_size = 0", "extent_size"),
        ("segment_count = 2", "segment_count = 9", "segment_count"),
        ("extent_count = 3", "extent_count = 99999999999", "extent_count"),
    ] {
        let mut near = 0;
        let case = Case::changed(|image| near = image.replace(old, new));
        let output = inspect(case.dir.path(), &["--json"], &["disk"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let byte = json["error"]["byte"].as_u64().unwrap() as usize;
        case.is_refused("Corrupt", "EILSEQ", Some(byte), reason);
        assert!(
            byte.abs_diff(near) < 1000,
            "{new}: byte {byte}, the change is at {near}"
        );
    }
}

#[test]
fn a_device_without_a_label_is_told() {
    let noise: Vec<u8> = (0..100_000u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8)
        .collect();
    let mut labelled = noise.clone();
    labelled[512..520].copy_from_slice(b"LABELONE");
    for (bytes, reason) in [
        (&noise[..], "no PV label"),
        (&[], "it has 0 bytes"),
        (&noise[..700], "it has 700 bytes"),
    ] {
        Case::new(bytes).is_refused("NotAPv", "EILSEQ", Some(0), reason);
    }
    Case::new(&labelled).is_refused("Corrupt", "EILSEQ", Some(LABEL + 8), "corrupt label");
}

#[test]
fn what_is_no_device_or_image_is_told_without_opening_it() {
    let case = Case::new(&[]);
    let disk = case.dir.path().join("disk");
    fs::remove_file(&disk).unwrap();
    case.is_refused("DiskNotFound", "ENOENT", None, "No such file");
    nix::unistd::mkfifo(&disk, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    case.is_refused(
        "InvalidDisk",
        "ENOTBLK",
        None,
        "neither a block device nor an image",
    );
    fs::remove_file(&disk).unwrap();
    symlink("/dev/zero", &disk).unwrap();
    case.is_refused(
        "InvalidDisk",
        "ENOTBLK",
        None,
        "neither a block device nor an image",
    );
    fs::remove_file(&disk).unwrap();
    fs::create_dir(&disk).unwrap();
    case.is_refused(
        "InvalidDisk",
        "EISDIR",
        None,
        "neither a block device nor an image",
    );
    fs::remove_dir(&disk).unwrap();
    symlink("disk", &disk).unwrap();
    case.is_refused("Io", "ELOOP", None, "symbolic link");
}

#[test]
fn an_image_cut_anywhere_is_refused_or_shown_and_never_a_panic() {
    let fixture = Fixture::new("linear-striped");
    let whole = Image::read(&fixture.path("ram0")).bytes;
    let mut sizes: Vec<usize> = (0..20).map(|power| 1usize << power).collect();
    sizes.extend([
        511, 513, 543, 1023, 2047, 2049, 4095, 4097, 4607, 4609, 5000, 12_345, 1_048_575,
    ]);
    for size in sizes {
        let case = Case::new(&whole[..size]);
        let output = inspect(case.dir.path(), &["--json"], &["disk"]);
        assert_eq!(output.status.code(), Some(1), "{size} bytes");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json["error"]["byte"].is_u64(), "{size} bytes: {json}");
    }
}

#[test]
fn changed_bytes_are_refused_or_shown_and_never_a_panic() {
    let fixture = Fixture::new("thin");
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for round in 0..200 {
        let mut image = Image::read(&fixture.path("ram0"));
        let (text_at, length) = (image.text_at(), image.text().len());
        let slot = |image: &Image| image.bytes[MDA + 40..MDA + 60].to_vec();
        let before = slot(&image);
        for _ in 0..=next(3) {
            let at = match next(3) {
                0 => LABEL + next(200),
                1 => MDA + next(100),
                _ => text_at + next(length),
            };
            image.bytes[at] = next(256) as u8;
        }
        // Checksums keep hostile bytes out; whoever writes them can make them good.
        image.mend_label();
        if slot(&image) == before {
            let text = image.text().to_vec();
            image.set_text(&text);
        }
        image.mend_mda();
        let case = Case {
            dir: tempfile::tempdir().unwrap(),
        };
        image.write(&case.dir.path().join("disk"), DISK);
        for options in [&["--json"][..], &["--check"]] {
            let output = inspect(case.dir.path(), options, &["disk"]);
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1)),
                "round {round}: {code:?} {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn control_characters_of_a_tag_do_not_reach_the_terminal() {
    let case = Case::changed(|image| {
        image.replace("\"mayastor\"", "\"m\u{1b}[2J\u{7}x\"");
    });
    let output = inspect(case.dir.path(), &[], &["disk"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(r"m\u{1b}[2J\u{7}x"), "{told}");
    assert!(!told.contains(['\u{1b}', '\u{7}']), "{told}");
    // The text is asked for as it is on disk.
    assert!(
        inspect(case.dir.path(), &["--text"], &["disk"])
            .stdout
            .contains(&0x1b)
    );
}

#[test]
fn one_broken_image_does_not_hide_the_others() {
    let fixture = Fixture::new("thin");
    fs::write(fixture.path("noise"), [7; 5000]).unwrap();
    let mut names = fixture.names.clone();
    names.insert(0, "noise".into());
    let output = fixture.inspect(&["--json"], &names);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut shown = json.as_array().unwrap().clone();
    let unnamed = shown.pop().unwrap();
    assert_eq!(Value::Array(shown), fixture.json());
    assert_eq!(
        (&unnamed["name"], &unnamed["pvs"]),
        (&Value::Null, &serde_json::json!([]))
    );
    let problem = &unnamed["problems"][0];
    assert_eq!(
        (&problem["severity"], &problem["path"], &problem["kind"]),
        (&"error".into(), &"noise".into(), &"NotAPv".into())
    );
    let output = fixture.inspect(&[], &names);
    assert_eq!(output.stdout, fixture.inspect(&[], &fixture.names).stdout);
    assert!(output.stderr.starts_with(b"error: noise: "));
}

#[test]
fn a_missing_disk_is_an_error_of_the_check_alone() {
    let fixture = Fixture::new("thin");
    let names = &fixture.names[1..];
    assert_eq!(fixture.inspect(&["--check"], names).status.code(), Some(1));
    let output = fixture.inspect(&["--json"], names);
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let vg = &json[0];
    assert_eq!(
        (&vg["pvs"][0]["missing"], &vg["pvs"][0]["path"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(vg["writable"], false);
    assert!(vg["refusal"].as_str().unwrap().ends_with("is missing"));
    assert_eq!(vg["problems"][0]["severity"], "error");
}

#[test]
fn an_old_copy_and_a_shrunken_device_are_warnings() {
    let fixture = Fixture::new("thin");
    let mut image = Image::read(&fixture.path("ram1"));
    image.replace("seqno = 12", "seqno = 11");
    image.write(&fixture.path("ram1"), DISK - 1024);
    let output = fixture.inspect(&["--json", "--check"], &fixture.names);
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mda = &json[0]["pvs"][1]["mdas"][0];
    assert_eq!((&mda["state"], &mda["seqno"]), (&"old".into(), &11.into()));
    let problems = json[0]["problems"].as_array().unwrap();
    let told: Vec<&str> = problems
        .iter()
        .map(|problem| problem["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "an old copy of the metadata, sequence number 11",
            "PV WvUml7-Tlow-DTpC-NPwe-R1Wb-1iPu-s53tWF had a device of 268435456 bytes; it has 268434432 now"
        ]
    );
    assert!(problems.iter().all(|problem| problem["severity"] == "warning"));
}

/// The problems of one image that is refused no more than with a word.
#[track_caller]
fn problems(case: &Case) -> Vec<(String, String)> {
    let output = inspect(case.dir.path(), &["--json"], &["disk"]);
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |problem: &Value, field: &str| problem[field].as_str().unwrap().to_owned();
    let list = json[0]["problems"].as_array().unwrap();
    list.iter()
        .map(|problem| (word(problem, "severity"), word(problem, "what")))
        .collect()
}

#[test]
fn areas_that_lie_on_extents_are_errors_and_lesser_oddities_warnings() {
    let cases: [(&str, &str, Case); 3] = [
        (
            "error",
            "lies on extents",
            Case::changed(|image| {
                image.replace("pe_start = 2048", "pe_start = 1024");
            }),
        ),
        (
            "warning",
            "a change was cut",
            Case::changed(|image| {
                image.bytes[MDA + 65] = 2;
                image.mend_mda();
            }),
        ),
        (
            "warning",
            "the label 2093056",
            Case::changed(|image| {
                image.bytes[LABEL + 114] += 0x10;
                image.mend_label();
            }),
        ),
    ];
    for (severity, words, case) in cases {
        let found = problems(&case);
        assert!(
            found
                .iter()
                .any(|(found, what)| found == severity && what.contains(words)),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn copies_of_one_age_that_differ_forbid_every_change() {
    let fixture = Fixture::new("thin");
    let mut image = Image::read(&fixture.path("ram1"));
    image.replace("a=b", "a=c");
    image.write(&fixture.path("ram1"), DISK);
    let output = fixture.inspect(&["--json", "--check"], &fixture.names);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[0]["writable"], false);
    assert_eq!(json[0]["pvs"][1]["mdas"][0]["state"], "bad");
}

#[test]
fn a_field_that_lvm_would_refuse_is_an_error_and_is_shown_with_its_segment() {
    let fixture = Fixture::new("thin");
    for name in &fixture.names {
        let mut image = Image::read(&fixture.path(name));
        if image.text().is_empty() {
            continue;
        }
        image.replace("device_id = 1\n", "device_id = 16777216\n");
        image.write(&fixture.path(name), DISK);
    }
    let output = fixture.inspect(&["--json", "--check"], &fixture.names);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = &json[0]["problems"][0];
    assert_eq!(problem["severity"], "error");
    let place = problem["where"].as_str().unwrap();
    assert!(place.ends_with(", segment at extent 0"), "{place}");
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains("device_id") && what.ends_with("(fields)"), "{what}");
}

#[test]
fn a_disk_given_twice_counts_once() {
    let fixture = Fixture::new("thin");
    symlink(fixture.path("ram0"), fixture.path("alias")).unwrap();
    let mut names = fixture.names.clone();
    names.extend(["ram0".into(), "alias".into()]);
    assert_eq!(
        fixture.inspect(&["--json"], &names).stdout,
        fixture.inspect(&["--json"], &fixture.names).stdout
    );
}

#[test]
fn a_copied_disk_is_a_duplicate() {
    let fixture = Fixture::new("thin");
    Image::read(&fixture.path("ram0")).write(&fixture.path("copy"), DISK);
    let mut names = fixture.names.clone();
    names.push("copy".into());
    let output = fixture.inspect(&["--check"], &names);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("is on more than one device")
    );
}

#[test]
fn a_reader_that_stops_is_no_error() {
    let fixture = Fixture::new("thin");
    let mut child = Command::new(common::example("inspect"))
        .arg(fixture.path("ram0"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

#[test]
fn wrong_usage_is_exit_2() {
    let dir = tempfile::tempdir().unwrap();
    for options in [&[][..], &["--bogus", "disk"], &["--svg"]] {
        assert_eq!(
            inspect(dir.path(), options, &[] as &[&str]).status.code(),
            Some(2),
            "{options:?}"
        );
    }
}
