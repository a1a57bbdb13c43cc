//! Classic copy-on-write snapshots: a store of its own for each, and a group of devices with the origin.
//!
//! | file | what |
//! | --- | --- |
//! | `group` | an origin and its snapshots: who they are, and the devices that show them |
//! | `steps` | how the devices are made, changed and taken away |
//! | `mend` | what a cut change left of them |
//! | `sizes` | how large a store may be |
//! | `fill` | how full a store is |

pub(crate) mod fill;
mod group;
pub(crate) mod mend;
pub(crate) mod sizes;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use group::{Group, Member, next_link_name};

use crate::Error;
use crate::system::Inner;

/// The kernel's target of snapshots, by which a host without it is told.
const TARGET: &str = "snapshot";

/// Refuses a kernel without classic snapshots.
///
/// # Errors
/// [`Error::NoSnapshotTarget`].
pub(crate) fn check_target(inner: &Inner) -> Result<(), Error> {
    match inner.mapper.has_target(TARGET).map_err(Error::Dm)? {
        true => Ok(()),
        false => Err(Error::NoSnapshotTarget),
    }
}
