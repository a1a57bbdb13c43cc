//! Scrubbing: comparing the images of an array, and making them equal again.

use std::time::{Duration, Instant};

use lvm_dm::{DeviceId, EventSource, RaidHealth, RaidStatus, Table};
use uuid::Uuid;

use super::StoragePool;
use crate::info::ReplicaInfo;
use crate::open_vg::OpenVg;
use crate::raid::Array;
use crate::{Error, naming, replica};

/// How far the kernel has compared, in bytes of each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubProgress {
    /// What is compared.
    pub done: u64,
    /// All of an image.
    pub total: u64,
}

/// A replica after its images were compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubbedReplica {
    /// The replica.
    pub replica: ReplicaInfo,
    /// Sectors that differ, as the kernel counts them: by whole windows, and after a repair none.
    pub mismatches: u64,
}

/// Longest wait between two reports of progress; the end is an event of the kernel's.
const REPORT: Duration = Duration::from_secs(1);
/// Longest time without progress.
const STANDSTILL: Duration = Duration::from_secs(120);
/// Longest wait for the event that comes with the end.
const END: Duration = Duration::from_secs(5);
/// How often somebody else may be first, or the kernel forget what it was told because it was just ending something else.
const ROUNDS: u32 = 8;

/// An array at one moment.
struct Seen {
    status: RaidStatus,
    event_nr: u32,
}

/// What the kernel was told, or found doing.
struct Begun {
    what: &'static str,
    /// The device's event counter before.
    event_nr: u32,
    /// The array's table.
    table: Table,
    /// Did it do anything?  Of what it is told while it ends something else it may do nothing.
    is_certain: bool,
}

/// What the kernel does about an array.
enum Doing {
    Nothing,
    Scrub(&'static str),
}

impl Seen {
    /// Refuses an array that is not whole, or of which the kernel does something else.
    fn doing(&self, replica: &str) -> Result<Doing, Error> {
        let refuse = |state: &str| {
            Err(Error::ArrayState {
                replica: replica.into(),
                state: state.into(),
            })
        };
        let is_lost = |image: &RaidHealth| matches!(image, RaidHealth::Dead | RaidHealth::Missing);
        if self.status.images.iter().any(is_lost) {
            return refuse("degraded");
        }
        match self.status.action.as_deref() {
            Some("check") => Ok(Doing::Scrub("check")),
            Some("repair") => Ok(Doing::Scrub("repair")),
            Some("resync" | "recover") => refuse("syncing"),
            Some("idle") if self.status.images.contains(&RaidHealth::Behind) => refuse("syncing"),
            Some("idle") => Ok(Doing::Nothing),
            Some(other) => refuse(other),
            None => Err(Error::Unsupported("scrubbing by this kernel".into())),
        }
    }

    fn is_idle(&self) -> bool {
        self.status.action.as_deref() == Some("idle")
    }
}

impl StoragePool {
    /// Compares the images of an array that is whole and in sync, while it is used; with `repair`, what differs is made
    /// equal: copies by the first one, parity by the data.  Returns when the kernel is done; `tell` is told how far it is
    /// about once a second.
    ///
    /// The kernel goes on when this call is cut, and a call that finds it at the same work waits for that.  The VG's lock is
    /// held for the beginning alone.  What was mended is durable when this returns, as any write is.
    ///
    /// # Errors
    /// [`Error::NotArray`] for other replicas, level 0 included; [`Error::NotActive`]; [`Error::ArrayState`] while it is
    /// degraded or not in sync.  [`Error::ScrubFailed`] when an image fails meanwhile, the array is changed, or nothing is
    /// compared for two minutes.  Of somebody who stops the kernel otherwise, as a reload of the same table by the tools
    /// does, the kernel does not tell: what differs is then counted up to there.
    pub fn scrub_replica(
        &self,
        uuid: Uuid,
        repair: bool,
        tell: &mut dyn FnMut(ScrubProgress),
    ) -> Result<ScrubbedReplica, Error> {
        let wanted = if repair { "repair" } else { "check" };
        let mut events = self.inner.mapper.events().map_err(Error::Dm)?;
        for _ in 0..ROUNDS {
            let begun = self.begin_scrub(uuid, wanted)?;
            let (status, has_begun) = self.wait_for_scrub(uuid, &mut *events, &begun, tell)?;
            // Somebody else's was another one, or the kernel forgot ours.
            if begun.what != wanted || !has_begun {
                continue;
            }
            if status.done < status.all || self.mapped_array(uuid)? != begun.table {
                return Err(failed(uuid, "it was stopped before its end"));
            }
            return Ok(ScrubbedReplica {
                replica: self.changed(uuid)?,
                mismatches: status.mismatches.unwrap_or(0),
            });
        }
        Err(Error::ArrayState {
            replica: uuid.to_string(),
            state: "scrubbed by others again and again".into(),
        })
    }

    /// Tells the kernel to scrub, unless it does already.
    fn begin_scrub(&self, uuid: Uuid, wanted: &'static str) -> Result<Begun, Error> {
        let inner = &*self.inner;
        // Nobody gives the array another table meanwhile, which would stop what is begun.
        let _lock = inner.lock_vg(self.name())?;
        let open = self.fresh()?;
        self.check_ours(&open)?;
        let seen = self.seen(&open, uuid)?;
        let id = naming::dm_uuid(&open.vg.id(), &replica::find(&open, uuid)?.id());
        let table = inner
            .mapper
            .table(DeviceId::Uuid(&id), false)
            .map_err(Error::Dm)?;
        if let Doing::Scrub(what) = seen.doing(&uuid.to_string())? {
            return Ok(Begun {
                what,
                event_nr: seen.event_nr,
                table,
                is_certain: true,
            });
        }
        let sent = inner.mapper.message(DeviceId::Uuid(&id), 0, wanted);
        sent.map_err(Error::Dm)?;
        let now = self.seen(&open, uuid)?;
        Ok(Begun {
            what: wanted,
            event_nr: seen.event_nr,
            table,
            is_certain: !now.is_idle() || now.event_nr != seen.event_nr,
        })
    }

    /// Waits until the kernel is done with what was begun; did it do it?
    fn wait_for_scrub(
        &self,
        uuid: Uuid,
        events: &mut dyn EventSource,
        begun: &Begun,
        tell: &mut dyn FnMut(ScrubProgress),
    ) -> Result<(RaidStatus, bool), Error> {
        let mut has_begun = begun.is_certain;
        let mut last = (None, Instant::now());
        loop {
            let seen = self.seen(&*self.fresh()?, uuid)?;
            let is_ended = seen.event_nr != begun.event_nr;
            if seen.is_idle() && (is_ended || last.1.elapsed() > END) {
                return Ok((seen.status, has_begun));
            }
            if !seen.is_idle() {
                match seen.doing(&uuid.to_string()) {
                    Err(error) => return Err(failed(uuid, &error.to_string())),
                    Ok(_) => has_begun = true,
                }
                let bytes = |sectors: u64| sectors.saturating_mul(512);
                let progress = ScrubProgress {
                    done: bytes(seen.status.done),
                    total: bytes(seen.status.all),
                };
                if last.0 != Some(progress) {
                    last = (Some(progress), Instant::now());
                    tell(progress);
                } else if last.1.elapsed() > STANDSTILL {
                    return Err(failed(uuid, "nothing is compared any more"));
                }
            }
            events.wait(REPORT).map_err(Error::Dm)?;
        }
    }

    /// The table that is mapped.
    fn mapped_array(&self, uuid: Uuid) -> Result<Table, Error> {
        let open = self.fresh()?;
        let id = naming::dm_uuid(&open.vg.id(), &replica::find(&open, uuid)?.id());
        let mapped = self.inner.mapper.table(DeviceId::Uuid(&id), false);
        mapped.map_err(Error::Dm)
    }

    fn seen(&self, open: &OpenVg, uuid: Uuid) -> Result<Seen, Error> {
        let lv = replica::find(open, uuid)?;
        let array = Array::of(&open.vg, lv).filter(|array| !array.detail.layout.is_striped_only());
        let array = array.ok_or_else(|| Error::NotArray {
            replica: uuid.to_string(),
            what: "scrubbed",
        })?;
        let not_active = || Error::NotActive(uuid.to_string());
        // The counter first: an event in between makes for one more look.
        let info = open.kernel_device(&self.inner, lv)?.ok_or_else(not_active)?;
        Ok(Seen {
            status: array.status(&self.inner).ok_or_else(not_active)?,
            event_nr: info.event_nr,
        })
    }
}

fn failed(uuid: Uuid, why: &str) -> Error {
    Error::ScrubFailed {
        replica: uuid.to_string(),
        why: why.into(),
    }
}
