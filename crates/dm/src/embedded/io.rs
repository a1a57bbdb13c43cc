//! I/O through an embedded mapper: one pread or pwrite for each run of bytes that lies together.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::map::{Map, Piece};
use super::{IMAGE_MAJOR, Shared, State};
use crate::{BlockIo, DeviceNumber};

/// Longest that I/O waits for a suspended device.
const RESUME_LIMIT: Duration = Duration::from_secs(30);
/// Deepest stack of devices on devices.
const DEPTH_LIMIT: u32 = 16;
/// Bytes zeroed at once.
const ZEROES: usize = 1 << 20;

/// An open device.
pub(super) struct Opened {
    shared: Arc<Shared>,
    minor: u32,
    opens: Arc<AtomicU32>,
}

/// What is done with some bytes.
enum Transfer<'b> {
    Read(&'b mut [u8]),
    Write(&'b [u8]),
}

impl Opened {
    pub(super) fn new(shared: Arc<Shared>, minor: u32, opens: Arc<AtomicU32>) -> Self {
        opens.fetch_add(1, Ordering::Relaxed);
        Self { shared, minor, opens }
    }

    /// The state, with the device not suspended.
    fn resumed(&self) -> io::Result<RwLockReadGuard<'_, State>> {
        let end = Instant::now() + RESUME_LIMIT;
        loop {
            let state = self.shared.read();
            match state.devices.get(&self.minor) {
                None => return Err(io::Error::from_raw_os_error(libc::ENXIO)),
                Some(device) if !device.suspended => return Ok(state),
                Some(_) if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
                Some(_) => drop(state),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.opens.fetch_sub(1, Ordering::Relaxed);
        self.shared.write().sweep();
    }
}

impl State {
    fn map(&self, minor: u32) -> io::Result<&Map> {
        let device = self.devices.get(&minor).and_then(|device| device.live.as_ref());
        device.ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))
    }

    fn transfer(
        &self,
        device: DeviceNumber,
        mut at: u64,
        transfer: Transfer<'_>,
        depth: u32,
    ) -> io::Result<()> {
        if device.major == IMAGE_MAJOR {
            let image = usize::try_from(device.minor)
                .ok()
                .and_then(|index| self.images.get(index));
            let file = &image
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))?
                .file;
            return match transfer {
                Transfer::Read(bytes) => file.read_exact_at(bytes, at),
                Transfer::Write(bytes) => file.write_all_at(bytes, at),
            };
        }
        if depth == 0 {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let map = self.map(device.minor)?;
        match transfer {
            Transfer::Read(mut rest) => {
                while !rest.is_empty() {
                    let (piece, length) = next(map, at, rest.len())?;
                    let (part, after) = rest.split_at_mut(length);
                    self.read_piece(&piece, part, depth)?;
                    (rest, at) = (after, at.saturating_add(length as u64));
                }
            }
            Transfer::Write(_) if map.read_only => return Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Transfer::Write(mut rest) => {
                while !rest.is_empty() {
                    let (piece, length) = next(map, at, rest.len())?;
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
            Piece::One(device, at) => self.transfer(*device, *at, Transfer::Read(part), depth - 1),
            Piece::Zero => {
                part.fill(0);
                Ok(())
            }
            Piece::Error => Err(failed()),
            Piece::Copies(copies, dead) => {
                for ((device, at), dead) in copies.iter().zip(*dead) {
                    let Some(device) = device.filter(|_| !dead.load(Ordering::Relaxed)) else {
                        continue;
                    };
                    if self
                        .transfer(device, *at, Transfer::Read(part), depth - 1)
                        .is_ok()
                    {
                        return Ok(());
                    }
                    dead.store(true, Ordering::Relaxed);
                }
                Err(failed())
            }
        }
    }

    fn write_piece(&self, piece: &Piece<'_>, part: &[u8], depth: u32) -> io::Result<()> {
        match piece {
            Piece::One(device, at) => self.transfer(*device, *at, Transfer::Write(part), depth - 1),
            Piece::Zero => Ok(()),
            Piece::Error => Err(failed()),
            Piece::Copies(copies, dead) => {
                let mut written = false;
                for ((device, at), dead) in copies.iter().zip(*dead) {
                    let Some(device) = device.filter(|_| !dead.load(Ordering::Relaxed)) else {
                        continue;
                    };
                    match self.transfer(device, *at, Transfer::Write(part), depth - 1) {
                        Ok(()) => written = true,
                        Err(_) => dead.store(true, Ordering::Relaxed),
                    }
                }
                if written { Ok(()) } else { Err(failed()) }
            }
        }
    }

    fn sync(&self, device: DeviceNumber, depth: u32) -> io::Result<()> {
        if device.major == IMAGE_MAJOR {
            let image = usize::try_from(device.minor)
                .ok()
                .and_then(|index| self.images.get(index));
            return image
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))?
                .file
                .sync_data();
        }
        if depth == 0 {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        self.map(device.minor)?
            .devices()
            .into_iter()
            .try_for_each(|below| self.sync(below, depth - 1))
    }
}

fn failed() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

/// What serves the bytes from `at`, and how many of `length` it serves.
fn next(map: &Map, at: u64, length: usize) -> io::Result<(Piece<'_>, usize)> {
    let (piece, served) = map.piece(at, length as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((piece, usize::try_from(served).unwrap_or(length).min(length)))
}

impl BlockIo for Opened {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let number = DeviceNumber {
            major: super::MAJOR,
            minor: self.minor,
        };
        self.resumed()?
            .transfer(number, at, Transfer::Read(buf), DEPTH_LIMIT)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let number = DeviceNumber {
            major: super::MAJOR,
            minor: self.minor,
        };
        self.resumed()?
            .transfer(number, at, Transfer::Write(bytes), DEPTH_LIMIT)
    }

    fn sync(&self) -> io::Result<()> {
        self.resumed()?.sync(
            DeviceNumber {
                major: super::MAJOR,
                minor: self.minor,
            },
            DEPTH_LIMIT,
        )
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self
            .shared
            .read()
            .map(self.minor)?
            .table
            .length()
            .saturating_mul(512))
    }

    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        let zeroes = vec![0; usize::try_from(length).unwrap_or(ZEROES).min(ZEROES)];
        let mut done = 0;
        while done < length {
            let left = usize::try_from(length - done).unwrap_or(ZEROES).min(zeroes.len());
            self.write_at(at.saturating_add(done), zeroes.get(..left).unwrap_or_default())?;
            done += left as u64;
        }
        Ok(())
    }
}
