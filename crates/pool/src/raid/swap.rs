//! The steps that give an array which is mapped other images, and make one of a linear LV and back.
//!
//! | before the commit | after it |
//! | --- | --- |
//! | new images made, their metadata zeroed; the table staged; the LV stopped | the LV goes on; old images removed; devices named by their new places |
//! | | once the kernel has noted in the new metadata that it fills them: `REBUILD` taken off, in a commit of its own |
//!
//! A cut before the commit leaves images that no LV has, one after it old images and names, or marks: opening the pool does
//! the rest of either.  While the mark stands each activation has the kernel begin to fill the image anew.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::{DmName, DmUuid, RaidSuperblock, SuspendFlags, UdevFlags};
use lvm_meta::LvStatus;

use super::{Array, Leg};
use crate::apply::Step;
use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::{Error, activate, naming};

/// The devices of the images that an LV has before a change.
#[derive(Debug)]
pub(crate) struct OldParts(Vec<(DmUuid, DmName, Layer)>);

impl OldParts {
    /// Those that are there.
    pub(crate) fn of(inner: &Inner, array: &Array<'_>) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for part in array.parts() {
            let layer = array.layer(part)?;
            if let Some(info) = layer.info(inner)? {
                parts.push((layer.uuid.clone(), info.name, layer));
            }
        }
        Ok(Self(parts))
    }

    /// None, as of an LV that is no array.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    fn name_of(&self, uuid: &DmUuid) -> Option<&DmName> {
        let part = self.0.iter().find(|(known, ..)| known == uuid);
        part.map(|(_, name, _)| name)
    }

    fn has_name(&self, name: &DmName) -> bool {
        self.0.iter().any(|(_, known, _)| known == name)
    }
}

/// The steps around the commit for an LV that is active and has its new segments in `open`.
///
/// # Errors
/// As [`Array::create`].
pub(crate) fn steps(inner: &Inner, open: &OpenVg, name: &str, old: &OldParts) -> Result<Vec<Step>, Error> {
    let lv = open
        .vg
        .lv(name)
        .ok_or_else(|| Error::ReplicaNotFound(name.into()))?;
    let (mut steps, mut renames, mut used) = (Vec::new(), Vec::new(), HashSet::new());
    let (uuid, resume) = match Array::of(&open.vg, lv) {
        Some(array) => {
            array.check()?;
            super::check_target(inner, array.detail.layout)?;
            let present = array.present(open);
            for (leg, _) in array.legs.iter().zip(present).filter(|(_, present)| *present) {
                for part in leg.parts() {
                    let layer = array.layer(part)?;
                    used.insert(layer.uuid.clone());
                    if let Some(name) = old.name_of(&layer.uuid) {
                        renames.extend(layer.renamed_from(name));
                        continue;
                    }
                    // An image in its place has the name still.
                    let mut made = layer.clone();
                    if old.has_name(&layer.name) {
                        made.name = naming::dm_layer_name(open.vg.name(), part.name(), NEW)?;
                    }
                    steps.extend(made.activate(open.table_of_part(part)?));
                    if leg.is_meta(part) {
                        steps.push(Step::Settle);
                        steps.push(array.zero_meta(part)?);
                    }
                    renames.extend(layer.renamed_from(&made.name));
                }
            }
            steps.push(array.load(open)?);
            (array.device()?.uuid, array.resume(open)?)
        }
        None => {
            let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
            steps.push(Step::Load {
                uuid: uuid.clone(),
                table: open.table(inner, lv)?,
                read_only: !open.is_writable(lv),
            });
            (uuid, activate::resume(open, lv, UdevFlags::empty())?)
        }
    };
    // What udevd is told of the images is waited for while nobody stands still.
    steps.push(Step::Settle);
    steps.push(Step::Suspend {
        uuid,
        flags: SuspendFlags::SKIP_LOCKFS,
    });
    steps.push(Step::Commit);
    steps.push(resume);
    let gone = old.0.iter().filter(|(uuid, ..)| !used.contains(uuid));
    steps.extend(gone.map(|(_, _, layer)| layer.remove()));
    steps.extend(renames);
    steps.push(Step::Settle);
    Ok(steps)
}

impl Array<'_> {
    /// The steps by which the kernel takes images back in whose disks answer again, and brings them up to date.
    pub(crate) fn take_back(&self, inner: &Inner, open: &OpenVg) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (leg, _) in self
            .legs
            .iter()
            .zip(self.present(open))
            .filter(|(_, present)| *present)
        {
            for part in leg.parts() {
                let layer = self.layer(part)?;
                if layer.info(inner)?.is_none() {
                    steps.extend(layer.activate(open.table_of_part(part)?));
                }
            }
        }
        let cycle = [
            Step::Suspend {
                uuid: self.device()?.uuid,
                flags: SuspendFlags::SKIP_LOCKFS,
            },
            self.resume(open)?,
        ];
        if !steps.is_empty() {
            // The table did not name them.
            steps.push(Step::Settle);
            steps.push(self.load(open)?);
            steps.extend(cycle.clone());
        }
        // Stopped and let go again, the kernel tries the images that it notes as failed.
        steps.extend(cycle);
        steps.push(Step::Settle);
        Ok(steps)
    }
}

/// What a device is called while the old one has its name.
const NEW: &str = "new";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for the kernel to note the images that it fills; its first writes are these.
const NOTED: Duration = Duration::from_secs(5);

/// Takes `REBUILD` off the images of an array once the kernel has noted that they are to be filled, which it does at once.
/// What it has not noted in time keeps the mark for the next opening.  The caller holds the VG's lock.
pub(crate) fn end_rebuild(inner: &Inner, open: &mut OpenVg, name: &str) -> Result<(), Error> {
    let deadline = Instant::now() + NOTED.min(inner.timeout);
    loop {
        let lv = open.vg.lv(name);
        let Some(array) = lv.and_then(|lv| Array::of(&open.vg, lv)).filter(Array::is_marked) else {
            return Ok(());
        };
        // It is locked, and keeps the mark till then.
        if array.is_moved() {
            return Ok(());
        }
        if array.has_noted(inner, open) {
            break;
        }
        if Instant::now() >= deadline {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    open.change(inner, "end rebuild", |change| {
        change.repair(|vg| vg.end_rebuild(name))?;
        change.step(Step::Commit);
        Ok(())
    })
}

impl Array<'_> {
    /// Is an image marked to be filled?
    pub(crate) fn is_marked(&self) -> bool {
        self.legs.iter().any(Leg::is_marked)
    }

    /// Has the kernel noted in the metadata of each image that is marked that it fills it, or filled it?
    ///
    /// Not told of what is being moved.
    pub(crate) fn has_noted(&self, inner: &Inner, open: &OpenVg) -> bool {
        let Some(status) = self.status(inner).filter(|_| !self.is_moved()) else {
            return false;
        };
        for (at, leg) in self.legs.iter().enumerate().filter(|(_, leg)| leg.is_marked()) {
            let is_full = status.images.get(at) == Some(&lvm_dm::RaidHealth::InSync);
            if !is_full && !leg.is_noted_at(open, at, self.legs.len()) {
                return false;
            }
        }
        true
    }
}

impl Leg<'_> {
    pub(super) fn is_marked(&self) -> bool {
        self.image.status().contains(LvStatus::REBUILD)
    }

    /// Is it known by the kernel's superblock as the image at a place?  Read past caches, as the kernel writes.
    fn is_noted_at(&self, open: &OpenVg, at: usize, images: usize) -> bool {
        let block = self.meta.and_then(|meta| open.read_first(meta));
        let found = block.and_then(|block| RaidSuperblock::parse(&block));
        found.is_some_and(|found| {
            (usize::try_from(found.position), usize::try_from(found.images)) == (Ok(at), Ok(images))
        })
    }
}
