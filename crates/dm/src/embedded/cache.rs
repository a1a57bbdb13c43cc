//! Cached devices, for tests: a table with one is taken where thin pools are done.
//!
//! In `writeback` a written block lies in the cache and is dirty, until the policy `cleaner` brings it to the origin: some
//! blocks with each look at the status.  In the other modes the origin gets every write.  Nothing is cached by reading.
//! Block N of the origin has block N of the cache, and byte N of the metadata device says whether it is dirty: so this
//! outlives the mapped devices, as with the kernel, whose metadata are of another form.

use std::io;

use super::State;
use super::io::{DEPTH_LIMIT, Transfer};
use super::map::{Map, SECTOR};
use crate::{Cache, DeviceNumber, StatusLine, Target};

/// Blocks that the cleaner brings back before it tells of those that are left.
const EACH_LOOK: usize = 2;

/// Some bytes of a cached device.
pub(super) struct Cached<'a> {
    pub(super) target: &'a Cache,
    pub(super) map: &'a Map,
    /// The first, from the start of the line.
    pub(super) at: u64,
    /// Bytes of the line.
    pub(super) length: u64,
}

/// The part of a block that some bytes touch.
struct Part {
    block: u64,
    /// The first byte, on the origin and on the cache.
    at: u64,
    length: usize,
}

impl Cached<'_> {
    fn block_bytes(&self) -> u64 {
        self.target.block_size.saturating_mul(SECTOR).max(1)
    }

    fn part(&self, done: usize, left: usize) -> Part {
        let at = self.at.saturating_add(done as u64);
        let bytes = self.block_bytes();
        let rest = usize::try_from(bytes - at % bytes).unwrap_or(left);
        Part {
            block: at / bytes,
            at,
            length: rest.min(left),
        }
    }

    /// First byte and length of a block.
    fn whole(&self, block: u64) -> (u64, usize) {
        let start = block.saturating_mul(self.block_bytes());
        let length = self.block_bytes().min(self.length.saturating_sub(start));
        (start, usize::try_from(length).unwrap_or(0))
    }

    fn makes_dirty(&self) -> bool {
        self.target.is_writeback() && self.target.policy != Cache::CLEANER
    }
}

impl State {
    fn is_dirty(&self, target: &Cache, block: u64, depth: u32) -> io::Result<bool> {
        let mut mark = [0];
        if block >= self.cached_blocks(target) {
            return Ok(false);
        }
        self.transfer(target.metadata, block, Transfer::Read(&mut mark), depth)?;
        Ok(mark != [0])
    }

    /// How many blocks of the origin have one of the cache.
    fn cached_blocks(&self, target: &Cache) -> u64 {
        let sectors = |device: DeviceNumber| self.length(device).unwrap_or(0);
        let of_cache = sectors(target.cache) / target.block_size.max(1);
        let marks = sectors(target.metadata).saturating_mul(SECTOR);
        of_cache.min(
            sectors(target.origin)
                .div_ceil(target.block_size.max(1))
                .min(marks),
        )
    }

    pub(super) fn read_cached(&self, bytes: &Cached<'_>, part: &mut [u8], depth: u32) -> io::Result<()> {
        let _turn = bytes.map.turn();
        let mut done = 0;
        while let Some(rest) = part.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let found = bytes.part(done, rest.len());
            let (now, _) = rest.split_at_mut(found.length);
            let device = match self.is_dirty(bytes.target, found.block, depth)? {
                true => bytes.target.cache,
                false => bytes.target.origin,
            };
            self.transfer(device, found.at, Transfer::Read(now), depth)?;
            done += found.length;
        }
        Ok(())
    }

    pub(super) fn write_cached(&self, bytes: &Cached<'_>, part: &[u8], depth: u32) -> io::Result<()> {
        let _turn = bytes.map.turn();
        let target = bytes.target;
        let mut done = 0;
        while let Some(rest) = part.get(done..).filter(|rest| !rest.is_empty()) {
            let found = bytes.part(done, rest.len());
            let (now, _) = rest.split_at(found.length);
            let is_dirty = self.is_dirty(target, found.block, depth)?;
            let is_cached = bytes.makes_dirty() && found.block < self.cached_blocks(target);
            if is_cached && !is_dirty {
                self.copy_block(bytes, found.block, target.origin, target.cache, depth)?;
            }
            if is_cached || is_dirty {
                self.transfer(target.cache, found.at, Transfer::Write(now), depth)?;
            }
            if is_cached {
                self.transfer(target.metadata, found.block, Transfer::Write(&[1]), depth)?;
            } else {
                self.transfer(target.origin, found.at, Transfer::Write(now), depth)?;
            }
            done += found.length;
        }
        Ok(())
    }

    fn copy_block(
        &self,
        bytes: &Cached<'_>,
        block: u64,
        from: DeviceNumber,
        to: DeviceNumber,
        depth: u32,
    ) -> io::Result<()> {
        let (start, length) = bytes.whole(block);
        let mut content = vec![0; length];
        self.transfer(from, start, Transfer::Read(&mut content), depth)?;
        self.transfer(to, start, Transfer::Write(&content), depth)
    }

    /// Fills in the status of cached lines; a cleaner that may work brings some blocks back before.  Did one?
    pub(super) fn describe_caches(&self, map: &Map, lines: &mut [StatusLine], is_stopped: bool) -> bool {
        let mut has_worked = false;
        for (line, said) in map.table.lines().iter().zip(lines) {
            let Target::Cache(target) = &line.target else {
                continue;
            };
            let bytes = Cached {
                target,
                map,
                at: 0,
                length: line.length.saturating_mul(SECTOR),
            };
            let _turn = map.turn();
            if !is_stopped && target.policy == Cache::CLEANER {
                has_worked |= self.clean(&bytes).unwrap_or(false);
            }
            said.status = match self.dirty(target) {
                Ok(dirty) => {
                    let (dirty, all) = (dirty.len(), self.cached_blocks(target));
                    let features = format!("{} {}", target.features.len(), target.features.join(" "));
                    format!(
                        "8 1/2 {} {dirty}/{all} 0 0 0 0 0 0 {dirty} {} 0 {} 0 rw - ",
                        target.block_size,
                        features.trim(),
                        target.policy
                    )
                }
                Err(_) => "Fail".into(),
            };
        }
        has_worked
    }

    fn dirty(&self, target: &Cache) -> io::Result<Vec<u64>> {
        let blocks = self.cached_blocks(target);
        let mut marks = vec![0; usize::try_from(blocks).unwrap_or(0)];
        self.transfer(target.metadata, 0, Transfer::Read(&mut marks), DEPTH_LIMIT)?;
        let marked = (0..).zip(marks).filter(|(_, mark)| *mark != 0);
        Ok(marked.map(|(block, _)| block).collect())
    }

    /// Brings some dirty blocks to the origin; `false` if there was none.
    fn clean(&self, bytes: &Cached<'_>) -> io::Result<bool> {
        let target = bytes.target;
        let dirty = self.dirty(target)?;
        for block in dirty.iter().take(EACH_LOOK) {
            self.copy_block(bytes, *block, target.cache, target.origin, DEPTH_LIMIT)?;
            self.transfer(target.metadata, *block, Transfer::Write(&[0]), DEPTH_LIMIT)?;
        }
        Ok(!dirty.is_empty())
    }
}
