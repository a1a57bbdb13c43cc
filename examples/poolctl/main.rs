//! Manages storage pools and replicas from the command line.
//!
//! ```text
//! poolctl [--json] [--mapper kernel|embedded] [--device PATH]... [--lock-dir DIR] [--timeout SECONDS] COMMAND
//! ```
//!
//! Every call is a fresh process: all state is in the metadata and the kernel.  With `--mapper embedded` it works
//! without root on the image files that `--device` names.  Exit 0 is success, 1 an error, 2 wrong usage.

mod adopt;
mod answer;
mod args;
mod lines;
mod pool;
mod progress;
mod replica;
mod replica_events;
mod snapshot;
mod thin;
mod thin_monitor;
mod volume;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use lvm_native::pool::{Error, Gap, System, printable};
use serde_json::{Value, json};

use answer::Answer;
use args::{Args, Command, Mapper};

fn main() -> ExitCode {
    let args = Args::parse();
    let mut told = Vec::new();
    let system = system(&args).inspect(|system| warn(&args, &system.unusable_devices(), &mut told));
    let answer = system.and_then(|system| match &args.command {
        Command::Pool(command) => pool::run(&system, command),
        Command::Replica(command) => replica::run(&system, command, &args),
        Command::Snapshot(command) => snapshot::run(&system, command),
        Command::Clone(command) => snapshot::run_clone(&system, command),
        Command::Adopt(command) => adopt::run(&system, command),
        Command::Thin(command) => thin::run(&system, command, args.json),
        Command::Volume(command) => volume::run(&system, command, &args),
    });
    if let Ok(answer) = &answer {
        warn(&args, answer.gaps(), &mut told);
    }
    let (text, code) = match answer {
        Ok(Answer::Copied) => return ExitCode::SUCCESS,
        Ok(answer) if args.json => (format!("{}\n", answer.json()), ExitCode::SUCCESS),
        Ok(answer) => (answer.text(), ExitCode::SUCCESS),
        Err(error) if args.json => (format!("{}\n", error_json(&error)), ExitCode::FAILURE),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", printable(&message(&error)));
            if let Some(hint) = hint(&error) {
                let _ = writeln!(io::stderr(), "hint: {hint}");
            }
            return ExitCode::FAILURE;
        }
    };
    // A reader that closed its end has what it wanted.
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}

/// Tells on standard error of what could not be looked at, each once: one object a line for programs.
fn warn(args: &Args, gaps: &[Gap], told: &mut Vec<String>) {
    for gap in gaps {
        let text = gap.to_string().replace('\n', " ");
        if told.contains(&text) {
            continue;
        }
        let _ = match args.json {
            true => {
                let path = gap.disk.to_string_lossy();
                let (kind, errno) = (gap.error.kind(), gap.error.errno_name());
                let warning =
                    json!({"kind": kind, "errno": errno, "message": text, "path": path, "pool": gap.vg});
                writeln!(io::stderr(), "{}", json!({ "warning": warning }))
            }
            false => writeln!(io::stderr(), "warning: {text}"),
        };
        told.push(text);
    }
}

fn system(args: &Args) -> Result<System, Error> {
    let mut builder = match args.mapper {
        // As the tools that it stands beside.
        Mapper::Kernel => System::kernel().keep_backups(),
        Mapper::Embedded => System::embedded(),
    };
    // As io-engine's.
    if let Ok(host) = std::env::var("HOSTNQN") {
        builder = builder.host_nqn(host.parse()?);
    }
    if let Some(timeout) = args.timeout {
        builder = builder.timeout(timeout);
    }
    if !args.devices.is_empty() {
        builder = builder.devices(args.devices.clone());
    }
    if let Some(dir) = &args.lock_dir {
        builder = builder.lock_dir(dir.clone());
    }
    builder.build()
}

/// The error with what caused it, in one line.
pub(crate) fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// What to try next, where the error does not say so itself.
fn hint(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        "AmbiguousName" => "`inspect` shows the ids of volume groups",
        "ShrinkRefused" => "--allow-shrink makes it smaller, and cuts off what is behind the new end",
        "NeedsForce" => "--force allows it",
        "NotActive" => "`poolctl replica activate` makes its device",
        "LockTimeout" => "--timeout waits longer",
        "NoDeviceMapper" => "--mapper embedded works on image files without the kernel's device-mapper",
        "DiskInUse" => "--force takes a disk that only carries a signature",
        _ => return None,
    })
}

pub(crate) fn error_json(error: &Error) -> Value {
    json!({"error": {"kind": error.kind(), "errno": error.errno_name(), "message": message(error)}})
}
