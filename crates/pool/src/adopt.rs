//! Taking an LV over as a replica, in place and while it is used: what is refused, and what its name, tags and devices become.
//!
//! One commit marks the VG as a pool, gives the LV the replica's name and tags, and the images of an array theirs after it.
//! The devices, known by the LVs' ids, are renamed behind the commit.  A cut before it leaves the old names everywhere; one
//! after it leaves devices with names of LVs that are no more, which opening the pool mends, or a repeated call.

use std::fmt;

use lvm_dm::{DeviceId, DmName, UdevFlags};
use lvm_meta::{Lv, LvName, LvRole, SegmentKind, Tag, Vg};
use uuid::Uuid;

use crate::apply::{Link, Step};
use crate::cow::Group;
use crate::error::Refusal;
use crate::layer::HIDDEN;
use crate::open_vg::{Change, OpenVg};
use crate::raid::Array;
use crate::system::{Inner, is_destroying};
use crate::tags::{self, LvTags, key};
use crate::thin::PoolLv;
use crate::{Error, cached, naming, replica, storage_pool, thin};

/// What taking an LV over as a replica would do.
#[derive(Debug)]
#[non_exhaustive]
pub struct AdoptionPlan {
    /// The VG.
    pub vg: String,
    /// The LV's name.
    pub lv: String,
    /// What the replica is to be known by.
    pub uuid: Uuid,
    /// Bytes.
    pub size: u64,
    /// The layout in the words of [`Layout`](crate::Layout); for types that are not made here, LVM's name of them.
    pub layout: String,
    /// Has it a device?
    pub active: bool,
    /// Has somebody the device open?
    pub open: bool,
    /// What would be done, in this order; nothing for what is that replica already, and for what is refused.
    pub steps: Vec<AdoptionStep>,
    /// Why it cannot be taken over.
    pub refusal: Option<Error>,
}

/// One step of an adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptionStep {
    /// What the cache of the LV holds is written back, and the cache is removed.
    TakeCacheOff {
        /// The LV's name.
        lv: String,
        /// The name of the cache pool, or of the LV that is all of the cache.
        cache: String,
    },
    /// The VG becomes a pool.
    MarkPool {
        /// The VG.
        vg: String,
    },
    /// An LV gets another name.
    RenameLv {
        /// The name now.
        from: String,
        /// The name then.
        to: String,
    },
    /// The LV gets the tags of a replica.
    Tag {
        /// All of its tags then.
        tags: Vec<String>,
    },
    /// A mapped device gets another name.
    RenameDevice {
        /// Its device-mapper name now.
        from: String,
        /// Its device-mapper name then.
        to: String,
    },
}

impl fmt::Display for AdoptionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakeCacheOff { cache, .. } => write!(f, "write back and take off the cache {cache}"),
            Self::MarkPool { vg } => write!(f, "mark the volume group {vg} as a pool"),
            Self::RenameLv { from, to } => write!(f, "rename the logical volume {from} to {to}"),
            Self::Tag { tags } => write!(f, "tag it {}", tags.join(", ")),
            Self::RenameDevice { from, to } => write!(f, "rename the device {from} to {to}"),
        }
    }
}

/// The plan for an LV as it is.
///
/// # Errors
/// [`Error::LvNotFound`]; why it cannot be taken over is in the plan.
pub(crate) fn plan(inner: &Inner, open: &OpenVg, name: &str, uuid: Uuid) -> Result<AdoptionPlan, Error> {
    let lv = find(open, name, uuid)?;
    let device = open.kernel_device(inner, lv)?;
    let (steps, refusal) = match steps(inner, open, lv, uuid) {
        Ok(steps) => (steps, None),
        Err(refusal) => (Vec::new(), Some(refusal)),
    };
    let size = open.vg.extent_size().to_bytes(lv.extent_count());
    Ok(AdoptionPlan {
        vg: open.vg.name().into(),
        lv: lv.name().into(),
        uuid,
        size: size.unwrap_or(u64::MAX),
        layout: replica::layout(lv),
        active: device.is_some(),
        open: device.is_some_and(|device| device.open_count > 0),
        steps,
        refusal,
    })
}

/// The LV of a name, or the replica that it became.
pub(crate) fn find<'a>(open: &'a OpenVg, name: &str, uuid: Uuid) -> Result<&'a Lv, Error> {
    let adopted = || {
        let found = replica::find(open, uuid).ok();
        found.filter(|lv| replica::display_name(lv) == Some(name))
    };
    let found = open.vg.lv(name).or_else(adopted);
    found.ok_or_else(|| Error::LvNotFound(format!("{}/{name}", open.vg.name())))
}

/// What is to be done to make an LV the replica; the devices last.
///
/// # Errors
/// Why that cannot be.
fn steps(inner: &Inner, open: &OpenVg, lv: &Lv, uuid: Uuid) -> Result<Vec<AdoptionStep>, Error> {
    let mut steps = Vec::new();
    check(inner, open, lv, uuid)?;
    if !storage_pool::is_pool(open) {
        steps.push(AdoptionStep::MarkPool {
            vg: open.vg.name().into(),
        });
    }
    if replica::replica_of(lv).is_none() {
        let to = uuid.to_string();
        if lv.name() != to {
            let own = (lv.name().to_string(), to.clone());
            let parts = open.vg.renamed_parts(lv.name(), &to);
            let names = [own].into_iter().chain(parts);
            steps.extend(names.map(|(from, to)| AdoptionStep::RenameLv { from, to }));
            // What only the change itself finds, such as names that are taken.
            let mut copy = open.vg.clone();
            copy.rename_lv_with_parts(lv.name(), LvName::parse(&to)?)
                .map_err(Error::Meta)?;
        }
        let tags = replica_tags(lv)?.iter().map(ToString::to_string).collect();
        steps.push(AdoptionStep::Tag { tags });
    }
    let devices = renamed_devices(inner, open, lv, uuid)?;
    steps.extend(devices.into_iter().map(|(from, to)| AdoptionStep::RenameDevice {
        from: from.to_string(),
        to: to.to_string(),
    }));
    Ok(steps)
}

/// Refuses an LV that cannot be the replica.
fn check(inner: &Inner, open: &OpenVg, lv: &Lv, uuid: Uuid) -> Result<(), Error> {
    let vg = &open.vg;
    open.check_writable(inner)?;
    if is_destroying(open) {
        return Err(Error::PoolNotFound(vg.name().into()));
    }
    let exists = |what, id: String| Err(Error::Exists { what, id });
    match replica::replica_of(lv) {
        Some(own) if own == uuid => return Ok(()),
        Some(other) => return exists("replica", other.to_string()),
        None => {}
    }
    if replica::named(open, uuid).is_some_and(|taken| taken.id() != lv.id()) {
        return exists("replica", uuid.to_string());
    }
    if lv.is_locked() {
        return Err(Error::Meta(
            lvm_meta::ChangeError::LvLocked(lv.name().into()).into(),
        ));
    }
    if let Some(refusal) = lv.refusal() {
        return Err(Error::Refused {
            vg: vg.name().into(),
            why: Refusal::of_metadata(&refusal),
        });
    }
    let unsupported = |what: String| Err(Error::Unsupported(format!("adopting {:?}, {what},", lv.name())));
    let tags = LvTags::read(lv.tags());
    if tags.creating || tags.snapshot.is_some() {
        return unsupported("which is a snapshot, or not ready".into());
    }
    match Group::of(vg, lv) {
        Some(group) if group.origin.id() == lv.id() => return Err(group.refuse("adopted")),
        Some(_) => return unsupported("which is a snapshot".into()),
        None => {}
    }
    if vg.role(lv) != LvRole::Public || !vg.is_visible(lv) {
        return unsupported("which is a hidden part of others".into());
    }
    let is_plain = |segment: &lvm_meta::Segment| matches!(segment.kind(), SegmentKind::Striped(_));
    let has_data =
        Array::of(vg, lv).is_some() || thin::thin(lv).is_some() || lv.segments().iter().all(is_plain);
    if !has_data && cached::is_cached(lv) {
        let layout = replica::layout(lv);
        return unsupported(format!("which is of the type {layout} (--uncache takes it off)"));
    }
    if !has_data {
        return unsupported(format!("which is of the type {}", replica::layout(lv)));
    }
    if let Some(pool) = cached_pool(vg, lv) {
        let pool = format!("{}/{pool}", vg.name());
        return unsupported(format!(
            "whose thin pool {pool} has a cache (lvconvert --uncache {pool} takes it off)"
        ));
    }
    open.check_mappable(lv)?;
    let mut others = vg.lvs().filter(|other| other.id() != lv.id());
    match others.any(|other| replica::display_name(other) == Some(lv.name())) {
        true => exists("replica name", lv.name().into()),
        false => Ok(()),
    }
}

/// The thin pool of an LV if its data or metadata have a cache: the tools make its devices, and this crate does not.
fn cached_pool<'a>(vg: &'a Vg, lv: &Lv) -> Option<&'a str> {
    let pool = PoolLv::of(vg, &thin::thin(lv)?).ok()?;
    let parts = [&pool.detail.data, &pool.detail.metadata];
    let mut parts = parts.into_iter().filter_map(|part| vg.lv(part));
    parts.any(cached::is_cached).then(|| pool.lv.name())
}

/// The tags that make an LV a replica that is called as the LV was; those of others stay.
fn replica_tags(lv: &Lv) -> Result<Vec<Tag>, Error> {
    let now = LvTags::read(lv.tags());
    let mut before: Vec<&str> = lv.tags().collect();
    if !now.owned {
        before.push(tags::OWNER);
    }
    let name = tags::property(key::NAME, lv.name())?;
    let mut after = tags::replace(before.into_iter(), key::NAME, vec![name])?;
    if !lv.tags().any(|tag| tag.starts_with(key::SHARE)) {
        after.push(tags::property(key::SHARE, "off")?);
    }
    Ok(after)
}

/// What an LV is called as the replica; one that is it has its name.
fn name_of(lv: &Lv, uuid: Uuid) -> String {
    match replica::replica_of(lv) {
        Some(_) => lv.name().into(),
        None => uuid.to_string(),
    }
}

/// The devices of an LV and of its images that do not have the names of the replica yet, the LV's own last.
fn renamed_devices(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    uuid: Uuid,
) -> Result<Vec<(DmName, DmName)>, Error> {
    let to = name_of(lv, uuid);
    let parts = open.vg.renamed_parts(lv.name(), &to);
    let parts = parts
        .iter()
        .filter_map(|(part, to)| Some((open.vg.lv(part)?, &**to)));
    let mut renamed = Vec::new();
    for (lv, to) in parts.chain([(lv, &*to)]) {
        let to = naming::dm_name(open.vg.name(), to)?;
        let Some(device) = open.kernel_device(inner, lv)?.filter(|device| device.name != to) else {
            continue;
        };
        let taken = inner.mapper.info(DeviceId::Name(&to)).map_err(Error::Dm)?;
        if taken.is_some() {
            return Err(Error::Exists {
                what: "device",
                id: to.to_string(),
            });
        }
        renamed.push((device.name, to));
    }
    Ok(renamed)
}

/// Plans the change itself; without a commit where nothing but devices is left to be renamed.
pub(crate) fn carry_out(inner: &Inner, change: &mut Change<'_>, name: &str, uuid: Uuid) -> Result<(), Error> {
    let open = change.open();
    let (vg, lv) = (open.vg.name().to_string(), find(open, name, uuid)?);
    let wanted = steps(inner, open, lv, uuid)?;
    let (old, new) = (lv.name().to_string(), name_of(lv, uuid));
    let devices = renamed_devices(inner, open, lv, uuid)?;
    let mut has_changed = false;
    for step in wanted {
        match step {
            AdoptionStep::MarkPool { .. } => {
                let tags = change.open().vg.tags();
                let tags: Vec<String> = tags.iter().chain([tags::OWNER]).map(Into::into).collect();
                change.edit().set_tags(&tags).map_err(Error::Meta)?;
            }
            AdoptionStep::RenameLv { from, to } if from == old => {
                let to = LvName::parse(&to)?;
                change
                    .edit()
                    .rename_lv_with_parts(&from, to)
                    .map_err(Error::Meta)?;
            }
            AdoptionStep::Tag { tags } => {
                change.edit().set_lv_tags(&new, &tags).map_err(Error::Meta)?;
            }
            // Images follow their array, devices the commit; a cache went before.
            AdoptionStep::RenameLv { .. }
            | AdoptionStep::RenameDevice { .. }
            | AdoptionStep::TakeCacheOff { .. } => continue,
        }
        has_changed = true;
    }
    if has_changed {
        change.step(Step::Commit);
    }
    let own = naming::dm_name(&vg, &new)?;
    for (from, to) in devices {
        let step = match to == own {
            true => rename(&vg, &new, from, to),
            false => Step::Rename {
                from,
                to,
                flags: HIDDEN,
                links: None,
            },
        };
        change.step(step);
    }
    change.step(Step::Settle);
    Ok(())
}

/// The step that gives the device of an LV that users see its name, and takes its link along.
pub(crate) fn rename(vg: &str, lv: &str, from: DmName, to: DmName) -> Step {
    let link = |lv: String, device: &DmName| {
        Some(Link {
            vg: vg.into(),
            lv,
            device: device.clone(),
        })
    };
    let old = link(naming::lv_of_device(&from, vg), &from);
    let new = link(lv.into(), &to);
    Step::Rename {
        from,
        to,
        flags: UdevFlags::empty(),
        links: Some(Box::new([new, old])),
    }
}
