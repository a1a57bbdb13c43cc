//! Messages to a raid1: comparing its images, and making them equal.
//!
//! The kernel compares in the background; here all is compared when the message returns.  As there, what the last `check`
//! found is told until the next message, and a `repair` tells of nothing.

use std::io;
use std::sync::atomic::Ordering;

use super::io::{DEPTH_LIMIT, PORTION, Transfer, alive, is_suspended};
use super::map::SECTOR;
use super::{MAJOR, State};
use crate::{DeviceNumber, Error, Target};

/// Bytes that differ as a whole: the kernel compares no finer.
const WINDOW: usize = 64 << 10;

impl State {
    /// Sends a message to the target at a sector; `None` if that is no array, or the message another one than to scrub.
    pub(super) fn array_message(&self, minor: u32, sector: u64, text: &str) -> Option<Result<(), Error>> {
        let device = self.devices.get(minor)?;
        let live = device.live.as_ref()?;
        let mut lines = live.table.lines().iter();
        let line = lines.find(|line| line.start <= sector && sector - line.start < line.length)?;
        if !matches!(line.target, Target::Raid(_)) {
            return None;
        }
        let repairs = match text {
            // Nothing is ever under way.
            "idle" => return Some(Ok(())),
            "check" => false,
            "repair" => true,
            _ => return None,
        };
        let failed = |error: io::Error| {
            let errno = match is_suspended(&error) {
                true => libc::EBUSY,
                false => error.raw_os_error().unwrap_or(libc::EIO),
            };
            Error::errno_of("message", DeviceNumber { major: MAJOR, minor }, errno)
        };
        let scrubbed = self.scrub(minor, repairs).map(|mismatches| {
            live.mismatches.store(mismatches, Ordering::Relaxed);
            device.events.fetch_add(1, Ordering::Relaxed);
        });
        Some(scrubbed.map_err(failed))
    }

    /// Compares the images of an array; gives the sectors that differ and stay so.
    fn scrub(&self, minor: u32, repairs: bool) -> io::Result<u64> {
        let map = self.map(minor)?;
        let bytes = map.table.length().saturating_mul(SECTOR);
        let (mut good, mut other) = (vec![0; PORTION], vec![0; PORTION]);
        let mut mismatches = 0u64;
        for (copies, dead) in map.copies() {
            let mut at = 0;
            while at < bytes {
                let length = usize::try_from(bytes - at).unwrap_or(PORTION).min(PORTION);
                let (Some(good), Some(other)) = (good.get_mut(..length), other.get_mut(..length)) else {
                    break;
                };
                let mut images =
                    alive(&copies, dead).map(|(device, byte, _)| (device, byte.saturating_add(at)));
                if let Some((device, byte)) = images.next() {
                    self.transfer(device, byte, Transfer::Read(good), DEPTH_LIMIT)?;
                }
                for (device, byte) in images {
                    self.transfer(device, byte, Transfer::Read(other), DEPTH_LIMIT)?;
                    let differ = good.chunks(WINDOW).zip(other.chunks(WINDOW));
                    let differ = differ
                        .filter(|(good, other)| good != other)
                        .map(|(good, _)| good.len() as u64);
                    let sectors = differ.sum::<u64>() / SECTOR;
                    if sectors > 0 && repairs {
                        self.transfer(device, byte, Transfer::Write(good), DEPTH_LIMIT)?;
                    } else {
                        mismatches = mismatches.saturating_add(sectors);
                    }
                }
                at = at.saturating_add(length as u64);
            }
        }
        Ok(mismatches)
    }
}
