//! LVM's CRC-32: the usual polynomial, a seed of its own, and no final inversion.  Reference: LVM2 `lib/misc/crc.c`.

/// LVM's seed 0xf597a6cf, inverted as `crc32fast` takes it.
const SEED: u32 = !0xf597_a6cf;

/// The checksum of several pieces as if they were one.
pub(crate) fn crc(pieces: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    pieces.iter().for_each(|piece| crc.update(piece));
    crc.finish()
}

/// A checksum under way.
pub(crate) struct Crc(crc32fast::Hasher);

impl Crc {
    pub(crate) fn new() -> Self {
        Self(crc32fast::Hasher::new_with_initial(SEED))
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> u32 {
        !self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_lvms_own_checksums() {
        assert_eq!(crc(&[b"123456789"]), 0x4991_cf02);
        assert_eq!(crc(&[b"1234", b"56789"]), 0x4991_cf02);
    }
}
