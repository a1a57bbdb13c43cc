//! Finds the process that holds a flock, for error messages.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::entries;

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its id in our pid namespace.
    pub pid: u32,
    /// Its command name as the kernel keeps it (15 bytes), where it could be read.
    pub command: Option<String>,
}

impl LockHolder {
    /// Another call of the process that asks.
    pub(crate) fn this_process() -> Self {
        Self {
            pid: std::process::id(),
            command: None,
        }
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == std::process::id() {
            return write!(f, "another call of this process, {}", self.pid);
        }
        write!(f, "process {}", self.pid)?;
        match &self.command {
            Some(command) => write!(f, " ({command})"),
            None => Ok(()),
        }
    }
}

/// A lock as `/proc/locks` and `/proc/PID/fdinfo` print it.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    pid: u32,
    device: (u64, u64),
    inode: u64,
}

impl Entry {
    /// Reads `1: FLOCK  ADVISORY  WRITE 1234 00:19:5678 0 EOF`; `None` for other kinds and for waiters (`->`).
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "FLOCK");
        if line.contains("->") {
            return None;
        }
        let pid = words.nth(3)?.parse().ok()?;
        let mut place = words.next()?.split(':');
        let number = |text: Option<&str>| u64::from_str_radix(text?, 16).ok();
        let device = (number(place.next())?, number(place.next())?);
        let inode = place.next()?.parse().ok()?;
        Some(Self { pid, device, inode })
    }
}

/// The process with a flock on the file at `path`, as far as `proc` shows it.
///
/// `/proc/locks` names it by device and inode.  On file systems whose inodes report another device than the
/// kernel's own (overlay, btrfs) that finds nothing, so the open files of all visible processes are tried next.
pub(crate) fn find(proc: &Path, path: &Path) -> Option<LockHolder> {
    let file = fs::metadata(path).ok()?;
    let pid = from_locks(proc, &file).or_else(|| from_open_files(proc, path, &file))?;
    let command = fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok();
    Some(LockHolder {
        pid,
        command: command.map(|name| name.trim_end().to_owned()),
    })
}

/// Has any process a flock on the file at `path`, as far as a quick look shows?
///
/// It reads `/proc/locks` and, for the file systems on which that finds nothing, the open files of this process alone.
pub(crate) fn is_held(proc: &Path, path: &Path) -> bool {
    let Ok(file) = fs::metadata(path) else {
        return false;
    };
    from_locks(proc, &file).is_some() || has_locked(&proc.join("self"), path, &file)
}

fn from_locks(proc: &Path, file: &fs::Metadata) -> Option<u32> {
    let device = (major(file.dev()), minor(file.dev()));
    let locks = fs::read_to_string(proc.join("locks")).ok()?;
    let mut entries = locks.lines().filter_map(Entry::parse);
    entries
        .find(|entry| entry.device == device && entry.inode == file.ino() && entry.pid != 0)
        .map(|entry| entry.pid)
}

fn from_open_files(proc: &Path, path: &Path, file: &fs::Metadata) -> Option<u32> {
    let mut processes = entries(proc).filter_map(|entry| {
        let id = entry.name().to_str()?.parse().ok()?;
        Some((id, entry.path()))
    });
    let holder = processes.find(|(_, process)| has_locked(process, path, file));
    holder.map(|(id, _)| id)
}

/// Has the process whose folder is `process` a flock on a file?
fn has_locked(process: &Path, path: &Path, file: &fs::Metadata) -> bool {
    let folder = process.join("fd");
    let mut descriptors = entries(&folder).filter(|descriptor| {
        // The name is compared first: a stat of some other file (on a dead network mount) could hang.
        fs::read_link(descriptor.path()).is_ok_and(|target| target.file_name() == path.file_name())
            && fs::metadata(descriptor.path())
                .is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    });
    descriptors.any(|descriptor| {
        let info = fs::read_to_string(process.join("fdinfo").join(descriptor.name()));
        let is_lock = |line: &str| line.starts_with("lock:") && Entry::parse(line).is_some();
        info.is_ok_and(|info| info.lines().any(is_lock))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_locks_lines_are_read_and_waiters_left_out() {
        let held = "12: FLOCK  ADVISORY  WRITE 1234 fd:1a:5678 0 EOF";
        assert_eq!(
            Entry::parse(held),
            Some(Entry {
                pid: 1234,
                device: (0xfd, 0x1a),
                inode: 5678
            })
        );
        let info = "lock:\t1: FLOCK  ADVISORY  READ  77 00:19:12 0 EOF";
        assert_eq!(
            Entry::parse(info),
            Some(Entry {
                pid: 77,
                device: (0, 0x19),
                inode: 12
            })
        );
        for other in [
            "12: -> FLOCK  ADVISORY  WRITE 1234 fd:1a:5678 0 EOF",
            "13: POSIX  ADVISORY  WRITE 1234 fd:1a:5678 0 EOF",
            "13: FLOCK  ADVISORY  WRITE",
            "",
        ] {
            assert_eq!(Entry::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_open_files_of_processes_name_the_holder_where_proc_locks_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("V_vg0");
        let file = fs::File::create(&path).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(
            from_open_files(Path::new("/proc"), &path, &meta),
            None,
            "open but not locked"
        );
        file.lock().unwrap();
        assert_eq!(
            from_open_files(Path::new("/proc"), &path, &meta),
            Some(std::process::id())
        );
    }
}
