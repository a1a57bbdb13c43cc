//! Making the target follow what the tags say.

use lvm_meta::Lv;
use uuid::Uuid;

use super::{ServedReplica, Share, SharedDevice, address};
use crate::open_vg::OpenVg;
use crate::replica::{self, ActiveDevices};
use crate::system::Inner;
use crate::tags::LvTags;
use crate::{Error, Nqn};

/// What a target has of a replica whose device is to go.
pub(crate) struct Serving {
    /// What to serve again if the device stays after all.
    pub(crate) shared: SharedDevice,
    /// How often the target has the device open.
    pub(crate) opens: u32,
}

/// What the target has of an LV; `None` without a question for one that is not shared.
///
/// # Errors
/// As [`Share::served`].
pub(crate) fn serving(inner: &Inner, open: &OpenVg, lv: &Lv) -> Result<Option<Serving>, Error> {
    let (Some(share), Some((uuid, tags))) = (&inner.share, replica::shared(lv)) else {
        return Ok(None);
    };
    let Some(found) = share.served(Some(uuid))?.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(Serving {
        shared: wanted(inner, open, lv, uuid, &tags, Some(&found))?,
        opens: u32::from(found.is_open),
    }))
}

/// What the tags of an LV ask the target for.
///
/// Where nobody said where to listen, what is served stays where it is.
///
/// # Errors
/// [`Error::InvalidArgument`] for tags that others wrote: to leave a host out that cannot be read could let all in.
pub(crate) fn wanted(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    replica: Uuid,
    tags: &LvTags<'_>,
    found: Option<&ServedReplica>,
) -> Result<SharedDevice, Error> {
    let hosts = tags.allowed_hosts.iter().map(|host| Nqn::parse(host));
    let mut allowed_hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    allowed_hosts.sort_unstable();
    let is_at = found
        .and_then(|found| found.listen)
        .filter(|at| address::is_local(at.ip()));
    Ok(SharedDevice {
        replica,
        device: inner.nodes.path(open.vg.name(), lv.name()),
        listen: match tags.listen {
            Some(text) => address::from_tag(text)?,
            None => is_at.unwrap_or_else(address::default_listen),
        },
        allowed_hosts,
    })
}

/// What is to be done at the target for the replicas of one VG.
#[derive(Default)]
struct Behind {
    unshare: Vec<Uuid>,
    share: Vec<SharedDevice>,
    /// Those that are served as they are to be.
    right: Vec<Uuid>,
}

/// The replicas of the VG that are to be shared, and have devices.
fn asked<'a>(open: &'a OpenVg, devices: &ActiveDevices) -> impl Iterator<Item = (&'a Lv, Uuid, LvTags<'a>)> {
    open.vg
        .lvs()
        .filter(|lv| devices.has(open, lv))
        .filter_map(|lv| replica::shared(lv).map(|(uuid, tags)| (lv, uuid, tags)))
}

fn behind(inner: &Inner, open: &OpenVg, share: &dyn Share) -> Result<Behind, Error> {
    if !open.vg.lvs().any(|lv| replica::shared(lv).is_some()) {
        return Ok(Behind::default());
    }
    let served = share.served(None)?;
    let devices = ActiveDevices::ask(inner)?;
    let mut behind = Behind::default();
    for (lv, uuid, tags) in asked(open, &devices) {
        let found = served.iter().find(|found| found.replica == uuid);
        // What cannot be read of the tags the pool's health tells.
        let Ok(wanted) = wanted(inner, open, lv, uuid, &tags, found) else {
            behind.unshare.extend(found.map(|found| found.replica));
            continue;
        };
        match found.is_some_and(|found| found.is(&wanted)) {
            true => behind.right.push(uuid),
            false => behind.share.push(wanted),
        }
    }
    let is_not_to_be = |found: &&ServedReplica| {
        let lv = open.vg.lv(&found.replica.to_string());
        lv.is_some_and(|lv| replica::shared(lv).is_none())
    };
    let not_to_be = served.iter().filter(is_not_to_be);
    behind.unshare.extend(not_to_be.map(|found| found.replica));
    Ok(behind)
}

/// Does the target serve something else than the tags ask for?  Hosts are told of new sizes meanwhile: that looks like nothing.
pub(crate) fn is_behind(inner: &Inner, open: &OpenVg) -> bool {
    let Some(share) = &inner.share else {
        return false;
    };
    behind(inner, open, &**share).is_ok_and(|behind| {
        for uuid in behind.right {
            let _ = share.resized(uuid);
        }
        !behind.share.is_empty() || !behind.unshare.is_empty()
    })
}

/// Makes the target serve the VG's active replicas as the tags say, and none that they do not ask for.  The caller holds the
/// VG's lock.
///
/// What cannot be served is told with the pool's health: the other replicas are there all the same.
pub(crate) fn follow(inner: &Inner, open: &OpenVg) {
    let Some(share) = &inner.share else {
        return;
    };
    let Ok(behind) = behind(inner, open, &**share) else {
        return;
    };
    for uuid in behind.unshare {
        let _ = share.unshare(uuid);
    }
    for wanted in &behind.share {
        let _ = share.share(wanted);
    }
}

/// As [`follow`], for one replica that has a device.
pub(crate) fn follow_one(inner: &Inner, open: &OpenVg, lv: &Lv) {
    let (Some(share), Some((uuid, tags))) = (&inner.share, replica::shared(lv)) else {
        return;
    };
    let Ok(served) = share.served(Some(uuid)) else {
        return;
    };
    match wanted(inner, open, lv, uuid, &tags, served.first()) {
        Ok(wanted) if !served.iter().any(|found| found.is(&wanted)) => {
            let _ = share.share(&wanted);
        }
        _ => {}
    }
}

/// A line for each active replica that is not served as its tags say.
pub(crate) fn unserved(inner: &Inner, open: &OpenVg, devices: &ActiveDevices) -> Vec<String> {
    let Some(share) = &inner.share else {
        return Vec::new();
    };
    let mut asked = asked(open, devices).peekable();
    if asked.peek().is_none() {
        return Vec::new();
    }
    let served = share.served(None).unwrap_or_default();
    let mut lines = Vec::new();
    for (lv, uuid, tags) in asked {
        let found = served.iter().find(|found| found.replica == uuid);
        let why = match wanted(inner, open, lv, uuid, &tags, found) {
            Ok(wanted) if found.is_some_and(|found| found.is(&wanted)) => continue,
            Ok(wanted) => share.check(&wanted).err(),
            Err(error) => Some(error),
        };
        let why = why.map(|error| format!(": {error}")).unwrap_or_default();
        lines.push(format!("the replica {uuid} is not shared as it is to be{why}"));
    }
    lines
}
