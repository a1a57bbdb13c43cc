//! What the metadata says of the sizes of disks, and what they are.

use lvm_meta::{Extents, Pv, PvId, Sectors, Vg};

use super::fit_disks::measure;
use crate::Error;
use crate::open_vg::{OpenVg, VgDisk};

/// A size that the metadata is to say.
pub(super) struct NewSize {
    pub(super) pv: PvId,
    pub(super) dev_size: Sectors,
    pub(super) pe_count: Extents,
    /// What changes, for people.
    pub(super) what: String,
}

impl NewSize {
    /// Puts the size into the metadata.
    ///
    /// # Errors
    /// As [`Vg::resize_pv`].
    pub(super) fn put(&self, vg: &mut Vg) -> Result<(), Error> {
        vg.resize_pv(self.pv, self.dev_size, self.pe_count)
            .map(drop)
            .map_err(Error::Meta)
    }
}

/// The sizes of devices that the metadata has wrong: too small for the extents, or larger than the device is.
///
/// `pvresize` writes the device's size less the place of the first extent.  LVM asks the device, and so do we, so that
/// this is no harm.  What the extents themselves do not fit is not put right here.
pub(super) fn misstated(open: &OpenVg) -> Result<Vec<NewSize>, Error> {
    each(open, |disk, pv, dev_size| {
        let extents = open.vg.extent_size().to_sectors(pv.pe_count());
        let end = pv.pe_start().checked_add(extents)?;
        let is_wrong = end <= dev_size && !(end..=dev_size).contains(&pv.dev_size());
        is_wrong.then(|| NewSize {
            pv: disk.pv,
            dev_size,
            pe_count: pv.pe_count(),
            what: was_misstated(disk, pv, dev_size),
        })
    })
}

/// Says that the size of a device was wrong.
pub(super) fn was_misstated(disk: &VgDisk, pv: &Pv, dev_size: Sectors) -> String {
    format!(
        "{}: the metadata said that the device has {}, and it has {dev_size}",
        disk.path.display(),
        pv.dev_size()
    )
}

fn each(
    open: &OpenVg,
    look: impl Fn(&VgDisk, &Pv, Sectors) -> Option<NewSize>,
) -> Result<Vec<NewSize>, Error> {
    let mut sizes = Vec::new();
    for disk in &open.disks {
        let size = measure(disk)?;
        let pv = open.vg.pv(disk.pv);
        sizes.extend(pv.and_then(|pv| look(disk, pv, Sectors::from_bytes_floor(size))));
    }
    Ok(sizes)
}
