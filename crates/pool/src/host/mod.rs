//! The host that a pool lives on: LVM's locks and configuration, its block devices, and what is on them.
//!
//! Nothing here has global state, starts a process or waits without a deadline.  Every path comes from a
//! [`Paths`], so a test can build a whole host in a folder.

mod backup;
mod block_disk;
mod candidates;
mod civil_time;
mod config;
mod device;
mod device_id;
mod devices;
mod devices_file;
mod dmeventd;
mod durable_file;
mod error;
mod file_lock;
mod filter;
mod folder;
mod hints;
mod in_use;
mod listing;
mod lock;
mod lock_holder;
mod paths;
mod queue;
mod random;
pub(crate) mod regular;
mod signature;
mod stats;
pub(crate) mod sysfs;
mod system_id;
#[cfg(test)]
mod testing;

pub use backup::MetadataBackups;
pub use block_disk::{BlockDisk, OpenMode, open_disk};
pub(crate) use block_disk::{is_claimed, is_read_only};
pub use candidates::{DeviceRules, Skip};
pub use civil_time::CivilTime;
pub use config::{
    ActivationConfig, AllocationConfig, BackupConfig, Config, DeviceConfig, GlobalConfig, VolumeList,
};
pub use device::{BlockDevice, DeviceKind, DeviceNumber};
pub use device_id::DeviceIdType;
pub use devices::{Devices, LeaveOut, same_device};
pub(crate) use devices::{Identity, check_descriptors};
pub use devices_file::{DeviceEntry, DevicesFile};
pub use dmeventd::Dmeventd;
pub(crate) use error::errno_of;
pub use error::{Error, LockName};
pub(crate) use file_lock::{FileLock, lock_folder};
pub use filter::Filter;
pub use hints::{InvalidHints, invalidate_hints};
pub use in_use::{ClaimedDisk, InUse, OnSignature, claim_disk, empty_disk, uses};
pub(crate) use listing::{Entries, entries, read_folder};
pub use lock::{HeldLocks, LockMode, Locks};
pub use lock_holder::LockHolder;
pub use paths::Paths;
pub(crate) use queue::{Place, Queues};
pub(crate) use random::random;
pub use signature::{FoundSignature, SignatureKind, erase_signatures, find_kinds, find_signatures};
pub use stats::{IoCounter, IoStats};
pub use system_id::SystemId;

/// A result whose error is this layer's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests;
