//! The crate's error: a kind, a stable errno, and a class that maps to a gRPC status.

mod kinds;
#[cfg(test)]
mod tests;
mod text;
mod why;

use std::path::PathBuf;

use lvm_meta::NameError;

use crate::gap::Gap;
use crate::{VolumeError, host};

pub use text::printable;
pub(crate) use text::{Size, paths};
pub use why::{DiskProblem, Obstacle, Refusal};

/// Why an operation on a pool or a replica failed.
///
/// Unless a variant says otherwise, nothing on any disk was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No pool of that name or id.
    #[error("no pool {0:?}")]
    PoolNotFound(String),
    /// No replica of that id.
    #[error("no replica {0:?}")]
    ReplicaNotFound(String),
    /// No VG with an LV of that name: `VG/LV`.
    #[error("no logical volume {0:?}")]
    LvNotFound(String),
    /// Several VGs answer to one name; their ids tell them apart.
    #[error("{name:?} is the name of {count} volume groups; use an id")]
    AmbiguousName {
        /// The name.
        name: String,
        /// How many VGs have it.
        count: usize,
    },
    /// A VG of that name or id exists already.
    #[error("{what} {id:?} exists already")]
    Exists {
        /// `pool`, `replica`, `replica name` or `device`.
        what: &'static str,
        /// The name or id.
        id: String,
    },
    /// What was asked for was not found, and not everything in scope could be looked at: it may be there.
    #[error("{what}; not everything could be looked at: {}", crate::gap::describe(gaps))]
    Unseen {
        /// What was not found.
        what: String,
        /// What could not be looked at.  Its first error is the one that this error's kind, class and errno are of.
        gaps: Vec<Gap>,
    },
    /// Several pools hold an object of one UUID, as disks that were copied do.
    #[error("{what} {id} is in several pools: {}; look at the disks of one of them alone", pools.join(", "))]
    InSeveralPools {
        /// `replica` or `snapshot`.
        what: &'static str,
        /// The UUID.
        id: String,
        /// Each pool by its name and id.
        pools: Vec<String>,
    },
    /// The pool exists on other disks than those given.
    #[error("{}", why::disks_mismatch(pool, *disks, missing, others))]
    DisksMismatch {
        /// The pool.
        pool: String,
        /// How many disks it has.
        disks: usize,
        /// Those of them that were not given: by path, or by the PV's id and last path.
        missing: Vec<String>,
        /// Those that were given and are none of its disks.
        others: Vec<PathBuf>,
    },
    /// The pool exists with another UUID than the one given.
    #[error("pool {pool:?} has the uuid {actual}, not {given}")]
    UuidMismatch {
        /// The pool.
        pool: String,
        /// Its UUID.
        actual: uuid::Uuid,
        /// The caller's.
        given: uuid::Uuid,
    },
    /// An argument is outside what is possible.
    #[error("{what} {given:?} is refused: {}", printable(why))]
    InvalidArgument {
        /// Which argument.
        what: &'static str,
        /// Its value.
        given: String,
        /// The rule it breaks.
        why: String,
    },
    /// A name or tag that LVM would not take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Too few free extents for the request.
    #[error("not enough space in pool {pool:?}: {} needed, {} free{}", Size(*needed), Size(*free), printable(detail))]
    NoSpace {
        /// The pool.
        pool: String,
        /// Bytes asked for.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// What else keeps the request from fitting, such as the number of disks that it needs.
        detail: String,
    },
    /// A disk that is lost cannot leave its pool: what it held cannot all be made again.
    #[error("disk {disk:?} cannot leave pool {pool:?}: {}", printable(&why::listed(in_the_way)))]
    DiskStays {
        /// The disk as the caller named it.
        disk: PathBuf,
        /// The pool.
        pool: String,
        /// What is in the way, each with what would help.
        in_the_way: Vec<Obstacle>,
    },
    /// An operation of several steps ended before its last one.  What was done stays, and the call may be repeated.
    #[error("ended half way, after this: {}", printable(&done.join("; ")))]
    Partly {
        /// What was done.
        done: Vec<String>,
        /// What ended it.
        source: Box<Error>,
    },
    /// The metadata areas are too small for one more object.
    #[error(
        "the metadata of pool {pool:?} would take {needed} bytes; its areas hold {capacity}: destroy what is not needed"
    )]
    MetadataFull {
        /// The pool.
        pool: String,
        /// Bytes of the new text.
        needed: u64,
        /// Bytes that fit.
        capacity: u64,
    },
    /// Shrinking needs the caller's explicit word.
    #[error(
        "replica {replica:?} has {}; making it smaller, {}, must be allowed explicitly",
        Size(*size),
        Size(*asked)
    )]
    ShrinkRefused {
        /// The replica.
        replica: String,
        /// Bytes now.
        size: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// The replica's device is open.
    #[error("replica {replica:?} is in use: its device {} is open{}", printable(device), times(*open_count))]
    Busy {
        /// The replica.
        replica: String,
        /// Its device-mapper name.
        device: String,
        /// How often it is open.
        open_count: u32,
    },
    /// The metadata ask for a minor number that another device has.
    #[error("{lv:?} is to have the minor number {minor}, which device {device} has")]
    MinorTaken {
        /// The LV.
        lv: String,
        /// The number.
        minor: u32,
        /// The name of the device that has it.
        device: String,
    },
    /// A foreign device has the name that the device of an LV is to have.
    #[error(
        "the device {wanted} cannot be made: another one, {}, has its name, {}",
        has.as_ref().map_or_else(|| "without a uuid".into(), |uuid| printable(uuid)), printable(device)
    )]
    DeviceTaken {
        /// The device-mapper name that both would have.
        device: String,
        /// The device-mapper uuid of the device that is to be made.
        wanted: String,
        /// That of the device that is there; `None` for one without.
        has: Option<String>,
    },
    /// The VG holds LVs that are not replicas.
    #[error("pool {pool:?} holds logical volumes that are not its own: {}", printable(&lvs.join(", ")))]
    ForeignLvs {
        /// The pool.
        pool: String,
        /// Their names.
        lvs: Vec<String>,
    },
    /// The VG must not be changed by us or at all.
    #[error("volume group {vg:?} must not be changed: {why}")]
    Refused {
        /// The VG.
        vg: String,
        /// The rule.
        why: Refusal,
    },
    /// A disk that is no disk of the pool, or cannot leave it.
    #[error("disk {disk:?} {why}")]
    Disk {
        /// The disk as the caller named it.
        disk: PathBuf,
        /// What is wrong with it.
        why: DiskProblem,
    },
    /// A disk that the replica lies on is not there.
    #[error(
        "replica {replica:?} lies on PV {pv}, whose disk is missing: bring it back, or remove the disk from the pool"
    )]
    MissingDisk {
        /// The replica.
        replica: String,
        /// The PV's id.
        pv: String,
    },
    /// A file that a pool is to be restored from does not hold the metadata of a VG that may be written.
    #[error("the metadata of {vg:?} in the file cannot be used: {}", printable(why))]
    BadBackup {
        /// The pool to restore.
        vg: String,
        /// What is wrong.
        why: String,
    },
    /// Devices of the VG are mapped: what is written under them would not be what they are.
    #[error(
        "volume group {vg:?} has active devices, deactivate its replicas first: {}",
        first_of(devices)
    )]
    ActiveLvs {
        /// The VG.
        vg: String,
        /// Their device-mapper names.
        devices: Vec<String>,
    },
    /// What would be lost needs the caller's explicit word.
    #[error("{} of volume group {vg:?}; that must be allowed explicitly", printable(what))]
    NeedsForce {
        /// The VG.
        vg: String,
        /// What would be lost, or may be.
        what: String,
    },
    /// The kernel has no mirrors, by which extents are moved.
    #[error("the kernel has no mirror target")]
    NoMirrorTarget,
    /// Extents are being moved already.
    #[error("pool {pool:?} has a move under way: LV {lv:?}{}", disk.as_ref().map_or_else(|| ", which is not ours".into(), |disk| format!(" empties {}", printable(disk))))]
    MoveUnderWay {
        /// The pool.
        pool: String,
        /// The hidden LV that moves them.
        lv: String,
        /// The disk that is emptied; `None` for a move that somebody else began.
        disk: Option<String>,
    },
    /// Extents could not be moved to their end.  What was moved stays so, and the call may be repeated.
    #[error("moving the extents of {}: {}", printable(disk), printable(why))]
    MoveFailed {
        /// The disk that is emptied.
        disk: String,
        /// What went wrong.
        why: String,
    },
    /// The replica has no device.
    #[error("replica {0:?} is not active")]
    NotActive(String),
    /// No snapshot of that id.
    #[error("no snapshot {0:?}")]
    SnapshotNotFound(String),
    /// The storage pool has no thin pool.
    #[error("pool {pool:?} has no thin pool")]
    NoThinPool {
        /// The storage pool.
        pool: String,
    },
    /// The storage pool has several thin pools, and none of them is its own by its name: one has to be named.
    #[error("pool {pool:?} has several thin pools: {}; name one of them", names.join(", "))]
    ManyThinPools {
        /// The storage pool.
        pool: String,
        /// Their names.
        names: Vec<String>,
    },
    /// The kernel has no thin provisioning.
    #[error("this kernel has no target \"thin-pool\": its module dm-thin-pool is missing")]
    NoThinTarget,
    /// The thin pool is in a state in which its volumes cannot be changed.
    #[error("the thin pool of {pool:?} is {state}")]
    ThinPoolState {
        /// The storage pool.
        pool: String,
        /// `read_only`, `needs_check` or `failed`; `not_grown` when the kernel did not take space that it was given, and
        /// `ahead_of_metadata` when it took space that it was not given.
        state: &'static str,
    },
    /// LVM's metadata and the kernel's are of different moments, and nobody can tell which is right.
    #[error("the thin pool of {pool:?} has transaction {kernel} in the kernel, {metadata} in the metadata")]
    ThinPoolMismatch {
        /// The storage pool.
        pool: String,
        /// The id in LVM's metadata.
        metadata: u64,
        /// The id in the kernel's.
        kernel: u64,
    },
    /// The thin pool has no room for what was asked.
    #[error("the thin pool of {pool:?} has too little {what} left: {} of {} are used", Size(*used), Size(*size))]
    ThinPoolFull {
        /// The storage pool.
        pool: String,
        /// `data space` or `metadata space`.
        what: &'static str,
        /// Bytes used.
        used: u64,
        /// Bytes in all.
        size: u64,
    },
    /// The operation needs a thin replica.
    #[error("{replica:?} is not thin: {why}")]
    NotThin {
        /// The replica, or the snapshot.
        replica: String,
        /// What is needed it for.
        why: &'static str,
    },
    /// The replica is the origin of classic snapshots, which would not survive it.
    #[error("replica {replica:?} cannot be {what}: it has the snapshots {}", printable(&snapshots.join(", ")))]
    HasSnapshots {
        /// The replica.
        replica: String,
        /// What was asked for.
        what: &'static str,
        /// The names of the snapshots' LVs.
        snapshots: Vec<String>,
    },
    /// The kernel has no classic snapshots.
    #[error("this kernel has no target \"snapshot\": its module dm-snapshot is missing")]
    NoSnapshotTarget,
    /// The kernel has no RAID.
    #[error("this kernel has no target \"raid\": its module dm-raid is missing")]
    NoRaidTarget,
    /// The kernel has no caches of a kind: of its target, `cache` or `writecache`.
    #[error("this kernel has no target {0:?}: its module dm-{0} is missing")]
    NoCacheTarget(&'static str),
    /// The cache of an LV is in a state in which it cannot be taken off: what it holds may be nowhere else.
    #[error("the cache of {lv:?} is {}", printable(state))]
    CacheState {
        /// The LV.
        lv: String,
        /// `failed`, `read-only`, `dirty`, or what else keeps it from being written back.
        state: String,
    },
    /// The operation needs an array.
    #[error("{replica:?} is no array with redundancy: it cannot be {what}")]
    NotArray {
        /// The replica.
        replica: String,
        /// What was asked for.
        what: &'static str,
    },
    /// The array is in a state in which what was asked for has to wait.
    #[error("the array {replica:?} is {}", printable(state))]
    ArrayState {
        /// The replica.
        replica: String,
        /// `degraded`, `syncing`, or what the kernel does about it, in its words.
        state: String,
    },
    /// An array's images could not be compared to their end.  The call may be repeated.
    #[error("comparing the images of {replica:?}: {}", printable(why))]
    ScrubFailed {
        /// The replica.
        replica: String,
        /// What went wrong.
        why: String,
    },
    /// The snapshot's store was full, or failed: what it holds is not what the replica was.
    #[error("snapshot {0:?} is lost: its store was full, or failed")]
    SnapshotLost(String),
    /// The new metadata breaks a rule of LVM's: a mistake of this library, found before anything was written.
    #[error("the metadata of {vg:?} would be unsound: {finding}")]
    Unsound {
        /// The VG.
        vg: String,
        /// The rule.
        finding: lvm_meta::Finding,
    },
    /// The kernel has no NVMe target.
    #[error(
        "the kernel's NVMe target is not there: its module {module} is not loaded (modprobe -a nvmet nvmet-tcp)"
    )]
    NoNvmeTarget {
        /// The module that is missing.
        module: &'static str,
    },
    /// The file system by which the kernel's NVMe target is set up is not mounted.
    #[error("configfs is not mounted (mount -t configfs configfs {0:?})")]
    NoConfigfs(PathBuf),
    /// No address of this host to listen at.
    #[error("this host has no address {0} to listen at")]
    AddressNotLocal(std::net::SocketAddr),
    /// Another program listens there.
    #[error("something else listens at {0}")]
    AddressInUse(std::net::SocketAddr),
    /// The target refused a step of sharing.
    #[error("the target refuses to {}", printable(what))]
    ShareFailed {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Something this release does not do.
    #[error("{} is not supported", printable(.0))]
    Unsupported(String),
    /// No copy of the VG's metadata can be read.
    #[error("the metadata of {vg:?} on {} cannot be read at byte {byte}", disk.display())]
    Unreadable {
        /// The VG.
        vg: String,
        /// The disk whose copy was tried.
        disk: PathBuf,
        /// Where on that disk the copy breaks a rule, or begins.
        byte: u64,
        /// Why the newest copy is refused.
        source: Box<lvm_meta::Error>,
    },
    /// The metadata layer failed.
    #[error("metadata")]
    Meta(#[source] lvm_meta::Error),
    /// Device-mapper failed.
    #[error("device-mapper")]
    Dm(#[source] lvm_dm::Error),
    /// The host layer failed: locks, devices, configuration.
    #[error(transparent)]
    Host(host::Error),
    /// An operation on a volume failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// No image of the array has failed.
    #[error("nothing of replica {0:?} is to be repaired")]
    NothingToRepair(String),
    /// More images of the array failed than it can lose.
    #[error("replica {0:?} lost more images than it can: bring a disk back, or destroy the replica")]
    ArrayLost(String),
    /// The change is in the metadata, but a disk or the kernel did not follow.
    #[error("committed, but not all of it was carried out; open the pool again to finish")]
    AfterCommit(#[source] Box<Error>),
    /// A file or device could not be used.
    #[error("cannot {what} {path:?}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// What a caller can do about an error; maps to a gRPC status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// `NOT_FOUND`
    NotFound,
    /// `ALREADY_EXISTS`
    AlreadyExists,
    /// `INVALID_ARGUMENT`
    InvalidArgument,
    /// `RESOURCE_EXHAUSTED`
    NoSpace,
    /// `FAILED_PRECONDITION`
    Precondition,
    /// `ABORTED`: try again later.
    Busy,
    /// `PERMISSION_DENIED`
    Permission,
    /// `DATA_LOSS`
    Corrupt,
    /// `UNIMPLEMENTED`
    Unsupported,
    /// `INTERNAL`
    Internal,
}

/// How often a device is open.
fn times(count: u32) -> String {
    match count {
        1 => String::new(),
        _ => format!(" {count} times"),
    }
}

/// The first of many names.
fn first_of(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", printable(&shown.join(", ")))
}

impl Error {
    /// The error of a call whose own change was not begun, when a commit that prepared it came half way.
    pub(crate) fn before_the_change(self) -> Self {
        match self {
            Self::AfterCommit(inner) => inner.before_the_change(),
            other => other,
        }
    }

    /// The error of a call whose own change is committed, when what follows it failed.
    pub(crate) fn after_the_change(self) -> Self {
        match self {
            Self::AfterCommit(_) => self,
            other => Self::AfterCommit(Box::new(other)),
        }
    }

    /// The error of a call that did some of its work.
    pub(crate) fn after(self, mut done: Vec<String>) -> Self {
        match self {
            error if done.is_empty() => error,
            Self::Partly { done: then, source } => {
                done.extend(then);
                Self::Partly { done, source }
            }
            error => Self::Partly {
                done,
                source: Box::new(error),
            },
        }
    }

    /// The errno's name, such as `ENOSPC`.
    pub fn errno_name(&self) -> String {
        let name = format!("{:?}", nix::errno::Errno::from_raw(self.errno()));
        match name.as_str() {
            // One number on Linux; io-engine's errors carry this name.
            "EOPNOTSUPP" => "ENOTSUP".into(),
            text if text.starts_with('E') => name,
            _ => "EIO".into(),
        }
    }
}
