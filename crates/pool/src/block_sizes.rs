//! The logical block sizes of a pool's disks, which LVM keeps the same unless `lvm.conf` says otherwise.
//!
//! A file system that was made on blocks of 512 bytes cannot be used where extents lie on a disk with blocks of 4096.

use std::path::{Path, PathBuf};

use lvm_meta::{Disk, ExtentSize};

use crate::Error;
use crate::error::DiskProblem;

/// A disk's path and the bytes of its logical blocks.
pub(crate) type BlockSize = (PathBuf, u32);

/// The block size of a disk.
pub(crate) fn block_size(path: &Path, disk: &dyn Disk) -> BlockSize {
    (path.into(), disk.block_size())
}

/// Refuses new disks whose blocks do not fit the extents, or differ from those of the disks that are there and from each
/// other's.
///
/// As LVM: where the disks that are there are mixed already, new ones are not compared with them.  Unlike `vgextend`, which
/// does not compare new disks, we do: all of one request are alike.
///
/// # Errors
/// [`Error::Disk`].
pub(crate) fn check(
    there: &[BlockSize],
    new: &[BlockSize],
    extent: ExtentSize,
    allow_mixed: bool,
) -> Result<(), Error> {
    let refuse = |disk: &BlockSize, why| {
        Err(Error::Disk {
            disk: disk.0.clone(),
            why,
        })
    };
    if let Some(disk) = new.iter().find(|disk| u64::from(disk.1) > extent.bytes()) {
        let (own, extent) = (disk.1, extent.bytes());
        return refuse(disk, DiskProblem::BlockAboveExtent { own, extent });
    }
    let is_mixed = there.windows(2).any(|pair| pair[0].1 != pair[1].1);
    if allow_mixed || is_mixed {
        return Ok(());
    }
    let Some((first, rest)) = there
        .first()
        .map_or_else(|| new.split_first(), |first| Some((first, new)))
    else {
        return Ok(());
    };
    match rest.iter().find(|disk| disk.1 != first.1) {
        Some(disk) => refuse(
            disk,
            DiskProblem::BlockSize {
                own: disk.1,
                other: first.0.clone(),
                others: first.1,
            },
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks(sizes: &[u32]) -> Vec<BlockSize> {
        let disk = |(at, size): (usize, &u32)| (PathBuf::from(format!("/dev/{at}")), *size);
        sizes.iter().enumerate().map(disk).collect()
    }

    #[test]
    fn new_disks_are_alike_unless_those_that_are_there_are_mixed() {
        let extent = ExtentSize::DEFAULT;
        let is_taken =
            |there: &[u32], new: &[u32], allow| check(&disks(there), &disks(new), extent, allow).is_ok();
        for (there, new, taken) in [
            (&[][..], &[512, 512][..], true),
            (&[], &[512, 4096], false),
            (&[], &[4096], true),
            (&[512, 512], &[512], true),
            (&[512], &[4096], false),
            (&[4096], &[4096, 512], false),
            (&[512, 4096], &[4096], true),
        ] {
            assert_eq!(is_taken(there, new, false), taken, "{there:?} and {new:?}");
            assert!(is_taken(there, new, true));
        }
        let error = check(&disks(&[512]), &disks(&[4096]), extent, false).unwrap_err();
        assert_eq!((error.kind(), error.errno()), ("MixedBlockSizes", libc::EINVAL));
        assert!(
            error.to_string().contains("4096 bytes, and \"/dev/0\" of 512"),
            "{error}"
        );
    }

    #[test]
    fn blocks_are_no_larger_than_extents() {
        let extent = ExtentSize::for_new_vg(2).unwrap();
        let error = check(&[], &disks(&[4096]), extent, true).unwrap_err();
        assert!(matches!(
            error,
            Error::Disk {
                why: DiskProblem::BlockAboveExtent {
                    own: 4096,
                    extent: 1024
                },
                ..
            }
        ));
    }
}
