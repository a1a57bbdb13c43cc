//! VGs put together from any legal parts: printed, they are read back as they were; so they are from a backup file.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use lvm_meta::config::{Body, Node, Section, Value};
use lvm_meta::detail::{
    Cache, CachePool, CacheSettings, CacheVolume, Detail, Integrity, Mirror, MirrorArea, Raid, RaidLayout,
    RaidLeg, Snapshot, Thin, ThinMessage, ThinPool, Vdo, VdoPool, Writecache,
};
use lvm_meta::{Extents, Opaque, Sectors, Vg, backup_text};
use proptest::prelude::*;

use crate::support::provenance;
use crate::texts::{HEADER, id};

/// Numbers and strings that a VG is made of, one after the other.
#[derive(Clone, Debug)]
struct Bag {
    numbers: Vec<u64>,
    texts: Vec<String>,
    at: usize,
}

fn bags() -> impl Strategy<Value = Bag> {
    // All that means something somewhere in the grammar; a line's end in few of them.
    let odd = prop_oneof![
        3 => "[a-zA-Z0-9_. -]{0,6}",
        3 => "[a\"\\\\#{}=,' /\\[\\]\t\u{e9}\u{65e5}]{0,6}",
        1 => "[a\"\\\\#{}=\n\r\u{b}\t]{0,4}",
    ];
    let numbers = prop::collection::vec(any::<u64>(), 60..200);
    (numbers, prop::collection::vec(odd, 7..40)).prop_map(|(numbers, texts)| Bag {
        numbers,
        texts,
        at: 0,
    })
}

impl Bag {
    fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.at += 1;
        let (least, most) = range.into_inner();
        let drawn = self.numbers[self.at % self.numbers.len()];
        // The bounds come often.
        match drawn % 8 {
            0 => least,
            1 => most,
            _ => least + drawn / 8 % (most - least).max(1),
        }
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.number(0..=u64::MAX >> 8)).unwrap() % length
    }

    fn flip(&mut self) -> bool {
        self.index(2) == 1
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flip().then(|| make(self))
    }

    fn text(&mut self) -> Arc<str> {
        self.at += 1;
        self.texts[self.at % self.texts.len()].as_str().into()
    }

    /// As it stands in a text.
    fn quoted(&mut self) -> String {
        quoted(&self.text())
    }

    fn sectors(&mut self) -> Sectors {
        Sectors::new(self.number(0..=i64::MAX as u64))
    }

    fn power(&mut self) -> Sectors {
        Sectors::new(1 << self.number(0..=31))
    }

    /// Some of these words, and some that nobody knows.
    fn words(&mut self, known: &[&str]) -> String {
        let mut words: Vec<String> = known
            .iter()
            .filter(|_| self.flip())
            .map(|word| quoted(word))
            .collect();
        words.extend(self.maybe(|bag| quoted(&format!("X{}", bag.text()))));
        format!("[{}]", words.join(", "))
    }

    fn tags(&mut self) -> String {
        let tags: Vec<String> = (0..self.index(3)).map(|_| self.quoted()).collect();
        if tags.is_empty() {
            String::new()
        } else {
            format!("tags = [{}]\n", tags.join(", "))
        }
    }

    /// A line of a key that may be absent.
    fn line(&mut self, key: &str) -> String {
        let line = self.maybe(|bag| format!("{key} = {}\n", bag.quoted()));
        line.unwrap_or_default()
    }

    fn scalar(&mut self) -> Value {
        match self.index(3) {
            0 => Value::Int(self.number(0..=u64::MAX) as i64),
            1 => Value::Float("-12.50".into()),
            _ => Value::Str((*self.text()).into()),
        }
    }

    /// Keys and sections that nobody knows.
    fn unknown(&mut self, depth: usize) -> Section {
        let nodes = (0..self.index(3)).map(|_| {
            let key = format!("x{}", self.text().replace('/', ":"));
            let body = match self.index(4) {
                0 if depth < 3 => Body::Section(self.unknown(depth + 1)),
                1 => {
                    let items = (0..self.index(3)).map(|_| self.scalar()).collect();
                    Body::Value(Value::List(items))
                }
                _ => Body::Value(self.scalar()),
            };
            Node::new(&key, body)
        });
        Section::new(nodes.collect())
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

const RAID: [RaidLayout; 6] = [
    RaidLayout::Raid0,
    RaidLayout::Raid0Meta,
    RaidLayout::Raid1,
    RaidLayout::Raid10,
    RaidLayout::Raid5Ls,
    RaidLayout::Raid6,
];

fn cache_settings(bag: &mut Bag, is_pool: bool) -> CacheSettings {
    let policy_settings = bag.maybe(|bag| bag.unknown(3));
    let policy = bag.text();
    CacheSettings {
        metadata_format: bag.maybe(|bag| bag.number(1..=2)),
        chunk_size: (is_pool || bag.flip()).then(|| Sectors::new(64 * bag.number(1..=32_768))),
        mode: bag.maybe(Bag::text),
        policy: (policy_settings.is_some() || bag.flip()).then_some(policy),
        policy_settings,
    }
}

/// A detail of any type, its type with the words that go with it, and the LVs that it stands on.
fn detail(bag: &mut Bag, prefix: &str) -> (String, Detail, Vec<String>) {
    let mut parts = Vec::new();
    let mut part = |suffix: &str| -> Arc<str> {
        let name = format!("{prefix}{suffix}");
        parts.push(name.clone());
        name.into()
    };
    const U32: RangeInclusive<u64> = 0..=u32::MAX as u64;
    const U63: RangeInclusive<u64> = 0..=i64::MAX as u64;
    let (type_name, detail) = match bag.index(11) {
        0 => {
            let images = ["_mimage_0", "_mimage_1"].map(|suffix| MirrorArea {
                name: part(suffix),
                start: 0,
            });
            let mirror = Mirror {
                extents_moved: bag.maybe(|bag| bag.number(U32)),
                log: bag.flip().then(|| part("_mlog")),
                region_size: bag.maybe(Bag::power),
                images: images.into(),
            };
            ("mirror".into(), Detail::Mirror(mirror))
        }
        1 => {
            let layout = RAID[bag.index(RAID.len())];
            let has_meta = layout != RaidLayout::Raid0;
            let legs = (0..1 + bag.index(4)).map(|leg| RaidLeg {
                meta: has_meta.then(|| part(&format!("_rmeta_{leg}"))),
                image: part(&format!("_rimage_{leg}")),
            });
            let min = bag.maybe(|bag| bag.number(U32));
            let raid = Raid {
                layout,
                legs: legs.collect(),
                data_copies: bag.maybe(|bag| bag.number(1..=64)),
                region_size: (has_meta || bag.flip()).then(|| bag.power()),
                stripe_size: (layout != RaidLayout::Raid1).then(|| bag.power()),
                write_behind: bag.maybe(|bag| bag.number(U32)),
                min_recovery_rate: min,
                max_recovery_rate: bag.maybe(|bag| bag.number(min.unwrap_or(0)..=*U32.end())),
                data_offset: bag.maybe(|bag| Sectors::new(bag.number(U32))),
            };
            (layout.as_str().into(), Detail::Raid(raid))
        }
        2 => {
            let snapshot = Snapshot {
                chunk_size: Sectors::new(bag.number(1..=*U32.end())),
                origin: part("_o"),
                store: part("_s"),
                is_merging: bag.flip(),
            };
            ("snapshot".into(), Detail::Snapshot(snapshot))
        }
        3 => {
            let crop_metadata = bag.maybe(Bag::flip);
            let create = bag.maybe(|_| ThinMessage::Create(part("_web")));
            let device = u32::try_from(bag.number(0..=16_777_215)).unwrap();
            let delete = bag.maybe(|_| ThinMessage::Delete(device));
            let pool = ThinPool {
                metadata: part("_tmeta"),
                data: part("_tdata"),
                transaction_id: bag.number(U63),
                chunk_size: Sectors::new(128 * bag.number(1..=16_384)),
                discards: bag.maybe(Bag::text),
                zero_new_blocks: bag.flip(),
                crop_metadata,
                messages: create.into_iter().chain(delete).collect(),
            };
            let word = if crop_metadata.is_some() {
                "+CROP_METADATA"
            } else {
                ""
            };
            (format!("thin-pool{word}"), Detail::ThinPool(pool))
        }
        4 => {
            let thin = Thin {
                pool: part("_p"),
                transaction_id: bag.number(U63),
                device_id: u32::try_from(bag.number(0..=16_777_215)).unwrap(),
                external_origin: bag.flip().then(|| part("_e")),
                origin: bag.flip().then(|| part("_o")),
                merge: bag.flip().then(|| part("_m")),
            };
            ("thin".into(), Detail::Thin(thin))
        }
        5 => {
            let settings = cache_settings(bag, true);
            let word = if settings.metadata_format == Some(2) {
                "+METADATA_FORMAT"
            } else {
                ""
            };
            let (data, metadata) = (part("_cdata"), part("_cmeta"));
            let pool = CachePool {
                data,
                metadata,
                settings,
            };
            (format!("cache-pool{word}"), Detail::CachePool(pool))
        }
        6 => {
            let volume = bag.maybe(|bag| CacheVolume {
                settings: cache_settings(bag, false),
                metadata_start: bag.sectors(),
                metadata_len: bag.sectors(),
                data_start: bag.sectors(),
                data_len: bag.sectors(),
                metadata_id: bag.maybe(Bag::text),
                data_id: bag.maybe(Bag::text),
            });
            let word = if volume.is_some() {
                "+CACHE_USES_CACHEVOL"
            } else {
                ""
            };
            let cache = Cache {
                pool: part("_cpool"),
                origin: part("_corig"),
                cleaner: bag.maybe(|bag| bag.number(U32)),
                volume,
            };
            (format!("cache{word}"), Detail::Cache(cache))
        }
        7 => {
            let keys = Writecache::SETTINGS
                .into_iter()
                .filter(|_| bag.flip())
                .collect::<Vec<_>>();
            let cache = Writecache {
                cache: part("_cvol"),
                origin: part("_wcorig"),
                block_size: if bag.flip() { 512 } else { 4096 },
                settings: keys.into_iter().map(|key| (key, bag.number(U32))).collect(),
                other_setting: bag.maybe(|bag| (bag.text(), bag.text())),
            };
            ("writecache".into(), Detail::Writecache(cache))
        }
        8 => {
            let keys = Integrity::SETTINGS
                .into_iter()
                .filter(|_| bag.flip())
                .collect::<Vec<_>>();
            let integrity = Integrity {
                origin: part("_iorig"),
                data_sectors: bag.sectors(),
                mode: bag.text(),
                tag_size: bag.number(U32),
                block_size: bag.number(U32),
                internal_hash: bag.text(),
                meta: bag.flip().then(|| part("_imeta")),
                settings: keys.into_iter().map(|key| (key, bag.number(U32))).collect(),
            };
            ("integrity".into(), Detail::Integrity(integrity))
        }
        9 => {
            let mut settings: Vec<u64> = VdoPool::SETTINGS
                .into_iter()
                .map(|(_, range)| bag.number(range))
                .collect();
            settings[0] = if bag.flip() { 512 } else { 4096 };
            let has_threads = bag.flip();
            for (at, most) in [(10, 100), (11, 60), (12, 16)] {
                settings[at] = if has_threads { bag.number(1..=most) } else { 0 };
            }
            let pool = VdoPool {
                data: part("_vdata"),
                header_size: Sectors::new(bag.number(U32)),
                virtual_extents: Extents::new(u32::try_from(bag.number(U32)).unwrap()),
                use_compression: bag.flip(),
                use_deduplication: bag.flip(),
                use_metadata_hints: bag.flip(),
                use_sparse_index: bag.flip(),
                settings,
                write_policy: bag.maybe(|bag| {
                    if bag.flip() {
                        "sync".into()
                    } else {
                        "async-unsafe".into()
                    }
                }),
            };
            ("vdo-pool".into(), Detail::VdoPool(pool))
        }
        _ => {
            let vdo = Vdo {
                pool: part("_vpool"),
                offset: Extents::new(u32::try_from(bag.number(U32)).unwrap()),
            };
            ("vdo".into(), Detail::Vdo(vdo))
        }
    };
    (type_name, detail, parts)
}

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
        // A file is written line by line: what is not laid out so is refused, and never written as something else.
        match backup_text(printed.as_bytes(), &provenance(), &|time| time.to_string()) {
            Ok(file) => prop_assert!(parse(&file) == vg, "{}\nis not\n{}", file, printed),
            Err(error) => prop_assert!(printed.contains(['\r', '\u{b}']) || bag.texts.iter().any(|text| text.contains('\n')), "{}\n{}", error, printed),
        }
    }

    #[test]
    fn any_detail_is_printed_and_read_back_as_it_was(mut bag in bags()) {
        let (type_name, detail, parts) = detail(&mut bag, "lv");
        let body = detail.print();
        prop_assert_eq!(detail.print(), body.clone());
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
