//! The comparison of what is there with what should be.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lvm_native::pool::PoolInfo;
use uuid::Uuid;

use super::model::{Data, SLOT};
use super::place::{is_installed, run, text};
use super::random::block;
use super::world::{POOL, World};
use super::{Outcome, told, tools_lvs};

/// Longest time in which the kernel fills an array.
const FILLING: Duration = Duration::from_secs(60);

impl World {
    /// Compares what is stamped with what a replica holds.
    pub(crate) fn check_data(&self, uuid: Uuid) -> Outcome<()> {
        let Some(replica) = self.model.replicas.get(&uuid).filter(|replica| replica.active) else {
            return Ok(());
        };
        let device = self.pool()?.open_replica(uuid).map_err(told)?;
        let read = |at, found: &mut [u8]| device.read_at(at, found).map_err(told);
        check_stamps(&format!("replica {uuid}"), &replica.data, read)
    }

    /// Compares what is listed with what should be, and the state of the pool.
    pub(crate) fn check(&self) -> Outcome<PoolInfo> {
        let pool = self.pool()?;
        let replicas = pool.replicas().map_err(told)?;
        let snapshots = pool.snapshots(None).map_err(told)?;
        self.model.compare(&replicas, &snapshots)?;
        let info = self.filled()?;
        let mut disks: Vec<PathBuf> = self.disks();
        let mut listed = info.disks.clone();
        disks.sort();
        listed.sort();
        if listed != disks {
            return Err(format!(
                "the pool's disks are {listed:?}, and should be {disks:?}"
            ));
        }
        if info.state.as_str() != "online" || info.used > info.capacity || !info.reasons.is_empty() {
            return Err(format!("the pool is not well: {info:?}"));
        }
        let names = self.model.foreign.iter().map(|foreign| &foreign.name).collect();
        same("foreign LVs", info.foreign_lvs.iter().collect(), names)?;
        let tags = self.model.tags.iter().collect();
        same("the pool's tags", info.tags.iter().collect(), tags)?;
        self.check_served()?;
        Ok(info)
    }

    /// Compares what the target serves with the replicas that are shared and active.
    fn check_served(&self) -> Outcome<()> {
        let wanted = self.model.served();
        let is_any_shared = self
            .model
            .replicas
            .values()
            .any(|replica| replica.shared.is_some());
        if self.place.is_kernel() && !is_any_shared {
            return Ok(());
        }
        let served = self.place.served()?;
        let found: BTreeSet<Uuid> = served.iter().map(|served| served.replica).collect();
        same("replicas that are served", found, wanted)?;
        for served in served {
            let replica = self.model.replicas.get(&served.replica);
            let hosts = replica.and_then(|replica| replica.shared.as_ref());
            if hosts != Some(&served.allowed_hosts) || !served.is_whole {
                return Err(format!("{served:?} is served, for the hosts {hosts:?}"));
            }
        }
        Ok(())
    }

    /// The pool, once the kernel has filled the arrays that it fills.
    pub(crate) fn filled(&self) -> Outcome<PoolInfo> {
        let end = Instant::now() + FILLING;
        loop {
            let info = self.pool()?.info().map_err(told)?;
            let is_online = info.state.as_str() == "online";
            if is_online || !self.place.is_kernel() || Instant::now() > end {
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
        let fresh = match self.place.is_kernel() {
            true => self.place.system()?,
            false => self.place.other_host(&self.place.disks)?,
        };
        let seen = fresh.pool_info(POOL).map_err(told)?;
        if seen.seqno != info.seqno || seen.capacity != info.capacity {
            return Err(format!("another process sees {seen:?} in place of {info:?}"));
        }
        self.ask_tools()
    }

    /// Lets LVM check the pool, where it is installed.
    fn ask_tools(&self) -> Outcome<()> {
        if self.place.is_kernel() {
            tools_lvs::check_all(self)?;
            run("vgck", &[POOL])?;
            let listed = run("lvs", &["--noheadings", "-a", "-o", "lv_name,lv_attr", POOL])?;
            return match listed.trim().is_empty() && !self.model.replicas.is_empty() {
                true => Err("lvs lists nothing".into()),
                false => Ok(()),
            };
        }
        if !is_installed("pvck") {
            return Ok(());
        }
        let mut texts = Vec::new();
        for disk in self.disks() {
            let path = text(&disk);
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
}

/// Compares stamps with what is read.
pub(crate) fn check_stamps(
    what: &str,
    data: &Data,
    mut read: impl FnMut(u64, &mut [u8]) -> Outcome<()>,
) -> Outcome<()> {
    for (slot, stamp) in data {
        let wanted = block(*stamp);
        let mut found = vec![0; wanted.len()];
        read(slot * SLOT, &mut found)?;
        if found != wanted {
            return Err(format!("{what} has lost what was written to slot {slot}"));
        }
    }
    Ok(())
}

fn same<T: Ord + std::fmt::Debug>(what: &str, found: BTreeSet<T>, wanted: BTreeSet<T>) -> Outcome<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{what} are {found:?}, and should be {wanted:?}")),
    }
}
