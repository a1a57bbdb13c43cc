//! A host for tests: image files, a mapper whose devices outlive the process under test, and a power switch.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lvm_dm::testing::{FakeMapper, Fault};
use lvm_dm::{DeviceId, DeviceMapper};
use lvm_meta::{Disk, FileDisk};
use lvm_pool::{CreatePool, ReplicaInfo, StoragePool, System, SystemBuilder};
use uuid::Uuid;

/// A quarter of an extent.  Everything is small, so that a test can go through every place of every operation.
pub(crate) const UNIT: u64 = 64 << 10;
pub(crate) const POOL: &str = "pool-1";

/// The replica of a number.
pub(crate) fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x1111_2222_3333_4444_5555_0000_0000_0000 | n)
}

/// A request for a pool.
pub(crate) fn request(name: &str, disks: &[PathBuf]) -> CreatePool {
    let mut request = CreatePool::new(name, disks.to_vec());
    request.extent_size = Some(4 * UNIT);
    request
}

/// A request for a pool on disks that carry something.
pub(crate) fn forced(name: &str, disks: &[PathBuf]) -> CreatePool {
    let mut request = request(name, disks);
    request.force = true;
    request
}

/// The checksum of labels and headers: CRC-32 with a start value of its own, not inverted.
pub(crate) fn lvm_checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xedb8_8320
            } else {
                sum >> 1
            }
        })
    })
}

/// What the disks do at their `at`th operation from now on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// The process dies before a write or sync: nothing it does afterwards has any effect.
    Death { at: usize },
    /// A read, write or sync fails once.
    Fault { at: usize },
}

/// One operation on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    Read { at: u64, len: usize },
    Write { at: u64, len: usize },
    Sync,
}

/// Notes what is asked of all disks, and strikes at the set place.
#[derive(Default)]
pub(crate) struct Switch {
    log: Mutex<Vec<Io>>,
    reads: AtomicUsize,
    operations: AtomicUsize,
    changes: AtomicUsize,
    strike_at: AtomicUsize,
    kills: AtomicBool,
    struck: AtomicBool,
    /// The disk that dies for good, the changes until then, and whether it did.
    doomed: Mutex<Option<(PathBuf, usize, bool)>>,
}

impl Switch {
    fn set(&self, cut: Cut) {
        let (at, kills) = match cut {
            Cut::Death { at } => (at, true),
            Cut::Fault { at } => (at, false),
        };
        self.operations.store(0, Ordering::Relaxed);
        self.changes.store(0, Ordering::Relaxed);
        self.strike_at.store(at, Ordering::Relaxed);
        self.kills.store(kills, Ordering::Relaxed);
        self.struck.store(false, Ordering::Relaxed);
    }

    /// Has a disk die for good before the `at`th write or sync of all disks from now on.
    pub(crate) fn doom(&self, disk: &Path, at: usize) {
        *self.doomed.lock().unwrap() = Some((disk.into(), at, false));
    }

    /// Did the doomed disk die?
    pub(crate) fn has_died(&self) -> bool {
        matches!(&*self.doomed.lock().unwrap(), Some((.., true)))
    }

    fn is_dead(&self, disk: &Path, is_change: bool) -> bool {
        let mut doomed = self.doomed.lock().unwrap();
        let Some((path, left, is_dead)) = &mut *doomed else {
            return false;
        };
        if is_change && !*is_dead {
            *left = left.saturating_sub(1);
            *is_dead = *left == 0;
        }
        *is_dead && path == disk
    }

    /// Reads so far.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Has the set place been reached?
    pub(crate) fn has_struck(&self) -> bool {
        self.struck.load(Ordering::Relaxed)
    }

    /// What was asked of all disks since the last call.
    pub(crate) fn take_log(&self) -> Vec<Io> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn pass(&self, asked: Io, fake: &FakeMapper) -> io::Result<()> {
        let is_change = !matches!(asked, Io::Read { .. });
        self.log.lock().unwrap().push(asked);
        if fake.is_dead() {
            return Err(io::Error::other("the process is dead"));
        }
        self.reads.fetch_add(usize::from(!is_change), Ordering::Relaxed);
        let kills = self.kills.load(Ordering::Relaxed);
        let operation = self.operations.fetch_add(1, Ordering::Relaxed) + 1;
        let change =
            self.changes.fetch_add(usize::from(is_change), Ordering::Relaxed) + usize::from(is_change);
        let place = if kills { change } else { operation };
        let counts = is_change || !kills;
        if counts && self.strike_at.load(Ordering::Relaxed) == place {
            self.struck.store(true, Ordering::Relaxed);
            if kills {
                fake.die();
            }
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }
}

struct Switched {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    switch: Arc<Switch>,
    fake: FakeMapper,
}

impl Switched {
    fn pass(&self, asked: Io) -> io::Result<()> {
        if self.switch.is_dead(&self.path, !matches!(asked, Io::Read { .. })) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.switch.pass(asked, &self.fake)
    }
}

impl Disk for Switched {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let len = buf.len();
        self.pass(Io::Read { at, len })?;
        self.disk.read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len();
        self.pass(Io::Write { at, len })?;
        self.disk.write_at(at, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.pass(Io::Sync)?;
        self.disk.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }
    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }
}

/// The host.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) images: Vec<PathBuf>,
    pub(crate) fake: FakeMapper,
    pub(crate) switch: Arc<Switch>,
}

impl Lab {
    /// A host with blank images of 4 MiB, a quarter of that for LVM's metadata.
    pub(crate) fn new(images: usize) -> Self {
        Self::sized(images, 64 * UNIT)
    }

    /// As [`Lab::new`], with images of another size.
    pub(crate) fn sized(images: usize, size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = (0..images).map(|n| folder.path().join(format!("disk-{n}.img")));
        let images: Vec<PathBuf> = images.collect();
        for image in &images {
            File::create(image).unwrap().set_len(size).unwrap();
        }
        let (fake, switch) = (FakeMapper::new(), Arc::default());
        Self {
            folder,
            images,
            fake,
            switch,
        }
    }

    /// A host with a pool on all of its images.
    pub(crate) fn with_pool(images: usize) -> Self {
        let lab = Self::new(images);
        lab.system().create_pool(&request(POOL, &lab.images)).unwrap();
        lab
    }

    /// A process on this host: the first, or one that comes after a death.
    pub(crate) fn system(&self) -> System {
        self.system_with(|builder| builder)
    }

    /// As [`Lab::system`], made of something more.
    pub(crate) fn system_with(&self, more: impl FnOnce(SystemBuilder) -> SystemBuilder) -> System {
        self.fake.heal();
        self.switch.set(Cut::Fault { at: 0 });
        let (switch, fake) = (self.switch.clone(), self.fake.clone());
        let wrap = move |path: &Path, disk| -> Arc<dyn Disk> {
            Arc::new(Switched {
                path: path.into(),
                disk,
                switch: switch.clone(),
                fake: fake.clone(),
            })
        };
        let builder = System::embedded()
            .mapper(Arc::new(self.fake.clone()))
            .devices(self.images.clone())
            .lock_dir(self.folder.path().join("lock"))
            .timeout(Duration::from_secs(5))
            .wrap_disks(wrap);
        more(builder).build().unwrap()
    }

    /// The pool, as a new process opens it.
    pub(crate) fn pool(&self) -> StoragePool {
        self.system().open_pool(POOL).unwrap()
    }

    /// Arms the switch for what comes next.
    pub(crate) fn arm(&self, cut: Cut) {
        self.switch.set(cut);
    }

    /// The bytes of all images.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.images.iter().map(|image| fs::read(image).unwrap()).collect()
    }

    /// The metadata as they are on the disks that are there.
    pub(crate) fn metadata(&self) -> String {
        let read = |(at, image): (usize, &PathBuf)| {
            let disk = FileDisk::new(File::open(image).ok()?);
            Some((at, lvm_meta::scan(&disk).unwrap()?))
        };
        let scans = self.images.iter().enumerate().filter_map(read).collect();
        let found = lvm_meta::assemble(scans).vgs.into_iter();
        let texts = found.map(|vg| String::from_utf8_lossy(&vg.text).into_owned());
        texts.collect()
    }

    /// What no moment of rest may show: a device that is stopped, staged, or not what the metadata says.
    #[track_caller]
    pub(crate) fn check_devices(&self, replicas: &[ReplicaInfo], context: &str) {
        let devices = self.fake.list().unwrap();
        for device in &devices {
            let info = self.fake.info(DeviceId::Name(&device.name)).unwrap().unwrap();
            assert!(
                !info.suspended && info.live_table && !info.inactive_table,
                "{context}: {info:?}"
            );
            let lv = device
                .name
                .as_str()
                .strip_prefix("pool--1-")
                .unwrap()
                .replace("--", "-");
            let table = self.fake.table(DeviceId::Name(&device.name), false).unwrap();
            assert!(
                !lv.ends_with("-new"),
                "{context}: {lv} has not the name of its place"
            );
            if let Some((array, _)) = lv.split_once("_r") {
                // An image or its metadata: nothing without the array, which names it, and nothing longer than it.
                let array = replicas.iter().find(|replica| replica.uuid.to_string() == array);
                let array = array.unwrap_or_else(|| panic!("{context}: an image without an array: {info:?}"));
                assert!(array.active && info.open_count == 1, "{context}: {info:?}");
                assert!(
                    lv.contains("_rmeta_") || table.length() * 512 == array.size,
                    "{context}: {table}"
                );
                continue;
            }
            let replica = replicas.iter().find(|replica| replica.uuid.to_string() == lv);
            let replica =
                replica.unwrap_or_else(|| panic!("{context}: a device without a replica: {info:?}"));
            assert_eq!(table.length() * 512, replica.size, "{context}: {table}");
        }
    }
}

/// A way to cut an operation or make it fail, at a place that is counted.
pub(crate) type Arm = fn(&Lab, usize);

/// All of them.
pub(crate) const ARMS: [(&str, Arm); 4] = [
    ("death before disk change", |lab, at| lab.arm(Cut::Death { at })),
    ("failure of disk operation", |lab, at| lab.arm(Cut::Fault { at })),
    ("death before kernel change", |lab, at| {
        lab.fake.fault_at_change(at, Fault::Die)
    }),
    ("failure of kernel change", |lab, at| {
        lab.fake.fault_at_change(at, Fault::Refuse(libc::EIO));
    }),
];
