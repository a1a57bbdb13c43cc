//! Shows what is on the PVs of LVM2 volume groups: devices or image files.  Never writes to them.
//!
//! ```text
//! inspect [--json] [--text] [--check] [--svg FILE] PATH...
//! ```
//!
//! Exit 0 is success; 1 a path that cannot be read or trusted, or with `--check` a problem that is an error; 2 wrong
//! usage.  Whether a volume group may be changed is told by its metadata alone, whatever host it belongs to.

mod args;
mod check;
mod devices;
mod failure;
mod human;
mod json;
mod mda;
mod segment;
mod svg;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use lvm_native::meta::{FoundVg, Vg};

use args::Args;
use check::Problem;
use devices::Devices;

fn main() -> ExitCode {
    let args = Args::parse();
    let devices = Devices::read(&args.paths);
    let vgs: Vec<ShownVg> = devices
        .assembly
        .vgs
        .iter()
        .filter_map(|found| ShownVg::new(&devices, found))
        .collect();
    let orphan_problems = check::orphan_problems(&devices);

    let out = if args.json {
        format!("{}\n", json::report(&devices, &vgs, &orphan_problems, args.text)).into_bytes()
    } else if args.text {
        devices
            .assembly
            .vgs
            .iter()
            .flat_map(|found| without_nul(&found.text))
            .copied()
            .collect()
    } else {
        human::report(&devices, &vgs, &orphan_problems).into_bytes()
    };
    let written = io::stdout().write_all(&out).and_then(|()| io::stdout().flush());
    if !args.json {
        for failure in &devices.failures {
            let _ = writeln!(io::stderr(), "error: {}", human::plain(&failure.message));
        }
    }
    let drawn = args
        .svg
        .as_ref()
        .map_or(Ok(()), |file| write_svg(file, &args.paths, &vgs));
    if let Err(error) = &drawn {
        let _ = writeln!(io::stderr(), "error: {error}");
    }
    let mut problems = vgs.iter().flat_map(|vg| &vg.problems).chain(&orphan_problems);
    let is_bad = !devices.failures.is_empty() || args.check && problems.any(Problem::is_error);
    match written {
        // A reader that closed its end has what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ if is_bad || drawn.is_err() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Writes the picture into a file of its own: never over what was inspected, nor over a device.
fn write_svg(file: &Path, inspected: &[PathBuf], vgs: &[ShownVg<'_>]) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", file.display());
    let refused = |why: &str| Err(format!("{}: {why}", file.display()));
    if let Ok(there) = fs::metadata(file) {
        let is_it = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (there.dev(), there.ino()))
        };
        if inspected.iter().any(is_it) {
            return refused("is one of the PVs");
        }
        if !there.is_file() {
            return refused("is no regular file");
        }
    }
    fs::write(file, svg::draw(vgs)).map_err(failed)
}

/// A VG that can be read, with what is wrong with it.
struct ShownVg<'a> {
    found: &'a FoundVg,
    vg: &'a Vg,
    problems: Vec<Problem>,
    /// Why nobody should change it now.
    refusal: Option<String>,
}

impl<'a> ShownVg<'a> {
    fn new(devices: &Devices, found: &'a FoundVg) -> Option<Self> {
        let vg = found.vg.as_ref().ok()?;
        let missing = || {
            found
                .pvs
                .iter()
                .find(|pv| pv.disk.is_none())
                .map(|pv| format!("PV {} is missing", pv.id))
        };
        let refusal = vg.refusal().map(|refusal| refusal.to_string());
        let refusal = refusal
            .or_else(|| found.ambiguous.as_ref().map(ToString::to_string))
            .or_else(missing)
            .or_else(|| found.too_small().first().map(ToString::to_string));
        Some(Self {
            found,
            vg,
            problems: check::vg_problems(devices, found, vg),
            refusal,
        })
    }

    /// The words of its status, unknown ones last.
    fn status(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.vg.status().words().collect();
        words.extend(self.vg.unknown_status());
        words
    }
}

/// A text without the NUL that closes it on disk.
fn without_nul(text: &[u8]) -> &[u8] {
    text.strip_suffix(&[0]).unwrap_or(text)
}
