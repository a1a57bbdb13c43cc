//! VGs that LVM makes, or takes, and that a rule might mistake for broken ones.

use super::texts::vg;
use super::*;

/// What each is, and its text.
pub(super) fn all() -> Vec<(&'static str, String)> {
    [
        merges(),
        mirrors_in_the_middle(),
        arrays_in_the_middle(),
        old_and_odd(),
    ]
    .concat()
}

fn merges() -> Vec<(&'static str, String)> {
    let link = |origin: &str, store: &str| {
        format!("type = \"snapshot\"\nchunk_size = 8\norigin = \"{origin}\"\n{store}")
    };
    vec![
        ("thin LVs, messages, a merge", vg(&thin())),
        (
            "a snapshot that is merging",
            vg(&[
                shown("root", 8, &linear(0, 0)),
                part("root_snap", 0, 8, 2),
                hidden("snapshot0", 8, &link("root", "merging_store = \"root_snap\"")),
            ]),
        ),
        (
            "a snapshot of nothing, larger than its store",
            vg(&[
                part("s", 0, 8, 2),
                hidden("s_vorigin", 800, "type = \"zero\""),
                shown("snapshot0", 800, &link("s_vorigin", "cow_store = \"s\"")),
            ]),
        ),
        (
            "an external origin that LVM will make read-only",
            edited(
                &vg(&thin()),
                &[(
                    "status = [\"READ\", \"VISIBLE\"]",
                    "status = [\"READ\", \"WRITE\", \"VISIBLE\"]",
                )],
            ),
        ),
        ("the records of removed LVs", broken::with_history()),
        (
            "the record of a removed LV that LVM will drop",
            edited(
                &broken::with_history(),
                &[("origin = \"-old1\"\ndescendants = [\"data\"]\n", "")],
            ),
        ),
        ("checksums", vg(&integrity("ri_rimage_0_iorig"))),
        ("VDO", vg(&vdo())),
    ]
}

fn mirrors_in_the_middle() -> Vec<(&'static str, String)> {
    let mirror_of = |log: &str, images: [&str; 2]| {
        format!(
            "type = \"mirror\"\nmirror_count = 2\n{log}region_size = 4096\n\nmirrors = [\n\"{}\", 0,\n\"{}\", 0\n]",
            images[0], images[1]
        )
    };
    let log = "mirror_log = \"m_mlog\"\n";
    let moved = "type = \"striped\"\nstripe_count = 1\n\nstripes = [\n\"pvmove0\", 0\n]";
    let pieces = "type = \"mirror\"\nmirror_count = 2\nextents_moved = 4\nregion_size = 4096\n\nmirrors = [\n\"pv2\", 7,\n\"pv3\", 0\n]";
    let aborted = hidden("pvmove0", 4, "type = \"error\"").status(MOVING);
    vec![
        ("a mirror", vg(&mirror())),
        ("a pvmove", vg(&pvmove())),
        (
            "a pvmove with a piece that is done",
            vg(&[
                shown("data", 8, moved).status(r#""READ", "WRITE", "VISIBLE", "LOCKED""#),
                hidden("pvmove0", 4, pieces).and(4, &linear(3, 4)).status(MOVING),
            ]),
        ),
        (
            "a pvmove that was aborted",
            vg(&[shown("data", 4, &linear(0, 0)), aborted]),
        ),
        (
            "a mirror that gets a third image, with a mirrored log",
            vg(&[
                shown("m", 4, &mirror_of(log, ["m_mimagetmp_2", "m_mimage_2"])),
                hidden(
                    "m_mlog",
                    1,
                    &mirror_of("", ["m_mlog_mimage_0", "m_mlog_mimage_1"]).replace("4096", "65536"),
                ),
                part("m_mlog_mimage_0", 0, 0, 1),
                part("m_mlog_mimage_1", 1, 0, 1),
                hidden("m_mimagetmp_2", 4, &mirror_of("", ["m_mimage_0", "m_mimage_1"])),
                part("m_mimage_0", 0, 1, 4),
                part("m_mimage_1", 1, 1, 4),
                part("m_mimage_2", 2, 1, 4),
            ]),
        ),
        (
            "a PV that is missing",
            edited(
                &vg(&mirror()),
                &[("flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size")],
            ),
        ),
    ]
}

fn arrays_in_the_middle() -> Vec<(&'static str, String)> {
    let tracked = |status: &'static str| {
        let mut lvs = raid("raid1", 2, COPIES);
        lvs[4] = part("r_rimage_1", 1, 1, 3).status(status);
        vg(&lvs)
    };
    let reshape = |word: &str| {
        let image = |leg: u32, word: &str| {
            let body = linear(leg, 1).replace("\"striped\"", &format!("\"striped{word}\""));
            hidden(
                &format!("r_rimage_{leg}"),
                4,
                &format!("reshape_count = 1\n{body}"),
            )
        };
        let body = format!(
            "type = \"raid5_ls+RESHAPE+RESHAPE_DATA_OFFSET\"\ndevice_count = 3\n{STRIPES}data_offset = 8192\n{}",
            pairs("r", 3)
        );
        vg(&[
            shown("r", 6, &body),
            part("r_rmeta_0", 0, 0, 1),
            image(0, ""),
            part("r_rmeta_1", 1, 0, 1),
            image(1, ""),
            part("r_rmeta_2", 2, 0, 1),
            image(2, word),
        ])
    };
    let mut without = raid("raid4", 3, STRIPES);
    without[0] = shown(
        "r",
        6,
        &format!(
            "type = \"raid4\"\ndevice_count = 3\n{STRIPES}\nraids = [\n\"r_rimage_0\",\n\"r_rimage_1\",\n\"r_rimage_2\"\n]"
        ),
    );
    let mut skipped = raid("raid1", 2, COPIES);
    skipped[0] = shown(
        "r",
        6,
        &format!("type = \"raid1\"\ndevice_count = 2\n{COPIES}{}", pairs("r", 2)),
    )
    .flags("\"ACTIVATION_SKIP\"");
    skipped[2] = shown("r_rimage_0", 3, &linear(0, 1));
    vec![
        ("an image to be rebuilt", tracked(r#""READ", "WRITE", "REBUILD""#)),
        (
            "an image to be read last",
            tracked(r#""READ", "WRITE", "WRITEMOSTLY""#),
        ),
        (
            "an image that is split off and tracked",
            tracked(r#""READ", "VISIBLE""#),
        ),
        (
            "a leg that is added by a reshape",
            reshape("+RESHAPE_DELTA_DISKS_PLUS"),
        ),
        (
            "a leg that is dropped by a reshape",
            reshape("+RESHAPE_DELTA_DISKS_MINUS"),
        ),
        (
            "a leg that a reshape is done with",
            reshape("+REMOVE_AFTER_RESHAPE"),
        ),
        ("level 4 on its way to 5", vg(&without)),
        (
            "an array that is not activated, with a visible image",
            vg(&skipped),
        ),
        ("levels 4 and 5 on two legs", vg(&raid("raid5_n", 2, STRIPES))),
        (
            "level 10 whose extents do not divide",
            edited(
                &vg(&raid("raid10", 4, STRIPES)),
                &[("extent_count = 6", "extent_count = 7")],
            ),
        ),
    ]
}

fn old_and_odd() -> Vec<(&'static str, String)> {
    let plain = vg(&[shown("data", 8, &linear(0, 0))]);
    let stripes = "type = \"striped\"\nstripe_count = 2\nstripe_size = 16384\n\nstripes = [\n\"pv0\", 20,\n\"pv0\", 30\n]";
    let going = "type = \"cache\"\ncache_pool = \"fast\"\norigin = \"p_tdata\"";
    let fast = "type = \"cache-pool\"\ndata = \"fast_cdata\"\nmetadata = \"fast_cmeta\"\nchunk_size = 128";
    let mut uncached = thin();
    uncached.extend([
        hidden("x_corig", 20, going),
        hidden("fast", 4, fast),
        part("fast_cdata", 2, 0, 4),
        part("fast_cmeta", 2, 4, 1),
    ]);
    let long = "x".repeat(1025);
    vec![
        (
            "extents of one sector",
            edited(&plain, &[("extent_size = 8192", "extent_size = 1")]),
        ),
        (
            "extents of a multiple of 128 KiB",
            edited(&plain, &[("extent_size = 8192", "extent_size = 768")]),
        ),
        (
            "a device of unknown size",
            edited(&plain, &[("dev_size = 8194048\n", "")]),
        ),
        (
            "a tag longer than ours",
            edited(
                &plain,
                &[("extent_size", &format!("tags = [\"{long}\"]\nextent_size"))],
            ),
        ),
        (
            "a number that LVM takes for none",
            edited(
                &plain,
                &[
                    ("\"VISIBLE\"", "\"FIXED_MINOR\", \"VISIBLE\""),
                    ("segment_count", "minor = -1\nsegment_count"),
                ],
            ),
        ),
        (
            "stripes made before the extents became smaller",
            vg(&[shown("s", 8, stripes)]),
        ),
        (
            "an allocation policy that LVM reads as another",
            edited(
                &plain,
                &[(
                    "physical_volumes",
                    "allocation_policy = \"cling_by_tags\"\nphysical_volumes",
                )],
            ),
        ),
        ("a cache pool", vg(&cache())),
        (
            "a cache pool that says little",
            edited(
                &vg(&cache()),
                &[
                    ("metadata_format = 2\n", ""),
                    ("+METADATA_FORMAT", ""),
                    ("cache_mode = \"writethrough\"\npolicy = \"smq\"", ""),
                ],
            ),
        ),
        (
            "format 2 of a cache pool without its word",
            edited(&vg(&cache()), &[("+METADATA_FORMAT", "")]),
        ),
        ("an LV that is all of a cache", vg(&cache_volume())),
        (
            "one of an LVM that had no word for it",
            edited(&vg(&cache_volume()), &[("+CACHE_USES_CACHEVOL", "")]),
        ),
        (
            "one that is used by nobody and says little",
            edited(
                &vg(&cache_volume()),
                &[("\"data\", 0", "\"data_corig\", 0"), ("policy = \"smq\"\n", "")],
            ),
        ),
        ("a cached LV that is about to go", vg(&uncached)),
        (
            "locks of sanlock's",
            edited(
                &plain,
                &[
                    (
                        "extent_size",
                        "lock_type = \"sanlock\"\nlock_args = \"1.0.0:lvmlock\"\nextent_size",
                    ),
                    ("segment_count", "lock_args = \"1.0.0:70254592\"\nsegment_count"),
                ],
            ),
        ),
        (
            "a type that nobody knows",
            edited(&plain, &[("\"striped\"", "\"striped+FUTURE\"")]),
        ),
    ]
}

#[test]
fn a_stated_size_that_extents_do_not_fit_is_a_warning() {
    let good = vg(&[shown("data", 8, &linear(0, 0))]);
    for (from, to, is_odd) in [
        ("pe_count = 1000", "pe_count = 1001", true),
        ("dev_size = 8194048", "dev_size = 8194047", true),
        ("dev_size = 8194048", "dev_size = 1", true),
        ("dev_size = 8194048", "dev_size = 0", false),
        ("dev_size = 8194048\n", "", false),
        ("dev_size = 8194048", "dev_size = 8194048", false),
        ("dev_size = 8194048", "dev_size = 9194048", false),
    ] {
        let vg = parse(&good.replacen(from, to, 1));
        assert_eq!(check(&vg), [], "{to}");
        let found: Vec<_> = warnings(&vg)
            .iter()
            .map(|it| (it.rule, it.place.clone()))
            .collect();
        let expected: &[_] = if is_odd {
            &[("pv-dev-size", "pv0".into())]
        } else {
            &[]
        };
        assert_eq!(found, expected, "{to}");
    }
}
