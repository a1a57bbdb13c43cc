//! The words of `status` and `flags`, in the order in which LVM writes them.
//!
//! A word in `status` that a reader does not know must stop it from changing the VG; one in `flags` need not.
//! Reference: LVM2 `lib/format_text/flags.c`.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$($bit_doc:tt)*])* $bit:ident = $value:expr),* $(,)? }) => {
        bitflags::bitflags! {
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
            pub struct $name: u16 {
                $($(#[$($bit_doc)*])* const $bit = $value;)*
            }
        }

        impl $name {
            /// The words that are set, as LVM writes them and in its order.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                self.iter_names().map(|(word, _)| word)
            }
        }
    };
}

words!(
    /// `status` of a VG.
    VgStatus {
        /// No host uses it: `vgexport` was run.
        EXPORTED = 1,
        /// PVs may be added and removed.
        RESIZEABLE = 2,
        /// A `pvmove` runs; old tools only.
        PVMOVE = 4,
        /// Readable.
        READ = 8,
        /// Writable; stored as `WRITE_LOCKED` in `flags` when the VG has an owner or a lock type.
        WRITE = 16,
        /// Belongs to a cluster of the retired `clvmd`.
        CLUSTERED = 32,
        /// Shared by hosts through `lvmlockd`; the lock type says so, too.
        SHARED = 64,
    }
);
words!(
    /// `flags` of a VG.
    VgFlags {
        /// Not activated by the host's boot.
        NOAUTOACTIVATE = 1,
    }
);
words!(
    /// `status` of a PV.
    PvStatus {
        /// New extents may be taken from it.
        ALLOCATABLE = 1,
        /// Its VG is exported.
        EXPORTED = 2,
    }
);
words!(
    /// `flags` of a PV.
    PvFlags {
        /// Its device was not there when the VG was written last.
        MISSING = 1,
    }
);
words!(
    /// `status` of an LV.
    LvStatus {
        /// Readable.
        READ = 1,
        /// Writable; stored as `WRITE_LOCKED` in `flags` when the VG has an owner or a lock type.
        WRITE = 2,
        /// Has device numbers of its own.
        FIXED_MINOR = 4,
        /// For users, not a part of another LV.
        VISIBLE = 8,
        /// The hidden LV of a running `pvmove`.
        PVMOVE = 16,
        /// May not be changed while a `pvmove` moves it.
        LOCKED = 32,
        /// A mirror or RAID that was made without initial synchronisation.
        NOTSYNCED = 64,
        /// A RAID image to be rebuilt.
        REBUILD = 128,
        /// A RAID1 image to be read last.
        WRITEMOSTLY = 256,
    }
);
words!(
    /// `flags` of an LV.
    LvFlags {
        /// Not activated unless asked for by name: thin snapshots.
        ACTIVATION_SKIP = 2,
        /// Not activated by the host's boot.
        NOAUTOACTIVATE = 4,
        /// A full thin pool fails writes at once.
        ERROR_WHEN_FULL = 8,
        /// A fast LV that caches another one.
        CACHE_VOL = 16,
    }
);

/// The word in `flags` that stands for `WRITE` in a VG with an owner or a lock type.
pub(crate) const WRITE_LOCKED: &str = "WRITE_LOCKED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_lvms_order() {
        let status = VgStatus::WRITE | VgStatus::READ | VgStatus::RESIZEABLE;
        assert_eq!(
            status.words().collect::<Vec<_>>(),
            ["RESIZEABLE", "READ", "WRITE"]
        );
        assert_eq!(LvStatus::from_name("VISIBLE"), Some(LvStatus::VISIBLE));
    }
}
