//! The device that tells that a cached LV was made active to lose its cache, and whether the call that made it goes on.
//!
//! `VG-LV-uncache`, whose table is `error`, is made before the LV's devices, and the call has it open.  The kernel closes what
//! a dead process had open: so one that is not open was left by a cut call, and whoever finds it makes the LV inactive
//! again.  LVM passes devices of that table over, and finds the LV active by the devices that have LVM's own names.

use lvm_dm::{BlockIo, DeviceId, DmUuid, OpenMode, Table, Target, TargetLine};
use lvm_meta::Vg;

use super::Stack;
use crate::Error;
use crate::apply::Step;
use crate::layer::{Layer, is_cut};
use crate::system::Inner;

/// The word behind the LV's name and ids.
const WORD: &str = "uncache";
/// Sectors of the device.
const LENGTH: u64 = 8;

/// The device, open; none where devices end with their process.
pub(crate) struct Owner {
    _held: Option<Box<dyn BlockIo>>,
}

impl Stack<'_> {
    fn owner(&self) -> Result<Layer, Error> {
        Layer::of(self.vg, self.lv, WORD, WORD)
    }

    /// Makes the device, or takes over that of a cut call.  The caller holds the VG's lock.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(crate) fn own(&self, inner: &Inner) -> Result<Owner, Error> {
        if inner.has_own_devices() {
            return Ok(Owner { _held: None });
        }
        let layer = self.owner()?;
        let table = Table::new(vec![TargetLine {
            start: 0,
            length: LENGTH,
            target: Target::Error,
        }]);
        let mut steps = match layer.info(inner)? {
            None => layer.activate(table).to_vec(),
            Some(info) if is_cut(&info) => vec![layer.load(table), layer.resume()],
            Some(_) => Vec::new(),
        };
        steps.push(Step::Settle);
        inner.kernel().apply(None, &steps)?;
        let held = inner
            .mapper
            .open(DeviceId::Uuid(&layer.uuid), OpenMode::ReadOnly)
            .map_err(Error::Dm)?;
        Ok(Owner { _held: Some(held) })
    }

    /// Was the LV made active by a call that does not go on?
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(super) fn is_disowned(&self, inner: &Inner) -> Result<bool, Error> {
        let info = self.owner()?.info(inner)?;
        Ok(info.is_some_and(|info| info.open_count == 0))
    }
}

/// Is it such a device of an LV of the VG, which may exist no more?
pub(super) fn is_it(vg: &Vg, uuid: &DmUuid) -> bool {
    let ids = uuid.as_str().strip_prefix("LVM-");
    let ids = ids.and_then(|ids| ids.strip_prefix(vg.id().as_str()));
    let word = ids.and_then(|ids| ids.split_once('-'));
    word.is_some_and(|(_, word)| word == WORD)
}
