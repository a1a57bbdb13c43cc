//! Sharing a replica with other hosts, and ending that.
//!
//! The tags are written before the target serves a replica and after it does not any more: at any moment they ask for all that
//! is served, and a call that was cut is mended by making the target follow them.

use std::net::SocketAddr;

use lvm_dm::DeviceInfo;
use lvm_meta::Lv;
use uuid::Uuid;

use super::StoragePool;
use crate::apply::Step;
use crate::info::ReplicaInfo;
use crate::open_vg::{Change, OpenVg};
use crate::replica::ActiveDevices;
use crate::request::ShareReplica;
use crate::share::{self, SharedDevice, address};
use crate::tags::{self, LvTags, key};
use crate::{Error, Nqn, host, replica};

impl StoragePool {
    /// Shares an active replica over NVMe-oF, with these hosts and no others.  Persists that in its tags in one commit, and is
    /// served when this returns; a replica that is shared so already is success without a commit.
    ///
    /// Hosts that are added change nothing for the others; to shut one out, or to listen elsewhere, cuts all off, and those that
    /// may connect again.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`], [`Error::NotActive`]; [`Error::InvalidArgument`] for an address that nobody can connect to,
    /// [`Error::AddressNotLocal`], [`Error::AddressInUse`]; [`Error::Busy`] for a device that something else claims, when
    /// more hosts than now could connect;
    /// [`Error::NoNvmeTarget`], [`Error::NoConfigfs`], and [`Error::Unsupported`] on a system that shares nothing: nothing was
    /// changed then.  [`Error::ShareFailed`], with the tags and what is served as they were.
    pub fn share_replica(&self, uuid: Uuid, request: &ShareReplica) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        let share = inner
            .share
            .as_deref()
            .ok_or_else(|| Error::Unsupported("sharing replicas by this system".into()))?;
        let listen = request.listen.map(address::check).transpose()?;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        let lv = replica::find(&open, uuid)?;
        let device = open.kernel_device(inner, lv)?.filter(|device| device.live_table);
        let device = device.ok_or_else(|| Error::NotActive(uuid.to_string()))?;
        let before: Vec<String> = lv.tags().map(Into::into).collect();
        let after = shared_tags(&before, listen, request)?;
        let found = share.served(Some(uuid))?.into_iter().next();
        let asked = LvTags::read(after.iter().map(String::as_str));
        let wanted = share::wanted(inner, &open, lv, uuid, &asked, found.as_ref())?;
        let is_served = found.as_ref().is_some_and(|found| found.is(&wanted));
        if !is_served {
            if !found.is_some_and(|found| found.admits_all_of(&wanted)) {
                check_unclaimed(lv, &device, &wanted)?;
            }
            share.check(&wanted)?;
        }
        let name = lv.name().to_string();
        let set = |open: &mut OpenVg, tags: &[String], what: &str| {
            open.change(inner, &format!("{what} replica {uuid}"), |change| {
                set_tags(change, &name, tags)
            })
        };
        set(&mut open, &after, "share")?;
        if !is_served && let Err(error) = share.share(&wanted) {
            if let Err(error) = set(&mut open, &before, "take back the sharing of") {
                return Err(Error::AfterCommit(Box::new(error)));
            }
            share::follow(inner, &open);
            return Err(error);
        }
        told(self, &open, uuid, true)
    }

    /// Shares a replica no more: hosts that use it lose it.  Persists that in its tags in one commit; a replica that is not
    /// shared is success without one.  Where it was shared is kept for the next time.
    ///
    /// # Errors
    /// [`Error::ReplicaNotFound`], [`Error::ShareFailed`].
    pub fn unshare_replica(&self, uuid: Uuid) -> Result<ReplicaInfo, Error> {
        let inner = &*self.inner;
        let _lock = inner.lock_vg(self.name())?;
        let mut open = self.changeable()?;
        let lv = replica::find(&open, uuid)?;
        let name = lv.name().to_string();
        if let Some(share) = &inner.share
            && !share.served(Some(uuid))?.is_empty()
        {
            // It may be half taken down.
            share.unshare(uuid).inspect_err(|_| share::follow(inner, &open))?;
        }
        let before: Vec<String> = lv.tags().map(Into::into).collect();
        let after = match LvTags::read(lv.tags()) {
            tags if tags.shared || !tags.allowed_hosts.is_empty() => unshared_tags(&before)?,
            _ => before,
        };
        let changed = open.change(inner, &format!("unshare replica {uuid}"), |change| {
            set_tags(change, &name, &after)
        });
        if changed.is_err() {
            // What the tags on the disks say is served again.
            if open.refresh(inner).is_ok() {
                share::follow(inner, &open);
            }
        }
        changed?;
        let lv = replica::find(&open, uuid)?;
        let is_active = open
            .kernel_device(inner, lv)?
            .is_some_and(|device| device.live_table);
        told(self, &open, uuid, is_active)
    }
}

/// Plans that the hosts that reach a replica are told of its size.
pub(super) fn tell_size(change: &mut Change<'_>, replica: Uuid) -> Result<(), Error> {
    if replica::shared(replica::find(change.open(), replica)?).is_some() {
        change.step(Step::Resized { replica });
    }
    Ok(())
}

fn told(pool: &StoragePool, open: &OpenVg, uuid: Uuid, is_active: bool) -> Result<ReplicaInfo, Error> {
    let lv = replica::find(open, uuid)?;
    let devices = ActiveDevices::known(open, lv, is_active);
    Ok(replica::info(&pool.inner, open, lv, uuid, &devices))
}

fn set_tags(change: &mut Change<'_>, name: &str, after: &[String]) -> Result<(), Error> {
    let lv = change.open().vg.lv(name);
    if lv.is_some_and(|lv| !lv.tags().eq(after.iter().map(String::as_str))) {
        change.edit().set_lv_tags(name, after).map_err(Error::Meta)?;
        change.step(Step::Commit);
    }
    Ok(())
}

/// The tags of a replica, asking for what a request does.
fn shared_tags(
    before: &[String],
    listen: Option<SocketAddr>,
    request: &ShareReplica,
) -> Result<Vec<String>, Error> {
    let mut hosts: Vec<&str> = request.allowed_hosts.iter().map(Nqn::as_str).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut after = with(before, key::SHARE, &["nvmf"])?;
    let present = LvTags::read(before.iter().map(String::as_str));
    let mut allowed = present.allowed_hosts;
    allowed.sort_unstable();
    // Hosts that are allowed already may stand in one tag, in any order.
    if allowed != hosts {
        after = with(&after, key::ALLOWED_HOSTS, &hosts)?;
    }
    if let Some(listen) = listen {
        after = with(&after, key::LISTEN, &[&address::to_tag(listen)])?;
    }
    Ok(after)
}

/// The tags of a replica that is not to be shared.
fn unshared_tags(before: &[String]) -> Result<Vec<String>, Error> {
    with(&with(before, key::SHARE, &["off"])?, key::ALLOWED_HOSTS, &[])
}

fn with(tags: &[String], key: &str, values: &[&str]) -> Result<Vec<String>, Error> {
    let new = values.iter().map(|value| tags::property(key, value));
    let new = new.collect::<Result<Vec<_>, _>>()?;
    let replaced = tags::replace(tags.iter().map(String::as_str), key, new)?;
    Ok(replaced.iter().map(ToString::to_string).collect())
}

/// Refuses a device that something claims, such as a mount: the target claims none, so that two would write to it.
///
/// # Errors
/// [`Error::Busy`], [`Error::Host`].
fn check_unclaimed(lv: &Lv, device: &DeviceInfo, wanted: &SharedDevice) -> Result<(), Error> {
    let Some(path) = &wanted.device else {
        return Ok(());
    };
    match host::is_claimed(path).map_err(Error::Host)? {
        false => Ok(()),
        true => Err(Error::Busy {
            replica: lv.name().into(),
            device: device.name.to_string(),
            open_count: device.open_count,
        }),
    }
}
