//! Looking after a published volume, once or in a long-lived process.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lvm_dm::EventSource;
use uuid::Uuid;

use super::look::{Memory, look};
use super::{VolumeInfo, member, volume_lock};
use crate::info::State;
use crate::{Error, System};

/// How often is looked whether all targets answer: that is no event of device-mapper's.
const GLANCE: Duration = Duration::from_millis(200);
/// How often a volume is looked at that lacks a replica: it may be there again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a replica is left alone after it was taken in.
const TRY_AGAIN: Duration = Duration::from_secs(10);
const SYNC_LOOK: Duration = Duration::from_millis(100);

/// How far replicas are brought in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealProgress {
    /// Bytes of the volume that are in sync.
    pub done: u64,
    /// Bytes of the volume.
    pub total: u64,
}

/// Looks after a published volume in a long-lived process.
///
/// From its first look on, the array does not learn by itself that a replica failed: I/O that the replica does not take waits until the
/// monitor has noted on the others that they go on without it.  So no write is acknowledged that a replica misses which could be
/// taken for whole later; and when all replicas are lost at once, I/O waits until one of them is there again.  This stays so when
/// the monitor is dropped or dies: then a new one, or [`System::heal_volume`], must let I/O go on after a failure.
///
/// Without a monitor the kernel goes on by itself, after 4 seconds of a target's silence.
///
/// It has no thread.  Between events of the kernel's it sleeps; five times a second it looks in sysfs whether all targets answer, and
/// each second, while a replica is missing, whether it is there again.
pub struct VolumeMonitor {
    system: System,
    volume: Uuid,
    events: Box<dyn EventSource>,
    last: Option<VolumeInfo>,
    /// What the replicas in use lie on.
    paths: Vec<PathBuf>,
    memory: Memory,
}

impl std::fmt::Debug for VolumeMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolumeMonitor")
            .field("volume", &self.volume)
            .finish_non_exhaustive()
    }
}

impl System {
    /// Does for a published volume what can be done now, and waits until the replicas that can be reached are in line:
    /// failures are noted, replicas that are there again are taken in, with what the bitmap says where it can tell, wholly
    /// otherwise.
    ///
    /// A replica that may hold acknowledged writes of its own is left as it is, unless `discard` names it: then these are
    /// lost, and it is filled.  Replicas that cannot be reached are no error: the answer tells.
    ///
    /// # Errors
    /// [`VolumeError::NotPublished`](super::VolumeError::NotPublished);
    /// [`VolumeError::Superseded`](super::VolumeError::Superseded) when another host serves the volume: here all I/O fails
    /// then, but for what waits (see [`System::abandon_volume`]); [`Error::Dm`].
    pub fn heal_volume(
        &self,
        volume: Uuid,
        discard: &[Uuid],
        progress: &mut dyn FnMut(HealProgress),
    ) -> Result<VolumeInfo, Error> {
        let inner = &*self.inner;
        let (mut moved, mut before) = (Instant::now(), None);
        // Each once.
        let mut memory = Memory::with_pause(Duration::MAX);
        loop {
            let seen = {
                let _lock = volume_lock(inner, volume)?;
                look(inner, volume, discard, &mut memory, false)?
            };
            let now = HealProgress {
                done: seen.info.synced(),
                total: seen.info.size,
            };
            if before != Some(now) || seen.has_acted {
                (moved, before) = (Instant::now(), Some(now));
                progress(now);
            }
            let is_over = !seen.is_syncing && !seen.has_acted;
            if is_over || moved.elapsed() > inner.timeout {
                return Ok(seen.info);
            }
            thread::sleep(SYNC_LOOK);
        }
    }

    /// Begins to look after a volume that is published here; [`VolumeMonitor::wait`] does it.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub fn watch_volume(&self, volume: Uuid) -> Result<VolumeMonitor, Error> {
        Ok(VolumeMonitor {
            system: self.clone(),
            volume,
            events: self.inner.mapper.events().map_err(Error::Dm)?,
            last: None,
            paths: Vec::new(),
            memory: Memory::with_pause(TRY_AGAIN),
        })
    }
}

impl VolumeMonitor {
    /// Looks after the volume until it is another than at the last call, and tells it, the first time at once; `None` when
    /// the time is over, which is also how to end it from outside: wait in pieces.
    ///
    /// # Errors
    /// As [`System::heal_volume`]; the monitor may be used again.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<VolumeInfo>, Error> {
        let end = Instant::now() + timeout;
        loop {
            let seen = {
                let _lock = volume_lock(&self.system.inner, self.volume)?;
                look(&self.system.inner, self.volume, &[], &mut self.memory, true)?
            };
            self.paths = seen.paths;
            if self.last.as_ref() != Some(&seen.info) {
                self.last = Some(seen.info.clone());
                return Ok(Some(seen.info));
            }
            let next = match seen.info.state {
                _ if seen.has_acted => end.min(Instant::now() + SYNC_LOOK),
                State::Online => end,
                _ if seen.is_syncing => end.min(Instant::now() + SYNC_LOOK),
                _ => end.min(Instant::now() + LOOK_AGAIN),
            };
            self.sleep(next)?;
            if Instant::now() >= end {
                return Ok(None);
            }
        }
    }

    /// Sleeps until something happens, or it is time.
    fn sleep(&mut self, end: Instant) -> Result<(), Error> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let is_event = self.events.wait(left.min(GLANCE)).map_err(Error::Dm)?;
            let all_answer = self
                .paths
                .iter()
                .all(|path| member::answers(&self.system.inner, path));
            if is_event || !all_answer || Instant::now() >= end {
                return Ok(());
            }
        }
    }
}
