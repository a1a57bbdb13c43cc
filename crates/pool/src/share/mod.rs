//! Sharing of replicas with other hosts, over NVMe-oF.
//!
//! What is to be shared, with whom and where stands in the replicas' tags; a [`Share`] makes a target serve it.  The tags ask for
//! all that is served at any moment: they say `nvmf` before the target serves a replica, and `off` after it does not any more.
//! So a pool without such tags costs no look at the target, and what a cut call left the tags tell how to mend: see [`follow`].

pub(crate) mod address;
mod configfs;
#[cfg(test)]
mod fake;
mod follow;
mod nvmet;
#[cfg(test)]
mod tests;
mod tree;

use std::net::SocketAddr;
use std::path::PathBuf;

use uuid::Uuid;

use crate::{Error, Nqn};

pub(crate) use follow::{follow, follow_one, is_behind, serving, unserved, wanted};
pub use nvmet::NvmetTarget;

/// What a target is to serve: a replica's device, as the first namespace of the subsystem [`Nqn::of_replica`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDevice {
    /// The replica: the namespace's UUID and NGUID.
    pub replica: Uuid,
    /// Its device; `None` with a mapper that makes no devices.
    pub device: Option<PathBuf>,
    /// Where the target listens.
    pub listen: SocketAddr,
    /// The hosts that may connect, in order and each once; none means any.
    pub allowed_hosts: Vec<Nqn>,
}

/// What a target has of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedReplica {
    /// The replica.
    pub replica: Uuid,
    /// The device that is served.
    pub device: Option<PathBuf>,
    /// Where the target listens for it; `None` when no host can reach it.
    pub listen: Option<SocketAddr>,
    /// The hosts that may connect, in order; none means any.
    pub allowed_hosts: Vec<String>,
    /// It is reached at one address and has all that hosts know it by: `false` for what somebody else or a process that was
    /// killed left otherwise.
    pub is_whole: bool,
    /// The target has the device open.
    pub is_open: bool,
}

impl ServedReplica {
    /// Is it just this that is served?
    pub fn is(&self, wanted: &SharedDevice) -> bool {
        let hosts = wanted.allowed_hosts.iter().map(Nqn::as_str);
        self.is_whole
            && self.replica == wanted.replica
            && self.device == wanted.device
            && self.listen == Some(wanted.listen)
            && self.allowed_hosts.iter().map(String::as_str).eq(hosts)
    }

    /// May every host connect now that could if this were served?
    pub(crate) fn admits_all_of(&self, wanted: &SharedDevice) -> bool {
        let mut hosts = wanted.allowed_hosts.iter();
        self.listen.is_some()
            && (self.allowed_hosts.is_empty()
                || !wanted.allowed_hosts.is_empty()
                    && hosts.all(|host| self.allowed_hosts.iter().any(|found| found == host.as_str())))
    }
}

/// A target that serves replicas to other hosts.
///
/// The library asks for one thing at a time of a pool's replicas, under the VG's lock, and persists what was asked for in the
/// replicas' tags; the target keeps nothing.  Calls may come from any thread, and of several pools at once.  No call waits
/// without a bound, but for I/O that was begun.
pub trait Share: Send + Sync {
    /// Refuses what [`Share::share`] would refuse for what the host is or the request says.  Changes nothing.
    ///
    /// # Errors
    /// [`Error::AddressNotLocal`], [`Error::AddressInUse`], [`Error::NoNvmeTarget`] and what else the target has to say.
    fn check(&self, wanted: &SharedDevice) -> Result<(), Error>;

    /// Serves a replica just so, whatever was served of it before: with other hosts or elsewhere, or half made by a process that
    /// was killed.
    ///
    /// No host meets a half-made subsystem.  A host that may not connect any more is cut off when this returns, and none of its
    /// writes is in flight.
    ///
    /// # Errors
    /// As [`Share::check`], and [`Error::ShareFailed`]; the replica is then not served at all, or as it was.
    fn share(&self, wanted: &SharedDevice) -> Result<(), Error>;

    /// Serves a replica no more, and has its device closed when this returns; success if it is not served.
    ///
    /// # Errors
    /// [`Error::ShareFailed`].
    fn unshare(&self, replica: Uuid) -> Result<(), Error>;

    /// Tells what is served, in one pass over all or of one replica alone.  Other subsystems of the target are not told.
    ///
    /// # Errors
    /// [`Error::ShareFailed`].  A host without a target serves nothing.
    fn served(&self, only: Option<Uuid>) -> Result<Vec<ServedReplica>, Error>;

    /// Tells where hosts reach the replicas, in one pass over all or of one alone: what lists show, so it should be cheap.
    ///
    /// # Errors
    /// As [`Share::served`].
    fn reached(&self, only: Option<Uuid>) -> Result<Vec<(Uuid, SocketAddr)>, Error> {
        let served = self.served(only)?.into_iter().filter(|found| found.is_whole);
        Ok(served
            .filter_map(|found| Some((found.replica, found.listen?)))
            .collect())
    }

    /// The device of a replica may have another size; hosts that are connected are told.  Success if it is not served.
    ///
    /// # Errors
    /// [`Error::ShareFailed`].
    fn resized(&self, replica: Uuid) -> Result<(), Error>;
}
