use std::collections::BTreeSet;

use super::*;
use crate::{LastPrint, Provenance};

mod broken;
#[path = "../../../tests/it/texts.rs"]
mod texts;
mod whole;

use texts::{LvText, hidden, linear, part, shown};

/// The lines of a linear segment on another LV.
fn on(lv: &str, start: u32) -> String {
    linear(0, start).replace("\"pv0\"", &format!("\"{lv}\""))
}

/// The images of an array and its metadata LVs.
fn legs(name: &str, count: u32, extents: u32) -> Vec<LvText> {
    let leg = |leg: u32| {
        let (pv, at) = (leg % 4, leg / 4 * 100);
        [
            part(&format!("{name}_rmeta_{leg}"), pv, at, 1),
            part(&format!("{name}_rimage_{leg}"), pv, at + 1, extents),
        ]
    };
    (0..count).flat_map(leg).collect()
}

/// The list of the legs of an array.
fn pairs(name: &str, count: u32) -> String {
    let pairs: Vec<_> = (0..count)
        .map(|leg| format!("\"{name}_rmeta_{leg}\", \"{name}_rimage_{leg}\""))
        .collect();
    format!("\nraids = [\n{}\n]", pairs.join(",\n"))
}

/// An array `r` of 6 extents on legs of 3.
fn raid(kind: &str, count: u32, fields: &str) -> Vec<LvText> {
    let count_key = if kind.starts_with("raid0") {
        "stripe_count"
    } else {
        "device_count"
    };
    let body = format!(
        "type = \"{kind}\"\n{count_key} = {count}\n{fields}{}",
        pairs("r", count)
    );
    let mut lvs = vec![shown("r", 6, &body)];
    lvs.extend(legs("r", count, 3));
    lvs
}

const STRIPES: &str = "region_size = 4096\nstripe_size = 128\n";
const COPIES: &str = "region_size = 4096\n";

/// The status of the hidden LV of a `pvmove`.
const MOVING: &str = r#""READ", "WRITE", "PVMOVE", "LOCKED""#;

/// A legacy mirror `home` with a log.
fn mirror() -> Vec<LvText> {
    let body = "type = \"mirror\"\nmirror_count = 2\nmirror_log = \"home_mlog\"\nregion_size = 4096\n\nmirrors = [\n\
                \"home_mimage_0\", 0,\n\"home_mimage_1\", 0\n]";
    vec![
        shown("home", 4, body),
        part("home_mlog", 2, 0, 1),
        part("home_mimage_0", 0, 0, 4),
        part("home_mimage_1", 1, 0, 4),
    ]
}

/// An LV `data` that is moved from one PV to another.
fn pvmove() -> Vec<LvText> {
    let body = "type = \"mirror\"\nmirror_count = 2\nextents_moved = 0\nregion_size = 4096\n\nmirrors = [\n\"pv2\", 7,\n\"pv3\", 0\n]";
    vec![
        shown("data", 4, &on("pvmove0", 0)).status(r#""READ", "WRITE", "VISIBLE", "LOCKED""#),
        hidden("pvmove0", 4, body).status(MOVING),
    ]
}

/// A thin pool with LVs of all kinds, and messages that are on their way.
fn thin() -> Vec<LvText> {
    let pool = "type = \"thin-pool\"\nmetadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 3\nchunk_size = 128\n\
                discards = \"passdown\"\nzero_new_blocks = 1\n\nmessage1 {\ncreate = \"web2\"\n}\nmessage2 {\ndelete = 9\n}";
    let thin = |rest: &str| format!("type = \"thin\"\nthin_pool = \"p\"\ntransaction_id = 2\n{rest}");
    vec![
        shown("p", 20, pool).flags("\"ERROR_WHEN_FULL\""),
        shown("web1", 100, &thin("device_id = 1")),
        shown("web2", 100, &thin("device_id = 2\norigin = \"web1\"")).flags("\"ACTIVATION_SKIP\""),
        shown("base", 10, &linear(3, 0)).status(r#""READ", "VISIBLE""#),
        shown("web3", 10, &thin("device_id = 3\nexternal_origin = \"base\"")),
        hidden(
            "web4",
            100,
            &thin("device_id = 4\norigin = \"web1\"\nmerge = \"web1\""),
        ),
        shown("top", 1, &on("base", 0)),
        part("lvol0_pmspare", 1, 0, 1),
        part("p_tmeta", 0, 0, 1),
        part("p_tdata", 0, 1, 20),
    ]
}

/// An LV `data` with a cache pool.
fn cache() -> Vec<LvText> {
    let pool = "type = \"cache-pool+METADATA_FORMAT\"\ndata = \"fast_cpool_cdata\"\nmetadata = \"fast_cpool_cmeta\"\n\
                metadata_format = 2\nchunk_size = 128\ncache_mode = \"writethrough\"\npolicy = \"smq\"";
    let cache = "type = \"cache\"\ncache_pool = \"fast_cpool\"\norigin = \"data_corig\"";
    vec![
        shown("data", 8, cache),
        hidden("fast_cpool", 4, pool),
        part("fast_cpool_cdata", 1, 0, 4),
        part("fast_cpool_cmeta", 1, 4, 1),
        part("data_corig", 0, 0, 8),
        part("plain", 2, 0, 8),
    ]
}

/// An LV `data`, part of another one, with one LV that is all of its cache.
fn cache_volume() -> Vec<LvText> {
    let body = "type = \"cache+CACHE_USES_CACHEVOL\"\ncache_pool = \"fast_cvol\"\norigin = \"data_corig\"\n\
                metadata_format = 2\nchunk_size = 128\ncache_mode = \"writeback\"\npolicy = \"smq\"\nmetadata_start = 0\n\
                metadata_len = 16384\ndata_start = 16384\ndata_len = 114688";
    vec![
        shown("top", 8, &on("data", 0)),
        hidden("data", 8, body),
        part("fast_cvol", 1, 0, 16).flags("\"CACHE_VOL\""),
        part("data_corig", 0, 0, 8),
    ]
}

fn vdo() -> Vec<LvText> {
    let pool = "type = \"vdo-pool\"\ndata = \"vpool_vdata\"\nheader_size = 1024\nvirtual_extents = 1024\n\n\
                use_compression = 1\nuse_deduplication = 1\nminimum_io_size = 4096\nblock_map_cache_size_mb = 128\n\
                block_map_era_length = 16380\nindex_memory_size_mb = 256\nmax_discard = 1\nslab_size_mb = 512\n\
                ack_threads = 1\nbio_threads = 4\nbio_rotation = 64\ncpu_threads = 2\nhash_zone_threads = 1\n\
                logical_threads = 1\nphysical_threads = 1";
    vec![
        shown("v", 1000, "type = \"vdo\"\nvdo_pool = \"vpool\"\nvdo_offset = 0"),
        shown("vpool", 20, pool),
        part("vpool_vdata", 0, 0, 20),
    ]
}

/// An array whose one image has checksums, over data of this name.
fn integrity(origin: &str) -> Vec<LvText> {
    let raid = format!("type = \"raid1\"\ndevice_count = 1\n{COPIES}{}", pairs("ri", 1));
    let body = format!(
        "type = \"integrity\"\norigin = \"{origin}\"\ndata_sectors = 65536\nmode = \"B\"\ntag_size = 4\nblock_size = 512\n\
         internal_hash = \"crc32c\"\nmeta_dev = \"ri_rimage_0_imeta\"\nrecalculate = 1"
    );
    vec![
        shown("ri", 8, &raid),
        part("ri_rmeta_0", 0, 0, 1),
        hidden("ri_rimage_0", 8, &body),
        part(origin, 0, 1, 8),
        part("ri_rimage_0_imeta", 0, 9, 2),
    ]
}

#[track_caller]
fn parse(text: &str) -> Vg {
    Vg::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A text with each of these things replaced once.
#[track_caller]
fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} in {text}");
        text = text.replacen(from, to, 1);
    }
    text
}

#[test]
fn every_rule_has_an_example_that_breaks_it_and_a_line_in_the_documents() {
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    let examples: BTreeSet<&str> = broken::all().iter().map(|broken| broken.rule).collect();
    assert_eq!(names, examples);
    assert_eq!(names.len(), RULES.len(), "a name stands for two rules");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format.md");
    let document = std::fs::read_to_string(path).unwrap();
    for name in names {
        assert!(document.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn each_broken_vg_breaks_one_rule_in_its_place() {
    for broken in broken::all() {
        let found: Vec<_> = check(&broken.vg)
            .into_iter()
            .map(|found| (found.rule, found.place, found.segment, found.extent))
            .collect();
        let expected = (broken.rule, broken.place, broken.segment, broken.extent);
        assert_eq!(found, [expected], "{}", broken.how);
    }
}

#[test]
fn a_rule_that_a_change_breaks_is_found_by_looking_at_what_changed() {
    let mut count = 0;
    for broken in broken::all() {
        let Some(good) = &broken.good else { continue };
        let mut last = LastCheck::default();
        assert_eq!(last.check(good), [], "{}", broken.how);
        assert_eq!(last.check(good), [], "{}", broken.how);
        let finds_nothing = last.finds_nothing(&broken.vg);
        assert_ne!(finds_nothing, Some(true), "{}", broken.how);
        count += usize::from(finds_nothing == Some(false));
        assert_eq!(last.check(&broken.vg), check(&broken.vg), "{}", broken.how);
        assert_eq!(last.check(good), [], "{}", broken.how);
    }
    assert!(count > 50, "only {count} changes left the VG's head as it was");
}

/// Two thin pools with LVs, of which one is to be made in the kernel.
fn thin_pools() -> String {
    let pool = |name: &str, rest: &str| {
        let body = format!(
            "type = \"thin-pool\"\nmetadata = \"{name}_tmeta\"\npool = \"{name}_tdata\"\ntransaction_id = 3\n\
             chunk_size = 128\ndiscards = \"passdown\"\nzero_new_blocks = 1{rest}"
        );
        shown(name, 20, &body)
    };
    let thin = |name: &str, pool: &str, rest: &str| {
        let body = format!("type = \"thin\"\nthin_pool = \"{pool}\"\ntransaction_id = 2\ndevice_id = {rest}");
        shown(name, 100, &body)
    };
    let lvs = [
        pool("p", "\n\nmessage1 {\ncreate = \"old\"\n}"),
        pool("q", ""),
        thin("old", "p", "1"),
        thin("snap", "p", "2\norigin = \"old\""),
        thin("other", "q", "1"),
        shown("base", 10, &linear(3, 0)),
        part("p_tmeta", 0, 0, 1),
        part("p_tdata", 0, 1, 20),
        part("q_tmeta", 1, 0, 1),
        part("q_tdata", 1, 1, 20),
    ];
    texts::vg(&lvs)
}

#[test]
fn thin_lvs_that_did_not_change_are_looked_at_when_something_comes_between() {
    let text = thin_pools();
    let good = parse(&text);
    let after = |edits: &[(&str, &str)]| {
        let mut vg = parse(&edited(&text, edits));
        vg.share_lvs(&good);
        let mut last = LastCheck::default();
        assert_eq!(last.check(&good), []);
        let quick = last.finds_nothing(&vg);
        assert_eq!(quick == Some(true), check(&vg).is_empty(), "{edits:?}");
        assert_eq!(last.check(&vg), check(&vg), "{edits:?}");
        quick == Some(true)
    };
    let is_good = [
        // The pool is a step farther.
        [("transaction_id = 3", "transaction_id = 4")],
        [("create = \"old\"", "create = \"snap\"")],
        [("create = \"old\"", "delete = 7")],
        [("device_id = 2\norigin = \"old\"", "device_id = 2")],
    ];
    for edits in is_good {
        assert!(after(&edits), "{edits:?}");
    }
    let is_broken = [
        // A message for an LV of the other pool, for a thick one.
        [("create = \"old\"", "create = \"other\"")],
        [("create = \"old\"", "create = \"base\"")],
        // A pool's data belong to a snapshot's origin, or to the other pool.
        [("pool = \"q_tdata\"", "pool = \"old\"")],
        [("pool = \"q_tdata\"", "pool = \"p_tdata\"")],
        [("origin = \"old\"", "origin = \"q_tdata\"")],
        [("thin_pool = \"q\"", "thin_pool = \"base\"")],
    ];
    for edits in is_broken {
        assert!(!after(&edits), "{edits:?}");
    }
    // Another LV has come to a pool's place.
    assert!(!after(&[("\nq {", "\nr {"), ("\nbase {", "\nq {")]));
}

#[test]
fn vgs_that_lvm_makes_in_the_middle_of_things_too_break_none() {
    for (what, text) in whole::all() {
        assert_eq!(check(&parse(&text)), [], "{what}");
    }
}

#[test]
fn a_change_to_any_lv_of_any_vg_is_printed_and_checked_as_if_all_were() {
    let mut count = 0;
    for (what, text) in whole::all() {
        let mut vg = parse(&text);
        let (mut print, mut last) = (LastPrint::default(), LastCheck::default());
        let provenance = Provenance::default();
        let names: Vec<String> = vg.lvs().map(|lv| lv.name().to_owned()).collect();
        for name in &names {
            let printed = print.print_raw(&vg, &provenance);
            assert_eq!(
                printed.bytes(),
                vg.print_raw(&provenance),
                "{what}: before {name}"
            );
            assert_eq!(last.check(&vg), [], "{what}: before {name}");
            count += usize::from(vg.set_lv_tags(name, &["changed"]).is_ok());
        }
        assert_eq!(
            print.print_raw(&vg, &provenance).bytes(),
            vg.print_raw(&provenance),
            "{what}"
        );
        assert_eq!(last.check(&vg), [], "{what}");
    }
    assert!(count > 50, "only {count} LVs could be changed");
}

#[test]
fn no_text_makes_a_rule_panic() {
    for (_, text) in whole::all() {
        let lines: Vec<&str> = text.lines().collect();
        // The PVs are the same in all of them.
        let first = lines
            .iter()
            .position(|line| line.starts_with("logical_volumes"))
            .unwrap();
        for at in first..lines.len() {
            let number = lines[at]
                .rsplit_once(' ')
                .filter(|(_, number)| number.parse::<u64>().is_ok());
            let other = |other: &str| number.map(|(key, _)| format!("{key} {other}"));
            let instead = [Some(String::new()), other("0"), other("4294967295")];
            for line in instead.into_iter().flatten() {
                let mut lines = lines.clone();
                lines[at] = &line;
                if let Ok(vg) = Vg::parse(lines.join("\n").as_bytes()) {
                    let _ = check(&vg);
                }
            }
        }
    }
}

#[test]
fn a_finding_says_where_it_is() {
    let mut finding = Finding {
        rule: "striped",
        place: "data".into(),
        segment: Some(8),
        extent: Some(9),
        what: "odd".into(),
    };
    assert_eq!(
        finding.to_string(),
        "data, segment at extent 8, extent 9: odd (striped)"
    );
    (finding.segment, finding.extent) = (None, None);
    assert_eq!(finding.to_string(), "data: odd (striped)");
}
