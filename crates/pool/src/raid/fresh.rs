//! Which image of an array of copies holds what was written last: the kernel knows of one that is active, and its notes on the
//! disks tell of others.

use lvm_dm::{RaidHealth, RaidSuperblock};
use lvm_meta::{Lv, LvStatus};

use super::{Array, Leg};
use crate::open_vg::OpenVg;
use crate::system::Inner;

impl<'a> Array<'a> {
    /// An image that holds all of the array; `None` when there is none, or nobody can tell.
    pub(crate) fn fresh_copy(&self, inner: &Inner, open: &OpenVg) -> Option<&'a Lv> {
        if !self.is_copies() {
            return None;
        }
        let fresh = match self.status(inner) {
            Some(status) => {
                let is = |at: usize, health| status.images.get(at) == Some(&health);
                // While the first synchronisation runs all are behind, and written alike.
                let wanted = match status.images.contains(&RaidHealth::InSync) {
                    true => RaidHealth::InSync,
                    false => RaidHealth::Behind,
                };
                (0..self.legs.len()).map(|at| is(at, wanted)).collect()
            }
            None => self.noted_fresh(open),
        };
        let present = self.present(open);
        let fresh = self.legs.iter().zip(present.iter().zip(fresh));
        let mut images = fresh.filter_map(|(leg, (present, fresh))| (*present && fresh).then_some(leg.image));
        let first = images.next()?;
        // One that is written last, and may lag behind, only if there is no other.
        let lags = |image: &&Lv| image.status().contains(LvStatus::WRITEMOSTLY);
        Some(
            [first]
                .into_iter()
                .chain(images)
                .find(|image| !lags(image))
                .unwrap_or(first),
        )
    }

    /// Which images are the newest by what the kernel noted on them; all of an array that it never mapped.
    pub(super) fn noted_fresh(&self, open: &OpenVg) -> Vec<bool> {
        let noted: Vec<_> = self.legs.iter().map(|leg| superblock(open, leg)).collect();
        let Some(newest) = noted.iter().flatten().max_by_key(|noted| noted.events) else {
            return vec![true; noted.len()];
        };
        let is_fresh = |(at, noted): (usize, &Option<RaidSuperblock>)| {
            let is_failed = u32::try_from(at)
                .ok()
                .and_then(|at| newest.failed.checked_shr(at));
            let is_failed = is_failed.is_some_and(|failed| failed & 1 == 1);
            let is_newest = |noted: &RaidSuperblock| noted.events == newest.events && noted.is_recovered;
            !is_failed && noted.as_ref().is_some_and(is_newest)
        };
        noted.iter().enumerate().map(is_fresh).collect()
    }
}

impl Leg<'_> {
    /// Did the kernel note that all of the image is filled, or nothing?
    pub(super) fn is_noted_whole(&self, open: &OpenVg) -> bool {
        superblock(open, self).is_none_or(|noted| noted.is_recovered)
    }
}

/// What the kernel noted on an image; `None` if nothing, or if it cannot be read.
fn superblock(open: &OpenVg, leg: &Leg<'_>) -> Option<RaidSuperblock> {
    let block = open.read_first(leg.meta?)?;
    RaidSuperblock::parse(&block)
}
