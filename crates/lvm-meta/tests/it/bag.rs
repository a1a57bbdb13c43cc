//! Legal parts of a VG, drawn from numbers and strings of any kind.

use std::ops::RangeInclusive;
use std::sync::Arc;

use lvm_meta::config::{Body, Node, Section, Value};
use lvm_meta::detail::{
    Cache, CachePool, CacheSettings, CacheVolume, Detail, Integrity, Mirror, MirrorArea, Raid, RaidLayout,
    RaidLeg, Snapshot, Thin, ThinMessage, ThinPool, Vdo, VdoPool, Writecache,
};
use lvm_meta::{Extents, Sectors};
use proptest::prelude::*;

use crate::texts::id;

/// Numbers and strings that a VG is made of, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Bag {
    numbers: Vec<u64>,
    pub(crate) texts: Vec<String>,
    at: usize,
}

pub(crate) fn bags() -> impl Strategy<Value = Bag> {
    // All that means something somewhere in the grammar; a line's end in few of them.
    let odd = prop_oneof![
        3 => "[a-zA-Z0-9_. -]{0,6}",
        3 => "[a\"\\\\#{}=,' /\\[\\]\t\u{e9}\u{65e5}]{0,6}",
        1 => "[a\"\\\\#{}=\n\r\u{b}\t]{0,4}",
    ];
    let numbers = prop::collection::vec(any::<u64>(), 60..200);
    let texts = prop::collection::vec(odd, 7..40);
    (numbers, texts, any::<bool>()).prop_map(|(numbers, mut texts, has_line_ends)| {
        if !has_line_ends {
            texts
                .iter_mut()
                .for_each(|text| text.retain(|c| !LINE_ENDS.contains(&c)));
        }
        Bag {
            numbers,
            texts,
            at: 0,
        }
    })
}

/// What ends a line, in strings of half the bags.
pub(crate) const LINE_ENDS: [char; 3] = ['\n', '\r', '\u{b}'];

impl Bag {
    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
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

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.number(0..=u64::MAX >> 8)).unwrap() % length
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.index(2) == 1
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flip().then(|| make(self))
    }

    pub(crate) fn text(&mut self) -> Arc<str> {
        self.at += 1;
        self.texts[self.at % self.texts.len()].as_str().into()
    }

    pub(crate) fn one_of(&mut self, words: &[&str]) -> Arc<str> {
        words[self.index(words.len())].into()
    }

    /// As it stands in a text.
    pub(crate) fn quoted(&mut self) -> String {
        quoted(&self.text())
    }

    pub(crate) fn sectors(&mut self) -> Sectors {
        Sectors::new(self.number(0..=i64::MAX as u64))
    }

    pub(crate) fn power(&mut self) -> Sectors {
        Sectors::new(1 << self.number(0..=31))
    }

    /// Some of these words, and some that nobody knows.
    pub(crate) fn words(&mut self, known: &[&str]) -> String {
        let mut words: Vec<String> = known
            .iter()
            .filter(|_| self.flip())
            .map(|word| quoted(word))
            .collect();
        words.extend(self.maybe(|bag| quoted(&format!("X{}", bag.text()))));
        format!("[{}]", words.join(", "))
    }

    pub(crate) fn tags(&mut self) -> String {
        let tags: Vec<String> = (0..self.index(3)).map(|_| self.quoted()).collect();
        if tags.is_empty() {
            String::new()
        } else {
            format!("tags = [{}]\n", tags.join(", "))
        }
    }

    /// A line of a key that may be absent.
    pub(crate) fn line(&mut self, key: &str) -> String {
        let line = self.maybe(|bag| format!("{key} = {}\n", bag.quoted()));
        line.unwrap_or_default()
    }

    pub(crate) fn scalar(&mut self) -> Value {
        match self.index(3) {
            0 => Value::Int(self.number(0..=u64::MAX) as i64),
            1 => Value::Float("-12.50".into()),
            _ => Value::Str((*self.text()).into()),
        }
    }

    /// Keys and sections that nobody knows.
    pub(crate) fn unknown(&mut self, depth: usize) -> Section {
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

pub(crate) fn quoted(text: &str) -> String {
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
        metadata_format: bag.maybe(|bag| if is_pool { bag.number(1..=2) } else { 2 }),
        chunk_size: Some(Sectors::new(64 * bag.number(1..=32_768))),
        mode: bag.maybe(|bag| bag.one_of(&["writethrough", "writeback", "passthrough"])),
        policy: (policy_settings.is_some() || bag.flip()).then_some(policy),
        policy_settings,
    }
}

/// A detail of any type, its type with the words that go with it, and the LVs that it stands on.
pub(crate) fn detail(bag: &mut Bag, prefix: &str) -> (String, Detail, Vec<String>) {
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
                discards: bag.maybe(|bag| bag.one_of(&["passdown", "nopassdown", "ignore"])),
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
                metadata_id: bag.maybe(|_| id(8).into()),
                data_id: bag.maybe(|_| id(9).into()),
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
                mode: bag.one_of(&["D", "J", "B", "R"]),
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
