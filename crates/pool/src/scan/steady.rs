//! Looking while others write: a text that is being replaced while it is read is no broken one.

use std::path::PathBuf;

use lvm_meta::{FoundPv, RawLocation};

use super::Scan;
use crate::Error;
use crate::system::Inner;

/// Looks in all, while what looks broken is something else each time.
const LOOKS: usize = 8;

/// An area that cannot be read: its disk, its place, and the text that its header names, if that can be read.
type Broken = (Option<usize>, u64, Option<RawLocation>);

impl Inner {
    /// Looks at every disk in scope and at `more`; once more as long as something looks broken that did not a moment ago.
    ///
    /// Readers take no lock, so the ring of texts may come round under a slow one.  What is broken for good looks the
    /// same twice, and costs a second look.
    ///
    /// # Errors
    /// As [`Inner::scan`].
    pub(crate) fn scan_also(&self, more: &[PathBuf]) -> Result<Scan, Error> {
        let mut before = None;
        let mut looks = 1;
        loop {
            let scan = self.scan_once(more)?;
            let broken = broken(&scan);
            if broken.is_empty() || looks == LOOKS || before.as_ref() == Some(&broken) {
                return Ok(scan);
            }
            looks += 1;
            before = Some(broken);
        }
    }
}

fn broken(scan: &Scan) -> Vec<Broken> {
    let assembly = &scan.assembly;
    let of_vgs = assembly.vgs.iter().flat_map(|vg| &vg.pvs);
    of_vgs.chain(&assembly.orphans).flat_map(broken_areas).collect()
}

fn broken_areas(pv: &FoundPv) -> impl Iterator<Item = Broken> {
    let areas = pv.scan.iter().flat_map(|scan| &scan.mdas);
    areas
        .filter(|mda| mda.header.is_err() || matches!(mda.text, Some(Err(_))))
        .map(|mda| (pv.disk, mda.area.offset, mda.committed()))
}
