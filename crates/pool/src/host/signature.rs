//! Finds what is on a disk: file systems, swap, RAID members, encrypted volumes, partition tables.
//!
//! The table of magics is in `magics`; the few formats that need more than a fixed place are here.  Finding is
//! meant to be generous: a wrong alarm costs a `force`, a missed file system costs its data.

use std::collections::HashMap;
use std::fmt;

use lvm_meta::Disk;

use super::{Error, Result};
use magics::{At, MAGICS, Magic};

mod magics;

/// Bytes that are read at once.
const CHUNK: u64 = 64 << 10;
/// How often erasing looks again for what lay below; LUKS2 has the most copies, ten.
const ERASE_PASSES: u32 = 16;
/// Most finds that are reported; a ZFS label alone repeats its magic up to 128 times.
const FOUND_LIMIT: usize = 1024;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a signature says is on a disk.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SignatureKind {
            $($(#[$doc])* #[doc = $text] $name,)*
        }

        impl SignatureKind {
            /// Its common name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    Apfs = "APFS", Bcache = "bcache", Bcachefs = "bcachefs", Bitlocker = "BitLocker", Bluestore = "Ceph BlueStore",
    Btrfs = "btrfs", Cramfs = "cramfs", DdfRaid = "DDF RAID member", DmIntegrity = "dm-integrity",
    DmSnapshotCow = "device-mapper snapshot store", DmVerity = "dm-verity", Drbd = "DRBD metadata", Erofs = "EROFS",
    Exfat = "exFAT", Ext = "ext2/3/4", F2fs = "F2FS", Fat = "FAT", Gfs2 = "GFS2", Gpt = "GPT partition table",
    Hfs = "HFS+", Hibernation = "hibernation image", IntelRaid = "Intel RAID member", Iso9660 = "ISO 9660",
    Jfs = "JFS", Luks = "LUKS", Lvm1 = "LVM1 physical volume", LvmPv = "LVM2 physical volume",
    Mbr = "MBR partition table", Md = "Linux RAID member", Nilfs2 = "NILFS2", Ntfs = "NTFS", Ocfs2 = "OCFS2",
    OracleAsm = "Oracle ASM disk", Reiser4 = "Reiser4", Reiserfs = "ReiserFS", Romfs = "romfs",
    SpdkBlobstore = "SPDK blobstore", Squashfs = "squashfs", Stratis = "Stratis", Swap = "swap", Udf = "UDF",
    Vdo = "VDO", Vmfs = "VMFS", Xfs = "XFS", ZfsMember = "ZFS member", Zonefs = "zonefs",
}

impl fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A signature and where its magic lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundSignature {
    /// What it says.
    pub kind: SignatureKind,
    /// Byte of the magic's begin.
    pub offset: u64,
    /// Length of the magic in bytes.
    pub length: usize,
}

impl fmt::Display for FoundSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

/// Finds every known signature, by place.  Reads about 2 MiB and writes nothing.
///
/// # Errors
/// [`Error::DiskIo`] when the disk cannot be read: then nothing is known about it.
pub fn find_signatures(disk: &dyn Disk) -> Result<Vec<FoundSignature>> {
    find(disk, |_| true)
}

/// As [`find_signatures`], for some kinds alone: reads no more than their places.
///
/// # Errors
/// As [`find_signatures`].
pub fn find_kinds(disk: &dyn Disk, kinds: &[SignatureKind]) -> Result<Vec<FoundSignature>> {
    find(disk, |kind| kinds.contains(&kind))
}

fn find(disk: &dyn Disk, is_wanted: impl Fn(SignatureKind) -> bool) -> Result<Vec<FoundSignature>> {
    let mut window = Window::new(disk)?;
    let mut found = Vec::new();
    for magic in MAGICS.iter().filter(|magic| is_wanted(magic.kind)) {
        if let Some(offset) = magic.place(window.size)
            && window.holds(offset, magic.bytes)?
            && checks(&mut window, magic, offset)?
        {
            found.push(FoundSignature {
                kind: magic.kind,
                offset,
                length: magic.bytes.len(),
            });
        }
    }
    if is_wanted(SignatureKind::ZfsMember) {
        zfs(&mut window, &mut found)?;
    }
    found.sort_by_key(|found| (found.offset, found.length));
    found.dedup_by_key(|found| (found.offset, found.kind));
    found.truncate(FOUND_LIMIT);
    Ok(found)
}

/// Erases every signature that `chosen` accepts, and nothing but their magics.  Durable when this returns.
///
/// Looks again afterwards, as one format may hide another, and gives all that was erased.
///
/// # Errors
/// [`Error::DiskIo`]; the disk may then be erased in part.  [`Error::Stubborn`] when a magic is read back after
/// it was erased.
pub fn erase_signatures(
    disk: &dyn Disk,
    chosen: impl Fn(&FoundSignature) -> bool,
) -> Result<Vec<FoundSignature>> {
    let mut erased: Vec<FoundSignature> = Vec::new();
    for _ in 0..ERASE_PASSES {
        let found: Vec<_> = find_signatures(disk)?.into_iter().filter(&chosen).collect();
        if found.is_empty() {
            return Ok(erased);
        }
        for signature in &found {
            let zeroes = vec![0; signature.length];
            disk.write_at(signature.offset, &zeroes)
                .map_err(Error::disk_io("erase a signature", signature.offset))?;
        }
        disk.sync().map_err(Error::disk_io("sync", 0))?;
        erased.extend(found);
    }
    match find_signatures(disk)?.into_iter().find(&chosen) {
        Some(signature) => Err(Error::Stubborn { signature }),
        None => Ok(erased),
    }
}

/// The disk, read in whole chunks that are kept.
struct Window<'a> {
    disk: &'a dyn Disk,
    size: u64,
    chunks: HashMap<u64, Vec<u8>>,
}

impl<'a> Window<'a> {
    fn new(disk: &'a dyn Disk) -> Result<Self> {
        let size = disk.size().map_err(Error::disk_io("find the size", 0))?;
        Ok(Self {
            disk,
            size,
            chunks: HashMap::new(),
        })
    }

    /// `len` bytes at `at`, or `None` past the end.
    fn bytes(&mut self, at: u64, len: usize) -> Result<Option<Vec<u8>>> {
        let Some(end) = u64::try_from(len)
            .ok()
            .and_then(|len| at.checked_add(len))
            .filter(|end| *end <= self.size)
        else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(len);
        let mut at = at;
        while at < end {
            let begin = at - at % CHUNK;
            let chunk = self.chunk(begin)?;
            let range = usize::try_from(at - begin).unwrap_or(usize::MAX)..;
            let part = chunk.get(range).unwrap_or_default();
            let part = part
                .get(..usize::try_from(end - at).unwrap_or(usize::MAX))
                .unwrap_or(part);
            if part.is_empty() {
                return Ok(None);
            }
            out.extend_from_slice(part);
            at += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
        Ok(Some(out))
    }

    fn chunk(&mut self, begin: u64) -> Result<&[u8]> {
        if !self.chunks.contains_key(&begin) {
            let len = CHUNK.min(self.size.saturating_sub(begin));
            let mut chunk = vec![0; usize::try_from(len).unwrap_or(0)];
            self.disk
                .read_at(begin, &mut chunk)
                .map_err(Error::disk_io("read", begin))?;
            self.chunks.insert(begin, chunk);
        }
        Ok(self.chunks.get(&begin).map_or(&[], Vec::as_slice))
    }

    fn holds(&mut self, at: u64, bytes: &[u8]) -> Result<bool> {
        Ok(self.bytes(at, bytes.len())?.is_some_and(|found| found == bytes))
    }

    fn u32_le(&mut self, at: u64) -> Result<Option<u32>> {
        let bytes = self.bytes(at, 4)?;
        Ok(bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes))
    }
}

impl Magic {
    /// The byte where it lies on a disk of `size` bytes, or `None` where there is no room.
    fn place(&self, size: u64) -> Option<u64> {
        match self.at {
            At::Start(offset) => Some(offset),
            At::End(back) => size.checked_sub(back),
            // RAID superblocks of version 0.90 begin at the last whole 64 KiB but one.
            At::EndAligned64K => (size - size % (64 << 10)).checked_sub(64 << 10),
            // Of version 1.0: at least 8 KiB before the end, on a multiple of 4 KiB, counted in sectors.
            At::EndAligned4K => (size / 512)
                .checked_sub(16)
                .map(|sector| (sector - sector % 8) * 512),
        }
    }
}

/// Short magics occur by chance, so their formats are looked at more closely.
fn checks(window: &mut Window<'_>, magic: &Magic, offset: u64) -> Result<bool> {
    Ok(match magic.kind {
        // Block size 2^(10 + n) and revision 0 or 1, which lie 0x20 before and 0x14 after the magic.
        SignatureKind::Ext => {
            window.u32_le(offset - 0x20)?.is_some_and(|log| log <= 6)
                && window
                    .u32_le(offset + 0x14)?
                    .is_some_and(|revision| revision <= 1)
        }
        // Revision 2 of the format, 6 bytes before the magic.
        SignatureKind::Nilfs2 => window.u32_le(offset - 6)? == Some(2),
        SignatureKind::Mbr => window
            .bytes(0, 512)?
            .is_some_and(|sector| has_mbr_partition(&sector)),
        SignatureKind::LvmPv => window.holds(offset + 24, b"LVM2 001")?,
        _ => true,
    })
}

/// Whether the sector's four entries could be partitions: legal boot flags, and one that has a type and a size.
fn has_mbr_partition(sector: &[u8]) -> bool {
    let entries = sector.get(0x1be..0x1fe).unwrap_or_default().chunks_exact(16);
    let used = |entry: &[u8]| {
        let kind = entry.get(4).is_some_and(|kind| *kind != 0);
        kind && entry.get(12..16).is_some_and(|sectors| sectors != [0; 4])
    };
    entries
        .clone()
        .all(|entry| entry.first().is_some_and(|boot| boot & 0x7f == 0))
        && entries.clone().any(used)
}

/// ZFS keeps four labels of 256 KiB, two at each end; the second half of each is an array of uberblocks.
fn zfs(window: &mut Window<'_>, found: &mut Vec<FoundSignature>) -> Result<()> {
    const LABEL: u64 = 256 << 10;
    const MAGIC: u64 = 0x00ba_b10c;
    let end = window.size - window.size % LABEL;
    let labels = [
        Some(0),
        Some(LABEL),
        end.checked_sub(2 * LABEL),
        end.checked_sub(LABEL),
    ];
    for label in labels.into_iter().flatten() {
        let Some(array) = window.bytes(label.saturating_add(LABEL / 2), 128 << 10)? else {
            continue;
        };
        for (slot, block) in (0_u64..).zip(array.chunks_exact(1024)) {
            let magic = block.get(..8).unwrap_or_default();
            if magic == MAGIC.to_le_bytes() || magic == MAGIC.to_be_bytes() {
                let offset = label + LABEL / 2 + slot * 1024;
                found.push(FoundSignature {
                    kind: SignatureKind::ZfsMember,
                    offset,
                    length: 8,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
