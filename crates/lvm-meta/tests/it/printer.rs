//! VGs put together from any legal parts: printed, they are read back as they were; so they are from a backup file.

use std::fmt::Write as _;

use lvm_meta::{Opaque, Vg, backup_text};
use proptest::prelude::*;

use crate::bag::{Bag, bags, detail, quoted};
use crate::support::provenance;
use crate::texts::{HEADER, id};

/// The free extents of the four PVs, handed out from their front.
struct Free([u32; 4]);

const PE_COUNT: u32 = 100_000;

impl Free {
    fn take(&mut self, pv: usize, length: u32) -> String {
        let start = self.0[pv];
        self.0[pv] += length;
        format!("\"pv{pv}\", {start}")
    }
}

/// Lines of a segment behind its extents, of any type that says nothing of other LVs.
fn plain_segment(bag: &mut Bag, free: &mut Free, stripe_length: u32) -> (u32, String) {
    let mut out = String::new();
    if let Some(count) = bag.maybe(|bag| bag.number(1..=u64::from(u32::MAX))) {
        writeln!(out, "reshape_count = {count}").unwrap();
    }
    let word = if bag.flip() {
        ""
    } else {
        "+RESHAPE_DELTA_DISKS_PLUS"
    };
    match bag.index(5) {
        0 => {
            write!(out, "type = \"error{word}\"\n{}{}", bag.tags(), bag.unknown(0)).unwrap();
            (stripe_length, out)
        }
        1 => {
            write!(out, "type = \"zero{word}\"\n{}{}", bag.tags(), bag.unknown(0)).unwrap();
            (stripe_length, out)
        }
        2 => {
            let type_name = quoted(&format!("future{}", bag.text()));
            write!(out, "type = {type_name}\n{}{}", bag.tags(), bag.unknown(0)).unwrap();
            (stripe_length, out)
        }
        _ => {
            let stripes = 1 + bag.index(4);
            write!(
                out,
                "type = \"striped{word}\"\n{}stripe_count = {stripes}\n",
                bag.tags()
            )
            .unwrap();
            if stripes > 1 {
                writeln!(out, "stripe_size = {}", bag.number(0..=u64::from(u32::MAX))).unwrap();
            }
            out += &bag.unknown(0).to_string();
            let areas: Vec<_> = (0..stripes).map(|pv| free.take(pv, stripe_length)).collect();
            write!(out, "\nstripes = [\n{}\n]\n", areas.join(",\n")).unwrap();
            (stripe_length * u32::try_from(stripes).unwrap(), out)
        }
    }
}

/// An LV: its name and its section.
fn lv(bag: &mut Bag, number: usize, name: &str, segments: &[(u32, String)]) -> (String, String) {
    let mut out = format!("\n{name} {{\nid = \"{}\"\n", id(number));
    let status = ["READ", "WRITE", "FIXED_MINOR", "VISIBLE", "NOTSYNCED", "REBUILD"];
    writeln!(out, "status = {}", bag.words(&status)).unwrap();
    writeln!(
        out,
        "flags = {}",
        bag.words(&["ACTIVATION_SKIP", "NOAUTOACTIVATE", "CACHE_VOL"])
    )
    .unwrap();
    out += &bag.tags();
    if bag.flip() {
        let time = bag.number(1..=i64::MAX as u64);
        writeln!(out, "creation_time = {time}\ncreation_host = {}", bag.quoted()).unwrap();
    }
    for key in ["lock_args", "allocation_policy", "profile"] {
        out += &bag.line(key);
    }
    for (key, most) in [
        ("read_ahead", u32::MAX),
        ("major", i32::MAX as u32),
        ("minor", i32::MAX as u32),
    ] {
        if bag.flip() {
            writeln!(out, "{key} = {}", bag.number(1..=u64::from(most))).unwrap();
        }
    }
    // A section in an LV is a segment.
    out += &bag.unknown(3).to_string();
    writeln!(out, "segment_count = {}\n", segments.len()).unwrap();
    let mut start = 0;
    for (number, (extents, body)) in (1..).zip(segments) {
        let body = body.trim_end_matches('\n');
        write!(
            out,
            "segment{number} {{\nstart_extent = {start}\nextent_count = {extents}\n\n{body}\n}}\n"
        )
        .unwrap();
        start += extents;
    }
    (name.to_owned(), out + "}\n")
}

fn pv(bag: &mut Bag, number: usize) -> String {
    let mut out = format!(
        "\npv{number} {{\nid = \"{}\"\ndevice = {}\n\n",
        id(10 + number),
        bag.quoted()
    );
    if bag.flip() {
        write!(
            out,
            "device_id_type = {}\ndevice_id = {}\n",
            bag.quoted(),
            bag.quoted()
        )
        .unwrap();
    }
    writeln!(out, "status = {}", bag.words(&["ALLOCATABLE", "EXPORTED"])).unwrap();
    writeln!(out, "flags = {}", bag.words(&["MISSING"])).unwrap();
    out += &bag.tags();
    if bag.flip() {
        writeln!(out, "dev_size = {}", bag.sectors().get()).unwrap();
    }
    write!(out, "pe_start = {}\npe_count = {PE_COUNT}\n", bag.sectors().get()).unwrap();
    if bag.flip() {
        let (start, size) = (bag.number(1..=i64::MAX as u64), bag.number(1..=i64::MAX as u64));
        write!(out, "ba_start = {start}\nba_size = {size}\n").unwrap();
    }
    format!("{out}{}}}\n", bag.unknown(0))
}

/// A whole text, LVs in the order of the list.
fn vg_text(head: &str, lvs: &[(String, String)]) -> String {
    let lvs: String = lvs.iter().map(|(_, text)| text.as_str()).collect();
    format!("{head}logical_volumes {{\n{lvs}}}\n\n}}\n{HEADER}")
}

/// The text of a VG up to its LVs, and those.
fn make(bag: &mut Bag) -> (String, Vec<(String, String)>) {
    let mut out = format!(
        "vg0 {{\nid = \"{}\"\nseqno = {}\nformat = \"lvm2\"\n",
        id(0),
        bag.number(0..=u64::from(u32::MAX))
    );
    let status = [
        "EXPORTED",
        "RESIZEABLE",
        "PVMOVE",
        "READ",
        "WRITE",
        "CLUSTERED",
        "SHARED",
    ];
    writeln!(out, "status = {}", bag.words(&status)).unwrap();
    writeln!(out, "flags = {}", bag.words(&["NOAUTOACTIVATE", "WRITE_LOCKED"])).unwrap();
    out += &bag.tags();
    out += &bag.line("system_id");
    if bag.flip() {
        writeln!(out, "lock_type = {}", bag.quoted()).unwrap();
        out += &bag.line("lock_args");
    }
    if bag.flip() {
        writeln!(out, "pr = [ {}, {} ]", bag.quoted(), bag.quoted()).unwrap();
    }
    writeln!(out, "extent_size = {}", bag.number(1..=u64::from(u32::MAX))).unwrap();
    for key in ["max_lv", "max_pv"] {
        writeln!(out, "{key} = {}", bag.number(0..=u64::from(u32::MAX))).unwrap();
    }
    out += &bag.line("allocation_policy");
    out += &bag.line("profile");
    write!(
        out,
        "metadata_copies = {}\n{}",
        bag.number(0..=u64::from(u32::MAX)),
        bag.unknown(0)
    )
    .unwrap();
    out += "\nphysical_volumes {\n";
    for number in 0..4 {
        out += &pv(bag, number);
    }
    out += "}\n\n";
    let mut free = Free([0; 4]);
    let mut lvs = Vec::new();
    for number in 0..1 + bag.index(4) {
        let segments: Vec<_> = (0..1 + bag.index(3))
            .map(|_| {
                let length = u32::try_from(bag.number(1..=50)).unwrap();
                plain_segment(bag, &mut free, length)
            })
            .collect();
        lvs.push(lv(bag, 100 + lvs.len(), &format!("plain{number}"), &segments));
    }
    for number in 0..bag.index(4) {
        let name = format!("d{number}");
        let (type_name, detail, parts) = detail(bag, &name);
        let body = format!(
            "type = \"{type_name}\"\n{}{}\n{}",
            bag.tags(),
            detail.print(),
            bag.unknown(3)
        );
        let own = lv(bag, 100 + lvs.len(), &name, &[(8, body)]);
        lvs.push(own);
        for part in parts {
            let area = free.take(3, 8);
            let body = format!("type = \"striped\"\nstripe_count = 1\n\nstripes = [\n{area}\n]\n");
            let own = lv(bag, 100 + lvs.len(), &part, &[(8, body)]);
            lvs.push(own);
        }
    }
    (out, lvs)
}

fn parse(text: &str) -> Vg {
    Vg::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn print(vg: &Vg) -> String {
    String::from_utf8(vg.print_raw(&provenance())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_vg_is_printed_read_back_and_backed_up_as_it_was(mut bag in bags()) {
        let (head, mut lvs) = make(&mut bag);
        // LVM writes those that users see first.
        let first = parse(&vg_text(&head, &lvs));
        lvs.sort_by_key(|(name, _)| !first.is_visible(first.lv(name).unwrap()));
        let vg = parse(&vg_text(&head, &lvs));
        let printed = print(&vg);
        prop_assert_eq!(print(&vg), printed.clone());
        let again = parse(&printed);
        prop_assert!(again == vg, "{:#?}\nis not\n{:#?}\n{}", again, vg, printed);
        prop_assert_eq!(print(&again), printed.clone());
        let file = backup_text(printed.as_bytes(), &provenance(), &|time| time.to_string()).unwrap();
        let file = String::from_utf8(file).unwrap();
        prop_assert!(parse(&file) == vg, "{}\nis not\n{}", file, printed);
    }

    #[test]
    fn any_detail_is_printed_and_read_back_as_it_was(mut bag in bags()) {
        let (type_name, detail, parts) = detail(&mut bag, "lv");
        let body = detail.print();
        prop_assert_eq!(detail.print(), body.clone());
        // Of a policy's settings, equal keys and the spelling of numbers with a dot do not come back.
        #[cfg(feature = "serde")]
        if !body.contains("policy_settings {") {
            let json = serde_json::to_string(&detail).unwrap();
            prop_assert_eq!(serde_json::from_str::<lvm_meta::detail::Detail>(&json).unwrap(), detail.clone(), "{}", json);
        }
        match Opaque::parse(&type_name, &body).unwrap() {
            Some(opaque) => {
                prop_assert_eq!(opaque.detail(), Ok(Some(detail)));
                let mut named: Vec<&str> = opaque.stands_on().iter().chain(opaque.mentions()).map(AsRef::as_ref).collect();
                let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                named.sort_unstable();
                parts.sort_unstable();
                prop_assert_eq!(named, parts);
            }
            None => prop_assert_eq!(type_name, "mirror"),
        }
    }
}
