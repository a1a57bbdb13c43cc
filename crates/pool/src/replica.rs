//! What a replica is: an LV of ours, named by a UUID, in a pool; and what it tells about itself.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use lvm_meta::detail::{Detail, Thin};
use lvm_meta::{Area, Lv, SegmentKind};
use uuid::Uuid;

use crate::cow::Member;
use crate::cow::fill::{Fill, fill};
use crate::info::{ArrayInfo, ReplicaInfo, State};
use crate::naming::Ids;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::raid::plan::layout_word;
use crate::system::Inner;
use crate::tags::{self, LvTags};
use crate::thin::usages::Usages;
use crate::thin::{self, PoolLv};
use crate::{Error, ReplicaUri, identity, naming, snapshot};

/// The UUID of the replica that an LV is; `None` for LVs that are none.
///
/// An LV with a UUID for a name but without the owner's tag is somebody else's, as is a snapshot.
pub(crate) fn replica_of(lv: &Lv) -> Option<Uuid> {
    replica_with_tags(lv).map(|(uuid, _)| uuid)
}

fn replica_with_tags(lv: &Lv) -> Option<(Uuid, LvTags<'_>)> {
    let uuid = identity::replica_uuid(lv.name()).filter(|_| lv.is_visible())?;
    let tags = LvTags::read(lv.tags());
    (tags.owned && tags.snapshot.is_none() && !tags.creating).then_some((uuid, tags))
}

/// The replica that an LV is, with its tags, if they ask for sharing.
pub(crate) fn shared(lv: &Lv) -> Option<(Uuid, LvTags<'_>)> {
    // Most are not, and reading all tags costs.
    if !lv.tags().any(|tag| tag == tags::SHARED) {
        return None;
    }
    replica_with_tags(lv).filter(|(_, tags)| tags.shared)
}

/// The LV of a replica.
///
/// # Errors
/// [`Error::ReplicaNotFound`].
pub(crate) fn find(open: &OpenVg, uuid: Uuid) -> Result<&Lv, Error> {
    named(open, uuid)
        .filter(|lv| replica_of(lv).is_some())
        .ok_or_else(|| Error::ReplicaNotFound(uuid.to_string()))
}

/// The LV that has a UUID for its name, whatever it is.
pub(crate) fn named(open: &OpenVg, uuid: Uuid) -> Option<&Lv> {
    // The name is as its creator spelled it; ours and io-engine's are lower case.
    open.vg.lv(&uuid.to_string()).or_else(|| {
        open.vg
            .lvs()
            .find(|lv| identity::replica_uuid(lv.name()) == Some(uuid))
    })
}

/// The display name of a replica, finished or not; `None` for LVs of others.
pub(crate) fn display_name(lv: &Lv) -> Option<&str> {
    let tags = LvTags::read(lv.tags());
    tags.name.filter(|_| tags.is_ours())
}

/// What is asked of the host about replicas, once for all that are told of: the LVs that have devices, and what is served.
#[derive(Default)]
pub(crate) struct ActiveDevices {
    lvs: HashSet<Ids>,
    /// The one replica that is told of.
    only: Option<Uuid>,
    /// Where the target listens for replicas; asked for with the first that is shared.
    served: OnceCell<HashMap<Uuid, SocketAddr>>,
}

impl ActiveDevices {
    /// Asks the mapper once for all devices; none if there is no device-mapper.
    pub(crate) fn list(inner: &Inner) -> Self {
        Self::ask(inner).unwrap_or_default()
    }

    /// Asks the mapper once for all devices.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(crate) fn ask(inner: &Inner) -> Result<Self, Error> {
        let mut lvs = HashSet::new();
        let mapper = &*inner.mapper;
        let listed =
            mapper.each_device(&mut |device| lvs.extend(device.uuid.and_then(naming::ids_of_device)));
        listed.map_err(Error::Dm)?;
        Ok(Self {
            lvs,
            ..Self::default()
        })
    }

    /// By what URI hosts reach a replica now.
    fn share_uri(&self, inner: &Inner, uuid: Uuid) -> Option<ReplicaUri> {
        let served = self.served.get_or_init(|| {
            let share = inner.share.as_ref();
            let reached = share.and_then(|share| share.reached(self.only).ok());
            reached.into_iter().flatten().collect()
        });
        served.get(&uuid).map(|listen| ReplicaUri::shared(uuid, *listen))
    }

    /// Has this LV a device?
    pub(crate) fn has(&self, open: &OpenVg, lv: &Lv) -> bool {
        self.lvs.contains(&naming::ids(&open.vg.id(), &lv.id()))
    }

    /// As [`ActiveDevices::list`], if the VG has snapshots, arrays or shared replicas, of which it is asked; else none without
    /// a question.
    pub(crate) fn list_if(inner: &Inner, open: &OpenVg) -> Self {
        let is_asked = |lv: &Lv| {
            snapshot::snapshot_of(lv).is_some() || Array::of(&open.vg, lv).is_some() || shared(lv).is_some()
        };
        match open.vg.lvs().any(is_asked) {
            true => Self::list(inner),
            false => Self::default(),
        }
    }

    /// Asks the mapper for the device of one LV.
    pub(crate) fn only(inner: &Inner, open: &OpenVg, lv: &Lv) -> Self {
        let device = open.kernel_device(inner, lv).ok().flatten();
        Self::known(open, lv, device.is_some_and(|device| device.live_table))
    }

    /// What is known of one LV without a question.
    pub(crate) fn known(open: &OpenVg, lv: &Lv, is_active: bool) -> Self {
        let ids = is_active.then(|| naming::ids(&open.vg.id(), &lv.id()));
        Self {
            lvs: ids.into_iter().collect(),
            only: identity::replica_uuid(lv.name()),
            ..Self::default()
        }
    }
}

/// Lists the replicas of an open VG.
pub(crate) fn list(inner: &Inner, open: &OpenVg, devices: &ActiveDevices) -> Vec<ReplicaInfo> {
    let view = View::new(inner, open, devices);
    let mut replicas = Vec::with_capacity(open.vg.lv_count());
    for lv in open.vg.lvs() {
        if let Some((uuid, tags)) = replica_with_tags(lv) {
            replicas.push(view.replica(lv, uuid, tags));
        }
    }
    replicas
}

/// The properties of several replicas.
///
/// # Errors
/// [`Error::ReplicaNotFound`].
pub(crate) fn infos(
    inner: &Inner,
    open: &OpenVg,
    devices: &ActiveDevices,
    uuids: impl Iterator<Item = Uuid>,
) -> Result<Vec<ReplicaInfo>, Error> {
    let view = View::new(inner, open, devices);
    let describe = |uuid| {
        let lv = find(open, uuid)?;
        Ok(view.replica(lv, uuid, LvTags::read(lv.tags())))
    };
    uuids.map(describe).collect()
}

/// The properties of a replica.
pub(crate) fn info(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    uuid: Uuid,
    devices: &ActiveDevices,
) -> ReplicaInfo {
    View::of_one(inner, open, devices, lv).replica(lv, uuid, LvTags::read(lv.tags()))
}

/// What is told of an open VG's LVs, and from where.
pub(crate) struct View<'a> {
    inner: &'a Inner,
    open: &'a OpenVg,
    devices: &'a ActiveDevices,
    pub(crate) pool_uuid: Uuid,
    usage: Usages<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn new(inner: &'a Inner, open: &'a OpenVg, devices: &'a ActiveDevices) -> Self {
        Self::with(inner, open, devices, Usages::all_devices(inner, open))
    }

    /// A view of one LV, of whose thin pool nothing is read that others need.
    pub(crate) fn of_one(inner: &'a Inner, open: &'a OpenVg, devices: &'a ActiveDevices, lv: &Lv) -> Self {
        Self::with(inner, open, devices, Usages::of_one(inner, open, lv))
    }

    fn with(inner: &'a Inner, open: &'a OpenVg, devices: &'a ActiveDevices, usage: Usages<'a>) -> Self {
        Self {
            inner,
            open,
            devices,
            pool_uuid: identity::pool_uuid(&open.vg.id()),
            usage,
        }
    }

    pub(crate) fn size(&self, lv: &Lv) -> u64 {
        let extent_size = self.open.vg.extent_size();
        extent_size.to_bytes(lv.extent_count()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_active(&self, lv: &Lv) -> bool {
        self.devices.has(self.open, lv)
    }

    /// Bytes that the LV takes: of a thin one what the kernel has mapped, of others the size.
    pub(crate) fn allocated(&self, lv: &Lv) -> u64 {
        match thin::thin(lv) {
            Some(thin) => self.usage.allocated(lv, &thin, self.is_active(lv)),
            None => self.size(lv),
        }
    }

    /// How full a snapshot's store is.
    pub(crate) fn fill(&self, member: &Member<'_>) -> Fill {
        fill(self.inner, self.open, member, self.is_active(member.store))
    }

    /// What is wrong with replicas: the worst state of those on arrays while disks are there, and a line for each replica.
    pub(crate) fn harmed(&self, disks_are_missing: bool) -> (State, Vec<String>) {
        let mut worst = State::Online;
        let mut lines = Vec::new();
        for lv in self.open.vg.lvs() {
            let Some(uuid) = replica_of(lv) else {
                continue;
            };
            let thin = thin::thin(lv);
            let is_array = match &thin {
                Some(thin) => self.usage.arrays_of(thin).is_some(),
                None => Array::of(&self.open.vg, lv).is_some(),
            };
            if !is_array && !disks_are_missing {
                continue;
            }
            let state = self.health(lv, thin.as_ref(), self.is_active(lv)).0;
            if is_array && state != State::Online {
                // Others are served whatever becomes of one replica.
                worst = State::Degraded;
            }
            if state != State::Online {
                let what = match state {
                    State::Degraded => "degraded",
                    _ => "lost: it lacks data",
                };
                lines.push(format!("the replica {uuid} is {what}"));
            }
        }
        (worst, lines)
    }

    /// Whether a replica is served, and the images on which it lies if these are of arrays.
    fn health(&self, lv: &Lv, thin: Option<&Thin>, active: bool) -> (State, Option<ArrayInfo>) {
        let Self { inner, open, .. } = self;
        let vg = &open.vg;
        let lies_on_all = |lv: &Lv| {
            let mut areas = lv.segments().iter().filter_map(|segment| match segment.kind() {
                SegmentKind::Striped(striped) => Some(striped.areas()),
                _ => None,
            });
            areas.all(|areas| {
                areas.iter().all(|area| match area {
                    Area::Pv { pv, .. } => open.device(*pv).is_some(),
                    _ => true,
                })
            })
        };
        let whole = match thin {
            None => lies_on_all(lv),
            Some(thin) => PoolLv::of(vg, thin)
                .and_then(|pool| pool.parts(vg))
                .is_ok_and(|parts| parts.into_iter().all(lies_on_all)),
        };
        let state = match thin {
            _ if !whole => State::Faulted,
            Some(thin) if active => self.usage.health(thin),
            _ => State::Online,
        };
        let array = match thin {
            Some(thin) => self.usage.arrays_of(thin).cloned(),
            None => Array::of(vg, lv).map(|array| array.health(inner, open, active)),
        };
        let (array_state, array) = array.unzip();
        (state.max(array_state.unwrap_or(State::Online)), array)
    }

    fn replica(&self, lv: &Lv, uuid: Uuid, tags: LvTags<'_>) -> ReplicaInfo {
        let Self { inner, open, .. } = self;
        let vg = &open.vg;
        let (size, active) = (self.size(lv), self.is_active(lv));
        let thin = thin::thin(lv);
        let (state, array) = self.health(lv, thin.as_ref(), active);
        ReplicaInfo {
            uuid,
            name: tags.name.unwrap_or_default().into(),
            pool: vg.name().into(),
            pool_uuid: self.pool_uuid,
            entity_id: tags.entity_id.map(Into::into),
            size,
            committed: size,
            allocated: thin
                .as_ref()
                .map_or(size, |thin| self.usage.allocated(lv, thin, active)),
            thin: thin.is_some(),
            thin_pool: thin.as_ref().map(|thin| thin.pool.to_string()),
            read_only: !lv.is_writable(),
            layout: layout(lv),
            active,
            device: active.then(|| inner.nodes.path(vg.name(), lv.name())).flatten(),
            snapshot_uuid: tags.snapshot_uuid.map(Into::into),
            shared: tags.shared,
            share_uri: match tags.shared {
                true => self.devices.share_uri(inner, uuid),
                false => None,
            },
            allowed_hosts: tags.allowed_hosts.into_iter().map(Into::into).collect(),
            copied_from: tags.copied_from.map(Into::into),
            tags: tags.others.into_iter().map(Into::into).collect(),
            array,
            state,
        }
    }
}

/// The layout in the words of [`Layout`](crate::Layout); for types we do not make, LVM's name of them.
pub(crate) fn layout(lv: &Lv) -> String {
    let mut segments = lv.segments().iter();
    let word = |segment: &lvm_meta::Segment| match segment.kind() {
        SegmentKind::Striped(striped) if striped.areas().len() == 1 => "linear".to_string(),
        SegmentKind::Striped(striped) => {
            format!(
                "striped:{}:{}K",
                striped.areas().len(),
                striped.stripe_size().get() / 2
            )
        }
        SegmentKind::Other(other) => match other.detail() {
            Ok(Some(Detail::Raid(raid))) => layout_word(&raid),
            _ => segment.type_name().to_string(),
        },
        _ => segment.type_name().to_string(),
    };
    let first = segments.next().map(word).unwrap_or_default();
    if segments.all(|segment| word(segment) == first) {
        first
    } else {
        "mixed".into()
    }
}
