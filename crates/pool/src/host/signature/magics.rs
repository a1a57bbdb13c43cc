//! The table of magics.  Places and values are those of the formats' own headers, as libblkid knows them too.

use super::SignatureKind::{self, *};

/// Where a magic lies.
pub(super) enum At {
    /// This many bytes from the begin.
    Start(u64),
    /// This many bytes before the end.
    End(u64),
    /// At the begin of the last whole 64 KiB but one.
    EndAligned64K,
    /// 8 to 12 KiB before the end, on a multiple of 4 KiB.
    EndAligned4K,
}

/// A magic.
pub(super) struct Magic {
    pub(super) kind: SignatureKind,
    pub(super) at: At,
    pub(super) bytes: &'static [u8],
}

const fn start(kind: SignatureKind, offset: u64, bytes: &'static [u8]) -> Magic {
    Magic {
        kind,
        at: At::Start(offset),
        bytes,
    }
}

const fn end(kind: SignatureKind, back: u64, bytes: &'static [u8]) -> Magic {
    Magic {
        kind,
        at: At::End(back),
        bytes,
    }
}

/// Magic of Linux RAID superblocks, as a little-endian and as a big-endian machine wrote it.
const MD_LE: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];
const MD_BE: &[u8] = &[0xa9, 0x2b, 0x4e, 0xfc];
const LUKS2_COPY: &[u8] = b"SKUL\xba\xbe";

pub(super) const MAGICS: &[Magic] = &[
    // Volume managers and RAID.
    start(LvmPv, 0, b"LABELONE"),
    start(LvmPv, 512, b"LABELONE"),
    start(LvmPv, 1024, b"LABELONE"),
    start(LvmPv, 1536, b"LABELONE"),
    start(Lvm1, 0, b"HM\x01\0"),
    start(Lvm1, 0, b"HM\x02\0"),
    Magic {
        kind: Md,
        at: At::EndAligned64K,
        bytes: MD_LE,
    },
    Magic {
        kind: Md,
        at: At::EndAligned64K,
        bytes: MD_BE,
    },
    Magic {
        kind: Md,
        at: At::EndAligned4K,
        bytes: MD_LE,
    },
    start(Md, 0, MD_LE),
    start(Md, 4096, MD_LE),
    end(DdfRaid, 512, &[0xde, 0x11, 0xde, 0x11]),
    end(IntelRaid, 1024, b"Intel Raid ISM Cfg Sig. "),
    start(DmSnapshotCow, 0, b"SnAp"),
    start(DmIntegrity, 0, b"integrt\0"),
    start(DmVerity, 0, b"verity\0\0"),
    start(Vdo, 0, b"dmvdo001"),
    start(Stratis, 0x204, b"!Stra0tis\x86\xff\x02^\x41rh"),
    start(Stratis, 0x1204, b"!Stra0tis\x86\xff\x02^\x41rh"),
    start(
        Bcache,
        0x1018,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    ),
    start(SpdkBlobstore, 0, b"SPDKBLOB"),
    start(Bluestore, 0, b"bluestore block device"),
    start(OracleAsm, 32, b"ORCLDISK"),
    end(Drbd, 4096 - 60, &[0x83, 0x74, 0x02, 0x6b]),
    end(Drbd, 4096 - 60, &[0x83, 0x74, 0x02, 0x6c]),
    end(Drbd, 4096 - 60, &[0x83, 0x74, 0x02, 0x6d]),
    // Encryption.
    start(Luks, 0, b"LUKS\xba\xbe"),
    start(Luks, 0x4000, LUKS2_COPY),
    start(Luks, 0x8000, LUKS2_COPY),
    start(Luks, 0x1_0000, LUKS2_COPY),
    start(Luks, 0x2_0000, LUKS2_COPY),
    start(Luks, 0x4_0000, LUKS2_COPY),
    start(Luks, 0x8_0000, LUKS2_COPY),
    start(Luks, 0x10_0000, LUKS2_COPY),
    start(Luks, 0x20_0000, LUKS2_COPY),
    start(Luks, 0x40_0000, LUKS2_COPY),
    start(Bitlocker, 3, b"-FVE-FS-"),
    // Swap, at the end of a page of any size that a machine has.
    start(Swap, 0xff6, b"SWAPSPACE2"),
    start(Swap, 0xff6, b"SWAP-SPACE"),
    start(Swap, 0x1ff6, b"SWAPSPACE2"),
    start(Swap, 0x3ff6, b"SWAPSPACE2"),
    start(Swap, 0x7ff6, b"SWAPSPACE2"),
    start(Swap, 0xfff6, b"SWAPSPACE2"),
    start(Hibernation, 0xff6, b"S1SUSPEND"),
    start(Hibernation, 0xff6, b"S2SUSPEND"),
    start(Hibernation, 0xff6, b"ULSUSPEND"),
    start(Hibernation, 0xff6, b"LINHIB0001"),
    // File systems.
    start(Ext, 0x438, &[0x53, 0xef]),
    start(Xfs, 0, b"XFSB"),
    start(Btrfs, 0x1_0040, b"_BHRfS_M"),
    start(Btrfs, 0x400_0040, b"_BHRfS_M"),
    start(
        Bcachefs,
        0x1018,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    start(F2fs, 0x400, &[0x10, 0x20, 0xf5, 0xf2]),
    start(Jfs, 0x8000, b"JFS1"),
    start(Reiserfs, 0x1_0034, b"ReIsErFs"),
    start(Reiserfs, 0x1_0034, b"ReIsEr2Fs"),
    start(Reiserfs, 0x1_0034, b"ReIsEr3Fs"),
    start(Reiserfs, 0x2034, b"ReIsErFs"),
    start(Reiser4, 0x1_0000, b"ReIsEr4"),
    start(Gfs2, 0x1_0000, &[0x01, 0x16, 0x19, 0x70]),
    start(Ocfs2, 0x400, b"OCFSV2"),
    start(Ocfs2, 0x800, b"OCFSV2"),
    start(Ocfs2, 0x1000, b"OCFSV2"),
    start(Ocfs2, 0x2000, b"OCFSV2"),
    start(Nilfs2, 0x406, &[0x34, 0x34]),
    start(Zonefs, 0, b"SFOZ"),
    start(Erofs, 0x400, &[0xe2, 0xe1, 0xf5, 0xe0]),
    start(Squashfs, 0, b"hsqs"),
    start(Squashfs, 0, b"sqsh"),
    start(Cramfs, 0, &[0x45, 0x3d, 0xcd, 0x28]),
    start(Romfs, 0, b"-rom1fs-"),
    start(Iso9660, 0x8001, b"CD001"),
    start(Udf, 0x8001, b"BEA01"),
    start(Udf, 0x8801, b"NSR02"),
    start(Udf, 0x8801, b"NSR03"),
    start(Fat, 0x52, b"FAT32   "),
    start(Fat, 0x36, b"FAT12   "),
    start(Fat, 0x36, b"FAT16   "),
    start(Fat, 0x36, b"FAT     "),
    start(Fat, 3, b"MSWIN"),
    start(Ntfs, 3, b"NTFS    "),
    start(Exfat, 3, b"EXFAT   "),
    start(Hfs, 0x400, b"H+\0\x04"),
    start(Hfs, 0x400, b"HX\0\x05"),
    start(Apfs, 32, b"NXSB"),
    start(Vmfs, 0x10_0000, &[0x0d, 0xd0, 0x01, 0xc0]),
    start(Vmfs, 0x20_0000, &[0x5e, 0xf1, 0xab, 0x2f]),
    // Partition tables, with logical blocks of 512 and of 4096 bytes.
    start(Mbr, 0x1fe, &[0x55, 0xaa]),
    start(Gpt, 512, b"EFI PART"),
    start(Gpt, 4096, b"EFI PART"),
    end(Gpt, 512, b"EFI PART"),
    end(Gpt, 4096, b"EFI PART"),
];
