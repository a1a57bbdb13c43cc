//! For tests, ours and others': a mapper that keeps a log of its calls and fails where it is told to.
//!
//! ```
//! use lvm_dm::testing::{Call, FakeMapper, Fault};
//! use lvm_dm::{DeviceMapper, DmName, DmUuid};
//!
//! let fake = FakeMapper::new();
//! let (name, uuid) = (DmName::new("vg-lv")?, DmUuid::new("LVM-1")?);
//! fake.fault_at_change(2, Fault::Die);
//! fake.create(&name, &uuid)?;
//! assert!(fake.set_uuid(&name, &uuid).is_err() && fake.list().is_err());
//! fake.heal();
//! assert_eq!(fake.list()?.len(), 1);
//! assert_eq!(fake.changes()[0], Call::Create { name, uuid });
//! # Ok::<(), lvm_dm::Error>(())
//! ```

mod call;
mod conformance;
mod fake;

pub use call::Call;
pub use conformance::{Bench, Check, checks};
pub use fake::{FakeMapper, Fault};

/// The blocks of metadata of a thin pool with so many devices, to be read by [`crate::ThinMetadata`].
pub fn thin_metadata(devices: u32) -> Vec<[u8; 4096]> {
    crate::thin_metadata::write::example(devices)
}

/// Gives a block of thin pool's metadata, which is block `at`, the checksum that its reader wants to see.
pub fn seal_thin_metadata(at: u64, block: &mut [u8; 4096]) {
    crate::thin_metadata::write::seal(at, block);
}

/// Reads `bytes` as the kernel's reply to each command.  Never panics, whatever they are; memory is bounded by them.
pub fn decode_reply(bytes: &[u8]) {
    crate::codec::decode_everything(bytes);
}
