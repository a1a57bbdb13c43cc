//! What opening a pool does about a change that was cut: finish it or undo it.
//!
//! The metadata on disk is whole, old or new: the commit saw to that.  What a cut change leaves is in the kernel
//! (devices suspended, staged, or made for an LV that was never committed), metadata areas that still commit to the
//! old text beside those with the new one, labels that do not yet say that their PV is the VG's, nodes that are missing
//! or of devices that are gone and, for long work, LVs with the tag that says they are not ready.  Devices are found by the VG's id in
//! their uuids; all of it is judged under the VG's lock, so that a change of another process that is still under way is
//! not taken for a cut one.
//!
//! What other hosts are to reach, the tags say: the target that serves it is made to follow.
//!
//! Devices of an embedded mapper die with their process, and whether another process still works on an LV shows in none
//! of them: with such a mapper only the disks are mended.

use lvm_dm::{DeviceEntry, DeviceId, DeviceInfo, DmName, DmUuid, UdevFlags};
use lvm_meta::Lv;

use crate::apply::{Link, Step};
use crate::cow::{self, Group};
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::system::Inner;
use crate::tags::LvTags;
use crate::thin::PoolLv;
use crate::{Error, StoragePool, activate, adopt, cached, evacuate, misnamed, naming, raid, share, thin};

/// A device that a cut change left, and what is to be done about it.
struct Cut {
    uuid: DmUuid,
    device: DeviceInfo,
    mend: Mend,
}

/// What is to be done about a device.
enum Mend {
    /// Stopped before the resume: load what the metadata says and resume.
    Resume,
    /// A table was staged and never mapped: drop it.
    Clear,
    /// A device that no LV has: remove it.
    Remove,
    /// Mapped before its node or link was made: make them.
    Node,
    /// The LV has another name than the device: the commit was made, the rest was not.
    Rename(DmName),
}

impl StoragePool {
    /// Finishes or undoes what a crash cut; takes the VG's lock only if something looks cut.
    pub(crate) fn recover(&self) -> Result<(), Error> {
        let suspicious = {
            let open = self.fresh()?;
            if open.check_ours(&self.inner).is_err() {
                return Ok(());
            }
            let devices = self.inner.mapper.list().map_err(Error::Dm)?;
            let is_back = !open.returned().is_empty();
            if share::is_behind(&self.inner, &open) {
                true
            } else if !is_back && open.check_writable(&self.inner).is_err() {
                raid::mend::is_needed(&self.inner, &open, &devices)?
                    || evacuate::mend::has_failed_copy(&self.inner, &open)?
            } else {
                is_back
                    || !cut_devices(&self.inner, &open, &devices)?.is_empty()
                    || evacuate::mend::is_needed(&self.inner, &open, &devices)?
                    || cow::mend::is_needed(&self.inner, &open, &devices)?
                    || cached::mend::is_needed(&self.inner, &open, &devices)?
                    || raid::mend::is_needed(&self.inner, &open, &devices)?
                    || has_cut_pool(&self.inner, &open)?
                    || cut_lvs(&self.inner, &open).next().is_some()
                    || !open.mdas.agrees()
                    || open.disks.iter().any(|disk| !disk.is_marked)
                    || self.inner.has_stale_nodes(self.name(), &devices)
                    || misnamed::is_any(&open, &devices)
            }
        };
        if !suspicious {
            return Ok(());
        }
        let _lock = self.inner.lock_vg(self.name())?;
        self.recover_locked()
    }

    /// As [`StoragePool::recover`]; the caller holds the VG's lock.
    pub(crate) fn recover_locked(&self) -> Result<(), Error> {
        let mut open = self.fresh()?;
        open.take_back(&self.inner)?;
        match open.check_writable(&self.inner) {
            Ok(()) => recover_open(&self.inner, &mut open)?,
            // While disks are missing what replaces their images is gone on with, and all else left as it is.
            Err(_) => {
                evacuate::mend::stop_failed_copy(&self.inner, &open)?;
                raid::mend::mend_all(&self.inner, &mut open)?;
            }
        }
        open.refresh(&self.inner)?;
        share::follow(&self.inner, &open);
        Ok(())
    }
}

/// Finishes or undoes what a crash cut in a VG as it is on disk now.  The caller holds its lock.
pub(crate) fn recover_open(inner: &Inner, open: &mut OpenVg) -> Result<(), Error> {
    inner.sweep_nodes(open.vg.name())?;
    // What moves others lies below all of them.
    evacuate::mend::stop_failed_copy(inner, open)?;
    evacuate::mend::ensure_active(inner, open)?;
    let pools = thin_pools(open);
    for pool in &pools {
        thin::mend::mend(inner, open, pool)?;
    }
    cow::mend::mend(inner, open)?;
    cached::mend::mend(inner, open)?;
    raid::mend::mend(inner, open)?;
    let mut devices = inner.mapper.list().map_err(Error::Dm)?;
    let renames = misnamed::steps(open, &devices)?;
    if !renames.is_empty() {
        open.change(inner, "", |change| {
            let steps = renames.into_iter().chain([Step::Settle]);
            steps.for_each(|step| change.step(step));
            Ok(())
        })?;
        devices = inner.mapper.list().map_err(Error::Dm)?;
    }
    let cut = cut_devices(inner, open, &devices)?;
    open.change(inner, "", |change| {
        let mut steps = Vec::new();
        for cut in &cut {
            steps.extend(mend_steps(inner, change.open(), cut)?);
        }
        steps.push(Step::Settle);
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    })?;
    for pool in &pools {
        match thin::protocol::settle(inner, open, pool) {
            // It is told with the pool's health, and refuses changes of thin volumes; the others are there all the same.
            Err(error) if is_thin_pools_own(&error) => {}
            settled => settled?,
        }
    }
    let names: Vec<String> = cut_lvs(inner, open).map(|lv| lv.name().to_string()).collect();
    open.change(inner, "finish what was cut", |change| {
        // A commit that reached some areas only: the next one reaches all.
        if !change.open().mdas.agrees() {
            change.edit();
        }
        for name in &names {
            let open = change.open();
            let Some(lv) = open.vg.lv(name) else { continue };
            let mut steps = Vec::new();
            match open.kernel_device(inner, lv)? {
                // Its creator lives and is zeroing it.
                Some(device) if device.open_count > 0 => continue,
                Some(device) => steps.extend(activate::deactivate(inner, open, lv, &device)?),
                None => {}
            }
            // The store of a snapshot on its way out has a layer, too.
            steps.extend(cow::mend::remove_cow(inner, open, lv)?);
            steps.push(Step::Settle);
            steps.into_iter().for_each(|step| change.step(step));
            change.remove_lv(name)?;
        }
        change.step(Step::Commit);
        Ok(())
    })?;
    cow::mend::sweep(inner, open, &devices)?;
    cached::mend::sweep(inner, open, &devices)?;
    evacuate::mend::sweep(inner, open, &devices)?;
    raid::mend::sweep(inner, open, &devices)?;
    open.mark_disks()
}

/// Does an error say that a thin pool cannot go on, and nothing of the metadata or the disks?
fn is_thin_pools_own(error: &Error) -> bool {
    matches!(
        error,
        Error::Dm(_)
            | Error::NotActive(_)
            | Error::NoThinTarget
            | Error::ThinPoolState { .. }
            | Error::ThinPoolMismatch { .. }
    )
}

/// The thin pools of a VG that this host's kernel can have.
fn thin_pools(open: &OpenVg) -> Vec<String> {
    let pools = open.vg.lvs().filter_map(|lv| PoolLv::named(&open.vg, lv.name()));
    pools.map(|pool| pool.lv.name().to_string()).collect()
}

/// Did a change of a thin pool stop half way?
fn has_cut_pool(inner: &Inner, open: &OpenVg) -> Result<bool, Error> {
    for name in thin_pools(open) {
        let Some(pool) = PoolLv::named(&open.vg, &name) else {
            continue;
        };
        if !pool.detail.messages.is_empty() || thin::mend::is_cut(inner, open, &pool)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// LVs whose creation was begun.
fn cut_lvs<'a>(inner: &Inner, open: &'a OpenVg) -> impl Iterator<Item = &'a Lv> {
    let is_seen = !inner.has_own_devices();
    open.vg
        .lvs()
        .filter(move |lv| is_seen && LvTags::read(lv.tags()).creating)
}

/// The plain LV devices of the VG that look cut.  Layers, whose uuid has a suffix, are looked at with their LVs.
fn cut_devices(inner: &Inner, open: &OpenVg, devices: &[DeviceEntry]) -> Result<Vec<Cut>, Error> {
    if inner.has_own_devices() {
        return Ok(Vec::new());
    }
    let prefix = format!("LVM-{}", open.vg.id().as_str());
    let is_ours = |uuid: &DmUuid| {
        uuid.as_str()
            .strip_prefix(&prefix)
            .is_some_and(|rest| rest.len() == 32)
    };
    let present = inner.nodes.present(open.vg.name());
    let lacks_node = |lv: &Lv, device: &DeviceInfo| {
        let link = open.vg.is_visible(lv).then(|| lv.name());
        present
            .as_ref()
            .is_some_and(|present| present.lacks(&device.name, link))
    };
    let mut cut = Vec::new();
    for uuid in devices.iter().filter_map(|entry| entry.uuid.as_ref()) {
        if !is_ours(uuid) {
            continue;
        }
        let Some(device) = inner.mapper.info(DeviceId::Uuid(uuid)).map_err(Error::Dm)? else {
            continue;
        };
        let lv = lv_of(open, uuid);
        // What moves others is not one of them.
        if lv.is_some_and(evacuate::is_hidden) {
            continue;
        }
        let mend = diagnose(open, lv, &device).or_else(|| {
            let is_plain = |lv: &&Lv| open.check_mappable(lv).is_ok() && lacks_node(lv, &device);
            lv.filter(is_plain).map(|_| Mend::Node)
        });
        let new_name = match lv {
            Some(lv) => misnamed(open, lv, &device, devices)?,
            None => None,
        };
        for mend in mend.into_iter().chain(new_name.map(Mend::Rename)) {
            let (uuid, device) = (uuid.clone(), device.clone());
            cut.push(Cut { uuid, device, mend });
        }
    }
    Ok(cut)
}

fn diagnose(open: &OpenVg, lv: Option<&Lv>, device: &DeviceInfo) -> Option<Mend> {
    let idle = device.open_count == 0;
    match lv {
        // Something uses it: better a device too many than data pulled away.
        None if !idle => None,
        None => Some(Mend::Remove),
        // Origins and snapshots are mended as a group.
        Some(lv) if Group::of(&open.vg, lv).is_some() => None,
        // So are arrays with their images.
        Some(lv) if Array::of(&open.vg, lv).is_some() => None,
        // LVs that this crate does not map are LVM's to mend.
        Some(lv) if open.check_mappable(lv).is_err() => None,
        Some(_) if device.suspended || !device.live_table => Some(Mend::Resume),
        Some(_) if device.inactive_table => Some(Mend::Clear),
        Some(_) => None,
    }
}

/// The name that the device of an LV should have, if it has another, and nobody has that one.  Layers are named with their
/// groups and arrays.
fn misnamed(
    open: &OpenVg,
    lv: &Lv,
    device: &DeviceInfo,
    devices: &[DeviceEntry],
) -> Result<Option<DmName>, Error> {
    let wanted = naming::dm_name(open.vg.name(), lv.name())?;
    let is_ours = || Group::of(&open.vg, lv).is_none() && open.check_mappable(lv).is_ok();
    let is_taken = || devices.iter().any(|entry| entry.name == wanted);
    let is_misnamed = device.name != wanted && open.vg.is_visible(lv) && !is_taken() && is_ours();
    Ok(is_misnamed.then_some(wanted))
}

fn lv_of<'a>(open: &'a OpenVg, uuid: &DmUuid) -> Option<&'a Lv> {
    let id = uuid
        .as_str()
        .get(36..68)
        .and_then(|id| lvm_meta::LvId::parse(id).ok())?;
    open.vg.lv_by_id(id)
}

fn mend_steps(inner: &Inner, open: &OpenVg, Cut { uuid, device, mend }: &Cut) -> Result<Vec<Step>, Error> {
    let uuid = uuid.clone();
    Ok(match (mend, lv_of(open, &uuid)) {
        (Mend::Clear, _) => vec![Step::Clear { uuid }],
        (Mend::Rename(to), Some(lv)) => {
            let (from, to) = (device.name.clone(), to.clone());
            vec![adopt::rename(open.vg.name(), lv.name(), from, to)]
        }
        // Resuming what is not suspended changes nothing but that its nodes are made.
        (Mend::Node, Some(lv)) => vec![activate::resume(open, lv, UdevFlags::empty())?],
        (Mend::Resume, Some(lv)) => {
            let load = Step::Load {
                uuid,
                table: open.table(inner, lv)?,
                read_only: !open.is_writable(lv),
            };
            vec![load, activate::resume(open, lv, UdevFlags::empty())?]
        }
        (Mend::Remove, lv) => {
            let link = match lv {
                Some(lv) => open.link(lv)?,
                None => Link {
                    vg: open.vg.name().into(),
                    lv: naming::lv_of_device(&device.name, open.vg.name()),
                    device: device.name.clone(),
                },
            };
            vec![Step::Remove {
                uuid,
                flags: UdevFlags::empty(),
                link: Some(link),
            }]
        }
        _ => Vec::new(),
    })
}
