//! Making replicas: one commit for any number of them.

use std::collections::HashSet;

use lvm_dm::UdevFlags;
use lvm_meta::{AllocPolicy, AllocRequest, LvId, LvName, LvStatus, NewLv, Tag, Vg};

use super::StoragePool;
use super::chosen_disks::ChosenDisks;
use crate::apply::{Step, zero_with};
use crate::info::ReplicaInfo;
use crate::open_vg::Change;
use crate::raid::First;
use crate::request::{CreateReplica, Zeroing};
use crate::{Error, Layout, RaidLevel, activate, identity, naming, replica, tags};

impl StoragePool {
    /// Makes a replica and activates it.  Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Exists`] for a UUID or a name that is taken, [`Error::NoSpace`], [`Error::InvalidArgument`] and
    /// [`Error::Name`] for what LVM would refuse, [`Error::Disk`] for a disk that is not the pool's; nothing is left of the
    /// replica then.
    pub fn create_replica(&self, request: &CreateReplica) -> Result<ReplicaInfo, Error> {
        self.create_replica_with(request, &mut |_| {})
    }

    /// As [`StoragePool::create_replica`], telling `progress` how many bytes are zeroed.
    ///
    /// # Errors
    /// As [`StoragePool::create_replica`].
    pub fn create_replica_with(
        &self,
        request: &CreateReplica,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ReplicaInfo, Error> {
        let (name, tags) = (request.lv_name()?, request.tags()?);
        request.check_place()?;
        if request.thin {
            self.create_thin(&[request], &mut |_| {})?;
            return self.changed(request.uuid);
        }
        // With devices of this process alone nobody else could tell that their creator lives.
        if request.zeroing == Zeroing::Full && !self.inner.has_own_devices() {
            return self.create_zeroed(request, name, tags, progress);
        }
        let description = format!("create replica {}", request.uuid);
        self.change_replica(&description, request.uuid, |change| {
            check_uuid_free(change.open(), &name)?;
            change.check_name_free(&request.display_name(), None)?;
            self.add(change, request, name, tags)?;
            let open = change.open();
            let lv = replica::find(open, request.uuid)?;
            let size = open
                .vg
                .extent_size()
                .to_bytes(lv.extent_count())
                .unwrap_or(u64::MAX);
            let mut steps = activate::create(&self.inner, open, lv, First::Yes)?;
            let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
            // What must not be read is zeroed before the LV exists for anybody: one commit does.  Until then udev
            // must not look into it.
            steps.extend(match request.zeroing.length(size) {
                0 => vec![
                    Step::Commit,
                    activate::resume(open, lv, UdevFlags::empty())?,
                    Step::Settle,
                ],
                length => {
                    let resume = activate::resume(open, lv, UdevFlags::NOSCAN)?;
                    vec![resume, Step::Settle, Step::Zero { uuid, length }, Step::Commit]
                }
            });
            steps.into_iter().for_each(|step| change.step(step));
            Ok(Some(true))
        })
    }

    /// Makes many replicas in one commit and activates them, with one wait for all their nodes.  Nothing is zeroed.
    ///
    /// # Errors
    /// As [`StoragePool::create_replica`], for any of them; none is made then.
    pub fn create_replicas(&self, requests: &[CreateReplica]) -> Result<Vec<ReplicaInfo>, Error> {
        self.create_replicas_with(requests, &mut |_| {})
    }

    /// As [`StoragePool::create_replicas`], telling `progress` how many are planned.
    ///
    /// # Errors
    /// As [`StoragePool::create_replica`].
    pub fn create_replicas_with(
        &self,
        requests: &[CreateReplica],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<ReplicaInfo>, Error> {
        requests.iter().try_for_each(CreateReplica::check_place)?;
        let thin: Vec<&CreateReplica> = requests.iter().filter(|request| request.thin).collect();
        match thin.len() {
            0 => self.create_thick(requests, progress)?,
            n if n == requests.len() => self.create_thin(&thin, progress)?,
            _ => {
                return Err(Error::InvalidArgument {
                    what: "replicas",
                    given: format!("{} thin of {}", thin.len(), requests.len()),
                    why: "thin and thick ones are made by two calls".into(),
                });
            }
        }
        let open = self.fresh()?;
        let devices = replica::ActiveDevices::list(&self.inner);
        replica::infos(
            &self.inner,
            &open,
            &devices,
            requests.iter().map(|request| request.uuid),
        )
    }

    /// Makes thick replicas in one commit and activates them.
    fn create_thick(&self, requests: &[CreateReplica], progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        self.change(&format!("create {} replicas", requests.len()), |change| {
            check_room(&change.open().vg, requests)?;
            let mut names: HashSet<String> = change
                .open()
                .vg
                .lvs()
                .filter_map(replica::display_name)
                .map(Into::into)
                .collect();
            for (done, request) in requests.iter().enumerate() {
                if !names.insert(request.display_name()) {
                    return Err(Error::Exists {
                        what: "replica name",
                        id: request.display_name(),
                    });
                }
                self.add(change, request, request.lv_name()?, request.tags()?)?;
                progress(done as u64 + 1);
            }
            let mut resumes = Vec::with_capacity(requests.len());
            for request in requests {
                let open = change.open();
                let lv = replica::find(open, request.uuid)?;
                let create = activate::create(&self.inner, open, lv, First::Yes)?;
                resumes.push(activate::resume(open, lv, UdevFlags::empty())?);
                create.into_iter().for_each(|step| change.step(step));
            }
            change.step(Step::Commit);
            resumes.into_iter().for_each(|step| change.step(step));
            change.step(Step::Settle);
            Ok(())
        })
    }

    /// Zeroing all of a large replica takes long: the LV exists meanwhile under a tag that says it is not ready, and
    /// the VG's lock is free.  A crash leaves that tag, and opening the pool undoes the LV.
    fn create_zeroed(
        &self,
        request: &CreateReplica,
        name: LvName,
        tags: Vec<Tag>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ReplicaInfo, Error> {
        let mut pending: Vec<Tag> = tags
            .iter()
            .filter(|tag| tag.as_str() != tags::OWNER)
            .cloned()
            .collect();
        pending.push(Tag::parse(tags::CREATING)?);
        let lv_name = name.to_string();
        let lock = self.inner.lock_vg(self.name())?;
        let description = format!("begin replica {lv_name}");
        let begun = self.changeable()?.change(&self.inner, &description, |change| {
            check_uuid_free(change.open(), &name)?;
            change.check_name_free(&request.display_name(), None)?;
            self.add(change, request, name, pending)?;
            let open = change.open();
            let lv = open
                .vg
                .lv(&lv_name)
                .ok_or_else(|| Error::ReplicaNotFound(lv_name.clone()))?;
            let size = open
                .vg
                .extent_size()
                .to_bytes(lv.extent_count())
                .unwrap_or(u64::MAX);
            let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
            let create = activate::create(&self.inner, open, lv, First::Yes)?;
            let resume = activate::resume(open, lv, UdevFlags::NOSCAN)?;
            create
                .into_iter()
                .chain([Step::Commit, resume, Step::Settle])
                .for_each(|step| change.step(step));
            Ok((size, uuid))
        });
        // Once it is open nobody takes it for one whose creator is no more; until then the lock sees to that.
        let opened = begun.and_then(|(size, uuid)| Ok((self.inner.open_device(&uuid)?, size, uuid)));
        drop(lock);
        let zeroed = opened.and_then(|(device, size, uuid)| zero_with(&*device, 0, size, &uuid, progress));
        let finished = zeroed.and_then(|()| {
            self.change(&format!("finish replica {lv_name}"), |change| {
                change.step(Step::Commit);
                change
                    .edit()
                    .set_lv_tags(&lv_name, &tags)
                    .map_err(Error::Meta)
                    .map(drop)
            })
        });
        if let Err(error) = finished {
            // The first error is the one to tell; what cannot be undone now, opening the pool undoes.
            return Err(match (self.undo_creation(&lv_name), error) {
                (Ok(()), Error::AfterCommit(undone)) => *undone,
                (_, error) => error,
            });
        }
        self.changed(request.uuid)
    }

    /// Adds the LV of a request to the VG being changed.
    fn add(
        &self,
        change: &mut Change<'_>,
        request: &CreateReplica,
        name: LvName,
        tags: Vec<Tag>,
    ) -> Result<(), Error> {
        let vg = &change.open().vg;
        naming::dm_name(vg.name(), name.as_str())?;
        if vg.lv(name.as_str()).is_some() {
            return Err(Error::Exists {
                what: "replica",
                id: name.to_string(),
            });
        }
        let id = self.lv_id(change, request)?;
        request.layout.check_stripe(vg.extent_size())?;
        let (creation_time, creation_host) = self.inner.creation();
        let mut new = NewLv {
            tags,
            creation: Some((creation_time, creation_host)),
            ..NewLv::new(name, id, Vec::new())
        };
        check_nosync(request)?;
        let disks = ChosenDisks::of(change.open(), &request.disks)?;
        if let Layout::Raid {
            level,
            count,
            stripe_size,
        } = request.layout
        {
            if request.nosync {
                new.status |= LvStatus::NOTSYNCED;
            }
            let vg = change.edit();
            let added =
                super::raid_replicas::add(vg, new, level, count, stripe_size, request.size, disks.filter());
            return added.map_err(|error| disks.tell(vg, error));
        }
        let (layout, extents) = super::resize_replica::extents(vg, request.layout, request.size)?;
        let plan = lvm_meta::allocate(
            vg,
            &AllocRequest {
                extents,
                layout,
                policy: AllocPolicy::Inherit,
                extend: None,
                pvs: disks.filter(),
                max_per_pv: None,
            },
        );
        new.segments = plan
            .map_err(|error| super::resize_replica::alloc_error(vg, request.size, error))
            .map_err(|error| disks.tell(vg, error))?;
        change.edit().add_lv(new).map_err(Error::Meta)
    }

    /// The LV id: the replica's UUID, unless another LV has it already.
    fn lv_id(&self, change: &Change<'_>, request: &CreateReplica) -> Result<LvId, Error> {
        let wanted = LvId::from_uuid_bytes(*request.uuid.as_bytes());
        match change.open().vg.lv_by_id(wanted) {
            None => Ok(wanted),
            Some(_) => Ok(LvId::from_random(identity::random()?)),
        }
    }
}

/// Refuses a replica that exists.
fn check_uuid_free(open: &crate::open_vg::OpenVg, name: &LvName) -> Result<(), Error> {
    match open.vg.lv(name.as_str()) {
        Some(_) => Err(Error::Exists {
            what: "replica",
            id: name.to_string(),
        }),
        None => Ok(()),
    }
}

/// Refuses what is larger in all than what is free: each replica takes its size at least.
fn check_room(vg: &Vg, requests: &[CreateReplica]) -> Result<(), Error> {
    let whole = |request: &CreateReplica| {
        let extents = vg.extent_size().extents_ceil(request.size);
        extents.and_then(|extents| vg.extent_size().to_bytes(extents))
    };
    let sizes: Option<Vec<u64>> = requests.iter().map(whole).collect();
    // What no replica can have is refused in its own words.
    let Some(sizes) = sizes else { return Ok(()) };
    let needed = sizes.into_iter().fold(0, u64::saturating_add);
    let free = vg.free_extents().saturating_mul(vg.extent_size().bytes());
    match needed > free {
        true => Err(super::no_space(
            vg,
            needed,
            format!(", for {} replicas", requests.len()),
        )),
        false => Ok(()),
    }
}

/// As LVM: only what has copies or one parity may be taken for in sync.
fn check_nosync(request: &CreateReplica) -> Result<(), Error> {
    use RaidLevel::{Raid0, Raid6};
    let takes = matches!(request.layout, Layout::Raid { level, .. } if !matches!(level, Raid0 | Raid6));
    match request.nosync && !takes {
        true => Err(Error::InvalidArgument {
            what: "nosync",
            given: request.layout.to_string(),
            why: "only levels 1, 4, 5 and 10 may be taken to be in sync".into(),
        }),
        false => Ok(()),
    }
}
