//! udev's flags, and the cookie by which udevd says that it is done.

use bitflags::bitflags;

use crate::sys::Semaphore;
use crate::{DeviceNumber, DmName};

bitflags! {
    /// What udev's rules do with a device; the upper half of a cookie.  Values of libdevmapper.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct UdevFlags: u16 {
        /// No `/dev/mapper` link.
        const DISABLE_DM_RULES = 1;
        /// No `/dev/VG/LV` link.
        const DISABLE_SUBSYSTEM_RULES = 1 << 1;
        /// No `/dev/disk` links, and no look at what the device holds.
        const DISABLE_DISK_RULES = 1 << 2;
        /// No rules of others.
        const DISABLE_OTHER_RULES = 1 << 3;
        /// Other devices' links come first.
        const LOW_PRIORITY = 1 << 4;
        /// The library makes no nodes of its own.
        const DISABLE_LIBRARY_FALLBACK = 1 << 5;
        /// The event was caused on purpose; without it udev keeps what it knew.
        const PRIMARY_SOURCE = 1 << 6;
        /// LVM's: the device is not wiped yet, do not look into it.
        const NOSCAN = 1 << 8;
    }
}

/// What a batch of commands leaves to be waited for.
#[derive(Debug, Default)]
pub struct Cookie {
    /// udevd counts it down; removed when the cookie is dropped.
    pub(crate) semaphore: Option<Semaphore>,
    /// What the library has to do to nodes itself, in order.
    pub(crate) nodes: Vec<NodeChange>,
}

/// One change of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeChange {
    Make(DmName, DeviceNumber),
    Remove(DmName),
    Rename(DmName, DmName),
}

impl Cookie {
    /// A cookie that nobody waits for.
    pub(crate) fn none() -> Self {
        Self::default()
    }
}
