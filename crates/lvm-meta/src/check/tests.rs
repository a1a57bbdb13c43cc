use super::*;
use crate::{Extents, LvId, NewLv, NewPv, NewVg, PvId, Sectors, SegmentPlan, VgId};

fn vg() -> Vg {
    let name = VgName::parse("vg0").unwrap();
    let (id, extent_size) = (VgId::from_uuid_bytes([9; 16]), ExtentSize::DEFAULT);
    let mut vg = Vg::new(NewVg {
        name,
        id,
        extent_size,
        tags: Vec::new(),
        system_id: None,
    });
    vg.add_pv(NewPv {
        id: PvId::from_uuid_bytes([1; 16]),
        device_hint: "/dev/sda".into(),
        dev_size: Sectors::new(2048 + 100 * 8192),
        pe_start: Sectors::new(2048),
        pe_count: Extents::new(100),
        device_id: None,
    })
    .unwrap();
    let segments = vec![SegmentPlan::linear(
        PvId::from_uuid_bytes([1; 16]),
        0,
        Extents::new(8),
    )];
    vg.add_lv(NewLv::new(
        LvName::parse("data").unwrap(),
        LvId::from_uuid_bytes([2; 16]),
        segments,
    ))
    .unwrap();
    vg
}

fn text() -> String {
    String::from_utf8(vg().print_raw(&crate::Provenance::default())).unwrap()
}

/// Insists that a text with one thing replaced is read and breaks exactly this rule.
#[track_caller]
fn check_rule(text: &str, from: &str, to: &str, rule: &str, place: &str) {
    assert!(text.contains(from), "{from} in {text}");
    let vg = Vg::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
    let found: Vec<_> = check(&vg)
        .into_iter()
        .map(|finding| (finding.rule, finding.place))
        .collect();
    assert_eq!(found, [(rule, place.to_owned())], "{to}");
}

/// An LV's lines.
fn lv(name: &str, id: u8, status: &str, segments: &[&str]) -> String {
    let mut text = format!(
        "\n{name} {{\nid = \"{}\"\nstatus = [{status}]\nflags = []\n",
        LvId::from_uuid_bytes([id; 16])
    );
    text.push_str(&format!("segment_count = {}\n\n", segments.len()));
    for (number, body) in segments.iter().enumerate() {
        text.push_str(&format!(
            "s{number} {{\nstart_extent = {}\nextent_count = 4\n{body}\n}}\n",
            number * 4
        ));
    }
    text.push_str("}\n");
    text
}

const FIRST: &str = "logical_volumes {\n";

#[track_caller]
fn check_lvs(lvs: &str, rule: &str, place: &str) {
    check_rule(&text(), FIRST, &format!("{FIRST}{lvs}"), rule, place);
}

#[test]
fn a_good_vg_breaks_no_rule() {
    assert_eq!(check(&vg()), []);
}

#[test]
fn tags_that_lvm_would_not_write_are_found_wherever_they_are() {
    let bad = "tags = [\"a b\"]\n";
    check_rule(&text(), "extent_size", &format!("{bad}extent_size"), "tags", "VG");
    check_rule(&text(), "dev_size", &format!("{bad}dev_size"), "tags", "pv0");
    check_rule(
        &text(),
        "segment_count",
        &format!("{bad}segment_count"),
        "tags",
        "data",
    );
}

#[test]
fn sizes_that_do_not_go_together_are_found() {
    check_rule(
        &text(),
        "extent_size = 8192",
        "extent_size = 100",
        "extent-size",
        "VG",
    );
    check_rule(&text(), "pe_count = 100", "pe_count = 101", "pv-size", "pv0");
    check_rule(
        &text(),
        "pe_start = 2048",
        "pe_start = 9223372036854775807",
        "pv-size",
        "pv0",
    );
    check_rule(
        &text(),
        "dev_size = 821248",
        "dev_size = 821247",
        "pv-size",
        "pv0",
    );
    // An old text does not say.
    let vg = Vg::parse(text().replacen("dev_size = 821248\n", "", 1).as_bytes()).unwrap();
    assert_eq!(check(&vg), []);
}

#[test]
fn a_vg_without_pvs_is_found() {
    let name = VgName::parse("vg0").unwrap();
    let (id, extent_size) = (VgId::from_uuid_bytes([9; 16]), ExtentSize::DEFAULT);
    let vg = Vg::new(NewVg {
        name,
        id,
        extent_size,
        tags: Vec::new(),
        system_id: None,
    });
    assert_eq!(
        check(&vg).iter().map(|finding| finding.rule).collect::<Vec<_>>(),
        ["pv-count"]
    );
}

#[test]
fn names_too_long_for_device_mapper_are_found() {
    let name = "x".repeat(122);
    check_rule(&text(), "data {", &format!("{name} {{"), "lv-name", &name);
}

#[test]
fn stripes_that_the_kernel_refuses_are_found() {
    let stripes = |size: u32| {
        format!(
            "type = \"striped\"\nstripe_count = 2\nstripe_size = {size}\nstripes = [\"pv0\", 20, \"pv0\", 30]"
        )
    };
    for size in [0, 4, 100, 16384] {
        check_lvs(&lv("s", 3, "\"READ\"", &[&stripes(size)]), "striped", "s");
    }
}

#[test]
fn areas_past_the_end_of_an_lv_are_found() {
    let body = "type = \"striped\"\nstripe_count = 1\nstripes = [\"data\", 5]";
    check_lvs(&lv("top", 3, "\"READ\"", &[body]), "lv-areas", "top");
}

#[test]
fn second_spares_and_second_segments_are_found() {
    let zero = "type = \"zero\"";
    let spares = [
        lv("a_pmspare", 3, "\"READ\"", &[zero]),
        lv("b_pmspare", 4, "\"READ\"", &[zero]),
    ]
    .concat();
    check_lvs(&spares, "single-spare", "b_pmspare");
    for kind in [
        "type = \"raid1\"",
        "type = \"thin\"\nthin_pool = \"data\"",
        "type = \"cache+CACHE_USES_CACHEVOL\"",
    ] {
        check_lvs(&lv("two", 3, "\"READ\"", &[kind, zero]), "single-segments", "two");
    }
}

#[test]
fn flags_that_do_not_fit_the_lv_are_found() {
    check_rule(
        &text(),
        "flags = []\nsegment",
        "flags = [\"ERROR_WHEN_FULL\"]\nsegment",
        "flags",
        "data",
    );
    check_rule(
        &text(),
        "\"VISIBLE\"",
        "\"FIXED_MINOR\", \"VISIBLE\"",
        "flags",
        "data",
    );
}

#[test]
fn an_lv_that_two_pools_own_is_found() {
    let pool = "type = \"thin-pool\"\nmetadata = \"m_tmeta\"\npool = \"data\"";
    let raid = "type = \"raid1\"\nraids = [\"data\"]";
    let meta = lv("m_tmeta", 5, "\"READ\"", &["type = \"zero\""]);
    check_lvs(
        &[
            lv("p", 3, "\"READ\"", &[pool]),
            lv("r", 4, "\"READ\"", &[raid]),
            meta,
        ]
        .concat(),
        "references",
        "r",
    );
}
