//! A table made ready for I/O: from a byte of the device to bytes of what lies below.

use std::sync::atomic::{AtomicBool, Ordering};

use super::check_target;
use crate::{DeviceNumber, Error, StatusLine, Table, Target};

const SECTOR: u64 = 512;

/// A table that was checked, with the health of its images.
pub(super) struct Map {
    pub(super) table: Table,
    pub(super) read_only: bool,
    /// For each line, the images that failed a write or read and are used no more.
    dead: Vec<Vec<AtomicBool>>,
}

/// What serves some bytes.
pub(super) enum Piece<'a> {
    /// Bytes of one device.
    One(DeviceNumber, u64),
    /// The same bytes on each of several devices; `None` for one that is missing.
    Copies(Vec<(Option<DeviceNumber>, u64)>, &'a [AtomicBool]),
    /// Zeroes.
    Zero,
    /// Failure.
    Error,
}

impl Map {
    /// Checks a table: known targets, devices that exist, areas inside them.
    pub(super) fn new(
        table: Table,
        read_only: bool,
        length: &dyn Fn(DeviceNumber) -> Option<u64>,
    ) -> Result<Self, Error> {
        let mut dead = Vec::new();
        for line in table.lines() {
            check_target(&line.target)?;
            let inside = |device: DeviceNumber, offset: u64, needed: u64| {
                let length =
                    length(device).ok_or_else(|| Error::BadTable(format!("there is no device {device}")))?;
                match offset.checked_add(needed) {
                    Some(end) if end <= length => Ok(()),
                    _ => Err(Error::BadTable(format!(
                        "{needed} sectors from {offset} pass the end of {device} at {length}"
                    ))),
                }
            };
            let mut images = 0;
            match &line.target {
                Target::Linear { device, offset } => inside(*device, *offset, line.length)?,
                Target::Striped { chunk, stripes } => {
                    let count = stripes.len() as u64;
                    if *chunk < 8 || !chunk.is_power_of_two() || count == 0 || line.length % count != 0 {
                        return Err(Error::BadTable(format!(
                            "{count} stripes of {chunk} sectors over {}",
                            line.length
                        )));
                    }
                    for (device, offset) in stripes {
                        inside(*device, *offset, line.length / count)?;
                    }
                }
                Target::Mirror(mirror) => {
                    images = mirror.images.len();
                    for (device, offset) in &mirror.images {
                        inside(*device, *offset, line.length)?;
                    }
                }
                Target::Raid(raid) => {
                    images = raid.images.len();
                    for device in raid.images.iter().filter_map(|image| image.data) {
                        inside(device, 0, line.length)?;
                    }
                    if raid.images.iter().all(|image| image.data.is_none()) {
                        return Err(Error::BadTable("a raid1 without images".into()));
                    }
                }
                _ => {}
            }
            dead.push((0..images).map(|_| AtomicBool::new(false)).collect());
        }
        Ok(Self {
            table,
            read_only,
            dead,
        })
    }

    /// The devices below, each once.
    pub(super) fn devices(&self) -> Vec<DeviceNumber> {
        let mut found: Vec<DeviceNumber> = Vec::new();
        for line in self.table.lines() {
            match &line.target {
                Target::Linear { device, .. } => found.push(*device),
                Target::Striped { stripes, .. } => found.extend(stripes.iter().map(|(device, _)| *device)),
                Target::Mirror(mirror) => found.extend(mirror.images.iter().map(|(device, _)| *device)),
                Target::Raid(raid) => {
                    found.extend(
                        raid.images
                            .iter()
                            .flat_map(|image| [image.meta, image.data])
                            .flatten(),
                    );
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(super) fn uses(&self, number: DeviceNumber) -> bool {
        self.devices().contains(&number)
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
        let dead = self.dead.get(index).map_or(&[][..], |dead| dead);
        let place = |offset: u64| offset.saturating_mul(SECTOR).saturating_add(inside);
        Some(match &line.target {
            Target::Linear { device, offset } => (Piece::One(*device, place(*offset)), left),
            Target::Striped { chunk, stripes } => {
                let chunk = chunk.saturating_mul(SECTOR);
                let (number, within) = (inside.checked_div(chunk)?, inside.checked_rem(chunk)?);
                let count = u64::try_from(stripes.len()).ok()?;
                let (row, stripe) = (number.checked_div(count)?, number.checked_rem(count)?);
                let (device, offset) = stripes.get(usize::try_from(stripe).ok()?)?;
                let byte = offset
                    .saturating_mul(SECTOR)
                    .saturating_add(row.saturating_mul(chunk))
                    .saturating_add(within);
                (Piece::One(*device, byte), left.min(chunk.saturating_sub(within)))
            }
            Target::Mirror(mirror) => {
                let copies = mirror
                    .images
                    .iter()
                    .map(|(device, offset)| (Some(*device), place(*offset)))
                    .collect();
                (Piece::Copies(copies, dead), left)
            }
            Target::Raid(raid) => {
                let copies = raid.images.iter().map(|image| (image.data, place(0))).collect();
                (Piece::Copies(copies, dead), left)
            }
            Target::Zero => (Piece::Zero, left),
            _ => (Piece::Error, left),
        })
    }

    /// What each target says, in the kernel's words.
    pub(super) fn status(&self) -> Vec<StatusLine> {
        let describe = |(line, dead): (&crate::TargetLine, &Vec<AtomicBool>)| {
            let health = |alive: char, images: usize| -> String {
                (0..images)
                    .map(|at| {
                        if dead.get(at).is_some_and(|dead| dead.load(Ordering::Relaxed)) {
                            'D'
                        } else {
                            alive
                        }
                    })
                    .collect()
            };
            let status = match &line.target {
                Target::Striped { stripes, .. } => {
                    let devices: Vec<String> = stripes.iter().map(|(device, _)| device.to_string()).collect();
                    format!(
                        "{} {} 1 {}",
                        stripes.len(),
                        devices.join(" "),
                        "A".repeat(stripes.len())
                    )
                }
                Target::Mirror(mirror) => {
                    let devices: Vec<String> = mirror
                        .images
                        .iter()
                        .map(|(device, _)| device.to_string())
                        .collect();
                    let regions = line.length.div_ceil(mirror.region_size.max(1));
                    let count = mirror.images.len();
                    format!(
                        "{count} {} {regions}/{regions} 1 {} 1 core",
                        devices.join(" "),
                        health('A', count)
                    )
                }
                Target::Raid(raid) => {
                    let count = raid.images.len();
                    let health: String = health('A', count)
                        .chars()
                        .zip(&raid.images)
                        .map(|(word, image)| if image.data.is_none() { '-' } else { word })
                        .collect();
                    format!("raid1 {count} {health} {0}/{0} idle 0 0 -", line.length)
                }
                _ => String::new(),
            };
            StatusLine {
                start: line.start,
                length: line.length,
                kind: line.target.kind().into(),
                status,
            }
        };
        self.table.lines().iter().zip(&self.dead).map(describe).collect()
    }
}
