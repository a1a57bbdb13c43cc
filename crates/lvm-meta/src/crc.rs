//! LVM's CRC-32: the usual polynomial, a seed of its own, and no final inversion.  Reference: LVM2 `lib/misc/crc.c`.

/// LVM's seed 0xf597a6cf, inverted as `crc32fast` takes it.
const SEED: u32 = !0xf597_a6cf;

/// The checksum of several pieces as if they were one.
pub(crate) fn crc(pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(SEED);
    pieces.iter().for_each(|piece| hasher.update(piece));
    !hasher.finalize()
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
