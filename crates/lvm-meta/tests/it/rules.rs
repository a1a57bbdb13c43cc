//! The rules by which a VG's text is read: what is optional, what is kept, what is refused.

use lvm_meta::{CorruptKind, Error, PvFlags, Refusal, TextProblem, Vg, VgStatus, check};

use crate::support::provenance;
use crate::texts::{linear, shown, vg, with_head};

fn text() -> String {
    vg(&[shown("data", 8, &linear(0, 0))])
}

#[track_caller]
fn parse(text: &str) -> Vg {
    Vg::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn print(vg: &Vg) -> String {
    String::from_utf8(vg.print_raw(&provenance())).unwrap()
}

/// The problem of [`text`] with one thing in it replaced.
#[track_caller]
fn problem(from: &str, to: &str) -> TextProblem {
    let text = text();
    assert!(text.contains(from), "{from}");
    match Vg::parse(text.replacen(from, to, 1).as_bytes()) {
        Err(Error::Corrupt {
            kind: CorruptKind::Text(problem),
            ..
        }) => problem,
        other => panic!("{to}: {other:?}"),
    }
}

#[test]
fn unknown_keys_and_sections_anywhere_survive_a_rewrite() {
    let text = text()
        .replacen("metadata_copies = 0\n", "metadata_copies = 0\nnew_key = \"a \\\"b\\\" \\\\\"\nnew {\nlist = [1, \"x\", 2.5]\nempty = []\ndeep {\n}\n}\n", 1)
        .replacen("pe_count = 1000\n", "pe_count = 1000\npv_future = -7\npv_section {\na = \"1\"\n}\n", 1)
        .replacen("segment_count = 1\n", "lv_future = [\"x\"]\nsegment_count = 1\n", 1)
        .replacen("stripe_count = 1\n", "stripe_count = 1\nstripe_future = 3\nsub {\nk = 1\n}\n", 1);
    let mut vg = parse(&text);
    assert_eq!(vg.refusal(), None);
    assert_eq!(print(&vg), text);
    // They survive a change of what they stand in, too.
    assert!(vg.set_lv_tags("data", &["a"]).unwrap());
    let changed = text.replacen(
        "flags = []\nlv_future",
        "flags = []\ntags = [\"a\"]\nlv_future",
        1,
    );
    assert_eq!(print(&vg), changed);
}

#[test]
fn words_of_status_that_nobody_knows_refuse_changes_and_those_of_flags_do_not() {
    for (at, owner) in [
        ("\"RESIZEABLE\"", "VG"),
        ("\"ALLOCATABLE\"", "pv0"),
        ("\"VISIBLE\"", "data"),
    ] {
        let changed = text().replacen(at, &format!("{at}, \"FUTURE\""), 1);
        let vg = parse(&changed);
        let (owner, word) = (owner.to_owned(), "FUTURE".to_owned());
        assert_eq!(vg.refusal(), Some(Refusal::UnknownStatus { owner, word }));
        assert_eq!(print(&vg).len(), changed.len());
    }
    let changed = text().replace("flags = []", "flags = [\"FUTURE\"]");
    let vg = parse(&changed);
    assert_eq!((vg.refusal(), print(&vg)), (None, changed));
}

#[test]
fn of_two_equal_keys_or_sections_the_first_one_counts() {
    let plain = parse(&text());
    for (from, to) in [
        ("seqno = 7\n", "seqno = 7\nseqno = 9\n"),
        (
            "flags = []\nextent_size",
            "flags = []\nflags = [\"NOAUTOACTIVATE\", \"X\"]\nextent_size",
        ),
        (
            "\"WRITE\"]\nflags = []\next",
            "\"WRITE\"]\nstatus = [\"EXPORTED\", \"X\"]\nflags = []\next",
        ),
        (
            "flags = []\ndev_size",
            "flags = []\nflags = [\"MISSING\", \"X\"]\ndev_size",
        ),
        (
            "[\"ALLOCATABLE\"]\n",
            "[\"ALLOCATABLE\"]\nstatus = [\"MISSING\", \"X\"]\n",
        ),
        (
            "flags = []\nsegment_count",
            "flags = []\nflags = [\"ACTIVATION_SKIP\", \"X\"]\nsegment_count",
        ),
        (
            "\"VISIBLE\"]\n",
            "\"VISIBLE\"]\nstatus = [\"READ\", \"CACHE_VOL\", \"X\"]\n",
        ),
        ("extent_count = 8\n", "extent_count = 8\nextent_count = 9\n"),
        ("stripe_count = 1\n", "stripe_count = 1\nstripe_count = 2\n"),
        (
            "\n}\n# Gen",
            "physical_volumes {\n}\nlogical_volumes {\n}\n}\n# Gen",
        ),
        ("contents", "vg1 {\nid = 5\n}\ncontents"),
        ("version = 1\n", "version = 1\nversion = 2\n"),
    ] {
        let changed = text().replacen(from, to, 1);
        assert_ne!(changed, text(), "{from}");
        assert_eq!(parse(&changed), plain, "{to}");
    }
}

#[test]
fn comments_commas_scalars_and_line_ends_are_free() {
    let plain = parse(&text());
    for (from, to) in [
        ("seqno = 7\n", "# c\nseqno=7 # {\n"),
        ("seqno = 7\n", "seqno = 07\n"),
        ("seqno = 7\n", "seqno = +7 "),
        (
            "\"READ\", \"WRITE\"]\nflags = []\next",
            "\"READ\" \"WRITE\", # c\n]\nflags = []\next",
        ),
        ("status = [\"ALLOCATABLE\"]", "status = \"ALLOCATABLE\""),
        ("\n\n", "\r\n\r\n"),
        ("vg0 {", "\"vg0\" {"),
        ("\"pv0\", 0\n", "'pv0', 0,\n"),
    ] {
        let changed = text().replacen(from, to, 1);
        assert_ne!(changed, text(), "{from}");
        let vg = parse(&changed);
        assert_eq!((&vg, print(&vg)), (&plain, text()), "{to}");
    }
}

#[test]
fn the_order_of_sections_does_not_matter() {
    let (text, plain) = (text(), parse(&text()));
    let from = text.find("physical_volumes").unwrap();
    let between = text.find("logical_volumes").unwrap();
    let end = text.find("\n}\n# Gen").unwrap();
    let swapped = [
        &text[..from],
        &text[between..end],
        &text[from..between],
        &text[end..],
    ]
    .concat();
    assert_ne!(swapped, text);
    assert_eq!(print(&parse(&swapped)), print(&plain));
    let front = text.find("# Generated").unwrap();
    let file = [&text[front..text.len() - 1], &text[..front]].concat();
    assert_eq!(parse(&file), plain);
}

#[test]
fn numbers_outside_their_field_are_refused_and_never_cut() {
    let long = "4294967303";
    for (from, to) in [
        ("seqno = 7", "seqno = 4294967303"),
        ("seqno = 7", "seqno = -1"),
        ("extent_size = 8192", "extent_size = 0"),
        ("extent_size = 8192", "extent_size = 4294967296"),
        ("max_lv = 0", "max_lv = 4294967296"),
        ("pe_start = 2048", "pe_start = -2048"),
        ("pe_count = 1000", "pe_count = 4294968296"),
        ("dev_size = 8194048", "dev_size = -1"),
        ("segment_count = 1", "segment_count = 4294967297"),
        ("extent_count = 8", "extent_count = 4294967304"),
        ("extent_count = 8", "extent_count = 0"),
        ("start_extent = 0", "start_extent = 4294967296"),
        ("stripe_count = 1", "stripe_count = 0"),
        ("stripe_count = 1", "stripe_count = 129"),
        ("\"pv0\", 0", "\"pv0\", 4294967296"),
        ("\"pv0\", 0", "\"pv0\", -1"),
    ] {
        let problem = problem(from, to);
        assert!(
            matches!(problem, TextProblem::OutOfRange { .. }),
            "{to}: {problem}"
        );
    }
    assert!(matches!(
        problem("seqno = 7", &format!("seqno = {long}{long}")),
        TextProblem::Grammar(_)
    ));
    for (from, to) in [
        ("seqno = 7", "seqno = 7.0"),
        ("seqno = 7", "seqno = \"7\""),
        ("seqno = 7", "seqno = [7, 8]"),
    ] {
        assert!(matches!(problem(from, to), TextProblem::WrongType { .. }), "{to}");
    }
}

#[test]
fn what_a_reader_needs_must_be_there() {
    for key in [
        "seqno = 7\n",
        "extent_size = 8192\n",
        "max_lv = 0\n",
        "max_pv = 0\n",
        "pe_start = 2048\n",
        "pe_count = 1000\n",
        "segment_count = 1\n",
        "start_extent = 0\n",
        "extent_count = 8\n",
        "type = \"striped\"\n",
        "stripe_count = 1\n",
    ] {
        let problem = problem(key, "");
        assert!(matches!(problem, TextProblem::Missing { .. }), "{key}: {problem}");
    }
    assert!(matches!(
        problem("contents = \"Text", "contents = \"Other"),
        TextProblem::Format { key: "contents", .. }
    ));
    assert!(matches!(
        problem("version = 1", "version = 2"),
        TextProblem::Format { key: "version", .. }
    ));
    assert!(matches!(
        problem("format = \"lvm2\"", "format = \"lvm1\""),
        TextProblem::Format { key: "format", .. }
    ));
    let nothing = Vg::parse(b"contents = \"Text Format Volume Group\"\nversion = 1\n").unwrap_err();
    assert!(matches!(
        nothing,
        Error::Corrupt {
            kind: CorruptKind::Text(TextProblem::NoVg),
            ..
        }
    ));
    // What LVM does without.
    for key in [
        "format = \"lvm2\"\n",
        "flags = []\n",
        "metadata_copies = 0\n",
        "device = \"/dev/sd0\"\n",
        "dev_size = 8194048\n",
    ] {
        parse(&text().replacen(key, "", 1));
    }
}

#[test]
fn contradictions_are_refused() {
    use TextProblem as P;
    let two = |a: &str, b: &str| {
        vg(&[shown("data", 8, &linear(0, 0)), shown("more", 8, &linear(0, 8))]).replacen(a, b, 1)
    };
    type Is = fn(&P) -> bool;
    let cases: [(String, Is); 14] = [
        (two("\"pv0\", 8", "\"pv0\", 7"), |p| {
            matches!(p, P::Overlap { at: 7, .. })
        }),
        (two("\"pv0\", 8", "\"pv0\", 993"), |p| {
            matches!(p, P::OutsidePv { end: 1001, .. })
        }),
        (two("\"pv0\", 8", "\"pv9\", 8"), |p| {
            matches!(p, P::Dangling { .. })
        }),
        (two("\"pv0\", 8", "\"more\", 0"), |p| matches!(p, P::Cycle { .. })),
        (two("\"pv0\", 8", "\"pv0\""), |p| matches!(p, P::WrongType { .. })),
        (two("\"pv0\", 8", "\"pv0\", 8, \"pv1\", 8"), |p| {
            matches!(p, P::Stripes { .. })
        }),
        (two("segment_count = 1", "segment_count = 2"), |p| {
            matches!(
                p,
                P::SegmentCount {
                    stated: 2,
                    found: 1,
                    ..
                }
            )
        }),
        (two("start_extent = 0", "start_extent = 1"), |p| {
            matches!(p, P::SegmentGap { .. })
        }),
        (two("more {", "data {"), |p| {
            matches!(p, P::Duplicate { what: "LV name", .. })
        }),
        (two("0101\"", "0100\""), |p| {
            matches!(p, P::Duplicate { what: "LV id", .. })
        }),
        (two("pv1 {", "pv0 {"), |p| {
            matches!(p, P::Duplicate { what: "PV key", .. })
        }),
        (two("000011\"", "000010\""), |p| {
            matches!(p, P::Duplicate { what: "PV id", .. })
        }),
        (two("pe_count = 1000\n", "pe_count = 1000\nba_start = 5\n"), |p| {
            matches!(p, P::Half { .. })
        }),
        (
            two("flags = []\nsegment", "flags = []\ncreation_time = 5\nsegment"),
            |p| matches!(p, P::Half { .. }),
        ),
    ];
    for (text, is_expected) in cases {
        match Vg::parse(text.as_bytes()) {
            Err(Error::Corrupt {
                kind: CorruptKind::Text(problem),
                ..
            }) => assert!(is_expected(&problem), "{problem}"),
            other => panic!("{other:?}\n{text}"),
        }
    }
}

#[test]
fn names_that_lvm_would_not_write_are_refused() {
    for (from, to) in [
        ("vg0 {", "\"v g\" {"),
        ("vg0 {", "contents {"),
        ("data {", "\"../x\" {"),
        ("data {", "\"a b\" {"),
    ] {
        let problem = problem(from, to);
        assert!(matches!(problem, TextProblem::Name(_)), "{to}: {problem}");
    }
    for (from, to) in [
        ("pv0 {", "a/pv0 {"),
        ("max_pv = 0", "max_pv = 0\na/b = 1"),
        ("max_pv = 0", "max_pv = 0\n\"a/b\" {\n}"),
    ] {
        assert!(matches!(problem(from, to), TextProblem::Grammar(_)), "{to}");
    }
    let section = problem("physical_volumes {", "physical_volumes = 5\nx {");
    assert!(matches!(section, TextProblem::WrongType { .. }), "{section}");
}

#[test]
fn write_locked_stands_for_write_in_a_vg_with_an_owner_or_a_lock_type() {
    let locked = |extra: &str| {
        with_head(
            &format!("status = [\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\"]\n{extra}"),
            &[shown("data", 8, &linear(0, 0))
                .status(r#""READ", "VISIBLE""#)
                .flags("\"WRITE_LOCKED\", \"ACTIVATION_SKIP\"")],
        )
    };
    for owner in [
        "system_id = \"node1\"\n",
        "lock_type = \"sanlock\"\nlock_args = \"1.0.0:lvmlock\"\n",
    ] {
        let vg = parse(&locked(owner));
        assert!(vg.status().contains(VgStatus::WRITE) && vg.lv("data").unwrap().is_writable());
        assert_eq!(print(&vg), locked(owner));
    }
    assert_eq!(
        parse(&locked("system_id = \"node1\"\n")).system_id(),
        Some("node1")
    );
    // Without an owner it is WRITE again.
    let free = parse(&locked("lock_type = \"none\"\n"));
    assert!(
        print(&free)
            .contains("status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nlock_type = \"none\"")
    );
}

#[test]
fn vgs_that_are_not_ours_to_change_say_why() {
    let head = |status: &str, more: &str| format!("status = [{status}]\nflags = []\n{more}");
    let rw = "\"RESIZEABLE\", \"READ\", \"WRITE\"";
    for (head, expected) in [
        (head(&format!("\"EXPORTED\", {rw}"), ""), Refusal::Exported),
        (head(&format!("{rw}, \"CLUSTERED\""), ""), Refusal::Clustered),
        (
            head(&format!("{rw}, \"SHARED\""), ""),
            Refusal::Shared("SHARED".into()),
        ),
        (
            head(rw, "lock_type = \"dlm\"\nlock_args = \"1.0.0:c\"\n"),
            Refusal::Shared("dlm".into()),
        ),
        (head("\"RESIZEABLE\", \"READ\"", ""), Refusal::ReadOnly),
        (
            head(rw, "pr = [ \"require\", \"autostart\" ]\n"),
            Refusal::PersistentReservation,
        ),
    ] {
        let text = with_head(&head, &[shown("data", 8, &linear(0, 0))]);
        let mut vg = parse(&text);
        assert_eq!(vg.refusal(), Some(expected));
        if !head.contains("lock_type") {
            assert_eq!(print(&vg), text);
        }
        assert!(vg.set_tags(&["a"]).is_err() && vg.remove_lv("data").is_err());
    }
    let missing = text().replacen("flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size", 1);
    let vg = parse(&missing);
    assert!(vg.pvs()[0].is_missing() && matches!(vg.refusal(), Some(Refusal::MissingPv(_))));
    assert_eq!(print(&vg), missing);
    // Old tools wrote the word elsewhere.
    let old = text().replacen("[\"ALLOCATABLE\"]", "[\"ALLOCATABLE\", \"MISSING\"]", 1);
    assert_eq!(print(&parse(&old)), missing);
    assert_eq!(PvFlags::MISSING.words().collect::<Vec<_>>(), ["MISSING"]);
    let bytes = text().into_bytes();
    let at = text().find("/dev/sd0").unwrap();
    let odd = [&bytes[..at], &[0xff], &bytes[at..]].concat();
    // It comes back as it is, but where it cannot be told from a character of its own.
    let vg = Vg::parse(&odd).unwrap();
    assert_eq!(vg.refusal(), None);
    let printed = vg.print_raw(&lvm_meta::Provenance::default());
    assert!(printed.windows(9).any(|bytes| bytes == b"\xff/dev/sd0"));
    let odd = [&bytes[..at], "\u{10ff80}".as_bytes(), &[0xff], &bytes[at..]].concat();
    assert_eq!(Vg::parse(&odd).unwrap().refusal(), Some(Refusal::NotText));
}

#[test]
fn quotes_and_backslashes_in_any_word_are_written_as_what_they_are() {
    let text = vg(&[shown("data", 8, "type = odd\"\\+X")])
        .replacen(
            "extent_size",
            "tags = ['a\"\\b']\nsystem_id = n\"1\npr = ['\"', \"\\\\\"]\nextent_size",
            1,
        )
        .replacen("[\"ALLOCATABLE\"]", "['\"\\']", 1)
        .replacen("\"/dev/sd0\"", "'\"\\'", 1);
    let first = parse(&text);
    assert_eq!(parse(&print(&first)), first);
}

#[test]
fn every_optional_key_has_its_place() {
    let text = with_head(
        "status = [\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\", \"NOAUTOACTIVATE\"]\ntags = [\"a\", \"b\"]\n\
         system_id = \"node1\"\n",
        &[shown("data", 8, &linear(0, 0)).status(r#""READ", "FIXED_MINOR", "VISIBLE""#).flags("\"WRITE_LOCKED\"")],
    )
    .replacen("max_pv = 0\n", "max_pv = 0\n\nallocation_policy = \"anywhere\"\nprofile = \"p\"\n", 1)
    .replacen("\nstatus = [\"ALLOC", "\ndevice_id_type = \"sys_wwid\"\ndevice_id = \"naa.5\"\nstatus = [\"ALLOC", 1)
    .replacen("dev_size", "tags = [\"fast\"]\ndev_size", 1)
    .replacen("pe_count = 1000\n", "pe_count = 1000\nba_start = 2048\nba_size = 4096\n", 1)
    .replacen(
        "segment_count",
        "tags = [\"t\"]\ncreation_time = 1700000000\ncreation_host = \"node1\"\nallocation_policy = \"contiguous\"\n\
         profile = \"q\"\nread_ahead = -1\nmajor = 253\nminor = 40\nsegment_count",
        1,
    )
    .replacen("type = \"striped\"\n", "type = \"striped\"\ntags = [\"s\"]\n", 1)
    .replacen(
        "\n}\n# Gen",
        "\nhistorical_logical_volumes {\n\nold1 {\nid = \"000000-0000-0000-0000-0000-0000-000500\"\nremoval_time = 5\norigin = \"data\"\n}\n}\n}\n# Gen",
        1,
    );
    let mut vg = parse(&text);
    assert_eq!(print(&vg), text);
    assert_eq!(check(&vg), []);
    assert_eq!(vg.pvs()[0].device_id(), Some(("sys_wwid", "naa.5")));
    assert_eq!(vg.lv("data").unwrap().device_numbers(), (Some(253), Some(40)));
    // The record of a removed LV names it.
    assert!(vg.remove_lv("data").is_err());
}

#[test]
fn a_vg_may_have_the_name_of_a_key_that_lvm_can_do_without() {
    for name in [
        "description",
        "creation_host",
        "creation_time",
        "creation_host_system_id",
    ] {
        let own = text().replacen("vg0 {", &format!("{name} {{"), 1);
        let vg = parse(&own);
        assert_eq!((vg.name(), vg.refusal()), (name, None));
        assert_eq!(print(&vg), own);
        let head = lvm_meta::TextHead::read(own.as_bytes()).unwrap();
        assert_eq!((head.name.as_str(), head.id), (name, Some(vg.id())));
        assert!(head.description.is_some());
        let file = lvm_meta::backup_text(own.as_bytes(), &lvm_meta::Provenance::default(), &|_| {
            String::new()
        });
        assert_eq!(Vg::parse(&file.unwrap()).unwrap(), vg);
    }
    for name in ["contents", "version"] {
        assert!(Vg::parse(text().replacen("vg0 {", &format!("{name} {{"), 1).as_bytes()).is_err());
    }
}

#[test]
fn words_keep_the_order_in_which_they_came() {
    let data = [shown("data", 8, &linear(0, 0))];
    for (from, to) in [
        // Behind this word LVM takes a word that it does not know for one of `status`, and reads nothing.
        (
            "flags = []\nsegment_count",
            "flags = [\"FUTURE\", \"CACHE_VOL\"]\nsegment_count",
        ),
        (
            "status = [\"READ\", \"WRITE\", \"VISIBLE\"]",
            "status = [\"VISIBLE\", \"READ\", \"WRITE\"]",
        ),
        (
            "flags = []\nsegment_count",
            "flags = [\"NEW\", \"NOAUTOACTIVATE\", \"ACTIVATION_SKIP\"]\nsegment_count",
        ),
        (
            "flags = []\nsegment_count",
            "flags = [\"NOAUTOACTIVATE\", \"ACTIVATION_SKIP\"]\nsegment_count",
        ),
        ("flags = []\ndev_size", "flags = [\"NEW\", \"MISSING\"]\ndev_size"),
        (
            "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []",
            "status = [\"WRITE\", \"READ\", \"RESIZEABLE\"]\nflags = [\"NEW\", \"NOAUTOACTIVATE\"]",
        ),
    ] {
        let own = vg(&data);
        let segment_first = from.replace("segment_count", "creation_time");
        let from = if own.contains(from) {
            from.to_owned()
        } else {
            segment_first
        };
        let to = if from.contains("creation_time") {
            to.replace("segment_count", "creation_time")
        } else {
            to.to_owned()
        };
        assert!(own.contains(&from), "{from}:\n{own}");
        let own = own.replacen(&from, &to, 1);
        assert_eq!(print(&parse(&own)), own);
    }
    // What is new comes behind.
    let own = vg(&data).replacen(
        "flags = []\nsegment_count",
        "flags = [\"NOAUTOACTIVATE\"]\nsegment_count",
        1,
    );
    let own = own.replacen(
        "flags = []\ncreation_time",
        "flags = [\"NOAUTOACTIVATE\"]\ncreation_time",
        1,
    );
    let own = own.replacen("\"NOAUTOACTIVATE\"", "\"X\", \"NOAUTOACTIVATE\"", 1);
    let mut changed = parse(&own);
    let flags = changed.lv("data").unwrap().flags();
    assert!(!flags.is_empty());
    changed
        .set_lv_status(
            "data",
            lvm_meta::LvStatus::USER,
            flags | lvm_meta::LvFlags::ACTIVATION_SKIP,
        )
        .unwrap();
    assert!(
        print(&changed).contains("[\"X\", \"NOAUTOACTIVATE\", \"ACTIVATION_SKIP\"]"),
        "{}",
        print(&changed)
    );
}

#[test]
fn bytes_that_are_no_text_are_kept_where_they_stand() {
    let bytes = text().into_bytes();
    let description = text().find("description = \"").unwrap() + 15;
    let host = text().rfind("creation_host = \"").unwrap() + 17;
    for at in [description, host] {
        let odd = [&bytes[..at], b"M\xfcnchen \x80", &bytes[at..]].concat();
        let mut vg = Vg::parse(&odd).unwrap();
        assert_eq!(vg.refusal(), None);
        vg.bump_seqno().unwrap();
        assert!(check(&vg).is_empty());
    }
    let with_host = vg(&[shown("data", 8, &linear(0, 0))]).replacen(
        "segment_count",
        "creation_time = 5\ncreation_host = \"@\"\nsegment_count",
        1,
    );
    let at = with_host.find('@').unwrap();
    let bytes = with_host.as_bytes();
    let odd = [&bytes[..at], b"M\xfcnchen", &bytes[at + 1..]].concat();
    let vg = Vg::parse(&odd).unwrap();
    let mut last = lvm_meta::LastPrint::default();
    let provenance = lvm_meta::Provenance::default();
    for _ in 0..2 {
        let printed = last.print_raw(&vg, &provenance).bytes().to_vec();
        assert!(printed.windows(7).any(|bytes| bytes == b"M\xfcnchen"));
        assert_eq!(Vg::parse(&printed).unwrap(), vg);
        let file = lvm_meta::backup_text(&printed, &provenance, &|_| String::new()).unwrap();
        assert_eq!(Vg::parse(&file).unwrap(), vg);
    }
    // The place of what is wrong is counted in bytes.
    let end = odd.iter().position(|byte| *byte == 0).unwrap();
    let wrong = [&odd[..end], b"\n}"].concat();
    let error = Vg::parse(&wrong).unwrap_err();
    assert!(
        matches!(error, lvm_meta::Error::Corrupt { at, .. } if at == wrong.len() as u64 - 1),
        "{error}"
    );
}
