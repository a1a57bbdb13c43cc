//! Commits: what the kernel's metadata say of the pool, written to the metadata device.

use std::io;

use super::pool::Pool;
use super::{pool_of, thins_of};
use crate::ThinPoolMode;
use crate::embedded::State;
use crate::embedded::io::{DEPTH_LIMIT, Transfer, errno, is_suspended};
use crate::embedded::map::Map;
use crate::thin_metadata::write::{self, Place};

const BLOCK: u64 = 4096;

impl State {
    /// Writes the pool's numbers: first the tree, in blocks that the superblock on the disk does not name, then the
    /// superblock.  A write that fails fails the pool.
    ///
    /// Nothing is synced: the mappings do not outlive this process, so neither has this to.
    pub(super) fn commit(&self, pool: &mut Pool) -> io::Result<()> {
        if matches!(pool.mode, ThinPoolMode::ReadOnly | ThinPoolMode::Failed) {
            return Err(errno(libc::EINVAL));
        }
        match self.write_metadata(pool) {
            Ok(()) => {
                pool.check_space();
                Ok(())
            }
            Err(error) => {
                if !is_suspended(&error) {
                    pool.set_mode(ThinPoolMode::Failed);
                }
                Err(error)
            }
        }
    }

    fn write_metadata(&self, pool: &mut Pool) -> io::Result<()> {
        let summary = pool.summary();
        let nodes = {
            let mut free = pool.free_metadata();
            write::tree(&summary, &mut || free.next())
        };
        let nodes = nodes.ok_or_else(|| errno(libc::ENOSPC))?;
        for (at, node) in &nodes {
            self.write_block(pool, *at, &**node)?;
        }
        pool.tree = nodes.iter().map(|(at, _)| *at).collect();
        let superblock = self.superblock(pool, 0);
        self.write_block(pool, 0, &superblock)?;
        pool.committed = superblock;
        Ok(())
    }

    fn superblock(&self, pool: &Pool, block: u64) -> Vec<u8> {
        let place = Place {
            block,
            devices_root: pool.tree.last().copied().unwrap_or_default(),
            allocated: pool.metadata_allocated(),
            held: pool.held.as_ref().map_or(0, |held| held.block),
            time: pool.time,
            uuid: pool.mark,
        };
        write::superblock(&pool.summary(), &place).to_vec()
    }

    /// Writes a copy of the superblock, which is kept.
    pub(super) fn write_held(&self, pool: &Pool, block: u64) -> io::Result<()> {
        self.write_block(pool, block, &self.superblock(pool, block))
    }

    fn write_block(&self, pool: &Pool, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.transfer(
            pool.metadata,
            at.saturating_mul(BLOCK),
            Transfer::Write(bytes),
            DEPTH_LIMIT,
        )
    }

    /// Commits the pools of a table's thin devices, as a sync of them does; it fails where a pool cannot.
    pub(in crate::embedded) fn commit_thins(&self, map: &Map) -> io::Result<()> {
        for (_, handle) in thins_of(map) {
            match self.commit(&mut handle.lock()) {
                Err(error) if !is_suspended(&error) => return Err(errno(libc::EIO)),
                result => result?,
            }
        }
        Ok(())
    }

    /// Commits the pool that a table is before it stops or goes; what fails shows in its mode.
    pub(in crate::embedded) fn commit_pool(&self, map: &Map) {
        if let Some((_, handle, _)) = pool_of(map) {
            let _ = self.commit(&mut handle.lock());
        }
    }
}

impl Pool {
    /// Blocks of metadata that neither the superblock on the disk nor a kept snapshot names.
    pub(super) fn free_metadata(&self) -> impl Iterator<Item = u64> + '_ {
        let held = self.held.iter();
        let held: Vec<u64> = held
            .flat_map(|held| held.tree.iter().copied().chain([held.block]))
            .collect();
        (1..self.metadata_blocks).filter(move |at| !self.tree.contains(at) && !held.contains(at))
    }
}
