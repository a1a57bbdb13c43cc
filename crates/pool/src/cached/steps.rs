//! How a cache is written back, and the commit that takes it off.
//!
//! | | before the commit | after it |
//! | --- | --- | --- |
//! | clean | table without write-back staged, the LV stopped, and let go: no commit | |
//! | take off, a cache of writes | all is written back at once: little, or the kernel has no cleaner | |
//! | take off, in use | table without the cache staged; the LV stopped; nothing is dirty; an array behind the cache stopped | the LV goes on; what lay below it goes |
//! | take off, made for this alone | the LV stopped; nothing is dirty; it goes, with all below it | |
//!
//! Two devices must not write the notes of one array, so the one behind the cache stops before the LV becomes it.

use lvm_dm::{
    DeviceId, DeviceInfo, DmUuid, OpenMode, SuspendFlags, Table, Target, TargetLine, UdevFlags, Writecache,
};

use super::kind::Mapped;
use super::{Stack, below};
use crate::apply::Step;
use crate::layer::HIDDEN;
use crate::open_vg::OpenVg;
use crate::raid::{self, Array};
use crate::system::Inner;
use crate::{Error, activate};

/// Who uses a cached LV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Whoever likes: it was active.
    Shared,
    /// Nobody: it was made for this alone.
    Private,
}

/// Has the kernel write a cache back that is mapped.  The caller holds the VG's lock.
///
/// # Errors
/// [`Error::CacheState`] for a table that is no cache.
pub(crate) fn clean(inner: &Inner, open: &OpenVg, stack: &Stack<'_>) -> Result<(), Error> {
    let top = stack.top()?;
    let cache = mapped(inner, stack, &top.uuid)?;
    let load = Step::Load {
        uuid: top.uuid.clone(),
        table: table(open, stack, cache.cleaning()),
        read_only: !open.is_writable(stack.lv),
    };
    let resume = activate::resume(open, stack.lv, UdevFlags::empty())?;
    inner
        .kernel()
        .apply(None, &[load, stop(top.uuid), resume, Step::Settle])
}

/// Takes a cache off that is clean.  The caller holds the VG's lock.  Durable when this returns.
///
/// # Errors
/// [`Error::CacheState`] when something is dirty after all: nothing is changed then, and the LV goes on as it was.
pub(crate) fn take_off(inner: &Inner, open: &mut OpenVg, name: &str, used: Use) -> Result<(), Error> {
    flush(inner, open, name)?;
    let description = format!("take the cache off {name}");
    open.change(inner, &description, |change| {
        let open = change.open();
        let Some(stack) = open.vg.lv(name).and_then(|lv| Stack::of(&open.vg, lv)) else {
            return Ok(());
        };
        let top = stack.top()?;
        let cache = mapped(inner, &stack, &top.uuid)?;
        let parts = below(inner, open, &top.uuid)?;
        let origin = inner
            .mapper
            .info(DeviceId::Number(cache.origin()))
            .map_err(Error::Dm)?;
        let clean = Step::WrittenBack {
            uuid: top.uuid.clone(),
            lv: name.into(),
        };
        if used == Use::Private {
            let steps = [stop(top.uuid.clone()), clean, top.remove()].into_iter();
            let steps = steps.chain(parts.iter().filter_map(remove));
            let steps: Vec<Step> = steps.chain([Step::Settle, Step::Commit]).collect();
            steps.into_iter().for_each(|step| change.step(step));
            return change.edit().remove_cache(name).map_err(Error::Meta);
        }
        change.edit().remove_cache(name).map_err(Error::Meta)?;
        let open = change.open();
        let lv = open.vg.lv(name);
        let lv = lv.ok_or_else(|| Error::LvNotFound(name.into()))?;
        let array = Array::of(&open.vg, lv);
        let mut kept: Vec<DmUuid> = Vec::new();
        let mut steps = Vec::new();
        match &array {
            Some(array) => {
                array.check()?;
                raid::check_target(inner, array.detail.layout)?;
                for part in array.parts() {
                    kept.push(array.layer(part)?.uuid);
                }
                steps.push(array.load_at(top.uuid.clone(), open)?);
            }
            None => steps.push(Step::Load {
                uuid: top.uuid.clone(),
                table: open.table(inner, lv)?,
                read_only: !open.is_writable(lv),
            }),
        }
        steps.extend([stop(top.uuid), clean]);
        let real = origin.and_then(|origin| origin.uuid).filter(|_| array.is_some());
        steps.extend(real.map(stop));
        steps.push(Step::Commit);
        steps.push(activate::resume(open, lv, UdevFlags::empty())?);
        let is_gone = |info: &&DeviceInfo| info.uuid.as_ref().is_some_and(|uuid| !kept.contains(uuid));
        steps.extend(parts.iter().filter(is_gone).filter_map(remove));
        steps.push(Step::Settle);
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    })
}

/// Makes durable on the origin what was written back: its disks may hold that in memory, and a cache that is gone does not.
///
/// Of a cache of writes all is written back before, and what is written meanwhile when the LV is stopped.
fn flush(inner: &Inner, open: &OpenVg, name: &str) -> Result<(), Error> {
    let Some(stack) = open.vg.lv(name).and_then(|lv| Stack::of(&open.vg, lv)) else {
        return Ok(());
    };
    let uuid = stack.top()?.uuid;
    let top = DeviceId::Uuid(&uuid);
    let cache = mapped(inner, &stack, &uuid)?;
    if let Mapped::Writecache(_) = cache {
        for message in [Writecache::FLUSH_ON_SUSPEND, Writecache::FLUSH] {
            inner.mapper.message(top, 0, message).map_err(Error::Dm)?;
        }
    }
    let sync = |device| {
        let device = inner.mapper.open(device, OpenMode::ReadOnly);
        let synced = device.map_err(Error::Dm)?.sync();
        synced.map_err(|source| Error::Io {
            what: "sync",
            path: uuid.as_str().into(),
            source,
        })
    };
    sync(top)?;
    match cache {
        Mapped::Cache(_) => Ok(()),
        // Not each kernel's passes a flush on to what lies behind it.
        Mapped::Writecache(cache) => sync(DeviceId::Number(cache.origin)),
    }
}

/// The cache that is mapped for an LV.
fn mapped(inner: &Inner, stack: &Stack<'_>, uuid: &DmUuid) -> Result<Mapped, Error> {
    Mapped::of(&*inner.mapper, uuid)?.ok_or_else(|| Error::CacheState {
        lv: stack.lv.name().into(),
        state: "mapped without a cache".into(),
    })
}

/// The table of a cached LV.
fn table(open: &OpenVg, stack: &Stack<'_>, target: Target) -> Table {
    let length = open.vg.extent_size().to_sectors(stack.lv.extent_count());
    Table::new(vec![TargetLine {
        start: 0,
        length: length.get(),
        target,
    }])
}

/// Stops I/O, without freezing file systems: what is written goes on afterwards.
fn stop(uuid: DmUuid) -> Step {
    Step::Suspend {
        uuid,
        flags: SuspendFlags::SKIP_LOCKFS,
    }
}

fn remove(info: &DeviceInfo) -> Option<Step> {
    Some(Step::Remove {
        uuid: info.uuid.clone()?,
        flags: HIDDEN,
        link: None,
    })
}
