//! The fake: another mapper behind a log and a list of faults.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Call;
use crate::{
    Backend, BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Embedded,
    Error, EventSource, ListedDevice, NodeMode, OpenMode, ReadAhead, StatusLine, SuspendFlags, Table,
    TargetVersion, UdevFlags, Version,
};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With this errno, and without effect.
    Refuse(i32),
    /// With this errno, after it took effect.
    LoseAnswer(i32),
    /// Without effect, and all calls after it fail too, with `EIO`: as when the process dies before this call.
    /// [`FakeMapper::heal`] is the new process.
    Die,
}

/// A mapper that keeps a log of its calls and fails where it is told to.
///
/// Devices are those of the mapper behind it, [`Embedded::with_thin_pools`] unless another is given, so they behave, have open counts
/// and hold data as there.  Clones share devices, log and faults; a clone that is kept outlives the pool under test.
/// What goes to the mapper behind it directly, by [`FakeMapper::inner`], is neither logged nor failed: an open device
/// from there is one that another process uses.
#[derive(Clone)]
pub struct FakeMapper<M = Embedded> {
    mapper: M,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    calls: Vec<Call>,
    rules: Vec<Rule>,
    fault_count: usize,
    dead: bool,
    read_aheads: BTreeMap<DeviceNumber, ReadAhead>,
}

struct Rule {
    when: When,
    fault: Fault,
}

enum When {
    /// After this many more calls.
    Call(usize),
    /// After this many more changes.
    Change(usize),
    /// Whenever it says so.
    Matching(Box<dyn FnMut(&Call) -> bool + Send>),
}

impl Book {
    /// Notes a call and tells how it fails, if it does.
    fn note(&mut self, call: Call) -> Option<Fault> {
        if self.dead {
            return Some(Fault::Die);
        }
        let mut fault = None;
        self.rules.retain_mut(|rule| {
            let (fires, stays) = match &mut rule.when {
                When::Matching(matches) => (matches(&call), true),
                When::Change(_) if !call.is_change() => (false, true),
                When::Call(left) | When::Change(left) => {
                    *left = left.saturating_sub(1);
                    (*left == 0, *left > 0)
                }
            };
            if fires {
                fault = fault.or(Some(rule.fault));
            }
            stays
        });
        self.dead = fault == Some(Fault::Die);
        self.fault_count += usize::from(fault.is_some());
        self.calls.push(call);
        fault
    }
}

impl FakeMapper {
    /// A fake without devices, over a mapper of its own that does all that [`Embedded`] does, and thin pools.
    pub fn new() -> Self {
        Self::around(Embedded::with_thin_pools())
    }
}

impl Default for FakeMapper {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> FakeMapper<M> {
    /// A fake in front of a mapper.
    pub fn around(mapper: M) -> Self {
        Self {
            mapper,
            book: Arc::default(),
        }
    }

    /// The mapper behind it.
    pub fn inner(&self) -> &M {
        &self.mapper
    }

    /// What was set last of how far a device reads ahead; that is no call in the log.
    pub fn read_ahead(&self, number: DeviceNumber) -> Option<ReadAhead> {
        self.book().read_aheads.get(&number).copied()
    }

    /// All calls so far, those that failed included, but not those of a dead process.
    pub fn calls(&self) -> Vec<Call> {
        self.book().calls.clone()
    }

    /// The calls that change something.
    pub fn changes(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(Call::is_change);
        calls
    }

    /// Empties the log.
    pub fn forget_calls(&self) {
        self.book().calls.clear();
    }

    /// Makes the `nth` call from now on fail; 1 is the next one.
    pub fn fault_at_call(&self, nth: usize, fault: Fault) {
        self.rule(When::Call(nth.max(1)), fault);
    }

    /// Makes the `nth` call from now on that changes something fail; 1 is the next one.
    pub fn fault_at_change(&self, nth: usize, fault: Fault) {
        self.rule(When::Change(nth.max(1)), fault);
    }

    /// Makes every call fail for which `matches` says so.
    pub fn fault_when(&self, fault: Fault, matches: impl FnMut(&Call) -> bool + Send + 'static) {
        self.rule(When::Matching(Box::new(matches)), fault);
    }

    /// How many calls failed by a fault: a loop over every call of an operation ends when this stays the same.
    pub fn fault_count(&self) -> usize {
        self.book().fault_count
    }

    /// Makes all calls fail from now on, as [`Fault::Die`] does.
    pub fn die(&self) {
        self.book().dead = true;
    }

    /// Has [`Fault::Die`] struck?  A test's disk that refuses to write then dies with the mapper.
    pub fn is_dead(&self) -> bool {
        self.book().dead
    }

    /// Takes all faults away, fired or not, and ends death.  Devices are as the last call left them.
    pub fn heal(&self) {
        let mut book = self.book();
        book.rules.clear();
        book.dead = false;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rule(&self, when: When, fault: Fault) {
        self.book().rules.push(Rule { when, fault });
    }

    /// Notes the call, then makes it, or fails.
    fn run<T, E>(
        &self,
        call: Call,
        fail: impl FnOnce(&Call, i32) -> E,
        act: impl FnOnce(&M) -> Result<T, E>,
    ) -> Result<T, E> {
        let fault = self.book().note(call.clone());
        match fault {
            None => act(&self.mapper),
            Some(Fault::Refuse(errno)) => Err(fail(&call, errno)),
            Some(Fault::LoseAnswer(errno)) => act(&self.mapper).and_then(|_| Err(fail(&call, errno))),
            Some(Fault::Die) => Err(fail(&call, libc::EIO)),
        }
    }

    fn command<T>(&self, call: Call, act: impl FnOnce(&M) -> Result<T, Error>) -> Result<T, Error> {
        let fail = |call: &Call, errno| Error::errno_of(call.command(), call.device(), errno);
        self.run(call, fail, act)
    }
}

impl<M: DeviceMapper> FakeMapper<M> {
    fn name(&self, id: DeviceId<'_>) -> String {
        match self.mapper.info(id) {
            Ok(Some(info)) => info.name.to_string(),
            _ => id.to_string(),
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for FakeMapper<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.book();
        let mut shown = f.debug_struct("FakeMapper");
        shown
            .field("mapper", &self.mapper)
            .field("calls", &book.calls.len());
        shown
            .field("rules", &book.rules.len())
            .field("dead", &book.dead)
            .finish()
    }
}

impl<M: DeviceMapper + Clone + 'static> DeviceMapper for FakeMapper<M> {
    fn backend(&self) -> Backend {
        Backend::Fake
    }

    fn node_mode(&self) -> NodeMode {
        self.mapper.node_mode()
    }

    fn version(&self) -> Result<Version, Error> {
        self.command(Call::Version, M::version)
    }

    fn takes_raid(&self, level: &str) -> bool {
        self.mapper.takes_raid(level)
    }

    fn targets(&self) -> Result<Vec<TargetVersion>, Error> {
        self.command(Call::Targets, M::targets)
    }

    fn backing(&self, path: &Path) -> Result<DeviceNumber, Error> {
        let call = Call::Backing { path: path.into() };
        self.command(call, |mapper| mapper.backing(path))
    }

    fn backing_path(&self, number: DeviceNumber) -> Option<PathBuf> {
        self.mapper.backing_path(number)
    }

    fn each_device(&self, visit: &mut dyn FnMut(ListedDevice<'_>)) -> Result<(), Error> {
        self.command(Call::List, |mapper| mapper.each_device(visit))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DeviceInfo, Error> {
        let call = Call::Create {
            name: name.clone(),
            uuid: uuid.clone(),
        };
        self.command(call, |mapper| mapper.create(name, uuid))
    }

    fn create_at(&self, name: &DmName, uuid: &DmUuid, minor: u32) -> Result<DeviceInfo, Error> {
        let call = Call::Create {
            name: name.clone(),
            uuid: uuid.clone(),
        };
        self.command(call, |mapper| mapper.create_at(name, uuid, minor))
    }

    fn set_read_ahead(&self, number: DeviceNumber, read_ahead: ReadAhead) -> Result<(), Error> {
        self.book().read_aheads.insert(number, read_ahead);
        self.mapper.set_read_ahead(number, read_ahead)
    }

    fn load(&self, id: DeviceId<'_>, table: &Table, read_only: bool) -> Result<DeviceInfo, Error> {
        let call = Call::Load {
            device: self.name(id),
            table: table.clone(),
            read_only,
        };
        self.command(call, |mapper| mapper.load(id, table, read_only))
    }

    fn clear(&self, id: DeviceId<'_>) -> Result<DeviceInfo, Error> {
        let device = self.name(id);
        self.command(Call::Clear { device }, |mapper| mapper.clear(id))
    }

    fn info(&self, id: DeviceId<'_>) -> Result<Option<DeviceInfo>, Error> {
        let device = self.name(id);
        self.command(Call::Info { device }, |mapper| mapper.info(id))
    }

    fn suspend(&self, id: DeviceId<'_>, flags: SuspendFlags) -> Result<DeviceInfo, Error> {
        let device = self.name(id);
        self.command(Call::Suspend { device, flags }, |mapper| {
            mapper.suspend(id, flags)
        })
    }

    fn resume(&self, id: DeviceId<'_>, flags: UdevFlags, cookie: &mut Cookie) -> Result<DeviceInfo, Error> {
        let device = self.name(id);
        self.command(Call::Resume { device, flags }, |mapper| {
            mapper.resume(id, flags, cookie)
        })
    }

    fn rename(
        &self,
        name: &DmName,
        new: &DmName,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        let call = Call::Rename {
            name: name.clone(),
            new: new.clone(),
            flags,
        };
        self.command(call, |mapper| mapper.rename(name, new, flags, cookie))
    }

    fn set_uuid(&self, name: &DmName, uuid: &DmUuid) -> Result<(), Error> {
        let call = Call::SetUuid {
            name: name.clone(),
            uuid: uuid.clone(),
        };
        self.command(call, |mapper| mapper.set_uuid(name, uuid))
    }

    fn remove(
        &self,
        id: DeviceId<'_>,
        deferred: bool,
        flags: UdevFlags,
        cookie: &mut Cookie,
    ) -> Result<(), Error> {
        let call = Call::Remove {
            device: self.name(id),
            deferred,
            flags,
        };
        self.command(call, |mapper| mapper.remove(id, deferred, flags, cookie))
    }

    fn table(&self, id: DeviceId<'_>, inactive: bool) -> Result<Table, Error> {
        let device = self.name(id);
        self.command(Call::Table { device, inactive }, |mapper| {
            mapper.table(id, inactive)
        })
    }

    fn status(&self, id: DeviceId<'_>, noflush: bool) -> Result<Vec<StatusLine>, Error> {
        let device = self.name(id);
        self.command(Call::Status { device, noflush }, |mapper| {
            mapper.status(id, noflush)
        })
    }

    fn deps(&self, id: DeviceId<'_>) -> Result<Vec<DeviceNumber>, Error> {
        let device = self.name(id);
        self.command(Call::Deps { device }, |mapper| mapper.deps(id))
    }

    fn message(&self, id: DeviceId<'_>, sector: u64, text: &str) -> Result<Option<String>, Error> {
        let call = Call::Message {
            device: self.name(id),
            sector,
            text: text.into(),
        };
        self.command(call, |mapper| mapper.message(id, sector, text))
    }

    fn wait(&self, id: DeviceId<'_>, event_nr: u32, timeout: Duration) -> Result<DeviceInfo, Error> {
        let call = Call::Wait {
            device: self.name(id),
            event_nr,
            timeout,
        };
        self.command(call, |mapper| mapper.wait(id, event_nr, timeout))
    }

    fn events(&self) -> Result<Box<dyn EventSource>, Error> {
        self.command(Call::Events, M::events)
    }

    fn cookie(&self) -> Result<Cookie, Error> {
        self.command(Call::Cookie, M::cookie)
    }

    fn finish(&self, cookie: Cookie, timeout: Duration) -> Result<(), Error> {
        self.command(Call::Finish { timeout }, |mapper| mapper.finish(cookie, timeout))
    }

    fn open(&self, id: DeviceId<'_>, mode: OpenMode) -> Result<Box<dyn BlockIo>, Error> {
        let device = self.name(id);
        let call = Call::Open {
            device: device.clone(),
            mode,
        };
        let opened = self.command(call, |mapper| mapper.open(id, mode))?;
        Ok(Box::new(Opened {
            fake: self.clone(),
            device,
            opened,
        }))
    }
}

/// An open device, whose reads and writes are calls too.
struct Opened<M> {
    fake: FakeMapper<M>,
    device: String,
    opened: Box<dyn BlockIo>,
}

impl<M> Opened<M> {
    fn run<T>(
        &self,
        call: impl FnOnce(String) -> Call,
        act: impl FnOnce(&dyn BlockIo) -> io::Result<T>,
    ) -> io::Result<T> {
        let fail = |_: &Call, errno| io::Error::from_raw_os_error(errno);
        self.fake
            .run(call(self.device.clone()), fail, |_| act(&*self.opened))
    }
}

impl<M: Send + Sync> BlockIo for Opened<M> {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let length = buf.len() as u64;
        self.run(
            |device| Call::Read { device, at, length },
            |io| io.read_at(at, buf),
        )
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        self.run(
            |device| Call::Write { device, at, length },
            |io| io.write_at(at, bytes),
        )
    }

    fn sync(&self) -> io::Result<()> {
        self.run(|device| Call::Sync { device }, |io| io.sync())
    }

    fn size(&self) -> io::Result<u64> {
        self.opened.size()
    }

    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        self.run(
            |device| Call::Zero { device, at, length },
            |io| io.zero(at, length),
        )
    }
}

#[cfg(test)]
mod tests;
