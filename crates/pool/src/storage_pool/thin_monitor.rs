//! Making the thin pool larger as it fills.

use std::time::Duration;

use lvm_dm::{EventSource, Table, Target, TargetLine, ThinPoolStatus};
use lvm_meta::Extents;

use super::StoragePool;
use super::grow_thin_pool::{grow_part, part_of, room, whole_stripes};
use super::thin_volumes::pool_name;
use crate::Error;
use crate::host::Dmeventd;
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::thin::policy::{Space, ThinPart, ThinPolicy, Verdict};
use crate::thin::stack::{self, Layers};
use crate::thin::{PoolLv, mend, usage};

/// What a [`ThinMonitor`] did or found.  Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThinAction {
    /// A part was made larger.
    Extended {
        /// Which.
        part: ThinPart,
        /// Its size before.
        from: u64,
        /// Its size now.
        to: u64,
    },
    /// A part should be larger, and the policy forbids it.
    AtMax {
        /// Which.
        part: ThinPart,
        /// Its size.
        size: u64,
        /// What is in use of it.
        used: u64,
    },
    /// A part should be larger, and the pool's disks have no room for it.
    NoSpace {
        /// Which.
        part: ThinPart,
        /// Its size.
        size: u64,
        /// What is in use of it.
        used: u64,
        /// What it lacks.
        needed: u64,
        /// What the disks have.
        free: u64,
    },
    /// The pool's state is another one, in the words of [`ThinPoolInfo::state`](crate::ThinPoolInfo::state).
    State(&'static str),
}

impl ThinAction {
    /// Does it tell the same but for what is in use, which changes all the time?
    fn is_same(&self, other: &Self) -> bool {
        let mut other = other.clone();
        if let (
            Self::AtMax { used: now, .. } | Self::NoSpace { used: now, .. },
            Self::AtMax { used, .. } | Self::NoSpace { used, .. },
        ) = (self, &mut other)
        {
            *used = *now;
        }
        *self == other
    }
}

/// Another program that may make the pool larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherMonitor {
    /// dmeventd's process id, where it can be told.
    pub pid: Option<u32>,
    /// The percentage in use from which it makes thin pools larger, by this host's `lvm.conf`; 100 if never.
    pub threshold: u32,
}

/// Watches a thin pool, and makes it larger as a [`ThinPolicy`] says.
///
/// It has no thread and no clock: the caller calls [`check`](ThinMonitor::check) and [`wait`](ThinMonitor::wait) in
/// turns, in a thread that may block.  In between it sleeps in the kernel until something happens to a mapped device.
/// No lock is held but for a change, and none is taken while nothing is to be done.  Any number of them may run, beside
/// dmeventd and the tools: what is to be done is decided under the VG's lock.
pub struct ThinMonitor {
    pool: StoragePool,
    /// The thin pool's, if one was named.
    name: Option<String>,
    policy: ThinPolicy,
    events: Box<dyn EventSource>,
    told: Told,
}

impl std::fmt::Debug for ThinMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThinMonitor")
            .field("pool", &self.pool)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl StoragePool {
    /// Begins to watch the thin pool.  Nothing is changed before the first [`ThinMonitor::check`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a policy that cannot be followed, [`Error::NoThinPool`], [`Error::ManyThinPools`],
    /// [`Error::Dm`].
    pub fn monitor_thin_pool(&self, policy: ThinPolicy) -> Result<ThinMonitor, Error> {
        self.monitor_chosen(None, policy)
    }

    /// As [`StoragePool::monitor_thin_pool`], of the thin pool whose LV has this name, whoever made it.
    ///
    /// # Errors
    /// As there; [`Error::LvNotFound`], [`Error::InvalidArgument`] for an LV that is no thin pool.
    pub fn monitor_thin_pool_named(&self, name: &str, policy: ThinPolicy) -> Result<ThinMonitor, Error> {
        self.monitor_chosen(Some(name), policy)
    }

    fn monitor_chosen(&self, name: Option<&str>, policy: ThinPolicy) -> Result<ThinMonitor, Error> {
        policy.check()?;
        pool_name(&*self.fresh()?, name)?;
        Ok(ThinMonitor {
            pool: self.clone(),
            name: name.map(Into::into),
            policy,
            // Before the first look, so that nothing falls between the two.
            events: self.inner.mapper.events().map_err(Error::Dm)?,
            told: Told::default(),
        })
    }

    /// Another program that may make this thin pool larger: LVM's dmeventd, if it runs.
    ///
    /// Whether dmeventd watches this very pool only dmeventd knows; where it runs and `threshold` is below 100, take it
    /// that it does.  A dmeventd of another mount namespace, as of the host seen from a container without the host's
    /// `/run`, is not seen.
    pub fn other_thin_monitor(&self) -> Option<OtherMonitor> {
        let inner = &*self.inner;
        if inner.images {
            return None;
        }
        let found = Dmeventd::find(&inner.paths)?;
        Some(OtherMonitor {
            pid: found.pid,
            threshold: inner.config.activation.thin_pool_autoextend_threshold.min(100),
        })
    }
}

impl ThinMonitor {
    /// How long to wait for an event at most.  Of a full or sick pool the kernel tells, and of the policy's threshold
    /// for data; not of a lower threshold for metadata than its own, nor after somebody else loaded the pool's table
    /// with another mark for its event.
    pub const RECHECK: Duration = Duration::from_secs(60);

    /// Looks at the pool, and makes larger what the policy says; `tell` is told each action as it is done, and each
    /// finding once, until it changes.  An inactive pool is left alone.  Durable when this returns.
    ///
    /// # Errors
    /// As [`StoragePool::extend_thin_pool`], but for [`Error::NoSpace`], which is a finding; the next call tries again.
    pub fn check(&mut self, tell: &mut dyn FnMut(&ThinAction)) -> Result<(), Error> {
        let pool = self.pool.clone();
        let inner = &*pool.inner;
        let seen = Seen::of(inner, &*pool.fresh()?, self.name.as_deref())?;
        self.told
            .state(seen.as_ref().map_or("inactive", Seen::state), tell);
        let Some(seen) = seen else { return Ok(()) };
        if !self.is_due(&seen) {
            for part in PARTS.into_iter().filter(|_| seen.takes_space()) {
                self.told_at_max(&seen, part, tell);
            }
            return Ok(());
        }
        let _lock = inner.lock_vg(pool.name())?;
        let mut open = pool.changeable()?;
        // Stopped and not by whoever had the lock: by somebody who is no more.
        mend::mend(inner, &open, &seen.name)?;
        for part in PARTS {
            // Whoever had the lock may have done it.
            let Some(seen) = Seen::of(inner, &open, Some(&seen.name))? else {
                return Ok(());
            };
            if seen.takes_space() && !self.told_at_max(&seen, part, tell) {
                self.grow(&mut open, &seen, part, tell)?;
            }
        }
        if let Some(seen) = Seen::of(inner, &open, Some(&seen.name))? {
            self.told.state(seen.state(), tell);
            if let Some(low_water) = self.wants_mark(&seen).filter(|_| seen.takes_space()) {
                seen.mark(inner, low_water)?;
            }
        }
        Ok(())
    }

    /// Waits until something happened to a mapped device since the last call; `false` when the time is over, which is
    /// also how to end the waiting from outside: wait in pieces.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, Error> {
        self.events.wait(timeout).map_err(Error::Dm)
    }

    fn verdict(&self, seen: &Seen, part: ThinPart) -> Verdict {
        self.policy.of(part).verdict(part, seen.space(part))
    }

    /// Is something to be done under the lock?
    fn is_due(&self, seen: &Seen) -> bool {
        let grows = |part| matches!(self.verdict(seen, part), Verdict::Grow { .. });
        let differs = PARTS.into_iter().any(grows) || self.wants_mark(seen).is_some();
        seen.suspended || seen.takes_space() && differs
    }

    /// Tells of a part that the policy keeps from growing.
    fn told_at_max(&mut self, seen: &Seen, part: ThinPart, tell: &mut dyn FnMut(&ThinAction)) -> bool {
        let verdict = self.verdict(seen, part);
        match verdict {
            Verdict::AtMax => self.told.finding(part, seen.at_max(part), tell),
            Verdict::Enough => self.told.nothing(part),
            Verdict::Grow { .. } => {}
        }
        verdict == Verdict::AtMax
    }

    /// Makes a part larger if the policy says so and there is room.
    fn grow(
        &mut self,
        open: &mut OpenVg,
        seen: &Seen,
        part: ThinPart,
        tell: &mut dyn FnMut(&ThinAction),
    ) -> Result<(), Error> {
        let Verdict::Grow { to, max } = self.verdict(seen, part) else {
            return Ok(());
        };
        // The state was told.  Without metadata there is nothing to note more data in.
        if part == ThinPart::Data && seen.state() == "read_only" {
            return Ok(());
        }
        let inner = &*self.pool.inner;
        let (vg, lv) = (&open.vg, part_of(open, &seen.name, part)?);
        let (now, size) = (lv.extent_count(), vg.extent_size());
        let most = Extents::new(u32::try_from(max / size.bytes()).unwrap_or(u32::MAX));
        let wanted = size.extents_ceil(to).unwrap_or(most).min(most);
        let more = wanted.checked_sub(now).unwrap_or(Extents::ZERO);
        let free = Extents::new(u32::try_from(vg.free_extents()).unwrap_or(u32::MAX));
        if whole_stripes(vg, lv, more)? == Extents::ZERO {
            self.told.finding(part, seen.at_max(part), tell);
            return Ok(());
        }
        let bytes = |extents| size.to_bytes(extents).unwrap_or(u64::MAX);
        let space = seen.space(part);
        let no_space = |needed, free| ThinAction::NoSpace {
            part,
            size: space.size,
            used: space.used,
            needed,
            free,
        };
        // What there is, if it is not enough.
        let more_now = room(vg, lv, more)?;
        if more_now == Extents::ZERO {
            self.told.finding(part, no_space(bytes(more), bytes(free)), tell);
            return Ok(());
        }
        let from = bytes(now);
        let to = now.checked_add(more_now).unwrap_or(now);
        match grow_part(
            inner,
            open,
            &seen.name,
            part,
            to,
            Some(self.policy.data.threshold),
        ) {
            Ok(()) => {
                self.told.nothing(part);
                tell(&ThinAction::Extended {
                    part,
                    from,
                    to: bytes(to),
                });
                Ok(())
            }
            Err(Error::NoSpace { needed, free, .. }) => {
                self.told.finding(part, no_space(needed, free), tell);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The mark at which the kernel's event is to come, if it is another one and an event is of use.
    ///
    /// Several monitors may want several marks.  The highest stays until its event is over; from the policy's threshold
    /// on none is wanted.  So nobody takes a mark back that another one waits for.
    fn wants_mark(&self, seen: &Seen) -> Option<u64> {
        let free = seen.status.data_blocks.saturating_sub(seen.status.data_used);
        let wanted = stack::low_water_at(seen.status.data_blocks, self.policy.data.threshold);
        let is_below = self.verdict(seen, ThinPart::Data) == Verdict::Enough;
        let is_over = free <= seen.low_water;
        (is_below && wanted != seen.low_water && (wanted > seen.low_water || is_over)).then_some(wanted)
    }
}

/// Metadata first: a pool without them takes no data.
const PARTS: [ThinPart; 2] = [ThinPart::Metadata, ThinPart::Data];

/// What was told last.
#[derive(Default)]
struct Told {
    state: Option<&'static str>,
    findings: [Option<ThinAction>; 2],
}

impl Told {
    fn state(&mut self, state: &'static str, tell: &mut dyn FnMut(&ThinAction)) {
        let before = self.state.replace(state);
        if before.unwrap_or("online") != state {
            tell(&ThinAction::State(state));
        }
    }

    fn finding(&mut self, part: ThinPart, finding: ThinAction, tell: &mut dyn FnMut(&ThinAction)) {
        let told = &mut self.findings[usize::from(part == ThinPart::Data)];
        if told.as_ref().is_none_or(|told| !told.is_same(&finding)) {
            tell(&finding);
        }
        *told = Some(finding);
    }

    fn nothing(&mut self, part: ThinPart) {
        self.findings[usize::from(part == ThinPart::Data)] = None;
    }
}

/// An active pool at one moment.
struct Seen {
    name: String,
    layers: Layers,
    mapped: Table,
    status: ThinPoolStatus,
    suspended: bool,
    low_water: u64,
    data: Space,
    metadata: Space,
}

impl Seen {
    /// `None` for a pool that is not active.
    fn of(inner: &Inner, open: &OpenVg, name: Option<&str>) -> Result<Option<Self>, Error> {
        let pool = PoolLv::chosen(&open.vg, name)?;
        let name = pool.lv.name().to_string();
        let layers = Layers::of(open, &pool)?;
        let Some(info) = layers.pool.info(inner)?.filter(|info| info.live_table) else {
            return Ok(None);
        };
        let status = usage::status(inner, open, &pool)?;
        let mapped = layers.pool.table(inner)?;
        let low_water = match mapped.lines() {
            [
                TargetLine {
                    target: Target::ThinPool(mapped),
                    ..
                },
            ] => mapped.low_water,
            _ => return Ok(None),
        };
        let space = |part, blocks: u64, used: u64, unit: u64| -> Result<Space, Error> {
            let extents = part_of(open, &name, part)?.extent_count();
            Ok(Space {
                size: open.vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX),
                total: blocks.saturating_mul(unit),
                used: used.saturating_mul(unit),
                unit,
            })
        };
        let block = usage::METADATA_BLOCK;
        Ok(Some(Self {
            data: space(ThinPart::Data, status.data_blocks, status.data_used, pool.chunk())?,
            metadata: space(
                ThinPart::Metadata,
                status.metadata_blocks,
                status.metadata_used,
                block,
            )?,
            name,
            layers,
            mapped,
            status,
            suspended: info.suspended,
            low_water,
        }))
    }

    fn state(&self) -> &'static str {
        usage::state(self.status.mode, self.status.needs_check)
    }

    /// A pool that failed tells no numbers, and one that needs a check ignores space that it is given.
    fn takes_space(&self) -> bool {
        !matches!(self.state(), "failed" | "needs_check")
    }

    fn space(&self, part: ThinPart) -> &Space {
        match part {
            ThinPart::Data => &self.data,
            ThinPart::Metadata => &self.metadata,
        }
    }

    fn at_max(&self, part: ThinPart) -> ThinAction {
        let Space { size, used, .. } = *self.space(part);
        ThinAction::AtMax { part, size, used }
    }

    /// Has the kernel's event come when so many chunks are free.  The caller holds the VG's lock.
    fn mark(&self, inner: &Inner, low_water: u64) -> Result<(), Error> {
        let lines = self.mapped.lines().iter().cloned().map(|mut line| {
            if let Target::ThinPool(pool) = &mut line.target {
                pool.low_water = low_water;
            }
            line
        });
        let pool = &self.layers.pool;
        let [load, suspend] = pool.reload(Table::new(lines.collect()));
        inner.kernel().apply(None, &[load, suspend, pool.resume()])
    }
}
