//! What the kernel and the disks tell of an array.

use lvm_dm::{DeviceId, RaidHealth, RaidStatus};

use super::{Array, Leg};
use crate::info::{ArrayInfo, ImageState, State};
use crate::open_vg::OpenVg;
use crate::system::Inner;

impl Array<'_> {
    /// Its state, and that of its images; the kernel is asked if it is active.
    pub(crate) fn health(&self, inner: &Inner, open: &OpenVg, is_active: bool) -> (State, ArrayInfo) {
        let present = self.present(open);
        let status = is_active.then(|| self.status(inner)).flatten();
        let image = |(at, present): (usize, &bool)| {
            let told = status.as_ref().and_then(|status| status.images.get(at));
            match (told, present) {
                (Some(RaidHealth::Missing), _) | (_, false) => ImageState::Missing,
                (Some(RaidHealth::Dead), _) => ImageState::Failed,
                (Some(RaidHealth::Behind), _) => ImageState::Syncing,
                (Some(RaidHealth::InSync), _) => ImageState::Online,
                (None, true) => ImageState::Unknown,
            }
        };
        let images: Vec<ImageState> = present.iter().enumerate().map(image).collect();
        let alive: Vec<bool> = images
            .iter()
            .map(|image| !matches!(image, ImageState::Missing | ImageState::Failed))
            .collect();
        let action = status.as_ref().and_then(|status| status.action.clone());
        // While the first synchronisation runs all images are written alike; one that is rebuilt lacks data.
        let is_rebuilding = images.contains(&ImageState::Syncing) && images.contains(&ImageState::Online);
        let state = if !self.survives(&alive) {
            State::Faulted
        } else if alive.contains(&false) || is_rebuilding {
            State::Degraded
        } else {
            State::Online
        };
        let has_sync = !self.detail.layout.is_striped_only();
        let sync = status.as_ref().filter(|_| has_sync);
        let info = ArrayInfo {
            images,
            in_sync: sync.map(RaidStatus::in_sync),
            in_sync_of: sync.map(|status| status.all),
            action,
            mismatches: status.and_then(|status| status.mismatches),
        };
        (state, info)
    }

    /// Whether each image holds what it should, so that the array can be made whole from it.
    pub(crate) fn holding(&self, inner: &Inner, open: &OpenVg) -> Vec<bool> {
        let status = self.status(inner);
        let is_first = status
            .as_ref()
            .is_some_and(|status| !status.images.contains(&RaidHealth::InSync));
        let fresh = match (&status, self.is_copies()) {
            (None, true) => self.noted_fresh(open),
            _ => vec![true; self.legs.len()],
        };
        let holds = |(at, (leg, present)): (usize, (&Leg<'_>, bool))| {
            let is_filled = || !leg.is_marked() && leg.is_noted_whole(open);
            let told = status.as_ref().and_then(|status| status.images.get(at));
            present
                && match told {
                    Some(RaidHealth::InSync) => true,
                    // While the first synchronisation runs all are behind, and written alike.
                    Some(RaidHealth::Behind) => is_first && is_filled(),
                    Some(RaidHealth::Dead | RaidHealth::Missing) => false,
                    None => fresh.get(at) == Some(&true) && is_filled(),
                }
        };
        let present = self.present(open);
        self.legs.iter().zip(present).enumerate().map(holds).collect()
    }

    /// What the kernel says of it; `None` while it has no table.
    pub(crate) fn status(&self, inner: &Inner) -> Option<RaidStatus> {
        let device = self.device().ok()?;
        // Not flushed: who asks must not wait for what is written.
        let lines = inner.mapper.status(DeviceId::Uuid(&device.uuid), true).ok()?;
        match lines.as_slice() {
            [line] if line.kind == super::TARGET => RaidStatus::parse(&line.status),
            _ => None,
        }
    }
}
