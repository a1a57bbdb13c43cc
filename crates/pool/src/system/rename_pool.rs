//! Another name for a pool, while its replicas are used.

use lvm_meta::VgName;

use crate::apply::Step;
use crate::recover::recover_open;
use crate::system::System;
use crate::{CreatePool, Error, StoragePool, misnamed, naming, share, storage_pool};

impl System {
    /// Gives a pool another name, as `vgrename` does.  Replicas stay active, also while they are open: their device nodes
    /// get the new name.  Hosts that reach a shared replica connect again.  Durable when this returns.
    ///
    /// `wanted` is the pool's name, or its UUID or id, which tell two pools of one name apart.  The name that it has already
    /// is success without a change.  Handles of the old name answer [`Error::PoolNotFound`] from then on.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`]; [`Error::AmbiguousName`] for the name of two pools; [`Error::Exists`] for the name of another
    /// VG; [`Error::Name`] and [`Error::InvalidArgument`] for a name that no VG can have, or that `/dev` has for something
    /// else; [`Error::Refused`] for a VG that must not be changed.  Nothing is changed then.
    pub fn rename_pool(&self, wanted: &str, new: &str) -> Result<StoragePool, Error> {
        let inner = &*self.inner;
        let name = CreatePool::new(new, Vec::new()).vg_name()?;
        let mut open = match self.find_vg(inner.scan()?, wanted) {
            Err(Error::PoolNotFound(_)) => return Err(self.gone(wanted, &name)),
            found => found?,
        };
        if !storage_pool::is_pool(&open) {
            return Err(Error::PoolNotFound(wanted.into()));
        }
        let old = open.vg.name().to_string();
        if old == new {
            return self.handle(open);
        }
        let _locks = inner.lock_global_with(&[&old, new])?;
        open.refresh(inner)?;
        if open.vg.name() != old || !storage_pool::is_pool(&open) {
            return Err(Error::PoolNotFound(wanted.into()));
        }
        open.check_writable(inner)?;
        // A rename that failed may have left devices and their nodes the name that it is given back.
        recover_open(inner, &mut open)?;
        self.check_name_free(&name)?;
        // A name that is longer leaves less room for those of the LVs.
        for lv in open.vg.lvs() {
            naming::dm_name(new, lv.name())?;
        }
        let _hints = inner.invalidate_hints()?;
        open.change(inner, &format!("rename pool {old} to {new}"), |change| {
            change.edit().set_name(&name).map_err(Error::Meta)?;
            let devices = inner.mapper.list().map_err(Error::Dm)?;
            let renames = misnamed::steps(change.open(), &devices)?;
            change.step(Step::Commit);
            renames.into_iter().for_each(|step| change.step(step));
            change.step(Step::Settle);
            Ok(())
        })?;
        // As after a removal: the tools' own vgrename goes on without this, too.
        let _ = inner.forget_backup(&old);
        inner.sweep_nodes(&old)?;
        share::follow(inner, &open);
        Ok(StoragePool::new(self.inner.clone(), open))
    }

    /// The error for a pool that is not there.  A call that failed may have renamed it: who repeats that call finds its devices
    /// whole, and no node of the old name.
    fn gone(&self, old: &str, new: &VgName) -> Error {
        let finish = || -> Result<(), Error> {
            match self.find_vg(self.inner.scan()?, new.as_str()) {
                Ok(open) if storage_pool::is_pool(&open) => self.handle(open)?,
                _ => return Ok(()),
            };
            // It may be given by its UUID.
            let Ok(old) = VgName::parse(old) else {
                return Ok(());
            };
            let _lock = self.inner.lock_vg(old.as_str())?;
            self.inner.sweep_nodes(old.as_str())
        };
        finish().map_or_else(|error| error, |()| Error::PoolNotFound(old.into()))
    }

    /// Refuses the name of a VG, whether that can be read or not, and of anything else below `/dev`.
    fn check_name_free(&self, name: &VgName) -> Result<(), Error> {
        let scan = self.inner.scan()?;
        if scan.assembly.vgs.iter().any(|vg| vg.name == name.as_str()) {
            return Err(Error::Exists {
                what: "volume group",
                id: name.to_string(),
            });
        }
        self.inner.sweep_nodes(name.as_str())?;
        self.inner.nodes.check_vg_name_free(name.as_str())
    }
}
