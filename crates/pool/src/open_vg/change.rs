//! What a plan is given: the VG to edit, and a place for the kernel's steps.

use lvm_meta::{PvId, Vg};

use super::OpenVg;
use crate::Error;
use crate::apply::Step;
use crate::raid::Array;
use crate::thin::index::ThinIndex;

/// A change under way: the VG to edit and the steps to plan.
pub(crate) struct Change<'a> {
    pub(super) open: &'a mut OpenVg,
    pub(super) steps: Vec<Step>,
    pub(super) edited: bool,
}

impl Change<'_> {
    /// The VG with what was edited so far.
    pub(crate) fn open(&self) -> &OpenVg {
        self.open
    }

    /// The VG, to edit it.
    pub(crate) fn edit(&mut self) -> &mut Vg {
        self.edited = true;
        &mut self.open.vg
    }

    /// Edits the VG in a way that is allowed though disks are missing.
    ///
    /// # Errors
    /// [`Error::Meta`].
    pub(crate) fn repair<R>(
        &mut self,
        edit: impl FnOnce(&mut Vg) -> Result<R, lvm_meta::Error>,
    ) -> Result<R, Error> {
        self.mark_missing();
        self.edit().repairing(edit).map_err(Error::Meta)
    }

    /// As [`Change::repair`], for a plan that edits more than the VG.
    ///
    /// # Errors
    /// `plan`'s own.
    pub(crate) fn despite_missing<R>(
        &mut self,
        plan: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let marked = self.open.vg.pvs().iter().filter(|pv| pv.is_missing());
        let marked: Vec<PvId> = marked.map(lvm_meta::Pv::id).collect();
        self.edit().mark_missing(&marked, false);
        let planned = plan(self);
        self.edit().mark_missing(&marked, true);
        self.mark_missing();
        planned
    }

    /// Notes in the metadata which PVs are not there, as LVM does with each change that it allows without them.
    pub(crate) fn mark_missing(&mut self) {
        let open = self.open();
        let pvs = open.vg.pvs().iter().map(lvm_meta::Pv::id);
        let missing: Vec<PvId> = pvs.filter(|pv| open.device(*pv).is_none()).collect();
        self.edit().mark_missing(&missing, true);
    }

    /// Removes an LV with the images of the array that it may be.
    ///
    /// # Errors
    /// [`Error::Meta`].
    pub(crate) fn remove_lv(&mut self, name: &str) -> Result<(), Error> {
        let vg = &self.open.vg;
        let array = vg.lv(name).and_then(|lv| Array::of(vg, lv));
        let parts: Vec<String> = array
            .iter()
            .flat_map(Array::parts)
            .map(|part| part.name().to_string())
            .collect();
        let mut names = [name].into_iter().chain(parts.iter().map(String::as_str));
        self.repair(|vg| names.try_for_each(|name| vg.remove_lv(name).map(drop)))
    }

    /// Refuses a display name that an LV other than the one named `except` has.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub(crate) fn check_name_free(&mut self, wanted: &str, except: Option<&str>) -> Result<(), Error> {
        let OpenVg {
            vg, display_names, ..
        } = &mut *self.open;
        let except = except.and_then(|name| vg.lv(name));
        match display_names.is_taken(vg, wanted, except) {
            true => Err(Error::Exists {
                what: "replica name",
                id: wanted.into(),
            }),
            false => Ok(()),
        }
    }

    /// The thin LVs with what was edited so far, by pool and origin, and the VG that they are of.
    pub(crate) fn thin_index(&mut self) -> (&mut ThinIndex, &Vg) {
        (&mut self.open.thin_index, &self.open.vg)
    }

    /// Adds a step of the kernel; [`Step::Commit`] goes where the commit belongs.
    pub(crate) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The open VG, to take disks in or out of it.
    pub(crate) fn open_mut(&mut self) -> &mut OpenVg {
        self.edited = true;
        self.open
    }
}
