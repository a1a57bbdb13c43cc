//! What is counted: the name of each function is the name of its count.

use std::hint::black_box;

use lvm_native::meta::{Disk, Provenance, Vg, assemble, check, scan};
use lvm_native::pool::{CreateClone, CreateReplica, CreateSnapshot, SetReplica, Shrink, StoragePool};
use uuid::Uuid;

use crate::EXTENT;

/// What one memcpy and one CRC of the text cost.
#[inline(never)]
pub(crate) fn copy_and_checksum(text: &[u8], copy: &mut [u8]) -> u32 {
    copy.copy_from_slice(text);
    crc32fast::hash(black_box(copy))
}

#[inline(never)]
pub(crate) fn open_1000(disk: &dyn Disk) -> Vg {
    let scan = scan(disk).unwrap().unwrap();
    assemble(vec![(0, scan)]).vgs.remove(0).vg.unwrap()
}

#[inline(never)]
pub(crate) fn print_1000(vg: &Vg) -> Vec<u8> {
    vg.print_raw(&Provenance::default())
}

#[inline(never)]
pub(crate) fn check_1000(vg: &Vg) -> usize {
    check(vg).len()
}

#[inline(never)]
pub(crate) fn create_in_10000(pool: &StoragePool, request: &CreateReplica) {
    pool.create_replica(request).unwrap();
}

/// With nothing printed or checked before.
#[inline(never)]
pub(crate) fn create_first_in_10000(pool: &StoragePool, request: &CreateReplica) {
    pool.create_replica(request).unwrap();
}

#[inline(never)]
pub(crate) fn set_in_10000(pool: &StoragePool, uuid: Uuid, new: &SetReplica) {
    pool.set_replica(uuid, new).unwrap();
}

#[inline(never)]
pub(crate) fn resize_in_10000(pool: &StoragePool, uuid: Uuid) {
    pool.resize_replica(uuid, 2 * EXTENT, Shrink::Refuse).unwrap();
}

#[inline(never)]
pub(crate) fn destroy_in_10000(pool: &StoragePool, uuid: Uuid) {
    pool.destroy_replica(uuid).unwrap();
}

#[inline(never)]
pub(crate) fn find_in_10000(pool: &StoragePool, uuid: Uuid) {
    pool.replica(uuid).unwrap();
}

#[inline(never)]
pub(crate) fn list_10000(pool: &StoragePool) -> usize {
    pool.replicas().unwrap().len()
}

#[inline(never)]
pub(crate) fn thin_create_in_1000(pool: &StoragePool, request: &CreateReplica) {
    pool.create_replica(request).unwrap();
}

#[inline(never)]
pub(crate) fn snapshot_in_1000(pool: &StoragePool, request: &CreateSnapshot) {
    pool.create_snapshot(request).unwrap();
}

#[inline(never)]
pub(crate) fn clone_in_1000(pool: &StoragePool, request: &CreateClone) {
    pool.create_clone(request).unwrap();
}

#[inline(never)]
pub(crate) fn thin_destroy_in_1000(pool: &StoragePool, uuid: Uuid) {
    pool.destroy_replica(uuid).unwrap();
}

#[inline(never)]
pub(crate) fn snapshot_destroy_in_1000(pool: &StoragePool, uuid: Uuid) {
    pool.destroy_snapshot(uuid).unwrap();
}
