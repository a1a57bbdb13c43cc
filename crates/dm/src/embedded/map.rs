//! A table made ready for I/O: from a byte of the device to bytes of what lies below.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::State;
use super::cache::{Cached, MARKS};
use super::rows::Rows;
use super::thin::{Bytes, Handle};
use crate::{DeviceNumber, Error, Multipath, Raid, StatusLine, Table, Target, TargetLine};

pub(super) const SECTOR: u64 = 512;

/// A table that was checked, with the health of its images.
pub(super) struct Map {
    pub(super) table: Table,
    pub(super) read_only: bool,
    /// For each line, the images that failed a write or read and are used no more.
    dead: Vec<Vec<AtomicBool>>,
    /// Sectors that the last check of an array found to differ.
    pub(super) mismatches: AtomicU64,
    /// For each line, its thin pool; empty if there is none.
    pub(super) pools: Vec<Option<Handle>>,
    /// The devices below, sorted, each once.
    below: Vec<DeviceNumber>,
    /// Held while blocks of a cache are moved.
    turn: Mutex<()>,
    /// Is all that a cache of writes holds brought back when it is stopped next?
    pub(super) flushes: AtomicBool,
}

/// What serves some bytes.
pub(super) enum Piece<'a> {
    /// Bytes of one device.
    One(DeviceNumber, u64),
    /// Bytes of several stripes.
    Rows(Rows<'a>),
    /// The same bytes on each of several devices; `None` for one that is missing.
    Copies(Vec<Copy>, &'a [AtomicBool]),
    /// Blocks of a thin device.
    Thin(Bytes<'a>),
    /// Blocks of a cached device.
    Cached(Cached<'a>),
    /// Zeroes.
    Zero,
    /// Failure.
    Error,
}

/// A device and its byte.
pub(super) type Copy = (Option<DeviceNumber>, u64);

/// Images that have to become equal to the others before a table is mapped.
pub(super) struct Stale<'a> {
    /// Device and first byte of each image.
    pub(super) images: Vec<Copy>,
    pub(super) is_stale: Vec<bool>,
    pub(super) dead: &'a [AtomicBool],
    pub(super) bytes: u64,
}

impl State {
    /// Sends a message to a multipath device; `None` if it is none, or the message another one than to hold I/O, or not to.
    pub(super) fn path_message(&self, minor: u32, text: &str) -> Option<Result<(), Error>> {
        let live = self.devices.get(minor)?.live.as_ref()?;
        let first = live.table.lines().first()?;
        let is_known = [Multipath::HOLD, Multipath::LET_GO].contains(&text);
        (matches!(first.target, Target::Multipath(_)) && is_known).then_some(Ok(()))
    }
}

impl Map {
    /// Makes a table ready that [`check`] takes.
    pub(super) fn new(table: Table, read_only: bool, pools: Vec<Option<Handle>>) -> Self {
        let mut below: Vec<DeviceNumber> = table.lines().iter().flat_map(devices_of).collect();
        below.sort_unstable();
        below.dedup();
        let healthy = |line: &TargetLine| copies(line, 0).iter().map(|_| AtomicBool::new(false)).collect();
        let dead = table.lines().iter().map(healthy).collect();
        Self {
            table,
            read_only,
            dead,
            mismatches: AtomicU64::new(0),
            pools,
            below,
            turn: Mutex::default(),
            flushes: AtomicBool::default(),
        }
    }

    /// Waits until no block of a cache of it is moved.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices below, each once.
    pub(super) fn devices(&self) -> &[DeviceNumber] {
        &self.below
    }

    /// Images that failed under the table before are not used by this one either: what they hold is old.
    pub(super) fn inherit(&self, before: &Map) {
        let failed: Vec<DeviceNumber> = before
            .images()
            .filter_map(|(device, dead)| dead.load(Ordering::Relaxed).then_some(device))
            .collect();
        for (device, dead) in self.images() {
            dead.fetch_or(failed.contains(&device), Ordering::Relaxed);
        }
    }

    fn images(&self) -> impl Iterator<Item = (DeviceNumber, &AtomicBool)> {
        let lines = self.table.lines().iter().zip(&self.dead);
        lines.flat_map(|(line, dead)| {
            let images = copies(line, 0).into_iter().zip(dead);
            images.filter_map(|((device, _), dead)| Some((device?, dead)))
        })
    }

    /// What has to be copied before I/O flows: all of a mirror from its first image, and the images of a raid1 that are to
    /// be rebuilt.
    pub(super) fn stale(&self) -> Vec<Stale<'_>> {
        let of_line = |(line, dead): (&TargetLine, &'_ Vec<AtomicBool>)| -> Vec<bool> {
            match &line.target {
                Target::Mirror(mirror) if !mirror.nosync => (0..dead.len()).map(|at| at > 0).collect(),
                Target::Raid(raid) => (0..dead.len()).map(|at| is_rebuilt(raid, at)).collect(),
                _ => Vec::new(),
            }
        };
        let lines = self.table.lines().iter().zip(&self.dead);
        let stale = lines.map(|(line, dead)| Stale {
            images: copies(line, 0),
            is_stale: of_line((line, dead)),
            dead,
            bytes: line.length.saturating_mul(SECTOR),
        });
        stale.filter(|stale| stale.is_stale.contains(&true)).collect()
    }

    /// What serves the bytes from `at`, and how many of them up to `length`.
    pub(super) fn piece(&self, at: u64, length: u64) -> Option<(Piece<'_>, u64)> {
        let lines = self.table.lines();
        let index = lines
            .partition_point(|line| line.start.saturating_mul(SECTOR) <= at)
            .checked_sub(1)?;
        let line = lines.get(index)?;
        let inside = at.checked_sub(line.start.saturating_mul(SECTOR))?;
        let left = line
            .length
            .saturating_mul(SECTOR)
            .checked_sub(inside)
            .filter(|left| *left > 0)?
            .min(length);
        Some(match &line.target {
            Target::Linear { device, offset } => {
                let byte = offset.saturating_mul(SECTOR).saturating_add(inside);
                (Piece::One(*device, byte), left)
            }
            Target::Multipath(multipath) => match multipath.paths.first() {
                Some(path) => (Piece::One(*path, inside), left),
                None => (Piece::Error, left),
            },
            Target::Striped { chunk, stripes } => {
                let chunk = chunk.saturating_mul(SECTOR);
                let rows = Rows {
                    stripes,
                    chunk,
                    inside,
                };
                let (stripe, within, byte) = rows.place(inside)?;
                if left > chunk.saturating_sub(within) {
                    let left = left.min(rows.limit());
                    (Piece::Rows(rows), left)
                } else {
                    let (device, _) = stripes.get(stripe)?;
                    (Piece::One(*device, byte), left)
                }
            }
            Target::Mirror(_) | Target::Raid(_) => {
                (Piece::Copies(copies(line, inside), self.dead.get(index)?), left)
            }
            Target::ThinPool(pool) => (Piece::One(pool.data, inside), left),
            Target::Thin(target) => {
                let pool = self.pools.get(index)?.as_ref()?;
                let at = inside;
                (Piece::Thin(Bytes { target, pool, at }), left)
            }
            Target::Cache(_) | Target::Writecache(_) => {
                (Piece::Cached(Cached::of(self, line, inside)?), left)
            }
            Target::Zero => (Piece::Zero, left),
            // Others were refused when they were loaded.
            _ => (Piece::Error, left),
        })
    }

    /// The copies and their health, for each line that has any.
    pub(super) fn copies(&self) -> impl Iterator<Item = (Vec<Copy>, &[AtomicBool])> {
        let lines = self.table.lines().iter().zip(&self.dead);
        lines
            .map(|(line, dead)| (copies(line, 0), dead.as_slice()))
            .filter(|(copies, _)| !copies.is_empty())
    }

    /// What each target says, in the kernel's words.
    pub(super) fn status(&self) -> Vec<StatusLine> {
        let lines = self.table.lines().iter().zip(&self.dead);
        let describe = |(line, dead): (&TargetLine, &Vec<AtomicBool>)| StatusLine {
            start: line.start,
            length: line.length,
            kind: line.target.kind().into(),
            status: status(line, dead, self.mismatches.load(Ordering::Relaxed)),
        };
        lines.map(describe).collect()
    }
}

fn is_rebuilt(raid: &Raid, image: usize) -> bool {
    let words = raid.params.iter().zip(raid.params.iter().skip(1));
    words
        .filter(|(key, _)| *key == "rebuild")
        .any(|(_, value)| value.parse() == Ok(image))
}

/// The devices that a line names, as often as it does.
fn devices_of(line: &TargetLine) -> Vec<DeviceNumber> {
    let more = match &line.target {
        Target::Linear { device, .. } => vec![*device],
        Target::Striped { stripes, .. } => stripes.iter().map(|(device, _)| *device).collect(),
        Target::Mirror(mirror) => mirror.log.device().into_iter().collect(),
        Target::Multipath(multipath) => multipath.paths.clone(),
        Target::Raid(raid) => raid.images.iter().filter_map(|image| image.meta).collect(),
        Target::ThinPool(pool) => vec![pool.metadata, pool.data],
        Target::Cache(cache) => vec![cache.metadata, cache.cache, cache.origin],
        Target::Writecache(cache) => vec![cache.cache, cache.origin],
        Target::Thin(thin) => [thin.pool].into_iter().chain(thin.origin).collect(),
        _ => Vec::new(),
    };
    let images = copies(line, 0).into_iter().filter_map(|(device, _)| device);
    images.chain(more).collect()
}

/// Where a byte of a line has its copies; none for a target without.
fn copies(line: &TargetLine, inside: u64) -> Vec<Copy> {
    let place = |offset: u64| offset.saturating_mul(SECTOR).saturating_add(inside);
    match &line.target {
        Target::Mirror(mirror) => {
            let images = mirror.images.iter();
            images
                .map(|(device, offset)| (Some(*device), place(*offset)))
                .collect()
        }
        Target::Raid(raid) => raid.images.iter().map(|image| (image.data, place(0))).collect(),
        _ => Vec::new(),
    }
}

fn status(line: &TargetLine, dead: &[AtomicBool], mismatches: u64) -> String {
    let health = |missing: &dyn Fn(usize) -> bool| -> String {
        let letter = |(at, dead): (usize, &AtomicBool)| match dead.load(Ordering::Relaxed) {
            _ if missing(at) => '-',
            true => 'D',
            false => 'A',
        };
        dead.iter().enumerate().map(letter).collect()
    };
    let names = |devices: &[(DeviceNumber, u64)]| {
        let names: Vec<String> = devices.iter().map(|(device, _)| device.to_string()).collect();
        names.join(" ")
    };
    match &line.target {
        Target::Striped { stripes, .. } => {
            let count = stripes.len();
            format!("{count} {} 1 {}", names(stripes), "A".repeat(count))
        }
        Target::Mirror(mirror) => {
            let regions = line.length.div_ceil(mirror.region_size.max(1));
            let log = match mirror.log.device() {
                None => "1 core".into(),
                Some(device) => format!("3 disk {device} A"),
            };
            let (count, names) = (mirror.images.len(), names(&mirror.images));
            format!(
                "{count} {names} {regions}/{regions} 1 {} {log}",
                health(&|_| false)
            )
        }
        Target::Multipath(multipath) => {
            let mut status = format!("2 0 0 0 1 1 A 0 {} 0", multipath.paths.len());
            for path in &multipath.paths {
                status += &format!(" {path} A 0");
            }
            status
        }
        Target::Raid(raid) => {
            let missing = |at: usize| raid.images.get(at).is_none_or(|image| image.data.is_none());
            let (count, health) = (raid.images.len(), health(&missing));
            format!(
                "raid1 {count} {health} {0}/{0} idle {mismatches} 0 -",
                line.length
            )
        }
        _ => String::new(),
    }
}

/// Checks a table: known targets, devices that exist, areas inside them.
pub(super) fn check(
    table: &Table,
    thin: bool,
    length: &dyn Fn(DeviceNumber) -> Option<u64>,
) -> Result<(), Error> {
    let bad = |why: String| Err(Error::BadTable(why));
    let inside = |device: DeviceNumber, offset: u64, needed: u64| {
        let length = length(device).ok_or_else(|| Error::BadTable(format!("there is no device {device}")))?;
        match offset.checked_add(needed) {
            Some(end) if end <= length => Ok(()),
            _ => bad(format!(
                "{needed} sectors from {offset} pass the end of {device} at {length}"
            )),
        }
    };
    for line in table.lines() {
        match &line.target {
            Target::Linear { device, offset } => inside(*device, *offset, line.length)?,
            Target::Striped { chunk, stripes } => {
                let count = u64::try_from(stripes.len()).unwrap_or(u64::MAX);
                let each = line.length.checked_div(count).unwrap_or(0);
                let whole =
                    each.checked_mul(count) == Some(line.length) && each.checked_rem(*chunk) == Some(0);
                if !whole {
                    return bad(format!("{count} stripes of {chunk} sectors over {}", line.length));
                }
                for (device, offset) in stripes {
                    inside(*device, *offset, each)?;
                }
            }
            Target::Mirror(mirror) => {
                if mirror.images.len() < 2 || !mirror.region_size.is_power_of_two() {
                    return bad(format!("a mirror with the parameters {}", line.target.params()));
                }
                for (device, offset) in &mirror.images {
                    inside(*device, *offset, line.length)?;
                }
                if let Some(device) = mirror.log.device() {
                    inside(device, 0, 1)?;
                }
            }
            Target::Multipath(multipath) => {
                for path in &multipath.paths {
                    inside(*path, 0, line.length)?;
                }
            }
            Target::Raid(raid) if raid.level != "raid1" => {
                return Err(Error::Unsupported(format!("the target raid {}", raid.level)));
            }
            Target::Raid(raid) => {
                let usable =
                    |(at, image): (usize, &crate::RaidImage)| image.data.is_some() && !is_rebuilt(raid, at);
                if raid.images.len() < 2 || !raid.images.iter().enumerate().any(usable) {
                    return bad(format!("a raid1 with the parameters {}", line.target.params()));
                }
                for image in &raid.images {
                    image
                        .data
                        .map_or(Ok(()), |device| inside(device, 0, line.length))?;
                    image.meta.map_or(Ok(()), |device| inside(device, 0, 1))?;
                }
            }
            Target::ThinPool(pool) if thin => {
                inside(pool.data, 0, line.length)?;
                inside(pool.metadata, 0, 1)?;
            }
            Target::Thin(target) if thin => target.origin.map_or(Ok(()), |origin| inside(origin, 0, 0))?,
            Target::Cache(cache) if thin => {
                inside(cache.origin, 0, line.length)?;
                inside(cache.cache, 0, cache.block_size)?;
                inside(cache.metadata, 0, 1)?;
            }
            Target::Writecache(cache) if thin => {
                if !matches!(cache.block_size, 512 | 4096) {
                    return bad(format!("a writecache with blocks of {}", cache.block_size));
                }
                inside(cache.origin, 0, line.length)?;
                inside(cache.cache, 0, MARKS / SECTOR)?;
            }
            Target::Zero | Target::Error => {}
            other => return Err(Error::Unsupported(format!("the target {}", other.kind()))),
        }
    }
    Ok(())
}
