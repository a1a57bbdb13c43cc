use super::*;
use crate::Opaque;
use crate::text;

/// Bodies of every type as LVM prints them.
const BODIES: &[(&str, &str)] = &[
    (
        "mirror",
        "mirror_count = 2\nmirror_log = \"home_mlog\"\nregion_size = 4096\n\nmirrors = [\n\"home_mimage_0\", 0,\n\"home_mimage_1\", 0\n]",
    ),
    (
        "mirror",
        "mirror_count = 2\nextents_moved = 0\nregion_size = 4096\n\nmirrors = [\n\"pv2\", 0,\n\"pv3\", 7\n]",
    ),
    (
        "raid1",
        "device_count = 2\nregion_size = 4096\nwritebehind = 512\nmin_recovery_rate = 128\nmax_recovery_rate = 1024\n\nraids = [\n\"db_rmeta_0\", \"db_rimage_0\",\n\"db_rmeta_1\", \"db_rimage_1\"\n]",
    ),
    (
        "raid5_ls+RESHAPE+RESHAPE_DATA_OFFSET",
        "device_count = 3\nregion_size = 4096\nstripe_size = 128\ndata_offset = 0\n\nraids = [\n\"r_rmeta_0\", \"r_rimage_0\",\n\"r_rmeta_1\", \"r_rimage_1\",\n\"r_rmeta_2\", \"r_rimage_2\"\n]",
    ),
    (
        "raid10",
        "device_count = 2\ndata_copies = 2\nregion_size = 4096\nstripe_size = 128\n\nraids = [\n\"a_rmeta_0\", \"a_rimage_0\",\n\"a_rmeta_1\", \"a_rimage_1\"\n]",
    ),
    (
        "raid0",
        "stripe_count = 2\nstripe_size = 128\n\nraid0_lvs = [\n\"r0_rimage_0\",\n\"r0_rimage_1\"\n]",
    ),
    (
        "raid0_meta",
        "stripe_count = 1\nstripe_size = 128\n\nraids = [\n\"r_rmeta_0\", \"r_rimage_0\"\n]",
    ),
    (
        "snapshot",
        "chunk_size = 8\norigin = \"root\"\ncow_store = \"root_snap\"",
    ),
    (
        "snapshot",
        "chunk_size = 8\norigin = \"root\"\nmerging_store = \"root_snap\"",
    ),
    (
        "thin-pool",
        "metadata = \"pool0_tmeta\"\npool = \"pool0_tdata\"\ntransaction_id = 3\nchunk_size = 128\ndiscards = \"passdown\"\nzero_new_blocks = 1\n\nmessage1 {\ncreate = \"web2\"\n}\nmessage2 {\ndelete = 9\n}",
    ),
    (
        "thin-pool+CROP_METADATA",
        "metadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 0\nchunk_size = 2048\ndiscards = \"ignore\"\ncrop_metadata = 0",
    ),
    (
        "thin",
        "thin_pool = \"pool0\"\ntransaction_id = 2\ndevice_id = 2\norigin = \"web1\"",
    ),
    (
        "thin",
        "thin_pool = \"p\"\ntransaction_id = 2\ndevice_id = 16777215\nexternal_origin = \"e\"\norigin = \"a\"\nmerge = \"a\"",
    ),
    (
        "cache-pool+METADATA_FORMAT",
        "data = \"fast_cpool_cdata\"\nmetadata = \"fast_cpool_cmeta\"\nmetadata_format = 2\nchunk_size = 128\ncache_mode = \"writethrough\"\npolicy = \"smq\"\npolicy_settings {\n\tmigration_threshold=2048\n}",
    ),
    (
        "cache",
        "cache_pool = \"fast_cpool\"\norigin = \"data_corig\"\ncleaner = 1",
    ),
    (
        "cache+CACHE_USES_CACHEVOL",
        "cache_pool = \"fast_cvol\"\norigin = \"data_corig\"\nmetadata_format = 2\nchunk_size = 128\ncache_mode = \"writeback\"\npolicy = \"smq\"\nmetadata_start = 0\nmetadata_len = 16384\ndata_start = 16384\ndata_len = 114688",
    ),
    (
        "writecache",
        "writecache = \"nvme_cvol\"\norigin = \"data_wcorig\"\nwritecache_block_size = 4096\nhigh_watermark = 50\nlow_watermark = 45\nwritecache_setting_key = \"a\"\nwritecache_setting_val = \"b\"",
    ),
    (
        "integrity",
        "origin = \"ri_rimage_0_iorig\"\ndata_sectors = 65536\nmode = \"B\"\ntag_size = 4\nblock_size = 512\ninternal_hash = \"crc32c\"\nmeta_dev = \"ri_rimage_0_imeta\"\nrecalculate = 1\nsectors_per_bit = 5000000000",
    ),
    (
        "vdo-pool",
        "data = \"vpool_vdata\"\nheader_size = 1024\nvirtual_extents = 1024\n\nuse_compression = 1\nuse_deduplication = 1\nminimum_io_size = 4096\nblock_map_cache_size_mb = 128\nblock_map_era_length = 16380\nuse_sparse_index = 1\nindex_memory_size_mb = 256\nmax_discard = 1\nslab_size_mb = 512\nack_threads = 1\nbio_threads = 4\nbio_rotation = 64\ncpu_threads = 2\nhash_zone_threads = 1\nlogical_threads = 1\nphysical_threads = 1\nwrite_policy = async-unsafe",
    ),
    ("vdo", "vdo_pool = \"vpool\"\nvdo_offset = 0"),
];

fn read(type_name: &str, body: &str) -> Result<Option<Detail>, DetailError> {
    Detail::read(type_name, &text::parse(body.as_bytes()).unwrap())
}

#[test]
fn every_type_is_read_and_printed_as_lvm_prints_it() {
    for (type_name, body) in BODIES {
        let detail = read(type_name, body).unwrap().unwrap();
        assert_eq!(detail.print(), *body, "{type_name}");
    }
}

#[test]
fn each_field_must_be_there_unless_it_is_optional_and_be_of_its_kind() {
    for (type_name, body) in BODIES {
        for line in body
            .lines()
            .filter(|line| line.contains(" = ") && !line.ends_with('['))
        {
            let (key, value) = line.split_once(" = ").unwrap();
            for (with, may_pass) in [
                (String::new(), true),
                (format!("{key} = [ 1, \"x\" ]"), false),
                (format!("{key} = -1"), false),
            ] {
                let changed = body.replacen(line, &with, 1);
                match read(type_name, &changed) {
                    // What is optional may go.
                    Ok(Some(detail)) => {
                        assert!(may_pass, "{type_name}: {with:?} for {value}");
                        assert_ne!(detail.print(), *body);
                    }
                    Ok(None) => panic!("{type_name} is known"),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}

#[test]
fn numbers_outside_their_bounds_are_refused_and_never_cut() {
    for (type_name, body, from, to) in [
        ("thin", 11, "device_id = 2", "device_id = 16777216"),
        ("thin-pool", 9, "chunk_size = 128", "chunk_size = 4294967424"),
        ("thin-pool", 9, "chunk_size = 128", "chunk_size = 129"),
        ("thin-pool", 9, "delete = 9", "delete = 4294967305"),
        ("raid1", 2, "device_count = 2", "device_count = 3"),
        ("raid1", 2, "min_recovery_rate = 128", "min_recovery_rate = 2048"),
        ("mirror", 0, "region_size = 4096", "region_size = 4095"),
        ("vdo", 19, "vdo_offset = 0", "vdo_offset = 4294967296"),
        ("vdo-pool", 18, "logical_threads = 1", "logical_threads = 0"),
        ("writecache", 16, "4096", "1024"),
        ("mirror", 0, "mirror_count = 2", "mirror_count = 0"),
        ("raid1", 2, "region_size = 4096", "region_size = 0"),
        ("raid1", 2, "region_size", "stripe_count = 2\nregion_size"),
        ("thin-pool", 9, "\"passdown\"", "\"some\""),
        ("thin-pool", 9, "delete = 9", "create = \"web2\""),
        ("cache-pool", 13, "\"writethrough\"", "\"some\""),
        ("cache", 14, "cleaner = 1", "policy = \"mq\""),
        ("cache", 14, "cleaner = 1", "policy_settings {\n}"),
        ("cache", 15, "chunk_size = 128\n", ""),
        ("cache", 15, "metadata_format = 2", "metadata_format = 1"),
        ("cache", 15, "data_start", "data_id = \"some\"\ndata_start"),
        ("integrity", 17, "\"B\"", "\"12345678\""),
        ("vdo-pool", 18, "async-unsafe", "some"),
    ] {
        let changed = BODIES[body].1.replacen(from, to, 1);
        assert_ne!(changed, BODIES[body].1);
        assert!(read(type_name, &changed).is_err(), "{type_name}: {to}");
    }
}

#[test]
fn numbers_that_lvm_takes_for_the_same_are_taken() {
    for (type_name, body, from, to) in [
        ("raid1", 2, "max_recovery_rate = 1024", "max_recovery_rate = 0"),
        ("raid1", 2, "region_size", "stripe_size = 0\nregion_size"),
        ("raid10", 4, "data_copies = 2", "data_copies = 0"),
        ("thin-pool", 9, "zero_new_blocks = 1", "zero_new_blocks = 2"),
        ("thin-pool", 9, "\"passdown\"", "\"PassDown\""),
    ] {
        let changed = BODIES[body].1.replacen(from, to, 1);
        assert_ne!(changed, BODIES[body].1);
        assert!(read(type_name, &changed).is_ok(), "{type_name}: {to}");
    }
}

#[test]
fn words_behind_a_type_go_with_its_fields() {
    for (type_name, body) in [
        (
            "cache-pool+METADATA_FORMAT",
            &*BODIES[13].1.replace("metadata_format = 2", "metadata_format = 1"),
        ),
        ("cache+CACHE_USES_CACHEVOL", BODIES[14].1),
    ] {
        assert!(read(type_name, body).is_err(), "{type_name}");
    }
    // What LVM reads all the same.
    for (type_name, body) in [
        ("thin-pool", BODIES[10].1),
        ("thin-pool+CROP_METADATA", BODIES[9].1),
        ("cache-pool", BODIES[13].1),
        ("cache", BODIES[15].1),
    ] {
        assert!(read(type_name, body).is_ok(), "{type_name}");
    }
    assert_eq!(read("thin+FUTURE", BODIES[11].1), Ok(None));
    assert_eq!(read("future", "a = 1"), Ok(None));
}

#[test]
fn the_text_of_a_segment_gives_its_detail() {
    let opaque = Opaque::parse("thin", BODIES[11].1).unwrap().unwrap();
    let Some(Detail::Thin(thin)) = opaque.detail().unwrap() else {
        panic!("a thin LV");
    };
    assert_eq!(
        (&*thin.pool, thin.device_id, thin.origin.as_deref()),
        ("pool0", 2, Some("web1"))
    );
}

#[cfg(feature = "serde")]
mod outside {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn details() -> impl Iterator<Item = Detail> {
        BODIES
            .iter()
            .map(|(type_name, body)| read(type_name, body).unwrap().unwrap())
    }

    #[track_caller]
    fn check_round_trip<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
        let json = serde_json::to_string(value).unwrap();
        let again: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}\n{json}"));
        assert_eq!(again, *value);
    }

    #[test]
    fn each_detail_comes_back_by_itself_and_among_the_others() {
        for detail in details() {
            check_round_trip(&detail);
            match &detail {
                Detail::Mirror(own) => {
                    check_round_trip(own);
                    own.images.iter().for_each(check_round_trip);
                }
                Detail::Raid(own) => {
                    check_round_trip(own);
                    own.legs.iter().for_each(check_round_trip);
                    check_round_trip(&own.layout);
                }
                Detail::Snapshot(own) => check_round_trip(own),
                Detail::ThinPool(own) => {
                    check_round_trip(own);
                    own.messages.iter().for_each(check_round_trip);
                }
                Detail::Thin(own) => check_round_trip(own),
                Detail::CachePool(own) => check_round_trip(own),
                Detail::Cache(own) => check_round_trip(own),
                Detail::Writecache(own) => check_round_trip(own),
                Detail::Integrity(own) => check_round_trip(own),
                Detail::VdoPool(own) => check_round_trip(own),
                Detail::Vdo(own) => check_round_trip(own),
            }
        }
    }

    /// Every place in a value, with what stands there replaced.
    fn replaced(value: &Value, with: &Value) -> Vec<Value> {
        let mut all = Vec::new();
        let mut put = |whole: Value| all.push(whole);
        match value {
            Value::Object(fields) => {
                for (key, inner) in fields.iter().filter(|(key, _)| *key != "kind") {
                    let mut whole = value.clone();
                    whole[key] = with.clone();
                    put(whole);
                    for inner in replaced(inner, with) {
                        let mut whole = value.clone();
                        whole[key] = inner;
                        put(whole);
                    }
                }
            }
            Value::Array(items) => {
                for at in 0..items.len() {
                    for inner in replaced(&items[at], with).into_iter().chain([with.clone()]) {
                        let mut whole = value.clone();
                        whole[at] = inner;
                        put(whole);
                    }
                }
            }
            _ => {}
        }
        all
    }

    #[test]
    fn what_comes_in_is_refused_or_printed_and_read_back() {
        let odd = [
            json!(null),
            json!(-1),
            json!(u64::MAX),
            json!(1_u64 << 32),
            json!(1.5),
            json!("a b"),
            json!("a\0b"),
            json!("x\nstripe_size = 1"),
            json!(""),
            json!([]),
            json!({}),
            json!({"a/b": 1}),
        ];
        let mut taken = 0;
        for detail in details() {
            let good = serde_json::to_value(&detail).unwrap();
            for changed in odd.iter().flat_map(|odd| replaced(&good, odd)) {
                let Ok(again) = serde_json::from_value::<Detail>(changed.clone()) else {
                    continue;
                };
                taken += 1;
                assert_eq!(
                    read(&again.type_name(), &again.print()),
                    Ok(Some(again)),
                    "{changed}"
                );
            }
        }
        // Most options may be absent, and some texts be any.
        assert!(taken > 50, "{taken}");
    }

    #[test]
    fn what_the_text_cannot_hold_is_refused() {
        for (at, key, value) in [
            (0, "mirrors", json!([{"name": "a b", "start_extent": 0}])),
            (0, "region_size", json!(4095)),
            (2, "layout", json!("raid7")),
            (2, "legs", json!([])),
            (2, "stripe_size", json!(128)),
            (7, "merging_store", json!("x")),
            (7, "cow_store", json!(null)),
            (9, "chunk_size", json!(129)),
            (9, "crop_metadata", json!(1)),
            (9, "messages", json!([{"delete": 1 << 24}])),
            (9, "messages", json!([{"delete": 1}, {"delete": 1}])),
            (9, "pool", json!("../x")),
            (11, "device_id", json!(1 << 24)),
            (11, "thin_pool", json!(null)),
            (11, "unknown", json!(1)),
            (
                13,
                "settings",
                json!({"chunk_size": 128, "policy": "smq", "policy_settings": {"a": [[1]]}}),
            ),
            (
                13,
                "settings",
                json!({"chunk_size": 128, "policy": "smq", "policy_settings": {"": 1}}),
            ),
            (
                13,
                "settings",
                json!({"chunk_size": 128, "policy_settings": {"a": 1}}),
            ),
            (16, "settings", json!({"no_such": 1})),
            (18, "settings", json!({"minimum_io_size": 4096})),
            (18, "write_policy", json!("sync # x")),
        ] {
            let mut good = serde_json::to_value(details().nth(at).unwrap()).unwrap();
            good[key] = value;
            let refused = serde_json::from_value::<Detail>(good.clone());
            assert!(refused.is_err(), "{good}");
        }
        let twice = r#"{"kind": "integrity", "settings": {"recalculate": 1, "recalculate": 1}}"#;
        let error = serde_json::from_str::<Detail>(twice).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
        assert!(serde_json::from_str::<Detail>(r#"{"kind": "future"}"#).is_err());
        assert!(serde_json::from_str::<ThinMessage>(r#"{"delete": 16777216}"#).is_err());
        assert!(serde_json::from_str::<RaidLeg>(r#"{"image": "-a"}"#).is_err());
    }
}
