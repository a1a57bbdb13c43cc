//! What thin volumes hold, what they take, and in which order they may go.

use lvm_pool::Shrink;

use super::view::{check_at_rest, kernel, pool_of, vg};
use super::{CHUNK, CHUNKS, check_content, clone, fill, lab, snapshot, thin};
use crate::lab::{POOL, uuid};

#[test]
fn a_snapshot_keeps_its_moment_and_a_clone_its_own_writes() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 8)).unwrap();
    fill(&pool, 1, 0, 1);
    fill(&pool, 1, 1, 1);
    let taken = pool.create_snapshot(&snapshot(1, 2)).unwrap().info;
    assert_eq!(taken.source_uuid, uuid(1).to_string());
    assert_eq!(
        (taken.allocated, taken.size, taken.num_clones),
        (2 * CHUNK, 8 * CHUNK, 0)
    );
    fill(&pool, 1, 0, 0x11);
    fill(&pool, 1, 2, 0x11);
    pool.create_clone(&clone(2, 3)).unwrap();
    fill(&pool, 3, 1, 0x33);
    fill(&pool, 3, 3, 0x33);
    pool.create_clone(&clone(2, 4)).unwrap();
    check_content(&pool, 1, &[Some(0x11), Some(1), Some(0x11), None], "origin");
    check_content(&pool, 3, &[Some(1), Some(0x33), None, Some(0x33)], "clone");
    check_content(
        &pool,
        4,
        &[Some(1), Some(1), None, None],
        "another clone: the snapshot",
    );
    assert_eq!(pool.snapshot(uuid(2)).unwrap().num_clones, 2);
    assert_eq!(pool.clones(Some(uuid(2))).unwrap().len(), 2);
    // A part of a chunk: the rest is as it was.
    let device = pool.open_replica(uuid(4)).unwrap();
    device.write_at(5, &[9; 10]).unwrap();
    let mut bytes = [0; 16];
    device.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1]);
    check_content(&pool, 3, &[Some(1)], "clone");
    check_at_rest(&lab, "all");
}

#[test]
fn origin_snapshot_and_clone_go_in_any_order() {
    for order in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let lab = lab(1);
        let pool = lab.pool();
        pool.create_replica(&thin(1, 4)).unwrap();
        fill(&pool, 1, 0, 1);
        pool.create_snapshot(&snapshot(1, 2)).unwrap();
        fill(&pool, 1, 0, 0x11);
        pool.create_clone(&clone(2, 3)).unwrap();
        fill(&pool, 3, 1, 0x33);
        for (gone, n) in order.into_iter().enumerate() {
            match n {
                2 => pool.destroy_snapshot(uuid(2)).unwrap(),
                n => pool.destroy_replica(uuid(n)).unwrap(),
            }
            let context = format!("{order:?}, {n} is gone");
            let left = &order[gone + 1..];
            check_at_rest(&lab, &context);
            for n in left {
                match n {
                    1 => check_content(&pool, 1, &[Some(0x11), None], &context),
                    3 => check_content(&pool, 3, &[Some(1), Some(0x33)], &context),
                    _ => {
                        assert_eq!(pool.snapshot(uuid(2)).unwrap().allocated, CHUNK, "{context}");
                        pool.create_clone(&clone(2, 4)).unwrap();
                        check_content(&pool, 4, &[Some(1), None], &context);
                        pool.destroy_replica(uuid(4)).unwrap();
                    }
                }
            }
        }
        let info = pool.info().unwrap().thin_pool.unwrap();
        assert_eq!(info.data_used, 0, "{order:?}");
    }
}

#[test]
fn a_chain_of_a_hundred_holds_what_each_link_wrote() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    fill(&pool, 1, 0, 1);
    for link in 1..50_u8 {
        let n = u128::from(link);
        pool.create_snapshot(&snapshot(n, 1000 + n)).unwrap();
        pool.deactivate_replica(uuid(n)).unwrap();
        pool.create_clone(&clone(1000 + n, n + 1)).unwrap();
        fill(&pool, n + 1, u64::from(link % 2), link + 1);
    }
    assert_eq!(
        pool.replicas().unwrap().len() + pool.snapshots(None).unwrap().len(),
        99
    );
    check_content(&pool, 50, &[Some(49), Some(50)], "the end");
    check_content(&pool, 2, &[Some(1), Some(2)], "near the beginning");
    check_at_rest(&lab, "a chain");
    // The middle goes; both ends stay.
    for n in 2..50 {
        pool.destroy_replica(uuid(n)).unwrap();
        pool.destroy_snapshot(uuid(1000 + n)).unwrap();
    }
    check_content(&pool, 50, &[Some(49), Some(50)], "alone");
    check_content(&pool, 1, &[Some(1), None], "the first");
    check_at_rest(&lab, "what is left");
}

#[test]
fn what_is_used_committed_and_allocated_is_exact() {
    let lab = lab(1);
    let pool = lab.pool();
    let empty = pool.info().unwrap();
    let thin_pool = empty.thin_pool.clone().unwrap();
    assert_eq!((thin_pool.state, thin_pool.data_used), ("inactive", 0));
    assert_eq!(
        (thin_pool.data_size, thin_pool.chunk_size),
        (CHUNKS * CHUNK, CHUNK)
    );
    assert_eq!((empty.used, empty.committed), (thin_pool.metadata_size, 0));
    // More than there is room for: it takes space as it is written.
    let made = pool.create_replica(&thin(1, 2 * CHUNKS)).unwrap();
    assert_eq!(
        (made.size, made.committed, made.allocated),
        (2 * CHUNKS * CHUNK, 2 * CHUNKS * CHUNK, 0)
    );
    for chunk in [0, 5, 9] {
        fill(&pool, 1, chunk, 1);
    }
    pool.create_snapshot(&snapshot(1, 2)).unwrap();
    fill(&pool, 1, 5, 2);
    fill(&pool, 1, 6, 2);
    pool.create_clone(&clone(2, 3)).unwrap();
    fill(&pool, 3, 0, 3);
    let allocated = |n| pool.replica(uuid(n)).unwrap().allocated / CHUNK;
    let check = |context: &str| {
        assert_eq!((allocated(1), allocated(3)), (4, 3), "{context}");
        assert_eq!(pool.snapshot(uuid(2)).unwrap().allocated, 3 * CHUNK, "{context}");
        let info = pool.info().unwrap();
        let thin_pool = info.thin_pool.unwrap();
        assert_eq!(thin_pool.data_used, 6 * CHUNK, "{context}");
        assert_eq!(info.used, empty.used + 6 * CHUNK, "{context}");
        assert_eq!(info.committed, (4 * CHUNKS + 3) * CHUNK, "{context}");
    };
    check("all active");
    let system = lab.system();
    pool.deactivate_replica(uuid(1)).unwrap();
    // The kernel commits what was written when the device is synced, or its pool stopped.
    pool.open_replica(uuid(3)).unwrap().sync().unwrap();
    check("one active");
    system.export_pool(POOL).unwrap();
    assert_eq!(pool.info().unwrap().thin_pool.unwrap().state, "inactive");
    check("none active");
    let vg = vg(&lab);
    let of_kernel = kernel(&lab, &vg, &pool_of(&vg, "mayastor-thinpool")).unwrap();
    assert_eq!(of_kernel.data_used, 6);
    let pool = system.import_pool(POOL, &lab.images, None).unwrap();
    pool.destroy_replica(uuid(1)).unwrap();
    assert_eq!(pool.info().unwrap().thin_pool.unwrap().data_used, 4 * CHUNK);
    pool.destroy_snapshot(uuid(2)).unwrap();
    assert_eq!(pool.info().unwrap().thin_pool.unwrap().data_used, 3 * CHUNK);
    pool.destroy_replica(uuid(3)).unwrap();
    let info = pool.info().unwrap();
    assert_eq!((info.used, info.committed), (empty.used, 0));
}

#[test]
fn a_resize_of_a_thin_replica_takes_no_space() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 4)).unwrap();
    fill(&pool, 1, 3, 1);
    let used = pool.info().unwrap().used;
    let grown = pool
        .resize_replica(uuid(1), 2 * CHUNKS * CHUNK, Shrink::Refuse)
        .unwrap();
    assert_eq!((grown.size, grown.allocated), (2 * CHUNKS * CHUNK, CHUNK));
    fill(&pool, 1, CHUNKS, 2);
    assert_eq!(pool.info().unwrap().used, used + CHUNK);
    let refused = pool.resize_replica(uuid(1), 4 * CHUNK, Shrink::Refuse);
    assert_eq!(refused.unwrap_err().kind(), "ShrinkRefused");
    pool.resize_replica(uuid(1), 4 * CHUNK, Shrink::Allow).unwrap();
    check_content(&pool, 1, &[None, None, None, Some(1)], "smaller");
    check_at_rest(&lab, "resized");
}

#[test]
fn a_full_thin_pool_refuses_what_is_new_and_serves_what_is_there() {
    let lab = lab(1);
    let pool = lab.pool();
    pool.create_replica(&thin(1, 2 * CHUNKS)).unwrap();
    pool.create_replica(&thin(2, 4)).unwrap();
    let device = pool.open_replica(uuid(1)).unwrap();
    for chunk in 0..CHUNKS {
        device.write_at(chunk * CHUNK, &[1; CHUNK as usize]).unwrap();
    }
    assert!(device.write_at(CHUNKS * CHUNK, &[1; CHUNK as usize]).is_err());
    drop(device);
    let info = pool.info().unwrap();
    assert_eq!(info.thin_pool.unwrap().state, "out_of_data_space");
    assert_eq!(info.reasons.len(), 1);
    for error in [
        pool.create_replica(&thin(3, 4)).map(drop),
        pool.create_snapshot(&snapshot(1, 3)).map(drop),
    ] {
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.errno()), ("NoSpace", libc::ENOSPC));
    }
    check_at_rest(&lab, "full");
    check_content(&pool, 1, &[Some(1)], "full");
    pool.destroy_replica(uuid(1)).unwrap();
    pool.create_replica(&thin(3, 4)).unwrap();
    fill(&pool, 3, 0, 3);
    check_at_rest(&lab, "room again");
}
