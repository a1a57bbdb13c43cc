//! A volume that survives a node: the story of a failure, step by step, as it happens.
//!
//! ```text
//! ha_volume SIZE URI URI...
//! ```
//!
//! Makes a volume over the replicas, publishes it, and writes to it without a pause while it looks after it.  Somebody else
//! takes a node's power meanwhile, and gives it back; `cargo xtask vm cluster bookworm noudev ha_volume` does, in VMs.
//! It ends when all replicas are in line again after that: every write was acknowledged, and is read back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvm_native::pool::{Error, ReplicaUri, State, System, VolumeInfo, parse_size};
use uuid::Uuid;

/// The unit of writing.
const BLOCK: usize = 4096;
/// Blocks that are written, in turn.
const BLOCKS: u64 = 4096;
/// A story that takes longer goes wrong.
const LONGEST: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [size, uris @ ..] = args.as_slice() else {
        eprintln!("usage: ha_volume SIZE URI URI...");
        return ExitCode::from(2);
    };
    match story(size, uris) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn story(size: &str, uris: &[String]) -> Result<()> {
    let uris: Vec<ReplicaUri> = uris
        .iter()
        .map(|uri| uri.parse())
        .collect::<std::result::Result<_, Error>>()?;
    let mut builder = System::kernel();
    if let Ok(host) = std::env::var("HOSTNQN") {
        builder = builder.host_nqn(host.parse()?);
    }
    let system = builder.build()?;
    let volume = Uuid::new_v4();
    let begun = Instant::now();
    let tell = |text: String| {
        println!("{:6.1} s  {text}", begun.elapsed().as_secs_f64());
        let _ = io::stdout().flush();
    };

    system.create_volume(volume, parse_size(size)?, &uris)?;
    tell(format!("a volume of {size} is made over {} replicas", uris.len()));
    for uri in &uris {
        tell(format!("    {uri}"));
    }
    let published = system.publish_volume(volume, &uris, false)?;
    let device = published.device.ok_or("the volume has no device")?;
    tell(format!("it is published as {}", device.display()));
    system.heal_volume(volume, &[], &mut |_| {})?;
    tell("all replicas are in sync".into());

    let (acknowledged, stall, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| write(&device, &acknowledged, &stall, &is_over));
        tell("a program writes to it without a pause; take the power of a node now".into());
        let watched = watch(&system, volume, begun, &tell, &stall, || !writer.is_finished());
        is_over.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| "the writer died")??;
        watched
    })?;

    let last = acknowledged.load(Ordering::Relaxed);
    check(&device, last)?;
    let stall = Duration::from_micros(stall.load(Ordering::Relaxed));
    tell(format!(
        "{last} writes were acknowledged, none failed, all are there; the longest took {:.2} s",
        stall.as_secs_f64()
    ));
    system.unpublish_volume(volume)?;
    tell("the volume is unpublished".into());
    Ok(())
}

/// Tells what happens to the volume until it was degraded and is whole again.
fn watch(
    system: &System,
    volume: Uuid,
    begun: Instant,
    tell: &dyn Fn(String),
    stall: &AtomicU64,
    is_written: impl Fn() -> bool,
) -> Result<()> {
    let mut monitor = system.watch_volume(volume)?;
    let mut was_degraded = false;
    let mut states = Vec::new();
    while begun.elapsed() < LONGEST {
        if !is_written() {
            return Err("a write failed".into());
        }
        let Some(info) = monitor.wait(Duration::from_secs(1))? else {
            continue;
        };
        let now: Vec<&str> = info
            .replicas
            .iter()
            .map(|replica| replica.state.as_str())
            .collect();
        if now != states {
            tell(line(&info, stall));
            states = now;
        }
        was_degraded |= info.state == State::Degraded;
        if was_degraded && info.state == State::Online {
            return Ok(());
        }
    }
    Err("nothing happened to the volume, or it did not recover".into())
}

fn line(info: &VolumeInfo, stall: &AtomicU64) -> String {
    let replicas = info.replicas.iter().map(|replica| replica.state.as_str());
    format!(
        "{}, epoch {}: the replicas are {}; longest write till now {:.2} s",
        info.state.as_str(),
        info.epoch,
        replicas.collect::<Vec<_>>().join(" and "),
        Duration::from_micros(stall.load(Ordering::Relaxed)).as_secs_f64()
    )
}

/// A block as the numbered write leaves it, in memory that direct I/O takes.
fn block(memory: &mut [u8], number: u64) -> &[u8] {
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = &mut memory[start..start + BLOCK];
    block
        .chunks_exact_mut(8)
        .for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
    block
}

fn open(device: &Path) -> io::Result<File> {
    /// Past the page cache: what is read and written is the replicas'.
    const O_DIRECT: i32 = nix::fcntl::OFlag::O_DIRECT.bits();
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(O_DIRECT)
        .open(device)
}

fn write(device: &Path, acknowledged: &AtomicU64, stall: &AtomicU64, is_over: &AtomicBool) -> io::Result<()> {
    let file = open(device)?;
    let mut memory = vec![0; 2 * BLOCK];
    while !is_over.load(Ordering::Relaxed) {
        let number = acknowledged.load(Ordering::Relaxed) + 1;
        let begun = Instant::now();
        file.write_all_at(block(&mut memory, number), number % BLOCKS * BLOCK as u64)?;
        stall.fetch_max(
            u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        acknowledged.store(number, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads the newest write of each block back.
fn check(device: &Path, last: u64) -> Result<()> {
    let file = open(device)?;
    let (mut memory, mut wanted) = (vec![0; 2 * BLOCK], vec![0; 2 * BLOCK]);
    for number in last.saturating_sub(BLOCKS - 1).max(1)..=last {
        let start = memory.as_ptr().align_offset(BLOCK);
        let read = &mut memory[start..start + BLOCK];
        file.read_exact_at(read, number % BLOCKS * BLOCK as u64)?;
        if *read != *block(&mut wanted, number) {
            return Err(format!("write {number} is lost").into());
        }
    }
    Ok(())
}
