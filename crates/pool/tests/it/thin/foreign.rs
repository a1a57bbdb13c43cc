//! Thin pools and volumes of others, and changes that others began.

use lvm_dm::{DeviceId, DeviceMapper, DmName, OpenMode};
use lvm_meta::detail::{Detail, Thin, ThinMessage};
use lvm_meta::{Extents, LvId, LvName, NewLv, Vg};
use lvm_pool::{Class, CreateReplica, CreateThinPool};

use super::view::{check_at_rest, check_with_leaks, device_ids, edit, edit_pool, edit_text, pool_of, vg};
use super::{CHUNK, CHUNKS, TPOOL, check_content, clone, fill, lab, snapshot, tell, thin, thin_pool};
use crate::lab::{Lab, POOL, UNIT, uuid};
use crate::refusals::check_refused;

const OURS: &str = "mayastor-thinpool";

/// A thin LV of somebody else, as a change of the metadata.
fn add_foreign(vg: &mut Vg, pool: &str, name: &str, device_id: u32, origin: Option<String>) {
    let detail = Thin {
        pool: pool.into(),
        transaction_id: pool_of(vg, pool).transaction_id,
        device_id,
        external_origin: None,
        origin: origin.map(Into::into),
        merge: None,
    };
    let id = LvId::from_random([u8::try_from(device_id).unwrap(); 32]);
    let new = NewLv::new(LvName::parse(name).unwrap(), id, Vec::new());
    vg.add_detailed(new, Extents::new(2), "thin", &Detail::Thin(detail))
        .unwrap();
}

#[test]
fn a_thin_pool_of_lvm_localpv_is_used_and_left_alone() {
    let lab = lab(1);
    let system = lab.system();
    let pool = lab.pool();
    // A volume of theirs, made by ourselves first, with data.
    pool.create_replica(&thin(1, 8)).unwrap();
    fill(&pool, 1, 0, 1);
    system.export_pool(POOL).unwrap();
    let name = uuid(1).to_string();
    let tags = format!("tags = [\"mayastor\", \"mayastor.lv.name={name}\", \"mayastor.lv.share=off\"]");
    edit_text(
        &lab,
        &[(&*tags, ""), (&*name, "pvc-7"), (OURS, "pool-1_thinpool")],
    );
    let pool = system.import_pool(POOL, &lab.images, None).unwrap();
    let info = pool.info().unwrap();
    assert_eq!(info.thin_pool.as_ref().unwrap().name, "pool-1_thinpool");
    assert_eq!(info.foreign_lvs, ["pool-1_thinpool", "pvc-7"]);
    assert_eq!(pool.create_thin_pool(&thin_pool()).unwrap(), info);
    check_refused(&lab, "InvalidArgument", Class::InvalidArgument, |system| {
        system
            .open_pool(POOL)?
            .create_thin_pool(&CreateThinPool::new(2 * CHUNKS * CHUNK))
    });
    let before = vg(&lab).lv("pvc-7").cloned();
    pool.create_replica(&thin(2, 4)).unwrap();
    fill(&pool, 2, 0, 2);
    pool.create_snapshot(&snapshot(2, 3)).unwrap();
    pool.create_clone(&clone(3, 4)).unwrap();
    assert_eq!(device_ids(&vg(&lab), "pool-1_thinpool"), [1, 2, 3, 4].into());
    check_at_rest(&lab, "beside theirs");
    pool.destroy_replica(uuid(2)).unwrap();
    pool.destroy_snapshot(uuid(3)).unwrap();
    check_content(&pool, 4, &[Some(2)], "clone");
    pool.destroy_replica(uuid(4)).unwrap();
    let after = vg(&lab);
    assert_eq!(after.lv("pvc-7").cloned(), before);
    assert_eq!(device_ids(&after, "pool-1_thinpool"), [1].into());
    check_at_rest(&lab, "theirs alone");
    check_refused(&lab, "ForeignLvs", Class::Precondition, |system| {
        system.destroy_pool(POOL)
    });
    system.export_pool(POOL).unwrap();
    assert!(lab.fake.inner().list().unwrap().is_empty());
    assert_eq!(vg(&lab).lv("pvc-7").cloned(), before);
    // Ours again, it holds what it held.
    edit_text(&lab, &[("pvc-7", &*name)]);
    edit(&lab, |vg| {
        vg.set_lv_tags(&name, &["mayastor", "mayastor.lv.name=a"])
            .unwrap();
    });
    let pool = system.import_pool(POOL, &lab.images, None).unwrap();
    check_content(&pool, 1, &[Some(1), None], "theirs");
}

/// A pool whose thin pool is at transaction 2, with an active replica.
fn prepared() -> Lab {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 8)).unwrap();
    fill(&pool, 1, 0, 1);
    pool.create_replica(&CreateReplica::new(uuid(2), UNIT)).unwrap();
    lab
}

#[test]
fn what_others_began_with_a_thin_pool_is_finished() {
    let origin = || Some(uuid(1).to_string());
    // How far they came: the metadata alone, the kernel's devices, and all but the last commit.
    for (sent, moved) in [(false, false), (true, false), (true, true)] {
        for is_snapshot in [false, true] {
            let context = format!("{sent}, {moved}, {is_snapshot}");
            let lab = prepared();
            let transaction = pool_of(&vg(&lab), OURS).transaction_id;
            tell(&lab, "create_thin 7");
            edit(&lab, |vg| {
                add_foreign(vg, OURS, "theirs", 8, is_snapshot.then(origin).flatten());
                edit_pool(vg, OURS, |pool| {
                    pool.transaction_id += 1;
                    pool.messages = vec![ThinMessage::Delete(7), ThinMessage::Create("theirs".into())];
                });
            });
            if sent {
                tell(&lab, "delete 7");
                let message = if is_snapshot {
                    "create_snap 8 1"
                } else {
                    "create_thin 8"
                };
                tell(&lab, message);
            }
            if moved {
                tell(
                    &lab,
                    &format!("set_transaction_id {transaction} {}", transaction + 1),
                );
            }
            lab.fake.forget_calls();
            let pool = lab.pool();
            check_at_rest(&lab, &context);
            assert_eq!(pool.info().unwrap().foreign_lvs, ["theirs"], "{context}");
            let changes: Vec<_> = lab.fake.changes().iter().map(|call| call.command()).collect();
            if is_snapshot && !moved {
                let at = changes.iter().position(|name| *name == "suspend");
                assert_eq!(
                    &changes[at.unwrap()..][..2],
                    ["suspend", "message"],
                    "{context}: the origin is in use"
                );
            }
            check_content(&pool, 1, &[Some(1)], &context);
            pool.create_replica(&thin(3, 4)).unwrap();
            check_at_rest(&lab, &context);
        }
    }
}

#[test]
fn a_number_that_others_delete_and_give_anew_is_given_anew() {
    let lab = prepared();
    tell(&lab, "create_snap 7 1");
    let pool = lab.pool();
    pool.create_replica(&thin(3, 4)).unwrap();
    pool.destroy_replica(uuid(3)).unwrap();
    edit(&lab, |vg| {
        add_foreign(vg, OURS, "theirs", 7, None);
        edit_pool(vg, OURS, |pool| {
            pool.transaction_id += 1;
            pool.messages = vec![ThinMessage::Delete(7), ThinMessage::Create("theirs".into())];
        });
    });
    let pool = lab.pool();
    check_at_rest(&lab, "theirs");
    assert_eq!(pool.info().unwrap().foreign_lvs, ["theirs"]);
    let vg = vg(&lab);
    let kernel = super::view::kernel(&lab, &vg, &pool_of(&vg, OURS)).unwrap();
    assert_eq!((kernel.devices[&1].mapped, kernel.devices[&7].mapped), (1, 0));
}

#[test]
fn metadata_of_different_moments_are_told_apart_and_left_alone() {
    for pending in [false, true] {
        let lab = prepared();
        edit(&lab, |vg| {
            edit_pool(vg, OURS, |pool| {
                pool.transaction_id += 2;
                if pending {
                    pool.messages = vec![ThinMessage::Delete(9)];
                }
            });
        });
        let check = |call: &dyn Fn(&lvm_pool::StoragePool) -> Result<(), lvm_pool::Error>| {
            check_refused(&lab, "ThinPoolMismatch", Class::Precondition, |system| {
                call(&system.open_pool(POOL)?)
            });
        };
        check(&|pool| pool.create_replica(&thin(3, 4)).map(drop));
        check(&|pool| pool.create_snapshot(&snapshot(1, 3)).map(drop));
        check(&|pool| pool.destroy_replica(uuid(1)));
        // What has nothing to do with it goes on.
        let pool = lab.pool();
        check_content(&pool, 1, &[Some(1)], "it can be read");
        pool.destroy_replica(uuid(2)).unwrap();
        let reasons = pool.info().unwrap().reasons;
        let told = |words: &str| reasons.iter().any(|reason| reason.contains(words));
        assert!(told("in the kernel, "), "{reasons:?}");
        assert_eq!(reasons.len(), 1 + usize::from(pending), "{reasons:?}");
    }
}

type Change = fn(&lvm_pool::StoragePool) -> Result<(), lvm_pool::Error>;

#[test]
fn metadata_some_transactions_apart_are_shown_and_neither_changed_nor_activated() {
    for (metadata, kernel) in [(21, 20), (24, 20), (29, 20), (20, 21), (20, 24), (20, 29)] {
        let lab = prepared();
        let now = pool_of(&vg(&lab), OURS).transaction_id;
        tell(&lab, &format!("set_transaction_id {now} {kernel}"));
        edit(&lab, |vg| {
            edit_pool(vg, OURS, |pool| pool.transaction_id = metadata)
        });
        let system = lab.system();
        assert_eq!(system.replicas().unwrap().len(), 2);
        assert!(system.replica_info(uuid(1)).unwrap().active);
        let reasons = system.pool_info(POOL).unwrap().reasons;
        let told = format!("transaction {kernel} in the kernel, {metadata} in the metadata");
        assert!(reasons.iter().any(|reason| reason.contains(&told)), "{reasons:?}");
        let before = device_ids(&vg(&lab), OURS);
        let calls: [Change; 3] = [
            |pool| pool.create_replica(&thin(3, 4)).map(drop),
            |pool| pool.create_snapshot(&snapshot(1, 3)).map(drop),
            |pool| pool.destroy_replica(uuid(1)),
        ];
        for call in calls {
            check_refused(&lab, "ThinPoolMismatch", Class::Precondition, |system| {
                let refused = call(&system.open_pool(POOL)?);
                let said = refused
                    .as_ref()
                    .err()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(said.contains(&told), "{said}");
                refused
            });
        }
        let pool = lab.pool();
        pool.deactivate_replica(uuid(1)).unwrap();
        let error = pool.activate_replica(uuid(1)).unwrap_err();
        assert_eq!(
            error.kind(),
            "ThinPoolMismatch",
            "its number may be another volume's"
        );
        assert_eq!(device_ids(&vg(&lab), OURS), before);
        // The others of the pool are there, and an import goes by it.
        lab.system().export_pool(POOL).unwrap();
        let pool = lab.system().import_pool(POOL, &lab.images, None).unwrap();
        let active = |n| pool.replica(uuid(n)).unwrap().active;
        assert_eq!((active(1), active(2)), (false, true));
        tell(&lab, &format!("set_transaction_id {kernel} {metadata}"));
        pool.activate_replica(uuid(1)).unwrap();
        check_content(&pool, 1, &[Some(1)], "of one moment again");
    }
}

#[test]
fn a_change_that_cannot_be_finished_yet_stops_no_other_volume() {
    let lab = prepared();
    edit(&lab, |vg| {
        edit_pool(vg, OURS, |pool| {
            pool.transaction_id += 1;
            pool.messages = vec![ThinMessage::Delete(1)];
        });
        vg.remove_lv(&uuid(1).to_string()).unwrap();
    });
    // Somebody holds the device that is to be deleted.
    let name = format!("pool--1-{}", uuid(1).to_string().replace('-', "--"));
    let name = DmName::new(&name).unwrap();
    let held = lab
        .fake
        .inner()
        .open(DeviceId::Name(&name), OpenMode::ReadWrite)
        .unwrap();
    let pool = lab.pool();
    assert_eq!(pool.info().unwrap().reasons.len(), 1);
    pool.create_replica(&CreateReplica::new(uuid(3), UNIT)).unwrap();
    assert_eq!(pool.create_replica(&thin(4, 4)).unwrap_err().errno(), libc::EBUSY);
    drop(held);
    let pool = lab.pool();
    check_at_rest(&lab, "finished");
    assert_eq!(pool.info().unwrap().reasons, [""; 0]);
    pool.create_replica(&thin(4, 4)).unwrap();
}

#[test]
fn a_pool_that_lvm_shows_under_its_own_name_gets_a_hidden_one() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    let mapper = lab.fake.inner();
    let [hidden, shown] = [TPOOL, "pool--1-mayastor--thinpool"].map(|name| DmName::new(name).unwrap());
    let mut cookie = mapper.cookie().unwrap();
    mapper
        .rename(&hidden, &shown, lvm_dm::UdevFlags::empty(), &mut cookie)
        .unwrap();
    mapper.finish(cookie, std::time::Duration::ZERO).unwrap();
    pool.create_replica(&thin(2, 4)).unwrap();
    assert!(mapper.info(DeviceId::Name(&shown)).unwrap().is_none());
    check_with_leaks(&lab, &[], "renamed");
}
