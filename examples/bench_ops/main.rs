//! Times what a long-lived process does, for comparison with the LVM tools: `cargo xtask bench` runs it.
//!
//! ```text
//! bench_ops ops POOL LVS [--rounds N] [--mark]   one replica more: create, tag, resize, list, destroy; open, print
//! bench_ops many POOL LVS                        so many replicas in one commit
//! bench_ops activate POOL DISK... [--mark]       all replicas of an exported pool
//! bench_ops floor DISK [--rounds N]              what of `ops` is the kernel's and the disk's, on a blank disk
//! bench_ops grow FOLDER LVS                      as `ops`, of metadata alone: a pool on an image file, no kernel
//! bench_ops thin POOL REPLICAS SNAPSHOTS         thin replicas, and snapshots and clones of one of them
//! bench_ops thin-floor DEVICE DISK               what of `thin` is the kernel's and the disk's, in the pool of that device name
//! bench_ops chain POOL LENGTH                    clones of snapshots of clones
//! bench_ops inactive IMAGE LVS                   makes a pool of so many replicas, none of them active
//! ```
//!
//! Each prints lines of `OPERATION MICROSECONDS`, the median of N rounds where there are rounds.  With `--mark` a line
//! on standard error begins and ends each operation, so that a trace of the process can be cut by operation.

mod floor;
mod grow;
mod many;
#[path = "../../benches/count/mapper.rs"]
mod memory;
mod ops;
mod thin;
mod thin_floor;
mod timed;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use lvm_native::pool::Error;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Ops {
        pool: String,
        lvs: usize,
        #[arg(long, default_value_t = 11)]
        rounds: usize,
        #[arg(long)]
        mark: bool,
    },
    Many {
        pool: String,
        lvs: usize,
    },
    Activate {
        pool: String,
        #[arg(required = true)]
        disks: Vec<PathBuf>,
        #[arg(long)]
        mark: bool,
    },
    Floor {
        disk: PathBuf,
        #[arg(long, default_value_t = 11)]
        rounds: usize,
    },
    Grow {
        folder: PathBuf,
        lvs: usize,
    },
    Inactive {
        disk: PathBuf,
        lvs: usize,
    },
    Thin {
        pool: String,
        replicas: usize,
        snapshots: usize,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    ThinFloor {
        device: String,
        disk: PathBuf,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    Chain {
        pool: String,
        length: usize,
    },
}

fn main() -> ExitCode {
    let times = match Args::parse().what {
        What::Ops {
            pool,
            lvs,
            rounds,
            mark,
        } => ops::run(&pool, lvs, rounds, mark),
        What::Many { pool, lvs } => many::create(&pool, lvs),
        What::Activate { pool, disks, mark } => many::activate(&pool, &disks, mark),
        What::Floor { disk, rounds } => floor::run(&disk, rounds),
        What::Grow { folder, lvs } => grow::run(&folder, lvs),
        What::Inactive { disk, lvs } => grow::inactive(&disk, lvs),
        What::Thin {
            pool,
            replicas,
            snapshots,
            rounds,
        } => thin::run(&pool, replicas, snapshots, rounds),
        What::ThinFloor { device, disk, rounds } => thin_floor::run(&device, &disk, rounds),
        What::Chain { pool, length } => thin::chain(&pool, length),
    };
    let times = match times {
        Ok(times) => times,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}: {}", error.kind());
            return ExitCode::FAILURE;
        }
    };
    for (operation, time) in times.medians() {
        let _ = writeln!(io::stdout(), "{operation} {:.1}", time.as_secs_f64() * 1e6);
    }
    ExitCode::SUCCESS
}

/// What each operation took, each time.
#[derive(Default)]
struct Times {
    laps: Vec<(&'static str, Duration)>,
    mark: bool,
}

impl Times {
    /// Does an operation and notes how long it took.
    fn lap<T>(
        &mut self,
        operation: &'static str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.say("begin", operation);
        let start = Instant::now();
        let done = work()?;
        self.add(operation, start.elapsed());
        self.say("end", operation);
        Ok(done)
    }

    fn add(&mut self, operation: &'static str, time: Duration) {
        self.laps.push((operation, time));
    }

    /// In one write, so that a trace shows it as one.
    fn say(&self, edge: &str, operation: &str) {
        if self.mark {
            let _ = io::stderr().write_all(format!("{edge} {operation}\n").as_bytes());
        }
    }

    /// The operations in the order in which they were done first.
    fn medians(&self) -> Vec<(&'static str, Duration)> {
        let mut medians: Vec<(&str, Duration)> = Vec::new();
        for (operation, _) in &self.laps {
            if medians.iter().all(|(known, _)| known != operation) {
                let of = self.laps.iter().filter(|(name, _)| name == operation);
                let mut times: Vec<Duration> = of.map(|(_, time)| *time).collect();
                times.sort();
                medians.push((operation, times[times.len() / 2]));
            }
        }
        medians
    }
}
