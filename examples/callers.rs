//! Many threads of one process make and destroy replicas of a pool, and others list them: what was answered holds.
//!
//! ```text
//! callers POOL FIRST THREADS ROUNDS
//! ```
//!
//! Thread N makes and destroys the replica with number FIRST + N, ROUNDS times, by its UUID alone as a server does, while two
//! threads list all replicas of the pool.  Exit 1 tells what did not hold; the pool's other replicas are left alone, and should
//! be active.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lvm_native::pool::{CreateReplica, Error, System};
use uuid::Uuid;

const SIZE: u64 = 4 << 20;
/// Others change the pool, too: each may have to wait for all.
const TIMEOUT: Duration = Duration::from_secs(300);
const READERS: usize = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [pool, numbers @ ..] = args.as_slice() else {
        return usage();
    };
    let numbers: Vec<u32> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    let [first, threads, rounds] = numbers[..] else {
        return usage();
    };
    let system = match System::kernel().timeout(TIMEOUT).build() {
        Ok(system) => system,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let wrong = call(&system, pool, first, threads, rounds);
    wrong.iter().for_each(|wrong| println!("{wrong}"));
    match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: callers POOL FIRST THREADS ROUNDS");
    ExitCode::from(2)
}

fn call(system: &System, pool: &str, first: u32, threads: u32, rounds: u32) -> Vec<String> {
    let wrong = Mutex::new(Vec::new());
    let tell = |what: Result<(), String>| {
        if let (Err(what), Ok(mut wrong)) = (what, wrong.lock()) {
            wrong.push(what);
        }
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    tell(list(system, pool));
                }
            });
        }
        let writers: Vec<_> = (first..first.saturating_add(threads))
            .map(|number| {
                scope.spawn(move || (0..rounds).try_for_each(|_| make_and_destroy(system, pool, number)))
            })
            .collect();
        for writer in writers {
            tell(writer.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    wrong.into_inner().unwrap_or_default()
}

/// Every replica that a list shows is one before its destruction or after its creation: it has a device.
fn list(system: &System, pool: &str) -> Result<(), String> {
    let replicas = system.pool_replicas(pool).map_err(told("list"))?;
    match replicas.iter().find(|replica| !replica.active) {
        Some(replica) => Err(format!("a list shows {} without a device", replica.uuid)),
        None => Ok(()),
    }
}

fn make_and_destroy(system: &System, pool: &str, number: u32) -> Result<(), String> {
    let uuid = Uuid::from_u128(u128::from(number) << 96 | 0x4000_8000_0000_0000_0000 | u128::from(number));
    let made = system
        .create_replica(pool, &CreateReplica::new(uuid, SIZE), &mut |_| {})
        .map_err(told("create"))?;
    let device = made
        .device
        .ok_or_else(|| format!("{uuid} was made without a device"))?;
    if !made.active || !device.exists() {
        return Err(format!("{uuid} was made, and has no {}", device.display()));
    }
    let shown = system.replica_info(uuid).map_err(told("show"))?;
    if !shown.active {
        return Err(format!("{uuid} was made, and is shown without a device"));
    }
    let handle = system.pool_of_replica(uuid).map_err(told("open the pool of"))?;
    handle.destroy_replica(uuid).map_err(told("destroy"))?;
    match system.replica_info(uuid) {
        Err(Error::ReplicaNotFound(_)) => {}
        other => return Err(format!("{uuid} was destroyed, and is shown: {other:?}")),
    }
    match device.exists() {
        true => Err(format!("{uuid} was destroyed, and {} is there", device.display())),
        false => Ok(()),
    }
}

fn told(what: &'static str) -> impl Fn(Error) -> String {
    move |error| {
        let mut text = format!("{what}: {} {error}", error.kind());
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}
