//! Times the operations of a long-lived handle, for comparison with the LVM tools: `cargo xtask bench` runs it.
//!
//! ```text
//! bench_ops [--mapper kernel|embedded] [--device PATH]... [--lock-dir DIR] [--rounds N] [--mark] POOL LVS
//! bench_ops --floor DISK [--rounds N]
//! ```
//!
//! Fills the pool up to LVS replicas of one extent, then creates, tags, resizes, lists and destroys one replica more,
//! N times, and prints `OPERATION MEDIAN_MICROSECONDS` for each.  With `--mark` a line on standard error begins and
//! ends each operation, so that a trace of the process can be cut by operation.  With `--floor` no pool is needed: it
//! times what of an operation is the kernel's and the disk's, on a blank disk that it maps and writes to.

mod floor;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use lvm_native::pool::{CreateReplica, Error, SetReplica, Shrink, StoragePool, System};
use uuid::Uuid;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value = "kernel")]
    mapper: Mapper,
    #[arg(long = "device", value_name = "PATH")]
    devices: Vec<PathBuf>,
    #[arg(long, value_name = "DIR")]
    lock_dir: Option<PathBuf>,
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    #[arg(long)]
    mark: bool,
    #[arg(long, value_name = "DISK", conflicts_with_all = ["pool", "lvs"])]
    floor: Option<PathBuf>,
    #[arg(required_unless_present = "floor")]
    pool: Option<String>,
    #[arg(required_unless_present = "floor")]
    lvs: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mapper {
    Kernel,
    Embedded,
}

/// The operations, in the order in which each round does them.
const OPERATIONS: [&str; 5] = ["create", "set-tag", "resize", "list", "destroy"];

fn main() -> ExitCode {
    let args = Args::parse();
    let rounds = match &args.floor {
        Some(disk) => floor::run(disk, args.rounds),
        None => run(&args),
    };
    let rounds = match rounds {
        Ok(rounds) => rounds,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}: {}", error.kind());
            return ExitCode::FAILURE;
        }
    };
    for (at, operation) in OPERATIONS.iter().enumerate() {
        let mut times: Vec<Duration> = rounds.iter().map(|round| round[at]).collect();
        times.sort();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let _ = writeln!(io::stdout(), "{operation} {:.1}", median.as_secs_f64() * 1e6);
    }
    ExitCode::SUCCESS
}

/// The time of each operation in one round.
type Times = [Duration; OPERATIONS.len()];

fn run(args: &Args) -> Result<Vec<Times>, Error> {
    let mut builder = match args.mapper {
        Mapper::Kernel => System::kernel(),
        Mapper::Embedded => System::embedded(),
    };
    if !args.devices.is_empty() {
        builder = builder.devices(args.devices.clone());
    }
    if let Some(dir) = &args.lock_dir {
        builder = builder.lock_dir(dir.clone());
    }
    let pool = builder
        .build()?
        .open_pool(args.pool.as_deref().unwrap_or_default())?;
    fill(&pool, args.lvs.unwrap_or_default())?;
    (0..args.rounds.max(1)).map(|_| round(&pool, args.mark)).collect()
}

/// Makes replicas until there are `lvs`, all in one commit.
fn fill(pool: &StoragePool, lvs: usize) -> Result<(), Error> {
    let missing = lvs.saturating_sub(pool.replicas()?.len());
    let requests: Vec<_> = (0..missing)
        .map(|_| CreateReplica::new(Uuid::new_v4(), 1))
        .collect();
    if requests.is_empty() {
        Ok(())
    } else {
        pool.create_replicas(&requests).map(drop)
    }
}

/// Does each operation once.
fn round(pool: &StoragePool, mark: bool) -> Result<Times, Error> {
    let extent = pool.info()?.extent_size;
    let uuid = Uuid::new_v4();
    let entity = SetReplica {
        entity_id: Some(Uuid::new_v4().to_string()),
        ..SetReplica::default()
    };
    let mut times = [Duration::ZERO; OPERATIONS.len()];
    let mut time = |at: usize, operation: &dyn Fn() -> Result<(), Error>| -> Result<(), Error> {
        // In one write, so that a trace shows it as one.
        let say =
            |edge| mark.then(|| io::stderr().write_all(format!("{edge} {}\n", OPERATIONS[at]).as_bytes()));
        say("begin");
        let start = Instant::now();
        operation()?;
        times[at] = start.elapsed();
        say("end");
        Ok(())
    };
    time(0, &|| {
        pool.create_replica(&CreateReplica::new(uuid, extent)).map(drop)
    })?;
    time(1, &|| pool.set_replica(uuid, &entity).map(drop))?;
    time(2, &|| {
        pool.resize_replica(uuid, 2 * extent, Shrink::Refuse).map(drop)
    })?;
    time(3, &|| pool.replicas().map(drop))?;
    time(4, &|| pool.destroy_replica(uuid))?;
    Ok(times)
}
