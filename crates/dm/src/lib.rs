//! Device-mapper without libdevmapper: typed commands, tables, udev's cookies, device nodes.
//!
//! [`DeviceMapper`] is the one trait; [`Kernel`] speaks to the kernel, [`Embedded`] maps image files in this process.
//! With the feature `devicemapper`, `Stratis` speaks to the kernel by the crate of that name.
//!
//! All unsafe code is in one file, `sys.rs`.  What the kernel answers is checked like any other input.

mod codec;
mod command;
mod deadline;
mod device;
mod embedded;
mod error;
mod kernel;
mod mapper;
mod name;
mod nodes;
mod raid_bitmap;
mod raid_superblock;
mod snapshot_store;
#[cfg(feature = "devicemapper")]
mod stratis;
mod sys;
mod table;
mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod thin_metadata;
mod udev;

pub use device::{
    DeviceEntry, DeviceId, DeviceInfo, DeviceNumber, ListedDevice, StatusLine, SuspendFlags, TargetVersion,
    Version,
};
pub use embedded::Embedded;
pub use error::Error;
pub use kernel::Kernel;
pub use mapper::{Backend, BlockIo, DeviceMapper, EventSource, NodeMode, OpenMode, ReadAhead};
pub use name::{DmName, DmUuid};
pub use raid_bitmap::RaidBitmap;
pub use raid_superblock::RaidSuperblock;
pub use snapshot_store::SnapshotStore;
#[cfg(feature = "devicemapper")]
pub use stratis::Stratis;
pub use table::{Table, TargetLine};
pub use target::{
    Cache, CacheStatus, CacheUsage, Mirror, MirrorLog, MirrorStatus, Multipath, MultipathStatus, Raid,
    RaidHealth, RaidImage, RaidStatus, Snapshot, SnapshotStatus, Target, Thin, ThinPool, ThinPoolMode,
    ThinPoolStatus, ThinStatus, Writecache, WritecacheStatus,
};
pub use thin_metadata::{ThinDevice, ThinMetadata, ThinMetadataProblem};
pub use udev::{Cookie, UdevFlags};
