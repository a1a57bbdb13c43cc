//! "There is none" is said only when everything in scope could be looked at.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lvm_meta::Disk;
use lvm_pool::{Class, CreateReplica, Error, Listed, System};

use crate::lab::{Cut, Lab, POOL, UNIT, request, uuid};

/// What a call says of a pool that is there: was it, or what could not be looked at, in the answer?
type Call = fn(&System, &Lab) -> Result<bool, Error>;

fn tells<T>(listed: &Listed<T>) -> bool {
    !listed.is_empty() || !listed.gaps().is_empty()
}

const QUESTIONS: [(&str, Call); 9] = [
    ("pools", |system, _| system.pools().map(|it| tells(&it))),
    ("replicas", |system, _| system.replicas().map(|it| tells(&it))),
    ("pool", |system, _| system.pool_info(POOL).map(|_| true)),
    ("pool's replicas", |system, _| {
        system.pool_replicas(POOL).map(|it| !it.is_empty())
    }),
    ("replica", |system, _| system.replica_info(uuid(1)).map(|_| true)),
    ("open", |system, _| system.open_pool(POOL).map(|_| true)),
    ("pool of a replica", |system, _| {
        system.pool_of_replica(uuid(1)).map(|_| true)
    }),
    ("info of a handle", |system, _| {
        system.open_pool(POOL)?.info().map(|_| true)
    }),
    ("plan of an adoption", |system, _| {
        system
            .plan_adoption(POOL, &uuid(1).to_string(), uuid(1))
            .map(|_| true)
    }),
];

const CHANGES: [(&str, Call); 7] = [
    ("create replica", |system, _| {
        let request = CreateReplica::new(uuid(7), UNIT);
        system.create_replica(POOL, &request, &mut |_| {}).map(|_| true)
    }),
    ("destroy replica", |system, _| {
        system
            .pool_of_replica(uuid(1))?
            .destroy_replica(uuid(1))
            .map(|()| true)
    }),
    ("export", |system, _| system.export_pool(POOL).map(|()| true)),
    ("destroy", |system, _| system.destroy_pool(POOL).map(|()| true)),
    ("import", |system, lab| {
        system.import_pool(POOL, &lab.images, None).map(|_| true)
    }),
    ("create", |system, lab| {
        system.create_pool(&request(POOL, &lab.images)).map(|_| true)
    }),
    ("grow", |system, _| system.open_pool(POOL)?.grow().map(|_| true)),
];

fn lab_with_replica() -> Lab {
    let lab = Lab::with_pool(1);
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(1), UNIT))
        .unwrap();
    lab
}

#[track_caller]
fn check(answer: &Result<bool, Error>, context: &str) {
    match answer {
        Ok(told) => assert!(told, "{context}: an empty answer"),
        Err(error) => assert!(
            error.errno() != libc::ENOENT && error.class() != Class::NotFound,
            "{context}: {error}"
        ),
    }
}

#[test]
fn a_read_that_fails_once_makes_nothing_absent() {
    for (name, call) in QUESTIONS.iter().chain(&CHANGES) {
        for at in 1.. {
            let lab = lab_with_replica();
            let system = lab.system();
            lab.arm(Cut::Fault { at });
            let answer = call(&system, &lab);
            if !lab.switch.has_struck() {
                assert!(matches!(answer, Ok(true)), "{name}: {answer:?}");
                break;
            }
            check(&answer, &format!("{name}, operation {at}"));
        }
    }
}

/// A disk on which every read fails, once it is told to.
struct Failing {
    disk: Arc<dyn Disk>,
    fails: Arc<AtomicBool>,
    errno: i32,
}

impl Disk for Failing {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(io::Error::from_raw_os_error(self.errno)),
            false => self.disk.read_at(at, buf),
        }
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_never_absent_and_never_changed() {
    let lab = lab_with_replica();
    let before = lab.bytes();
    for errno in [
        libc::EIO,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::EACCES,
        libc::EPERM,
    ] {
        let fails = Arc::new(AtomicBool::new(true));
        let held = fails.clone();
        let wrap = move |_: &Path, disk| -> Arc<dyn Disk> {
            let fails = held.clone();
            Arc::new(Failing { disk, fails, errno })
        };
        let system = lab.system_with(|builder| builder.wrap_disks(wrap));
        for (name, call) in QUESTIONS.iter().chain(&CHANGES) {
            let answer = call(&system, &lab);
            check(&answer, &format!("{name}, errno {errno}"));
            if let Err(error) = answer {
                assert_eq!(error.errno(), errno, "{name}: {error}");
            }
        }
        // A handle that was open before the disk failed.
        fails.store(false, Ordering::Relaxed);
        let pool = system.open_pool(POOL).unwrap();
        fails.store(true, Ordering::Relaxed);
        for answer in [pool.info().map(drop), pool.destroy_replica(uuid(1))] {
            check(&answer.map(|()| false), "handle");
        }
    }
    assert!(lab.bytes() == before, "a disk changed");
}

/// Where the metadata of a PV begin; the label before them is written once.
const METADATA: u64 = 4096;

/// A disk whose metadata are being written while they are read: some reads find what is neither old nor new.
struct Torn {
    disk: Arc<dyn Disk>,
    /// Reads of metadata so far, and which of them are torn.
    reads: Arc<AtomicUsize>,
    torn: Range<usize>,
}

impl Disk for Torn {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(at, buf)?;
        let skipped = usize::try_from(METADATA.saturating_sub(at)).unwrap();
        let metadata = buf.get_mut(skipped..).unwrap_or_default();
        if !metadata.is_empty() && self.torn.contains(&self.reads.fetch_add(1, Ordering::Relaxed)) {
            metadata.iter_mut().for_each(|byte| *byte ^= 0x55);
        }
        Ok(())
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }
}

/// A system on a disk of which some reads are torn, and how many there were.
fn torn(lab: &Lab, torn: Range<usize>) -> (System, Arc<AtomicUsize>) {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let wrap = move |_: &Path, disk| -> Arc<dyn Disk> {
        let (reads, torn) = (counted.clone(), torn.clone());
        Arc::new(Torn { disk, reads, torn })
    };
    (lab.system_with(|builder| builder.wrap_disks(wrap)), reads)
}

#[test]
fn what_is_read_while_it_is_written_is_read_again_and_is_no_broken_pool() {
    let lab = lab_with_replica();
    for (name, call) in QUESTIONS {
        for at in 0.. {
            let (system, reads) = torn(&lab, at..at + 1);
            let answer = call(&system, &lab);
            assert!(matches!(answer, Ok(true)), "{name}, read {at}: {answer:?}");
            let problems = system.pools().unwrap();
            assert!(
                problems.iter().all(|pool| pool.reasons.is_empty()) && problems.gaps().is_empty(),
                "{name}, read {at}: {problems:?}"
            );
            if reads.load(Ordering::Relaxed) <= at {
                break;
            }
        }
    }
    // What is so for good is told.
    for (name, call) in QUESTIONS {
        let (system, _) = torn(&lab, 0..usize::MAX);
        check(&call(&system, &lab), name);
    }
}

#[test]
fn a_copy_of_a_pool_hides_no_replica_and_neither_is_changed() {
    let lab = Lab::new(2);
    let (first, second) = (lab.images[0].clone(), lab.images[1].clone());
    let system = lab.system();
    let pool = system
        .create_pool(&request(POOL, std::slice::from_ref(&first)))
        .unwrap();
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    let id = pool.uuid().to_string();
    drop(pool);
    std::fs::copy(&first, &second).unwrap();
    rename(&second, "copy");
    let before = lab.bytes();
    let system = lab.system();
    let listed = system.pools().unwrap();
    let names: Vec<_> = listed.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, [POOL, "copy"]);
    for pool in &listed {
        let told = pool
            .reasons
            .iter()
            .any(|reason| reason.contains("is also that of"));
        assert!(told, "{:?}", pool.reasons);
    }
    let kind = |error: Error| error.kind();
    assert_eq!(system.pool_info(&id).map_err(kind).err(), Some("AmbiguousName"));
    assert_eq!(
        system.replica_info(uuid(1)).map_err(kind).err(),
        Some("AmbiguousName")
    );
    assert_eq!(
        system.pool_of_replica(uuid(1)).map_err(kind).err(),
        Some("AmbiguousName")
    );
    for name in [POOL, "copy"] {
        assert_eq!(system.pool_info(name).unwrap().name, name);
        let pool = system.open_pool(name).unwrap();
        assert_eq!(pool.info().unwrap().name, name);
        for result in [
            pool.destroy_replica(uuid(1)),
            system.destroy_pool(name),
            system.export_pool(name),
            pool.repair().map(drop),
        ] {
            assert_eq!(result.unwrap_err().class(), Class::Precondition, "{name}");
        }
    }
    assert!(lab.bytes() == before, "a disk changed");
}

/// Renames the VG on one disk, as `vgrename` does where the other one is out of sight.
fn rename(image: &Path, to: &str) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(image)
        .unwrap();
    let disk: Arc<dyn Disk> = Arc::new(lvm_meta::FileDisk::new(file));
    let read = lvm_meta::scan(&*disk).unwrap().unwrap();
    let areas = read.header.metadata_areas.clone();
    let found = lvm_meta::assemble(vec![(0, read)]).vgs.remove(0);
    let text = String::from_utf8(found.text.to_vec()).unwrap();
    let seqno = found.seqno().unwrap();
    let text = text.replacen(POOL, to, 1).replacen(
        &format!("seqno = {seqno}"),
        &format!("seqno = {}", seqno + 1),
        1,
    );
    let mut mdas = lvm_meta::MdaSet::new();
    mdas.open(&disk, &areas).unwrap();
    mdas.write(text.as_bytes())
        .unwrap()
        .precommit()
        .unwrap()
        .commit()
        .unwrap();
}
