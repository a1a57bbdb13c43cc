//! What must not be restored, and not from or onto what: a typed error, and every disk as it was.

use std::fs;

use lvm_meta::{FileDisk, Vg};
use lvm_pool::{Class, RestorePool};

use super::{EXTENTS, MDA, commit, edited, image, prepared, text_on, write};
use crate::lab::{POOL, UNIT, request, uuid};
use crate::refusals::check_refused;

/// The status of a VG of another host.
const FOREIGN: &str = "status = [\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\"]\nsystem_id = \"them\"";

#[test]
fn texts_that_cannot_be_the_pools_are_refused() {
    let prepared = prepared();
    let lab = &prepared.lab;
    let refused = |kind, class, text: Vec<u8>| {
        let mut request = RestorePool::new(POOL, text);
        request.force = true;
        check_refused(lab, kind, class, |system| system.restore_pool(&request));
    };
    let text = &prepared.text;
    let bad = |text: &[u8]| refused("BadBackup", Class::Corrupt, text.to_vec());
    bad(b"");
    bad(&text[..text.len() / 2]);
    bad(&edited(text, "extent_size = 512", "extent_size = 0"));
    // Only the rules for writing forbid it.
    bad(&edited(text, "extent_size = 512", "extent_size = 511"));
    let status = "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]";
    let with = |more: &str| edited(text, status, &status.replace(']', more));
    refused("Exported", Class::Precondition, with(", \"EXPORTED\"]"));
    refused("Shared", Class::Precondition, with(", \"CLUSTERED\"]"));
    refused("Unsupported", Class::Precondition, with(", \"UNHEARD_OF\"]"));
    let owned = edited(text, &format!("{status}\nflags = []"), FOREIGN);
    refused("Foreign", Class::Precondition, owned);
    let missing = edited(text, "flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size");
    refused("MissingPv", Class::Precondition, missing);

    let other = RestorePool::new("other", text.clone());
    check_refused(lab, "InvalidArgument", Class::InvalidArgument, |system| {
        system.restore_pool(&other)
    });
    let nameless = RestorePool::new("../x", text.clone());
    check_refused(lab, "InvalidName", Class::InvalidArgument, |system| {
        system.restore_pool(&nameless)
    });
}

#[test]
fn a_text_with_a_thin_pool_takes_a_word() {
    let prepared = prepared();
    let lab = &prepared.lab;
    let lv = |name: &str, n: u8, status: &str, segment: &str| {
        let id = lvm_meta::LvId::from_uuid_bytes([n; 16]);
        format!(
            "{name} {{\nid = \"{id}\"\nstatus = [\"READ\", \"WRITE\"{status}]\nflags = []\nsegment_count = 1\n\
             segment1 {{\nstart_extent = 0\nextent_count = 1\n{segment}\n}}\n}}\n"
        )
    };
    let striped = |extent| format!("type = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv2\", {extent}\n]");
    for word in ["", "+CROP_METADATA"] {
        let crop = if word.is_empty() {
            ""
        } else {
            "\ncrop_metadata = 1"
        };
        let pool = format!(
            "type = \"thin-pool{word}\"\nmetadata = \"tp_tmeta\"\npool = \"tp_tdata\"\ntransaction_id = 5\n\
             chunk_size = 128\ndiscards = \"passdown\"\nzero_new_blocks = 1{crop}"
        );
        let thin = [
            lv("tp", 1, ", \"VISIBLE\"", &pool),
            lv("tp_tmeta", 2, "", &striped(10)),
            lv("tp_tdata", 3, "", &striped(11)),
        ];
        let lvs = format!("logical_volumes {{\n{}", thin.concat());
        let mut request = RestorePool::new(POOL, edited(&prepared.text, "logical_volumes {\n", &lvs));
        check_refused(lab, "NeedsForce", Class::InvalidArgument, |system| {
            system.restore_pool(&request)
        });
        request.force = true;
        let done = lab.system().restore_pool(&request).unwrap();
        assert_eq!(done.pool.foreign_lvs, ["tp"]);
    }
}

#[test]
fn active_devices_are_in_the_way() {
    let prepared = prepared();
    let lab = &prepared.lab;
    for replica in [uuid(1), uuid(3)] {
        lab.pool().activate_replica(replica).unwrap();
        let mut request = prepared.request();
        request.force = true;
        check_refused(lab, "ActiveLvs", Class::Busy, |system| {
            system.restore_pool(&request)
        });
        lab.pool().deactivate_replica(replica).unwrap();
    }
    lab.system().restore_pool(&prepared.request()).unwrap();
}

#[test]
fn a_pool_that_must_not_be_changed_is_not_restored_over() {
    let prepared = prepared();
    let lab = &prepared.lab;
    let status = "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]";
    for (kind, new) in [
        (
            "Exported",
            "status = [\"RESIZEABLE\", \"READ\", \"WRITE\", \"EXPORTED\"]",
        ),
        ("ReadOnly", "status = [\"RESIZEABLE\", \"READ\"]"),
        ("Foreign", FOREIGN),
    ] {
        let now = text_on(lab, 0);
        commit(lab, &[0, 1, 2], &edited(&now, status, new));
        check_refused(lab, kind, Class::Precondition, |system| {
            system.restore_pool(&prepared.request())
        });
        commit(lab, &[0, 1, 2], &now);
    }
}

#[test]
fn disks_that_are_not_the_pools_any_more_are_not_taken() {
    let in_use = ("DiskInUse", Class::Precondition);
    // A new VG on one of the disks, whose PV is another one then.
    let prepared = super::prepared();
    let lab = &prepared.lab;
    lab.system().destroy_pool(POOL).unwrap();
    lab.system()
        .create_pool(&request("other", &lab.images[1..2]))
        .unwrap();
    let mut wanted = prepared.request_with_disks(&[0, 1, 2]);
    wanted.force = true;
    check_refused(lab, in_use.0, in_use.1, |system| system.restore_pool(&wanted));
    // Its PV has the same id, as after `pvcreate --uuid`: another VG's all the same.
    let own = Vg::parse(&prepared.text).unwrap().pvs()[1].id();
    let text = text_on(lab, 1);
    let theirs = Vg::parse(&text).unwrap().pvs()[0].id();
    let layout = lvm_meta::MakePv::new(64 * UNIT, Vg::parse(&text).unwrap().extent_size());
    lvm_meta::make_pv(&FileDisk::new(image(lab, 1)), own, &layout.layout().unwrap()).unwrap();
    commit(lab, &[1], &edited(&text, &theirs.to_string(), &own.to_string()));
    check_refused(lab, in_use.0, in_use.1, |system| {
        system.restore_pool(&prepared.request_with_disks(&[0, 2]))
    });
    // And when that VG cannot be read.
    let broken = edited(&text_on(lab, 1), "extent_size = 512", "extent_size = 0");
    commit(lab, &[1], &broken);
    check_refused(lab, in_use.0, in_use.1, |system| {
        system.restore_pool(&prepared.request_with_disks(&[0, 2]))
    });
}

#[test]
fn another_vg_of_the_name_is_in_the_way() {
    let prepared = prepared();
    let lab = &prepared.lab;
    let id = Vg::parse(&prepared.text).unwrap().id().to_string();
    let other = lvm_meta::VgId::from_uuid_bytes([7; 16]).to_string();
    check_refused(lab, "AlreadyExists", Class::AlreadyExists, |system| {
        system.restore_pool(&RestorePool::new(POOL, edited(&prepared.text, &id, &other)))
    });
    let renamed = edited(&prepared.text, "pool-1 {", "pool-2 {");
    check_refused(lab, "AlreadyExists", Class::AlreadyExists, |system| {
        system.restore_pool(&RestorePool::new("pool-2", renamed))
    });
}

#[test]
fn disks_that_do_not_fit_are_refused() {
    // Too small, with its label and without.
    let prepared = prepared();
    let lab = &prepared.lab;
    image(lab, 1).set_len(40 * UNIT).unwrap();
    check_refused(lab, "DiskTooSmall", Class::InvalidArgument, |system| {
        system.restore_pool(&prepared.request())
    });
    write(lab, 1, 0, &[0; 2048]);
    check_refused(lab, "DiskTooSmall", Class::InvalidArgument, |system| {
        system.restore_pool(&prepared.request_with_disks(&[1]))
    });

    // Twice the same PV.
    let prepared = super::prepared();
    let lab = &prepared.lab;
    fs::copy(&lab.images[1], &lab.images[3]).unwrap();
    check_refused(lab, "DuplicatePv", Class::Precondition, |system| {
        system.restore_pool(&prepared.request())
    });

    // A label whose area lies where the text has extents.
    let prepared = super::prepared();
    let lab = &prepared.lab;
    let pv = Vg::parse(&prepared.text).unwrap().pvs()[1].id();
    let large = lvm_meta::MakePv::new(64 * UNIT, Vg::parse(&prepared.text).unwrap().extent_size());
    let large = large.mda_size(2 << 20).layout().unwrap();
    lvm_meta::make_pv(&FileDisk::new(image(lab, 1)), pv, &large).unwrap();
    check_refused(lab, "InvalidDisk", Class::InvalidArgument, |system| {
        system.restore_pool(&prepared.request())
    });
}

#[test]
fn disks_that_are_named_wrongly_are_refused() {
    let prepared = prepared();
    let lab = &prepared.lab;
    write(lab, 1, 0, &vec![0; EXTENTS as usize]);
    let refused = |kind, class, disks: &[(&str, usize)]| {
        let mut request = prepared.request();
        request.force = true;
        request.disks = disks
            .iter()
            .map(|(pv, disk)| ((*pv).to_owned(), lab.images[*disk].clone()))
            .collect();
        check_refused(lab, kind, class, |system| system.restore_pool(&request));
    };
    let argument = Class::InvalidArgument;
    refused("InvalidArgument", argument, &[("pv7", 1)]);
    refused("InvalidArgument", argument, &[("pv1", 1), ("pv1", 3)]);
    refused("InvalidDisk", argument, &[("pv1", 3), ("pv2", 3)]);
    // PV 0 is where its label is, and no other PV is there.
    refused("InvalidDisk", argument, &[("pv0", 3), ("pv1", 1)]);
    refused("DiskInUse", Class::Precondition, &[("pv1", 0)]);
    let gone = lab.images[0].with_file_name("gone.img");
    let mut request = prepared.request();
    request.disks = vec![("pv1".into(), gone)];
    check_refused(lab, "DiskNotFound", Class::NotFound, |system| {
        system.restore_pool(&request)
    });
    // Not even when nothing tells whose the label is.
    for disk in [0, 2] {
        write(lab, disk, MDA, &vec![0; 64 << 10]);
    }
    refused("DiskInUse", Class::Precondition, &[("pv1", 0)]);
}
