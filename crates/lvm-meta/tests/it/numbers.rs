//! Every number of a VG's text, with what does not fit it: refused by its key and its place, or taken and printed back
//! as it was.  Never cut.

use std::collections::BTreeSet;
use std::ops::Range;

use lvm_meta::{Error, Opaque, SegmentKind, Vg};

use crate::support::provenance;
use crate::texts::{LvText, hidden, linear, part, shown, vg};

/// A place of the text where a number stands.
struct Number {
    key: String,
    /// Bytes of the text.
    at: Range<usize>,
    /// First byte of the item: of the key, or of the segment that a mirror's area is in.
    item: usize,
    stored: String,
}

/// Every number behind a key, and every extent in a list of areas, up to the header block.
fn numbers(text: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let mut list: Option<(String, usize)> = None;
    let (mut at, mut segment) = (0, 0);
    for line in text[..text.find("# Generated").unwrap()].split_inclusive('\n') {
        let trimmed = line.trim();
        let mut push = |key: &str, item: usize, stored: &str| {
            if stored.parse::<i64>().is_ok() {
                let from = at + line.rfind(stored).unwrap();
                numbers.push(Number {
                    key: key.to_owned(),
                    at: from..from + stored.len(),
                    item,
                    stored: stored.to_owned(),
                });
            }
        };
        match (trimmed.split_once('='), &list) {
            (None, Some((key, item))) => {
                let stored = trimmed.trim_end_matches(',').rsplit(' ').next().unwrap();
                push(key, *item, stored);
            }
            (Some((key, value)), _) => push(key.trim(), at, value.trim()),
            (None, None) => {}
        }
        if let Some(key) = trimmed.strip_suffix(" = [") {
            // What a mirror lies on is known at its end only: the error points at the segment.
            let item = if key == "mirrors" { segment } else { at };
            list = Some((key.to_owned(), item));
        } else if trimmed == "]" {
            list = None;
        } else if trimmed.starts_with("segment") && trimmed.ends_with('{') {
            segment = at;
        }
        at += line.len();
    }
    numbers
}

/// Texts that hold every number that we read between them.
fn texts() -> Vec<String> {
    let rare = "tags = []\ncreation_time = 1700000000\ncreation_host = \"n\"\nread_ahead = 256\nmajor = 253\nminor = 7\n\
                segment_count = 2\n";
    let reshaped = "reshape_count = 1\ntype = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pv0\", 3\n]";
    let striped =
        "type = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\nstripes = [\n\"pv1\", 3,\n\"pv2\", 0\n]";
    let plain = vg(&[shown("data", 16, striped).and(4, reshaped)])
        .replacen("segment_count = 2\n", rare, 1)
        .replacen(
            "pe_count = 1000\n",
            "pe_count = 1000\nba_start = 1024\nba_size = 8\n",
            1,
        );
    let one = |body: &str, parts: &[&str]| {
        let mut lvs: Vec<LvText> = vec![shown("lv", 8, body)];
        lvs.extend(
            (0..)
                .zip(parts)
                .map(|(number, name)| part(name, 3, number * 8, 8)),
        );
        vg(&lvs)
    };
    let mirror = "type = \"mirror\"\nmirror_count = 2\nextents_moved = 8\nregion_size = 4096\n\nmirrors = [\n\"pv0\", 8,\n\
                  \"pv1\", 8\n]";
    let raids = "raids = [\n\"l_rmeta_0\", \"l_rimage_0\",\n\"l_rmeta_1\", \"l_rimage_1\"\n]";
    let legs = ["l_rmeta_0", "l_rimage_0", "l_rmeta_1", "l_rimage_1"];
    let raid1 = format!(
        "type = \"raid1\"\ndevice_count = 2\nregion_size = 4096\nwritebehind = 512\nmin_recovery_rate = 8\n\
         max_recovery_rate = 64\n\n{raids}"
    );
    let raid10 = format!(
        "type = \"raid10\"\ndevice_count = 2\ndata_copies = 2\nregion_size = 4096\nstripe_size = 128\ndata_offset = 8\n\n\
         {raids}"
    );
    let raid0 = format!("type = \"raid0_meta\"\nstripe_count = 2\nstripe_size = 128\n\n{raids}");
    let snapshot = "type = \"snapshot\"\nchunk_size = 8\norigin = \"o\"\ncow_store = \"s\"";
    let pool = "type = \"thin-pool+CROP_METADATA\"\nmetadata = \"l_tmeta\"\npool = \"l_tdata\"\ntransaction_id = 8\n\
                chunk_size = 128\nzero_new_blocks = 1\ncrop_metadata = 1\n\nmessage1 {\ndelete = 8\n}";
    let thin = "type = \"thin\"\nthin_pool = \"p\"\ntransaction_id = 8\ndevice_id = 8";
    let cache_pool = "type = \"cache-pool+METADATA_FORMAT\"\ndata = \"l_cdata\"\nmetadata = \"l_cmeta\"\n\
                      metadata_format = 2\nchunk_size = 128\npolicy = \"smq\"\npolicy_settings {\n\tthreshold=8\n}";
    let cache = "type = \"cache+CACHE_USES_CACHEVOL\"\ncache_pool = \"v\"\norigin = \"o\"\ncleaner = 1\n\
                 metadata_format = 2\nchunk_size = 128\nmetadata_start = 8\nmetadata_len = 8\ndata_start = 16\ndata_len = 8";
    let writecache = "type = \"writecache\"\nwritecache = \"v\"\norigin = \"o\"\nwritecache_block_size = 4096\n\
                      high_watermark = 50\nlow_watermark = 45\nwriteback_jobs = 8\nautocommit_blocks = 8\n\
                      autocommit_time = 8\nfua = 1\nnofua = 1\ncleaner = 1\nmax_age = 8\nmetadata_only = 1\n\
                      pause_writeback = 1";
    let integrity = "type = \"integrity\"\norigin = \"o\"\ndata_sectors = 8\nmode = \"J\"\ntag_size = 4\nblock_size = 512\n\
                     internal_hash = \"crc32c\"\nrecalculate = 1\njournal_sectors = 8\ninterleave_sectors = 8\n\
                     buffer_sectors = 8\njournal_watermark = 8\ncommit_time = 8\nbitmap_flush_interval = 8\n\
                     sectors_per_bit = 8\nallow_discards = 1";
    let vdo_pool = "type = \"vdo-pool\"\ndata = \"o\"\nheader_size = 1024\nvirtual_extents = 8\n\nuse_compression = 1\n\
                    use_deduplication = 1\nuse_metadata_hints = 1\nminimum_io_size = 4096\nblock_map_cache_size_mb = 128\n\
                    block_map_era_length = 8\nuse_sparse_index = 1\nindex_memory_size_mb = 256\nmax_discard = 1\n\
                    slab_size_mb = 512\nack_threads = 1\nbio_threads = 4\nbio_rotation = 64\ncpu_threads = 2\n\
                    hash_zone_threads = 1\nlogical_threads = 1\nphysical_threads = 1";
    vec![
        plain,
        vg(&[
            shown(
                "data",
                8,
                "type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pvmove0\", 0\n]",
            ),
            hidden("pvmove0", 8, mirror),
        ]),
        one(&raid1, &legs),
        one(&raid10, &legs),
        one(&raid0, &legs),
        one(snapshot, &["o", "s"]),
        one(pool, &["l_tmeta", "l_tdata"]),
        one(thin, &["p"]),
        one(cache_pool, &["l_cdata", "l_cmeta"]),
        one(cache, &["v", "o"]),
        one(writecache, &["v", "o"]),
        one(integrity, &["o"]),
        one(vdo_pool, &["o"]),
        one("type = \"vdo\"\nvdo_pool = \"o\"\nvdo_offset = 8", &["o"]),
        vg(&[shown("a", 8, &linear(0, 0))
            .and(8, "type = \"zero\"")
            .and(8, "type = \"error\"")]),
    ]
}

fn opaques(vg: &Vg) -> impl Iterator<Item = &Opaque> {
    vg.lvs()
        .flat_map(|lv| lv.segments())
        .filter_map(|segment| match segment.kind() {
            SegmentKind::Other(other) => Some(other),
            _ => None,
        })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim)
}

/// Tells whether a number is taken with this value; then it comes back as it is.
fn is_taken(text: &str, number: &Number, value: &str, printed: &str) -> bool {
    let mut changed = text.to_owned();
    changed.replace_range(number.at.clone(), value);
    let line = changed[..number.at.start].rfind('\n').map_or(0, |at| at + 1);
    let line = lines(&changed[line..]).next().unwrap().to_owned();
    let back = line.replacen(value, printed, 1);
    let vg = match Vg::parse(changed.as_bytes()) {
        Ok(vg) => vg,
        Err(Error::Corrupt { at, kind, .. }) => {
            let message = kind.to_string();
            let key = &number.key;
            assert!(message.contains(key.as_str()), "{key} = {value}: {message}");
            let at = usize::try_from(at).unwrap();
            let is_near = (number.item..number.at.end).contains(&at);
            assert!(is_near, "{key} = {value}: {message} at {at}, not {:?}", number.at);
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    let again = String::from_utf8(vg.print_raw(&provenance())).unwrap();
    let Some(opaque) = opaques(&vg).find(|own| lines(own.body()).any(|own| own == line)) else {
        assert!(lines(&again).any(|own| own == back), "{line}\n{again}");
        return true;
    };
    // The text of other types stays as it is, whatever it says.
    assert!(lines(&again).any(|own| own == line), "{line}\n{again}");
    match opaque.detail() {
        Ok(detail) => {
            let own = detail.unwrap().print();
            assert!(lines(&own).any(|own| own == back), "{line}\n{own}");
            true
        }
        Err(error) => {
            assert_eq!(error.key, number.key, "{error}");
            false
        }
    }
}

/// Fields of 64 bits, as LVM reads them; 63 without the sign.
const WIDE: [&str; 18] = [
    "autocommit_blocks",
    "autocommit_time",
    "ba_size",
    "ba_start",
    "creation_time",
    "data_len",
    "data_sectors",
    "data_start",
    "dev_size",
    "high_watermark",
    "low_watermark",
    "metadata_len",
    "metadata_start",
    "pe_start",
    "sectors_per_bit",
    "threshold",
    "transaction_id",
    "writeback_jobs",
];

#[test]
fn no_number_is_cut_to_its_field() {
    let mut keys = BTreeSet::new();
    let mut taken: BTreeSet<(&str, String)> = BTreeSet::new();
    // What LVM reads as 64 bits with a sign, and what is no number to it.
    let values = [
        "4294967296",
        "-1",
        "18446744073709551615",
        "9223372036854775808",
        "12abc",
        "0x10",
        "\"8\"",
        "8.0",
    ];
    for text in texts() {
        Vg::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for number in numbers(&text) {
            assert!(
                is_taken(&text, &number, &number.stored, &number.stored),
                "{}",
                number.key
            );
            for value in values {
                let is_odd_in_lvm = match number.key.as_str() {
                    // A time that overflows is one of 2018, which older tools wrote.
                    "creation_time" => value.len() > 18,
                    // A device number below 0 is none, and is not written again.
                    "major" | "minor" => value == "-1",
                    _ => false,
                };
                if is_odd_in_lvm {
                    continue;
                }
                if is_taken(&text, &number, value, value) {
                    taken.insert((value, number.key.clone()));
                }
            }
            keys.insert(number.key);
        }
    }
    let with = |value: &str| -> Vec<String> {
        let own = taken.iter().filter(|(own, _)| *own == value);
        own.map(|(_, key)| key.clone()).collect()
    };
    assert_eq!(keys.len(), 87);
    assert_eq!(with("4294967296"), WIDE);
    assert_eq!(with("-1"), ["read_ahead", "threshold"]);
    // A policy's settings are the kernel's: any value will do.
    assert_eq!(with("\"8\""), ["threshold"]);
    assert_eq!(with("8.0"), ["threshold"]);
    for value in ["18446744073709551615", "9223372036854775808", "12abc", "0x10"] {
        assert_eq!(with(value), [] as [&str; 0], "{value}");
    }
}

#[test]
fn a_leading_zero_makes_a_number_octal_as_in_lvm() {
    for text in texts() {
        for number in numbers(&text) {
            let octal = format!("0{:o}", number.stored.parse::<u64>().unwrap());
            assert!(
                is_taken(&text, &number, &octal, &number.stored),
                "{} = {octal}",
                number.key
            );
        }
    }
}
