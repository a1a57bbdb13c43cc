//! What all VMs of a Debian suite share: its stock kernel, and an initramfs of its own packages.
//!
//! Nothing is installed on this machine: packages are downloaded and unpacked into a folder.  The result stays in
//! `$LVM_NATIVE_VM_CACHE` (by default `lvm-native/vm` in the user's cache folder) until this file changes.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufWriter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::debian::{self, Apt, Tools};
use crate::sh;

/// What preparing takes.
const TOOLS: &Tools = &[
    ("dpkg-deb", "dpkg"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("ldconfig", "libc-bin"),
];

/// A VM's kernel and programs.
const PACKAGES: &[&str] = &[
    "linux-image-cloud-amd64",
    "bash",
    "coreutils",
    "diffutils",
    "dmeventd",
    "dmsetup",
    "e2fsprogs",
    "fdisk",
    "findutils",
    "gawk",
    "grep",
    "iproute2",
    "kmod",
    "lvm2",
    "mount",
    "nvme-cli",
    "procps",
    "psmisc",
    "python3",
    "sed",
    "strace",
    "tar",
    "thin-provisioning-tools",
    "udev",
    "util-linux",
];

/// What only some suites have, with the kernel's part of it.
const PACKAGES_OF_SUITES: &[(&str, &[&str])] = &[("trixie", &["vdo"])];

/// The kernel modules that a scenario may need, with what they depend on.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "loop",
    "dm-mod",
    "dm-cache",
    "dm-cache-smq",
    "dm-delay",
    "dm-flakey",
    "dm-integrity",
    "dm-log-writes",
    "dm-mirror",
    "dm-multipath",
    "dm-raid",
    "dm-round-robin",
    "dm-snapshot",
    "dm-thin-pool",
    "dm-vdo",
    "dm-writecache",
    "dm-zero",
    "nvme-fabrics",
    "nvme-tcp",
    "nvmet",
    "nvmet-tcp",
    "inet_diag",
    "tcp_diag",
    "sch_netem",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "ext4",
    "crc32c_generic",
    "crc32c_intel",
];

/// What no scenario needs of the packages: start of a path, without the leading slash.
const LEFT_OUT: &[&str] = &[
    "boot",
    "usr/include",
    "usr/lib/firmware",
    "usr/lib/initramfs-tools",
    "usr/lib/klibc",
    "usr/lib/python3/dist-packages",
    "usr/lib/systemd/catalog",
    "usr/lib/systemd/system/",
    "usr/lib/systemd/user/",
    "usr/lib/udev/hwdb.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/bin/openssl",
    "usr/bin/perl",
    "usr/share",
];

/// Parts of Python's library that no scenario needs.
const PYTHON_LEFT_OUT: &[&str] = &[
    "asyncio",
    "config-",
    "distutils",
    "email",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "multiprocessing",
    "pydoc_data",
    "test/",
    "tkinter",
    "unittest",
    "wsgiref",
    "xml",
];

/// Users and groups that udev's rules name.
const GROUPS: &str = "root:x:0:\ndisk:x:6:\ntty:x:5:\ndialout:x:20:\nkmem:x:15:\ninput:x:101:\nvideo:x:44:\naudio:x:29:\n\
    lp:x:7:\ncdrom:x:24:\ntape:x:26:\nrender:x:102:\nkvm:x:103:\nsgx:x:104:\nclock:x:105:\nnogroup:x:65534:\n";
const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/bash\n";

/// The base of a suite's VMs.
pub(crate) struct Base {
    /// Kernel image.
    pub(crate) kernel: PathBuf,
    /// Initramfs without `/init`: the payload brings it.  Not compressed, as a kernel that is emulated takes longer to
    /// unpack it than this machine to read it.
    pub(crate) initramfs: PathBuf,
}

impl Base {
    /// The base of `suite`, made now if it is not there.
    pub(crate) fn prepare(suite: &str) -> Result<Self> {
        let dir = cache()?.join(format!("{suite}-{:016x}", key()));
        let base = Self {
            kernel: dir.join("vmlinuz"),
            initramfs: dir.join("base.cpio"),
        };
        fs::create_dir_all(dir.parent().unwrap_or(&dir))?;
        let lock = File::create(dir.with_extension("lock"))?;
        lock.lock()?;
        if dir.is_dir() {
            return Ok(base);
        }
        debian::install(TOOLS)?;
        let start = Instant::now();
        let work = dir.with_extension("partial");
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        make(suite, &work).with_context(|| format!("cannot prepare the VMs of {suite}"))?;
        fs::rename(&work, &dir)?;
        eprintln!(
            "made the base of {suite}'s VMs in {} s: {}",
            start.elapsed().as_secs(),
            dir.display()
        );
        Ok(base)
    }
}

/// Changes with what a base is made of.
fn key() -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        include_str!("base.rs"),
        include_str!("cpio.rs"),
        include_str!("debian.rs"),
    )
        .hash(&mut hasher);
    hasher.finish()
}

fn cache() -> Result<PathBuf> {
    let env = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    env("LVM_NATIVE_VM_CACHE")
        .or_else(|| Some(env("XDG_CACHE_HOME")?.join("lvm-native/vm")))
        .or_else(|| Some(env("HOME")?.join(".cache/lvm-native/vm")))
        .context("neither LVM_NATIVE_VM_CACHE nor HOME is set")
}

/// Makes the base in `dir`, which then holds nothing else.
fn make(suite: &str, dir: &Path) -> Result<()> {
    let (root, apt_dir) = (dir.join("root"), dir.join("apt"));
    for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{folder}"), root.join(folder))?;
    }
    let own = PACKAGES_OF_SUITES.iter().filter(|(name, _)| *name == suite);
    let packages: Vec<&str> = PACKAGES
        .iter()
        .chain(own.flat_map(|(_, packages)| *packages))
        .copied()
        .collect();
    for package in Apt::open(&apt_dir, suite)?.download(&packages)? {
        debian::unpack(&package, &root)?;
    }
    fs::remove_dir_all(&apt_dir)?;
    let kernel = kernel_version(&root)?;
    fs::copy(
        root.join("boot").join(format!("vmlinuz-{kernel}")),
        dir.join("vmlinuz"),
    )?;
    keep_modules(&root, &kernel)?;
    finish_root(&root)?;
    pack(&root, &dir.join("base.cpio"))?;
    fs::remove_dir_all(&root)?;
    Ok(())
}

fn kernel_version(root: &Path) -> Result<String> {
    let names = fs::read_dir(root.join("usr/lib/modules"))?;
    let names: Vec<_> = names.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    match names.as_slice() {
        [one] => one
            .to_str()
            .map(str::to_owned)
            .context("kernel version is not text"),
        many => bail!("{} kernels were unpacked, one was expected", many.len()),
    }
}

/// Removes all modules but [`MODULES`], and makes the index of those.
fn keep_modules(root: &Path, kernel: &str) -> Result<()> {
    let dir = root.join("usr/lib/modules").join(kernel);
    let depmod = || sh::output(administrator("depmod").arg("-b").arg(root).arg(kernel));
    depmod()?;
    let mut wanted = Vec::new();
    for module in MODULES {
        let mut modprobe = administrator("modprobe");
        modprobe
            .arg("-d")
            .arg(root)
            .args(["-S", kernel, "--show-depends", module]);
        // A kernel may have a driver built in or under no name of its own; booting shows what is really missing.
        let Ok(lines) = sh::output(&mut modprobe) else {
            continue;
        };
        for line in lines.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let (_, path) = line
                .trim()
                .split_once(&format!("{kernel}/"))
                .context("a module outside its folder")?;
            wanted.push(path.to_owned());
        }
    }
    let kept = dir.with_extension("kept");
    for path in &wanted {
        let (from, to) = (dir.join(path), kept.join(path));
        if from.exists() {
            fs::create_dir_all(to.parent().unwrap_or(&kept))?;
            fs::rename(from, &to)?;
            if path.ends_with(".xz") {
                sh::output(Command::new("xz").arg("-d").arg(&to))?;
            }
        }
    }
    for index in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::rename(dir.join(index), kept.join(index))?;
    }
    fs::remove_dir_all(&dir)?;
    fs::rename(kept, &dir)?;
    depmod()?;
    Ok(())
}

/// Does what the packages' own scripts would have done.
fn finish_root(root: &Path) -> Result<()> {
    let link = |to: &str, name: &str| -> Result<()> {
        let name = root.join(name);
        if name.symlink_metadata().is_ok() {
            fs::remove_file(&name)?;
        }
        symlink(to, &name).with_context(|| format!("cannot link {}", name.display()))
    };
    link("bash", "usr/bin/sh")?;
    link("gawk", "usr/bin/awk")?;
    // LVM's udev rules ask for it to activate VGs by themselves, which these VMs leave off.
    link("true", "usr/bin/systemd-run")?;
    for (path, content) in [
        ("etc/passwd", USERS),
        ("etc/group", GROUPS),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("etc/hostname", "vm\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ] {
        fs::write(root.join(path), content)?;
    }
    for folder in ["dev", "mnt", "opt", "out", "proc", "root", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    sh::output(administrator("ldconfig").arg("-r").arg(root))?;
    Ok(())
}

fn pack(root: &Path, to: &Path) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(to)?));
    archive.tree(root, &is_kept)?;
    archive.finish()?;
    Ok(())
}

fn is_kept(path: &str) -> bool {
    let python = path
        .strip_prefix("usr/lib/python3.")
        .and_then(|rest| rest.split_once('/'));
    let systemd = path
        .strip_prefix("usr/bin/systemd-")
        .is_some_and(|name| name != "run");
    !LEFT_OUT.iter().any(|start| path.starts_with(start))
        && !python.is_some_and(|(_, module)| PYTHON_LEFT_OUT.iter().any(|start| module.starts_with(start)))
        && !systemd
}

/// A program that may be outside a user's path.
fn administrator(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
