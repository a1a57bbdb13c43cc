//! Is there a udevd, and can it be waited for?

use std::fs;
use std::io;
use std::path::Path;
use std::process;

use crate::nodes::NodeChanges;
use crate::sys::{SEMAPHORE_MEMBERS, Semaphore};
use crate::{Cookie, Error, NodeMode};

/// Tries for a free semaphore key before giving up.
const TRIES: u32 = 64;

/// The first IPC namespace of a kernel, by its fixed inode number (`PROC_IPC_INIT_INO`).
const FIRST_IPC_NAMESPACE: &str = "ipc:[4026531839]";

/// The first process namespace of a kernel, by its fixed inode number (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// udevd runs, reaches our semaphores, and nobody turned it off.
pub(super) fn detect() -> NodeMode {
    let disabled = std::env::var_os("DM_DISABLE_UDEV").is_some();
    if !disabled && can_wait(Path::new("/")) {
        NodeMode::Udev
    } else {
        NodeMode::Own
    }
}

/// Does a udevd run whose countdown arrives?
///
/// It runs in the first IPC namespace; in a container with another one its countdown never arrives, though its socket
/// may be there, and process 1 says nothing if it is the container's own.
pub(crate) fn can_wait(root: &Path) -> bool {
    let namespace = fs::read_link(root.join("proc/self/ns/ipc"));
    root.join("run/udev/control").exists()
        && root.join("proc/sysvipc/sem").exists()
        && namespace.is_ok_and(|found| found == Path::new(FIRST_IPC_NAMESPACE))
}

/// Do process ids mean the same here as for every process that makes cookies?
fn sees_all_processes() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|found| found == Path::new(FIRST_PID_NAMESPACE))
}

/// Removes the cookies of processes of this library that were killed before they could.
///
/// Best effort: what stays costs the kernel a semaphore and nobody waits for it.
pub(super) fn remove_cookies_of_the_dead() {
    if !sees_all_processes() {
        return;
    }
    let sets = fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
    for (id, key) in sets.lines().filter_map(set_of_ours) {
        let Some((semaphore, owner)) = Semaphore::made_by_us(id, key) else {
            continue;
        };
        let is_dead = owner != 0 && !Path::new("/proc").join(owner.to_string()).exists();
        if !is_dead {
            // Somebody else's to remove.
            std::mem::forget(semaphore);
        }
    }
}

/// Id and key of a set with as many members as ours, in a line of `key semid perms nsems ...`.
fn set_of_ours(line: &str) -> Option<(i32, i32)> {
    let mut words = line.split_ascii_whitespace();
    let (key, id) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let members: usize = words.nth(1)?.parse().ok()?;
    (members == SEMAPHORE_MEMBERS).then_some((id, key))
}

/// A cookie with a semaphore of its own, by a random key.
pub(super) fn cookie(dev: &Path) -> Result<Cookie, Error> {
    let failed = |source| Error::Io {
        what: "make",
        path: "udev's semaphore".into(),
        source,
    };
    let owner = if sees_all_processes() { process::id() } else { 0 };
    let mut last = io::ErrorKind::AlreadyExists.into();
    for number in (0..TRIES).map(|_| random()).filter(|number| *number != 0) {
        match Semaphore::new(number, owner) {
            Ok(semaphore) => {
                return Ok(Cookie {
                    semaphore: Some(semaphore),
                    nodes: NodeChanges::below(dev, true),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(last))
}

/// Any number will do that two processes are unlikely to draw at once: the key's exclusive creation decides.
fn random() -> u16 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bytes = RandomState::new().build_hasher().finish().to_ne_bytes();
    u16::from_ne_bytes([bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn host(namespace: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for dir in ["run/udev", "proc/sysvipc", "proc/self/ns"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("run/udev/control"), "").unwrap();
        fs::write(root.path().join("proc/sysvipc/sem"), "").unwrap();
        symlink(namespace, root.path().join("proc/self/ns/ipc")).unwrap();
        root
    }

    #[test]
    fn udevd_is_waited_for_where_it_runs_and_reaches_us() {
        assert!(can_wait(host(FIRST_IPC_NAMESPACE).path()));
        assert!(!can_wait(host("ipc:[4026532501]").path()), "in a container");
        for missing in ["run/udev/control", "proc/sysvipc/sem", "proc/self/ns/ipc"] {
            let root = host(FIRST_IPC_NAMESPACE);
            fs::remove_file(root.path().join(missing)).unwrap();
            assert!(!can_wait(root.path()), "without {missing}");
        }
    }

    #[test]
    fn a_dropped_cookie_leaves_no_semaphore() {
        let cookie = cookie(Path::new("/nonexistent")).unwrap();
        let number = cookie.semaphore.as_ref().unwrap().cookie();
        assert_ne!(number, 0);
        let taken = Semaphore::new(number, 0).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        drop(cookie);
        Semaphore::new(number, 0).unwrap();
    }

    #[test]
    fn a_cookie_goes_with_its_dead_maker_and_stays_with_a_living_one() {
        // Process ids end at 2^22.
        let dead = 1 << 27;
        let make = |owner| {
            let free = (1..=u16::MAX)
                .rev()
                .find_map(|number| Semaphore::new(number, owner).ok());
            free.unwrap()
        };
        let exists = |semaphore: &Semaphore| semaphore.raise().is_ok();
        let [of_dead, of_living, of_nobody] = [make(dead), make(process::id()), make(0)];
        remove_cookies_of_the_dead();
        assert_eq!(exists(&of_dead), !sees_all_processes());
        assert!(exists(&of_living) && exists(&of_nobody));
    }

    #[test]
    fn sets_of_libdevmapper_are_told_from_ours() {
        assert_eq!(
            set_of_ours(" 223150577 65540 600 3 0 0 0 0 1 1"),
            Some((65540, 223_150_577))
        );
        for other in ["", "key semid perms nsems", " 223150577 65540 600 1 0 0 0 0 1 1"] {
            assert_eq!(set_of_ours(other), None);
        }
    }
}
