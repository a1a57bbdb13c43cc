//! Every kind of segment that LVM knows is read, carried through byte for byte, and stands in the way of no other LV.

use lvm_meta::{
    AllocRequest, ChangeError, Error, Extents, LvRole, LvStatus, Refusal, SegmentKind, Vg, allocate, check,
};

use crate::support::provenance;
use crate::texts::{LvText, hidden, linear, part, shown, vg};

/// Insists that a VG of these LVs is read, printed and left changeable, and that its parts cannot be pulled away.
#[track_caller]
fn check_kind(lvs: &[LvText]) -> Vg {
    let text = vg(lvs);
    let mut vg = read(&text);
    assert_eq!(vg.refusal(), None);
    assert_eq!(check(&vg), []);
    for lv in vg.lvs() {
        for other in lv.segments().iter().filter_map(|segment| match segment.kind() {
            SegmentKind::Other(other) => Some(other),
            _ => None,
        }) {
            let detail = other
                .detail()
                .unwrap_or_else(|error| panic!("{}: {error}", lv.name()));
            assert_eq!(detail.unwrap().print(), other.body(), "{}", lv.name());
        }
        let is_part = !matches!(vg.role(lv), LvRole::Public | LvRole::Hidden);
        let is_link = vg.role(lv) == LvRole::SnapshotLink;
        assert_eq!(
            is_part,
            !lv.is_visible() || is_link,
            "{}: {:?}",
            lv.name(),
            vg.role(lv)
        );
    }
    let names: Vec<String> = vg.lvs().map(|lv| lv.name().to_owned()).collect();
    for name in names.iter().filter(|name| vg.users_of(name).next().is_some()) {
        let refused = vg.clone().remove_lv(name).unwrap_err();
        let expected = matches!(
            refused,
            Error::Change(ChangeError::LvInUse { .. } | ChangeError::LvLocked(_))
        );
        assert!(expected, "{name}: {refused}");
    }
    // Others are made and go; the rest of the text stays as it is.
    crate::support::add_lv(&mut vg, 1, 3);
    assert_eq!(check(&vg), []);
    vg.remove_lv("lv1").unwrap();
    assert_eq!(String::from_utf8(vg.print_raw(&provenance())).unwrap(), text);
    vg
}

#[track_caller]
fn read(text: &str) -> Vg {
    let vg = Vg::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(String::from_utf8(vg.print_raw(&provenance())).unwrap(), text);
    vg
}

#[test]
fn linear_and_striped() {
    let striped =
        "type = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\nstripes = [\n\"pv0\", 3,\n\"pv1\", 0\n]";
    let vg = check_kind(&[shown("data", 3, &linear(0, 0))
        .and(6, striped)
        .and(1, &linear(3, 999))]);
    assert_eq!(vg.lv("data").unwrap().extent_count().get(), 10);
    assert_eq!(vg.pvs()[3].free_from(998).get(), 1);
    assert_eq!(vg.free_extents(), 4000 - 10);
}

#[test]
fn the_word_linear_is_read_and_never_written() {
    let text = vg(&[shown("data", 3, &linear(0, 0))]);
    let vg = Vg::parse(text.replace("\"striped\"", "\"linear\"").as_bytes()).unwrap();
    assert_eq!(String::from_utf8(vg.print_raw(&provenance())).unwrap(), text);
}

#[test]
fn error_and_zero() {
    let vg = check_kind(&[shown("bad", 5, "type = \"error\"").and(2, "type = \"zero\"")]);
    assert_eq!(vg.free_extents(), 4000);
}

#[test]
fn lvs_on_lvs() {
    let on_lv = "type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"below\", 2\n]";
    check_kind(&[shown("above", 3, on_lv), part("below", 0, 0, 5)]);
}

#[test]
fn mirrors_with_a_log_and_without() {
    let body = |log| {
        format!(
            "type = \"mirror\"\nmirror_count = 2\n{log}region_size = 4096\n\nmirrors = [\n\"home_mimage_0\", 0,\n\"home_mimage_1\", 0\n]"
        )
    };
    let images = || [part("home_mimage_0", 0, 0, 4), part("home_mimage_1", 1, 0, 4)];
    let [a, b] = images();
    check_kind(&[
        shown("home", 4, &body("mirror_log = \"home_mlog\"\n")),
        part("home_mlog", 2, 0, 1),
        a,
        b,
    ]);
    let [a, b] = images();
    check_kind(&[shown("home", 4, &body("")), a, b]);
}

#[test]
fn a_pvmove_holds_the_extents_of_both_pvs() {
    let moving = "type = \"mirror\"\nmirror_count = 2\nextents_moved = 0\nregion_size = 4096\n\nmirrors = [\n\"pv2\", 7,\n\"pv3\", 0\n]";
    let moved = "type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pvmove0\", 0\n]";
    let vg = check_kind(&[
        shown("data", 4, moved).status(r#""READ", "WRITE", "VISIBLE", "LOCKED""#),
        hidden("pvmove0", 4, moving).status(r#""READ", "WRITE", "PVMOVE", "LOCKED""#),
    ]);
    assert_eq!((vg.pvs()[2].used().get(), vg.pvs()[3].used().get()), (4, 4));
    assert_eq!(vg.pvs()[2].free_from(7).get(), 0);
    let mut locked = vg.clone();
    for refused in [
        locked.extend_lv("data", vec![]).unwrap_err(),
        locked.set_lv_tags("data", &["a"]).unwrap_err(),
        locked
            .rename_lv("pvmove0", lvm_meta::LvName::parse("x").unwrap())
            .unwrap_err(),
    ] {
        assert!(
            matches!(refused, Error::Change(ChangeError::LvLocked(_))),
            "{refused}"
        );
    }
    // The mirror names PVs by their numbers.
    let first = vg.pvs()[0].id();
    let refused = locked.remove_pv(first).unwrap_err();
    assert!(
        matches!(refused, Error::Change(ChangeError::PvKeysInUse(_))),
        "{refused}"
    );
    assert_eq!(locked, vg);
}

#[test]
fn a_mirror_on_what_nobody_can_tell_is_refused() {
    for odd in [
        "\"pv0\"",
        "0, \"pv0\"",
        "\"pv0\", 0, \"pv1\"",
        "\"pv0\", 999, \"pv1\", 0",
        "\"pv0\", -1",
        "\"no_such\", 0",
    ] {
        let body = format!("type = \"mirror\"\nmirror_count = 2\nregion_size = 4096\n\nmirrors = [{odd}]");
        assert!(
            Vg::parse(vg(&[shown("home", 4, &body)]).as_bytes()).is_err(),
            "{odd}"
        );
    }
}

/// The images of a RAID and its metadata LVs.
fn legs(name: &str, count: u32, extents: u32) -> Vec<LvText> {
    let leg = |leg: u32| {
        let pv = leg % 4;
        let at = leg / 4 * 100;
        [
            part(&format!("{name}_rmeta_{leg}"), pv, at, 1),
            part(&format!("{name}_rimage_{leg}"), pv, at + 1, extents),
        ]
    };
    (0..count).flat_map(leg).collect()
}

fn pairs(name: &str, count: u32) -> String {
    let pairs: Vec<_> = (0..count)
        .map(|leg| format!("\"{name}_rmeta_{leg}\", \"{name}_rimage_{leg}\""))
        .collect();
    format!("\nraids = [\n{}\n]", pairs.join(",\n"))
}

#[test]
fn raid_with_metadata() {
    let sizes = "region_size = 4096\nstripe_size = 128\n";
    let raid1 = "region_size = 4096\nwritebehind = 512\nmin_recovery_rate = 128\nmax_recovery_rate = 1024\n";
    for (kind, legs_count, fields) in [
        ("raid1", 2, raid1.to_owned()),
        ("raid4", 3, sizes.to_owned()),
        ("raid5", 3, sizes.to_owned()),
        ("raid5_ls", 3, sizes.to_owned()),
        ("raid5_n", 3, sizes.to_owned()),
        ("raid6_zr", 5, sizes.to_owned()),
        ("raid6_ra_6", 5, sizes.to_owned()),
        ("raid10", 4, format!("data_copies = 2\n{sizes}")),
        ("raid10_near", 4, format!("data_copies = 2\n{sizes}")),
    ] {
        let body = format!(
            "type = \"{kind}\"\ndevice_count = {legs_count}\n{fields}{}",
            pairs("r", legs_count)
        );
        let mut lvs = vec![shown("r", 6, &body)];
        lvs.extend(legs("r", legs_count, 3));
        check_kind(&lvs);
    }
    let meta = format!(
        "type = \"raid0_meta\"\nstripe_count = 2\nstripe_size = 128\n{}",
        pairs("r", 2)
    );
    let mut lvs = vec![shown("r", 6, &meta)];
    lvs.extend(legs("r", 2, 3));
    check_kind(&lvs);
}

#[test]
fn raid_without_metadata() {
    let body = "type = \"raid0\"\nstripe_count = 2\nstripe_size = 128\n\nraid0_lvs = [\n\"r_rimage_0\",\n\"r_rimage_1\"\n]";
    check_kind(&[
        shown("r", 6, body),
        part("r_rimage_0", 0, 0, 3),
        part("r_rimage_1", 1, 0, 3),
    ]);
}

#[test]
fn raid_that_is_reshaped() {
    let body = format!(
        "type = \"raid5_ls+RESHAPE+RESHAPE_DATA_OFFSET\"\ndevice_count = 3\nregion_size = 4096\nstripe_size = 128\n\
         data_offset = 0\n{}",
        pairs("r", 3)
    );
    let image = |leg: u32, flags: &'static str| {
        let body = format!(
            "reshape_count = 1\ntype = \"striped{flags}\"\nstripe_count = 1\n\nstripes = [\n\"pv{leg}\", 1\n]"
        );
        let image = hidden(&format!("r_rimage_{leg}"), 4, &body);
        if flags.is_empty() {
            image
        } else {
            image.status(r#""READ", "WRITE", "REBUILD""#)
        }
    };
    let vg = check_kind(&[
        shown("r", 6, &body),
        part("r_rmeta_0", 0, 0, 1),
        image(0, ""),
        part("r_rmeta_1", 1, 0, 1),
        image(1, ""),
        part("r_rmeta_2", 2, 0, 1),
        image(2, "+RESHAPE_DELTA_DISKS_PLUS"),
    ]);
    assert_eq!(
        vg.lv("r_rimage_0").unwrap().segments()[0].reshape_count().get(),
        1
    );
    // What a reshape holds back must not be merged with, or cut as, other extents.
    let refused = vg.clone().reduce_lv("r_rimage_0", Extents::new(1)).unwrap_err();
    assert!(
        matches!(refused, Error::Change(ChangeError::NotResizable { .. })),
        "{refused}"
    );
}

#[test]
fn raid_with_integrity() {
    let raid = format!(
        "type = \"raid1\"\ndevice_count = 1\nregion_size = 4096\n{}",
        pairs("ri", 1)
    );
    let integrity = "type = \"integrity\"\norigin = \"ri_rimage_0_iorig\"\ndata_sectors = 65536\nmode = \"B\"\ntag_size = 4\n\
                     block_size = 512\ninternal_hash = \"crc32c\"\nmeta_dev = \"ri_rimage_0_imeta\"\nrecalculate = 1";
    check_kind(&[
        shown("ri", 8, &raid),
        part("ri_rmeta_0", 0, 0, 1),
        hidden("ri_rimage_0", 8, integrity),
        part("ri_rimage_0_iorig", 0, 1, 8),
        part("ri_rimage_0_imeta", 0, 9, 2),
    ]);
}

fn snapshot(origin: &str, cow: &str) -> String {
    format!("type = \"snapshot\"\nchunk_size = 8\norigin = \"{origin}\"\n{cow}")
}

#[test]
fn snapshots_merging_ones_and_those_of_nothing() {
    let cow = snapshot("root", "cow_store = \"root_snap\"");
    check_kind(&[
        shown("root", 8, &linear(0, 0)),
        part("root_snap", 0, 8, 2),
        shown("snapshot0", 8, &cow),
    ]);
    let merging = snapshot("root", "merging_store = \"root_snap\"");
    check_kind(&[
        shown("root", 8, &linear(0, 0)),
        part("root_snap", 0, 8, 2),
        hidden("snapshot0", 8, &merging),
    ]);
    let sparse = snapshot("s_vorigin", "cow_store = \"s\"");
    check_kind(&[
        part("s", 0, 8, 2),
        hidden("s_vorigin", 8, "type = \"zero\""),
        shown("snapshot0", 8, &sparse),
    ]);
}

#[test]
fn thin_pools_with_messages_and_thin_lvs() {
    let pool = "type = \"thin-pool\"\nmetadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 3\nchunk_size = 128\n\
                discards = \"passdown\"\nzero_new_blocks = 1\n\nmessage1 {\ncreate = \"web2\"\n}\nmessage2 {\ndelete = 9\n}";
    let thin = |rest: &str| format!("type = \"thin\"\nthin_pool = \"p\"\ntransaction_id = 2\n{rest}");
    check_kind(&[
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
        part("lvol0_pmspare", 1, 0, 1),
        part("p_tmeta", 0, 0, 1),
        part("p_tdata", 0, 1, 20),
    ]);
    let cropped = "type = \"thin-pool+CROP_METADATA\"\nmetadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 0\n\
                   chunk_size = 128\ndiscards = \"passdown\"\ncrop_metadata = 1";
    check_kind(&[
        shown("p", 20, cropped),
        part("p_tmeta", 0, 0, 1),
        part("p_tdata", 0, 1, 20),
    ]);
}

#[test]
fn caches_of_both_kinds() {
    let pool = "type = \"cache-pool+METADATA_FORMAT\"\ndata = \"fast_cpool_cdata\"\nmetadata = \"fast_cpool_cmeta\"\n\
                metadata_format = 2\nchunk_size = 128\ncache_mode = \"writethrough\"\npolicy = \"smq\"\npolicy_settings {\n\
                \tmigration_threshold=2048\n}";
    let cache = "type = \"cache\"\ncache_pool = \"fast_cpool\"\norigin = \"data_corig\"";
    check_kind(&[
        shown("data", 8, cache),
        hidden("fast_cpool", 4, pool),
        part("fast_cpool_cdata", 1, 0, 4),
        part("fast_cpool_cmeta", 1, 4, 1),
        part("data_corig", 0, 0, 8),
    ]);
    let volume = "type = \"cache+CACHE_USES_CACHEVOL\"\ncache_pool = \"fast_cvol\"\norigin = \"data_corig\"\n\
                  metadata_format = 2\nchunk_size = 128\ncache_mode = \"writeback\"\npolicy = \"smq\"\nmetadata_start = 0\n\
                  metadata_len = 16384\ndata_start = 16384\ndata_len = 114688";
    check_kind(&[
        shown("data", 8, volume),
        part("fast_cvol", 1, 0, 16).flags("\"CACHE_VOL\""),
        part("data_corig", 0, 0, 8),
    ]);
}

#[test]
fn writecaches() {
    let body = "type = \"writecache\"\nwritecache = \"nvme_cvol\"\norigin = \"data_wcorig\"\n\
                writecache_block_size = 4096\nhigh_watermark = 50\nlow_watermark = 45";
    check_kind(&[
        shown("data", 8, body),
        part("nvme_cvol", 1, 0, 16).flags("\"CACHE_VOL\""),
        part("data_wcorig", 0, 0, 8),
    ]);
}

#[test]
fn vdo() {
    let pool = "type = \"vdo-pool\"\ndata = \"vpool_vdata\"\nheader_size = 1024\nvirtual_extents = 1024\n\n\
                use_compression = 1\nuse_deduplication = 1\nminimum_io_size = 4096\nblock_map_cache_size_mb = 128\n\
                block_map_era_length = 16380\nindex_memory_size_mb = 256\nmax_discard = 1\nslab_size_mb = 512\n\
                ack_threads = 1\nbio_threads = 4\nbio_rotation = 64\ncpu_threads = 2\nhash_zone_threads = 1\n\
                logical_threads = 1\nphysical_threads = 1\nwrite_policy = async-unsafe";
    let vdo = "type = \"vdo\"\nvdo_pool = \"vpool\"\nvdo_offset = 0";
    check_kind(&[
        shown("v", 1000, vdo),
        shown("vpool", 20, pool),
        part("vpool_vdata", 0, 0, 20),
    ]);
}

#[test]
fn a_type_that_nobody_knows_is_read_and_stops_every_change() {
    for body in [
        "type = \"future\"\nsome_pv=\"pv0\"\nnested {\n\tkey=1\n}",
        "type = \"future\"",
        "type = \"thin+FUTURE\"\nthin_pool = \"no_such\"\ndevice_id = 1",
    ] {
        let text = vg(&[shown("odd", 8, body), part("other", 0, 0, 2)]);
        let mut vg = read(&text);
        assert!(matches!(vg.refusal(), Some(Refusal::UnknownSegmentType { lv, .. }) if lv == "odd"));
        assert!(vg.lv("odd").unwrap().refusal().is_some() && vg.lv("other").unwrap().refusal().is_none());
        let before = vg.clone();
        let changes = [
            vg.remove_lv("other").map(|_| ()).unwrap_err(),
            vg.set_tags(&["a"]).map(|_| ()).unwrap_err(),
            vg.set_lv_tags("other", &["a"]).map(|_| ()).unwrap_err(),
            vg.extend_lv("other", vec![]).unwrap_err(),
            vg.set_lv_status("other", LvStatus::USER, lvm_meta::LvFlags::empty())
                .map(|_| ())
                .unwrap_err(),
        ];
        for change in changes {
            assert!(
                matches!(change, Error::Change(ChangeError::Refused(_))),
                "{change}"
            );
        }
        assert!(allocate(&vg, &AllocRequest::new(Extents::new(1))).is_err());
        assert_eq!(vg, before);
    }
}

#[test]
fn an_lv_that_is_named_in_text_with_an_unknown_field_keeps_its_name() {
    let cow = snapshot("root", "cow_store = \"root_snap\"\nfuture = 1");
    let mut vg = read(&vg(&[
        shown("root", 8, &linear(0, 0)),
        part("root_snap", 0, 8, 2),
        shown("snapshot0", 8, &cow),
    ]));
    let refused = vg
        .rename_lv("root", lvm_meta::LvName::parse("boot").unwrap())
        .unwrap_err();
    assert!(
        matches!(refused, Error::Change(ChangeError::LvInUse { .. })),
        "{refused}"
    );
    assert!(matches!(
        vg.lv("snapshot0").unwrap().segments()[0].kind(),
        SegmentKind::Other(_)
    ));
}

/// A cached LV behind whose cache are these; the cache is of pv3.
fn cached(pool: Option<&str>, behind: &[LvText]) -> String {
    let settings = "metadata_format = 2\nchunk_size = 128\ncache_mode = \"writeback\"\npolicy = \"smq\"";
    let on = "origin = \"data_corig\"";
    let mut lvs = match pool {
        Some(_) => vec![
            shown(
                "data",
                8,
                &format!("type = \"cache\"\ncache_pool = \"fast_cpool\"\n{on}"),
            ),
            hidden(
                "fast_cpool",
                4,
                &format!(
                    "type = \"cache-pool+METADATA_FORMAT\"\ndata = \"fast_cpool_cdata\"\n\
                     metadata = \"fast_cpool_cmeta\"\n{settings}"
                ),
            ),
            part("fast_cpool_cdata", 3, 0, 4),
            part("fast_cpool_cmeta", 3, 4, 1),
            part("lvol0_pmspare", 3, 9, 1),
        ],
        None => vec![
            shown(
                "data",
                8,
                &format!(
                    "type = \"cache+CACHE_USES_CACHEVOL\"\ncache_pool = \"fast_cvol\"\n{on}\n{settings}\n\
                     metadata_start = 0\nmetadata_len = 16384\ndata_start = 16384\ndata_len = 114688"
                ),
            ),
            part("fast_cvol", 3, 0, 16).flags("\"CACHE_VOL\""),
        ],
    };
    lvs.extend(behind.iter().cloned());
    vg(&lvs)
}

#[test]
fn a_cache_that_is_taken_off_leaves_what_was_behind_it() {
    let image = |at: u32| part(&format!("data_corig_rimage_{at}"), at, 1, 8);
    let meta = |at: u32| part(&format!("data_corig_rmeta_{at}"), at, 0, 1);
    let array = "type = \"raid1\"\ndevice_count = 2\nregion_size = 4096\n\nraids = [\n\
                 \"data_corig_rmeta_0\", \"data_corig_rimage_0\",\n\"data_corig_rmeta_1\", \"data_corig_rimage_1\"\n]";
    let striped =
        "type = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\nstripes = [\n\"pv0\", 3,\n\"pv1\", 0\n]";
    let in_two = hidden("data_corig", 3, &linear(0, 0)).and(5, &linear(1, 7));
    for behind in [
        vec![part("data_corig", 0, 0, 8)],
        vec![hidden("data_corig", 8, striped)],
        vec![in_two],
        vec![
            hidden("data_corig", 8, array),
            image(0),
            meta(0),
            image(1),
            meta(1),
        ],
    ] {
        for pool in [Some("fast_cpool"), None] {
            let mut vg = read(&cached(pool, &behind));
            assert_eq!(check(&vg), []);
            let (origin, id) = (vg.lv("data_corig").unwrap().clone(), vg.lv("data").unwrap().id());
            let ids: Vec<_> = vg.lvs().map(|lv| (lv.name().to_owned(), lv.id())).collect();
            vg.remove_cache("data").unwrap();
            assert_eq!(check(&vg), []);
            let data = vg.lv("data").unwrap();
            assert_eq!((data.id(), data.extent_count().get()), (id, 8));
            assert!(data.is_visible() && vg.lv("data_corig").is_none());
            assert_eq!(data.segments().len(), origin.segments().len());
            // As the tools: what was the cache is free, and the images have the LV's name and their own ids.
            assert_eq!(vg.pvs()[3].used().get(), 0);
            assert_eq!(vg.lvs().count(), behind.len());
            for lv in vg.lvs().filter(|lv| lv.name() != "data") {
                let before = lv.name().replace("data_", "data_corig_");
                assert!(ids.contains(&(before, lv.id())), "{}", lv.name());
            }
            let again = vg.print_raw(&provenance());
            assert_eq!(read(std::str::from_utf8(&again).unwrap()), vg);
        }
    }
}

#[test]
fn a_cache_that_others_use_stays_with_all_that_it_is() {
    let mut vg = read(&cached(Some("fast_cpool"), &[part("data_corig", 0, 0, 8)]));
    let before = vg.clone();
    for wrong in ["data_corig", "fast_cpool", "fast_cpool_cdata", "nothing"] {
        vg.remove_cache(wrong).unwrap_err();
        assert_eq!(vg, before, "{wrong}");
    }
    let short = cached(Some("fast_cpool"), &[part("data_corig", 0, 0, 7)]);
    let mut vg = Vg::parse(short.as_bytes()).unwrap();
    let before = vg.clone();
    vg.remove_cache("data").unwrap_err();
    assert_eq!(vg, before);
}
