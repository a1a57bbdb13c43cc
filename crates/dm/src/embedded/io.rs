//! I/O through an embedded mapper: one call for each run of bytes that lies together on an image.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::map::{Copy, Map, Piece, SECTOR, Stale};
use super::rows::{self, Share};
use super::{IMAGE_MAJOR, Shared, State};
use crate::deadline::Deadline;
use crate::{BlockIo, DeviceNumber, OpenMode};

/// Longest that I/O waits for a suspended device; the kernel's waits for ever.
const RESUME_LIMIT: Duration = Duration::from_secs(30);
/// Deepest stack of devices on devices.
pub(super) const DEPTH_LIMIT: u32 = 16;
/// Bytes zeroed or copied at once.
pub(super) const PORTION: usize = 1 << 20;

/// An open device.
pub(super) struct Opened {
    shared: Arc<Shared>,
    minor: u32,
    opens: Arc<AtomicU32>,
    mode: OpenMode,
}

/// What is done with some bytes.
pub(super) enum Transfer<'b> {
    Read(&'b mut [u8]),
    Write(&'b [u8]),
}

impl Opened {
    pub(super) fn new(shared: Arc<Shared>, minor: u32, opens: Arc<AtomicU32>, mode: OpenMode) -> Self {
        opens.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            minor,
            opens,
            mode,
        }
    }

    /// Does something with the device; again from its start when a suspended device stopped it, after the resume.
    fn flowing(&self, mut act: impl FnMut(&State, DeviceNumber) -> io::Result<()>) -> io::Result<()> {
        let number = DeviceNumber {
            major: super::MAJOR,
            minor: self.minor,
        };
        let mut act = || {
            let (result, raised) = {
                let state = self.shared.read();
                (act(&state, number), state.pools.take_raised())
            };
            if raised {
                self.shared.announce();
            }
            result
        };
        let first = act();
        if !first.as_ref().is_err_and(is_suspended) {
            return first;
        }
        let end = Deadline::after(RESUME_LIMIT);
        loop {
            // Before the try, so that no resume is lost between it and the wait.
            let seen = *self.shared.events();
            let result = act();
            if !result.as_ref().is_err_and(is_suspended) {
                return result;
            }
            if !self.shared.wait_for_change(seen, end) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.opens.fetch_sub(1, Ordering::Relaxed);
        if self.shared.write().devices.sweep() {
            self.shared.announce();
        }
    }
}

/// How a suspended device stops I/O; nothing else here would block.
pub(super) fn suspended() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

pub(super) fn is_suspended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl State {
    fn image(&self, index: u32) -> io::Result<&std::fs::File> {
        let image = usize::try_from(index)
            .ok()
            .and_then(|index| self.images.get(index));
        image.map(|image| &*image.file).ok_or_else(|| errno(libc::ENXIO))
    }

    pub(super) fn map(&self, minor: u32) -> io::Result<&Map> {
        let device = self.devices.get(minor).ok_or_else(|| errno(libc::ENXIO))?;
        if device.suspended {
            return Err(suspended());
        }
        device.live.as_ref().ok_or_else(|| errno(libc::ENXIO))
    }

    pub(super) fn transfer(
        &self,
        device: DeviceNumber,
        mut at: u64,
        transfer: Transfer<'_>,
        depth: u32,
    ) -> io::Result<()> {
        if device.major == IMAGE_MAJOR {
            let file = self.image(device.minor)?;
            return match transfer {
                Transfer::Read(bytes) => file.read_exact_at(bytes, at),
                Transfer::Write(bytes) => file.write_all_at(bytes, at),
            };
        }
        let depth = depth.checked_sub(1).ok_or_else(|| errno(libc::ELOOP))?;
        let map = self.map(device.minor)?;
        match transfer {
            Transfer::Read(mut rest) => {
                while !rest.is_empty() {
                    let (piece, length) = next(map, at, rest.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                    let (part, after) = rest.split_at_mut(length);
                    self.read_piece(&piece, part, depth)?;
                    (rest, at) = (after, at.saturating_add(length as u64));
                }
            }
            Transfer::Write(_) if map.read_only => return Err(errno(libc::EPERM)),
            Transfer::Write(mut rest) => {
                while !rest.is_empty() {
                    let (piece, length) = next(map, at, rest.len()).ok_or_else(|| errno(libc::ENOSPC))?;
                    let (part, after) = rest.split_at(length);
                    self.write_piece(&piece, part, depth)?;
                    (rest, at) = (after, at.saturating_add(length as u64));
                }
            }
        }
        Ok(())
    }

    fn read_piece(&self, piece: &Piece<'_>, part: &mut [u8], depth: u32) -> io::Result<()> {
        match piece {
            Piece::One(device, at) => self.transfer(*device, *at, Transfer::Read(part), depth),
            Piece::Rows(rows) => {
                let (length, mut rest) = (part.len(), part);
                let shares = rows.shares(length, |length| {
                    let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
                    rest = after;
                    IoSliceMut::new(part)
                });
                shares
                    .into_iter()
                    .try_for_each(|share| self.read_share(share, depth))
            }
            Piece::Thin(bytes) => self.read_thin(bytes, part, depth),
            Piece::Cached(bytes) => self.read_cached(bytes, part, depth),
            Piece::Zero => {
                part.fill(0);
                Ok(())
            }
            Piece::Error => Err(failed()),
            Piece::Copies(copies, dead) => {
                for (device, at, dead) in alive(copies, dead) {
                    match self.transfer(device, at, Transfer::Read(part), depth) {
                        Err(error) if !is_suspended(&error) => dead.store(true, Ordering::Relaxed),
                        result => return result,
                    }
                }
                Err(failed())
            }
        }
    }

    fn write_piece(&self, piece: &Piece<'_>, part: &[u8], depth: u32) -> io::Result<()> {
        match piece {
            Piece::One(device, at) => self.transfer(*device, *at, Transfer::Write(part), depth),
            Piece::Rows(rows) => {
                let mut rest = part;
                let shares = rows.shares(part.len(), |length| {
                    let (part, after) = rest.split_at(length);
                    rest = after;
                    IoSlice::new(part)
                });
                shares
                    .into_iter()
                    .try_for_each(|share| self.write_share(share, depth))
            }
            Piece::Thin(bytes) => self.write_thin(bytes, part, depth),
            Piece::Cached(bytes) => self.write_cached(bytes, part, depth),
            Piece::Zero => Ok(()),
            Piece::Error => Err(failed()),
            Piece::Copies(copies, dead) => self.to_all(copies, dead, |device, at| {
                self.transfer(device, at, Transfer::Write(part), depth)
            }),
        }
    }

    fn read_share(&self, mut share: Share<IoSliceMut<'_>>, depth: u32) -> io::Result<()> {
        if share.device.major == IMAGE_MAJOR {
            return rows::read_all(self.image(share.device.minor)?, share.at, &mut share.parts);
        }
        for part in &mut share.parts {
            self.transfer(share.device, share.at, Transfer::Read(part), depth)?;
            share.at = share.at.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    fn write_share(&self, mut share: Share<IoSlice<'_>>, depth: u32) -> io::Result<()> {
        if share.device.major == IMAGE_MAJOR {
            return rows::write_all(self.image(share.device.minor)?, share.at, &mut share.parts);
        }
        for part in &share.parts {
            self.transfer(share.device, share.at, Transfer::Write(part), depth)?;
            share.at = share.at.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    /// Does something to all copies; those that fail are used no more, and one that does not is enough.
    fn to_all(
        &self,
        copies: &[Copy],
        dead: &[AtomicBool],
        act: impl Fn(DeviceNumber, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = false;
        for (device, at, dead) in alive(copies, dead) {
            match act(device, at) {
                Ok(()) => done = true,
                Err(error) if is_suspended(&error) => return Err(error),
                Err(_) => dead.store(true, Ordering::Relaxed),
            }
        }
        if done { Ok(()) } else { Err(failed()) }
    }

    fn sync(&self, device: DeviceNumber, depth: u32) -> io::Result<()> {
        if device.major == IMAGE_MAJOR {
            return self.image(device.minor)?.sync_data();
        }
        let depth = depth.checked_sub(1).ok_or_else(|| errno(libc::ELOOP))?;
        let map = self.map(device.minor)?;
        self.commit_thins(map)?;
        let mut images = Vec::new();
        for (copies, dead) in map.copies() {
            self.to_all(&copies, dead, |device, _| self.sync(device, depth))?;
            images.extend(copies.iter().filter_map(|(device, _)| *device));
        }
        let others = map.devices().iter().filter(|device| !images.contains(device));
        others.copied().try_for_each(|below| self.sync(below, depth))
    }

    /// Makes the images of a table that is to be mapped equal, where its targets would.
    pub(super) fn copy_images(&self, map: &Map) -> io::Result<()> {
        for stale in map.stale() {
            let mut at = 0;
            while at < stale.bytes {
                let left = usize::try_from(stale.bytes - at).unwrap_or(PORTION).min(PORTION);
                self.copy_portion(&stale, at, left)?;
                at += left as u64;
            }
        }
        Ok(())
    }

    fn copy_portion(&self, stale: &Stale<'_>, at: u64, length: usize) -> io::Result<()> {
        let (mut good, mut old) = (vec![0; length], vec![0; length]);
        let place = |(device, byte): &Copy| (*device, byte.saturating_add(at));
        let of = |is_stale: bool| {
            let images = stale.images.iter().zip(&stale.is_stale);
            images.map(move |(copy, stale)| {
                if *stale == is_stale {
                    place(copy)
                } else {
                    (None, 0)
                }
            })
        };
        let sources: Vec<Copy> = of(false).collect();
        self.read_piece(&Piece::Copies(sources, stale.dead), &mut good, DEPTH_LIMIT)?;
        let targets: Vec<Copy> = of(true).collect();
        for (device, at, dead) in alive(&targets, stale.dead) {
            // What is equal already is not written, so that sparse images stay sparse.
            let read = self.transfer(device, at, Transfer::Read(&mut old), DEPTH_LIMIT);
            if read.is_ok() && old == good {
                continue;
            }
            match self.transfer(device, at, Transfer::Write(&good), DEPTH_LIMIT) {
                Err(error) if is_suspended(&error) => return Err(error),
                Err(_) => dead.store(true, Ordering::Relaxed),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// The copies that are there and have not failed.
pub(super) fn alive<'a>(
    copies: &'a [Copy],
    dead: &'a [AtomicBool],
) -> impl Iterator<Item = (DeviceNumber, u64, &'a AtomicBool)> {
    let pairs = copies.iter().zip(dead);
    pairs.filter_map(|((device, at), dead)| {
        Some((device.filter(|_| !dead.load(Ordering::Relaxed))?, *at, dead))
    })
}

fn failed() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

/// What serves the bytes from `at`, and how many of `length` it serves; `None` past the end.
fn next(map: &Map, at: u64, length: usize) -> Option<(Piece<'_>, usize)> {
    let (piece, served) = map.piece(at, length as u64)?;
    Some((piece, usize::try_from(served).unwrap_or(length).min(length)))
}

impl BlockIo for Opened {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.flowing(|state, number| state.transfer(number, at, Transfer::Read(buf), DEPTH_LIMIT))
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.mode == OpenMode::ReadOnly {
            return Err(errno(libc::EBADF));
        }
        self.flowing(|state, number| state.transfer(number, at, Transfer::Write(bytes), DEPTH_LIMIT))
    }

    fn sync(&self) -> io::Result<()> {
        self.flowing(|state, number| state.sync(number, DEPTH_LIMIT))
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.shared.read();
        let device = state.devices.get(self.minor).ok_or_else(|| errno(libc::ENXIO))?;
        let sectors = device.live.as_ref().map_or(0, |map| map.table.length());
        Ok(sectors.saturating_mul(SECTOR))
    }

    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        let inside = at
            .checked_add(length)
            .is_some_and(|end| length == 0 || self.size().is_ok_and(|size| end <= size));
        if !at.is_multiple_of(SECTOR) || !length.is_multiple_of(SECTOR) || !inside {
            return Err(errno(libc::EINVAL));
        }
        let zeroes = vec![0; usize::try_from(length).unwrap_or(PORTION).min(PORTION)];
        let mut done = 0;
        while done < length {
            let left = usize::try_from(length - done)
                .unwrap_or(PORTION)
                .min(zeroes.len());
            self.write_at(at.saturating_add(done), zeroes.get(..left).unwrap_or_default())?;
            done += left as u64;
        }
        Ok(())
    }
}
