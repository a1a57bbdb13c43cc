//! The kernel's NVMe/TCP initiator, driven by `/dev/nvme-fabrics` and sysfs.
//!
//! A replica's disk is the namespace of the subsystem that was connected, see [`namespace`](super::namespace): disks' names change when
//! a controller comes back, and any target can claim any UUID.  Under a mirror a lost replica must fail fast, and its controller must
//! not go away, so that it comes back by itself: see [`OPTIONS`].

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::error::VolumeError;
use super::namespace::Namespace;
use super::patience::Patience;
use super::probe::{self, Answer};
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
/// How long the end of a connection is waited for.
const GOES: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The initiator of a host.
#[derive(Clone, Debug)]
pub(crate) struct Initiator {
    sys: PathBuf,
    dev: PathBuf,
    host: Nqn,
    patience: Patience,
}

/// Where a replica's subsystem is, and as which host to connect to it, if not as this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) nqn: &'a Nqn,
    pub(super) host: Option<&'a Nqn>,
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
    pub(crate) fn new(paths: &Paths, host: Nqn, patience: Patience) -> Self {
        Self {
            sys: paths.sys.clone(),
            dev: paths.dev.clone(),
            host,
            patience,
        }
    }

    /// The disk of a replica that is connected: the namespace of its own subsystem.
    ///
    /// # Errors
    /// In words, when it is not sure which disk that is.
    pub(super) fn disk(&self, nqn: &Nqn, replica: Uuid) -> Result<Option<PathBuf>, String> {
        let disk = Namespace::of_replica(&self.sys, nqn.as_str(), replica, None)?;
        Ok(disk.map(|disk| self.dev.join(disk)))
    }

    /// The disk of the only namespace that claims to be a replica, and the subsystem that shows it: it is the replica if that is
    /// the replica's subsystem.
    pub(super) fn claim(&self, replica: Uuid) -> Option<(PathBuf, String)> {
        match &*Namespace::claiming(&self.sys, replica) {
            [claim] => Some((claim.path(&self.dev), claim.nqn.clone())),
            _ => None,
        }
    }

    /// Asks a target whether it lets this host in, unless it is connected: one that does not answer is not given to the kernel.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`], [`VolumeError::NoInitiator`].
    pub(super) fn probe(&self, uri: &str, target: Target<'_>, until: Instant) -> Result<(), Error> {
        let Target { address, nqn, host } = target;
        let host = host.unwrap_or(&self.host);
        if self.connection(address, nqn, host).is_some() {
            return Ok(());
        }
        if !self.control().exists() {
            return Err(VolumeError::NoInitiator.into());
        }
        let why = match probe::ask(address, nqn, host, host_id(host), until) {
            Ok(answer) => answer.problem(nqn, host),
            Err(error) => Some(error.to_string()),
        };
        why.map_or(Ok(()), |why| Err(unreachable(uri, why)))
    }

    /// Connects to a replica's subsystem, unless it is connected, and gives its disk.  Probe it first.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`], [`VolumeError::NoInitiator`].
    pub(super) fn connect(
        &self,
        uri: &str,
        target: Target<'_>,
        replica: Uuid,
        until: Instant,
    ) -> Result<PathBuf, Error> {
        let Target { address, nqn, host } = target;
        let host = host.unwrap_or(&self.host);
        let known = self.connection(address, nqn, host);
        for controller in self.controllers(nqn.as_str()) {
            let is_it = known.as_ref().is_some_and(|known| known.dir == controller.dir);
            if !is_it && controller.host == self.host.as_str() && controller.state != "live" {
                // Where the replica was before.
                self.delete(&controller);
            }
        }
        let is_new = known.is_none();
        let controller = match known {
            Some(known) => known.dir,
            None => self
                .open_controller(address, nqn, host, until)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => VolumeError::NoInitiator.into(),
                    _ => unreachable(uri, error.to_string()),
                })?,
        };
        let found = self.appeared(&controller, nqn, replica, is_new, until);
        found.map_err(|why| {
            if is_new {
                self.disconnect(nqn);
            }
            unreachable(uri, why)
        })
    }

    /// Waits for the disk that a controller leads to.
    fn appeared(
        &self,
        controller: &Path,
        nqn: &Nqn,
        replica: Uuid,
        is_new: bool,
        until: Instant,
    ) -> Result<PathBuf, String> {
        let end = until.min(Instant::now() + APPEARS);
        loop {
            let disk = Namespace::of_replica(&self.sys, nqn.as_str(), replica, Some(controller))?;
            let disk = disk.map(|disk| self.dev.join(disk));
            if let Some(disk) = disk.filter(|disk| disk.exists()) {
                return Ok(disk);
            }
            let state = sysfs::text(&controller.join("state"));
            let is_live = state.as_deref() == Some("live");
            if Instant::now() > end || !is_new && !is_live {
                return Err(match is_live {
                    true => format!("its subsystem has no namespace with the uuid {replica}"),
                    false => "its controller is not connected now".into(),
                });
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

    /// Returns `true` if a target says that it refuses this host, and `false` also when it does not say.
    pub(super) fn is_refused(&self, address: SocketAddr, nqn: &Nqn, host: &Nqn, until: Instant) -> bool {
        let answer = probe::ask(address, nqn, host, host_id(host), until);
        answer.is_ok_and(Answer::is_no_entry)
    }

    /// Ends all connections of this host's to a subsystem.
    pub(super) fn disconnect(&self, nqn: &Nqn) {
        for controller in self.controllers(nqn.as_str()) {
            self.delete(&controller);
        }
    }

    /// Takes a controller away; one that is gone is gone.  The kernel tells the target, and waits for its answer: for one that is
    /// silent it ends that by itself, later.
    fn delete(&self, controller: &Controller) {
        let file = controller.dir.join("delete_controller");
        let until = Instant::now() + GOES;
        let _ = self.patience.wait(until, move || fs::write(file, "1"), drop);
    }

    /// The connection to a subsystem at an address as this host, be it live or tried again.
    fn connection(&self, address: SocketAddr, nqn: &Nqn, host: &Nqn) -> Option<Controller> {
        let mut all = self.controllers(nqn.as_str()).into_iter();
        all.find(|controller| controller.is_at(address) && controller.host == host.as_str())
    }

    fn control(&self) -> PathBuf {
        self.dev.join("nvme-fabrics")
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
    fn open_controller(
        &self,
        address: SocketAddr,
        nqn: &Nqn,
        host: &Nqn,
        until: Instant,
    ) -> io::Result<PathBuf> {
        let id = host_id(host);
        let options = format!(
            "transport=tcp,traddr={},trsvcid={},nqn={nqn},hostnqn={host},hostid={id},{OPTIONS}",
            address.ip(),
            address.port()
        );
        let (control, class) = (self.control(), self.sys.join("class/nvme"));
        let work = move || Answered::to(&control, &options);
        let late_in = class.clone();
        // What comes late nobody asked for any more.
        let late = move |answered: io::Result<Answered>| {
            if let Ok(answered) = answered {
                let _ = fs::write(answered.dir(&late_in).join("delete_controller"), "1");
            }
        };
        let answered = self.patience.wait(until, work, late)??;
        let dir = answered.dir(&class);
        let text = |file: &str| sysfs::text(&dir.join(file)).unwrap_or_default();
        let is_it = text("subsysnqn") == nqn.as_str()
            && sysfs::number(&dir.join("cntlid")).is_none_or(|id| id == answered.id);
        match is_it {
            true => Ok(dir),
            false => Err(io::Error::other(format!(
                "its controller nvme{} was gone at once, or is another's",
                answered.instance
            ))),
        }
    }
}

/// What the kernel answers to a connection: its number for the controller, and the target's id of it.
struct Answered {
    instance: u32,
    id: u64,
}

impl Answered {
    /// Connects.  Takes as long as the target makes it.
    fn to(control: &Path, options: &str) -> io::Result<Self> {
        let mut control = OpenOptions::new().read(true).write(true).open(control)?;
        // One write is one connection: what is not taken at once is not taken.
        control.write_all(options.as_bytes())?;
        let mut answer = [0; 256];
        let length = control.read(&mut answer)?;
        let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
        Self::parse(&answer).ok_or_else(|| io::Error::other("the kernel does not name the controller"))
    }

    /// Reads `instance=N,cntlid=M`.
    fn parse(answer: &str) -> Option<Self> {
        let value = |wanted: &str| {
            let mut pairs = answer.trim().split(',').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == wanted)
                .map(|(_, value)| value.trim().to_owned())
        };
        Some(Self {
            instance: value("instance")?.parse().ok()?,
            id: value("cntlid")?.parse().ok()?,
        })
    }

    fn dir(&self, class: &Path) -> PathBuf {
        class.join(format!("nvme{}", self.instance))
    }
}

fn host_id(host: &Nqn) -> Uuid {
    Uuid::new_v5(&HOST_IDS, host.as_str().as_bytes())
}

fn unreachable(uri: &str, why: String) -> Error {
    VolumeError::Unreachable { uri: uri.into(), why }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(sys: &Path) -> Initiator {
        Initiator {
            sys: sys.into(),
            dev: "/dev".into(),
            host: Nqn::of_node("n").unwrap(),
            patience: Patience::default(),
        }
    }

    #[test]
    fn the_kernel_answer_names_the_controller() {
        let answered = Answered::parse("instance=12,cntlid=3\n").unwrap();
        assert_eq!((answered.instance, answered.id), (12, 3));
        assert_eq!(answered.dir(Path::new("/c")), Path::new("/c/nvme12"));
        for text in [
            "",
            "instance=,cntlid=1",
            "instance=1",
            "instance=-1,cntlid=1",
            "instance",
        ] {
            assert!(Answered::parse(text).is_none(), "{text}");
        }
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
