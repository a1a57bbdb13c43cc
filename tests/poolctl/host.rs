//! Image files, and `poolctl` over them with the embedded mapper: each call a process of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use lvm_native::meta::{Disk, FileDisk, MdaSet, assemble, scan};
use serde_json::Value;
use tempfile::TempDir;

use crate::common;

pub(crate) const MIB: u64 = 1 << 20;

/// A folder with image files and lock files.
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    /// What `--device` names.
    pub(crate) images: Vec<String>,
}

/// What of an image is not zero, by the number of its 4 KiB page.
type Content = BTreeMap<u64, Vec<u8>>;

impl Host {
    /// A host with blank images of these sizes in MiB: `disk0` and on.
    pub(crate) fn new(sizes: &[u64]) -> Self {
        let mut host = Self {
            dir: tempfile::tempdir().unwrap(),
            images: Vec::new(),
        };
        for (number, size) in sizes.iter().enumerate() {
            host.add_image(&format!("disk{number}"), size * MIB);
        }
        host
    }

    /// A host with one disk of 64 MiB and the pool `p` on it.
    pub(crate) fn with_pool() -> Self {
        let host = Self::new(&[64]);
        host.ok(&["pool", "create", "p", "disk0"]);
        host
    }

    pub(crate) fn add_image(&mut self, name: &str, bytes: u64) {
        File::create(self.path(name)).unwrap().set_len(bytes).unwrap();
        self.images.push(name.into());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The path of an image as `poolctl` is told it and tells it.
    pub(crate) fn name(&self, image: &str) -> String {
        self.path(image).to_str().unwrap().into()
    }

    pub(crate) fn resize_image(&self, name: &str, bytes: u64) {
        File::options()
            .write(true)
            .open(self.path(name))
            .unwrap()
            .set_len(bytes)
            .unwrap();
    }

    pub(crate) fn write_image(&self, name: &str, at: u64, bytes: &[u8]) {
        File::options()
            .write(true)
            .open(self.path(name))
            .unwrap()
            .write_all_at(bytes, at)
            .unwrap();
    }

    /// The command, not yet started.  In its arguments, the names of images stand for their paths.  A call that takes
    /// longer than a minute is killed, which fails the test.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--signal=KILL", "60"])
            .arg(common::example("poolctl"));
        self.arguments(&mut command, args);
        command
    }

    pub(crate) fn arguments(&self, command: &mut Command, args: &[&str]) {
        command
            .args(["--json", "--mapper", "embedded"])
            .current_dir("/")
            .stdin(Stdio::null());
        for image in &self.images {
            command.arg("--device").arg(self.path(image));
        }
        command.arg("--lock-dir").arg(self.path("lock"));
        let is_file = |arg: &str| Path::new(arg).file_name().is_some() && self.path(arg).exists();
        let as_path = |arg: &&str| {
            if is_file(arg) {
                self.name(arg)
            } else {
                (*arg).into()
            }
        };
        command.args(args.iter().map(as_path));
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts a call whose output nobody reads before its end.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a command that succeeds; its JSON.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        succeeded(self.run(args), args)
    }

    /// Runs a command that succeeds and changes no byte of any image; its JSON.
    #[track_caller]
    pub(crate) fn unchanged(&self, args: &[&str]) -> Value {
        let before = self.content();
        let json = self.ok(args);
        self.check_content(&before, args);
        json
    }

    /// Runs a command that is refused and changes no byte of any image; its message.
    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str], kind: &str, errno: &str) -> String {
        let before = self.content();
        let output = self.run(args);
        self.check_content(&before, args);
        let line = line_of(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {line}");
        let json: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{args:?}: {error}: {line}"));
        let error = json["error"]
            .as_object()
            .unwrap_or_else(|| panic!("{args:?}: {line}"));
        assert_eq!(json.as_object().unwrap().len(), 1, "{line}");
        assert_eq!(
            error.keys().collect::<Vec<_>>(),
            ["errno", "kind", "message"],
            "{line}"
        );
        assert_eq!(
            (&error["kind"], &error["errno"]),
            (&kind.into(), &errno.into()),
            "{args:?}: {line}"
        );
        error["message"].as_str().unwrap().to_owned()
    }

    /// Writes bytes through a replica.
    #[track_caller]
    pub(crate) fn write(&self, uuid: &str, at: u64, bytes: &[u8]) {
        let args = ["replica", "write", uuid, &at.to_string()];
        let mut child = self
            .command(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(0), 0),
            "{args:?}"
        );
    }

    /// Reads bytes through a replica.
    #[track_caller]
    pub(crate) fn read(&self, uuid: &str, at: u64, length: u64) -> Vec<u8> {
        let output = self.run(&["replica", "read", uuid, &at.to_string(), &length.to_string()]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        output.stdout
    }

    /// The pool's sequence number: one more with each commit.
    #[track_caller]
    pub(crate) fn seqno(&self, pool: &str) -> u64 {
        self.ok(&["pool", "show", pool])["seqno"].as_u64().unwrap()
    }

    /// All that is not zero on any image.
    fn content(&self) -> Vec<(u64, Content)> {
        self.images
            .iter()
            .map(|image| content(&self.path(image)))
            .collect()
    }

    #[track_caller]
    fn check_content(&self, before: &[(u64, Content)], args: &[&str]) {
        for ((image, before), after) in self.images.iter().zip(before).zip(self.content()) {
            assert_eq!(before.0, after.0, "{args:?} changed the size of {image}");
            let pages = before.1.keys().chain(after.1.keys());
            let differing = pages
                .copied()
                .find(|page| before.1.get(page) != after.1.get(page));
            assert_eq!(
                differing.map(|page| page * 4096),
                None,
                "{args:?} changed {image} at this byte"
            );
        }
    }

    /// Puts another text, changed by `change`, in place of the VG's, as another host or program might.
    pub(crate) fn rewrite(&self, vg: &str, change: impl FnOnce(String) -> String) {
        let open = |image: &String| {
            let file = File::options()
                .read(true)
                .write(true)
                .open(self.path(image))
                .unwrap();
            Arc::new(FileDisk::new(file)) as Arc<dyn Disk>
        };
        let disks: Vec<Arc<dyn Disk>> = self.images.iter().map(open).collect();
        let found = disks
            .iter()
            .enumerate()
            .filter_map(|(number, disk)| Some((number, scan(disk).ok()??)));
        let assembly = assemble(found.collect());
        let found = assembly.vgs.iter().find(|found| found.name == vg).unwrap();
        let mut mdas = MdaSet::new();
        for pv in &found.pvs {
            let Some((number, scan)) = pv.disk.zip(pv.scan.as_ref()) else {
                continue;
            };
            mdas.open(&disks[number], &scan.header.metadata_areas).unwrap();
        }
        let seqno = found.seqno().unwrap();
        let text = String::from_utf8(found.text.to_vec()).unwrap();
        let text = change(text).replacen(&format!("seqno = {seqno}"), &format!("seqno = {}", seqno + 1), 1);
        mdas.write(text.as_bytes())
            .unwrap()
            .precommit()
            .unwrap()
            .commit()
            .unwrap();
    }
}

/// The JSON of a call that must have succeeded, in one line and with nothing on standard error.
#[track_caller]
pub(crate) fn succeeded(output: Output, args: &[&str]) -> Value {
    let line = line_of(&output);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*told), (Some(0), ""), "{args:?}: {line}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{args:?}: {error}: {line}"))
}

#[track_caller]
fn line_of(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(
        text.lines().count(),
        1,
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Size and content of a file, leaving out its holes.
fn content(path: &Path) -> (u64, Content) {
    use nix::unistd::{Whence, lseek};
    let Ok(file) = File::open(path) else {
        return (0, Content::new());
    };
    let size = file.metadata().unwrap().len();
    let mut pages = Content::new();
    let mut at = 0;
    while let Ok(start) = lseek(&file, at, Whence::SeekData) {
        let end = lseek(&file, start, Whence::SeekHole).unwrap();
        let first = start as u64 / 4096;
        for page in first..(end as u64).div_ceil(4096) {
            let mut bytes = vec![0; 4096.min((size - page * 4096) as usize)];
            file.read_exact_at(&mut bytes, page * 4096).unwrap();
            if bytes.iter().any(|byte| *byte != 0) {
                pages.insert(page, bytes);
            }
        }
        at = end;
    }
    (size, pages)
}

/// Runs `inspect` over the images.
pub(crate) fn inspect(host: &Host, options: &[&str]) -> Output {
    inspect_command(host, options).output().unwrap()
}

/// The command, not yet started.
pub(crate) fn inspect_command(host: &Host, options: &[&str]) -> Command {
    let mut command = Command::new(common::example("inspect"));
    command
        .args(options)
        .args(host.images.iter().map(|image| host.path(image)));
    command
}

/// Copies a file.  Not in this process: while a test forks, it would hold the copy open for writing, and a program that
/// is open for writing does not start.
pub(crate) fn copy(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
    let status = Command::new("cp")
        .arg("--sparse=always")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}
