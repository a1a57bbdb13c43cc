//! Thin replicas, and the clones of snapshots, which are thin replicas too.

use std::collections::HashSet;

use lvm_meta::detail::{Detail, Thin};
use lvm_meta::{Extents, NewLv, Vg};

use super::StoragePool;
use super::thin_volumes::{NewThin, activate_new, activate_zeroed, pool_name};
use crate::apply::Step;
use crate::info::ReplicaInfo;
use crate::open_vg::Change;
use crate::request::{CreateClone, CreateReplica};
use crate::{Error, Layout, snapshot, thin};

impl StoragePool {
    /// Makes a clone of a snapshot: a writable thin replica that begins as the snapshot is, and activates it.  Durable
    /// when this returns.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`]; [`Error::NotThin`] for a classic snapshot; [`Error::Exists`] for a UUID or a name that is taken; [`Error::ThinPoolFull`],
    /// [`Error::ThinPoolState`]; nothing is left of the clone then.
    pub fn create_clone(&self, request: &CreateClone) -> Result<ReplicaInfo, Error> {
        let (name, tags) = (request.lv_name()?, request.tags()?);
        let lv_name = name.to_string();
        let made = self.add_thin(
            &format!("clone snapshot {} as {}", request.snapshot, request.uuid),
            |open| {
                let lv = snapshot::find(open, request.snapshot)?;
                match thin::thin(lv) {
                    Some(thin) => Ok((thin.pool.to_string(), None)),
                    None => Err(Error::NotThin {
                        replica: lv.name().into(),
                        why: "clones share the chunks of a thin pool",
                    }),
                }
            },
            |change| {
                change.check_name_free(&request.name, None)?;
                let source = snapshot::find(change.open(), request.snapshot)?;
                Ok(vec![NewThin {
                    extents: source.extent_count(),
                    origin: Some(source.name().into()),
                    lv: NewLv {
                        tags: tags.clone(),
                        ..self.new_replica_lv(change, name.clone(), request.uuid)?
                    },
                }])
            },
            |change| {
                activate_new(&self.inner, change, &lv_name)?;
                change.step(Step::Settle);
                Ok(())
            },
        );
        made?;
        self.changed(request.uuid)
    }

    /// Makes thin replicas in one transaction and activates them.
    pub(super) fn create_thin(
        &self,
        requests: &[&CreateReplica],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        if let Some(request) = requests.iter().find(|request| request.layout != Layout::Linear) {
            return Err(Error::InvalidArgument {
                what: "layout",
                given: request.layout.to_string(),
                why: "a thin replica lies as its thin pool does".into(),
            });
        }
        let wanted_pool = requests.first().and_then(|request| request.thin_pool.as_deref());
        if let Some(other) = requests
            .iter()
            .find(|request| request.thin_pool.as_deref() != wanted_pool)
        {
            return Err(Error::InvalidArgument {
                what: "thin pool",
                given: other.thin_pool.clone().unwrap_or_default(),
                why: "replicas of several thin pools are made by several calls".into(),
            });
        }
        let description = match requests {
            [one] => format!("create thin replica {}", one.uuid),
            many => format!("create {} thin replicas", many.len()),
        };
        let made = self.add_thin(
            &description,
            |open| Ok((pool_name(open, wanted_pool)?, None)),
            |change| {
                let mut new = Vec::with_capacity(requests.len());
                let mut names = HashSet::new();
                for (done, request) in requests.iter().enumerate() {
                    let name = request.display_name();
                    change.check_name_free(&name, None)?;
                    if !names.insert(name) {
                        return Err(Error::Exists {
                            what: "replica name",
                            id: request.display_name(),
                        });
                    }
                    new.push(NewThin {
                        extents: extents(&change.open().vg, request.size)?,
                        origin: None,
                        lv: NewLv {
                            tags: request.tags()?,
                            ..self.new_replica_lv(change, request.lv_name()?, request.uuid)?
                        },
                    });
                    progress(done as u64 + 1);
                }
                Ok(new)
            },
            |change| {
                for request in requests {
                    let name = request.lv_name()?.to_string();
                    let length = request.zeroing.length(request.size);
                    activate_zeroed(&self.inner, change, &name, length)?;
                }
                change.step(Step::Settle);
                Ok(())
            },
        );
        made.map(drop)
    }

    /// A new LV for a replica, whose id is its UUID unless another LV has it already.
    fn new_replica_lv(
        &self,
        change: &Change<'_>,
        name: lvm_meta::LvName,
        uuid: uuid::Uuid,
    ) -> Result<NewLv, Error> {
        let new = self.new_lv(name)?;
        let wanted = lvm_meta::LvId::from_uuid_bytes(*uuid.as_bytes());
        match change.open().vg.lv_by_id(wanted) {
            None => Ok(NewLv { id: wanted, ..new }),
            Some(_) => Ok(new),
        }
    }
}

/// The extents that hold `size` bytes of a thin replica.
pub(super) fn extents(vg: &Vg, size: u64) -> Result<Extents, Error> {
    super::resize_replica::extents(vg, Layout::Linear, size).map(|(_, extents)| extents)
}

/// Gives a thin LV another size in the metadata; the kernel keeps none.
pub(super) fn set_size(change: &mut Change<'_>, name: &str, thin: Thin, to: Extents) -> Result<(), Error> {
    change
        .edit()
        .set_detail(name, to, &Detail::Thin(thin))
        .map_err(Error::Meta)
}
