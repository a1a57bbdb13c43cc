//! The kernel's NVMe/TCP initiator, driven by `/dev/nvme-fabrics` and sysfs.
//!
//! Disks are found by the UUID of their namespace: their names change when a controller comes back.  Under a mirror a
//! lost replica must fail fast, and its controller must not go away, so that it comes back by itself: see [`OPTIONS`].

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::error::VolumeError;
use crate::Error;
use crate::host::Paths;
use crate::host::sysfs;
use crate::nvmf::Nqn;

/// A silent target is noticed after two keep-alives, one that ends its connection at once.  Then I/O waits for 4 seconds, and
/// fails; while a monitor looks after the volume it waits above this, see [`leg`](super::leg).  The controller goes on trying to
/// connect, each second and for ever.
const OPTIONS: &str = "reconnect_delay=1,ctrl_loss_tmo=-1,fast_io_fail_tmo=4,keep_alive_tmo=2";
/// The namespace of the ids that hosts have by their NQN.
const HOST_IDS: Uuid = Uuid::from_u128(0x6c76_6d6e_7661_7469_7665_686f_7374_6964);
/// How long a disk may take to appear after its controller.
const APPEARS: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The initiator of a host.
#[derive(Clone, Debug)]
pub(crate) struct Initiator {
    sys: PathBuf,
    dev: PathBuf,
    host: Nqn,
}

/// A connection to a target.
#[derive(Debug)]
struct Controller {
    dir: PathBuf,
    nqn: String,
    /// As the kernel tells it: `traddr=...,trsvcid=...` and more.
    address: String,
    host: String,
    state: String,
}

impl Controller {
    fn is_at(&self, address: SocketAddr) -> bool {
        let has = |key: &str, value: &str| {
            let mut pairs = self
                .address
                .split(',')
                .filter_map(|pair| pair.trim().split_once('='));
            pairs.any(|(found, text)| found == key && text == value)
        };
        has("traddr", &address.ip().to_string()) && has("trsvcid", &address.port().to_string())
    }
}

impl Initiator {
    pub(crate) fn new(paths: &Paths, host: Nqn) -> Self {
        Self {
            sys: paths.sys.clone(),
            dev: paths.dev.clone(),
            host,
        }
    }

    /// The disk of a replica that is connected.
    pub(crate) fn disk(&self, replica: Uuid) -> Option<PathBuf> {
        let dir = self.sys.join("block");
        // `nvme0c1n1` is a path of a disk, not the disk.
        let is_disk = |name: &str| {
            let parts = name.strip_prefix("nvme").and_then(|rest| rest.split_once('n'));
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            parts.is_some_and(|(controller, namespace)| is_number(controller) && is_number(namespace))
        };
        let has_uuid = |name: &String| {
            let text = sysfs::text(&dir.join(name).join("uuid"));
            text.and_then(|text| Uuid::parse_str(text.trim()).ok()) == Some(replica)
        };
        let mut names = sysfs::names(&dir).into_iter();
        names
            .find(|name| is_disk(name) && has_uuid(name))
            .map(|name| self.dev.join(name))
    }

    /// Connects to a replica's subsystem, unless it is connected, and gives its disk.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`], [`VolumeError::NoInitiator`].
    pub(super) fn connect(
        &self,
        uri: &str,
        (address, nqn, host): (SocketAddr, &Nqn, Option<&Nqn>),
        replica: Uuid,
    ) -> Result<PathBuf, Error> {
        let host = host.unwrap_or(&self.host);
        let unreachable = |why: String| VolumeError::Unreachable { uri: uri.into(), why };
        let mut is_connected = false;
        for controller in self.controllers(nqn.as_str()) {
            if controller.is_at(address) && controller.host == host.as_str() {
                is_connected = true;
            } else if controller.host == self.host.as_str() && controller.state != "live" {
                // Where the replica was before.
                delete(&controller);
            }
        }
        if !is_connected {
            self.open_controller(address, nqn, host)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => VolumeError::NoInitiator,
                    _ => unreachable(error.to_string()),
                })?;
        }
        let end = Instant::now() + APPEARS;
        loop {
            if let Some(disk) = self.disk(replica).filter(|disk| disk.exists()) {
                return Ok(disk);
            }
            let is_live = self
                .controllers(nqn.as_str())
                .iter()
                .any(|controller| controller.state == "live");
            if Instant::now() > end || is_connected && !is_live {
                let why = match is_live {
                    true => format!("its subsystem has no namespace with the uuid {replica}"),
                    false => "its controller is not connected now".into(),
                };
                if !is_connected {
                    self.disconnect(nqn);
                }
                return Err(unreachable(why).into());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Is there a connection to a subsystem, be it live or tried again?
    pub(super) fn knows(&self, nqn: &Nqn) -> bool {
        !self.controllers(nqn.as_str()).is_empty()
    }

    /// Does the target of a disk answer, as far as the kernel knows?  What is no disk of NVMe-oF always does.
    pub(super) fn answers(&self, disk: &Path) -> bool {
        let name = disk.file_name().unwrap_or_default();
        let subsystem = self.sys.join("block").join(name).join("device/subsysnqn");
        let Some(nqn) = sysfs::text(&subsystem) else {
            return true;
        };
        let controllers = self.controllers(nqn.trim());
        controllers.is_empty() || controllers.iter().any(|controller| controller.state == "live")
    }

    /// Does a target refuse this host?  `false` also when it does not say so.
    pub(super) fn is_refused(&self, address: SocketAddr, nqn: &Nqn, host: &Nqn) -> bool {
        match self.open_controller(address, nqn, host) {
            Ok(dir) => {
                let _ = std::fs::write(dir.join("delete_controller"), "1");
                false
            }
            Err(error) => error.raw_os_error() == Some(libc::EIO),
        }
    }

    /// Ends all connections of this host's to a subsystem.
    pub(super) fn disconnect(&self, nqn: &Nqn) {
        self.controllers(nqn.as_str()).iter().for_each(delete);
    }

    fn controllers(&self, nqn: &str) -> Vec<Controller> {
        let class = self.sys.join("class/nvme");
        let read = |name: String| {
            let dir = class.join(name);
            let text = |file: &str| sysfs::text(&dir.join(file)).map(|text| text.trim().to_owned());
            Some(Controller {
                nqn: text("subsysnqn").filter(|_| text("transport").as_deref() == Some("tcp"))?,
                address: text("address").unwrap_or_default(),
                // Kernels before 5.7 do not tell.
                host: text("hostnqn").unwrap_or_else(|| self.host.to_string()),
                state: text("state").unwrap_or_default(),
                dir,
            })
        };
        let all = sysfs::names(&class).into_iter().filter_map(read);
        all.filter(|controller| controller.nqn == nqn).collect()
    }

    /// Connects, and gives the controller's folder in sysfs.
    fn open_controller(&self, address: SocketAddr, nqn: &Nqn, host: &Nqn) -> io::Result<PathBuf> {
        let id = Uuid::new_v5(&HOST_IDS, host.as_str().as_bytes());
        let options = format!(
            "transport=tcp,traddr={},trsvcid={},nqn={nqn},hostnqn={host},hostid={id},{OPTIONS}",
            address.ip(),
            address.port()
        );
        let mut control = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.dev.join("nvme-fabrics"))?;
        // One write is one connection: what is not taken at once is not taken.
        control.write_all(options.as_bytes())?;
        let mut answer = [0; 256];
        let length = control.read(&mut answer)?;
        let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
        let mut pairs = answer.trim().split(',').filter_map(|pair| pair.split_once('='));
        let instance = pairs.find(|(key, _)| *key == "instance").map(|(_, value)| value);
        let instance = instance.and_then(|text| text.trim().parse::<u32>().ok());
        let instance = instance.ok_or_else(|| io::Error::other("the kernel does not name the controller"))?;
        Ok(self.sys.join("class/nvme").join(format!("nvme{instance}")))
    }
}

/// Takes a controller away; one that is gone is gone.
fn delete(controller: &Controller) {
    let _ = std::fs::write(controller.dir.join("delete_controller"), "1");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn host(sys: &Path) -> Initiator {
        Initiator {
            sys: sys.into(),
            dev: "/dev".into(),
            host: Nqn::of_node("n").unwrap(),
        }
    }

    #[test]
    fn a_disk_is_found_by_its_uuid_and_not_by_one_of_its_paths() {
        let dir = tempfile::tempdir().unwrap();
        let uuid = Uuid::from_u128(7);
        for (name, text) in [
            ("nvme0c0n1", uuid.to_string()),
            ("nvme1n1", Uuid::from_u128(8).to_string()),
            ("nvme3n12", format!("{uuid}\n")),
            ("vda", uuid.to_string()),
        ] {
            fs::create_dir_all(dir.path().join("block").join(name)).unwrap();
            fs::write(dir.path().join("block").join(name).join("uuid"), text).unwrap();
        }
        assert_eq!(host(dir.path()).disk(uuid), Some("/dev/nvme3n12".into()));
        assert_eq!(host(dir.path()).disk(Uuid::from_u128(9)), None);
    }

    #[test]
    fn a_connection_is_known_by_subsystem_and_address() {
        let dir = tempfile::tempdir().unwrap();
        let nqn = Nqn::of_replica(Uuid::from_u128(7));
        let controller = dir.path().join("class/nvme/nvme0");
        fs::create_dir_all(&controller).unwrap();
        for (file, text) in [
            ("transport", "tcp\n"),
            ("subsysnqn", &format!("{nqn}\n")),
            ("address", "traddr=10.0.1.2,trsvcid=8420,src_addr=10.0.1.3\n"),
            ("state", "live\n"),
        ] {
            fs::write(controller.join(file), text).unwrap();
        }
        let found = host(dir.path()).controllers(nqn.as_str());
        assert!(found[0].is_at("10.0.1.2:8420".parse().unwrap()));
        assert!(!found[0].is_at("10.0.1.2:842".parse().unwrap()));
        assert!(!found[0].is_at("10.0.1.3:8420".parse().unwrap()));
        assert!(host(dir.path()).controllers("x").is_empty());
    }
}
