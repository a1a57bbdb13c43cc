//! udev's flags, and the cookie by which udevd says that it is done.

use bitflags::bitflags;

use crate::nodes::NodeChanges;
use crate::sys::Semaphore;

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

/// What a batch of commands leaves to be waited for: see [`DeviceMapper::finish`](crate::DeviceMapper::finish).
///
/// Dropped without that, its semaphore is removed, and nodes that this library makes are brought in line at once.
#[derive(Debug)]
pub struct Cookie {
    /// udevd counts it down; removed when the cookie is dropped.
    pub(crate) semaphore: Option<Semaphore>,
    /// What the library has to do to nodes itself.
    pub(crate) nodes: NodeChanges,
}

impl Cookie {
    /// A cookie that nobody waits for, of a mapper without nodes.
    pub(crate) fn none() -> Self {
        Self {
            semaphore: None,
            nodes: NodeChanges::none(),
        }
    }

    /// What goes with a command as its event number: the flags above the semaphore's number.
    ///
    /// Without a semaphore udev is told to keep its hands off the links, since nobody would wait for them: this library
    /// makes the nodes then.
    pub(crate) fn event_nr(&self, flags: UdevFlags) -> u32 {
        let number = self.semaphore.as_ref().map(Semaphore::cookie);
        let more = match number {
            Some(_) => UdevFlags::DISABLE_LIBRARY_FALLBACK,
            None => UdevFlags::DISABLE_DM_RULES | UdevFlags::DISABLE_SUBSYSTEM_RULES,
        };
        let flags = flags | more | UdevFlags::PRIMARY_SOURCE;
        u32::from(flags.bits()) << 16 | u32::from(number.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::any_semaphore;

    #[test]
    fn a_cookie_without_a_semaphore_keeps_udev_from_the_links() {
        let event_nr = Cookie::none().event_nr(UdevFlags::DISABLE_DISK_RULES);
        assert_eq!(event_nr, 0x0047_0000);
    }

    #[test]
    fn a_cookie_with_a_semaphore_carries_its_number_and_leaves_nodes_to_udev() {
        let semaphore = any_semaphore();
        let number = u32::from(semaphore.cookie());
        let cookie = Cookie {
            semaphore: Some(semaphore),
            nodes: NodeChanges::none(),
        };
        assert_eq!(cookie.event_nr(UdevFlags::NOSCAN), 0x0160_0000 | number);
    }
}
