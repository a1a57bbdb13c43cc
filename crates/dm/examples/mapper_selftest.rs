//! Checks a mapper on two disks whose contents do not matter: `mapper_selftest --mapper kernel|stratis|embedded DISK DISK`.
//!
//! Prints `ok NAME` or `not ok NAME: why` for each check, and fails if one of them does.  `--nodes udev|own|none` says who
//! makes the nodes, where it is not to be found out.  The real mappers need root, and the disks are written to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lvm_dm::testing::{Bench, checks};
use lvm_dm::{DeviceId, DeviceMapper, DmName, DmUuid, Embedded, Kernel, NodeMode, UdevFlags};

type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut mapper, mut nodes, mut disks) = ("kernel".to_string(), None, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--mapper" => mapper = args.next().unwrap_or_default(),
            "--nodes" => nodes = args.next(),
            _ => disks.push(PathBuf::from(arg)),
        }
    }
    let (Some(made), [a, b]) = (make(&mapper, nodes.as_deref()), disks.as_slice()) else {
        eprintln!(
            "usage: mapper_selftest [--mapper kernel|stratis|embedded] [--nodes udev|own|none] DISK DISK"
        );
        return ExitCode::from(2);
    };
    let mode = made.node_mode();
    println!("# {mapper}, nodes: {mode:?}");
    let bench = match Bench::new(made, [a, b], Path::new("/dev")) {
        Ok(bench) => bench,
        Err(error) => {
            println!("not ok the disks are there: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut good = true;
    let mut tell = |name: &str, result: Outcome| {
        match &result {
            Ok(()) => println!("ok {name}"),
            Err(why) => println!("not ok {name}: {}", why.replace('\n', " | ")),
        }
        good &= result.is_ok();
    };
    for check in checks() {
        tell(check.name, check.run(&bench));
    }
    if mapper == "kernel" {
        tell(
            "the kernel tells versions, takes geometry and waits",
            kernel_only(mode),
        );
    }
    tell("no semaphore is left", no_semaphore());
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn make(mapper: &str, nodes: Option<&str>) -> Option<Box<dyn DeviceMapper>> {
    let nodes = match nodes {
        None => None,
        Some("udev") => Some(NodeMode::Udev),
        Some("own") => Some(NodeMode::Own),
        Some("none") => Some(NodeMode::None),
        Some(_) => return None,
    };
    match (mapper, nodes) {
        ("kernel", Some(mode)) => Some(Box::new(Kernel::with_nodes(mode))),
        ("kernel", None) => Some(Box::new(Kernel::new())),
        #[cfg(feature = "devicemapper")]
        ("stratis", None) => match lvm_dm::Stratis::new() {
            Ok(mapper) => Some(Box::new(mapper)),
            Err(error) => {
                println!("not ok the mapper can be had: {error}");
                None
            }
        },
        ("embedded", None) => Some(Box::new(Embedded::new())),
        _ => None,
    }
}

/// What only [`Kernel`] has.
fn kernel_only(mode: NodeMode) -> Outcome {
    let words = |error: lvm_dm::Error| format!("{error}: {}", error.errno());
    let kernel = Kernel::with_nodes(mode);
    let linear = kernel.target_version("linear").map_err(words)?;
    if linear.is_none_or(|target| target.name != "linear" || target.version.major == 0) {
        return Err("the version of the linear target".into());
    }
    if kernel.target_version("no-such-target").is_ok() {
        return Err("the version of a target that is not there".into());
    }
    let name = DmName::new("selftest-kernel").map_err(words)?;
    let uuid = DmUuid::new("TEST-kernel").map_err(words)?;
    let id = DeviceId::Uuid(&uuid);
    let table = "0 2048 zero".parse().map_err(words)?;
    kernel.create(&name, &uuid).map_err(words)?;
    kernel.load(id, &table, false).map_err(words)?;
    let mut cookie = kernel.cookie().map_err(words)?;
    let info = kernel
        .resume(id, UdevFlags::empty(), &mut cookie)
        .map_err(words)?;
    kernel.finish(cookie, Duration::from_secs(30)).map_err(words)?;
    kernel.set_geometry(id, 16, 16, 8, 0).map_err(words)?;
    if kernel.set_geometry(id, 0, 999, 999, 1 << 40).is_ok() {
        return Err("a geometry that cannot be is taken".into());
    }
    // An event that was missed does not block.
    let waited = kernel
        .wait_without_limit(id, info.event_nr.wrapping_add(1))
        .map_err(words)?;
    if waited.event_nr != info.event_nr {
        return Err(format!("waited for event {}", waited.event_nr));
    }
    let mut cookie = kernel.cookie().map_err(words)?;
    kernel
        .remove(id, false, UdevFlags::empty(), &mut cookie)
        .map_err(words)?;
    kernel.finish(cookie, Duration::from_secs(30)).map_err(words)
}

/// The keys of udev's semaphores begin with 0x0d4d.
fn no_semaphore() -> Outcome {
    let listed = std::fs::read_to_string("/proc/sysvipc/sem").map_err(|error| error.to_string())?;
    let keys = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    match keys.filter(|key| key >> 16 == 0x0d4d).count() {
        0 => Ok(()),
        count => Err(format!("{count} semaphores")),
    }
}
