//! LVs that stand as LVM prints them are read by a short cut: it must read what the general reader reads.

use lvm_meta::{Vg, check};
use proptest::prelude::*;

use crate::support::provenance;
use crate::texts::{linear, part, shown, vg};

/// LVs that the short cut reads, with all that it knows.
fn text() -> String {
    let striped = |first: u32| {
        format!(
            "type = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\nstripes = [\n\"pv0\", {first},\n\"pv0\", {}\n]",
            first + 50
        )
    };
    let lvs = [
        shown("data", 8, &linear(0, 0)).and(4, &linear(0, 20)),
        shown("0c3e7a4e-7a3f", 8, &striped(100)),
        part("below_rimage_0", 0, 40, 8),
        shown("locked", 4, &linear(0, 60))
            .status("\"READ\", \"VISIBLE\"")
            .flags("\"WRITE_LOCKED\""),
    ];
    let tags =
        "flags = []\ntags = [\"mayastor\", \"a=b\"]\ncreation_time = 1700000000\ncreation_host = \"n1\"";
    let (head, volumes) = vg(&lvs)
        .split_once("logical_volumes {")
        .map(|(head, rest)| (head.to_owned(), rest.to_owned()))
        .unwrap();
    format!(
        "{head}logical_volumes {{{}",
        volumes.replacen("flags = []", tags, 2)
    )
}

/// Reads a text in both ways: where the keys of PVs are none that LVM gives, the short cut is not taken.
#[track_caller]
fn check_both(text: &str) -> bool {
    let both = [text.to_owned(), text.replace("pv0", "px0")].map(|text| Vg::parse(text.as_bytes()));
    match &both {
        [Ok(short), Ok(general)] => {
            // What is kept as text keeps the keys, too.
            let printed = [short, general].map(|vg| String::from_utf8(vg.print_raw(&provenance())).unwrap());
            assert_eq!(printed[0], printed[1].replace("px0", "pv0"), "{text}");
            assert_eq!(short.refusal(), general.refusal(), "{text}");
            true
        }
        [Err(short), Err(general)] => {
            assert_eq!(
                short.to_string(),
                general.to_string().replace("px0", "pv0"),
                "{text}"
            );
            false
        }
        [short, general] => panic!("{short:?}\n{general:?}\n{text}"),
    }
}

#[test]
fn the_short_cut_reads_what_the_general_reader_reads() {
    let text = text();
    assert!(check_both(&text));
    let vg = Vg::parse(text.as_bytes()).unwrap();
    assert_eq!(check(&vg), []);
    let tags: Vec<usize> = vg.lvs().map(|lv| lv.tags().count()).collect();
    assert_eq!(tags, [2, 2, 0, 0]);
    assert!(vg.lv("locked").unwrap().is_writable());
}

#[test]
fn what_the_rules_forbid_is_refused_as_by_the_general_reader() {
    for (from, to) in [
        ("data {", "-data {"),
        ("data {", "pvdata {"),
        ("data {", "locked {"),
        ("segment_count = 2", "segment_count = 3"),
        ("start_extent = 8", "start_extent = 9"),
        ("extent_count = 8", "extent_count = 0"),
        ("extent_count = 8", "extent_count = 7"),
        ("extent_count = 8", "extent_count = 08"),
        ("extent_count = 8", "extent_count = 4294967295"),
        ("\"pv0\", 0", "\"pv0\", 993"),
        ("\"pv0\", 0", "\"pv0\", 4294967295"),
        ("\"pv0\", 0", "\"pv1\", 0"),
        ("\"pv0\", 0", "\"data\", 0"),
        ("\"pv0\", 20", "\"pv0\", 7"),
        ("stripe_count = 2", "stripe_count = 129"),
        ("stripe_count = 2", "stripe_count = 1"),
        ("stripe_size = 128\n", ""),
        ("\"a=b\"", "\"mayastor\""),
        (
            "\"a=b\"",
            "\"\", \"\\\\\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\"",
        ),
        ("tags = [\"mayastor\", \"a=b\"]", "tags = []"),
        ("creation_host = \"n1\"\n", ""),
        (
            "creation_time = 1700000000",
            "creation_time = 9999999999999999999",
        ),
        ("\"VISIBLE\"", "\"VISIBLE\", \"NEW\""),
        ("flags = []", "flags = [\"NEW\"]"),
        ("type = \"striped\"", "type = \"linear\""),
    ] {
        let changed = text().replacen(from, to, 1);
        assert_ne!(changed, text(), "{from}");
        check_both(&changed);
    }
}

proptest! {
    #[test]
    fn a_text_that_is_changed_anywhere_reads_alike_in_both_ways(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[ \n\t{}=,#\"\\\\\\[\\]0-9a-zA-Z_-]?"), 1..4)
    ) {
        let mut text = text();
        let from = text.find("logical_volumes").unwrap();
        for (at, byte) in changes {
            let at = from + at.index(text.len() - from);
            text.replace_range(at..=at, &byte);
        }
        check_both(&text);
    }

    #[test]
    fn lines_that_come_twice_or_not_at_all_read_alike_in_both_ways(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..4)
    ) {
        let text = text();
        let mut lines: Vec<&str> = text.lines().collect();
        let from = lines.iter().position(|line| line.starts_with("logical_volumes")).unwrap();
        for (at, twice) in changes {
            let at = from + at.index(lines.len() - from);
            match twice {
                true => lines.insert(at, lines[at]),
                false => drop(lines.remove(at)),
            }
        }
        check_both(&lines.join("\n"));
    }
}
