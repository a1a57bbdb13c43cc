//! LVM's file locks: who may change what, agreed with the LVM tools and between processes.
//!
//! | file in the locking folder | covers |
//! | --- | --- |
//! | `P_global` | the set of PVs and the names of VGs |
//! | `D_<devices file>` | a devices file |
//! | `V_<vg>` | one VG: shared to report it, exclusive to change, activate or deactivate it |
//! | `P_global:aux`, `V_<vg>:aux` | let a waiting writer go before new readers |
//!
//! The lock is flock(2).  It belongs to the open file description, and each acquisition opens the file anew, so
//! threads and handles of one process exclude each other just as processes do.  flock knows no order, so those who
//! share one [`Locks`] queue before it (`queue.rs`), and the first of them alone polls.
//!
//! The tools unlink a lock file when they release it, so a lock counts only when the path still names the inode
//! that was locked.  This library never unlinks: an empty file that stays costs nothing, the tools take it
//! away at their next release, and a file that is never removed by us cannot be removed under somebody else.
//!
//! Waiting is polling with `LOCK_NB`: a blocking flock could be ended at a deadline only by a signal, which a
//! library must not send itself.  Reference: LVM2 `lib/misc/lvm-flock.c`, `lib/locking/file_locking.c`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::file_lock::{FileLock, Tried};
use super::folder::{self, Links};
use super::queue::{Place, Queues};
use super::{Error, LockHolder, LockName, Paths, Result, lock_holder, regular};

/// Shortest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// What the helper file of write priority is called, after the name of the lock file.
const AUX_SUFFIX: &str = ":aux";

/// How a lock is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Any number of readers.
    Shared,
    /// One writer alone.
    Exclusive,
}

/// The lock files of one host.
///
/// Clones share a queue for each lock, in which each call is served in the order in which it came.  Two that were made
/// by [`Locks::new`] compete as processes do.
#[derive(Clone, Debug)]
pub struct Locks {
    dir: PathBuf,
    proc: PathBuf,
    write_priority: bool,
    links: Links,
    queues: Arc<Queues<LockName>>,
}

/// A lock that is held, and with it the turn among the callers of this process.
#[derive(Debug)]
struct Turn {
    // The lock goes before the turn: the next caller finds it free.
    _lock: FileLock,
    _place: Place<LockName>,
}

impl Locks {
    /// The locks of the host at `paths`, with LVM's default of writers before readers.  Does no I/O.
    pub fn new(paths: &Paths) -> Self {
        Self {
            dir: paths.locking_dir.clone(),
            proc: paths.proc.clone(),
            write_priority: true,
            links: Links::Trusted,
            queues: Arc::default(),
        }
    }

    /// Does not use a folder whose place is a symbolic link, whoever made it: for a folder where all users may make some.
    #[must_use]
    pub fn without_links(mut self) -> Self {
        self.links = Links::Never;
        self
    }

    /// Follows `global/prioritise_write_locks`.  All users of a host must agree on it.
    #[must_use]
    pub fn with_write_priority(mut self, on: bool) -> Self {
        self.write_priority = on;
        self
    }

    /// Starts a set of locks, empty at first; all are released when it is dropped.
    pub fn hold(&self) -> HeldLocks {
        HeldLocks {
            locks: self.clone(),
            held: Vec::new(),
        }
    }

    /// Takes a turn without the lock, if no other caller has or wants the lock: as long as it is kept, none of this
    /// process has it.
    pub(crate) fn try_turn(&self, name: &LockName) -> Option<Place<LockName>> {
        let now = Instant::now();
        self.queues.enter(name, LockMode::Exclusive, now, Duration::ZERO)
    }

    /// Has any process the lock of a VG now?  As far as the kernel shows it.
    pub(crate) fn is_held(&self, vg: &str) -> bool {
        let path = self.path(&LockName::Vg(vg.to_owned()));
        path.is_ok_and(|path| lock_holder::is_held(&self.proc, &path))
    }

    /// That another call of this process kept the lock of a VG for too long.
    pub(crate) fn kept_here(&self, vg: &str, waited: Duration) -> Error {
        Error::LockTimeout {
            lock: LockName::Vg(vg.to_owned()),
            path: self.dir.join(format!("V_{vg}")),
            waited,
            holder: Some(LockHolder::this_process()),
        }
    }

    fn path(&self, name: &LockName) -> Result<PathBuf> {
        let (prefix, rest) = match name {
            LockName::Global => ("P_", "global"),
            LockName::DevicesFile(file) => ("D_", file.as_str()),
            LockName::Vg(vg) => ("V_", vg.as_str()),
            // Not in the locking folder.
            LockName::Hints | LockName::NvmeTarget => ("", ""),
        };
        // 200 leaves room for prefix and suffix in a file name of 255 bytes; LVM's names end at 127.
        if rest.is_empty() || rest.len() > 200 || rest.contains(['/', '\0']) || rest.ends_with(AUX_SUFFIX) {
            return Err(Error::LockFileName {
                name: rest.chars().take(140).collect(),
            });
        }
        Ok(self.dir.join(format!("{prefix}{rest}")))
    }

    fn acquire(&self, name: &LockName, mode: LockMode, timeout: Duration) -> Result<Turn> {
        let path = self.path(name)?;
        folder::make(&self.dir, self.links)?;
        let wait = Wait {
            name,
            main: &path,
            proc: &self.proc,
            began: Instant::now(),
            timeout,
        };
        let place = self.queues.enter(name, mode, wait.began, timeout);
        let place = place.ok_or_else(|| wait.too_late(&path, Some(LockHolder::this_process())))?;
        Ok(Turn {
            _lock: self.lock(&wait, mode)?,
            _place: place,
        })
    }

    /// Takes a lock whose turn it is.
    fn lock(&self, wait: &Wait<'_>, mode: LockMode) -> Result<FileLock> {
        let path = wait.main;
        // The tools lock a devices file without the helper.
        if !self.write_priority || matches!(wait.name, LockName::DevicesFile(_)) {
            return wait.flock(path, mode);
        }
        // Everybody passes through the helper; a writer stays in it while it waits, so that readers who
        // come later queue behind it instead of keeping the main lock shared for ever.
        let mut aux_path = path.to_owned().into_os_string();
        aux_path.push(AUX_SUFFIX);
        let aux = wait.flock(Path::new(&aux_path), LockMode::Exclusive)?;
        match mode {
            LockMode::Exclusive => wait.flock(path, mode),
            LockMode::Shared => {
                drop(aux);
                wait.flock(path, mode)
            }
        }
    }
}

/// A set of locks, released together (last taken first) when this is dropped.
///
/// The order that avoids deadlock with the LVM tools is enforced: the global lock first, then devices files, then
/// VGs by ascending name.  Asking again for a lock that is held in the same or a stronger mode does nothing.
#[derive(Debug)]
#[must_use = "the locks are released when this is dropped"]
pub struct HeldLocks {
    locks: Locks,
    held: Vec<(LockName, LockMode, Turn)>,
}

impl HeldLocks {
    /// Takes the global lock: exclusive to change the set of PVs or the name of any VG, shared to list all VGs.
    ///
    /// # Errors
    /// As [`HeldLocks::vg`].
    pub fn global(&mut self, mode: LockMode, timeout: Duration) -> Result<()> {
        self.take(LockName::Global, mode, timeout)
    }

    /// Takes the lock of the devices file called `file_name`: exclusive to change it.
    ///
    /// # Errors
    /// As [`HeldLocks::vg`].
    pub fn devices_file(&mut self, file_name: &str, mode: LockMode, timeout: Duration) -> Result<()> {
        self.take(LockName::DevicesFile(file_name.to_owned()), mode, timeout)
    }

    /// Takes the lock of VG `name`: exclusive to change its metadata and to activate or deactivate any of its LVs.
    ///
    /// What was read of the VG before this returns is a hint only: read it again.  `timeout` zero tries once.
    ///
    /// # Errors
    /// [`Error::LockTimeout`] with the holder when it is not free in time, [`Error::LockOrder`] when a lock that
    /// comes later is held already, [`Error::LockAccess`] without permission, [`Error::UnsafeFolder`] for a folder
    /// of another user's, [`Error::NotAFile`] for what is no lock file, [`Error::Io`] for the rest.  Locks
    /// taken before stay held.
    pub fn vg(&mut self, name: &str, mode: LockMode, timeout: Duration) -> Result<()> {
        self.take(LockName::Vg(name.to_owned()), mode, timeout)
    }

    /// Releases one lock early; nothing happens when it is not held.
    pub fn release(&mut self, name: &LockName) {
        self.held.retain(|(held, ..)| held != name);
    }

    /// The mode in which `name` is held, or `None`.
    pub fn mode(&self, name: &LockName) -> Option<LockMode> {
        self.held
            .iter()
            .find(|(held, ..)| held == name)
            .map(|(_, mode, _)| *mode)
    }

    fn take(&mut self, name: LockName, mode: LockMode, timeout: Duration) -> Result<()> {
        if self.mode(&name).is_some_and(|held| held >= mode) {
            return Ok(());
        }
        // The derived order of `LockName` is the order of taking.
        if let Some((last, ..)) = self.held.last().filter(|(last, ..)| *last >= name) {
            return Err(Error::LockOrder {
                wanted: name,
                held: last.clone(),
            });
        }
        let lock = self.locks.acquire(&name, mode, timeout)?;
        self.held.push((name, mode, lock));
        Ok(())
    }
}

impl Drop for HeldLocks {
    fn drop(&mut self) {
        while let Some(last) = self.held.pop() {
            drop(last);
        }
    }
}

/// One wait with a deadline, for a lock and its helper.
struct Wait<'a> {
    name: &'a LockName,
    main: &'a Path,
    proc: &'a Path,
    began: Instant,
    timeout: Duration,
}

impl Wait<'_> {
    fn flock(&self, path: &Path, mode: LockMode) -> Result<FileLock> {
        let mut file = open(path)?;
        let mut pause = FIRST_PAUSE;
        loop {
            match FileLock::try_lock(file, mode).map_err(Error::io("lock", path))? {
                Tried::Locked(lock) => {
                    if same_inode(path, lock.file())? {
                        return Ok(lock);
                    }
                    // The last holder unlinked the file that we waited for.
                    drop(lock);
                    file = open(path)?;
                    self.pause(&mut pause, path)?;
                }
                Tried::Busy(back) => {
                    file = back;
                    self.pause(&mut pause, path)?;
                    // A holder that unlinked its file leaves waiters on an inode nobody else looks at.
                    if !same_inode(path, &file)? {
                        file = open(path)?;
                    }
                }
            }
        }
    }

    /// Sleeps, longer each time, or fails when the time is up.
    fn pause(&self, pause: &mut Duration, path: &Path) -> Result<()> {
        let waited = self.began.elapsed();
        let left = self.timeout.saturating_sub(waited);
        if left.is_zero() {
            return Err(self.too_late(path, None));
        }
        thread::sleep(left.min(*pause));
        *pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// The error of a wait for `path` whose time is up; `otherwise` holds it if nothing else tells.
    fn too_late(&self, path: &Path, otherwise: Option<LockHolder>) -> Error {
        // Whoever holds the helper waits as we do, so the main lock's holder is the one to name.
        let holder = lock_holder::find(self.proc, self.main).or_else(|| lock_holder::find(self.proc, path));
        Error::LockTimeout {
            lock: self.name.clone(),
            path: self.main.to_owned(),
            waited: self.began.elapsed(),
            holder: holder.or(otherwise),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    regular::check_name(path)?;
    // No symbolic link is followed: on some hosts everybody may write to the folder above.
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options
        .open(path)
        .map_err(|source| open_error("open", path, source))?;
    regular::check_open(path, &file)?;
    Ok(file)
}

fn open_error(op: &'static str, path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::LockAccess {
            path: path.to_owned(),
            source,
        },
        _ => Error::io(op, path)(source),
    }
}

fn same_inode(path: &Path, file: &File) -> Result<bool> {
    let ours = file.metadata().map_err(Error::io("stat", path))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(Error::io("stat", path)(err)),
    }
}

#[cfg(test)]
mod tests;
