//! Bad input: a typed error, and every disk as it was.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use lvm_pool::{Class, CreatePool, CreateReplica, Error, Layout, SetReplica, Shrink, System};

use crate::lab::{Lab, POOL, UNIT, forced, request as pool_request, uuid};

/// Runs a call that must be refused, and compares the disks.
#[track_caller]
pub(crate) fn check_refused<T>(
    lab: &Lab,
    kind: &str,
    class: Class,
    call: impl FnOnce(&System) -> Result<T, Error>,
) {
    let system = lab.system();
    let before = lab.bytes();
    let devices = lab.fake.changes().len();
    let error = call(&system).err().expect("must be refused");
    assert_eq!((error.kind(), error.class()), (kind, class), "{error}");
    assert!(error.errno() > 0 && error.errno_name().starts_with('E'));
    assert!(lab.bytes() == before, "{error}: a disk changed");
    let changes = &lab.fake.changes()[devices..];
    let left = changes
        .iter()
        .filter(|call| !["cookie", "finish"].contains(&call.command()))
        .count();
    assert_eq!(left, 0, "{error}: the kernel changed: {changes:?}");
}

#[test]
fn names_that_lvm_refuses_make_no_pool() {
    let lab = Lab::new(1);
    for name in [
        "",
        "-a",
        ".",
        "..",
        "a b",
        "a/b",
        "../a",
        "a\u{e9}",
        "a,b",
        &"x".repeat(128),
    ] {
        let request = CreatePool::new(name, lab.images.clone());
        check_refused(&lab, "InvalidName", Class::InvalidArgument, |system| {
            system.create_pool(&request)
        });
    }
    // Legal for LVM, but no replica's device name would fit.
    let request = CreatePool::new(&"x".repeat(100), lab.images.clone());
    check_refused(&lab, "InvalidArgument", Class::InvalidArgument, |system| {
        system.create_pool(&request)
    });
}

#[test]
fn disks_that_are_not_free_make_no_pool() {
    let lab = Lab::with_pool(1);
    let folder = lab.images[0].parent().unwrap().to_owned();
    let image = |name: &str, size: u64| {
        let path = folder.join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    };
    let create = |disks: Vec<std::path::PathBuf>| {
        move |system: &System| system.create_pool(&CreatePool::new("other", disks))
    };
    let blank = image("blank.img", 64 * UNIT);
    check_refused(
        &lab,
        "DiskNotFound",
        Class::NotFound,
        create(vec![folder.join("missing.img")]),
    );
    check_refused(
        &lab,
        "InvalidDisk",
        Class::InvalidArgument,
        create(vec![blank.clone(), blank.clone()]),
    );
    check_refused(
        &lab,
        "DiskInUse",
        Class::Precondition,
        create(vec![lab.images[0].clone()]),
    );
    check_refused(
        &lab,
        "DiskTooSmall",
        Class::InvalidArgument,
        create(vec![image("small.img", UNIT)]),
    );
    check_refused(
        &lab,
        "InvalidArgument",
        Class::InvalidArgument,
        create(Vec::new()),
    );

    // An ext4 super block: its magic number is at byte 1080.
    let ext4 = image("ext4.img", 64 * UNIT);
    File::options()
        .write(true)
        .open(&ext4)
        .unwrap()
        .write_all_at(&[0x53, 0xEF], 1080)
        .unwrap();
    let before = fs::read(&ext4).unwrap();
    check_refused(&lab, "DiskInUse", Class::Precondition, create(vec![ext4.clone()]));
    assert!(fs::read(&ext4).unwrap() == before);
    lab.system().create_pool(&forced("other", &[ext4])).unwrap();
}

#[test]
fn a_pool_that_exists_otherwise_is_not_made_again() {
    let lab = Lab::with_pool(2);
    let request = pool_request(POOL, &lab.images);
    let refused = |kind, change: &dyn Fn(&mut CreatePool)| {
        let mut request = request.clone();
        change(&mut request);
        check_refused(&lab, kind, Class::InvalidArgument, |system| {
            system.create_pool(&request)
        });
    };
    refused("DisksMismatch", &|request| request.disks.truncate(1));
    refused("UuidMismatch", &|request| request.uuid = Some(uuid(9)));
    refused("InvalidArgument", &|request| request.extent_size = Some(8 * UNIT));
    refused("InvalidArgument", &|request| {
        request.extent_size = Some(3 * UNIT + 512)
    });
    let reversed = pool_request(POOL, &lab.images.iter().rev().cloned().collect::<Vec<_>>());
    let before = lab.bytes();
    lab.system().create_pool(&reversed).unwrap();
    assert!(
        lab.bytes() == before,
        "the same disks in another order are the same pool"
    );
}

#[test]
fn replicas_that_cannot_be_are_not_made() {
    let lab = Lab::with_pool(2);
    let pool = lab.pool();
    let mut first = CreateReplica::new(uuid(1), 8 * UNIT);
    first.name = Some("one".into());
    pool.create_replica(&first).unwrap();
    let refused = |kind, class, change: &dyn Fn(&mut CreateReplica)| {
        let mut request = CreateReplica::new(uuid(2), 8 * UNIT);
        change(&mut request);
        check_refused(&lab, kind, class, |system| {
            system.create_replica(POOL, &request, &mut |_| {})
        });
        check_refused(&lab, kind, class, |system| {
            system
                .open_pool(POOL)?
                .create_replicas(&[CreateReplica::new(uuid(3), UNIT), request.clone()])
        });
    };
    refused("AlreadyExists", Class::AlreadyExists, &|request| {
        request.uuid = uuid(1)
    });
    refused("AlreadyExists", Class::AlreadyExists, &|request| {
        request.name = Some("one".into())
    });
    refused("InvalidArgument", Class::InvalidArgument, &|request| {
        request.uuid = uuid::Uuid::nil()
    });
    refused("InvalidArgument", Class::InvalidArgument, &|request| {
        request.size = 0
    });
    refused("InvalidArgument", Class::InvalidArgument, &|request| {
        request.size = u64::MAX
    });
    refused("NoSpace", Class::NoSpace, &|request| request.size = 1 << 40);
    refused("NoSpace", Class::NoSpace, &|request| {
        request.layout = Layout::striped(3, 64 << 10).unwrap()
    });
    refused("InvalidArgument", Class::InvalidArgument, &|request| {
        request.layout = Layout::striped(2, 8 << 20).unwrap()
    });
    refused("InvalidName", Class::InvalidArgument, &|request| {
        request.name = Some("a,b".into())
    });
    refused("InvalidName", Class::InvalidArgument, &|request| {
        request.entity_id = Some("a b".into())
    });
    refused("InvalidArgument", Class::InvalidArgument, &|request| {
        request.name = Some(String::new())
    });
}

#[test]
fn what_does_not_exist_is_not_found_and_what_is_in_use_stays() {
    let lab = Lab::with_pool(2);
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    let unknown = uuid(7);
    let missing = |call: &dyn Fn(&System) -> Result<(), Error>| {
        check_refused(&lab, "ReplicaNotFound", Class::NotFound, |system| call(system));
    };
    missing(&|system| system.replica_info(unknown).map(drop));
    missing(&|system| system.pool_of_replica(unknown).map(drop));
    missing(&|system| system.open_pool(POOL)?.destroy_replica(unknown));
    missing(&|system| {
        system
            .open_pool(POOL)?
            .resize_replica(unknown, UNIT, Shrink::Allow)
            .map(drop)
    });
    missing(&|system| {
        system
            .open_pool(POOL)?
            .set_replica(unknown, &SetReplica::default())
            .map(drop)
    });
    check_refused(&lab, "PoolNotFound", Class::NotFound, |system| {
        system.open_pool("nobody")
    });
    check_refused(&lab, "PoolNotFound", Class::NotFound, |system| {
        system.destroy_pool("nobody")
    });

    check_refused(&lab, "ShrinkRefused", Class::InvalidArgument, |system| {
        system
            .open_pool(POOL)?
            .resize_replica(uuid(1), 4 * UNIT, Shrink::Refuse)
    });
    check_refused(&lab, "NoSpace", Class::NoSpace, |system| {
        system
            .open_pool(POOL)?
            .resize_replica(uuid(1), 1 << 40, Shrink::Refuse)
    });
    let open = lab.pool().open_replica(uuid(1)).unwrap();
    for call in [
        (|system| system.open_pool(POOL)?.destroy_replica(uuid(1))) as fn(&System) -> Result<(), Error>,
        |system| system.open_pool(POOL)?.deactivate_replica(uuid(1)).map(drop),
        |system| system.export_pool(POOL),
        |system| system.destroy_pool(POOL),
    ] {
        check_refused(&lab, "Busy", Class::Busy, call);
    }
    drop(open);
    let last = Lab::with_pool(1);
    last.pool()
        .create_replica(&CreateReplica::new(uuid(1), 4 * UNIT))
        .unwrap();
    check_refused(&last, "DiskNotEmpty", Class::Precondition, |system| {
        system.open_pool(POOL)?.remove_disk(&last.images[0])
    });
    check_refused(&lab, "InvalidDisk", Class::InvalidArgument, |system| {
        system.open_pool(POOL)?.remove_disk("/nowhere".as_ref())
    });
}

#[test]
fn a_pool_with_a_missing_disk_is_shown_and_not_changed() {
    let lab = Lab::with_pool(2);
    lab.pool()
        .create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    fs::remove_file(&lab.images[1]).unwrap();
    let kept = &lab.images[..1];
    let before = fs::read(&kept[0]).unwrap();
    let system = lab.system();
    let info = system.pool_info(POOL).unwrap();
    assert_eq!(info.state.as_str(), "degraded");
    assert!(
        info.reasons.iter().any(|reason| reason.contains("missing")),
        "{:?}",
        info.reasons
    );
    assert_eq!(system.replicas().unwrap().len(), 1);
    let error = system
        .open_pool(POOL)
        .unwrap()
        .create_replica(&CreateReplica::new(uuid(2), UNIT))
        .unwrap_err();
    assert_eq!((error.kind(), error.class()), ("MissingPv", Class::Precondition));
    assert_eq!(system.destroy_pool(POOL).unwrap_err().kind(), "MissingPv");
    assert!(fs::read(&kept[0]).unwrap() == before);
}

#[test]
fn a_lock_that_is_held_is_named_with_its_holder_after_the_deadline() {
    let lab = Lab::with_pool(1);
    let locks = lab.images[0].parent().unwrap().join("lock");
    let file = File::create(locks.join(format!("V_{POOL}"))).unwrap();
    let held = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let system = System::embedded()
        .devices(lab.images.clone())
        .lock_dir(locks)
        .timeout(std::time::Duration::from_millis(50))
        .build()
        .unwrap();
    let pool = system.open_pool(POOL).unwrap();
    assert_eq!(pool.info().unwrap().name, POOL, "reading takes no lock");
    let error = pool
        .create_replica(&CreateReplica::new(uuid(1), UNIT))
        .unwrap_err();
    assert_eq!((error.kind(), error.errno()), ("LockTimeout", libc::EBUSY));
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(held);
    pool.create_replica(&CreateReplica::new(uuid(1), UNIT)).unwrap();
}
