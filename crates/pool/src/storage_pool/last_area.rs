//! Which metadata area takes over when a disk leaves with the only one in use.

use std::sync::Arc;

use lvm_meta::{Disk, MdaHeader, PvId};

use crate::Error;
use crate::error::DiskProblem;
use crate::open_vg::OpenVg;

/// An area that is out of use, and its disk.
pub(super) type Spare = (Arc<dyn Disk>, MdaHeader);

/// The area to put to use when a disk leaves; `None` while another disk has one in use.  Of those that can hold the
/// metadata it is the largest.  LVM puts one to use, too, whatever its size.
///
/// # Errors
/// [`Error::Disk`] when there is none; [`Error::Meta`] when a disk cannot be read.
pub(super) fn successor(open: &OpenVg, leaving: PvId) -> Result<Option<Spare>, Error> {
    let Some(own) = open.disks.iter().find(|disk| disk.pv == leaving) else {
        return Ok(None);
    };
    if open.mdas.has_others(&own.disk) {
        return Ok(None);
    }
    let mut spares: Vec<Spare> = Vec::new();
    for disk in open.disks.iter().filter(|disk| disk.pv != leaving) {
        let read = lvm_meta::scan(&*disk.disk).map_err(Error::Meta)?;
        let headers = read
            .into_iter()
            .flat_map(|read| read.mdas)
            .filter_map(|mda| mda.header.ok());
        let ignored = headers.filter(MdaHeader::is_ignored);
        spares.extend(ignored.map(|header| (disk.disk.clone(), header)));
    }
    let capacity = |spare: &Spare| spare.1.text_capacity();
    spares.retain(|spare| capacity(spare) >= open.mdas.used());
    // The first of equal ones.
    let best = spares
        .into_iter()
        .reduce(|best, spare| match capacity(&spare) > capacity(&best) {
            true => spare,
            false => best,
        });
    best.map(Some).ok_or_else(|| Error::Disk {
        disk: own.path.clone(),
        why: DiskProblem::OnlyMetadata,
    })
}
