//! What `inspect --json` says, number by number, against what LVM's own tools and the kernel said of the same VG.

use serde_json::Value;

use crate::fixtures::{FOLDERS, Fixture};

/// A field of a report: LVM's reports hold strings.
#[track_caller]
fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {row}"))
}

#[track_caller]
fn number(row: &Value, field: &str) -> u64 {
    text(row, field).parse().unwrap()
}

fn sectors(row: &Value, field: &str) -> u64 {
    number(row, field) * 512
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn tags(value: &Value) -> String {
    list(value)
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect::<Vec<_>>()
        .join(",")
}

#[test]
fn vgs_are_as_vgs_reports_them() {
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let (json, rows) = (fixture.json(), fixture.report("vg"));
        assert_eq!((list(&json).len(), rows.len()), (1, 1), "{folder}");
        let (vg, row) = (&json[0], &rows[0]);
        assert_eq!(vg["name"], text(row, "vg_name"));
        assert_eq!(vg["id"], text(row, "vg_uuid"));
        assert_eq!(vg["seqno"], number(row, "vg_seqno"));
        assert_eq!(vg["extent_size"], sectors(row, "vg_extent_size"));
        assert_eq!(vg["extent_count"], number(row, "vg_extent_count"));
        assert_eq!(vg["free_extents"], number(row, "vg_free_count"));
        assert_eq!(vg["allocation_policy"], text(row, "vg_allocation_policy"));
        assert_eq!(vg["system_id"].as_str().unwrap_or(""), text(row, "vg_systemid"));
        assert_eq!(tags(&vg["tags"]), text(row, "vg_tags"));
        assert_eq!(list(&vg["pvs"]).len() as u64, number(row, "pv_count"));
        assert_eq!(
            (text(row, "vg_permissions"), vg["writable"].as_bool()),
            ("writeable", Some(true))
        );
        let mdas = || list(&vg["pvs"]).iter().flat_map(|pv| list(&pv["mdas"]));
        assert_eq!(mdas().count() as u64, number(row, "vg_mda_count"));
        let used = mdas().filter(|mda| mda["state"] != "ignored").count() as u64;
        assert_eq!(used, number(row, "vg_mda_used_count"));
        let visible = list(&vg["lvs"]).iter().filter(|lv| lv["visible"] == true).count() as u64;
        // Of a snapshot LVM counts the store, which its text hides, and not the link, which its text shows.
        assert_eq!(visible, number(row, "lv_count"), "{folder}");
    }
}

#[test]
fn pvs_are_as_pvs_reports_them() {
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let (json, rows) = (fixture.json(), fixture.report("pv"));
        assert_eq!(list(&json[0]["pvs"]).len(), rows.len(), "{folder}");
        for row in &rows {
            let pvs = list(&json[0]["pvs"]);
            let pv = pvs.iter().find(|pv| pv["id"] == text(row, "pv_uuid")).unwrap();
            assert_eq!(pv["device_hint"], text(row, "pv_name"));
            assert_eq!(
                format!("/dev/{}", pv["path"].as_str().unwrap()),
                text(row, "pv_name")
            );
            assert_eq!(pv["missing"], false);
            assert_eq!(pv["dev_size"], sectors(row, "dev_size"));
            assert_eq!(pv["pe_start"], sectors(row, "pe_start"));
            assert_eq!(pv["pe_count"], number(row, "pv_pe_count"));
            assert_eq!(pv["pe_used"], number(row, "pv_pe_alloc_count"));
            assert_eq!(tags(&pv["tags"]), text(row, "pv_tags"));
            assert_eq!(list(&pv["mdas"]).len() as u64, number(row, "pv_mda_count"));
            if let Some(mda) = list(&pv["mdas"]).first() {
                assert_eq!(mda["state"], "current");
                assert_eq!(mda["seqno"], json[0]["seqno"]);
                assert_eq!(mda["size"], sectors(row, "pv_mda_size"));
            }
        }
    }
}

/// An area as the field `devices` of `lvs` has it.
fn device(vg: &Value, area: &Value) -> String {
    let start = &area["start_extent"];
    match area["lv"].as_str() {
        Some(lv) => format!("{lv}({start})"),
        None => {
            let pv = list(&vg["pvs"])
                .iter()
                .find(|pv| pv["name"] == area["pv"])
                .unwrap();
            assert_eq!(pv["id"], area["pv_id"]);
            format!("{}({start})", pv["device_hint"].as_str().unwrap())
        }
    }
}

#[test]
fn lvs_are_as_lvs_reports_them() {
    let mut checked = 0;
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let (json, rows) = (fixture.json(), fixture.report("lv"));
        let vg = &json[0];
        let extent = vg["extent_size"].as_u64().unwrap();
        for row in &rows {
            let name = text(row, "lv_name").trim_matches(['[', ']']);
            let lv = list(&vg["lvs"]).iter().find(|lv| lv["name"] == name).unwrap();
            assert_eq!(lv["id"], text(row, "lv_uuid"));
            assert_eq!(lv["size"], sectors(row, "lv_size"), "{name}");
            assert_eq!(tags(&lv["tags"]), text(row, "lv_tags"));
            let is_hidden = text(row, "lv_name").starts_with('[');
            assert_eq!(lv["visible"], !is_hidden, "{name}");
            let is_writable = list(&lv["status"]).iter().any(|word| word == "WRITE");
            assert_eq!(is_writable, text(row, "lv_attr").as_bytes()[1] == b'w', "{name}");

            let start = sectors(row, "seg_start");
            let segments = list(&lv["segments"]);
            let starts_here = |segment: &&Value| segment["start_extent"].as_u64().unwrap() * extent == start;
            let segment = segments.iter().find(starts_here).unwrap();
            assert_eq!(
                segment["extent_count"].as_u64().unwrap() * extent,
                sectors(row, "seg_size"),
                "{name}"
            );
            assert_eq!(segment["type"], text(row, "segtype"), "{name}");
            let areas: Vec<String> = list(&segment["areas"])
                .iter()
                .map(|area| device(vg, area))
                .collect();
            assert_eq!(areas.join(","), text(row, "devices"), "{name}");
            assert_eq!(segment["stripes"], areas.len());
            for (field, key) in [("pool_lv", "thin_pool"), ("origin", "origin")] {
                if segment["type"] == "thin" {
                    assert_eq!(segment[key].as_str().unwrap_or(""), text(row, field), "{name}");
                }
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} rows");
}

/// The linear or striped table of a segment on RAM disks, as the kernel prints it.
fn table(vg: &Value, segment: &Value) -> String {
    let extent = vg["extent_size"].as_u64().unwrap() / 512;
    let in_sectors = |value: &Value| value.as_u64().unwrap() * extent;
    let areas = list(&segment["areas"]).iter().map(|area| {
        let pv = list(&vg["pvs"])
            .iter()
            .find(|pv| pv["name"] == area["pv"])
            .unwrap();
        let disk = pv["device_hint"]
            .as_str()
            .unwrap()
            .strip_prefix("/dev/ram")
            .unwrap();
        format!(
            " 1:{disk} {}",
            pv["pe_start"].as_u64().unwrap() / 512 + in_sectors(&area["start_extent"])
        )
    });
    let areas: String = areas.collect();
    let run = format!(
        "{} {}",
        in_sectors(&segment["start_extent"]),
        in_sectors(&segment["extent_count"])
    );
    match segment["stripe_size"].as_u64() {
        None => format!("{run} linear{areas}"),
        Some(stripe) => format!("{run} striped {} {}{areas}", segment["stripes"], stripe / 512),
    }
}

#[test]
fn extents_are_where_the_kernel_had_them_mapped() {
    let mut checked = 0;
    for folder in FOLDERS {
        let fixture = Fixture::new(folder);
        let json = fixture.json();
        let vg = &json[0];
        let mangled = |name: &Value| name.as_str().unwrap().replace('-', "--");
        for (name, line) in fixture.tables() {
            let on_disks =
                (line.contains(" linear 1:") || line.contains(" striped ")) && !line.contains("253:");
            if !on_disks {
                continue;
            }
            let layers = ["", "-real", "-cow"];
            let is_it = |lv: &&Value| {
                let device = format!("{}-{}", mangled(&vg["name"]), mangled(&lv["name"]));
                layers.iter().any(|layer| name == format!("{device}{layer}"))
            };
            let lv = list(&vg["lvs"])
                .iter()
                .find(is_it)
                .unwrap_or_else(|| panic!("no LV of {name}"));
            let tables: Vec<String> = list(&lv["segments"])
                .iter()
                .map(|segment| table(vg, segment))
                .collect();
            assert!(tables.contains(&line), "{name}: {line}, not in {tables:?}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} lines");
}
