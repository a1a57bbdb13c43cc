//! Where it runs: the disks, the mapper and the target of a host, which outlive the processes on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lvm_native::dm::{DeviceId, DeviceMapper, Embedded, UdevFlags};
use lvm_native::pool::{NvmetTarget, ServedReplica, Share, System};

use super::target::Target;
use super::{Outcome, told};

/// Size of an image that is made.
const IMAGE: u64 = 64 << 20;
/// More layers of devices than there are.
const LAYERS: usize = 20;

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) disks: Vec<PathBuf>,
    images: Option<Images>,
}

/// What image files have in place of a kernel.
#[derive(Clone, Debug)]
struct Images {
    locks: PathBuf,
    mapper: Embedded,
    target: Arc<Target>,
}

impl Place {
    /// Block devices with the kernel's device-mapper, beside LVM's tools; or image files, which are made anew.
    pub(crate) fn new(disks: Vec<PathBuf>, is_kernel: bool) -> Outcome<Self> {
        if is_kernel {
            return Ok(Self { disks, images: None });
        }
        for disk in &disks {
            let made = std::fs::File::create(disk).and_then(|file| file.set_len(IMAGE));
            made.map_err(|error| format!("{}: {error}", disk.display()))?;
        }
        let dir = disks.first().and_then(|disk| disk.parent());
        let images = Images {
            locks: dir.map(|dir| dir.join("lock")).unwrap_or_default(),
            mapper: mapper(),
            target: Arc::default(),
        };
        let images = Some(images);
        Ok(Self { disks, images })
    }

    pub(crate) fn is_kernel(&self) -> bool {
        self.images.is_none()
    }

    /// What a process on this host begins with.
    pub(crate) fn system(&self) -> Outcome<System> {
        let builder = match &self.images {
            None => System::kernel(),
            Some(images) => System::embedded()
                .lock_dir(images.locks.clone())
                .mapper(Arc::new(images.mapper.clone()))
                .share_with(images.target.clone()),
        };
        let builder = builder.devices(self.disks.clone());
        builder.timeout(Duration::from_secs(30)).build().map_err(told)
    }

    /// Another host that has these image files, and a mapper that does no thin pools.
    pub(crate) fn other_host(&self, disks: &[PathBuf]) -> Outcome<System> {
        let locks = self.images.as_ref().map(|images| images.locks.clone());
        let builder = System::embedded().devices(disks.to_vec());
        let builder = builder.lock_dir(locks.unwrap_or_default());
        builder.build().map_err(told)
    }

    /// What the target serves, if there is one.
    pub(crate) fn served(&self) -> Outcome<Vec<ServedReplica>> {
        match &self.images {
            Some(images) => Share::served(&*images.target, None).map_err(told),
            None => {
                let target = NvmetTarget::new("/sys/kernel/config".into(), Duration::from_secs(30));
                target.served(None).map_err(told)
            }
        }
    }

    /// Removes all devices of the mapper on image files: they end with a process, and with a host.
    pub(crate) fn reboot(&self, is_host: bool) -> Outcome<()> {
        let Some(images) = &self.images else {
            return Ok(());
        };
        if is_host {
            images.target.forget();
        }
        let (mapper, wrong) = (&images.mapper, |error| format!("the mapper: {error}"));
        for _ in 0..LAYERS {
            let mut cookie = mapper.cookie().map_err(wrong)?;
            // From the top down: what is in use is refused.
            for device in mapper.list().map_err(wrong)? {
                let id = DeviceId::Name(&device.name);
                let _ = mapper.remove(id, false, UdevFlags::empty(), &mut cookie);
            }
            mapper.finish(cookie, Duration::ZERO).map_err(wrong)?;
        }
        match mapper.list().map_err(wrong)?.is_empty() {
            true => Ok(()),
            false => Err("devices are left that cannot be removed".into()),
        }
    }
}

#[cfg(feature = "testing")]
fn mapper() -> Embedded {
    Embedded::with_thin_pools()
}

/// Without the feature, thin pools are refused: `NoThinTarget`.
#[cfg(not(feature = "testing"))]
fn mapper() -> Embedded {
    Embedded::new()
}

/// Runs one of LVM's tools; what it prints.
pub(crate) fn run(tool: &str, args: &[&str]) -> Outcome<String> {
    let done = Command::new(tool).args(args).output();
    let done = done.map_err(|error| format!("{tool}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(format!("{tool} {args:?}: {}: {said}", done.status)),
    }
}

/// Returns `true` if a program can be started.
pub(crate) fn is_installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

/// A path as the tools take it.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
