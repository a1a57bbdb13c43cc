//! Disks with logical blocks of different sizes.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lvm_meta::Disk;
use lvm_pool::{Class, CreateReplica, Error, RestorePool, System, SystemBuilder};

use crate::lab::{Lab, POOL, UNIT, request, uuid};

/// A disk with blocks of 4096 bytes.
struct Large(Arc<dyn Disk>);

impl Disk for Large {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn block_size(&self) -> u32 {
        4096
    }
}

/// The last image has large blocks.
fn wrap(lab: &Lab) -> impl FnOnce(SystemBuilder) -> SystemBuilder {
    let last = lab.images.last().unwrap().clone();
    move |builder| {
        builder.wrap_disks(move |path: &Path, disk| match path == last {
            true => Arc::new(Large(disk)),
            false => disk,
        })
    }
}

fn system(lab: &Lab) -> System {
    lab.system_with(wrap(lab))
}

/// As [`system`], with `allow_mixed_block_sizes`.
fn allowing(lab: &Lab) -> System {
    let folder = lab.folder.path().join("etc");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("lvm.conf"),
        "devices { allow_mixed_block_sizes = 1 }\n",
    )
    .unwrap();
    lab.system_with(|builder| wrap(lab)(builder.config_dir(folder)))
}

#[track_caller]
fn check_refused<T>(lab: &Lab, call: impl FnOnce(&System) -> Result<T, Error>) {
    let before = lab.bytes();
    let error = call(&system(lab)).err().expect("must be refused");
    assert_eq!(
        (error.kind(), error.class(), error.errno()),
        ("MixedBlockSizes", Class::InvalidArgument, libc::EINVAL),
        "{error}"
    );
    let text = error.to_string();
    let last = lab.images.last().unwrap().display().to_string();
    assert!(
        text.contains(&last) && text.contains("512") && text.contains("4096"),
        "{text}"
    );
    assert!(lab.bytes() == before, "a disk changed");
}

#[test]
fn a_pool_is_made_of_disks_with_blocks_of_one_size_unless_the_host_allows_others() {
    let lab = Lab::new(2);
    check_refused(&lab, |system| system.create_pool(&request(POOL, &lab.images)));
    system(&lab)
        .create_pool(&request("large", &lab.images[1..]))
        .unwrap();
    system(&lab).destroy_pool("large").unwrap();
    allowing(&lab).create_pool(&request(POOL, &lab.images)).unwrap();
}

#[test]
fn a_disk_with_blocks_of_another_size_neither_joins_nor_replaces() {
    let lab = Lab::new(3);
    system(&lab)
        .create_pool(&request(POOL, &lab.images[..2]))
        .unwrap();
    let pool = system(&lab).open_pool(POOL).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    let last = lab.images[2..].to_vec();
    check_refused(&lab, |system| system.open_pool(POOL)?.add_disks(&last, false));
    check_refused(&lab, |system| {
        system
            .open_pool(POOL)?
            .replace_disk(&lab.images[0], &last[0], false, &mut |_| {})
    });
    let pool = allowing(&lab).open_pool(POOL).unwrap();
    pool.add_disks(&last, false).unwrap();
    // As LVM: what is mixed already takes whatever comes.
    pool.remove_disk(&lab.images[1]).unwrap();
    let pool = system(&lab).open_pool(POOL).unwrap();
    pool.add_disks(&lab.images[1..2], false).unwrap();
}

#[test]
fn a_lost_label_is_not_written_to_a_disk_with_blocks_of_another_size() {
    let lab = Lab::new(3);
    system(&lab)
        .create_pool(&request(POOL, &lab.images[..2]))
        .unwrap();
    let text = lab.metadata();
    let id = |at: usize| {
        let disk = lvm_meta::FileDisk::new(fs::File::open(&lab.images[at]).unwrap());
        lvm_meta::scan(&disk).unwrap().unwrap().header.id
    };
    let lost = id(1);
    let image = fs::OpenOptions::new().write(true).open(&lab.images[1]).unwrap();
    image.set_len(0).unwrap();
    image.set_len(64 * UNIT).unwrap();
    let mut wanted = RestorePool::new(POOL, text.into_bytes());
    wanted.disks = vec![(lost.to_string(), lab.images[2].clone())];
    check_refused(&lab, |system| system.restore_pool(&wanted));
    allowing(&lab).restore_pool(&wanted).unwrap();
}
