//! What a cut change left of cached LVs: devices that stand still, and those of caches that no LV has any more.
//!
//! While the metadata has the cache, what is mapped stays mapped, and a staged table is dropped: the cache may be dirty.  What
//! a call made active that does not go on becomes inactive again, and its cache stays as it is, too.

use lvm_dm::{DeviceEntry, DmUuid, UdevFlags};

use super::{Stack, below, owner};
use crate::apply::Step;
use crate::layer::{self, HIDDEN};
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::{Error, activate};

/// How deep the devices of a cache lie on each other.
const DEPTH: u32 = 3;

/// Returns `true` if [`mend`] or [`sweep`] has something to do.
pub(crate) fn is_needed(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<bool, Error> {
    if inner.has_own_devices() {
        return Ok(false);
    }
    for stack in stacks(open) {
        if !steps(inner, open, &stack)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(!orphans(inner, open, devices)?.is_empty())
}

/// Lets cached LVs go on that a cut change stopped.  The caller holds the VG's lock.
pub(crate) fn mend(inner: &Inner, open: &OpenVg) -> Result<(), Error> {
    if inner.has_own_devices() {
        return Ok(());
    }
    for stack in stacks(open) {
        inner.kernel().apply(None, &steps(inner, open, &stack)?)?;
    }
    Ok(())
}

/// Takes away the devices of caches and origins whose LVs are gone; `before` are those that were there a moment ago.  The
/// caller holds the VG's lock.
pub(crate) fn sweep(inner: &Inner, open: &OpenVg, before: &[DeviceEntry]) -> Result<(), Error> {
    if inner.has_own_devices() || orphans(inner, open, before)?.is_empty() {
        return Ok(());
    }
    for _ in 0..DEPTH {
        let devices = inner.mapper.list().map_err(Error::Dm)?;
        let orphans = orphans(inner, open, &devices)?.into_iter();
        let remove = |uuid| Step::Remove {
            uuid,
            flags: HIDDEN,
            link: None,
        };
        let steps: Vec<Step> = orphans.map(remove).collect();
        if steps.is_empty() {
            break;
        }
        inner.kernel().apply(None, &steps)?;
    }
    Ok(())
}

fn stacks(open: &OpenVg) -> impl Iterator<Item = Stack<'_>> {
    open.vg.lvs().filter_map(|lv| Stack::of(&open.vg, lv))
}

/// What is to be done about one cached LV.
fn steps(inner: &Inner, open: &OpenVg, stack: &Stack<'_>) -> Result<Vec<Step>, Error> {
    let top = stack.top()?;
    let info = top.info(inner)?;
    let is_used = info.as_ref().is_some_and(|info| info.open_count > 0);
    if !is_used && stack.is_disowned(inner)? {
        return taken_down(inner, stack);
    }
    let Some(info) = info else {
        return Ok(Vec::new());
    };
    let mut steps = Vec::new();
    if info.inactive_table {
        // One array has one table at a time: a staged one goes first.
        steps.push(Step::Clear {
            uuid: top.uuid.clone(),
        });
    }
    if !info.live_table {
        // It was never mapped, so no program has it open.
        if info.open_count == 0 {
            steps.push(top.remove());
        }
    } else if info.suspended {
        let below = below(inner, open, &top.uuid)?;
        let stopped = below.into_iter().rev().filter(|below| below.suspended);
        let resume = |uuid| Step::Resume {
            uuid,
            flags: HIDDEN,
            link: None,
            read_ahead: None,
        };
        steps.extend(stopped.filter_map(|below| below.uuid).map(resume));
        steps.push(activate::resume(open, stack.lv, UdevFlags::empty())?);
    }
    if !steps.is_empty() {
        steps.push(Step::Settle);
    }
    Ok(steps)
}

/// The steps that take away the devices of a cached LV, as far as they are there.
fn taken_down(inner: &Inner, stack: &Stack<'_>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for layer in stack.layers()?.iter().rev() {
        if layer.info(inner)?.is_some() {
            steps.push(layer.remove());
        }
    }
    if !steps.is_empty() {
        steps.push(Step::Settle);
    }
    Ok(steps)
}

/// The devices of caches and origins whose LVs do not exist any more, and those that tell of a call that does not go on,
/// which no program has open.
fn orphans(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<Vec<DmUuid>, Error> {
    layer::unused(inner, devices, |entry, uuid| {
        owner::is_it(&open.vg, uuid) || is_orphan(open, entry, uuid)
    })
}

fn is_orphan(open: &OpenVg, entry: &DeviceEntry, uuid: &DmUuid) -> bool {
    match layer::word_without_lv(&open.vg, uuid) {
        Some("cdata" | "cmeta" | "cvol") => true,
        Some("real") => ["_corig", "_wcorig"]
            .iter()
            .any(|end| entry.name.as_str().ends_with(end)),
        _ => false,
    }
}
