//! Tables of pools and thin devices: what the kernel checks when it loads one, and does when it maps one.

use std::io;

use super::features::Features;
use super::pool::Pool;
use super::{Handle, new_mark, pool_of};
use crate::embedded::io::{DEPTH_LIMIT, Transfer};
use crate::embedded::map::Map;
use crate::embedded::{MAJOR, State};
use crate::thin_metadata::{CHUNK_LIMIT, CHUNK_UNIT, ID_END};
use crate::{DeviceNumber, Error, Table, Target, TargetLine, Thin, ThinMetadata, ThinPool, ThinPoolMode};

const BLOCK: u64 = 4096;
const SECTORS_OF_BLOCK: u64 = BLOCK / 512;
/// Blocks of metadata without which a pool cannot be.
const FEWEST: u64 = 16;

fn bad<T>(why: String) -> Result<T, Error> {
    Err(Error::BadTable(why))
}

impl State {
    /// Checks the thin lines of a table that device `minor` is to have, after [`super::super::map::check`], and gives the
    /// pool of each line; a pool that is not formatted yet is.
    pub(in crate::embedded) fn open_pools(
        &self,
        minor: u32,
        table: &Table,
    ) -> Result<Vec<Option<Handle>>, Error> {
        let is_pool = |line: &TargetLine| matches!(line.target, Target::ThinPool(_));
        let has_pool = table.lines().iter().any(is_pool);
        if has_pool && table.lines().len() > 1 {
            return bad("a thin pool is all of its table".into());
        }
        let live = self.devices.get(minor).and_then(|device| device.live.as_ref());
        if live.is_some_and(|live| pool_of(live).is_some()) && !has_pool {
            return bad("a device that is a thin pool stays one".into());
        }
        let open = |line: &TargetLine| match &line.target {
            Target::ThinPool(target) => self.open_pool(minor, target).map(Some),
            Target::Thin(target) => self.open_thin(target).map(Some),
            _ => Ok(None),
        };
        table.lines().iter().map(open).collect()
    }

    fn open_thin(&self, target: &Thin) -> Result<Handle, Error> {
        let device = self.devices.get(target.pool.minor);
        let device = device.filter(|device| target.pool.major == MAJOR && !device.suspended);
        let live = device.and_then(|device| device.live.as_ref());
        let Some((_, handle, _)) = live.and_then(pool_of) else {
            return bad(format!("{} is no thin pool that is up", target.pool));
        };
        let pool = handle.lock();
        if u64::from(target.id) >= ID_END || pool.mode == ThinPoolMode::Failed {
            return bad(format!("device {} of the pool {}", target.id, target.pool));
        }
        if !pool.thins.contains_key(&target.id) {
            return Err(Error::errno_of("load", target.id, libc::ENODATA));
        }
        Ok(handle.clone())
    }

    fn open_pool(&self, minor: u32, target: &ThinPool) -> Result<Handle, Error> {
        let features = Features::of(target)?;
        if target.metadata == target.data {
            return bad("metadata and data on one device".into());
        }
        if !(CHUNK_UNIT..=CHUNK_LIMIT).contains(&target.chunk) || !target.chunk.is_multiple_of(CHUNK_UNIT) {
            return bad(format!("blocks of {} sectors", target.chunk));
        }
        let Some(handle) = self.opened_pool(minor, target)? else {
            return self.find_pool(target, features);
        };
        let pool = handle.lock();
        if pool.features.ignore_discard != features.ignore_discard || pool.chunk != target.chunk {
            return bad("a pool's discards and its blocks stay as they are".into());
        }
        Ok(handle.clone())
    }

    /// The pool that the device is already; others may have neither its metadata nor, for this device, its data.
    fn opened_pool(&self, minor: u32, target: &ThinPool) -> Result<Option<Handle>, Error> {
        let busy = |device| Err(Error::errno_of("load", device, libc::EBUSY));
        let mut found = None;
        for (other, _) in self.devices.iter() {
            for (of_other, handle, _) in self.maps(other).filter_map(pool_of) {
                match (other == minor, of_other.metadata == target.metadata) {
                    (false, true) => return busy(target.metadata),
                    (false, false) => {}
                    (true, false) => return bad("another pool's metadata".into()),
                    (true, true) if of_other.data != target.data => return busy(target.data),
                    (true, true) => found = Some(handle.clone()),
                }
            }
        }
        Ok(found)
    }

    /// The pool whose superblock is on the metadata device, or a new one if that is all zeroes.
    fn find_pool(&self, target: &ThinPool, features: Features) -> Result<Handle, Error> {
        let read = ThinMetadata::read(&mut |at, block| self.read_block(target.metadata, at, block))?;
        let Some(found) = read else {
            return self.format_pool(target, features);
        };
        if found.chunk != target.chunk {
            return bad(format!("blocks of {} sectors, not {}", target.chunk, found.chunk));
        }
        let mut superblock = [0; BLOCK as usize];
        self.read_block(target.metadata, 0, &mut superblock)
            .map_err(|source| Error::ReadThinMetadata { block: 0, source })?;
        let mark = superblock.get(16..).and_then(|rest| rest.first_chunk());
        let handle = mark.and_then(|mark| self.pools.find(*mark));
        let Some(handle) = handle.filter(|handle| handle.lock().committed == superblock) else {
            return Err(Error::Unsupported("a thin pool that another mapper wrote".into()));
        };
        let mut pool = handle.lock();
        (pool.metadata, pool.data) = (target.metadata, target.data);
        (pool.mode, pool.features) = (ThinPoolMode::Write, features);
        drop(pool);
        Ok(handle)
    }

    fn format_pool(&self, target: &ThinPool, features: Features) -> Result<Handle, Error> {
        let failed = |errno| Error::errno_of("load", target.metadata, errno);
        if features.read_only {
            return Err(failed(libc::EPERM));
        }
        let blocks = self.length(target.metadata).unwrap_or(0) / SECTORS_OF_BLOCK;
        if blocks < FEWEST {
            return Err(failed(libc::ENOSPC));
        }
        let (metadata, data) = (target.metadata, target.data);
        let mut pool = Pool::new(
            new_mark(),
            metadata,
            data,
            target.chunk,
            self.pools.raised.clone(),
        );
        (pool.metadata_blocks, pool.features) = (blocks, features);
        self.commit(&mut pool)
            .map_err(|error| failed(error.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(self.pools.insert(pool.mark, pool))
    }

    fn read_block(&self, device: DeviceNumber, at: u64, block: &mut [u8]) -> io::Result<()> {
        let at = at.saturating_mul(BLOCK);
        self.transfer(device, at, Transfer::Read(block), DEPTH_LIMIT)
    }

    /// What a pool does before its table is mapped, or goes on: it takes the table's numbers, and grows with its devices.
    pub(in crate::embedded) fn resume_pool(&self, minor: u32, map: &Map, is_new: bool) -> Result<(), Error> {
        let Some((target, handle, length)) = pool_of(map) else {
            return Ok(());
        };
        let mut pool = handle.lock();
        if let Some(device) = self.devices.get(minor) {
            pool.events = device.events.clone();
        }
        if is_new {
            pool.features = Features::of(target)?;
            pool.low_water = target.low_water;
            let read_only = pool.features.read_only;
            pool.set_mode(if read_only {
                ThinPoolMode::ReadOnly
            } else {
                ThinPoolMode::Write
            });
        }
        let data = length / pool.chunk;
        let metadata = self.length(target.metadata).unwrap_or(0) / SECTORS_OF_BLOCK;
        if data < pool.data_blocks || metadata < pool.metadata_blocks {
            return Err(Error::errno_of(
                "resume",
                "a thin pool on smaller devices",
                libc::EINVAL,
            ));
        }
        if (data, metadata) != (pool.data_blocks, pool.metadata_blocks) {
            (pool.data_blocks, pool.metadata_blocks) = (data, metadata);
            // As in the kernel, a pool that cannot commit goes on in another mode.
            let _ = self.commit(&mut pool);
        }
        pool.low_water_told = false;
        Ok(())
    }
}
