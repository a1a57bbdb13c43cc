//! Carries out a plan: the kernel's steps around one metadata commit, in order, undone when one fails.
//!
//! The order of a change, as LVM's own: text and precommit on every metadata area, then the steps before
//! [`Step::Commit`] (create, load, suspend), the commit, then the steps after it (resume, wait for nodes).
//! Tables are loaded before anything is suspended, and nothing but the commit's header sectors is written while
//! a device is suspended.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lvm_dm::{
    Cookie, DeviceId, DeviceMapper, DmName, DmUuid, MirrorStatus, ReadAhead, SuspendFlags, Table, UdevFlags,
};
use lvm_meta::{MdaSet, RawText};
use uuid::Uuid;

use crate::nodes::Nodes;
use crate::table_on::{TableOn, TableOver};
use crate::{Error, Share, SharedDevice, cached};

/// One thing to do, and what undoes it as long as nothing is committed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Make a device and load its table; not yet mapped.  Undone by removing it.
    Create {
        name: DmName,
        uuid: DmUuid,
        table: Table,
        read_only: bool,
        /// The number that the metadata ask for.
        minor: Option<u32>,
    },
    /// As [`Step::Create`], on devices that may be made by the steps before.
    CreateOn {
        name: DmName,
        uuid: DmUuid,
        table: TableOn,
        read_only: bool,
        minor: Option<u32>,
    },
    /// Stage a table.  Undone by dropping it.
    Load {
        uuid: DmUuid,
        table: Table,
        read_only: bool,
    },
    /// Map another table in place of one that is mapped, under devices that stand on it.  Undone by mapping the old one,
    /// before anything that was stopped goes on: who stands on the device must not meet the new one then.
    Replace {
        uuid: DmUuid,
        table: Table,
        old: Table,
        flags: UdevFlags,
    },
    /// As [`Step::Load`], on devices that may be made by the steps before.
    LoadOn {
        uuid: DmUuid,
        table: TableOn,
        read_only: bool,
    },
    /// As [`Step::Load`], on a device that may be made by the steps before.
    LoadOver {
        uuid: DmUuid,
        table: TableOver,
        read_only: bool,
    },
    /// Fail unless the copies of the mirror at a sector of a device are the same.
    InSync { uuid: DmUuid, start: u64 },
    /// Fail unless a cache, which is stopped, holds nothing that the origin does not have; `lv` is the cached LV.
    WrittenBack { uuid: DmUuid, lv: String },
    /// Drop a staged table.
    Clear { uuid: DmUuid },
    /// Stop I/O until the resume.  Undone by dropping the staged table and resuming.
    Suspend { uuid: DmUuid, flags: SuspendFlags },
    /// Make the new metadata the VG's.
    Commit,
    /// Map the staged table and let I/O go on.
    Resume {
        uuid: DmUuid,
        flags: UdevFlags,
        /// `None` for devices that users do not see.
        link: Option<Link>,
        /// `None` leaves it to the kernel.
        read_ahead: Option<ReadAhead>,
    },
    /// Take a device away.  Not undone: the LV is then inactive.
    Remove {
        uuid: DmUuid,
        flags: UdevFlags,
        /// `None` for devices that users do not see.
        link: Option<Link>,
    },
    /// Give a device another name.  Not undone: it comes after the commit.
    Rename {
        from: DmName,
        to: DmName,
        flags: UdevFlags,
        /// The link to be, and the one that was; `None` for devices that users do not see.
        links: Option<Box<[Option<Link>; 2]>>,
    },
    /// Wait until the nodes of what was resumed and removed are there and gone.
    Settle,
    /// Have other hosts reach a replica no more, so that its device is closed.  Undone by sharing it again.
    Unshare { shared: Box<SharedDevice> },
    /// Tell the hosts that reach a replica of its size.
    Resized { replica: Uuid },
    /// Write zeroes from the device's start.
    Zero { uuid: DmUuid, length: u64 },
}

/// The `/dev/VG/LV` link of a device.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) vg: String,
    pub(crate) lv: String,
    pub(crate) device: DmName,
}

/// New metadata for the areas of a VG.
pub(crate) struct NewText<'a> {
    pub(crate) mdas: &'a mut MdaSet,
    pub(crate) text: RawText<'a>,
}

/// Where the steps act.
#[derive(Clone, Copy)]
pub(crate) struct Kernel<'a> {
    pub(crate) mapper: &'a dyn DeviceMapper,
    pub(crate) nodes: &'a Nodes,
    pub(crate) share: Option<&'a dyn Share>,
    pub(crate) timeout: Duration,
}

impl Kernel<'_> {
    /// Carries out `steps`, with `new` made durable around and at [`Step::Commit`].
    ///
    /// # Errors
    /// Before the commit: the step's error, with everything undone.  From the first header that has it:
    /// [`Error::AfterCommit`]; the remaining steps were tried all the same, so that nothing stays suspended.
    pub(crate) fn apply(&self, new: Option<NewText<'_>>, steps: &[Step]) -> Result<(), Error> {
        self.apply_timed(new, steps).map(drop)
    }

    /// As [`Kernel::apply`], telling how long I/O stood still at most: from the first suspend to the last resume.
    pub(crate) fn apply_timed(&self, new: Option<NewText<'_>>, steps: &[Step]) -> Result<Duration, Error> {
        let at = steps.iter().position(|step| matches!(step, Step::Commit));
        let (before, after) = match at {
            Some(at) => (&steps[..at], &steps[at + 1..]),
            None => (steps, &steps[..0]),
        };
        let mut run = Run {
            kernel: *self,
            cookie: None,
            links: Vec::new(),
            done: Vec::new(),
            stopped: None,
            stall: Duration::ZERO,
        };
        match new {
            None => run.before(before).inspect_err(|_| run.undo())?,
            Some(NewText { mdas, text }) => {
                let precommitted = mdas
                    .write(text)
                    .map_err(Error::Meta)?
                    .precommit()
                    .map_err(Error::Meta)?;
                if let Err(error) = run.before(before) {
                    run.undo();
                    // The step's error is the one to report; a precommit that stays is harmless to every reader.
                    let _ = precommitted.revert();
                    return Err(error);
                }
                if let Err(error) = precommitted.commit().map_err(Error::Meta) {
                    // One header that landed makes the VG the new one for every reader: the kernel follows it.
                    if !mdas.commits_to(text.bytes()) {
                        run.undo();
                        return Err(error);
                    }
                    let _ = run.after(after);
                    return Err(Error::AfterCommit(Box::new(error)));
                }
            }
        }
        run.after(after).map_err(|error| match at {
            Some(_) => Error::AfterCommit(Box::new(error)),
            None => error,
        })?;
        Ok(run.stall)
    }
}

/// The state of one plan on its way.
struct Run<'a, 's> {
    kernel: Kernel<'a>,
    cookie: Option<Cookie>,
    /// For each event: is the device there, and its link, if it has one.
    links: Vec<(bool, Option<&'s Link>)>,
    done: Vec<&'s Step>,
    /// When the first device was stopped, and how long it was from then to the last resume.
    stopped: Option<Instant>,
    stall: Duration,
}

impl<'s> Run<'_, 's> {
    fn before(&mut self, steps: &'s [Step]) -> Result<(), Error> {
        for step in steps {
            self.step(step)?;
            self.done.push(step);
        }
        Ok(())
    }

    /// Tries every step even if one fails, and reports the first failure.
    fn after(&mut self, steps: &'s [Step]) -> Result<(), Error> {
        let mut first = Ok(());
        for step in steps {
            first = first.and(self.step(step));
        }
        first.and(self.settle())
    }

    fn step(&mut self, step: &'s Step) -> Result<(), Error> {
        let mapper = self.kernel.mapper;
        match step {
            Step::Create {
                name,
                uuid,
                table,
                read_only,
                minor,
            } => self.create(name, uuid, table, *read_only, *minor)?,
            Step::CreateOn {
                name,
                uuid,
                table,
                read_only,
                minor,
            } => self.create(name, uuid, &table.table(mapper)?, *read_only, *minor)?,
            Step::Load {
                uuid,
                table,
                read_only,
            } => self.load(uuid, table, *read_only)?,
            Step::Replace {
                uuid,
                table,
                old,
                flags,
            } => {
                let replaced = self.replace(uuid, table, *flags);
                if replaced.is_err() {
                    // It may stand still, whichever table it has.
                    let _ = self.replace(uuid, old, *flags);
                }
                replaced?;
            }
            Step::LoadOn {
                uuid,
                table,
                read_only,
            } => self.load(uuid, &table.table(mapper)?, *read_only)?,
            Step::LoadOver {
                uuid,
                table,
                read_only,
            } => self.load(uuid, &table.table(mapper)?, *read_only)?,
            Step::InSync { uuid, start } => {
                let lines = mapper.status(DeviceId::Uuid(uuid), true).map_err(Error::Dm)?;
                let line = lines.iter().find(|line| line.start == *start);
                let status = line.and_then(MirrorStatus::parse);
                if !status.is_some_and(|status| status.is_in_sync()) {
                    return Err(Error::MoveFailed {
                        disk: uuid.to_string(),
                        why: "a copy failed at the last moment".into(),
                    });
                }
            }
            Step::WrittenBack { uuid, lv } => cached::check_clean(mapper, uuid, lv)?,
            Step::Clear { uuid } => drop(mapper.clear(DeviceId::Uuid(uuid)).map_err(Error::Dm)?),
            Step::Suspend { uuid, flags } => {
                // A cookie that cannot be had must not strand a suspended device: get it first.
                self.cookie()?;
                self.stopped.get_or_insert_with(Instant::now);
                mapper.suspend(DeviceId::Uuid(uuid), *flags).map_err(Error::Dm)?;
            }
            Step::Resume {
                uuid,
                flags,
                link,
                read_ahead,
            } => {
                let cookie = self.cookie()?;
                let info = mapper
                    .resume(DeviceId::Uuid(uuid), *flags, cookie)
                    .map_err(Error::Dm)?;
                self.stall = self.stopped.map_or(Duration::ZERO, |stopped| stopped.elapsed());
                if let Some(read_ahead) = read_ahead {
                    // As LVM: a device that reads ahead less far serves as well.
                    let _ = mapper.set_read_ahead(info.number, *read_ahead);
                }
                self.changed(true, link)?;
            }
            Step::Remove { uuid, flags, link } => {
                self.remove(uuid, *flags)?;
                self.changed(false, link)?;
            }
            Step::Rename {
                from,
                to,
                flags,
                links,
            } => {
                let cookie = self.cookie()?;
                mapper.rename(from, to, *flags, cookie).map_err(Error::Dm)?;
                if let Some([new, old]) = links.as_deref() {
                    self.changed(true, new)?;
                    self.changed(false, old)?;
                }
            }
            Step::Settle => self.settle()?,
            Step::Zero { uuid, length } => {
                let device = mapper
                    .open(DeviceId::Uuid(uuid), lvm_dm::OpenMode::ReadWrite)
                    .map_err(Error::Dm)?;
                zero(&*device, 0, *length, uuid)?;
            }
            Step::Unshare { shared } => {
                if let Some(share) = self.kernel.share {
                    share.unshare(shared.replica).inspect_err(|_| {
                        // It may be half taken down.
                        let _ = share.share(shared);
                    })?;
                }
            }
            Step::Resized { replica } => {
                if let Some(share) = self.kernel.share {
                    share.resized(*replica)?;
                }
            }
            // `apply` commits between the steps before and after.
            Step::Commit => {}
        }
        Ok(())
    }

    fn create(
        &mut self,
        name: &DmName,
        uuid: &DmUuid,
        table: &Table,
        read_only: bool,
        minor: Option<u32>,
    ) -> Result<(), Error> {
        let mapper = self.kernel.mapper;
        let made = match minor {
            Some(minor) => mapper.create_at(name, uuid, minor),
            None => mapper.create(name, uuid),
        };
        made.map_err(|error| taken(mapper, name, uuid).unwrap_or(Error::Dm(error)))?;
        if let Err(error) = mapper.load(DeviceId::Uuid(uuid), table, read_only) {
            let _ = self.remove(uuid, UdevFlags::empty());
            return Err(Error::Dm(error));
        }
        Ok(())
    }

    fn load(&self, uuid: &DmUuid, table: &Table, read_only: bool) -> Result<(), Error> {
        let loaded = self.kernel.mapper.load(DeviceId::Uuid(uuid), table, read_only);
        loaded.map(drop).map_err(Error::Dm)
    }

    fn cookie(&mut self) -> Result<&mut Cookie, Error> {
        if self.cookie.is_none() {
            self.cookie = Some(self.kernel.mapper.cookie().map_err(Error::Dm)?);
        }
        self.cookie
            .as_mut()
            .ok_or_else(|| Error::Unsupported("udev cookies".into()))
    }

    fn replace(&mut self, uuid: &DmUuid, table: &Table, flags: UdevFlags) -> Result<(), Error> {
        let (mapper, id) = (self.kernel.mapper, DeviceId::Uuid(uuid));
        let cookie = self.cookie()?;
        mapper.load(id, table, false).map_err(Error::Dm)?;
        mapper.resume(id, flags, cookie).map_err(Error::Dm).map(drop)
    }

    fn remove(&mut self, uuid: &DmUuid, flags: UdevFlags) -> Result<(), Error> {
        let mapper = self.kernel.mapper;
        let cookie = self.cookie()?;
        mapper
            .remove(DeviceId::Uuid(uuid), false, flags, cookie)
            .map_err(Error::Dm)
    }

    /// A device came or went, and its link is to follow.
    fn changed(&mut self, present: bool, link: &'s Option<Link>) -> Result<(), Error> {
        self.links.push((present, link.as_ref()));
        if self.links.len() < EVENTS_AT_ONCE {
            return Ok(());
        }
        self.settle()
    }

    fn settle(&mut self) -> Result<(), Error> {
        let links = std::mem::take(&mut self.links);
        let Some(cookie) = self.cookie.take() else {
            return Ok(());
        };
        self.kernel
            .mapper
            .finish(cookie, self.kernel.timeout)
            .map_err(Error::Dm)?;
        for (present, link) in links {
            let Some(Link { vg, lv, device }) = link else {
                continue;
            };
            if present {
                self.kernel.nodes.link(vg, lv, device)?;
            } else {
                self.kernel.nodes.unlink(vg, lv)?;
            }
        }
        Ok(())
    }

    /// Undoes the steps done so far, the last one first; what was stopped goes on when all else is as it was.  Each is
    /// tried; a failure leaves what opening the pool finds and mends.
    fn undo(&mut self) {
        let mapper = self.kernel.mapper;
        let mut stopped = Vec::new();
        for step in std::mem::take(&mut self.done).into_iter().rev() {
            match step {
                Step::Create { uuid, .. } | Step::CreateOn { uuid, .. } => {
                    let _ = self.remove(uuid, UdevFlags::empty());
                }
                Step::Load { uuid, .. } | Step::LoadOn { uuid, .. } | Step::LoadOver { uuid, .. } => {
                    let _ = mapper.clear(DeviceId::Uuid(uuid));
                }
                Step::Replace { uuid, old, flags, .. } => {
                    let _ = self.replace(uuid, old, *flags);
                }
                Step::Suspend { uuid, .. } => {
                    let _ = mapper.clear(DeviceId::Uuid(uuid));
                    stopped.push(uuid);
                }
                Step::Resume { link, .. } => self.links.push((false, link.as_ref())),
                Step::Unshare { shared } => {
                    let _ = self.kernel.share.map(|share| share.share(shared));
                }
                Step::Clear { .. }
                | Step::Resized { .. }
                | Step::Remove { .. }
                | Step::Rename { .. }
                | Step::Settle
                | Step::InSync { .. }
                | Step::WrittenBack { .. }
                | Step::Zero { .. }
                | Step::Commit => {}
            }
        }
        for uuid in stopped {
            if let Ok(cookie) = self.cookie() {
                let _ = mapper.resume(DeviceId::Uuid(uuid), UdevFlags::empty(), cookie);
            }
        }
        let _ = self.settle();
    }
}

/// Why a device could not be made, if another one has its name.
fn taken(mapper: &dyn DeviceMapper, name: &DmName, uuid: &DmUuid) -> Option<Error> {
    let other = mapper.info(DeviceId::Name(name)).ok().flatten()?;
    let is_other = other.uuid.as_ref() != Some(uuid);
    is_other.then(|| Error::DeviceTaken {
        device: name.to_string(),
        wanted: uuid.to_string(),
        has: other.uuid.map(|uuid| uuid.to_string()),
    })
}

/// Most devices that one wait is for: half of what a cookie can count.
const EVENTS_AT_ONCE: usize = 16_384;

/// Bytes zeroed between two reports of progress.
const ZERO_PIECE: u64 = 256 << 20;

/// Zeroes `length` bytes from `from` and makes that durable.
pub(crate) fn zero(device: &dyn lvm_dm::BlockIo, from: u64, length: u64, uuid: &DmUuid) -> Result<(), Error> {
    zero_with(device, from, length, uuid, &mut |_| {})
}

/// As [`zero`], telling `progress` the bytes done after each piece.
pub(crate) fn zero_with(
    device: &dyn lvm_dm::BlockIo,
    from: u64,
    length: u64,
    uuid: &DmUuid,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let fail = |source| Error::Io {
        what: "zero",
        path: PathBuf::from(uuid.as_str()),
        source,
    };
    let mut done = 0;
    while done < length {
        let piece = ZERO_PIECE.min(length - done);
        device.zero(from + done, piece).map_err(fail)?;
        done += piece;
        progress(done);
    }
    device.sync().map_err(fail)
}

#[cfg(test)]
mod tests;
