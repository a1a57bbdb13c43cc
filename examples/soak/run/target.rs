//! A target in memory that replicas are shared by: it keeps what it was told, as a target does that outlives a process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lvm_native::pool::{Error, ServedReplica, Share, SharedDevice};
use uuid::Uuid;

#[derive(Debug, Default)]
pub(crate) struct Target(Mutex<BTreeMap<Uuid, SharedDevice>>);

impl Target {
    fn served(&self) -> MutexGuard<'_, BTreeMap<Uuid, SharedDevice>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As when the machine starts.
    pub(crate) fn forget(&self) {
        self.served().clear();
    }
}

impl Share for Target {
    fn check(&self, _: &SharedDevice) -> Result<(), Error> {
        Ok(())
    }

    fn share(&self, wanted: &SharedDevice) -> Result<(), Error> {
        self.served().insert(wanted.replica, wanted.clone());
        Ok(())
    }

    fn unshare(&self, replica: Uuid) -> Result<(), Error> {
        self.served().remove(&replica);
        Ok(())
    }

    fn served(&self, only: Option<Uuid>) -> Result<Vec<ServedReplica>, Error> {
        let served = self.served();
        let asked = served
            .values()
            .filter(|shared| only.is_none_or(|only| only == shared.replica));
        let told = asked.map(|shared| ServedReplica {
            replica: shared.replica,
            device: shared.device.clone(),
            listen: Some(shared.listen),
            allowed_hosts: shared.allowed_hosts.iter().map(ToString::to_string).collect(),
            is_whole: true,
            is_open: true,
        });
        Ok(told.collect())
    }

    fn resized(&self, _: Uuid) -> Result<(), Error> {
        Ok(())
    }
}
