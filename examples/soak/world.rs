//! The host that is tried, what should be on it, and the comparison of the two.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lvm_native::meta::Sectors;
use lvm_native::pool::{CreatePool, Error, Layout, PoolInfo, RaidLevel, ReplicaInfo, StoragePool, System};
use uuid::Uuid;

use super::model::{Data, MIB, Model, Replica, SLOT};
use super::random::{Random, block};

pub(crate) const POOL: &str = "soak";
/// Operations that are told when something is wrong.
const LAST: usize = 40;

/// Longest time in which the kernel fills an array.
const FILLING: Duration = Duration::from_secs(60);

/// Where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// With the kernel's device-mapper and LVM's tools; on image files otherwise.
    pub(crate) kernel: bool,
    pub(crate) disks: Vec<PathBuf>,
    /// Of a system on image files.
    pub(crate) locks: PathBuf,
}

pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) random: Random,
    pub(crate) model: Model,
    pub(crate) log: Vec<String>,
    system: System,
    pool: Option<StoragePool>,
    next: u128,
}

/// What is wrong, in words.
pub(crate) type Outcome<T> = Result<T, String>;

impl World {
    /// A pool on the first disks but the last.
    pub(crate) fn new(place: Place, seed: u64) -> Outcome<Self> {
        let system = system(&place)?;
        let count = place.disks.len();
        if count < 3 {
            return Err("at least three disks are needed".into());
        }
        let used: Vec<usize> = (0..count - 1).collect();
        let disks = place.disks.get(..count - 1).unwrap_or_default().to_vec();
        let mut request = CreatePool::new(POOL, disks);
        request.extent_size = Some(MIB);
        request.force = true;
        let pool = system.create_pool(&request).map_err(told)?;
        let model = Model {
            used,
            free: vec![count - 1],
            ..Model::default()
        };
        Ok(Self {
            place,
            random: Random::new(seed),
            model,
            log: Vec::new(),
            system,
            pool: Some(pool),
            next: 0,
        })
    }

    pub(crate) fn pool(&self) -> Outcome<&StoragePool> {
        self.pool.as_ref().ok_or_else(|| "the pool is not open".into())
    }

    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    pub(crate) fn note(&mut self, what: String) {
        self.log.push(what);
    }

    /// What is told when something is wrong.
    pub(crate) fn last(&self) -> String {
        let from = self.log.len().saturating_sub(LAST);
        self.log.get(from..).unwrap_or_default().join("\n")
    }

    pub(crate) fn new_uuid(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(0x5011_0000_0000_4000_8000_0000_0000_0000 | self.next)
    }

    pub(crate) fn disk(&self, number: usize) -> PathBuf {
        self.place.disks.get(number).cloned().unwrap_or_default()
    }

    /// A size of some extents, not always whole.
    pub(crate) fn size(&mut self) -> u64 {
        let extents = 1 + self.random.below(12) as u64;
        extents * MIB - [0, 0, 512, MIB / 2][self.random.below(4)]
    }

    pub(crate) fn layout(&mut self) -> Layout {
        let stripe_size = Sectors::new(128);
        match self.random.below(6) {
            0 => Layout::Striped {
                stripes: 2,
                stripe_size,
            },
            1 | 2 => mirror(),
            _ => Layout::Linear,
        }
    }

    /// Success, or one of the refusals that may be; `None` then, and nothing changed.
    pub(crate) fn judge<T>(&mut self, result: Result<T, Error>, refusals: &[&str]) -> Outcome<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if refusals.contains(&error.kind()) => {
                self.note(format!("    refused: {} ({error})", error.kind()));
                Ok(None)
            }
            Err(error) => Err(told(error)),
        }
    }

    /// Notes a replica that was made or changed.
    pub(crate) fn learn(&mut self, info: &ReplicaInfo, data: Data) {
        self.model.replicas.insert(info.uuid, Replica::new(info, data));
    }

    /// Stamps some blocks of a replica.
    pub(crate) fn write(&mut self, uuid: Uuid) -> Outcome<()> {
        let Some(replica) = self.model.replicas.get(&uuid).filter(|replica| replica.active) else {
            return Ok(());
        };
        let (slots, thin) = (replica.size / SLOT, replica.thin);
        if thin && self.is_thin_pool_filling()? {
            return Ok(());
        }
        let device = self.pool()?.open_replica(uuid).map_err(told)?;
        for _ in 0..1 + self.random.below(4) {
            let slot = self.random.next() % slots.max(1);
            let stamp = self.random.next() | 1;
            device.write_at(slot * SLOT, &block(stamp)).map_err(told)?;
            if let Some(replica) = self.model.replicas.get_mut(&uuid) {
                replica.data.insert(slot, stamp);
            }
        }
        device.sync().map_err(told)
    }

    /// Thin volumes stop when their pool is full: that is another test's.
    fn is_thin_pool_filling(&self) -> Outcome<bool> {
        let info = self.pool()?.info().map_err(told)?;
        Ok(info
            .thin_pool
            .is_none_or(|thin| thin.data_used > thin.data_size / 2))
    }

    /// Compares what is stamped with what a replica holds.
    pub(crate) fn check_data(&self, uuid: Uuid) -> Outcome<()> {
        let Some(replica) = self.model.replicas.get(&uuid).filter(|replica| replica.active) else {
            return Ok(());
        };
        let device = self.pool()?.open_replica(uuid).map_err(told)?;
        for (slot, stamp) in &replica.data {
            let wanted = block(*stamp);
            let mut found = vec![0; wanted.len()];
            device.read_at(slot * SLOT, &mut found).map_err(told)?;
            if found != wanted {
                return Err(format!("replica {uuid} has lost what was written to slot {slot}"));
            }
        }
        Ok(())
    }

    /// Compares what is listed with what should be, and the state of the pool.
    pub(crate) fn check(&self) -> Outcome<PoolInfo> {
        let pool = self.pool()?;
        let replicas = pool.replicas().map_err(told)?;
        let snapshots = pool.snapshots(None).map_err(told)?;
        if let Some(why) = self.model.differs(&replicas, &snapshots) {
            return Err(why);
        }
        let info = self.filled()?;
        let mut disks: Vec<PathBuf> = self.model.used.iter().map(|number| self.disk(*number)).collect();
        let mut listed = info.disks.clone();
        disks.sort();
        listed.sort();
        if listed != disks {
            return Err(format!(
                "the pool's disks are {listed:?}, and should be {disks:?}"
            ));
        }
        if info.state.as_str() != "online" || info.used > info.capacity {
            return Err(format!("the pool is not well: {info:?}"));
        }
        let mut foreign = info.foreign_lvs.clone();
        foreign.sort();
        let mut wanted = self.model.foreign.clone();
        wanted.sort();
        match foreign == wanted {
            true => Ok(info),
            false => Err(format!("foreign LVs are {foreign:?}, and should be {wanted:?}")),
        }
    }

    /// The pool, once the kernel has filled the arrays that it fills.
    fn filled(&self) -> Outcome<PoolInfo> {
        let end = Instant::now() + FILLING;
        loop {
            let info = self.pool()?.info().map_err(told)?;
            let is_online = info.state.as_str() == "online";
            if is_online || !self.place.kernel || Instant::now() > end {
                return Ok(info);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All data; what another process sees; what LVM says of it.
    pub(crate) fn check_all(&self) -> Outcome<()> {
        let info = self.check()?;
        for uuid in self.model.replicas.keys() {
            self.check_data(*uuid)?;
        }
        let fresh = system(&self.place)?;
        let seen = fresh.pool_info(POOL).map_err(told)?;
        if seen.seqno != info.seqno || seen.used != info.used {
            return Err(format!("another process sees {seen:?} in place of {info:?}"));
        }
        self.ask_tools()
    }

    /// Lets LVM check the pool, where it is installed.
    fn ask_tools(&self) -> Outcome<()> {
        if self.place.kernel {
            run("vgck", &[POOL])?;
            let listed = run("lvs", &["--noheadings", "-a", "-o", "lv_name,lv_attr", POOL])?;
            return match listed.trim().is_empty() && !self.model.replicas.is_empty() {
                true => Err("lvs lists nothing".into()),
                false => Ok(()),
            };
        }
        if Command::new("pvck").arg("--version").output().is_err() {
            return Ok(());
        }
        let mut texts = Vec::new();
        for number in &self.model.used {
            let path = self.disk(*number);
            let path = path.to_string_lossy();
            texts.push(run("pvck", &["--dump", "metadata", &path])?);
            run("pvck", &["--dump", "headers", &path])?;
        }
        texts.dedup_by_key(|text| {
            text.lines()
                .filter(|line| line.trim_start().starts_with("seqno ="))
                .collect::<String>()
        });
        match texts.len() {
            1 => Ok(()),
            count => Err(format!("pvck finds {count} texts of one pool")),
        }
    }

    /// The process ends, and another begins.
    pub(crate) fn restart(&mut self) -> Outcome<()> {
        self.pool = None;
        self.system = system(&self.place)?;
        self.reopen()
    }

    /// Opens the pool again; what is active is as it is found.
    pub(crate) fn reopen(&mut self) -> Outcome<()> {
        self.pool = None;
        let pool = self.system.open_pool(POOL).map_err(told)?;
        self.opened(pool)
    }

    pub(crate) fn opened(&mut self, pool: StoragePool) -> Outcome<()> {
        self.pool = Some(pool);
        self.learn_what_is_active()
    }

    fn learn_what_is_active(&mut self) -> Outcome<()> {
        for info in self.pool()?.replicas().map_err(told)? {
            if let Some(replica) = self.model.replicas.get_mut(&info.uuid) {
                replica.active = info.active;
            }
        }
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        self.pool = None;
    }
}

/// Two images.
pub(crate) fn mirror() -> Layout {
    Layout::Raid {
        level: RaidLevel::Raid1,
        count: 2,
        stripe_size: Sectors::new(0),
    }
}

pub(crate) fn told(error: Error) -> String {
    format!("{}: {error}", error.kind())
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

fn system(place: &Place) -> Outcome<System> {
    let builder = match place.kernel {
        true => System::kernel(),
        false => System::embedded().lock_dir(place.locks.clone()),
    };
    let builder = builder
        .devices(place.disks.clone())
        .timeout(Duration::from_secs(30));
    builder.build().map_err(told)
}
