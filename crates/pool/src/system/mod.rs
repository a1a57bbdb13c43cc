//! The host as one object: its device-mapper, its disks, its locks; the entry to everything else.

mod adopt;
mod create_pool;
mod host_files;
mod import_copy;
mod lifecycle;
mod pools;
mod rename_pool;
mod restore_pool;
mod saved_metadata;
mod snapshots;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lvm_dm::{Backend, BlockIo, DeviceId, DeviceMapper, DeviceNumber, DmUuid, Embedded, Kernel, NodeMode};
use lvm_meta::{Disk, Provenance, Vg};

use crate::apply;
use crate::error::Refusal;
use crate::host::{CivilTime, Config, HeldLocks, IoStats, LockMode, Locks, MetadataBackups, Paths, SystemId};
use crate::nodes::Nodes;
use crate::nvmf::Nqn;
use crate::open_vg::Deactivated;
use crate::scan::Scope;
use crate::volume::initiator::Initiator;
use crate::volume::patience::Patience;
use crate::{Error, NvmetTarget, Share, host};

pub(crate) use lifecycle::{is_destroying, missing_pv};
pub use restore_pool::RestoredPool;
pub use saved_metadata::SavedMetadata;

/// A host whose disks hold pools.
///
/// Holds no global state, and makes no threads that outlive a call, except where a target of NVMe-oF does not answer
/// (docs/volumes.md); any number of systems may live in one process.  Pools are found by
/// name or by any spelling of their id: LVM's with or without dashes, or the UUID's.
///
/// All clones of a system, and the handles that it opens, queue for a VG's lock: who asked first changes first.  Two systems
/// compete for it as two processes do, so a program that serves many callers has one.
#[derive(Clone)]
pub struct System {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System")
            .field("backend", &self.inner.mapper.backend())
            .finish_non_exhaustive()
    }
}

/// What stands between the library and a disk.
pub(crate) type WrapDisk = Arc<dyn Fn(&Path, Arc<dyn Disk>) -> Arc<dyn Disk> + Send + Sync>;

/// What a [`System`] consists of; see [`System::kernel`] and [`System::embedded`].
pub struct SystemBuilder {
    mapper: Option<Arc<dyn DeviceMapper>>,
    images: bool,
    wrap: Option<WrapDisk>,
    devices: Option<Vec<PathBuf>>,
    paths: Paths,
    lock_dir: Option<PathBuf>,
    config_dir: Option<PathBuf>,
    timeout: Duration,
    backups: bool,
    host_nqn: Option<Nqn>,
    share: Option<Arc<dyn Share>>,
}

impl SystemBuilder {
    /// Scans only these block devices or image files.  By default: the block devices that LVM would scan.
    pub fn devices(mut self, devices: Vec<PathBuf>) -> Self {
        self.devices = Some(devices);
        self
    }

    /// Keeps lock files in this folder.  By default: where `lvm.conf` says, so that the LVM tools take part; of image
    /// files a folder of this user's in that of temporary files.
    ///
    /// One of another user than this one and root is refused with the first lock that is taken, and so is a link
    /// that another user made.
    pub fn lock_dir(mut self, dir: PathBuf) -> Self {
        self.lock_dir = Some(dir);
        self
    }

    /// Obeys the `lvm.conf` in this folder, and uses the devices file there.  By default: `LVM_SYSTEM_DIR`, else `/etc/lvm`;
    /// a system on image files obeys none.
    pub fn config_dir(mut self, dir: PathBuf) -> Self {
        self.config_dir = Some(dir);
        self
    }

    /// Waits no longer than this for a lock, or for udev's answer to an event; of a thousand devices that are made in
    /// one call udev may take as long for each.  By default 30 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Keeps the backup and the archive of each VG's metadata from which `vgcfgrestore` restores, as the sections
    /// `backup` of `lvm.conf` say and the tools do by default.
    ///
    /// Without this a change writes no such files: they cost two texts and four syncs each time, on the host's own
    /// disk.  The tools bring the backup, not the archive, up to date when they next read the VG.
    pub fn keep_backups(mut self) -> Self {
        self.backups = true;
        self
    }

    /// Connects to replicas on other nodes as this host.  By default: as io-engine does, by the name of this node.
    pub fn host_nqn(mut self, host: Nqn) -> Self {
        self.host_nqn = Some(host);
        self
    }

    /// Uses another device-mapper, such as a test's.
    pub fn mapper(mut self, mapper: Arc<dyn DeviceMapper>) -> Self {
        self.mapper = Some(mapper);
        self
    }

    /// Shares replicas by another target than the kernel's own, [`NvmetTarget`] on `/sys/kernel/config`.
    ///
    /// A system on image files shares nothing without one.
    pub fn share_with(mut self, share: Arc<dyn Share>) -> Self {
        self.share = Some(share);
        self
    }

    /// Puts something between the library and each disk that it opens: a counter of I/O, or a test's faults.
    pub fn wrap_disks(
        mut self,
        wrap: impl Fn(&Path, Arc<dyn Disk>) -> Arc<dyn Disk> + Send + Sync + 'static,
    ) -> Self {
        self.wrap = Some(Arc::new(wrap));
        self
    }

    /// Puts it together, reading `lvm.conf`.
    ///
    /// # Errors
    /// [`Error::Host`] for a configuration that cannot be read.
    pub fn build(self) -> Result<System, Error> {
        let mut paths = self.paths;
        if let Some(dir) = self.config_dir {
            paths.lvm_system_dir = dir;
        }
        let host_name = host_name();
        let mut config = Config::read(&paths, &host_name).map_err(Error::Host)?;
        let has_lock_dir = self.lock_dir.is_some();
        if let Some(dir) = self.lock_dir {
            config.global.locking_dir = Some(dir);
        } else if self.images {
            config.global.locking_dir = Some(image_lock_dir());
        }
        let by_udev = config.activation.udev_sync && config.activation.udev_rules;
        let mapper: Arc<dyn DeviceMapper> = match self.mapper {
            Some(mapper) => mapper,
            None if self.images => Arc::new(Embedded::new()),
            None if by_udev => Arc::new(Kernel::new()),
            None => Arc::new(Kernel::with_nodes(NodeMode::Own)),
        };
        let nodes = Nodes::new(paths.dev.clone(), mapper.node_mode());
        let mut locks = config.locks(&paths);
        if self.images && !has_lock_dir {
            // Any user may make something of this name.
            locks = locks.without_links();
        }
        let system_id = SystemId::read(&config, &paths, &host_name).map_err(Error::Host)?;
        let scope = match self.devices {
            Some(devices) => Scope::Only(devices),
            None if self.images => Scope::Only(Vec::new()),
            None => Scope::Host,
        };
        let timeout = self.timeout;
        let backups = match self.backups && !self.images {
            true => MetadataBackups::new(&config.backup),
            false => None,
        };
        let share = self.share.or_else(|| {
            let mount = paths.sys.join("kernel/config");
            (!self.images).then(|| Arc::new(NvmetTarget::new(mount, timeout)) as Arc<dyn Share>)
        });
        let inner = Inner {
            mapper,
            nodes,
            paths,
            config,
            locks,
            system_id,
            scope,
            timeout,
            images: self.images,
            backups,
            host_nqn: self.host_nqn,
            share,
            wrap: self.wrap,
            patience: Patience::default(),
            also: Mutex::default(),
            mapping: Mutex::default(),
        };
        Ok(System {
            inner: Arc::new(inner),
        })
    }
}

impl System {
    /// A system on the kernel's device-mapper and this host's block devices.
    pub fn kernel() -> SystemBuilder {
        SystemBuilder {
            mapper: None,
            images: false,
            wrap: None,
            devices: None,
            paths: Paths::from_env(),
            lock_dir: None,
            config_dir: None,
            timeout: Duration::from_secs(30),
            backups: false,
            host_nqn: None,
            share: None,
        }
    }

    /// A system in this process alone, on image files: no root, no kernel support.
    ///
    /// Its devices live as long as it does, so opening a pool activates its replicas.
    pub fn embedded() -> SystemBuilder {
        // Image files are nobody's business but the caller's: the host's LVM configuration does not count.
        let nowhere = Paths {
            lvm_system_dir: "/nonexistent".into(),
            ..Paths::default()
        };
        SystemBuilder {
            images: true,
            paths: nowhere,
            ..Self::kernel()
        }
    }

    /// Tells who makes device nodes: udevd, this library, or nobody.
    pub fn node_mode(&self) -> NodeMode {
        self.inner.mapper.node_mode()
    }
}

/// What all handles of a system share.
pub(crate) struct Inner {
    pub(crate) mapper: Arc<dyn DeviceMapper>,
    pub(crate) nodes: Nodes,
    pub(crate) paths: Paths,
    pub(crate) config: Config,
    pub(crate) locks: Locks,
    pub(crate) system_id: SystemId,
    pub(crate) scope: Scope,
    pub(crate) timeout: Duration,
    /// Disks are image files: no host's devices, and no files that list them.
    pub(crate) images: bool,
    /// Where backups of the metadata are kept, if they are.
    pub(crate) backups: Option<MetadataBackups>,
    host_nqn: Option<Nqn>,
    /// What serves replicas to other hosts, if anything does.
    pub(crate) share: Option<Arc<dyn Share>>,
    wrap: Option<WrapDisk>,
    /// For what targets of NVMe-oF make the kernel wait for.
    pub(crate) patience: Patience,
    /// Disks that commands named, beside those in scope.
    pub(crate) also: Mutex<Vec<PathBuf>>,
    /// Held while devices are made of what was read, so that two readers do not make them twice.
    pub(crate) mapping: Mutex<Deactivated>,
}

impl Inner {
    /// Where plans are carried out.
    pub(crate) fn kernel(&self) -> apply::Kernel<'_> {
        apply::Kernel {
            mapper: &*self.mapper,
            nodes: &self.nodes,
            share: self.share.as_deref(),
            timeout: self.timeout,
        }
    }

    /// Who this host is for targets of NVMe-oF.
    pub(crate) fn host_nqn(&self) -> Result<Nqn, Error> {
        match &self.host_nqn {
            Some(host) => Ok(host.clone()),
            None => Nqn::of_node(&host_name()),
        }
    }

    /// What connects to replicas on other nodes.
    pub(crate) fn initiator(&self) -> Result<Initiator, Error> {
        if self.has_own_devices() {
            return Err(Error::Unsupported("NVMe-oF with the embedded mapper".into()));
        }
        let patience = self.patience.clone();
        Ok(Initiator::new(&self.paths, self.host_nqn()?, patience))
    }

    /// Do mapped devices live in this process only?
    pub(crate) fn has_own_devices(&self) -> bool {
        self.mapper.backend() == Backend::Embedded
    }

    /// Puts what the builder was given between the library and a disk.
    pub(crate) fn wrap(&self, path: &Path, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        match &self.wrap {
            Some(wrap) => wrap(path, disk),
            None => disk,
        }
    }

    /// What the builder was given to put there.
    pub(crate) fn wrapper(&self) -> Option<WrapDisk> {
        self.wrap.clone()
    }

    /// Takes the lock of one VG, as LVM does for each change and activation.
    pub(crate) fn lock_vg(&self, vg: &str) -> Result<HeldLocks, Error> {
        let mut locks = self.locks.hold();
        locks
            .vg(vg, LockMode::Exclusive, self.lock_timeout())
            .map_err(Error::Host)?;
        Ok(locks)
    }

    fn lock_timeout(&self) -> Duration {
        self.config.lock_timeout(self.timeout)
    }

    /// Takes the global lock and that of one VG, as LVM does when PVs or VG names change; between them that of the
    /// devices file, if one is in use.
    pub(crate) fn lock_global(&self, vg: &str) -> Result<HeldLocks, Error> {
        self.lock_global_with(&[vg])
    }

    /// As [`Inner::lock_global`], with the locks of several VGs, in LVM's order.
    pub(crate) fn lock_global_with(&self, vgs: &[&str]) -> Result<HeldLocks, Error> {
        let (mut locks, timeout) = (self.locks.hold(), self.lock_timeout());
        locks.global(LockMode::Exclusive, timeout).map_err(Error::Host)?;
        if self.has_devices_file() {
            let file = &self.config.devices.devicesfile;
            locks
                .devices_file(file, LockMode::Exclusive, timeout)
                .map_err(Error::Host)?;
        }
        for vg in vgs.iter().collect::<BTreeSet<_>>() {
            locks.vg(vg, LockMode::Exclusive, timeout).map_err(Error::Host)?;
        }
        Ok(locks)
    }

    /// Why this host must not change a VG that the metadata alone would let it change.
    pub(crate) fn host_refusal(&self, vg: &Vg) -> Option<Refusal> {
        if self.config.global.metadata_read_only {
            return Some(Refusal::ReadOnlyHost);
        }
        let owner = vg.system_id();
        (!self.system_id.owns(owner, &self.config.extra_system_ids)).then(|| Refusal::Foreign {
            owner: owner.unwrap_or_default().into(),
            ours: self.system_id.as_str().map(Into::into),
        })
    }

    /// Opens a mapped device for I/O.
    pub(crate) fn open_device(&self, uuid: &DmUuid) -> Result<Box<dyn BlockIo>, Error> {
        self.mapper
            .open(DeviceId::Uuid(uuid), lvm_dm::OpenMode::ReadWrite)
            .map_err(Error::Dm)
    }

    /// The I/O counters of a mapped device.
    pub(crate) fn io_stats(&self, number: DeviceNumber) -> Result<IoStats, Error> {
        if self.mapper.node_mode() == NodeMode::None {
            return Err(Error::Unsupported("counting I/O in the embedded mapper".into()));
        }
        let number = host::DeviceNumber {
            major: number.major,
            minor: number.minor,
        };
        IoStats::read(&self.paths, number).map_err(Error::Host)
    }

    /// Seconds since 1970 and the host's name, as LVM notes them in what it creates.
    pub(crate) fn creation(&self) -> (u64, String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (now.as_secs(), host_name())
    }

    /// What the metadata's header tells of who wrote it and why.
    pub(crate) fn provenance(&self, description: &str) -> Provenance {
        let (creation_time, creation_host) = self.creation();
        Provenance {
            description: description.into(),
            creation_host,
            host_uname: uname(),
            creation_time,
            creation_ctime: CivilTime::from_unix(creation_time).to_string(),
            tool_version: concat!("lvm-native ", env!("CARGO_PKG_VERSION")).into(),
            system_id: self.system_id.as_str().map(Into::into),
        }
    }
}

/// Where users of image files agree by default: one user's processes.
fn image_lock_dir() -> PathBuf {
    std::env::temp_dir().join(format!("lvm-native-{}", nix::unistd::getuid()))
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}

/// The host in the words of `uname`, as LVM notes it.
fn uname() -> String {
    let Ok(found) = nix::sys::utsname::uname() else {
        return String::new();
    };
    let words = [
        found.sysname(),
        found.nodename(),
        found.release(),
        found.version(),
        found.machine(),
    ];
    words.map(|word| word.to_string_lossy()).join(" ")
}
