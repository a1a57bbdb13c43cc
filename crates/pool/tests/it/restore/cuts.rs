//! Death and failure at every step of a restore: the old pool or the restored one, and a repeated call finishes.

use lvm_pool::{Error, System};

use super::{EXTENTS, MDA, Prepared, prepared, write};
use crate::lab::{Cut, Lab, POOL, uuid};

/// What is wrong before a restore, and the disks that it must label.
type Damage = (&'static str, fn(&Lab), &'static [usize]);

const DAMAGE: &[Damage] = &[
    ("nothing", |_| {}, &[]),
    (
        "a lost label",
        |lab| write(lab, 1, 0, &vec![0; EXTENTS as usize]),
        &[1],
    ),
    (
        "broken headers",
        |lab| (0..2).for_each(|disk| write(lab, disk, MDA, &[1; 8])),
        &[],
    ),
    (
        "no copy",
        |lab| (0..3).for_each(|disk| write(lab, disk, MDA, &[1; 8])),
        &[],
    ),
    (
        "nothing at all",
        |lab| (0..3).for_each(|disk| write(lab, disk, 0, &vec![0; EXTENTS as usize])),
        &[0, 1, 2],
    ),
    (
        "a disk that leaves",
        |lab| drop(lab.pool().add_disks(&lab.images[3..], false).unwrap()),
        &[],
    ),
];

fn damaged(damage: &Damage) -> Prepared {
    let prepared = prepared();
    (damage.1)(&prepared.lab);
    prepared
}

/// The replicas that a reader sees, if there is a pool to see.
fn seen(system: &System) -> Option<Vec<uuid::Uuid>> {
    let replicas = system.pool_replicas(POOL).ok()?;
    Some(replicas.iter().map(|replica| replica.uuid).collect())
}

/// Runs a restore that is cut, looks at what is left, and repeats it.
fn check_cut(damage: &Damage, cut: Cut, context: &str) -> (Result<(), Error>, bool) {
    let prepared = damaged(damage);
    let lab = &prepared.lab;
    let (system, old) = (lab.system(), seen(&lab.system()));
    let request = prepared.request_with_disks(damage.2);
    lab.arm(cut);
    let result = system.restore_pool(&request).map(drop);
    let struck = lab.switch.has_struck();
    drop(system);
    let new = Some(vec![uuid(1)]);
    let found = seen(&lab.system());
    assert!(found == old || found == new, "{context}: {found:?}, was {old:?}");
    assert!(result.is_err() || found == new, "{context}");
    if let Err(Error::AfterCommit(_)) = result {
        assert!(found == new, "{context}");
    }
    // Somebody opens it meanwhile, or nobody.
    if found == new {
        let _ = lab.system().open_pool(POOL);
    }
    let again = lab.system().restore_pool(&request);
    again.unwrap_or_else(|error| panic!("{context}: {error}"));
    prepared.check(context);
    prepared.check_extents(context);
    if damage.0 == "a disk that leaves" {
        let free = lab
            .system()
            .create_pool(&super::request("other", &lab.images[3..]));
        free.unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    (result, struck)
}

#[test]
fn death_before_any_write_leaves_the_old_or_the_restored_pool_and_a_repeated_call_finishes() {
    for damage in DAMAGE {
        let mut at = 1;
        loop {
            let context = format!("{}, death at disk change {at}", damage.0);
            if !check_cut(damage, Cut::Death { at }, &context).1 {
                break;
            }
            at += 1;
        }
        assert!(at > 15, "{}: {at}", damage.0);
    }
}

#[test]
fn a_disk_that_fails_leaves_the_old_or_the_restored_pool_and_a_repeated_call_finishes() {
    // One that labels, one that blanks, one that lets a disk go: reads, too, fail here, and there are many.
    for damage in [&DAMAGE[1], &DAMAGE[3], &DAMAGE[5]] {
        let mut at = 1;
        loop {
            let context = format!("{}, fault at disk operation {at}", damage.0);
            let (result, struck) = check_cut(damage, Cut::Fault { at }, &context);
            if !struck {
                result.unwrap();
                break;
            }
            at += 1;
        }
        assert!(at > 15, "{}: {at}", damage.0);
    }
}

#[test]
fn a_disk_that_fails_before_the_text_is_named_leaves_lost_labels_lost() {
    let damage = &DAMAGE[1];
    let mut undone = 0;
    for at in 1.. {
        let prepared = damaged(damage);
        let lab = &prepared.lab;
        let (system, before) = (lab.system(), lab.bytes());
        lab.arm(Cut::Fault { at });
        if system
            .restore_pool(&prepared.request_with_disks(damage.2))
            .is_ok()
            && !lab.switch.has_struck()
        {
            break;
        }
        undone += usize::from(lab.bytes()[1] == before[1]);
    }
    assert!(undone > 10, "{undone}");
}
