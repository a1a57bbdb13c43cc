//! Cached devices, for tests: a table with one is taken where thin pools are done.
//!
//! With `writeback`, and before a `writecache` that does not clean, a written block lies in the cache and is dirty, until it
//! is brought to the origin: some blocks with each look at the status where a cleaner works, and of a `writecache` all when
//! it is told to, or stopped while it cleans.  Otherwise the origin gets every write.  Nothing is cached by reading.
//! Block N of the origin has block N of the cache, and byte N of the metadata says whether it is dirty: so this
//! outlives the mapped devices, as with the kernel, whose metadata are of another form.

use std::io;
use std::sync::atomic::Ordering;

use super::State;
use super::io::{DEPTH_LIMIT, Transfer};
use super::map::{Map, SECTOR};
use crate::{Cache, DeviceNumber, Error, StatusLine, Target, TargetLine, Writecache};

/// Bytes that the cleaner brings back before it tells of those that are left.
const EACH_LOOK: u64 = 64 << 10;
/// Bytes of a cache of writes that say which blocks are dirty, before its blocks.
pub(super) const MARKS: u64 = 4096;

/// Some bytes of a cached device.
pub(super) struct Cached<'a> {
    map: &'a Map,
    place: Place,
    /// The first, from the start of the line.
    at: u64,
    /// Bytes of the line.
    length: u64,
}

/// Where a cached device keeps what.
struct Place {
    metadata: DeviceNumber,
    cache: DeviceNumber,
    /// The first byte of the cached blocks.
    start: u64,
    origin: DeviceNumber,
    /// Bytes.
    block: u64,
    makes_dirty: bool,
    cleans: bool,
}

impl Place {
    fn of(target: &Target) -> Option<Self> {
        Some(match target {
            Target::Cache(cache) => {
                let cleans = cache.policy == Cache::CLEANER;
                Self {
                    metadata: cache.metadata,
                    cache: cache.cache,
                    start: 0,
                    origin: cache.origin,
                    block: cache.block_size.saturating_mul(SECTOR).max(1),
                    makes_dirty: cache.is_writeback() && !cleans,
                    cleans,
                }
            }
            Target::Writecache(cache) => Self {
                metadata: cache.cache,
                cache: cache.cache,
                start: MARKS,
                origin: cache.origin,
                block: cache.block_size.max(1),
                makes_dirty: !cache.is_cleaning(),
                cleans: cache.is_cleaning(),
            },
            _ => return None,
        })
    }
}

/// The part of a block that some bytes touch.
struct Part {
    block: u64,
    /// The first byte, on the origin; as far into the cached blocks.
    at: u64,
    length: usize,
}

impl<'a> Cached<'a> {
    /// What serves the bytes from `at` of a line; `None` for one that is not cached.
    pub(super) fn of(map: &'a Map, line: &TargetLine, at: u64) -> Option<Self> {
        Some(Self {
            map,
            place: Place::of(&line.target)?,
            at,
            length: line.length.saturating_mul(SECTOR),
        })
    }

    fn part(&self, done: usize, left: usize) -> Part {
        let at = self.at.saturating_add(done as u64);
        let bytes = self.place.block;
        let rest = usize::try_from(bytes - at % bytes).unwrap_or(left);
        Part {
            block: at / bytes,
            at,
            length: rest.min(left),
        }
    }

    /// First byte and length of a block.
    fn whole(&self, block: u64) -> (u64, usize) {
        let start = block.saturating_mul(self.place.block);
        let length = self.place.block.min(self.length.saturating_sub(start));
        (start, usize::try_from(length).unwrap_or(0))
    }
}

impl State {
    fn is_dirty(&self, bytes: &Cached<'_>, block: u64, depth: u32) -> io::Result<bool> {
        let mut mark = [0];
        if block >= self.cached_blocks(bytes) {
            return Ok(false);
        }
        self.transfer(bytes.place.metadata, block, Transfer::Read(&mut mark), depth)?;
        Ok(mark != [0])
    }

    /// How many blocks of the origin have one of the cache.
    fn cached_blocks(&self, bytes: &Cached<'_>) -> u64 {
        let place = &bytes.place;
        let length = |device: DeviceNumber| self.length(device).unwrap_or(0).saturating_mul(SECTOR);
        let of_cache = length(place.cache).saturating_sub(place.start) / place.block;
        let marks = match place.start {
            0 => length(place.metadata),
            marks => marks,
        };
        of_cache
            .min(length(place.origin).div_ceil(place.block))
            .min(marks)
    }

    pub(super) fn read_cached(&self, bytes: &Cached<'_>, part: &mut [u8], depth: u32) -> io::Result<()> {
        let _turn = bytes.map.turn();
        let place = &bytes.place;
        let mut done = 0;
        while let Some(rest) = part.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let found = bytes.part(done, rest.len());
            let (now, _) = rest.split_at_mut(found.length);
            let (device, at) = match self.is_dirty(bytes, found.block, depth)? {
                true => (place.cache, place.start.saturating_add(found.at)),
                false => (place.origin, found.at),
            };
            self.transfer(device, at, Transfer::Read(now), depth)?;
            done += found.length;
        }
        Ok(())
    }

    pub(super) fn write_cached(&self, bytes: &Cached<'_>, part: &[u8], depth: u32) -> io::Result<()> {
        let _turn = bytes.map.turn();
        let place = &bytes.place;
        let mut done = 0;
        while let Some(rest) = part.get(done..).filter(|rest| !rest.is_empty()) {
            let found = bytes.part(done, rest.len());
            let (now, _) = rest.split_at(found.length);
            let is_dirty = self.is_dirty(bytes, found.block, depth)?;
            let is_cached = place.makes_dirty && found.block < self.cached_blocks(bytes);
            if is_cached && !is_dirty {
                self.copy_block(bytes, found.block, true, depth)?;
            }
            if is_cached || is_dirty {
                let at = place.start.saturating_add(found.at);
                self.transfer(place.cache, at, Transfer::Write(now), depth)?;
            }
            if is_cached {
                self.transfer(place.metadata, found.block, Transfer::Write(&[1]), depth)?;
            } else {
                self.transfer(place.origin, found.at, Transfer::Write(now), depth)?;
            }
            done += found.length;
        }
        Ok(())
    }

    /// Copies a block into the cache, or back.
    fn copy_block(&self, bytes: &Cached<'_>, block: u64, is_filled: bool, depth: u32) -> io::Result<()> {
        let place = &bytes.place;
        let (start, length) = bytes.whole(block);
        let mut content = vec![0; length];
        let origin = (place.origin, start);
        let cache = (place.cache, place.start.saturating_add(start));
        let (from, to) = match is_filled {
            true => (origin, cache),
            false => (cache, origin),
        };
        self.transfer(from.0, from.1, Transfer::Read(&mut content), depth)?;
        self.transfer(to.0, to.1, Transfer::Write(&content), depth)
    }

    /// Fills in the status of cached lines; a cleaner that may work brings some blocks back before.  Did one?
    pub(super) fn describe_caches(&self, map: &Map, lines: &mut [StatusLine], is_stopped: bool) -> bool {
        let mut has_worked = false;
        for (line, said) in map.table.lines().iter().zip(lines) {
            let Some(bytes) = Cached::of(map, line, 0) else {
                continue;
            };
            let _turn = map.turn();
            if !is_stopped && bytes.place.cleans {
                let most = (EACH_LOOK / bytes.place.block).max(1);
                has_worked |= self.clean(&bytes, most).unwrap_or(false);
            }
            said.status = self.describe_cache(&line.target, &bytes);
        }
        has_worked
    }

    fn describe_cache(&self, target: &Target, bytes: &Cached<'_>) -> String {
        let all = self.cached_blocks(bytes);
        let dirty = self.dirty(bytes).map(|dirty| dirty.len() as u64);
        match (target, dirty) {
            (Target::Cache(cache), Ok(dirty)) => {
                let features = format!("{} {}", cache.features.len(), cache.features.join(" "));
                format!(
                    "8 1/2 {} {dirty}/{all} 0 0 0 0 0 0 {dirty} {} 0 {} 0 rw - ",
                    cache.block_size,
                    features.trim(),
                    cache.policy
                )
            }
            (Target::Writecache(_), Ok(dirty)) => format!("0 {all} {} 0", all.saturating_sub(dirty)),
            (Target::Writecache(_), Err(_)) => format!("{} {all} {all} 0", -libc::EIO),
            (_, _) => "Fail".into(),
        }
    }

    fn dirty(&self, bytes: &Cached<'_>) -> io::Result<Vec<u64>> {
        let blocks = self.cached_blocks(bytes);
        let mut marks = vec![0; usize::try_from(blocks).unwrap_or(0)];
        self.transfer(bytes.place.metadata, 0, Transfer::Read(&mut marks), DEPTH_LIMIT)?;
        let marked = (0..).zip(marks).filter(|(_, mark)| *mark != 0);
        Ok(marked.map(|(block, _)| block).collect())
    }

    /// Brings dirty blocks to the origin, so many at most; `false` if there was none.
    fn clean(&self, bytes: &Cached<'_>, most: u64) -> io::Result<bool> {
        let dirty = self.dirty(bytes)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for block in dirty.iter().take(most) {
            self.copy_block(bytes, *block, false, DEPTH_LIMIT)?;
            self.transfer(bytes.place.metadata, *block, Transfer::Write(&[0]), DEPTH_LIMIT)?;
        }
        Ok(!dirty.is_empty())
    }

    /// Brings all back that a cache of writes holds, if it does so when it is stopped.
    pub(super) fn stop_caches(&self, minor: u32) {
        let live = self.devices.get(minor).and_then(|device| device.live.as_ref());
        if let Some(map) = live {
            let flushes = map.flushes.swap(false, Ordering::Relaxed);
            for line in map.table.lines() {
                if let Some(bytes) = writes(map, line).filter(|bytes| flushes || bytes.place.cleans) {
                    let _turn = map.turn();
                    // What fails stays in the cache, and the status says so.
                    let _ = self.clean(&bytes, u64::MAX);
                }
            }
        }
    }

    /// Sends a message to a cache of writes; `None` if it is none, or takes no such message.
    pub(super) fn cache_message(&self, minor: u32, text: &str) -> Option<Result<(), Error>> {
        let device = self.devices.get(minor)?;
        let map = device.live.as_ref()?;
        let bytes = writes(map, map.table.lines().first()?)?;
        let errno = |errno| Error::errno_of("message", &device.name, errno);
        match text {
            Writecache::FLUSH if device.suspended => Some(Err(errno(libc::EBUSY))),
            Writecache::FLUSH => {
                let _turn = map.turn();
                let cleaned = self.clean(&bytes, u64::MAX);
                Some(cleaned.map(drop).map_err(|_| errno(libc::EIO)))
            }
            // It works with each look.
            Writecache::CLEANER if bytes.place.cleans => Some(Ok(())),
            Writecache::FLUSH_ON_SUSPEND => {
                map.flushes.store(true, Ordering::Relaxed);
                Some(Ok(()))
            }
            _ => None,
        }
    }
}

/// All bytes of a line that is a cache of writes.
fn writes<'a>(map: &'a Map, line: &TargetLine) -> Option<Cached<'a>> {
    let is_it = matches!(line.target, Target::Writecache(_));
    is_it.then(|| Cached::of(map, line, 0)).flatten()
}
