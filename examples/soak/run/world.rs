//! The host that is tried, and what should be on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lvm_native::meta::Sectors;
use lvm_native::pool::{CreatePool, Error, Layout, RaidLevel, ReplicaInfo, StoragePool, System};
use uuid::Uuid;

use super::model::{Data, MIB, Model, Replica, SLOT};
use super::place::{Place, run};
use super::random::{Random, block};
use super::{Outcome, thin, told};

pub(crate) const POOL: &str = "soak";
/// Operations that are told when something is wrong.
const LAST: usize = 40;

pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) random: Random,
    pub(crate) model: Model,
    pub(crate) log: Vec<String>,
    pub(crate) seed: u64,
    system: System,
    pool: Option<StoragePool>,
    step: usize,
    made: u128,
}

impl World {
    /// A pool on the first disks but the last.
    pub(crate) fn new(place: Place, seed: u64) -> Outcome<Self> {
        let system = place.system()?;
        let count = place.disks.len();
        if count < 3 {
            return Err("at least three disks are needed".into());
        }
        let model = Model {
            used: (0..count - 1).collect(),
            free: vec![count - 1],
            ..Model::default()
        };
        let mut world = Self {
            place,
            random: Random::of_step(seed, 0),
            model,
            log: Vec::new(),
            seed,
            system,
            pool: None,
            step: 0,
            made: 0,
        };
        world.create()?;
        Ok(world)
    }

    /// Makes a pool of the disks that the model has in use, with nothing in it but, at times, a thin pool.
    pub(crate) fn create(&mut self) -> Outcome<()> {
        let mut request = CreatePool::new(POOL, self.disks());
        request.extent_size = Some(MIB);
        request.force = true;
        if has_thin_pools(&self.place) && self.random.once_in(3) {
            request.thin_pool = Some(thin::wanted(self));
        }
        self.note(format!("create the pool, with {:?}", request.thin_pool));
        self.pool = Some(self.system.create_pool(&request).map_err(told)?);
        self.model = Model {
            used: self.model.used.clone(),
            free: self.model.free.clone(),
            has_thin_pool: request.thin_pool.is_some(),
            ..Model::default()
        };
        Ok(())
    }

    /// Begins a step: what it draws and makes depends on the seed and its number alone.
    pub(crate) fn begin(&mut self, step: usize) {
        self.random = Random::of_step(self.seed, step);
        (self.step, self.made) = (step, 0);
        self.note(format!("{step}:"));
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

    /// How often each operation was begun, by the first words of the notes, and how often something was refused, by
    /// its kind.
    pub(crate) fn tally(&self) -> String {
        let mut counts = BTreeMap::<String, usize>::new();
        for note in &self.log {
            let note = note.trim_start();
            let refused = note.strip_prefix("refused: ");
            let words = refused.unwrap_or(note);
            let kind = words.split([' ', ',', ':', ';']).next().unwrap_or_default();
            let kind = match refused {
                Some(_) => format!("(refused: {kind})"),
                None => kind.to_owned(),
            };
            if !kind.starts_with(|letter: char| letter.is_ascii_digit()) {
                *counts.entry(kind).or_default() += 1;
            }
        }
        let counts: Vec<String> = counts
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        counts.join(", ")
    }

    pub(crate) fn new_uuid(&mut self) -> Uuid {
        self.made += 1;
        let number = (self.step as u128) << 8 | self.made;
        Uuid::from_u128(0x5011_0000_0000_4000_8000_0000_0000_0000 | number)
    }

    pub(crate) fn disk(&self, number: usize) -> PathBuf {
        self.place.disks.get(number).cloned().unwrap_or_default()
    }

    pub(crate) fn disks(&self) -> Vec<PathBuf> {
        self.model.used.iter().map(|number| self.disk(*number)).collect()
    }

    /// A replica of some kind.
    pub(crate) fn some(&mut self, is_wanted: impl Fn(&Replica) -> bool) -> Option<Uuid> {
        let all = self.model.uuids(is_wanted);
        self.random.choose(&all)
    }

    /// A disk of the pool.
    pub(crate) fn some_disk(&mut self) -> usize {
        self.random.choose(&self.model.used).unwrap_or(0)
    }

    /// A size of some extents, not always whole.
    pub(crate) fn size(&mut self) -> u64 {
        let extents = 1 + self.random.below(12) as u64;
        extents * MIB - [0, 0, 512, MIB / 2][self.random.below(4)]
    }

    pub(crate) fn layout(&mut self) -> Layout {
        let stripe_size = Sectors::new(128);
        match self.random.below(7) {
            0 => Layout::Striped {
                stripes: 2,
                stripe_size,
            },
            1 | 2 => mirror(),
            // The mapper in user space has no parity.
            3 if self.place.is_kernel() => Layout::Raid {
                level: RaidLevel::Raid5,
                count: 2,
                stripe_size,
            },
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

    /// The process ends, and another begins; on image files so does the host, at times.
    pub(crate) fn restart(&mut self) -> Outcome<()> {
        self.pool = None;
        let is_host = self.random.once_in(2);
        self.place.reboot(is_host)?;
        self.system = self.place.system()?;
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

    /// Closes the pool, of which no device is left then: neither ours, nor one of the tools' LVs.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        self.close();
        self.system.export_pool(POOL).map_err(told)?;
        match self.place.is_kernel() {
            true => run("vgchange", &["-an", POOL]).map(drop),
            false => self.place.reboot(false),
        }
    }
}

/// Returns `true` if the mapper does thin pools.
pub(crate) fn has_thin_pools(place: &Place) -> bool {
    cfg!(feature = "testing") || place.is_kernel()
}

/// Two images.
pub(crate) fn mirror() -> Layout {
    Layout::Raid {
        level: RaidLevel::Raid1,
        count: 2,
        stripe_size: Sectors::new(0),
    }
}
