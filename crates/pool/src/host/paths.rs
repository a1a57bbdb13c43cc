//! Where the host keeps what this layer reads and writes.

use std::path::{Path, PathBuf};

/// The roots of everything that this layer touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// sysfs.
    pub sys: PathBuf,
    /// procfs.
    pub proc: PathBuf,
    /// Device nodes.
    pub dev: PathBuf,
    /// The folder of `lvm.conf`, `devices/`, `backup/` and `archive/`.
    pub lvm_system_dir: PathBuf,
    /// The folder of LVM's lock files.
    pub locking_dir: PathBuf,
    /// The folder of daemons' pid files.
    pub run: PathBuf,
    /// LVM's run-time folder: hints and online files.
    pub run_lvm: PathBuf,
    /// The folder of `machine-id` and `os-release`.
    pub etc: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
            dev: "/dev".into(),
            lvm_system_dir: "/etc/lvm".into(),
            locking_dir: "/run/lock/lvm".into(),
            run: "/run".into(),
            run_lvm: "/run/lvm".into(),
            etc: "/etc".into(),
        }
    }
}

impl Paths {
    /// The host's paths, with `LVM_SYSTEM_DIR` from the environment honoured as the LVM tools do.
    ///
    /// An empty value, which tells the tools to use no configuration at all, is taken as unset.
    pub fn from_env() -> Self {
        let mut paths = Self::default();
        if let Some(dir) = std::env::var_os("LVM_SYSTEM_DIR").filter(|dir| !dir.is_empty()) {
            paths.lvm_system_dir = dir.into();
        }
        paths
    }

    /// The same tree below `root`: a host made of plain files.
    pub fn under(root: &Path) -> Self {
        let real = Self::default();
        let below = |path: PathBuf| root.join(path.strip_prefix("/").unwrap_or(&path));
        Self {
            sys: below(real.sys),
            proc: below(real.proc),
            dev: below(real.dev),
            lvm_system_dir: below(real.lvm_system_dir),
            locking_dir: below(real.locking_dir),
            run: below(real.run),
            run_lvm: below(real.run_lvm),
            etc: below(real.etc),
        }
    }
}
