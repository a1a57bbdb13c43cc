//! The PVs that the real LVM2 wrote, as image files, and what its tools said about them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common;

/// Each RAM disk that LVM wrote to had this many bytes; the fixtures hold the first mebibyte.
pub(crate) const DISK: u64 = 256 << 20;

/// The folders of `crates/lvm-meta/tests/data/lvm2-2.03.16`.
pub(crate) const FOLDERS: [&str; 8] = [
    "linear-striped",
    "raid1",
    "raid10",
    "raid5",
    "raid6",
    "snapshot",
    "thin",
    "two-mdas",
];

/// A fixture's images, `ram0` and on, in a folder of their own.
pub(crate) struct Fixture {
    folder: &'static str,
    dir: TempDir,
    pub(crate) names: Vec<String>,
}

impl Fixture {
    pub(crate) fn new(folder: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for number in 0..6 {
            let name = format!("ram{number}");
            let head = data(folder).join(format!("{name}.head.gz"));
            if head.exists() {
                let image = dir.path().join(&name);
                fs::write(&image, unzip(&head)).unwrap();
                File::options()
                    .write(true)
                    .open(&image)
                    .unwrap()
                    .set_len(DISK)
                    .unwrap();
                names.push(name);
            }
        }
        Self { folder, dir, names }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs inspect in the images' folder, so that paths in its output are the same everywhere.
    pub(crate) fn inspect(&self, options: &[&str], names: &[impl AsRef<std::ffi::OsStr>]) -> Output {
        inspect(self.dir.path(), options, names)
    }

    /// Runs `inspect --json` on all images.
    pub(crate) fn json(&self) -> Value {
        let output = self.inspect(&["--json"], &self.names);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The rows of a report of LVM's: `vg`, `pv` or `lv`.
    pub(crate) fn report(&self, what: &str) -> Vec<Value> {
        let text = fs::read(data(self.folder).join(format!("{what}s.json"))).unwrap();
        let report: Value = serde_json::from_slice(&text).unwrap();
        report["report"][0][what].as_array().unwrap().clone()
    }

    /// The kernel's tables while LVM had the VG active: device, table line.
    pub(crate) fn tables(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(data(self.folder).join("dmsetup-table.txt")).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines
            .map(|(name, table)| (name.to_owned(), table.to_owned()))
            .collect()
    }
}

/// Runs inspect in a folder.  A program that still runs after a minute fails the test.
pub(crate) fn inspect(dir: &Path, options: &[&str], paths: &[impl AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new("timeout");
    command
        .arg("60")
        .arg(common::example("inspect"))
        .args(options)
        .args(paths);
    command.current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/lvm-meta/tests/data/lvm2-2.03.16")
        .join(folder)
}

fn unzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}
