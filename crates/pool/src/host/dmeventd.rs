//! LVM's daemon that makes thin pools larger.

use std::fs::File;

use nix::fcntl::{FcntlArg, fcntl};

use super::{Paths, regular};

/// A running dmeventd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dmeventd {
    /// Its process id; `None` when it runs in another pid namespace.
    pub pid: Option<u32>,
}

impl Dmeventd {
    /// Finds it by its pid file, of which it holds a lock as long as it lives; `None` when it does not run, or in another
    /// mount namespace.
    ///
    /// Its FIFOs tell nothing: where systemd makes them they are there before it is.
    pub fn find(paths: &Paths) -> Option<Self> {
        let file = regular::open(&paths.run.join("dmeventd.pid"), File::options().read(true)).ok()??;
        let mut lock = libc::flock {
            l_type: libc::F_WRLCK as _,
            l_whence: libc::SEEK_SET as _,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_GETLK(&mut lock)).ok()?;
        (i32::from(lock.l_type) != libc::F_UNLCK).then(|| Self {
            pid: u32::try_from(lock.l_pid).ok().filter(|pid| *pid != 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_runs_as_long_as_its_pid_file_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        assert_eq!(Dmeventd::find(&paths), None);
        fs::create_dir(&paths.run).unwrap();
        let file = File::create(paths.run.join("dmeventd.pid")).unwrap();
        assert_eq!(Dmeventd::find(&paths), None, "a file that a dead one left");
        // A lock of the open file is another owner's than this process's, as that of another process is.
        let lock = libc::flock {
            l_type: libc::F_WRLCK as _,
            l_whence: libc::SEEK_SET as _,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        assert_eq!(Dmeventd::find(&paths), Some(Dmeventd { pid: None }));
        drop(file);
        assert_eq!(Dmeventd::find(&paths), None);
    }
}
