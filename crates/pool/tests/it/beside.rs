//! Readers beside a change of another process, and changes beside what others have on the host.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lvm_dm::{DeviceId, DeviceMapper, DmName, DmUuid};
use lvm_meta::Disk;
use lvm_pool::{Class, CreateReplica, Error, ReplicaInfo, Shrink, StoragePool, System};

use crate::lab::{Lab, POOL, UNIT, forced, uuid};

/// A disk that runs something before each read or write.
struct Watched {
    disk: Arc<dyn Disk>,
    before: Arc<dyn Fn(bool) + Send + Sync>,
}

impl Disk for Watched {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        (self.before)(false);
        self.disk.read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        (self.before)(true);
        self.disk.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }
}

/// A process on a host that runs `before` before each access of a disk; it is told whether that is a write.
fn watched(lab: &Lab, before: impl Fn(bool) + Send + Sync + 'static) -> System {
    let before: Arc<dyn Fn(bool) + Send + Sync> = Arc::new(before);
    let wrap = move |_: &Path, disk| -> Arc<dyn Disk> {
        let before = before.clone();
        Arc::new(Watched { disk, before })
    };
    lab.system_with(|builder| builder.wrap_disks(wrap))
}

/// The ways to ask for replicas.
type Ask = fn(&System, &StoragePool) -> Result<Vec<ReplicaInfo>, Error>;

const ASKS: [(&str, Ask); 4] = [
    ("all", |system, _| Ok(system.replicas()?.to_vec())),
    ("of the pool", |system, _| system.pool_replicas(POOL)),
    ("one", |system, _| Ok(vec![system.replica_info(uuid(1))?])),
    ("by the handle", |_, pool| pool.replicas()),
];

#[test]
fn a_replica_that_goes_while_it_is_read_is_shown_as_it_was_or_not_at_all() {
    for (name, ask) in ASKS {
        for at in 1.. {
            let lab = Lab::with_pool(2);
            let pool = lab.pool();
            pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
            pool.create_replica(&CreateReplica::new(uuid(2), UNIT)).unwrap();
            let (reads, armed) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
            let (is_armed, struck) = (armed.clone(), Arc::new(AtomicBool::new(false)));
            let has_struck = struck.clone();
            let reader = watched(&lab, move |_| {
                if is_armed.load(Ordering::Relaxed) && reads.fetch_add(1, Ordering::Relaxed) + 1 == at {
                    has_struck.store(true, Ordering::Relaxed);
                    pool.destroy_replica(uuid(1)).unwrap();
                }
            });
            let handle = reader.open_pool(POOL).unwrap();
            armed.store(true, Ordering::Relaxed);
            match ask(&reader, &handle) {
                Ok(shown) => assert!(
                    shown.iter().all(|replica| replica.active),
                    "{name}, read {at}: {shown:?}"
                ),
                Err(error) => assert!(
                    matches!(error, Error::ReplicaNotFound(_)),
                    "{name}, read {at}: {error}"
                ),
            }
            if !struck.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

/// Reads of the reader that are a whole look, and more.
const LOOK: usize = 40;

#[test]
fn a_list_shows_no_change_of_another_process_half_way() {
    for thin in [false, true] {
        let lab = Lab::sized(1, 160 * UNIT);
        let mut request = forced(POOL, &lab.images);
        request.thin_pool = Some(lvm_pool::CreateThinPool::new(64 * UNIT));
        lab.system().create_pool(&request).unwrap();
        let (looked, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let reads = looked.clone();
        let reader = watched(&lab, move |_| {
            reads.fetch_add(1, Ordering::Relaxed);
        });
        // Before each write there is a look, whatever state the devices are in then.
        let (reads, is_over) = (looked.clone(), over.clone());
        let writer = watched(&lab, move |is_write| {
            let until = reads.load(Ordering::Relaxed) + LOOK;
            while is_write && reads.load(Ordering::Relaxed) < until && !is_over.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        });
        let pool = writer.open_pool(POOL).unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut wrong = Vec::new();
                while !over.load(Ordering::Relaxed) && wrong.is_empty() {
                    let shown = reader.replicas().unwrap();
                    wrong.extend(shown.iter().filter(|replica| !replica.active).cloned());
                }
                over.store(true, Ordering::Relaxed);
                wrong
            });
            for _ in 0..3 {
                let mut request = CreateReplica::new(uuid(1), 4 * UNIT);
                request.thin = thin;
                pool.create_replica(&request).unwrap();
                pool.destroy_replica(uuid(1)).unwrap();
            }
            over.store(true, Ordering::Relaxed);
            assert_eq!(reading.join().unwrap(), [], "thin: {thin}");
        });
    }
}

#[test]
fn a_replica_that_is_inactive_for_good_is_shown_so_whoever_has_the_lock() {
    let lab = Lab::with_pool(1);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    let lock = std::fs::File::create(lab.folder.path().join("lock").join(format!("V_{POOL}"))).unwrap();
    lock.lock().unwrap();
    let shown = lab.system().replicas().unwrap();
    assert_eq!(
        shown.iter().map(|replica| replica.active).collect::<Vec<_>>(),
        [false]
    );
}

/// Makes a foreign device.
fn foreign(lab: &Lab, name: &str, uuid: &str) {
    let mapper = lab.fake.inner();
    let (name, uuid) = (DmName::new(name).unwrap(), DmUuid::new(uuid).unwrap());
    mapper.create(&name, &uuid).unwrap();
}

#[test]
fn what_others_have_in_device_mapper_costs_no_call() {
    let calls = |others: usize| {
        let lab = Lab::with_pool(1);
        for n in 0..others {
            foreign(&lab, &format!("other-{n}"), &format!("OTHER-{n}"));
        }
        lab.fake.forget_calls();
        let system = lab.system();
        let pool = system.open_pool(POOL).unwrap();
        pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
        pool.resize_replica(uuid(1), 8 * UNIT, Shrink::Refuse).unwrap();
        system.replicas().unwrap();
        system.pools().unwrap();
        pool.destroy_replica(uuid(1)).unwrap();
        lab.fake.calls().len()
    };
    assert_eq!(calls(250), calls(0));
}

#[test]
fn a_device_of_another_with_the_name_of_a_replica_is_told_with_both_uuids() {
    let lab = Lab::with_pool(1);
    let name = format!("pool--1-{}", uuid(1).to_string().replace('-', "--"));
    foreign(&lab, &name, "THEIRS");
    let before = lab.metadata();
    let error = lab
        .pool()
        .create_replica(&CreateReplica::new(uuid(1), UNIT))
        .unwrap_err();
    let Error::DeviceTaken { device, wanted, has } = &error else {
        panic!("{error}");
    };
    assert_eq!((device, has.as_deref()), (&name, Some("THEIRS")));
    assert!(wanted.starts_with("LVM-"), "{wanted}");
    assert_eq!((error.kind(), error.class()), ("DeviceTaken", Class::Busy));
    assert_eq!(lab.metadata(), before, "nothing is left of the replica");
    assert!(lab.system().replicas().unwrap().is_empty());
    let theirs = lab
        .fake
        .inner()
        .info(DeviceId::Name(&DmName::new(&name).unwrap()));
    assert!(theirs.unwrap().is_some(), "theirs stays");
}

#[test]
fn an_open_handle_reads_no_disk_but_its_pools() {
    let lab = Lab::new(3);
    let (own, other) = lab.images.split_at(2);
    lab.system().create_pool(&crate::lab::request(POOL, own)).unwrap();
    let touched = Arc::new(AtomicUsize::new(0));
    let (count, other) = (touched.clone(), other[0].clone());
    let wrap = move |path: &Path, disk| -> Arc<dyn Disk> {
        let count = count.clone();
        let is_other = path == other;
        let before: Arc<dyn Fn(bool) + Send + Sync> = Arc::new(move |_| {
            count.fetch_add(usize::from(is_other), Ordering::Relaxed);
        });
        Arc::new(Watched { disk, before })
    };
    let system = lab.system_with(|builder| builder.wrap_disks(wrap));
    let pool = system.open_pool(POOL).unwrap();
    assert!(
        touched.swap(0, Ordering::Relaxed) > 0,
        "a look at all disks reads it"
    );
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
    pool.resize_replica(uuid(1), 8 * UNIT, Shrink::Refuse).unwrap();
    pool.replicas().unwrap();
    pool.info().unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    pool.activate_replica(uuid(1)).unwrap();
    pool.destroy_replica(uuid(1)).unwrap();
    assert_eq!(
        touched.load(Ordering::Relaxed),
        0,
        "a disk that hangs stops no call of the handle"
    );
}
