//! Reads and writes of thin devices.

use std::io;

use super::pool::{Place, Pool};
use super::{Handle, Shared};
use crate::embedded::State;
use crate::embedded::io::{PORTION, Transfer, errno, suspended};
use crate::{DeviceNumber, Thin, ThinPoolMode};

/// Some bytes of a thin device.
pub(in crate::embedded) struct Bytes<'a> {
    pub(in crate::embedded) target: &'a Thin,
    pub(in crate::embedded) pool: &'a Handle,
    /// The first, from the start of the line.
    pub(in crate::embedded) at: u64,
}

/// What is in a new block beside what is written.
enum Fill {
    /// What was there: all is written, or nobody cares.
    Nothing,
    Zeroes,
    Block(u64),
    Origin(Vec<u8>),
}

impl Bytes<'_> {
    /// The block of the byte `done` further on, the byte within it, and how many of `left` are in it.
    fn part(&self, done: usize, left: usize) -> (u64, u64, usize) {
        let chunk = self.pool.lock().chunk_bytes();
        let at = self.at.saturating_add(done as u64);
        let (block, within) = (at / chunk, at % chunk);
        let length = usize::try_from(chunk - within).unwrap_or(left).min(left);
        (block, within, length)
    }
}

impl State {
    pub(in crate::embedded) fn read_thin(
        &self,
        bytes: &Bytes<'_>,
        part: &mut [u8],
        depth: u32,
    ) -> io::Result<()> {
        // I/O waits while the pool is suspended, too.
        self.map(bytes.target.pool.minor)?;
        let mut done = 0;
        while let Some(rest) = part.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (block, within, length) = bytes.part(done, rest.len());
            let (now, _) = rest.split_at_mut(length);
            let pool = bytes.pool.lock();
            if pool.mode == ThinPoolMode::Failed {
                return Err(errno(libc::EIO));
            }
            match pool.place(bytes.target.id, block) {
                Place::Own(at) | Place::Shared(at) => {
                    let at = at * pool.chunk_bytes() + within;
                    self.transfer(pool.data, at, Transfer::Read(now), depth)?;
                }
                Place::Nowhere => {
                    drop(pool);
                    self.read_origin(bytes.target, bytes.at.saturating_add(done as u64), now, depth)?;
                }
            }
            done += length;
        }
        Ok(())
    }

    /// Reads what lies below a thin device that has nothing there: its origin, and zeroes past the end of that.
    fn read_origin(&self, target: &Thin, at: u64, part: &mut [u8], depth: u32) -> io::Result<()> {
        let length = target.origin.and_then(|origin| self.length(origin)).unwrap_or(0);
        let inside = length.saturating_mul(512).saturating_sub(at);
        let inside = usize::try_from(inside).unwrap_or(part.len()).min(part.len());
        let (below, past) = part.split_at_mut(inside);
        past.fill(0);
        match target.origin {
            Some(origin) if inside > 0 => self.transfer(origin, at, Transfer::Read(below), depth),
            _ => Ok(()),
        }
    }

    pub(in crate::embedded) fn write_thin(
        &self,
        bytes: &Bytes<'_>,
        part: &[u8],
        depth: u32,
    ) -> io::Result<()> {
        self.map(bytes.target.pool.minor)?;
        let mut done = 0;
        while let Some(rest) = part.get(done..).filter(|rest| !rest.is_empty()) {
            let (block, within, length) = bytes.part(done, rest.len());
            let (now, _) = rest.split_at(length);
            let origin = self.origin_of(bytes, block, length, depth)?;
            self.write_part(bytes, (block, within), now, origin, depth)?;
            done += length;
        }
        Ok(())
    }

    /// What a block has from an external origin, where a write of `length` bytes needs it.
    fn origin_of(
        &self,
        bytes: &Bytes<'_>,
        block: u64,
        length: usize,
        depth: u32,
    ) -> io::Result<Option<Vec<u8>>> {
        let chunk = {
            let pool = bytes.pool.lock();
            let whole = length as u64 == pool.chunk_bytes();
            if whole || bytes.target.origin.is_none() || pool.place(bytes.target.id, block) != Place::Nowhere
            {
                return Ok(None);
            }
            pool.chunk_bytes()
        };
        let mut below = vec![0; usize::try_from(chunk).unwrap_or(0)];
        self.read_origin(bytes.target, block * chunk, &mut below, depth)?;
        Ok(Some(below))
    }

    fn write_part(
        &self,
        bytes: &Bytes<'_>,
        (block, within): (u64, u64),
        part: &[u8],
        origin: Option<Vec<u8>>,
        depth: u32,
    ) -> io::Result<()> {
        let mut pool = Shared::lock(bytes.pool);
        let place = pool.place(bytes.target.id, block);
        if pool.mode == ThinPoolMode::Failed {
            return Err(errno(libc::EIO));
        }
        let chunk = pool.chunk_bytes();
        if let Place::Own(at) = place {
            return self.transfer(pool.data, at * chunk + within, Transfer::Write(part), depth);
        }
        let new = match pool.mode {
            ThinPoolMode::Write => pool.allocate(),
            _ => None,
        };
        let new = new.ok_or_else(|| no_space(&pool))?;
        let fill = match place {
            _ if part.len() as u64 == chunk => Fill::Nothing,
            Place::Shared(old) => Fill::Block(old),
            _ => match origin {
                Some(below) => Fill::Origin(below),
                None if pool.features.skip_block_zeroing => Fill::Nothing,
                None => Fill::Zeroes,
            },
        };
        let written = self
            .fill(pool.data, new * chunk, chunk, &fill, depth)
            .and_then(|()| self.transfer(pool.data, new * chunk + within, Transfer::Write(part), depth));
        match written {
            Ok(()) => pool.map(bytes.target.id, block, new),
            Err(_) => pool.drop_block(new),
        }
        written
    }

    fn fill(&self, data: DeviceNumber, at: u64, chunk: u64, fill: &Fill, depth: u32) -> io::Result<()> {
        let old = match fill {
            Fill::Nothing => return Ok(()),
            Fill::Origin(below) => return self.transfer(data, at, Transfer::Write(below), depth),
            Fill::Zeroes => None,
            Fill::Block(old) => Some(old * chunk),
        };
        let mut buffer = vec![0; usize::try_from(chunk).unwrap_or(PORTION).min(PORTION)];
        let mut done = 0;
        while done < chunk {
            let length = usize::try_from(chunk - done).unwrap_or(PORTION).min(buffer.len());
            let (now, _) = buffer.split_at_mut(length);
            if let Some(old) = old {
                self.transfer(data, old + done, Transfer::Read(now), depth)?;
            }
            self.transfer(data, at + done, Transfer::Write(now), depth)?;
            done += length as u64;
        }
        Ok(())
    }
}

/// What a write gets that needs a new block and cannot have one: it waits for space, or fails.
fn no_space(pool: &Pool) -> io::Error {
    match pool.mode {
        ThinPoolMode::OutOfDataSpace if pool.features.error_if_no_space => errno(libc::ENOSPC),
        ThinPoolMode::OutOfDataSpace => suspended(),
        _ => errno(libc::EIO),
    }
}
