//! Lengths with their unit: sectors, extents, and the size that turns one into the other.

use std::fmt;

/// A count of 512-byte sectors: the unit of `extent_size`, `pe_start` and `dev_size` in VG text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sectors(u64);

impl Sectors {
    /// Bytes in one sector, whatever the drive's own block size.
    pub const SIZE: u64 = 512;

    /// `count` sectors.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The number of sectors.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The whole sectors in `bytes`; a part of a sector at the end is dropped.
    pub const fn from_bytes_floor(bytes: u64) -> Self {
        Self(bytes / Self::SIZE)
    }

    /// The same length in bytes, or `None` when it passes `u64::MAX`.
    pub const fn to_bytes(self) -> Option<u64> {
        self.0.checked_mul(Self::SIZE)
    }

    /// The sum, or `None` on overflow.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` when `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors", self.0)
    }
}

/// A count of extents, logical or physical.  Positions are plain `u32` extent numbers in fields named `start`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extents(u32);

impl Extents {
    /// No extents.
    pub const ZERO: Self = Self(0);

    /// `count` extents.
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// The number of extents.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The sum, or `None` when it passes the format's 32 bits.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` when `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }
}

impl fmt::Display for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} extents", self.0)
    }
}

/// The size of one extent of a VG: never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtentSize(u32);

impl ExtentSize {
    /// LVM's default, 4 MiB.
    pub const DEFAULT: Self = Self(8192);

    /// An extent of `sectors`, or `None` for zero, which LVM's own reader lets through and then divides by.
    pub const fn new(sectors: u32) -> Option<Self> {
        if sectors == 0 { None } else { Some(Self(sectors)) }
    }

    /// As [`ExtentSize::new`], with the rule for new VGs: a power of two, or a multiple of 128 KiB.
    pub const fn for_new_vg(sectors: u32) -> Option<Self> {
        if sectors >= 2 && (sectors.is_power_of_two() || sectors.is_multiple_of(256)) {
            Some(Self(sectors))
        } else {
            None
        }
    }

    /// Sectors in one extent.
    pub const fn sectors(self) -> u32 {
        self.0
    }

    /// Bytes in one extent.
    pub fn bytes(self) -> u64 {
        u64::from(self.0).saturating_mul(Sectors::SIZE)
    }

    /// The sectors of `count` extents.  Cannot overflow: both factors have 32 bits.
    pub fn to_sectors(self, count: Extents) -> Sectors {
        Sectors::new(u64::from(self.0).saturating_mul(u64::from(count.get())))
    }

    /// The bytes of `count` extents, or `None` past `u64::MAX` (which no device reaches).
    pub fn to_bytes(self, count: Extents) -> Option<u64> {
        self.to_sectors(count).to_bytes()
    }

    /// The fewest extents that hold `bytes`, or `None` when that passes the format's 32 bits.
    pub fn extents_ceil(self, bytes: u64) -> Option<Extents> {
        u32::try_from(bytes.div_ceil(self.bytes())).ok().map(Extents::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_whole_extents() {
        let size = ExtentSize::DEFAULT;
        assert_eq!(size.extents_ceil(0), Some(Extents::ZERO));
        assert_eq!(size.extents_ceil(1), Some(Extents::new(1)));
        assert_eq!(size.extents_ceil(4 << 20), Some(Extents::new(1)));
        assert_eq!(size.extents_ceil((4 << 20) + 1), Some(Extents::new(2)));
        assert_eq!(size.extents_ceil(u64::MAX), None);
    }

    #[test]
    fn new_vgs_take_the_extent_sizes_that_lvm_takes() {
        for good in [2, 8, 8192, 256 * 3, 1 << 31] {
            assert!(ExtentSize::for_new_vg(good).is_some(), "{good}");
        }
        for bad in [0, 1, 3, 100, 257] {
            assert!(ExtentSize::for_new_vg(bad).is_none(), "{bad}");
        }
    }
}
