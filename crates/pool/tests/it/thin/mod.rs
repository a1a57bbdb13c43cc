//! Thin pools, thin replicas, snapshots and clones: cut and failed at each step, counted, and what they hold.

mod costs;
mod cuts;
mod faults;
mod foreign;
mod long_lived;
mod raid;
mod refused;
mod scene;
mod semantics;
mod several;
pub(crate) mod view;

use lvm_dm::DeviceMapper;
use lvm_pool::{CreateClone, CreatePool, CreateReplica, CreateSnapshot, CreateThinPool, StoragePool};

use crate::lab::{Lab, POOL, UNIT, request, uuid};

/// Bytes of the thin pools' chunks.
const CHUNK: u64 = UNIT;
/// Chunks of the thin pools.
const CHUNKS: u64 = 64;
const TPOOL: &str = "pool--1-mayastor--thinpool-tpool";

/// The whole of a replica's first chunks, each filled with one byte; `None` was never written.
type Content = [Option<u8>];

fn thin(n: u128, chunks: u64) -> CreateReplica {
    let mut request = CreateReplica::new(uuid(n), chunks * CHUNK);
    request.thin = true;
    request
}

fn snapshot(source: u128, n: u128) -> CreateSnapshot {
    CreateSnapshot::new(uuid(source), uuid(n), &format!("snapshot-{n}"), "volume", "1")
}

fn clone(snapshot: u128, n: u128) -> CreateClone {
    CreateClone::new(uuid(snapshot), uuid(n), &format!("clone-{n}"))
}

fn pool_request(lab: &Lab) -> CreatePool {
    let mut request = request(POOL, &lab.images);
    request.thin_pool = Some(thin_pool());
    request
}

fn thin_pool() -> CreateThinPool {
    let mut request = CreateThinPool::new(CHUNKS * CHUNK);
    request.error_if_no_space = true;
    request
}

/// A host with disks of 10 MiB and a pool on all of them, with a thin pool of 4 MiB of data and 2 of metadata.
fn lab(disks: usize) -> Lab {
    lab_as(disks, "linear")
}

/// As [`lab`], with a thin pool of some layout.
fn lab_as(disks: usize, layout: &str) -> Lab {
    let lab = Lab::sized(disks, 160 * UNIT);
    let mut request = pool_request(&lab);
    request.thin_pool.as_mut().unwrap().layout = layout.parse().unwrap();
    lab.system().create_pool(&request).unwrap();
    lab
}

/// Fills one chunk of a replica, which is active.
fn fill(pool: &StoragePool, n: u128, chunk: u64, byte: u8) {
    let device = pool.open_replica(uuid(n)).unwrap();
    device.write_at(chunk * CHUNK, &[byte; CHUNK as usize]).unwrap();
}

/// Compares the first chunks of a replica, which is activated for it.
#[track_caller]
fn check_content(pool: &StoragePool, n: u128, content: &Content, context: &str) {
    let was_active = pool.replica(uuid(n)).unwrap().active;
    pool.activate_replica(uuid(n)).unwrap();
    let device = pool.open_replica(uuid(n)).unwrap();
    let mut bytes = vec![0; CHUNK as usize];
    for (chunk, byte) in (0..).zip(content) {
        device.read_at(chunk * CHUNK, &mut bytes).unwrap();
        let wanted = byte.unwrap_or(0);
        let wrong = bytes.iter().position(|found| *found != wanted);
        assert_eq!(
            wrong, None,
            "{context}: replica {n}, chunk {chunk} is not {wanted:#x}"
        );
    }
    drop(device);
    if !was_active {
        pool.deactivate_replica(uuid(n)).unwrap();
    }
}

/// Sends the thin pool a message past the library.
fn tell(lab: &Lab, text: &str) {
    let name = lvm_dm::DmName::new(TPOOL).unwrap();
    let mapper = lab.fake.inner();
    mapper.message(lvm_dm::DeviceId::Name(&name), 0, text).unwrap();
}
