//! VGs that break one rule each.

use super::texts::{vg, with_head};
use super::*;
use crate::{Area, Opaque, Sectors, SegmentKind, Striped};

/// A VG that breaks one rule, in one place.
pub(super) struct Broken {
    pub(super) rule: &'static str,
    pub(super) vg: Vg,
    /// Where: place, segment, extent.
    pub(super) place: String,
    pub(super) segment: Option<u32>,
    pub(super) extent: Option<u32>,
    pub(super) how: String,
    /// The good one that it was made of; the LVs that are the same are shared.
    pub(super) good: Option<Vg>,
}

struct Table(Vec<Broken>);

impl Table {
    /// Takes in a VG that is good, and what breaks it, a line each: `RULE | PLACE [SEGMENT [EXTENT]] | EDIT ;; EDIT`.
    ///
    /// An edit is `FROM => TO`, with `\n` for a new line.
    #[track_caller]
    fn edits(&mut self, base: &str, lines: &str) {
        assert_eq!(check(&parse(base)), [], "{base}");
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let mut columns = line.trim().splitn(3, " | ");
            let (rule, place) = (columns.next().unwrap(), columns.next().unwrap());
            let changes = columns.next().unwrap().replace("\\n", "\n");
            let mut text = base.to_owned();
            for change in changes.split(" ;; ") {
                let (from, to) = change.split_once("=>").unwrap();
                let (from, to) = (
                    from.strip_suffix(' ').unwrap(),
                    to.strip_prefix(' ').unwrap_or(to),
                );
                text = edited(&text, &[(from, to)]);
            }
            let (good, mut vg) = (parse(base), parse(&text));
            vg.share_lvs(&good);
            self.add(rule, place, vg, line.to_owned());
            self.0.last_mut().unwrap().good = Some(good);
        }
    }

    #[track_caller]
    fn add(&mut self, rule: &str, place: &str, vg: Vg, how: String) {
        let known = RULES.iter().find(|known| known.name == rule);
        let mut place = place.split(' ');
        let name = place.next().unwrap().to_owned();
        let mut number = || place.next().map(|number| number.parse().unwrap());
        self.0.push(Broken {
            rule: known.unwrap_or_else(|| panic!("no rule {rule}")).name,
            vg,
            place: name,
            segment: number().filter(|segment| *segment != PV),
            extent: number(),
            how,
            good: None,
        });
    }
}

/// Stands for no segment where a PV's extent follows.
const PV: u32 = u32::MAX;

pub(super) fn all() -> Vec<Broken> {
    let mut table = Table(Vec::new());
    names(&mut table);
    sizes(&mut table);
    owners(&mut table);
    mirrors(&mut table);
    arrays(&mut table);
    pools(&mut table);
    locking(&mut table);
    history(&mut table);
    table.0
}

fn names(table: &mut Table) {
    let long = "x".repeat(122);
    let plain = vg(&[shown("data", 8, &linear(0, 0))]);
    table.edits(&plain, &format!("lv-name | {long} | data {{ => {long} {{"));
    table.edits(
        &plain,
        r#"
        tags | VG | extent_size => tags = ["a b"]\nextent_size
        tags | pv0 | dev_size => tags = ["a", "b,c"]\ndev_size
        tags | data | segment_count => tags = [""]\nsegment_count
        error-when-full | data 0 | flags = []\nseg => flags = ["ERROR_WHEN_FULL"]\nseg
        fixed-minor | data | "VISIBLE" => "FIXED_MINOR", "VISIBLE"
        reshape | data 0 | striped => striped+RESHAPE_DELTA_DISKS_PLUS
        thin-words | data 0 | striped => striped+CROP_METADATA
        cache-words | data 0 | striped => striped+METADATA_FORMAT
        "#,
    );
    // Of two PVs and LVs of one name, readers take the PV.
    let below = vg(&[shown("above", 3, &linear(3, 2)), part("pv3", 0, 0, 5)]);
    table.edits(&below, r"area-name | above 0 | \npv3 { => \ndisk3 {");
    let mirrors = "mirrors = [\n\"m_mimage_0\", 0,\n\"pv3\", 0\n]";
    let body = format!("type = \"mirror\"\nmirror_count = 2\nregion_size = 4096\n\n{mirrors}");
    let lvs = [
        shown("m", 5, &body),
        part("m_mimage_0", 1, 0, 5),
        part("pv3", 0, 0, 5),
    ];
    table.edits(&vg(&lvs), r"area-name | m 0 | \npv3 { => \ndisk3 {");
}

fn sizes(table: &mut Table) {
    let plain = vg(&[shown("data", 8, &linear(0, 0))]);
    table.edits(
        &plain,
        "
        extent-size | VG | extent_size = 8192 => extent_size = 100
        pv-size | pv0 | pe_start = 2048 => pe_start = 9223372036854775807
        pv-size | pv0 | pe_start = 2048 => pe_start = 18014398501289984
        ",
    );
    let empty = vg(&[]);
    let (from, to) = (empty.find("\npv0 {").unwrap(), empty.rfind("}\n\n\n}").unwrap());
    let without = [&empty[..from], &empty[to..]].concat();
    table.add("pv-count", "VG", parse(&without), "no PVs".into());
    let stripes = "type = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\nstripes = [\n\"pv0\", 20,\n\"pv0\", 30\n]";
    table.edits(
        &vg(&[shown("s", 4, &linear(0, 0)).and(4, stripes)]),
        "
        striped | s 4 | stripe_size = 128 => stripe_size = 0
        striped | s 4 | stripe_size = 128 => stripe_size = 4
        striped | s 4 | stripe_size = 128 => stripe_size = 100
        striped | s 4 | stripe_size = 128 => stripe_size = 32768
        ",
    );
    let below = vg(&[shown("above", 3, &on("below", 2)), part("below", 0, 0, 5)]);
    table.edits(&below, r#"lv-areas | above 0 1 | "below", 2 => "below", 4"#);
    for (lv, number, mut lvs) in [
        ("r", 0, raid("raid5", 3, STRIPES)),
        ("web1", 1, thin()),
        ("data", 0, cache()),
        ("v", 0, vdo()),
    ] {
        let longer = lvs.remove(number).and(1, "type = \"zero\"");
        lvs.insert(number, longer);
        table.add("single-segments", &format!("{lv} 0"), parse(&vg(&lvs)), lv.into());
    }
    let area = |start| {
        let pv = parse(&plain).pvs()[0].id();
        SegmentKind::Striped(Striped::new(Sectors::new(0), vec![Area::Pv { pv, start }]).unwrap())
    };
    let two = parse(&vg(&[
        shown("data", 8, &linear(0, 0)),
        shown("more", 8, &linear(0, 8)),
    ]));
    for (rule, place, segments) in [
        ("pv-range", "more 0", vec![(0, 8, area(993))]),
        ("pv-overlap", "pv0 4294967295 7", vec![(0, 8, area(7))]),
        ("pv-overlap", "pv0 4294967295 0", vec![(0, 1, area(0))]),
        ("segment-order", "more 1 1", vec![(1, 8, area(8))]),
        (
            "segment-order",
            "more 8 8",
            vec![(0, 8, area(8)), (8, 0, area(16))],
        ),
        ("segment-order", "more", vec![]),
    ] {
        let mut vg = two.clone();
        vg.force_segments("more", segments);
        table.add(rule, place, vg, rule.into());
        table.0.last_mut().unwrap().good = Some(two.clone());
    }
}

fn owners(table: &mut Table) {
    let mut vg0 = parse(&vg(&[shown("above", 3, &on("below", 2)), part("below", 0, 0, 5)]));
    let body = "chunk_size = 8\norigin = \"below\"\ncow_store = \"no_such\"";
    let link = Opaque::parse("snapshot", body).unwrap().unwrap();
    vg0.force_segments("above", vec![(0, 5, SegmentKind::Other(link))]);
    table.add("references", "above 0", vg0, "a store that is not there".into());

    // Of two owners the second is at fault.
    let array = |name: &str, count| {
        let head = format!("type = \"raid1\"\ndevice_count = {count}\nregion_size = 4096\n");
        shown(name, 3, &format!("{head}{}", pairs(name, count)))
    };
    let mut arrays = vec![array("r", 2)];
    arrays.extend(legs("r", 2, 3));
    arrays.extend([
        array("s", 1),
        part("s_rmeta_0", 2, 0, 1),
        part("s_rimage_0", 2, 1, 3),
    ]);
    table.edits(
        &vg(&arrays),
        r#"
        sole-owner | s 0 | "s_rmeta_0", "s_rimage_0" => "s_rmeta_0", "r_rimage_0"
        sole-owner | s 0 | "s_rmeta_0", "s_rimage_0" => "r_rmeta_1", "s_rimage_0"
        sole-owner | r 0 | "r_rimage_1" => "r_rimage_0"
        "#,
    );
}

fn mirrors(table: &mut Table) {
    let mut lvs = mirror();
    lvs.extend([
        shown("spy", 1, &on("else", 0)),
        part("else", 3, 0, 1),
        part("short", 3, 1, 1),
    ]);
    table.edits(
        &vg(&lvs),
        r#"
        mirror-region | home 0 | region_size = 4096 => region_size = 65536
        mirror-region | home 0 | region_size = 4096\n =>
        fields | home 0 | region_size = 4096 => region_size = 4095
        mirror-images | home 0 | "home_mimage_1", 0 => "home_mimage_1", 4
        mirror-images | home 0 | "home_mimage_1", 0 => "short", 0
        sole-user | home 0 | "else", 0 => "home_mimage_1", 0
        sole-user | home 0 | "else", 0 => "home_mlog", 0
        "#,
    );
    table.edits(
        &vg(&pvmove()),
        r#"
        pvmove-ways | pvmove0 0 | mirror_count = 2 => mirror_count = 3 ;; "pv3", 0 => "pv3", 0,\n"pv1", 0
        mirror-region | pvmove0 0 | region_size = 4096 => region_size = 65536
        "#,
    );
    let aborted = hidden("pvmove0", 4, "type = \"error\"").status(MOVING);
    let lvs = [shown("data", 4, &on("below", 0)), part("below", 0, 0, 4), aborted];
    table.edits(
        &vg(&lvs),
        r#"
        pvmove-empty | pvmove0 0 | "below", 0 => "pvmove0", 0
        pvmove-ways | pvmove0 0 | "error" => "zero"
        "#,
    );
    let two = hidden("pvmove0", 4, "type = \"error\"").and(1, "type = \"error\"");
    table.add(
        "pvmove-empty",
        "pvmove0 0",
        parse(&vg(&[two])),
        "two segments".into(),
    );
}

fn arrays(table: &mut Table) {
    table.edits(
        &vg(&raid("raid5_ls", 3, STRIPES)),
        r#"
        raid-length | r 0 | extent_count = 6 => extent_count = 7
        raid-count | r 0 | device_count = 3 => device_count = 1 ;; ,\n"r_rmeta_1", "r_rimage_1" => ;; ,\n"r_rmeta_2", "r_rimage_2" =>
        raid-metadata | r 0 | "r_rmeta_1",  =>
        raid-sizes | r 0 | extent_count = 3 => extent_count = 4
        raid-sizes | r 0 | extent_count = 1 => extent_count = 2 ;; "pv0", 0 => "pv0", 50
        raid-hidden | r 0 | status = ["READ", "WRITE"] => status = ["READ", "WRITE", "VISIBLE"]
        raid-data-offset | r 0 | stripe_size = 128 => stripe_size = 128\ndata_offset = 8192
        raid-data-offset | r 0 | raid5_ls => raid5_ls+RESHAPE_DATA_OFFSET ;; stripe_size = 128 => stripe_size = 128\ndata_offset = 100
        fields | r 0 | stripe_size = 128\n =>
        "#,
    );
    let mut lvs = raid("raid1", 2, COPIES);
    lvs[2] = part("r_rimage_0", 0, 1, 3).status(r#""READ", "VISIBLE""#);
    table.edits(
        &vg(&lvs),
        r#"
        raid-hidden | r 0 | ["READ", "VISIBLE"] => ["READ", "WRITE", "VISIBLE"]
        reshape | r 0 | "raid1" => "raid1+RESHAPE"
        raid-data-offset | r 0 | "raid1" => "raid1+RESHAPE_DATA_OFFSET"
        "#,
    );
    table.edits(
        &vg(&raid("raid0_meta", 2, "stripe_size = 128\n")),
        r#"
        raid-length | r 0 | extent_count = 6 => extent_count = 7
        raid-metadata | r 0 | "r_rmeta_1",  =>
        raid-metadata | r 0 | "raid0_meta" => "raid0" ;; raids = => raid0_lvs =
        raid-fields | r 0 | stripe_size => region_size = 4096\nstripe_size
        raid-fields | r 0 | stripe_size => min_recovery_rate = 1\nstripe_size
        raid-data-offset | r 0 | stripe_size = 128 => stripe_size = 128\ndata_offset = 8192
        reshape | r 0 | "raid0_meta" => "raid0_meta+RESHAPE"
        "#,
    );
    table.edits(
        &vg(&raid("raid10", 4, STRIPES)),
        r#"
        raid-count | r 0 | device_count = 4 => device_count = 3 ;; ,\n"r_rmeta_3", "r_rimage_3" =>
        raid-fields | r 0 | stripe_size => writebehind = 5\nstripe_size
        "#,
    );
    table.edits(
        &vg(&raid("raid6", 5, STRIPES)),
        r#"raid-count | r 0 | device_count = 5 => device_count = 4 ;; ,\n"r_rmeta_4", "r_rimage_4" =>"#,
    );
    let named = parse(&vg(&integrity("ri_data")));
    table.add("integrity-origin", "ri_rimage_0 0", named, "another name".into());
}

fn pools(table: &mut Table) {
    let mut lvs = thin();
    lvs.push(part("x", 2, 0, 1));
    table.edits(
        &vg(&lvs),
        r#"
        fields | web1 0 | device_id = 1 => device_id = 16777216
        fields | p 0 | "passdown" => "some"
        sole-user | p 0 | "base", 0 => "p_tdata", 0
        sole-user | p 0 | pool = "p_tdata" => pool = "p_tmeta"
        thin-pool | web1 0 | thin_pool = "p" => thin_pool = "x"
        thin-origins | web3 0 | external_origin = "base" => external_origin = "base"\norigin = "base"
        thin-merge | web4 0 | merge = "web1" => merge = "web2"
        thin-merge | web4 0 | origin = "web1"\nmerge = "web1" => origin = "base"\nmerge = "base"
        thin-merge | web4 0 | origin = "web1"\nmerge => merge
        thin-messages | p 0 | create = "web2" => create = "base"
        single-spare | x_pmspare | \nx { => \nx_pmspare {
        "#,
    );
    table.edits(
        &vg(&cache()),
        r#"
        cache-pool | data 0 | cache_pool = "fast_cpool" => cache_pool = "plain"
        fields | data 0 | origin = => policy = "mq"\norigin =
        sole-user | fast_cpool 0 | origin = "data_corig" => origin = "fast_cpool_cdata"
        "#,
    );
    table.edits(
        &vg(&cache_volume()),
        r#"
        cache-settings | data 0 | policy = "smq"\n =>
        cache-settings | data 0 | cache_mode = "writeback"\n =>
        cache-settings | data 0 | metadata_format = 2\n =>
        fields | data 0 | chunk_size = 128\n =>
        "#,
    );
    table.edits(
        &vg(&vdo()),
        r#"
        vdo-pool | v 0 | vdo_pool = "vpool" => vdo_pool = "vpool_vdata"
        fields | vpool 0 | logical_threads = 1 => logical_threads = 0
        "#,
    );
}

fn locking(table: &mut Table) {
    let with_lock = |lock: &str, lvs: &[LvText]| {
        let head = format!("status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\n{lock}");
        with_head(&head, lvs)
    };
    let lvs = [shown("data", 8, &linear(0, 0)), part("more", 1, 0, 8)];
    table.edits(
        &with_lock("lock_type = \"none\"\n", &lvs),
        r#"
        lock-type | VG | "none" => "other"
        lock-args | VG | lock_type => lock_args = "1.0.0:x"\nlock_type
        lv-lock-args | data | flags = []\nseg => flags = []\nlock_args = "dlm"\nseg
        "#,
    );
    table.edits(
        &with_lock("lock_type = \"dlm\"\nlock_args = \"1.0.0:x\"\n", &lvs),
        r#"
        lock-args | VG | lock_args = "1.0.0:x"\n =>
        lock-type | VG | "WRITE"] => "WRITE", "CLUSTERED"]
        lock-type | VG | lock_type => system_id = "node1"\nlock_type
        lv-lock-args | data | flags = []\nseg => flags = []\nlock_args = "1.0.0:5"\nseg
        lv-lock-args | more | ["READ", "WRITE"]\n => ["READ", "WRITE"]\nlock_args = "dlm"\n
        "#,
    );
    let lvs = [shown("data", 8, &linear(0, 0)), shown("more", 8, &linear(1, 0))];
    table.edits(
        &with_lock("lock_type = \"sanlock\"\nlock_args = \"1.0.0:lvmlock\"\n", &lvs),
        r#"
        lv-lock-args | data | flags = []\nseg => flags = []\nlock_args = "1.0.0:5:6"\nseg
        lv-lock-args | data | flags = []\nseg => flags = []\nlock_args = "1.0.0 5"\nseg
        lv-lock-once | more | flags = []\nseg => lock_args = "1:5"\nseg ;; flags = []\nseg => lock_args = "1:5"\nseg
        "#,
    );
}

/// A VG with the records of two removed LVs.
pub(super) fn with_history() -> String {
    let records = format!(
        "historical_logical_volumes {{\n\nold1 {{\nid = \"{}\"\ncreation_time = 5\nremoval_time = 6\norigin = \"data\"\n}}\n\
         \nold2 {{\nid = \"{}\"\norigin = \"-old1\"\ndescendants = [\"data\"]\n}}\n}}\n\n}}\n# Gen",
        texts::id(500),
        texts::id(501)
    );
    vg(&[shown("data", 8, &linear(0, 0))]).replacen("\n}\n# Gen", &format!("\n{records}"), 1)
}

fn history(table: &mut Table) {
    table.edits(
        &with_history(),
        r#"
        history-names | VG | \nold2 { => \ndata {
        history-names | VG | \nold2 { => \nold1 {
        history-ids | VG | 000501" => 000500"
        history-ids | VG | 000501" => "
        history-links | VG | origin = "data" => origin = "no_such"
        history-links | VG | "-old1" => "-old3"
        history-links | VG | ["data"] => ["data", "old1"]
        history-links | VG | ["data"] => []
        "#,
    );
}
