//! A quick hash of ids and names, which are short and come by the hundred thousand.
//!
//! The standard one takes four times as long.  Like that one it is seeded at random, for each table anew, so that no
//! metadata can be made whose keys fall on one place: who does not know the seed cannot tell where a key falls.

use std::hash::{BuildHasher, Hasher, RandomState};

/// What makes the hashes of one table.
#[derive(Clone, Debug)]
pub(crate) struct Seed([u64; 2]);

impl Default for Seed {
    fn default() -> Self {
        // The standard library has the random numbers: its hash of anything is one as long as its keys are secret.
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1)])
    }
}

impl BuildHasher for Seed {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        let Self([state, seed]) = *self;
        Mixer { state, seed }
    }
}

/// A hash that is made: each sixteen bytes are multiplied into what was before.
pub(crate) struct Mixer {
    state: u64,
    seed: u64,
}

fn halves(bits: u128) -> [u64; 2] {
    [bits, bits >> 64].map(|bits| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default())
}

/// Both halves of a product in one, so that each bit of both factors changes all of it.
fn fold(a: u64, b: u64) -> u64 {
    let [low, high] = halves(u128::from(a).wrapping_mul(u128::from(b)));
    low ^ high
}

/// Less than sixteen bytes in sixteen: of each length another way, but no two texts of one length in the same.
///
/// What is taken twice costs less than a look at each byte.
fn padded(bytes: &[u8]) -> [u8; 16] {
    let mut word = [0; 16];
    let (low, high) = word.split_at_mut(8);
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        low.copy_from_slice(first);
        high.copy_from_slice(last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (low, _) = low.split_at_mut(4);
        let (high, _) = high.split_at_mut(4);
        low.copy_from_slice(first);
        high.copy_from_slice(last);
    } else {
        low.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
    word
}

impl Mixer {
    fn mix(&mut self, bytes: &[u8; 16]) {
        let [low, high] = halves(u128::from_le_bytes(*bytes));
        self.state = fold(low ^ self.seed, high ^ self.state);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let (words, tail) = bytes.as_chunks::<16>();
        words.iter().for_each(|word| self.mix(word));
        if !tail.is_empty() {
            self.mix(&padded(tail));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.state ^= number.rotate_left(32);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(u64::try_from(number).unwrap_or(u64::MAX));
    }

    fn finish(&self) -> u64 {
        fold(self.state, self.seed | 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_that_differ_little_spread_over_a_table() {
        for seed in (0..20).map(|_| Seed::default()) {
            let keys = (0..4096).map(|number| format!("lvol_{number:06}"));
            let places: HashSet<u64> = keys.map(|key| seed.hash_one(key) % 8192).collect();
            // Random places would be 3224 of them, give or take a few dozen.
            assert!(places.len() > 3000, "{}", places.len());
        }
    }

    #[test]
    fn each_byte_of_a_tail_counts() {
        for length in 1..16 {
            let bytes: Vec<u8> = (0..length).collect();
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] = 0xff;
                assert_ne!(padded(&bytes), padded(&other), "{at} of {length}");
            }
        }
    }

    #[test]
    fn each_table_hashes_in_its_own_way_and_length_counts() {
        assert_ne!(Seed::default().hash_one("a"), Seed::default().hash_one("a"));
        let seed = Seed::default();
        let hashes: HashSet<u64> = (0..64).map(|length| seed.hash_one("\0".repeat(length))).collect();
        assert_eq!(hashes.len(), 64);
    }
}
