//! Classic copy-on-write snapshots of thick replicas.
//!
//! A snapshot comes to be in one commit.  It goes in two: the first makes its store an LV by itself, which keeps the extents
//! from others until no device is on them any more, and is undone by anybody who finds it; the second removes that.

use lvm_meta::detail::{Detail, Snapshot};
use lvm_meta::{AllocPolicy, AllocRequest, LvName, LvStatus, NewLv, PvFilter, Tag};
use uuid::Uuid;

use super::StoragePool;
use super::resize_replica::alloc_error;
use super::snapshots::TakenSnapshot;
use crate::apply::Step;
use crate::cow::{self, Group, sizes};
use crate::info::SnapshotInfo;
use crate::open_vg::{Change, OpenVg};
use crate::request::CreateSnapshot;
use crate::{Error, activate, replica, snapshot, tags, thin};

impl StoragePool {
    /// Takes a classic snapshot.
    pub(super) fn create_cow(&self, request: &CreateSnapshot, size: u64) -> Result<TakenSnapshot, Error> {
        let (name, tags) = (request.lv_name()?, request.tags()?);
        let description = format!("snapshot {} of replica {}", request.uuid, request.source);
        let lock = self.inner.lock_vg(self.name())?;
        let plan = |change: &mut Change<'_>| self.plan_cow(change, request.source, size, name, tags);
        let ((), stall) = self.changeable()?.change_timed(&self.inner, &description, plan)?;
        drop(lock);
        let info = self.snapshot(request.uuid)?;
        Ok(TakenSnapshot { info, stall })
    }

    fn plan_cow(
        &self,
        change: &mut Change<'_>,
        source: Uuid,
        size: u64,
        name: LvName,
        tags: Vec<Tag>,
    ) -> Result<(), Error> {
        let open = change.open();
        let vg = &open.vg;
        let lv = replica::find(open, source)?;
        if thin::thin(lv).is_some() {
            return Err(Error::InvalidArgument {
                what: "snapshot size",
                given: size.to_string(),
                why: "a snapshot of a thin replica takes its space from the thin pool".into(),
            });
        }
        if vg.lv(name.as_str()).is_some() {
            return Err(Error::Exists {
                what: "snapshot",
                id: name.to_string(),
            });
        }
        cow::check_target(&self.inner)?;
        open.check_mappable(lv)?;
        if lv.is_locked() {
            // As LVM: the store would be of the origin at two places.
            let locked = lvm_meta::ChangeError::LvLocked(lv.name().into());
            return Err(Error::Meta(locked.into()));
        }
        let is_active = open.kernel_device(&self.inner, lv)?.is_some();
        let (origin, length) = (lv.name().to_string(), lv.extent_count());
        let segments = allocate(open, sizes::store_extents(vg, length, size)?, None)?;
        let link = cow::next_link_name(vg)?;
        let detail = Detail::Snapshot(Snapshot {
            chunk_size: sizes::CHUNK,
            origin: origin.as_str().into(),
            store: name.as_str().into(),
            is_merging: false,
        });
        let (store, store_name) = (self.new_lv(name.clone())?, name.to_string());
        let store = NewLv {
            segments,
            status: LvStatus::READ,
            tags,
            ..store
        };
        change.edit().add_lv(store).map_err(Error::Meta)?;
        let link = self.new_lv(link)?;
        change
            .edit()
            .add_detailed(link, length, "snapshot", &detail)
            .map_err(Error::Meta)?;
        let open = change.open();
        let gone = || Error::SnapshotNotFound(store_name.clone());
        let store = open.vg.lv(&store_name).ok_or_else(gone)?;
        let group = Group::of(&open.vg, store).ok_or_else(gone)?;
        let member = group.member(&store_name).ok_or_else(gone)?;
        // The kernel takes what begins with zeroes for new, and anything else for its own.
        let mut steps: Vec<Step> = activate::zero_new(open, store, sizes::HEADER)?.into();
        steps.extend(match is_active {
            true => group.take(&self.inner, open, member)?,
            false => vec![Step::Commit],
        });
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    }

    /// Removes a classic snapshot.  The caller holds the VG's lock.
    pub(super) fn remove_cow(&self, open: &mut OpenVg, name: &str, description: &str) -> Result<(), Error> {
        let inner = &*self.inner;
        let is_left = open.change(inner, description, |change| {
            change.despite_missing(|change| self.plan_release(change, name))
        })?;
        if !is_left {
            return Ok(());
        }
        let removed = open.change(inner, description, |change| {
            change.repair(|vg| vg.remove_lv(name).map(drop))?;
            change.step(Step::Commit);
            Ok(())
        });
        removed.map_err(Error::after_the_change)
    }

    /// Takes a snapshot off its origin; true if its store is left, as an LV that is to go.
    fn plan_release(&self, change: &mut Change<'_>, name: &str) -> Result<bool, Error> {
        let open = change.open();
        let gone = || Error::SnapshotNotFound(name.into());
        let store = open.vg.lv(name).ok_or_else(gone)?;
        let group = Group::of(&open.vg, store).ok_or_else(gone)?;
        let member = group.member(name).ok_or_else(gone)?;
        let is_active = open.kernel_device(&self.inner, group.origin)?.is_some();
        let steps = match is_active {
            true => group.release(&self.inner, open, member)?,
            false => {
                group.check(open)?;
                vec![Step::Commit]
            }
        };
        let link = member.link.name().to_string();
        let mut marked: Vec<String> = store.tags().map(Into::into).collect();
        marked.push(tags::CREATING.into());
        let (status, flags) = (LvStatus::USER, store.flags());
        change.edit().remove_lv(&link).map_err(Error::Meta)?;
        if is_active {
            change.edit().set_lv_tags(name, &marked).map_err(Error::Meta)?;
            change
                .edit()
                .set_lv_status(name, status, flags)
                .map_err(Error::Meta)?;
        } else {
            change.edit().remove_lv(name).map_err(Error::Meta)?;
        }
        steps.into_iter().for_each(|step| change.step(step));
        Ok(is_active)
    }

    /// Makes the store of a classic snapshot `size` bytes large, rounded up to whole extents and cut to what can ever be used,
    /// under I/O if it is active.  Durable when this returns; the size that it has already is success without a commit.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for less than it has, and for a thin snapshot; [`Error::SnapshotLost`];
    /// [`Error::NoSpace`], [`Error::SnapshotNotFound`].
    pub fn extend_snapshot(&self, uuid: Uuid, size: u64) -> Result<SnapshotInfo, Error> {
        let description = format!("extend snapshot {uuid} to {size} bytes");
        self.change(&description, |change| {
            let open = change.open();
            let refuse = |why: &str| {
                Err(Error::InvalidArgument {
                    what: "snapshot size",
                    given: size.to_string(),
                    why: why.into(),
                })
            };
            let store = snapshot::find(open, uuid)?;
            let (name, now) = (store.name().to_string(), store.extent_count());
            let group = Group::of(&open.vg, store).filter(|_| thin::thin(store).is_none());
            let Some(group) = group else {
                return refuse("the snapshot has no store of its own");
            };
            group.check(open)?;
            let wanted = sizes::store_extents(&open.vg, group.origin.extent_count(), size)?;
            if wanted < now {
                return refuse("a snapshot's store cannot become smaller");
            }
            let Some(more) = wanted.checked_sub(now).filter(|more| more.get() > 0) else {
                return Ok(());
            };
            let member = group.member(&name);
            let is_active = open.kernel_device(&self.inner, store)?.is_some();
            let is_lost = |member| cow::fill::fill(&self.inner, open, member, is_active).is_lost;
            if member.is_none_or(is_lost) {
                return Err(Error::SnapshotLost(name));
            }
            let segments = allocate(open, more, Some(&name))?;
            change.edit().extend_lv(&name, segments).map_err(Error::Meta)?;
            let open = change.open();
            let store = snapshot::find(open, uuid)?;
            let group = Group::of(&open.vg, store);
            let member = group.as_ref().and_then(|group| group.member(&name));
            let steps = match member {
                Some(member) => member.grow(&self.inner, open)?,
                None => vec![Step::Commit],
            };
            steps.into_iter().for_each(|step| change.step(step));
            Ok(())
        })?;
        self.snapshot(uuid)
    }
}

/// Room for a store, or for more of one.
fn allocate(
    open: &OpenVg,
    extents: lvm_meta::Extents,
    extend: Option<&str>,
) -> Result<Vec<lvm_meta::SegmentPlan>, Error> {
    let request = AllocRequest {
        extents,
        layout: lvm_meta::Layout::Linear,
        policy: AllocPolicy::Inherit,
        extend,
        pvs: PvFilter::All,
        max_per_pv: None,
    };
    let needed = open.vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX);
    lvm_meta::allocate(&open.vg, &request).map_err(|error| alloc_error(&open.vg, needed, error))
}
