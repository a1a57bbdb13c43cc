//! The feature `serde`: its names stay, and what is taken in is checked.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use lvm_meta::config::{self, Section};
use lvm_meta::{
    AllocPolicy, Disk, ExtentSize, Extents, LvFlags, LvId, LvName, LvStatus, MemDisk, NewPv, NewVg, PvFlags,
    PvId, PvStatus, Sectors, Tag, Tags, Vg, VgFlags, VgId, VgName, VgStatus, assemble, check, make_pv, scan,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::{DISK_SIZE, create, layout, provenance, pv_id, read};
use crate::texts::{hidden, linear, part, shown};

/// Compares with a file of `tests/data/serde`, names and their order included.
#[track_caller]
fn check_golden(name: &str, value: &impl Serialize) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/serde")
        .join(name);
    let actual = serde_json::to_string_pretty(value).unwrap() + "\n";
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        actual == expected,
        "{} is not what was serialised; names are stable, so change it only to add some:\n{actual}",
        path.display()
    );
}

/// A VG with every kind of segment, and all that is rare.
fn all_kinds() -> Vg {
    let pool = "type = \"thin-pool\"\nmetadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 3\nchunk_size = 128\n\
                discards = \"passdown\"\nzero_new_blocks = 1\nfuture_key = 5\n\nmessage1 {\ncreate = \"web\"\n}\n\
                message2 {\ndelete = 9\n}";
    let thin = "type = \"thin\"\nthin_pool = \"p\"\ntransaction_id = 2\ndevice_id = 1";
    let raid = "type = \"raid1\"\ndevice_count = 2\nregion_size = 4096\n\nraids = [\n\"r_rmeta_0\", \"r_rimage_0\",\n\
                \"r_rmeta_1\", \"r_rimage_1\"\n]";
    let integrity = "type = \"integrity\"\norigin = \"r_rimage_0_iorig\"\ndata_sectors = 65536\nmode = \"B\"\n\
                     tag_size = 4\nblock_size = 512\ninternal_hash = \"crc32c\"\nmeta_dev = \"r_rimage_0_imeta\"\n\
                     recalculate = 1";
    let reshaped = "reshape_count = 1\ntype = \"striped+RESHAPE_DELTA_DISKS_PLUS\"\ntags = [\"seg\"]\n\
                    stripe_count = 1\nfuture_key = [1, 2.50, \"x\"]\n\nstripes = [\n\"pv1\", 200\n]";
    let cow = "type = \"snapshot\"\nchunk_size = 8\norigin = \"root\"\ncow_store = \"root_snap\"";
    let cache_pool = "type = \"cache-pool+METADATA_FORMAT\"\ndata = \"c_cpool_cdata\"\nmetadata = \"c_cpool_cmeta\"\n\
                      metadata_format = 2\nchunk_size = 128\ncache_mode = \"writethrough\"\npolicy = \"smq\"\n\
                      policy_settings {\n\tmigration_threshold=2048\n}";
    let cache = "type = \"cache\"\ncache_pool = \"c_cpool\"\norigin = \"c_corig\"";
    let volume = "type = \"cache+CACHE_USES_CACHEVOL\"\ncache_pool = \"d_cvol\"\norigin = \"d_corig\"\n\
                  metadata_format = 2\nchunk_size = 128\ncache_mode = \"writeback\"\npolicy = \"smq\"\n\
                  metadata_start = 0\nmetadata_len = 16384\ndata_start = 16384\ndata_len = 114688";
    let writecache = "type = \"writecache\"\nwritecache = \"w_cvol\"\norigin = \"w_wcorig\"\n\
                      writecache_block_size = 4096\nhigh_watermark = 50";
    let vdo_pool = "type = \"vdo-pool\"\ndata = \"v_vdata\"\nheader_size = 1024\nvirtual_extents = 1024\n\n\
                    use_compression = 1\nuse_deduplication = 1\nminimum_io_size = 4096\nblock_map_cache_size_mb = 128\n\
                    block_map_era_length = 16380\nindex_memory_size_mb = 256\nmax_discard = 1\nslab_size_mb = 512\n\
                    ack_threads = 1\nbio_threads = 4\nbio_rotation = 64\ncpu_threads = 2\nhash_zone_threads = 1\n\
                    logical_threads = 1\nphysical_threads = 1\nwrite_policy = async-unsafe";
    let vdo = "type = \"vdo\"\nvdo_pool = \"v\"\nvdo_offset = 0";
    let pvmove = "type = \"mirror\"\nmirror_count = 2\nextents_moved = 0\nregion_size = 4096\n\nmirrors = [\n\
                  \"pv2\", 700,\n\"pv3\", 700\n]";
    let striped =
        "type = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\nstripes = [\n\"pv2\", 0,\n\"pv3\", 0\n]";
    let text = crate::texts::with_head(
        "status = [\"RESIZEABLE\", \"READ\", \"WRITE\", \"X_STATUS\"]\nflags = [\"NOAUTOACTIVATE\", \"X_FLAG\"]\n\
         tags = [\"fast\", \"mayastor\"]\nsystem_id = \"node1\"\nlock_type = \"none\"\nlock_args = \"1.0.0\"\n\
         pr = [ \"autostart\" ]\nallocation_policy = \"cling\"\nprofile = \"p\"\nfuture_key = 1\n\
         future_section {\na = \"b\"\na = 2\ninner {\nc = []\n}\n}\n",
        &[
            shown("data", 3, &linear(0, 0))
                .and(6, striped)
                .and(2, "type = \"error\"")
                .and(2, "type = \"zero\""),
            shown("r", 8, raid),
            part("r_rmeta_0", 0, 100, 1),
            hidden("r_rimage_0", 8, integrity),
            part("r_rimage_0_iorig", 0, 101, 8),
            part("r_rimage_0_imeta", 0, 110, 2),
            part("r_rmeta_1", 1, 100, 1),
            hidden("r_rimage_1", 8, reshaped),
            shown("root", 8, &linear(0, 300)),
            part("root_snap", 0, 310, 2),
            shown("snapshot0", 8, cow),
            shown("p", 20, pool).flags("\"ERROR_WHEN_FULL\""),
            shown("web", 100, thin).flags("\"ACTIVATION_SKIP\", \"X_FLAG\""),
            part("p_tmeta", 0, 400, 1),
            part("p_tdata", 0, 401, 20),
            shown("c", 8, cache),
            hidden("c_cpool", 4, cache_pool),
            part("c_cpool_cdata", 1, 300, 4),
            part("c_cpool_cmeta", 1, 304, 1),
            part("c_corig", 1, 310, 8),
            shown("d", 8, volume),
            part("d_cvol", 1, 320, 16).flags("\"CACHE_VOL\""),
            part("d_corig", 1, 340, 8),
            shown("w", 8, writecache),
            part("w_cvol", 1, 350, 16),
            part("w_wcorig", 1, 370, 8),
            shown("vlv", 1000, vdo),
            shown("v", 20, vdo_pool),
            part("v_vdata", 2, 400, 20),
            hidden("pvmove0", 4, pvmove).status(r#""READ", "WRITE", "PVMOVE", "LOCKED""#),
            shown("odd", 8, "type = \"future\"\nsome_pv=\"pv0\""),
            shown(
                "bad",
                8,
                "type = \"vdo\"\nvdo_pool = \"v\"\nvdo_offset = 4294967296",
            ),
        ],
    );
    let rare_lv = "segment_count = 4\n";
    let text = text
        .replacen(
            rare_lv,
            &format!(
                "tags = [\"t=1\", \"no tag\"]\ncreation_time = 1700000000\ncreation_host = \"node1\"\nlock_args = \"x\"\n\
                 allocation_policy = \"contiguous\"\nprofile = \"q\"\nread_ahead = -1\nmajor = 253\nminor = 7\n\
                 future_key = 1\n{rare_lv}"
            ),
            1,
        )
        .replacen(
            "pe_count = 1000\n",
            "pe_count = 1000\nba_start = 2048\nba_size = 8\nfuture_key = \"y\"\n",
            1,
        )
        .replacen(
            "device = \"/dev/sd0\"\n",
            "device = \"/dev/sd0\"\ndevice_id_type = \"sys_wwid\"\ndevice_id = \"naa.5\"\ntags = [\"ssd\"]\n",
            1,
        )
        .replacen(
            "\n}\n# Generated",
            "\nhistorical_logical_volumes {\ngone {\nid = \"000000-0000-0000-0000-0000-0000-000900\"\n}\n}\n}\n# Generated",
            1,
        );
    Vg::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_names_of_the_model_stay_what_they_are() {
    check_golden("all-kinds.json", &all_kinds());
}

#[test]
fn a_vg_that_lvm_made_is_shown_with_the_fields_of_its_types() {
    let texts = crate::fixtures::backups().into_iter().map(|(_, text)| text);
    let thin = texts.map(|text| Vg::parse(&text).unwrap()).find(|vg| {
        let mut segments = vg.lvs().flat_map(|lv| lv.segments());
        segments.any(|segment| segment.type_name() == "thin-pool")
    });
    check_golden("thin.json", &thin.unwrap());
}

#[test]
fn the_names_of_roles_findings_and_what_disks_hold_stay_what_they_are() {
    let vg = all_kinds();
    let roles: Vec<Value> = vg.lvs().map(|lv| json!([lv.name(), vg.role(lv)])).collect();
    let blank = || -> Arc<dyn Disk> { Arc::new(MemDisk::new(vec![0; DISK_SIZE])) };
    let disks = [blank(), blank()];
    create(&disks, &[2, 1]).unwrap();
    // The second area of the first disk is broken, and the second disk is gone.
    disks[0]
        .write_at(layout(2).metadata_areas[1].offset + 4, &[0xff])
        .unwrap();
    let assembly = read(&disks[..1]);
    let found = &assembly.vgs[0];
    let mdas = &found.pvs[0].scan.as_ref().unwrap().mdas;
    let states: Vec<_> = mdas.iter().map(|mda| found.copy_state(mda).0).collect();
    let orphan = MemDisk::new(vec![0; DISK_SIZE]);
    make_pv(&orphan, pv_id(9), &layout(1)).unwrap();
    let mut garbage = assemble(vec![(4, scan(&orphan).unwrap().unwrap())]);
    garbage.orphans[0].scan = None;
    check_golden(
        "found.json",
        &json!({
            "roles": roles,
            "findings": check(&vg),
            "states": states,
            "assembly": assembly,
            "orphans": garbage,
        }),
    );
}

#[test]
fn a_vg_without_a_text_that_can_be_read_is_shown_with_the_reason() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new(vec![0; DISK_SIZE]));
    let vg = create(std::slice::from_ref(&disk), &[1]).unwrap();
    let mut assembly = read(&[disk]);
    let found = &mut assembly.vgs[0];
    found.vg = Vg::parse(b"vg0 {");
    let json = serde_json::to_value(found).unwrap();
    assert_eq!((&json["name"], &json["vg"]), (&json!("vg0"), &Value::Null));
    assert!(
        json["error"]
            .as_str()
            .unwrap()
            .starts_with("corrupt metadata text")
    );
    let text = json["text"].as_str().unwrap();
    assert_eq!(Vg::parse(text.as_bytes()).unwrap(), vg);
}

#[track_caller]
fn check_round_trip<T: Serialize + DeserializeOwned + Debug>(value: T, json: Value) {
    assert_eq!(serde_json::to_value(&value).unwrap(), json);
    let again: T = serde_json::from_value(json).unwrap();
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
}

#[test]
fn what_stands_alone_comes_back_as_it_was() {
    let dashed = "niIJPG-s8SE-wkW9-8P4F-MbVT-f5yY-bna5Mb";
    check_round_trip(VgId::parse(dashed).unwrap(), json!(dashed));
    check_round_trip(PvId::parse(dashed).unwrap(), json!(dashed));
    check_round_trip(LvId::parse(dashed).unwrap(), json!(dashed));
    check_round_trip(VgName::parse("vg0").unwrap(), json!("vg0"));
    check_round_trip(LvName::parse("p_tdata").unwrap(), json!("p_tdata"));
    let tag = || Tag::parse("a=b/c").unwrap();
    check_round_trip(tag(), json!("a=b/c"));
    check_round_trip(Tags::new(&[tag()]), json!(["a=b/c"]));
    check_round_trip(Sectors::new(u64::MAX), json!(u64::MAX));
    check_round_trip(Extents::new(u32::MAX), json!(u32::MAX));
    check_round_trip(ExtentSize::DEFAULT, json!(8192));
    check_round_trip(VgStatus::READ | VgStatus::WRITE, json!(["READ", "WRITE"]));
    check_round_trip(VgFlags::NOAUTOACTIVATE, json!(["NOAUTOACTIVATE"]));
    check_round_trip(PvStatus::ALLOCATABLE, json!(["ALLOCATABLE"]));
    check_round_trip(PvFlags::MISSING, json!(["MISSING"]));
    check_round_trip(LvStatus::USER, json!(["READ", "WRITE", "VISIBLE"]));
    check_round_trip(LvFlags::empty(), json!([]));
    check_round_trip(AllocPolicy::Cling, json!("cling"));
    check_round_trip(AllocPolicy::Inherit, json!("inherit"));
    let text = b"a = 1\nb = [ \"x\", -2, 2.5 ]\nc { d = [] }\n";
    let tree = json!({"a": 1, "b": ["x", -2, 2.5], "c": {"d": []}});
    check_round_trip(config::parse(text).unwrap(), tree);
}

#[test]
fn what_is_asked_for_comes_back_as_it_was() {
    let id = "abABab-abab-abab-abab-abab-abab-ababab";
    check_round_trip(
        NewVg {
            name: VgName::parse("vg0").unwrap(),
            id: VgId::parse(id).unwrap(),
            extent_size: ExtentSize::DEFAULT,
            tags: vec![Tag::parse("t").unwrap()],
            system_id: Some("node1".into()),
        },
        json!({"name": "vg0", "id": id, "extent_size": 8192, "tags": ["t"], "system_id": "node1"}),
    );
    check_round_trip(
        NewPv {
            id: PvId::parse(id).unwrap(),
            device_hint: "/dev/sda".into(),
            dev_size: Sectors::new(10_000),
            pe_start: Sectors::new(2048),
            pe_count: Extents::new(0),
            device_id: Some(("sys_wwid".into(), "naa.5".into())),
        },
        json!({
            "id": id, "device": "/dev/sda", "dev_size": 10_000, "pe_start": 2048, "pe_count": 0,
            "device_id": ["sys_wwid", "naa.5"],
        }),
    );
    let written = json!({
        "description": "Write from a test.", "creation_host": "node1",
        "host_uname": "Linux node1 6.1.0 #1 SMP x86_64", "creation_time": 1_795_404_063,
        "creation_ctime": "Mon Nov 23 03:21:03 2026", "tool_version": "LVM2 version 2.03.16(2) (2022-05-18)",
        "creation_host_system_id": null,
    });
    check_round_trip(provenance(), written);
}

#[track_caller]
fn check_refused<T: DeserializeOwned + Debug>(json: &[Value]) {
    for json in json {
        let refused = serde_json::from_value::<T>(json.clone());
        assert!(refused.is_err(), "{json} became {refused:?}");
    }
}

#[test]
fn what_no_value_can_be_is_refused() {
    let ids = [
        json!(""),
        json!("abc"),
        json!(7),
        json!(null),
        json!("a".repeat(33)),
    ];
    check_refused::<VgId>(&ids);
    check_refused::<PvId>(&ids);
    check_refused::<LvId>(&ids);
    check_refused::<VgName>(&[json!(""), json!("a b"), json!("contents"), json!("a".repeat(128))]);
    check_refused::<LvName>(&[json!(".."), json!("-a"), json!(["a"])]);
    check_refused::<Tag>(&[json!("a b"), json!("a".repeat(1025))]);
    check_refused::<Tags>(&[json!(["a", "b,c"]), json!("a")]);
    check_refused::<Sectors>(&[json!(-1), json!(1.5), json!("8"), json!(2.0_f64.powi(70))]);
    check_refused::<Extents>(&[json!(-1), json!(1_u64 << 32)]);
    check_refused::<ExtentSize>(&[json!(0), json!(1_u64 << 32)]);
    check_refused::<LvStatus>(&[json!(["X"]), json!(["read"]), json!("READ"), json!(8)]);
    check_refused::<AllocPolicy>(&[json!("Cling"), json!("none")]);
    let id = "abABab-abab-abab-abab-abab-abab-ababab";
    check_refused::<NewVg>(&[
        json!({"name": "vg0", "id": id}),
        json!({"name": "vg 0", "id": id, "extent_size": 8192}),
        json!({"name": "vg0", "id": id, "extent_size": 0}),
        json!({"name": "vg0", "id": id, "extent_size": 8192, "system_id": "a\u{0}b"}),
        json!({"name": "vg0", "id": id, "extent_size": 8192, "extend_size": 1}),
    ]);
    let pv = |device: &str, device_id: Value| json!({"id": id, "device": device, "dev_size": 1, "pe_start": 1, "pe_count": 0, "device_id": device_id});
    assert!(serde_json::from_value::<NewPv>(pv("/dev/sda", Value::Null)).is_ok());
    check_refused::<NewPv>(&[
        pv("/dev/\n", Value::Null),
        pv("/dev/sda", json!(["a"])),
        pv("/dev/sda", json!(["a", "\u{7f}"])),
    ]);
}

#[test]
fn trees_that_no_text_can_hold_are_refused() {
    check_refused::<Section>(&[
        json!(1),
        json!([]),
        json!({"a": null}),
        json!({"a": true}),
        json!({"a": u64::MAX}),
        json!({"a": [[1]]}),
        json!({"a": [{}]}),
        json!({"": 1}),
        json!({"a/b": 1}),
        json!({"a": "x\u{0}y"}),
    ]);
    let nested = |depth: usize| format!("{}{{}}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(serde_json::from_str::<Section>(&nested(32)).is_ok());
    let deep = serde_json::from_str::<Section>(&nested(33)).unwrap_err();
    assert!(deep.to_string().contains("too many sections"), "{deep}");
    let twice = serde_json::from_str::<Section>(r#"{"a": 1, "a": {}}"#).unwrap_err();
    assert!(twice.to_string().contains("twice"), "{twice}");
}
