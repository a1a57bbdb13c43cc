//! The steps that map an LV, unmap it, and change its table.

use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::{DeviceId, DeviceInfo, NodeMode, ReadAhead, SuspendFlags, UdevFlags};
use lvm_meta::{Lv, LvStatus, Segment, SegmentKind};

use crate::apply::Step;
use crate::cow::Group;
use crate::error::Refusal;
use crate::layer::HIDDEN;
use crate::open_vg::OpenVg;
use crate::raid::{Array, Degraded, First};
use crate::system::Inner;
use crate::thin::{PoolLv, protocol, stack};
use crate::{Error, evacuate, naming, share, thin};

/// Makes the devices below an LV that other LVs share: the pool of a thin one, and the mirror of one that is being moved.  The caller holds the VG's lock.
///
/// # Errors
/// As [`stack::ensure_active`]; [`Error::ThinPoolMismatch`] for a thin LV whose pool is of another moment in the kernel:
/// its number may be another volume's there.
pub(crate) fn prepare(inner: &Inner, open: &OpenVg, lv: &Lv, degraded: Degraded) -> Result<(), Error> {
    let array = Array::of(&open.vg, lv);
    if lv.is_locked() || array.is_some_and(|array| array.is_moved()) {
        evacuate::mend::ensure_active(inner, open)?;
    }
    match thin::thin(lv) {
        Some(thin) => {
            let pool = PoolLv::of(&open.vg, &thin)?;
            stack::ensure_active(inner, open, &pool, degraded)?;
            protocol::check_moment(inner, open, &pool)
        }
        None => Ok(()),
    }
}

/// The steps that make an LV's device; the nodes need a [`Step::Settle`] after them.
///
/// The snapshots of an origin come with it.  `degraded` tells whether an array may come without those of its images whose
/// disks are missing.
pub(crate) fn activate(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    degraded: Degraded,
) -> Result<Vec<Step>, Error> {
    if let Some(group) = Group::of(&open.vg, lv) {
        check_allowed(inner, open, lv)?;
        return group.activate(inner, open, degraded);
    }
    let mut steps = create_as(inner, open, lv, First::No, degraded)?;
    steps.push(resume(open, lv, UdevFlags::empty())?);
    Ok(steps)
}

/// Makes the device and loads its table, after those of its images.
pub(crate) fn create(inner: &Inner, open: &OpenVg, lv: &Lv, first: First) -> Result<Vec<Step>, Error> {
    create_as(inner, open, lv, first, Degraded::Refuse)
}

fn create_as(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    first: First,
    degraded: Degraded,
) -> Result<Vec<Step>, Error> {
    check_allowed(inner, open, lv)?;
    if let Some(array) = Array::of(&open.vg, lv) {
        return array.create(inner, open, first, degraded);
    }
    Ok(vec![Step::Create {
        name: naming::dm_name(open.vg.name(), lv.name())?,
        uuid: naming::dm_uuid(&open.vg.id(), &lv.id()),
        table: open.table(inner, lv)?,
        read_only: !open.is_writable(lv),
        minor: fixed_minor(lv),
    }])
}

/// Refuses an LV that metadata or host do not let us map.
pub(crate) fn check_allowed(inner: &Inner, open: &OpenVg, lv: &Lv) -> Result<(), Error> {
    let refuse = |why| {
        Err(Error::Refused {
            vg: open.vg.name().into(),
            why,
        })
    };
    if let Some(refusal) = lv.refusal() {
        return refuse(Refusal::of_metadata(&refusal));
    }
    let (vg_tags, lv_tags): (Vec<&str>, Vec<&str>) = (open.vg.tags().iter().collect(), lv.tags().collect());
    if !inner
        .config
        .may_activate(open.vg.name(), lv.name(), &vg_tags, &lv_tags)
    {
        return refuse(Refusal::NotActivated(lv.name().into()));
    }
    open.check_node_free(inner, lv.name())?;
    check_minor(inner, open, lv)
}

/// The minor number that an LV's device is to have, where its metadata say so.
pub(crate) fn fixed_minor(lv: &Lv) -> Option<u32> {
    let is_fixed = lv.status().contains(LvStatus::FIXED_MINOR);
    is_fixed.then(|| lv.device_numbers().1).flatten()
}

/// Refuses an LV whose minor number another device has.
fn check_minor(inner: &Inner, open: &OpenVg, lv: &Lv) -> Result<(), Error> {
    let Some(minor) = fixed_minor(lv) else {
        return Ok(());
    };
    let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
    let devices = inner.mapper.list().map_err(Error::Dm)?;
    let other = devices
        .iter()
        .find(|device| device.number.minor == minor && device.uuid.as_ref() != Some(&uuid));
    match other {
        Some(other) => Err(Error::MinorTaken {
            lv: lv.name().into(),
            minor,
            device: other.name.to_string(),
        }),
        None => Ok(()),
    }
}

/// How far an LV's device is to read ahead, as LVM sets it: what the metadata say, else twice a whole stripe, else as far as
/// what it lies on; `None` for what lies on no PV itself.
fn read_ahead(lv: &Lv) -> Option<ReadAhead> {
    match lv.read_ahead() {
        Some(-1) => return Some(ReadAhead::Exactly(0)),
        Some(sectors) if sectors > 0 => return u32::try_from(sectors).ok().map(ReadAhead::Exactly),
        _ => {}
    }
    let stripe = |segment: &Segment| match segment.kind() {
        SegmentKind::Striped(striped) if striped.stripe_count() > 1 => {
            let size = striped.stripe_size().get();
            Some(size.saturating_mul(u64::from(striped.stripe_count())))
        }
        SegmentKind::Striped(_) => Some(0),
        _ => None,
    };
    let longest = lv.segments().iter().filter_map(stripe).max()?;
    match u32::try_from(longest.saturating_mul(2)) {
        Ok(0) => Some(ReadAhead::AsBelow),
        Ok(sectors) => Some(ReadAhead::AtLeast(sectors)),
        Err(_) => None,
    }
}

/// The steps that zero the beginning of a new LV before any text names it, by a device that is gone afterwards.
pub(crate) fn zero_new(open: &OpenVg, lv: &Lv, length: u64) -> Result<[Step; 6], Error> {
    let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
    let create = Step::Create {
        name: naming::dm_name(open.vg.name(), lv.name())?,
        uuid: uuid.clone(),
        table: open.table_of_part(lv)?,
        read_only: false,
        minor: None,
    };
    let resume = Step::Resume {
        uuid: uuid.clone(),
        flags: HIDDEN,
        link: None,
        read_ahead: None,
    };
    let remove = Step::Remove {
        uuid: uuid.clone(),
        flags: HIDDEN,
        link: None,
    };
    let zero = Step::Zero { uuid, length };
    Ok([create, resume, Step::Settle, zero, remove, Step::Settle])
}

/// Maps what is staged and lets I/O go.
pub(crate) fn resume(open: &OpenVg, lv: &Lv, flags: UdevFlags) -> Result<Step, Error> {
    let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
    Ok(Step::Resume {
        uuid,
        flags,
        link: Some(open.link(lv)?),
        read_ahead: read_ahead(lv),
    })
}

/// Stages the LV's present table and stops I/O; what comes next is the commit and [`resume`].
///
/// The file system is not frozen, as LVM does for a resize.
pub(crate) fn reload(inner: &Inner, open: &OpenVg, lv: &Lv) -> Result<[Step; 2], Error> {
    let uuid = naming::dm_uuid(&open.vg.id(), &lv.id());
    let load = Step::Load {
        uuid: uuid.clone(),
        table: open.table(inner, lv)?,
        read_only: !open.is_writable(lv),
    };
    Ok([
        load,
        Step::Suspend {
            uuid,
            // As LVM: what a thin LV's writers wait for must not keep it from being resized.
            flags: match thin::thin(lv) {
                Some(_) => SuspendFlags::SKIP_LOCKFS | SuspendFlags::NOFLUSH,
                None => SuspendFlags::SKIP_LOCKFS,
            },
        },
    ])
}

/// Takes the device away, and those of its images; refused while somebody has it open.
///
/// # Errors
/// [`Error::Busy`]; [`Error::Unsupported`] for what this crate does not map.
pub(crate) fn deactivate(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    device: &DeviceInfo,
) -> Result<Vec<Step>, Error> {
    let mut steps = unshare(inner, open, lv, device)?;
    open.check_mappable(lv)?;
    steps.push(Step::Remove {
        uuid: naming::dm_uuid(&open.vg.id(), &lv.id()),
        flags: UdevFlags::empty(),
        link: Some(open.link(lv)?),
    });
    if let Some(array) = Array::of(&open.vg, lv) {
        steps.extend(array.remove_parts(inner)?);
    }
    Ok(steps)
}

/// As [`deactivate`]; the snapshots of an origin go with it.  No steps for what has no device.
pub(crate) fn deactivate_with_snapshots(inner: &Inner, open: &OpenVg, lv: &Lv) -> Result<Vec<Step>, Error> {
    if let Some(group) = Group::of(&open.vg, lv) {
        return group.deactivate(inner, open);
    }
    match open.kernel_device(inner, lv)? {
        Some(device) => deactivate(inner, open, lv, &device),
        None => Ok(Vec::new()),
    }
}

/// The step by which other hosts lose a device that is to go, if they reach it; refused while somebody else has it open.
///
/// # Errors
/// [`Error::Busy`], and as [`share::serving`].
pub(crate) fn unshare(
    inner: &Inner,
    open: &OpenVg,
    lv: &Lv,
    device: &DeviceInfo,
) -> Result<Vec<Step>, Error> {
    let serving = share::serving(inner, open, lv)?;
    check_opens(
        inner,
        lv,
        device,
        serving.as_ref().map_or(0, |serving| serving.opens),
    )?;
    let step = serving.map(|serving| Step::Unshare {
        shared: Box::new(serving.shared),
    });
    Ok(step.into_iter().collect())
}

/// Refuses a device that somebody has open.
///
/// # Errors
/// [`Error::Busy`].
pub(crate) fn check_unused(inner: &Inner, lv: &Lv, device: &DeviceInfo) -> Result<(), Error> {
    check_opens(inner, lv, device, 0)
}

/// As [`check_unused`], for a device that is open so often by our doing.
fn check_opens(inner: &Inner, lv: &Lv, device: &DeviceInfo, ours: u32) -> Result<(), Error> {
    let device = &once_unused(inner, device, ours)?;
    if device.open_count <= ours {
        return Ok(());
    }
    Err(Error::Busy {
        replica: lv.name().into(),
        device: device.name.to_string(),
        open_count: device.open_count,
    })
}

/// Longest wait for udevd to close a device that it looks into: as long as LVM tries again.
const UDEV_LOOKS: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The device as soon as nobody else has it open, or after a bounded time: where udevd runs, it opens devices for moments.
pub(crate) fn once_unused(inner: &Inner, device: &DeviceInfo, ours: u32) -> Result<DeviceInfo, Error> {
    match inner.mapper.node_mode() {
        NodeMode::Udev => once_closed(inner, device, ours, UDEV_LOOKS.min(inner.timeout)),
        _ => Ok(device.clone()),
    }
}

/// The device as soon as nobody else has it open, or after `limit`.
pub(crate) fn once_closed(
    inner: &Inner,
    device: &DeviceInfo,
    ours: u32,
    limit: Duration,
) -> Result<DeviceInfo, Error> {
    let mut device = device.clone();
    let end = Instant::now() + limit;
    while device.open_count > ours && Instant::now() < end {
        thread::sleep(PAUSE);
        let now = inner
            .mapper
            .info(DeviceId::Number(device.number))
            .map_err(Error::Dm)?;
        device = now.filter(|now| now.uuid == device.uuid).unwrap_or(device);
    }
    Ok(device)
}
