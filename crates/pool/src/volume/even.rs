//! Making replicas the same that were in sync when their publisher died.
//!
//! A write that was under way then may be on one of them and not on another.  That does not count, as nobody was told that it was
//! done; but who read it twice would get one answer and then the other.  The kernel does not mend it: dm-raid takes an array that was in
//! sync for one that is, and clears the bits of its bitmap.  Reference: Linux `drivers/md/dm-raid.c`, `super_sync`, which notes no
//! array as unclean, and `drivers/md/md-bitmap.c`, `md_bitmap_load`, which then takes no region for one to be copied.

use std::{io, iter};

use lvm_dm::{RaidBitmap, RaidSuperblock};

use super::geometry::{DATA_START, META_START};
use super::member::Member;
use super::record::Record;
use super::rules::Found;
use crate::Error;

/// What is compared at once.
const PORTION: u64 = 1 << 20;

/// Makes `others` the same as `source` wherever a bitmap says that writes were under way.  Durable when this returns.  `false` if
/// a bitmap does not tell, and nothing was done.
///
/// # Errors
/// [`VolumeError::Unreachable`].
pub(super) fn make_even(record: &Record, source: &Member, others: &[&Member]) -> Result<bool, Error> {
    let regions = record.size.div_ceil(record.region.max(1));
    let mut bitmaps = Vec::with_capacity(others.len() + 1);
    for member in iter::once(&source).chain(others) {
        let mut bytes = vec![0; usize::try_from(RaidBitmap::size(regions)).unwrap_or(0)];
        member.with_disk(|disk| disk.read_at(META_START + RaidBitmap::START, &mut bytes))?;
        bitmaps.push((member, bytes));
    }
    let told = bitmaps
        .iter()
        .map(|(member, bytes)| bitmap(record, member, bytes, regions))
        .collect::<Option<Vec<_>>>();
    let Some(told) = told else {
        return Ok(false);
    };
    for region in (0..regions).filter(|region| told.iter().any(|bitmap| bitmap.is_dirty(*region))) {
        let start = region * record.region;
        let end = start.saturating_add(record.region).min(record.size);
        for other in others {
            copy(source, other, start, end)?;
        }
    }
    for other in others {
        other.with_disk(|disk| disk.sync())?;
    }
    Ok(true)
}

/// The bitmap of a replica, if it is up to date.
fn bitmap<'a>(record: &Record, member: &Member, bytes: &'a [u8], regions: u64) -> Option<RaidBitmap<'a>> {
    let superblock: &RaidSuperblock = match &member.found {
        Found::Known { superblock, .. } => superblock.as_ref()?,
        _ => return None,
    };
    RaidBitmap::parse(bytes, regions)
        .filter(|bitmap| u64::from(bitmap.region) == record.region && bitmap.events >= superblock.events)
}

/// Copies what differs of these bytes of the volume.
fn copy(source: &Member, other: &Member, start: u64, end: u64) -> Result<(), Error> {
    let mut at = start;
    while at < end {
        let length = usize::try_from((end - at).min(PORTION)).unwrap_or(0);
        let (mut wanted, mut has) = (vec![0; length], vec![0; length]);
        source.with_disk(|disk| disk.read_at(DATA_START + at, &mut wanted))?;
        other.with_disk(|disk| {
            disk.read_at(DATA_START + at, &mut has)?;
            match has == wanted {
                true => io::Result::Ok(()),
                false => disk.write_at(DATA_START + at, &wanted),
            }
        })?;
        at += length as u64;
    }
    Ok(())
}
