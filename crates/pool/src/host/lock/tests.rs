use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

struct Host {
    dir: tempfile::TempDir,
    locks: Locks,
}

fn host() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths {
        proc: "/proc".into(),
        ..Paths::under(dir.path())
    };
    Host {
        locks: Locks::new(&paths),
        dir,
    }
}

impl Host {
    fn vg(&self, mode: LockMode, timeout: Duration) -> Result<HeldLocks> {
        let mut held = self.locks.hold();
        held.vg("vg0", mode, timeout)?;
        Ok(held)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("run/lock/lvm").join(name)
    }
}

#[test]
fn a_writer_excludes_readers_and_writers_of_the_same_process() {
    let host = host();
    let writer = host.vg(LockMode::Exclusive, NOW).unwrap();
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        let err = host.vg(mode, NOW).unwrap_err();
        let Error::LockTimeout {
            holder: Some(holder),
            path,
            ..
        } = &err
        else {
            panic!("{err:?}")
        };
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(path, &host.file("V_vg0"));
        assert!(
            err.to_string().contains("held by another call of this process"),
            "{err}"
        );
    }
    drop(writer);
    drop(host.vg(LockMode::Exclusive, NOW).unwrap());
}

#[test]
fn readers_share_and_keep_writers_out() {
    let host = host();
    let first = host.vg(LockMode::Shared, NOW).unwrap();
    let second = host.vg(LockMode::Shared, NOW).unwrap();
    drop(first);
    assert!(matches!(
        host.vg(LockMode::Exclusive, NOW),
        Err(Error::LockTimeout { .. })
    ));
    drop(second);
    drop(host.vg(LockMode::Exclusive, NOW).unwrap());
}

#[test]
fn a_waiting_writer_holds_new_readers_back() {
    let host = host();
    let reader = host.vg(LockMode::Shared, NOW).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| host.vg(LockMode::Exclusive, LONG).map(drop));
        // Once the writer waits, it owns the helper file and a new reader does not get past it.
        while host.vg(LockMode::Shared, NOW).is_ok() {
            thread::yield_now();
        }
        drop(reader);
        writer.join().unwrap().unwrap();
    });
    drop(host.vg(LockMode::Shared, NOW).unwrap());
}

#[test]
fn a_lock_file_unlinked_by_its_holder_does_not_let_two_writers_in() {
    let host = host();
    let file = host.file("V_vg0");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // As the LVM tools do: lock, unlink, release.
    let Tried::Locked(old) = FileLock::try_lock(open(&file).unwrap(), LockMode::Exclusive).unwrap() else {
        panic!("a fresh file is locked");
    };
    thread::scope(|scope| {
        let waiter = scope.spawn(|| host.vg(LockMode::Exclusive, LONG));
        while !host.file("V_vg0:aux").exists() {
            thread::yield_now();
        }
        fs::remove_file(&file).unwrap();
        drop(old);
        let held = waiter.join().unwrap().unwrap();
        assert!(matches!(
            host.vg(LockMode::Exclusive, NOW),
            Err(Error::LockTimeout { .. })
        ));
        drop(held);
    });
}

#[test]
fn many_threads_never_overlap() {
    let host = host();
    let inside = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let _held = host.vg(LockMode::Exclusive, LONG).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
}

#[test]
fn locks_out_of_order_are_refused_and_held_ones_are_not_taken_twice() {
    let host = host();
    let mut held = host.locks.hold();
    held.vg("b", LockMode::Exclusive, NOW).unwrap();
    assert!(matches!(
        held.vg("a", LockMode::Shared, NOW),
        Err(Error::LockOrder { .. })
    ));
    assert!(matches!(
        held.global(LockMode::Shared, NOW),
        Err(Error::LockOrder { .. })
    ));
    held.vg("b", LockMode::Shared, NOW).unwrap();
    held.vg("c", LockMode::Shared, NOW).unwrap();
    assert!(
        matches!(
            held.vg("c", LockMode::Exclusive, NOW),
            Err(Error::LockOrder { .. })
        ),
        "no upgrade"
    );
    assert_eq!(held.mode(&LockName::Vg("c".into())), Some(LockMode::Shared));

    let mut all = host.locks.hold();
    all.global(LockMode::Exclusive, NOW).unwrap();
    all.devices_file("system.devices", LockMode::Exclusive, NOW)
        .unwrap();
    all.vg("z", LockMode::Exclusive, NOW).unwrap();
    for name in ["P_global", "D_system.devices", "V_z"] {
        assert!(host.file(name).exists(), "{name}");
    }
    all.release(&LockName::DevicesFile("system.devices".into()));
    let mut other = host.locks.hold();
    other
        .devices_file("system.devices", LockMode::Exclusive, NOW)
        .unwrap();
}

#[test]
fn the_locking_folder_is_made_private_and_its_path_must_be_a_folder() {
    let host = host();
    drop(host.vg(LockMode::Shared, NOW).unwrap());
    let mode = fs::metadata(host.file("")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let blocked = self::host();
    fs::create_dir_all(blocked.dir.path().join("run/lock")).unwrap();
    fs::write(blocked.dir.path().join("run/lock/lvm"), "").unwrap();
    assert!(matches!(
        blocked.vg(LockMode::Shared, NOW),
        Err(Error::Io { op: "create", .. })
    ));
}

#[test]
fn names_that_would_leave_the_locking_folder_are_refused() {
    let host = host();
    let mut held = host.locks.hold();
    for name in ["", "../x", "a/b", "x:aux", &"n".repeat(201)] {
        assert!(
            matches!(
                held.vg(name, LockMode::Shared, NOW),
                Err(Error::LockFileName { .. })
            ),
            "{name}"
        );
    }
}

#[test]
fn a_symbolic_link_in_place_of_a_lock_file_is_not_followed() {
    let host = host();
    fs::create_dir_all(host.file("")).unwrap();
    let target = host.dir.path().join("victim");
    std::os::unix::fs::symlink(&target, host.file("V_vg0")).unwrap();
    assert!(matches!(
        host.vg(LockMode::Exclusive, NOW),
        Err(Error::NotAFile { .. })
    ));
    assert!(!target.exists());
}

#[test]
fn what_is_in_the_place_of_a_lock_file_is_named() {
    for (make, kind) in [
        (
            (|path: &Path| fs::create_dir(path).unwrap()) as fn(&Path),
            "a folder",
        ),
        (
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap(),
            "a FIFO",
        ),
        (
            |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            "a socket",
        ),
    ] {
        let host = host();
        fs::create_dir_all(host.file("")).unwrap();
        make(&host.file("V_vg0"));
        let error = host.vg(LockMode::Exclusive, LONG).unwrap_err();
        assert!(
            matches!(&error, Error::NotAFile { found, .. } if *found == kind),
            "{error}"
        );
    }
}

#[test]
fn a_planted_link_is_no_locking_folder_where_all_users_may_make_them() {
    let host = host();
    let (dir, victim) = (host.file(""), host.dir.path().join("victim"));
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    fs::create_dir(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, dir.to_str().unwrap().trim_end_matches('/')).unwrap();
    let mut strict = host.locks.clone().without_links().hold();
    assert!(matches!(
        strict.vg("vg0", LockMode::Exclusive, NOW),
        Err(Error::UnsafeFolder { .. })
    ));
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    // An administrator's own is followed.
    drop(host.vg(LockMode::Exclusive, NOW).unwrap());
    assert_ne!(fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn of_many_callers_with_short_changes_none_is_told_that_the_lock_is_not_free() {
    let host = host();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let _held = host.vg(LockMode::Exclusive, Duration::from_secs(5)).unwrap();
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
}

#[test]
fn who_waits_behind_others_is_told_of_the_process_that_they_wait_for() {
    let host = host();
    let file = host.file("V_vg0");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut flock = std::process::Command::new("flock")
        .arg(&file)
        .args(["sh", "-c", "echo; read end"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0];
    std::io::Read::read_exact(flock.stdout.as_mut().unwrap(), &mut line).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| host.vg(LockMode::Exclusive, LONG).map(drop));
        while host.locks.try_turn(&LockName::Vg("vg0".into())).is_some() {
            thread::yield_now();
        }
        let told = host.vg(LockMode::Exclusive, NOW).unwrap_err().to_string();
        drop(flock.stdin.take());
        flock.wait().unwrap();
        first.join().unwrap().unwrap();
        assert!(told.contains("held by process"), "{told}");
    });
}
