//! Why a VG must not be changed, and what is wrong with a disk.

use std::path::PathBuf;

use super::{Size, paths, printable};

/// Why a VG must not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another host.
    #[error("it belongs to the system id {owner:?}, and this host {}", this_host(ours.as_deref()))]
    Foreign {
        /// The VG's system id.
        owner: String,
        /// This host's, if it has one.
        ours: Option<String>,
    },
    /// The metadata says so; the text tells what it says.
    #[error("{}", printable(text))]
    Metadata {
        /// The class of the reason: `Exported`, `Shared`, `ReadOnly`, `MissingPv` or `Unsupported`.
        kind: &'static str,
        /// The reason.
        text: String,
    },
    /// Copies of the metadata differ, or a PV is on several devices: nobody knows which is right.
    #[error("{}", printable(.0))]
    Ambiguous(String),
    /// A disk is smaller than its PV: it shrank, or the metadata never was right.
    #[error("{0}")]
    DeviceTooSmall(String),
    /// A metadata area is among the extents of its PV: to write the one may destroy the other.
    #[error("{0}")]
    AreaAmongExtents(String),
    /// `volume_list` or the host's tags in lvm.conf do not allow it to be activated here.
    #[error("lvm.conf does not allow {0:?} to be activated on this host")]
    NotActivated(String),
    /// `vgchange -x n` was run: PVs are neither added nor removed.
    #[error("it is not resizeable: its disks must stay as they are (vgchange -x y allows more and fewer)")]
    NotResizeable,
    /// A file or folder is where its LVs' device nodes would be.
    #[error("{0:?} is in the way of its device nodes")]
    NodesTaken(PathBuf),
    /// A disk of it takes no writes.
    #[error("its disk {0:?} is read-only")]
    ReadOnlyDisk(std::path::PathBuf),
    /// `metadata_read_only` is set in lvm.conf.
    #[error("metadata_read_only is set in lvm.conf")]
    ReadOnlyHost,
}

/// What is wrong with a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskProblem {
    /// It does not exist, or the kernel lists no such block device.
    #[error("is missing")]
    Missing,
    /// The caller named it twice.
    #[error("was given twice")]
    GivenTwice,
    /// It is a PV of a VG already.
    #[error("is a PV of volume group {0:?}")]
    InVg(String),
    /// It is used or carries something; each reason.
    #[error("is in use: {}", printable(&.0.join("; ")))]
    InUse(Vec<String>),
    /// It cannot hold a PV.
    #[error("of {} is too small: a PV needs {}", Size(*size), Size(*needed))]
    TooSmall {
        /// Its size.
        size: u64,
        /// The least.
        needed: u64,
    },
    /// It is not one of the pool's.
    #[error("is not a disk of pool {0:?}")]
    NotInPool(String),
    /// It is not there, and none of the pool's disks was last seen there.
    #[error("is missing, and no disk of pool {0:?} was last seen there")]
    Unknown(String),
    /// The text that is to be restored has another PV on it, or has this one elsewhere.
    #[error("{}", printable(.0))]
    OtherPv(String),
    /// Extents of it are allocated.
    #[error("still holds {0} used extents")]
    Used(u32),
    /// Extents of it behind this size are allocated: by these LVs.
    #[error("still holds used extents behind its first {size} bytes: of {}", .lvs.join(", "))]
    UsedBehind {
        /// The size that was asked for, or that the device has.
        size: u64,
        /// The LVs.
        lvs: Vec<String>,
    },
    /// No other disk of the pool has a metadata area for its metadata.
    #[error(
        "has the only metadata area of the pool that can hold its metadata: a disk with one must be added first"
    )]
    OnlyMetadata,
    /// A VG needs one PV.
    #[error("is the last disk of the pool")]
    Last,
    /// Its logical blocks are of another size than those of a disk that it is to share the pool with.
    #[error(
        "has logical blocks of {own} bytes, and {other:?} of {others}: data moved between them may become unreadable; \
         allow_mixed_block_sizes in lvm.conf allows that"
    )]
    BlockSize {
        /// Its own.
        own: u32,
        /// A disk with others.
        other: PathBuf,
        /// Those of the other disk.
        others: u32,
    },
    /// Its logical blocks are larger than the extents of the pool.
    #[error("has logical blocks of {own} bytes, larger than the extents of {extent} bytes")]
    BlockAboveExtent {
        /// Its own.
        own: u32,
        /// An extent's.
        extent: u64,
    },
    /// It is a file, and the kernel's mapper takes block devices.
    #[error("is an image file: only the embedded mapper takes one (--mapper embedded)")]
    ImageFile,
    /// Its label says that it belongs to a VG, and no metadata that was read says to which.
    #[error("belongs to a volume group whose metadata is on other disks, which were not looked at")]
    OfUnseenVg,
    /// LVM's devices file or filters exclude it.
    #[error("is excluded by LVM's configuration: {}", printable(.0))]
    Excluded(String),
}

/// Which disks of a pool were not given, and which of those given are not its own.
pub(super) fn disks_mismatch(pool: &str, disks: usize, missing: &[String], others: &[PathBuf]) -> String {
    if disks == 0 {
        return format!("no one volume group is on {}", paths(others));
    }
    let mut text = format!(
        "pool {pool:?} has {disks} {}",
        if disks == 1 { "disk" } else { "disks" }
    );
    if !missing.is_empty() {
        text += &format!("; of these were not given: {}", printable(&missing.join(", ")));
    }
    if !others.is_empty() {
        text += &format!("; not its own: {}", paths(others));
    }
    text
}

fn this_host(ours: Option<&str>) -> String {
    ours.map_or_else(|| "has none".into(), |ours| format!("has {ours:?}"))
}

impl Refusal {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "Foreign",
            Self::Metadata { kind, .. } => kind,
            Self::Ambiguous(_) => "DuplicatePv",
            Self::DeviceTooSmall(_) => "PvLargerThanDevice",
            Self::AreaAmongExtents(_) => "AreaAmongExtents",
            Self::NotActivated(_) => "NotActivated",
            Self::NotResizeable => "NotResizeable",
            Self::NodesTaken(_) => "NameTaken",
            Self::ReadOnlyDisk(_) | Self::ReadOnlyHost => "ReadOnly",
        }
    }

    /// The refusal of the metadata itself.
    pub(crate) fn of_metadata(refusal: &lvm_meta::Refusal) -> Self {
        use lvm_meta::Refusal as R;
        let kind = match refusal {
            R::Exported => "Exported",
            R::Shared(_) | R::Clustered => "Shared",
            R::ReadOnly => "ReadOnly",
            R::MissingPv(_) => "MissingPv",
            _ => "Unsupported",
        };
        Self::Metadata {
            kind,
            text: refusal.to_string(),
        }
    }
}

impl DiskProblem {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "DiskNotFound",
            Self::InVg(_) | Self::InUse(_) => "DiskInUse",
            Self::TooSmall { .. } => "DiskTooSmall",
            Self::Used(_) | Self::UsedBehind { .. } | Self::Last => "DiskNotEmpty",
            Self::OnlyMetadata => "OnlyMetadataArea",
            Self::BlockSize { .. } => "MixedBlockSizes",
            Self::BlockAboveExtent { .. } => "InvalidDisk",
            Self::GivenTwice
            | Self::NotInPool(_)
            | Self::Unknown(_)
            | Self::Excluded(_)
            | Self::OtherPv(_)
            | Self::ImageFile
            | Self::OfUnseenVg => "InvalidDisk",
        }
    }
}

/// What keeps a lost disk from leaving its pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}: {help}")]
#[non_exhaustive]
pub struct Obstacle {
    /// What it is of: a replica by its UUID, a thin pool or another LV by its name.
    pub what: String,
    /// Why it cannot be made again on other disks.
    pub why: String,
    /// What would help.
    pub help: String,
    /// Is room on other disks all that is lacking?
    pub lacks_space: bool,
}

/// Is room on other disks all that is lacking?
pub(super) fn is_lack_of_space(in_the_way: &[Obstacle]) -> bool {
    in_the_way.iter().all(|obstacle| obstacle.lacks_space)
}

pub(super) fn listed(in_the_way: &[Obstacle]) -> String {
    let each: Vec<String> = in_the_way.iter().map(ToString::to_string).collect();
    each.join("; ")
}
